//! Replies: whom they answer, and what that one had said as long as it is there to be read.

use proto::envelope::Opened;
use proto::event::{Event, Message, Reply};

use crate::events::{CHANNEL, channel_id, created, deleted, message, message_id, opened, user};
use crate::home::Home;
use crate::subject::Subject;

on_every_home! {
    a_reply_quotes_nothing_that_was_deleted fails_on PreviewsOutliveTheirOriginals,
    a_reply_to_a_deleted_message_says_whom_it_answers fails_on PreviewsLoseTheirAuthors,
    many_replies_to_deleted_messages_quote_none_of_them fails_on TombstonesAreForgotten,
}

fn reply(id: u64, original: u64) -> Message {
    Message {
        reply: Some(Reply {
            message_id: original,
            author: Some(user(3)),
            content: Some(said(original)),
        }),
        ..message(id, "a reply")
    }
}

fn replied(id: u64, original: u64) -> Opened {
    opened(Some(CHANNEL), Event::MessageCreated(reply(id, original)))
}

/// What each message of the page quotes.
async fn quotes(store: &Subject) -> Vec<(u64, Option<String>)> {
    let page = store.page(channel_id(CHANNEL), None, 200).await.unwrap();
    let replies = page.messages.into_iter();
    let replies = replies.filter_map(|message| Some((message.id, message.reply?.content)));
    replies.collect()
}

fn said(original: u64) -> String {
    format!("said in {original}")
}

async fn a_reply_quotes_nothing_that_was_deleted(home: &Home) {
    let mut archive = home.archive().await;
    let edited = opened(Some(CHANNEL), Event::MessageUpdated(reply(12, 1)));
    let mut elsewhere = created(3, "in the channel that a thread began in");
    elsewhere.channel = Some(channel_id(CHANNEL + 1));
    let mut gone_elsewhere = deleted(3);
    gone_elsewhere.channel = elsewhere.channel;
    archive
        .write(&[
            created(1, "goes"),
            created(2, "stays"),
            elsewhere,
            replied(11, 1),
            replied(12, 1),
            edited,
            replied(13, 2),
            replied(14, 3),
            replied(15, 99),
        ])
        .await;
    let before = [
        (11, Some(said(1))),
        (12, Some(said(1))),
        (13, Some(said(2))),
        (14, Some(said(3))),
        (15, Some(said(99))),
    ];
    assert_eq!(quotes(&archive.store).await, before);
    archive.write(&[deleted(1), gone_elsewhere]).await;
    let after = [
        (11, None),
        (12, None),
        (13, Some(said(2))),
        (14, None),
        (15, Some(said(99))),
    ];
    assert_eq!(quotes(&archive.store).await, after);
    for (id, quoted) in after {
        let one = archive.store.message(channel_id(CHANNEL), message_id(id));
        let one = one.await.unwrap().unwrap();
        assert_eq!(one.reply.unwrap().content, quoted, "{id}");
    }
    // One that comes, or comes again, after its original has gone.
    archive
        .write(&[
            replied(16, 1),
            opened(Some(CHANNEL), Event::MessageUpdated(reply(11, 1))),
        ])
        .await;
    let late = quotes(&archive.store).await;
    assert!(
        late.contains(&(11, None)) && late.contains(&(16, None)),
        "{late:?}"
    );
}

async fn a_reply_to_a_deleted_message_says_whom_it_answers(home: &Home) {
    let mut archive = home.archive().await;
    archive
        .write(&[created(1, "goes"), replied(2, 1), deleted(1)])
        .await;
    let mut expected = reply(2, 1);
    expected.reply.as_mut().unwrap().content = None;
    let page = archive.store.page(channel_id(CHANNEL), None, 10).await;
    assert_eq!(page.unwrap().messages, [expected.clone()]);
    let one = archive.store.message(channel_id(CHANNEL), message_id(2));
    assert_eq!(one.await.unwrap(), Some(expected));
}

/// More originals than are asked for at once; every third of them stays, outside of the page.
async fn many_replies_to_deleted_messages_quote_none_of_them(home: &Home) {
    let mut archive = home.archive().await;
    let originals: Vec<_> = (1..=200).map(|id| created(id, "")).collect();
    archive.write(&originals).await;
    let replies: Vec<_> = (1..=200).map(|id| replied(1_000 + id, id)).collect();
    archive.write(&replies).await;
    let stays = |id: &u64| id.is_multiple_of(3);
    let gone: Vec<_> = (1..=200).filter(|id| !stays(id)).map(deleted).collect();
    archive.write(&gone).await;
    let expected = (1..=200).map(|id| (1_000 + id, stays(&id).then(|| said(id))));
    assert_eq!(quotes(&archive.store).await, expected.collect::<Vec<_>>());
}
