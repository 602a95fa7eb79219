//! One transaction of the writer: many appends and visits, one commit. What the writer knows of the rooms is changed on a copy,
//! which takes effect when the commit has returned.

use std::collections::{HashMap, HashSet};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    chain::{Hash, Link, VisitLink},
    order::{OwnedAppend, Visit},
    rooms::{RoomRow, Rooms, position, stored},
};
use crate::{
    domain::{
        entry::{Body, Entry},
        ids::Producer,
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::{
        AppendError, Durability, Placed, StateVersion,
        decide::{Decision, RoomView, Seen, decide},
        retention::Retention,
    },
};

/// Entries beyond what a room keeps that are let lie until the next sweep: readers do not see them, and deleting one with each
/// message would cost a commit each.
const SURPLUS: u64 = 256;

/// A transaction that is under way on `connection`.
pub(super) struct Batch<'a> {
    connection: &'a Connection,
    rooms: &'a Rooms,
    retention: &'a Retention,
    epoch: Epoch,
    changed: HashMap<RoomId, RoomRow>,
    surplus: HashSet<RoomId>,
    created: u64,
    restarted: u64,
}

/// What a committed batch has changed.
pub(super) struct Done {
    /// The rooms as they are now.
    pub(super) changed: HashMap<RoomId, RoomRow>,
    /// Rooms with more entries than they keep.
    pub(super) surplus: HashSet<RoomId>,
    /// Rooms that began.
    pub(super) created: u64,
    /// Rooms that go on from an earlier run.
    pub(super) restarted: u64,
}

/// An append that was decided: the answer, and the entry if one was placed.
pub(super) type Decided = (Result<Placed, AppendError>, Option<Entry>);

