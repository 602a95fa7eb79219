//! A log that misbehaves by seed: it delays, loses, doubles and reorders its feed, answers late or not at all, trims, starts
//! new epochs, is set back and wiped. What it says about positions is always true.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::sleep_until,
};

use crate::{
    clock::Clock,
    domain::{
        cursor::Cursor,
        ids::{MessageId, SessionId, UserId},
        nickname::Nickname,
        position::Position,
        room_name::RoomId,
    },
    log::{
        Append, AppendError, Durability, Engine, Entered, Erased, Facts, Feed, Follow, Fut, Health,
        Page, Placed, Rejected, RoomLog, Seat, Seats, StateVersion, Unavailable,
        history::History,
        memory::{MemoryEngine, MemorySettings},
        retention::{Keep, Retention},
    },
    telemetry::metrics::Metrics,
};

use super::{
    LogFault,
    scheduler::pauses,
    sim_room::{Real, SimRoom, placed},
    texts::{index_of, room},
    world::{Fault, World},
};

/// An answer that comes too late for anybody.
const STALL: Duration = Duration::from_secs(4);

/// The log.
pub(super) struct SimLog {
    pub(super) world: Arc<World>,
    pub(super) fault: Option<LogFault>,
    pub(super) inner: Mutex<Inner>,
    /// Seats are the memory engine's; its changes travel in our feed.
    seats: MemoryEngine,
    health: watch::Sender<Health>,
}

pub(super) struct Inner {
    pub(super) rooms: Vec<SimRoom>,
    minted: u64,
    pub(super) sender: mpsc::Sender<Feed>,
    receiver: Option<mpsc::Receiver<Feed>>,
    seats_feed: mpsc::Receiver<Feed>,
    /// Not yet at the hub.
    pub(super) under_way: VecDeque<Feed>,
    /// Something was lost and `Sound` has not been sent since.
    pub(super) owes_sound: bool,
    /// Entries written on other nodes.
    pub(super) elsewhere: u16,
    /// Acknowledged and not placed: only when that rule is broken.
    pub(super) unsettled: VecDeque<Unsettled>,
}

/// An append that was acknowledged before it was carried out.
pub(super) struct Unsettled {
    pub(super) room: usize,
    id: MessageId,
    prev: u64,
    text_hash: u32,
    envelope: Bytes,
}

impl Unsettled {
    pub(super) fn append<'a>(&'a self, by: &'a UserId) -> Append<'a> {
        Append {
            id: self.id,
            prev: self.prev,
            by,
            remember: Duration::from_hours(24),
            text_hash: self.text_hash,
            checked: None,
            envelope: &self.envelope,
            redacts: None,
            state: None,
        }
    }
}

impl Inner {
    /// Decides an append, carries it out, and puts the entry under way.
    pub(super) fn place(
        &mut self,
        index: usize,
        what: &Append<'_>,
        fault: Option<LogFault>,
        world: &World,
    ) -> Result<Placed, Rejected> {
        let (answer, entry) = self.rooms[index].place(what, fault, &mut self.minted, world);
        if let Some(entry) = entry {
            world.trace(|| format!("placed {:?} {:?}", entry.at, entry.id));
            self.under_way
                .push_back(Feed::Entry(room(index).clone(), entry));
        }
        answer
    }
}

impl SimLog {
    pub(super) fn new(
        world: &Arc<World>,
        fault: Option<LogFault>,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let settings = MemorySettings {
            retention: Retention::uniform(Keep::ALL),
            envelope_max: 4096,
            feed_entries_max: 10_000,
            feed_bytes_max: 1 << 30,
        };
        let seats = MemoryEngine::new(settings, Clock::manual(0), Arc::clone(metrics));
        let (sender, receiver) = mpsc::channel(10_000);
        let (health, _) = watch::channel(Health::Ok);
        let rooms = (0..world.script.rooms).map(SimRoom::new);
        Arc::new(Self {
            world: Arc::clone(world),
            fault,
            inner: Mutex::new(Inner {
                rooms: rooms.collect(),
                minted: 0,
                sender,
                receiver: Some(receiver),
                seats_feed: seats.feed(),
                under_way: VecDeque::new(),
                owes_sound: false,
                elsewhere: 0,
                unsettled: VecDeque::new(),
            }),
            seats,
            health,
        })
    }

    /// The real branch of a room.
    pub(super) fn branch(&self, index: usize) -> Vec<Real> {
        self.inner.lock().rooms[index].branch.clone()
    }

    /// Whether the branch that is real now has this message, and how often something was lost so far.
    pub(super) fn holds(&self, index: usize, id: &MessageId) -> (bool, u32) {
        let inner = self.inner.lock();
        let holds = inner.rooms[index].branch.iter().any(|real| real.id == *id);
        (holds, self.world.facts(index).losses())
    }

    async fn wanders(&self) -> Result<(), Unavailable> {
        pauses(self.world.below(6)).await;
        if self.world.has(Fault::Fails) && self.world.one_in(12) {
            return Err(Unavailable {
                retry_after: Duration::from_millis(200),
            });
        }
        Ok(())
    }

    fn page(&self, room: &RoomId, read: impl FnOnce(&History) -> Page) -> Page {
        let inner = self.inner.lock();
        read(&inner.rooms[index_of(room.as_str())].history)
    }

