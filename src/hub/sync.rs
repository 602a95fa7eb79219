//! How a room comes level with the log: one read at a time per room, whatever the number of those who wait for it.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    domain::position::Position,
    hub::{
        Hub,
        agenda::Job,
        room::{Room, State},
        sabotage::Sabotage,
        stream,
    },
    log::{Found, Page, Unavailable},
    outbound::entry_frames::EntryFrames,
};

/// Entries of the first read; doubled at each, so that it overtakes a busy room.
const FIRST_LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 1000;
/// Between reads that ended where they began.
const PAUSE: Duration = Duration::from_millis(100);

/// What the feed brings while the log is read.
#[derive(Debug, Default)]
pub(super) struct SyncBuffer {
    entries: Vec<Arc<EntryFrames>>,
    bytes: usize,
    /// Something came that one more read must explain, or the buffer was full.
    again: bool,
}

impl SyncBuffer {
    pub(super) fn push(&mut self, entry: Arc<EntryFrames>, hub: &Hub) {
        if self.again {
            return; // the next read has it
        }
        self.bytes += entry.cost();
        let settings = &hub.settings;
        let full =
            self.entries.len() >= settings.sync_entries_max || self.bytes > settings.sync_bytes_max;
        if full && !hub.switch.breaks(Sabotage::UnboundedSyncBuffer) {
            *self = Self {
                again: true,
                ..Self::default()
            };
        } else {
            self.entries.push(entry);
        }
    }

    /// Entries and bytes that it holds.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    pub(super) fn again(&mut self) {
        self.again = true;
    }
}

/// What a read led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Live,
    /// There is more in the log.
    More,
    /// The feed and the page do not fit together.
    Again,
}

impl Hub {
    /// Reads until the room is level with the log.
    pub(super) async fn sync(self: Arc<Self>, room: Arc<Room>) {
        // Fair and bounded: after an outage every room of the node wants to read.
        let Ok(_slot) = self.reads.acquire().await else {
            return;
        };
        let mut limit = FIRST_LIMIT
            .max(self.settings.history_page_max)
            .min(LIMIT_MAX);
        let mut tries = 0;
        loop {
            let outcome = match self.sync_once(&room, limit).await {
                Ok(outcome) => outcome,
                Err(Unavailable { retry_after }) => {
                    // The buffer stays, so that nobody starts a second sync; the next read makes it anew.
                    room.state.lock().outage = Some(retry_after);
                    room.changed.notify_waiters();
                    self.agenda
                        .at(Instant::now() + retry_after, Job::Sync(room));
                    return;
                }
            };
            match outcome {
                Outcome::Live => break,
                Outcome::More => {}
                Outcome::Again => {
                    tries += 1;
                    if tries > 1 {
                        sleep_until(Instant::now() + PAUSE).await;
                    }
                }
            }
            limit = (limit * 2).min(LIMIT_MAX);
        }
        // Who waited for this to come level is told so.
        room.state.lock().members.nudge_lagging();
        room.changed.notify_waiters();
    }

    async fn sync_once(&self, room: &Arc<Room>, limit: u32) -> Result<Outcome, Unavailable> {
        if !room.state.lock().listed {
            self.list_people(room).await?;
        }
        let (cursor, erasures) = {
            let mut state = room.state.lock();
            // What came before the read is in the read, or is of a dead branch.
            state.sync = Some(SyncBuffer::default());
            (state.known.then(|| state.cursor.clone()), state.erasures)
        };
        let page = match &cursor {
            Some(cursor) => self.engine.read(&room.id, cursor, limit).await?,
            None => self.engine.before(&room.id, None, limit).await?,
        };
        let entries: Vec<Arc<EntryFrames>> = page
            .entries
            .iter()
            .map(|entry| self.frames(&room.id, entry.clone()))
            .collect();
        for entry in &entries {
            room.warm(self, entry);
        }
        let mut state = room.state.lock();
        state.outage = None;
        if state.erasures != erasures {
            return Ok(Outcome::Again);
        }
        Ok(state.take_page(room, &page, entries, self))
    }
}

impl State {
    fn take_page(
        &mut self,
        room: &Room,
        page: &Page,
        entries: Vec<Arc<EntryFrames>>,
        hub: &Hub,
    ) -> Outcome {
        if self.known {
            match page.found {
                Found::Here => {}
                Found::Fork { keep } => self.fork(room, keep, hub),
                Found::Reset => self.reset(room, stream::base(page), hub),
            }
            let next = self.head().map_or(1, |head| head.offset + 1);
            if page.first > next && page.found != Found::Reset {
                self.gap(room, stream::base(page), hub);
            }
        } else {
            // Nobody is here yet: the newest page is where the room begins.
            self.cursor = crate::domain::cursor::Cursor::at(stream::base(page));
            self.known = true;
        }
        self.first_kept = page.first;
        let moved = !entries.is_empty();
        for entry in entries {
            self.append_if_next(room, entry, hub);
        }
        if offset(page.head) > offset(self.head()) {
            return if moved { Outcome::More } else { Outcome::Again };
        }
        let buffer = self.sync.take().unwrap_or_default();
        // A room that went cold during the read has a roll to make.
        let mut settled = !buffer.again && self.listed;
        for entry in buffer.entries {
            let at = entry.entry().at;
            let follows = self
                .head()
                .is_some_and(|head| head.epoch == at.epoch && at.offset == head.offset + 1);
            if follows {
                self.append(room, entry, hub);
            } else if !self.covers(at) {
                settled = false;
            }
        }
        if settled {
            return Outcome::Live;
        }
        // Not for an instant without a buffer: the next read starts right away.
        self.sync = Some(SyncBuffer::default());
        Outcome::Again
    }

    fn append_if_next(&mut self, room: &Room, entry: Arc<EntryFrames>, hub: &Hub) {
        if entry.entry().at.offset == offset(self.head()) + 1 {
            self.append(room, entry, hub);
        }
    }

    /// Whether this position lies in what was read: within the part of its epoch that this node has seen.
    fn covers(&self, at: Position) -> bool {
        self.cursor
            .positions()
            .iter()
            .any(|seen| seen.epoch == at.epoch && at.offset <= seen.offset)
    }
}

fn offset(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.offset)
}
