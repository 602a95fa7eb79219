//! How the program ends.

use std::process::ExitCode;

/// The exit codes; 2, for a wrong usage, is clap's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0.
    Done,
    /// 1: something failed at run time.
    Failed,
    /// 70 (`EX_SOFTWARE`): the storage of the log failed.
    Storage,
    /// 78 (`EX_CONFIG` of sysexits): the configuration cannot be used, and starting again will not help.
    Configuration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Storage => 70,
            Exit::Configuration => 78,
        })
    }
}
