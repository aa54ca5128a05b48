//! The directory: what each event does to it, and snapshots that come in parts.

use proto::event::{Channel, Event, Overwrite};
use store::GuildDirectory;

use crate::events::{
    CHANNEL, GUILD, begin, channel, channel_deleted, channel_id, channel_upserted, created, end,
    guild, guild_id, guild_removed, guild_updated, member, member_removed, member_upserted,
    message_id, part, role, role_deleted, role_upserted, snapshot, thread_members_changed, user_id,
};
use crate::home::Home;
use crate::subject::Subject;

on_every_home! {
    a_snapshot_takes_effect_at_its_end fails_on SnapshotsTakeEffectAtOnce,
    a_snapshot_removes_what_is_gone_and_keeps_members fails_on NothingIsRemoved,
    a_snapshot_goes_on_after_a_restart_between_its_parts fails_on ForgetsWhenReopened,
    parts_of_another_version_are_ignored fails_on VersionsAreIgnored,
    a_snapshot_that_has_ended_does_not_end_again fails_on SnapshotsAreNeverForgotten,
    a_snapshot_that_lacks_a_part_changes_nothing fails_on CountsAreIgnored,
    a_snapshot_that_begins_again_starts_empty fails_on SnapshotsAreNeverForgotten,
    an_archived_thread_outlives_a_snapshot_as_its_channel_does fails_on ThreadsAreNeverArchived,
    events_replace_what_they_name fails_on TheFirstStateStays,
    every_field_of_a_directory_survives fails_on BodiesAreCut,
    deleting_a_channel_takes_its_threads_along fails_on PrivateThreadsOutliveTheirChannel,
    deleting_a_category_leaves_its_channels fails_on CategoriesTakeTheirChannelsAlong,
    thread_members_come_and_go fails_on NobodyLeavesAThread,
    removing_a_guild_takes_its_directory_and_leaves_its_messages_to_the_sweep fails_on GuildsTakeTheirMessagesAlong,
    a_removed_guild_forgets_its_unfinished_snapshot fails_on SnapshotsAreNeverForgotten,
    guilds_do_not_touch_each_other fails_on GuildsShareTheirRoles,
    rows_of_an_unknown_guild_wait_for_it fails_on UnknownGuildsAreDropped,
}

const TEXT: u32 = 0;
const CATEGORY: u32 = 4;
const PRIVATE_THREAD: u32 = 12;

async fn only_guild(store: &Subject) -> GuildDirectory {
    let mut guilds = store.directory().await.unwrap().guilds;
    assert_eq!(guilds.len(), 1);
    guilds.remove(0)
}

async fn channels(store: &Subject) -> Vec<u64> {
    let guild = only_guild(store).await;
    guild.channels.iter().map(|channel| channel.id).collect()
}

async fn a_snapshot_takes_effect_at_its_end(home: &Home) {
    let mut archive = home.archive().await;
    let roles = [role(GUILD, 1024), role(2, 8)];
    let first = [channel(CHANNEL, TEXT, Some(70))];
    let second = [channel(70, CATEGORY, None)];
    let members = [member(3, &[2])];
    archive
        .write_one_by_one(&[
            begin("v", "name", [2, 2, 1]),
            part("v", &roles, &first, &[]),
            part("v", &[], &second, &members),
        ])
        .await;
    assert!(archive.store.directory().await.unwrap().guilds.is_empty());
    archive.write(&[end("v")]).await;
    let expected = GuildDirectory {
        guild: guild("name"),
        roles: vec![role(2, 8), role(GUILD, 1024)],
        channels: vec![
            channel(70, CATEGORY, None),
            channel(CHANNEL, TEXT, Some(70)),
        ],
        members: members.to_vec(),
    };
    let directory = archive.store.directory().await.unwrap();
    assert_eq!(directory.guilds, [expected]);
    assert_eq!(directory.position, archive.position);
}

