//! The live feed: three core subscriptions, pumped into one reader's queue.
//!
//! The republished events come in the stream's order; heads and disturbances come beside them, in no promised
//! order. The pump only decodes and never waits for the reader.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt as _;
use proto::subject::{HEADS, LIVE, STREAM};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::api::CALL_PATIENCE;
use super::{Nats, wire};
use crate::broker::{BrokerError, LiveItem};
use crate::feed::{FeedQueue, Receiver};

/// Subscribes, and returns once the server has the subscriptions.
pub(super) async fn subscribe(nats: &Nats) -> Result<Receiver, BrokerError> {
    let disturbances = nats.connection.disturbances();
    let leaders = format!("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{STREAM}");
    let subscribing = async {
        let events = nats.subscribe(LIVE).await?;
        let heads = nats.subscribe(HEADS).await?;
        let leaders = nats.subscribe(&leaders).await?;
        nats.round_trip().await?;
        Ok((events, heads, leaders))
    };
    let (events, heads, leaders) = nats.bounded(CALL_PATIENCE, subscribing).await?;
    let stop = nats.stop.child_token();
    let queue = FeedQueue::new(nats.feed_bytes_max);
    let pump = Pump {
        events,
        heads,
        leaders,
        disturbances,
        queue: Arc::clone(&queue),
    };
    nats.tasks.spawn(pump.run(stop.clone()));
    Ok(Receiver::new(queue, Some(stop.drop_guard())))
}

/// The task of one feed.
struct Pump {
    events: Subscriber,
    heads: Subscriber,
    leaders: Subscriber,
    disturbances: watch::Receiver<&'static str>,
    queue: Arc<FeedQueue>,
}

impl Pump {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let item = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                disturbed = self.disturbances.changed() => match disturbed {
                    Ok(()) => Some(LiveItem::Disturbed(*self.disturbances.borrow_and_update())),
                    Err(_) => break,
                },
                event = self.events.next() => match event {
                    Some(message) => wire::stored(message).map(LiveItem::Event),
                    None => break,
                },
                head = self.heads.next() => match head {
                    Some(message) => parse_head(&message),
                    None => break,
                },
                elected = self.leaders.next() => match elected {
                    Some(_) => Some(LiveItem::Disturbed("the stream has a new leader")),
                    None => break,
                },
            };
            if let Some(item) = item {
                self.queue.push(item);
            }
        }
        self.queue.close();
    }
}

fn parse_head(message: &Message) -> Option<LiveItem> {
    let (generation, sequence) = wire::parse_head(&message.payload)?;
    Some(LiveItem::Head(generation, sequence))
}
