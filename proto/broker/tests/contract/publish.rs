//! Publishing: numbers, identities, expectations.

use std::time::Duration;

use broker::{Freshness, PublishError};
use bytes::Bytes;
use proto::TraceParent;

use super::home::{Home, PATIENCE, channel, eventually, guild, publication, settings, soon};

pub(crate) async fn sequences_are_numbered_over_all_subjects(home: &Home) {
    let broker = home.broker();
    let state = broker.state().await.unwrap();
    assert_eq!((state.first, state.last), (1, 0));
    let (a, b) = (channel(1), guild(1));
    assert_eq!(broker.publish(&publication(a, "1"), 0).await.unwrap(), 1);
    assert_eq!(broker.publish(&publication(b, "2"), 0).await.unwrap(), 2);
    assert_eq!(broker.publish(&publication(a, "3"), 1).await.unwrap(), 3);
    let state = broker.state().await.unwrap();
    assert_eq!((state.first, state.last), (1, 3));
}

pub(crate) async fn an_identity_is_stored_once(home: &Home) {
    let broker = home.broker();
    let event = publication(channel(1), "same");
    assert_eq!(broker.publish(&event, 0).await.unwrap(), 1);
    assert_eq!(broker.publish(&event, 1).await.unwrap(), 1);
    assert_eq!(broker.state().await.unwrap().last, 1);
}

pub(crate) async fn an_identity_is_stored_once_across_a_restart(home: &Home) {
    let event = publication(channel(1), "same");
    assert_eq!(home.broker().publish(&event, 0).await.unwrap(), 1);
    home.restart().await;
    assert_eq!(home.broker().publish(&event, 1).await.unwrap(), 1);
    assert_eq!(home.broker().state().await.unwrap().last, 1);
}

pub(crate) async fn an_identity_is_forgotten_after_the_window(home: &Home) {
    let broker = home.broker();
    let window = Duration::from_secs(1);
    let short = broker::StreamSettings {
        duplicate_window: window,
        ..settings()
    };
    broker.provision(&short).await.unwrap();
    let event = publication(channel(1), "same");
    assert_eq!(broker.publish(&event, 0).await.unwrap(), 1);
    assert_eq!(broker.publish(&event, 1).await.unwrap(), 1);
    home.pass(2 * window).await;
    let again = eventually("the identity is forgotten", async || {
        let sequence = broker.publish(&event, 1).await.unwrap();
        (sequence != 1).then_some(sequence)
    });
    assert_eq!(again.await, 2);
}

pub(crate) async fn a_stale_expectation_is_refused_and_stores_nothing(home: &Home) {
    let broker = home.broker();
    let subject = channel(1);
    broker.publish(&publication(subject, "1"), 0).await.unwrap();
    for stale in [0, 2] {
        let refused = broker.publish(&publication(subject, "2"), stale).await;
        assert!(
            matches!(refused, Err(PublishError::Expectation)),
            "{refused:?}"
        );
    }
    assert_eq!(broker.state().await.unwrap().last, 1);
    // Another subject has its own last sequence.
    broker
        .publish(&publication(channel(2), "3"), 0)
        .await
        .unwrap();
    let sequence = broker.publish(&publication(subject, "2"), 1).await.unwrap();
    assert_eq!(sequence, 3);
}

/// Publishes events of one subject as ingest does: one in flight, the same identity again when the outcome is
/// unknown or the answer is "lost", the subject's last event when the expectation was stale.
async fn publish_all(home: &Home, id: u64, events: u64) {
    let subject = channel(id);
    let mut expected = 0;
    for number in 0..events {
        let event = publication(subject, &format!("{id}-{number}"));
        // Every third answer is taken for lost: the event is sent again.
        let mut retries = u64::from(number % 3 == 0);
        expected = eventually("the event is acknowledged", async || {
            match home.broker().publish(&event, expected).await {
                Ok(sequence) if retries == 0 => Some(sequence),
                Ok(_) => {
                    retries -= 1;
                    None
                }
                Err(PublishError::Expectation) => {
                    let last = home.broker().last_of(subject).await.ok()??;
                    if last.identity == event.identity {
                        return Some(last.sequence);
                    }
                    expected = last.sequence;
                    None
                }
                Err(PublishError::Unknown(_)) => None,
                Err(refused) => panic!("{refused}"),
            }
        })
        .await;
    }
}

pub(crate) async fn order_holds_under_retries_and_a_restart(home: &Home) {
    const SUBJECTS: u64 = 4;
    const EVENTS: u64 = 30;
    let half = async {
        eventually("half is published", async || {
            let state = home.broker().state().await.ok()?;
            (state.last >= SUBJECTS * EVENTS / 2).then_some(())
        })
        .await;
        home.restart().await;
    };
    let publishing =
        futures_util::future::join_all((1..=SUBJECTS).map(|id| publish_all(home, id, EVENTS)));
    tokio::time::timeout(2 * PATIENCE, async { tokio::join!(publishing, half) })
        .await
        .unwrap();
    assert_eq!(home.broker().state().await.unwrap().last, SUBJECTS * EVENTS);
    for id in 1..=SUBJECTS {
        let broker = home.broker();
        let read = broker.read(1, Some(channel(id)), 1000, Freshness::Any);
        let identities: Vec<String> = read
            .await
            .unwrap()
            .events
            .into_iter()
            .map(|e| e.identity)
            .collect();
        let wanted: Vec<String> = (0..EVENTS).map(|number| format!("{id}-{number}")).collect();
        assert_eq!(identities, wanted);
    }
}

pub(crate) async fn what_is_too_large_or_malformed_is_refused_for_good(home: &Home) {
    let broker = home.broker();
    let mut large = publication(channel(1), "large");
    large.payload = Bytes::from(vec![0; 1024 * 1024]);
    let lines = publication(channel(1), "two\r\nlines");
    for event in [large, lines] {
        let refused = broker.publish(&event, 0).await;
        assert!(
            matches!(refused, Err(PublishError::Refused(_))),
            "{refused:?}"
        );
    }
    let mut fitting = publication(channel(1), "fitting");
    fitting.payload = Bytes::from(vec![0; 1000 * 1024]);
    assert_eq!(broker.publish(&fitting, 0).await.unwrap(), 1);
}

pub(crate) async fn the_last_event_of_a_subject_is_told(home: &Home) {
    let broker = home.broker();
    assert_eq!(broker.last_of(channel(1)).await.unwrap(), None);
    let mut event = publication(channel(1), "1");
    event.trace = TraceParent::new(5, 6, true);
    broker.publish(&event, 0).await.unwrap();
    broker
        .publish(&publication(channel(2), "2"), 0)
        .await
        .unwrap();
    let last = soon("the answer", broker.last_of(channel(1)))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.sequence, 1);
    assert_eq!(last.subject, event.subject);
    assert_eq!(last.identity, event.identity);
    assert_eq!(last.trace, event.trace);
    assert_eq!(last.payload, event.payload);
}

pub(crate) async fn a_generation_outlives_a_restart_and_belongs_to_one_stream(home: &Home) {
    let before = home.broker().state().await.unwrap().generation;
    home.restart().await;
    assert_eq!(home.broker().state().await.unwrap().generation, before);
    home.broker().provision(&settings()).await.unwrap();
    assert_eq!(home.broker().state().await.unwrap().generation, before);
    home.remake().await;
    assert_ne!(home.broker().state().await.unwrap().generation, before);
}
