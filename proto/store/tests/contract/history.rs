//! Messages: pages, tombstones, updates, and what a fold may not change.

use proto::event::{Attachment, Embed, Event};
use store::PAGE_MESSAGES_MAX;

use crate::events::{
    CHANNEL, channel_id, created, deleted, message, message_id, opened, reacted, updated,
};
use crate::home::Home;
use crate::subject::Subject;

on_every_home! {
    a_page_is_the_newest_messages_oldest_first fails_on NewestComesFirst,
    has_more_is_exact_at_the_limit fails_on FullPagesHaveMore,
    paging_by_cursor_meets_every_message_once fails_on CursorIsIncluded,
    a_cursor_stays_good_when_messages_are_deleted fails_on CursorMustLive,
    paging_while_messages_go_meets_those_that_stay_once fails_on CursorMustLive,
    a_page_is_bounded_whatever_is_asked fails_on PagesAreUnbounded,
    a_tombstone_wins_over_everything_later fails_on TombstonesAreForgotten,
    an_unknown_message_can_be_deleted_before_it_comes fails_on TombstonesAreForgotten,
    a_deleted_message_is_known_to_be_and_no_other fails_on EverythingIsDeleted,
    the_newest_message_is_that_of_all_channels_also_when_it_is_gone fails_on NewestIsOfOneChannel,
    an_update_of_an_unknown_message_makes_it fails_on UpdatesMakeNoRows,
    a_second_creation_changes_nothing fails_on CreationsReplace,
    an_update_is_taken_as_it_is fails_on TheFirstStateStays,
    every_order_within_a_batch_ends_as_one_by_one fails_on BatchesAreFoldedBackwards,
    a_large_batch_ends_as_its_events_one_by_one fails_on BatchesAreFoldedBackwards,
    a_later_generation_applied_again_changes_nothing fails_on TombstonesAreForgotten,
    a_later_generation_updates_although_its_sequences_are_lower fails_on NumberStays,
    a_message_is_found_in_its_own_channel_alone fails_on AnyChannelWillDo,
    every_byte_of_a_message_survives fails_on BodiesAreCut,
    a_message_without_an_id_or_a_channel_is_refused_and_passed fails_on NothingIsRefused,
}

async fn ids(store: &Subject, before: Option<u64>, limit: u32) -> (Vec<u64>, bool) {
    let before = before.map(message_id);
    let page = store
        .page(channel_id(CHANNEL), before, limit)
        .await
        .unwrap();
    let ids = page.messages.iter().map(|message| message.id).collect();
    (ids, page.has_more)
}

async fn content(store: &Subject, id: u64) -> Option<String> {
    let message = store.message(channel_id(CHANNEL), message_id(id)).await;
    message.unwrap().map(|message| message.content)
}

async fn a_page_is_the_newest_messages_oldest_first(home: &Home) {
    let mut archive = home.archive().await;
    let mut other = message(25, "elsewhere");
    other.channel_id = CHANNEL + 1;
    // The stream's order is not the ids' order.
    archive
        .write(&[
            created(30, "c"),
            created(10, "a"),
            opened(Some(CHANNEL + 1), Event::MessageCreated(other)),
            created(20, "b"),
        ])
        .await;
    let page = archive
        .store
        .page(channel_id(CHANNEL), None, 2)
        .await
        .unwrap();
    assert_eq!(page.messages, [message(20, "b"), message(30, "c")]);
    assert!(page.has_more);
    assert_eq!(page.position, archive.position);
    assert_eq!(page.position.sequence, 4);
    let unknown = archive.store.page(channel_id(99), None, 2).await.unwrap();
    assert!(unknown.messages.is_empty() && !unknown.has_more);
}

