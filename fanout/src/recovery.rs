//! Connection state recovery of Socket.IO: what is kept of a connection, so that its client goes on where it was, on
//! any instance (decisions.md, "Recovery sessions").
//!
//! What is kept lies in the registry under a name that only the same viewer's token and the private id make, and
//! belongs to one connection at a time. It says what was joined, never what was said.

mod kept;
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use prost::Message as _;
use registry::{Away, Registry};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::access::Grant;
use crate::auth::{Principal, token_id};
use crate::offset::Bookmark;
use crate::past::{NotWhole, Runs};

pub use self::kept::Kept;
pub use self::record::{Joined, Record};

/// Digits of a private id: 128 random bits.
const PID_DIGITS: usize = 32;

/// Records on their way to the registry at a time, of an instance: a crowd's renewals leave room for its limits.
const WRITES_MAX: usize = 64;

/// Why a client does not go on where it was, and that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotRecovered {
    /// It has seen nothing that it could go on from, or says nonsense.
    #[error("no position to go on from")]
    NoOffset,
    /// Nothing is kept under this name, for this viewer.
    #[error("no such session")]
    Unknown,
    /// The stream no longer holds what was missed, or is another one.
    #[error("the stream no longer holds what was missed")]
    Gone,
    /// More than 5,000 events or 4 MiB.
    #[error("too much was missed")]
    TooMuch,
    /// Nobody can say now what the viewer may see.
    #[error("nobody can say what the viewer may see")]
    Unresolved,
    /// Another connection took it meanwhile.
    #[error("another connection took the session")]
    Taken,
    /// Redis, the broker or the database is away, or too slow.
    #[error("not available in time")]
    Away,
}

impl NotRecovered {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::NoOffset,
        Self::Unknown,
        Self::Gone,
        Self::TooMuch,
        Self::Unresolved,
        Self::Taken,
        Self::Away,
    ];

    /// The label of metrics.
    fn label(self) -> &'static str {
        match self {
            Self::NoOffset => "no_offset",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
            Self::TooMuch => "too_much",
            Self::Unresolved => "unresolved",
            Self::Taken => "taken",
            Self::Away => "away",
        }
    }
}

impl From<NotWhole> for NotRecovered {
    fn from(why: NotWhole) -> Self {
        match why {
            NotWhole::Gone => Self::Gone,
            NotWhole::TooMuch => Self::TooMuch,
            NotWhole::Away => Self::Away,
        }
    }
}

impl From<Away> for NotRecovered {
    fn from(_: Away) -> Self {
        Self::Away
    }
}

/// Under which private id something is kept, and for which connection.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The client's, and nobody else's to know.
    pub pid: String,
    /// The connection's.
    owner: String,
    /// The registry's name.
    name: String,
}

/// What a client comes back to.
#[derive(Debug)]
pub struct Taken {
    /// Whose it is now.
    pub claim: Claim,
    /// What was kept.
    pub record: Record,
    /// What the client has seen last.
    pub seen: Bookmark,
}

/// What keeps sessions. Clones share everything.
#[derive(Debug, Clone)]
pub struct Recovery {
    registry: Registry,
    window: Duration,
    runs: Runs,
    writes: Arc<Semaphore>,
    recovered: Arc<AtomicU64>,
    refused: Arc<[AtomicU64; NotRecovered::ALL.len()]>,
}

impl Recovery {
    /// What is kept for a window in a registry, and what was missed in the stream of these runs. A window of
    /// nothing switches it off.
    pub fn new(registry: Registry, window: Duration, runs: Runs) -> Self {
        Self {
            registry,
            window,
            runs,
            writes: Arc::new(Semaphore::new(WRITES_MAX)),
            recovered: Arc::default(),
            refused: Arc::default(),
        }
    }

    /// What was missed is read here.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// For so long a session can be gone on with.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// After so long a session is to be kept again.
    pub fn renewal(&self) -> Duration {
        self.window / 3
    }

