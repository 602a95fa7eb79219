//! The check of the hash chain, row by row: the same for a database and for an exported file.

use crate::{
    domain::position::Position,
    log::sqlite::{
        chain::Hash,
        record::row::{EntryRow, Row, VisitRow},
    },
};

/// Why a row does not follow from what stands before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry is missing, doubled or out of order.
    #[error("offset {expected} should stand here")]
    Offset {
        /// The one that should come.
        expected: u64,
    },
    /// A visit is out of order.
    #[error("this visit stands in the wrong place")]
    Place,
    /// Content, salt or digest was changed.
    #[error("the content does not match its digest")]
    Digest,
    /// Something that the chain covers was changed, taken out or put in.
    #[error(
        "the chain does not lead here: this line, or one before it, was changed, taken out or put in"
    )]
    Chain,
}

/// How many rows of which kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries.
    pub entries: u64,
    /// Those of them whose content was taken back.
    pub deleted: u64,
    /// Visits.
    pub visits: u64,
}

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// The first offset.
    pub from: u64,
    /// The chain before it.
    pub chain: Hash,
    /// The chain of visits before the first visit.
    pub visits: Hash,
    /// Whether the record begins here: visits from before the first entry then belong to it.
    pub is_beginning: bool,
}

/// How far the chain was followed.
#[derive(Clone, Debug)]
pub struct Walk {
    start: Start,
    next: u64,
    head: Option<Position>,
    chain: Hash,
    visits: Hash,
    visited_at: u64,
    counts: Counts,
}

impl Walk {
    /// At the start.
    pub fn new(start: Start) -> Self {
        Self {
            start,
            next: start.from,
            head: None,
            chain: start.chain,
            visits: start.visits,
            visited_at: 0,
            counts: Counts::default(),
        }
    }

    /// Takes the next row, and goes on from it also when something is wrong with it.
    pub fn take(&mut self, row: &Row) -> Result<(), Fault> {
        match row {
            Row::Entry(entry) => self.take_entry(entry),
            Row::Visit(visit) => self.take_visit(visit),
        }
    }

    fn take_entry(&mut self, entry: &EntryRow) -> Result<(), Fault> {
        let expected = std::mem::replace(&mut self.next, entry.at.offset.saturating_add(1));
        let before = std::mem::replace(&mut self.chain, entry.chain);
        self.head = Some(entry.at);
        self.counts.entries += 1;
        self.counts.deleted += u64::from(entry.is_deleted());
        if entry.at.offset != expected {
            return Err(Fault::Offset { expected });
        }
        if !entry.has_its_digest() {
            return Err(Fault::Digest);
        }
        if entry.chain_after(before) != entry.chain {
            return Err(Fault::Chain);
        }
        Ok(())
    }

    fn take_visit(&mut self, visit: &VisitRow) -> Result<(), Fault> {
        let expected = self.next;
        let belongs = if self.head.is_some() {
            visit.offset.checked_add(1) == Some(expected)
        } else {
            self.start.is_beginning && self.visited_at <= visit.offset
        };
        let before = std::mem::replace(&mut self.visits, visit.chain);
        self.visited_at = visit.offset;
        self.counts.visits += 1;
        if visit.offset >= expected {
            return Err(Fault::Offset { expected });
        }
        if !belongs {
            return Err(Fault::Place);
        }
        if !visit.has_its_digest() {
            return Err(Fault::Digest);
        }
        if visit.chain_after(before) != visit.chain {
            return Err(Fault::Chain);
        }
        Ok(())
    }

    /// The offset that should come next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The last entry.
    pub fn head(&self) -> Option<Position> {
        self.head
    }

    /// The chain after the last entry.
    pub fn chain(&self) -> Hash {
        self.chain
    }

    /// The chain of visits after the last visit.
    pub fn visits(&self) -> Hash {
        self.visits
    }

    /// What was taken.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}
