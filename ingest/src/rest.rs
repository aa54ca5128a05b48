//! Discord's REST API, as far as ingest asks it: one client, within all limits, never retried for ever.
//!
//! A call waits for its turn (`rest/limits.rs`), is tried again after a failure that passes, and ends by its
//! deadline whatever happens. A 429 is never answered by asking at once, whoever wrote it
//! (<https://docs.discord.com/developers/topics/rate-limits>). Never logs the token.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::backoff::Backoff;
use crate::meters::Statuses;
use limits::{Bucket, Limits, Turn};
use route::Route;

mod answer;
mod limits;
mod route;

/// How long one call may take, its waits and all its tries included.
const CALL: Duration = Duration::from_secs(15);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(10);
/// Tries of one call.
const TRIES_MAX: u32 = 4;
/// The first wait after a failure that passes, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));
/// Calls that wait or are under way; one more fails at once.
const CALLS_MAX: usize = 1_024;

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
    /// It asks to wait for longer than the call may take.
    #[error("Discord limits requests for {0:?}")]
    Limited(Duration),
    /// It refused so many calls that we ask nothing for so long, before it shuts our address out.
    #[error("Discord refused too many requests; none is made for {0:?}")]
    Spent(Duration),
    /// Too many calls wait already.
    #[error("too many requests to Discord wait")]
    Busy,
    /// The call's time is up.
    #[error("Discord's API did not answer in time")]
    Late,
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

/// A client of the API. Clones share its limits.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    client: Client,
    base: String,
    limits: Arc<Mutex<Limits>>,
    calls: Arc<Semaphore>,
    counts: Counts,
    /// What the answers were.
    pub(crate) statuses: Statuses,
}

/// What became of the calls. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts(Arc<Numbers>);

#[derive(Debug, Default)]
struct Numbers {
    asked: AtomicU64,
    retried: AtomicU64,
    limited: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// Each by its name.
    pub(crate) fn each(&self) -> [(&'static str, u64); 5] {
        let Numbers {
            asked,
            retried,
            limited,
            refused,
            failed,
        } = &*self.0;
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        [
            ("asked", count(asked)),
            ("retried", count(retried)),
            ("limited", count(limited)),
            ("refused", count(refused)),
            ("failed", count(failed)),
        ]
    }

    /// The counters as `/api/status` shows them.
    pub(crate) fn json(&self) -> Value {
        let each = self.each().into_iter();
        each.map(|(name, count)| (name.to_owned(), Value::from(count)))
            .collect()
    }
}

/// What is asked for: a path, and with a body it is posted.
#[derive(Debug, Clone, Copy)]
struct Call<'a> {
    path: &'a str,
    body: Option<&'a Value>,
}

