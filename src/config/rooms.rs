//! `[[rooms]]`: what kind a room is, and what it keeps.

use serde::{Deserialize, Serialize};

/// `[[rooms]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// A room's name, or a prefix that ends in `*`.
    pub name: String,
    /// What kind.
    pub kind: RoomKind,
    /// Entries that it keeps; -1: as `[log]` says, 0: no limit.
    pub retention_count: i64,
    /// Days that it keeps them; likewise.
    pub retention_days: i64,
    /// A legal hold: nothing goes, and what is taken back is only hidden.
    pub hold: bool,
}

/// `rooms.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoomKind {
    /// People talk.
    Chat,
    /// Services publish, people read.
    Feed,
    /// A shared document.
    Doc,
}
