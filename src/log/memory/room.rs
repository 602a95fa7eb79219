//! One room of the memory engine: its history, what it remembers of producers, and its state document.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::{
    domain::{
        cursor::Cursor,
        entry::{Body, Entry},
        ids::{Producer, UserId},
        position::{Epoch, Position},
    },
    log::{
        Append, AppendError, Durability, Page, Placed, StateVersion,
        decide::{Decision, RoomView, Seen, decide},
        history::History,
        retention::Keep,
    },
};

/// Producers below this number are not worth a look.
const PRODUCERS_CHECKED_FROM: usize = 64;

/// A room's log.
#[derive(Debug, Default)]
pub(super) struct RoomEntries {
    history: History,
    /// Who wrote each entry of the history.
    authors: VecDeque<UserId>,
    producers: HashMap<Producer, Known>,
    /// At how many producers the expired ones are looked for: twice what was left the last time, so that it costs each new
    /// one a constant.
    producers_check: usize,
    state: (StateVersion, Bytes),
    /// The time of the newest entry; the next is never before it.
    ts: u64,
}

/// The one line that is kept of a producer.
#[derive(Clone, Copy, Debug)]
struct Known {
    seen: Seen,
    ts: u64,
    /// From this moment on the producer is unknown.
    expires: u64,
}

impl RoomEntries {
    /// Decides, and places what is to be placed: the entry is there exactly when one is returned.
    pub(super) fn append(
        &mut self,
        what: &Append<'_>,
        epoch: Epoch,
        now: u64,
    ) -> Result<(Placed, Option<Entry>), AppendError> {
        let known = self
            .producers
            .get(&what.id.producer)
            .filter(|known| known.expires > now)
            .copied();
        let view = RoomView {
            seen: known.map(|known| known.seen),
            state: self.state.0,
        };
        let duplicate = |at| Placed {
            at,
            ts: known.map_or(0, |known| known.ts),
            duplicate: true,
            durability: Durability::Memory,
        };
        match decide(&view, what) {
            Decision::Reject(why) => Err(AppendError::Rejected(why)),
            Decision::Duplicate(at) => Ok((duplicate(at), None)),
            Decision::Append => {
                let entry = self.place(what, epoch, now);
                let placed = Placed {
                    at: Some(entry.at),
                    ts: entry.ts,
                    duplicate: false,
                    durability: Durability::Memory,
                };
                Ok((placed, Some(entry)))
            }
        }
    }

    fn place(&mut self, what: &Append<'_>, epoch: Epoch, now: u64) -> Entry {
        let at = Position {
            offset: self.history.next_offset(),
            epoch,
        };
        self.ts = self.ts.max(now);
        let entry = Entry {
            at,
            ts: self.ts,
            id: what.id,
            body: Body::Kept(Bytes::copy_from_slice(what.envelope)),
        };
        self.history.push(entry.clone());
        self.authors.push_back(*what.by);
        if let Some(target) = what.redacts {
            self.history.redact(target);
        }
        if let Some(state) = what.state {
            self.state = (StateVersion(Some(at)), Bytes::copy_from_slice(state));
        }
        let remembered = u64::try_from(what.remember.as_millis()).unwrap_or(u64::MAX);
        self.remember(
            what.id.producer,
            Known {
                seen: Seen {
                    seq: what.id.seq,
                    at,
                    text_hash: Some(what.text_hash),
                },
                ts: self.ts,
                expires: now.saturating_add(remembered),
            },
            now,
        );
        entry
    }

    fn remember(&mut self, producer: Producer, known: Known, now: u64) {
        self.producers.insert(producer, known);
        if self.producers.len() > self.producers_check.max(PRODUCERS_CHECKED_FROM) {
            self.producers.retain(|_, known| known.expires > now);
            self.producers_check = self.producers.len() * 2;
        }
    }

    /// Applies retention.
    pub(super) fn trim(&mut self, keep: &Keep, now: u64) {
        self.history.keep_newest(keep.count);
        self.history.keep_since(keep.horizon(now));
        let gone = self.authors.len() - self.history.entries().len();
        self.authors.drain(..gone);
    }

    /// Forgets what a room that nobody touches would keep for ever.
    pub(super) fn forget_expired(&mut self, now: u64, keep: &Keep) {
        self.trim(keep, now);
        self.producers.retain(|_, known| known.expires > now);
        self.producers.shrink_to(self.producers.len() * 2);
        self.producers_check = self.producers.len() * 2;
    }

    /// Takes the content of everything that this person wrote, and says how many entries that were.
    pub(super) fn erase(&mut self, user: UserId) -> u64 {
        let theirs: Vec<Position> = self
            .history
            .entries()
            .zip(&self.authors)
            .filter(|(entry, author)| **author == user && entry.body != Body::Removed)
            .map(|(entry, _)| entry.at)
            .collect();
        for at in &theirs {
            self.history.redact(*at);
        }
        u64::try_from(theirs.len()).unwrap_or(u64::MAX)
    }

    /// At most `limit` entries after the cursor.
    pub(super) fn after(&self, cursor: &Cursor, limit: u32) -> Page {
        self.history.after(cursor, limit, self.state.0)
    }

    /// The `limit` entries just below `offset`, or the newest.
    pub(super) fn before(&self, offset: Option<u64>, limit: u32) -> Page {
        self.history.before(offset, limit, self.state.0)
    }

    /// The newest position.
    pub(super) fn head(&self) -> Option<Position> {
        self.history.head()
    }

    /// The state document and its version.
    pub(super) fn state(&self) -> (StateVersion, Bytes) {
        self.state.clone()
    }

    /// How many producers are remembered.
    #[cfg(test)]
    pub(super) fn producers(&self) -> usize {
        self.producers.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::RoomEntries;
    use crate::{
        domain::{
            ids::{MessageId, Producer, ProducerId, UserId},
            position::Epoch,
        },
        log::{Append, retention::Keep},
    };

    #[test]
    fn dead_producers_are_forgotten_as_new_ones_come() {
        let by = UserId::from_digest(&[0; 32]);
        let mut room = RoomEntries::default();
        for n in 0..3_000_u64 {
            let mut id = [0; 12];
            id[..8].copy_from_slice(&n.to_be_bytes());
            let what = Append {
                id: MessageId {
                    producer: Producer {
                        id: ProducerId::from_bytes(id),
                        chain: 0,
                    },
                    seq: 1,
                },
                prev: 0,
                by: &by,
                remember: Duration::from_mins(1),
                text_hash: 0,
                checked: None,
                envelope: b"x",
                redacts: None,
                state: None,
            };
            // One a second: never more than 60 alive.
            room.append(&what, Epoch::new(1), n * 1000)
                .expect("a new producer");
            assert!(room.producers() <= 2 * 64, "{}", room.producers());
        }
        room.forget_expired(10_000_000, &Keep::ALL);
        assert_eq!(room.producers(), 0);
    }
}