async fn a_snapshot_removes_what_is_gone_and_keeps_members(home: &Home) {
    let mut archive = home.archive().await;
    let old_roles = [role(1, 1), role(2, 2)];
    let old_channels = [channel(10, TEXT, None), channel(20, TEXT, None)];
    let old_members = [member(3, &[1]), member(4, &[2])];
    let old = snapshot("old", &old_roles, &old_channels, &old_members);
    archive.write(&old).await;
    let new_channels = [channel(20, TEXT, Some(9)), channel(30, TEXT, None)];
    let new = snapshot("new", &[role(2, 22)], &new_channels, &[member(4, &[])]);
    archive.write(&new).await;
    let now = only_guild(&archive.store).await;
    assert_eq!(now.guild, guild("new"));
    assert_eq!(now.roles, [role(2, 22)]);
    assert_eq!(now.channels, new_channels);
    assert_eq!(now.members, [member(3, &[1]), member(4, &[])]);
}

async fn a_snapshot_goes_on_after_a_restart_between_its_parts(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[
            begin("v", "name", [1, 1, 0]),
            part("v", &[role(1, 1)], &[], &[]),
        ])
        .await;
    archive.store.close().await;
    archive.store = home.store().await;
    archive.position = archive.store.position().await.unwrap();
    archive
        .write(&[part("v", &[], &[channel(10, TEXT, None)], &[]), end("v")])
        .await;
    let now = only_guild(&archive.store).await;
    assert_eq!((now.roles.len(), now.channels.len()), (1, 1));
}

async fn parts_of_another_version_are_ignored(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[
            part("stray", &[role(8, 0)], &[], &[]),
            end("stray"),
            begin("v", "name", [1, 0, 0]),
            part("other", &[role(9, 0)], &[], &[member(5, &[])]),
            part("v", &[role(1, 1)], &[], &[]),
            end("other"),
            end("v"),
        ])
        .await;
    let now = only_guild(&archive.store).await;
    assert_eq!(now.roles, [role(1, 1)]);
    assert!(now.members.is_empty());
}

async fn a_snapshot_that_has_ended_does_not_end_again(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&snapshot("v", &[role(1, 1)], &[], &[])).await;
    archive.write(&[role_upserted(role(1, 2)), end("v")]).await;
    assert_eq!(only_guild(&archive.store).await.roles, [role(1, 2)]);
}

async fn a_snapshot_that_lacks_a_part_changes_nothing(home: &Home) {
    let mut archive = home.archive().await;
    let whole = snapshot("whole", &[role(1, 1)], &[channel(10, TEXT, None)], &[]);
    archive.write(&whole).await;
    let before = only_guild(&archive.store).await;
    archive
        .write(&[
            begin("half", "half", [1, 2, 0]),
            part("half", &[role(1, 2)], &[channel(11, TEXT, None)], &[]),
            end("half"),
        ])
        .await;
    assert_eq!(only_guild(&archive.store).await, before);
    // It does not stand in the way of the next.
    archive
        .write(&snapshot("next", &[role(2, 2)], &[], &[]))
        .await;
    assert_eq!(only_guild(&archive.store).await.roles, [role(2, 2)]);
}

async fn a_snapshot_that_begins_again_starts_empty(home: &Home) {
    let mut archive = home.archive().await;
    let begin = || begin("v", "name", [1, 0, 0]);
    let part = || part("v", &[role(1, 1)], &[], &[]);
    archive.write(&[begin(), part()]).await;
    archive.write(&[begin(), part(), end("v")]).await;
    assert_eq!(only_guild(&archive.store).await.roles, [role(1, 1)]);
}

async fn an_archived_thread_outlives_a_snapshot_as_its_channel_does(home: &Home) {
    let mut archive = home.archive().await;
    let thread = |id, archived, parent| Channel {
        archived,
        thread_members: vec![2],
        ..channel(id, PRIVATE_THREAD, Some(parent))
    };
    let threads = [
        thread(21, true, 11),
        thread(22, false, 11),
        thread(23, true, 12),
        thread(24, true, 11),
    ];
    archive.write(&threads.clone().map(channel_upserted)).await;
    // The last is active again.
    let listed = [channel(11, TEXT, None), thread(24, false, 11)];
    archive.write(&snapshot("v", &[], &listed, &[])).await;
    let guild = only_guild(&archive.store).await;
    let kept: Vec<_> = guild
        .channels
        .iter()
        .map(|one| (one.id, one.archived))
        .collect();
    assert_eq!(kept, [(11, false), (21, true), (24, false)]);
    let archived = guild.channels.iter().find(|one| one.id == 21).unwrap();
    assert_eq!(archived.thread_members, [0; 0], "nobody knows any more");
}

