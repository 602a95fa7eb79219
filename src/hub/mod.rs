//! The rooms of this node: who is in them, where each member stands in the log, and the fan-out. Commands come from the
//! session with a grant; entries come back from the log through the feed and leave through outboxes.

mod agenda;
mod backfill;
mod entrance;
pub mod erase;
mod fan_out;
pub mod history;
pub mod join;
mod leave;
mod members;
pub mod membership;
mod pager;
mod presence;
pub mod redact;
mod ring;
mod roll;
mod rename;
mod room;
mod rooms;
mod sabotage;
pub mod send;
pub mod settings;
mod slice;
mod status;
mod stream;
mod sync;
mod tick;
mod typing;

use std::{
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    domain::{entry::Entry, room_name::RoomId},
    hub::{
        agenda::{Agenda, Job},
        ring::Ring,
        room::Room,
        rooms::{Full, Rooms},
        sabotage::Switch,
        settings::HubSettings,
        stream::FramedPage,
    },
    log::{Engine, Feed, Page, Unavailable},
    outbound::entry_frames::EntryFrames,
    protocol::codes::CloseCode,
    telemetry::metrics::Metrics,
};

/// Items of the feed that are taken in one go, before other work has its turn.
const FEED_BATCH: usize = 64;
/// Reads of the log at once: an outage ends for every room at the same moment.
const READS_AT_ONCE: usize = 32;

/// The hub. It runs as one task, [`Hub::run`], and spawns none.
pub struct Hub {
    engine: Arc<dyn Engine>,
    settings: HubSettings,
    clock: Clock,
    metrics: Arc<Metrics>,
    meters: Meters,
    rooms: Rooms,
    agenda: Agenda,
    reads: Semaphore,
    ring_bytes: Arc<AtomicUsize>,
    ticks: AtomicU64,
    switch: Switch,
}

