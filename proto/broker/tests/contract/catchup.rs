//! Reading the log: pages, holes, and how far an answer is complete.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Erasure, Freshness, PublishError, StreamSettings};
use bytes::Bytes;
use proto::Subject;

use super::home::{Home, channel, eventually, guild, publication, settings};

const BOTH: [Freshness; 2] = [Freshness::Any, Freshness::Leader];

/// Publishes events in turn to subjects 1 to `subjects`.
async fn publish(broker: &Arc<dyn Broker>, events: u64, subjects: u64) {
    for number in 1..=events {
        let subject = channel((number - 1) % subjects + 1);
        let expected = number.saturating_sub(subjects);
        let event = publication(subject, &number.to_string());
        assert_eq!(broker.publish(&event, expected).await.unwrap(), number);
    }
}

/// The sequences that a read brings, and how far it is complete.
async fn read(
    home: &Home,
    from: u64,
    subject: Option<Subject>,
    events_max: usize,
    freshness: Freshness,
) -> (Vec<u64>, u64) {
    let broker = home.broker();
    let read = broker
        .read(from, subject, events_max, freshness)
        .await
        .unwrap();
    let sequences = read.events.iter().map(|event| event.sequence);
    (sequences.collect(), read.complete_to)
}

pub(crate) async fn a_read_brings_what_was_published_also_after_a_restart(home: &Home) {
    let mut event = publication(guild(7), "traced");
    event.trace = proto::TraceParent::new(1, 2, false);
    publish(&home.broker(), 4, 2).await;
    assert_eq!(home.broker().publish(&event, 0).await.unwrap(), 5);
    home.restart().await;
    for freshness in BOTH {
        assert_eq!(
            read(home, 3, None, 100, freshness).await,
            (vec![3, 4, 5], 5)
        );
        let read = home.broker().read(5, None, 100, freshness).await.unwrap();
        let traced = read.events.first().unwrap();
        assert_eq!(traced.subject, event.subject);
        assert_eq!(traced.identity, event.identity);
        assert_eq!(traced.trace, event.trace);
        assert_eq!(traced.payload, event.payload);
    }
}

pub(crate) async fn a_read_of_one_subject_leaves_the_others_out(home: &Home) {
    publish(&home.broker(), 6, 2).await;
    for freshness in BOTH {
        let (sequences, complete_to) = read(home, 2, Some(channel(1)), 100, freshness).await;
        assert_eq!((sequences, complete_to), (vec![3, 5], 6));
    }
}

pub(crate) async fn a_long_read_goes_page_by_page(home: &Home) {
    publish(&home.broker(), 50, 2).await;
    for freshness in BOTH {
        for (subject, wanted) in [
            (None, (1..=50).collect::<Vec<u64>>()),
            (Some(channel(2)), (1..=25).map(|n| 2 * n).collect()),
        ] {
            let (mut sequences, mut position, mut pages) = (Vec::new(), 0, 0);
            while position < 50 {
                let (page, to) = read(home, position + 1, subject, 7, freshness).await;
                assert!(page.len() <= 7 && to > position);
                sequences.extend(page);
                position = to;
                pages += 1;
            }
            assert_eq!((sequences, position), (wanted, 50));
            assert!(pages > 3);
        }
    }
}

pub(crate) async fn a_page_is_bounded_in_bytes(home: &Home) {
    let broker = home.broker();
    for number in 0..12 {
        let mut event = publication(channel(number + 1), &number.to_string());
        event.payload = Bytes::from(vec![0; 512 * 1024]);
        broker.publish(&event, 0).await.unwrap();
    }
    for freshness in BOTH {
        let (page, to) = read(home, 1, None, 1000, freshness).await;
        let pages_events = u64::try_from(page.len()).unwrap();
        assert!((7..=9).contains(&pages_events), "{page:?}");
        assert_eq!(to, pages_events);
    }
}

pub(crate) async fn a_read_is_complete_to_exactly_the_end(home: &Home) {
    for freshness in BOTH {
        assert_eq!(read(home, 1, None, 10, freshness).await, (vec![], 0));
    }
    publish(&home.broker(), 5, 5).await;
    for freshness in BOTH {
        let quiet = Some(channel(9));
        assert_eq!(read(home, 1, quiet, 10, freshness).await, (vec![], 5));
        assert_eq!(read(home, 4, quiet, 10, freshness).await, (vec![], 5));
        let once = Some(channel(2));
        assert_eq!(read(home, 1, once, 10, freshness).await, (vec![2], 5));
        assert_eq!(read(home, 3, once, 10, freshness).await, (vec![], 5));
        assert_eq!(
            read(home, 1, None, 10, freshness).await,
            (vec![1, 2, 3, 4, 5], 5)
        );
        assert_eq!(read(home, 1, None, 2, freshness).await, (vec![1, 2], 2));
        assert_eq!(read(home, 6, None, 10, freshness).await, (vec![], 5));
    }
}

