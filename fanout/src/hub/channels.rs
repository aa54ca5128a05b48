//! What a viewer sees: the list that they are sent, and what happens when it changes.

use proto::ChannelId;
use runtime::time::now_ms;
use serde::Serialize;
use serde_json::value::RawValue;

use actix_socketio::Frame;

use super::{Hub, State};
use crate::delivery::json;
use crate::object::channel_object;
use crate::session::ViewerKey;
use crate::transport::Reply;

#[derive(Serialize)]
struct Listed<'a> {
    success: bool,
    channels: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChannelLeft {
    channel_id: String,
    reason: &'static str,
}

impl Hub {
    pub(super) fn get_channels(&self, key: ViewerKey, reply: Reply) {
        let state = &mut *self.state.borrow_mut();
        if let Some(list) = state.list(key) {
            reply.done(&Listed {
                success: true,
                channels: &list,
            });
        }
    }

    /// Puts a viewer out of what they no longer see, and sends the list if it is another one than the last.
    pub(super) fn recheck(&self, state: &mut State, key: ViewerKey) {
        let joined = state.viewers.get(&key).map(|viewer| viewer.joined.clone());
        for channel in joined.into_iter().flatten() {
            if state.access(key, channel).is_none() {
                self.put_out(state, key, channel);
            }
        }
        let Some(list) = state.channel_list(key) else {
            return;
        };
        if state
            .viewers
            .get_mut(&key)
            .is_some_and(|viewer| viewer.is_news(&list))
        {
            state.list(key);
        }
    }

    fn put_out(&self, state: &mut State, key: ViewerKey, channel: ChannelId) {
        if let Some(room) = state.rooms.get_mut(&channel) {
            room.leave(key);
        }
        let reason = if state.directory.has_channel(channel) {
            "access_revoked"
        } else {
            "channel_deleted"
        };
        if let Some(viewer) = state.viewers.get_mut(&key)
            && viewer.joined.remove(&channel)
        {
            self.instance.on_left(channel);
            let left = ChannelLeft {
                channel_id: channel.to_string(),
                reason,
            };
            viewer.link.emit("channel_left", &left);
        }
    }
}

impl State {
    /// Sends a viewer the list, under its name and its alias.
    pub(super) fn list(&mut self, key: ViewerKey) -> Option<Box<RawValue>> {
        let list = self.channel_list(key)?;
        let viewer = self.viewers.get_mut(&key)?;
        viewer.is_news(&list);
        for name in ["channels_list", "channels"] {
            viewer.link.send(&Frame::event(name, &[&list]));
        }
        Some(list)
    }

    /// The list, and beside it which guilds it is of.
    fn channel_list(&mut self, key: ViewerKey) -> Option<Box<RawValue>> {
        let viewer = self.viewers.get_mut(&key)?;
        let visible = self
            .directory
            .visible(&viewer.session.principal.grant, now_ms());
        viewer.set_guilds(visible.iter().map(|(guild, ..)| guild.id));
        let objects: Vec<_> = visible
            .into_iter()
            .map(|(guild, channel, access)| channel_object(guild, channel, access))
            .collect();
        json(&objects)
    }
}
