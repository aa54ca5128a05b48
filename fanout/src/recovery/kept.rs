//! A connection's side of what is kept of it: what has to be written, and what was.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use proto::ChannelId;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Claim, Joined, Record};
use crate::offset::{Bookmark, Offset};

/// After this long a record is written again that could not be.
const RETRY: Duration = Duration::from_secs(1);

/// What is kept of one connection.
#[derive(Debug)]
pub struct Kept {
    /// Under which name.
    pub claim: Claim,
    sid: String,
    /// The pages, in the order in which they were sent.
    pages: Vec<Joined>,
    /// The last page, of whichever channel: an offset is never told twice.
    last: Option<Bookmark>,
    /// What was written last, or could not be.
    settled: Option<Record>,
    due: Instant,
    /// The feed has broken: what was joined until then is what the client comes back to.
    is_frozen: bool,
    /// One write at a time, so that none overtakes another.
    line: Rc<Mutex<()>>,
}

impl Kept {
    /// A new connection's, with its socket's public id.
    pub fn new(claim: Claim, sid: String) -> Self {
        Self {
            claim,
            sid,
            pages: Vec::new(),
            last: None,
            settled: None,
            due: Instant::now(),
            is_frozen: false,
            line: Rc::default(),
        }
    }

    /// That of a connection which goes on with what it was before, now that this is written.
    pub fn of_record(claim: Claim, record: Record, seen: Bookmark, renewal: Duration) -> Self {
        let pages = record.channels.iter().copied();
        let mut kept = Self::new(claim, record.sid.clone());
        kept.pages = pages.filter(|joined| joined.is_seen(seen)).collect();
        kept.last = Some(seen);
        kept.on_settled(record, true, renewal);
        kept
    }

    /// Whose turn it is to write.
    pub fn line(&self) -> Rc<Mutex<()>> {
        self.line.clone()
    }

    /// Where the next page is, among those at its position.
    pub fn place(&self, position: Offset) -> Bookmark {
        let here = |last: &Bookmark| last.offset == position;
        let last = self.last.filter(here).map_or(0, |last| last.turn);
        Bookmark::of_page(position, last.into())
    }

    /// A page goes out.
    pub fn on_page(&mut self, channel: ChannelId, at: Bookmark, limit: Option<u32>) {
        self.pages.retain(|page| page.channel != channel.get());
        self.pages.push(Joined::with_page(channel, at, limit));
        self.last = Some(at);
    }

    /// The channel is out of it.
    pub fn on_left(&mut self, channel: ChannelId) {
        self.pages.retain(|page| page.channel != channel.get());
    }

    /// From here on nothing that is left is forgotten.
    pub fn freeze(&mut self) {
        self.is_frozen = true;
    }

    /// What is to be written, or was: all that is joined and about to be.
    pub fn record(
        &self,
        generation: u64,
        joined: &BTreeSet<ChannelId>,
        joining: &BTreeSet<ChannelId>,
    ) -> Record {
        if let Some(settled) = self.settled.as_ref().filter(|_| self.is_frozen) {
            return settled.clone();
        }
        let mut channels: Vec<_> = self.pages.clone();
        channels.retain(|page| page.id().is_some_and(|id| joined.contains(&id)));
        let coming = joining.difference(joined).copied();
        channels.extend(coming.map(Joined::without_page));
        Record::new(self.sid.clone(), generation, channels)
    }

    /// The record has to be written.
    pub fn is_unsettled(&self, record: &Record) -> bool {
        match &self.settled {
            // Nobody comes back to nothing.
            None => !record.channels.is_empty(),
            Some(settled) => settled != record || self.is_due(Instant::now()),
        }
    }

    /// Something was written, or would have been.
    pub fn is_begun(&self) -> bool {
        self.settled.is_some()
    }

    /// It is being written, or somebody waits for that.
    pub fn is_busy(&self) -> bool {
        self.line.try_lock().is_err()
    }

    /// It is time to keep it for another window.
    pub fn is_due(&self, now: Instant) -> bool {
        self.settled.is_some() && self.due <= now
    }

    /// The channel is written down, as far as that was possible.
    pub fn has(&self, channel: ChannelId) -> bool {
        self.settled
            .as_ref()
            .is_some_and(|record| record.has(channel))
    }

    /// The record was written, or could not be: nobody waits for it.
    pub fn on_settled(&mut self, record: Record, is_written: bool, renewal: Duration) {
        self.settled = Some(record);
        let pause = if is_written {
            renewal
        } else {
            RETRY.min(renewal)
        };
        self.due = Instant::now() + pause;
    }

    /// It is kept under another name from now on; the former one.
    pub fn rename(&mut self, claim: Claim) -> Claim {
        self.settled = None;
        std::mem::replace(&mut self.claim, claim)
    }
}
