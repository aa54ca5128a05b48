//! Who a viewer is: the JWT, its keys, and the table of refusals (contract.md §1, "Authentication").
//!
//! The clock is a parameter. A token's text never leaves this module, not into a log and not into an error.

mod authority;
pub mod client;
mod jwks;
mod keys;
mod oauth;
mod revocations;
mod tickets;
mod token;
mod verifier;

pub use authority::Authority;
pub use keys::Keys;
pub(crate) use oauth::CALLBACK;
pub use oauth::{Begun, Login, LoginError, OAuth, OAuthSettings};
pub use revocations::{Forgetful, Revocations, Sources};
pub use tickets::{NoTicket, TICKET_LIFE, Tickets, Watch};
pub use token::{Claims, Principal, Revocation, token_id};

/// Why a viewer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token came.
    #[error("Authentication token required")]
    Required,
    /// Signature, algorithm, issuer or audience are wrong, or it is no token at all.
    #[error("Invalid authentication token")]
    Invalid,
    /// It was valid once.
    #[error("Authentication token expired")]
    Expired,
    /// A required claim is missing or mistyped.
    #[error("Invalid token payload")]
    Payload,
    /// It was taken back.
    #[error("Authentication token revoked")]
    Revoked,
}

impl AuthError {
    /// The code of the contract's table.
    pub fn code(self) -> &'static str {
        match self {
            Self::Required => "AUTH_REQUIRED",
            Self::Invalid => "AUTH_INVALID",
            Self::Expired => "AUTH_EXPIRED",
            Self::Payload => "AUTH_PAYLOAD",
            Self::Revoked => "AUTH_REVOKED",
        }
    }
}
