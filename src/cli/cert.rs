//! `wardroom cert`: a pair for tests and for a first look, never for production.

use std::path::PathBuf;

use clap::Args;
use wardroom::clock::Clock;

use crate::cli::{
    certificate::{Folder, Pair},
    exit::Exit,
    output,
};

/// What `cert` takes.
#[derive(Args, Debug)]
pub(super) struct Cert {
    /// Where ca.crt, tls.crt and tls.key are written
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    #[arg(
        long = "host",
        value_name = "NAME",
        help = "A name or an address beside localhost, 127.0.0.1 and ::1; may be given several times"
    )]
    hosts: Vec<String>,
}

impl Cert {
    pub(super) fn run(self) -> Exit {
        let folder = Folder::new(self.out);
        if let Some(path) = folder.occupied() {
            output::complain(&format!(
                "{} is there already, and a key is never overwritten: move it away, or name another --out",
                path.display()
            ));
            return Exit::Failed;
        }
        let made =
            Pair::make(&self.hosts, Clock::system().unix_s()).and_then(|pair| folder.write(&pair));
        match made {
            Ok(()) => {
                output::say(&format!(
                    "{}  the chain, good for 30 days\n{}  its key, readable by you alone\n{}  what a client must trust\n",
                    folder.certificate().display(),
                    folder.key().display(),
                    folder.ca().display()
                ));
                Exit::Done
            }
            Err(error) => {
                output::complain(&format!("{error:#}"));
                Exit::Failed
            }
        }
    }
}
