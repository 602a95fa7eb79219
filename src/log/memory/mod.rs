//! The log in this process: [`decide`](super::decide) over maps. Appends come from the hub, entries go back to it through
//! the feed. A restart forgets everything, and says so: each process start is an epoch of its own, so every old cursor gets
//! `reset`.

mod room;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    clock::Clock,
    config::{limits::Limits, log::Log, rooms::Room},
    domain::{
        cursor::Cursor, ids::SessionId, ids::UserId, nickname::Nickname, position::Epoch,
        position::Position, room_name::RoomId,
    },
    log::{
        Append, AppendError, Durability, Engine, Entered, Erased, Facts, Feed, Follow, Fut, Health,
        Page, Placed, Rejected, RoomLog, Seat, Seats, StateVersion, Unavailable,
        local::{counters::Counters, feed::FeedEnd, seats::LocalSeats},
        memory::room::RoomEntries,
        retention::{Keep, Retention},
    },
    telemetry::metrics::Metrics,
};

const ENGINE: &str = "memory";
/// Locks, each over its share of the rooms: two busy rooms seldom wait for each other.
const SHARDS: usize = 64;
/// After so many appends a shard looks through all of its rooms for what has expired, so that idle ones forget, too.
const SWEEP_EVERY: u32 = 1024;
/// What a caller of a closed engine is told; the process is about to end.
const CLOSED_RETRY: Duration = Duration::from_secs(1);

/// The bounds of the engine.
#[derive(Clone, Debug)]
pub struct MemorySettings {
    /// What rooms keep. A legal hold is not for an engine that forgets.
    pub retention: Retention,
    /// Most bytes of an envelope, and of a state document.
    pub envelope_max: usize,
    /// Entries waiting in the feed; above it the feed is Suspect and the hub reads again.
    pub feed_entries_max: usize,
    /// Bytes waiting in the feed; likewise.
    pub feed_bytes_max: usize,
}

impl MemorySettings {
    /// From `[log]`, `[[rooms]]` and `[limits]`.
    pub fn new(log: &Log, rooms: &[Room], limits: &Limits) -> Self {
        Self {
            retention: Retention::new(log, rooms),
            envelope_max: limits.envelope_bytes_max,
            feed_entries_max: limits.feed_entries_max,
            feed_bytes_max: limits.feed_bytes_max,
        }
    }
}

/// The engine.
#[derive(Debug)]
pub struct MemoryEngine {
    settings: MemorySettings,
    epoch: Epoch,
    clock: Clock,
    hasher: RandomState,
    logs: Box<[Mutex<LogShard>]>,
    seats: LocalSeats,
    feed: FeedEnd,
    closed: AtomicBool,
    health: watch::Sender<Health>,
    metrics: Arc<Metrics>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct LogShard {
    rooms: HashMap<RoomId, RoomEntries>,
    since_sweep: u32,
}

impl MemoryEngine {
    /// An empty log of a new epoch.
    pub fn new(settings: MemorySettings, clock: Clock, metrics: Arc<Metrics>) -> Self {
        let (health, _) = watch::channel(Health::Ok);
        metrics
            .log_writable
            .get_or_create(&[("engine", ENGINE)])
            .set(1);
        Self {
            epoch: Epoch::mint(clock.unix_s(), fastrand::u32(..)),
            clock,
            hasher: RandomState::new(),
            logs: (0..SHARDS).map(|_| Mutex::default()).collect(),
            seats: LocalSeats::new(),
            feed: FeedEnd::new(settings.feed_entries_max, settings.feed_bytes_max),
            closed: AtomicBool::new(false),
            health,
            counters: Counters::new(&metrics, ENGINE),
            metrics,
            settings,
        }
    }

    fn log_shard(&self, room: &RoomId) -> &Mutex<LogShard> {
        &self.logs[self.shard(room)]
    }

    fn shard(&self, room: &RoomId) -> usize {
        usize::try_from(self.hasher.hash_one(room) % (SHARDS as u64)).expect("below 64")
    }

    fn place(&self, room: &RoomId, what: &Append<'_>) -> Result<Placed, AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(AppendError::Rejected(Rejected::Unavailable {
                retry_after: CLOSED_RETRY,
            }));
        }
        let max = self.settings.envelope_max;
        if what.envelope.len() > max || what.state.is_some_and(|state| state.len() > max) {
            return Err(AppendError::Rejected(Rejected::TooLarge { max }));
        }
        let keep = self.settings.retention.of(room);
        let mut shard = self.log_shard(room).lock();
        shard.sweep(self.clock.unix_ms(), &self.settings.retention);
        let now = self.clock.unix_ms();
        let (placed, entry) = if let Some(entries) = shard.rooms.get_mut(room) {
            entries.append(what, self.epoch, now)?
        } else {
            let mut entries = RoomEntries::default();
            let done = entries.append(what, self.epoch, now)?;
            shard.rooms.insert(room.clone(), entries);
            self.metrics
                .log_epochs
                .get_or_create(&[("cause", "created")])
                .inc();
            done
        };
        if let Some(entry) = entry {
            if let Some(entries) = shard.rooms.get_mut(room) {
                entries.trim(&keep, now);
            }
            // Under the shard's lock, so that the feed has a room's entries in the order of their offsets.
            self.feed.send(Feed::Entry(room.clone(), entry));
        }
        Ok(placed)
    }

    fn page(&self, room: &RoomId, read: impl FnOnce(&RoomEntries) -> Page) -> Page {
        let started = Instant::now();
        let keep = self.settings.retention.of(room);
        let mut shard = self.log_shard(room).lock();
        let page = match shard.rooms.get_mut(room) {
            Some(entries) => {
                entries.trim(&keep, self.clock.unix_ms());
                read(entries)
            }
            None => read(&RoomEntries::default()),
        };
        drop(shard);
        self.counters
            .read_seconds
            .observe(started.elapsed().as_secs_f64());
        page
    }
}

