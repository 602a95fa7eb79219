//! The engine's end of the feed: bounded in items and bytes. What does not fit is not waited for; the hub is told that the
//! feed has a hole, and reads the log.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

use crate::{
    domain::entry::Body,
    log::{Feed, Scope},
};

/// Beside the configured entries there is always room for `Suspect` and `Sound`.
const RESERVED: usize = 2;

#[derive(Debug)]
pub(in crate::log) struct FeedEnd {
    tail: Mutex<Tail>,
    entries_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Tail {
    sender: Sender<Feed>,
    /// Until the one consumer takes it.
    receiver: Option<Receiver<Feed>>,
    /// Bytes of what waits, in order. The channel says how much was taken, so the bytes need no word from the consumer.
    sizes: VecDeque<usize>,
    bytes: usize,
    /// The last thing that waits is `Sound`: a further loss is covered by the comparison of heads that it asks for, which
    /// happens after it was taken, hence after the entry was placed.
    ends_sound: bool,
}

impl FeedEnd {
    pub(in crate::log) fn new(entries_max: usize, bytes_max: usize) -> Self {
        let (sender, receiver) = mpsc::channel(entries_max + RESERVED);
        Self {
            tail: Mutex::new(Tail {
                sender,
                receiver: Some(receiver),
                sizes: VecDeque::new(),
                bytes: 0,
                ends_sound: false,
            }),
            entries_max,
            bytes_max,
        }
    }

    /// The consumer's end; for a second caller one that is closed.
    pub(in crate::log) fn take(&self) -> Receiver<Feed> {
        self.tail
            .lock()
            .receiver
            .take()
            .unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// Puts it into the feed, or notes the loss there. Casts are dropped without a note: they come with no promise.
    pub(in crate::log) fn send(&self, item: Feed) {
        let size = size(&item);
        let mut tail = self.tail.lock();
        tail.settle();
        let waiting = tail.sizes.len();
        let fits = waiting < self.entries_max
            && (waiting == 0 || tail.bytes.saturating_add(size) <= self.bytes_max);
        if fits {
            tail.push(item, size);
            tail.ends_sound = false;
        } else if !matches!(item, Feed::Cast(..)) && !tail.ends_sound {
            tail.push(Feed::Suspect(Scope), 0);
            tail.push(Feed::Sound(Scope), 0);
            tail.ends_sound = true;
            tracing::warn!(
                entries = waiting,
                bytes = tail.bytes,
                "the feed of the log is full: the hub reads the log again"
            );
        }
    }
}

impl Tail {
    /// Takes note of what the consumer took.
    fn settle(&mut self) {
        let waiting = self.sender.max_capacity() - self.sender.capacity();
        while self.sizes.len() > waiting {
            self.bytes -= self.sizes.pop_front().unwrap_or(0);
        }
        self.ends_sound &= waiting > 0;
    }

    fn push(&mut self, item: Feed, size: usize) {
        // Closed: there is no consumer any more, the process ends. Full: cannot be, the places were counted.
        if self.sender.try_send(item).is_ok() {
            self.sizes.push_back(size);
            self.bytes += size;
        }
    }
}

/// What an item costs while it waits: its variable part and a flat sum for the rest.
fn size(item: &Feed) -> usize {
    const FLAT: usize = 128;
    const PERSON: usize = 96;
    FLAT + match item {
        Feed::Entry(_, entry) => match &entry.body {
            Body::Kept(bytes) => bytes.len(),
            Body::Removed => 0,
        },
        Feed::Cast(_, bytes) => bytes.len(),
        Feed::Seats(_, change) => (change.people.len() + change.renamed.len()) * PERSON,
        Feed::Suspect(_) | Feed::Sound(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::FeedEnd;
    use crate::{
        domain::{
            entry::{Body, Entry},
            ids::{MessageId, Producer, ProducerId},
            position::{Epoch, Position},
            room_name::RoomId,
        },
        log::Feed,
    };

    fn entry(offset: u64, bytes: usize) -> Feed {
        let room = RoomId::parse("lobby", 64).expect("a name");
        let id = ProducerId::from_bytes([0; 12]);
        Feed::Entry(
            room,
            Entry {
                at: Position {
                    offset,
                    epoch: Epoch::new(1),
                },
                ts: 0,
                id: MessageId {
                    producer: Producer { id, chain: 0 },
                    seq: offset,
                },
                body: Body::Kept(Bytes::from(vec![0; bytes])),
            },
        )
    }

    fn names(feed: &mut tokio::sync::mpsc::Receiver<Feed>) -> Vec<String> {
        std::iter::from_fn(|| feed.try_recv().ok())
            .map(|item| match item {
                Feed::Entry(_, entry) => entry.at.offset.to_string(),
                Feed::Suspect(_) => "suspect".to_owned(),
                Feed::Sound(_) => "sound".to_owned(),
                Feed::Cast(..) => "cast".to_owned(),
                Feed::Seats(..) => "seats".to_owned(),
            })
            .collect()
    }

    #[test]
    fn what_does_not_fit_by_count_is_reported_once_and_never_waited_for() {
        let end = FeedEnd::new(3, 1 << 20);
        let mut feed = end.take();
        for offset in 1..=3 {
            end.send(entry(offset, 10));
        }
        assert_eq!(names(&mut feed), ["1", "2", "3"], "n pass");
        for offset in 1..=9 {
            end.send(entry(offset, 10));
        }
        assert_eq!(names(&mut feed), ["1", "2", "3", "suspect", "sound"]);
        end.send(entry(10, 10));
        assert_eq!(names(&mut feed), ["10"], "room again");
    }

    #[test]
    fn bytes_are_counted_as_the_consumer_takes_them() {
        let end = FeedEnd::new(100, 2 * (128 + 1000));
        let mut feed = end.take();
        end.send(entry(1, 1000));
        end.send(entry(2, 1000));
        end.send(entry(3, 1));
        assert_eq!(names(&mut feed), ["1", "2", "suspect", "sound"]);
        end.send(entry(4, 9_000_000));
        assert_eq!(
            names(&mut feed),
            ["4"],
            "an entry above the bound passes alone"
        );
    }

    #[test]
    fn a_loss_after_sound_is_reported_again_unless_sound_still_waits() {
        let end = FeedEnd::new(2, 1 << 20);
        let mut feed = end.take();
        for offset in 1..=4 {
            end.send(entry(offset, 1));
        }
        for _ in 0..3 {
            feed.try_recv().expect("1, 2 and suspect");
        }
        end.send(entry(5, 1)); // behind the waiting sound
        end.send(entry(6, 1)); // lost
        assert_eq!(names(&mut feed), ["sound", "5", "suspect", "sound"]);
    }

    #[test]
    fn a_second_consumer_gets_a_closed_feed() {
        let end = FeedEnd::new(2, 1 << 20);
        let _first = end.take();
        assert!(
            end.take()
                .try_recv()
                .is_err_and(|why| { why == tokio::sync::mpsc::error::TryRecvError::Disconnected })
        );
    }
}
