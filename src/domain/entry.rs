//! One record of a room's log, as an engine hands it out; next the hub makes one frame of it.

use bytes::Bytes;

use super::{ids::MessageId, position::Position};

/// One record of a room's log. Every offset has one, also when its content went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub at: Position,
    /// When the log placed it, in milliseconds since 1970; never goes back within a room.
    pub ts: u64,
    /// Its name, the same on every node for ever.
    pub id: MessageId,
    /// What it holds.
    pub body: Body,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An envelope (`domain::envelope`), opaque to the log.
    Kept(Bytes),
    /// The content went: redacted, or it could not be decoded.
    Removed,
}
