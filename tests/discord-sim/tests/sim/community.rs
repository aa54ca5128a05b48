//! What a community does beside talking: webhooks, pins, roles, purges, threads; what the bot sees of it, and outages.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{ALL_INTENTS, World};

const DENY_VIEW: &str = "1024";

#[tokio::test]
async fn a_channel_hidden_from_the_bot_is_neither_read_nor_heard() {
    let world = World::start().await;
    let (help, aya) = (world.channel("help"), world.member("aya"));
    let mut gateway = world.identified(ALL_INTENTS).await;
    let overwrite = format!("/channels/{help}/permissions/{}", world.guild_id());
    let hidden = json!({ "type": 0, "deny": DENY_VIEW });
    world.done(Method::PUT, &overwrite, hidden).await;
    gateway.next_named("CHANNEL_UPDATE").await;
    world
        .post_message(&help, json!({ "content": "unheard", "author_id": aya }))
        .await;
    assert!(gateway.is_quiet().await);
    for path in ["", "/messages", "/messages/77", "/pins"] {
        let path = format!("/channels/{help}{path}");
        let (status, body) = world.call(Method::GET, &path, Value::Null).await;
        assert_eq!(
            (status, &body["code"]),
            (StatusCode::FORBIDDEN, &json!(50_001)),
            "{path}"
        );
    }
    world.done(Method::DELETE, &overwrite, Value::Null).await;
    gateway.next_named("CHANNEL_UPDATE").await;
    let page = world
        .get(&format!("/channels/{help}/messages?limit=1"))
        .await;
    assert_eq!(page[0]["content"], "unheard");
    // Without the history a page is empty, and no error.
    let no_history = json!({ "type": 0, "deny": "65536" });
    world.done(Method::PUT, &overwrite, no_history).await;
    let page = world.get(&format!("/channels/{help}/messages")).await;
    assert_eq!(page, json!([]));
}

#[tokio::test]
async fn a_private_thread_is_heard_of_once_the_bot_is_let_in() {
    let world = World::start().await;
    let general = world.channel("general");
    let mut gateway = world.identified(ALL_INTENTS).await;
    let draft = json!({ "name": "whispers", "type": 12, "owner_id": world.member("aya") });
    let thread = world
        .create(&format!("/channels/{general}/threads"), draft)
        .await;
    assert!(gateway.is_quiet().await);
    world
        .get_status(&format!("/channels/{thread}"), StatusCode::FORBIDDEN)
        .await;
    let me = format!("/channels/{thread}/thread-members/@me");
    world.done(Method::PUT, &me, Value::Null).await;
    assert_eq!(
        gateway.next_named("THREAD_CREATE").await["d"]["id"],
        thread.as_str()
    );
    gateway.next_named("THREAD_MEMBERS_UPDATE").await;
    world
        .post_message(&thread, json!({ "content": "psst" }))
        .await;
    gateway.next_named("MESSAGE_CREATE").await;
}

#[tokio::test]
async fn a_thread_is_archived_listed_and_opened_again_by_a_message() {
    let world = World::start().await;
    let general = world.channel("general");
    let draft = json!({ "name": "plans", "type": 11 });
    let thread = world
        .create(&format!("/channels/{general}/threads"), draft)
        .await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    let path = format!("/channels/{thread}");
    world
        .done(Method::PATCH, &path, json!({ "archived": true }))
        .await;
    gateway.next_named("THREAD_UPDATE").await;
    let archived = world
        .get(&format!("/channels/{general}/threads/archived/public"))
        .await;
    assert_eq!(archived["threads"][0]["id"], thread.as_str());
    assert_eq!(archived["has_more"], false);
    world
        .post_message(&thread, json!({ "content": "again" }))
        .await;
    let opened = gateway.next_named("THREAD_UPDATE").await;
    assert_eq!(opened["d"]["thread_metadata"]["archived"], false);
    gateway.next_named("MESSAGE_CREATE").await;
}

