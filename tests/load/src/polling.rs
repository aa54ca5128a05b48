//! One session of long polling (Engine.IO 4): requests of one HTTP client, the connections of which are shared.
//! It promises one GET at a time. What a packet says beyond that the namespace is connected is the caller's affair.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::link::LinkError;

/// Between the packets of one body (<https://socket.io/docs/v4/engine-io-protocol/>).
const SEPARATOR: char = '\u{1e}';

/// A session, and the namespace `/` on it.
#[derive(Debug)]
pub(crate) struct Polling {
    http: reqwest::Client,
    url: String,
    sid: String,
}

impl Polling {
    /// Opens a session and connects the namespace.
    pub(crate) async fn join(
        http: &reqwest::Client,
        address: SocketAddr,
    ) -> Result<Self, LinkError> {
        #[derive(Deserialize)]
        struct Open {
            sid: String,
        }
        let url = format!("http://{address}/socket.io/?EIO=4&transport=polling");
        let answer = text(http.get(&url)).await?;
        let open = answer.strip_prefix('0').map(serde_json::from_str::<Open>);
        let Some(Ok(Open { sid })) = open else {
            return Err(LinkError::Handshake(answer));
        };
        let polling = Self {
            http: http.clone(),
            url: format!("{url}&sid={sid}"),
            sid,
        };
        polling.send(&["40"]).await?;
        let answer = polling.poll().await?;
        if !answer.starts_with("40{") {
            return Err(LinkError::Refused(answer));
        }
        Ok(polling)
    }

    /// The session's id, with which a WebSocket takes it over.
    pub(crate) fn sid(&self) -> &str {
        &self.sid
    }

    /// Sends packets.
    pub(crate) async fn send(&self, packets: &[&str]) -> Result<(), LinkError> {
        let body = packets.join(&SEPARATOR.to_string());
        text(self.http.post(&self.url).body(body)).await.map(drop)
    }

    /// Waits for packets. Dropped, the request's connection is cut, which ends the session.
    pub(crate) async fn poll(&self) -> Result<String, LinkError> {
        text(self.http.get(&self.url)).await
    }

    /// Reads, and answers the server's heartbeat, until the session ends.
    pub(crate) async fn read_on(&self) -> LinkError {
        loop {
            let packets = match self.poll().await {
                Ok(packets) => packets,
                Err(error) => return error,
            };
            if packets.split(SEPARATOR).any(|packet| packet == "2")
                && let Err(error) = self.send(&["3"]).await
            {
                return error;
            }
        }
    }
}

async fn text(request: reqwest::RequestBuilder) -> Result<String, LinkError> {
    let answer = request.send().await?.error_for_status()?;
    Ok(answer.text().await?)
}
