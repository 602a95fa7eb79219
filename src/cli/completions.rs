//! `wardroom completions`: for the shell's own folder of completions.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::{Cli, exit::Exit, output};

/// What `completions` takes.
#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Exit {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "wardroom", &mut script);
        output::say(&String::from_utf8_lossy(&script));
        Exit::Done
    }
}
