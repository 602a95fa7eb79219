//! The metrics of the memory engine, their handles made once.

use prometheus_client::metrics::counter::Counter;

use crate::{
    log::{AppendError, Placed, Rejected, memory::ENGINE},
    telemetry::{histogram::Histogram, metrics::Metrics},
};

/// Handles that are used per append: looking one up costs a lock and a hash.
#[derive(Debug)]
pub(super) struct Counters {
    ok: Counter,
    duplicate: Counter,
    gap: Counter,
    conflict: Counter,
    stale: Counter,
    unavailable: Counter,
    pub(super) append_seconds: Histogram,
    pub(super) read_seconds: Histogram,
}

impl Counters {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let appends = |result| {
            metrics
                .log_appends
                .get_or_create_owned(&[("engine", ENGINE), ("result", result)])
        };
        Self {
            ok: appends("ok"),
            duplicate: appends("duplicate"),
            gap: appends("gap"),
            conflict: appends("conflict"),
            stale: appends("stale"),
            unavailable: appends("unavailable"),
            append_seconds: metrics
                .log_append_seconds
                .get_or_create_owned(&[("engine", ENGINE)]),
            read_seconds: metrics
                .log_read_seconds
                .get_or_create_owned(&[("engine", ENGINE)]),
        }
    }

    /// Counts what became of an append.
    pub(super) fn count(&self, answer: &Result<Placed, AppendError>) {
        match answer {
            Ok(placed) if placed.duplicate => self.duplicate.inc(),
            Ok(_) => self.ok.inc(),
            Err(AppendError::Rejected(Rejected::OutOfSequence { .. })) => self.gap.inc(),
            Err(AppendError::Rejected(Rejected::StaleState(_))) => self.stale.inc(),
            Err(AppendError::Rejected(Rejected::Conflict | Rejected::TooLarge { .. })) => {
                self.conflict.inc()
            }
            Err(AppendError::Rejected(Rejected::Unavailable { .. }) | AppendError::Unknown) => {
                self.unavailable.inc()
            }
        };
    }
}
