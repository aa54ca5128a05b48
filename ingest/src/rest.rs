//! Discord's REST API, as far as ingest asks it: thin, bounded, never retried for ever.
//!
//! One try takes 10 s at the most; a 429 that asks for a short wait is obeyed and tried once more, a longer
//! one is an error (<https://docs.discord.com/developers/topics/rate-limits>). Never logs the token.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::meters::Statuses;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait that a 429 may ask for before it is an error.
const LIMITED_WAIT_MAX: Duration = Duration::from_secs(5);

/// Why Discord's API did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestError {
    /// The bot's token is wrong.
    #[error("Discord refuses the bot token")]
    Unauthorized,
    /// There is no such thing, as far as the bot may know; Discord's own code says what is missing.
    #[error("Discord knows no such thing (its code: {0:?})")]
    Missing(Option<u64>),
    /// It will not answer this.
    #[error("Discord refuses the request with status {0}")]
    Refused(StatusCode),
    /// It asks to wait.
    #[error("Discord limits requests for {0:?}")]
    Limited(Duration),
    /// It is away, or did not answer in time.
    #[error("Discord's API is away")]
    Away(#[source] reqwest::Error),
    /// It answers with an error of its own.
    #[error("Discord's API fails with status {0}")]
    Failing(StatusCode),
    /// The answer is not what it should be.
    #[error("Discord's answer is malformed")]
    Malformed(#[source] serde_json::Error),
    /// The answer is JSON, and not of what was asked.
    #[error("Discord's answer is of something else")]
    Unfitting,
    /// The client could not be made.
    #[error("the HTTP client can't be made")]
    Client(#[source] reqwest::Error),
    /// The token holds characters that no header may.
    #[error("the bot token is no text for a header")]
    Token,
}

/// A client of the API.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    client: Client,
    base: String,
    /// What the answers were.
    pub(crate) statuses: Statuses,
}

impl Rest {
    /// A client for the API at `base` (`https://discord.com/api/v10`), as this bot.
    pub(crate) fn new(base: &str, token: &SecretString) -> Result<Self, RestError> {
        let mut authorization = HeaderValue::from_str(&format!("Bot {}", token.expose_secret()))
            .map_err(|_| RestError::Token)?;
        authorization.set_sensitive(true);
        let client = Client::builder()
            .user_agent(concat!(
                "DiscordBot (https://github.com/discord-stream/discord-stream, ",
                env!("CARGO_PKG_VERSION"),
                ")"
            ))
            .default_headers(HeaderMap::from_iter([(AUTHORIZATION, authorization)]))
            .timeout(TIMEOUT)
            .build()
            .map_err(RestError::Client)?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            base,
            statuses: Statuses::default(),
        })
    }

    /// Gets a resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        let text = self.get_text(path).await?;
        serde_json::from_str(&text).map_err(RestError::Malformed)
    }

    /// Gets a resource's JSON.
    pub(crate) async fn get_text(&self, path: &str) -> Result<String, RestError> {
        match self.try_get(path).await {
            Err(RestError::Limited(wait)) if wait <= LIMITED_WAIT_MAX => {
                tokio::time::sleep(wait).await;
                self.try_get(path).await
            }
            other => other,
        }
    }

    async fn try_get(&self, path: &str) -> Result<String, RestError> {
        let url = format!("{}{path}", self.base);
        let response = self.client.get(url).send().await;
        let answered = response.as_ref().ok();
        self.statuses
            .on_answer(answered.map(|response| response.status().as_u16()));
        // Without the URL: an address may name a guild or a user.
        let response = response.map_err(|error| RestError::Away(error.without_url()))?;
        let status = response.status();
        match status {
            StatusCode::UNAUTHORIZED => Err(RestError::Unauthorized),
            StatusCode::NOT_FOUND => Err(RestError::Missing(code(response).await)),
            StatusCode::TOO_MANY_REQUESTS => Err(RestError::Limited(retry_after(response).await)),
            _ if status.is_server_error() => Err(RestError::Failing(status)),
            _ if !status.is_success() => Err(RestError::Refused(status)),
            _ => {
                let text = response.text().await;
                text.map_err(|error| RestError::Away(error.without_url()))
            }
        }
    }
}

/// Discord's code of an error (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>);
/// none where somebody in between answered.
async fn code(response: Response) -> Option<u64> {
    #[derive(Deserialize)]
    struct Body {
        code: u64,
    }
    response.json::<Body>().await.ok().map(|body| body.code)
}

/// How long a 429 asks to wait: its body says it exactly, its header in whole seconds.
async fn retry_after(response: Response) -> Duration {
    #[derive(Deserialize)]
    struct Limited {
        retry_after: f64,
    }
    /// Where neither says anything, as with a page of a proxy in between.
    const UNSAID: Duration = Duration::from_mins(1);
    let header = response.headers().get(RETRY_AFTER);
    let header = header.and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
    let body = response.json::<Limited>().await.ok();
    let seconds = body.map(|body| body.retry_after).or(header);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(UNSAID)
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A client whose API answers everything so.
    pub(crate) async fn answering(status: u16, body: &'static str) -> Rest {
        runtime::start::install_tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let length = body.len();
                let head = format!("HTTP/1.1 {status} So\r\ncontent-length: {length}");
                let answer = format!("{head}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Rest::new(&base, &SecretString::from("t0ken")).unwrap()
    }

    #[tokio::test]
    async fn a_404_tells_discords_code_if_it_is_discords() {
        for (body, code) in [
            (r#"{"message":"Unknown Member","code":10007}"#, Some(10_007)),
            (r#"{"message":"404: Not Found","code":0}"#, Some(0)),
            ("<html>not found</html>", None),
        ] {
            let rest = answering(404, body).await;
            let error = rest.get_text("/x").await.unwrap_err();
            let is_it = matches!(&error, RestError::Missing(said) if *said == code);
            assert!(is_it, "{body}: {error:?}");
        }
    }
}
