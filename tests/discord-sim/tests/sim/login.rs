//! OAuth2: the page, the code, the tokens, and what they may read.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use sha2::Digest as _;
use url::Url;

use crate::harness::World;

const BACK: &str = "http://localhost:3001/api/auth/discord/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-0";

struct Browser<'a> {
    world: &'a World,
    http: Client,
}

impl<'a> Browser<'a> {
    fn new(world: &'a World) -> Self {
        let http = Client::builder().redirect(Policy::none()).no_proxy();
        Self {
            world,
            http: http.build().unwrap(),
        }
    }

    async fn open(&self, fields: &[(&str, &str)]) -> Response {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(VERIFIER));
        let mut url = Url::parse(&format!("{}/authorize", self.world.sim.oauth_url())).unwrap();
        let usual = [
            ("response_type", "code"),
            ("client_id", self.world.sim.client_id()),
            ("scope", "identify guilds"),
            ("redirect_uri", BACK),
            ("state", "s&t=1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let is_given = |name: &str| fields.iter().any(|(given, _)| *given == name);
        url.query_pairs_mut()
            .extend_pairs(usual.iter().filter(|(name, _)| !is_given(name)))
            .extend_pairs(fields);
        self.http.get(url).send().await.unwrap()
    }

    /// Where a choice leads, field by field.
    async fn led_to(&self, fields: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
        let answer = self.open(fields).await;
        assert_eq!(answer.status(), StatusCode::FOUND);
        let to = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(to.starts_with(BACK), "{to}");
        Url::parse(&to)
            .unwrap()
            .query_pairs()
            .into_owned()
            .collect()
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (StatusCode, Value) {
        let url = format!("http://{}/api/oauth2/token", self.world.sim.addr());
        let (id, secret) = (self.world.sim.client_id(), self.world.sim.client_secret());
        let request = self.http.post(url).basic_auth(id, Some(secret));
        let answer = request.form(fields).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn login(&self, scope: &str) -> Value {
        let aya = self.world.member("aya");
        let led = self.led_to(&[("scope", scope), ("as", &aya)]).await;
        let (status, tokens) = self.token(&redemption(&led["code"])).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    async fn read(&self, path: &str, token: &Value) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.world.sim.api_url());
        let request = self.http.get(url).bearer_auth(token.as_str().unwrap());
        let answer = request.send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

fn redemption(code: &str) -> [(&'static str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
    ]
}

#[tokio::test]
async fn the_page_offers_the_members_without_any_script() {
    let world = World::start().await;
    let page = Browser::new(&world).open(&[]).await;
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let html = page.text().await.unwrap();
    for name in ["Aya", "Marta", "Noor ✨", "Deny"] {
        assert!(html.contains(name), "{name}");
    }
    assert!(!html.contains("<script") && !html.contains("stream-bot"));
    assert!(html.matches("<li>").count() >= 13);
    // The links lead on: the first one is followed as a browser does.
    let link = html.split("href=\"/oauth2/authorize?").nth(1).unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let url = format!("{}/authorize?{link}", world.sim.oauth_url());
    let answer = Browser::new(&world).http.get(url).send().await.unwrap();
    let to = answer.headers()["location"].to_str().unwrap();
    assert!(
        to.starts_with(BACK) && to.contains("code=") && to.contains("state=s%26t%3D1"),
        "{to}"
    );
}

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let world = World::start().await;
    let browser = Browser::new(&world);
    for fields in [
        [("client_id", "77")],
        [(
            "redirect_uri",
            "https://evil.example/api/auth/discord/callback",
        )],
        [("redirect_uri", "http://localhost:3001/elsewhere")],
        [("redirect_uri", "")],
    ] {
        let answer = browser.open(&fields).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{fields:?}");
        assert!(answer.headers().get("location").is_none());
    }
    let registered = json!({ "redirect_uris": ["https://stream.example/cb"] });
    world
        .control(Method::POST, "/sim/application", registered)
        .await;
    assert_eq!(browser.open(&[]).await.status(), StatusCode::BAD_REQUEST);
    let answer = browser
        .open(&[("redirect_uri", "https://stream.example/cb")])
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn what_is_denied_or_asked_wrongly_comes_back_as_an_error_with_the_state() {
    let world = World::start().await;
    let browser = Browser::new(&world);
    for (fields, error) in [
        ([("as", "nobody")], "access_denied"),
        ([("response_type", "token")], "unsupported_response_type"),
        ([("scope", "identify everything")], "invalid_scope"),
        ([("scope", "")], "invalid_scope"),
        ([("code_challenge_method", "S512")], "invalid_request"),
    ] {
        let led = browser.led_to(&fields).await;
        assert_eq!(
            (led["error"].as_str(), led["state"].as_str()),
            (error, "s&t=1")
        );
        assert!(!led.contains_key("code"));
    }
}

#[tokio::test]
async fn a_code_is_redeemed_once_by_a_form_with_its_verifier() {
    let world = World::start().await;
    let browser = Browser::new(&world);
    let aya = world.member("aya");
    let code = browser.led_to(&[("as", &aya)]).await["code"].clone();
    let url = format!("{}/oauth2/token", world.sim.api_url());
    let (id, secret) = (world.sim.client_id(), world.sim.client_secret());
    let json = json!({ "grant_type": "authorization_code", "code": code, "redirect_uri": BACK });
    let answer = browser
        .http
        .post(&url)
        .basic_auth(id, Some(secret))
        .json(&json);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let answer = browser.http.post(&url).basic_auth(id, Some("wrong"));
    let answer = answer.form(&redemption(&code)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    // The credentials may also be in the form, as here.
    let mut form = redemption(&code).to_vec();
    form.extend([("client_id", id), ("client_secret", secret)]);
    let answer = browser.http.post(&url).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let tokens: Value = answer.json().await.unwrap();
    assert_eq!(
        (
            &tokens["token_type"],
            &tokens["expires_in"],
            &tokens["scope"]
        ),
        (&json!("Bearer"), &json!(604_800), &json!("identify guilds"))
    );
    let (status, again) = browser.token(&redemption(&code)).await;
    assert_eq!(
        (status, &again["error"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_grant"))
    );
    let code = browser.led_to(&[("as", &aya)]).await["code"].clone();
    let mut form = redemption(&code);
    form[3].1 = "another verifier";
    assert_eq!(browser.token(&form).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_token_reads_what_its_scopes_allow_and_nothing_after_its_end() {
    let world = World::start().await;
    let browser = Browser::new(&world);
    let tokens = browser.login("identify guilds").await;
    let access = &tokens["access_token"];
    let (_, me) = browser.read("/users/@me", access).await;
    assert_eq!((&me["username"], me.get("email")), (&json!("aya"), None));
    let (_, guilds) = browser.read("/users/@me/guilds", access).await;
    assert_eq!(guilds.as_array().unwrap().len(), 2);
    assert_eq!(guilds[0]["owner"], false);
    assert!(
        guilds[0]["permissions"]
            .as_str()
            .unwrap()
            .parse::<u64>()
            .is_ok()
    );
    let member = format!("/users/@me/guilds/{}/member", world.guild_id());
    assert_eq!(
        browser.read(&member, access).await.0,
        StatusCode::UNAUTHORIZED
    );
    let channels = format!("/guilds/{}/channels", world.guild_id());
    assert_eq!(
        browser.read(&channels, access).await.0,
        StatusCode::UNAUTHORIZED
    );
    let (_, about) = browser.read("/oauth2/@me", access).await;
    assert_eq!(about["scopes"], json!(["identify", "guilds"]));
    assert_eq!(about["user"]["username"], "aya");
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh)];
    let (status, renewed) = browser.token(&form).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        browser.read("/users/@me", access).await.0,
        StatusCode::UNAUTHORIZED
    );
    let access = &renewed["access_token"];
    assert_eq!(browser.read("/users/@me", access).await.0, StatusCode::OK);
    let url = format!("{}/oauth2/token/revoke", world.sim.api_url());
    let (id, secret) = (world.sim.client_id(), world.sim.client_secret());
    let revoked = browser.http.post(url).basic_auth(id, Some(secret));
    let revoked = revoked
        .form(&[("token", access.as_str().unwrap())])
        .send()
        .await;
    assert_eq!(revoked.unwrap().status(), StatusCode::OK);
    assert_eq!(
        browser.read("/users/@me", access).await.0,
        StatusCode::UNAUTHORIZED
    );
    let tokens = browser.login("identify email guilds.members.read").await;
    let (_, me) = browser.read("/users/@me", &tokens["access_token"]).await;
    assert_eq!(me["email"], "aya@members.example");
    let (_, member) = browser.read(&member, &tokens["access_token"]).await;
    assert_eq!(member["roles"].as_array().unwrap().len(), 2);
}
