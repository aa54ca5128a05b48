//! The live feed.

use broker::{Freshness, LiveItem, LiveReceiver, Stored};

use super::home::{Home, channel, eventually, publication, soon};

/// The next event; heads and disturbances do not matter to the case.
pub(crate) async fn next_event(feed: &mut Box<dyn LiveReceiver>) -> Stored {
    soon("the next event comes", async {
        loop {
            if let LiveItem::Event(event) = feed.next().await.expect("the feed goes on") {
                return event;
            }
        }
    })
    .await
}

async fn publish(home: &Home, sequence: u64) {
    let mut event = publication(channel(sequence % 3 + 1), &sequence.to_string());
    event.trace = proto::TraceParent::new(9, 9, true);
    let expected = sequence.saturating_sub(3);
    let stored = home.broker().publish(&event, expected).await.unwrap();
    assert_eq!(stored, sequence);
}

pub(crate) async fn what_is_stored_after_the_feed_stands_comes_in_order(home: &Home) {
    publish(home, 1).await;
    let mut feed = home.broker().live().await.unwrap();
    let mut other = home.broker().live().await.unwrap();
    for sequence in 2..=50 {
        publish(home, sequence).await;
    }
    let read = home
        .broker()
        .read(2, None, 100, Freshness::Any)
        .await
        .unwrap();
    for feed in [&mut feed, &mut other] {
        let mut events = Vec::new();
        for _ in 2..=50 {
            events.push(next_event(feed).await);
        }
        assert_eq!(events, read.events);
    }
}

pub(crate) async fn a_duplicate_does_not_come_again(home: &Home) {
    let mut feed = home.broker().live().await.unwrap();
    publish(home, 1).await;
    let again = publication(channel(2), "1");
    assert_eq!(home.broker().publish(&again, 1).await.unwrap(), 1);
    publish(home, 2).await;
    assert_eq!(next_event(&mut feed).await.sequence, 1);
    assert_eq!(next_event(&mut feed).await.sequence, 2);
}

pub(crate) async fn a_hole_is_found_by_numbers_and_filled_by_a_read(home: &Home) {
    let mut feed = home.broker().live().await.unwrap();
    for sequence in 1..=30 {
        publish(home, sequence).await;
    }
    let mut seen = Vec::new();
    let mut position = 0;
    while position < 30 {
        let event = next_event(&mut feed).await;
        // Some items are lost on the way.
        if [4, 5, 6, 17, 29].contains(&event.sequence) {
            continue;
        }
        let broker = home.broker();
        while position + 1 < event.sequence {
            let filled = broker
                .read(position + 1, None, 2, Freshness::Any)
                .await
                .unwrap();
            let missing = filled
                .events
                .into_iter()
                .filter(|e| e.sequence < event.sequence);
            seen.extend(missing.map(|missing| missing.sequence));
            position = filled.complete_to.min(event.sequence - 1);
        }
        seen.push(event.sequence);
        position = event.sequence;
    }
    assert_eq!(seen, (1..=30).collect::<Vec<u64>>());
}

pub(crate) async fn a_head_reaches_all_feeds(home: &Home) {
    let broker = home.broker();
    let mut feeds = [broker.live().await.unwrap(), broker.live().await.unwrap()];
    broker.announce_head(77, 5).await.unwrap();
    for feed in &mut feeds {
        let head = soon("the head comes", async {
            loop {
                if let LiveItem::Head(generation, sequence) = feed.next().await.unwrap() {
                    return (generation, sequence);
                }
            }
        });
        assert_eq!(head.await, (77, 5));
    }
}

pub(crate) async fn a_slow_reader_is_told_that_events_are_missing(home: &Home) {
    let mut slow = home.broker().live().await.unwrap();
    for sequence in 1..=100 {
        publish(home, sequence).await;
    }
    let mut sequences = Vec::new();
    soon("the disturbance comes", async {
        loop {
            match slow.next().await.unwrap() {
                LiveItem::Event(event) => sequences.push(event.sequence),
                LiveItem::Disturbed(_) => return,
                LiveItem::Head(..) => {}
            }
        }
    })
    .await;
    assert!((1..100).contains(&sequences.len()), "{sequences:?}");
    // The feed goes on once there is room. On NATS the last of the hundred may still be on their way.
    let mut sequence = 100;
    eventually("a new event comes", async || {
        sequence += 1;
        publish(home, sequence).await;
        let next = next_event(&mut slow).await.sequence;
        sequences.push(next);
        (next > 100).then_some(())
    })
    .await;
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
}
