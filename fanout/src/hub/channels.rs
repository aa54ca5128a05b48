//! What a viewer sees: the list that they are sent, and what happens when it changes.

use std::rc::Rc;
use std::time::Duration;

use proto::{ChannelId, GuildId};
use runtime::time::now_ms;
use serde::Serialize;
use serde_json::value::RawValue;

use super::joining::unavailable;
use super::since::Since;
use super::{Hub, State, Turns};
use crate::access::{Change, Grant, Place};
use crate::frames::{Frames, json};
use crate::object::channel_object;
use crate::session::{Viewer, ViewerKey};
use crate::transport::{Link, Reply};

/// Between two rounds of lists.
const LISTS_PAUSE: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Listed<'a> {
    success: bool,
    channels: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelLeft {
    channel_id: String,
    reason: &'static str,
}

impl Hub {
    pub(super) fn get_channels(&self, key: ViewerKey, reply: Reply) {
        let state = &mut *self.state.borrow_mut();
        let viewer = state.viewers.get(&key);
        let is_unresolved = viewer.is_some_and(|viewer| viewer.session.is_unresolved);
        let Some(list) = state.channel_list(key) else {
            return;
        };
        if is_unresolved && list.get() == "[]" {
            return reply.refuse(&unavailable(None));
        }
        state.send_list(key, &list);
        reply.done(&Listed {
            success: true,
            channels: &list,
        });
    }

    /// An event has changed what somebody sees: who no longer sees a channel is out of it before anything
    /// later is delivered; the new lists follow in [`Self::send_lists`], one for many changes.
    pub(super) fn on_change(&self, state: &mut State, change: Change, since: Since) {
        let hidden = state.hidden_by(change);
        for (key, channel) in hidden {
            self.put_out(state, key, channel, since);
        }
        for key in state.shown_by(change) {
            self.unlist(state, key, since);
        }
    }

    /// A viewer may have to be sent another list.
    pub(super) fn unlist(&self, state: &mut State, key: ViewerKey, since: Since) {
        let waiting = state.unlisted.entry(key).or_insert(since);
        *waiting = waiting.or_before(since);
        self.unlisted.notify_one();
    }

    /// Sends the lists that have changed, a few at a time: other rooms, joins and pings go between.
    pub(super) async fn send_lists(self: Rc<Self>) {
        loop {
            self.unlisted.notified().await;
            let mut turns = Turns::begin();
            while self.list_next() {
                turns.end().await;
            }
            // A burst of changes (channels put into another order) becomes few lists.
            tokio::time::sleep(LISTS_PAUSE).await;
        }
    }

    fn list_next(&self) -> bool {
        let state = &mut *self.state.borrow_mut();
        let Some((key, since)) = state.unlisted.pop_first() else {
            return false;
        };
        if state.list_if_new(key) {
            self.instance.on_listed(since.elapsed());
        }
        true
    }

    /// A viewer is out of a channel, and told so.
    pub(super) fn put_out(
        &self,
        state: &mut State,
        key: ViewerKey,
        channel: ChannelId,
        since: Since,
    ) {
        if let Some(room) = state.rooms.get_mut(&channel) {
            room.leave(key);
        }
        let left = state.channel_left(channel);
        if let Some(viewer) = state.viewers.get_mut(&key)
            && viewer.joined.remove(&channel)
        {
            self.instance.on_left(channel, viewer.watcher());
            viewer.link.emit("channel_left", &left);
            self.instance.on_put_out(since.elapsed());
            self.touch(state, key);
        }
    }
}

impl State {
    /// That a viewer is out of a channel which they do not see.
    pub(super) fn channel_left(&self, channel: ChannelId) -> ChannelLeft {
        let reason = if self.directory.has_channel(channel) {
            "access_revoked"
        } else {
            "channel_deleted"
        };
        ChannelLeft {
            channel_id: channel.to_string(),
            reason,
        }
    }

