//! The wall clock as a value. Everything that must know the time of day asks a [`Clock`]; deadlines use
//! `tokio::time::Instant`, which stands still when a test pauses time.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

/// Where the time of day comes from. Cheap to clone.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<AtomicU64>),
    Told(Arc<dyn Fn() -> u64 + Send + Sync>),
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({} ms)", self.unix_ms())
    }
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that only moves when told to, for tests.
    pub fn manual(unix_ms: u64) -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(unix_ms))))
    }

    /// A clock that is asked of this, for tests: one that breaks shows whose break it is.
    pub fn told_by(unix_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Source::Told(Arc::new(unix_ms)))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z. A machine that believes to live before that is treated as if it were 1970.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the wall clock"
    )]
    pub fn unix_ms(&self) -> u64 {
        match &self.0 {
            Source::System => std::time::SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| {
                    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
                }),
            Source::Manual(ms) => ms.load(Ordering::Relaxed),
            Source::Told(by) => by(),
        }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn unix_s(&self) -> u64 {
        self.unix_ms() / 1000
    }

    /// Moves a manual clock forward; the machine's clock is not ours to move, so there it does nothing.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(ms) = &self.0 {
            ms.fetch_add(
                u64::try_from(by.as_millis()).unwrap_or(u64::MAX),
                Ordering::Relaxed,
            );
        }
    }
}
