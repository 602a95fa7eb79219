//! What authentication answers when it is not an identity. Few variants, because the outside may not learn more.

use std::{fmt, time::Duration};

use crate::{auth::reason::Reason, protocol::codes::ErrorCode};

/// Why a credential opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The credential is not good. The reason is for the audit trail alone; all of these get equal answers.
    #[error("the credential is not accepted: {}", .0.label())]
    Unauthorized(Reason),
    /// Everything about the token is good but its time is over.
    #[error("the token has expired")]
    TokenExpired,
    /// The credential is good and gives no right here.
    #[error("the token has no scope of this gateway")]
    Forbidden,
    /// Nobody can tell now: the issuer's keys are too old, or the tickets' store does not answer.
    #[error("credentials cannot be checked now")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

impl AuthError {
    /// The code that the client sees; also the metric's `result`.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::TokenExpired => ErrorCode::TokenExpired,
            Self::Forbidden => ErrorCode::Forbidden,
            Self::Unavailable { .. } => ErrorCode::Unavailable,
        }
    }

    /// The audit trail's label; where there is no reason it is the code's name.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Unauthorized(reason) => reason.label(),
            other => other.code().name(),
        }
    }
}

impl From<Reason> for AuthError {
    fn from(reason: Reason) -> Self {
        Self::Unauthorized(reason)
    }
}

/// Why an `auth` frame did not extend its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefreshError {
    /// A good token of somebody else: the session ends.
    #[error("the token is another identity's")]
    OtherIdentity,
    /// The token is not accepted; the session keeps its old end.
    #[error(transparent)]
    Refused(#[from] AuthError),
}

/// Why no ticket was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The person holds `limits.tickets_per_user_max` unspent tickets.
    #[error("too many unspent tickets")]
    Limited {
        /// When the first of them ends.
        retry_after: Duration,
    },
    /// The token behind the request is over, so a ticket could open nothing.
    #[error("the token has expired")]
    TokenExpired,
    /// The store is full or does not answer.
    #[error("tickets cannot be stored now")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
}

/// A configuration that cannot authenticate anybody, or not safely. The process ends with 78.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct AuthSetupError {
    /// The configuration key at fault.
    pub key: String,
    /// What is wrong with it. Never holds a secret.
    pub problem: String,
}

impl AuthSetupError {
    /// An error at that key.
    pub(super) fn new(key: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            key: key.into(),
            problem: problem.to_string(),
        }
    }
}
