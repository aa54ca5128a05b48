//! Logging in at Discord, and tokens of an issuer whose keys are fetched.

use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proto::{GuildId, UserId};
use runtime::time::now_ms;
use serde_json::json;

use crate::discord::Discord;
use crate::harness::Node;

async fn node_with_login(discord: &Discord) -> Node {
    let api = discord.url("/api");
    Node::with(&[
        ("DISCORD_CLIENT_ID", "client"),
        ("DISCORD_CLIENT_SECRET", "secret"),
        ("DISCORD_API_URL", &api),
        ("DISCORD_OAUTH_URL", "https://discord.example/oauth2"),
    ])
    .await
}

fn location(answer: &reqwest::Response) -> url::Url {
    assert_eq!(answer.status(), 302);
    let location = answer.headers()["location"].to_str().unwrap();
    let base = url::Url::parse("http://own.example").unwrap();
    base.join(location).unwrap()
}

/// Begins a login: the state and the cookie.
async fn begin(node: &Node, query: &str) -> (String, String) {
    let path = format!("/api/auth/discord/login{query}");
    let answer = node.http.get(node.url(&path)).send().await.unwrap();
    let url = location(&answer);
    assert_eq!(url.host_str(), Some("discord.example"));
    let parameters: HashMap<_, _> = url.query_pairs().into_owned().collect();
    let callback = node.url("/api/auth/discord/callback");
    assert_eq!(parameters["redirect_uri"], callback);
    let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/api/auth", "Max-Age=600"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(&parameters["state"]));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    (parameters["state"].clone(), cookie)
}

async fn come_back(node: &Node, query: &str, cookie: &str) -> url::Url {
    let path = format!("/api/auth/discord/callback?{query}");
    let request = node.http.get(node.url(&path)).header("cookie", cookie);
    let answer = request.send().await.unwrap();
    let cleared = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cleared.contains("Max-Age=0"), "{cleared}");
    location(&answer)
}

#[tokio::test]
async fn a_user_comes_back_from_discord_with_a_token() {
    let discord = Discord::start(json!({}));
    let node = node_with_login(&discord).await;
    let (state, cookie) = begin(&node, "?return_to=https://front.example/room").await;
    let url = come_back(&node, &format!("code=good&state={state}"), &cookie).await;
    assert_eq!(
        (url.host_str(), url.path()),
        (Some("front.example"), "/room")
    );
    let token = url.fragment().unwrap().strip_prefix("token=").unwrap();
    let request = node.http.get(node.url("/api/channels")).bearer_auth(token);
    let (status, body) = node.asked(request).await;
    assert_eq!(
        (status, body["channels"].as_array().unwrap().len()),
        (200, 2)
    );
    let (status, _) = node.post("/api/auth/refresh", token, &json!({})).await;
    assert_eq!(status, 200);
    let guilds = node.store.login_guilds(UserId::new(2).unwrap()).await;
    let (guilds, _) = guilds.unwrap().unwrap();
    let mut guilds: Vec<_> = guilds.into_iter().map(GuildId::get).collect();
    guilds.sort_unstable();
    assert_eq!(guilds, [7, 100]);
}

#[tokio::test]
async fn what_goes_wrong_ends_on_the_login_page() {
    let discord = Discord::start(json!({}));
    let node = node_with_login(&discord).await;
    let (state, cookie) = begin(&node, "?return_to=https://evil.example/").await;
    let good = format!("code=good&state={state}");
    let table = [
        (
            "code=good&state=another".to_owned(),
            cookie.as_str(),
            "invalid_state",
        ),
        (good.clone(), "", "invalid_state"),
        (good.clone(), "discord_login=forged", "invalid_state"),
        (format!("code=bad&state={state}"), &cookie, "oauth_failed"),
        (
            format!("error=access_denied&state={state}"),
            &cookie,
            "oauth_failed",
        ),
    ];
    for (query, cookie, error) in table {
        let url = come_back(&node, &query, cookie).await;
        let expected = format!("https://front.example/login?error={error}");
        assert_eq!(url.as_str(), expected, "{query}");
    }
    // Where a stranger wanted them to go is not where they go.
    let url = come_back(&node, &good, &cookie).await;
    assert_eq!(url.host_str(), Some("front.example"));
}

#[tokio::test]
async fn without_its_settings_a_login_says_which_are_missing() {
    let node = Node::start().await;
    let request = node.http.get(node.url("/api/auth/discord/login"));
    let (status, body) = node.asked(request).await;
    assert_eq!(status, 501);
    assert!(
        body["message"]
            .as_str()
            .unwrap()
            .contains("DISCORD_CLIENT_ID")
    );
}

/// Made for this test alone: P-256, and the JWK of its public half.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgLdx7UoIm9CG7w5qh
s+gJWL5u6MrfBXVGS3ui0A1/namhRANCAAQ8IiGTiNXTxg3QOdV+S3cQrcUzZZtM
YN+0fmlmUT+0XtVWHkTmJH6Xe23Z6TuOfMstznuMaVZXVotxrx/z+uvl
-----END PRIVATE KEY-----
";

fn issued(kid: &str) -> String {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    let claims = json!({
        "discord_id": "2",
        "username": "user2",
        "exp": now_ms() / 1_000 + 60,
    });
    let key = EncodingKey::from_ec_pem(PRIVATE.as_bytes()).unwrap();
    jsonwebtoken::encode(&header, &claims, &key).unwrap()
}

#[tokio::test]
async fn an_issuers_keys_are_fetched_once_for_many_tokens() {
    let discord = Discord::start(json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "kid": "own", "use": "sig",
        "x": "PCIhk4jV08YN0DnVfkt3EK3FM2WbTGDftH5pZlE_tF4",
        "y": "1VYeROYkfpd7bdnpO458yy3Oe4xpVldWi3GvH_P66-U",
    }]}));
    let keys = discord.url("/keys");
    let node = Node::with(&[("JWT_JWKS_URL", &keys)]).await;
    let list = async |token: &str| {
        let request = node.http.get(node.url("/api/channels")).bearer_auth(token);
        let (status, body) = node.asked(request).await;
        (status, body["code"].as_str().map(str::to_owned))
    };
    for _ in 0..3 {
        assert_eq!(list(&issued("own")).await, (200, None));
    }
    // A name that nobody has asks the issuer once a minute at most, and that minute is not over.
    for _ in 0..3 {
        let refused = (401, Some("AUTH_INVALID".to_owned()));
        assert_eq!(list(&issued("unknown")).await, refused);
    }
    assert_eq!(discord.key_fetches.load(Relaxed), 1);
    // Nothing signs here.
    let (status, _) = node
        .post("/api/auth/refresh", &issued("own"), &json!({}))
        .await;
    assert_eq!(status, 403);
    let request = node.http.get(node.url("/api/auth/discord/login"));
    assert_eq!(node.asked(request).await.0, 501);
}
