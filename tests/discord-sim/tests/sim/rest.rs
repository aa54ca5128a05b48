//! The REST API: authorisation, errors, paging, permission data.

use discord_sim::SimConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::World;

fn ids(page: &Value) -> Vec<u64> {
    let page = page.as_array().unwrap();
    page.iter()
        .map(|message| message["id"].as_str().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test]
async fn without_the_token_only_the_gateways_address_is_told() {
    let world = World::start().await;
    let answer = world
        .control(Method::GET, "/api/v10/gateway", Value::Null)
        .await;
    let url = format!("ws://{}/gateway", world.sim.addr());
    assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "url": url }));
    let answer = world
        .control(Method::GET, "/api/v10/users/@me", Value::Null)
        .await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let error = json!({ "message": "401: Unauthorized", "code": 0 });
    assert_eq!(answer.json::<Value>().await.unwrap(), error);
}

#[tokio::test]
async fn the_application_grants_both_privileged_intents() {
    let world = World::start().await;
    let application = world.get("/applications/@me").await;
    let flags = application["flags"].as_u64().unwrap();
    assert_eq!(flags & (1 << 14), 1 << 14);
    assert_eq!(flags & (1 << 18), 1 << 18);
    assert_eq!(application["id"], world.overview["client_id"]);
    assert_eq!(world.get("/users/@me").await["bot"], true);
}

#[tokio::test]
async fn what_does_not_exist_has_discords_error() {
    let world = World::start().await;
    let guild = world.guild_id();
    let general = world.channel("general");
    let cases = [
        ("/nowhere".to_owned(), 404, 0),
        ("/guilds/77".to_owned(), 404, 10_004),
        ("/channels/77".to_owned(), 404, 10_003),
        (format!("/channels/{general}/messages/77"), 404, 10_008),
        (format!("/guilds/{guild}/members/77"), 404, 10_007),
        ("/users/77".to_owned(), 404, 10_013),
        ("/channels/abc".to_owned(), 400, 50_035),
        (
            format!("/channels/{general}/messages?limit=101"),
            400,
            50_035,
        ),
        (
            format!("/channels/{general}/messages?before=1&after=2"),
            400,
            50_035,
        ),
    ];
    for (path, status, code) in cases {
        let (answered, body) = world.call(Method::GET, &path, Value::Null).await;
        assert_eq!(
            (answered.as_u16(), &body["code"]),
            (status, &json!(code)),
            "{path}: {body}"
        );
    }
    let path = format!("/channels/{general}/messages");
    let (status, body) = world
        .call(Method::POST, &path, json!({ "content": " " }))
        .await;
    assert_eq!((status.as_u16(), &body["code"]), (400, &json!(50_006)));
}

#[tokio::test]
async fn pages_are_newest_first_whatever_the_anchor() {
    let world = World::start().await;
    let general = world.channel("general");
    let path = format!("/channels/{general}/messages");
    let mut posted = Vec::new();
    for number in 0..150 {
        let message = world
            .post_message(&general, json!({ "content": format!("{number}") }))
            .await;
        posted.push(message["id"].as_str().unwrap().parse::<u64>().unwrap());
    }
    assert!(posted.is_sorted(), "ids go up");
    let newest: Vec<_> = posted.iter().rev().copied().collect();
    assert_eq!(ids(&world.get(&path).await), newest[..50]);
    assert_eq!(
        ids(&world.get(&format!("{path}?limit=100")).await),
        newest[..100]
    );
    let before = format!("{path}?limit=3&before={}", posted[100]);
    assert_eq!(
        ids(&world.get(&before).await),
        [posted[99], posted[98], posted[97]]
    );
    let after = format!("{path}?limit=3&after={}", posted[100]);
    assert_eq!(
        ids(&world.get(&after).await),
        [posted[103], posted[102], posted[101]]
    );
    let around = format!("{path}?limit=5&around={}", posted[100]);
    assert_eq!(
        ids(&world.get(&around).await),
        [
            posted[102],
            posted[101],
            posted[100],
            posted[99],
            posted[98]
        ]
    );
    let beyond = format!("{path}?after={}", posted[149]);
    assert_eq!(world.get(&beyond).await, json!([]));
}

