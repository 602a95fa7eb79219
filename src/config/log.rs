//! `[log]`: where rooms keep their entries.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[log]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which engine.
    pub engine: LogEngine,
    /// The database file of `sqlite`.
    pub path: PathBuf,
    /// Bytes of that file; 0: no limit but the disk's.
    pub size_bytes_max: u64,
    /// Whether the record says who came and went.
    pub record_presence: bool,
    /// Entries that a room keeps; 0: no limit.
    pub retention_count: u64,
    /// Days that a room keeps entries; 0: no limit.
    pub retention_days: u32,
}

/// `log.engine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogEngine {
    /// In this process; a restart forgets.
    Memory,
    /// One file on this machine.
    Sqlite,
    /// A Redis shared by many nodes.
    Redis,
}
