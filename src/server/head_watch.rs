//! A look at the first request head of a connection as raw bytes.
//!
//! hyper 1.12 drops `Content-Length` where a `Transfer-Encoding` stands beside it, so a handler cannot see that a request had
//! both; RFC 9112 §6.1 calls that an attempt at request smuggling. Where the first head ends is certain; later heads on the
//! same connection cannot be told from bodies here, and need not: after a request with a transfer coding the connection ends.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set when the first head holds both ways to say where a body ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ambiguous(Arc<AtomicBool>);

impl Ambiguous {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

const LENGTH: &[u8] = b"content-length:";
const CODING: &[u8] = b"transfer-encoding:";

/// The watch over one head.
#[derive(Debug)]
pub(super) struct HeadWatch {
    /// The beginning of the line that is being read.
    line: [u8; CODING.len()],
    filled: usize,
    has_length: bool,
    has_coding: bool,
    ambiguous: Option<Ambiguous>,
}

impl HeadWatch {
    pub(super) fn new(ambiguous: Ambiguous) -> Self {
        Self {
            line: [0; CODING.len()],
            filled: 0,
            has_length: false,
            has_coding: false,
            ambiguous: Some(ambiguous),
        }
    }

    /// Looks at bytes as they come; after the head it costs nothing.
    pub(super) fn see(&mut self, came: &[u8]) {
        for byte in came {
            if self.ambiguous.is_none() {
                return;
            }
            match byte {
                b'\n' => self.end_line(),
                b'\r' => {}
                _ => {
                    if let Some(place) = self.line.get_mut(self.filled) {
                        *place = byte.to_ascii_lowercase();
                    }
                    self.filled = self.filled.saturating_add(1);
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.line.get(..self.filled).unwrap_or(&self.line);
        self.has_length |= line.starts_with(LENGTH);
        self.has_coding |= line.starts_with(CODING);
        let empty = self.filled == 0;
        self.filled = 0;
        if self.has_length && self.has_coding {
            if let Some(ambiguous) = self.ambiguous.take() {
                ambiguous.0.store(true, Ordering::Relaxed);
            }
        } else if empty {
            self.ambiguous = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ambiguous, HeadWatch};

    fn verdict(head: &str, piece: usize) -> bool {
        let ambiguous = Ambiguous::default();
        let mut watch = HeadWatch::new(ambiguous.clone());
        head.as_bytes()
            .chunks(piece)
            .for_each(|came| watch.see(came));
        ambiguous.is_set()
    }

    #[test]
    fn both_ways_to_end_a_body_are_seen_however_they_are_written() {
        let both =
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nhost: a\r\nTRANSFER-ENCODING:chunked\r\n\r\n";
        let swapped = "POST / HTTP/1.1\ntransfer-encoding: chunked\ncontent-length:5\n\n";
        let one = "POST / HTTP/1.1\r\ncontent-length: 5\r\nx-transfer-encoding: chunked\r\n\r\ntransfer-encoding: chunked\r\n";
        for piece in [1, 3, 1000] {
            assert!(verdict(both, piece));
            assert!(verdict(swapped, piece));
            assert!(!verdict(one, piece), "a body is not a head");
        }
    }
}
