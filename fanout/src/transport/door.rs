//! How a viewer comes in, by whichever transport: the token, the directory, and whether they are a member.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use runtime::time::now_ms;

use super::{Open, Seats};
use crate::address::{ClientAddress, Proxies};
use crate::auth::{AuthError, Authority, Principal};
use crate::hub::Hub;
use crate::limit::{Limited, Limits};
use crate::origin::Origins;
use crate::peer::Peers;
use crate::recovery::{NotRecovered, Recovery, Taken};
use crate::request::{Code, Refusal};
use crate::session::Session;

/// How long a request of HTTP waits for a directory that is being loaded.
const BEGIN_PATIENCE: Duration = Duration::from_secs(5);

/// One worker's entrance.
#[derive(Debug)]
pub struct Door {
    /// The worker's viewers.
    pub hub: Rc<Hub>,
    /// What says who somebody is.
    pub authority: Authority,
    /// Whose pages may talk to us.
    pub origins: Origins,
    /// The worker's plain WebSockets and event streams.
    pub open: Rc<Open>,
    /// What connections and requests are held to.
    pub limits: Limits,
    /// Whose word on a client's address is taken.
    pub proxies: Proxies,
    /// The places of the worker's transports.
    pub seats: Seats,
    /// What clients come back to.
    pub recovery: Recovery,
    /// The other instances, whose sessions may be asked for here.
    pub peers: Peers,
}

/// Who knocks.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Where they come from.
    pub address: ClientAddress,
    /// What is one for all sessions of one transport, as [`Link::transport`](super::Link::transport).
    pub transport: usize,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// A row of the contract's table.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Too many connections.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// There is nothing to show yet.
    #[error("not available now, try again")]
    Unavailable,
}

impl From<Closed> for Refusal {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Auth(error) => error.into(),
            Closed::Limited(limited) => limited.into(),
            Closed::Unavailable => {
                Self::new(Code::Unavailable, "not available now, try again", None)
            }
        }
    }
}

impl Door {
    /// The session of a token's viewer, with their places. Waits as long as the directory is missing: who calls
    /// bounds it.
    ///
    /// # Errors
    /// A row of the contract's table.
    pub async fn admit(&self, token: &str, caller: Caller) -> Result<Session, Closed> {
        // A second namespace is no second handshake; a token that was refused is.
        if !self.seats.waive(caller.transport) {
            self.limits.shake_hands(caller.address).await?;
        }
        let principal = self.authority.open(token, now_ms() / 1000).await?;
        self.seated(principal, caller).await
    }

    /// As [`Self::admit`], for somebody who wants to go on with what is kept under a private id, and that. Who finds
    /// something there was counted when they first came.
    ///
    /// # Errors
    /// A row of the contract's table.
    pub async fn admit_again(
        &self,
        token: &str,
        caller: Caller,
        pid: &str,
        offset: Option<&str>,
    ) -> Result<(Session, Result<Taken, NotRecovered>), Closed> {
        let opened = self.authority.open(token, now_ms() / 1000).await;
        let found = match &opened {
            Ok(principal) => self.recovery.take(principal, pid, offset).await,
            Err(_) => Err(NotRecovered::Unknown),
        };
        if found.is_err() && !self.seats.waive(caller.transport) {
            self.limits.shake_hands(caller.address).await?;
        }
        Ok((self.seated(opened?, caller).await?, found))
    }

    /// The session of somebody whose ticket is their token, with their places.
    ///
    /// # Errors
    /// As [`Self::admit`].
    pub async fn admit_known(
        &self,
        principal: Principal,
        caller: Caller,
    ) -> Result<Session, Closed> {
        self.limits.shake_hands(caller.address).await?;
        self.seated(principal, caller).await
    }

    async fn seated(&self, principal: Principal, caller: Caller) -> Result<Session, Closed> {
        let taking = self.seats.take(
            &self.limits,
            principal.spender(),
            caller.address,
            caller.transport,
        );
        let seat = taking.await?;
        Ok(Session {
            seat: Some(seat),
            ..self.session(principal, caller.address).await?
        })
    }

    /// The session of the bearer of one request of HTTP, which takes no place.
    ///
    /// # Errors
    /// A row of the contract's table, or nothing to show within 5 s.
    pub async fn admit_once(
        &self,
        header: Option<&HeaderValue>,
        address: ClientAddress,
    ) -> Result<Session, Closed> {
        let token = bearer(header).ok_or(AuthError::Required)?;
        let principal = self.authority.open(&token, now_ms() / 1000).await?;
        self.visit(principal, address).await
    }

    /// The session of somebody who was authenticated for one request of HTTP, which takes no place.
    ///
    /// # Errors
    /// The token was taken back meanwhile, or there is nothing to show within 5 s.
    pub async fn visit(
        &self,
        principal: Principal,
        address: ClientAddress,
    ) -> Result<Session, Closed> {
        in_time(async { Ok(self.session(principal, address).await?) }).await
    }

    async fn session(
        &self,
        principal: Principal,
        address: ClientAddress,
    ) -> Result<Session, AuthError> {
        self.hub.begun().await;
        let is_resolved = self.hub.resolve(&principal.grant).await;
        Ok(Session {
            // It may have been taken back while others were asked.
            principal: self.authority.still(principal)?,
            is_unresolved: !is_resolved,
            address,
            seat: None,
        })
    }
}

/// Bounds the time in which somebody waits for an answer of HTTP.
///
/// # Errors
/// The work's own, or nothing to show within 5 s.
pub async fn in_time(
    work: impl Future<Output = Result<Session, Closed>>,
) -> Result<Session, Closed> {
    let done = tokio::time::timeout(BEGIN_PATIENCE, work).await;
    done.unwrap_or(Err(Closed::Unavailable))
}

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1).
pub(crate) fn bearer(header: Option<&HeaderValue>) -> Option<String> {
    let (scheme, token) = header?.to_str().ok()?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().to_owned())
}
