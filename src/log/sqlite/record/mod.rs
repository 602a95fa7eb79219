//! The compliance record of a room: read from the database's file, also while a gateway writes to it; written out for others,
//! and checked there without a database. `read` takes rows from the database, `walk` follows their hash chain, `export` and
//! `line` write them, `verify` reads them back. `docs/record.md` describes the format.

mod export;
pub mod line;
mod read;
pub mod row;
mod span;
mod text;
mod verify;
pub mod walk;

use std::{io, io::Write, path::Path};

use rusqlite::Connection;

use crate::{
    domain::{position::Position, room_name::RoomId},
    log::sqlite::{
        chain::Hash,
        record::{
            span::Span,
            walk::{Counts, Fault, Walk},
        },
        schema::{OpenError, open_reader},
    },
};

pub use self::{
    export::{Form, Wanted, Written},
    verify::{Verified, VerifyError, Wrong, verify},
};

/// Told how many rows are done, and of how many.
pub type Tick<'a> = &'a mut dyn FnMut(u64, u64);

/// Why a record could not be read or written out.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no database to read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database has no such room.
    #[error("there is no room {}", .0.as_str())]
    UnknownRoom(RoomId),
    /// An entry that must be there is not.
    #[error("offset {offset} is missing in the database")]
    Missing {
        /// Which.
        offset: u64,
    },
    /// The database cannot be read.
    #[error("the database cannot be read: {0}")]
    Database(#[from] rusqlite::Error),
    /// It could not be written.
    #[error("cannot be written: {0}")]
    Write(io::Error),
}

/// The record in a database's file.
pub struct Record(Connection);

impl Record {
    /// Opens the file for reading; a gateway may have it open meanwhile.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Ok(Self(open_reader(path)?))
    }

    /// Writes a part of a room's record as it is at this moment.
    pub fn export(
        &self,
        wanted: &Wanted,
        out: &mut dyn Write,
        tick: Tick<'_>,
    ) -> Result<Written, RecordError> {
        let _moment = self.0.unchecked_transaction()?;
        export::export(&self.0, wanted, out, tick)
    }
}

/// What a room's record in a database is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many rows.
    pub counts: Counts,
    /// The first offset that is kept.
    pub first: u64,
    /// The newest entry.
    pub head: Option<Position>,
    /// The chain after it.
    pub head_hash: Hash,
    /// What is wrong first, and at which offset.
    pub fault: Option<(u64, Fault)>,
}

impl Summary {
    /// Whether offsets are dense, contents have their digests, and both chains lead from their beginning to what the room says.
    pub fn chain_ok(&self) -> bool {
        self.fault.is_none()
    }
}

/// Follows a room's chains through the database, from the first entry that is kept to the newest.
pub fn verify_room(connection: &Connection, room: &RoomId) -> Result<Summary, RecordError> {
    let _moment = connection
        .is_autocommit()
        .then(|| connection.unchecked_transaction())
        .transpose()?;
    let span = Span::find(connection, room, None, None)?;
    let mut walk = Walk::new(span.start);
    let mut fault = None;
    read::each(connection, &span, |row| {
        if let Err(found) = walk.take(&row) {
            fault.get_or_insert((row.offset(), found));
        }
        Ok(())
    })?;
    let end = span.to;
    if walk.next() <= end {
        let expected = walk.next();
        fault.get_or_insert((expected, Fault::Offset { expected }));
    }
    let arrived = walk.head().or(span.head) == span.head;
    if !arrived || (walk.chain(), walk.visits()) != span.ends {
        fault.get_or_insert((end, Fault::Chain));
    }
    Ok(Summary {
        counts: walk.counts(),
        first: span.first,
        head: span.head,
        head_hash: walk.chain(),
        fault,
    })
}
