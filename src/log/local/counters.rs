//! The metrics that every engine moves, their handles made once.

use prometheus_client::metrics::counter::Counter;

use crate::{
    log::{AppendError, Placed, Rejected},
    telemetry::{histogram::Histogram, metrics::Metrics},
};

/// Handles that are used per append: looking one up costs a lock and a hash.
#[derive(Debug)]
pub(in crate::log) struct Counters {
    ok: Counter,
    duplicate: Counter,
    gap: Counter,
    conflict: Counter,
    stale: Counter,
    unavailable: Counter,
    pub(in crate::log) append_seconds: Histogram,
    pub(in crate::log) read_seconds: Histogram,
}

impl Counters {
    pub(in crate::log) fn new(metrics: &Metrics, engine: &'static str) -> Self {
        let appends = |result| {
            metrics
                .log_appends
                .get_or_create_owned(&[("engine", engine), ("result", result)])
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
                .get_or_create_owned(&[("engine", engine)]),
            read_seconds: metrics
                .log_read_seconds
                .get_or_create_owned(&[("engine", engine)]),
        }
    }

    /// Counts what became of an append.
    pub(in crate::log) fn count(&self, answer: &Result<Placed, AppendError>) {
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
