//! The check of an exported file: every line is read, written again and compared, and the chain recomputed. Whatever was
//! changed, taken out or put in is found, and named by its line and offset. The file is untrusted: it may be anything.

use std::io::{self, BufRead, Read};

use crate::{
    domain::{position::Position, room_name::RoomId},
    log::sqlite::{
        chain::{FORMAT, Hash, Seal},
        record::{
            Tick,
            export::trailer,
            line::{self, Header, NotALine, Trailer},
            walk::{Counts, Fault, Start, Walk},
        },
    },
};

/// No line is longer: an envelope has 64 KiB at most, and JSON makes six bytes of one at worst. What is longer is no record,
/// and is not read into memory.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A file that verifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it covers.
    pub header: Header,
    /// What it has.
    pub counts: Counts,
    /// Its last entry.
    pub head: Option<Position>,
    /// The chain after that.
    pub head_hash: Hash,
    /// The chain of visits after the last visit.
    pub visits_hash: Hash,
}

/// Why a file does not verify.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be read to its end.
    #[error("line {line}: cannot be read: {cause}")]
    Io {
        /// Where.
        line: u64,
        /// Why.
        cause: io::Error,
    },
    /// The header is wrong; no offset is known yet.
    #[error("line 1: {0}")]
    Header(Wrong),
    /// A later line is wrong.
    #[error("line {line}, offset {offset}: {wrong}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// The offset of its entry, or of the entry that should stand there.
        offset: u64,
        /// What is wrong.
        wrong: Wrong,
    },
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Its bytes are not those that an export writes.
    #[error(transparent)]
    Form(#[from] NotALine),
    /// It does not follow from what stands before it.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The format has another name or version.
    #[error("this is not \"{FORMAT}\"")]
    Format,
    /// The header contradicts itself.
    #[error("the header contradicts itself")]
    Header,
    /// The chain of a room's first entry is known.
    #[error("the chain of this room does not begin like that")]
    Seed,
    /// The file was cut.
    #[error("the file ends here, without its last line")]
    Cut,
    /// The header announced other lines.
    #[error("the header announces {lines} lines up to offset {to}")]
    Announced {
        /// How many.
        lines: u64,
        /// Up to where.
        to: u64,
    },
    /// What the last line says of those above is wrong.
    #[error("the last line does not tell what stands above it")]
    Trailer,
    /// Something was changed that no chain covers: the header, or what counts as deleted.
    #[error("the seal does not match: the header, a deletion or the seal itself was changed")]
    Seal,
    /// There is more than a record.
    #[error("something follows the last line")]
    After,
}

/// Reads a file to its end and says what it proves.
pub fn verify(input: impl BufRead, tick: Tick<'_>) -> Result<Verified, VerifyError> {
    let mut lines = Lines::new(input);
    let first = lines.next()?.ok_or(VerifyError::Header(Wrong::Cut))?;
    let header = read_header(first).map_err(VerifyError::Header)?;
    let mut seal = Seal::new().with(&header.write());
    let mut walk = Walk::new(start(&header));
    loop {
        let at = |lines: &Lines<_>, offset, wrong| VerifyError::Line {
            line: lines.number,
            offset,
            wrong,
        };
        let expected = walk.next();
        let Some(line) = lines.next()? else {
            lines.number += 1;
            return Err(at(&lines, expected, Wrong::Cut));
        };
        let Ok(line) = line else {
            return Err(at(&lines, expected, NotALine.into()));
        };
        if Trailer::is_begun_by(line) {
            let close = close(line, &header, &walk, seal);
            close.map_err(|wrong| at(&lines, walk.next().saturating_sub(1), wrong))?;
            break;
        }
        let row = match line::read(line) {
            Ok(row) => row,
            Err(wrong) => return Err(at(&lines, expected, wrong.into())),
        };
        seal = seal.with(line);
        let fault = walk.take(&row);
        fault.map_err(|fault| at(&lines, row.offset(), fault.into()))?;
        tick(lines.number.saturating_sub(1), header.lines);
    }
    if lines.next()?.is_some() {
        return Err(VerifyError::Line {
            line: lines.number,
            offset: walk.next(),
            wrong: Wrong::After,
        });
    }
    Ok(Verified {
        counts: walk.counts(),
        head: walk.head(),
        head_hash: walk.chain(),
        visits_hash: walk.visits(),
        header,
    })
}

fn read_header(line: Result<&str, NotALine>) -> Result<Header, Wrong> {
    let header = Header::read(line?)?;
    if header.format != FORMAT {
        return Err(Wrong::Format);
    }
    let room = RoomId::parse(&header.room, usize::MAX).map_err(|_| Wrong::Header)?;
    let Header {
        from,
        to,
        first,
        last,
        ..
    } = header;
    let follows = |one: u64| one.checked_add(1);
    let in_order = 1 <= first && first <= from && to <= last;
    if !in_order || follows(to).is_none_or(|next| from > next) {
        return Err(Wrong::Header);
    }
    if from == 1 && header.chain != Hash::start(&room) {
        return Err(Wrong::Seed);
    }
    Ok(header)
}

fn start(header: &Header) -> Start {
    Start {
        from: header.from,
        chain: header.chain,
        visits: header.visits_chain,
        is_beginning: header.from == header.first,
    }
}

/// The last line says what was walked, and nothing else.
fn close(line: &str, header: &Header, walk: &Walk, seal: Seal) -> Result<(), Wrong> {
    let found = Trailer::read(line)?;
    let counts = walk.counts();
    let lines = counts.entries.saturating_add(counts.visits);
    if walk.next() != header.to.saturating_add(1) || lines != header.lines {
        return Err(Wrong::Announced {
            lines: header.lines,
            to: header.to,
        });
    }
    let told = Trailer {
        seal: found.seal,
        ..trailer(walk)
    };
    if found != told {
        return Err(Wrong::Trailer);
    }
    if found.seal != seal.hash() {
        return Err(Wrong::Seal);
    }
    Ok(())
}

/// Lines of a bounded length, each with its line feed.
struct Lines<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line without its line feed; `None` at the end.
    fn next(&mut self) -> Result<Option<Result<&str, NotALine>>, VerifyError> {
        self.line.clear();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.line);
        let read = read.map_err(|cause| VerifyError::Io {
            line: self.number.saturating_add(1),
            cause,
        })?;
        if read == 0 {
            return Ok(None);
        }
        self.number = self.number.saturating_add(1);
        let whole = self.line.strip_suffix(b"\n").ok_or(NotALine);
        Ok(Some(whole.and_then(|line| {
            std::str::from_utf8(line).map_err(|_| NotALine)
        })))
    }
}
