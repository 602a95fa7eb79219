//! A credential that nobody has verified yet: bytes that must not be read, printed or logged before `auth` has looked.

use std::fmt;

/// A token or ticket as it came. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawToken(Box<str>);

impl RawToken {
    /// Takes the string; whether it is a token is for `auth` to say.
    pub fn new(raw: impl Into<Box<str>>) -> Self {
        Self(raw.into())
    }

    /// The string, for the verifier.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RawToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawToken(…)")
    }
}
