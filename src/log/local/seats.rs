//! The seats of all rooms, in this process. Each change that others can see goes into the feed while its room is locked.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use parking_lot::Mutex;

use crate::{
    domain::{ids::SessionId, nickname::Nickname, room_name::RoomId},
    log::{Entered, Feed, Seat, SeatsChange, local::feed::FeedEnd, local::room_seats::RoomSeats},
};

/// Locks, each over its share of the rooms: two busy rooms seldom wait for each other.
const SHARDS: usize = 64;

/// Who sits where.
#[derive(Debug)]
pub(in crate::log) struct LocalSeats {
    shards: Box<[Mutex<HashMap<RoomId, RoomSeats>>]>,
    hasher: RandomState,
}

impl LocalSeats {
    pub(in crate::log) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Takes a seat; what others can see of it went into the feed and is returned.
    pub(in crate::log) fn enter(
        &self,
        room: &RoomId,
        seat: &Seat,
        feed: &FeedEnd,
    ) -> (Entered, Option<SeatsChange>) {
        let mut shard = self.shard(room).lock();
        let (entered, change) = match shard.get_mut(room) {
            Some(seats) => seats.enter(seat),
            None => shard.entry(room.clone()).or_default().enter(seat),
        };
        tell(feed, room, change.as_ref());
        (entered, change)
    }

    /// Gives a seat back; what others can see of it went into the feed and is returned.
    pub(in crate::log) fn leave(
        &self,
        room: &RoomId,
        session: SessionId,
        feed: &FeedEnd,
    ) -> Option<SeatsChange> {
        let mut shard = self.shard(room).lock();
        let seats = shard.get_mut(room)?;
        let change = seats.leave(session);
        tell(feed, room, change.as_ref());
        if seats.is_empty() {
            shard.remove(room);
        }
        change
    }

    /// How many people sit in the room, and the first `limit` of them.
    pub(in crate::log) fn list(&self, room: &RoomId, limit: u32) -> (u64, Vec<Seat>) {
        let shard = self.shard(room).lock();
        shard.get(room).map_or_else(
            || (0, Vec::new()),
            |seats| (seats.count(), seats.list(limit)),
        )
    }

    /// Who holds this name, or one that looks like it.
    pub(in crate::log) fn holder(&self, room: &RoomId, nick: &Nickname) -> Option<Seat> {
        self.shard(room).lock().get(room)?.holder(nick)
    }

    fn shard(&self, room: &RoomId) -> &Mutex<HashMap<RoomId, RoomSeats>> {
        let shard = usize::try_from(self.hasher.hash_one(room) % (SHARDS as u64));
        &self.shards[shard.expect("below 64")]
    }
}

fn tell(feed: &FeedEnd, room: &RoomId, change: Option<&SeatsChange>) {
    if let Some(change) = change {
        feed.send(Feed::Seats(room.clone(), change.clone()));
    }
}
