//! Frames from the client, as decoded and before they are trusted. `inbound` decodes, bounds, checks and converts them.
//!
//! The `validate` attributes are the coarse net: the largest values that any configuration can allow. The limits in force are
//! applied where the trusted values are made; what has an error code of its own (names, texts) is left to them.

use std::borrow::Cow;

use validator::Validate;

/// One request, with the client's own name for it.
#[derive(Debug)]
pub struct ClientFrame<'a> {
    /// Echoed in the answer.
    pub id: Option<Cow<'a, str>>,
    /// What is asked for.
    pub request: Request<'a>,
}

/// What a client can ask for.
#[derive(Debug)]
pub enum Request<'a> {
    /// Enter a room.
    Join(Join<'a>),
    /// Leave a room.
    Leave(InRoom<'a>),
    /// Say something.
    Send(Send<'a>),
    /// A page of the log.
    History(History<'a>),
    /// Who is there.
    Members(InRoom<'a>),
    /// The person is typing.
    Typing(InRoom<'a>),
    /// Take the content of a message away.
    Delete(Delete<'a>),
    /// A fresh credential.
    Auth(Auth<'a>),
    /// Are you there?
    Ping,
}

/// `type`, the kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// `join`
    Join,
    /// `leave`
    Leave,
    /// `send`
    Send,
    /// `history`
    History,
    /// `members`
    Members,
    /// `typing`
    Typing,
    /// `delete`
    Delete,
    /// `auth`
    Auth,
    /// `ping`
    Ping,
}

impl RequestKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Join,
        Self::Leave,
        Self::Send,
        Self::History,
        Self::Members,
        Self::Typing,
        Self::Delete,
        Self::Auth,
        Self::Ping,
    ];

    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Send => "send",
            Self::History => "history",
            Self::Members => "members",
            Self::Typing => "typing",
            Self::Delete => "delete",
            Self::Auth => "auth",
            Self::Ping => "ping",
        }
    }

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl Request<'_> {
    /// Its kind.
    pub fn kind(&self) -> RequestKind {
        match self {
            Self::Join(_) => RequestKind::Join,
            Self::Leave(_) => RequestKind::Leave,
            Self::Send(_) => RequestKind::Send,
            Self::History(_) => RequestKind::History,
            Self::Members(_) => RequestKind::Members,
            Self::Typing(_) => RequestKind::Typing,
            Self::Delete(_) => RequestKind::Delete,
            Self::Auth(_) => RequestKind::Auth,
            Self::Ping => RequestKind::Ping,
        }
    }
}

/// `join`
#[derive(Debug, Validate)]
pub struct Join<'a> {
    /// Which room.
    #[validate(length(max = 128))]
    pub room: Cow<'a, str>,
    /// A chosen nickname.
    pub nick: Option<Cow<'a, str>>,
    /// The cursor: `[[offset, epoch], …]`, newest first.
    #[validate(length(max = 16))]
    pub since: Vec<(u64, String)>,
    /// Entries before the head that a fresh join wants.
    #[validate(range(max = 1000))]
    pub history: Option<u32>,
}

/// `leave`, `members` and `typing`: nothing but a room.
#[derive(Debug, Validate)]
pub struct InRoom<'a> {
    /// Which room.
    #[validate(length(max = 128))]
    pub room: Cow<'a, str>,
}

/// `send`
#[derive(Debug, Validate)]
pub struct Send<'a> {
    /// Where.
    #[validate(length(max = 128))]
    pub room: Cow<'a, str>,
    /// What.
    pub text: Cow<'a, str>,
    /// Which numbering.
    pub chain: Option<u16>,
    /// The number.
    #[validate(range(min = 1))]
    pub seq: Option<u64>,
    /// The number before it.
    pub prev: Option<u64>,
}

/// `history`
#[derive(Debug, Validate)]
pub struct History<'a> {
    /// Which room.
    #[validate(length(max = 128))]
    pub room: Cow<'a, str>,
    /// Entries below this offset.
    pub before: Option<u64>,
    /// How many.
    #[validate(range(min = 1, max = 1000))]
    pub limit: Option<u32>,
}

/// `delete`
#[derive(Debug, Validate)]
pub struct Delete<'a> {
    /// Which room.
    #[validate(length(max = 128))]
    pub room: Cow<'a, str>,
    /// The message's offset.
    #[validate(range(min = 1))]
    pub offset: u64,
    /// Its epoch.
    #[validate(length(max = 16))]
    pub epoch: Cow<'a, str>,
    /// Why, for the record.
    pub reason: Option<Cow<'a, str>>,
}

/// `auth`
#[derive(Debug, Validate)]
pub struct Auth<'a> {
    /// The token.
    #[validate(length(max = 16384))]
    pub token: Cow<'a, str>,
}
