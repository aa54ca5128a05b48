//! The feed over a live subscription that leaves events out: workers get every event, once and in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    Broker, BrokerError, Catchup, Embedded, EmbeddedSettings, Erasure, Freshness, Lease, LiveItem,
    LiveReceiver, Notices, Publication, PublishError, Requests, Stored, StreamSettings,
    StreamState, Unanswered,
};
use bytes::Bytes;
use proto::event::{Event, Guild, Message, Role};
use proto::identity::{Dispatch, Identity};
use proto::{ChannelId, Envelope, GuildId, InstanceId, Subject};
use runtime::Health;
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Feed, FeedHandle, Inbox, Item};

const PATIENCE: Duration = Duration::from_secs(30);

/// A broker whose live feed leaves out what the mask says: bit n drops sequences that are n modulo 64.
#[derive(Debug)]
struct Lossy {
    inner: Arc<Embedded>,
    dropped: Arc<AtomicU64>,
}

struct LossyReceiver {
    inner: Box<dyn LiveReceiver>,
    dropped: Arc<AtomicU64>,
}

#[async_trait]
impl LiveReceiver for LossyReceiver {
    async fn next(&mut self) -> Option<LiveItem> {
        loop {
            let item = self.inner.next().await?;
            let mask = self.dropped.load(Ordering::Relaxed);
            match &item {
                LiveItem::Event(event) if mask & (1 << (event.sequence % 64)) != 0 => {}
                _ => return Some(item),
            }
        }
    }
}

#[async_trait]
impl Broker for Lossy {
    async fn live(&self) -> Result<Box<dyn LiveReceiver>, BrokerError> {
        Ok(Box::new(LossyReceiver {
            inner: self.inner.live().await?,
            dropped: self.dropped.clone(),
        }))
    }
    async fn provision(&self, settings: &StreamSettings) -> Result<StreamState, BrokerError> {
        self.inner.provision(settings).await
    }
    async fn state(&self) -> Result<StreamState, BrokerError> {
        self.inner.state().await
    }
    async fn publish(&self, publication: &Publication, expected: u64) -> Result<u64, PublishError> {
        self.inner.publish(publication, expected).await
    }
    async fn last_of(&self, subject: Subject) -> Result<Option<Stored>, BrokerError> {
        self.inner.last_of(subject).await
    }
    async fn read(
        &self,
        from: u64,
        subject: Option<Subject>,
        events_max: usize,
        freshness: Freshness,
    ) -> Result<Catchup, BrokerError> {
        self.inner.read(from, subject, events_max, freshness).await
    }
    async fn remove(&self, sequence: u64, erasure: Erasure) -> Result<bool, BrokerError> {
        self.inner.remove(sequence, erasure).await
    }
    async fn announce_head(&self, generation: u64, sequence: u64) -> Result<(), BrokerError> {
        self.inner.announce_head(generation, sequence).await
    }
    async fn lease_acquire(&self, owner: &str) -> Result<Option<Lease>, BrokerError> {
        self.inner.lease_acquire(owner).await
    }
    async fn lease_renew(&self, owner: &str, lease: Lease) -> Result<Option<Lease>, BrokerError> {
        self.inner.lease_renew(owner, lease).await
    }
    async fn lease_release(&self, lease: Lease) -> Result<(), BrokerError> {
        self.inner.lease_release(lease).await
    }
    async fn value(&self, key: &str) -> Result<Option<Bytes>, BrokerError> {
        self.inner.value(key).await
    }
    async fn set_value(&self, key: &str, value: Bytes) -> Result<(), BrokerError> {
        self.inner.set_value(key, value).await
    }
    async fn enroll(
        &self,
        instance: &InstanceId,
        address: SocketAddr,
        term: Duration,
    ) -> Result<(), BrokerError> {
        self.inner.enroll(instance, address, term).await
    }
    async fn withdraw(&self, instance: &InstanceId) -> Result<(), BrokerError> {
        self.inner.withdraw(instance).await
    }
    async fn address_of(&self, instance: &InstanceId) -> Result<Option<SocketAddr>, BrokerError> {
        self.inner.address_of(instance).await
    }
    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Bytes, Unanswered> {
        self.inner.request(subject, payload, patience).await
    }
    async fn serve(&self, subject: &str) -> Result<Box<dyn Requests>, BrokerError> {
        self.inner.serve(subject).await
    }

    async fn notify(&self, subject: &str, payload: Bytes) -> Result<(), BrokerError> {
        self.inner.notify(subject, payload).await
    }

    async fn notices(&self, subject: &str) -> Result<Box<dyn Notices>, BrokerError> {
        self.inner.notices(subject).await
    }
    fn is_connected(&self) -> watch::Receiver<bool> {
        self.inner.is_connected()
    }
}

