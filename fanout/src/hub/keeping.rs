//! What is kept of connections, so that their clients can come back to it: written when something is joined or left,
//! and again before its window is over.

use std::rc::Rc;
use std::time::Duration;

use actix_socketio::Close;
use proto::ChannelId;
use registry::Away;
use tokio::time::{Instant, interval};

use super::{Hub, State};
use crate::offset::{Bookmark, Offset};
use crate::recovery::{Claim, Kept, Record};
use crate::session::{Viewer, ViewerKey};

/// Between two looks for what is due: little beside a third of any window that a client could meet.
const LOOK: Duration = Duration::from_millis(250);

/// Between two tries to write what somebody left behind, while the registry is away.
const RETRY: Duration = Duration::from_secs(1);

impl Hub {
    /// From here on a viewer can come back to what they have joined.
    pub fn keep_as(&self, key: ViewerKey, kept: Kept) {
        if let Some(viewer) = self.state.borrow_mut().viewers.get_mut(&key) {
            viewer.kept = Some(kept);
        }
    }

    /// A viewer's session ends for good: nobody comes back to it.
    pub fn end_session(&self, key: ViewerKey) {
        let state = &mut *self.state.borrow_mut();
        let viewer = state.viewers.get_mut(&key);
        let Some(kept) = viewer.and_then(|viewer| viewer.kept.take()) else {
            return;
        };
        let recovery = self.recovery.clone();
        actix_rt::spawn(async move {
            let line = kept.line();
            let _turn = line.lock().await;
            recovery.end(&kept.claim).await;
        });
    }

    /// A viewer's connection is gone: for a window they may come back.
    pub(super) fn leave_session(&self, state: &State, viewer: &mut Viewer) {
        let record = viewer.record(state.position.generation);
        let (Some(kept), Some(record)) = (viewer.kept.take(), record) else {
            return;
        };
        let recovery = self.recovery.clone();
        actix_rt::spawn(async move {
            let line = kept.line();
            let _turn = line.lock().await;
            if !kept.is_begun() && record.channels.is_empty() {
                return;
            }
            // Somebody may be back already: then it is theirs. An older record must not be what they come back to.
            let until = Instant::now() + recovery.window();
            while recovery.keep(&kept.claim, &record).await.is_err() && Instant::now() < until {
                tokio::time::sleep(RETRY).await;
            }
        });
    }

    /// Writes what has changed and what is due, for as long as the worker runs.
    pub(super) async fn keep_sessions(self: Rc<Self>) {
        let mut ticks = interval(LOOK);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.state.borrow_mut().find_due(),
                () = self.unkept.notified() => {}
            }
            let unkept = std::mem::take(&mut self.state.borrow_mut().unkept);
            for key in unkept {
                actix_rt::spawn(self.clone().keep_one(key));
            }
        }
    }

    async fn keep_one(self: Rc<Self>, key: ViewerKey) {
        self.keep(key).await;
    }

    /// Writes down what a viewer has joined and is about to join, unless that is done. No longer than a call to the
    /// registry may take.
    pub(super) async fn keep(&self, key: ViewerKey) {
        let line = {
            let state = self.state.borrow();
            let viewer = state.viewers.get(&key);
            viewer
                .and_then(|viewer| viewer.kept.as_ref())
                .map(Kept::line)
        };
        let Some(line) = line else {
            return;
        };
        let _turn = line.lock().await;
        let Some((claim, record)) = self.unwritten(key) else {
            return;
        };
        let kept = self.recovery.keep(&claim, &record).await;
        self.on_kept(key, &claim, record, kept);
    }

    fn unwritten(&self, key: ViewerKey) -> Option<(Claim, Record)> {
        let state = self.state.borrow();
        let viewer = state.viewers.get(&key)?;
        let record = viewer.record(state.position.generation)?;
        let kept = viewer
            .kept
            .as_ref()
            .filter(|kept| kept.is_unsettled(&record))?;
        Some((kept.claim.clone(), record))
    }

    fn on_kept(&self, key: ViewerKey, claim: &Claim, record: Record, kept: Result<bool, Away>) {
        let state = &mut *self.state.borrow_mut();
        let Some(viewer) = state.viewers.get_mut(&key) else {
            return;
        };
        let Some(own) = viewer.kept.as_mut().filter(|own| own.claim.is(claim)) else {
            return;
        };
        match kept {
            Ok(true) => own.on_settled(record, true, self.recovery.renewal()),
            // The client is back on another connection, and this one leads nowhere.
            Ok(false) => {
                viewer.kept = None;
                viewer.link.close(Close::GoingAway);
            }
            Err(Away) => own.on_settled(record, false, self.recovery.renewal()),
        }
    }

    /// What a viewer has joined is not what is written any more.
    pub(super) fn touch(&self, state: &mut State, key: ViewerKey) {
        if state
            .viewers
            .get(&key)
            .is_some_and(|viewer| viewer.kept.is_some())
        {
            state.unkept.insert(key);
            self.unkept.notify_one();
        }
    }

    /// A viewer has another token: under its name they come back from now on.
    pub(super) fn rename_session(&self, state: &mut State, key: ViewerKey) {
        let Some(viewer) = state.viewers.get_mut(&key) else {
            return;
        };
        let Some(kept) = &mut viewer.kept else {
            return;
        };
        let Some(renamed) = kept.claim.renamed(&viewer.session.principal) else {
            return;
        };
        let (former, recovery) = (kept.rename(renamed), self.recovery.clone());
        actix_rt::spawn(async move { recovery.end(&former).await });
        self.touch(state, key);
    }
}

impl State {
    fn find_due(&mut self) {
        let now = Instant::now();
        // One write of a viewer is enough: where the registry is slow, others would only wait behind it.
        let is_due = |kept: &Kept| kept.is_due(now) && !kept.is_busy();
        let is_due = |viewer: &Viewer| viewer.kept.as_ref().is_some_and(is_due);
        let due = self.viewers.iter().filter(|(_, viewer)| is_due(viewer));
        self.unkept.extend(due.map(|(key, _)| *key));
    }
}

impl Viewer {
    /// What is kept of them, if anything is.
    fn record(&self, generation: u64) -> Option<Record> {
        let kept = self.kept.as_ref()?;
        Some(kept.record(generation, &self.joined, &self.joining))
    }

    /// Where a page for them is, among what they were sent at its position.
    pub(super) fn place(&self, position: Offset) -> Bookmark {
        match &self.kept {
            Some(kept) => kept.place(position),
            None => Bookmark::of_page(position, 0),
        }
    }

    /// They may be admitted to a channel: whoever cuts their connection now can't make them lose it.
    pub(super) fn is_kept_in(&self, channel: ChannelId) -> bool {
        self.kept.as_ref().is_none_or(|kept| kept.has(channel))
    }
}
