//! Taking what one person said out of the whole file, a piece at a time. Rows, times and digests stay, so every chain still
//! verifies; what was said and under which name cannot be guessed from a salted digest whose salt is gone.

use std::collections::BTreeSet;

use rusqlite::params;

use super::chores::Place;
use crate::{
    domain::{ids::UserId, room_name::RoomId},
    log::Erased,
};

/// Rows that one piece looks at. They are looked at in the order of the file: an index by user would be paid for by every message.
const ROWS: i64 = 5000;
/// As in `sweep`.
const NAME_BYTES: usize = 128;

/// An erasure that is under way.
#[derive(Clone)]
pub(super) struct Erasure {
    user: UserId,
    table: Table,
    after: i64,
    messages: u64,
    touched: BTreeSet<i64>,
    held: BTreeSet<i64>,
    result: Erased,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Entries,
    Visits,
}

impl Table {
    fn select(self) -> &'static str {
        match self {
            Self::Entries => {
                "SELECT id, room FROM entry WHERE id > ?1 AND id <= ?2 AND user = ?3 AND env IS NOT NULL"
            }
            Self::Visits => {
                "SELECT id, room FROM visit WHERE id > ?1 AND id <= ?2 AND user = ?3 AND nick IS NOT NULL"
            }
        }
    }

    fn erase(self) -> &'static str {
        match self {
            Self::Entries => "UPDATE entry SET env = NULL, salt = NULL WHERE id = ?1",
            Self::Visits => "UPDATE visit SET nick = NULL, salt = NULL WHERE id = ?1",
        }
    }

    fn newest(self) -> &'static str {
        match self {
            Self::Entries => "SELECT coalesce(max(id), 0) FROM entry",
            Self::Visits => "SELECT coalesce(max(id), 0) FROM visit",
        }
    }
}

impl Erasure {
    pub(super) fn new(user: UserId) -> Self {
        Self {
            user,
            table: Table::Entries,
            after: 0,
            messages: 0,
            touched: BTreeSet::new(),
            held: BTreeSet::new(),
            result: Erased::default(),
        }
    }

    /// Does one piece, and says whether it was the last.
    pub(super) fn piece(&mut self, place: &Place<'_>) -> rusqlite::Result<bool> {
        let newest: i64 = place
            .connection
            .query_row(self.table.newest(), [], |row| row.get(0))?;
        let upto = self.after.saturating_add(ROWS);
        let mut erase = place.connection.prepare_cached(self.table.erase())?;
        for (id, room) in self.matches(place, upto)? {
            if place.retention.of(&name_of(place, room)?).hold {
                self.held.insert(room);
                continue;
            }
            erase.execute([id])?;
            self.touched.insert(room);
            self.messages += u64::from(self.table == Table::Entries);
        }
        self.after = upto;
        if upto < newest {
            return Ok(false);
        }
        if self.table == Table::Entries {
            (self.table, self.after) = (Table::Visits, 0);
            return Ok(false);
        }
        self.result = Erased {
            messages: self.messages,
            rooms: names_of(place, &self.touched)?,
            held: names_of(place, &self.held)?,
        };
        Ok(true)
    }

    /// What was done, after the last piece.
    pub(super) fn erased(self) -> Erased {
        self.result
    }

    fn matches(&self, place: &Place<'_>, upto: i64) -> rusqlite::Result<Vec<(i64, i64)>> {
        place
            .connection
            .prepare_cached(self.table.select())?
            .query_map(params![self.after, upto, self.user.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect()
    }
}

fn names_of(place: &Place<'_>, rooms: &BTreeSet<i64>) -> rusqlite::Result<Vec<RoomId>> {
    rooms.iter().map(|room| name_of(place, *room)).collect()
}

fn name_of(place: &Place<'_>, room: i64) -> rusqlite::Result<RoomId> {
    let name: String = place
        .connection
        .prepare_cached("SELECT name FROM room WHERE id = ?1")?
        .query_row([room], |row| row.get(0))?;
    RoomId::parse(&name, NAME_BYTES)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}
