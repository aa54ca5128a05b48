//! A client of long polling: bare HTTP/1.1, one connection a request, so that each can be given up.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::client::patiently;

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// A request that was sent and whose answer may be waited for, or given up by dropping it.
pub(crate) struct Request(TcpStream);

impl Request {
    pub(crate) async fn send(
        address: SocketAddr,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut lines = vec![format!("{method} {target} HTTP/1.1"), "Host: x".to_owned()];
        lines.push("Connection: close".to_owned());
        lines.extend(
            headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        if method != "GET" {
            lines.push(format!("Content-Length: {}", body.len()));
        }
        let head = lines.join("\r\n") + "\r\n\r\n";
        let bytes = [head.as_bytes(), body].concat();
        // A server may answer and close before it has read a body that is too large (RFC 9110, section 15.5.14): a client
        // that can't go on writing reads the answer, and what else may be wrong is seen there.
        drop(patiently(target, stream.write_all(&bytes)).await);
        Self(stream)
    }

    pub(crate) async fn answer(mut self) -> Answer {
        let mut bytes = Vec::new();
        patiently("an answer", self.0.read_to_end(&mut bytes))
            .await
            .unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer but {bytes:?}"));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }
}

/// A session that polls.
#[derive(Debug, Clone)]
pub(crate) struct Polling {
    pub(crate) address: SocketAddr,
    /// The path and the query without the session's id.
    pub(crate) base: String,
    pub(crate) sid: String,
    /// The JSON of the open packet.
    pub(crate) open: serde_json::Value,
}

impl Polling {
    /// Opens a session at a path such as `/engine.io/` with a query such as `EIO=4`.
    pub(crate) async fn open(address: SocketAddr, path: &str, query: &str) -> Self {
        let base = format!("{path}?{query}&transport=polling");
        let answer = Request::send(address, "GET", &base, &[], b"").await;
        let answer = answer.answer().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = answer.text();
        // In revision 3 the packet's length stands before it.
        let json = text
            .split_once("0{")
            .map(|(_, json)| format!("{{{json}"))
            .unwrap();
        let open: serde_json::Value = serde_json::from_str(&json).unwrap();
        let sid = open["sid"].as_str().unwrap().to_owned();
        Self {
            address,
            base,
            sid,
            open,
        }
    }

    pub(crate) fn target(&self) -> String {
        format!("{}&sid={}", self.base, self.sid)
    }

    /// Sends a GET whose answer is not waited for yet.
    pub(crate) async fn begin_poll(&self) -> Request {
        Request::send(self.address, "GET", &self.target(), &[], b"").await
    }

    pub(crate) async fn poll(&self) -> Answer {
        self.begin_poll().await.answer().await
    }

    /// The text of the next poll.
    pub(crate) async fn packets(&self) -> String {
        let answer = self.poll().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text().to_owned()
    }

    pub(crate) async fn post(&self, body: &str) -> Answer {
        self.post_bytes(body.as_bytes(), "text/plain;charset=UTF-8")
            .await
    }

    pub(crate) async fn post_bytes(&self, body: &[u8], kind: &str) -> Answer {
        let headers = [("Content-Type", kind)];
        let post = Request::send(self.address, "POST", &self.target(), &headers, body).await;
        post.answer().await
    }

    /// Posts what must be taken.
    pub(crate) async fn send(&self, body: &str) {
        let answer = self.post(body).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"), "{answer:?}");
    }

    /// The target of a WebSocket for this session.
    pub(crate) fn upgrade_target(&self) -> String {
        self.target()
            .replace("transport=polling", "transport=websocket")
    }
}
