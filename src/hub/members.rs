//! The members of one room: a dense list that the fan-out walks, with stable places so that leaving costs nothing.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;

use crate::{
    domain::{
        cursor::Cursor,
        ids::{SessionId, UserId},
        nickname::Nickname,
    },
    outbound::{entry_frames::Format, outbox::Outbox},
};

/// A session in a room: a cursor, never a queue.
#[derive(Debug)]
pub(super) struct Member {
    key: MemberKey,
    pub(super) outbox: Outbox,
    pub(super) format: Format,
    pub(super) place: Place,
    /// The last presence frame that it was told.
    pub(super) presence_at: u64,
    /// It has not been told any yet.
    pub(super) is_new: bool,
    pub(super) shared: Arc<MemberShared>,
}

/// Where a member stands.
#[derive(Debug)]
pub(super) enum Place {
    /// Level with the room's head: gets what is appended.
    Tail,
    /// Behind: nothing is queued for it, its session pulls from here.
    Lag(Box<Cursor>),
}

/// What room and membership both look at.
#[derive(Debug)]
pub(super) struct MemberShared {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    nick: Mutex<Nickname>,
    lags: AtomicBool,
}

/// Finds a member, and only that one: a place that was given to another has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemberKey {
    slot: usize,
    number: u64,
}

/// The list.
#[derive(Debug)]
pub(super) struct Members {
    slots: Vec<Option<Member>>,
    free: Vec<usize>,
    next_number: u64,
    len: usize,
    lagging: usize,
    /// Members of the node that lag.
    slow_consumers: Gauge,
}

impl MemberShared {
    pub(super) fn new(session: SessionId, user: UserId, nick: Nickname) -> Self {
        Self {
            session,
            user,
            nick: Mutex::new(nick),
            lags: AtomicBool::new(false),
        }
    }

    pub(super) fn nick(&self) -> Nickname {
        self.nick.lock().clone()
    }

    /// Gives it another name, unless it no longer has the one that yielded.
    pub(super) fn rename(&self, was: &Nickname, nick: &Nickname) {
        let mut held = self.nick.lock();
        if *held == *was {
            *held = nick.clone();
        }
    }

    pub(super) fn lags(&self) -> bool {
        self.lags.load(Ordering::Acquire)
    }
}

impl Members {
    pub(super) fn new(slow_consumers: Gauge) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            next_number: 0,
            len: 0,
            lagging: 0,
            slow_consumers,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether somebody lags.
    pub(super) fn any_lags(&self) -> bool {
        self.lagging > 0
    }

    pub(super) fn insert(
        &mut self,
        outbox: Outbox,
        format: Format,
        presence_at: u64,
        shared: Arc<MemberShared>,
    ) -> MemberKey {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let key = MemberKey {
            slot,
            number: self.next_number,
        };
        self.next_number += 1;
        let member = Some(Member {
            key,
            outbox,
            format,
            place: Place::Tail,
            presence_at,
            is_new: true,
            shared,
        });
        match self.slots.get_mut(slot) {
            Some(place) => *place = member,
            None => self.slots.push(member),
        }
        self.len += 1;
        key
    }

    pub(super) fn remove(&mut self, key: MemberKey) -> Option<Member> {
        self.get(key)?;
        let member = self.slots.get_mut(key.slot)?.take()?;
        self.len -= 1;
        if matches!(member.place, Place::Lag(_)) {
            self.lagging -= 1;
            self.slow_consumers.dec();
        }
        if self.len == 0 {
            self.slots = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(key.slot);
        }
        Some(member)
    }

    pub(super) fn get(&self, key: MemberKey) -> Option<&Member> {
        self.slots
            .get(key.slot)?
            .as_ref()
            .filter(|member| member.key == key)
    }

    pub(super) fn get_mut(&mut self, key: MemberKey) -> Option<&mut Member> {
        self.slots
            .get_mut(key.slot)?
            .as_mut()
            .filter(|member| member.key == key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.slots.iter().flatten()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.slots.iter_mut().flatten()
    }

    /// Offers something to every member at the tail, in place. `Err` from `offer` means that there was no room: the member
    /// falls back to `cursor`, and its session is told to pull.
    pub(super) fn offer_at_tail(
        &mut self,
        cursor: &Cursor,
        mut offer: impl FnMut(&Member) -> Result<(), NoRoom>,
    ) {
        for member in self.slots.iter_mut().flatten() {
            if matches!(member.place, Place::Tail) && offer(member).is_err() {
                member.fall_back(cursor.clone());
                self.lagging += 1;
                self.slow_consumers.inc();
            }
        }
    }

    /// Wakes the sessions of members that lag and have room, though nothing of theirs may wait.
    pub(super) fn nudge_lagging(&self) {
        if !self.any_lags() {
            return;
        }
        for member in self.iter() {
            if matches!(member.place, Place::Lag(_)) && member.outbox.is_half_empty() {
                member.outbox.nudge();
            }
        }
    }

    /// The member goes on from this cursor by itself.
    pub(super) fn fall_back(&mut self, key: MemberKey, cursor: Cursor) {
        if let Some(member) = self.get_mut(key) {
            let was_at_tail = matches!(member.place, Place::Tail);
            member.fall_back(cursor);
            if was_at_tail {
                self.lagging += 1;
                self.slow_consumers.inc();
            }
        }
    }

    /// The member is level with the head.
    pub(super) fn catch_up(&mut self, key: MemberKey) {
        if let Some(member) = self.get_mut(key)
            && matches!(member.place, Place::Lag(_))
        {
            member.place = Place::Tail;
            member.shared.lags.store(false, Ordering::Release);
            self.lagging -= 1;
            self.slow_consumers.dec();
        }
    }
}

/// An outbox had no room.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoRoom;

impl Member {
    fn fall_back(&mut self, cursor: Cursor) {
        self.place = Place::Lag(Box::new(cursor));
        self.shared.lags.store(true, Ordering::Release);
        self.outbox.nudge();
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        let lagging = i64::try_from(self.lagging).unwrap_or(i64::MAX);
        self.slow_consumers.dec_by(lagging);
    }
}
