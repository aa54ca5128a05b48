//! A stream that is read again from its start, over a database that has it already.

use proto::envelope::Opened;

use crate::events::{
    CHANNEL, channel, channel_deleted, channel_id, channel_upserted, created, deleted,
    guild_updated, member, member_removed, member_upserted, reacted, role, role_deleted,
    role_upserted, snapshot, thread_members_changed, updated,
};
use crate::fold::{Seen, see};
use crate::home::{GENERATION, Home};

on_every_home! {
    a_stream_that_is_read_twice_more_leaves_every_row_as_it_was fails_on CreationsReplace,
    a_replay_never_shows_what_was_deleted fails_on TombstonesAreForgotten,
}

const DELETED: std::ops::RangeInclusive<u64> = 40..=60;

/// A day of a guild: a snapshot, messages with edits and reactions, deletions, and changes of who may see what.
fn stream() -> Vec<Opened> {
    let roles = [role(1, 1), role(2, 2)];
    let channels = [
        channel(CHANNEL, 0, Some(70)),
        channel(13, 12, Some(CHANNEL)),
    ];
    let mut stream = snapshot("first", &roles, &channels, &[member(3, &[1])]).to_vec();
    stream.push(thread_members_changed(13, &[3, 4], &[]));
    for id in 1..=80 {
        stream.push(created(id, &format!("message {id}")));
        if id % 3 == 0 {
            stream.push(updated(id, &format!("edited {id}")));
            stream.push(reacted(id, &[1, 2]));
        }
        if id % 4 == 0 {
            stream.push(reacted(id, &[5]));
            stream.push(created(id - 1, "a creation that came twice"));
        }
    }
    stream.extend(DELETED.map(deleted));
    stream.extend([
        role_upserted(role(1, 8)),
        role_deleted(2),
        channel_upserted(channel(90, 0, None)),
        channel_deleted(90),
        member_upserted(member(5, &[1])),
        member_upserted(member(6, &[1])),
        member_removed(5),
        thread_members_changed(13, &[5], &[4]),
        guild_updated("renamed"),
    ]);
    stream.extend(snapshot("second", &[role(1, 9)], &channels, &[]));
    stream.push(thread_members_changed(13, &[3], &[]));
    stream
}

/// Every row of a message with its reactions, and the whole directory.
fn rows(seen: Seen) -> Seen {
    Seen {
        sequence: 0,
        ..seen
    }
}

async fn a_stream_that_is_read_twice_more_leaves_every_row_as_it_was(home: &Home) {
    let mut archive = home.archive().await;
    let stream = stream();
    for batch in stream.chunks(7) {
        archive.write(batch).await;
    }
    let before = see(&archive.store).await;
    assert_eq!(before.messages.len(), 80 - DELETED.count());
    let third = before.messages.iter().find(|message| message.id == 3);
    assert_eq!(
        third.map(|message| message.content.as_str()),
        Some("edited 3")
    );
    let before = rows(before);
    // Cut otherwise than the first time.
    for size in [1, 64] {
        archive.rewind(GENERATION, 0).await;
        for batch in stream.chunks(size) {
            archive.write(batch).await;
        }
        assert_eq!(archive.position.sequence, stream.len() as u64);
        assert_eq!(rows(see(&archive.store).await), before);
    }
}

async fn a_replay_never_shows_what_was_deleted(home: &Home) {
    let mut archive = home.archive().await;
    let stream = stream();
    archive.write(&stream).await;
    archive.rewind(GENERATION, 0).await;
    for batch in stream.chunks(5) {
        archive.write(batch).await;
        let page = archive.store.page(channel_id(CHANNEL), None, 200).await;
        let shown = page.unwrap().messages.into_iter().map(|message| message.id);
        assert_eq!(shown.filter(|id| DELETED.contains(id)).count(), 0);
    }
}
