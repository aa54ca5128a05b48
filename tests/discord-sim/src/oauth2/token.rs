//! The token endpoint: a form alone, never JSON; the application names itself by Basic or in the form.
//! Errors have the shape of RFC 6749, section 5.2.

use std::time::Instant;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::logins::TOKEN_LIFE;
use crate::sim::Shared;
use crate::{CLIENT_ID, CLIENT_SECRET};

/// Why no token is given.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("The body must be application/x-www-form-urlencoded.")]
    NoForm,
    #[error("Unknown application or wrong secret.")]
    WrongClient,
    #[error("Unknown grant_type.")]
    UnknownGrantType,
    #[error("Invalid \"code\" in request.")]
    InvalidGrant,
}

impl TokenError {
    /// The status, and the name of RFC 6749, section 5.2.
    fn as_told(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoForm => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request"),
            Self::WrongClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
            Self::UnknownGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
            Self::InvalidGrant => (StatusCode::BAD_REQUEST, "invalid_grant"),
        }
    }
}

impl ResponseError for TokenError {
    fn status_code(&self) -> StatusCode {
        self.as_told().0
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::build(self.status_code())
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .json(json!({ "error": self.as_told().1, "error_description": self.to_string() }))
    }
}

/// The fields of a form, in the order in which they came.
struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form from an application that has named itself.
    fn read(request: &HttpRequest, body: &[u8]) -> Result<Self, TokenError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("application/x-www-form-urlencoded") {
            return Err(TokenError::NoForm);
        }
        let form = Self(url::form_urlencoded::parse(body).into_owned().collect());
        let named = basic(request).or_else(|| {
            let field = |name| form.get(name).map(str::to_owned);
            Some((field("client_id")?, field("client_secret")?))
        });
        match named {
            Some((id, secret)) if id == CLIENT_ID && secret == CLIENT_SECRET => Ok(form),
            _ => Err(TokenError::WrongClient),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn basic(request: &HttpRequest) -> Option<(String, String)> {
    let header = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let text = BASE64_STANDARD
        .decode(header.strip_prefix("Basic ")?)
        .ok()?;
    let text = String::from_utf8(text).ok()?;
    let (id, secret) = text.split_once(':')?;
    // RFC 6749, section 2.3.1: both are form-encoded first.
    let plain = |text: &str| {
        let pairs = format!("v={text}");
        let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
        pairs.next().map(|(_, value)| value.into_owned())
    };
    Some((plain(id)?, plain(secret)?))
}

pub(super) async fn exchange(
    request: HttpRequest,
    body: Bytes,
    sim: Data<Shared>,
) -> Result<HttpResponse, TokenError> {
    let form = Form::read(&request, &body)?;
    let now = Instant::now();
    let logins = &mut sim.state().logins;
    let field = |name| form.get(name).unwrap_or_default();
    let tokens = match form.get("grant_type") {
        Some("authorization_code") => {
            let verifier = form.get("code_verifier");
            logins.redeem(field("code"), field("redirect_uri"), verifier, now)
        }
        Some("refresh_token") => logins.refresh(field("refresh_token"), now),
        _ => return Err(TokenError::UnknownGrantType),
    };
    let tokens = tokens.ok_or(TokenError::InvalidGrant)?;
    let answer = json!({
        "token_type": "Bearer",
        "access_token": tokens.access,
        "expires_in": TOKEN_LIFE.as_secs(),
        "refresh_token": tokens.refresh,
        "scope": tokens.scope,
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(answer))
}

pub(super) async fn revoke(
    request: HttpRequest,
    body: Bytes,
    sim: Data<Shared>,
) -> Result<HttpResponse, TokenError> {
    let form = Form::read(&request, &body)?;
    let token = form.get("token").unwrap_or_default();
    sim.state().logins.revoke(token);
    Ok(HttpResponse::Ok().json(json!({})))
}
