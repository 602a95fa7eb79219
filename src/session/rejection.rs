//! A request that was not done: what the peer is told, in the protocol that it speaks.

use std::{borrow::Cow, time::Duration};

use super::{Protocol, whole_millis};
use crate::{
    auth::error::AuthError,
    domain::command::FrameId,
    hub::{join::JoinError, redact::RedactError, send::SendError},
    inbound::Reject,
    outbound::frame::Frame,
    protocol::{
        codes::ErrorCode,
        plain_text,
        server_frame::{Error, Outcome, ServerFrame},
    },
};

/// A room is given up after half a minute without anybody in it.
const ROOMS_FULL_RETRY: Duration = Duration::from_secs(30);
/// The log may answer again at any time; a repeat is harmless.
const UNKNOWN_RETRY: Duration = Duration::from_secs(1);
const LOG_AWAY: &str = "the log cannot be reached; try again later";

/// One `error` frame in the making.
#[derive(Debug)]
pub(super) struct Rejection {
    id: Option<FrameId>,
    pub(super) code: ErrorCode,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    outcome: Option<Outcome>,
    have: Option<u64>,
}

impl Rejection {
    pub(super) fn new(id: Option<FrameId>, code: ErrorCode, detail: &'static str) -> Self {
        Self {
            id,
            code,
            detail: Cow::Borrowed(detail),
            retry_after: None,
            outcome: None,
            have: None,
        }
    }

    pub(super) fn forbidden(id: Option<FrameId>) -> Self {
        Self::new(
            id,
            ErrorCode::Forbidden,
            "the credential does not allow this",
        )
    }

    pub(super) fn not_joined(id: Option<FrameId>) -> Self {
        Self::new(id, ErrorCode::NotJoined, "the session is not in this room")
    }

    pub(super) fn log_away(id: Option<FrameId>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(id, ErrorCode::Unavailable, LOG_AWAY)
        }
    }

    /// A `send` that is definitely not in the log.
    pub(super) fn not_sent(self) -> Self {
        Self {
            outcome: Some(Outcome::No),
            ..self
        }
    }

    pub(super) fn of_inbound(reject: Reject) -> Self {
        Self {
            id: reject.id,
            code: reject.code,
            detail: reject.detail,
            retry_after: reject.retry_after,
            outcome: reject.outcome,
            have: None,
        }
    }

    pub(super) fn of_join(id: Option<FrameId>, error: JoinError) -> Self {
        match error {
            JoinError::NicknameTaken => Self::new(
                id,
                ErrorCode::NicknameTaken,
                "the nickname is taken in this room",
            ),
            JoinError::RoomsFull => {
                let detail = "this node holds as many rooms as it may";
                Self {
                    retry_after: Some(ROOMS_FULL_RETRY),
                    ..Self::new(id, ErrorCode::Unavailable, detail)
                }
            }
            JoinError::Unavailable { retry_after } => Self::log_away(id, retry_after),
        }
    }

    pub(super) fn of_send(id: Option<FrameId>, error: SendError) -> Self {
        match error {
            SendError::OutOfSequence { have } => Self {
                have: Some(have),
                ..Self::new(
                    id,
                    ErrorCode::OutOfSequence,
                    "something before this message is missing",
                )
            },
            SendError::Conflict => Self::new(
                id,
                ErrorCode::Conflict,
                "the number was used for another message",
            ),
            SendError::TooLarge { .. } => Self::new(
                id,
                ErrorCode::TooLarge,
                "the message is larger than the log takes",
            ),
            SendError::NicknameTaken => Self::new(
                id,
                ErrorCode::NicknameTaken,
                "the nickname is taken in this room",
            ),
            SendError::Unavailable { retry_after } => Self::log_away(id, retry_after),
            SendError::Unknown => {
                return Self {
                    retry_after: Some(UNKNOWN_RETRY),
                    outcome: Some(Outcome::Unknown),
                    ..Self::new(
                        id,
                        ErrorCode::Unavailable,
                        "whether the message is in the log is not known; repeat it",
                    )
                };
            }
        }
        .not_sent()
    }

    pub(super) fn of_delete(id: Option<FrameId>, error: RedactError) -> Self {
        match error {
            RedactError::NotFound => {
                Self::new(id, ErrorCode::NotFound, "no message stands at this offset")
            }
            RedactError::Conflict => Self::new(
                id,
                ErrorCode::Conflict,
                "an entry of another epoch stands at this offset",
            ),
            RedactError::Unavailable { retry_after } => Self::log_away(id, retry_after),
            RedactError::Unknown => Self {
                retry_after: Some(UNKNOWN_RETRY),
                ..Self::new(
                    id,
                    ErrorCode::Unavailable,
                    "whether the message was deleted is not known; repeat it",
                )
            },
        }
    }

    /// A refused `auth`. The session keeps its old end, so nothing else changes.
    pub(super) fn of_auth(id: Option<FrameId>, error: &AuthError) -> Self {
        match error {
            AuthError::TokenExpired => {
                Self::new(id, ErrorCode::TokenExpired, "the credential's time is over")
            }
            AuthError::Unauthorized(_) | AuthError::Forbidden => Self::new(
                id,
                ErrorCode::Unauthorized,
                "the credential is not valid here",
            ),
            AuthError::Unavailable { retry_after } => Self {
                retry_after: Some(*retry_after),
                ..Self::new(
                    id,
                    ErrorCode::Unavailable,
                    "the credential cannot be checked now",
                )
            },
        }
    }

    /// The frame.
    pub(super) fn frame(&self, protocol: Protocol) -> Frame {
        match protocol {
            Protocol::Text => Frame::from(plain_text::write_error(self.code, &self.detail)),
            Protocol::V1 { .. } => Frame::encode(&ServerFrame::Error(Error {
                id: self.id.as_deref(),
                code: self.code,
                detail: &self.detail,
                retry_after_ms: self.retry_after.map(whole_millis),
                outcome: self.outcome,
                have: self.have,
            })),
        }
    }
}
