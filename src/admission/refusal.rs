//! What admission answers when it is not a permit: dropped before TLS, or refused with a status that `server` chooses by the
//! code.

use std::time::Duration;

use crate::protocol::codes::ErrorCode;

/// Refused at the request; the peer gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// `limits.connections_max` connections are open: 503.
    #[error("the node has all the connections it may have")]
    Overloaded,
    /// `limits.connections_per_ip_max` connections of this address are open: 429.
    #[error("the address has all the connections it may have")]
    TooManyConnections,
    /// The address is over a rate: 429.
    #[error("the address is over its rate")]
    RateLimited {
        /// When one more would pass.
        retry_after: Duration,
    },
    /// The page's origin is not on the list, or there is none and there must be: 403.
    #[error("the origin is not allowed")]
    OriginNotAllowed,
    /// More than one Origin header: 400.
    #[error("more than one origin")]
    SeveralOrigins,
}

impl Refusal {
    /// When to come back to a full node. Connections close by themselves at no known time, so it is a guess: long enough not
    /// to hammer, short enough not to lose anybody.
    const WHEN_FULL: Duration = Duration::from_secs(5);

    /// The code of the problem.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Overloaded => ErrorCode::Unavailable,
            Self::TooManyConnections => ErrorCode::TooManyConnections,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::OriginNotAllowed => ErrorCode::OriginNotAllowed,
            Self::SeveralOrigins => ErrorCode::BadRequest,
        }
    }

    /// When to try again, where waiting helps.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded | Self::TooManyConnections => Some(Self::WHEN_FULL),
            Self::RateLimited { retry_after } => Some(*retry_after),
            Self::OriginNotAllowed | Self::SeveralOrigins => None,
        }
    }
}

/// Dropped before the first TLS byte; the peer sees the connection end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Dropped {
    /// `limits.tls_handshakes_max` handshakes are under way.
    #[error("too many TLS handshakes at once")]
    Handshakes,
    /// `limits.tls_handshakes_per_ip_max` handshakes of this address are under way.
    #[error("too many TLS handshakes of one address at once")]
    HandshakesOfAddress,
    /// So many connections are over their cap and still being told so that nobody more is told.
    #[error("too many connections over their cap")]
    Surplus,
}
