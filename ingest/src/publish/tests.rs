//! The publisher against a broker that loses requests and answers, refuses, and goes away, as a seed says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    BrokerError, Catchup, Embedded, EmbeddedSettings, Erasure, Freshness, Lease, LiveItem,
    LiveReceiver, Notices, PublishError, Requests, Stored, StreamSettings, StreamState, Unanswered,
};
use bytes::Bytes;
use parking_lot::Mutex;
use proto::InstanceId;
use proto::envelope::Opened;
use proto::event::Event;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::*;
use crate::buffer::Buffer;
use crate::gateway::Commands;
use crate::outcome::Skip;
use crate::rest::tests::answering;
use crate::status::Status;

mod reacting;
mod repair;

/// What may go wrong with one publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It never arrives.
    Request,
    /// It is stored, and nobody hears of it.
    Answer,
    /// Its expectation is said to be wrong.
    Expectation,
    /// The broker will never take it.
    Refuse,
    /// Its answer takes its time.
    Slow,
}

type Script = Box<dyn Fn(u64, &Publication) -> Fault + Send + Sync>;

/// A broker whose publications fail as its script says, by their running number.
struct Faulty {
    inner: Arc<Embedded>,
    script: Script,
    tries: Mutex<u64>,
    under_way: Mutex<HashSet<Subject>>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Faulty")
    }
}

impl Faulty {
    async fn try_publish(
        &self,
        fault: Fault,
        publication: &Publication,
        expected: u64,
    ) -> Result<u64, PublishError> {
        match fault {
            Fault::None => self.inner.publish(publication, expected).await,
            Fault::Request => Err(PublishError::Unknown("the request was lost".into())),
            Fault::Answer => {
                self.inner.publish(publication, expected).await?;
                Err(PublishError::Unknown("the answer was lost".into()))
            }
            Fault::Expectation => Err(PublishError::Expectation),
            Fault::Refuse => Err(PublishError::Refused("too large".into())),
            Fault::Slow => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.inner.publish(publication, expected).await
            }
        }
    }
}

#[async_trait]
impl Broker for Faulty {
    async fn publish(&self, publication: &Publication, expected: u64) -> Result<u64, PublishError> {
        let number = {
            let mut tries = self.tries.lock();
            *tries += 1;
            *tries
        };
        let is_first = self.under_way.lock().insert(publication.subject);
        assert!(is_first, "two publications of one subject under way");
        let fault = (self.script)(number, publication);
        let answer = self.try_publish(fault, publication, expected).await;
        self.under_way.lock().remove(&publication.subject);
        answer
    }

