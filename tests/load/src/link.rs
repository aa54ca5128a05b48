//! One WebSocket connection of a client: the handshake, and texts in both directions.
//! It promises one read and no allocation a message, and that Engine.IO's and WebSocket's pings are answered with the
//! next read. What a text means beyond that is the caller's affair.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::packet::{Namespace, Packet};
use crate::websocket::{self, FrameError, FrameReader, Kind};

/// The answer to a handshake has a few hundred bytes.
const HEAD_BYTES_MAX: usize = 8192;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    /// A request of long polling failed, or was answered by an error.
    #[error("a request failed: {0}")]
    Http(#[from] reqwest::Error),
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
    /// The server did not say anything.
    #[error("it did not join in time")]
    Slow,
}

/// An open WebSocket, and the namespace that is spoken of on it.
#[derive(Debug)]
pub(crate) struct Link {
    namespace: Namespace,
    stream: TcpStream,
    reader: FrameReader,
    /// What is to be written: answers to pings, mostly nothing.
    answers: Vec<u8>,
    /// Every byte that has come since somebody wanted to have it.
    tape: Option<Vec<u8>>,
}

impl Link {
    /// Connects and shakes hands.
    pub(crate) async fn open(address: SocketAddr, namespace: Namespace) -> Result<Self, LinkError> {
        Self::open_on(TcpStream::connect(address).await?, address, namespace, "").await
    }

    /// Takes a session over that has been polling so far, with its namespace (Engine.IO 4, "Upgrade").
    pub(crate) async fn take_over(
        address: SocketAddr,
        namespace: Namespace,
        sid: &str,
    ) -> Result<Self, LinkError> {
        let stream = TcpStream::connect(address).await?;
        let query = format!("&sid={sid}");
        let mut link = Self::open_on(stream, address, namespace, &query).await?;
        link.send("2probe").await?;
        link.until(|packet| matches!(packet, Packet::Probed))
            .await?;
        link.send("5").await?;
        Ok(link)
    }

    /// The same, with a receive buffer of so many bytes (`SO_RCVBUF`, `socket(7)`).
    pub(crate) async fn open_narrow(
        address: SocketAddr,
        namespace: Namespace,
        receive_bytes: u32,
    ) -> Result<Self, LinkError> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(receive_bytes)?;
        Self::open_on(socket.connect(address).await?, address, namespace, "").await
    }

    /// The WebSocket handshake. `Sec-WebSocket-Accept` is not checked: we know who answers.
    async fn open_on(
        mut stream: TcpStream,
        address: SocketAddr,
        namespace: Namespace,
        query: &str,
    ) -> Result<Self, LinkError> {
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::with_capacity(1024);
        let end = loop {
            if stream.read_buf(&mut head).await? == 0 {
                return Err(LinkError::Cut);
            }
            let end = head
                .windows(END_OF_HEAD.len())
                .position(|w| w == END_OF_HEAD);
            if let Some(end) = end {
                break end + END_OF_HEAD.len();
            }
            if head.len() > HEAD_BYTES_MAX {
                return Err(LinkError::Handshake("too much".to_owned()));
            }
        };
        let rest = head.split_off(end);
        if !head.starts_with(b"HTTP/1.1 101 ") {
            let head = lossy(&head);
            let line = head.lines().next().unwrap_or_default();
            return Err(LinkError::Handshake(line.to_owned()));
        }
        let mut reader = FrameReader::default();
        reader.space().extend_from_slice(&rest);
        Ok(Self {
            namespace,
            stream,
            reader,
            answers: Vec::new(),
            tape: None,
        })
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: &str) -> Result<(), LinkError> {
        Ok(self.stream.write_all(&websocket::text(text)).await?)
    }

    /// Sends a close frame (1000); the server is to close the connection.
    pub(crate) async fn send_close(&mut self) -> Result<(), LinkError> {
        Ok(self.stream.write_all(&websocket::close(1000)).await?)
    }

    /// Waits for the session's beginning, and connects the namespace.
    pub(crate) async fn connect(&mut self, payload: &str) -> Result<(), LinkError> {
        self.until(|packet| matches!(packet, Packet::Open)).await?;
        let prefix = self.namespace.prefix();
        self.send(&format!("40{prefix}{payload}")).await?;
        self.until(|packet| matches!(packet, Packet::Connected))
            .await
    }

    /// Reads until the wanted packet has come; a refusal ends the waiting. What else comes is skipped: the
    /// channel is quiet while sockets join.
    pub(crate) async fn until(
        &mut self,
        wanted: impl Fn(Packet<'_>) -> bool,
    ) -> Result<(), LinkError> {
        loop {
            let mut is_here = false;
            let mut refused = None;
            self.take_packets(|packet, _| {
                is_here |= wanted(packet);
                refused = refused.take().or_else(|| refusal(packet));
            })?;
            if let Some(why) = refused {
                return Err(LinkError::Refused(why));
            }
            if is_here {
                return Ok(());
            }
            self.read().await?;
        }
    }

    /// Everything that has come whole, save pings, which are answered with the next read.
    pub(crate) fn take_packets(
        &mut self,
        mut on_packet: impl FnMut(Packet<'_>, usize),
    ) -> Result<(), LinkError> {
        while let Some(frame) = self.reader.next()? {
            match frame.kind {
                Kind::Text => match Packet::read(self.namespace, frame.payload) {
                    Packet::Ping => self.answers.extend(websocket::text("3")),
                    packet => on_packet(packet, frame.wire_bytes),
                },
                Kind::Ping => self.answers.extend(websocket::pong(frame.payload)),
                Kind::Pong => {}
                Kind::Close => return Err(LinkError::Closed(close_code(frame.payload))),
            }
        }
        Ok(())
    }

    /// Writes what is owed, and reads once.
    pub(crate) async fn read(&mut self) -> Result<(), LinkError> {
        if !self.answers.is_empty() {
            self.stream.write_all(&self.answers).await?;
            self.answers.clear();
        }
        let space = self.reader.space();
        let before = space.len();
        if self.stream.read_buf(space).await? == 0 {
            return Err(LinkError::Cut);
        }
        if let Some(tape) = &mut self.tape {
            tape.extend_from_slice(space.get(before..).unwrap_or_default());
        }
        Ok(())
    }

    /// Keeps every byte from the next frame on.
    pub(crate) fn record(&mut self) {
        self.tape = Some(self.reader.rest().to_vec());
    }

    /// What has come since [`Self::record`], as it came.
    pub(crate) fn recorded(&mut self) -> Vec<u8> {
        self.tape.take().unwrap_or_default()
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
            let refused = refusal(Packet::read(Namespace::Discord, text.as_bytes()));
            assert_eq!(refused.as_deref(), why, "{text}");
        }
    }

    #[test]
    fn a_close_frame_may_have_a_code() {
        assert_eq!(close_code(&[0x03, 0xe9, b'x']), Some(1001));
        assert_eq!(close_code(&[]), None);
    }
}
