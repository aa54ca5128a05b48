//! Reactions, typing, members on demand and exclusions, from the simulated Discord to the stream and to SQL.

use std::collections::HashSet;

use broker::Broker as _;
use futures_util::future::join_all;
use prost::Message as _;
use proto::event::{Event, MemberStatus, Message, Reply, Typing, User};
use proto::{MessageId, UserId, subject};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::world::{PATIENCE, Service, World, eventually};

/// The people of the first guild who are no bots.
fn people(world: &World) -> Vec<u64> {
    let overview = world.overview();
    let members = overview["guilds"][0]["members"].as_array().unwrap().iter();
    let people = members.filter(|member| member["bot"] == false);
    people
        .map(|member| member["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

async fn react(world: &World, method: Method, message: u64, user: u64) {
    let channel = world.channel;
    let path =
        format!("/api/v10/channels/{channel}/messages/{message}/reactions/%F0%9F%91%8D/{user}");
    world.call(method, &path).await;
}

/// The totals of one message in the stream, in its order.
async fn totals(world: &World, message: u64) -> Vec<u32> {
    let events = world.events().await.into_iter();
    let totals = events.filter_map(|event| match event {
        Event::ReactionsChanged(changed) if changed.message_id == message => {
            Some(changed.reactions.iter().map(|one| one.count).sum())
        }
        _ => None,
    });
    totals.collect()
}

async fn in_sql(world: &World, message: u64, count: u32) {
    eventually("the total in SQL", async || {
        let id = MessageId::new(message).unwrap();
        let stored = world.store.reactions(world.channel, id).await.unwrap();
        stored.is_some_and(|(totals, _)| totals.iter().map(|one| one.count).sum::<u32>() == count)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reactions_are_totals_over_restarts_and_on_messages_from_before() {
    let world = World::new().await;
    let people = people(&world);
    let before = world.post("from before").await;
    react(&world, Method::PUT, before, people[0]).await;
    let service = world.start();
    service.connected().await;
    let message = world.post("hello").await;
    react(&world, Method::PUT, message, people[0]).await;
    react(&world, Method::PUT, message, people[1]).await;
    react(&world, Method::DELETE, message, people[0]).await;
    react(&world, Method::PUT, before, people[1]).await;
    eventually("what Discord says", async || {
        totals(&world, before).await == [2]
    })
    .await;
    eventually("three totals", async || {
        totals(&world, message).await == [1, 2, 1]
    })
    .await;
    in_sql(&world, message, 1).await;
    service.stop().await;
    react(&world, Method::PUT, message, people[2]).await;
    let service = world.start();
    service.connected().await;
    eventually("the total after the restart", async || {
        totals(&world, message).await == [1, 2, 1, 2]
    })
    .await;
    in_sql(&world, message, 2).await;
    assert_eq!(world.stats().await["identifies"], 1);
    assert_eq!(
        service.status.json()["rest"]["asked"],
        0,
        "SQL knew all of it"
    );
    service.kill().await;
    let service = world.start();
    service.connected().await;
    react(&world, Method::PUT, message, people[3]).await;
    eventually("the total after the kill", async || {
        totals(&world, message).await == [1, 2, 1, 2, 3]
    })
    .await;
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_types_is_told_and_leaves_nothing_in_the_stream() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    let mut heard = world.broker.notices(subject::EPHEMERAL).await.unwrap();
    world.types(world.human).await;
    let notice = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!(notice.subject, subject::ephemeral(world.channel));
    let typing = Typing::decode(notice.payload).unwrap();
    assert_eq!(typing.user.unwrap().id, world.human);
    assert_eq!(service.status.json()["outcomes"]["told"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_unknown_viewers_are_asked_for_once_each_and_in_few_commands() {
    let world = World::with_members(200).await;
    let service = world.start();
    service.connected().await;
    let guild = world.guild.get();
    eventually("the desk", async || {
        world.ask_member(world.human, &[guild]).await.is_some()
    })
    .await;
    let unknown: Vec<_> = people(&world)
        .into_iter()
        .filter(|id| *id != world.human)
        .collect();
    assert!(unknown.len() >= 200, "{}", unknown.len());
    let before = service.status.json()["members"].clone();
    let guilds = [guild];
    let asked = unknown.iter().chain(&unknown);
    let answers = join_all(asked.map(|user| world.ask_member(*user, &guilds))).await;
    for answer in answers {
        let answer = answer.expect("an answer within the asker's patience");
        assert_eq!(answer.status(), MemberStatus::Member);
    }
    let after = service.status.json()["members"].clone();
    let grown = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    assert_eq!(grown("asked"), unknown.len() as u64, "each of them once");
    assert!(grown("commands") <= 20, "{after}");
    assert_eq!(grown("read"), 0, "{after}");
    let upserts = world.events().await;
    let upserts = upserts.iter().filter_map(|event| match event {
        Event::MemberUpserted(member) => Some(member.user.as_ref()?.id),
        _ => None,
    });
    let upserts: Vec<_> = upserts.filter(|user| unknown.contains(user)).collect();
    assert_eq!(upserts.len(), unknown.len(), "each is published once");
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_does_not_answer_leaves_members_to_the_api() {
    let world = World::new().await;
    let service = world.start();
    service.connected().await;
    let guild = world.guild.get();
    eventually("the desk", async || {
        world.ask_member(4_242, &[guild]).await.is_some()
    })
    .await;
    world
        .fault(&json!({ "kind": "silence", "seconds": 20 }))
        .await;
    let answer = world.ask_member(world.human, &[guild]).await.unwrap();
    assert_eq!(answer.status(), MemberStatus::Member);
    assert_eq!(service.status.json()["members"]["read"], 1);
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_about_members_hold_for_a_minute_without_the_members_intent() {
    for (has_intent, recheck_after_ms) in [(true, 0), (false, 60_000)] {
        let world = World::new().await;
        let intents = json!({ "members_intent": has_intent });
        world.application(&intents).await;
        let guild = world.guild.get();
        let asked = async |service: Service| {
            service.connected().await;
            let mut reply = None;
            eventually("an answer about a member", async || {
                reply = world.ask_members(world.human, &[guild]).await;
                reply.is_some()
            })
            .await;
            service.stop().await;
            reply.unwrap().recheck_after_ms
        };
        assert_eq!(asked(world.start()).await, recheck_after_ms);
        // The next leader resumes the session, whose intents are those of its beginning.
        assert_eq!(asked(world.start()).await, recheck_after_ms);
        assert_eq!(world.stats().await["identifies"], 1);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_excluded_channel_or_author_gets_out_also_after_a_resume() {
    let mut world = World::new().await;
    let overview = world.overview();
    let channels = overview["guilds"][0]["channels"].as_array().unwrap();
    let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
    let hidden = channels
        .iter()
        .find(|one| one["type"] == 0 && id(one) != world.channel.to_string());
    let hidden = id(hidden.unwrap());
    world.settings = vec![
        ("STREAM_EXCLUDE_CHANNELS", hidden.clone()),
        ("STREAM_EXCLUDE_USERS", world.human.to_string()),
    ];
    let service = world.start();
    service.connected().await;
    for _ in 0..2 {
        world.say(&hidden, "hidden", None).await;
        let open = world.channel.to_string();
        world.say(&open, "by somebody", Some(world.human)).await;
    }
    let first = service.status.clone();
    // Until its snapshots are settled, a RESUME would bring all of it again.
    eventually("what was said", async || {
        let outcomes = &first.json()["outcomes"];
        outcomes["skipped"]["excluded"] == 4 && outcomes["pending"] == 0
    })
    .await;
    service.stop().await;
    let service = world.start();
    service.connected().await;
    world.say(&hidden, "hidden", None).await;
    let last = world.post("the last").await;
    eventually("the last message", async || {
        let events = world.events().await;
        events
            .iter()
            .any(|event| matches!(event, Event::MessageCreated(one) if one.id == last))
    })
    .await;
    let mut shown = HashSet::new();
    for event in world.events().await {
        match event {
            Event::MessageCreated(message) => assert_eq!(message.id, last),
            Event::GuildSnapshotPart(part) => {
                shown.extend(part.channels.into_iter().map(|one| one.id));
            }
            _ => {}
        }
    }
    assert!(shown.contains(&world.channel.get()) && !shown.contains(&hidden.parse().unwrap()));
    assert_eq!(world.stats().await["identifies"], 1);
    let excluded = [first, service.status.clone()].map(|status| {
        let skipped = &status.json()["outcomes"]["skipped"];
        skipped["excluded"].as_u64().unwrap_or(0)
    });
    assert_eq!(excluded.iter().sum::<u64>(), 5, "{excluded:?}");
    service.stop().await;
    world.settings = Vec::new();
    let service = world.start();
    service.connected().await;
    assert_eq!(
        world.stats().await["identifies"],
        2,
        "other exclusions need other snapshots"
    );
    service.stop().await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_says_what_the_bot_lacks_and_nothing_secret() {
    let mut world = World::new().await;
    let whole = ingest::check::check(&world.read_settings()).await;
    assert_eq!(whole.lacking(), 0, "{whole}");
    let said = whole.to_string();
    assert!(said.contains("message content intent is on"), "{said}");
    assert!(
        said.contains("all ") && said.ends_with("nothing lacks"),
        "{said}"
    );
    let token = std::mem::replace(&mut world.token, "wr0ng".into());
    let refused = ingest::check::check(&world.read_settings())
        .await
        .to_string();
    assert!(refused.contains("refuses the bot token"), "{refused}");
    assert!(
        refused.ends_with("1 thing lacks") && !refused.contains("wr0ng"),
        "{refused}"
    );
    world.token = token;
    world
        .fault(&json!({ "kind": "rest_5xx", "seconds": 60 }))
        .await;
    let away = ingest::check::check(&world.read_settings())
        .await
        .to_string();
    assert!(away.contains("can't be asked"), "{away}");
    world.end().await;
}

/// What nobody has archived: an erasure meets it in the stream alone.
fn unarchived(world: &World, text: &str) -> [Message; 2] {
    let user = |id| User {
        id,
        ..User::default()
    };
    let message = |id: u64, author| Message {
        id,
        channel_id: world.channel.get(),
        guild_id: world.guild.get(),
        author: Some(user(author)),
        ..Message::default()
    };
    let own = Message {
        content: text.to_owned(),
        ..message(1_000, world.human)
    };
    let reply = Message {
        content: "an answer".to_owned(),
        reply: Some(Reply {
            message_id: 1_000,
            author: Some(user(world.human)),
            content: Some(text.to_owned()),
        }),
        ..message(1_001, 7)
    };
    [own, reply]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_user_is_gone_without_a_leader_and_is_not_mirrored_by_the_next() {
    let world = World::new().await;
    let (channel, text) = (world.channel.to_string(), "words of the erased");
    let service = world.start();
    service.connected().await;
    world.say(&channel, text, Some(world.human)).await;
    eventually("the words are archived", async || {
        let page = world.store.page(world.channel, None, 10).await;
        page.is_ok_and(|page| page.messages.iter().any(|one| one.content == text))
    })
    .await;
    service.stop().await;
    for message in unarchived(&world, text) {
        world.publish_message(message).await;
    }
    let user = UserId::new(world.human).unwrap();
    let erase = async || ingest::erase::erase(&*world.broker, &world.store, user).await;
    let receipt = erase().await.unwrap();
    let counts = receipt.counts;
    assert_eq!(
        (counts.messages, counts.replies, counts.events),
        (2, 1, 3),
        "{receipt}"
    );
    let told = async || format!("{:?}", world.events().await).contains(text);
    assert!(!told().await, "the stream tells it");
    let service = world.start();
    service.connected().await;
    world.say(&channel, text, Some(world.human)).await;
    let id = world.post("somebody else's").await;
    eventually("the other is archived", async || {
        let page = world.store.page(world.channel, None, 10).await.unwrap();
        page.messages.iter().any(|one| one.id == id)
    })
    .await;
    let page = world.store.page(world.channel, None, 10).await.unwrap();
    let ids: Vec<u64> = page.messages.iter().map(|one| one.id).collect();
    assert_eq!(ids, [1_001, id], "the answer came with its change");
    let answer = page.messages.first().and_then(|one| one.reply.as_ref());
    assert_eq!(answer.map(|reply| reply.content.clone()), Some(None));
    assert!(!told().await, "they are mirrored again");
    // Beside a leader, and the second time there is nothing.
    let nothing = erase().await.unwrap().counts;
    assert_eq!(nothing, ingest::erase::Counts::default());
    service.stop().await;
    world.end().await;
}