/// A feed that runs, one worker at it, and whoever publishes.
struct Bench {
    broker: Arc<Lossy>,
    feed: FeedHandle,
    inbox: Inbox,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    published: u64,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let inner = Embedded::open(&path, EmbeddedSettings::default())
            .await
            .unwrap();
        let broker = Arc::new(Lossy {
            inner,
            dropped: Arc::default(),
        });
        let url = format!("sqlite://{}", folder.path().join("store.db").display());
        let store = Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let stop = CancellationToken::new();
        let (feed, handle) = Feed::new(broker.clone(), store, Health::new(), stop.clone());
        let running = tokio::spawn(feed.run());
        let inbox = handle.register().await.unwrap();
        let mut bench = Self {
            broker,
            feed: handle,
            inbox,
            stop,
            running,
            published: 0,
            _folder: folder,
        };
        assert!(matches!(bench.item().await, Item::Start(_)));
        bench
    }

    async fn item(&mut self) -> Item {
        let item = tokio::time::timeout(PATIENCE, self.inbox.items.recv()).await;
        item.expect("an item comes in time").expect("the feed runs")
    }

    /// Watches a channel; the position from which its events come.
    async fn watch(&mut self, id: u64) -> u64 {
        let ticket = self.feed.ticket();
        self.feed
            .watch(self.inbox.worker, channel(id), ticket)
            .await
            .unwrap();
        match self.item().await {
            Item::Reached(answered, position) if answered == ticket => position,
            other => panic!("not the answer: {other:?}"),
        }
    }

    async fn publish(&mut self, channel: Option<ChannelId>, event: Event) -> u64 {
        self.published += 1;
        let dispatch = Dispatch {
            epoch: 1,
            shard: 0,
            sequence: self.published,
        };
        let envelope = Envelope {
            identity: Identity::Dispatch(dispatch, 0),
            trace: None,
            guild: GuildId::new(7).unwrap(),
            channel,
            received_ms: 1,
            event,
        };
        let publication = Publication {
            subject: envelope.subject(),
            identity: envelope.identity.to_string(),
            trace: None,
            payload: envelope.encode().payload,
        };
        let last = self.broker.last_of(publication.subject).await.unwrap();
        let expected = last.map_or(0, |stored| stored.sequence);
        self.broker.publish(&publication, expected).await.unwrap()
    }

    async fn say(&mut self, id: u64) -> u64 {
        self.publish(Some(channel(id)), Event::MessageCreated(Message::default()))
            .await
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
        self.broker.inner.close().await;
    }
}

fn channel(id: u64) -> ChannelId {
    ChannelId::new(id).unwrap()
}

/// The next event's sequence, whatever else comes before it.
fn sequence_of(item: &Item) -> u64 {
    match item {
        Item::Event(delivery) => delivery.offset.sequence,
        Item::Directory(event) => event.sequence,
        other => panic!("not an event: {other:?}"),
    }
}

#[tokio::test]
async fn holes_are_filled_before_anything_later_and_other_channels_are_dropped() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.watch(300).await, 0);
    // Two of three events are left out, now and then several in a row.
    bench
        .broker
        .dropped
        .store(0x6db6_db6d_b6db_0ff0, Ordering::Relaxed);
    let mut expected = Vec::new();
    for n in 0..200 {
        let sequence = bench.say(if n % 3 == 0 { 301 } else { 300 }).await;
        if n % 3 != 0 {
            expected.push(sequence);
        }
    }
    bench.broker.dropped.store(0, Ordering::Relaxed);
    expected.push(bench.say(300).await);
    for sequence in expected {
        assert_eq!(sequence_of(&bench.item().await), sequence);
    }
    bench.end().await;
}

#[tokio::test]
async fn a_lost_tail_is_found_by_the_announced_head() {
    let mut bench = Bench::start().await;
    bench.watch(300).await;
    bench.broker.dropped.store(u64::MAX, Ordering::Relaxed);
    let first = bench.say(300).await;
    let last = bench.say(300).await;
    let generation = bench.broker.state().await.unwrap().generation;
    bench.broker.announce_head(generation, last).await.unwrap();
    assert_eq!(sequence_of(&bench.item().await), first);
    assert_eq!(sequence_of(&bench.item().await), last);
    bench.end().await;
}

#[tokio::test]
async fn a_watch_is_answered_at_the_place_where_it_took_effect() {
    let mut bench = Bench::start().await;
    let before = bench.say(300).await;
    // A guild's event reaches every worker: it shows that the feed has passed the message.
    let role = Role {
        id: 7,
        ..Role::default()
    };
    let passed = bench.publish(None, Event::RoleUpserted(role)).await;
    assert_eq!(sequence_of(&bench.item().await), passed);
    let position = bench.watch(300).await;
    assert!(position >= passed && passed > before);
    let after = bench.say(300).await;
    assert_eq!(sequence_of(&bench.item().await), after);
    bench.end().await;
}

#[tokio::test]
async fn permissions_and_messages_come_in_one_order_also_over_a_hole() {
    let mut bench = Bench::start().await;
    bench.watch(300).await;
    bench.broker.dropped.store(0b0110, Ordering::Relaxed);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(
            bench
                .publish(None, Event::GuildUpdated(Guild::default()))
                .await,
        );
        expected.push(bench.say(300).await);
    }
    for sequence in expected {
        assert_eq!(sequence_of(&bench.item().await), sequence);
    }
    bench.end().await;
}

#[tokio::test]
async fn who_waits_for_a_sequence_is_answered_when_it_is_reached_and_not_before() {
    let mut bench = Bench::start().await;
    let ticket = bench.feed.ticket();
    bench
        .feed
        .reach(bench.inbox.worker, 2, ticket)
        .await
        .unwrap();
    let first = bench
        .publish(None, Event::GuildUpdated(Guild::default()))
        .await;
    assert_eq!(sequence_of(&bench.item().await), first);
    let second = bench
        .publish(None, Event::GuildUpdated(Guild::default()))
        .await;
    assert_eq!(sequence_of(&bench.item().await), second);
    match bench.item().await {
        Item::Reached(answered, position) => assert_eq!((answered, position), (ticket, 2)),
        other => panic!("not the answer: {other:?}"),
    }
    bench.end().await;
}

#[tokio::test]
async fn another_stream_breaks_the_feed_and_it_begins_anew() {
    let mut bench = Bench::start().await;
    bench.watch(300).await;
    bench.broker.announce_head(1, 5).await.unwrap();
    assert!(matches!(bench.item().await, Item::Broken));
    assert!(matches!(bench.item().await, Item::Start(_)));
    bench.end().await;
}
