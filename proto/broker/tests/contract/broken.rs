//! Deliberately broken doubles: a broker that keeps all promises but one. Each case of the contract must fail on
//! the double that breaks what it is about, or it proves nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use broker::{
    Broker, BrokerError, Catchup, Erasure, Freshness, Lease, LiveItem, LiveReceiver, Notices,
    Publication, PublishError, Requests, Stored, StreamSettings, StreamState, Unanswered,
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use proto::{InstanceId, Subject};
use tokio::sync::watch;

/// The promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Tells another number than the stream's.
    NumbersAnew,
    /// Takes an identity for new that it has.
    StoresDoubles,
    /// Takes an identity for known for ever.
    NeverForgets,
    /// Stores whatever the publisher expects.
    IgnoresExpectations,
    /// Acknowledges what it can't store.
    RefusesNothing,
    /// Knows no subject's last event.
    ForgetsTheLast,
    /// Tells another generation each time.
    AnotherGeneration,
    /// Leaves an event out of each read.
    LosesEvents,
    /// Reads more than it was asked.
    ReadsAllSubjects,
    /// Reads on however much it is.
    ReadsWithoutBound,
    /// Says that it has told more than it has.
    ClaimsTooMuch,
    /// Says that it has told less.
    ClaimsTooLittle,
    /// Says that it has removed.
    RemovesNothing,
    /// Removes another event.
    RemovesAnother,
    /// Says that there was something to remove.
    RemovesAlways,
    /// Drops nothing, however old or much.
    KeepsEverything,
    /// Delivers two neighbours the wrong way round.
    SwapsEvents,
    /// Announces no head.
    SilentHeads,
    /// Keeps quiet about events that it left out.
    HidesDisturbances,
    /// Gives the lease to whoever asks.
    LeasesToAll,
    /// Takes an owner for another.
    ForgetsOwners,
    /// Says that it has renewed.
    RenewsNothing,
    /// Renews for a holder that has gone.
    NeverEndsALease,
    /// Renews whatever revision it is shown.
    RenewsAnything,
    /// Gives back a lease that is another's.
    ReleasesAnything,
    /// Keeps no value.
    ForgetsValues,
    /// Knows an instance that nobody has told it of.
    FindsAnybody,
    /// Keeps an instance where it was first.
    RemembersTheFirst,
    /// Knows an instance after it has withdrawn.
    KeepsTheWithdrawn,
    /// Knows an instance after its term.
    KeepsTheDead,
    /// Makes up its answers.
    AnswersAnything,
    /// Takes nobody for late.
    AlwaysLate,
    /// Takes late for nobody.
    AlwaysNobody,
    /// Tells no notice.
    SaysNothing,
    /// Tells everybody every notice.
    HearsEverything,
}

/// What a double remembers of its leases; doubles of one test share it, as homes share their stream.
static GRANTED: LazyLock<Mutex<HashMap<std::thread::ThreadId, String>>> =
    LazyLock::new(Mutex::default);

/// A broker with a fault.
#[derive(Debug)]
pub(crate) struct Broken {
    inner: Arc<dyn Broker>,
    fault: Fault,
    seen: Mutex<HashMap<String, u64>>,
    owner: Mutex<Option<String>>,
}

impl Broken {
    /// Over a sound one.
    pub(crate) fn over(inner: Arc<dyn Broker>, fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            inner,
            fault,
            seen: Mutex::default(),
            owner: Mutex::default(),
        })
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    async fn last_sequence(&self, subject: Subject) -> u64 {
        let last = self.inner.last_of(subject).await.ok().flatten();
        last.map_or(0, |stored| stored.sequence)
    }
}

/// Runs a case that must notice the fault: it panics, or the test fails.
pub(crate) async fn must_fail(fault: Fault, case: impl Future<Output = ()>) {
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = AssertUnwindSafe(case).catch_unwind().await;
    let noticed = outcome.is_err();
    drop(catch_unwind(std::panic::take_hook));
    assert!(
        noticed,
        "the case passes on a broker that is broken: {fault:?}"
    );
}

/// A feed that breaks its promise too.
struct BrokenFeed {
    inner: Box<dyn LiveReceiver>,
    fault: Fault,
    held: Option<LiveItem>,
}