pub(crate) async fn deleted_events_are_absent_and_complete(home: &Home) {
    publish(&home.broker(), 8, 2).await;
    for sequence in [1, 4, 5, 8] {
        home.delete(sequence).await;
    }
    let state = home.broker().state().await.unwrap();
    assert_eq!((state.first, state.last), (2, 8));
    for freshness in BOTH {
        assert_eq!(
            read(home, 1, None, 100, freshness).await,
            (vec![2, 3, 6, 7], 8)
        );
        assert_eq!(read(home, 4, None, 2, freshness).await.0, vec![6, 7]);
        assert_eq!(read(home, 8, None, 100, freshness).await, (vec![], 8));
        assert_eq!(
            read(home, 4, Some(channel(2)), 100, freshness).await,
            (vec![6], 8)
        );
    }
}

pub(crate) async fn what_is_removed_is_absent_and_the_numbers_go_on(home: &Home) {
    let broker = home.broker();
    publish(&broker, 4, 1).await;
    for (sequence, erasure) in [(2, Erasure::Forget), (4, Erasure::Overwrite)] {
        assert!(
            broker.remove(sequence, erasure).await.unwrap(),
            "{sequence}"
        );
    }
    for freshness in BOTH {
        assert_eq!(read(home, 1, None, 10, freshness).await, (vec![1, 3], 4));
    }
    let last = broker.last_of(channel(1)).await.unwrap().unwrap();
    assert_eq!(last.sequence, 3);
    // Whoever expects what is there no longer reads again.
    let event = publication(channel(1), "new");
    let stale = broker.publish(&event, 4).await;
    assert!(matches!(stale, Err(PublishError::Expectation)), "{stale:?}");
    assert_eq!(broker.publish(&event, 3).await.unwrap(), 5);
}

pub(crate) async fn only_what_is_named_is_removed(home: &Home) {
    let broker = home.broker();
    publish(&broker, 6, 2).await;
    assert!(broker.remove(3, Erasure::Overwrite).await.unwrap());
    for freshness in BOTH {
        let left = read(home, 1, None, 10, freshness).await;
        assert_eq!(left, (vec![1, 2, 4, 5, 6], 6));
    }
    let read = broker.read(1, None, 10, Freshness::Leader).await.unwrap();
    for event in read.events {
        assert_eq!(event.payload, event.sequence.to_string().as_bytes());
    }
}

pub(crate) async fn what_is_not_there_is_not_removed(home: &Home) {
    let broker = home.broker();
    publish(&broker, 2, 1).await;
    for erasure in [Erasure::Forget, Erasure::Overwrite] {
        assert!(!broker.remove(3, erasure).await.unwrap());
    }
    assert!(broker.remove(1, Erasure::Forget).await.unwrap());
    assert!(!broker.remove(1, Erasure::Overwrite).await.unwrap());
    let state = broker.state().await.unwrap();
    assert_eq!((state.first, state.last), (2, 2));
}

pub(crate) async fn what_is_removed_stays_so_after_a_restart(home: &Home) {
    publish(&home.broker(), 3, 1).await;
    for sequence in [1, 2, 3] {
        let removed = home.broker().remove(sequence, Erasure::Overwrite).await;
        assert!(removed.unwrap());
    }
    home.restart().await;
    let state = home.broker().state().await.unwrap();
    assert_eq!((state.first, state.last), (4, 3));
    for freshness in BOTH {
        assert_eq!(read(home, 1, None, 10, freshness).await, (vec![], 3));
    }
}

pub(crate) async fn old_events_are_dropped(home: &Home) {
    let broker = home.broker();
    publish(&broker, 3, 1).await;
    let short = StreamSettings {
        age_max: Duration::from_secs(1),
        ..settings()
    };
    broker.provision(&short).await.unwrap();
    home.pass(Duration::from_secs(2)).await;
    eventually("the events are dropped", async || {
        let state = broker.state().await.unwrap();
        (state.first == 4 && state.last == 3).then_some(())
    })
    .await;
    for freshness in BOTH {
        assert_eq!(read(home, 1, None, 10, freshness).await, (vec![], 3));
    }
    // Nothing is left of the subject, and the numbers go on.
    assert_eq!(
        broker
            .publish(&publication(channel(1), "new"), 0)
            .await
            .unwrap(),
        4
    );
}

pub(crate) async fn the_oldest_events_are_dropped_when_there_is_too_much(home: &Home) {
    let broker = home.broker();
    let small = StreamSettings {
        bytes_max: 256 * 1024,
        ..settings()
    };
    broker.provision(&small).await.unwrap();
    for number in 1..=100_u64 {
        let mut event = publication(channel(1), &number.to_string());
        event.payload = Bytes::from(vec![0; 8 * 1024]);
        assert_eq!(broker.publish(&event, number - 1).await.unwrap(), number);
    }
    let first = eventually("the oldest are dropped", async || {
        let first = broker.state().await.unwrap().first;
        (first >= 68).then_some(first)
    })
    .await;
    assert!(first <= 75, "too much was dropped: {first}");
    for freshness in BOTH {
        let wanted: Vec<u64> = (first..=100).collect();
        assert_eq!(read(home, 1, None, 1000, freshness).await, (wanted, 100));
    }
}