async fn has_more_is_exact_at_the_limit(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[created(1, ""), created(2, ""), created(3, "")])
        .await;
    let store = &archive.store;
    assert_eq!(ids(store, None, 4).await, (vec![1, 2, 3], false));
    assert_eq!(ids(store, None, 3).await, (vec![1, 2, 3], false));
    assert_eq!(ids(store, None, 2).await, (vec![2, 3], true));
    assert_eq!(ids(store, None, 0).await, (vec![], true));
    assert_eq!(ids(store, Some(3), 2).await, (vec![1, 2], false));
    assert_eq!(ids(store, Some(3), 1).await, (vec![2], true));
    assert_eq!(ids(store, Some(1), 1).await, (vec![], false));
    assert_eq!(ids(store, Some(1 << 62), 3).await, (vec![1, 2, 3], false));
    // What was deleted is not more.
    archive.write(&[deleted(1)]).await;
    assert_eq!(ids(&archive.store, None, 2).await, (vec![2, 3], false));
}

async fn paging_by_cursor_meets_every_message_once(home: &Home) {
    let mut archive = home.archive().await;
    let all: Vec<u64> = (1..=23).map(|n| n * 5).collect();
    let events: Vec<_> = all.iter().map(|id| created(*id, "")).collect();
    archive.write(&events).await;
    for limit in [1, 2, 22, 23, 24] {
        let mut met = Vec::new();
        let mut cursor = None;
        loop {
            let (page, has_more) = ids(&archive.store, cursor, limit).await;
            cursor = page.first().copied();
            met.splice(0..0, page);
            assert!(met.len() <= all.len(), "limit {limit}: {met:?}");
            if !has_more {
                break;
            }
        }
        assert_eq!(met, all, "limit {limit}");
    }
}

async fn a_cursor_stays_good_when_messages_are_deleted(home: &Home) {
    let mut archive = home.archive().await;
    let events: Vec<_> = (1..=6).map(|id| created(id, "")).collect();
    archive.write(&events).await;
    assert_eq!(ids(&archive.store, None, 2).await, (vec![5, 6], true));
    // The cursor's own message, one before it and one after it.
    archive.write(&[deleted(5), deleted(3), deleted(6)]).await;
    assert_eq!(ids(&archive.store, Some(5), 2).await, (vec![2, 4], true));
    assert_eq!(ids(&archive.store, Some(2), 2).await, (vec![1], false));
}

/// While somebody pages, what was posted at the cursor, before and after it is deleted.
async fn paging_while_messages_go_meets_those_that_stay_once(home: &Home) {
    let mut archive = home.archive().await;
    let events: Vec<_> = (1..=120).map(|id| created(id, "")).collect();
    archive.write(&events).await;
    let reader = home.open().await;
    let mut gone = Vec::new();
    let mut met: Vec<u64> = Vec::new();
    loop {
        let (mut page, has_more) = ids(&reader, met.last().copied(), 7).await;
        page.reverse();
        assert!(
            page.first() < met.last() || met.is_empty(),
            "{page:?} after {met:?}"
        );
        met.extend(page);
        let cursor = *met.last().unwrap();
        let going = [cursor, cursor + 2, cursor.saturating_sub(3)].map(|id| id.max(1));
        archive.write(&going.map(deleted)).await;
        gone.extend(going);
        if !has_more {
            break;
        }
    }
    assert!(met.is_sorted_by(|newer, older| newer > older), "{met:?}");
    let missed: Vec<_> = (1..=120).filter(|id| !met.contains(id)).collect();
    assert!(missed.iter().all(|id| gone.contains(id)), "{missed:?}");
    assert!(gone.len() > 40, "deletions went between: {}", gone.len());
}

async fn a_page_is_bounded_whatever_is_asked(home: &Home) {
    let mut archive = home.archive().await;
    let more = u64::from(PAGE_MESSAGES_MAX) + 1;
    let events: Vec<_> = (1..=more).map(|id| created(id, "")).collect();
    archive.write(&events).await;
    let (page, has_more) = ids(&archive.store, None, u32::MAX).await;
    assert_eq!(page, (2..=more).collect::<Vec<_>>());
    assert!(has_more);
}

