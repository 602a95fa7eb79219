//! `[drain]`: how a node stops.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::units;

/// `[drain]`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Probes say 503 for this long while all else works.
    #[serde(rename = "delay_s", with = "units::seconds")]
    pub delay: Duration,
    /// Sessions are closed one after the other over this long.
    #[serde(rename = "spread_s", with = "units::seconds")]
    pub spread: Duration,
    /// The hard limit from the first signal on.
    #[serde(rename = "grace_s", with = "units::seconds")]
    pub grace: Duration,
}
