//! `GET /api/auth/discord/login` and `/callback`: a user goes to Discord and comes back with a token of ours.
//!
//! What has to survive the way lies in one encrypted cookie, cleared when the user is back, whatever came of it.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, COOKIE, HOST, LOCATION, SET_COOKIE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use cookie::time::Duration as Age;
use cookie::{Cookie, CookieJar, Key, SameSite};
use runtime::http::problem;
use runtime::settings::Settings;
use runtime::time::now_ms;
use url::{Url, form_urlencoded};

use super::session::{Accounts, cannot_sign};
use crate::auth::{Begun, Claims, LoginError};

/// The cookie of a login that has begun (decisions.md, "OAuth2").
const COOKIE_NAME: &str = "discord_login";
const COOKIE_PATH: &str = "/api/auth";
const COOKIE_AGE: Age = Age::minutes(10);

/// Remembering a login's guilds may take so long; a login without them is one.
const STORE_TIME_MAX: Duration = Duration::from_secs(2);

/// Where a user goes after a login.
#[derive(Debug, Clone)]
pub struct Landing {
    /// The pages of `FRONTEND_URL`; our own where there is none.
    pages: Vec<Url>,
    /// `AUTH_REDIRECT=query`: the token in the query, for older front ends.
    is_query: bool,
    /// We are reached by https.
    is_https: bool,
}

/// What the URL of the callback says.
#[derive(Debug, Default)]
struct Back {
    code: Option<String>,
    state: Option<String>,
}

impl Landing {
    /// What the settings say; `FRONTEND_URL` is checked where origins are read, `AUTH_REDIRECT` with all settings.
    pub fn read(settings: &Settings) -> Self {
        let pages = settings.list("FRONTEND_URL").into_iter();
        let public = settings.text("PUBLIC_URL").unwrap_or_default();
        Self {
            pages: pages.filter_map(|page| Url::parse(page).ok()).collect(),
            is_query: settings.text("AUTH_REDIRECT") == Some("query"),
            is_https: public.starts_with("https://"),
        }
    }

    /// `return_to`, if its origin is one of ours.
    fn admits(&self, return_to: &str) -> bool {
        let Ok(url) = Url::parse(return_to) else {
            return false;
        };
        let origins = self.pages.iter().map(Url::origin);
        url.origin().is_tuple() && origins.into_iter().any(|own| own == url.origin())
    }

    /// Where the user goes with their token.
    fn with_token(&self, return_to: Option<&str>, token: &str) -> String {
        let Some(mut url) = self.page(return_to) else {
            let mark = if self.is_query { '?' } else { '#' };
            return format!("/{mark}token={token}");
        };
        if self.is_query {
            url.query_pairs_mut().append_pair("token", token);
        } else {
            url.set_fragment(Some(&format!("token={token}")));
        }
        url.into()
    }

    /// Where the user goes when it came to nothing.
    fn with_error(&self, error: &str) -> String {
        let path = format!("login?error={error}");
        let page = self.page(None).and_then(|page| page.join(&path).ok());
        page.map_or_else(|| format!("/{path}"), Into::into)
    }

    fn page(&self, return_to: Option<&str>) -> Option<Url> {
        let own = return_to.and_then(|url| Url::parse(url).ok());
        own.or_else(|| self.pages.first().cloned())
    }
}

/// `GET /api/auth/discord/login`
pub(super) async fn login(request: HttpRequest, accounts: Data<Accounts>) -> HttpResponse {
    let Some(key) = cookie_key(&accounts) else {
        return cannot_sign();
    };
    let Some(oauth) = &accounts.oauth else {
        return not_configured("DISCORD_CLIENT_ID and DISCORD_CLIENT_SECRET");
    };
    let return_to = parameter(&request, "return_to");
    let return_to = return_to.filter(|url| accounts.landing.admits(url));
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let Ok((url, begun)) = oauth.begin(return_to, host) else {
        return not_configured("DISCORD_REDIRECT_URI");
    };
    let Ok(value) = serde_json::to_string(&begun) else {
        return super::refusal::unavailable();
    };
    let cookie = cookie(value, COOKIE_AGE, accounts.landing.is_https);
    let mut jar = CookieJar::new();
    jar.private_mut(&key).add(cookie);
    let cookie = jar.get(COOKIE_NAME).map(ToString::to_string);
    HttpResponse::Found()
        .insert_header((LOCATION, url))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, cookie.unwrap_or_default()))
        .finish()
}

/// `GET /api/auth/discord/callback`
pub(super) async fn callback(request: HttpRequest, accounts: Data<Accounts>) -> HttpResponse {
    let landing = &accounts.landing;
    let location = match came_back(&request, &accounts).await {
        Ok((return_to, token)) => landing.with_token(return_to.as_deref(), &token),
        Err(error) => landing.with_error(error),
    };
    let cleared = cookie(String::new(), Age::ZERO, landing.is_https);
    HttpResponse::Found()
        .insert_header((LOCATION, location))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, cleared.to_string()))
        .finish()
}

