//! The events and the objects that they carry, as generated from `schema/`.
//!
//! These are the domain's types too: one shape from decode to the room, so that nothing is copied field by
//! field between layers. Ids in them are plain numbers; [`crate::id`] has the types that code should pass on.

#[expect(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::all,
    reason = "generated; the schema documents it"
)]
mod v1 {
    include!(concat!(env!("OUT_DIR"), "/discord.v1.rs"));
}

pub use v1::component::Shape;
pub use v1::envelope::Event;
pub use v1::group::Kind as GroupKind;
pub use v1::member_answer::Status as MemberStatus;
pub use v1::{
    Attachment, Button, Channel, ChannelDeleted, ChannelViewers, Component, Embed, EmbedField,
    Emoji, Forward, Group, Guild, GuildRemoved, GuildSnapshotBegin, GuildSnapshotEnd,
    GuildSnapshotPart, Head, HistoryReply, HistoryRequest, LinkedMessage, LinksReply, LinksRequest,
    Media, Member, MemberAnswer, MemberRemoved, MemberReply, MemberRequest, Message,
    MessageDeleted, Overwrite, Poll, PollAnswer, Reaction, ReactionMark, ReactionsChanged, Reply,
    Revoked, Role, RoleDeleted, Select, Sticker, ThreadMembersChanged, Typing, User, Viewers,
};

pub(crate) use v1::Envelope as WireEnvelope;

impl Event {
    /// The event's name in logs, metrics and outcomes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MessageCreated(_) => "message_created",
            Self::MessageUpdated(_) => "message_updated",
            Self::MessageDeleted(_) => "message_deleted",
            Self::ReactionsChanged(_) => "reactions_changed",
            Self::GuildSnapshotBegin(_) => "guild_snapshot_begin",
            Self::GuildSnapshotPart(_) => "guild_snapshot_part",
            Self::GuildSnapshotEnd(_) => "guild_snapshot_end",
            Self::GuildUpdated(_) => "guild_updated",
            Self::GuildRemoved(_) => "guild_removed",
            Self::ChannelUpserted(_) => "channel_upserted",
            Self::ChannelDeleted(_) => "channel_deleted",
            Self::RoleUpserted(_) => "role_upserted",
            Self::RoleDeleted(_) => "role_deleted",
            Self::MemberUpserted(_) => "member_upserted",
            Self::MemberRemoved(_) => "member_removed",
            Self::ThreadMembersChanged(_) => "thread_members_changed",
        }
    }
}

impl Channel {
    /// What is left of a known channel after a snapshot of its guild. It lists active threads alone
    /// (<https://docs.discord.com/developers/topics/threads>): an archived one that it leaves out is there still, as
    /// long as it lists the thread's channel, but who its members are nobody knows any more.
    #[must_use]
    pub fn after_snapshot(self, lists: impl Fn(u64) -> bool) -> Option<Self> {
        let is_thread = (10..=12).contains(&self.kind);
        let is_there = self.parent_id.is_some_and(&lists) && !lists(self.id);
        (is_thread && self.archived && is_there).then(|| Self {
            thread_members: Vec::new(),
            ..self
        })
    }
}
