//! The lines of an exported record as JSON. There is one way to write a row: a reader writes what it read once more and compares
//! the bytes, so that nothing can be changed that the chain does not cover. `docs/record.md` describes the fields.

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        envelope::{self, Deletion, Envelope, Message},
        ids::{MessageId, UserId},
        position::{Epoch, Position},
    },
    log::sqlite::{
        chain::Hash,
        record::row::{Act, Content, EntryRow, Row, Salted, VisitRow},
    },
    protocol::timestamp::{rfc3339, unix_ms},
};

/// The line is not one that an export writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a line as wardroom writes it")]
pub struct NotALine;

/// The first line: what the file covers, and where its chains begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`crate::log::sqlite::chain::FORMAT`].
    pub format: String,
    /// The room.
    pub room: String,
    /// The first offset of the file.
    pub from: u64,
    /// The last; `from - 1` when there is none.
    pub to: u64,
    /// The first offset that the room still had.
    pub first: u64,
    /// The room's newest offset; 0 when nobody had said anything.
    pub last: u64,
    /// When it was written, RFC 3339.
    pub exported_at: String,
    /// By which version.
    pub wardroom: String,
    /// The chain before the first entry.
    pub chain: Hash,
    /// The chain of visits before the first visit.
    pub visits_chain: Hash,
    /// How many lines stand between this and the last.
    pub lines: u64,
}

/// The last line: where the chains end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trailer {
    /// The last entry; none, when the file has no entries.
    pub head: Option<(u64, Epoch)>,
    /// The chain after it: who keeps this value elsewhere can prove later that nothing was changed.
    pub head_hash: Hash,
    /// The chain of visits after the last visit.
    pub visits_hash: Hash,
    /// How many entries.
    pub entries: u64,
    /// Those of them whose content was taken back.
    pub deleted: u64,
    /// How many visits.
    pub visits: u64,
    /// Over all lines above.
    pub seal: Hash,
}

/// How a header, a visit and a trailer begin, and nothing else.
const VISIT: &str = "{\"visit\":";
const TRAILER: &str = "{\"head\":";

/// What an envelope says: a message, a deletion, or the bytes of something that this version does not know.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletes: Option<(u64, Epoch)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    offset: u64,
    epoch: Epoch,
    ts: String,
    id: String,
    user: String,
    // `Said`, field by field: serde cannot refuse unknown fields and flatten at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deletes: Option<(u64, Epoch)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<Said>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    digest: Hash,
    chain: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VisitLine {
    visit: String,
    offset: u64,
    ts: String,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    digest: Hash,
    chain: Hash,
}

impl Header {
    /// The line, without its line feed.
    pub fn write(&self) -> String {
        json(self)
    }

    /// Reads what [`Header::write`] wrote.
    pub fn read(line: &str) -> Result<Self, NotALine> {
        exactly(line, Self::write)
    }
}

impl Trailer {
    /// The line, without its line feed.
    pub fn write(&self) -> String {
        json(self)
    }

    /// Reads what [`Trailer::write`] wrote.
    pub fn read(line: &str) -> Result<Self, NotALine> {
        exactly(line, Self::write)
    }

    /// Whether a line can be nothing else.
    pub fn is_begun_by(line: &str) -> bool {
        line.starts_with(TRAILER)
    }
}

/// A row as a line, without its line feed.
pub fn write(row: &Row) -> String {
    match row {
        Row::Entry(entry) => json(&entry_line(entry, said)),
        Row::Visit(visit) => json(&visit_line(visit)),
    }
}

/// Reads what [`write()`] wrote, and nothing that only means the same; but also what an older version wrote, which did not know
/// the kind of the entry.
pub fn read(line: &str) -> Result<Row, NotALine> {
    let row = if line.starts_with(VISIT) {
        Row::Visit(visit_of(parse(line)?)?)
    } else {
        Row::Entry(entry_of(parse(line)?)?)
    };
    if write(&row) == line || write_unknown(&row).is_some_and(|written| written == line) {
        Ok(row)
    } else {
        Err(NotALine)
    }
}

/// An entry as a version writes it that does not know its kind. Every version knows messages.
fn write_unknown(row: &Row) -> Option<String> {
    let Row::Entry(entry) = row else { return None };
    let (Content::Shown(kept) | Content::Withheld(kept)) = &entry.content else {
        return None;
    };
    let is_message = matches!(
        known(&entry.user, &kept.envelope),
        Some(Envelope::Message(_))
    );
    (!is_message).then(|| json(&entry_line(entry, |_, envelope| opaque(envelope))))
}

/// What an envelope says, if it is known and of `user`.
pub(super) fn known<'a>(user: &str, envelope: &'a [u8]) -> Option<Envelope<'a>> {
    envelope::decode(envelope)
        .ok()
        .filter(|known| known.user().as_str() == user)
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("numbers, strings and lists of them have a JSON form")
}

fn parse<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, NotALine> {
    serde_json::from_str(line).map_err(|_| NotALine)
}

fn exactly<T: for<'a> Deserialize<'a>>(
    line: &str,
    write: impl Fn(&T) -> String,
) -> Result<T, NotALine> {
    let read = parse(line)?;
    if write(&read) == line {
        Ok(read)
    } else {
        Err(NotALine)
    }
}

