//! The one table of codes: close codes, their names, and the error codes that frames and problem bodies share.

/// Why a session was closed. The number, the name and whether to come back are one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the peer was done.
    Normal,
    /// 1001: this node goes away.
    GoingAway,
    /// 1002: the peer broke RFC 6455.
    ProtocolError,
    /// 1003: binary where none is spoken, or text where none is.
    Unsupported,
    /// 1007: a text frame that is not UTF-8.
    NotUtf8,
    /// 1009: a frame or message above its limit.
    TooBig,
    /// 1011: our fault.
    Internal,
    /// 1012: drain.
    Restart,
    /// 1013: this node is full.
    Overload,
    /// 4400: too many frames that could not be read.
    Malformed,
    /// 4401: the credential's time is over.
    CredentialExpired,
    /// 4403: revoked, ended by an administrator, or `auth` of another identity.
    Revoked,
    /// 4409: the same user opened one session more than allowed.
    Replaced,
    /// 4508: no sign of life, or a message that never ended.
    SilentPeer,
    /// 4520: the peer took nothing for too long.
    SlowConsumer,
    /// 4529: over the limits for too long.
    RateLimited,
}

impl CloseCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 16] = [
        Self::Normal,
        Self::GoingAway,
        Self::ProtocolError,
        Self::Unsupported,
        Self::NotUtf8,
        Self::TooBig,
        Self::Internal,
        Self::Restart,
        Self::Overload,
        Self::Malformed,
        Self::CredentialExpired,
        Self::Revoked,
        Self::Replaced,
        Self::SilentPeer,
        Self::SlowConsumer,
        Self::RateLimited,
    ];

    /// The number in the Close frame.
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::NotUtf8 => 1007,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::Restart => 1012,
            Self::Overload => 1013,
            Self::Malformed => 4400,
            Self::CredentialExpired => 4401,
            Self::Revoked => 4403,
            Self::Replaced => 4409,
            Self::SilentPeer => 4508,
            Self::SlowConsumer => 4520,
            Self::RateLimited => 4529,
        }
    }

    /// The name: the Close frame's reason, `closing.code` and the metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::GoingAway => "going_away",
            Self::ProtocolError => "protocol_error",
            Self::Unsupported => "unsupported_data",
            Self::NotUtf8 => "not_utf8",
            Self::TooBig => "too_big",
            Self::Internal => "internal",
            Self::Restart => "restart",
            Self::Overload => "overload",
            Self::Malformed => "malformed",
            Self::CredentialExpired => "credential_expired",
            Self::Revoked => "revoked",
            Self::Replaced => "replaced",
            Self::SilentPeer => "silent_peer",
            Self::SlowConsumer => "slow_consumer",
            Self::RateLimited => "rate_limited",
        }
    }

    /// Whether a `closing` frame goes ahead of it. The codes of RFC 6455 that blame the peer have none: the peer's framing
    /// is broken, so a frame could not be relied on.
    pub fn has_closing_frame(self) -> bool {
        !matches!(
            self,
            Self::Normal | Self::ProtocolError | Self::Unsupported | Self::NotUtf8 | Self::TooBig
        )
    }

    /// Whether coming back unchanged can help.
    pub fn reconnect(self) -> bool {
        matches!(
            self,
            Self::GoingAway
                | Self::Restart
                | Self::Internal
                | Self::Overload
                | Self::SilentPeer
                | Self::SlowConsumer
                | Self::RateLimited
        )
    }
}

/// What a client is told went wrong; `error.code` in frames, `code` in problem bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request cannot be read.
    BadRequest,
    /// No credential, or none that is good.
    Unauthorized,
    /// The credential was good and its time is over.
    TokenExpired,
    /// The identity lacks the right.
    Forbidden,
    /// The page's origin is not on the list.
    OriginNotAllowed,
    /// There is no such thing.
    NotFound,
    /// There is no such room.
    UnknownRoom,
    /// The session is not in that room.
    NotJoined,
    /// The session is in that room.
    AlreadyJoined,
    /// Somebody in the room has that name, or one that looks like it.
    NicknameTaken,
    /// The nickname is not allowed.
    NicknameInvalid,
    /// The nickname is reserved.
    NicknameReserved,
    /// The text is empty.
    TextEmpty,
    /// The text is too long.
    TextTooLong,
    /// The text has characters that messages may not have.
    TextInvalid,
    /// The request is larger than allowed.
    TooLarge,
    /// Too much, too fast.
    RateLimited,
    /// The person may not speak in this room for now.
    Muted,
    /// The person may not be in this room.
    Banned,
    /// The room lets nobody speak so often.
    SlowMode,
    /// The session is in as many rooms as it may.
    TooManyRooms,
    /// The address has as many connections as it may.
    TooManyConnections,
    /// The request contradicts an earlier one.
    Conflict,
    /// Something before this message is missing.
    OutOfSequence,
    /// Not now; try again.
    Unavailable,
    /// The protocol or its version is not spoken here.
    UnsupportedVersion,
    /// Our fault.
    Internal,
}

impl ErrorCode {
    /// Every code, in the order of the table.
    pub const ALL: [Self; 27] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::Forbidden,
        Self::OriginNotAllowed,
        Self::NotFound,
        Self::UnknownRoom,
        Self::NotJoined,
        Self::AlreadyJoined,
        Self::NicknameTaken,
        Self::NicknameInvalid,
        Self::NicknameReserved,
        Self::TextEmpty,
        Self::TextTooLong,
        Self::TextInvalid,
        Self::TooLarge,
        Self::RateLimited,
        Self::Muted,
        Self::Banned,
        Self::SlowMode,
        Self::TooManyRooms,
        Self::TooManyConnections,
        Self::Conflict,
        Self::OutOfSequence,
        Self::Unavailable,
        Self::UnsupportedVersion,
        Self::Internal,
    ];

    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::TokenExpired => "token_expired",
            Self::Forbidden => "forbidden",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::NotFound => "not_found",
            Self::UnknownRoom => "unknown_room",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::NicknameTaken => "nickname_taken",
            Self::NicknameInvalid => "nickname_invalid",
            Self::NicknameReserved => "nickname_reserved",
            Self::TextEmpty => "text_empty",
            Self::TextTooLong => "text_too_long",
            Self::TextInvalid => "text_invalid",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Muted => "muted",
            Self::Banned => "banned",
            Self::SlowMode => "slow_mode",
            Self::TooManyRooms => "too_many_rooms",
            Self::TooManyConnections => "too_many_connections",
            Self::Conflict => "conflict",
            Self::OutOfSequence => "out_of_sequence",
            Self::Unavailable => "unavailable",
            Self::UnsupportedVersion => "unsupported_version",
            Self::Internal => "internal",
        }
    }
}

impl serde::Serialize for CloseCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl serde::Serialize for ErrorCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::CloseCode;

    #[test]
    fn close_codes_say_by_their_range_whether_to_come_back() {
        for code in CloseCode::ALL {
            match code.number() {
                4400..=4499 => assert!(!code.reconnect(), "{code:?}: 44xx needs something changed"),
                4500..=4599 | 1001 | 1011..=1013 => {
                    assert!(code.reconnect(), "{code:?}: 45xx resumes");
                }
                _ => assert!(!code.reconnect(), "{code:?}"),
            }
        }
    }
}
