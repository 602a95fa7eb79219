//! The orderly stop. axum and axum-server do not wait for upgraded sockets: the drain owns the sessions, every task hangs on
//! its tracker, and a stop ends when the tracker is empty or the time is over.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::drain::Drain as DrainRules,
    protocol::codes::CloseCode,
    session::registry::{Order, Registry},
    telemetry::metrics::Metrics,
};

/// How a node is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Stop in order.
    pub soft: CancellationToken,
    /// Stop at once.
    pub hard: CancellationToken,
}

/// What came of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every session was told and every task has ended.
    Clean,
    /// The time was over, or a second signal came, with this many sessions open.
    Cut {
        /// Sessions that were dropped.
        sessions: usize,
    },
}

/// The state of the stop and the tasks that it waits for.
#[derive(Debug)]
pub(super) struct Drain {
    draining: AtomicBool,
    closed: AtomicBool,
    rules: DrainRules,
    /// One task a session.
    pub(super) sessions: TaskTracker,
    /// The node's own loops; they end after the sessions.
    pub(super) loops: TaskTracker,
    metrics: Arc<Metrics>,
}

impl Drain {
    pub(super) fn new(rules: DrainRules, metrics: Arc<Metrics>) -> Self {
        Self {
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            rules,
            sessions: TaskTracker::new(),
            loops: TaskTracker::new(),
            metrics,
        }
    }

    /// From the first stop signal on.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether new sessions are refused: after `delay`, when proxies have seen that the probes say no.
    pub(super) fn refuses(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// When a client that was refused because of the drain may try again: other nodes take it at once.
    pub(super) fn retry_after(&self) -> Duration {
        self.rules.delay.max(Duration::from_secs(1))
    }

    /// Probes say no, everything else works on, until proxies have looked twice.
    pub(super) async fn announce(&self, hard: &CancellationToken) {
        self.draining.store(true, Ordering::Release);
        self.metrics.draining.set(1);
        self.metrics.ready.set(0);
        let until = Instant::now() + self.rules.delay;
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = hard.cancelled() => {}
        }
        self.closed.store(true, Ordering::Release);
    }

    /// Ends the sessions one after the other, in random order over `spread`, each with its own hint when to come back.
    pub(super) async fn end_sessions(&self, registry: &Registry, hard: &CancellationToken) {
        let mut open = registry.all();
        fastrand::shuffle(&mut open);
        let begin = Instant::now();
        let count = u32::try_from(open.len()).unwrap_or(u32::MAX).max(1);
        for (nth, orders) in (0_u32..).zip(open) {
            let at = begin + self.rules.spread.saturating_mul(nth) / count;
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = hard.cancelled() => {}
            }
            orders.end(Order {
                code: CloseCode::Restart,
                retry_after: Some(jitter(self.rules.spread)),
            });
        }
        // Whoever was between its 101 and the registry while the list was made.
        for orders in registry.all() {
            orders.end(Order {
                code: CloseCode::Restart,
                retry_after: Some(jitter(self.rules.spread)),
            });
        }
    }

    /// Waits for the sessions to end, until `deadline` or the hard stop.
    pub(super) async fn wait_sessions(
        &self,
        deadline: Instant,
        registry: &Registry,
        hard: &CancellationToken,
    ) -> Drained {
        wait(&self.sessions, deadline, registry, hard).await
    }

    /// Waits for the node's own loops, until `deadline` or the hard stop.
    pub(super) async fn wait_loops(
        &self,
        deadline: Instant,
        registry: &Registry,
        hard: &CancellationToken,
    ) -> Drained {
        wait(&self.loops, deadline, registry, hard).await
    }
}

async fn wait(
    tasks: &TaskTracker,
    deadline: Instant,
    registry: &Registry,
    hard: &CancellationToken,
) -> Drained {
    tasks.close();
    tokio::select! {
        () = tasks.wait() => Drained::Clean,
        () = tokio::time::sleep_until(deadline) => cut(registry),
        () = hard.cancelled() => cut(registry),
    }
}

fn cut(registry: &Registry) -> Drained {
    match registry.len() {
        0 => Drained::Clean,
        sessions => Drained::Cut { sessions },
    }
}

/// Anything from 0 to `most`, so that those who were closed together do not come back together.
fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}
