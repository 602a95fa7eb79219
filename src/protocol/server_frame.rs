//! Frames to the client. Each is encoded once and shared by everybody who gets it.

use serde::Serialize;

use super::codes::{CloseCode, ErrorCode};
use crate::domain::{
    ids::{MessageId, ProducerId, SessionId, UserId},
    position::{Epoch, Head, Position},
    room_name::RoomId,
};

/// One object to the client.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame<'a> {
    /// The first frame of a session.
    Welcome(Welcome<'a>),
    /// The answer to `join`.
    Joined(Joined<'a>),
    /// An entry that somebody wrote, or its empty place.
    Message(Message<'a>),
    /// An entry that took a message's content away.
    Deleted {
        /// Which room.
        room: &'a RoomId,
        /// The entry's own offset.
        offset: u64,
        /// The offset of the message.
        target: u64,
    },
    /// Done.
    Ok(Done<'a>),
    /// A message has its place, as durable as it says.
    Ack(Ack<'a>),
    /// A request was rejected; the session lives.
    Error(Error<'a>),
    /// Who came and went.
    Presence(Presence<'a>),
    /// Somebody is typing.
    Typing {
        /// Where.
        room: &'a RoomId,
        /// Who.
        user: UserId,
        /// Under which name.
        nick: &'a str,
    },
    /// The frames from offset `from` on are of this epoch.
    Epoch {
        /// Which room.
        room: &'a RoomId,
        /// The epoch.
        epoch: Epoch,
        /// The first offset of it.
        from: u64,
    },
    /// Entries that retention took: `from` up to and including `to` are gone.
    Gap {
        /// Which room.
        room: &'a RoomId,
        /// The first offset that is gone.
        from: u64,
        /// Where the stream goes on after.
        to: Head,
    },
    /// Everything above `keep` is void.
    Fork {
        /// Which room.
        room: &'a RoomId,
        /// The last true position.
        keep: Position,
    },
    /// Nothing of the cursor is known here.
    Reset {
        /// Which room.
        room: &'a RoomId,
        /// Where the stream goes on after.
        to: Head,
    },
    /// The answer to `history`.
    History(History<'a>),
    /// The answer to `members`.
    Members(Members<'a>),
    /// The answer to `ping`.
    Pong {
        /// Echoed.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
    /// The credential ends soon.
    Expiring {
        /// In how many milliseconds.
        in_ms: u64,
    },
    /// The state of the log behind this node.
    Status {
        /// `ok` or `degraded`.
        log: &'static str,
    },
    /// The session is about to be closed.
    Closing {
        /// Why.
        code: CloseCode,
        /// Whether to come back.
        reconnect: bool,
        /// After how long.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

/// `welcome`: who the session is and what holds for it.
#[derive(Debug, Serialize)]
pub struct Welcome<'a> {
    /// The session.
    pub session: SessionId,
    /// The person.
    pub user: WelcomeUser<'a>,
    /// The producer that numbers this session's messages.
    pub producer: ProducerId,
    /// Give it back as `?resume=` to keep the producer.
    pub resume: &'a str,
    /// What an ack means.
    pub durability: &'static str,
    /// The limits that a client should know.
    pub limits: WelcomeLimits,
    /// A client that hears nothing for this long sends `ping`.
    pub ping_ms: u64,
    /// When the session ends unless refreshed, RFC 3339.
    pub expires_at: &'a str,
}

/// `welcome.user`.
#[derive(Debug, Serialize)]
pub struct WelcomeUser<'a> {
    /// The pseudonym.
    pub id: UserId,
    /// The session's nickname, if it has one already.
    pub nick: Option<&'a str>,
    /// What the identity may do.
    pub scopes: &'a [&'static str],
}

/// `welcome.limits`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WelcomeLimits {
    /// Bytes of a text.
    pub text_bytes_max: usize,
    /// Grapheme clusters of a text.
    pub text_graphemes_max: usize,
    /// Lines of a text.
    pub lines_max: usize,
    /// Bytes of a message on the wire.
    pub ws_message_bytes_max: usize,
    /// Messages a second.
    pub messages_per_s: u32,
    /// Messages at once.
    pub messages_burst: u32,
    /// Rooms of one session.
    pub rooms_per_session_max: usize,
    /// Entries of one page.
    pub history_page_max: usize,
    /// Sends without an ack.
    pub inflight_max: usize,
    /// Positions of a cursor.
    pub cursor_pairs_max: usize,
}

/// `joined`.
#[derive(Debug, Serialize)]
pub struct Joined<'a> {
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Which room.
    pub room: &'a RoomId,
    /// The name in this room.
    pub nick: &'a str,
    /// The log's head now.
    pub head: Head,
    /// Whether nothing after the cursor is missing.
    pub recovered: bool,
    /// How many people are here, oneself included.
    pub members: u64,
    /// The first frames of the stream, as they would have come live.
    pub messages: Vec<RawFrame<'a>>,
}

/// A frame that was encoded before and goes into another as it is.
pub type RawFrame<'a> = &'a serde_json::value::RawValue;

/// `message`.
#[derive(Debug, Serialize)]
pub struct Message<'a> {
    /// Which room.
    pub room: &'a RoomId,
    /// The entry's offset.
    pub offset: u64,
    /// The message's name.
    pub id: MessageId,
    /// Who, what; absent when the content went.
    #[serde(flatten)]
    pub said: Option<Said<'a>>,
    /// True when the content went.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// When, RFC 3339 in UTC with milliseconds.
    pub ts: &'a str,
}

/// The content of a `message`.
#[derive(Debug, Serialize)]
pub struct Said<'a> {
    /// Who wrote it.
    pub user: UserId,
    /// Under which name.
    pub nick: &'a str,
    /// Whether the identity provider vouches for the name.
    pub verified: bool,
    /// What, as plain text.
    pub text: &'a str,
    /// What, as harmless markup, for sessions that asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<&'a str>,
}

/// `ok`.
#[derive(Debug, Serialize)]
pub struct Done<'a> {
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// After `auth`: when the session now ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<&'a str>,
    /// After `auth`: what the identity may do now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<&'a [&'static str]>,
}

/// `ack`.
#[derive(Debug, Serialize)]
pub struct Ack<'a> {
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Which room.
    pub room: &'a RoomId,
    /// Where; absent for a duplicate older than the producer's last message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// In which epoch; absent likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// The message's name.
    pub message: MessageId,
    /// When, RFC 3339.
    pub ts: &'a str,
    /// What this ack means.
    pub durability: &'static str,
    /// Whether it was there before.
    pub duplicate: bool,
}

/// `error`.
#[derive(Debug, Serialize)]
pub struct Error<'a> {
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Which kind.
    pub code: ErrorCode,
    /// For people; never says what the client sent.
    pub detail: &'a str,
    /// After how long to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// After a `send`: whether the message may be in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// With `out_of_sequence`: the last number that the log holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub have: Option<u64>,
}

/// Whether a message that got an error may be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is not.
    No,
    /// It may be: repeat it under the same number.
    Unknown,
}

/// `presence`.
#[derive(Debug, Serialize)]
pub struct Presence<'a> {
    /// Which room.
    pub room: &'a RoomId,
    /// Who came.
    pub joined: &'a [Person<'a>],
    /// Who went.
    pub left: &'a [Person<'a>],
    /// How many are there now.
    pub count: u64,
}

/// Somebody in a room.
#[derive(Clone, Debug, Serialize)]
pub struct Person<'a> {
    /// The pseudonym.
    pub user: UserId,
    /// The name.
    pub nick: &'a str,
}

/// `history`.
#[derive(Debug, Serialize)]
pub struct History<'a> {
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Which room.
    pub room: &'a RoomId,
    /// Frames as live, ascending.
    pub messages: Vec<RawFrame<'a>>,
    /// The first offset that the log still has.
    pub first: u64,
    /// The log's head.
    pub head: Head,
}

/// `members`.
#[derive(Debug, Serialize)]
pub struct Members<'a> {
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<&'a str>,
    /// Which room.
    pub room: &'a RoomId,
    /// How many, also when the list is cut.
    pub count: u64,
    /// Who.
    pub members: &'a [Person<'a>],
}
