//! The two homes of the stream, as the contract's cases see them: a broker, and what may happen to it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use broker::{
    Broker, Clock, Embedded, EmbeddedSettings, Nats, NatsSettings, Publication, StreamSettings,
};
use bytes::Bytes;
use parking_lot::Mutex;
use proto::subject::STREAM;
use proto::{ChannelId, GuildId, Subject};
use tempfile::TempDir;

use super::broken::{Broken, Fault};
use super::nats_server::NatsServer;

/// How long a condition may take to come true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a case waits on a broken double for what never comes: more than the lease's term.
const BROKEN_PATIENCE: Duration = Duration::from_secs(6);

thread_local! {
    /// A test's runtime is its thread's own.
    static CURRENT: Cell<Duration> = const { Cell::new(PATIENCE) };
}

fn patience() -> Duration {
    CURRENT.with(Cell::get)
}

/// Waits until something is there.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(patience(), waiting).await;
    found.unwrap_or_else(|_| panic!("not within {:?}: {what}", patience()))
}

/// Waits for something that must come.
pub(crate) async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(patience(), waiting).await;
    done.unwrap_or_else(|_| panic!("not within {:?}: {what}", patience()))
}

/// The settings of most cases.
pub(crate) fn settings() -> StreamSettings {
    StreamSettings {
        age_max: Duration::from_hours(24),
        bytes_max: 256 * 1024 * 1024,
        duplicate_window: Duration::from_mins(15),
        replicas: 1,
    }
}

/// The subject of a channel.
pub(crate) fn channel(id: u64) -> Subject {
    Subject::Channel(ChannelId::new(id).unwrap())
}

/// The subject of a guild.
pub(crate) fn guild(id: u64) -> Subject {
    Subject::Guild(GuildId::new(id).unwrap())
}

/// A publication whose payload is its identity.
pub(crate) fn publication(subject: Subject, identity: &str) -> Publication {
    Publication {
        subject,
        identity: identity.to_owned(),
        trace: None,
        payload: Bytes::copy_from_slice(identity.as_bytes()),
    }
}

/// One home, with its stream provisioned.
pub(crate) struct Home {
    place: Place,
    broker: Mutex<Arc<dyn Broker>>,
    feed_bytes_max: usize,
    fault: Option<Fault>,
}

enum Place {
    Embedded {
        _folder: TempDir,
        file: PathBuf,
        now_ms: Arc<AtomicU64>,
        open: Mutex<Arc<Embedded>>,
    },
    Nats(Mutex<NatsServer>),
}

impl Home {
    /// The embedded home, on a clock that stands unless [`Home::pass`] moves it.
    pub(crate) async fn embedded(feed_bytes_max: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stream.db");
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now_ms = Arc::new(AtomicU64::new(u64::try_from(since.as_millis()).unwrap()));
        let open = open(&file, &now_ms, feed_bytes_max).await;
        let home = Self {
            broker: Mutex::new(Arc::clone(&open) as Arc<dyn Broker>),
            place: Place::Embedded {
                _folder: folder,
                file,
                now_ms,
                open: Mutex::new(open),
            },
            feed_bytes_max,
            fault: None,
        };
        home.broker().provision(&settings()).await.unwrap();
        home
    }

    /// NATS, on a server of its own.
    pub(crate) async fn nats(feed_bytes_max: usize) -> Self {
        let server = NatsServer::start();
        let broker = connect(&server, feed_bytes_max).await;
        let home = Self {
            place: Place::Nats(Mutex::new(server)),
            broker: Mutex::new(broker),
            feed_bytes_max,
            fault: None,
        };
        home.broker().provision(&settings()).await.unwrap();
        home
    }

    /// The same home, with a broker that breaks one promise.
    pub(crate) async fn broken_by(mut self, fault: Fault) -> Self {
        CURRENT.with(|patience| patience.set(BROKEN_PATIENCE));
        self.fault = Some(fault);
        self.broker().provision(&settings()).await.unwrap();
        self
    }

    /// The broker.
    pub(crate) fn broker(&self) -> Arc<dyn Broker> {
        self.doubled(Arc::clone(&self.broker.lock()))
    }

    fn doubled(&self, inner: Arc<dyn Broker>) -> Arc<dyn Broker> {
        match self.fault {
            Some(fault) => Broken::over(inner, fault),
            None => inner,
        }
    }

