//! Channels that were deleted and guilds that were left: their messages go, and no others.

use proto::envelope::Opened;
use proto::event::Event;

use crate::events::{
    CHANNEL, channel, channel_deleted, channel_id, channel_upserted, created, deleted, guild_id,
    guild_removed, guild_updated, message, opened, snapshot,
};
use crate::home::{GENERATION, Home};
use crate::subject::Subject;

on_every_home! {
    a_deleted_channel_takes_its_messages_and_those_of_its_threads_along fails_on RemovalsAreForgotten,
    a_deleted_category_leaves_its_channels_messages fails_on PruningTakesAll,
    a_channel_that_the_directory_never_knew_takes_its_messages_along fails_on RemovalsAreForgotten,
    a_guild_that_is_left_takes_all_its_messages_along fails_on RemovalsAreForgotten,
    a_guild_that_is_joined_again_has_messages_again fails_on RemovalsAreOfAllTime,
    what_was_deleted_stays_so_after_its_channel_went fails_on TombstonesAreForgotten,
    a_replay_from_the_beginning_ends_without_the_channel_again fails_on RemovalsAreForgotten,
    a_sweep_takes_no_more_than_it_may fails_on PruningTakesAll,
    a_long_sweep_lets_the_archive_write fails_on PruningTakesAll,
}

const TEXT: u32 = 0;
const CATEGORY: u32 = 4;
const THREAD: u32 = 11;

fn created_in(channel: u64, id: u64) -> Opened {
    opened(Some(channel), Event::MessageCreated(message(id, "text")))
}

async fn ids(store: &Subject, channel: u64) -> Vec<u64> {
    let page = store.page(channel_id(channel), None, 200).await.unwrap();
    page.messages.iter().map(|message| message.id).collect()
}

async fn sweep(store: &Subject) -> u64 {
    store.sweep_removed(u64::MAX).await.unwrap()
}

/// Two channels, each with a thread, and a message or two in each.
fn two_channels() -> Vec<Opened> {
    vec![
        guild_updated("name"),
        channel_upserted(channel(10, TEXT, None)),
        channel_upserted(channel(11, THREAD, Some(10))),
        channel_upserted(channel(20, TEXT, None)),
        channel_upserted(channel(21, THREAD, Some(20))),
        created_in(10, 1),
        created_in(10, 2),
        created_in(11, 3),
        created_in(20, 4),
        created_in(21, 5),
    ]
}

async fn a_deleted_channel_takes_its_messages_and_those_of_its_threads_along(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&two_channels()).await;
    assert_eq!(sweep(&archive.store).await, 0);
    archive.write(&[channel_deleted(21)]).await;
    archive.write(&[channel_deleted(10)]).await;
    assert_eq!(sweep(&archive.store).await, 4);
    for (channel, left) in [(10, 0), (11, 0), (20, 1), (21, 0)] {
        assert_eq!(ids(&archive.store, channel).await.len(), left, "{channel}");
    }
    assert_eq!(sweep(&archive.store).await, 0);
}

async fn a_deleted_category_leaves_its_channels_messages(home: &Home) {
    let mut archive = home.archive().await;
    let category = [
        guild_updated("name"),
        channel_upserted(channel(70, CATEGORY, None)),
        channel_upserted(channel(10, TEXT, Some(70))),
        created_in(10, 1),
        created_in(70, 2),
        channel_deleted(70),
    ];
    archive.write(&category).await;
    assert_eq!(sweep(&archive.store).await, 1);
    assert_eq!(ids(&archive.store, 10).await, [1]);
}

async fn a_channel_that_the_directory_never_knew_takes_its_messages_along(home: &Home) {
    let mut archive = home.archive().await;
    let unknown = [created(1, "text"), channel_deleted(CHANNEL)];
    archive.write(&unknown).await;
    assert_eq!(sweep(&archive.store).await, 1);
    assert_eq!(ids(&archive.store, CHANNEL).await, [0; 0]);
}