    async fn provision(&self, settings: &StreamSettings) -> Result<StreamState, BrokerError> {
        self.inner.provision(settings).await
    }
    async fn state(&self) -> Result<StreamState, BrokerError> {
        self.inner.state().await
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
    async fn live(&self) -> Result<Box<dyn LiveReceiver>, BrokerError> {
        self.inner.live().await
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

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    inner: Arc<Embedded>,
    outcomes: Outcomes,
    health: Health,
    reached: watch::Receiver<Reached>,
    used: watch::Receiver<usize>,
    deadline: watch::Sender<Instant>,
    buffer: Buffer,
    roster: Roster,
    submissions: mpsc::Sender<Submission>,
    repairs: mpsc::Sender<Repair>,
    running: tokio::task::JoinHandle<()>,
    sequence: u64,
    _folder: Arc<tempfile::TempDir>,
}

/// Up to where the only shard is settled.
fn reached_sequence(reached: &Reached) -> Option<u64> {
    Some(reached.get(&0)?.sequence)
}

type Home = (
    Arc<Embedded>,
    Arc<tempfile::TempDir>,
    Bases,
    watch::Sender<u64>,
);

async fn embedded() -> Home {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("log.sqlite");
    let inner = Embedded::open(&path, EmbeddedSettings::default())
        .await
        .unwrap();
    let url = format!("sqlite://{}", folder.path().join("s.sqlite").display());
    let store = store::Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let (archived, archived_seen) = watch::channel(0);
    let bases = Bases {
        store,
        rest: answering(200, MESSAGE_IN_DISCORD).await,
        exclusions: Exclusions::default(),
        archived: archived_seen,
    };
    (inner, folder, bases, archived)
}

/// What the API answers to everything.
const MESSAGE_IN_DISCORD: &str =
    r#"{"id":"2","reactions":[{"emoji":{"id":null,"name":"x"},"count":5}]}"#;

fn bench_on(
    home: &Home,
    script: impl Fn(u64, &Publication) -> Fault + Send + Sync + 'static,
) -> Bench {
    let (bench, mut snapshots) = bench_with_gaps(home, script);
    let repairs = bench.repairs.downgrade();
    tokio::spawn(async move {
        while let Some(snapshot) = snapshots.recv().await {
            if let Some(repairs) = repairs.upgrade() {
                settle(&repairs, snapshot).await;
            }
        }
    });
    bench
}

/// A bench, and the snapshots that are to be repaired before they are settled.
fn bench_with_gaps(
    (inner, folder, bases, _archived): &Home,
    script: impl Fn(u64, &Publication) -> Fault + Send + Sync + 'static,
) -> (Bench, mpsc::UnboundedReceiver<Snapshot>) {
    let inner = Arc::clone(inner);
    let (deadline, tenure) = Tenure::until(Instant::now() + PATIENCE * 10);
    let (health, outcomes, roster) = (Health::new(), Outcomes::default(), Roster::default());
    let (used, used_seen) = watch::channel(0);
    let (buffer, frames) = Buffer::new(1 << 20, used);
    let (submissions, submitted) = mpsc::channel(8);
    let (repairs, repaired) = mpsc::channel(8);
    let (snapshots, snapshots_seen) = mpsc::unbounded_channel();
    let (reached, reached_seen) = watch::channel(Reached::new());
    let (acknowledged, _) = watch::channel(0);
    let broker: Arc<dyn Broker> = Arc::new(Faulty {
        inner: Arc::clone(&inner),
        script: Box::new(script),
        tries: Mutex::new(0),
        under_way: Mutex::default(),
    });
    let (typist, teller) = crate::typing::new(&broker, outcomes.clone());
    tokio::spawn(teller.run());
    let publisher = Publisher::new(Desk {
        broker,
        tenure,
        health: health.clone(),
        outcomes: outcomes.clone(),
        meters: crate::meters::Meters::default(),
        places: Places::default(),
        roster: roster.clone(),
        exclusions: Exclusions::default(),
        bases: bases.clone(),
        typist,
        chunks: Chunks::new(1, Commands::default(), Status::default()),
        gaps: Gaps::default(),
        book: Book::default(),
        snapshots,
        rolls: watch::Sender::default(),
        reached,
        acknowledged,
    });
    let bench = Bench {
        inner,
        outcomes,
        health,
        reached: reached_seen,
        used: used_seen,
        deadline,
        buffer,
        roster,
        submissions,
        repairs,
        running: tokio::spawn(publisher.run(frames, submitted, repaired)),
        sequence: 0,
        _folder: Arc::clone(folder),
    };
    (bench, snapshots_seen)
}

impl Bench {
    /// The next dispatch of the session.
    fn put(&mut self, kind: &str, data: &Value) {
        self.sequence += 1;
        let dispatch = Dispatch {
            epoch: 7,
            shard: 0,
            sequence: self.sequence,
        };
        let text = json!({ "t": kind, "s": self.sequence, "op": 0, "d": data }).to_string();
        self.outcomes.on_received();
        assert!(self.buffer.put(dispatch, text, 1));
    }

    fn message(&mut self, channel: u64, id: u64) {
        let (id, channel) = (id.to_string(), channel.to_string());
        let data = json!({ "id": id, "channel_id": channel, "guild_id": "1", "content": id });
        self.put("MESSAGE_CREATE", &data);
    }

    fn role(&mut self, id: u64) {
        let data = json!({ "guild_id": "1", "role": { "id": id.to_string() } });
        self.put("GUILD_ROLE_UPDATE", &data);
    }

    /// Ends the inputs, waits for the publisher, and returns all that the stream holds.
    async fn finish(self) -> Vec<Stored> {
        let Self {
            inner,
            outcomes,
            mut reached,
            used,
            buffer,
            submissions,
            repairs,
            running,
            sequence,
            deadline,
            _folder,
            ..
        } = self;
        drop((buffer, submissions));
        let is_last = |at: &Reached| reached_sequence(at).unwrap_or(0) == sequence;
        timeout(PATIENCE, reached.wait_for(is_last))
            .await
            .expect("every dispatch is settled in time")
            .expect("the publisher runs");
        drop(repairs);
        timeout(PATIENCE, running)
            .await
            .expect("in time")
            .expect("no panic");
        let last = reached_sequence(&reached.borrow_and_update());
        assert_eq!(last, Some(sequence), "every dispatch is settled");
        assert_eq!(*used.borrow(), 0, "nothing is left in the buffer");
        assert_eq!(outcomes.json()["pending"], 0);
        drop(deadline);
        inner
            .read(1, None, 10_000, Freshness::Leader)
            .await
            .unwrap()
            .events
    }
}

/// Nothing is missing.
async fn settle(repairs: &mpsc::Sender<Repair>, snapshot: Snapshot) {
    for suspect in &snapshot.suspects {
        repairs.send(Repair::Release(suspect.hold)).await.unwrap();
    }
    repairs.send(Repair::Done(snapshot.number)).await.unwrap();
}

fn opened(stored: &Stored) -> Opened {
    Opened::decode(stored.payload.clone()).unwrap()
}

/// Faults drawn from a seed; the same seed draws the same.
fn drawn(seed: u64) -> impl Fn(u64, &Publication) -> Fault + Send + Sync {
    move |number, _| {
        let mixed = (number + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        match mixed % 10 {
            0 => Fault::Request,
            1 | 2 => Fault::Answer,
            3 => Fault::Expectation,
            4 => Fault::Slow,
            _ => Fault::None,
        }
    }
}

#[tokio::test]
async fn every_event_is_stored_once_and_in_order_whatever_is_lost() {
    for seed in [1, 2, 3] {
        let mut bench = bench_on(&embedded().await, drawn(seed));
        for id in 1..=60 {
            bench.message(100 + id % 5, 1_000 + id);
        }
        let outcomes = bench.outcomes.clone();
        let stored = bench.finish().await;
        let mut by_subject: BTreeMap<Subject, Vec<u64>> = BTreeMap::new();
        for event in &stored {
            let Event::MessageCreated(message) = opened(event).event else {
                panic!("a creation");
            };
            by_subject
                .entry(event.subject)
                .or_default()
                .push(message.id);
        }
        assert_eq!(stored.len(), 60, "seed {seed}");
        for ids in by_subject.values() {
            assert!(ids.is_sorted(), "seed {seed}: {ids:?}");
        }
        assert_eq!(outcomes.count(Outcome::Published), 60, "seed {seed}");
    }
}

#[tokio::test]
async fn a_channels_event_comes_after_all_earlier_events_of_its_guild() {
    let slow_guild = |_: u64, publication: &Publication| match publication.subject {
        Subject::Guild(_) => Fault::Slow,
        Subject::Channel(_) => Fault::None,
    };
    let mut bench = bench_on(&embedded().await, slow_guild);
    for round in 0..5 {
        bench.role(50 + round);
        bench.message(100, 1_000 + 2 * round);
        bench.message(101, 1_001 + 2 * round);
    }
    let stored = bench.finish().await;
    let mut roles = 0;
    for event in &stored {
        match opened(event).event {
            Event::RoleUpserted(_) => roles += 1,
            Event::MessageCreated(message) => assert!(roles > (message.id - 1_000) / 2),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stored.len(), 15);
}

#[tokio::test]
async fn a_replay_after_a_restart_is_counted_as_duplicate_and_stored_once() {
    let home = embedded().await;
    for round in 0..2 {
        let mut bench = bench_on(&home, |_, _| Fault::None);
        for id in 1..=20 {
            bench.message(100, id);
            bench.role(id);
        }
        let outcomes = bench.outcomes.clone();
        assert_eq!(bench.finish().await.len(), 40);
        let outcome = [Outcome::Published, Outcome::Duplicate][round];
        assert_eq!(outcomes.count(outcome), 40);
    }
}

#[tokio::test]
async fn what_the_broker_refuses_for_good_is_counted_and_passed() {
    let refuse = |_: u64, publication: &Publication| {
        if publication.identity == "create-2" {
            return Fault::Refuse;
        }
        Fault::None
    };
    let mut bench = bench_on(&embedded().await, refuse);
    for id in 1..=3 {
        bench.message(100, id);
    }
    bench.put("PRESENCE_UPDATE", &json!({}));
    bench.put("MESSAGE_CREATE", &json!({ "id": "x" }));
    let outcomes = bench.outcomes.clone();
    assert_eq!(bench.finish().await.len(), 2);
    assert_eq!(outcomes.count(Outcome::Published), 2);
    assert_eq!(outcomes.count(Outcome::Refused(Refusal::Broker)), 1);
    assert_eq!(outcomes.count(Outcome::Refused(Refusal::Malformed)), 1);
    assert_eq!(outcomes.count(Outcome::Skipped(Skip::NotMirrored)), 1);
}

#[tokio::test]
async fn three_refusals_in_a_row_make_it_unready_until_the_stream_takes_the_event() {
    let mut bench = bench_on(&embedded().await, |number, _| {
        if number <= 5 {
            return Fault::Expectation;
        }
        Fault::None
    });
    let health = bench.health.clone();
    bench.message(100, 1);
    let unready = async {
        while !health.unready().contains_key("stream") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, unready).await.unwrap();
    assert_eq!(bench.finish().await.len(), 1);
    assert!(health.unready().is_empty());
}

#[tokio::test]
async fn the_feeds_hear_of_an_acknowledgement_at_once_and_again() {
    let (inner, _folder, ..) = embedded().await;
    let mut live = inner.live().await.unwrap();
    let (_deadline, tenure) = Tenure::until(Instant::now() + PATIENCE);
    let (acknowledged, seen) = watch::channel(3);
    let announcing = head::run(Arc::clone(&inner) as Arc<dyn Broker>, 9, seen, tenure);
    let announcing = tokio::spawn(announcing);
    let mut next = async || {
        let item = timeout(PATIENCE, live.next()).await.unwrap().unwrap();
        (item, Instant::now())
    };
    assert_eq!(next().await.0, LiveItem::Head(9, 3));
    acknowledged.send_replace(4);
    let sent = Instant::now();
    let (first, at) = next().await;
    let (second, _) = next().await;
    assert_eq!(
        (first, second),
        (LiveItem::Head(9, 4), LiveItem::Head(9, 4))
    );
    // It came within the quiet time of another announcement, so it waits for that one's repetition.
    assert!(at - sent < Duration::from_secs(3));
    drop(acknowledged);
    timeout(PATIENCE, announcing).await.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_is_sent_while_the_lease_is_not_surely_ours() {
    let mut bench = bench_on(&embedded().await, |_, _| Fault::None);
    bench.deadline.send_replace(Instant::now());
    bench.message(100, 1);
    let mut reached = bench.reached.clone();
    let early = timeout(Duration::from_millis(200), reached.changed()).await;
    assert!(early.is_err(), "published without the lease");
    assert!(*bench.used.borrow() > 0);
    bench.deadline.send_replace(Instant::now() + PATIENCE);
    assert_eq!(bench.finish().await.len(), 1);
}

#[tokio::test]
async fn a_member_that_the_gateway_spoke_of_meanwhile_is_not_published_from_rest() {
    let mut bench = bench_on(&embedded().await, |_, _| Fault::None);
    let (guild, user) = (GuildId::new(1).unwrap(), UserId::new(5).unwrap());
    let submission = |n, reply| Submission {
        envelope: Envelope {
            identity: proto::Identity::Member(1, guild, user, n),
            trace: None,
            guild,
            channel: None,
            received_ms: 0,
            event: Event::MemberRemoved(proto::event::MemberRemoved { user_id: 5 }),
        },
        claim: Claim::Member(user),
        reply,
    };
    let question = bench.roster.ask((guild, user));
    let (reply, answer) = oneshot::channel();
    bench.submissions.send(submission(1, reply)).await.unwrap();
    assert_eq!(timeout(PATIENCE, answer).await.unwrap().unwrap(), 1);
    bench.put(
        "GUILD_MEMBER_ADD",
        &json!({ "guild_id": "1", "user": { "id": "5" } }),
    );
    let mut reached = bench.reached.clone();
    timeout(PATIENCE, reached.changed()).await.unwrap().unwrap();
    let (reply, answer) = oneshot::channel();
    bench.submissions.send(submission(2, reply)).await.unwrap();
    assert!(timeout(PATIENCE, answer).await.unwrap().is_err());
    drop(question);
    assert_eq!(bench.finish().await.len(), 2);
}

#[tokio::test]
async fn what_waits_for_long_stays_in_the_buffer_where_it_is_packed() {
    let mut bench = bench_on(&embedded().await, |_, _| Fault::None);
    bench.deadline.send_replace(Instant::now());
    let said = "one sentence like all the others. ".repeat(60);
    let count = WAITING_MAX + 6_000;
    for id in 1..=count as u64 {
        let data =
            json!({ "id": id.to_string(), "channel_id": "2", "guild_id": "1", "content": said });
        bench.put("MESSAGE_CREATE", &data);
    }
    let plain = count * said.len();
    // Until nothing more is taken.
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    let mut before = 0;
    while before != *bench.used.borrow() {
        before = *bench.used.borrow();
        looks.tick().await;
    }
    let most = plain * 4 / 5;
    assert!(before > 0 && before < most, "{before} of {plain}");
    bench.running.abort();
}

#[tokio::test]
async fn a_guild_is_removed_only_while_the_session_does_not_name_it() {
    let mut bench = bench_on(&embedded().await, |_, _| Fault::None);
    let submission = |epoch, guild, reply| Submission {
        envelope: Envelope {
            identity: proto::Identity::Left(epoch, guild),
            trace: None,
            guild,
            channel: None,
            received_ms: 0,
            event: Event::GuildRemoved(proto::event::GuildRemoved {}),
        },
        claim: Claim::Left(epoch),
        reply,
    };
    let settled = async |bench: &Bench| {
        let mut reached = bench.reached.clone();
        let is_last = |at: &Reached| reached_sequence(at) == Some(bench.sequence);
        timeout(PATIENCE, reached.wait_for(is_last))
            .await
            .unwrap()
            .unwrap();
    };
    let removed = async |bench: &Bench, epoch, guild| {
        let guild = GuildId::new(guild).unwrap();
        let (reply, answer) = oneshot::channel();
        let submission = submission(epoch, guild, reply);
        bench.submissions.send(submission).await.unwrap();
        timeout(PATIENCE, answer).await.unwrap().is_ok()
    };
    assert!(!removed(&bench, 7, 4).await, "no READY yet");
    bench.put("READY", &json!({ "guilds": [{ "id": "1" }] }));
    settled(&bench).await;
    assert!(!removed(&bench, 7, 1).await, "READY names it");
    assert!(!removed(&bench, 6, 4).await, "another session");
    bench.put("GUILD_CREATE", &json!({ "id": "2" }));
    bench.put("GUILD_CREATE", &json!({ "id": "3", "unavailable": true }));
    settled(&bench).await;
    assert!(!removed(&bench, 7, 2).await, "it came later");
    assert!(!removed(&bench, 7, 3).await, "it is in an outage");
    assert!(removed(&bench, 7, 4).await);
    bench.put("READY", &json!({ "guilds": "odd" }));
    settled(&bench).await;
    assert!(!removed(&bench, 7, 5).await, "nobody knows");
    let stored = bench.finish().await;
    let left = stored
        .iter()
        .filter(|stored| stored.identity.starts_with("left-"));
    assert_eq!(left.count(), 1);
}
