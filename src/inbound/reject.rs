//! Why a frame was not accepted: what the client is told, and whether the session ends with it.

use std::{borrow::Cow, time::Duration};

use crate::{
    domain::command::FrameId,
    protocol::{
        codes::{CloseCode, ErrorCode},
        server_frame::Outcome,
    },
};

/// A frame that was not accepted. It never holds anything of what the client sent but the request's `id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The request's own name, when it could be read.
    pub id: Option<FrameId>,
    /// Which kind of mistake.
    pub code: ErrorCode,
    /// For people: names the field or the limit.
    pub detail: Cow<'static, str>,
    /// With `rate_limited`: after how long to try again.
    pub retry_after: Option<Duration>,
    /// After a `send`: `no`, as it never reached the log.
    pub outcome: Option<Outcome>,
    /// Set when this was one too many.
    pub(super) ends: Option<CloseCode>,
}

impl Reject {
    /// Whether the session ends instead of answering: too many frames above a rate (4529) or that cannot be read (4400).
    pub fn ends_session(&self) -> Option<CloseCode> {
        self.ends
    }
}

/// What is wrong with a request, before it is known whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: ErrorCode,
    pub(super) detail: Cow<'static, str>,
}

impl Fault {
    pub(super) fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, detail)
    }
}
