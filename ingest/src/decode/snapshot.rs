//! `GUILD_CREATE` as a snapshot: a beginning, parts of a bounded size, an end.
//!
//! How it is cut depends on the frame alone, so that a repeated frame is cut alike. Readers swap at the end.

use prost::Message as _;
use proto::event::{Event, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart};

use super::guild;
use super::json::Object;

/// The most that the objects of one part take (decisions.md, sizes): the stream takes 1 MiB at the most.
pub(super) const PART_BYTES_MAX: usize = 256 * 1024;

/// What an object in a list takes beside its own bytes: a tag and a length.
const LISTED_BYTES: usize = 8;

/// The snapshot of a guild, named by the dispatch that it was made from.
pub(super) fn events(object: &Object<'_>, version: &str) -> Vec<Event> {
    let roles = read(object, "roles", guild::role);
    let mut channels = read(object, "channels", guild::channel);
    channels.extend(read(object, "threads", guild::channel));
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
    events
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
