//! How a viewer comes in, by whichever transport: the token, the directory, and whether they are a member.

use std::rc::Rc;
use std::time::Duration;

use actix_web::http::header::HeaderValue;
use runtime::time::now_ms;

use super::Open;
use crate::auth::{AuthError, Authority, Principal};
use crate::hub::Hub;
use crate::origin::Origins;
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
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// A row of the contract's table.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// There is nothing to show yet.
    #[error("not available now, try again")]
    Unavailable,
}

impl Door {
    /// The session of a token's viewer. Waits as long as the directory is missing: the caller bounds it.
    ///
    /// # Errors
    /// A row of the contract's table.
    pub async fn admit(&self, token: &str) -> Result<Session, AuthError> {
        let principal = self.authority.open(token, now_ms() / 1000).await?;
        self.session(principal).await
    }

    /// The session of the bearer of a request of HTTP.
    ///
    /// # Errors
    /// A row of the contract's table, or nothing to show within 5 s.
    pub async fn admit_bearer(&self, header: Option<&HeaderValue>) -> Result<Session, Closed> {
        let token = bearer(header).ok_or(AuthError::Required)?;
        let admitted = tokio::time::timeout(BEGIN_PATIENCE, self.admit(&token)).await;
        Ok(admitted.map_err(|_| Closed::Unavailable)??)
    }

    /// The session of somebody who is known, by whatever they have shown.
    ///
    /// # Errors
    /// As [`Self::admit_bearer`].
    pub async fn admit_known(&self, principal: Principal) -> Result<Session, Closed> {
        let admitted = tokio::time::timeout(BEGIN_PATIENCE, self.session(principal)).await;
        Ok(admitted.map_err(|_| Closed::Unavailable)??)
    }

    async fn session(&self, principal: Principal) -> Result<Session, AuthError> {
        self.hub.begun().await;
        let is_resolved = self.hub.resolve(&principal.grant).await;
        Ok(Session {
            // It may have been taken back while others were asked.
            principal: self.authority.still(principal)?,
            is_unresolved: !is_resolved,
        })
    }
}

/// The token of an `Authorization: Bearer` header (RFC 6750 §2.1).
pub(crate) fn bearer(header: Option<&HeaderValue>) -> Option<String> {
    let (scheme, token) = header?.to_str().ok()?.split_once(' ')?;
    let is_bearer = scheme.eq_ignore_ascii_case("bearer");
    is_bearer.then(|| token.trim().to_owned())
}
