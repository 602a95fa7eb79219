//! `[content]`: how much one message may say.

use serde::{Deserialize, Serialize};

/// `[content]`.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// Bytes of the canonical text.
    pub text_bytes_max: usize,
    /// Grapheme clusters.
    pub text_graphemes_max: usize,
    /// Lines.
    pub lines_max: usize,
}
