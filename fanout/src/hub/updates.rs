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
        let renewed = state.renewed_by(channel);
        if !renewed.is_empty() {
            state.updated.extend(renewed);
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
    /// The channel, if it is known and will be shown otherwise, with its threads where they will be too. One that
    /// is new is in a new list instead.
    fn renewed_by(&self, channel: &Channel) -> Vec<ChannelId> {
        let id = ChannelId::new(channel.id);
        let known = id.and_then(|id| Some((id, self.directory.channel(id)?)));
        let Some((id, known)) = known.filter(|(_, known)| !is_shown_alike(known.channel, channel))
        else {
            return Vec::new();
        };
        let mut renewed = vec![id];
        if known.channel.nsfw != channel.nsfw {
            renewed.extend(self.directory.threads_of(id));
        }
        renewed
    }

    /// Sends a viewer the channel, if they see it. Encoded once for all who may do the same in it.
    fn update(&self, key: ViewerKey, channel: ChannelId, encoded: &mut HashMap<Access, Frames>) {
        let Some((access, _)) = self.access(key, channel) else {
            return;
        };
        let (Some(viewer), Some(place)) = (self.viewers.get(&key), self.directory.channel(channel))
        else {
            return;
        };
        if let Some(frames) = encoded.get(&access) {
            return viewer.link.send(frames);
        }
        if let Some(object) = json(&channel_object(place, access)) {
            let frames = Frames::event("channel_update", object);
            viewer.link.send(&frames);
            encoded.insert(access, frames);
        }
    }
}