impl LogShard {
    fn sweep(&mut self, now: u64, retention: &Retention) {
        self.since_sweep += 1;
        if self.since_sweep < SWEEP_EVERY {
            return;
        }
        self.since_sweep = 0;
        for (room, entries) in &mut self.rooms {
            entries.forget_expired(now, &retention.of(room));
        }
    }
}

impl RoomLog for MemoryEngine {
    fn append<'a>(
        &'a self,
        room: &'a RoomId,
        what: Append<'a>,
    ) -> Fut<'a, Result<Placed, AppendError>> {
        Box::pin(async move {
            let started = Instant::now();
            let answer = self.place(room, &what);
            self.counters.count(&answer);
            self.counters
                .append_seconds
                .observe(started.elapsed().as_secs_f64());
            answer
        })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: &'a Cursor,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        Box::pin(async move { Ok(self.page(room, |entries| entries.after(after, limit))) })
    }

    fn before<'a>(
        &'a self,
        room: &'a RoomId,
        offset: Option<u64>,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        Box::pin(async move { Ok(self.page(room, |entries| entries.before(offset, limit))) })
    }

    fn heads<'a>(
        &'a self,
        rooms: &'a [RoomId],
    ) -> Fut<'a, Result<Vec<Option<Position>>, Unavailable>> {
        let head = |room| {
            self.log_shard(room)
                .lock()
                .rooms
                .get(room)
                .and_then(RoomEntries::head)
        };
        Box::pin(async move { Ok(rooms.iter().map(head).collect()) })
    }

    fn state<'a>(
        &'a self,
        room: &'a RoomId,
    ) -> Fut<'a, Result<(StateVersion, Bytes), Unavailable>> {
        Box::pin(async move {
            let shard = self.log_shard(room).lock();
            Ok(shard
                .rooms
                .get(room)
                .map(RoomEntries::state)
                .unwrap_or_default())
        })
    }

    fn facts(&self) -> Facts {
        Facts {
            engine: ENGINE,
            durability: Durability::Memory,
            verified: true,
            envelope_max: self.settings.envelope_max,
            many_nodes: false,
        }
    }

    fn keep(&self, room: &RoomId) -> Keep {
        self.settings.retention.of(room)
    }

    fn erase(&self, user: UserId) -> Fut<'_, Result<Erased, Unavailable>> {
        Box::pin(async move {
            let mut erased = Erased::default();
            for shard in &self.logs {
                for (room, entries) in &mut shard.lock().rooms {
                    let messages = entries.erase(user);
                    if messages > 0 {
                        erased.messages += messages;
                        erased.rooms.push(room.clone());
                    }
                }
            }
            Ok(erased)
        })
    }
}

impl Follow for MemoryEngine {
    fn feed(&self) -> mpsc::Receiver<Feed> {
        self.feed.take()
    }

    fn cast<'a>(&'a self, room: &'a RoomId, body: Bytes) -> Fut<'a, ()> {
        Box::pin(async move { self.feed.send(Feed::Cast(room.clone(), body)) })
    }
}

impl Seats for MemoryEngine {
    fn enter<'a>(&'a self, room: &'a RoomId, seat: Seat) -> Fut<'a, Result<Entered, Unavailable>> {
        Box::pin(async move { Ok(self.seats.enter(room, &seat, &self.feed).0) })
    }

    fn leave<'a>(
        &'a self,
        room: &'a RoomId,
        session: SessionId,
    ) -> Fut<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            self.seats.leave(room, session, &self.feed);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        room: &'a RoomId,
        limit: u32,
    ) -> Fut<'a, Result<(u64, Vec<Seat>), Unavailable>> {
        Box::pin(async move { Ok(self.seats.list(room, limit)) })
    }

    fn holder<'a>(
        &'a self,
        room: &'a RoomId,
        nick: &'a Nickname,
    ) -> Fut<'a, Result<Option<Seat>, Unavailable>> {
        Box::pin(async move { Ok(self.seats.holder(room, nick)) })
    }
}

impl Engine for MemoryEngine {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            self.closed.store(true, Ordering::Release);
            self.health.send_replace(Health::Down);
            self.metrics
                .log_writable
                .get_or_create(&[("engine", ENGINE)])
                .set(0);
        })
    }
}
