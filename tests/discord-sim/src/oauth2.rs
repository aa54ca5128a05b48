//! OAuth2 as Discord does it: a page to agree on, a token for the code, and what a person's token may read.
//! Whoever opens the page may be any member: that is the point of a simulation. Nothing is remembered in the browser.
//! <https://discord.com/developers/docs/topics/oauth2>.

pub(crate) mod logins;
mod page;
mod personal;
mod token;

use actix_web::http::header;
use actix_web::web::{self, Data, Query};
use actix_web::{HttpResponse, http::StatusCode};
use serde::Deserialize;
use std::time::Instant;
use url::Url;

use self::logins::{Challenge, Wish};
use self::page::Choice;
use crate::CLIENT_ID;
use crate::sim::Shared;
use crate::snowflake::Snowflake;

/// The scopes that a login may ask for; Discord has more, and this application needs none of them.
const SCOPES: [&str; 5] = [
    "identify",
    "email",
    "guilds",
    "guilds.members.read",
    "openid",
];
/// The choice of whoever does not agree.
const NOBODY: &str = "nobody";

/// The query of the page. `as` is the simulator's own: the member who agrees, or `nobody`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    response_type: String,
    client_id: String,
    scope: String,
    redirect_uri: String,
    state: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    #[serde(rename = "as")]
    chosen: Option<String>,
}

/// Adds the pages and, where Discord has them besides the API's version, the token's routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/oauth2/authorize", web::get().to(authorize))
        .route("/api/oauth2/authorize", web::get().to(authorize))
        .route("/oauth2/style.css", web::get().to(page::style))
        .route("/api/oauth2/token", web::post().to(token::exchange))
        .route("/api/oauth2/token/revoke", web::post().to(token::revoke));
}

/// Adds the routes below the API's version.
pub(crate) fn configure_api(config: &mut web::ServiceConfig) {
    config
        .route("/oauth2/authorize", web::get().to(authorize))
        .route("/oauth2/token", web::post().to(token::exchange))
        .route("/oauth2/token/revoke", web::post().to(token::revoke))
        .route("/oauth2/@me", web::get().to(personal::authorization))
        .route("/users/@me", web::get().to(personal::me))
        .route("/users/@me/guilds", web::get().to(personal::guilds))
        .route(
            "/users/@me/guilds/{guild}/member",
            web::get().to(personal::member),
        );
}

async fn authorize(asked: Query<Asked>, sim: Data<Shared>) -> HttpResponse {
    let asked = asked.into_inner();
    // Before these two are known to be right, nobody is sent anywhere.
    if asked.client_id != CLIENT_ID {
        return page::error(
            "Unknown application",
            "There is no application with this client_id.",
        );
    }
    if !sim.state().application.registers(&asked.redirect_uri) {
        return page::error(
            "Invalid OAuth2 redirect_uri",
            "This redirect_uri is not registered.",
        );
    }
    let Ok(back) = Url::parse(&asked.redirect_uri) else {
        return page::error(
            "Invalid OAuth2 redirect_uri",
            "This redirect_uri is no URL.",
        );
    };
    let wish = match wish(&asked) {
        Ok(wish) => wish,
        Err(error) => return lead_back(back, &[("error", error)], &asked),
    };
    match asked.chosen.as_deref() {
        None => page::choices(&wish.scopes, &choices(&sim, &asked)),
        Some(NOBODY) => lead_back(back, &denied(), &asked),
        Some(id) => agree(&sim, id, wish, back, &asked),
    }
}

fn agree(sim: &Shared, id: &str, wish: Wish, back: Url, asked: &Asked) -> HttpResponse {
    let state = &mut *sim.state();
    let user = id.parse::<Snowflake>().ok();
    let user = user
        .and_then(|id| state.world.user(id).ok())
        .filter(|user| !user.bot);
    let Some(user_id) = user.map(|user| user.id) else {
        return page::error("Unknown member", "There is no such member to be.");
    };
    let code = state.logins.open(user_id, wish, Instant::now());
    lead_back(back, &[("code", &code)], asked)
}

fn denied() -> [(&'static str, &'static str); 2] {
    [
        ("error", "access_denied"),
        (
            "error_description",
            "The resource owner or authorization server denied the request",
        ),
    ]
}

/// What is asked for, or the error that the asking application is told.
fn wish(asked: &Asked) -> Result<Wish, &'static str> {
    if asked.response_type != "code" {
        return Err("unsupported_response_type");
    }
    let scopes: Vec<_> = asked.scope.split_whitespace().map(str::to_owned).collect();
    if scopes.is_empty() || !scopes.iter().all(|scope| SCOPES.contains(&scope.as_str())) {
        return Err("invalid_scope");
    }
    let challenge = match (
        &asked.code_challenge,
        asked.code_challenge_method.as_deref(),
    ) {
        (None, _) => None,
        (Some(challenge), Some("S256")) => Some(Challenge::Sha256(challenge.clone())),
        (Some(challenge), Some("plain") | None) => Some(Challenge::Plain(challenge.clone())),
        (Some(_), Some(_)) => return Err("invalid_request"),
    };
    Ok(Wish {
        scopes,
        redirect_uri: asked.redirect_uri.clone(),
        challenge,
    })
}

fn choices(sim: &Shared, asked: &Asked) -> Vec<Choice> {
    let state = sim.state();
    let people = state.world.people().map(|user| Choice {
        link: asked.link(&user.id.to_string()),
        name: user
            .global_name
            .clone()
            .unwrap_or_else(|| user.username.clone()),
        username: user.username.clone(),
        picture: user
            .avatar
            .as_ref()
            .map(|hash| format!("/avatars/{}/{hash}.png?size=64", user.id)),
    });
    let mut choices: Vec<_> = people.collect();
    choices.push(Choice {
        link: asked.link(NOBODY),
        name: "Deny".to_owned(),
        username: String::new(),
        picture: None,
    });
    choices
}

impl Asked {
    /// The page's own address with a choice made.
    fn link(&self, chosen: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let fixed = [
            ("response_type", &self.response_type),
            ("client_id", &self.client_id),
            ("scope", &self.scope),
            ("redirect_uri", &self.redirect_uri),
        ];
        let given = [
            ("state", &self.state),
            ("code_challenge", &self.code_challenge),
            ("code_challenge_method", &self.code_challenge_method),
        ];
        query.extend_pairs(fixed);
        query.extend_pairs(
            given
                .iter()
                .filter_map(|(name, value)| Some((name, value.as_ref()?))),
        );
        query.append_pair("as", chosen);
        format!("/oauth2/authorize?{}", query.finish())
    }
}

fn lead_back(mut to: Url, answer: &[(&str, &str)], asked: &Asked) -> HttpResponse {
    to.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(asked.state.iter().map(|state| ("state", state)));
    HttpResponse::build(StatusCode::FOUND)
        .insert_header((header::LOCATION, to.as_str()))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .finish()
}
