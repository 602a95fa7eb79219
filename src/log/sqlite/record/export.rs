//! A part of a room's record, written out: a header, a line for each entry and visit, a trailer. One read transaction sees one
//! moment, whatever a running gateway writes meanwhile, and no more than a line is held in memory.

use std::io::{self, Write};

use rusqlite::Connection;

use crate::{
    domain::room_name::RoomId,
    log::sqlite::{
        chain::{FORMAT, Hash, Seal},
        record::{
            RecordError, Tick,
            line::{self, Header, Trailer},
            read,
            row::Row,
            span::Span,
            text::Text,
            walk::{Counts, Fault, Walk},
        },
    },
    protocol::timestamp::rfc3339,
    telemetry::process::VERSION,
};

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of which room.
    pub room: RoomId,
    /// The first offset; `None`: the first that is kept.
    pub from: Option<u64>,
    /// The last offset; `None`: the newest.
    pub to: Option<u64>,
    /// In which form.
    pub form: Form,
    /// What time it is, in milliseconds since 1970.
    pub now: u64,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object a line, which `verify` reads.
    Lines,
    /// For people.
    Text,
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// How many rows.
    pub counts: Counts,
    /// The first row that does not follow from what stands before it, by its offset: the database was changed or damaged. The
    /// rest was written nevertheless.
    pub fault: Option<(u64, Fault)>,
}

/// What takes a record.
pub(super) trait Paper {
    /// First.
    fn header(&mut self, header: &Header) -> io::Result<()>;
    /// Then these, in order.
    fn row(&mut self, row: &Row) -> io::Result<()>;
    /// Last; the seal is the paper's own.
    fn trailer(&mut self, trailer: Trailer) -> io::Result<()>;
}

/// Writes what is wanted. The connection is within a read transaction.
pub(super) fn export(
    connection: &Connection,
    wanted: &Wanted,
    out: &mut dyn Write,
    tick: Tick<'_>,
) -> Result<Written, RecordError> {
    let span = Span::find(connection, &wanted.room, wanted.from, wanted.to)?;
    match wanted.form {
        Form::Lines => fill(&mut Lines::new(out), connection, &span, wanted.now, tick),
        Form::Text => fill(&mut Text::new(out), connection, &span, wanted.now, tick),
    }
}

fn fill(
    paper: &mut impl Paper,
    connection: &Connection,
    span: &Span,
    now: u64,
    tick: Tick<'_>,
) -> Result<Written, RecordError> {
    paper
        .header(&header(span, now))
        .map_err(RecordError::Write)?;
    let mut walk = Walk::new(span.start);
    let mut fault = None;
    let mut done = 0;
    read::each(connection, span, |row| {
        if let Err(found) = walk.take(&row) {
            fault.get_or_insert((row.offset(), found));
        }
        paper.row(&row).map_err(RecordError::Write)?;
        done += 1;
        tick(done, span.lines);
        Ok(())
    })?;
    if walk.next() <= span.to {
        let expected = walk.next();
        fault.get_or_insert((expected, Fault::Offset { expected }));
    }
    paper.trailer(trailer(&walk)).map_err(RecordError::Write)?;
    Ok(Written {
        counts: walk.counts(),
        fault,
    })
}

fn header(span: &Span, now: u64) -> Header {
    Header {
        format: FORMAT.to_owned(),
        room: span.room.as_str().to_owned(),
        from: span.from,
        to: span.to,
        first: span.first,
        last: span.head.map_or(0, |head| head.offset),
        exported_at: rfc3339(now),
        wardroom: VERSION.to_owned(),
        chain: span.start.chain,
        visits_chain: span.start.visits,
        lines: span.lines,
    }
}

/// The trailer of what was walked; the seal is put in by who has it.
pub(super) fn trailer(walk: &Walk) -> Trailer {
    let Counts {
        entries,
        deleted,
        visits,
    } = walk.counts();
    Trailer {
        head: walk.head().map(|head| (head.offset, head.epoch)),
        head_hash: walk.chain(),
        visits_hash: walk.visits(),
        entries,
        deleted,
        visits,
        seal: Hash::from_bytes([0; 32]),
    }
}

/// Writes JSON lines.
struct Lines<W> {
    out: W,
    seal: Seal,
}

impl<W: Write> Lines<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            seal: Seal::new(),
        }
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        self.seal = std::mem::take(&mut self.seal).with(line);
        writeln!(self.out, "{line}")
    }
}

impl<W: Write> Paper for Lines<W> {
    fn header(&mut self, header: &Header) -> io::Result<()> {
        self.line(&header.write())
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        self.line(&line::write(row))
    }

    fn trailer(&mut self, trailer: Trailer) -> io::Result<()> {
        let seal = std::mem::take(&mut self.seal).hash();
        writeln!(self.out, "{}", Trailer { seal, ..trailer }.write())?;
        self.out.flush()
    }
}
