//! What the bearer of a token does with it: takes it back, renews it, gets a ticket for a stream (contract.md §2, §3).

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use proto::ChannelId;
use runtime::http::problem;
use runtime::time::now_ms;
use serde::Deserialize;
use serde_json::json;

use super::channels::address;
use super::refusal::{bad_request, closed, refused, unauthorized, unavailable};
use crate::address::Proxies;
use crate::auth::{
    AuthError, Authority, Claims, OAuth, Principal, Sources, TICKET_LIFE, Tickets, token_id,
};
use crate::limit::{Limited, Limits};
use crate::transport::{Door, bearer};

/// What the routes of this module and of the login look at.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Who somebody is.
    pub authority: Authority,
    /// Where revocations go, and the guilds of a login.
    pub sources: Sources,
    /// Tickets for streams.
    pub tickets: Tickets,
    /// Logins at Discord, where they are configured.
    pub oauth: Option<OAuth>,
    /// How long a token that is signed here is valid.
    pub expires: Duration,
    /// Where a user goes after a login.
    pub landing: super::login::Landing,
    /// How much may be asked.
    pub limits: Limits,
    /// Whose word on a client's address is taken.
    pub proxies: Proxies,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    channel_id: String,
}

/// `POST /api/auth/logout`
pub(super) async fn logout(request: HttpRequest, accounts: Data<Accounts>) -> HttpResponse {
    let principal = match principal(&request, &accounts).await {
        Ok(principal) => principal,
        Err(error) => return unauthorized(error),
    };
    let revocations = accounts.authority.revocations();
    let revoking = revocations.revoke(principal.revocation(), &accounts.sources);
    match revoking.await {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => {
            tracing::error!(%error, "a logout holds only until the instances restart");
            unavailable()
        }
    }
}

/// `POST /api/auth/refresh`
pub(super) async fn refresh(request: HttpRequest, accounts: Data<Accounts>) -> HttpResponse {
    let principal = match principal(&request, &accounts).await {
        Ok(principal) => principal,
        Err(error) => return unauthorized(error),
    };
    if let Err(limited) = accounts.spend(&request, &principal).await {
        return refused(&limited.into());
    }
    let now = now_ms() / 1_000;
    if principal.expires <= now {
        return unauthorized(AuthError::Expired);
    }
    if !principal.is_renewable(now) {
        let text = "log in again: this token can't be renewed";
        return problem(StatusCode::FORBIDDEN, text, Some("FORBIDDEN"));
    }
    match accounts.sign(renewed(principal, now)) {
        Some(token) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(json!({ "token": token })),
        None => cannot_sign(),
    }
}

/// `POST /api/auth/ticket`
pub(super) async fn ticket(
    request: HttpRequest,
    body: Bytes,
    accounts: Data<Accounts>,
    door: Data<Rc<Door>>,
) -> HttpResponse {
    let wanted = serde_json::from_slice::<Wanted>(&body).ok();
    let Some(channel) = wanted.and_then(|wanted| wanted.channel_id.parse::<ChannelId>().ok())
    else {
        return bad_request("channelId must be a snowflake as a string");
    };
    let Some(token) = bearer(request.headers().get(AUTHORIZATION)) else {
        return unauthorized(AuthError::Required);
    };
    let principal = match principal(&request, &accounts).await {
        Ok(principal) => principal,
        Err(error) => return unauthorized(error),
    };
    if let Err(limited) = accounts.spend(&request, &principal).await {
        return refused(&limited.into());
    }
    let visiting = door.visit(principal, address(&request, &accounts.proxies));
    match visiting
        .await
        .map(|visitor| door.hub.may_see(visitor, channel))
    {
        Ok(Ok(())) => {}
        Ok(Err(refusal)) => return refused(&refusal),
        Err(error) => return closed(error),
    }
    match accounts.tickets.issue(&token, channel).await {
        Ok(Ok(ticket)) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(json!({ "ticket": ticket, "expiresIn": TICKET_LIFE.as_secs() })),
        Ok(Err(_)) => unavailable(),
        Err(error) => unauthorized(error),
    }
}

/// Without a key that signs there are no tokens of ours.
pub(super) fn cannot_sign() -> HttpResponse {
    let text = "this server signs no tokens: set JWT_SECRET or JWT_PRIVATE_KEY";
    problem(StatusCode::NOT_IMPLEMENTED, text, None)
}

impl Accounts {
    /// Counts a request of a token's bearer.
    async fn spend(&self, request: &HttpRequest, principal: &Principal) -> Result<(), Limited> {
        let address = address(request, &self.proxies);
        self.limits.spend(principal.spender(), address).await
    }

    /// Signs claims that begin now and last as long as tokens do here, unless they say that they last longer.
    pub(super) fn sign(&self, claims: Claims) -> Option<String> {
        let seconds = i64::try_from(self.expires.as_secs()).unwrap_or(i64::MAX);
        let claims = Claims {
            exp: claims.exp.max(claims.iat.saturating_add(seconds)),
            jti: Some(token_id()),
            ..claims
        };
        self.authority.keys().sign(claims)
    }
}

async fn principal(request: &HttpRequest, accounts: &Accounts) -> Result<Principal, AuthError> {
    let token = bearer(request.headers().get(AUTHORIZATION)).ok_or(AuthError::Required)?;
    accounts.authority.open(&token, now_ms() / 1_000).await
}

/// The same viewer, later: what takes a token's place on an open socket has to end after it.
fn renewed(principal: Principal, now: i64) -> Claims {
    Claims {
        discord_id: principal.user.to_string(),
        username: principal.username,
        iat: now,
        exp: principal.expires + 1,
        auth_time: Some(principal.logged_in),
        email: principal.email,
        is_bot: principal.is_bot,
        iss: principal.issuer,
        ..Claims::default()
    }
}
