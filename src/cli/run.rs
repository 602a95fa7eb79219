//! From a configuration to a running node and its end.

use std::{net::SocketAddr, sync::Arc};

use wardroom::{
    auth::mint::Minter,
    clock::Clock,
    config::Config,
    server::{Drained, Gateway, Mode, Remedy, ServeError, Stop},
    telemetry::metrics::Metrics,
};

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
    pair: |tls| wardroom::server::try_pair(tls).map_err(|error| error.to_string()),
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

async fn run_gateway(
    config: Config,
    start: Start,
    metrics: Arc<Metrics>,
    announce: impl FnOnce(Addresses),
) -> Exit {
    let signals = match Signals::install() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be handled");
            return Exit::Failed;
        }
    };
    let mode = match start {
        Start::Serve => Mode::Serve,
        Start::Dev(minter) => Mode::Dev(minter),
    };
    let gateway = match Gateway::bind(config, mode, metrics, Clock::system()) {
        Ok(gateway) => gateway,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return match error.remedy() {
                Remedy::Configuration => Exit::Configuration,
                Remedy::Storage => Exit::Storage,
                Remedy::Time => Exit::Failed,
            };
        }
    };
    match (gateway.public_address(), gateway.admin_address()) {
        (Ok(public), Ok(admin)) => announce(Addresses { public, admin }),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "a listener has no address");
            return Exit::Failed;
        }
    }
    let stop = Stop::default();
    let (soft, hard) = (stop.soft.clone(), stop.hard.clone());
    tokio::select! {
        ended = gateway.serve(stop) => account(&ended),
        never = signals.pass_on(&soft, &hard) => match never {},
    }
}

fn account(ended: &Result<Drained, ServeError>) -> Exit {
    match ended {
        Ok(Drained::Clean) => {
            tracing::info!("stopped; every session was told");
            Exit::Done
        }
        Ok(Drained::Cut { sessions }) => {
            tracing::warn!(sessions, "stopped before every session was told");
            Exit::Done
        }
        Err(error) => {
            tracing::error!(%error, "stopped by a failure");
            match error {
                ServeError::Storage => Exit::Storage,
                ServeError::Listener { .. } => Exit::Failed,
            }
        }
    }
}