async fn events_replace_what_they_name(home: &Home) {
    let mut archive = home.archive().await;
    let mut renamed = channel(10, TEXT, None);
    renamed.name = "renamed".into();
    let first = [
        guild_updated("one"),
        role_upserted(role(1, 1)),
        role_upserted(role(2, 2)),
        channel_upserted(channel(10, TEXT, None)),
        member_upserted(member(3, &[])),
        member_upserted(member(4, &[])),
    ];
    let second = [
        guild_updated("two"),
        role_upserted(role(1, 11)),
        role_deleted(2),
        channel_upserted(renamed.clone()),
        member_upserted(member(3, &[1])),
        member_removed(4),
        // Nothing that would be an error.
        role_deleted(99),
        member_removed(99),
        channel_deleted(99),
        thread_members_changed(99, &[1], &[]),
    ];
    archive.write(&first).await;
    archive.write(&second).await;
    let expected = GuildDirectory {
        guild: guild("two"),
        roles: vec![role(1, 11)],
        channels: vec![renamed],
        members: vec![member(3, &[1])],
    };
    assert_eq!(only_guild(&archive.store).await, expected);
    let known = archive.store.member(guild_id(GUILD), user_id(3)).await;
    assert_eq!(known.unwrap(), Some(member(3, &[1])));
    for (guild, user) in [(GUILD, 4), (GUILD + 1, 3)] {
        let unknown = archive.store.member(guild_id(guild), user_id(user)).await;
        assert_eq!(unknown.unwrap(), None, "{guild} {user}");
    }
}

async fn every_field_of_a_directory_survives(home: &Home) {
    let mut archive = home.archive().await;
    let highest = i64::MAX.cast_unsigned();
    let mut odd = channel(highest, 15, Some(highest - 1));
    odd.name = "日本 👩‍👩‍👧‍👦 \u{0}'\"\\".into();
    odd.topic = Some(String::new());
    odd.position = i32::MIN;
    (odd.nsfw, odd.archived) = (true, true);
    odd.last_message_id = Some(u64::MAX);
    let overwrite = |id, member| Overwrite {
        id,
        member,
        allow: u64::MAX,
        deny: 1 << 63,
    };
    odd.overwrites = vec![overwrite(GUILD, false), overwrite(highest, true)];
    let mut thread = channel(highest - 2, PRIVATE_THREAD, Some(highest));
    thread.thread_members = vec![1, highest];
    let mut all = role(highest, u64::MAX);
    (all.position, all.color) = (i32::MIN, u32::MAX);
    let mut person = member(highest, &[highest, 1]);
    person.nick = Some("ñ".into());
    person.timed_out_until_ms = Some(i64::MIN);
    let mut guild = guild("ü");
    guild.icon = Some("a_0".into());
    let update = crate::events::opened(None, Event::GuildUpdated(guild.clone()));
    archive
        .write(&[
            update,
            channel_upserted(odd.clone()),
            channel_upserted(thread.clone()),
            role_upserted(all.clone()),
            member_upserted(person.clone()),
        ])
        .await;
    let expected = GuildDirectory {
        guild,
        roles: vec![all],
        channels: vec![thread, odd],
        members: vec![person],
    };
    assert_eq!(only_guild(&archive.store).await, expected);
}

async fn deleting_a_channel_takes_its_threads_along(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[
            guild_updated("name"),
            channel_upserted(channel(10, TEXT, None)),
            channel_upserted(channel(11, 10, Some(10))),
            channel_upserted(channel(12, 11, Some(10))),
            channel_upserted(channel(13, PRIVATE_THREAD, Some(10))),
            channel_upserted(channel(20, TEXT, None)),
            channel_upserted(channel(21, 11, Some(20))),
        ])
        .await;
    archive.write(&[channel_deleted(21)]).await;
    assert_eq!(channels(&archive.store).await, [10, 11, 12, 13, 20]);
    archive.write(&[channel_deleted(10)]).await;
    assert_eq!(channels(&archive.store).await, [20]);
}

