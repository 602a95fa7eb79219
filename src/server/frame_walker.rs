//! A walker over WebSocket frame headers, as bytes come in and before the codec sees them.
//!
//! The codec swallows an endless run of empty continuation frames inside one read and never returns to its caller, so neither
//! a message limiter nor a deadline around it would fire (CVE-2026-48779 is the same in another library). Here every
//! frame is counted as its header passes, and an open message is known by the time of its first byte.

use tokio::time::Instant;

/// What the walker saw in a run of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Frames whose header ended here.
    pub(super) frames: u32,
    /// How many of them were control frames.
    pub(super) controls: u32,
}

/// Where in a frame the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a header.
    Start,
    /// Before the second byte.
    Length { first: u8 },
    /// In the extended length, `left` bytes of it missing.
    Extended {
        first: u8,
        masked: bool,
        left: u8,
        length: u64,
    },
    /// In the masking key.
    Mask { first: u8, left: u8, length: u64 },
    /// In the payload.
    Payload { first: u8, left: u64 },
}

/// The walker. It holds no payload.
#[derive(Debug)]
pub(super) struct FrameWalker {
    place: Place,
    /// A data frame without FIN was seen and its message has not ended.
    message_open: bool,
    /// When the first byte of what is unfinished came.
    since: Option<Instant>,
}

const FIN: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;

impl FrameWalker {
    pub(super) fn new() -> Self {
        Self {
            place: Place::Start,
            message_open: false,
            since: None,
        }
    }

    /// When the frame or message that is unfinished began; `None` between messages.
    pub(super) fn unfinished_since(&self) -> Option<Instant> {
        self.since
    }

    /// Walks over bytes that came `now`.
    pub(super) fn walk(&mut self, mut bytes: &[u8], now: Instant) -> Seen {
        let mut seen = Seen::default();
        while let Some((&byte, rest)) = bytes.split_first() {
            if let Place::Payload { first, left } = self.place {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = bytes.get(here..).unwrap_or_default();
                self.payload(first, left.saturating_sub(here as u64), now);
                continue;
            }
            bytes = rest;
            self.header_byte(byte, &mut seen, now);
        }
        seen
    }

    fn header_byte(&mut self, byte: u8, seen: &mut Seen, now: Instant) {
        match self.place {
            Place::Start => {
                self.since.get_or_insert(now);
                self.place = Place::Length { first: byte };
            }
            Place::Length { first } => {
                let masked = byte & MASKED != 0;
                let (left, length) = match byte & 0x7f {
                    126 => (2, 0),
                    127 => (8, 0),
                    short => (0, u64::from(short)),
                };
                self.length(first, masked, left, length, seen, now);
            }
            Place::Extended {
                first,
                masked,
                left,
                length,
            } => {
                self.length(
                    first,
                    masked,
                    left - 1,
                    length << 8 | u64::from(byte),
                    seen,
                    now,
                );
            }
            Place::Mask {
                first,
                left: 1,
                length,
            } => self.header_done(first, length, seen, now),
            Place::Mask {
                first,
                left,
                length,
            } => {
                self.place = Place::Mask {
                    first,
                    left: left - 1,
                    length,
                }
            }
            Place::Payload { .. } => {}
        }
    }

    fn length(
        &mut self,
        first: u8,
        masked: bool,
        left: u8,
        length: u64,
        seen: &mut Seen,
        now: Instant,
    ) {
        match (left, masked) {
            (0, true) => {
                self.place = Place::Mask {
                    first,
                    left: 4,
                    length,
                }
            }
            (0, false) => self.header_done(first, length, seen, now),
            _ => {
                self.place = Place::Extended {
                    first,
                    masked,
                    left,
                    length,
                }
            }
        }
    }

    fn header_done(&mut self, first: u8, length: u64, seen: &mut Seen, now: Instant) {
        seen.frames = seen.frames.saturating_add(1);
        if is_control(first) {
            seen.controls = seen.controls.saturating_add(1);
        }
        self.payload(first, length, now);
    }

    /// `left` bytes of a payload are still to come.
    fn payload(&mut self, first: u8, left: u64, now: Instant) {
        if left > 0 {
            self.place = Place::Payload { first, left };
            return;
        }
        self.place = Place::Start;
        if !is_control(first) {
            self.message_open = first & FIN == 0;
        }
        // A control frame between two fragments ends itself, not the message: its deadline stays where it was.
        if !self.message_open {
            self.since = None;
        } else if self.since.is_none() {
            self.since = Some(now);
        }
    }
}

fn is_control(first: u8) -> bool {
    first & OPCODE >= 8
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{FrameWalker, Seen};

    /// A masked client frame.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match u16::try_from(payload.len()) {
            Ok(len @ 0..=125) => out.push(0x80 | u8::try_from(len).expect("at most 125")),
            Ok(len) => {
                out.push(0x80 | 0x7e);
                out.extend(len.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 0x7f);
                out.extend((payload.len() as u64).to_be_bytes());
            }
        }
        out.extend([1, 2, 3, 4]);
        out.extend(payload);
        out
    }

    #[test]
    fn every_frame_is_counted_however_its_bytes_arrive() {
        let bytes: Vec<u8> = [
            frame(0x81, b"hi"),
            frame(0x01, &[b'x'; 300]),
            frame(0x89, b"ping"),
            frame(0x80, &vec![b'y'; 70_000]),
        ]
        .concat();
        for chunk in [1, 2, 3, 7, 1000, bytes.len()] {
            let mut walker = FrameWalker::new();
            let now = Instant::now();
            let mut total = Seen::default();
            for part in bytes.chunks(chunk) {
                let seen = walker.walk(part, now);
                total.frames += seen.frames;
                total.controls += seen.controls;
            }
            assert_eq!(
                total,
                Seen {
                    frames: 4,
                    controls: 1
                },
                "in pieces of {chunk}"
            );
            assert_eq!(walker.unfinished_since(), None);
        }
    }

    #[test]
    fn empty_continuations_and_pings_do_not_move_the_start_of_a_message() {
        let start = Instant::now();
        let mut walker = FrameWalker::new();
        walker.walk(&frame(0x01, b""), start);
        for n in 1..100 {
            let later = start + Duration::from_millis(n);
            assert_eq!(
                walker.walk(&frame(0x00, b""), later),
                Seen {
                    frames: 1,
                    controls: 0
                }
            );
            assert_eq!(
                walker.walk(&frame(0x89, b""), later),
                Seen {
                    frames: 1,
                    controls: 1
                }
            );
            assert_eq!(walker.unfinished_since(), Some(start));
        }
        walker.walk(&frame(0x80, b""), start);
        assert_eq!(walker.unfinished_since(), None);
    }

    #[test]
    fn a_length_that_lies_costs_nothing() {
        let mut walker = FrameWalker::new();
        let now = Instant::now();
        let seen = walker.walk(
            &[
                0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 9,
            ],
            now,
        );
        assert_eq!(
            seen,
            Seen {
                frames: 1,
                controls: 0
            }
        );
        assert_eq!(walker.unfinished_since(), Some(now));
    }
}
