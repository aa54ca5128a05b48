//! The algorithm against twilight's calculator on random guilds, and the corners that it does not know.

use proptest::prelude::*;
use proto::event::{
    Channel, ChannelDeleted, Event, Guild, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart,
    Member, MemberRemoved, Overwrite, Role, RoleDeleted, ThreadMembersChanged, User,
};
use proto::{ChannelId, GuildId, UserId};
use store::{DirectorySnapshot, GuildDirectory, Position};
use twilight_model::channel::ChannelType;
use twilight_model::channel::permission_overwrite::{PermissionOverwrite, PermissionOverwriteType};
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_util::permission_calculator::PermissionCalculator;

use super::{Access, Change, Directory, Embed, Grant, kind};

const GUILD: u64 = 100;
const OWNER: u64 = 1;
const MEMBER: u64 = 2;
const ROLES: [u64; 3] = [201, 202, 203];
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

/// Any mix of the bits that decide something, ADMINISTRATOR seldom.
fn bits() -> impl Strategy<Value = u64> {
    let deciding =
        prop::sample::subsequence(vec![VIEW, SEND, HISTORY, MANAGE_CHANNELS, 1 << 60], 0..=5);
    let administrator = prop::bool::weighted(0.05);
    (deciding, administrator).prop_map(|(bits, administrator)| {
        let sum = bits.into_iter().fold(0, |sum, bit| sum | bit);
        if administrator {
            sum | ADMINISTRATOR
        } else {
            sum
        }
    })
}

fn overwrites() -> impl Strategy<Value = Vec<Overwrite>> {
    let targets = vec![
        (GUILD, false),
        (201, false),
        (202, false),
        (203, false),
        (MEMBER, true),
        (77, true),
    ];
    let chosen = prop::sample::subsequence(targets, 0..=6).prop_shuffle();
    (chosen, prop::collection::vec((bits(), bits()), 6)).prop_map(|(targets, bits)| {
        let with_bits = targets.into_iter().zip(bits);
        with_bits
            .map(|((id, member), (allow, deny))| overwrite(id, member, allow, deny))
            .collect()
    })
}

