//! The newest entries of one room, kept with their frames, so that whoever resumes or lags costs no read.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{domain::position::Position, outbound::entry_frames::EntryFrames};

/// Entries that a ring holds at most: with `ring_bytes_total_max` the bound on memory, alone the bound on a walk. A log that
/// keeps fewer bounds its rings, too: what retention took is gone.
const RING_ENTRIES_MAX: usize = 1024;

/// Contiguous entries up to the room's head.
#[derive(Debug)]
pub(super) struct Ring {
    entries: VecDeque<Arc<EntryFrames>>,
    cost: usize,
    /// Entries that it holds at most: never more than the log keeps, or it would give what retention took.
    entries_max: usize,
    /// The sum over all rings of the node.
    total: Arc<AtomicUsize>,
}

impl Ring {
    pub(super) fn new(total: &Arc<AtomicUsize>, retention_count: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            cost: 0,
            entries_max: usize::try_from(retention_count)
                .map_or(RING_ENTRIES_MAX, |count| count.min(RING_ENTRIES_MAX)),
            total: Arc::clone(total),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The offset of the oldest entry.
    pub(super) fn first(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.entry().at.offset)
    }

    /// Adds the next entry.
    pub(super) fn push(&mut self, entry: Arc<EntryFrames>) {
        self.add(entry.cost());
        self.entries.push_back(entry);
        if self.entries.len() > self.entries_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.sub(oldest.cost());
        }
    }

    /// Adds what lies directly below, as far as there is room. It was read when the head was where it is now, so what the
    /// entries here delete is empty in it.
    pub(super) fn push_below(&mut self, entries: Vec<Arc<EntryFrames>>) {
        for entry in entries.into_iter().rev() {
            if self.entries.len() >= self.entries_max {
                break;
            }
            self.add(entry.cost());
            self.entries.push_front(entry);
        }
    }

    /// `missing` entries below the oldest, if there is room for all of them.
    pub(super) fn could_take(&self, missing: u64) -> Option<u32> {
        let room = self.entries_max.saturating_sub(self.entries.len());
        u32::try_from(missing)
            .ok()
            .filter(|few| usize::try_from(*few).is_ok_and(|few| few <= room))
    }

    /// Drops what lies above this offset.
    pub(super) fn cut_above(&mut self, offset: u64) {
        while let Some(newest) = self
            .entries
            .pop_back_if(|entry| entry.entry().at.offset > offset)
        {
            self.sub(newest.cost());
        }
    }

    /// Drops what was placed before `ts`.
    pub(super) fn cut_older(&mut self, ts: u64) {
        while let Some(oldest) = self.entries.pop_front_if(|entry| entry.entry().ts < ts) {
            self.sub(oldest.cost());
        }
    }

    /// Takes the content of the entry at this position; its place stays.
    pub(super) fn empty(&mut self, at: Position) {
        let Some(place) = self.index(at.offset) else {
            return;
        };
        let Some(entry) = self.entries.get_mut(place) else {
            return;
        };
        if entry.entry().at != at {
            return;
        }
        let emptied = Arc::new(entry.emptied());
        let (was, is) = (entry.cost(), emptied.cost());
        *entry = emptied;
        self.add(is);
        self.sub(was);
    }

    /// Whose content was taken by an entry that stands here.
    pub(super) fn deleted(&self) -> impl Iterator<Item = Position> {
        self.entries.iter().filter_map(|entry| entry.target())
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.sub(self.cost);
        self.entries = VecDeque::new();
    }

    /// The entry at this offset.
    pub(super) fn at(&self, offset: u64) -> Option<&Arc<EntryFrames>> {
        self.entries.get(self.index(offset)?)
    }

    fn index(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.first()?)?).ok()
    }

    /// The entries from this offset on.
    pub(super) fn from(&self, offset: u64) -> impl DoubleEndedIterator<Item = &EntryFrames> {
        self.shared_from(offset).map(AsRef::as_ref)
    }

    /// Likewise, to be kept beyond the lock.
    pub(super) fn shared_from(
        &self,
        offset: u64,
    ) -> impl DoubleEndedIterator<Item = &Arc<EntryFrames>> {
        let skip = self.first().map_or(0, |first| offset.saturating_sub(first));
        self.entries
            .iter()
            .skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }

    /// Whether the stream can go on from this position out of the ring: it, or the entry after it, stands here in the same
    /// epoch. The second covers a position just below an epoch's first entry, as `gap` names it.
    pub(super) fn continues(&self, position: Position) -> bool {
        [position.offset, position.offset.saturating_add(1)]
            .into_iter()
            .filter_map(|offset| self.at(offset))
            .any(|entry| entry.entry().at.epoch == position.epoch)
            && self.at(position.offset.saturating_add(1)).is_some()
    }

    fn add(&mut self, cost: usize) {
        self.cost += cost;
        self.total.fetch_add(cost, Ordering::Relaxed);
    }

    fn sub(&mut self, cost: usize) {
        self.cost -= cost;
        self.total.fetch_sub(cost, Ordering::Relaxed);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.total.fetch_sub(self.cost, Ordering::Relaxed);
    }
}
