//! What others say on the broker and nobody stores, heard for as long as the service runs.
//!
//! A listener that is cut off subscribes again by itself, with growing pauses; what was said meanwhile is
//! missed, and whoever says something that must hold says it again. Knows nothing of what is said.

use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Notice};
use tokio_util::sync::CancellationToken;

/// Between two tries to listen, at first and at most.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The broker bounds its own calls by less; one that forgets to answer holds nobody.
const SUBSCRIBE_TIME_MAX: Duration = Duration::from_secs(10);

/// Hands on every notice of a subject, or of all below it, until told to stop.
pub async fn listen(
    broker: Arc<dyn Broker>,
    subject: &'static str,
    stop: CancellationToken,
    mut on_notice: impl FnMut(Notice) + Send,
) {
    let mut pause = PAUSE_MIN;
    loop {
        let listening = async {
            let subscribing = tokio::time::timeout(SUBSCRIBE_TIME_MAX, broker.notices(subject));
            let Ok(Ok(mut notices)) = subscribing.await else {
                return false;
            };
            while let Some(notice) = notices.next().await {
                on_notice(notice);
            }
            true
        };
        let was_heard = tokio::select! {
            () = stop.cancelled() => return,
            was_heard = listening => was_heard,
        };
        if was_heard {
            pause = PAUSE_MIN;
        }
        tracing::debug!(subject, "notices are not heard now");
        let wait = pause.mul_f64(rand::random_range(0.5..1.5));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::{Embedded, EmbeddedSettings};
    use bytes::Bytes;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn what_is_said_is_heard_until_the_listener_is_told_to_stop() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.db");
        let broker = Embedded::open(&path, EmbeddedSettings::default())
            .await
            .unwrap();
        let stop = CancellationToken::new();
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let listening = tokio::spawn(listen(broker.clone(), "a.>", stop.clone(), move |notice| {
            heard.send(notice).unwrap();
        }));
        let notice = loop {
            broker
                .notify("a.b", Bytes::from_static(b"x"))
                .await
                .unwrap();
            let heard = tokio::time::timeout(Duration::from_millis(20), hearing.recv()).await;
            if let Ok(notice) = heard {
                break notice.unwrap();
            }
        };
        assert_eq!(
            (notice.subject.as_str(), &notice.payload[..]),
            ("a.b", &b"x"[..])
        );
        stop.cancel();
        listening.await.unwrap();
        broker.close().await;
    }
}
