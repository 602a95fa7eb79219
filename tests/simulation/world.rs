//! What a run is made of and what it found: the dice, the script of faults, what is true of each room, what happened how
//! often, and the first broken promise.

use std::collections::{HashMap, HashSet};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use tokio::time::Instant;

use super::scheduler::Task;

/// Rooms of a run at most.
pub(super) const ROOMS: usize = 2;

/// Steps before everything heals, at most.
pub(super) const STEPS_MAX: u32 = 480;

/// A kind of fault that a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The store loses its tail.
    RollsBack,
    /// The store loses everything.
    Wipes,
    /// Retention takes entries.
    Trims,
    /// The feed has holes.
    LosesFeed,
    /// The feed comes twice and out of order.
    ShufflesFeed,
    /// Epochs begin without a loss.
    Restarts,
    /// Requests fail, and appends are unknown.
    Fails,
    /// Contents are taken back by somebody on another node.
    Redacts,
    /// The room's state changes, so that what was decided on the older one is refused.
    ChangesState,
    /// Somebody numbers under the producer of somebody else: a cloned tab.
    Clones,
}

/// What a run is, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Script {
    faults: Vec<Fault>,
    /// Steps before everything heals.
    pub(super) steps: u32,
    pub(super) rooms: usize,
    pub(super) people: u8,
    /// Several of the people are one user.
    pub(super) shared_user: bool,
    /// Bytes that all rings may hold.
    pub(super) ring_bytes_max: usize,
    /// Bytes that all outboxes may hold.
    pub(super) outbox_bytes_max: usize,
    /// Entries that a room buffers while it reads.
    pub(super) sync_entries_max: usize,
}

impl Script {
    fn draw(rng: &mut fastrand::Rng, steps: Option<u32>) -> Self {
        let faults = [
            (Fault::RollsBack, 2),
            (Fault::Wipes, 6),
            (Fault::Trims, 2),
            (Fault::LosesFeed, 2),
            (Fault::ShufflesFeed, 4),
            (Fault::Restarts, 3),
            (Fault::Fails, 3),
            (Fault::Redacts, 4),
            (Fault::ChangesState, 6),
            (Fault::Clones, 8),
        ];
        let faults = faults
            .into_iter()
            .filter(|(_, one_in)| rng.u32(..one_in) == 0)
            .map(|(fault, _)| fault)
            .collect();
        let drawn = STEPS_MAX / 4 + rng.u32(..STEPS_MAX - STEPS_MAX / 4);
        Self {
            faults,
            steps: steps.unwrap_or(drawn),
            rooms: if rng.u32(..4) == 0 { ROOMS } else { 1 },
            people: 2 + rng.u8(..3),
            shared_user: rng.u32(..3) == 0,
            ring_bytes_max: if rng.u32(..4) == 0 { 4000 } else { 1 << 20 },
            outbox_bytes_max: if rng.u32(..8) == 0 { 5000 } else { 1 << 20 },
            sync_entries_max: 1 + rng.usize(..6),
        }
    }
}

/// What is counted, so that a run in which nothing goes wrong is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Rollbacks,
    Wipes,
    FeedsLost,
    ForksTold,
    GapsTold,
    ResetsTold,
    EntriesTold,
    RemovedTold,
    DeletionsTold,
    FellBack,
    Resumes,
    StartsOver,
    ClosedForMemory,
    Sends,
    Repeats,
    Acks,
    Duplicates,
    OldDuplicates,
    OutOfSequence,
    Conflicts,
    Unknown,
    Unavailable,
    Stale,
    LateCopies,
    TakenAndTold,
    NewChains,
    Failed,
    ReadsAfterAck,
}

impl Event {
    pub(super) const ALL: [Self; 28] = [
        Self::Rollbacks,
        Self::Wipes,
        Self::FeedsLost,
        Self::ForksTold,
        Self::GapsTold,
        Self::ResetsTold,
        Self::EntriesTold,
        Self::RemovedTold,
        Self::DeletionsTold,
        Self::FellBack,
        Self::Resumes,
        Self::StartsOver,
        Self::ClosedForMemory,
        Self::Sends,
        Self::Repeats,
        Self::Acks,
        Self::Duplicates,
        Self::OldDuplicates,
        Self::OutOfSequence,
        Self::Conflicts,
        Self::Unknown,
        Self::Unavailable,
        Self::Stale,
        Self::LateCopies,
        Self::TakenAndTold,
        Self::NewChains,
        Self::Failed,
        Self::ReadsAfterAck,
    ];
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened([u64; Event::ALL.len()]);

impl Happened {
    pub(super) fn of(&self, event: Event) -> u64 {
        self.0[event as usize]
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (sum, one) in self.0.iter_mut().zip(other.0) {
            *sum += one;
        }
    }
}

impl std::fmt::Display for Happened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for event in Event::ALL {
            write!(f, " {event:?} {}", self.of(event))?;
        }
        Ok(())
    }
}

