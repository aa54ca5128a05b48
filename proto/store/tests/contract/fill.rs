//! Filling a channel with what was posted before anybody listened.

use crate::events::{
    CHANNEL, GUILD, channel, channel_id, channel_upserted, created, deleted, guild_id,
    guild_removed, message, message_id, reacted, updated,
};
use crate::home::Home;
use crate::subject::Subject;

on_every_home! {
    a_filled_channel_has_its_messages_and_is_filled_for_ever fails_on NothingIsFilled,
    what_the_stream_said_of_a_message_stays fails_on FillingReplaces,
    what_the_stream_says_later_wins fails_on FilledRowsOutrankTheStream,
    a_deleted_message_is_not_filled_again fails_on TombstonesAreForgotten,
    a_guild_that_comes_back_is_filled_again fails_on FilledForEver,
    a_channel_is_found_by_its_guild fails_on ChannelsAreUnknown,
}

async fn contents(store: &Subject) -> Vec<String> {
    let page = store.page(channel_id(CHANNEL), None, 200).await.unwrap();
    let messages = page.messages.into_iter();
    messages.map(|message| message.content).collect()
}

async fn fill(store: &Subject, ids: &[u64]) {
    let messages: Vec<_> = ids.iter().map(|id| message(*id, "filled")).collect();
    store
        .fill(guild_id(GUILD), channel_id(CHANNEL), &messages, 1)
        .await
        .unwrap();
}

async fn a_filled_channel_has_its_messages_and_is_filled_for_ever(home: &Home) {
    let store = home.archive().await.store;
    let channel = channel_id(CHANNEL);
    assert!(!store.is_filled(channel).await.unwrap());
    let ids: Vec<u64> = (1..=100).collect();
    fill(&store, &ids).await;
    assert_eq!(contents(&store).await.len(), 100);
    let position = store.position().await.unwrap();
    fill(&store, &[]).await;
    assert_eq!(contents(&store).await.len(), 100);
    assert_eq!(store.position().await.unwrap(), position);
    let again = home.store().await;
    assert!(again.is_filled(channel).await.unwrap());
    assert!(!again.is_filled(channel_id(CHANNEL + 1)).await.unwrap());
}

async fn what_the_stream_said_of_a_message_stays(home: &Home) {
    let mut archive = home.archive().await;
    let events = [
        created(1, "said"),
        created(2, "said"),
        reacted(2, &[3]),
        updated(3, "said"),
    ];
    archive.write(&events).await;
    fill(&archive.store, &[1, 2, 3, 4]).await;
    let said = ["said", "said", "said", "filled"];
    assert_eq!(contents(&archive.store).await, said);
    let second = archive.store.message(channel_id(CHANNEL), message_id(2));
    assert_eq!(second.await.unwrap().unwrap().reactions[0].count, 3);
}

async fn what_the_stream_says_later_wins(home: &Home) {
    let mut archive = home.archive().await;
    fill(&archive.store, &[1, 2, 3]).await;
    let events = [
        updated(1, "said"),
        deleted(2),
        created(3, "known"),
        reacted(3, &[7]),
    ];
    archive.write(&events).await;
    assert_eq!(contents(&archive.store).await, ["said", "filled"]);
    let third = archive.store.message(channel_id(CHANNEL), message_id(3));
    assert_eq!(third.await.unwrap().unwrap().reactions[0].count, 7);
}

async fn a_deleted_message_is_not_filled_again(home: &Home) {
    let mut archive = home.archive().await;
    // Nobody had heard of the second.
    archive
        .write(&[created(1, "said"), deleted(1), deleted(2)])
        .await;
    fill(&archive.store, &[1, 2, 3]).await;
    assert_eq!(contents(&archive.store).await, ["filled"]);
}

async fn a_guild_that_comes_back_is_filled_again(home: &Home) {
    let mut archive = home.archive().await;
    fill(&archive.store, &[1]).await;
    archive.write(&[guild_removed()]).await;
    let is_filled = archive.store.is_filled(channel_id(CHANNEL)).await;
    assert!(!is_filled.unwrap());
}

async fn a_channel_is_found_by_its_guild(home: &Home) {
    let mut archive = home.archive().await;
    let mut known = channel(CHANNEL, 0, None);
    known.last_message_id = Some(5);
    archive.write(&[channel_upserted(known.clone())]).await;
    let store = &archive.store;
    let found = store.channel(guild_id(GUILD), channel_id(CHANNEL)).await;
    assert_eq!(found.unwrap(), Some(known));
    let elsewhere = store.channel(guild_id(GUILD + 1), channel_id(CHANNEL));
    assert_eq!(elsewhere.await.unwrap(), None);
}
