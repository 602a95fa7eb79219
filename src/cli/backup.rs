//! `wardroom backup`: a copy of the log's database while the gateway runs.

use std::path::PathBuf;

use clap::Args;
use wardroom::log::sqlite::backup::{self, BackupError, Existing};

use crate::cli::{database::Database, exit::Exit, output, progress::Bar};

/// What `backup` takes.
#[derive(Args, Debug)]
pub(super) struct Backup {
    /// The file that is made
    out: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    database: Database,
}

impl Backup {
    pub(super) fn run(self) -> Exit {
        let path = match self.database.path() {
            Ok(path) => path,
            Err(exit) => return exit,
        };
        let existing = if self.force {
            Existing::Replace
        } else {
            Existing::Keep
        };
        let mut bar = Bar::new("copying");
        let copied = backup::copy(&path, &self.out, existing, &mut |done, of| bar.at(done, of));
        drop(bar);
        match copied {
            Ok(copied) => {
                output::say(&format!(
                    "{}  {} pages, {} bytes\n",
                    self.out.display(),
                    copied.pages,
                    copied.bytes
                ));
                Exit::Done
            }
            Err(error) => {
                let hint = match error {
                    BackupError::Occupied(_) => ": name another file, or give --force",
                    _ => "",
                };
                output::complain(&format!("{error}{hint}"));
                Exit::Failed
            }
        }
    }
}
