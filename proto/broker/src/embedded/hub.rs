//! All live feeds of one embedded broker.
//!
//! Whoever pushes never waits; a feed whose reader is gone is forgotten at the next item.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::broker::LiveItem;
use crate::feed::FeedQueue;

/// The feeds, in no order.
#[derive(Debug, Clone, Default)]
pub(super) struct Hub(Arc<Mutex<Vec<Weak<FeedQueue>>>>);

impl Hub {
    /// A new feed: what is pushed from now on comes.
    pub(super) fn subscribe(&self, bytes_max: usize) -> Arc<FeedQueue> {
        let queue = FeedQueue::new(bytes_max);
        self.0.lock().push(Arc::downgrade(&queue));
        queue
    }

    /// Gives an item to every feed.
    pub(super) fn push(&self, item: &LiveItem) {
        self.0.lock().retain(|feed| {
            let feed = feed.upgrade();
            if let Some(feed) = &feed {
                feed.push(item.clone());
            }
            feed.is_some()
        });
    }

    /// Ends every feed.
    pub(super) fn close(&self) {
        for feed in self.0.lock().drain(..) {
            if let Some(feed) = feed.upgrade() {
                feed.close();
            }
        }
    }
}
