//! Erasing a user: what they wrote and what others quote of it is found in all rows, and nothing else is touched.

use proto::envelope::Opened;
use proto::event::{Event, Forward, Message, Reply};
use store::{Found, Place, Trail};

use crate::events::{
    CHANNEL, GUILD, channel_id, created, guild_id, member, member_upserted, message, message_id,
    opened, user, user_id,
};
use crate::home::Home;
use crate::subject::Subject;

on_every_home! {
    who_was_erased_is_remembered_with_the_first_time fails_on ErasuresAreForgotten,
    own_messages_are_met_once_however_many_rows_there_are fails_on OneStepIsAll,
    a_webhooks_messages_are_nobodys fails_on WebhooksAreUsers,
    what_others_quote_is_taken_out_and_the_rest_stays fails_on QuotesAreKept,
    what_is_buried_stays_so fails_on TombstonesAreForgotten,
    memberships_and_logins_go_and_others_stay fails_on MembersAreKept,
}

const USER: u64 = 5;

fn trail() -> Trail {
    Trail::new(user_id(USER))
}

fn by(author: u64, id: u64) -> Message {
    let mut message = message(id, "text");
    message.author = Some(user(author));
    message
}

fn posted(message: Message) -> Opened {
    opened(Some(CHANNEL), Event::MessageCreated(message))
}

async fn own(store: &Subject, trail: &mut Trail) -> Vec<u64> {
    let (mut met, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let step = store.own_messages(trail, from).await.unwrap();
        met.extend(step.met.iter().map(|place| place.message.get()));
        after = step.next;
    }
    met
}

async fn forget(store: &Subject, trail: &mut Trail) -> Vec<(Place, Found)> {
    let (mut met, mut after) = (Vec::new(), Some(0));
    while let Some(from) = after {
        let step = store.forget_quotes(trail, from).await.unwrap();
        met.extend(step.met);
        after = step.next;
    }
    met
}

async fn read(store: &Subject, id: u64) -> Option<Message> {
    let read = store.message(channel_id(CHANNEL), message_id(id)).await;
    read.unwrap()
}

async fn who_was_erased_is_remembered_with_the_first_time(home: &Home) {
    let store = home.store().await;
    assert_eq!(store.erased_users().await.unwrap(), []);
    for (id, at_ms, since) in [(1, 100, 100), (2, 300, 300), (1, 500, 100)] {
        let told = store.add_erased_user(user_id(id), at_ms).await.unwrap();
        assert_eq!(told, since, "{id}");
    }
    let users = home.open().await.erased_users().await.unwrap();
    assert_eq!(users, [user_id(1), user_id(2)]);
}

async fn own_messages_are_met_once_however_many_rows_there_are(home: &Home) {
    let mut archive = home.archive().await;
    let author = |id: u64| if id.is_multiple_of(700) { USER } else { 3 };
    let many: Vec<_> = (1..=3000).map(|id| posted(by(author(id), id))).collect();
    archive.write(&many).await;
    let mut trail = trail();
    assert_eq!(
        own(&archive.store, &mut trail).await,
        [700, 1400, 2100, 2800]
    );
    let step = archive.store.own_messages(&mut trail, 699).await.unwrap();
    let place = Place {
        message: message_id(700),
        channel: channel_id(CHANNEL),
        guild: guild_id(GUILD),
    };
    assert_eq!(step.met.first(), Some(&place));
}

async fn a_webhooks_messages_are_nobodys(home: &Home) {
    let mut archive = home.archive().await;
    let mut hook = by(USER, 1);
    hook.webhook_id = Some(USER);
    archive.write(&[posted(hook), posted(by(USER, 2))]).await;
    assert_eq!(own(&archive.store, &mut trail()).await, [2]);
}

