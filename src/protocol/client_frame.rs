//! Frames from the client, as decoded and before they are trusted. `inbound` bounds, checks and converts them.

use std::borrow::Cow;

use serde::Deserialize;

/// One object from the client. Unknown fields are ignored, unknown types refused.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame<'a> {
    /// Enter a room.
    Join {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        /// Which room.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// A chosen nickname.
        #[serde(borrow, default)]
        nick: Option<Cow<'a, str>>,
        /// The cursor: `[[offset, epoch], …]`, newest first.
        #[serde(default)]
        since: Option<Vec<(u64, String)>>,
        /// Entries before the head that a fresh join wants.
        #[serde(default)]
        history: Option<u32>,
    },
    /// Leave a room.
    Leave {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        /// Which room.
        #[serde(borrow)]
        room: Cow<'a, str>,
    },
    /// Say something.
    Send {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        /// Where.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// What.
        #[serde(borrow)]
        text: Cow<'a, str>,
        /// Which numbering.
        #[serde(default)]
        chain: Option<u16>,
        /// The number.
        #[serde(default)]
        seq: Option<u64>,
        /// The number before it.
        #[serde(default)]
        prev: Option<u64>,
    },
    /// A page of the log.
    History {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        /// Which room.
        #[serde(borrow)]
        room: Cow<'a, str>,
        /// Entries below this offset.
        #[serde(default)]
        before: Option<u64>,
        /// How many.
        #[serde(default)]
        limit: Option<u32>,
    },
    /// Who is there.
    Members {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        /// Which room.
        #[serde(borrow)]
        room: Cow<'a, str>,
    },
    /// The person is typing.
    Typing {
        /// Where.
        #[serde(borrow)]
        room: Cow<'a, str>,
    },
    /// A fresh credential.
    Auth {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
        /// The token.
        #[serde(borrow)]
        token: Cow<'a, str>,
    },
    /// Are you there?
    Ping {
        /// Echoed in the answer.
        #[serde(borrow, default)]
        id: Option<Cow<'a, str>>,
    },
}
