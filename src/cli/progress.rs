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

fn line(stage: &str, done: u64, of: u64, detail: &str) -> String {
    let of = of.max(1);
    let filled = usize::try_from(WIDTH * done.min(of) / of).unwrap_or(0);
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
