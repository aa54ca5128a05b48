//! Refusals as JSON errors with their code (contract.md §2, §3), before a stream begins and in place of an upgrade.

use actix_socketio::Refusal as Handshake;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use runtime::http::problem;
use runtime::time::now_iso;
use serde_json::json;

use crate::auth::AuthError;
use crate::request::{Code, Refusal};
use crate::transport::Closed;

/// Why a request with a token in its URL is refused: URLs are logged, and sent on as `Referer`.
pub(crate) const TOKEN_IN_URL: &str = "a token must not be in the URL";

/// Names of parameters that other services use for tokens.
const TOKEN_PARAMETERS: [&str; 4] = ["token", "access_token", "jwt", "authorization"];

/// Whether a URL's query carries a token: by its name, or by its form (RFC 7519: the first part is a JSON object,
/// whose base64 begins with `eyJ`).
pub(crate) fn has_token(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
        let is_named = TOKEN_PARAMETERS.contains(&name.to_ascii_lowercase().as_str());
        is_named || (value.starts_with("eyJ") && value.split('.').count() == 3)
    })
}

/// The answer in place of an upgrade.
pub(crate) fn of(status: StatusCode, message: &str, code: Option<&str>) -> Handshake {
    let mut body = json!({
        "error": status.canonical_reason().unwrap_or("Error"),
        "message": message,
        "timestamp": now_iso(),
    });
    if let (Some(code), Some(object)) = (code, body.as_object_mut()) {
        object.insert("code".into(), code.into());
    }
    Handshake::new(status, body.to_string())
}

/// The answer to a request that can't be read.
pub(super) fn bad_request(message: &str) -> HttpResponse {
    problem(StatusCode::BAD_REQUEST, message, Some("BAD_REQUEST"))
}

/// The answer to a request that a dependency keeps from being answered.
pub(super) fn unavailable() -> HttpResponse {
    let message = "not available now, try again";
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        message,
        Some("UNAVAILABLE"),
    )
}

/// The answer to somebody whose token is not taken.
pub(super) fn unauthorized(error: AuthError) -> HttpResponse {
    let mut answer = problem(
        StatusCode::UNAUTHORIZED,
        &error.to_string(),
        Some(error.code()),
    );
    // RFC 9110 §11.6.1: a 401 says how to authenticate.
    let scheme = actix_web::http::header::HeaderValue::from_static("Bearer");
    let name = actix_web::http::header::WWW_AUTHENTICATE;
    answer.headers_mut().insert(name, scheme);
    answer
}

/// The answer to somebody who is not let in.
pub(super) fn closed(closed: Closed) -> HttpResponse {
    match closed {
        Closed::Auth(error) => unauthorized(error),
        Closed::Limited(limited) => refused(&limited.into()),
        Closed::Unavailable => unavailable(),
    }
}

/// The answer to a request that the hub refuses.
pub(super) fn refused(refusal: &Refusal) -> HttpResponse {
    let (status, code) = match refusal.code {
        Code::BadRequest | Code::UnknownEvent => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
        Code::Forbidden => (StatusCode::FORBIDDEN, "FORBIDDEN"),
        Code::NotJoined => (StatusCode::CONFLICT, "NOT_JOINED"),
        Code::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITED"),
        Code::Unavailable => return unavailable(),
        Code::AuthRequired => return unauthorized(AuthError::Required),
        Code::AuthInvalid => return unauthorized(AuthError::Invalid),
        Code::AuthExpired => return unauthorized(AuthError::Expired),
        Code::AuthPayload => return unauthorized(AuthError::Payload),
        Code::AuthRevoked => return unauthorized(AuthError::Revoked),
    };
    let mut answer = problem(status, refusal.text, Some(code));
    if let Some(seconds) = refusal.retry_after {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_url_is_seen_by_its_name_or_its_form() {
        let table = [
            ("", false),
            ("limit=5&before=7", false),
            ("ticket=0123456789abcdef", false),
            ("offset=00000000000000ab.7", false),
            ("token=", true),
            ("Access_Token=x", true),
            ("limit=5&jwt=x", true),
            ("ticket=eyJhbGciOiJIUzI1NiJ9.eyJ9.c2ln", true),
            ("x=eyJhbGciOiJIUzI1NiJ9%2EeyJ9%2Ec2ln", true),
        ];
        for (query, is_seen) in table {
            assert_eq!(has_token(query), is_seen, "{query}");
        }
    }
}
