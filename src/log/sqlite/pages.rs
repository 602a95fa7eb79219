//! Pages of a room's log, from the file. What retention has taken is not given, even where its rows are still there.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rooms::{RoomRow, position};
use crate::{
    domain::{
        cursor::Cursor,
        entry::{Body, Entry},
        ids::{MessageId, Producer, ProducerId},
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::{Found, Page, StateVersion, history, retention::Keep},
};

/// What a page is read with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// What the room keeps.
    pub(super) keep: Keep,
    /// The time, in milliseconds since 1970.
    pub(super) now: u64,
    /// A page ends before it has more bytes of content than this, but for its first entry.
    pub(super) bytes_max: usize,
}

/// At most `limit` entries after the cursor.
pub(super) fn after(
    connection: &Connection,
    room: &RoomId,
    cursor: &Cursor,
    limit: u32,
    reading: Reading,
) -> rusqlite::Result<Page> {
    let row = RoomRow::load(connection, room)?;
    let first = first(connection, &row, reading)?;
    let epochs = epochs(connection, row.id)?;
    let found = history::find(&epochs, row.next_offset(), cursor);
    let wanted = match found {
        Found::Here => cursor.newest().map_or(1, |newest| newest.offset + 1),
        Found::Fork { keep } => keep.offset + 1,
        Found::Reset => row.next_offset().saturating_sub(u64::from(limit)),
    };
    let entries = ascending(
        connection,
        &row,
        wanted.max(first),
        limit,
        reading.bytes_max,
    )?;
    Ok(page(found, first, &row, entries))
}

/// The `limit` entries just below `offset`, or the newest.
pub(super) fn before(
    connection: &Connection,
    room: &RoomId,
    offset: Option<u64>,
    limit: u32,
    reading: Reading,
) -> rusqlite::Result<Page> {
    let row = RoomRow::load(connection, room)?;
    let first = first(connection, &row, reading)?;
    let end = offset.unwrap_or(u64::MAX).clamp(first, row.next_offset());
    let entries = descending(connection, &row, first, end, limit, reading.bytes_max)?;
    Ok(page(Found::Here, first, &row, entries))
}

/// The newest position of a room.
pub(super) fn head(connection: &Connection, room: &RoomId) -> rusqlite::Result<Option<Position>> {
    connection
        .prepare_cached("SELECT head, epoch FROM room WHERE name = ?1")?
        .query_row([room.as_str()], |row| {
            Ok(position(row.get(0)?, row.get(1)?))
        })
        .optional()
        .map(Option::flatten)
}

/// A room's state document and its version.
pub(super) fn state(
    connection: &Connection,
    room: &RoomId,
) -> rusqlite::Result<(StateVersion, Bytes)> {
    let row = RoomRow::load(connection, room)?;
    let document: Option<Vec<u8>> = connection
        .prepare_cached("SELECT state FROM room WHERE name = ?1")?
        .query_row([room.as_str()], |row| row.get(0))
        .optional()?
        .flatten();
    Ok((row.state, document.map(Bytes::from).unwrap_or_default()))
}

fn page(found: Found, first: u64, row: &RoomRow, entries: Vec<Entry>) -> Page {
    Page {
        found,
        first,
        head: row.head,
        state: row.state,
        entries,
    }
}

/// The first offset that a reader is given: what is still there, and kept by the room's rule.
fn first(connection: &Connection, row: &RoomRow, reading: Reading) -> rusqlite::Result<u64> {
    let by_count = row
        .next_offset()
        .saturating_sub(reading.keep.count)
        .max(row.first);
    if reading.keep.time.is_none() {
        return Ok(by_count);
    }
    let young: Option<i64> = connection
        .prepare_cached(
            "SELECT off FROM entry WHERE room = ?1 AND off >= ?2 AND ts >= ?3 ORDER BY off LIMIT 1",
        )?
        .query_row(
            params![
                row.id,
                by_count.cast_signed(),
                reading.keep.horizon(reading.now).cast_signed()
            ],
            |row| row.get(0),
        )
        .optional()?;
    Ok(young.map_or(row.next_offset(), i64::cast_unsigned))
}

fn epochs(connection: &Connection, room: Option<i64>) -> rusqlite::Result<Vec<(u64, Epoch)>> {
    connection
        .prepare_cached("SELECT start, epoch FROM epoch WHERE room = ?1 ORDER BY start")?
        .query_map([room], |row| {
            let (start, epoch): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok((start.cast_unsigned(), Epoch::new(epoch.cast_unsigned())))
        })?
        .collect()
}

const COLUMNS: &str =
    "SELECT off, epoch, ts, producer, seq, CASE hidden WHEN 0 THEN env END FROM entry";

fn ascending(
    connection: &Connection,
    room: &RoomRow,
    from: u64,
    limit: u32,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut select = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE room = ?1 AND off >= ?2 ORDER BY off LIMIT ?3"
    ))?;
    let rows = select.query_map(params![room.id, from.cast_signed(), limit], entry)?;
    bounded(rows, bytes_max)
}

fn descending(
    connection: &Connection,
    room: &RoomRow,
    first: u64,
    end: u64,
    limit: u32,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut select = connection.prepare_cached(&format!(
        "{COLUMNS} WHERE room = ?1 AND off >= ?2 AND off < ?3 ORDER BY off DESC LIMIT ?4"
    ))?;
    let rows = select.query_map(
        params![room.id, first.cast_signed(), end.cast_signed(), limit],
        entry,
    )?;
    let mut entries = bounded(rows, bytes_max)?;
    entries.reverse();
    Ok(entries)
}

fn bounded(
    rows: impl Iterator<Item = rusqlite::Result<Entry>>,
    bytes_max: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    for entry in rows {
        let entry = entry?;
        bytes = bytes.saturating_add(match &entry.body {
            Body::Kept(content) => content.len(),
            Body::Removed => 0,
        });
        if bytes > bytes_max && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let (offset, epoch, ts, seq): (i64, i64, i64, i64) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(4)?);
    let content: Option<Vec<u8>> = row.get(5)?;
    Ok(Entry {
        at: Position {
            offset: offset.cast_unsigned(),
            epoch: Epoch::new(epoch.cast_unsigned()),
        },
        ts: ts.cast_unsigned(),
        id: MessageId {
            producer: producer(row.get(3)?),
            seq: seq.cast_unsigned(),
        },
        body: content.map_or(Body::Removed, |content| Body::Kept(Bytes::from(content))),
    })
}

/// A producer as [`super::batch::producer_key`] stores it.
pub(super) fn producer(key: [u8; 14]) -> Producer {
    let [id @ .., high, low] = key;
    Producer {
        id: ProducerId::from_bytes(id),
        chain: u16::from_be_bytes([high, low]),
    }
}
