//! One socket of one member: it joins when it is told to, writes down when it is told of a change, and keeps its bytes.
//! It promises that a moment is taken right after the read that brought it.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::ledger::{Ledger, Sign};
use super::tape::{name, search};
use crate::link::{Link, LinkError};
use crate::packet::{Namespace, Packet};
use crate::viewer::Seat;

/// How long connecting may take once it is a socket's turn. The server gives a CONNECT 10 s.
const CONNECT_PATIENCE: Duration = Duration::from_secs(30);

/// What sockets are told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing yet.
    Wait,
    /// To join the channel.
    Join(Range<usize>),
    /// To keep what comes from now on.
    Record(Range<usize>),
    /// To look through what they have kept.
    Search(Range<usize>),
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Witness {
    socket: usize,
    link: Link,
    seat: Seat,
    ledger: Arc<Ledger>,
    /// How the channel stands in a list.
    listed: String,
    has_ended: bool,
}

/// Connects, and does what it is told until the server ends it.
pub(crate) async fn run(
    socket: usize,
    seat: Seat,
    ledger: Arc<Ledger>,
    doors: Arc<Semaphore>,
    mut orders: watch::Receiver<Order>,
) {
    let connected = {
        let _door = doors.acquire().await;
        timeout(CONNECT_PATIENCE, connect(&seat)).await
    };
    let ended = match connected.unwrap_or(Err(LinkError::Slow)) {
        Ok(link) => {
            ledger.on_ready(socket);
            let mut witness = Witness {
                socket,
                link,
                listed: format!(r#""id":"{}""#, seat.channel),
                seat,
                ledger: Arc::clone(&ledger),
                has_ended: false,
            };
            match witness.watch(&mut orders).await {
                Err(_) if witness.has_ended => return witness.search(&mut orders).await,
                ended => ended,
            }
        }
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        ledger.on_failed(socket, &error.to_string());
    }
}

async fn connect(seat: &Seat) -> Result<Link, LinkError> {
    let mut link = Link::open(seat.address, Namespace::Discord).await?;
    link.connect(&format!(r#"{{"token":"{}"}}"#, seat.token))
        .await?;
    Ok(link)
}

impl Witness {
    async fn watch(&mut self, orders: &mut watch::Receiver<Order>) -> Result<(), LinkError> {
        loop {
            self.take()?;
            tokio::select! {
                read = self.link.read() => read?,
                told = orders.changed() => {
                    if told.is_err() {
                        return Ok(());
                    }
                    self.take()?;
                    let order = orders.borrow_and_update().clone();
                    self.follow(order).await?;
                }
            }
        }
    }

    /// The server has closed the connection as it had said: what it sent before is looked through all the same.
    async fn search(&mut self, orders: &mut watch::Receiver<Order>) {
        while orders.changed().await.is_ok() {
            let order = orders.borrow_and_update().clone();
            if matches!(order, Order::Search(_)) && self.follow(order).await.is_ok() {
                return;
            }
        }
    }

    async fn follow(&mut self, order: Order) -> Result<(), LinkError> {
        let is_mine = |sockets: &Range<usize>| sockets.contains(&self.socket);
        match order {
            Order::Join(sockets) if is_mine(&sockets) => {
                let (prefix, channel) = (Namespace::Discord.prefix(), &self.seat.channel);
                let join = format!(r#"42{prefix}0["join_channel",{{"channelId":"{channel}"}}]"#);
                // Told to the ledger by the answer.
                return self.link.send(&join).await;
            }
            Order::Record(sockets) if is_mine(&sockets) => self.link.record(),
            Order::Search(sockets) if is_mine(&sockets) => {
                let tape = self.link.recorded();
                let findings = search(&tape, self.ledger.last(self.socket));
                self.ledger.on_searched(self.socket, &findings);
            }
            _ => return Ok(()),
        }
        self.ledger.on_ready(self.socket);
        Ok(())
    }

    fn take(&mut self) -> Result<(), LinkError> {
        let now = Instant::now();
        let Self {
            socket,
            link,
            ledger,
            listed,
            has_ended,
            ..
        } = self;
        link.take_packets(|packet, _| match packet {
            Packet::Acknowledged(answer) if answer.starts_with(br#"[{"success":true"#) => {
                ledger.on_ready(*socket);
            }
            Packet::Acknowledged(answer) => {
                ledger.on_failed(*socket, &String::from_utf8_lossy(answer));
            }
            Packet::Disconnected => {
                *has_ended = true;
                ledger.on_sign(*socket, Sign::Ended, now);
            }
            Packet::OtherEvent(event) => {
                if let Some(sign) = sign(event, listed) {
                    ledger.on_sign(*socket, sign, now);
                }
            }
            _ => {}
        })
    }
}

/// What an event says of the channel.
fn sign(event: &[u8], listed: &str) -> Option<Sign> {
    match name(event)? {
        "channel_left" => Some(Sign::Left),
        "channels_list" => {
            let mut places = event.windows(listed.len());
            let is_shown = places.any(|place| place == listed.as_bytes());
            Some(if is_shown { Sign::Shown } else { Sign::Hidden })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_the_channel_or_hides_it() {
        let listed = r#""id":"7""#;
        let table: [(&str, Option<Sign>); 5] = [
            (
                r#"["channels_list",[{"id":"7","name":"x"}]]"#,
                Some(Sign::Shown),
            ),
            (r#"["channels_list",[{"id":"77"}]]"#, Some(Sign::Hidden)),
            (r#"["channels_list",[]]"#, Some(Sign::Hidden)),
            (r#"["channel_left",{"channelId":"7"}]"#, Some(Sign::Left)),
            (r#"["channels",[]]"#, None),
        ];
        for (event, expected) in table {
            assert_eq!(sign(event.as_bytes(), listed), expected, "{event}");
        }
    }
}
