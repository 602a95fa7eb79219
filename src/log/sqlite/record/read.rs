//! Rows out of the database, one after the other: entries by their offsets, and between them the visits, each after the entry
//! that was the newest when it happened.

use rusqlite::{Connection, Row as Columns, types::Type};

use crate::{
    domain::{
        ids::{MessageId, Producer, ProducerId},
        position::{Epoch, Position},
    },
    log::sqlite::{
        chain::Hash,
        record::{
            RecordError,
            row::{Act, Content, EntryRow, Row, Salted, VisitRow},
            span::Span,
        },
    },
};

const ENTRIES: &str = "SELECT off, epoch, ts, producer, seq, user, env, salt, hidden, digest, chain
    FROM entry WHERE room = ?1 AND off BETWEEN ?2 AND ?3 ORDER BY off";
const VISITS: &str = "SELECT off, ts, user, act, nick, salt, digest, chain
    FROM visit WHERE room = ?1 AND off BETWEEN ?2 AND ?3 ORDER BY off, id";

/// Hands every row of the part to `take`, in order, without holding more than two of them.
pub(super) fn each(
    connection: &Connection,
    span: &Span,
    mut take: impl FnMut(Row) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let mut entries = connection.prepare(ENTRIES)?;
    let mut visits = connection.prepare(VISITS)?;
    let between = |from: u64| (span.id, from.cast_signed(), span.to.cast_signed());
    let mut entries = entries.query(between(span.from))?;
    let mut visits = visits.query(between(span.visits_from()))?;
    let mut visit = visits.next()?.map(visit_of).transpose()?;
    while let Some(columns) = entries.next()? {
        let entry = entry_of(columns)?;
        while let Some(earlier) = visit.take_if(|visit| visit.offset < entry.at.offset) {
            take(Row::Visit(earlier))?;
            visit = visits.next()?.map(visit_of).transpose()?;
        }
        take(Row::Entry(entry))?;
    }
    while let Some(later) = visit {
        take(Row::Visit(later))?;
        visit = visits.next()?.map(visit_of).transpose()?;
    }
    Ok(())
}

fn entry_of(columns: &Columns<'_>) -> rusqlite::Result<EntryRow> {
    let envelope: Option<Vec<u8>> = columns.get(6)?;
    let salt: Option<Vec<u8>> = columns.get(7)?;
    let hidden: bool = columns.get(8)?;
    let content = match (envelope, salt) {
        (None, _) => Content::Gone,
        (Some(_), None) => return Err(unexpected(7, Type::Null, "content without a salt")),
        (Some(envelope), Some(salt)) if hidden => Content::Withheld(Salted { salt, envelope }),
        (Some(envelope), Some(salt)) => Content::Shown(Salted { salt, envelope }),
    };
    Ok(EntryRow {
        at: Position {
            offset: unsigned(columns, 0)?,
            epoch: Epoch::new(unsigned(columns, 1)?),
        },
        ts: unsigned(columns, 2)?,
        id: MessageId {
            producer: producer(columns, 3)?,
            seq: unsigned(columns, 4)?,
        },
        user: columns.get(5)?,
        content,
        digest: hash(columns, 9)?,
        chain: hash(columns, 10)?,
    })
}

fn visit_of(columns: &Columns<'_>) -> rusqlite::Result<VisitRow> {
    let nick: Option<String> = columns.get(4)?;
    let salt: Option<Vec<u8>> = columns.get(5)?;
    let nick = match (nick, salt) {
        (None, _) => None,
        (Some(_), None) => return Err(unexpected(5, Type::Null, "a nickname without a salt")),
        (Some(nick), Some(salt)) => Some((salt, nick)),
    };
    Ok(VisitRow {
        offset: unsigned(columns, 0)?,
        ts: unsigned(columns, 1)?,
        user: columns.get(2)?,
        act: Act::from_number(columns.get(3)?)
            .ok_or_else(|| unexpected(3, Type::Integer, "a visit of an unknown kind"))?,
        nick,
        digest: hash(columns, 6)?,
        chain: hash(columns, 7)?,
    })
}

fn unsigned(columns: &Columns<'_>, column: usize) -> rusqlite::Result<u64> {
    columns.get::<_, i64>(column).map(i64::cast_unsigned)
}

/// Twelve bytes and the chain as two more, big-endian.
fn producer(columns: &Columns<'_>, column: usize) -> rusqlite::Result<Producer> {
    let bytes: [u8; 14] = columns.get(column)?;
    let (id, chain) = bytes
        .split_first_chunk::<12>()
        .expect("fourteen bytes are more than twelve");
    Ok(Producer {
        id: ProducerId::from_bytes(*id),
        chain: u16::from_be_bytes(chain.try_into().expect("two of fourteen are left")),
    })
}

/// A hash of 32 bytes.
pub(super) fn hash(columns: &Columns<'_>, column: usize) -> rusqlite::Result<Hash> {
    columns.get::<_, [u8; 32]>(column).map(Hash::from_bytes)
}

fn unexpected(column: usize, kind: Type, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, what.into())
}