/// Handles of metrics with labels that every message or join touches: looking one up costs a lock and a hash.
struct Meters {
    rooms: Gauge,
    sent_by_socket: Counter,
    sent_by_api: Counter,
    deleted_by_socket: Counter,
    deleted_by_api: Counter,
}

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        let sent = |source| {
            let labels = [("kind", "chat"), ("source", source)];
            metrics.messages.get_or_create_owned(&labels)
        };
        let deleted = |source| {
            let labels = [("act", "delete"), ("source", source)];
            metrics.moderation_acts.get_or_create_owned(&labels)
        };
        Self {
            rooms: metrics.rooms.get_or_create_owned(&[("kind", "chat")]),
            sent_by_socket: sent("socket"),
            sent_by_api: sent("api"),
            deleted_by_socket: deleted("socket"),
            deleted_by_api: deleted("api"),
        }
    }
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Hub {
    /// A hub over this log. Nothing happens in it before [`Hub::run`] runs.
    pub fn new(
        engine: Arc<dyn Engine>,
        settings: HubSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Self::with_switch(engine, settings, clock, metrics, Switch::default())
    }

    fn with_switch(
        engine: Arc<dyn Engine>,
        settings: HubSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
        switch: Switch,
    ) -> Arc<Self> {
        Arc::new(Self {
            rooms: Rooms::new(settings.rooms_max),
            agenda: Agenda::default(),
            reads: Semaphore::new(READS_AT_ONCE),
            ring_bytes: Arc::default(),
            ticks: AtomicU64::new(0),
            meters: Meters::new(&metrics),
            engine,
            settings,
            clock,
            metrics,
            switch,
        })
    }

    /// Takes the engine's feed and delivers until `stop`: the one consumer. Also syncs, presence, seats and idle rooms.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut feed = self.engine.feed();
        let mut items = Vec::with_capacity(FEED_BATCH);
        let mut feeding = true;
        let mut health = self.engine.health();
        let mut work: FuturesUnordered<Work> = FuturesUnordered::new();
        let mut stopped = pin!(stop.cancelled());
        let mut due = pin!(self.agenda.next());
        self.agenda.now(Job::Tick);
        loop {
            // In this order, since the feed alone may have something at all times; what stands above it is bounded.
            tokio::select! {
                biased;
                () = &mut stopped => return,
                job = &mut due => {
                    due.set(self.agenda.next());
                    work.extend(self.start(job));
                }
                Some(()) = work.next(), if !work.is_empty() => {}
                Ok(()) = health.changed() => {
                    let health = *health.borrow_and_update();
                    self.tell_status(health);
                }
                count = feed.recv_many(&mut items, FEED_BATCH), if feeding => {
                    feeding = count > 0;
                    for item in items.drain(..) {
                        self.take(item);
                    }
                }
            }
        }
    }

    /// Does what is done in an instant, and returns what waits for the log.
    fn start(self: &Arc<Self>, job: Job) -> Option<Work> {
        let hub = Arc::clone(self);
        match job {
            Job::Sync(room) => Some(self.guarded(&room, hub.sync(Arc::clone(&room)))),
            Job::Backfill(room) => Some(self.guarded(&room, hub.backfill(Arc::clone(&room)))),
            Job::Leave(room) => Some(Box::pin(hub.give_back(room))),
            Job::Cast(room, body) => {
                Some(Box::pin(async move { hub.engine.cast(&room, body).await }))
            }
            Job::Compare => Some(Box::pin(hub.compare())),
            Job::Presence(room) => {
                self.guard(&room, || room.tell_presence(self));
                None
            }
            Job::Tick => {
                self.tick();
                None
            }
        }
    }

    fn take(self: &Arc<Self>, item: Feed) {
        match item {
            Feed::Entry(id, entry) => self.in_room(&id, |room| room.take_entry(self, entry)),
            Feed::Seats(id, change) => self.in_room(&id, |room| room.take_seats(self, &change)),
            Feed::Cast(id, body) => self.in_room(&id, |room| room.take_cast(self, &body)),
            Feed::Suspect(_) => tracing::warn!("the feed of the log has a hole"),
            Feed::Sound(_) => self.agenda.now(Job::Compare),
        }
    }

    fn in_room(self: &Arc<Self>, id: &RoomId, act: impl FnOnce(&Arc<Room>)) {
        if let Some(room) = self.rooms.find(id) {
            self.guard(&room, || act(&room));
        }
    }

    /// A panic over one room stays that room's: its members are closed and come back, the room is made anew from the log.
    fn guard(&self, room: &Arc<Room>, act: impl FnOnce()) {
        if std::panic::catch_unwind(AssertUnwindSafe(act)).is_err() {
            self.abandon(room);
        }
    }

    fn guarded(
        self: &Arc<Self>,
        room: &Arc<Room>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Work {
        let (hub, room) = (Arc::clone(self), Arc::clone(room));
        Box::pin(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                hub.abandon(&room);
            }
        })
    }

    fn abandon(&self, room: &Arc<Room>) {
        tracing::error!(room = %room.id, "the room broke: its members are closed, it is made anew from the log");
        self.rooms.abandon(room);
        self.count_rooms();
        for member in room.state.lock().members.iter() {
            member.outbox.end(CloseCode::Internal);
        }
        room.changed.notify_waiters();
    }

    /// The room, alive on this node.
    fn open(&self, id: &RoomId) -> Result<Arc<Room>, Full> {
        let make = || {
            let keep = self.engine.keep(id);
            let ring = Ring::new(&self.ring_bytes, keep.count);
            Room::new(id.clone(), ring, keep, self.metrics.slow_consumers.clone())
        };
        let room = self.rooms.open(id, make)?;
        self.count_rooms();
        Ok(room)
    }

    fn count_rooms(&self) {
        let rooms = i64::try_from(self.rooms.len()).unwrap_or(i64::MAX);
        self.meters.rooms.set(rooms);
    }

    /// Waits until the room is level with the log. When the log cannot be read or that takes too long, a room that was level
    /// once has to do; one that never was is unavailable.
    async fn settled(&self, room: &Arc<Room>, deadline: Instant) -> Result<(), Unavailable> {
        loop {
            let changed = room.changed.notified();
            let outage = {
                let mut state = room.state.lock();
                if !state.known && state.sync.is_none() {
                    room.need_sync(self, &mut state, None);
                }
                if state.known && (state.sync.is_none() || state.outage.is_some()) {
                    return Ok(());
                }
                state.outage
            };
            if let Some(retry_after) = outage {
                return Err(Unavailable {
                    retry_after: jittered(retry_after),
                });
            }
            if timeout_at(deadline, changed).await.is_err() {
                let known = room.state.lock().known;
                let retry_after = jittered(Duration::from_secs(1));
                return if known {
                    Ok(())
                } else {
                    Err(Unavailable { retry_after })
                };
            }
        }
    }

    fn frames(&self, room: &RoomId, entry: Entry) -> Arc<EntryFrames> {
        let frames = EntryFrames::new(room.clone(), entry);
        if frames.is_poisoned() {
            self.metrics.log_poisoned.inc();
        }
        Arc::new(frames)
    }

    fn framed(&self, room: &RoomId, page: Page) -> FramedPage {
        let frames = |entry| {
            let frames = EntryFrames::new(room.clone(), entry);
            if frames.is_poisoned() {
                self.metrics.log_poisoned.inc();
            }
            frames
        };
        FramedPage {
            found: page.found,
            first: page.first,
            head: page.head,
            entries: page.entries.into_iter().map(frames).collect(),
        }
    }
}

/// Up to twice as long: those who are turned away together do not come back together.
fn jittered(wait: Duration) -> Duration {
    wait + wait.mul_f64(fastrand::f64())
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("rooms", &self.rooms.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "../../tests/hub/testing.rs"]
mod testing;

#[cfg(test)]
#[path = "../../tests/hub/mod.rs"]
mod tests;

#[cfg(test)]
#[path = "../../tests/simulation/mod.rs"]
mod simulation;
