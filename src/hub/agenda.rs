//! What the hub has to do now or later: syncs, presence that was held back, seats to give back. One heap, one waiter.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use crate::{domain::room_name::RoomId, hub::room::Room};

/// One thing to do. Each is bounded by what asks for it: a room has at most one sync, one backfill and one presence frame
/// planned, and never more looks at its departures than it has seats to give back.
#[derive(Debug)]
pub(super) enum Job {
    /// Read the log until the room is level with it.
    Sync(Arc<Room>),
    /// Read what lies below the ring, for those who come back from there.
    Backfill(Arc<Room>),
    /// Tell the members who came and went.
    Presence(Arc<Room>),
    /// Give seats back.
    Leave(Arc<Room>),
    /// Relay to every node.
    Cast(RoomId, Bytes),
    /// Compare all rooms with the log: the feed had a hole.
    Compare,
    /// Look after rooms that nobody touches.
    Tick,
}

#[derive(Debug)]
struct Item {
    at: Instant,
    /// Breaks ties in the order of asking.
    number: u64,
    job: Job,
}

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    items: Mutex<(BinaryHeap<Reverse<Item>>, u64)>,
    sooner: Notify,
}

impl Agenda {
    /// Does it as soon as possible.
    pub(super) fn now(&self, job: Job) {
        self.at(Instant::now(), job);
    }

    /// Does it then.
    pub(super) fn at(&self, at: Instant, job: Job) {
        let mut items = self.items.lock();
        items.1 += 1;
        let number = items.1;
        let first = items.0.peek().is_none_or(|Reverse(item)| at < item.at);
        items.0.push(Reverse(Item { at, number, job }));
        drop(items);
        if first {
            self.sooner.notify_one();
        }
    }

    /// The next thing that is due.
    ///
    /// # Cancel safety
    ///
    /// What is not returned stays.
    pub(super) async fn next(&self) -> Job {
        loop {
            let due = {
                let mut items = self.items.lock();
                match items.0.peek() {
                    Some(Reverse(item)) if item.at <= Instant::now() => {
                        if let Some(Reverse(item)) = items.0.pop() {
                            return item.job;
                        }
                        None
                    }
                    Some(Reverse(item)) => Some(item.at),
                    None => None,
                }
            };
            match due {
                // Either way the heap is looked at again.
                Some(due) => timeout_at(due, self.sooner.notified()).await.unwrap_or(()),
                None => self.sooner.notified().await,
            }
        }
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use bytes::Bytes;
    use tokio::time::Instant;

    use super::{Agenda, Job};
    use crate::domain::room_name::RoomId;

    #[tokio::test(start_paused = true)]
    async fn jobs_come_when_they_are_due_and_sooner_ones_first() {
        let agenda = Arc::new(Agenda::default());
        let room = RoomId::parse("lobby", 64).expect("a name");
        let cast =
            |name: &'static str| Job::Cast(room.clone(), Bytes::from_static(name.as_bytes()));
        let start = Instant::now();
        let secs = Duration::from_secs;
        agenda.at(start + secs(5), cast("late"));
        let waiting = async {
            let mut order = Vec::new();
            for _ in 0..4 {
                let Job::Cast(_, name) = agenda.next().await else {
                    panic!("only casts");
                };
                order.push((name, start.elapsed()));
            }
            order
        };
        let asking = async {
            agenda.at(start + secs(2), cast("soon"));
            agenda.now(cast("first"));
            agenda.now(cast("second"));
        };
        let (order, ()) = tokio::join!(waiting, asking);
        let names: Vec<_> = order
            .iter()
            .map(|(name, at)| (&name[..], at.as_secs()))
            .collect();
        let expected: [(&[u8], u64); 4] =
            [(b"first", 0), (b"second", 0), (b"soon", 2), (b"late", 5)];
        assert_eq!(names, expected);
    }
}