fn as_twilight(overwrite: &Overwrite) -> PermissionOverwrite {
    PermissionOverwrite {
        allow: Permissions::from_bits_truncate(overwrite.allow),
        deny: Permissions::from_bits_truncate(overwrite.deny),
        id: Id::new(overwrite.id),
        kind: if overwrite.member {
            PermissionOverwriteType::Member
        } else {
            PermissionOverwriteType::Role
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_guilds_agree_with_twilights_calculator(
        everyone in bits(),
        role_bits in prop::array::uniform3(bits()),
        held in prop::sample::subsequence(ROLES.to_vec(), 0..=3),
        overwrites in overwrites(),
        is_owner in prop::bool::weighted(0.1),
    ) {
        let user = if is_owner { OWNER } else { MEMBER };
        let roles: Vec<_> = ROLES.into_iter().zip(role_bits).collect();
        let mut all = vec![role(GUILD, everyone)];
        all.extend(roles.iter().map(|(id, bits)| role(*id, *bits)));
        let text = Channel { overwrites: overwrites.clone(), ..channel(300, 0) };
        let ours = access_of(&directory(all, vec![text], vec![member(user, &held)]), user, 300);

        let held: Vec<_> = roles
            .iter()
            .filter(|(id, _)| held.contains(id))
            .map(|(id, bits)| (Id::new(*id), Permissions::from_bits_truncate(*bits)))
            .collect();
        let everyone = Permissions::from_bits_truncate(everyone);
        let theirs = PermissionCalculator::new(Id::new(GUILD), Id::new(user), everyone, &held)
            .owner_id(Id::new(OWNER))
            .in_channel(ChannelType::GuildText, &overwrites.iter().map(as_twilight).collect::<Vec<_>>());
        let expected = theirs.contains(Permissions::VIEW_CHANNEL).then(|| Access {
            can_read_history: theirs.contains(Permissions::READ_MESSAGE_HISTORY),
            can_write: theirs.contains(Permissions::SEND_MESSAGES),
            can_manage: theirs.contains(Permissions::MANAGE_CHANNELS),
        });
        prop_assert_eq!(ours, expected);
    }
}

#[test]
fn who_is_no_member_sees_nothing_and_an_owner_whom_nobody_met_everything() {
    let guild = plain(VIEW, vec![channel(300, 0)]);
    assert!(sees(&guild, MEMBER, 300));
    assert!(!sees(&guild, 99, 300));
    assert!(sees(&plain(0, vec![channel(300, 0)]), OWNER, 300));
}

#[test]
fn categories_are_no_channels_and_voice_channels_need_connect() {
    let channels = vec![
        channel(300, kind::CATEGORY),
        channel(301, kind::VOICE),
        channel(302, kind::STAGE),
    ];
    let without = plain(VIEW, channels.clone());
    assert!(
        [300, 301, 302]
            .into_iter()
            .all(|id| !sees(&without, MEMBER, id))
    );
    let with = plain(VIEW | CONNECT, channels);
    assert!(!sees(&with, MEMBER, 300) && sees(&with, MEMBER, 301) && sees(&with, MEMBER, 302));
}

#[test]
fn a_thread_is_seen_with_its_parent_and_written_with_its_own_permission() {
    let hidden = Channel {
        overwrites: vec![overwrite(GUILD, false, 0, VIEW)],
        ..channel(300, 0)
    };
    let channels = vec![
        hidden,
        channel(301, 0),
        thread(400, 11, 300),
        thread(401, 11, 301),
        thread(402, 11, 999),
    ];
    let guild = plain(VIEW | SEND_IN_THREADS, channels);
    assert!(!sees(&guild, MEMBER, 400), "its parent is hidden");
    assert!(!sees(&guild, MEMBER, 402), "its parent is unknown");
    let access = access_of(&guild, MEMBER, 401).unwrap();
    assert!(access.can_write && !access.can_read_history);
    assert!(!access_of(&guild, MEMBER, 301).unwrap().can_write);
}

#[test]
fn a_private_thread_needs_membership_or_manage_threads() {
    let mut joined = thread(400, kind::PRIVATE_THREAD, 300);
    joined.thread_members = vec![MEMBER];
    let channels = vec![
        channel(300, 0),
        joined,
        thread(401, kind::PRIVATE_THREAD, 300),
    ];
    let mut guild = plain(VIEW, channels.clone());
    assert!(sees(&guild, MEMBER, 400) && !sees(&guild, MEMBER, 401));
    assert!(sees(&plain(VIEW | MANAGE_THREADS, channels), MEMBER, 401));
    let change = |added: &[u64], removed: &[u64]| {
        Event::ThreadMembersChanged(ThreadMembersChanged {
            thread_id: 401,
            added: added.to_vec(),
            removed: removed.to_vec(),
        })
    };
    guild.apply(guild_id(), &change(&[MEMBER], &[]));
    assert!(sees(&guild, MEMBER, 401));
    // An update of the thread names no members: those that are known stay.
    guild.apply(
        guild_id(),
        &Event::ChannelUpserted(thread(401, kind::PRIVATE_THREAD, 300)),
    );
    assert!(sees(&guild, MEMBER, 401));
    guild.apply(guild_id(), &change(&[], &[MEMBER]));
    assert!(!sees(&guild, MEMBER, 401));
}

#[test]
fn who_is_timed_out_reads_and_does_nothing_else() {
    let mut timed_out = member(MEMBER, &[]);
    timed_out.timed_out_until_ms = Some(NOW + 1);
    let all = VIEW | SEND | HISTORY | MANAGE_CHANNELS;
    let guild = directory(
        vec![role(GUILD, all)],
        vec![channel(300, 0)],
        vec![timed_out],
    );
    let access = access_of(&guild, MEMBER, 300).unwrap();
    assert!(access.can_read_history && !access.can_write && !access.can_manage);
}

#[test]
fn an_embed_token_shows_the_channels_that_it_names_and_everyone_sees() {
    let hidden = Channel {
        overwrites: vec![overwrite(GUILD, false, 0, VIEW)],
        ..channel(300, 0)
    };
    let guild = plain(
        VIEW | SEND | HISTORY,
        vec![hidden, channel(301, 0), channel(302, 0)],
    );
    let named = [300, 301, 999].map(|id| ChannelId::new(id).unwrap());
    let visible = |is_private| -> Vec<_> {
        let grant = Grant::Embed(Embed {
            channels: named.to_vec(),
            is_private,
        });
        let visible = guild.visible(&grant, NOW).into_iter();
        visible
            .map(|(_, channel, access)| (channel.id, access))
            .collect()
    };
    let access = Access {
        can_read_history: true,
        can_write: false,
        can_manage: false,
    };
    assert_eq!(visible(false), [(301, access)]);
    assert_eq!(visible(true), [(300, access), (301, access)]);
}

#[test]
fn events_change_who_sees_what_and_say_whom_they_may_concern() {
    let (opens, roles) = opened_by_a_role();
    let mut guild = directory(roles, vec![opens], vec![member(MEMBER, &[])]);
    let user = UserId::new(MEMBER).unwrap();
    let mut then = |event: Event, change: Change, is_seen: bool| {
        assert_eq!(guild.apply(guild_id(), &event), change, "{event:?}");
        assert_eq!(sees(&guild, MEMBER, 300), is_seen, "{event:?}");
    };
    let (one, whole) = (Change::Member(guild_id(), user), Change::Guild(guild_id()));
    let place = Change::Channel(guild_id(), ChannelId::new(300).unwrap());
    let listing = Change::Listing(guild_id());
    then(Event::MemberUpserted(member(MEMBER, &[201])), one, true);
    then(Event::MemberUpserted(member(MEMBER, &[])), one, false);
    then(Event::ChannelUpserted(channel(300, 0)), place, true);
    then(Event::ChannelUpserted(channel(300, 0)), listing, true);
    then(
        Event::RoleUpserted(role(GUILD, VIEW)),
        Change::Nothing,
        true,
    );
    then(Event::RoleUpserted(role(GUILD, 0)), whole, false);
    then(Event::RoleUpserted(role(GUILD, VIEW)), whole, true);
    then(
        Event::MemberRemoved(MemberRemoved { user_id: MEMBER }),
        one,
        false,
    );
    then(Event::MemberUpserted(member(MEMBER, &[])), one, true);
    then(
        Event::ChannelDeleted(ChannelDeleted { channel_id: 300 }),
        place,
        false,
    );
    then(
        Event::RoleDeleted(RoleDeleted { role_id: 201 }),
        whole,
        false,
    );
}

fn snapshot(version: &str, channels: Vec<Channel>, announced: u32) -> [Event; 3] {
    let version = version.to_owned();
    [
        Event::GuildSnapshotBegin(GuildSnapshotBegin {
            version: version.clone(),
            guild: Some(Guild {
                id: GUILD,
                owner_id: OWNER,
                ..Guild::default()
            }),
            roles: 1,
            channels: announced,
            members: 0,
        }),
        Event::GuildSnapshotPart(GuildSnapshotPart {
            version: version.clone(),
            roles: vec![role(GUILD, VIEW)],
            channels,
            members: Vec::new(),
        }),
        Event::GuildSnapshotEnd(GuildSnapshotEnd { version }),
    ]
}

#[test]
fn a_snapshot_takes_hold_at_its_end_and_only_whole() {
    let mut guild = plain(VIEW, vec![channel(300, 0)]);
    let [begin, part, end] = snapshot("a", vec![channel(301, 0)], 1);
    assert_eq!(guild.apply(guild_id(), &begin), Change::Nothing);
    assert_eq!(guild.apply(guild_id(), &part), Change::Nothing);
    assert!(sees(&guild, MEMBER, 300) && !sees(&guild, MEMBER, 301));
    assert_eq!(guild.apply(guild_id(), &end), Change::Guild(guild_id()));
    assert!(
        !sees(&guild, MEMBER, 300) && sees(&guild, MEMBER, 301),
        "members stay"
    );

    let [begin, part, _] = snapshot("b", vec![channel(302, 0)], 1);
    let [.., other_end] = snapshot("c", Vec::new(), 0);
    let [short_begin, short_part, short_end] = snapshot("d", vec![channel(303, 0)], 2);
    for event in [begin, part, other_end, short_begin, short_part, short_end] {
        assert_eq!(
            guild.apply(guild_id(), &event),
            Change::Nothing,
            "{event:?}"
        );
    }
    assert!(sees(&guild, MEMBER, 301) && !sees(&guild, MEMBER, 302) && !sees(&guild, MEMBER, 303));
}

#[test]
fn a_deleted_role_opens_nothing_any_more() {
    let (opens, roles) = opened_by_a_role();
    let mut guild = directory(roles, vec![opens], vec![member(MEMBER, &[201])]);
    assert!(sees(&guild, MEMBER, 300));
    // Discord says nothing of the members who had it, nor of the overwrites that name it.
    guild.apply(
        guild_id(),
        &Event::RoleDeleted(RoleDeleted { role_id: 201 }),
    );
    assert!(!sees(&guild, MEMBER, 300));
}

#[test]
fn a_snapshot_that_was_on_its_way_when_the_directory_was_read_ends_with_what_follows() {
    let [begin, part, end] = snapshot("a", vec![channel(301, 0)], 1);
    let mut directory = Directory::new(DirectorySnapshot {
        position: Position::default(),
        guilds: Vec::new(),
        unfinished: vec![(guild_id(), vec![begin, part])],
    });
    assert!(!sees(&directory, OWNER, 301));
    assert_eq!(directory.apply(guild_id(), &end), Change::Guild(guild_id()));
    assert!(sees(&directory, OWNER, 301));
}

#[test]
fn a_guild_of_which_only_stray_events_are_known_shows_nothing() {
    let mut directory = Directory::default();
    directory.apply(guild_id(), &Event::ChannelUpserted(channel(301, 0)));
    directory.apply(guild_id(), &Event::RoleUpserted(role(GUILD, VIEW)));
    directory.apply(guild_id(), &Event::MemberUpserted(member(MEMBER, &[])));
    assert!(!sees(&directory, MEMBER, 301));
}