#[tokio::test]
async fn a_channel_remembers_its_newest_five_thousand_messages() {
    let world = World::start().await;
    let general = world.channel("general");
    let first = ids(&world
        .get(&format!("/channels/{general}/messages?limit=1"))
        .await)[0];
    let load = json!({ "channelId": general, "rate": 100_000, "count": 5_000 });
    world.control(Method::POST, "/sim/load", load).await;
    crate::harness::eventually("the load is through", || async {
        world.stats().await["messages_posted"] == 5_000
    })
    .await;
    let path = format!("/channels/{general}/messages?limit=1&after=0");
    let content = world.get(&path).await[0]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(content.starts_with("n=1;"), "{content}");
    let (status, _) = world
        .call(
            Method::GET,
            &format!("/channels/{general}/messages/{first}"),
            Value::Null,
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_reply_shows_the_original_until_that_is_deleted() {
    let world = World::start().await;
    let general = world.channel("general");
    let original = world
        .post_message(&general, json!({ "content": "first" }))
        .await;
    let reference = json!({ "message_id": original["id"] });
    let reply = world
        .post_message(
            &general,
            json!({ "content": "second", "message_reference": reference }),
        )
        .await;
    assert_eq!(reply["type"], 19);
    assert_eq!(reply["referenced_message"]["content"], "first");
    let original = format!(
        "/channels/{general}/messages/{}",
        original["id"].as_str().unwrap()
    );
    world.done(Method::DELETE, &original, Value::Null).await;
    let reply = world
        .get(&format!(
            "/channels/{general}/messages/{}",
            reply["id"].as_str().unwrap()
        ))
        .await;
    assert!(reply.get("referenced_message").is_some_and(Value::is_null));
}

#[tokio::test]
async fn the_private_channel_is_denied_to_everyone_and_allowed_to_one_role_and_the_bot() {
    let world = World::start().await;
    let channel = world
        .get(&format!("/channels/{}", world.channel("crew-room")))
        .await;
    let overwrites = channel["permission_overwrites"].as_array().unwrap();
    assert_eq!(overwrites.len(), 3);
    assert_eq!(
        (&overwrites[0]["id"], &overwrites[0]["deny"]),
        (&json!(world.guild_id()), &json!("1024"))
    );
    assert_eq!(
        (&overwrites[1]["id"], &overwrites[1]["allow"]),
        (&json!(world.role("Crew")), &json!("1024"))
    );
    // The bot is let in as a member, for it is no administrator.
    assert_eq!(
        (&overwrites[2]["id"], &overwrites[2]["type"]),
        (&world.overview["client_id"], &json!(1))
    );
    let roles = world
        .get(&format!("/guilds/{}/roles", world.guild_id()))
        .await;
    let is_administrator = |role: &&Value| {
        role["permissions"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .unwrap()
            & 8
            != 0
    };
    assert!(
        !roles
            .as_array()
            .unwrap()
            .iter()
            .any(|role| is_administrator(&role))
    );
}

#[tokio::test]
async fn overwrites_and_roles_read_back_as_they_were_set() {
    let world = World::start().await;
    let general = format!("/channels/{}", world.channel("general"));
    let (crew, hiro) = (world.role("Crew"), world.member("hiro"));
    let unknown_bits = "4611686018427388928";
    let overwrite = format!("{general}/permissions/{crew}");
    world
        .done(
            Method::PUT,
            &overwrite,
            json!({ "type": 0, "allow": unknown_bits, "deny": "0" }),
        )
        .await;
    let channel = world.get(&general).await;
    assert_eq!(
        channel["permission_overwrites"],
        json!([{ "id": crew, "type": 0, "allow": unknown_bits, "deny": "0" }])
    );
    world.done(Method::DELETE, &overwrite, Value::Null).await;
    assert_eq!(
        world.get(&general).await["permission_overwrites"],
        json!([])
    );
    let member = format!("/guilds/{}/members/{hiro}", world.guild_id());
    world
        .done(Method::PATCH, &member, json!({ "roles": [crew] }))
        .await;
    assert_eq!(world.get(&member).await["roles"], json!([crew]));
    let (status, body) = world
        .call(Method::PATCH, &member, json!({ "roles": ["77"] }))
        .await;
    assert_eq!((status.as_u16(), &body["code"]), (404, &json!(10_011)));
    world
        .done(
            Method::DELETE,
            &format!("/guilds/{}/roles/{crew}", world.guild_id()),
            Value::Null,
        )
        .await;
    assert_eq!(world.get(&member).await["roles"], json!([]));
}

#[tokio::test]
async fn members_are_listed_in_pages_and_found_by_the_beginning_of_a_name() {
    let world = World::start_with(SimConfig {
        extra_members: 20,
        ..SimConfig::default()
    })
    .await;
    let members = format!("/guilds/{}/members", world.guild_id());
    assert_eq!(world.get(&members).await.as_array().unwrap().len(), 1);
    let first = world.get(&format!("{members}?limit=30")).await;
    let last = first[29]["user"]["id"].as_str().unwrap();
    let second = world
        .get(&format!("{members}?limit=1000&after={last}"))
        .await;
    assert_eq!(
        first.as_array().unwrap().len() + second.as_array().unwrap().len(),
        37
    );
    let found = world
        .get(&format!("{members}/search?query=MEMBER000&limit=1000"))
        .await;
    assert_eq!(found.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn a_forum_post_is_a_thread_with_a_first_message() {
    let world = World::start().await;
    let forum = world.channel("ideas");
    let body = json!({ "name": "A thought", "message": { "content": "What if?", "author_id": world.member("aya") } });
    let post = world
        .done(Method::POST, &format!("/channels/{forum}/threads"), body)
        .await;
    let id = post["id"].as_str().unwrap();
    assert_eq!(
        (&post["type"], &post["parent_id"]),
        (&json!(11), &json!(forum))
    );
    assert_eq!(
        world.get(&format!("/channels/{id}/messages")).await[0]["content"],
        "What if?"
    );
    let active = world
        .get(&format!("/guilds/{}/threads/active", world.guild_id()))
        .await;
    assert!(
        active["threads"]
            .as_array()
            .unwrap()
            .iter()
            .any(|thread| thread["id"] == id)
    );
    let (status, _) = world
        .call(
            Method::POST,
            &format!("/channels/{forum}/messages"),
            json!({ "content": "x" }),
        )
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
