//! `[page]`: the page that comes with the gateway.

use serde::{Deserialize, Serialize};

/// `[page]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// Whether it is served.
    pub enabled: bool,
    /// Its title.
    pub title: String,
    /// The issuer that signs people in; empty: they paste a token.
    pub issuer: String,
    /// Our client id there.
    pub client_id: String,
    /// The scope asked for.
    pub scope: String,
    /// The resource indicator asked for.
    pub resource: String,
    /// Origins that may frame the page.
    pub frame_ancestors: Vec<String>,
}
