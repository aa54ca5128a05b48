//! Reactions: totals beside the message, which an edit does not touch and a deletion takes along.

use proto::envelope::Opened;
use proto::event::{Event, Reaction, ReactionMark};
use store::Store;

use crate::events::{
    CHANNEL, channel_id, created, deleted, message, message_id, opened, reacted, updated,
};
use crate::home::Home;

on_every_home! {
    reactions_come_with_the_message_and_its_page,
    an_update_leaves_the_reactions_as_they_are,
    a_later_total_replaces_an_earlier_one,
    reactions_of_an_unknown_message_are_ignored,
    a_deletion_takes_the_reactions_along,
    reactions_that_a_new_message_brings_along_are_the_base,
    a_mark_is_kept_with_its_total,
    every_order_of_reactions_within_a_batch_ends_as_one_by_one,
    an_older_total_does_not_replace_a_newer_one,
}

/// The counts of a message's reactions, one kind of emoji; none where the message is unknown.
async fn counts(store: &Store, id: u64) -> Option<Vec<u32>> {
    let read = store.reactions(channel_id(CHANNEL), message_id(id)).await;
    let reactions = read.unwrap().map(|(reactions, _)| reactions);
    let message = store.message(channel_id(CHANNEL), message_id(id)).await;
    let of_message = message.unwrap().map(|message| message.reactions);
    let page = store.page(channel_id(CHANNEL), None, 200).await.unwrap();
    let on_page = page.messages.into_iter().find(|message| message.id == id);
    assert_eq!(reactions, of_message, "read alone and with the message");
    assert_eq!(of_message, on_page.map(|message| message.reactions));
    let counts = |reactions: Vec<Reaction>| reactions.iter().map(|one| one.count).collect();
    reactions.map(counts)
}

/// A creation that brings reactions along, as one that was read over REST does.
fn created_with(id: u64, count: u32) -> Opened {
    let mut message = message(id, "old");
    message.reactions = vec![reaction(count)];
    opened(Some(CHANNEL), Event::MessageCreated(message))
}

fn updated_with(id: u64, count: u32) -> Opened {
    let mut message = message(id, "edited");
    message.reactions = vec![reaction(count)];
    opened(Some(CHANNEL), Event::MessageUpdated(message))
}

fn reaction(count: u32) -> Reaction {
    Reaction {
        emoji: "👍".into(),
        count,
        ..Reaction::default()
    }
}

async fn reactions_come_with_the_message_and_its_page(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, "one"), created(2, "two")]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![]));
    archive.write(&[reacted(1, &[3, 1])]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![3, 1]));
    assert_eq!(counts(&archive.store, 2).await, Some(vec![]));
    let elsewhere = archive
        .store
        .reactions(channel_id(CHANNEL + 1), message_id(1))
        .await;
    assert_eq!(elsewhere.unwrap(), None);
}

async fn an_update_leaves_the_reactions_as_they_are(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, "one"), reacted(1, &[3])]).await;
    archive.write(&[updated(1, "edited")]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![3]));
    archive.write(&[updated_with(1, 9)]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![3]));
    let message = archive
        .store
        .message(channel_id(CHANNEL), message_id(1))
        .await;
    assert_eq!(message.unwrap().unwrap().content, "edited");
}

async fn a_later_total_replaces_an_earlier_one(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write_one_by_one(&[created(1, ""), reacted(1, &[3, 1]), reacted(1, &[2])])
        .await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![2]));
    archive.write(&[reacted(1, &[5]), reacted(1, &[])]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![]));
}

async fn reactions_of_an_unknown_message_are_ignored(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[reacted(1, &[3])]).await;
    assert_eq!(counts(&archive.store, 1).await, None);
    archive.write(&[created(1, "late")]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![]));
}

async fn a_deletion_takes_the_reactions_along(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, ""), reacted(1, &[3])]).await;
    archive.write(&[deleted(1)]).await;
    archive
        .write_one_by_one(&[reacted(1, &[4]), created_with(1, 5), updated_with(1, 6)])
        .await;
    assert_eq!(counts(&archive.store, 1).await, None);
    archive.begin_generation(1).await;
    archive.write(&[created(1, ""), reacted(1, &[3])]).await;
    assert_eq!(counts(&archive.store, 1).await, None);
}

