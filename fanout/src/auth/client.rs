//! Requests to other servers: an issuer's keys, and Discord's side of a login.
//!
//! Every request is bounded in time and in what it reads; redirects are not followed, because a secret goes with
//! some. An error names no URL: it may hold a code.

use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;

/// A server that is slower is away: a person waits for the answer.
const TIMEOUT: Duration = Duration::from_secs(8);

/// Connecting takes one round trip or three.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// What answers is a key set, a token, or the list of at most 200 guilds, a few hundred bytes each.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Asks other servers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server is away or slower than 8 s.
    #[error("the server is away")]
    Away(#[source] reqwest::Error),
    /// It refused.
    #[error("the server answered {0}")]
    Status(u16),
    /// It answered something else.
    #[error("the server's answer is malformed")]
    Malformed,
}

impl Client {
    /// A client without connections.
    ///
    /// # Errors
    /// This machine's TLS can't be set up.
    pub fn new() -> Result<Self, ClientError> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("discord-stream/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(ClientError::Away)
    }

    /// Gets JSON, as the bearer of a token if there is one.
    ///
    /// # Errors
    /// The server is away, refuses, or answers something else.
    pub async fn get<T: DeserializeOwned>(
        &self,
        url: &str,
        bearer: Option<&str>,
    ) -> Result<T, ClientError> {
        let mut request = self.0.get(url);
        if let Some(token) = bearer {
            request = request.bearer_auth(token);
        }
        let (status, body) = read(request.send().await).await?;
        if !(200..300).contains(&status) {
            return Err(ClientError::Status(status));
        }
        serde_json::from_slice(&body).map_err(|_| ClientError::Malformed)
    }

    /// Sends a request that the OAuth2 library has made.
    ///
    /// # Errors
    /// The server is away, or answers too much.
    pub async fn call(
        &self,
        request: oauth2::HttpRequest,
    ) -> Result<oauth2::HttpResponse, ClientError> {
        let (parts, body) = request.into_parts();
        let url = parts.uri.to_string();
        let request = self.0.request(parts.method, url).headers(parts.headers);
        let (status, body) = read(request.body(body).send().await).await?;
        let mut response = oauth2::HttpResponse::new(body.to_vec());
        *response.status_mut() = status.try_into().map_err(|_| ClientError::Malformed)?;
        Ok(response)
    }
}

async fn read(
    answer: Result<reqwest::Response, reqwest::Error>,
) -> Result<(u16, Bytes), ClientError> {
    let away = |error: reqwest::Error| ClientError::Away(error.without_url());
    let mut response = answer.map_err(away)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::Malformed);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((response.status().as_u16(), body.into()))
}