#[async_trait]
impl LiveReceiver for BrokenFeed {
    async fn next(&mut self) -> Option<LiveItem> {
        if let Some(held) = self.held.take() {
            return Some(held);
        }
        loop {
            let item = self.inner.next().await?;
            match (self.fault, &item) {
                (Fault::HidesDisturbances, LiveItem::Disturbed(_)) => {}
                (Fault::SwapsEvents, LiveItem::Event(_)) => {
                    let next = self.inner.next().await?;
                    self.held = Some(item);
                    return Some(next);
                }
                _ => return Some(item),
            }
        }
    }
}

#[async_trait]
impl Broker for Broken {
    async fn provision(&self, settings: &StreamSettings) -> Result<StreamState, BrokerError> {
        let mut settings = *settings;
        if self.is(Fault::KeepsEverything) {
            settings.age_max = Duration::MAX;
            settings.bytes_max = u64::MAX;
        }
        self.inner.provision(&settings).await
    }

    async fn state(&self) -> Result<StreamState, BrokerError> {
        let mut state = self.inner.state().await?;
        if self.is(Fault::AnotherGeneration) {
            state.generation = rand::random();
        }
        Ok(state)
    }

    async fn publish(&self, publication: &Publication, expected: u64) -> Result<u64, PublishError> {
        let mut publication = publication.clone();
        let mut expected = expected;
        match self.fault {
            Fault::StoresDoubles => {
                publication.identity =
                    format!("{}-{}", publication.identity, rand::random::<u64>());
                expected = self.last_sequence(publication.subject).await;
            }
            Fault::IgnoresExpectations => {
                expected = self.last_sequence(publication.subject).await;
            }
            Fault::NeverForgets => {
                let seen = self.seen.lock().get(&publication.identity).copied();
                if let Some(sequence) = seen {
                    return Ok(sequence);
                }
            }
            _ => {}
        }
        match self.inner.publish(&publication, expected).await {
            Ok(sequence) => {
                self.seen.lock().insert(publication.identity, sequence);
                let shift = u64::from(self.is(Fault::NumbersAnew));
                Ok(sequence + shift)
            }
            Err(PublishError::Refused(_)) if self.is(Fault::RefusesNothing) => Ok(1),
            Err(error) => Err(error),
        }
    }

    async fn last_of(&self, subject: Subject) -> Result<Option<Stored>, BrokerError> {
        let last = self.inner.last_of(subject).await?;
        Ok(last.filter(|_| !self.is(Fault::ForgetsTheLast)))
    }

    async fn read(
        &self,
        from: u64,
        subject: Option<Subject>,
        events_max: usize,
        freshness: Freshness,
    ) -> Result<Catchup, BrokerError> {
        let subject = subject.filter(|_| !self.is(Fault::ReadsAllSubjects));
        let mut page = self
            .inner
            .read(from, subject, events_max, freshness)
            .await?;
        match self.fault {
            Fault::LosesEvents => {
                page.events.pop();
            }
            Fault::ClaimsTooMuch => page.complete_to += 1,
            Fault::ClaimsTooLittle => page.complete_to = page.complete_to.saturating_sub(1),
            Fault::ReadsWithoutBound => {
                let last = self.inner.state().await?.last;
                while page.complete_to < last {
                    let from = page.complete_to + 1;
                    let more = self
                        .inner
                        .read(from, subject, events_max, freshness)
                        .await?;
                    page.events.extend(more.events);
                    page.complete_to = more.complete_to;
                }
            }
            _ => {}
        }
        Ok(page)
    }

    async fn remove(&self, sequence: u64, erasure: Erasure) -> Result<bool, BrokerError> {
        match self.fault {
            Fault::RemovesNothing => Ok(true),
            Fault::RemovesAnother => self.inner.remove(sequence + 1, erasure).await,
            Fault::RemovesAlways => {
                self.inner.remove(sequence, erasure).await?;
                Ok(true)
            }
            _ => self.inner.remove(sequence, erasure).await,
        }
    }

    async fn live(&self) -> Result<Box<dyn LiveReceiver>, BrokerError> {
        Ok(Box::new(BrokenFeed {
            inner: self.inner.live().await?,
            fault: self.fault,
            held: None,
        }))
    }

