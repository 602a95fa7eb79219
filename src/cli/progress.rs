//! The line that tells a person at a terminal how far it is. Elsewhere nothing is written.

use std::io::{IsTerminal, Write};

const WIDTH: u64 = 30;

/// A progress line on standard error.
pub(super) struct Progress {
    shown: bool,
}

impl Progress {
    /// Shown when standard error is a terminal.
    pub(super) fn new() -> Self {
        Self {
            shown: std::io::stderr().is_terminal(),
        }
    }

    /// Draws the line anew.
    pub(super) fn draw(&self, stage: &str, done: u64, of: u64, detail: &str) {
        if self.shown {
            // A terminal that has gone away is no reason to stop.
            write!(
                std::io::stderr(),
                "\r\x1b[K{}",
                line(stage, done, of, detail)
            )
            .ok();
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.shown {
            write!(std::io::stderr(), "\r\x1b[K").ok();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The progress of work that tells after every step how far it is: drawn only when a thousandth more is done.
pub(super) struct Bar {
    progress: Progress,
    stage: &'static str,
    drawn: Option<u64>,
}

impl Bar {
    /// For work whose output is short.
    pub(super) fn new(stage: &'static str) -> Self {
        Self {
            progress: Progress::new(),
            stage,
            drawn: None,
        }
    }

    /// For work that writes to standard output all the time: on a terminal that is progress enough.
    pub(super) fn beside_output(stage: &'static str) -> Self {
        let mut bar = Self::new(stage);
        bar.progress.shown &= !std::io::stdout().is_terminal();
        bar
    }

    /// So many are done, of so many.
    pub(super) fn at(&mut self, done: u64, of: u64) {
        let thousandth = done.saturating_mul(1000) / of.max(1);
        if self.drawn.replace(thousandth) != Some(thousandth) {
            self.progress
                .draw(self.stage, done, of, &format!("{done}/{of}"));
        }
    }
}

fn line(stage: &str, done: u64, of: u64, detail: &str) -> String {
    let of = of.max(1);
    let filled = usize::try_from(WIDTH.saturating_mul(done.min(of)) / of).unwrap_or(0);
    let empty = usize::try_from(WIDTH).unwrap_or(0) - filled;
    format!(
        "{stage:<10} [{}{}] {detail}",
        "#".repeat(filled),
        "-".repeat(empty)
    )
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_fills_and_never_overflows() {
        assert_eq!(
            line("joining", 0, 10, "0/10"),
            format!("joining    [{}] 0/10", "-".repeat(30))
        );
        assert_eq!(
            line("joining", 5, 10, ""),
            format!("joining    [{}{}] ", "#".repeat(15), "-".repeat(15))
        );
        assert_eq!(
            line("joining", 11, 10, ""),
            format!("joining    [{}] ", "#".repeat(30))
        );
        assert!(line("joining", 0, 0, "").contains(&"-".repeat(30)));
    }
}