/// What the file knows of a producer.
struct Known {
    seen: Seen,
    ts: u64,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        rooms: &'a Rooms,
        retention: &'a Retention,
        epoch: Epoch,
    ) -> Self {
        Self {
            connection,
            rooms,
            retention,
            epoch,
            changed: HashMap::new(),
            surplus: HashSet::new(),
            created: 0,
            restarted: 0,
        }
    }

    /// Decides an append and writes what it places.
    pub(super) fn append(
        &mut self,
        room: &RoomId,
        what: &OwnedAppend,
        now: u64,
    ) -> rusqlite::Result<Decided> {
        let mut row = self.row(room)?;
        let known = match row.id {
            Some(id) => self.known(id, what.id.producer, now)?,
            None => None,
        };
        let view = RoomView {
            seen: known.as_ref().map(|known| known.seen),
            state: row.state,
        };
        match decide(&view, &what.borrowed()) {
            Decision::Reject(why) => Ok((Err(AppendError::Rejected(why)), None)),
            Decision::Duplicate(at) => {
                let ts = known.map_or(0, |known| known.ts);
                Ok((Ok(placed(at, ts, true)), None))
            }
            Decision::Append => {
                let entry = self.place(room, &mut row, what, now)?;
                let answer = placed(Some(entry.at), entry.ts, false);
                let count = self.retention.of(room).count;
                if row.kept() > count.saturating_add(SURPLUS) {
                    self.surplus.insert(room.clone());
                }
                self.changed.insert(room.clone(), row);
                Ok((Ok(answer), Some(entry)))
            }
        }
    }

    /// Writes who came and went.
    pub(super) fn visits(
        &mut self,
        room: &RoomId,
        visits: &[Visit],
        now: u64,
    ) -> rusqlite::Result<()> {
        let mut row = self.row(room)?;
        let id = row.ensure(self.connection, room)?;
        for visit in visits {
            let salt = salt();
            let link = VisitLink {
                offset: row.head.map_or(0, |head| head.offset),
                ts: now,
                user: visit.user.as_str(),
                act: visit.act.word(),
                digest: Hash::of_content(&salt, visit.nick.as_bytes()),
            };
            row.visits = row.visits.after_visit(&link);
            self.connection
                .prepare_cached(
                    "INSERT INTO visit (room, off, ts, user, act, nick, salt, digest, chain) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                )?
                .execute(params![
                    id,
                    link.offset.cast_signed(),
                    link.ts.cast_signed(),
                    link.user,
                    visit.act.number(),
                    visit.nick,
                    salt,
                    link.digest.as_bytes(),
                    row.visits.as_bytes(),
                ])?;
        }
        self.changed.insert(room.clone(), row);
        Ok(())
    }

    /// Writes the rooms' rows. What is returned is true once the transaction is committed.
    pub(super) fn finish(self) -> rusqlite::Result<Done> {
        for row in self.changed.values() {
            row.store(self.connection)?;
        }
        Ok(Done {
            changed: self.changed,
            surplus: self.surplus,
            created: self.created,
            restarted: self.restarted,
        })
    }

    fn row(&self, room: &RoomId) -> rusqlite::Result<RoomRow> {
        match self.changed.get(room) {
            Some(row) => Ok(row.clone()),
            None => self.rooms.get(self.connection, room),
        }
    }

    fn known(&self, room: i64, producer: Producer, now: u64) -> rusqlite::Result<Option<Known>> {
        self.connection
            .prepare_cached(
                "SELECT seq, off, epoch, hash, ts FROM producer WHERE room = ?1 AND producer = ?2 AND expires > ?3",
            )?
            .query_row(
                params![room, producer_key(producer), now.cast_signed()],
                |row| {
                    let at = position(row.get(1)?, row.get(2)?);
                    Ok(at.map(|at| {
                        let seen = |seq: i64, hash: i64| Seen {
                            seq: seq.cast_unsigned(),
                            at,
                            text_hash: u32::try_from(hash).ok(),
                        };
                        Ok::<_, rusqlite::Error>(Known {
                            seen: seen(row.get(0)?, row.get(3)?),
                            ts: row.get::<_, i64>(4)?.cast_unsigned(),
                        })
                    }))
                },
            )
            .optional()?
            .flatten()
            .transpose()
    }

    fn place(
        &mut self,
        room: &RoomId,
        row: &mut RoomRow,
        what: &OwnedAppend,
        now: u64,
    ) -> rusqlite::Result<Entry> {
        let id = row.ensure(self.connection, room)?;
        let at = Position {
            offset: row.next_offset(),
            epoch: self.epoch,
        };
        if row.head.is_none_or(|head| head.epoch != at.epoch) {
            self.begin_epoch(id, at)?;
            self.created += u64::from(row.head.is_none());
            self.restarted += u64::from(row.head.is_some());
        }
        row.ts = row.ts.max(now);
        row.head = Some(at);
        self.insert(id, row, what, at)?;
        if let Some(target) = what.redacts {
            self.redact(id, target, self.retention.of(room).hold)?;
        }
        if let Some(state) = &what.state {
            self.store_state(id, at, state)?;
            row.state = StateVersion(Some(at));
        }
        self.remember(id, row.ts, what, at, now)?;
        Ok(Entry {
            at,
            ts: row.ts,
            id: what.id,
            body: Body::Kept(what.envelope.clone()),
        })
    }

    fn begin_epoch(&self, room: i64, at: Position) -> rusqlite::Result<()> {
        let (offset, epoch) = stored(at);
        self.connection
            .prepare_cached("INSERT INTO epoch (room, start, epoch) VALUES (?1, ?2, ?3)")?
            .execute((room, offset, epoch))?;
        Ok(())
    }

    fn insert(
        &self,
        room: i64,
        row: &mut RoomRow,
        what: &OwnedAppend,
        at: Position,
    ) -> rusqlite::Result<()> {
        let salt = salt();
        let digest = Hash::of_content(&salt, &what.envelope);
        row.chain = row.chain.after(&Link {
            at,
            ts: row.ts,
            id: what.id,
            user: what.by.as_str(),
            digest,
        });
        let (offset, epoch) = stored(at);
        self.connection
            .prepare_cached(
                "INSERT INTO entry (room, off, epoch, ts, producer, seq, user, env, salt, digest, chain) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                room,
                offset,
                epoch,
                row.ts.cast_signed(),
                producer_key(what.id.producer),
                what.id.seq.cast_signed(),
                what.by.as_str(),
                what.envelope.as_ref(),
                salt,
                digest.as_bytes(),
                row.chain.as_bytes(),
            ])?;
        Ok(())
    }

    /// Takes the content; under a legal hold it is only hidden. Nothing at this position: nothing happens.
    fn redact(&self, room: i64, target: Position, hold: bool) -> rusqlite::Result<()> {
        let (offset, epoch) = stored(target);
        let sql = if hold {
            "UPDATE entry SET hidden = 1 WHERE room = ?1 AND off = ?2 AND epoch = ?3"
        } else {
            "UPDATE entry SET env = NULL, salt = NULL WHERE room = ?1 AND off = ?2 AND epoch = ?3"
        };
        self.connection
            .prepare_cached(sql)?
            .execute((room, offset, epoch))?;
        Ok(())
    }

    fn store_state(&self, room: i64, at: Position, state: &[u8]) -> rusqlite::Result<()> {
        let (offset, epoch) = stored(at);
        self.connection
            .prepare_cached(
                "UPDATE room SET state_at = ?2, state_epoch = ?3, state = ?4 WHERE id = ?1",
            )?
            .execute((room, offset, epoch, state))?;
        Ok(())
    }

    fn remember(
        &self,
        room: i64,
        ts: u64,
        what: &OwnedAppend,
        at: Position,
        now: u64,
    ) -> rusqlite::Result<()> {
        let (offset, epoch) = stored(at);
        // A time that does not fit is one that never comes.
        let expires = i64::try_from(now.saturating_add(what.remember_ms)).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO producer (room, producer, seq, off, epoch, ts, hash, expires) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                room,
                producer_key(what.id.producer),
                what.id.seq.cast_signed(),
                offset,
                epoch,
                ts.cast_signed(),
                i64::from(what.text_hash),
                expires,
            ])?;
        Ok(())
    }
}

fn placed(at: Option<Position>, ts: u64, duplicate: bool) -> Placed {
    Placed {
        at,
        ts,
        duplicate,
        durability: Durability::Disk,
    }
}

/// A producer as the file keeps it.
pub(super) fn producer_key(producer: Producer) -> [u8; 14] {
    let mut key = [0; 14];
    let (id, chain) = key.split_at_mut(12);
    id.copy_from_slice(producer.id.as_bytes());
    chain.copy_from_slice(&producer.chain.to_be_bytes());
    key
}

fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt).expect("a system without a random source can open no session");
    salt
}
