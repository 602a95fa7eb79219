//! How a cursor moves along the log, and what its client is told on the way: the one place that knows the order of `fork`,
//! `reset`, `gap`, `epoch` and entries for a single reader. The fan-out tells many at once the same.

use crate::{
    domain::{
        cursor::Cursor,
        position::{Head, Position},
        room_name::RoomId,
    },
    log::{Found, Page},
    outbound::{
        entry_frames::{DeriveHtml, EntryFrames, Format},
        frame::Frame,
    },
    protocol::server_frame::ServerFrame,
};

/// `epoch`: frames from this position on are of its epoch.
pub(super) fn epoch(room: &RoomId, from: Position) -> Frame {
    Frame::encode(&ServerFrame::Epoch {
        room,
        epoch: from.epoch,
        from: from.offset,
    })
}

/// `fork`.
pub(super) fn fork(room: &RoomId, keep: Position) -> Frame {
    Frame::encode(&ServerFrame::Fork { room, keep })
}

/// `gap`.
pub(super) fn gap(room: &RoomId, from: u64, to: Option<Position>) -> Frame {
    Frame::encode(&ServerFrame::Gap {
        room,
        from,
        to: Head(to),
    })
}

/// `reset`.
pub(super) fn reset(room: &RoomId, to: Option<Position>) -> Frame {
    Frame::encode(&ServerFrame::Reset { room, to: Head(to) })
}

/// A page of the log whose entries can be framed.
#[derive(Debug)]
pub(super) struct FramedPage {
    pub(super) found: Found,
    pub(super) first: u64,
    pub(super) head: Option<Position>,
    pub(super) entries: Vec<EntryFrames>,
}

impl FramedPage {
    /// Makes every frame that a reader of this form needs, while no lock is held.
    pub(super) fn warm(&self, format: Format, derive: &DeriveHtml) {
        for entry in &self.entries {
            entry.frame(format, derive);
        }
    }

    /// Takes the content of what was deleted since the page was read.
    pub(super) fn empty(&mut self, deleted: impl Iterator<Item = Position>) {
        for at in deleted {
            for entry in self.entries.iter_mut().filter(|one| one.entry().at == at) {
                *entry = entry.emptied();
            }
        }
    }

    /// The position just below the first entry, in that entry's epoch: `to` of a gap or reset. Without entries the head.
    pub(super) fn base(&self) -> Option<Position> {
        match self.entries.first() {
            Some(entry) => below(entry.entry().at),
            None => self.head,
        }
    }
}

/// [`FramedPage::base`] of a bare page.
pub(super) fn base(page: &Page) -> Option<Position> {
    match page.entries.first() {
        Some(entry) => below(entry.at),
        None => page.head,
    }
}

/// The position just below, claimed in the same epoch: who knows an epoch shares all that lies before its first entry.
fn below(at: Position) -> Option<Position> {
    (at.offset > 1).then(|| Position {
        offset: at.offset - 1,
        ..at
    })
}

/// What is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// A word about the stream.
    Control,
    /// An entry, after `epoch` where its epoch is another.
    Entry,
}

/// There was no room for a frame; the cursor stands before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

/// Takes frames that belong together, or says that there is no room for them.
pub(super) type Emit<'a> = dyn FnMut(&[&Frame], Told) -> bool + 'a;

/// One reader: its cursor, and where its frames go.
pub(super) struct Stream<'a> {
    pub(super) room: &'a RoomId,
    pub(super) format: Format,
    pub(super) derive: &'a DeriveHtml,
    pub(super) cursor: Cursor,
    pub(super) emit: &'a mut Emit<'a>,
}

impl Stream<'_> {
    /// Goes through a page that was read after this very cursor, up to `head`: what is above it comes through the feed.
    pub(super) fn page(
        &mut self,
        page: &FramedPage,
        head: Option<u64>,
        silent_gap: bool,
    ) -> Result<(), Stopped> {
        match page.found {
            Found::Here => {}
            Found::Fork { keep } => self.fork(keep)?,
            Found::Reset => self.reset(page.base())?,
        }
        let wanted = self.cursor.newest().map_or(1, |newest| newest.offset + 1);
        if page.first > wanted
            && page.found != Found::Reset
            && !(silent_gap && page.entries.is_empty())
        {
            self.gap(page.base())?;
        }
        for entry in &page.entries {
            if head.is_none_or(|head| entry.entry().at.offset > head) {
                break;
            }
            self.entry(entry)?;
        }
        Ok(())
    }

    /// The next entry.
    pub(super) fn entry(&mut self, entry: &EntryFrames) -> Result<(), Stopped> {
        let at = entry.entry().at;
        let newest = self.cursor.newest();
        let other_epoch = newest.is_none_or(|newest| newest.epoch != at.epoch);
        if let Some(frame) = entry.frame(self.format, self.derive) {
            if other_epoch && self.format != Format::Text {
                self.hand(&[&epoch(self.room, at), frame], Told::Entry)?;
            } else {
                self.hand(&[frame], Told::Entry)?;
            }
        }
        self.cursor.advance(at);
        Ok(())
    }

    fn fork(&mut self, keep: Position) -> Result<(), Stopped> {
        self.tell(&fork(self.room, keep))?;
        self.cursor.fork(keep);
        Ok(())
    }

    fn gap(&mut self, to: Option<Position>) -> Result<(), Stopped> {
        let from = self.cursor.newest().map_or(1, |newest| newest.offset + 1);
        self.tell(&gap(self.room, from, to))?;
        if let Some(to) = to {
            self.cursor.advance(to);
        }
        Ok(())
    }

    fn reset(&mut self, to: Option<Position>) -> Result<(), Stopped> {
        self.tell(&reset(self.room, to))?;
        self.cursor = Cursor::at(to);
        Ok(())
    }

    /// Plain text readers are told nothing about the stream.
    fn tell(&mut self, frame: &Frame) -> Result<(), Stopped> {
        if self.format == Format::Text {
            return Ok(());
        }
        self.hand(&[frame], Told::Control)
    }

    fn hand(&mut self, frames: &[&Frame], told: Told) -> Result<(), Stopped> {
        if (self.emit)(frames, told) {
            Ok(())
        } else {
            Err(Stopped)
        }
    }
}