/// Where the user wants to go, and their token; or the word of the contract for why there is none.
async fn came_back(
    request: &HttpRequest,
    accounts: &Accounts,
) -> Result<(Option<String>, String), &'static str> {
    let key = cookie_key(accounts).ok_or("oauth_failed")?;
    let oauth = accounts.oauth.as_ref().ok_or("oauth_failed")?;
    let begun = begun(request, &key).ok_or("invalid_state")?;
    let back = Back {
        code: parameter(request, "code"),
        state: parameter(request, "state"),
    };
    if back.state.as_deref() != Some(&begun.state) {
        return Err("invalid_state");
    }
    // Without a code the user has said no.
    let code = back.code.ok_or("oauth_failed")?;
    let return_to = begun.return_to.clone();
    let login = oauth.finish(begun, code).await.map_err(|error| {
        match error {
            LoginError::Code => tracing::debug!("a login's code was refused"),
            error => tracing::warn!(%error, "a login failed"),
        }
        "oauth_failed"
    })?;
    let now = now_ms();
    let storing = accounts
        .sources
        .store
        .set_login_guilds(login.user, &login.guilds, now);
    if !matches!(
        tokio::time::timeout(STORE_TIME_MAX, storing).await,
        Ok(Ok(()))
    ) {
        tracing::warn!("the guilds of a login could not be kept");
    }
    let claims = Claims {
        discord_id: login.user.to_string(),
        username: login.username,
        iat: now / 1_000,
        auth_time: Some(now / 1_000),
        email: login.email,
        is_bot: login.is_bot,
        ..Claims::default()
    };
    let token = accounts.sign(claims).ok_or("oauth_failed")?;
    Ok((return_to, token))
}

/// What the cookie holds, if it is ours.
fn begun(request: &HttpRequest, key: &Key) -> Option<Begun> {
    let mut jar = CookieJar::new();
    for header in request.headers().get_all(COOKIE) {
        let cookies = Cookie::split_parse(header.to_str().unwrap_or_default());
        for cookie in cookies.flatten().filter(|c| c.name() == COOKIE_NAME) {
            jar.add_original(cookie.into_owned());
        }
    }
    let cookie = jar.private(key).get(COOKIE_NAME)?;
    serde_json::from_str(cookie.value()).ok()
}

fn cookie(value: String, age: Age, is_secure: bool) -> Cookie<'static> {
    Cookie::build((COOKIE_NAME, value))
        .path(COOKIE_PATH)
        .max_age(age)
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(is_secure)
        .build()
}

fn cookie_key(accounts: &Accounts) -> Option<Key> {
    let secret = accounts.authority.keys().derived("login cookie")?;
    Some(Key::derive_from(&secret))
}

fn not_configured(settings: &str) -> HttpResponse {
    let text = format!("logins are not configured: set {settings}");
    problem(StatusCode::NOT_IMPLEMENTED, &text, None)
}

/// A parameter of the URL, if it says something.
pub(super) fn parameter(request: &HttpRequest, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(request.query_string().as_bytes());
    let value = pairs.find(|(own, _)| own == name)?.1;
    Some(value.into_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landing(settings: &[(&'static str, &str)]) -> Landing {
        let mut all = Settings::default();
        for (name, value) in settings {
            all.set(name, *value);
        }
        Landing::read(&all)
    }

    const FRONT: (&str, &str) = ("FRONTEND_URL", "https://a.example/app/, https://b.example");

    #[test]
    fn a_user_comes_to_the_first_front_end_or_to_where_they_wanted_within_the_list() {
        let landing = landing(&[FRONT]);
        let table = [
            (None, "https://a.example/app/#token=t"),
            (
                Some("https://b.example/x?y=z"),
                "https://b.example/x?y=z#token=t",
            ),
        ];
        for (return_to, expected) in table {
            assert_eq!(landing.with_token(return_to, "t"), expected);
        }
        assert_eq!(
            landing.with_error("oauth_failed"),
            "https://a.example/app/login?error=oauth_failed"
        );
        for (url, is_admitted) in [
            ("https://b.example/x", true),
            ("https://b.example:444/", false),
            ("http://b.example/", false),
            ("https://b.example.evil.example/", false),
            ("//b.example/", false),
            ("javascript:alert(1)", false),
            ("data:text/html,x", false),
        ] {
            assert_eq!(landing.admits(url), is_admitted, "{url}");
        }
    }

    #[test]
    fn without_a_front_end_our_own_page_takes_the_token() {
        let own = landing(&[]);
        assert_eq!(own.with_token(None, "t"), "/#token=t");
        assert_eq!(
            own.with_error("invalid_state"),
            "/login?error=invalid_state"
        );
        assert!(!own.admits("https://a.example"));
        let query = landing(&[("AUTH_REDIRECT", "query")]);
        assert_eq!(query.with_token(None, "t"), "/?token=t");
    }
}