async fn deleting_a_category_leaves_its_channels(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[
            guild_updated("name"),
            channel_upserted(channel(70, CATEGORY, None)),
            channel_upserted(channel(10, TEXT, Some(70))),
        ])
        .await;
    archive.write(&[channel_deleted(70)]).await;
    assert_eq!(channels(&archive.store).await, [10]);
}

async fn thread_members_come_and_go(home: &Home) {
    let mut archive = home.archive().await;
    let thread = channel(13, PRIVATE_THREAD, Some(10));
    archive
        .write(&[guild_updated("name"), channel_upserted(thread.clone())])
        .await;
    archive
        .write(&[
            thread_members_changed(13, &[5, 3], &[]),
            thread_members_changed(13, &[4, 3], &[5, 9]),
        ])
        .await;
    let now = only_guild(&archive.store).await;
    assert_eq!(now.channels[0].thread_members, [3, 4]);
    // The rest of the thread is as it was.
    let mut expected = thread;
    expected.thread_members = vec![3, 4];
    assert_eq!(now.channels, [expected]);
    // Its row still knows that it is a thread.
    archive.write(&[channel_deleted(10)]).await;
    assert_eq!(channels(&archive.store).await, [0; 0]);
}

async fn removing_a_guild_takes_its_directory_and_leaves_its_messages_to_the_sweep(home: &Home) {
    let mut archive = home.archive().await;
    let roles = [role(1, 1)];
    let channels = [channel(CHANNEL, TEXT, None)];
    archive
        .write(&snapshot("v", &roles, &channels, &[member(3, &[])]))
        .await;
    archive.write(&[created(1, "kept")]).await;
    archive.write(&[guild_removed()]).await;
    let store = &archive.store;
    assert!(store.directory().await.unwrap().guilds.is_empty());
    assert_eq!(
        store.member(guild_id(GUILD), user_id(3)).await.unwrap(),
        None
    );
    let kept = store
        .message(channel_id(CHANNEL), message_id(1))
        .await
        .unwrap();
    assert!(kept.is_some());
    // Back again, it has what its new snapshot says and nothing of before.
    archive.write(&snapshot("again", &[], &[], &[])).await;
    let again = only_guild(&archive.store).await;
    assert_eq!(
        (again.roles.len(), again.channels.len(), again.members.len()),
        (0, 0, 0)
    );
}

async fn a_removed_guild_forgets_its_unfinished_snapshot(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[begin("v", "name", [0, 0, 0]), guild_removed(), end("v")])
        .await;
    assert!(archive.store.directory().await.unwrap().guilds.is_empty());
}

async fn guilds_do_not_touch_each_other(home: &Home) {
    let mut archive = home.archive().await;
    let elsewhere = |mut opened: proto::envelope::Opened| {
        opened.guild = guild_id(GUILD + 1);
        opened
    };
    let channels = [channel(CHANNEL, TEXT, None)];
    let ours = snapshot("v", &[role(1, 1)], &channels, &[member(3, &[])]);
    let theirs = ours.clone().map(elsewhere);
    // Interleaved: two snapshots of one version on their way at once.
    let mixed: Vec<_> = ours
        .into_iter()
        .zip(theirs)
        .flat_map(<[_; 2]>::from)
        .collect();
    archive.write(&mixed).await;
    let before = archive.store.directory().await.unwrap().guilds;
    assert_eq!(before.len(), 2);
    archive
        .write(&[
            elsewhere(role_deleted(1)),
            elsewhere(channel_deleted(CHANNEL)),
            elsewhere(member_removed(3)),
            elsewhere(guild_removed()),
        ])
        .await;
    assert_eq!(archive.store.directory().await.unwrap().guilds, before[..1]);
}

async fn rows_of_an_unknown_guild_wait_for_it(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[member_upserted(member(3, &[]))]).await;
    assert!(archive.store.directory().await.unwrap().guilds.is_empty());
    let known = archive.store.member(guild_id(GUILD), user_id(3)).await;
    assert_eq!(known.unwrap(), Some(member(3, &[])));
    let mut nobody = member(4, &[]);
    nobody.user = None;
    let nobody = crate::events::opened(None, Event::MemberUpserted(nobody));
    archive.write(&[guild_updated("name"), nobody]).await;
    assert_eq!(only_guild(&archive.store).await.members, [member(3, &[])]);
}
