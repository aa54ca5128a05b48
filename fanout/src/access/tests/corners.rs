//! The corners of Discord's algorithm that no calculator knows, by name
//! (<https://docs.discord.com/developers/topics/permissions>, <https://docs.discord.com/developers/topics/threads>).

use proto::event::{Event, RoleDeleted, ThreadMembersChanged};

use super::super::guild::GuildView;
use super::super::permissions::permissions;
use super::super::{Embed, kind};
use super::*;

const PUBLIC_THREAD: u32 = 11;
/// A bit that Discord has not given a meaning yet.
const UNKNOWN_BIT: u64 = 1 << 63;

/// A guild of these roles, one channel with these overwrites, and the member with roles 201 and 202.
fn overwritten(roles: Vec<Role>, overwrites: Vec<Overwrite>) -> Directory {
    let channel = Channel {
        overwrites,
        ..channel(300, 0)
    };
    directory(roles, vec![channel], vec![member(MEMBER, &[201, 202])])
}

fn access_at(directory: &Directory, user: u64, channel: u64, now_ms: i64) -> Option<Access> {
    let grant = Grant::User(UserId::new(user).unwrap());
    directory.access(&grant, ChannelId::new(channel).unwrap(), now_ms)
}

fn as_everyone(directory: &Directory, channel: u64) -> Option<Access> {
    let channel = ChannelId::new(channel).unwrap();
    let grant = Grant::Embed(Embed {
        channels: vec![channel],
        is_private: false,
    });
    directory.access(&grant, channel, NOW)
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
            .map(|(place, access)| (place.channel.id, access))
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
fn overwrites_hold_in_discords_order() {
    let everyone = |allow, deny| overwrite(GUILD, false, allow, deny);
    let (first, second) = (
        |allow, deny| overwrite(201, false, allow, deny),
        |allow, deny| overwrite(202, false, allow, deny),
    );
    let own = |allow, deny| overwrite(MEMBER, true, allow, deny);
    let table = [
        ("none", vec![], true),
        ("denied everyone", vec![everyone(0, VIEW)], false),
        (
            "allowed and denied at once",
            vec![everyone(VIEW, VIEW)],
            true,
        ),
        (
            "a role beats everyone",
            vec![first(VIEW, 0), everyone(0, VIEW)],
            true,
        ),
        ("a role denies", vec![first(0, VIEW)], false),
        (
            "all denials, then all grants",
            vec![first(VIEW, 0), second(0, VIEW)],
            true,
        ),
        ("in any order", vec![second(0, VIEW), first(VIEW, 0)], true),
        (
            "the member beats a role's denial",
            vec![own(VIEW, 0), first(0, VIEW)],
            true,
        ),
        (
            "the member beats a role's grant",
            vec![own(0, VIEW), first(VIEW, 0)],
            false,
        ),
        (
            "a role that they lack",
            vec![overwrite(203, false, 0, VIEW)],
            true,
        ),
        ("somebody else", vec![overwrite(77, true, 0, VIEW)], true),
        (
            "a role of the member's number",
            vec![overwrite(MEMBER, false, 0, VIEW)],
            true,
        ),
        (
            "a member of the role's number",
            vec![overwrite(201, true, 0, VIEW)],
            true,
        ),
        (
            "a member of the guild's number",
            vec![overwrite(GUILD, true, 0, VIEW)],
            true,
        ),
    ];
    for (what, overwrites, is_seen) in table {
        let roles = vec![
            role(GUILD, VIEW),
            role(201, 0),
            role(202, 0),
            role(203, 0),
            role(MEMBER, 0),
        ];
        let guild = overwritten(roles, overwrites);
        assert_eq!(sees(&guild, MEMBER, 300), is_seen, "{what}");
    }
}

#[test]
fn what_a_guild_has_lost_grants_and_denies_nothing() {
    // The member has both roles, and both overwrites are still there.
    let overwrites = |allow, deny| vec![overwrite(201, false, allow, deny)];
    let closed = |roles| overwritten(roles, overwrites(VIEW, 0));
    assert!(sees(
        &closed(vec![role(GUILD, 0), role(201, 0)]),
        MEMBER,
        300
    ));
    assert!(!sees(&closed(vec![role(GUILD, 0)]), MEMBER, 300));
    let open = |roles| overwritten(roles, overwrites(0, VIEW));
    assert!(!sees(
        &open(vec![role(GUILD, VIEW), role(201, 0)]),
        MEMBER,
        300
    ));
    assert!(sees(&open(vec![role(GUILD, VIEW)]), MEMBER, 300));
    // So it is with what a lost role granted in the whole guild.
    let by_role = overwritten(vec![role(GUILD, 0), role(202, ADMINISTRATOR)], vec![]);
    assert!(sees(&by_role, MEMBER, 300));
    assert!(!sees(
        &overwritten(vec![role(GUILD, 0)], vec![]),
        MEMBER,
        300
    ));
    // A guild whose @everyone is not known grants nothing through it.
    assert!(!sees(&overwritten(vec![role(201, 0)], vec![]), MEMBER, 300));
}

#[test]
fn the_owner_and_administrators_see_through_every_denial() {
    let denied = || {
        vec![
            overwrite(GUILD, false, 0, u64::MAX),
            overwrite(202, false, 0, u64::MAX),
        ]
    };
    let roles = vec![role(GUILD, 0), role(202, ADMINISTRATOR)];
    let guild = overwritten(roles, denied());
    for user in [OWNER, MEMBER] {
        let access = access_of(&guild, user, 300).unwrap();
        assert!(access.can_read_history && access.can_write && access.can_manage);
    }
    // ADMINISTRATOR in an overwrite is no such thing.
    let allowed = vec![overwrite(MEMBER, true, ADMINISTRATOR, 0)];
    assert!(!sees(
        &overwritten(vec![role(GUILD, 0)], allowed),
        MEMBER,
        300
    ));
    // Where everyone is an administrator, everyone sees all, a page of theirs too.
    let guild = overwritten(vec![role(GUILD, ADMINISTRATOR)], denied());
    assert!(sees(&guild, MEMBER, 300) && as_everyone(&guild, 300).is_some());
    assert!(!as_everyone(&guild, 300).unwrap().can_write);
}

#[test]
fn bits_beyond_those_that_are_known_survive() {
    let guild = GuildView::new(GuildDirectory {
        guild: Guild {
            id: GUILD,
            owner_id: OWNER,
            ..Guild::default()
        },
        roles: vec![role(GUILD, UNKNOWN_BIT | 1 << 62 | 1 << 45 | VIEW)],
        channels: Vec::new(),
        members: vec![member(MEMBER, &[])],
    });
    let channel = Channel {
        overwrites: vec![overwrite(GUILD, false, 1 << 61, 1 << 62)],
        ..channel(300, 0)
    };
    let viewer = guild.member(UserId::new(MEMBER).unwrap());
    let bits = permissions(&guild, &channel, viewer.as_ref(), NOW);
    assert_eq!(bits, UNKNOWN_BIT | 1 << 61 | 1 << 45 | VIEW);
}

#[test]
fn nothing_can_be_done_in_what_is_not_seen() {
    let all = SEND | HISTORY | MANAGE_CHANNELS | CONNECT;
    let guild = plain(all, vec![channel(300, 0), channel(301, kind::VOICE)]);
    assert_eq!(access_of(&guild, MEMBER, 300), None);
    assert_eq!(access_of(&guild, MEMBER, 301), None);
    let guild = plain(VIEW, vec![channel(300, 0)]);
    let access = access_of(&guild, MEMBER, 300).unwrap();
    assert!(!access.can_read_history && !access.can_write && !access.can_manage);
}

#[test]
fn a_categorys_overwrites_say_nothing_of_its_channels() {
    let category = |allow, deny| Channel {
        overwrites: vec![overwrite(GUILD, false, allow, deny)],
        ..channel(300, kind::CATEGORY)
    };
    let inside = Channel {
        parent_id: Some(300),
        ..channel(301, 0)
    };
    assert!(sees(
        &plain(VIEW, vec![category(0, VIEW), inside.clone()]),
        MEMBER,
        301
    ));
    let open = plain(0, vec![category(VIEW, 0), inside.clone()]);
    assert!(!sees(&open, MEMBER, 301) && !sees(&open, MEMBER, 300));
    // Nor does a category that is gone.
    assert!(sees(&plain(VIEW, vec![inside]), MEMBER, 301));
}

#[test]
fn a_thread_is_seen_as_its_parent_is() {
    let table = [
        ("text", 0, VIEW, true),
        ("announcement", kind::ANNOUNCEMENT, VIEW, true),
        ("forum", kind::FORUM, VIEW, true),
        ("media", kind::MEDIA, VIEW, true),
        ("not to be seen", 0, SEND_IN_THREADS | MANAGE_THREADS, false),
        ("voice, unconnected", kind::VOICE, VIEW, false),
        ("voice", kind::VOICE, VIEW | CONNECT, true),
        ("a category", kind::CATEGORY, VIEW | CONNECT, false),
        ("a thread", PUBLIC_THREAD, VIEW, false),
    ];
    for (what, parent, everyone, is_seen) in table {
        for kind in [
            kind::ANNOUNCEMENT_THREAD,
            PUBLIC_THREAD,
            kind::PRIVATE_THREAD,
        ] {
            let mut thread = thread(400, kind, 300);
            thread.thread_members = vec![MEMBER];
            let guild = plain(everyone, vec![channel(300, parent), thread]);
            assert_eq!(sees(&guild, MEMBER, 400), is_seen, "{what}, {kind}");
        }
    }
}

#[test]
fn a_thread_has_its_parents_overwrites_alone() {
    let hidden = Channel {
        overwrites: vec![overwrite(GUILD, false, 0, VIEW)],
        ..channel(300, 0)
    };
    let mut opened = thread(400, PUBLIC_THREAD, 300);
    opened.overwrites = vec![overwrite(GUILD, false, VIEW, 0)];
    let mut closed = thread(401, PUBLIC_THREAD, 301);
    closed.overwrites = vec![overwrite(GUILD, false, 0, VIEW)];
    let guild = plain(VIEW, vec![hidden, channel(301, 0), opened, closed]);
    assert!(!sees(&guild, MEMBER, 400) && sees(&guild, MEMBER, 401));
}

#[test]
fn a_thread_of_a_channel_that_is_not_known_is_nobodys() {
    let mut joined = thread(401, kind::PRIVATE_THREAD, 999);
    joined.thread_members = vec![MEMBER];
    let orphan = Channel {
        parent_id: None,
        ..thread(402, PUBLIC_THREAD, 0)
    };
    let channels = vec![thread(400, PUBLIC_THREAD, 999), joined, orphan];
    let guild = plain(!ADMINISTRATOR, channels.clone());
    for id in [400, 401, 402] {
        assert!(
            !sees(&guild, MEMBER, id) && !sees(&guild, OWNER, id),
            "{id}"
        );
        assert_eq!(as_everyone(&guild, id), None, "{id}");
    }
}

#[test]
fn a_thread_is_written_with_its_own_permission_and_a_locked_one_by_moderators() {
    let table = [
        ("the channel's permission", SEND, false, false, false),
        (
            "the threads' permission",
            SEND_IN_THREADS,
            false,
            false,
            true,
        ),
        ("a moderator's alone", MANAGE_THREADS, false, false, false),
        // A message opens it again.
        ("archived", SEND_IN_THREADS, true, false, true),
        ("locked", SEND_IN_THREADS, false, true, false),
        ("archived and locked", SEND_IN_THREADS, true, true, false),
        (
            "locked, a moderator",
            SEND_IN_THREADS | MANAGE_THREADS,
            true,
            true,
            true,
        ),
    ];
    for (what, bits, archived, locked, can_write) in table {
        let thread = Channel {
            archived,
            locked,
            ..thread(400, PUBLIC_THREAD, 300)
        };
        let guild = plain(VIEW | bits, vec![channel(300, 0), thread]);
        assert_eq!(
            access_of(&guild, MEMBER, 400).unwrap().can_write,
            can_write,
            "{what}"
        );
    }
    let guild = plain(VIEW | SEND_IN_THREADS, vec![channel(300, 0)]);
    assert!(!access_of(&guild, MEMBER, 300).unwrap().can_write);
}

#[test]
fn who_is_timed_out_reads_text_until_it_ends_and_does_nothing_else() {
    let timed_out = |id, roles: &[u64]| Member {
        timed_out_until_ms: Some(NOW),
        ..member(id, roles)
    };
    let everything = !ADMINISTRATOR;
    let mut joined = thread(402, kind::PRIVATE_THREAD, 300);
    joined.thread_members = vec![MEMBER];
    let guild = directory(
        vec![role(GUILD, everything), role(201, ADMINISTRATOR)],
        vec![
            channel(300, 0),
            channel(301, kind::VOICE),
            thread(400, PUBLIC_THREAD, 300),
            thread(401, kind::PRIVATE_THREAD, 300),
            joined,
        ],
        vec![
            timed_out(MEMBER, &[]),
            timed_out(OWNER, &[]),
            timed_out(3, &[201]),
        ],
    );
    for id in [300, 400, 402] {
        let access = access_at(&guild, MEMBER, id, NOW - 1).unwrap();
        assert!(
            access.can_read_history && !access.can_write && !access.can_manage,
            "{id}"
        );
    }
    // CONNECT and MANAGE_THREADS are gone too.
    assert_eq!(access_at(&guild, MEMBER, 301, NOW - 1), None);
    assert_eq!(access_at(&guild, MEMBER, 401, NOW - 1), None);
    for (user, now_ms) in [(MEMBER, NOW), (OWNER, NOW - 1), (3, NOW - 1)] {
        for id in [300, 301, 400, 401, 402] {
            let access = access_at(&guild, user, id, now_ms).unwrap();
            assert!(access.can_write && access.can_manage, "{user} in {id}");
        }
    }
}

#[test]
fn a_time_out_gives_nothing_that_there_was_not() {
    let timed_out = Member {
        timed_out_until_ms: Some(NOW + 1),
        ..member(MEMBER, &[])
    };
    let channels = vec![channel(300, 0)];
    let guild = |everyone| {
        let roles = vec![role(GUILD, everyone)];
        directory(roles, channels.clone(), vec![timed_out.clone()])
    };
    assert!(!sees(&guild(HISTORY | SEND), MEMBER, 300));
    assert!(
        !access_of(&guild(VIEW | SEND), MEMBER, 300)
            .unwrap()
            .can_read_history
    );
}

#[test]
fn a_thread_is_for_adults_where_its_channel_is() {
    let adult = |id, kind, is_adult| Channel {
        nsfw: is_adult,
        ..channel(id, kind)
    };
    let mut odd = thread(402, PUBLIC_THREAD, 301);
    odd.nsfw = true;
    let in_category = Channel {
        parent_id: Some(303),
        ..channel(304, 0)
    };
    let channels = vec![
        adult(300, 0, true),
        adult(301, kind::FORUM, false),
        adult(303, kind::CATEGORY, true),
        in_category,
        thread(400, PUBLIC_THREAD, 300),
        thread(401, PUBLIC_THREAD, 301),
        odd,
        thread(403, PUBLIC_THREAD, 999),
    ];
    let mut guild = plain(VIEW, channels);
    let is_nsfw =
        |guild: &Directory, id| guild.channel(ChannelId::new(id).unwrap()).unwrap().is_nsfw;
    let flags = [300, 301, 304, 400, 401, 402, 403].map(|id| is_nsfw(&guild, id));
    assert_eq!(flags, [true, false, false, true, false, false, false]);
    guild.apply(guild_id(), &Event::ChannelUpserted(channel(300, 0)));
    assert!(!is_nsfw(&guild, 400));
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
