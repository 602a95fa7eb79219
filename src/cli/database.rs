//! Which database a command reads: that of a configuration, or a file by its name.

use std::path::PathBuf;

use clap::Args;
use wardroom::config::{Config, environment::Environment, log::LogEngine};

use crate::cli::{exit::Exit, output, refusal};

/// What names the database.
#[derive(Args, Debug)]
pub(super) struct Database {
    /// The configuration whose log is read; without it the defaults and the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A database by its name instead, for example a backup
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    database: Option<PathBuf>,
}

impl Database {
    /// Its path, or how the command ends.
    pub(super) fn path(self) -> Result<PathBuf, Exit> {
        if let Some(path) = self.database {
            return Ok(path);
        }
        let log = Config::log_of(self.config.as_deref(), &Environment::of_process())
            .inspect_err(refusal::people)
            .map_err(|_| Exit::Configuration)?;
        let lacking = match log.engine {
            LogEngine::Sqlite => return Ok(log.path),
            LogEngine::Memory => "log.engine is \"memory\", and that keeps no record",
            LogEngine::Redis => "log.engine is \"redis\", whose record this version cannot read",
        };
        output::complain(&format!("{lacking}; --database names a file"));
        Err(Exit::Configuration)
    }
}