    /// Who is in a channel that they no longer see. A change of one channel touches the rooms at and below it,
    /// a change of one member what that member has joined.
    fn hidden_by(&self, change: Change) -> Vec<(ViewerKey, ChannelId)> {
        let directory = &self.directory;
        let concerns = |room: ChannelId| match change {
            Change::Nothing | Change::Listing(_) | Change::Member(..) => false,
            Change::Guild(guild) => directory.guild_of(room).is_none_or(|own| own == guild),
            Change::Channel(_, channel) => {
                directory.is_below(room, channel) || !directory.has_channel(room)
            }
        };
        let rooms = self.rooms.iter().filter(|(id, _)| concerns(**id));
        let in_rooms = rooms.flat_map(|(id, room)| room.members().map(|key| (key, *id)));
        let of_member = self.viewers_of_member(change).iter().filter_map(|key| {
            let viewer = self.viewers.get(key)?;
            Some(viewer.joined.iter().map(|channel| (*key, *channel)))
        });
        let concerned = in_rooms.chain(of_member.flatten());
        concerned
            .filter(|(key, room)| self.access(*key, *room).is_none())
            .collect()
    }

    /// What a viewer has joined and no longer sees.
    pub(super) fn hidden_of(&self, key: ViewerKey) -> Vec<ChannelId> {
        let joined = self.viewers.get(&key).map(|viewer| viewer.joined.iter());
        let joined = joined.into_iter().flatten().copied();
        joined
            .filter(|channel| self.access(key, *channel).is_none())
            .collect()
    }

    /// Who may have to be shown another list.
    fn shown_by(&self, change: Change) -> Vec<ViewerKey> {
        let (Change::Listing(guild) | Change::Channel(guild, _) | Change::Guild(guild)) = change
        else {
            return self.viewers_of_member(change).to_vec();
        };
        let concerns = |viewer: &Viewer| viewer.is_in(guild) || self.may_be_in(viewer, guild);
        let viewers = self.viewers.iter().filter(|(_, viewer)| concerns(viewer));
        viewers.map(|(key, _)| *key).collect()
    }

    /// The viewers who are the member that a change is about.
    fn viewers_of_member(&self, change: Change) -> &[ViewerKey] {
        let Change::Member(_, user) = change else {
            return &[];
        };
        self.viewers_of.get(&user).map_or(&[], Vec::as_slice)
    }

    fn may_be_in(&self, viewer: &Viewer, guild: GuildId) -> bool {
        match &viewer.session.principal.grant {
            Grant::User(user) => self.directory.is_member(guild, *user),
            Grant::Embed(embed) => embed
                .channels
                .iter()
                .any(|channel| self.directory.guild_of(*channel) == Some(guild)),
        }
    }

    /// Sends a viewer the list, under its name and its alias.
    pub(super) fn list(&mut self, key: ViewerKey) {
        if let Some(list) = self.channel_list(key) {
            self.send_list(key, &list);
        }
    }

    /// True if the list is another one than the viewer had.
    fn list_if_new(&mut self, key: ViewerKey) -> bool {
        let Some(list) = self.channel_list(key) else {
            return false;
        };
        let viewer = self.viewers.get_mut(&key);
        let Some(viewer) = viewer.and_then(|viewer| viewer.is_news(&list).then_some(viewer)) else {
            return false;
        };
        emit_list(&viewer.link, &list);
        true
    }

    fn send_list(&mut self, key: ViewerKey, list: &RawValue) {
        if let Some(viewer) = self.viewers.get_mut(&key) {
            viewer.is_news(list);
            emit_list(&viewer.link, list);
        }
    }

    /// The list, and beside it which guilds it is of.
    fn channel_list(&mut self, key: ViewerKey) -> Option<Box<RawValue>> {
        let grant = &self.viewers.get(&key)?.session.principal.grant;
        let mut visible = self.directory.visible(grant, now_ms());
        let guild = |place: &Place| GuildId::new(place.guild.id);
        visible.retain(|(place, _)| guild(place).is_some_and(|id| !self.has_lapsed(grant, id)));
        let viewer = self.viewers.get_mut(&key)?;
        viewer.set_guilds(visible.iter().filter_map(|(place, _)| guild(place)));
        let objects: Vec<_> = visible
            .into_iter()
            .map(|(place, access)| channel_object(place, access))
            .collect();
        json(&objects)
    }
}

/// The list, under its name and its older alias.
fn emit_list(link: &Link, list: &RawValue) {
    for name in ["channels_list", "channels"] {
        link.send(&Frames::event(name, list.to_owned()));
    }
}
