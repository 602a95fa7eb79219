//! Where an entry stands in a room's log, and in which incarnation of that log.

use std::fmt;

use serde::{Deserialize, Serialize, de};

/// Which incarnation of a log: a unique 64-bit number, renewed whenever the store may have lost its tail. Never compared
/// by size. On the wire 1–16 lower-case hex digits, opaque: a JSON number would lose bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// The string is not 1–16 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an epoch")]
pub struct EpochError;

impl Epoch {
    /// Wraps the number that an engine minted.
    pub fn new(raw: u64) -> Self {
        Self(raw)
    }

    /// `unix_s << 32 | random32`: unique without coordination.
    pub fn mint(unix_s: u64, random: u32) -> Self {
        Self((unix_s << 32) | u64::from(random))
    }

    /// The number, for an engine that stores it.
    pub fn raw(self) -> u64 {
        self.0
    }

    /// Reads the wire form.
    pub fn parse(raw: &str) -> Result<Self, EpochError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if raw.is_empty() || raw.len() > 16 || !raw.bytes().all(hex) {
            return Err(EpochError);
        }
        u64::from_str_radix(raw, 16)
            .map(Self)
            .map_err(|_| EpochError)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Epoch {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&raw).map_err(de::Error::custom)
    }
}

/// An entry's place: offsets count from 1 without holes. On the wire `[43,"5f3a"]`; the head of an empty room, which is
/// no position, is `[0,""]` (see [`Head`]).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// From 1, dense within the room, across epochs.
    pub offset: u64,
    /// The incarnation that placed it.
    pub epoch: Epoch,
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.offset, self.epoch)
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.offset, self.epoch).serialize(serializer)
    }
}

/// The newest position of a room, if it has one; `[0,""]` on the wire when it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head(pub Option<Position>);

impl Serialize for Head {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(position) => position.serialize(serializer),
            None => (0, "").serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Epoch, Head, Position};

    #[test]
    fn an_epoch_reads_back_what_it_prints() {
        for raw in [0, 1, 0x5f3a, u64::MAX] {
            let epoch = Epoch::new(raw);
            assert_eq!(Epoch::parse(&epoch.to_string()), Ok(epoch));
        }
        for bad in ["", "5F3A", "0x1", "12345678901234567", "-1", " 1"] {
            assert!(Epoch::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn positions_and_heads_have_the_wire_form() {
        let at = Position {
            offset: 43,
            epoch: Epoch::new(0x5f3a),
        };
        assert_eq!(
            serde_json::to_string(&at).expect("plain data"),
            r#"[43,"5f3a"]"#
        );
        assert_eq!(
            serde_json::to_string(&Head(None)).expect("plain data"),
            r#"[0,""]"#
        );
    }
}
