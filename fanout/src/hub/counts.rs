//! `viewers`: how many watch a channel, to its members, when the total has changed and at most every 2 s.
//!
//! Who comes in is told within that time too. Viewers with an embed token are told nothing (decisions.md).

use std::rc::Rc;
use std::time::Duration;

use proto::ChannelId;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::{Hub, State, Turns};
use crate::access::Grant;
use crate::frames::{Frames, json};
use crate::pace::Turn;

/// At most one every 2 s a channel (contract.md §1).
pub(super) const SPACING: Duration = Duration::from_secs(2);

/// Between two looks at the totals: a crowd that comes in moves them thousands of times a second.
const LOOKS_PAUSE: Duration = Duration::from_millis(100);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Count {
    channel_id: String,
    count: u32,
}

impl Hub {
    /// Tells members how many they are, for as long as the worker runs.
    pub(super) async fn tell_counts(self: Rc<Self>) {
        let mut totals = self.instance.audience.moves();
        loop {
            let next = self.state.borrow().counts.next_at();
            let due = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = totals.changed() => if changed.is_err() { return },
                () = due => {}
            }
            let mut turns = Turns::begin();
            for channel in self.uncounted() {
                self.tell_count(channel);
                turns.end().await;
            }
            tokio::time::sleep(LOOKS_PAUSE).await;
        }
    }

    /// The channels whose members are to be told now.
    fn uncounted(&self) -> Vec<ChannelId> {
        let state = &mut *self.state.borrow_mut();
        let now = Instant::now();
        let due = state.counts.due(now).into_iter();
        let mut channels: Vec<_> = due.map(|(channel, ())| channel).collect();
        for (channel, room) in &state.rooms {
            let is_news = room.has_members()
                && (room.has_uncounted() || room.counted != self.instance.audience.total(*channel));
            if is_news && state.counts.offer(*channel, (), now) == Turn::Now(()) {
                channels.push(*channel);
            }
        }
        channels
    }

    /// Everybody, if the total is another one than they were told; or else who came since.
    fn tell_count(&self, channel: ChannelId) {
        let state = &mut *self.state.borrow_mut();
        let count = self.instance.audience.total(channel);
        let Some(room) = state.rooms.get_mut(&channel) else {
            return;
        };
        let members = room.count(count);
        let object = Count {
            channel_id: channel.to_string(),
            count,
        };
        let Some(object) = json(&object) else {
            return;
        };
        let frames = Frames::event("viewers", object);
        let told = members
            .into_iter()
            .filter(|key| state.send_count(*key, &frames));
        let told = told.count();
        self.instance.on_told(told);
    }
}

impl State {
    fn send_count(&self, key: crate::session::ViewerKey, frames: &Frames) -> bool {
        let viewer = self.viewers.get(&key);
        let user = viewer.filter(|v| matches!(v.session.principal.grant, Grant::User(_)));
        user.map(|user| user.link.send(frames)).is_some()
    }
}
