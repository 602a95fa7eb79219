//! What a client asks for, after `inbound` has decoded, validated and cleaned it; next the session dispatches it.

use super::{
    cursor::Cursor, nickname::Nickname, position::Position, reason::Reason, room_name::RoomId,
    text::CleanText, token::RawToken,
};

/// The client's own name for a request, echoed in the answer. Bounded by `limits.frame_id_bytes_max`.
pub type FrameId = Box<str>;

/// One trusted request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Enter a room, fresh or from a cursor.
    Join {
        /// Echoed.
        id: Option<FrameId>,
        /// Which room.
        room: RoomId,
        /// A chosen nickname for this room; absent: the session's.
        nick: Option<Nickname>,
        /// What the client has seen; at the start: a fresh join.
        since: Cursor,
        /// How many entries before the head a fresh join wants, at most a page.
        history: u32,
    },
    /// Leave a room.
    Leave {
        /// Echoed.
        id: Option<FrameId>,
        /// Which room.
        room: RoomId,
    },
    /// Say something.
    Send {
        /// Echoed.
        id: Option<FrameId>,
        /// Where.
        room: RoomId,
        /// What.
        text: CleanText,
        /// The client's numbering, when it numbers.
        numbered: Option<Numbered>,
    },
    /// A page of the log before an offset, or the newest.
    History {
        /// Echoed.
        id: Option<FrameId>,
        /// Which room.
        room: RoomId,
        /// Entries below this offset; absent: the newest.
        before: Option<u64>,
        /// How many, at most `limits.history_page_max`.
        limit: u32,
    },
    /// Who is in a room.
    Members {
        /// Echoed.
        id: Option<FrameId>,
        /// Which room.
        room: RoomId,
    },
    /// The person is typing; relayed without an offset, without a promise and without an answer.
    Typing {
        /// Where.
        room: RoomId,
    },
    /// Take the content of a message away.
    Delete {
        /// Echoed.
        id: Option<FrameId>,
        /// Where.
        room: RoomId,
        /// The message's place.
        target: Position,
        /// Why, for the record.
        reason: Option<Reason>,
    },
    /// A fresh credential for the same identity.
    Auth {
        /// Echoed.
        id: Option<FrameId>,
        /// The token, unverified.
        token: RawToken,
    },
    /// Are you there?
    Ping {
        /// Echoed.
        id: Option<FrameId>,
    },
}

/// A message's place in the client's own numbering (`chain`, `seq`, `prev`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Which numbering, 0 for the first.
    pub chain: u16,
    /// This message's number, from 1.
    pub seq: u64,
    /// The number of the client's latest earlier message that was not definitely rejected; 0 for none.
    pub prev: u64,
}
