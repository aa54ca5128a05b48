//! Two candidates on one broker whose clock is ours.

use std::sync::atomic::{AtomicU64, Ordering};

use broker::{Clock, Embedded, EmbeddedSettings};

use super::*;

/// More than a lease lasts.
const PAST_THE_END_MS: u64 = 4_001;

struct Shore {
    broker: Arc<Embedded>,
    now_ms: Arc<AtomicU64>,
    _folder: tempfile::TempDir,
}

async fn shore() -> Shore {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = Arc::new(AtomicU64::new(1_000_000));
    let settings = EmbeddedSettings {
        clock: Clock::new({
            let now_ms = Arc::clone(&now_ms);
            move || now_ms.load(Ordering::Relaxed)
        }),
        ..EmbeddedSettings::default()
    };
    let path = folder.path().join("log.sqlite");
    Shore {
        broker: Embedded::open(&path, settings).await.unwrap(),
        now_ms,
        _folder: folder,
    }
}

fn leader(shore: &Shore, name: &str) -> Leader {
    let broker: Arc<dyn Broker> = Arc::clone(&shore.broker) as Arc<dyn Broker>;
    Leader::new(broker, name.into())
}

#[tokio::test]
async fn a_second_candidate_waits_until_the_lease_is_given_back() {
    let shore = shore().await;
    let (first, second) = (leader(&shore, "first"), leader(&shore, "second"));
    let held = first.stand_by(|| {}).await.unwrap();
    assert!(held.tenure().is_valid());
    let answers = AtomicU64::new(0);
    let waiting = second.stand_by(|| {
        answers.fetch_add(1, Ordering::Relaxed);
    });
    tokio::select! {
        _ = waiting => panic!("two hold one lease"),
        () = sleep(STANDBY * 2) => {}
    }
    assert!(
        answers.load(Ordering::Relaxed) > 0,
        "a refusal settles the question too"
    );
    first.release(held).await;
    second.stand_by(|| {}).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_another_took_is_lost_and_its_tenure_ends() {
    let shore = shore().await;
    let (first, second) = (leader(&shore, "first"), leader(&shore, "second"));
    let mut held = first.stand_by(|| {}).await.unwrap();
    // The broker's time passes the lease's end while the first is not heard of.
    shore.now_ms.fetch_add(PAST_THE_END_MS, Ordering::Relaxed);
    second.stand_by(|| {}).await.unwrap();
    // At the first refusal, not only once its own term would have ended.
    tokio::time::timeout(TRUST, first.keep(&mut held))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_renewal_whose_answer_was_lost_costs_nothing() {
    let shore = shore().await;
    let first = leader(&shore, "first");
    let mut held = first.stand_by(|| {}).await.unwrap();
    let mut tenure = held.tenure();
    let lost = shore.broker.lease_renew("first", held.lease).await;
    assert!(lost.unwrap().is_some());
    let deadline = *tenure.deadline.borrow_and_update();
    tokio::select! {
        () = first.keep(&mut held) => panic!("the lease is ours"),
        moved = tenure.deadline.wait_for(|at| *at > deadline) => { moved.unwrap(); }
    }
    tenure.valid().await;
}

#[tokio::test]
async fn a_lease_that_ended_and_is_free_is_taken_again() {
    let shore = shore().await;
    let first = leader(&shore, "first");
    let mut held = first.stand_by(|| {}).await.unwrap();
    let mut tenure = held.tenure();
    shore.now_ms.fetch_add(PAST_THE_END_MS, Ordering::Relaxed);
    let deadline = *tenure.deadline.borrow_and_update();
    tokio::select! {
        () = first.keep(&mut held) => panic!("nobody else wants it"),
        moved = tenure.deadline.wait_for(|at| *at > deadline) => { moved.unwrap(); }
    }
    tenure.valid().await;
}
