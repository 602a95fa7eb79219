//! A log that misbehaves by seed: it delays, loses, doubles and reorders its feed, answers late or not at all, trims, starts
//! new epochs, is set back and wiped. What it says about positions is always true.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::{
    clock::Clock,
    domain::{
        cursor::Cursor,
        entry::{Body, Entry},
        ids::{MessageId, Producer, SessionId, UserId},
        nickname::Nickname,
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::{
        Append, AppendError, Durability, Engine, Entered, Erased, Facts, Feed, Follow, Fut, Health,
        Page, Placed, Rejected, RoomLog, Scope, Seat, Seats, StateVersion, Unavailable,
        decide::{Decision, RoomView, Seen, decide},
        history::History,
        memory::{MemoryEngine, MemorySettings},
        retention::{Keep, Retention},
    },
    telemetry::metrics::Metrics,
};

use super::{
    scheduler::pauses,
    world::{Fault, World},
};

/// A rule of the log, broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFault {
    /// Repeats are placed again.
    NoDedupe,
    /// A rollback keeps the epoch, so nobody can notice.
    EpochSurvives,
}

/// The log.
pub(super) struct SimLog {
    world: Arc<World>,
    fault: Option<LogFault>,
    inner: Mutex<Inner>,
    /// Seats are the memory engine's; its changes travel in our feed.
    seats: MemoryEngine,
    health: watch::Sender<Health>,
}

struct Inner {
    rooms: BTreeMap<RoomId, SimRoom>,
    minted: u64,
    sender: mpsc::Sender<Feed>,
    receiver: Option<mpsc::Receiver<Feed>>,
    seats_feed: mpsc::Receiver<Feed>,
    /// Not yet at the hub.
    under_way: VecDeque<Feed>,
    /// Something was lost and `Sound` has not been sent since.
    owes_sound: bool,
}

/// A room with its truth: the branch that is real now, from the first entry on, trimmed or not.
#[derive(Default)]
pub(super) struct SimRoom {
    history: History,
    pub(super) branch: Vec<(Position, MessageId)>,
    producers: HashMap<Producer, Vec<Seen>>,
    new_epoch: bool,
    /// What any position ever held: the same position means the same content.
    ever: HashMap<(u64, u64), MessageId>,
}

impl SimLog {
    pub(super) fn new(world: &Arc<World>, fault: Option<LogFault>) -> Arc<Self> {
        let settings = MemorySettings {
            retention: Retention::uniform(Keep::ALL),
            envelope_max: 4096,
            feed_entries_max: 10_000,
            feed_bytes_max: 1 << 30,
        };
        let seats = MemoryEngine::new(settings, Clock::manual(0), Metrics::new());
        let (sender, receiver) = mpsc::channel(100_000);
        let (health, _) = watch::channel(Health::Ok);
        Arc::new(Self {
            world: Arc::clone(world),
            fault,
            inner: Mutex::new(Inner {
                rooms: BTreeMap::new(),
                minted: 0,
                sender,
                receiver: Some(receiver),
                seats_feed: seats.feed(),
                under_way: VecDeque::new(),
                owes_sound: false,
            }),
            seats,
            health,
        })
    }

    /// One thing that goes on by itself: mostly a delivery, now and then a fault. False when there was nothing to do.
    pub(super) fn act(&self) -> bool {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let world = &self.world;
        let rooms = !inner.rooms.is_empty();
        if rooms && world.has(Fault::Trims) && world.one_in(12) {
            inner.trim(world);
        }
        if rooms && world.has(Fault::Restarts) && world.one_in(40) {
            inner.restart(world);
        }
        if rooms && world.has(Fault::RollsBack) && world.one_in(40) {
            inner.roll_back(world, self.fault);
        }
        if rooms && world.has(Fault::Wipes) && world.one_in(150) {
            inner.wipe(world);
        }
        if world.has(Fault::LosesFeed)
            && world.one_in(10)
            && let Some(item) = inner.under_way.pop_front()
        {
            world.trace(|| format!("lost {item:?}"));
            inner.suspect();
            return true;
        }
        if world.has(Fault::ShufflesFeed) {
            inner.shuffle(world);
        }
        if inner.owes_sound && (world.healed() || world.one_in(20)) {
            inner.owes_sound = false;
            inner.under_way.push_back(Feed::Sound(Scope));
        }
        match inner.under_way.pop_front() {
            Some(item) => {
                world.trace(|| format!("feed {item:?}"));
                inner
                    .sender
                    .try_send(item)
                    .expect("the hub reads faster than 100 000 behind");
                true
            }
            None => false,
        }
    }

    /// The real branch of a room.
    pub(super) fn branch(&self, room: &RoomId) -> Vec<(Position, MessageId)> {
        let inner = self.inner.lock();
        inner
            .rooms
            .get(room)
            .map(|room| room.branch.clone())
            .unwrap_or_default()
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
        match inner.rooms.get(room) {
            Some(room) => read(&room.history),
            None => read(&History::default()),
        }
    }

    fn collect_seats(&self) {
        let mut inner = self.inner.lock();
        while let Ok(item) = inner.seats_feed.try_recv() {
            inner.under_way.push_back(item);
        }
    }

