//! The metrics of the file, their handles made once.

use std::{path::Path, sync::Arc, time::Duration};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use crate::telemetry::{histogram::Histogram, metrics::Metrics};

/// Handles of what each commit moves.
#[derive(Debug)]
pub(super) struct Meters {
    pub(super) writable: Gauge,
    commit_seconds: Histogram,
    batch_entries: Histogram,
    created: Counter,
    restarted: Counter,
    removed: Counter,
    main_bytes: Gauge,
    wal_bytes: Gauge,
}

impl Meters {
    pub(super) fn new(metrics: &Arc<Metrics>, engine: &'static str) -> Self {
        Self {
            writable: metrics
                .log_writable
                .get_or_create_owned(&[("engine", engine)]),
            commit_seconds: metrics.log_commit_seconds.clone(),
            batch_entries: metrics.log_batch_entries.clone(),
            created: metrics
                .log_epochs
                .get_or_create_owned(&[("cause", "created")]),
            restarted: metrics
                .log_epochs
                .get_or_create_owned(&[("cause", "restart")]),
            main_bytes: metrics
                .log_size_bytes
                .get_or_create_owned(&[("file", "main")]),
            wal_bytes: metrics
                .log_size_bytes
                .get_or_create_owned(&[("file", "wal")]),
            removed: metrics.log_removed_entries.clone(),
        }
    }

    pub(super) fn committed(&self, entries: usize, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
        self.batch_entries
            .observe(f64::from(u32::try_from(entries).unwrap_or(u32::MAX)));
    }

    /// Rooms that began, and rooms whose first entry of this run was placed.
    pub(super) fn epochs(&self, created: u64, restarted: u64) {
        self.created.inc_by(created);
        self.restarted.inc_by(restarted);
    }

    /// How large the files are.
    pub(super) fn measure(&self, path: &Path) {
        let bytes = |path: &Path| {
            path.metadata()
                .map_or(0, |meta| i64::try_from(meta.len()).unwrap_or(i64::MAX))
        };
        self.main_bytes.set(bytes(path));
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        self.wal_bytes.set(bytes(Path::new(&wal)));
    }

    pub(super) fn removed(&self, entries: u64) {
        self.removed.inc_by(entries);
    }
}
