//! The commands, a file each. Imported by `main.rs` alone; whatever a command starts lives in the library.

mod backup;
mod cert;
mod certificate;
mod check;
mod completions;
mod database;
mod dev;
pub(crate) mod exit;
mod export;
mod healthcheck;
mod load;
pub(crate) mod output;
mod process;
mod progress;
mod reach;
mod refusal;
mod run;
mod serve;
mod signals;
mod token;
mod trial;
mod verify;

use clap::{Parser, Subcommand};

use crate::cli::exit::Exit;

/// A guarded gateway in front of a team's chat.
#[derive(Debug, Parser)]
#[command(
    name = "wardroom",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed at run time, 2 usage, 70 storage failed, 78 configuration."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run on this machine to try it out: loopback only, own certificate, ready links for two people
    Dev(dev::Dev),
    /// Run in production
    Serve(serve::Serve),
    /// Say everything that serve would refuse, then what will hold
    Check(check::Check),
    /// Mint a token with a local key, for tests
    Token(token::Token),
    /// Make a development authority and a certificate
    Cert(cert::Cert),
    /// Write out the record of a room: who said what and when, with its hash chain
    Export(export::Export),
    /// Check an exported record: nothing was changed, taken out or put in
    Verify(verify::Verify),
    /// Copy the log's database while the gateway runs
    Backup(backup::Backup),
    /// Ask a running node whether it is ready, for probes of containers
    Healthcheck(healthcheck::Healthcheck),
    /// Put load on a gateway, check every delivery, and say what it took
    Load(Box<load::args::LoadArgs>),
    /// Print the completions of a shell
    Completions(completions::Completions),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> Exit {
        match self.command {
            Command::Dev(dev) => dev.run(),
            Command::Serve(serve) => serve.run(),
            Command::Check(check) => check.run(),
            Command::Token(token) => token.run(),
            Command::Cert(cert) => cert.run(),
            Command::Export(export) => export.run(),
            Command::Verify(verify) => verify.run(),
            Command::Backup(backup) => backup.run(),
            Command::Healthcheck(healthcheck) => healthcheck.run(),
            Command::Load(load) => load.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_commands_and_their_options_are_consistent() {
        Cli::command().debug_assert();
    }
}
