//! The rooms that live on this node: found by name in locked shards, so that no two busy rooms meet often. A session holds
//! its room, so the hot path looks nothing up but what the feed brings.

use std::{
    collections::HashMap,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{domain::room_name::RoomId, hub::room::Room};

const SHARDS: usize = 64;

/// There are as many rooms as this node may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// `SipHash` with a key of this process: room names are the clients'.
#[cfg(not(test))]
type Hasher = std::hash::RandomState;
/// With the same key always, so that a seed of the simulation is a schedule.
#[cfg(test)]
type Hasher = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;

type Shard = HashMap<RoomId, Arc<Room>, Hasher>;

/// The table.
#[derive(Debug)]
pub(super) struct Rooms {
    hasher: Hasher,
    shards: Box<[Mutex<Shard>]>,
    len: AtomicUsize,
    max: usize,
}

impl Rooms {
    pub(super) fn new(max: usize) -> Self {
        Self {
            hasher: Hasher::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            len: AtomicUsize::new(0),
            max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// The room, if it lives here.
    pub(super) fn find(&self, id: &RoomId) -> Option<Arc<Room>> {
        self.shard(id).lock().get(id).map(Arc::clone)
    }

    /// The room, made if it is not there.
    pub(super) fn open(&self, id: &RoomId, make: impl FnOnce() -> Room) -> Result<Arc<Room>, Full> {
        let mut shard = self.shard(id).lock();
        if let Some(room) = shard.get(id) {
            return Ok(Arc::clone(room));
        }
        // Counted first: shards are many, the bound is one.
        if self.len.fetch_add(1, Ordering::Relaxed) >= self.max {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        let room = Arc::new(make());
        shard.insert(id.clone(), Arc::clone(&room));
        Ok(room)
    }

    /// Goes through one part of the rooms, of as many parts as there are: forgets those that nobody but the table holds and
    /// that are `idle`, and returns those that `want` to be looked after. Whoever finds a room does so under the lock that is
    /// held here, so none is forgotten under somebody's hands.
    pub(super) fn sweep(
        &self,
        part: usize,
        parts: usize,
        idle: impl Fn(&Room) -> bool,
        want: impl Fn(&Room) -> bool,
    ) -> Vec<Arc<Room>> {
        let mut wanting = Vec::new();
        for shard in self.shards.iter().skip(part).step_by(parts) {
            let mut shard = shard.lock();
            let before = shard.len();
            shard.retain(|_, room| !(Arc::strong_count(room) == 1 && idle(room)));
            self.len.fetch_sub(before - shard.len(), Ordering::Relaxed);
            wanting.extend(shard.values().filter(|room| want(room)).map(Arc::clone));
        }
        wanting
    }

    /// Forgets this very room, whoever holds it: it is broken, and the next one who asks gets it anew from the log.
    pub(super) fn abandon(&self, room: &Arc<Room>) {
        let mut shard = self.shard(&room.id).lock();
        if shard
            .get(&room.id)
            .is_some_and(|held| Arc::ptr_eq(held, room))
        {
            shard.remove(&room.id);
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// All rooms.
    pub(super) fn all(&self) -> Vec<Arc<Room>> {
        self.shards
            .iter()
            .flat_map(|shard| shard.lock().values().map(Arc::clone).collect::<Vec<_>>())
            .collect()
    }

    fn shard(&self, id: &RoomId) -> &Mutex<Shard> {
        let index = self.hasher.hash_one(id) % (SHARDS as u64);
        &self.shards[usize::try_from(index).expect("below 64")]
    }
}
