//! Reaching further down: a thousand who come back from just below the ring cost one read.

use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use crate::{
    domain::position::Position,
    hub::{
        Hub,
        agenda::Job,
        room::{Room, State},
    },
    log::Page,
    outbound::entry_frames::EntryFrames,
};

impl Hub {
    /// Waits until the ring reaches `missing` entries further down, if it does so in time.
    pub(super) async fn backfilled(&self, room: &Arc<Room>, missing: u32, deadline: Instant) {
        let changed = room.changed.notified();
        {
            let mut state = room.state.lock();
            // When one is on its way already, who needs more than it brings reads for himself.
            if state.backfill.is_none() {
                state.backfill = Some(missing.max(self.settings.history_page_max));
                self.agenda.now(Job::Backfill(Arc::clone(room)));
            }
        }
        timeout_at(deadline, changed).await.ok(); // too late is no error: the log is read instead
    }

    pub(super) async fn backfill(self: Arc<Self>, room: Arc<Room>) {
        let asked = {
            let state = room.state.lock();
            let next = state.head().map_or(1, |head| head.offset + 1);
            state
                .backfill
                .map(|wanted| (state.ring.first().unwrap_or(next), wanted, state.erasures))
        };
        if asked.is_some() {
            self.metrics.log_backfills.inc();
        }
        if let Some((below, wanted, erasures)) = asked
            && let Ok(page) = self.engine.before(&room.id, Some(below), wanted).await
        {
            let entries: Vec<Arc<EntryFrames>> = page
                .entries
                .iter()
                .map(|entry| self.frames(&room.id, entry.clone()))
                .collect();
            let mut state = room.state.lock();
            if state.erasures == erasures && state.joins_below(&page, below) {
                state.first_kept = state.first_kept.max(page.first);
                state.ring.push_below(entries);
            }
        }
        room.state.lock().backfill = None;
        room.changed.notify_waiters();
    }
}

impl State {
    /// Whether a page ends where the ring begins, in the same history: the log's newest epoch is this node's, and it has not
    /// been set back, so what lies below is what lay below.
    fn joins_below(&self, page: &Page, below: u64) -> bool {
        let next = self.head().map_or(1, |head| head.offset + 1);
        let ring_first = self.ring.first().unwrap_or(next);
        let same_history = |ours: Position, theirs: Position| {
            ours.epoch == theirs.epoch && ours.offset <= theirs.offset
        };
        let same = match (self.head(), page.head) {
            (Some(ours), Some(theirs)) => same_history(ours, theirs),
            _ => false,
        };
        let touches = page
            .entries
            .last()
            .is_some_and(|entry| entry.at.offset + 1 == below);
        same && touches && ring_first == below
    }
}
