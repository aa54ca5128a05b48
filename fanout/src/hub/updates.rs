//! `channel_update`: what a channel is called and where it stands, to everybody who sees it, as they see it.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proto::ChannelId;
use proto::event::{Channel, Event};

use super::{Hub, State, Turns};
use crate::access::Access;
use crate::frames::{Frames, json};
use crate::object::{channel_object, is_shown_alike};
use crate::session::ViewerKey;

/// Between two rounds of updates: channels that are put into another order change several times in a row.
const UPDATES_PAUSE: Duration = Duration::from_millis(50);

impl Hub {
    /// A guild's event comes: is it about to change how a channel is shown?
    pub(super) fn before_change(&self, state: &mut State, event: &Event) {
        let Event::ChannelUpserted(channel) = event else {
            return;
        };
        if let Some(id) = state.renewed_by(channel) {
            state.updated.insert(id);
            self.updated.notify_one();
        }
    }

    /// Sends the updates, a few viewers at a time.
    pub(super) async fn send_updates(self: Rc<Self>) {
        loop {
            self.updated.notified().await;
            let mut turns = Turns::begin();
            while let Some((channel, viewers)) = self.next_update() {
                let mut encoded = HashMap::new();
                for key in viewers {
                    self.state.borrow().update(key, channel, &mut encoded);
                    turns.end().await;
                }
            }
            tokio::time::sleep(UPDATES_PAUSE).await;
        }
    }

    fn next_update(&self) -> Option<(ChannelId, Vec<ViewerKey>)> {
        let state = &mut *self.state.borrow_mut();
        let channel = state.updated.pop_first()?;
        let Some(guild) = state.directory.guild_of(channel) else {
            return Some((channel, Vec::new()));
        };
        let viewers = state.viewers.iter();
        let concerned = viewers.filter(|(_, viewer)| viewer.is_in(guild));
        Some((channel, concerned.map(|(key, _)| *key).collect()))
    }
}

impl State {
    /// The channel, if it is known and will be shown otherwise. One that is new is in a new list instead.
    fn renewed_by(&self, channel: &Channel) -> Option<ChannelId> {
        let id = ChannelId::new(channel.id)?;
        let (_, known) = self.directory.channel(id)?;
        (!is_shown_alike(known, channel)).then_some(id)
    }

    /// Sends a viewer the channel, if they see it. Encoded once for all who may do the same in it.
    fn update(&self, key: ViewerKey, channel: ChannelId, encoded: &mut HashMap<Access, Frames>) {
        let Some((access, _)) = self.access(key, channel) else {
            return;
        };
        let (Some(viewer), Some((guild, known))) =
            (self.viewers.get(&key), self.directory.channel(channel))
        else {
            return;
        };
        if let Some(frames) = encoded.get(&access) {
            return viewer.link.send(frames);
        }
        if let Some(object) = json(&channel_object(guild, known, access)) {
            let frames = Frames::event("channel_update", object);
            viewer.link.send(&frames);
            encoded.insert(access, frames);
        }
    }
}