#[tokio::test]
async fn a_deleted_channel_takes_its_threads_along() {
    let world = World::start().await;
    let general = world.channel("general");
    let draft = json!({ "name": "plans", "type": 11 });
    let thread = world
        .create(&format!("/channels/{general}/threads"), draft)
        .await;
    world
        .done(Method::DELETE, &format!("/channels/{general}"), Value::Null)
        .await;
    world
        .get_status(&format!("/channels/{thread}"), StatusCode::NOT_FOUND)
        .await;
}

#[tokio::test]
async fn a_webhook_speaks_in_its_own_name_and_changes_only_its_own_messages() {
    let world = World::start().await;
    let general = world.channel("general");
    let mut gateway = world.identified(ALL_INTENTS).await;
    let webhook = world
        .done(
            Method::POST,
            &format!("/channels/{general}/webhooks"),
            json!({ "name": "Weather" }),
        )
        .await;
    gateway.next_named("WEBHOOKS_UPDATE").await;
    let own = format!(
        "/api/v10/webhooks/{}/{}",
        webhook["id"].as_str().unwrap(),
        webhook["token"].as_str().unwrap()
    );
    let body = json!({ "content": "rain", "username": "Cloud" });
    let posted = world
        .control(Method::POST, &format!("{own}?wait=true"), body)
        .await;
    let posted: Value = posted.json().await.unwrap();
    let heard = gateway.next_named("MESSAGE_CREATE").await;
    assert_eq!(heard["d"]["webhook_id"], webhook["id"]);
    assert_eq!(heard["d"]["author"]["username"], "Cloud");
    assert!(heard["d"].get("member").is_none());
    let message = format!("{own}/messages/{}", posted["id"].as_str().unwrap());
    let edit = json!({ "content": "sun" });
    let edited = world.control(Method::PATCH, &message, edit.clone()).await;
    assert_eq!(edited.status(), StatusCode::OK);
    gateway.next_named("MESSAGE_UPDATE").await;
    let others = world
        .post_message(&general, json!({ "content": "x" }))
        .await;
    let others = format!("{own}/messages/{}", others["id"].as_str().unwrap());
    let refused = world.control(Method::PATCH, &others, edit).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let deleted = world.control(Method::DELETE, &message, Value::Null).await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    gateway.next_named("MESSAGE_CREATE").await;
    gateway.next_named("MESSAGE_DELETE").await;
    let wrong = format!(
        "/api/v10/webhooks/{}/wrong",
        webhook["id"].as_str().unwrap()
    );
    let refused = world
        .control(Method::POST, &wrong, json!({ "content": "x" }))
        .await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn pins_change_the_message_and_the_channels_pins() {
    let world = World::start().await;
    let general = world.channel("general");
    let posted = world
        .post_message(&general, json!({ "content": "keep me" }))
        .await;
    let id = posted["id"].as_str().unwrap();
    let mut gateway = world.identified(ALL_INTENTS).await;
    let pin = format!("/channels/{general}/messages/pins/{id}");
    world.done(Method::PUT, &pin, Value::Null).await;
    let update = gateway.next_named("MESSAGE_UPDATE").await;
    assert_eq!(
        (&update["d"]["pinned"], &update["d"]["edited_timestamp"]),
        (&json!(true), &Value::Null)
    );
    let pins = gateway.next_named("CHANNEL_PINS_UPDATE").await;
    assert!(pins["d"]["last_pin_timestamp"].is_string());
    let listed = world
        .get(&format!("/channels/{general}/messages/pins"))
        .await;
    assert_eq!(listed["items"][0]["message"]["id"], id);
    assert_eq!(
        world.get(&format!("/channels/{general}/pins")).await[0]["id"],
        id
    );
    world.done(Method::DELETE, &pin, Value::Null).await;
    gateway.next_named("MESSAGE_UPDATE").await;
    let pins = gateway.next_named("CHANNEL_PINS_UPDATE").await;
    assert!(pins["d"]["last_pin_timestamp"].is_null());
}

#[tokio::test]
async fn a_ban_purges_what_was_written_in_bulk() {
    let world = World::start().await;
    let (general, hiro) = (world.channel("general"), world.member("hiro"));
    for number in 0..120 {
        let body = json!({ "content": format!("spam {number}"), "author_id": hiro });
        world.post_message(&general, body).await;
    }
    let mut gateway = world.identified(ALL_INTENTS).await;
    let ban = format!("/guilds/{}/bans/{hiro}", world.guild_id());
    let too_long = json!({ "delete_message_seconds": 604_801 });
    let (status, _) = world.call(Method::PUT, &ban, too_long).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    // Only what was written since: the old history stays.
    world
        .done(
            Method::PUT,
            &ban,
            json!({ "delete_message_seconds": 120, "reason": "spam" }),
        )
        .await;
    gateway.next_named("GUILD_MEMBER_REMOVE").await;
    gateway.next_named("GUILD_BAN_ADD").await;
    let mut gone = 0;
    for _ in 0..2 {
        let bulk = gateway.next_named("MESSAGE_DELETE_BULK").await;
        gone += bulk["d"]["ids"].as_array().unwrap().len();
    }
    assert_eq!(gone, 120);
    assert_eq!(world.get(&ban).await["reason"], "spam");
}

#[tokio::test]
async fn roles_are_given_one_by_one_and_put_in_order() {
    let world = World::start().await;
    let (guild, hiro) = (world.guild_id(), world.member("hiro"));
    let (crew, maker) = (world.role("Crew"), world.role("Maker"));
    let mut gateway = world.identified(ALL_INTENTS).await;
    let role = format!("/guilds/{guild}/members/{hiro}/roles/{crew}");
    world.done(Method::PUT, &role, Value::Null).await;
    let update = gateway.next_named("GUILD_MEMBER_UPDATE").await;
    assert_eq!(update["d"]["roles"], json!([crew]));
    world.done(Method::DELETE, &role, Value::Null).await;
    let update = gateway.next_named("GUILD_MEMBER_UPDATE").await;
    assert_eq!(update["d"]["roles"], json!([]));
    let places = json!([{ "id": crew, "position": 2 }, { "id": maker, "position": 3 }]);
    world
        .done(Method::PATCH, &format!("/guilds/{guild}/roles"), places)
        .await;
    for expected in [&crew, &maker] {
        let update = gateway.next_named("GUILD_ROLE_UPDATE").await;
        assert_eq!(update["d"]["role"]["id"], expected.as_str());
    }
    let places = json!([{ "id": world.channel("help"), "position": 9 }]);
    world
        .done(Method::PATCH, &format!("/guilds/{guild}/channels"), places)
        .await;
    let update = gateway.next_named("CHANNEL_UPDATE").await;
    assert_eq!(update["d"]["position"], 9);
}

#[tokio::test]
async fn an_outage_comes_and_goes_and_a_removal_stays() {
    let world = World::start().await;
    let (guild, general) = (world.guild_id(), world.channel("general"));
    let mut gateway = world.identified(ALL_INTENTS).await;
    let control = format!("/sim/guilds/{guild}");
    let set = async |state: &str| {
        let answer = world
            .control(Method::POST, &control, json!({ "state": state }))
            .await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    };
    set("unavailable").await;
    let gone = gateway.next_named("GUILD_DELETE").await;
    assert_eq!(gone["d"], json!({ "id": guild, "unavailable": true }));
    world
        .post_message(&general, json!({ "content": "unheard" }))
        .await;
    assert!(gateway.is_quiet().await);
    // A session that begins meanwhile knows that there is a guild, and no more.
    let mut late = world.connect().await;
    late.identify(ALL_INTENTS).await;
    let ready = late.next_named("READY").await;
    assert_eq!(ready["d"]["guilds"].as_array().unwrap().len(), 2);
    late.next_named("GUILD_CREATE").await;
    assert!(late.is_quiet().await);
    set("available").await;
    assert_eq!(gateway.next_named("GUILD_CREATE").await["d"]["id"], guild);
    world
        .done(
            Method::DELETE,
            &format!("/users/@me/guilds/{guild}"),
            Value::Null,
        )
        .await;
    let gone = gateway.next_named("GUILD_DELETE").await;
    assert_eq!(gone["d"], json!({ "id": guild }));
    world
        .get_status(
            &format!("/channels/{general}/messages"),
            StatusCode::FORBIDDEN,
        )
        .await;
    assert_eq!(
        world
            .get("/users/@me/guilds")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