async fn a_guild_that_is_left_takes_all_its_messages_along(home: &Home) {
    let mut archive = home.archive().await;
    let other = guild_id(crate::events::GUILD + 1);
    let mut elsewhere = [
        guild_updated("another"),
        channel_upserted(channel(30, TEXT, None)),
        created_in(30, 6),
    ];
    for opened in &mut elsewhere {
        opened.guild = other;
    }
    archive.write(&two_channels()).await;
    archive.write(&elsewhere).await;
    archive.write(&[guild_removed()]).await;
    assert_eq!(sweep(&archive.store).await, 5);
    for channel in [10, 11, 20, 21] {
        assert_eq!(ids(&archive.store, channel).await, [0; 0], "{channel}");
    }
    assert_eq!(ids(&archive.store, 30).await, [6]);
}

async fn a_guild_that_is_joined_again_has_messages_again(home: &Home) {
    let mut archive = home.archive().await;
    let channels = [channel(CHANNEL, TEXT, None)];
    archive.write(&snapshot("v", &[], &channels, &[])).await;
    archive.write(&[created(1, "before")]).await;
    archive.write(&[guild_removed()]).await;
    archive.write(&snapshot("w", &[], &channels, &[])).await;
    archive.write(&[created(2, "after")]).await;
    assert_eq!(sweep(&archive.store).await, 1);
    archive.write(&[created(3, "later")]).await;
    assert_eq!(sweep(&archive.store).await, 0);
    assert_eq!(ids(&archive.store, CHANNEL).await, [2, 3]);
}

async fn what_was_deleted_stays_so_after_its_channel_went(home: &Home) {
    let mut archive = home.archive().await;
    let channels = [channel(CHANNEL, TEXT, None)];
    archive.write(&snapshot("v", &[], &channels, &[])).await;
    archive
        .write(&[created(1, "gone"), created(2, "text")])
        .await;
    archive.write(&[deleted(1), guild_removed()]).await;
    assert_eq!(sweep(&archive.store).await, 1);
    archive
        .write(&[created(1, "gone"), created(2, "text")])
        .await;
    assert_eq!(ids(&archive.store, CHANNEL).await, [2]);
}

async fn a_replay_from_the_beginning_ends_without_the_channel_again(home: &Home) {
    let mut archive = home.archive().await;
    let mut events = two_channels();
    events.push(channel_deleted(10));
    archive.write_one_by_one(&events).await;
    assert_eq!(sweep(&archive.store).await, 3);
    archive.rewind(GENERATION, 0).await;
    let (first, rest) = events.split_at(events.len() - 1);
    archive.write_one_by_one(first).await;
    assert_eq!(sweep(&archive.store).await, 0);
    archive.write_one_by_one(rest).await;
    assert_eq!(sweep(&archive.store).await, 3);
    assert_eq!(ids(&archive.store, 10).await, [0; 0]);
    assert_eq!(ids(&archive.store, 20).await, [4]);
}

async fn a_sweep_takes_no_more_than_it_may(home: &Home) {
    let mut archive = home.archive().await;
    let mut events: Vec<_> = (1..=5).map(|id| created(id, "")).collect();
    events.push(channel_deleted(CHANNEL));
    archive.write(&events).await;
    assert_eq!(archive.store.sweep_removed(0).await.unwrap(), 0);
    assert_eq!(archive.store.sweep_removed(2).await.unwrap(), 2);
    assert_eq!(ids(&archive.store, CHANNEL).await, [3, 4, 5]);
    assert_eq!(sweep(&archive.store).await, 3);
}

/// Two batches and a half, with messages of another channel between that stay.
async fn a_long_sweep_lets_the_archive_write(home: &Home) {
    let mut archive = home.archive().await;
    let place = |id: u64| if id.is_multiple_of(20) { 20 } else { CHANNEL };
    let many: Vec<_> = (1..=2500).map(|id| created_in(place(id), id)).collect();
    archive.write(&many).await;
    archive.write(&[channel_deleted(CHANNEL)]).await;
    let sweeper = home.store().await;
    let write = async {
        for id in 3001..=3050 {
            archive.write(&[created_in(20, id)]).await;
        }
    };
    let (removed, ()) = tokio::join!(sweeper.sweep_removed(u64::MAX), write);
    assert_eq!(removed.unwrap(), 2375);
    assert_eq!(ids(&sweeper, CHANNEL).await, [0; 0]);
    assert_eq!(ids(&sweeper, 20).await.len(), 175);
}
