//! `[admission]`: which pages may connect.

use serde::{Deserialize, Serialize};

/// `[admission]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// Exact origins, `scheme://host:port`; default ports may be left out.
    pub allowed_origins: Vec<String>,
    /// Whether a request without an Origin may connect: clients that are no browsers.
    pub allow_missing_origin: bool,
}