async fn a_tombstone_wins_over_everything_later(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[created(1, "first"), created(2, "stays")])
        .await;
    archive.write(&[deleted(1)]).await;
    let again = [
        created(1, "again"),
        updated(1, "edited"),
        deleted(1),
        updated(1, "edited"),
    ];
    archive.write_one_by_one(&again).await;
    assert_eq!(content(&archive.store, 1).await, None);
    archive.begin_generation(1).await;
    archive.write_one_by_one(&again).await;
    archive.write(&[updated(1, "once more")]).await;
    assert_eq!(content(&archive.store, 1).await, None);
    assert_eq!(ids(&archive.store, None, 10).await, (vec![2], false));
}

async fn an_unknown_message_can_be_deleted_before_it_comes(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[deleted(1)]).await;
    archive.write(&[created(1, "late")]).await;
    archive.write(&[updated(1, "later")]).await;
    assert_eq!(content(&archive.store, 1).await, None);
    assert_eq!(ids(&archive.store, None, 10).await, (vec![], false));
}

async fn a_deleted_message_is_known_to_be_and_no_other(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, ""), created(2, "")]).await;
    archive.write(&[deleted(2), deleted(3)]).await;
    for (id, is_deleted) in [(1, false), (2, true), (3, true), (4, false)] {
        let told = archive.store.is_deleted(message_id(id)).await.unwrap();
        assert_eq!(told, is_deleted, "{id}");
    }
}

async fn the_newest_message_is_that_of_all_channels_also_when_it_is_gone(home: &Home) {
    let mut archive = home.archive().await;
    assert_eq!(archive.store.newest_message().await.unwrap(), None);
    let mut other = message(25, "elsewhere");
    other.channel_id = CHANNEL + 1;
    let elsewhere = opened(Some(CHANNEL + 1), Event::MessageCreated(other));
    let table = [
        (elsewhere, 25),
        (created(10, ""), 25),
        (created(30, ""), 30),
        (deleted(30), 30),
    ];
    for (event, newest) in table {
        archive.write(&[event]).await;
        let told = archive.store.newest_message().await.unwrap();
        assert_eq!(told, Some(message_id(newest)));
    }
}

async fn an_update_of_an_unknown_message_makes_it(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[updated(1, "edited")]).await;
    assert_eq!(content(&archive.store, 1).await.as_deref(), Some("edited"));
    archive.write(&[created(1, "late")]).await;
    assert_eq!(content(&archive.store, 1).await.as_deref(), Some("edited"));
}

async fn a_second_creation_changes_nothing(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, "first")]).await;
    archive.write(&[created(1, "second")]).await;
    assert_eq!(content(&archive.store, 1).await.as_deref(), Some("first"));
    archive
        .write(&[created(2, "first"), created(2, "second")])
        .await;
    assert_eq!(content(&archive.store, 2).await.as_deref(), Some("first"));
}

async fn an_update_is_taken_as_it_is(home: &Home) {
    let mut archive = home.archive().await;
    let mut pinned = message(1, "hello");
    pinned.pinned = true;
    pinned.embeds.push(Embed::default());
    let update = opened(Some(CHANNEL), Event::MessageUpdated(pinned.clone()));
    archive
        .write_one_by_one(&[created(1, "hello"), update])
        .await;
    let read = || archive.store.message(channel_id(CHANNEL), message_id(1));
    assert_eq!(read().await.unwrap(), Some(pinned));
    archive.write(&[updated(1, "hello")]).await;
    let bare = archive.store.message(channel_id(CHANNEL), message_id(1));
    let bare = bare.await.unwrap().unwrap();
    assert!(!bare.pinned && bare.embeds.is_empty());
}