/// What is true of a room, for judging what clients are told.
#[derive(Debug, Default)]
pub(super) struct RoomFacts {
    pub(super) rollbacks: u32,
    pub(super) wipes: u32,
    /// No rollback went below this; only of use when there was one.
    pub(super) lowest_keep: u64,
    /// Everything below this offset was trimmed at some time.
    pub(super) trimmed_below: u64,
    /// Id and text of whatever any position, offset and epoch, ever held.
    pub(super) ever: HashMap<(u64, u64), (String, String)>,
    /// Entries that delete, and what they delete.
    pub(super) deletions: HashMap<(u64, u64), (u64, u64)>,
    /// Positions whose content was taken back.
    pub(super) redacted: HashSet<(u64, u64)>,
}

impl RoomFacts {
    /// How often something was lost.
    pub(super) fn losses(&self) -> u32 {
        self.rollbacks + self.wipes
    }
}

/// Shared by everything in a run.
pub(super) struct World {
    pub(super) script: Script,
    /// Whether what happens is printed: when a seed that failed is looked at.
    traced: bool,
    start: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    rng: fastrand::Rng,
    healed: bool,
    happened: Happened,
    broken: Option<String>,
    rooms: [RoomFacts; ROOMS],
    spawned: Vec<Task>,
}

impl World {
    pub(super) fn new(seed: u64, steps: Option<u32>, traced: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            script: Script::draw(&mut rng, steps),
            traced,
            start: Instant::now(),
            inner: Mutex::new(Inner {
                rng,
                healed: false,
                happened: Happened::default(),
                broken: None,
                rooms: Default::default(),
                spawned: Vec::new(),
            }),
        }
    }

    /// Whether this fault may happen now.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.had(fault) && !self.healed()
    }

    /// Whether this fault belongs to the run.
    pub(super) fn had(&self, fault: Fault) -> bool {
        self.script.faults.contains(&fault)
    }

    /// True once in `n` times.
    pub(super) fn one_in(&self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// 0 to `n` - 1.
    pub(super) fn below(&self, n: u32) -> u32 {
        self.inner.lock().rng.u32(..n)
    }

    /// One of so many.
    pub(super) fn index(&self, len: usize) -> usize {
        self.inner.lock().rng.usize(..len)
    }

    pub(super) fn fork_rng(&self) -> fastrand::Rng {
        self.inner.lock().rng.fork()
    }

    /// The time since the run began.
    pub(super) fn now(&self) -> std::time::Duration {
        self.start.elapsed()
    }

    pub(super) fn heal(&self) {
        self.inner.lock().healed = true;
    }

    pub(super) fn healed(&self) -> bool {
        self.inner.lock().healed
    }

    pub(super) fn happened(&self) -> Happened {
        self.inner.lock().happened
    }

    pub(super) fn count(&self, event: Event) {
        self.inner.lock().happened.0[event as usize] += 1;
    }

    /// What is true of this room. Nothing else of the world may be asked while it is held.
    pub(super) fn facts(&self, room: usize) -> MappedMutexGuard<'_, RoomFacts> {
        MutexGuard::map(self.inner.lock(), |inner| &mut inner.rooms[room])
    }

    /// Goes on by itself, though nobody waits for it.
    pub(super) fn spawn(&self, task: Task) {
        self.inner.lock().spawned.push(task);
    }

    pub(super) fn spawned(&self) -> Vec<Task> {
        std::mem::take(&mut self.inner.lock().spawned)
    }

    pub(super) fn trace(&self, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{}", what());
        }
    }

    /// A promise is broken; the first one counts.
    pub(super) fn broken(&self, what: impl FnOnce() -> String) {
        if self.inner.lock().broken.is_none() {
            let what = what();
            self.trace(|| what.clone());
            self.inner.lock().broken = Some(what);
        }
    }

    pub(super) fn verdict(&self) -> Option<String> {
        self.inner.lock().broken.clone()
    }
}
