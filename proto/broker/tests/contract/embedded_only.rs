//! What only the embedded home has: a file that may be left behind by a crash, and an end.

use broker::{
    Broker as _, BrokerError, Embedded, EmbeddedSettings, Freshness, PublishError, Unanswered,
};
use bytes::Bytes;

use super::home::{PATIENCE, channel, publication, soon};

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.db");
    let broker = Embedded::open(&file, EmbeddedSettings::default())
        .await
        .unwrap();
    for number in 0..50 {
        let event = publication(channel(1), &number.to_string());
        assert_eq!(broker.publish(&event, number).await.unwrap(), number + 1);
    }
    let before = broker.state().await.unwrap();
    // What a killed process leaves behind: the file and its log as they are, never closed.
    let left = tempfile::tempdir().unwrap();
    let copy = left.path().join("stream.db");
    std::fs::copy(&file, &copy).unwrap();
    std::fs::copy(
        folder.path().join("stream.db-wal"),
        left.path().join("stream.db-wal"),
    )
    .unwrap();
    let again = Embedded::open(&copy, EmbeddedSettings::default())
        .await
        .unwrap();
    assert_eq!(again.state().await.unwrap(), before);
    let read = |broker: std::sync::Arc<Embedded>| async move {
        broker.read(1, None, 100, Freshness::Any).await.unwrap()
    };
    assert_eq!(read(again).await, read(broker).await);
}

#[tokio::test]
async fn a_closed_broker_ends_its_feeds_and_answers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.db");
    let broker = Embedded::open(&file, EmbeddedSettings::default())
        .await
        .unwrap();
    let mut feed = broker.live().await.unwrap();
    let mut requests = broker.serve("rpc.ingest.member").await.unwrap();
    soon("the broker closes", broker.close()).await;
    assert_eq!(soon("the feed ends", feed.next()).await, None);
    assert!(soon("the requests end", requests.next()).await.is_none());
    let outcome = broker.publish(&publication(channel(1), "1"), 0).await;
    assert!(
        matches!(outcome, Err(PublishError::Unknown(_))),
        "{outcome:?}"
    );
    assert!(matches!(broker.state().await, Err(BrokerError::Away(_))));
    assert!(matches!(broker.live().await, Err(BrokerError::Away(_))));
    let asked = broker
        .request("rpc.ingest.member", Bytes::new(), PATIENCE)
        .await;
    assert!(matches!(asked, Err(Unanswered::Nobody)), "{asked:?}");
}

#[tokio::test]
async fn a_file_that_is_no_log_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.db");
    std::fs::write(&file, vec![b'x'; 8192]).unwrap();
    assert!(
        Embedded::open(&file, EmbeddedSettings::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn publications_at_the_same_time_are_all_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("stream.db");
    let broker = Embedded::open(&file, EmbeddedSettings::default())
        .await
        .unwrap();
    let mut feed = broker.live().await.unwrap();
    let publishing = (1..=300).map(|id| {
        let broker = &broker;
        async move {
            let event = publication(channel(id), &id.to_string());
            let (one, other) = tokio::join!(broker.publish(&event, 0), broker.publish(&event, 0));
            assert_eq!(one.unwrap(), other.unwrap());
        }
    });
    futures_util::future::join_all(publishing).await;
    assert_eq!(broker.state().await.unwrap().last, 300);
    for sequence in 1..=300 {
        assert_eq!(super::live::next_event(&mut feed).await.sequence, sequence);
    }
}
