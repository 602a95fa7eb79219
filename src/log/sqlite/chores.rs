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
    /// The first erasure as it is once the piece is committed, and whether it is then over.
    uncommitted: Option<(Erasure, bool)>,
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

    /// Whether there is anything to look at.
    pub(super) fn due(&self, now: u64) -> bool {
        self.pending() || now >= self.sweep_at
    }

    /// Does one piece inside the transaction that is under way; `None` when nothing was changed. Unless [`Chores::done`] follows,
    /// an erasure does it again.
    pub(super) fn piece(&mut self, place: &Place<'_>) -> rusqlite::Result<Option<Piece>> {
        self.uncommitted = None;
        if let Some(room) = self.trims.front() {
            let trimmed = trim::piece(place, room)?;
            if trimmed.is_none()
                && let Some(room) = self.trims.pop_front()
            {
                self.queued.remove(&room);
            }
            return Ok(trimmed);
        }
        if let Some((erasure, _)) = self.erasures.front() {
            let mut next = erasure.clone();
            let over = next.piece(place)?;
            self.uncommitted = Some((next, over));
            return Ok(Some(Piece::default()));
        }
        self.swept(place)
    }

    /// The piece is committed.
    pub(super) fn done(&mut self) {
        let Some((next, over)) = self.uncommitted.take() else {
            return;
        };
        let Some((_, to)) = self.erasures.pop_front() else {
            return;
        };
        if over {
            // Whoever asked may have gone; it is done all the same.
            to.send(next.erased()).ok();
        } else {
            self.erasures.push_front((next, to));
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

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use tokio::sync::oneshot;

    use super::{Chores, Place};
    use crate::{
        domain::ids::UserId,
        log::{
            retention::{Keep, Retention},
            sqlite::rooms::Rooms,
        },
    };

    const FILE: &str = "INSERT INTO room (id, name, head, epoch, first, ts, chain, base, visits, visits_base) \
         VALUES (1, 'lobby', 1, 1, 1, 0, zeroblob(32), zeroblob(32), zeroblob(32), zeroblob(32));
         INSERT INTO entry (room, off, epoch, ts, producer, seq, user, env, salt, digest, chain) \
         VALUES (1, 1, 1, 0, zeroblob(14), 1, 'u_aaaaaaaaaaaaaaaaaaaa', x'77', x'73', zeroblob(32), zeroblob(32))";

    #[test]
    fn a_piece_of_an_erasure_that_was_not_committed_is_done_again() {
        let file = Connection::open_in_memory().expect("memory");
        file.execute_batch(include_str!("schema/1.sql"))
            .expect("a schema");
        file.execute_batch(FILE).expect("an entry");
        let (rooms, retention) = (Rooms::default(), Retention::uniform(Keep::ALL));
        let mut chores = Chores::default();
        let (to, mut erased) = oneshot::channel();
        let user = UserId::parse("u_aaaaaaaaaaaaaaaaaaaa").expect("an id");
        chores.erase(user, to);
        for round in 0..20 {
            let place = Place {
                connection: &file,
                rooms: &rooms,
                retention: &retention,
                now: 0,
            };
            file.execute_batch("BEGIN").expect("begun");
            chores.piece(&place).expect("a piece");
            // The disk is full every other time.
            if round % 2 == 0 {
                file.execute_batch("ROLLBACK").expect("rolled back");
            } else {
                file.execute_batch("COMMIT").expect("committed");
                chores.done();
            }
        }
        assert_eq!(erased.try_recv().expect("answered").messages, 1);
        let left: i64 = file
            .query_row(
                "SELECT count(*) FROM entry WHERE env IS NOT NULL",
                [],
                |row| row.get(0),
            )
            .expect("a number");
        assert_eq!(left, 0, "answered, and still there");
    }
}
