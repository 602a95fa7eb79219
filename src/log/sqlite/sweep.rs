//! A walk over the whole file, a step at a time: rooms with entries beyond their time, producers that expired, content that a
//! hold no longer keeps.

use rusqlite::params;

use super::{
    chores::{Place, entry_ts},
    rooms::RoomRow,
};
use crate::domain::room_name::RoomId;

/// Rooms of one step.
const ROOMS: i64 = 100;
/// Producers of one step.
const PRODUCERS: i64 = 1000;
/// The longest name that a configuration can allow; the file holds none that is longer.
const NAME_BYTES: usize = 128;

/// Where the walk is.
pub(super) enum Sweep {
    /// Behind the room with this key.
    Rooms(i64),
    /// Behind this producer.
    Producers(i64, Vec<u8>),
}

/// What a step found and did.
#[derive(Default)]
pub(super) struct Step {
    /// Rooms that hold more than they keep.
    pub(super) surplus: Vec<RoomId>,
    /// Whether something was written.
    pub(super) changed: bool,
    /// Whether it was the last.
    pub(super) over: bool,
}

impl Default for Sweep {
    fn default() -> Self {
        Self::Rooms(0)
    }
}

impl Sweep {
    pub(super) fn step(&mut self, place: &Place<'_>) -> rusqlite::Result<Step> {
        let mut step = Step::default();
        let next = match self {
            Self::Rooms(after) => match rooms(place, *after, &mut step)? {
                Some(last) => Self::Rooms(last),
                None => Self::Producers(0, Vec::new()),
            },
            Self::Producers(room, producer) => {
                let Some((room, producer)) = producers(place, *room, producer, &mut step)? else {
                    step.over = true;
                    return Ok(step);
                };
                Self::Producers(room, producer)
            }
        };
        *self = next;
        Ok(step)
    }
}

fn rooms(place: &Place<'_>, after: i64, step: &mut Step) -> rusqlite::Result<Option<i64>> {
    let mut select = place
        .connection
        .prepare_cached("SELECT id, name FROM room WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let mut found = select.query((after, ROOMS))?;
    let mut last = None;
    while let Some(row) = found.next()? {
        let (id, name): (i64, String) = (row.get(0)?, row.get(1)?);
        last = Some(id);
        let Ok(room) = RoomId::parse(&name, NAME_BYTES) else {
            continue;
        };
        let keep = place.retention.of(&room);
        if keep.hold {
            continue;
        }
        step.changed |= purge_hidden(place, id)?;
        let row = place.rooms.get(place.connection, &room)?;
        if row.kept() > keep.count
            || is_old(place, id, &row, keep.horizon(place.now))?
            || has_visits(place, id, &row)?
        {
            step.surplus.push(room);
        }
    }
    Ok(last)
}

fn is_old(place: &Place<'_>, id: i64, row: &RoomRow, horizon: u64) -> rusqlite::Result<bool> {
    if horizon == 0 {
        return Ok(false);
    }
    Ok(entry_ts(place.connection, id, row.first)?.is_some_and(|ts| ts < horizon))
}

/// Whether the room has visits: their own rules are looked at when it is trimmed.
fn has_visits(place: &Place<'_>, id: i64, row: &RoomRow) -> rusqlite::Result<bool> {
    if row.visits == row.visits_base {
        return Ok(false);
    }
    place
        .connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM visit WHERE room = ?1)")?
        .query_row([id], |row| row.get(0))
}

/// A hold has ended: what it kept of what was taken back goes now.
fn purge_hidden(place: &Place<'_>, id: i64) -> rusqlite::Result<bool> {
    let purged = place
        .connection
        .prepare_cached(
            "UPDATE entry SET env = NULL, salt = NULL, hidden = 0 WHERE id IN \
             (SELECT id FROM entry WHERE room = ?1 AND hidden = 1 LIMIT 1000)",
        )?
        .execute([id])?;
    Ok(purged > 0)
}

fn producers(
    place: &Place<'_>,
    room: i64,
    producer: &[u8],
    step: &mut Step,
) -> rusqlite::Result<Option<(i64, Vec<u8>)>> {
    let mut select = place.connection.prepare_cached(
        "SELECT room, producer, expires FROM producer WHERE (room, producer) > (?1, ?2) ORDER BY room, producer LIMIT ?3",
    )?;
    let mut found = select.query(params![room, producer, PRODUCERS])?;
    let mut last = None;
    let mut expired = Vec::new();
    while let Some(row) = found.next()? {
        let key: (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        if row.get::<_, i64>(2)? <= place.now.cast_signed() {
            expired.push(key.clone());
        }
        last = Some(key);
    }
    let mut delete = place
        .connection
        .prepare_cached("DELETE FROM producer WHERE room = ?1 AND producer = ?2")?;
    for key in &expired {
        delete.execute(params![key.0, key.1])?;
    }
    step.changed |= !expired.is_empty();
    Ok(last)
}