fn entry_line(entry: &EntryRow, said: impl Fn(&str, &[u8]) -> Said) -> EntryLine {
    let shown = match &entry.content {
        Content::Shown(kept) => said(&entry.user, &kept.envelope),
        Content::Withheld(_) | Content::Gone => Said::default(),
    };
    let (withheld, salt) = match &entry.content {
        Content::Shown(kept) => (None, Some(base64(&kept.salt))),
        Content::Withheld(kept) => (
            Some(said(&entry.user, &kept.envelope)),
            Some(base64(&kept.salt)),
        ),
        Content::Gone => (None, None),
    };
    EntryLine {
        offset: entry.at.offset,
        epoch: entry.at.epoch,
        ts: rfc3339(entry.ts),
        id: entry.id.to_string(),
        user: entry.user.clone(),
        nick: shown.nick,
        verified: shown.verified,
        text: shown.text,
        deletes: shown.deletes,
        reason: shown.reason,
        kind: shown.kind,
        envelope: shown.envelope,
        deleted: entry.is_deleted().then_some(true),
        withheld,
        salt,
        digest: entry.digest,
        chain: entry.chain,
    }
}

/// A kind of entry that gets fields of its own is decoded here and encoded in [`unsaid`]. What is not known keeps its bytes, so
/// that the line can be verified by whoever does not know it either.
fn said(user: &str, envelope: &[u8]) -> Said {
    match known(user, envelope) {
        Some(Envelope::Message(message)) => Said {
            nick: Some(message.nick.to_owned()),
            verified: Some(message.verified),
            text: Some(message.text.to_owned()),
            ..Said::default()
        },
        Some(Envelope::Deletion(deletion)) => Said {
            deletes: Some((deletion.target.offset, deletion.target.epoch)),
            reason: deletion.reason.map(str::to_owned),
            ..Said::default()
        },
        None => opaque(envelope),
    }
}

fn opaque(envelope: &[u8]) -> Said {
    Said {
        kind: envelope::kind(envelope),
        envelope: Some(base64(envelope)),
        ..Said::default()
    }
}

fn unsaid(user: &str, said: &Said) -> Result<Vec<u8>, NotALine> {
    match said {
        Said {
            nick: Some(nick),
            verified: Some(verified),
            text: Some(text),
            ..
        } => Message {
            user: UserId::parse(user).map_err(|_| NotALine)?,
            nick,
            verified: *verified,
            text,
        }
        .encode()
        .map(Vec::from)
        .map_err(|_| NotALine),
        Said {
            deletes: Some((offset, epoch)),
            reason,
            ..
        } => Deletion {
            target: Position {
                offset: *offset,
                epoch: *epoch,
            },
            user: UserId::parse(user).map_err(|_| NotALine)?,
            reason: reason.as_deref(),
        }
        .encode()
        .map(Vec::from)
        .map_err(|_| NotALine),
        Said {
            envelope: Some(envelope),
            ..
        } => bytes(envelope),
        _ => Err(NotALine),
    }
}

fn entry_of(line: EntryLine) -> Result<EntryRow, NotALine> {
    let shown = Said {
        nick: line.nick,
        verified: line.verified,
        text: line.text,
        deletes: line.deletes,
        reason: line.reason,
        kind: line.kind,
        envelope: line.envelope,
    };
    let salted = |salt: &str, said: &Said| {
        Ok(Salted {
            salt: bytes(salt)?,
            envelope: unsaid(&line.user, said)?,
        })
    };
    let content = match (line.deleted, &line.withheld, &line.salt) {
        (None, None, Some(salt)) => Content::Shown(salted(salt, &shown)?),
        (Some(true), Some(said), Some(salt)) => Content::Withheld(salted(salt, said)?),
        (Some(true), None, None) => Content::Gone,
        _ => return Err(NotALine),
    };
    Ok(EntryRow {
        at: Position {
            offset: line.offset,
            epoch: line.epoch,
        },
        ts: unix_ms(&line.ts).ok_or(NotALine)?,
        id: MessageId::parse(&line.id).map_err(|_| NotALine)?,
        user: line.user,
        content,
        digest: line.digest,
        chain: line.chain,
    })
}

fn visit_line(visit: &VisitRow) -> VisitLine {
    let (salt, nick) = visit.nick.clone().unzip();
    VisitLine {
        visit: visit.act.word().to_owned(),
        offset: visit.offset,
        ts: rfc3339(visit.ts),
        user: visit.user.clone(),
        erased: nick.is_none().then_some(true),
        nick,
        salt: salt.map(|salt| base64(&salt)),
        digest: visit.digest,
        chain: visit.chain,
    }
}

fn visit_of(line: VisitLine) -> Result<VisitRow, NotALine> {
    let nick = match (line.nick, line.salt) {
        (Some(nick), Some(salt)) => Some((bytes(&salt)?, nick)),
        _ => None,
    };
    Ok(VisitRow {
        offset: line.offset,
        ts: unix_ms(&line.ts).ok_or(NotALine)?,
        user: line.user,
        act: Act::parse(&line.visit).ok_or(NotALine)?,
        nick,
        digest: line.digest,
        chain: line.chain,
    })
}

fn base64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn bytes(written: &str) -> Result<Vec<u8>, NotALine> {
    BASE64URL_NOPAD
        .decode(written.as_bytes())
        .map_err(|_| NotALine)
}