    fn collect_seats(&self) {
        let mut inner = self.inner.lock();
        while let Ok(item) = inner.seats_feed.try_recv() {
            inner.under_way.push_back(item);
        }
    }

    fn place(&self, index: usize, what: &Append<'_>) -> Result<Placed, AppendError> {
        let mut inner = self.inner.lock();
        if self.fault == Some(LogFault::AckBeforeSettled) {
            let mut minted = inner.minted;
            let at = inner.rooms[index].next(&mut minted);
            inner.unsettled.push_back(Unsettled {
                room: index,
                id: what.id,
                prev: what.prev,
                text_hash: what.text_hash,
                envelope: Bytes::copy_from_slice(what.envelope),
            });
            return Ok(placed(Some(at), false));
        }
        Ok(inner.place(index, what, self.fault, &self.world)?)
    }
}

impl RoomLog for SimLog {
    fn append<'a>(
        &'a self,
        room: &'a RoomId,
        what: Append<'a>,
    ) -> Fut<'a, Result<Placed, AppendError>> {
        Box::pin(async move {
            let index = index_of(room.as_str());
            // The grant is decided on the state of this moment, as far as this run has one.
            let state = self.inner.lock().rooms[index].state();
            let what = Append {
                checked: self.world.had(Fault::ChangesState).then_some(state),
                ..what
            };
            self.wanders().await.map_err(|why| {
                AppendError::Rejected(Rejected::Unavailable {
                    retry_after: why.retry_after,
                })
            })?;
            let fails = |one_in| self.world.has(Fault::Fails) && self.world.one_in(one_in);
            if fails(10) {
                return Err(AppendError::Unknown); // and it is not there
            }
            let placed = self.place(index, &what);
            pauses(self.world.below(4)).await;
            if fails(40) {
                sleep_until(tokio::time::Instant::now() + STALL).await; // the hub has lost its patience
            }
            if fails(10) {
                return Err(AppendError::Unknown); // and it is there
            }
            placed
        })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: &'a Cursor,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        Box::pin(async move {
            self.wanders().await?;
            // Small pages: what takes one read in life takes several here.
            let limit = limit.min(1 + self.world.below(12));
            let page = self.page(room, |log| log.after(after, limit, StateVersion(None)));
            pauses(self.world.below(6)).await;
            Ok(page)
        })
    }

    fn before<'a>(
        &'a self,
        room: &'a RoomId,
        offset: Option<u64>,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        Box::pin(async move {
            self.wanders().await?;
            let page = self.page(room, |log| {
                log.before(offset, limit.min(8), StateVersion(None))
            });
            pauses(self.world.below(6)).await;
            Ok(page)
        })
    }

    fn heads<'a>(
        &'a self,
        rooms: &'a [RoomId],
    ) -> Fut<'a, Result<Vec<Option<Position>>, Unavailable>> {
        Box::pin(async move {
            self.wanders().await?;
            let heads = {
                let inner = self.inner.lock();
                let head = |room: &RoomId| inner.rooms[index_of(room.as_str())].history.head();
                rooms.iter().map(head).collect()
            };
            pauses(self.world.below(6)).await;
            Ok(heads)
        })
    }

    fn state<'a>(
        &'a self,
        _room: &'a RoomId,
    ) -> Fut<'a, Result<(StateVersion, Bytes), Unavailable>> {
        Box::pin(async move { Ok((StateVersion(None), Bytes::new())) })
    }

    fn facts(&self) -> Facts {
        Facts {
            engine: "simulated",
            durability: Durability::Memory,
            verified: true,
            envelope_max: 4096,
            many_nodes: true,
        }
    }

    fn keep(&self, _room: &RoomId) -> Keep {
        Keep {
            count: 1000,
            time: None,
            hold: false,
        }
    }

    fn erase(&self, user: UserId) -> Fut<'_, Result<Erased, Unavailable>> {
        self.seats.erase(user)
    }
}

impl Follow for SimLog {
    fn feed(&self) -> mpsc::Receiver<Feed> {
        self.inner.lock().receiver.take().expect("one hub")
    }

    fn cast<'a>(&'a self, _room: &'a RoomId, _body: Bytes) -> Fut<'a, ()> {
        Box::pin(async {})
    }
}

impl Seats for SimLog {
    fn enter<'a>(&'a self, room: &'a RoomId, seat: Seat) -> Fut<'a, Result<Entered, Unavailable>> {
        Box::pin(async move {
            self.wanders().await?;
            let entered = self.seats.enter(room, seat).await;
            self.collect_seats();
            pauses(self.world.below(3)).await;
            entered
        })
    }

    fn leave<'a>(
        &'a self,
        room: &'a RoomId,
        session: SessionId,
    ) -> Fut<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            self.wanders().await?;
            self.seats.leave(room, session).await?;
            self.collect_seats();
            pauses(self.world.below(3)).await;
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        room: &'a RoomId,
        limit: u32,
    ) -> Fut<'a, Result<(u64, Vec<Seat>), Unavailable>> {
        Box::pin(async move {
            self.wanders().await?;
            let list = self.seats.list(room, limit).await;
            pauses(self.world.below(4)).await;
            list
        })
    }

    fn holder<'a>(
        &'a self,
        room: &'a RoomId,
        nick: &'a Nickname,
    ) -> Fut<'a, Result<Option<Seat>, Unavailable>> {
        self.seats.holder(room, nick)
    }
}

impl Engine for SimLog {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async {})
    }
}
