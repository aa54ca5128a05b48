//! The queue between the broker and one reader of the live feed, the same in both homes.
//!
//! It is bounded in bytes and never blocks who fills it: what does not fit is left out, and a
//! [`LiveItem::Disturbed`] stands in its place, so that the reader knows. It knows nothing of where items
//! come from.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::DropGuard;

use crate::broker::{LiveItem, LiveReceiver, Stored};

/// Eight seconds of all the traffic of a busy bot (1,000 events a second of 1 KB): a reader that stands
/// still for longer catches up from the log, which is cheaper than remembering for it.
pub(crate) const FEED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What an item costs beside its text and payload: the struct, its queue slot and two allocations.
const ITEM_BYTES: usize = 192;

/// Why events are missing when the queue was full.
const OVERFLOW: &str = "the reader was slow and its buffer full";

/// Items on their way to one reader.
#[derive(Debug)]
pub(crate) struct FeedQueue {
    state: Mutex<State>,
    filled: Notify,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<LiveItem>,
    bytes: usize,
    is_closed: bool,
}

impl FeedQueue {
    /// An empty queue of at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            filled: Notify::new(),
            bytes_max,
        })
    }

    /// Adds an item; one that does not fit is replaced by a disturbance.
    pub(crate) fn push(&self, item: LiveItem) {
        let mut state = self.state.lock();
        if state.bytes + cost(&item) > self.bytes_max {
            state.disturb(OVERFLOW);
        } else if let LiveItem::Disturbed(why) = item {
            state.disturb(why);
        } else {
            state.add(item);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Ends the feed once it is drained.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.filled.notify_one();
    }

    /// The next item; `None` once the queue is closed and drained. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<LiveItem> {
        loop {
            let filled = self.filled.notified();
            {
                let mut state = self.state.lock();
                if let Some(item) = state.take() {
                    return Some(item);
                }
                if state.is_closed {
                    return None;
                }
            }
            filled.await;
        }
    }
}

impl State {
    /// One disturbance stands for all until something else follows it: that bounds them by the events.
    fn disturb(&mut self, why: &'static str) {
        if !matches!(self.items.back(), Some(LiveItem::Disturbed(_))) {
            self.add(LiveItem::Disturbed(why));
        }
    }

    fn add(&mut self, item: LiveItem) {
        self.bytes += cost(&item);
        self.items.push_back(item);
    }

    fn take(&mut self) -> Option<LiveItem> {
        let item = self.items.pop_front()?;
        self.bytes -= cost(&item);
        Some(item)
    }
}

fn cost(item: &LiveItem) -> usize {
    match item {
        LiveItem::Event(Stored {
            identity, payload, ..
        }) => ITEM_BYTES + identity.len() + payload.len(),
        LiveItem::Head(..) | LiveItem::Disturbed(_) => ITEM_BYTES,
    }
}

/// The reader's end. Dropping it ends what fills the queue.
#[derive(Debug)]
pub(crate) struct Receiver {
    queue: Arc<FeedQueue>,
    _filler: Option<DropGuard>,
}

impl Receiver {
    /// Reads this queue, and stops its filler (if it has one of its own) when dropped.
    pub(crate) fn new(queue: Arc<FeedQueue>, filler: Option<DropGuard>) -> Self {
        Self {
            queue,
            _filler: filler,
        }
    }
}

#[async_trait]
impl LiveReceiver for Receiver {
    async fn next(&mut self) -> Option<LiveItem> {
        self.queue.next().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proto::{ChannelId, Subject};

    use super::*;

    fn event(sequence: u64) -> LiveItem {
        LiveItem::Event(Stored {
            sequence,
            subject: Subject::Channel(ChannelId::new(1).unwrap()),
            identity: "i".to_owned(),
            trace: None,
            payload: Bytes::from_static(&[0; 100]),
        })
    }

    #[tokio::test]
    async fn a_full_queue_leaves_events_out_and_says_so_in_their_place() {
        let queue = FeedQueue::new(2 * cost(&event(1)));
        for sequence in 1..=4 {
            queue.push(event(sequence));
        }
        assert_eq!(queue.next().await, Some(event(1)));
        assert_eq!(queue.next().await, Some(event(2)));
        assert_eq!(queue.next().await, Some(LiveItem::Disturbed(OVERFLOW)));
        queue.push(event(5));
        assert_eq!(queue.next().await, Some(event(5)));
    }

    #[tokio::test]
    async fn disturbances_without_events_between_them_are_one() {
        let queue = FeedQueue::new(FEED_BYTES_MAX);
        queue.push(LiveItem::Disturbed("a"));
        queue.push(LiveItem::Disturbed("b"));
        queue.push(event(1));
        assert_eq!(queue.next().await, Some(LiveItem::Disturbed("a")));
        assert_eq!(queue.next().await, Some(event(1)));
    }

    #[tokio::test]
    async fn a_closed_queue_is_drained_before_it_ends() {
        let queue = FeedQueue::new(FEED_BYTES_MAX);
        queue.push(event(1));
        queue.close();
        assert_eq!(queue.next().await, Some(event(1)));
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let queue = FeedQueue::new(FEED_BYTES_MAX);
        let reader = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.push(event(1));
        assert_eq!(reader.await.unwrap(), Some(event(1)));
    }
}
