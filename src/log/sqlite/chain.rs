//! The hash chain of a room's record: each entry's value covers the one before, so that no entry can be changed, taken out or
//! put in unseen. Content is covered through a salted digest: it can go, and the chain still verifies.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize, de};

use crate::domain::{ids::MessageId, position::Position, room_name::RoomId};

/// The format's name and version; it seeds every chain.
pub const FORMAT: &str = "wardroom record 1";

/// A value of the chain, or a digest in it: 32 bytes, printed in lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash([u8; 32]);

/// What of an entry the chain covers, beside the value before it.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Where.
    pub at: Position,
    /// When, in milliseconds since 1970.
    pub ts: u64,
    /// Its name.
    pub id: MessageId,
    /// Who wrote it.
    pub user: &'a str,
    /// [`Hash::of_content`] of its envelope.
    pub digest: Hash,
}

/// What of a visit its chain covers.
#[derive(Clone, Copy, Debug)]
pub struct VisitLink<'a> {
    /// The room's newest offset at that moment.
    pub offset: u64,
    /// When, in milliseconds since 1970.
    pub ts: u64,
    /// Who.
    pub user: &'a str,
    /// `came`, `went` or `renamed`.
    pub act: &'a str,
    /// [`Hash::of_content`] of the nickname.
    pub digest: Hash,
}

impl Hash {
    /// From 32 stored bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what [`std::fmt::Display`] prints.
    pub fn parse(raw: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(raw.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Where the chain of a room's entries starts.
    pub fn start(room: &RoomId) -> Self {
        Fields::new()
            .with(FORMAT.as_bytes())
            .with(room.as_str().as_bytes())
            .hash()
    }

    /// Where the chain of a room's visits starts.
    pub fn start_of_visits(room: &RoomId) -> Self {
        Fields::new()
            .with(FORMAT.as_bytes())
            .with(b"visits")
            .with(room.as_str().as_bytes())
            .hash()
    }

    /// Of a content and the salt that makes it impossible to guess.
    pub fn of_content(salt: &[u8], content: &[u8]) -> Self {
        Fields::new().with(salt).with(content).hash()
    }

    /// The value after this entry.
    #[must_use]
    pub fn after(&self, link: &Link<'_>) -> Self {
        Fields::new()
            .with(&self.0)
            .with(&link.at.offset.to_be_bytes())
            .with(&link.at.epoch.raw().to_be_bytes())
            .with(&link.ts.to_be_bytes())
            .with(link.id.to_string().as_bytes())
            .with(link.user.as_bytes())
            .with(&link.digest.0)
            .hash()
    }

    /// The value after this visit.
    #[must_use]
    pub fn after_visit(&self, link: &VisitLink<'_>) -> Self {
        Fields::new()
            .with(&self.0)
            .with(&link.offset.to_be_bytes())
            .with(&link.ts.to_be_bytes())
            .with(link.user.as_bytes())
            .with(link.act.as_bytes())
            .with(&link.digest.0)
            .hash()
    }
}

impl std::fmt::Display for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&raw).ok_or_else(|| de::Error::custom("not a hash"))
    }
}

/// A hash over whole lines, line by line: what an export puts around the chain.
pub struct Seal(Fields);

impl Seal {
    /// Over nothing yet.
    pub fn new() -> Self {
        Self(Fields::new())
    }

    /// Takes a line, without its line feed.
    #[must_use]
    pub fn with(self, line: &str) -> Self {
        Self(self.0.with(line.as_bytes()))
    }

    /// Over all lines so far.
    pub fn hash(self) -> Hash {
        self.0.hash()
    }
}

impl Default for Seal {
    fn default() -> Self {
        Self::new()
    }
}

/// Fields under one hash, each with its length in front: no two lists of fields give the same bytes.
struct Fields(Context);

impl Fields {
    fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    fn with(mut self, field: &[u8]) -> Self {
        self.0
            .update(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(field);
        self
    }

    fn hash(self) -> Hash {
        let digest = self.0.finish();
        Hash(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Hash, Link};
    use crate::domain::{
        ids::{MessageId, Producer, ProducerId},
        position::{Epoch, Position},
        room_name::RoomId,
    };

    fn link(digest: Hash) -> Link<'static> {
        Link {
            at: Position {
                offset: 1,
                epoch: Epoch::new(7),
            },
            ts: 1_800_000_000_000,
            id: MessageId {
                producer: Producer {
                    id: ProducerId::from_bytes([1; 12]),
                    chain: 0,
                },
                seq: 1,
            },
            user: "u_aaaaaaaaaaaaaaaaaaaa",
            digest,
        }
    }

    #[test]
    fn every_field_and_the_value_before_change_the_chain() {
        let room = |name| RoomId::parse(name, 64).expect("a name");
        let start = Hash::start(&room("lobby"));
        let one = link(Hash::of_content(b"salt", b"hello"));
        let value = start.after(&one);
        let others = [
            Hash::start(&room("lobby2")).after(&one),
            Hash::start_of_visits(&room("lobby")).after(&one),
            start.after(&link(Hash::of_content(b"salt", b"hellO"))),
            start.after(&link(Hash::of_content(b"salth", b"ello"))),
            start.after(&Link {
                ts: one.ts + 1,
                ..one
            }),
            start.after(&Link {
                user: "u_aaaaaaaaaaaaaaaaaaab",
                ..one
            }),
            start.after(&Link {
                at: Position {
                    offset: 2,
                    ..one.at
                },
                ..one
            }),
            start.after(&Link {
                at: Position {
                    epoch: Epoch::new(8),
                    ..one.at
                },
                ..one
            }),
            start.after(&Link {
                id: MessageId { seq: 2, ..one.id },
                ..one
            }),
        ];
        for other in others {
            assert_ne!(other, value);
        }
        assert_eq!(Hash::parse(&value.to_string()), Some(value));
    }
}
