//! Signals of the operator: the first asks, the second insists.

use std::{convert::Infallible, io};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The handlers. Installed before the first "listening" is said, so that nobody can be too early.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes over `SIGTERM`, `SIGINT` and `SIGHUP`.
    pub(super) fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Passes them on for as long as it is polled: `soft` at the first that asks to stop, `hard` at the second.
    pub(super) async fn pass_on(
        mut self,
        soft: &CancellationToken,
        hard: &CancellationToken,
    ) -> Infallible {
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.hang_up.recv() => {
                    tracing::warn!("SIGHUP: this version reads its configuration once, at the start");
                    continue;
                }
            };
            if soft.is_cancelled() {
                tracing::warn!(signal = name, "stopping at once");
                hard.cancel();
            } else {
                tracing::info!(signal = name, "stopping; a second signal stops at once");
                soft.cancel();
            }
        }
    }
}
