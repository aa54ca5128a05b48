//! Tickets: what a browser's `EventSource`, which can't set a header, has in its URL in place of a token
//! (decisions.md, "Tickets").
//!
//! A ticket opens one channel's stream for one principal. It is opened within 30 s, and may open the same stream
//! again until its token ends or is taken back, one at a time: who opens it last has it. It is a random name for
//! what the registry keeps, so that any instance takes it and nobody learns anything from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::ChannelId;
use registry::{Away, Registry};
use runtime::time::now_ms;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::token::token_id;
use super::{AuthError, Authority, Principal};

/// A ticket is opened within this time (contract.md §2).
pub const TICKET_LIFE: Duration = Duration::from_secs(30);

/// Between two looks whether the ticket has been opened elsewhere.
const LOOK: Duration = Duration::from_secs(5);

/// Digits of a ticket.
const TICKET_DIGITS: usize = 32;

/// The tickets of all instances. Clones share what is open here.
#[derive(Debug, Clone)]
pub struct Tickets {
    registry: Registry,
    authority: Authority,
    open: Arc<Mutex<HashMap<String, CancellationToken>>>,
}

/// What the registry keeps of a ticket: what the token says, not the token.
#[derive(Serialize, Deserialize)]
struct Kept {
    claims: Value,
    token_key: String,
}

/// Why a ticket opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoTicket {
    /// It is another channel's, too old, or nobody's.
    #[error("the ticket is spent")]
    Spent,
    /// Its token was taken back.
    #[error("the ticket's token was revoked")]
    Revoked,
    /// What instances share is away.
    #[error("not available now, try again")]
    Away,
}

impl From<Away> for NoTicket {
    fn from(_: Away) -> Self {
        Self::Away
    }
}

/// An open ticket. Watches that nobody else opens it.
#[derive(Debug)]
pub struct Watch {
    tickets: Tickets,
    name: String,
    owner: String,
    left: Duration,
    taken: CancellationToken,
}

impl Tickets {
    /// Tickets that the registry keeps for principals of this authority.
    pub fn new(registry: Registry, authority: Authority) -> Self {
        Self {
            registry,
            authority,
            open: Arc::default(),
        }
    }

    /// A ticket for the bearer of a token.
    ///
    /// # Errors
    /// A row of the contract's table; none of it if the registry is away.
    pub async fn issue(
        &self,
        token: &str,
        channel: ChannelId,
    ) -> Result<Result<String, Away>, AuthError> {
        let opened = self.authority.open_with_claims(token, now_ms() / 1_000);
        let (principal, claims) = opened.await?;
        let kept = Kept {
            claims,
            token_key: principal.token_key,
        };
        let ticket = token_id();
        let value = serde_json::to_vec(&kept).map_err(|_| AuthError::Payload)?;
        let name = name(channel, &ticket);
        let saving = self.registry.save_session(&name, "", &value, TICKET_LIFE);
        Ok(saving.await.map(|()| ticket))
    }

    /// Opens a ticket: whoever had it open has it no longer.
    ///
    /// # Errors
    /// It opens nothing.
    pub async fn open(
        &self,
        ticket: &str,
        channel: ChannelId,
    ) -> Result<(Principal, Watch), NoTicket> {
        if ticket.len() != TICKET_DIGITS || !ticket.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NoTicket::Spent);
        }
        let (name, owner) = (name(channel, ticket), token_id());
        let taking = self.registry.take_session(&name, &owner, TICKET_LIFE);
        let value = taking.await?.ok_or(NoTicket::Spent)?;
        let now = now_ms() / 1_000;
        let principal = self.principal(&value, now)?;
        let left = u64::try_from(principal.ends() - now).unwrap_or(0);
        let left = Duration::from_secs(left);
        let kept = self.registry.renew_session(&name, &owner, None, left);
        if !kept.await? {
            return Err(NoTicket::Spent);
        }
        let taken = CancellationToken::new();
        let before = self.open.lock().insert(name.clone(), taken.clone());
        if let Some(before) = before {
            before.cancel();
        }
        let watch = Watch {
            tickets: self.clone(),
            name,
            owner,
            left,
            taken,
        };
        Ok((principal, watch))
    }

    fn principal(&self, value: &[u8], now: i64) -> Result<Principal, NoTicket> {
        let kept: Kept = serde_json::from_slice(value).map_err(|_| NoTicket::Spent)?;
        let principal = Principal::of_claims(&kept.claims, kept.token_key, now);
        let principal = principal.map_err(|_| NoTicket::Spent)?;
        self.authority
            .still(principal)
            .map_err(|_| NoTicket::Revoked)
    }
}

impl Watch {
    /// Waits until somebody else opens the ticket, here or on another instance.
    pub async fn taken(&self) {
        loop {
            tokio::select! {
                () = self.taken.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let registry = &self.tickets.registry;
            let kept = registry.renew_session(&self.name, &self.owner, None, self.left);
            // A registry that is away takes nothing from anybody.
            if let Ok(false) = kept.await {
                return;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut open = self.tickets.open.lock();
        // Whoever took it has put its own in this place.
        if !self.taken.is_cancelled() {
            open.remove(&self.name);
        }
    }
}

/// The channel is part of the name: a ticket of another channel is not found.
fn name(channel: ChannelId, ticket: &str) -> String {
    format!("ticket:{channel}:{ticket}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Claims, Keys, Revocation};
    use runtime::Settings;

    fn tickets() -> Tickets {
        let mut settings = Settings::default();
        settings.set("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let authority = Authority::new(Keys::from_settings(&settings).unwrap());
        Tickets::new(Registry::in_process(), authority)
    }

    fn token(tickets: &Tickets) -> String {
        let claims = Claims {
            discord_id: "42".into(),
            username: "ada".into(),
            exp: now_ms() / 1_000 + 60,
            ..Claims::default()
        };
        tickets.authority.keys().sign(claims).unwrap()
    }

    #[tokio::test]
    async fn a_ticket_opens_its_channel_again_and_again_one_at_a_time() {
        let tickets = tickets();
        let (own, other) = (ChannelId::new(7).unwrap(), ChannelId::new(8).unwrap());
        let ticket = tickets.issue(&token(&tickets), own).await.unwrap().unwrap();
        assert_eq!(
            tickets.open(&ticket, other).await.err(),
            Some(NoTicket::Spent)
        );
        let (principal, first) = tickets.open(&ticket, own).await.unwrap();
        assert_eq!(principal.user.get(), 42);
        let (_, second) = tickets.open(&ticket, own).await.unwrap();
        first.taken().await;
        drop(first);
        assert!(!second.taken.is_cancelled() && tickets.open.lock().len() == 1);
        drop(second);
        assert!(tickets.open.lock().is_empty());
        for nonsense in ["", "x", &"0".repeat(32)] {
            assert_eq!(
                tickets.open(nonsense, own).await.err(),
                Some(NoTicket::Spent)
            );
        }
    }

    #[tokio::test]
    async fn a_ticket_ends_with_its_token() {
        let tickets = tickets();
        let channel = ChannelId::new(7).unwrap();
        let token = token(&tickets);
        let ticket = tickets.issue(&token, channel).await.unwrap().unwrap();
        let (principal, _watch) = tickets.open(&ticket, channel).await.unwrap();
        let revocation: Revocation = principal.revocation();
        tickets.authority.revocations().add(revocation);
        assert_eq!(
            tickets.open(&ticket, channel).await.err(),
            Some(NoTicket::Revoked)
        );
        assert_eq!(
            tickets.issue(&token, channel).await.err(),
            Some(AuthError::Revoked)
        );
    }
}
