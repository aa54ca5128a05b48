//! `GUILD_CREATE` as a snapshot: a beginning, parts of a bounded size, an end.
//!
//! How it is cut depends on the frame alone, so that a repeated frame is cut alike. Readers swap at the end.

use std::collections::HashSet;

use prost::Message as _;
use proto::event::{Channel, Event, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart};

use super::json::Object;
use super::{Channels, guild};
use crate::exclusions::Exclusions;

/// The most that the objects of one part take (decisions.md, sizes): the stream takes 1 MiB at the most.
pub(super) const PART_BYTES_MAX: usize = 256 * 1024;

/// What an object in a list takes beside its own bytes: a tag and a length.
const LISTED_BYTES: usize = 8;

/// The snapshot of a guild, named by the dispatch that it was made from, and what is learned of its channels.
pub(super) fn events(
    object: &Object<'_>,
    version: &str,
    exclusions: &Exclusions,
) -> (Vec<Event>, Channels) {
    let roles = read(object, "roles", guild::role);
    let (channels, learned) = channels(object, exclusions);
    let members = read(object, "members", guild::member);
    let begin = GuildSnapshotBegin {
        version: version.to_owned(),
        guild: guild::guild(object),
        roles: count(&roles),
        channels: count(&channels),
        members: count(&members),
    };
    let mut parts = Parts::new(version);
    for role in roles {
        parts.make_room(role.encoded_len()).roles.push(role);
    }
    for channel in channels {
        parts
            .make_room(channel.encoded_len())
            .channels
            .push(channel);
    }
    for member in members {
        parts.make_room(member.encoded_len()).members.push(member);
    }
    let mut events = vec![Event::GuildSnapshotBegin(begin)];
    events.extend(parts.finish());
    events.push(Event::GuildSnapshotEnd(GuildSnapshotEnd {
        version: version.to_owned(),
    }));
    (events, learned)
}

/// The channels and threads that are shown. Threads come last, so that what lies above them is known.
fn channels(object: &Object<'_>, exclusions: &Exclusions) -> (Vec<Channel>, Channels) {
    let mut learned = Channels {
        is_threadless: object.raw("threads").is_none(),
        ..Channels::default()
    };
    let mut hidden = HashSet::new();
    let mut shown = Vec::new();
    for object in [object.objects("channels"), object.objects("threads")].concat() {
        let Some(id) = object.id("id") else {
            learned.unreadable += 1;
            continue;
        };
        let is_below = |parent: u64| exclusions.is_excluded(parent) || hidden.contains(&parent);
        let is_hidden = exclusions.is_excluded(id) || object.id("parent_id").is_some_and(is_below);
        learned.seen.push((id, is_hidden));
        if is_hidden {
            hidden.insert(id);
        } else if let Some(channel) = guild::channel(&object) {
            shown.push(channel);
        } else {
            learned.unreadable += 1;
        }
    }
    (shown, learned)
}

fn read<T>(object: &Object<'_>, name: &str, read: fn(&Object<'_>) -> Option<T>) -> Vec<T> {
    object.objects(name).iter().filter_map(read).collect()
}

fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

/// Fills parts one after the other.
struct Parts {
    full: Vec<Event>,
    part: GuildSnapshotPart,
    bytes: usize,
}

impl Parts {
    fn new(version: &str) -> Self {
        let part = GuildSnapshotPart {
            version: version.to_owned(),
            ..GuildSnapshotPart::default()
        };
        Self {
            full: Vec::new(),
            part,
            bytes: 0,
        }
    }

    /// The part that takes an object of this size: a new one if the present one is full.
    fn make_room(&mut self, bytes: usize) -> &mut GuildSnapshotPart {
        let bytes = bytes + LISTED_BYTES;
        if self.bytes > 0 && self.bytes + bytes > PART_BYTES_MAX {
            self.close();
        }
        self.bytes += bytes;
        &mut self.part
    }

    fn close(&mut self) {
        let next = GuildSnapshotPart {
            version: self.part.version.clone(),
            ..GuildSnapshotPart::default()
        };
        let part = std::mem::replace(&mut self.part, next);
        self.full.push(Event::GuildSnapshotPart(part));
        self.bytes = 0;
    }

    fn finish(mut self) -> Vec<Event> {
        if self.bytes > 0 {
            self.close();
        }
        self.full
    }
}
