//! The archive between an embedded stream and SQLite.

use std::path::Path;

use broker::{Embedded, EmbeddedSettings, Publication};
use bytes::Bytes;
use proto::event::{Event, Message, MessageDeleted, User};
use proto::identity::{Dispatch, Identity};
use proto::{Envelope, Subject};
use tokio::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    broker: Arc<Embedded>,
    store: Store,
    status: Status,
    places: Places,
    folder: tempfile::TempDir,
}

async fn embedded(folder: &Path, name: &str) -> Arc<Embedded> {
    let path = folder.join(name);
    Embedded::open(&path, EmbeddedSettings::default())
        .await
        .unwrap()
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("store.sqlite").display());
    Bench {
        broker: embedded(folder.path(), "log.sqlite").await,
        store: Store::open(&url).await.unwrap(),
        status: Status::default(),
        places: Places::default(),
        folder,
    }
}

fn channel() -> ChannelId {
    ChannelId::new(8).unwrap()
}

fn envelope(n: u32, event: Event) -> Envelope {
    let dispatch = Dispatch {
        epoch: 1,
        shard: 0,
        sequence: 1,
    };
    Envelope {
        identity: Identity::Dispatch(dispatch, n),
        trace: None,
        guild: GuildId::new(7).unwrap(),
        channel: Some(channel()),
        received_ms: 0,
        event,
    }
}

fn message(id: u64) -> Event {
    let author = User {
        id: 3,
        username: "ada".into(),
        ..User::default()
    };
    Event::MessageCreated(Message {
        id,
        channel_id: 8,
        guild_id: 7,
        author: Some(author),
        content: format!("n={id}"),
        timestamp_ms: 1,
        ..Message::default()
    })
}

impl Bench {
    async fn publish(&self, n: u32, payload: Bytes) {
        let subject = Subject::Channel(channel());
        let expected = self.broker.last_of(subject).await.unwrap();
        let publication = Publication {
            subject,
            identity: n.to_string(),
            trace: None,
            payload,
        };
        let expected = expected.map_or(0, |stored| stored.sequence);
        self.broker.publish(&publication, expected).await.unwrap();
    }

    async fn publish_event(&self, n: u32, event: Event) {
        self.publish(n, envelope(n, event).encode().payload).await;
    }

    /// Archives until this sequence is in SQL, then ends in order.
    async fn archive_to(&self, sequence: u64) {
        let (_deadline, tenure) = Tenure::until(Instant::now() + PATIENCE * 2);
        let (acknowledged, seen) = watch::channel(0);
        let (archived, mut position) = watch::channel(0);
        let archive = Archive {
            broker: Arc::clone(&self.broker) as Arc<dyn Broker>,
            store: self.store.clone(),
            tenure,
            health: Health::new(),
            status: self.status.clone(),
            places: self.places.clone(),
            acknowledged: seen,
            archived,
        };
        let stop = CancellationToken::new();
        let running = tokio::spawn(archive.run(stop.clone()));
        let reached = position.wait_for(|position| *position >= sequence);
        timeout(PATIENCE, reached).await.expect("in time").unwrap();
        stop.cancel();
        running.await.unwrap();
        drop(acknowledged);
    }

    async fn ids(&self) -> Vec<u64> {
        let page = self.store.page(channel(), None, 100).await.unwrap();
        page.messages
            .into_iter()
            .map(|message| message.id)
            .collect()
    }
}

#[tokio::test]
async fn the_stream_becomes_rows_once_also_over_a_restart() {
    let bench = bench().await;
    for id in 1..=5 {
        bench.publish_event(id, message(id.into())).await;
    }
    bench.archive_to(5).await;
    assert_eq!(bench.ids().await, [1, 2, 3, 4, 5]);
    let deleted = Event::MessageDeleted(MessageDeleted { message_id: 2 });
    bench.publish_event(6, deleted).await;
    bench.publish_event(7, message(6)).await;
    bench.archive_to(7).await;
    assert_eq!(bench.ids().await, [1, 3, 4, 5, 6]);
    let position = bench.store.position().await.unwrap();
    assert_eq!(
        position.generation,
        bench.broker.state().await.unwrap().generation
    );
    assert!(bench.places.is_loaded());
}

#[tokio::test]
async fn a_payload_that_is_no_event_of_ours_is_counted_and_passed() {
    let bench = bench().await;
    bench.publish_event(1, message(1)).await;
    bench.publish(2, Bytes::from_static(b"\xff\xff\xff")).await;
    bench.publish_event(3, message(3)).await;
    bench.archive_to(3).await;
    assert_eq!(bench.ids().await, [1, 3]);
    assert_eq!(bench.status.json()["archive"]["undecodable"], 1);
}

#[tokio::test]
async fn another_stream_is_archived_from_its_beginning() {
    let mut bench = bench().await;
    for id in 1..=3 {
        bench.publish_event(id, message(id.into())).await;
    }
    bench.archive_to(3).await;
    let first = bench.store.position().await.unwrap();
    bench.broker = embedded(bench.folder.path(), "another.sqlite").await;
    bench.publish_event(9, message(9)).await;
    bench.archive_to(1).await;
    let position = bench.store.position().await.unwrap();
    assert_ne!(position.generation, first.generation);
    assert_eq!(position.sequence, 1);
    assert_eq!(bench.ids().await, [1, 2, 3, 9]);
}

#[tokio::test]
async fn a_place_is_known_from_sql_at_the_start() {
    let bench = bench().await;
    let guild = proto::event::Guild {
        id: 7,
        ..Default::default()
    };
    let channel_8 = proto::event::Channel {
        id: 8,
        ..Default::default()
    };
    bench.publish_event(1, Event::GuildUpdated(guild)).await;
    bench
        .publish_event(2, Event::ChannelUpserted(channel_8))
        .await;
    bench.archive_to(2).await;
    let mut again = bench;
    again.places = Places::default();
    again.archive_to(2).await;
    assert_eq!(again.places.guild_of(channel()), GuildId::new(7));
}

#[tokio::test]
async fn a_stream_that_lost_its_tail_is_archived_again() {
    let bench = bench().await;
    bench.publish_event(1, message(1)).await;
    bench.archive_to(1).await;
    // SQL is ahead, as after a power cut that took what the broker had not yet written to its disk.
    let mut ahead = store::Batch::new(bench.store.position().await.unwrap());
    ahead.skip(5);
    bench.store.apply(ahead).await.unwrap();
    bench.publish_event(2, message(2)).await;
    bench.publish_event(3, message(3)).await;
    bench.archive_to(3).await;
    let page = bench.store.page(channel(), None, 10).await.unwrap();
    let ids: Vec<_> = page.messages.iter().map(|message| message.id).collect();
    assert_eq!(ids, [1, 2, 3]);
}
