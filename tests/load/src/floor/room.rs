//! The floor as a room: it shakes hands as a Socket.IO server does and then does nothing but one `send` a socket.
//! It promises the frames that every server of the table sends, all of one order in one `send`, from one thread; a
//! socket that can't take all of it at once ends it. It reads the orders of its first socket and nothing else.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::packet::NUMBER_DIGITS;
use crate::websocket::served_text;

/// The clients of this floor do not check the key.
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
const OPEN: &str =
    r#"0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}"#;
const CONNECTED: &str = r#"40{"sid":"x"}"#;
/// A control socket's orders are as short as the RFC's shortest frames, or as the next longer ones.
const LENGTH_16: u8 = 126;
const MASK_BYTES: usize = 4;

#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Order {
    count: u64,
    bytes: usize,
    first: u64,
}

/// Runs the floor's room until its first socket ends.
///
/// # Errors
/// It can't listen, a client or an order is malformed, or a socket does not take a whole order at once.
pub fn serve_room(port: u16, sockets: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("the port is taken")?;
    let accepted = listener.incoming().take(sockets);
    let sockets: anyhow::Result<Vec<TcpStream>> = accepted.map(|socket| admit(socket?)).collect();
    let mut sockets = sockets?;
    let mut orders = sockets.first().context("no sockets")?.try_clone()?;
    for socket in &sockets {
        socket.set_nodelay(true)?;
    }
    while let Some(order) = next_order(&mut orders)? {
        carry_out(&order, &mut sockets)?;
    }
    Ok(())
}

/// A client's handshakes, each answer as soon as it is asked for.
fn admit(mut socket: TcpStream) -> anyhow::Result<TcpStream> {
    let mut reader = BufReader::with_capacity(1024, &socket);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "a client left");
    }
    ensure!(reader.buffer().is_empty(), "a client does not wait");
    socket.write_all(&[SWITCH.as_bytes(), &served_text(OPEN)].concat())?;
    let connect = next_text(&mut socket)?;
    ensure!(connect.as_deref() == Some("40"), "no CONNECT: {connect:?}");
    socket.write_all(&served_text(CONNECTED))?;
    Ok(socket)
}

/// The next order of the control socket; none at its end.
fn next_order(stream: &mut impl Read) -> anyhow::Result<Option<Order>> {
    let Some(text) = next_text(stream)? else {
        return Ok(None);
    };
    let order = text.strip_prefix(r#"42["broadcast","#);
    let order = order.and_then(|order| order.strip_suffix(']'));
    let order = order.with_context(|| format!("no order: {text:?}"))?;
    Ok(Some(serde_json::from_str(order)?))
}

/// A client's next text, which it masks with zeros; none at the stream's end.
fn next_text(stream: &mut impl Read) -> anyhow::Result<Option<String>> {
    let mut head = [0; 2];
    match stream.read_exact(&mut head) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let length = match head {
        [0x81, length] if length & 0x80 != 0 => length & 0x7f,
        _ => bail!("no text: {head:02x?}"),
    };
    let mut length = usize::from(length);
    if length == usize::from(LENGTH_16) {
        let mut longer = [0; 2];
        stream.read_exact(&mut longer)?;
        length = usize::from(u16::from_be_bytes(longer));
    }
    let mut text = vec![0; MASK_BYTES + length];
    stream.read_exact(&mut text)?;
    Ok(Some(String::from_utf8(text.split_off(MASK_BYTES))?))
}

/// The frames of all messages, put together once, to each socket.
fn carry_out(order: &Order, sockets: &mut [impl Write]) -> anyhow::Result<()> {
    let frames = frames(order);
    for socket in sockets {
        let written = socket.write(&frames).context("a socket of the floor")?;
        ensure!(written == frames.len(), "a socket of the floor is full");
    }
    Ok(())
}

fn frames(order: &Order) -> Vec<u8> {
    let filling = "x".repeat(order.bytes.saturating_sub(NUMBER_DIGITS));
    let numbers = order.first..order.first + order.count;
    let frames = numbers.flat_map(|number| {
        served_text(&format!(
            r#"42["message","{number:0NUMBER_DIGITS$}{filling}"]"#
        ))
    });
    frames.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{self, Namespace, Packet};
    use crate::websocket::{self, FrameReader};

    #[test]
    fn an_order_is_read_from_the_control_socket() {
        let text = r#"42["broadcast",{"count":2,"bytes":400,"first":7}]"#;
        let mut stream = &websocket::text(text)[..];
        let order = Order {
            count: 2,
            bytes: 400,
            first: 7,
        };
        assert_eq!(next_order(&mut stream).unwrap(), Some(order));
        assert_eq!(next_order(&mut stream).unwrap(), None);
        assert!(next_order(&mut &websocket::text("3")[..]).is_err());
    }

    #[test]
    fn its_frames_are_the_numbered_messages() {
        let order = Order {
            count: 2,
            bytes: 400,
            first: 7,
        };
        let mut reader = FrameReader::default();
        reader.space().extend_from_slice(&frames(&order));
        for number in 7..9 {
            let frame = reader.next().unwrap().unwrap();
            assert_eq!(frame.wire_bytes, 4 + r#"42["message",""]"#.len() + 400);
            let Packet::Message(event) = Packet::read(Namespace::Root, frame.payload) else {
                unreachable!("{frame:?}");
            };
            assert_eq!(packet::number(event), Some(number));
        }
        assert_eq!(reader.next().unwrap(), None);
    }
}
