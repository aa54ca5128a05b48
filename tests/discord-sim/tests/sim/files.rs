//! Attachments, and pictures that are drawn.

use discord_sim::SimConfig;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{ALL_INTENTS, World};

/// A multipart form as a browser writes it: JSON, and two files.
fn form(json: &Value) -> String {
    let part = |head: &str, body: &str| {
        format!("--B\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    };
    [
        part("name=\"payload_json\"", &json.to_string()),
        part(
            "name=\"files[0]\"; filename=\"one.txt\"\r\nContent-Type: text/plain",
            "first file",
        ),
        part(
            "name=\"files[1]\"; filename=\"two.txt\"\r\nContent-Type: text/plain",
            "second",
        ),
        "--B--\r\n".to_owned(),
    ]
    .concat()
}

async fn fetch(url: &str) -> (StatusCode, String, Vec<u8>) {
    let answer = reqwest::get(url).await.unwrap();
    let kind = answer.headers().get("content-type");
    let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
    (
        answer.status(),
        kind,
        answer.bytes().await.unwrap().to_vec(),
    )
}

#[tokio::test]
async fn an_upload_is_served_under_a_signed_link_that_can_be_made_anew() {
    let world = World::start().await;
    let mut gateway = world.identified(ALL_INTENTS).await;
    let path = format!("/channels/{}/messages", world.channel("general"));
    let json = json!({ "content": "two files", "author_id": world.member("aya"),
        "attachments": [{ "id": 1, "description": "the second" }, { "id": "0", "filename": "renamed.txt" }] });
    let answer = world.upload(&path, "B", form(&json)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let posted = gateway.next_named("MESSAGE_CREATE").await;
    let files = &posted["d"]["attachments"];
    assert_eq!(
        (&files[0]["filename"], &files[0]["size"]),
        (&json!("renamed.txt"), &json!(10))
    );
    assert_eq!(
        (&files[1]["filename"], &files[1]["description"]),
        (&json!("two.txt"), &json!("the second"))
    );
    let url = files[0]["url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("{}/attachments/", world.sim.cdn_url())),
        "{url}"
    );
    let (status, kind, bytes) = fetch(url).await;
    assert_eq!(
        (status, kind.as_str(), bytes.as_slice()),
        (StatusCode::OK, "text/plain", b"first file".as_slice())
    );
    let (status, ..) = fetch(files[0]["proxy_url"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    for broken in [
        url.split('?').next().unwrap().to_owned(),
        url.replace("ex=", "ex=f"),
    ] {
        assert_eq!(fetch(&broken).await.0, StatusCode::NOT_FOUND, "{broken}");
    }
    let links = json!({ "attachment_urls": [url.split('?').next().unwrap(), "http://x/y"] });
    let refreshed = world
        .done(Method::POST, "/attachments/refresh-urls", links)
        .await;
    let anew = refreshed["refreshed_urls"][0]["refreshed"]
        .as_str()
        .unwrap();
    assert_eq!(fetch(anew).await.0, StatusCode::OK);
    assert!(refreshed["refreshed_urls"][1]["refreshed"].is_null());
    let message = format!("{path}/{}", posted["d"]["id"].as_str().unwrap());
    let kept = json!({ "attachments": [{ "id": files[1]["id"] }] });
    let edited = world.done(Method::PATCH, &message, kept).await;
    assert_eq!(edited["attachments"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_face_icon_and_emoji_is_drawn() {
    let world = World::start().await;
    let (base, guild) = (world.sim.cdn_url(), world.guild_id());
    let aya = world.member("aya");
    let user = world.get(&format!("/users/{aya}")).await;
    let about = world.get(&format!("/guilds/{guild}")).await;
    let emojis = world.get(&format!("/guilds/{guild}/emojis")).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut faces = std::collections::BTreeSet::new();
    for url in [
        format!("{base}/avatars/{aya}/{}.png?size=64", text(&user["avatar"])),
        format!("{base}/icons/{guild}/{}.webp", text(&about["icon"])),
        format!("{base}/emojis/{}.png", text(&emojis[0]["id"])),
        format!("{base}/embed/avatars/3.png"),
    ] {
        let (status, kind, bytes) = fetch(&url).await;
        assert_eq!(
            (status, kind.as_str()),
            (StatusCode::OK, "image/png"),
            "{url}"
        );
        assert!(faces.insert(bytes), "{url} is like another");
    }
}

#[tokio::test]
async fn a_declared_picture_is_drawn_and_links_name_the_public_address() {
    let world = World::start_with(SimConfig {
        public_url: Some("http://sim.example:4000/".to_owned()),
        ..SimConfig::default()
    })
    .await;
    let body = json!({ "attachments": [{ "filename": "hills.png", "content_type": "image/png" }] });
    let posted = world.post_message(&world.channel("general"), body).await;
    let url = posted["attachments"][0]["url"].as_str().unwrap();
    let path = url.strip_prefix("http://sim.example:4000").unwrap();
    let (status, kind, _) = fetch(&format!("http://{}{path}", world.sim.addr())).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "image/png"));
}
