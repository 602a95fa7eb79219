//! What commands say to the person or the script that called them.

use std::io::{self, Write};

/// Writes to standard output. A reader that has gone, as `head` does, is no failure of ours.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .ok();
}

/// Writes a line to standard error; likewise.
pub(crate) fn complain(text: &str) {
    writeln!(io::stderr().lock(), "wardroom: {text}").ok();
}

/// Writes text to standard error as it is.
pub(crate) fn note(text: &str) {
    io::stderr().lock().write_all(text.as_bytes()).ok();
}