    fn place(&self, room: &RoomId, what: &Append<'_>) -> Result<Placed, AppendError> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let log = inner.rooms.entry(room.clone()).or_default();
        let known = log.producers.entry(what.id.producer).or_default();
        let view = RoomView {
            seen: known
                .last()
                .copied()
                .filter(|_| self.fault != Some(LogFault::NoDedupe)),
            state: StateVersion(None),
        };
        let unnumbered = Append { prev: 0, ..*what };
        let what = if self.fault == Some(LogFault::NoDedupe) {
            &unnumbered
        } else {
            what
        };
        let placed = |at, duplicate| Placed {
            at,
            ts: 1,
            duplicate,
            durability: Durability::Memory,
        };
        match decide(&view, what) {
            Decision::Reject(why) => Err(AppendError::Rejected(why)),
            Decision::Duplicate(at) => Ok(placed(at, true)),
            Decision::Append => {
                let offset = log.history.next_offset();
                let epoch = match log.history.head() {
                    Some(head) if !log.new_epoch => head.epoch,
                    _ => {
                        inner.minted += 1;
                        Epoch::new(inner.minted)
                    }
                };
                log.new_epoch = false;
                let at = Position { offset, epoch };
                known.push(Seen {
                    seq: what.id.seq,
                    at,
                    text_hash: Some(what.text_hash),
                });
                let entry = Entry {
                    at,
                    ts: 1,
                    id: what.id,
                    body: Body::Kept(Bytes::copy_from_slice(what.envelope)),
                };
                log.history.push(entry.clone());
                log.branch.push((at, what.id));
                if self.fault.is_none() {
                    let before = log.ever.insert((offset, epoch.raw()), what.id);
                    assert!(
                        before.is_none(),
                        "the simulated log gave one position twice"
                    );
                }
                inner.under_way.push_back(Feed::Entry(room.clone(), entry));
                Ok(placed(Some(at), false))
            }
        }
    }
}

impl Inner {
    fn any_room<'a>(&'a mut self, world: &World) -> &'a mut SimRoom {
        let index = world.below(u32::try_from(self.rooms.len()).expect("few"));
        self.rooms
            .values_mut()
            .nth(usize::try_from(index).expect("few"))
            .expect("counted")
    }

    fn suspect(&mut self) {
        self.under_way.push_back(Feed::Suspect(Scope));
        self.owes_sound = true;
    }

    /// Entries change places and come twice; changes of seats keep their order, as the trait says.
    fn shuffle(&mut self, world: &World) {
        let entry = |item: Option<&Feed>| matches!(item, Some(Feed::Entry(..)));
        if entry(self.under_way.front()) && entry(self.under_way.get(1)) && world.one_in(4) {
            self.under_way.swap(0, 1);
        }
        if world.one_in(6)
            && let Some(Feed::Entry(room, entry)) = self.under_way.front()
        {
            let again = Feed::Entry(room.clone(), entry.clone());
            self.under_way.push_back(again);
        }
    }

    fn trim(&mut self, world: &World) {
        let room = self.any_room(world);
        let kept = world.below(12);
        room.history.keep_newest(u64::from(kept));
        let first = room.history.first();
        world.note(|happened| happened.trimmed_below = happened.trimmed_below.max(first));
    }

    /// A new epoch without a loss.
    fn restart(&mut self, world: &World) {
        self.any_room(world).new_epoch = true;
    }

    /// The tail is lost, and so is what was under way: the link broke with the store.
    fn roll_back(&mut self, world: &World, fault: Option<LogFault>) {
        let room = self.any_room(world);
        let Some(head) = room.history.head() else {
            return;
        };
        let kept_from = room.history.first() - 1;
        let lost = u64::from(world.below(6) + 1).min(head.offset - kept_from);
        let keep = head.offset - lost;
        if lost == 0 {
            return;
        }
        room.history.roll_back(keep);
        room.branch.retain(|(at, _)| at.offset <= keep);
        for seen in room.producers.values_mut() {
            seen.retain(|seen| seen.at.offset <= keep);
        }
        room.new_epoch = fault != Some(LogFault::EpochSurvives);
        world.note(|happened| happened.rollbacks += 1);
        self.under_way
            .retain(|item| !matches!(item, Feed::Entry(..)) || world.one_in(2));
        // Seats are not the store's: their changes are not lost with it, but may be with the link.
        self.suspect();
    }

    fn wipe(&mut self, world: &World) {
        let room = self.any_room(world);
        let ever = std::mem::take(&mut room.ever);
        *room = SimRoom {
            ever,
            new_epoch: true,
            ..SimRoom::default()
        };
        world.note(|happened| happened.wipes += 1);
        self.under_way
            .retain(|item| !matches!(item, Feed::Entry(..)));
        self.suspect();
    }
}

impl RoomLog for SimLog {
    fn append<'a>(
        &'a self,
        room: &'a RoomId,
        what: Append<'a>,
    ) -> Fut<'a, Result<Placed, AppendError>> {
        Box::pin(async move {
            self.wanders().await.map_err(|why| {
                AppendError::Rejected(Rejected::Unavailable {
                    retry_after: why.retry_after,
                })
            })?;
            if self.world.has(Fault::Fails) && self.world.one_in(10) {
                return Err(AppendError::Unknown); // and it is not there
            }
            let placed = self.place(room, &what);
            pauses(self.world.below(4)).await;
            if self.world.has(Fault::Fails) && self.world.one_in(10) {
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
            let heads = rooms
                .iter()
                .map(|room| {
                    self.page(room, |log| log.before(None, 0, StateVersion(None)))
                        .head
                })
                .collect();
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
