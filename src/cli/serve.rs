//! `wardroom serve`: production.

use std::path::PathBuf;

use clap::Args;
use wardroom::{
    config::{Config, environment::Environment},
    telemetry::{logging, metrics::Metrics, process::VERSION},
};

use crate::cli::{
    exit::Exit,
    output, process, refusal,
    run::{self, Addresses, Start},
};

/// What `serve` takes.
#[derive(Args, Debug)]
pub(super) struct Serve {
    /// The configuration; without it the environment must say everything that has no default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> Exit {
        let loaded = match Config::load(self.config.as_deref(), &Environment::of_process()) {
            Ok(loaded) => loaded,
            Err(errors) => return refusal::tell(&errors),
        };
        let metrics = Metrics::new();
        let _log = match logging::start(&loaded.config, &metrics) {
            Ok(log) => log,
            Err(error) => {
                output::complain(&error.to_string());
                return Exit::Failed;
            }
        };
        process::prepare();
        refusal::log_warnings(&loaded.warnings);
        run::blocking(loaded.config, Start::Serve, metrics, |addresses| {
            announce(addresses);
        })
    }
}

fn announce(addresses: Addresses) {
    tracing::info!(
        version = VERSION,
        public = %addresses.public,
        admin = %addresses.admin,
        "listening"
    );
}
