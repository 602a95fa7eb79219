//! Retention in one room: what is too many or too old goes from the front, a piece at a time, and the chain value before the first
//! entry that stays is kept, so that the rest still verifies.

use rusqlite::OptionalExtension;

use super::{
    chain::Hash,
    chores::{Piece, Place},
    rooms::RoomRow,
};
use crate::{domain::room_name::RoomId, log::retention::Keep};

/// Rows of one piece.
const ROWS: u64 = 1000;

/// Deletes at most [`ROWS`] entries and as many visits; `None` when there was nothing to delete.
pub(super) fn piece(place: &Place<'_>, room: &RoomId) -> rusqlite::Result<Option<Piece>> {
    let keep = place.retention.of(room);
    let mut row = place.rooms.get(place.connection, room)?;
    let Some(id) = row.id else { return Ok(None) };
    if keep.hold {
        return Ok(None);
    }
    let removed = entries(place, id, &mut row, &keep)?;
    let visits = visits(place, id, &mut row, &keep)?;
    if removed == 0 && visits == 0 {
        return Ok(None);
    }
    row.store(place.connection)?;
    let mut piece = Piece {
        removed,
        ..Piece::default()
    };
    piece.changed.insert(room.clone(), row);
    Ok(Some(piece))
}

/// The first offset that a room keeps by its rule, at most [`ROWS`] above the first that is there.
pub(super) fn first_kept(
    place: &Place<'_>,
    id: i64,
    row: &RoomRow,
    keep: &Keep,
) -> rusqlite::Result<u64> {
    let most = row.next_offset().min(row.first.saturating_add(ROWS));
    let by_count = row
        .next_offset()
        .saturating_sub(keep.count)
        .clamp(row.first, most);
    if keep.time.is_none() {
        return Ok(by_count);
    }
    let young: Option<i64> = place
        .connection
        .prepare_cached(
            "SELECT off FROM entry WHERE room = ?1 AND off >= ?2 AND off < ?3 AND ts >= ?4 ORDER BY off LIMIT 1",
        )?
        .query_row(
            (
                id,
                row.first.cast_signed(),
                most.cast_signed(),
                keep.horizon(place.now).cast_signed(),
            ),
            |row| row.get(0),
        )
        .optional()?;
    Ok(by_count.max(young.map_or(most, i64::cast_unsigned)))
}

fn entries(place: &Place<'_>, id: i64, row: &mut RoomRow, keep: &Keep) -> rusqlite::Result<u64> {
    let first = first_kept(place, id, row, keep)?;
    let removed = first - row.first;
    if removed == 0 {
        return Ok(0);
    }
    row.base = place
        .connection
        .prepare_cached("SELECT chain FROM entry WHERE room = ?1 AND off = ?2")?
        .query_row((id, (first - 1).cast_signed()), |row| {
            row.get(0).map(Hash::from_bytes)
        })?;
    place
        .connection
        .prepare_cached("DELETE FROM entry WHERE room = ?1 AND off >= ?2 AND off < ?3")?
        .execute((id, row.first.cast_signed(), first.cast_signed()))?;
    row.first = first;
    Ok(removed)
}

/// Visits of before the first entry that stays, that are too old, or too many.
fn visits(place: &Place<'_>, id: i64, row: &mut RoomRow, keep: &Keep) -> rusqlite::Result<u64> {
    let surplus: Option<i64> = place
        .connection
        .prepare_cached(
            "SELECT id FROM visit WHERE room = ?1 ORDER BY off DESC, id DESC LIMIT 1 OFFSET ?2",
        )?
        .query_row((id, i64::try_from(keep.count).unwrap_or(i64::MAX)), |row| {
            row.get(0)
        })
        .optional()?;
    let last: Option<(i64, [u8; 32])> = place
        .connection
        .prepare_cached(
            "SELECT id, chain FROM \
             (SELECT id, chain, off, ts FROM visit WHERE room = ?1 ORDER BY off, id LIMIT ?2) \
             WHERE off < ?3 OR ts < ?4 OR id <= ?5 ORDER BY id DESC LIMIT 1",
        )?
        .query_row(
            (
                id,
                ROWS.cast_signed(),
                // With the first entry goes what was before it; what is at the head of an emptied room stays.
                (row.first.saturating_sub(1)).cast_signed(),
                keep.horizon(place.now).cast_signed(),
                surplus.unwrap_or(0),
            ),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((last, chain)) = last else {
        return Ok(0);
    };
    row.visits_base = Hash::from_bytes(chain);
    let removed = place
        .connection
        .prepare_cached("DELETE FROM visit WHERE room = ?1 AND id <= ?2")?
        .execute((id, last))?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}
