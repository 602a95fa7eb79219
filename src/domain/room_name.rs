//! The name of a room, from a frame, a path or a query; next it is looked up in the rights of an identity.

use std::{fmt, sync::Arc};

/// A room's name: `[a-z0-9][a-z0-9_.:-]*`, so it can stand in a path, a key of Redis or a log line without escaping.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Arc<str>);

/// Why a string is not a room's name. The string itself is left out: it is the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RoomIdError {
    /// Nothing was given.
    #[error("the room name is empty")]
    Empty,
    /// Longer than `limits.room_bytes_max`.
    #[error("the room name is longer than {max} bytes")]
    TooLong {
        /// The limit, in bytes.
        max: usize,
    },
    /// A character outside the form, or a first character that is not a letter or digit.
    #[error(
        "a room name is lower-case letters, digits and _ . : - and begins with a letter or digit"
    )]
    Form,
}

impl RoomId {
    /// The default of `limits.room_bytes_max`.
    pub const BYTES_MAX: usize = 64;

    /// Parses a name of at most `bytes_max` bytes.
    pub fn parse(raw: &str, bytes_max: usize) -> Result<Self, RoomIdError> {
        if raw.len() > bytes_max {
            return Err(RoomIdError::TooLong { max: bytes_max });
        }
        let mut bytes = raw.bytes();
        let first = bytes.next().ok_or(RoomIdError::Empty)?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !plain(first) || !bytes.all(|byte| plain(byte) || b"_.:-".contains(&byte)) {
            return Err(RoomIdError::Form);
        }
        Ok(Self(Arc::from(raw)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl serde::Serialize for RoomId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{RoomId, RoomIdError};

    #[test]
    fn a_room_name_has_one_form_and_one_length() {
        for good in [
            "lobby",
            "support:42",
            "a",
            "0",
            "a_b.c:d-e",
            &"x".repeat(64),
        ] {
            assert_eq!(RoomId::parse(good, 64).expect(good).as_str(), good);
        }
        for bad in [
            "Lobby", "../x", "*", "{tag}", "a\r\n", "a\0", "!control", "_a", "-", "é", "a b",
        ] {
            assert_eq!(RoomId::parse(bad, 64), Err(RoomIdError::Form), "{bad:?}");
        }
        assert_eq!(RoomId::parse("", 64), Err(RoomIdError::Empty));
        assert_eq!(
            RoomId::parse(&"x".repeat(65), 64),
            Err(RoomIdError::TooLong { max: 64 })
        );
    }
}
