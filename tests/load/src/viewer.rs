//! One socket of a viewer: it connects, authenticates, joins the channel, and counts until it is dropped.
//! It promises that a socket which ends says why; a dropped one says nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::link::{Link, LinkError};
use crate::packet::{Namespace, Packet, Stamp};
use crate::scoreboard::Scoreboard;

/// How long joining may take once it is a socket's turn. The server gives a CONNECT 10 s.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);

/// Whom a socket belongs to and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Seat {
    /// The fanout.
    pub(crate) address: SocketAddr,
    /// Who looks.
    pub(crate) token: String,
    /// What is looked at.
    pub(crate) channel: String,
}

/// A socket in its channel.
#[derive(Debug)]
pub(crate) struct Viewer {
    link: Link,
}

impl Viewer {
    /// Connects and joins.
    pub(crate) async fn join(seat: &Seat) -> Result<Self, LinkError> {
        let joining = async {
            let mut link = Link::open(seat.address, Namespace::Discord).await?;
            join(&mut link, seat).await?;
            Ok(Self { link })
        };
        timeout(JOIN_PATIENCE, joining)
            .await
            .unwrap_or(Err(LinkError::Slow))
    }

    /// Counts messages until the connection ends.
    pub(crate) async fn watch(mut self, socket: usize, board: &Scoreboard) -> LinkError {
        loop {
            let counted = self.link.take_packets(|packet, wire_bytes| {
                if let Packet::Message(event) = packet {
                    board.on_message(socket, Stamp::find(event), wire_bytes);
                }
            });
            let ended = match counted {
                Ok(()) => self.link.read().await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                return error;
            }
        }
    }
}

async fn join(link: &mut Link, seat: &Seat) -> Result<(), LinkError> {
    let Seat { token, channel, .. } = seat;
    link.connect(&format!(r#"{{"token":"{token}"}}"#)).await?;
    let prefix = Namespace::Discord.prefix();
    let join = format!(r#"42{prefix}0["join_channel",{{"channelId":"{channel}"}}]"#);
    link.send(&join).await?;
    link.until(|packet| matches!(packet, Packet::Acknowledged(_)))
        .await
}
