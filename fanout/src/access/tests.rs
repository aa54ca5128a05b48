//! Who may see what: the algorithm against another one on random guilds, its corners by name, and how events
//! change it. The guilds that these tests share are built here.

mod calculator;
mod corners;
mod events;

use proto::event::{Channel, Guild, Member, Overwrite, Role, User};
use proto::{ChannelId, GuildId, UserId};
use store::{DirectorySnapshot, GuildDirectory, Position};

use super::{Access, Directory, Grant};

const GUILD: u64 = 100;
const OWNER: u64 = 1;
const MEMBER: u64 = 2;
const NOW: i64 = 1_700_000_000_000;

const VIEW: u64 = 1 << 10;
const SEND: u64 = 1 << 11;
const HISTORY: u64 = 1 << 16;
const CONNECT: u64 = 1 << 20;
const MANAGE_CHANNELS: u64 = 1 << 4;
const MANAGE_THREADS: u64 = 1 << 34;
const SEND_IN_THREADS: u64 = 1 << 38;
const ADMINISTRATOR: u64 = 1 << 3;

fn guild_id() -> GuildId {
    GuildId::new(GUILD).unwrap()
}

fn role(id: u64, permissions: u64) -> Role {
    Role {
        id,
        permissions,
        ..Role::default()
    }
}

fn channel(id: u64, kind: u32) -> Channel {
    Channel {
        id,
        kind,
        ..Channel::default()
    }
}

fn thread(id: u64, kind: u32, parent: u64) -> Channel {
    Channel {
        parent_id: Some(parent),
        ..channel(id, kind)
    }
}

fn member(id: u64, roles: &[u64]) -> Member {
    Member {
        user: Some(User {
            id,
            ..User::default()
        }),
        roles: roles.to_vec(),
        ..Member::default()
    }
}

fn overwrite(id: u64, member: bool, allow: u64, deny: u64) -> Overwrite {
    Overwrite {
        id,
        member,
        allow,
        deny,
    }
}

/// A channel that nobody sees but who has role 201, and the guild's roles.
fn opened_by_a_role() -> (Channel, Vec<Role>) {
    let opens = Channel {
        overwrites: vec![
            overwrite(GUILD, false, 0, VIEW),
            overwrite(201, false, VIEW, 0),
        ],
        ..channel(300, 0)
    };
    (opens, vec![role(GUILD, VIEW), role(201, 0)])
}

fn directory(roles: Vec<Role>, channels: Vec<Channel>, members: Vec<Member>) -> Directory {
    Directory::new(DirectorySnapshot {
        position: Position::default(),
        guilds: vec![GuildDirectory {
            guild: Guild {
                id: GUILD,
                owner_id: OWNER,
                ..Guild::default()
            },
            roles,
            channels,
            members,
        }],
        unfinished: Vec::new(),
    })
}

fn access_of(directory: &Directory, user: u64, channel: u64) -> Option<Access> {
    let grant = Grant::User(UserId::new(user).unwrap());
    directory.access(&grant, ChannelId::new(channel).unwrap(), NOW)
}

fn sees(directory: &Directory, user: u64, channel: u64) -> bool {
    access_of(directory, user, channel).is_some()
}

/// A guild where @everyone has these permissions, with one member without roles.
fn plain(everyone: u64, channels: Vec<Channel>) -> Directory {
    directory(
        vec![role(GUILD, everyone)],
        channels,
        vec![member(MEMBER, &[])],
    )
}