/// Every sequence of up to four of these, as one batch and as batches of one, on ids of its own.
async fn every_order_within_a_batch_ends_as_one_by_one(home: &Home) {
    let mut archive = home.archive().await;
    for (number, steps) in sequences(4).into_iter().enumerate() {
        let folded = 2 * number as u64 + 1;
        let single = folded + 1;
        archive.write(&events_of(&steps, folded)).await;
        archive.write_one_by_one(&events_of(&steps, single)).await;
        let expected = final_content(&steps);
        assert_eq!(
            content(&archive.store, folded).await,
            expected,
            "{steps:?} folded"
        );
        assert_eq!(
            content(&archive.store, single).await,
            expected,
            "{steps:?} one by one"
        );
        // Neither a living message nor a tombstone may have got a guard that it should not have.
        let probe = expected.is_some().then(|| "probe".to_owned());
        archive
            .write(&[updated(folded, "probe"), updated(single, "probe")])
            .await;
        assert_eq!(
            content(&archive.store, folded).await,
            probe,
            "{steps:?} folded, probed"
        );
        assert_eq!(
            content(&archive.store, single).await,
            probe,
            "{steps:?} probed"
        );
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Create,
    Update,
    Delete,
}

fn sequences(length_max: usize) -> Vec<Vec<Step>> {
    let mut all: Vec<Vec<Step>> = Vec::new();
    let mut longest: Vec<Vec<Step>> = vec![Vec::new()];
    for _ in 0..length_max {
        longest = longest
            .iter()
            .flat_map(|steps| {
                [Step::Create, Step::Update, Step::Delete]
                    .map(|step| steps.iter().copied().chain([step]).collect())
            })
            .collect();
        all.extend(longest.iter().cloned());
    }
    all
}

fn events_of(steps: &[Step], id: u64) -> Vec<proto::envelope::Opened> {
    let event = |(index, step): (usize, &Step)| match step {
        Step::Create => created(id, &format!("text {index}")),
        Step::Update => updated(id, &format!("text {index}")),
        Step::Delete => deleted(id),
    };
    steps.iter().enumerate().map(event).collect()
}

/// The rule itself: deleted once is deleted; else the last update; else the first creation.
fn final_content(steps: &[Step]) -> Option<String> {
    if steps.iter().any(|step| matches!(step, Step::Delete)) {
        return None;
    }
    let update = steps.iter().rposition(|step| matches!(step, Step::Update));
    Some(format!("text {}", update.unwrap_or(0)))
}

/// More rows of each kind than go into a statement, some of them large, on known and on unknown messages.
async fn a_large_batch_ends_as_its_events_one_by_one(home: &Home) {
    let mut archive = home.archive().await;
    let large = "large ".repeat(5000);
    let known: Vec<_> = (1..=60).map(|id| created(id, "known")).collect();
    archive.write(&known).await;
    let mut events = Vec::new();
    let mut expected = Vec::new();
    for id in 1..=120 {
        let is_known = id <= 60;
        let text = if id % 9 == 0 { &large } else { "text" };
        events.push(created(id, text));
        let content = match id % 3 {
            0 => {
                events.push(updated(id, text));
                events.push(reacted(id, &[u32::try_from(id).unwrap()]));
                Some(text)
            }
            1 => {
                events.push(deleted(id));
                None
            }
            _ => Some(if is_known { "known" } else { text }),
        };
        expected.extend(content.map(|content| (id, content.to_owned())));
    }
    archive.write(&events).await;
    let page = archive.store.page(channel_id(CHANNEL), None, 200).await;
    let page = page.unwrap().messages;
    for message in &page {
        let counts: Vec<u64> = message
            .reactions
            .iter()
            .map(|one| one.count.into())
            .collect();
        let reacted = message.id % 3 == 0;
        assert_eq!(counts, if reacted { vec![message.id] } else { vec![] });
    }
    let contents = page
        .into_iter()
        .map(|message| (message.id, message.content));
    assert!(contents.eq(expected), "contents differ");
}

async fn a_later_generation_applied_again_changes_nothing(home: &Home) {
    let mut archive = home.archive().await;
    let events = [
        created(1, "one"),
        created(2, "two"),
        updated(2, "two, edited"),
        created(3, "three"),
        deleted(3),
        updated(3, "three, too late"),
    ];
    archive.write(&events).await;
    let before = archive
        .store
        .page(channel_id(CHANNEL), None, 10)
        .await
        .unwrap();
    archive.begin_generation(2).await;
    archive.write_one_by_one(&events).await;
    let after = archive
        .store
        .page(channel_id(CHANNEL), None, 10)
        .await
        .unwrap();
    let contents = after.messages.iter().map(|message| &message.content);
    assert_eq!(contents.collect::<Vec<_>>(), ["one", "two, edited"]);
    assert_eq!(after.messages, before.messages);
    assert_eq!((after.position.generation, after.position.sequence), (2, 6));
}

async fn a_later_generation_updates_although_its_sequences_are_lower(home: &Home) {
    let mut archive = home.archive().await;
    let filler: Vec<_> = (10..20).map(|id| created(id, "")).collect();
    archive.write(&filler).await;
    archive.write(&[updated(1, "at sequence 11")]).await;
    archive.begin_generation(2).await;
    archive.write(&[updated(1, "at sequence 1")]).await;
    assert_eq!(
        content(&archive.store, 1).await.as_deref(),
        Some("at sequence 1")
    );
}

async fn a_message_is_found_in_its_own_channel_alone(home: &Home) {
    let mut archive = home.archive().await;
    archive.write(&[created(1, "here")]).await;
    let store = &archive.store;
    let here = store
        .message(channel_id(CHANNEL), message_id(1))
        .await
        .unwrap();
    assert_eq!(here, Some(message(1, "here")));
    for channel in [CHANNEL - 1, CHANNEL + 1] {
        let elsewhere = store.message(channel_id(channel), message_id(1)).await;
        assert_eq!(elsewhere.unwrap(), None, "{channel}");
    }
    let unknown = store
        .message(channel_id(CHANNEL), message_id(2))
        .await
        .unwrap();
    assert_eq!(unknown, None);
}

async fn every_byte_of_a_message_survives(home: &Home) {
    let mut archive = home.archive().await;
    let mut odd = message(
        1,
        "\u{2028}\u{2029} 👩‍👩‍👧‍👦 <b>&amp;</b>\r\n\u{1}\u{7f}\u{feff}\u{202e}'\"\\%_ \u{fffd} e\u{301}",
    );
    odd.raw = vec![0, 255, 128, b'{', 0].into();
    odd.mentioned_users = [(u64::MAX, "ü".into())].into();
    odd.flags = u64::MAX;
    odd.attachments.push(Attachment {
        filename: "ñ\u{0}.png".into(),
        ..Attachment::default()
    });
    let event = opened(Some(CHANNEL), Event::MessageCreated(odd.clone()));
    archive.write(&[event]).await;
    let stored = archive
        .store
        .message(channel_id(CHANNEL), message_id(1))
        .await;
    assert_eq!(stored.unwrap(), Some(odd));
}

async fn a_message_without_an_id_or_a_channel_is_refused_and_passed(home: &Home) {
    let archive = home.archive().await;
    let mut nowhere = created(5, "nowhere");
    nowhere.channel = None;
    let mut batch = archive.store.batch(archive.position);
    batch.push(1, &created(0, "no id"));
    batch.push(2, &created(u64::MAX, "no snowflake"));
    batch.push(3, &nowhere);
    batch.push(4, &created(1, "good"));
    assert_eq!((batch.events(), batch.refused(), batch.to), (4, 3, 4));
    archive.store.apply(batch).await.unwrap();
    assert_eq!(ids(&archive.store, None, 10).await, (vec![1], false));
    assert_eq!(archive.store.position().await.unwrap().sequence, 4);
}
