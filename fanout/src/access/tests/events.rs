//! How events of a guild change who sees what, and whom they may concern.

use proto::UserId;
use proto::event::{
    Channel, ChannelDeleted, Event, Guild, GuildSnapshotBegin, GuildSnapshotEnd, GuildSnapshotPart,
    MemberRemoved, RoleDeleted,
};
use store::{DirectorySnapshot, Position};

use super::super::Change;
use super::*;

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
fn an_archived_thread_outlives_a_snapshot_as_its_channel_does() {
    let archived = Channel {
        archived: true,
        ..thread(310, 11, 300)
    };
    let channels = vec![channel(300, 0), archived, thread(311, 11, 300)];
    let mut guild = plain(VIEW, channels);
    for event in snapshot("a", vec![channel(300, 0)], 1) {
        guild.apply(guild_id(), &event);
    }
    assert!(sees(&guild, MEMBER, 310) && !sees(&guild, MEMBER, 311));
    for event in snapshot("b", vec![channel(301, 0)], 1) {
        guild.apply(guild_id(), &event);
    }
    assert!(!sees(&guild, MEMBER, 310));
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
