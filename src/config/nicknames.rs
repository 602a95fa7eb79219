//! `[nicknames]`: where names come from.

use serde::{Deserialize, Serialize};

/// `[nicknames]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Nicknames {
    /// Whose word counts.
    pub source: NicknameSource,
    /// Names that nobody may choose.
    pub reserved: Vec<String>,
}

/// `nicknames.source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NicknameSource {
    /// The claim's; without a claim a generated one.
    Claim,
    /// The person's; without one a generated one.
    Chosen,
    /// The claim's if there is one, else the person's, else a generated one.
    ClaimOrChosen,
}