async fn reactions_that_a_new_message_brings_along_are_the_base(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[created_with(1, 4), updated_with(2, 5)])
        .await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![4]));
    assert_eq!(counts(&archive.store, 2).await, Some(vec![5]));
    archive.write(&[updated(1, "edited")]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![4]));
    archive.write(&[reacted(1, &[6])]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![6]));
    archive.write(&[created_with(1, 7)]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![6]));
}

async fn a_mark_is_kept_with_its_total(home: &Home) {
    let mut archive = home.archive().await;
    let marked = |sequence| {
        let mut total = reacted(1, &[1]);
        if let Event::ReactionsChanged(total) = &mut total.event {
            total.mark = Some(ReactionMark {
                epoch: u64::MAX,
                shard: 3,
                sequence,
            });
        }
        total
    };
    archive.write(&[created(1, ""), marked(1), marked(2)]).await;
    let read = || archive.store.reactions(channel_id(CHANNEL), message_id(1));
    let (_, mark) = read().await.unwrap().unwrap();
    let mark = mark.unwrap();
    assert_eq!((mark.epoch, mark.shard, mark.sequence), (u64::MAX, 3, 2));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Update,
    Delete,
    React,
}

fn event_of(step: Step, id: u64, index: u32) -> Opened {
    match step {
        Step::Create if index.is_multiple_of(2) => created_with(id, index + 10),
        Step::Create => created(id, ""),
        Step::Update => updated_with(id, index + 20),
        Step::Delete => deleted(id),
        Step::React => reacted(id, &[index + 30]),
    }
}

/// The rule itself: known once it is created or updated, with the reactions that this brings along; then
/// the last total; nothing once deleted.
fn final_counts(steps: &[Step]) -> Option<Vec<u32>> {
    let mut known = None;
    for (index, step) in (0_u32..).zip(steps) {
        match step {
            Step::Delete => return None,
            Step::React if known.is_some() => known = Some(vec![index + 30]),
            Step::React => {}
            Step::Create if index.is_multiple_of(2) => known = known.or(Some(vec![index + 10])),
            Step::Create => known = known.or(Some(vec![])),
            Step::Update => known = known.or(Some(vec![index + 20])),
        }
    }
    known
}

/// Every sequence of three of these, on an unknown and on a known message.
async fn every_order_of_reactions_within_a_batch_ends_as_one_by_one(home: &Home) {
    let mut archive = home.archive().await;
    let steps = [Step::Create, Step::Update, Step::Delete, Step::React];
    let mut id = 0;
    for number in 0..64_usize {
        let digits = [number / 16, number / 4 % 4, number % 4];
        let steps: Vec<Step> = digits.map(|digit| steps[digit]).to_vec();
        for before in [&[][..], &[Step::Create]] {
            let whole = [before, &steps].concat();
            let expected = final_counts(&whole);
            let mut events = [Vec::new(), Vec::new()];
            for events in &mut events {
                id += 1;
                let numbered = (0..).zip(&whole);
                *events = numbered.map(|(i, step)| event_of(*step, id, i)).collect();
            }
            let [folded, single] = events;
            archive.write(&folded[..before.len()]).await;
            archive.write(&folded[before.len()..]).await;
            archive.write_one_by_one(&single).await;
            assert_eq!(counts(&archive.store, id - 1).await, expected, "{whole:?}");
            assert_eq!(counts(&archive.store, id).await, expected, "{whole:?}");
            // They are gone from the next page's way.
            archive.write(&[deleted(id - 1), deleted(id)]).await;
        }
    }
}

async fn an_older_total_does_not_replace_a_newer_one(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, ""), reacted(1, &[1])]).await;
    archive.begin_generation(9).await;
    archive.write(&[reacted(1, &[2])]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![2]));
    // As if a much later event had written them.
    home.run("UPDATE messages SET reactions_guard = 5000000000000000")
        .await;
    archive.write(&[reacted(1, &[3])]).await;
    assert_eq!(counts(&archive.store, 1).await, Some(vec![2]));
}
