//! A look at request heads as raw bytes: how long one takes, and whether the first one can be read in two ways.
//!
//! hyper 1.12 drops `Content-Length` where a `Transfer-Encoding` stands beside it, so a handler cannot see that a request had
//! both; RFC 9112 §6.1 calls that an attempt at request smuggling. Where the first head ends is certain; later heads on the
//! same connection cannot be told from bodies here, and need not: after a request with a transfer coding the connection ends.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// What a connection and the requests on it tell one another.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadNotes(Arc<Notes>);

#[derive(Debug, Default)]
struct Notes {
    ambiguous: AtomicBool,
    serving: AtomicBool,
}

impl HeadNotes {
    /// Whether the first head holds both ways to say where a body ends.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.0.ambiguous.load(Ordering::Relaxed)
    }

    /// A head is complete and its request is being answered, until the guard is dropped.
    pub(super) fn serve(&self) -> Serving {
        self.0.serving.store(true, Ordering::Release);
        Serving(self.clone())
    }

    fn is_serving(&self) -> bool {
        self.0.serving.load(Ordering::Acquire)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Serving(HeadNotes);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.0.serving.store(false, Ordering::Release);
    }
}

/// The time that one head may take from its first byte. hyper's own limit counts from the end of the answer before it, so
/// it serves as the limit of an idle connection.
#[derive(Debug)]
pub(super) struct HeadTimer {
    within: Duration,
    notes: HeadNotes,
    since: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl HeadTimer {
    pub(super) fn new(within: Duration, notes: HeadNotes) -> Self {
        Self {
            within,
            notes,
            since: None,
            alarm: None,
            over: false,
        }
    }

    /// The connection is no longer HTTP.
    pub(super) fn stop(&mut self) {
        self.over = true;
        self.alarm = None;
    }

    /// Bytes came: of a head, unless a request is being answered.
    pub(super) fn came(&mut self) {
        if !self.over && !self.notes.is_serving() {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    /// Nothing came: ready when a head has been unfinished for too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over || self.since.is_none() || self.notes.is_serving() {
            self.since = None;
            self.alarm = None;
            return Poll::Pending;
        }
        let Some(since) = self.since else {
            return Poll::Pending;
        };
        let until = since + self.within;
        self.alarm
            .get_or_insert_with(|| Box::pin(sleep_until(until)))
            .as_mut()
            .poll(cx)
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
    notes: Option<HeadNotes>,
}

impl HeadWatch {
    pub(super) fn new(notes: HeadNotes) -> Self {
        Self {
            line: [0; CODING.len()],
            filled: 0,
            has_length: false,
            has_coding: false,
            notes: Some(notes),
        }
    }

    /// Looks at bytes as they come; after the head it costs nothing.
    pub(super) fn see(&mut self, came: &[u8]) {
        for byte in came {
            if self.notes.is_none() {
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
            if let Some(notes) = self.notes.take() {
                notes.0.ambiguous.store(true, Ordering::Relaxed);
            }
        } else if empty {
            self.notes = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HeadNotes, HeadTimer, HeadWatch};

    fn verdict(head: &str, piece: usize) -> bool {
        let notes = HeadNotes::default();
        let mut watch = HeadWatch::new(notes.clone());
        head.as_bytes()
            .chunks(piece)
            .for_each(|came| watch.see(came));
        notes.is_ambiguous()
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

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_and_an_answer_has_as_long_as_it_takes() {
        let notes = HeadNotes::default();
        let mut timer = HeadTimer::new(Duration::from_secs(5), notes.clone());
        let late = async |timer: &mut HeadTimer, seconds: u64| {
            let poll = std::future::poll_fn(|cx| timer.poll_late(cx));
            tokio::time::timeout(Duration::from_secs(seconds), poll)
                .await
                .is_ok()
        };
        assert!(!late(&mut timer, 60).await, "idle is not late");
        timer.came();
        assert!(!late(&mut timer, 4).await);
        timer.came();
        assert!(
            late(&mut timer, 2).await,
            "a byte now and then moves nothing"
        );
        let mut timer = HeadTimer::new(Duration::from_secs(5), notes.clone());
        timer.came();
        let serving = notes.serve();
        assert!(!late(&mut timer, 60).await);
        timer.came();
        drop(serving);
        assert!(
            !late(&mut timer, 60).await,
            "what came with the body is no head"
        );
    }
}