    /// Another broker on the same stream, as a second instance has it.
    pub(crate) async fn second(&self) -> Arc<dyn Broker> {
        let second: Arc<dyn Broker> = match &self.place {
            Place::Embedded { file, now_ms, .. } => open(file, now_ms, self.feed_bytes_max).await,
            Place::Nats(server) => {
                let url = server.lock().url();
                connect_to(url, self.feed_bytes_max).await
            }
        };
        self.doubled(second)
    }

    /// Ends the home and starts it again: the process with its file, or the server with SIGKILL.
    pub(crate) async fn restart(&self) {
        match &self.place {
            Place::Embedded {
                file,
                now_ms,
                open: current,
                ..
            } => {
                let old = Arc::clone(&current.lock());
                old.close().await;
                let new = open(file, now_ms, self.feed_bytes_max).await;
                new.provision(&settings()).await.unwrap();
                *current.lock() = Arc::clone(&new);
                *self.broker.lock() = new;
            }
            Place::Nats(server) => {
                let mut connected = self.broker().is_connected();
                server.lock().kill();
                soon(
                    "the loss is noticed",
                    connected.wait_for(|connected| !connected),
                )
                .await
                .unwrap();
                server.lock().restart();
                soon(
                    "the client is back",
                    connected.wait_for(|connected| *connected),
                )
                .await
                .unwrap();
                eventually("the stream is served again", async || {
                    self.broker().state().await.ok()
                })
                .await;
            }
        }
    }

    /// Lets time pass: by the clock that the embedded home lives by, or by real time.
    pub(crate) async fn pass(&self, time: Duration) {
        match &self.place {
            Place::Embedded { now_ms, .. } => {
                let ms = u64::try_from(time.as_millis()).unwrap();
                now_ms.fetch_add(ms, Ordering::Relaxed);
            }
            Place::Nats(_) => tokio::time::sleep(time).await,
        }
    }

    /// Removes one event, as erasure does.
    pub(crate) async fn delete(&self, sequence: u64) {
        match &self.place {
            Place::Embedded { file, .. } => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
                let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
                let deleted = sqlx::query("DELETE FROM events WHERE sequence = ?")
                    .bind(sequence.cast_signed())
                    .execute(&pool)
                    .await
                    .unwrap();
                assert_eq!(deleted.rows_affected(), 1);
                pool.close().await;
            }
            Place::Nats(_) => {
                let stream = self.jetstream().await.get_stream(STREAM).await.unwrap();
                assert!(stream.delete_message(sequence).await.unwrap());
            }
        }
    }

    /// Makes another stream in the old one's place.
    pub(crate) async fn remake(&self) {
        match &self.place {
            Place::Embedded {
                file,
                open: current,
                ..
            } => {
                let old = Arc::clone(&current.lock());
                old.close().await;
                std::fs::remove_file(file).unwrap();
                self.restart().await;
            }
            Place::Nats(_) => {
                self.jetstream().await.delete_stream(STREAM).await.unwrap();
                self.broker().provision(&settings()).await.unwrap();
            }
        }
    }

    /// NATS as an operator sees it.
    pub(crate) async fn jetstream(&self) -> async_nats::jetstream::Context {
        let Place::Nats(server) = &self.place else {
            panic!("only NATS has a JetStream");
        };
        let url = server.lock().url();
        async_nats::jetstream::new(async_nats::connect(url).await.unwrap())
    }

    /// The server, to be killed.
    pub(crate) fn server(&self) -> &Mutex<NatsServer> {
        match &self.place {
            Place::Nats(server) => server,
            Place::Embedded { .. } => panic!("the embedded home has no server"),
        }
    }
}

async fn open(file: &Path, now_ms: &Arc<AtomicU64>, feed_bytes_max: usize) -> Arc<Embedded> {
    let now_ms = Arc::clone(now_ms);
    let settings = EmbeddedSettings {
        clock: Clock::new(move || now_ms.load(Ordering::Relaxed)),
        feed_bytes_max,
    };
    Embedded::open(file, settings).await.unwrap()
}

async fn connect(server: &NatsServer, feed_bytes_max: usize) -> Arc<Nats> {
    connect_to(server.url(), feed_bytes_max).await
}

async fn connect_to(url: String, feed_bytes_max: usize) -> Arc<Nats> {
    let settings = NatsSettings {
        feed_bytes_max,
        ..NatsSettings::new(url, "contract")
    };
    let nats = Nats::connect(settings).await.unwrap();
    let mut connected = nats.is_connected();
    soon(
        "NATS is connected",
        connected.wait_for(|connected| *connected),
    )
    .await
    .unwrap();
    nats
}
