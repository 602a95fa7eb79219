//! What keeps the file in shape: retention, expired producers, erasures. Each is done in small pieces between the batches, so that
//! no message waits for a deletion.

use std::collections::{HashMap, HashSet, VecDeque};

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use super::{
    erasure::Erasure,
    rooms::{RoomRow, Rooms},
    sweep::Sweep,
    trim,
};
use crate::{
    domain::{ids::UserId, room_name::RoomId},
    log::{Erased, retention::Retention},
};

/// Between two sweeps, in milliseconds.
const SWEEP_EVERY_MS: u64 = 60_000;

/// What is to be done.
#[derive(Default)]
pub(super) struct Chores {
    /// Rooms that hold more than they keep, each once.
    trims: VecDeque<RoomId>,
    queued: HashSet<RoomId>,
    erasures: VecDeque<(Erasure, oneshot::Sender<Erased>)>,
    sweep: Option<Sweep>,
    sweep_at: u64,
    /// Done, and to be answered when the commit has returned.
    erased: Option<(oneshot::Sender<Erased>, Erased)>,
}

/// What one piece has changed.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) changed: HashMap<RoomId, RoomRow>,
    /// Entries that went.
    pub(super) removed: u64,
}

/// What the pieces work on.
pub(super) struct Place<'a> {
    pub(super) connection: &'a Connection,
    pub(super) rooms: &'a Rooms,
    pub(super) retention: &'a Retention,
    pub(super) now: u64,
}

impl Chores {
    /// Whether something is to be done at once.
    pub(super) fn pending(&self) -> bool {
        !self.trims.is_empty() || !self.erasures.is_empty() || self.sweep.is_some()
    }

    /// Rooms that hold more than they keep.
    pub(super) fn surplus(&mut self, rooms: impl IntoIterator<Item = RoomId>) {
        for room in rooms {
            if self.queued.insert(room.clone()) {
                self.trims.push_back(room);
            }
        }
    }

    /// Everything that this person said is to go.
    pub(super) fn erase(&mut self, user: UserId, done: oneshot::Sender<Erased>) {
        self.erasures.push_back((Erasure::new(user), done));
    }

    /// Does one piece inside the transaction that is under way; `None` when nothing was changed.
    pub(super) fn piece(&mut self, place: &Place<'_>) -> rusqlite::Result<Option<Piece>> {
        if let Some(room) = self.trims.front() {
            let trimmed = trim::piece(place, room)?;
            if trimmed.is_none()
                && let Some(room) = self.trims.pop_front()
            {
                self.queued.remove(&room);
            }
            return Ok(trimmed);
        }
        if let Some((erasure, _)) = self.erasures.front_mut() {
            let over = erasure.piece(place)?;
            if over && let Some((erasure, done)) = self.erasures.pop_front() {
                self.erased = Some((done, erasure.erased()));
            }
            return Ok(Some(Piece::default()));
        }
        self.swept(place)
    }

    /// The piece is committed.
    pub(super) fn done(&mut self) {
        if let Some((to, erased)) = self.erased.take() {
            // Whoever asked may have gone; it is done all the same.
            to.send(erased).ok();
        }
    }

    fn swept(&mut self, place: &Place<'_>) -> rusqlite::Result<Option<Piece>> {
        if self.sweep.is_none() && place.now >= self.sweep_at {
            self.sweep = Some(Sweep::default());
            self.sweep_at = place.now.saturating_add(SWEEP_EVERY_MS);
        }
        let Some(sweep) = &mut self.sweep else {
            return Ok(None);
        };
        let step = sweep.step(place)?;
        if step.over {
            self.sweep = None;
        }
        self.surplus(step.surplus);
        Ok(step.changed.then(Piece::default))
    }
}

/// The time of a room's entry.
pub(super) fn entry_ts(
    connection: &Connection,
    room: i64,
    offset: u64,
) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT ts FROM entry WHERE room = ?1 AND off = ?2")?
        .query_row((room, offset.cast_signed()), |row| row.get::<_, i64>(0))
        .optional()
        .map(|ts| ts.map(i64::cast_unsigned))
}
