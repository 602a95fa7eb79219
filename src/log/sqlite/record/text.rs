//! The record for people: one line for each entry and visit, in UTC. What somebody wrote can neither begin a line nor turn the
//! reading direction, so no line can be forged.

use std::io::{self, Write};

use crate::{
    domain::{
        envelope::{self, Deletion, Envelope, Message},
        position::{Epoch, Position},
    },
    log::sqlite::record::{
        export::Paper,
        line::{self, Header, Trailer},
        row::{Act, Content, EntryRow, Row, Salted, VisitRow},
    },
    protocol::timestamp::rfc3339,
    telemetry::log_safe::LogSafe,
};

/// What stands before each further line of a text; no line of ours begins like that.
const FURTHER: &str = "    | ";

/// Writes text.
pub(super) struct Text<W> {
    out: W,
    epoch: Option<Epoch>,
}

impl<W: Write> Text<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, epoch: None }
    }

    fn entry(&mut self, entry: &EntryRow) -> io::Result<()> {
        if self.epoch.replace(entry.at.epoch) != Some(entry.at.epoch) {
            writeln!(self.out, "--- epoch {}", entry.at.epoch)?;
        }
        write!(self.out, "{}  #{} ", moment(entry.ts), entry.at.offset)?;
        let user = safe(&entry.user);
        match &entry.content {
            Content::Shown(kept) => self.said(&entry.user, kept, ""),
            Content::Withheld(kept) => {
                self.said(&entry.user, kept, ", deleted, kept for a legal hold")
            }
            Content::Gone => writeln!(self.out, "({user}): deleted"),
        }
    }

    fn said(&mut self, user: &str, kept: &Salted, note: &str) -> io::Result<()> {
        let shown = safe(user);
        match line::known(user, &kept.envelope) {
            Some(Envelope::Message(Message { nick, text, .. })) => {
                write!(self.out, "{} ({shown}){note}: ", safe(nick))?;
                self.lines(text)
            }
            Some(Envelope::Deletion(Deletion { target, reason, .. })) => {
                let Position { offset, epoch } = target;
                write!(
                    self.out,
                    "({shown}){note} deleted #{offset} of epoch {epoch}"
                )?;
                let Some(reason) = reason else {
                    return writeln!(self.out);
                };
                write!(self.out, ": ")?;
                self.lines(reason)
            }
            None => {
                let kind = envelope::kind(&kept.envelope)
                    .map_or_else(String::new, |kind| format!(" of kind {kind}"));
                let bytes = kept.envelope.len();
                writeln!(
                    self.out,
                    "({shown}){note}: an entry{kind} that this version does not know, {bytes} bytes"
                )
            }
        }
    }

    fn lines(&mut self, text: &str) -> io::Result<()> {
        let mut lines = text.split('\n');
        writeln!(self.out, "{}", safe(lines.next().unwrap_or_default()))?;
        for line in lines {
            writeln!(self.out, "{FURTHER}{}", safe(line))?;
        }
        Ok(())
    }

    fn visit(&mut self, visit: &VisitRow) -> io::Result<()> {
        let nick = visit.nick.as_ref().map(|(_, nick)| safe(nick));
        write!(self.out, "{}  ", moment(visit.ts))?;
        match (nick, visit.act) {
            (Some(nick), Act::Renamed) => {
                writeln!(self.out, "({}) is now called {nick}", safe(&visit.user))
            }
            (Some(nick), act) => {
                writeln!(self.out, "{nick} ({}) {}", safe(&visit.user), act.word())
            }
            (None, act) => writeln!(self.out, "({}) {}", safe(&visit.user), act.word()),
        }
    }
}

impl<W: Write> Paper for Text<W> {
    fn header(&mut self, header: &Header) -> io::Result<()> {
        let Header {
            format,
            room,
            from,
            to,
            first,
            last,
            ..
        } = header;
        let at = header
            .exported_at
            .get(..19)
            .unwrap_or_default()
            .replace('T', " ");
        let covers = if from > to {
            "nothing".to_owned()
        } else {
            format!("offsets {from} to {to}")
        };
        writeln!(
            self.out,
            "--- {format}: #{room}, {covers} of {first} to {last}, written {at}Z by wardroom {}",
            header.wardroom
        )?;
        if *first > 1 {
            writeln!(
                self.out,
                "--- offsets 1 to {} are no longer kept",
                first.saturating_sub(1)
            )?;
        }
        writeln!(self.out, "--- chain before: {}", header.chain)
    }

    fn row(&mut self, row: &Row) -> io::Result<()> {
        match row {
            Row::Entry(entry) => self.entry(entry),
            Row::Visit(visit) => self.visit(visit),
        }
    }

    fn trailer(&mut self, trailer: Trailer) -> io::Result<()> {
        let Trailer {
            entries,
            deleted,
            visits,
            ..
        } = trailer;
        writeln!(
            self.out,
            "--- {entries} entries ({deleted} deleted), {visits} visits"
        )?;
        if let Some((offset, epoch)) = trailer.head {
            writeln!(self.out, "--- head: #{offset}, epoch {epoch}")?;
        }
        writeln!(self.out, "--- visits hash: {}", trailer.visits_hash)?;
        writeln!(self.out, "--- head hash: {}", trailer.head_hash)?;
        self.out.flush()
    }
}

/// `2026-11-24 12:00:00Z`.
fn moment(ts: u64) -> String {
    let written = rfc3339(ts);
    format!("{}Z", written.get(..19).unwrap_or_default()).replace('T', " ")
}

/// Nothing is cut: a record is whole.
fn safe(raw: &str) -> LogSafe<'_> {
    LogSafe::cut_at(raw, usize::MAX)
}
