//! A line of the record as a value: an entry or a visit, from the database or from an exported file. Next the walk checks that
//! it follows from what stands before it.

use crate::{
    domain::{ids::MessageId, position::Position},
    log::sqlite::chain::{Hash, Link, VisitLink},
};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Something took the next offset.
    Entry(EntryRow),
    /// Somebody came, went or is called otherwise.
    Visit(VisitRow),
}

/// An entry as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its place.
    pub at: Position,
    /// When, in milliseconds since 1970.
    pub ts: u64,
    /// Its name.
    pub id: MessageId,
    /// Who wrote it; stays when the content goes.
    pub user: String,
    /// What it says, as far as it is still there.
    pub content: Content,
    /// Of salt and envelope; stays when they go.
    pub digest: Hash,
    /// The chain after it.
    pub chain: Hash,
}

/// What is left of an entry's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it, for everybody.
    Shown(Salted),
    /// Taken back, and kept for a legal hold only.
    Withheld(Salted),
    /// Nothing.
    Gone,
}

/// An envelope and the salt of its digest.
#[derive(Clone, PartialEq, Eq)]
pub struct Salted {
    /// Random bytes: without them nobody can try texts until the digest matches.
    pub salt: Vec<u8>,
    /// The bytes that `domain::envelope` wrote.
    pub envelope: Vec<u8>,
}

/// What people say is never logged.
impl std::fmt::Debug for Salted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Salted({} bytes)", self.envelope.len())
    }
}

/// A visit as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitRow {
    /// The newest offset at that moment.
    pub offset: u64,
    /// When, in milliseconds since 1970.
    pub ts: u64,
    /// Who.
    pub user: String,
    /// What they did.
    pub act: Act,
    /// What they are called (came, renamed) or were called (went), and the salt of its digest; `None`: erased.
    pub nick: Option<(Vec<u8>, String)>,
    /// Of salt and nickname; stays when they go.
    pub digest: Hash,
    /// The chain of visits after it.
    pub chain: Hash,
}

/// What a visit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody came.
    Came,
    /// Somebody went.
    Went,
    /// Somebody is called otherwise.
    Renamed,
}

impl Act {
    const ALL: [(i64, Self, &'static str); 3] = [
        (1, Self::Came, "came"),
        (2, Self::Went, "went"),
        (3, Self::Renamed, "renamed"),
    ];

    /// The word in the chain and in an export.
    pub fn word(self) -> &'static str {
        match self {
            Self::Came => "came",
            Self::Went => "went",
            Self::Renamed => "renamed",
        }
    }

    /// The number in the database.
    pub fn number(self) -> i64 {
        match self {
            Self::Came => 1,
            Self::Went => 2,
            Self::Renamed => 3,
        }
    }

    /// From the number in the database.
    pub fn from_number(number: i64) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, ..)| *known == number);
        found.map(|(_, act, _)| *act)
    }

    /// From the word in an export.
    pub fn parse(word: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(.., known)| *known == word);
        found.map(|(_, act, _)| *act)
    }
}

impl Row {
    /// The offset of the entry, or the one after which the visit stands.
    pub fn offset(&self) -> u64 {
        match self {
            Self::Entry(entry) => entry.at.offset,
            Self::Visit(visit) => visit.offset,
        }
    }
}

impl EntryRow {
    /// Whether its content was taken back.
    pub fn is_deleted(&self) -> bool {
        !matches!(self.content, Content::Shown(_))
    }

    /// Whether the content, if there is any, has this digest.
    pub(super) fn has_its_digest(&self) -> bool {
        match &self.content {
            Content::Shown(kept) | Content::Withheld(kept) => {
                Hash::of_content(&kept.salt, &kept.envelope) == self.digest
            }
            Content::Gone => true,
        }
    }

    /// The chain after it as it should be.
    pub(super) fn chain_after(&self, before: Hash) -> Hash {
        before.after(&Link {
            at: self.at,
            ts: self.ts,
            id: self.id,
            user: &self.user,
            digest: self.digest,
        })
    }
}

impl VisitRow {
    /// Whether the nickname, if it is there, has this digest.
    pub(super) fn has_its_digest(&self) -> bool {
        self.nick
            .as_ref()
            .is_none_or(|(salt, nick)| Hash::of_content(salt, nick.as_bytes()) == self.digest)
    }

    /// The chain of visits after it as it should be.
    pub(super) fn chain_after(&self, before: Hash) -> Hash {
        before.after_visit(&VisitLink {
            offset: self.offset,
            ts: self.ts,
            user: &self.user,
            act: self.act.word(),
            digest: self.digest,
        })
    }
}
