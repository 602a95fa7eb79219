//! How a session ends: why, who wanted it, and the hint when to come back.

use std::time::Duration;

use crate::{
    outbound::frame::Frame,
    protocol::{codes::CloseCode, server_frame::ServerFrame},
    telemetry::metrics::ClosedBy,
};

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// We end it, with this code and perhaps a hint.
    Ours(CloseCode, Option<Duration>),
    /// The peer sent a Close with this code, or none.
    Theirs(Option<u16>),
    /// The connection broke.
    Lost,
}

impl End {
    /// The code and the side, for the metric and the log.
    pub fn account(self) -> (CloseCode, ClosedBy) {
        match self {
            Self::Ours(code, _) => (code, ClosedBy::Server),
            Self::Theirs(Some(1001)) => (CloseCode::GoingAway, ClosedBy::Client),
            Self::Theirs(Some(1002)) => (CloseCode::ProtocolError, ClosedBy::Client),
            Self::Theirs(_) => (CloseCode::Normal, ClosedBy::Client),
            Self::Lost => (CloseCode::GoingAway, ClosedBy::Network),
        }
    }
}

/// The `closing` frame that goes ahead of a Close, for the codes that have one.
pub fn closing_frame(code: CloseCode, retry_after: Option<Duration>) -> Option<Frame> {
    code.has_closing_frame().then(|| {
        Frame::encode(&ServerFrame::Closing {
            code,
            reconnect: code.reconnect(),
            retry_after_ms: retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        })
    })
}