    async fn announce_head(&self, generation: u64, sequence: u64) -> Result<(), BrokerError> {
        if self.is(Fault::SilentHeads) {
            return Ok(());
        }
        self.inner.announce_head(generation, sequence).await
    }

    async fn lease_acquire(&self, owner: &str) -> Result<Option<Lease>, BrokerError> {
        let granted = self.inner.lease_acquire(owner).await?;
        let me = std::thread::current().id();
        match self.fault {
            Fault::LeasesToAll => Ok(granted.or(Some(Lease { revision: 1 }))),
            Fault::ForgetsOwners => {
                let another = self.owner.lock().replace(owner.to_owned()).is_none();
                Ok(granted.filter(|_| another))
            }
            Fault::NeverEndsALease => {
                let mut all = GRANTED.lock();
                let first = all.entry(me).or_insert_with(|| owner.to_owned());
                Ok(granted.filter(|_| first == owner))
            }
            _ => Ok(granted),
        }
    }

    async fn lease_renew(&self, owner: &str, lease: Lease) -> Result<Option<Lease>, BrokerError> {
        if self.is(Fault::RenewsNothing) {
            return Ok(Some(lease));
        }
        let renewed = self.inner.lease_renew(owner, lease).await?;
        if self.is(Fault::RenewsAnything) {
            return Ok(renewed.or(Some(lease)));
        }
        Ok(renewed)
    }

    async fn lease_release(&self, lease: Lease) -> Result<(), BrokerError> {
        if self.is(Fault::ReleasesAnything) {
            // A revision is a small number: one of these is the holder's.
            for revision in 0..lease.revision + 100 {
                self.inner.lease_release(Lease { revision }).await?;
            }
        }
        self.inner.lease_release(lease).await
    }

    async fn value(&self, key: &str) -> Result<Option<Bytes>, BrokerError> {
        self.inner.value(key).await
    }

    async fn set_value(&self, key: &str, value: Bytes) -> Result<(), BrokerError> {
        if self.is(Fault::ForgetsValues) {
            return Ok(());
        }
        self.inner.set_value(key, value).await
    }

    async fn enroll(
        &self,
        instance: &InstanceId,
        address: SocketAddr,
        term: Duration,
    ) -> Result<(), BrokerError> {
        let known = self.inner.address_of(instance).await?;
        let (address, term) = match self.fault {
            Fault::RemembersTheFirst => (known.unwrap_or(address), term),
            Fault::KeepsTheDead => (address, term * 1_000),
            _ => (address, term),
        };
        self.inner.enroll(instance, address, term).await
    }

    async fn withdraw(&self, instance: &InstanceId) -> Result<(), BrokerError> {
        if self.is(Fault::KeepsTheWithdrawn) {
            return Ok(());
        }
        self.inner.withdraw(instance).await
    }

    async fn address_of(&self, instance: &InstanceId) -> Result<Option<SocketAddr>, BrokerError> {
        let found = self.inner.address_of(instance).await?;
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 1));
        Ok(found.or(self.is(Fault::FindsAnybody).then_some(anywhere)))
    }

    async fn request(
        &self,
        subject: &str,
        payload: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, Unanswered> {
        match (
            self.fault,
            self.inner.request(subject, payload, timeout).await,
        ) {
            (Fault::AnswersAnything, _) => Ok(Bytes::from_static(b"anything")),
            (Fault::AlwaysLate, Err(_)) => Err(Unanswered::Late),
            (Fault::AlwaysNobody, Err(_)) => Err(Unanswered::Nobody),
            (_, answer) => answer,
        }
    }

    async fn serve(&self, subject: &str) -> Result<Box<dyn Requests>, BrokerError> {
        self.inner.serve(subject).await
    }

    async fn notify(&self, subject: &str, payload: Bytes) -> Result<(), BrokerError> {
        if self.is(Fault::SaysNothing) {
            return Ok(());
        }
        self.inner.notify(subject, payload).await
    }

    async fn notices(&self, subject: &str) -> Result<Box<dyn Notices>, BrokerError> {
        let wanted = if self.is(Fault::HearsEverything) {
            ">"
        } else {
            subject
        };
        self.inner.notices(wanted).await
    }

    fn is_connected(&self) -> watch::Receiver<bool> {
        self.inner.is_connected()
    }
}