    /// A new private id for a viewer; none where nothing is kept. Nothing is written before the first join: who has
    /// seen no page has no offset to come back with.
    pub fn begin(&self, principal: &Principal) -> Option<Claim> {
        (!self.window.is_zero()).then(|| Claim::new(principal, token_id()))
    }

    /// Takes what is kept for a viewer from whichever connection has it.
    ///
    /// # Errors
    /// There is nothing to go on with.
    pub async fn take(
        &self,
        principal: &Principal,
        pid: &str,
        offset: Option<&str>,
    ) -> Result<Taken, NotRecovered> {
        let is_pid = pid.len() == PID_DIGITS && pid.bytes().all(|b| b.is_ascii_hexdigit());
        let seen = offset.and_then(|offset| offset.parse::<Bookmark>().ok());
        let seen = seen.ok_or(NotRecovered::NoOffset)?;
        if self.window.is_zero() || !is_pid {
            return Err(NotRecovered::Unknown);
        }
        let claim = Claim::new(principal, pid.to_owned());
        let taking = self
            .registry
            .take_session(&claim.name, &claim.owner, self.window);
        let kept = taking.await?.ok_or(NotRecovered::Unknown)?;
        let record = Record::decode(&*kept).ok().filter(Record::is_ours);
        let record = record.ok_or(NotRecovered::Unknown)?;
        if record.generation != seen.offset.generation {
            return Err(NotRecovered::Gone);
        }
        Ok(Taken {
            claim,
            record,
            seen,
        })
    }

    /// Keeps what a connection has joined for another window. False: another connection has it now.
    ///
    /// # Errors
    /// The registry is away: the client can't come back to it.
    pub async fn keep(&self, claim: &Claim, record: &Record) -> Result<bool, Away> {
        let _turn = self.writes.acquire().await.map_err(|_| Away)?;
        let (value, window) = (record.encode_to_vec(), self.window);
        let Claim { name, owner, .. } = claim;
        self.registry
            .renew_session(name, owner, Some(&value), window)
            .await
    }

    /// Nobody is to come back to it.
    pub async fn end(&self, claim: &Claim) {
        let ended = self.registry.drop_session(&claim.name, &claim.owner);
        if ended.await.is_err() {
            tracing::debug!("a session ends with its window");
        }
    }

    /// Counts how a client that wanted to go on was answered.
    pub fn on_answered(&self, answer: Result<(), NotRecovered>) {
        let counter = match answer {
            Ok(()) => Some(&*self.recovered),
            Err(why) => self.refused.get(why as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// How often which answer was given, by its label.
    pub fn answers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let refused = NotRecovered::ALL.into_iter().zip(&*self.refused);
        let refused = refused.map(|(why, count)| (why.label(), count.load(Relaxed)));
        [("recovered", self.recovered.load(Relaxed))]
            .into_iter()
            .chain(refused)
    }
}

impl Claim {
    fn new(principal: &Principal, pid: String) -> Self {
        Self {
            name: name(principal, &pid),
            owner: token_id(),
            pid,
        }
    }

    /// It is this one, under this name.
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, &self.owner) == (&other.name, &other.owner)
    }

    /// The same for a viewer whose token was replaced; none where that changes nothing.
    pub fn renamed(&self, principal: &Principal) -> Option<Self> {
        let name = name(principal, &self.pid);
        (name != self.name).then(|| Self {
            name,
            ..self.clone()
        })
    }
}

/// Whoever has another token makes another name: a private id alone opens nothing and disturbs nobody.
fn name(principal: &Principal, pid: &str) -> String {
    let channels = match &principal.grant {
        Grant::User(_) => None,
        Grant::Embed(embed) => {
            let ids = embed.channels.iter().map(ToString::to_string);
            Some((ids.collect::<Vec<_>>(), embed.is_private))
        }
    };
    let viewer = json!([principal.issuer, principal.user.to_string(), channels]);
    format!("recovery:{pid}:{:x}", Sha256::digest(viewer.to_string()))
}
