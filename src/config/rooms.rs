//! `[[rooms]]`: what kind a room is.

use serde::{Deserialize, Serialize};

/// `[[rooms]]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Room {
    /// A room's name, or a prefix that ends in `*`.
    pub name: String,
    /// What kind.
    pub kind: RoomKind,
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
