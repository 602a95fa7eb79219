//! What a run is made of and what it found: the dice, the script of faults, and the first broken promise.

use parking_lot::Mutex;

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
}

/// Which faults a run has, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Script {
    faults: Vec<Fault>,
    /// Steps before everything heals.
    pub(super) steps: u32,
}

impl Script {
    fn draw(rng: &mut fastrand::Rng) -> Self {
        let faults = [
            (Fault::RollsBack, 2),
            (Fault::Wipes, 6),
            (Fault::Trims, 2),
            (Fault::LosesFeed, 2),
            (Fault::ShufflesFeed, 4),
            (Fault::Restarts, 3),
            (Fault::Fails, 3),
        ];
        Self {
            faults: faults
                .into_iter()
                .filter(|(_, one_in)| rng.u32(..one_in) == 0)
                .map(|(fault, _)| fault)
                .collect(),
            steps: 150 + rng.u32(..450),
        }
    }
}

/// What happened so far, for judging what clients are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    pub(super) rollbacks: u32,
    pub(super) wipes: u32,
    /// Everything below this offset was trimmed at some time.
    pub(super) trimmed_below: u64,
    pub(super) forks_told: u32,
    pub(super) gaps_told: u32,
    pub(super) resets_told: u32,
    pub(super) entries_told: u32,
    pub(super) fell_back: u32,
}

impl Happened {
    pub(super) fn add(&mut self, other: Self) {
        self.rollbacks += other.rollbacks;
        self.wipes += other.wipes;
        self.forks_told += other.forks_told;
        self.gaps_told += other.gaps_told;
        self.resets_told += other.resets_told;
        self.entries_told += other.entries_told;
        self.fell_back += other.fell_back;
    }
}

/// Shared by everything in a run.
#[derive(Debug)]
pub(super) struct World {
    pub(super) script: Script,
    /// Whether what happens is printed: when a seed that failed is looked at.
    traced: bool,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    rng: fastrand::Rng,
    healed: bool,
    happened: Happened,
    broken: Option<String>,
}

impl World {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            script: Script::draw(&mut rng),
            traced,
            inner: Mutex::new(Inner {
                rng,
                healed: false,
                happened: Happened::default(),
                broken: None,
            }),
        }
    }

    /// Whether this fault may happen now.
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.script.faults.contains(&fault) && !self.healed()
    }

    /// True once in `n` times.
    pub(super) fn one_in(&self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// 0 to `n` - 1.
    pub(super) fn below(&self, n: u32) -> u32 {
        self.inner.lock().rng.u32(..n)
    }

    pub(super) fn fork_rng(&self) -> fastrand::Rng {
        self.inner.lock().rng.fork()
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

    pub(super) fn note(&self, note: impl FnOnce(&mut Happened)) {
        note(&mut self.inner.lock().happened);
    }

    pub(super) fn trace(&self, what: impl FnOnce() -> String) {
        if self.traced {
            println!("{}", what());
        }
    }

    /// A promise is broken; the first one counts.
    pub(super) fn broken(&self, what: impl FnOnce() -> String) {
        let mut inner = self.inner.lock();
        if inner.broken.is_none() {
            inner.broken = Some(what());
        }
    }

    pub(super) fn verdict(&self) -> Option<String> {
        self.inner.lock().broken.clone()
    }
}