async fn what_others_quote_is_taken_out_and_the_rest_stays(home: &Home) {
    let mut archive = home.archive().await;
    let mut reply = by(3, 2);
    reply.reply = Some(Reply {
        message_id: 1,
        author: Some(user(USER)),
        content: Some("text".into()),
    });
    let mut copy = by(3, 3);
    copy.forward = Some(Forward {
        message_id: Some(1),
        content: "text".into(),
        ..Forward::default()
    });
    let mut named = by(3, 4);
    named.mentioned_users = [(USER, "name".into()), (6, "other".into())].into();
    let mut other = by(3, 5);
    other.reply = Some(Reply {
        message_id: 2,
        author: Some(user(3)),
        content: Some("text".into()),
    });
    let all = [by(USER, 1), reply, copy, named, other.clone()];
    archive.write(&all.map(posted)).await;
    archive.write(&[crate::events::reacted(3, &[7])]).await;
    let (store, mut trail) = (&archive.store, trail());
    assert_eq!(own(store, &mut trail).await, [1]);
    let met = forget(store, &mut trail).await;
    let met: Vec<_> = met
        .iter()
        .map(|(place, found)| (place.message.get(), found.reply, found.forward, found.name))
        .collect();
    let expected = [
        (2, true, false, false),
        (3, false, true, false),
        (4, false, false, true),
    ];
    assert_eq!(met, expected);
    let left = read(store, 2).await.unwrap().reply.unwrap();
    assert_eq!(
        (left.author, left.content, left.message_id),
        (None, None, 1)
    );
    let copy = read(store, 3).await.unwrap();
    assert_eq!(copy.forward.unwrap().content, "[Erased]");
    assert_eq!((copy.content.as_str(), copy.reactions.len()), ("text", 1));
    let named = read(store, 4).await.unwrap().mentioned_users;
    assert_eq!(named, [(6, "other".into())].into());
    assert_eq!(read(store, 5).await, Some(other));
    assert!(read(store, 1).await.is_some(), "their own is not a quote");
    assert_eq!(forget(store, &mut trail).await, [], "twice");
}

async fn what_is_buried_stays_so(home: &Home) {
    let mut archive = home.archive().await;
    let all: Vec<_> = (1..=120).map(|id| posted(by(USER, id))).collect();
    archive.write(&all).await;
    let store = archive.store.clone();
    let ids: Vec<_> = (1..=119).map(message_id).collect();
    assert_eq!(store.bury(&ids, 7).await.unwrap(), 119);
    assert_eq!(store.bury(&ids, 7).await.unwrap(), 0);
    assert_eq!(store.bury(&[], 7).await.unwrap(), 0);
    assert_eq!(own(&store, &mut trail()).await, [120]);
    archive.write(&[created(1, "again")]).await;
    archive.begin_generation(1).await;
    archive.write(&[crate::events::updated(2, "again")]).await;
    for id in [1, 2, 119] {
        assert_eq!(read(&store, id).await, None, "{id}");
        assert!(store.is_deleted(message_id(id)).await.unwrap());
    }
    assert!(read(&store, 120).await.is_some());
}

async fn memberships_and_logins_go_and_others_stay(home: &Home) {
    let mut archive = home.archive().await;
    let mut elsewhere = member_upserted(member(USER, &[]));
    elsewhere.guild = guild_id(GUILD + 1);
    let members = [
        member_upserted(member(USER, &[])),
        elsewhere,
        member_upserted(member(6, &[])),
    ];
    archive.write(&members).await;
    let store = &archive.store;
    for id in [USER, 6] {
        let guilds = [guild_id(GUILD)];
        store
            .set_login_guilds(user_id(id), &guilds, 1)
            .await
            .unwrap();
    }
    assert_eq!(store.forget_user(user_id(USER)).await.unwrap(), (2, 1));
    assert_eq!(store.forget_user(user_id(USER)).await.unwrap(), (0, 0));
    let member = |id| store.member(guild_id(GUILD), user_id(id));
    assert_eq!(member(USER).await.unwrap(), None);
    assert!(member(6).await.unwrap().is_some());
    assert_eq!(store.login_guilds(user_id(USER)).await.unwrap(), None);
    assert!(store.login_guilds(user_id(6)).await.unwrap().is_some());
}
