//! What the writer knows of each room without asking the file: heads, chains, states. The writer alone changes the file, so this
//! is what the file says.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::chain::Hash;
use crate::{
    domain::{
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::StateVersion,
};

/// Rooms above this number are read from the file again when they are needed.
const KNOWN_MAX: usize = 65_536;

/// A room's row.
#[derive(Clone, Debug)]
pub(super) struct RoomRow {
    /// Its key in the file; `None` until something is written of it.
    pub(super) id: Option<i64>,
    pub(super) head: Option<Position>,
    pub(super) first: u64,
    pub(super) ts: u64,
    pub(super) chain: Hash,
    pub(super) base: Hash,
    pub(super) visits: Hash,
    pub(super) visits_base: Hash,
    pub(super) state: StateVersion,
}

impl RoomRow {
    fn new(room: &RoomId) -> Self {
        let (chain, visits) = (Hash::start(room), Hash::start_of_visits(room));
        Self {
            id: None,
            head: None,
            first: 1,
            ts: 0,
            chain,
            base: chain,
            visits,
            visits_base: visits,
            state: StateVersion(None),
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: Some(row.get(0)?),
            head: position(row.get(1)?, row.get(2)?),
            first: row.get::<_, i64>(3)?.cast_unsigned(),
            ts: row.get::<_, i64>(4)?.cast_unsigned(),
            chain: Hash::from_bytes(row.get(5)?),
            base: Hash::from_bytes(row.get(6)?),
            visits: Hash::from_bytes(row.get(7)?),
            visits_base: Hash::from_bytes(row.get(8)?),
            state: StateVersion(state_position(row.get(9)?, row.get(10)?)),
        })
    }

    /// Reads a room's row, or what a room is of which nothing was written.
    pub(super) fn load(connection: &Connection, room: &RoomId) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(
                "SELECT id, head, epoch, first, ts, chain, base, visits, visits_base, state_at, state_epoch \
                 FROM room WHERE name = ?1",
            )?
            .query_row([room.as_str()], Self::read)
            .optional()
            .map(|row| row.unwrap_or_else(|| Self::new(room)))
    }

    /// Its key; the row is made if there is none.
    pub(super) fn ensure(
        &mut self,
        connection: &Connection,
        room: &RoomId,
    ) -> rusqlite::Result<i64> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        connection
            .prepare_cached(
                "INSERT INTO room (name, head, epoch, first, ts, chain, base, visits, visits_base) \
                 VALUES (?1, 0, 0, 1, 0, ?2, ?2, ?3, ?3)",
            )?
            .execute(params![
                room.as_str(),
                self.chain.as_bytes(),
                self.visits.as_bytes()
            ])?;
        let id = connection.last_insert_rowid();
        self.id = Some(id);
        Ok(id)
    }

    /// Writes what an append or a deletion may have changed; a state document is written with its entry.
    pub(super) fn store(&self, connection: &Connection) -> rusqlite::Result<()> {
        let (head, epoch) = self.head.map_or((0, 0), stored);
        connection
            .prepare_cached(
                "UPDATE room SET head = ?2, epoch = ?3, first = ?4, ts = ?5, chain = ?6, base = ?7, visits = ?8, visits_base = ?9 \
                 WHERE id = ?1",
            )?
            .execute(params![
                self.id,
                head,
                epoch,
                self.first.cast_signed(),
                self.ts.cast_signed(),
                self.chain.as_bytes(),
                self.base.as_bytes(),
                self.visits.as_bytes(),
                self.visits_base.as_bytes(),
            ])?;
        Ok(())
    }

    pub(super) fn next_offset(&self) -> u64 {
        self.head.map_or(1, |head| head.offset + 1)
    }

    /// Entries that are still there.
    pub(super) fn kept(&self) -> u64 {
        self.next_offset().saturating_sub(self.first)
    }
}

/// The rooms that the writer knows.
#[derive(Debug, Default)]
pub(super) struct Rooms(HashMap<RoomId, RoomRow>);

impl Rooms {
    pub(super) fn get(&self, connection: &Connection, room: &RoomId) -> rusqlite::Result<RoomRow> {
        match self.0.get(room) {
            Some(row) => Ok(row.clone()),
            None => RoomRow::load(connection, room),
        }
    }

    /// What a commit has made true.
    pub(super) fn install(&mut self, changed: HashMap<RoomId, RoomRow>) {
        if self.0.len() + changed.len() > KNOWN_MAX {
            self.0.clear();
        }
        self.0.extend(changed);
    }
}

/// A position as the file keeps it.
pub(super) fn stored(at: Position) -> (i64, i64) {
    (at.offset.cast_signed(), at.epoch.raw().cast_signed())
}

/// A position from the file; offset 0 is none.
pub(super) fn position(offset: i64, epoch: i64) -> Option<Position> {
    (offset > 0).then(|| Position {
        offset: offset.cast_unsigned(),
        epoch: Epoch::new(epoch.cast_unsigned()),
    })
}

fn state_position(offset: Option<i64>, epoch: Option<i64>) -> Option<Position> {
    position(offset?, epoch?)
}
