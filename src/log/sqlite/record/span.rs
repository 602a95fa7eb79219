//! Which part of a room's record: what was asked for, held against what the database still has.

use rusqlite::{Connection, OptionalExtension};

use crate::{
    domain::{
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::sqlite::{
        chain::Hash,
        record::{RecordError, read::hash, walk::Start},
    },
};

/// A part of a room's record in a database, within one read transaction.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// Of which room.
    pub room: RoomId,
    /// The first offset of the part.
    pub from: u64,
    /// The last; `from - 1` when the part is empty.
    pub to: u64,
    /// The first offset that the room still has.
    pub first: u64,
    /// The room's newest entry.
    pub head: Option<Position>,
    /// The room's chain after it, and after its newest visit.
    pub ends: (Hash, Hash),
    /// Where the chains of the part begin.
    pub start: Start,
    /// How many entries and visits the part has.
    pub lines: u64,
    /// The room's number in the database.
    pub(super) id: i64,
}

impl Span {
    /// The part of `room` between two offsets, both included, as far as it is there. A visit belongs to the entry after which
    /// it stands; those before the first entry that is kept belong to that one.
    pub(super) fn find(
        connection: &Connection,
        room: &RoomId,
        from: Option<u64>,
        to: Option<u64>,
    ) -> Result<Self, RecordError> {
        let found = connection
            .query_row(
                "SELECT id, head, epoch, first, chain, base, visits, visits_base FROM room WHERE name = ?1",
                [room.as_str()],
                |row| {
                    let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
                    let hash = |column| hash(row, column);
                    Ok((
                        row.get::<_, i64>(0)?,
                        [number(1)?, number(2)?, number(3)?],
                        [hash(4)?, hash(5)?, hash(6)?, hash(7)?],
                    ))
                },
            )
            .optional()?;
        let (id, [newest, epoch, first], [chain, base, visits, visits_base]) =
            found.ok_or_else(|| RecordError::UnknownRoom(room.clone()))?;
        let from = from
            .unwrap_or(first)
            .max(first)
            .min(newest.saturating_add(1));
        let to = to.unwrap_or(newest).min(newest).max(from.saturating_sub(1));
        let is_beginning = from <= first;
        let mut span = Self {
            room: room.clone(),
            from,
            to,
            first,
            head: (newest > 0).then(|| Position {
                offset: newest,
                epoch: Epoch::new(epoch),
            }),
            ends: (chain, visits),
            start: Start {
                from,
                chain: base,
                visits: visits_base,
                is_beginning,
            },
            lines: 0,
            id,
        };
        if !is_beginning {
            span.start.chain = span.chain_before(connection)?;
            span.start.visits = span.visits_before(connection)?.unwrap_or(visits_base);
        }
        span.lines = span.count(connection)?;
        Ok(span)
    }

    /// The least offset of a visit that belongs to the part.
    pub(super) fn visits_from(&self) -> u64 {
        if self.start.is_beginning {
            0
        } else {
            self.from
        }
    }

    fn chain_before(&self, connection: &Connection) -> Result<Hash, RecordError> {
        connection
            .query_row(
                "SELECT chain FROM entry WHERE room = ?1 AND off = ?2",
                (self.id, self.from.saturating_sub(1).cast_signed()),
                |row| hash(row, 0),
            )
            .optional()?
            .ok_or(RecordError::Missing {
                offset: self.from.saturating_sub(1),
            })
    }

    fn visits_before(&self, connection: &Connection) -> rusqlite::Result<Option<Hash>> {
        connection
            .query_row(
                "SELECT chain FROM visit WHERE room = ?1 AND off < ?2 ORDER BY off DESC, id DESC LIMIT 1",
                (self.id, self.from.cast_signed()),
                |row| hash(row, 0),
            )
            .optional()
    }

    fn count(&self, connection: &Connection) -> rusqlite::Result<u64> {
        connection.query_row(
            "SELECT (SELECT count(*) FROM entry WHERE room = ?1 AND off BETWEEN ?2 AND ?4)
                  + (SELECT count(*) FROM visit WHERE room = ?1 AND off BETWEEN ?3 AND ?4)",
            (
                self.id,
                self.from.cast_signed(),
                self.visits_from().cast_signed(),
                self.to.cast_signed(),
            ),
            |row| row.get::<_, i64>(0).map(i64::cast_unsigned),
        )
    }
}
