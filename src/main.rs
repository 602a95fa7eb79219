//! Arguments → configuration → telemetry → `Gateway::bind` → serve until a signal → exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, exit::Exit, output};

/// Gives memory back after a storm of connections, and does not let threads fragment it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Err(why) = install_crypto() {
        output::complain(&why);
        return Exit::Failed.into();
    }
    Cli::parse().run().into()
}

/// The one crypto library, chosen by name before anything could choose another, for TLS and for tokens.
fn install_crypto() -> Result<(), String> {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| "another crypto library was installed for TLS".to_owned())?;
    wardroom::auth::crypto::install_crypto().map_err(|error| error.to_string())
}
