//! One socket of a viewer: it connects, authenticates, joins the channel, and counts until it is dropped.
//! It promises one read and no allocation a message. A socket that ends says why; a dropped one says nothing.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::packet::{NAMESPACE, Packet, Stamp};
use crate::scoreboard::Scoreboard;
use crate::websocket::{self, FrameError, FrameReader, Kind};

/// How long joining may take once it is a socket's turn. The server gives a CONNECT 10 s.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// The answer to a handshake has a few hundred bytes.
const HEAD_BYTES_MAX: usize = 8192;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Why a socket ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ViewerError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// What came is not WebSocket.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The server closed the WebSocket.
    #[error("the server closed it with the code {0:?}")]
    Closed(Option<u16>),
    /// The server closed the connection without a word.
    #[error("the connection was cut")]
    Cut,
    /// The handshake was not answered by 101.
    #[error("the handshake was answered by {0:?}")]
    Handshake(String),
    /// The server said no.
    #[error("the server refused: {0}")]
    Refused(String),
    /// Too slow.
    #[error("it did not join within {} s", JOIN_PATIENCE.as_secs())]
    Slow,
}

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
    pub(crate) async fn join(seat: &Seat) -> Result<Self, ViewerError> {
        let joining = async {
            let mut link = Link::open(seat.address).await?;
            link.join(seat).await?;
            Ok(Self { link })
        };
        timeout(JOIN_PATIENCE, joining)
            .await
            .map_err(|_| ViewerError::Slow)?
    }

    /// Counts messages until the connection ends.
    pub(crate) async fn watch(mut self, socket: usize, board: &Scoreboard) -> ViewerError {
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

#[derive(Debug)]
struct Link {
    stream: TcpStream,
    reader: FrameReader,
    /// What is to be written: answers to pings, mostly nothing.
    answers: Vec<u8>,
}

impl Link {
    /// The WebSocket handshake. `Sec-WebSocket-Accept` is not checked: we know who answers.
    async fn open(address: SocketAddr) -> Result<Self, ViewerError> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::with_capacity(1024);
        let end = loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(ViewerError::Cut);
            }
            let end = head
                .windows(END_OF_HEAD.len())
                .position(|w| w == END_OF_HEAD);
            if let Some(end) = end {
                break end + END_OF_HEAD.len();
            }
            if head.len() > HEAD_BYTES_MAX {
                return Err(ViewerError::Handshake("too much".to_owned()));
            }
        };
        let rest = head.split_off(end);
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let head = lossy(&head);
            let line = head.lines().next().unwrap_or_default();
            return Err(ViewerError::Handshake(line.to_owned()));
        }
        let mut reader = FrameReader::default();
        reader.space().extend_from_slice(&rest);
        Ok(Self {
            stream,
            reader,
            answers: Vec::new(),
        })
    }

    async fn join(&mut self, seat: &Seat) -> Result<(), ViewerError> {
        self.until(|packet| matches!(packet, Packet::Open)).await?;
        let token = &seat.token;
        let connect = format!(r#"40{NAMESPACE},{{"token":"{token}"}}"#);
        self.send(&connect).await?;
        self.until(|packet| matches!(packet, Packet::Connected))
            .await?;
        let channel = &seat.channel;
        let join = format!(r#"42{NAMESPACE},0["join_channel",{{"channelId":"{channel}"}}]"#);
        self.send(&join).await?;
        self.until(|packet| matches!(packet, Packet::Acknowledged(_)))
            .await
    }

    async fn send(&mut self, text: &str) -> Result<(), ViewerError> {
        Ok(self.stream.write_all(&websocket::text(text)).await?)
    }

    /// Reads until the wanted packet has come; a refusal ends the waiting. What else comes is skipped: the
    /// channel is quiet while sockets join.
    async fn until(&mut self, wanted: impl Fn(Packet<'_>) -> bool) -> Result<(), ViewerError> {
        loop {
            let mut is_here = false;
            let mut refused = None;
            self.take_packets(|packet, _| {
                is_here |= wanted(packet);
                refused = refused.take().or_else(|| refusal(packet));
            })?;
            if let Some(why) = refused {
                return Err(ViewerError::Refused(why));
            }
            if is_here {
                return Ok(());
            }
            self.read().await?;
        }
    }

    /// Everything that has come whole, save pings, which are answered with the next read.
    fn take_packets(
        &mut self,
        mut on_packet: impl FnMut(Packet<'_>, usize),
    ) -> Result<(), ViewerError> {
        while let Some(frame) = self.reader.next()? {
            match frame.kind {
                Kind::Text => match Packet::read(frame.payload) {
                    Packet::Ping => self.answers.extend(websocket::text("3")),
                    packet => on_packet(packet, frame.wire_bytes),
                },
                Kind::Ping => self.answers.extend(websocket::pong(frame.payload)),
                Kind::Pong => {}
                Kind::Close => return Err(ViewerError::Closed(close_code(frame.payload))),
            }
        }
        Ok(())
    }

    /// Writes what is owed, and reads once.
    async fn read(&mut self) -> Result<(), ViewerError> {
        if !self.answers.is_empty() {
            self.stream.write_all(&self.answers).await?;
            self.answers.clear();
        }
        match self.stream.read_buf(self.reader.space()).await? {
            0 => Err(ViewerError::Cut),
            _ => Ok(()),
        }
    }
}

/// Why the server said no, if it did. Whatever is acknowledged without success is a no.
fn refusal(packet: Packet<'_>) -> Option<String> {
    match packet {
        Packet::Refused(why) => Some(lossy(why)),
        Packet::Acknowledged(answer) if !answer.starts_with(br#"[{"success":true"#) => {
            Some(lossy(answer))
        }
        _ => None,
    }
}

/// The first two bytes of a close frame, if there are any (RFC 6455 section 5.5.1).
fn close_code(payload: &[u8]) -> Option<u16> {
    payload.first_chunk().map(|code| u16::from_be_bytes(*code))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_packet_or_its_answer() {
        let table: [(&str, Option<&str>); 4] = [
            (
                r#"44/discord,{"message":"no"}"#,
                Some(r#"{"message":"no"}"#),
            ),
            (
                r#"43/discord,0[{"success":false}]"#,
                Some(r#"[{"success":false}]"#),
            ),
            (r#"43/discord,0[{"success":true,"channelId":"1"}]"#, None),
            (r#"40/discord,{"sid":"x"}"#, None),
        ];
        for (text, why) in table {
            let refused = refusal(Packet::read(text.as_bytes()));
            assert_eq!(refused.as_deref(), why, "{text}");
        }
    }

    #[test]
    fn a_close_frame_may_have_a_code() {
        assert_eq!(close_code(&[0x03, 0xe9, b'x']), Some(1001));
        assert_eq!(close_code(&[]), None);
    }
}
