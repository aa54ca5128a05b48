//! Clients: an independent WebSocket implementation, and bare bytes for what no library would send.

use std::{fmt::Debug, net::SocketAddr};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, protocol::frame::coding::CloseCode},
};

use crate::harness::PATIENCE;

/// Waits for a future, but not for ever.
pub(crate) async fn patiently<T>(what: impl Debug, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited too long for {what:?}"))
}

/// A WebSocket client that reads Engine.IO texts.
pub(crate) struct Client {
    pub(crate) stream: WebSocketStream<TcpStream>,
}

pub(crate) const QUERY: &str = "/socket.io/?EIO=4&transport=websocket";

impl Client {
    /// Opens a transport and reads its open packet.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Self {
        let mut client = Self::try_open(address, QUERY, headers).await.unwrap();
        let open = client.text().await;
        assert!(open.starts_with(r#"0{"sid":""#), "{open}");
        client
    }

    pub(crate) async fn try_open(
        address: SocketAddr,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        use tungstenite::client::IntoClientRequest;
        let mut request = format!("ws://{address}{target}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let tcp = TcpStream::connect(address).await.unwrap();
        let (stream, _) = patiently("the handshake", client_async(request, tcp)).await?;
        Ok(Self { stream })
    }

    /// Connects a namespace and reads the answer and the welcome.
    pub(crate) async fn connect(&mut self, namespace: &str) {
        let prefix = if namespace == "/" {
            String::new()
        } else {
            format!("{namespace},")
        };
        self.send(&format!("40{prefix}")).await;
        let answer = self.text().await;
        assert!(
            answer.starts_with(&format!(r#"40{prefix}{{"sid":""#)),
            "{answer}"
        );
        let welcome = self.text().await;
        assert!(
            welcome.starts_with(&format!(r#"42{prefix}["welcome""#)),
            "{welcome}"
        );
    }

    /// Reads the answer and the welcome of a client that is put into `/` without asking.
    pub(crate) async fn connect_eio3(&mut self) {
        assert_eq!(self.text().await, "40");
        let welcome = self.text().await;
        assert!(welcome.starts_with(r#"42["welcome""#), "{welcome}");
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.try_send(text).await.unwrap();
    }

    /// Sends what the server may not take any more.
    pub(crate) async fn try_send(&mut self, text: &str) -> Result<(), tungstenite::Error> {
        patiently(text, self.stream.send(Message::text(text))).await
    }

    pub(crate) async fn send_message(&mut self, message: Message) {
        patiently("sending", self.stream.send(message))
            .await
            .unwrap();
    }

    pub(crate) async fn next(&mut self) -> Message {
        patiently("a message", self.stream.next())
            .await
            .expect("the stream ended")
            .unwrap()
    }

    /// The next message, pings of Engine.IO left out.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            match self.next().await {
                Message::Text(text) if text.as_str() == "2" => {}
                message => return message,
            }
        }
    }

    /// The next text, pings of Engine.IO left out.
    pub(crate) async fn text(&mut self) -> String {
        loop {
            match self.next().await {
                Message::Text(text) if text.as_str() == "2" => {}
                Message::Text(text) => return text.to_string(),
                other => panic!("no text but {other:?}"),
            }
        }
    }

    /// Reads to the close frame, then to the end; gives the code. Texts on the way are passed over.
    pub(crate) async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Message::Close(Some(frame)) => {
                    let end = patiently("the end", self.stream.next()).await;
                    assert!(!matches!(end, Some(Ok(_))), "after the close: {end:?}");
                    // As every client does at the server's end.
                    drop(self.stream.get_mut().shutdown().await);
                    return frame.code.into();
                }
                Message::Close(None) => return CloseCode::Status.into(),
                _ => {}
            }
        }
    }

    /// The bare TCP stream, for bytes that no library would send.
    pub(crate) fn into_raw(self) -> Raw {
        Raw(self.stream.into_inner())
    }
}

/// A client of bare bytes.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        patiently("sending", self.0.write_all(bytes)).await.unwrap();
    }

    /// A client that goes on reading where this one has.
    pub(crate) async fn into_client(self) -> Client {
        let role = tungstenite::protocol::Role::Client;
        Client {
            stream: WebSocketStream::from_raw_socket(self.0, role, None).await,
        }
    }

    /// Everything to the end of the stream.
    pub(crate) async fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        patiently("the end", self.0.read_to_end(&mut bytes))
            .await
            .unwrap();
        bytes
    }

    /// Reads to the end and gives the code of the close frame, the last that came.
    pub(crate) async fn close_code(&mut self) -> u16 {
        let bytes = self.read_to_end().await;
        drop(self.0.shutdown().await);
        let (rest, code) = bytes.split_last_chunk().expect("a close frame");
        assert!(rest.ends_with(&[0x88, 2]), "{bytes:?}");
        u16::from_be_bytes(*code)
    }
}

/// A client's frame with the mask of zeros, which leaves the payload as it is.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}
