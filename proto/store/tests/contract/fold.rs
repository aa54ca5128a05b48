//! Whatever the events and however they are cut into batches: the store ends as if each had come alone.

use proptest::collection::vec;
use proptest::prelude::*;
use proto::envelope::Opened;
use proto::event::Message;
use store::{GuildDirectory, Store};

use crate::events::{
    CHANNEL, begin, channel, channel_deleted, channel_id, channel_upserted, created, deleted, end,
    guild_removed, guild_updated, member, member_removed, member_upserted, part, reacted, role,
    role_deleted, role_upserted, thread_members_changed, updated,
};
use crate::home::{Archive, Home};

/// Few ids, so that events meet.
const IDS: std::ops::Range<u64> = 1..5;

fn history_event() -> impl Strategy<Value = Opened> {
    prop_oneof![
        (IDS, "[a-c]").prop_map(|(id, text)| created(id, &text)),
        (IDS, "[a-c]").prop_map(|(id, text)| updated(id, &text)),
        IDS.prop_map(deleted),
        (IDS, 0..3u32).prop_map(|(id, count)| reacted(id, &[count])),
    ]
}

fn directory_event() -> impl Strategy<Value = Opened> {
    let kind = prop_oneof![Just(0), Just(4), Just(11), Just(12)];
    let parent = prop::option::of(IDS);
    prop_oneof![
        "[a-c]".prop_map(|name| guild_updated(&name)),
        Just(guild_removed()),
        (IDS, kind, parent)
            .prop_map(|(id, kind, parent)| channel_upserted(channel(id, kind, parent))),
        IDS.prop_map(channel_deleted),
        (IDS, 0..3u64).prop_map(|(id, permissions)| role_upserted(role(id, permissions))),
        IDS.prop_map(role_deleted),
        (IDS, vec(IDS, 0..2)).prop_map(|(id, roles)| member_upserted(member(id, &roles))),
        IDS.prop_map(member_removed),
        (IDS, vec(IDS, 0..2), vec(IDS, 0..2))
            .prop_map(|(id, added, removed)| thread_members_changed(id, &added, &removed)),
        snapshot_event(),
        snapshot_event(),
    ]
}

fn snapshot_event() -> impl Strategy<Value = Opened> {
    let version = || prop_oneof![Just("v"), Just("v"), Just("w")];
    prop_oneof![
        (version(), 0..2u32).prop_map(|(version, roles)| begin(version, version, [roles, 0, 0])),
        (version(), IDS).prop_map(|(version, id)| part(version, &[role(id, 9)], &[], &[])),
        version().prop_map(end),
    ]
}

/// A stream's events, cut into batches.
fn batches() -> impl Strategy<Value = Vec<Vec<Opened>>> {
    vec(
        vec(prop_oneof![history_event(), directory_event()], 1..9),
        1..6,
    )
}

/// All that can be seen of a store.
#[derive(Debug, PartialEq)]
struct Seen {
    messages: Vec<Message>,
    guilds: Vec<GuildDirectory>,
    sequence: u64,
}

async fn see(store: &Store) -> Seen {
    let page = store.page(channel_id(CHANNEL), None, 100).await.unwrap();
    let directory = store.directory().await.unwrap();
    assert_eq!(page.position, directory.position);
    Seen {
        messages: page.messages,
        guilds: directory.guilds,
        sequence: page.position.sequence,
    }
}

/// Events that bring to light what can't be seen: tombstones, a snapshot on its way, rows of an unknown guild.
fn probes() -> Vec<Opened> {
    let mut probes: Vec<_> = IDS.map(|id| created(id, "probe")).collect();
    probes.extend([end("v"), end("w"), guild_updated("probe")]);
    probes.extend(IDS.map(|id| updated(id, "probe")));
    probes
}

async fn both_end_the_same(batches: Vec<Vec<Opened>>) {
    let (folded, single) = (Home::sqlite(), Home::sqlite());
    let mut folded: Archive = folded.archive().await;
    let mut single: Archive = single.archive().await;
    for batch in &batches {
        folded.write(batch).await;
        single.write_one_by_one(batch).await;
        assert_eq!(see(&folded.store).await, see(&single.store).await);
    }
    for probe in probes() {
        folded.write(std::slice::from_ref(&probe)).await;
        single.write(&[probe]).await;
        assert_eq!(see(&folded.store).await, see(&single.store).await);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_folded_batch_ends_as_its_events_one_by_one(batches in batches()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(both_end_the_same(batches));
    }
}
