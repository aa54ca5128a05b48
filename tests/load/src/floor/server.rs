//! The floor's server: a thread that writes the same bytes to each socket when they are due, and does nothing else.
//! It prints its address, accepts its sockets, and takes one order a line: bytes, messages a second, messages.
//! It promises one `send` a socket and message; one that can't take all of it at once ends the server.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::Order;

/// Runs the floor's server until its input ends.
///
/// # Errors
/// It can't listen, an order is malformed, or a socket does not take a whole message at once.
pub fn serve(sockets: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    announce(&listener)?;
    let accepted = listener.incoming().take(sockets);
    let mut sockets: Vec<TcpStream> = accepted.collect::<Result<_, _>>()?;
    for socket in &sockets {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
    }
    for line in std::io::stdin().lines() {
        carry_out(parse(&line?)?, &mut sockets)?;
    }
    Ok(())
}

fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?)?;
    Ok(out.flush()?)
}

fn parse(line: &str) -> anyhow::Result<Order> {
    let numbers: Result<Vec<u32>, _> = line.split(' ').map(str::parse).collect();
    match numbers
        .with_context(|| format!("no order: {line:?}"))?
        .as_slice()
    {
        [bytes, rate, count] if *rate > 0 => Ok(Order {
            bytes: u64::from(*bytes),
            rate: *rate,
            count: *count,
        }),
        _ => anyhow::bail!("no order: {line:?}"),
    }
}

/// Sends each message when it is due, counted from the start, as the simulator does.
fn carry_out(order: Order, sockets: &mut [impl Write]) -> anyhow::Result<()> {
    let message = vec![b'x'; usize::try_from(order.bytes)?];
    let start = Instant::now();
    for number in 0..order.count {
        let due = start + Duration::from_secs(1) * number / order.rate;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for socket in &mut *sockets {
            let written = socket.write(&message).context("a socket of the floor")?;
            ensure!(written == message.len(), "a socket of the floor is full");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes of each write.
    struct Narrow(usize, Vec<usize>);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.push(bytes.len());
            Ok(bytes.len().min(self.0))
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    const ORDER: Order = Order {
        bytes: 10,
        rate: 1_000,
        count: 3,
    };

    #[test]
    fn each_message_is_one_write_a_socket() {
        let mut sockets = [Narrow(10, vec![]), Narrow(10, vec![])];
        carry_out(ORDER, &mut sockets).unwrap();
        assert!(sockets.iter().all(|socket| socket.1 == [10; 3]));
    }

    #[test]
    fn a_socket_that_takes_only_a_part_is_an_error() {
        assert!(carry_out(ORDER, &mut [Narrow(9, vec![])]).is_err());
    }

    #[test]
    fn an_order_is_three_numbers() {
        assert_eq!(parse("10 1000 3").unwrap(), ORDER);
        for line in ["", "10", "10 0 3", "10 5 3 1", "x 5 3", "10  5"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