/// A call's turn: its bucket, and its place in it until this is dropped.
struct Pass {
    bucket: Arc<Bucket>,
    _place: OwnedSemaphorePermit,
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
            .timeout(TRY)
            .build()
            .map_err(RestError::Client)?;
        Ok(Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            limits: Arc::default(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            counts: Counts::default(),
            statuses: Statuses::default(),
        })
    }

    /// The counters.
    pub(crate) fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Gets a resource.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        let text = self.get_text(path, CALL).await?;
        serde_json::from_str(&text).map_err(RestError::Malformed)
    }

    /// Gets a resource's JSON, within this time.
    pub(crate) async fn get_text(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<String, RestError> {
        self.call(Call { path, body: None }, patience).await
    }

    /// Posts a question that changes nothing, so that it may be asked again, and gets its answer's JSON, within
    /// this time.
    pub(crate) async fn post_text(
        &self,
        path: &str,
        body: &Value,
        patience: Duration,
    ) -> Result<String, RestError> {
        let body = Some(body);
        self.call(Call { path, body }, patience).await
    }

    async fn call(&self, call: Call<'_>, patience: Duration) -> Result<String, RestError> {
        let got = self.call_by(call, Instant::now() + patience).await;
        if got.is_err() {
            self.counts.0.failed.fetch_add(1, Ordering::Relaxed);
        }
        got
    }

    async fn call_by(&self, call: Call<'_>, deadline: Instant) -> Result<String, RestError> {
        let _call = self.calls.try_acquire().map_err(|_| RestError::Busy)?;
        let route = Route::of(call.path);
        let mut retry = Backoff::new(RETRY.0, RETRY.1);
        let mut tries = 1;
        loop {
            let error = match self.try_call(call, &route, deadline).await {
                Ok(text) => return Ok(text),
                Err(error) => error,
            };
            let wait = match error {
                // The next turn waits for as long as it asks.
                RestError::Limited(_) => Duration::ZERO,
                RestError::Away(_) | RestError::Failing(_) => retry.next(),
                _ => return Err(error),
            };
            if tries == TRIES_MAX || Instant::now() + wait >= deadline {
                return Err(error);
            }
            tries += 1;
            self.counts.0.retried.fetch_add(1, Ordering::Relaxed);
            sleep(wait).await;
        }
    }

    async fn try_call(
        &self,
        call: Call<'_>,
        route: &Route,
        deadline: Instant,
    ) -> Result<String, RestError> {
        let pass = self.turn(route, deadline).await?;
        self.counts.0.asked.fetch_add(1, Ordering::Relaxed);
        let url = format!("{}{}", self.base, call.path);
        let request = match call.body {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        };
        let answered = async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, response.text().await?))
        };
        let answered = timeout_at(deadline, answered).await;
        let status = |(status, ..): &(StatusCode, HeaderMap, String)| status.as_u16();
        let said = answered.as_ref().ok().and_then(|said| said.as_ref().ok());
        self.statuses.on_answer(said.map(status));
        let answered = answered.map_err(|_| RestError::Late)?;
        // Without the URL: an address may name a guild or a user.
        let away = |error: reqwest::Error| RestError::Away(error.without_url());
        let (status, headers, text) = answered.map_err(away)?;
        let now = Instant::now();
        let said = answer::said(&headers);
        self.limits
            .lock()
            .on_answer(route, &pass.bucket, said.as_ref(), now);
        match status {
            StatusCode::UNAUTHORIZED => {
                tracing::error!("Discord refuses the bot token: it was reset, or is wrong");
                self.limits.lock().on_unauthorized(now);
                Err(RestError::Unauthorized)
            }
            StatusCode::NOT_FOUND => Err(RestError::Missing(code(&text))),
            StatusCode::TOO_MANY_REQUESTS => {
                let too_many = answer::too_many(&headers, &text);
                tracing::warn!(?too_many, "Discord limits requests");
                self.counts.0.limited.fetch_add(1, Ordering::Relaxed);
                let mut limits = self.limits.lock();
                limits.on_too_many(&pass.bucket, too_many, now);
                Err(RestError::Limited(too_many.wait))
            }
            _ if status.is_server_error() => Err(RestError::Failing(status)),
            _ if status.is_success() => Ok(text),
            _ => {
                self.on_refused(status, now);
                Err(RestError::Refused(status))
            }
        }
    }

    fn on_refused(&self, status: StatusCode, now: Instant) {
        self.counts.0.refused.fetch_add(1, Ordering::Relaxed);
        if status == StatusCode::FORBIDDEN && self.limits.lock().on_refused(now) {
            tracing::error!("Discord refused too many requests; none is made for ten minutes");
        }
    }

    /// Waits for the turn of a call.
    async fn turn(&self, route: &Route, deadline: Instant) -> Result<Pass, RestError> {
        loop {
            let bucket = self.limits.lock().bucket(route, Instant::now());
            let place = Arc::clone(&bucket.places).acquire_owned();
            let place = timeout_at(deadline, place).await;
            let Ok(Ok(place)) = place else {
                return Err(RestError::Late);
            };
            loop {
                let now = Instant::now();
                let turn = self.limits.lock().try_take(route, &bucket, now);
                match turn {
                    Turn::Go => {
                        return Ok(Pass {
                            bucket,
                            _place: place,
                        });
                    }
                    Turn::At(at) if at < deadline => sleep_until(at).await,
                    Turn::At(at) => return Err(RestError::Limited(at - now)),
                    Turn::Spent(until) => return Err(RestError::Spent(until - now)),
                    Turn::Unauthorized => return Err(RestError::Unauthorized),
                    Turn::Renamed => break,
                }
            }
        }
    }
}

/// Discord's code of an error (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>);
/// none where somebody in between answered.
fn code(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Body {
        code: u64,
    }
    serde_json::from_str::<Body>(text)
        .ok()
        .map(|body| body.code)
}

#[cfg(test)]
pub(crate) mod tests;
