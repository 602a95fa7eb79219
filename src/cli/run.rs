//! From a configuration to a running node and its end.

use std::{net::SocketAddr, sync::Arc};

use tokio_util::sync::CancellationToken;
use wardroom::{auth::mint::Minter, config::Config, telemetry::metrics::Metrics};

use crate::cli::{check::Probes, exit::Exit, output, reach, signals::Signals};

/// How the node runs.
pub(super) enum Start {
    /// Production.
    Serve,
    /// Development: this key signs for whoever asks.
    Dev(Minter),
}

/// Where it listens, with the real ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// What `check` tries.
pub(super) const PROBES: Probes = Probes {
    pair: |_| Ok(()),
    issuer: reach::issuer,
};

/// Runs a node on a runtime of its own until it has ended. `announce` is called once it listens.
pub(super) fn blocking(
    config: Config,
    start: Start,
    metrics: Arc<Metrics>,
    announce: impl FnOnce(Addresses),
) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run_gateway(config, start, metrics, announce)),
        Err(error) => {
            output::complain(&format!("no runtime: {error}"));
            Exit::Failed
        }
    }
}

// TEMP: binds nothing until the server is merged.
async fn run_gateway(
    config: Config,
    start: Start,
    metrics: Arc<Metrics>,
    announce: impl FnOnce(Addresses),
) -> Exit {
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be handled");
            return Exit::Failed;
        }
    };
    match start {
        Start::Serve => {}
        Start::Dev(minter) => drop(minter),
    }
    drop(metrics);
    announce(Addresses {
        public: config.listen.public,
        admin: config.listen.admin,
    });
    tokio::select! {
        () = soft.cancelled() => Exit::Done,
        never = signals.pass_on(&soft, &hard) => match never {},
    }
}
