//! The kept part of one room's log as a plain value: entries without holes, the epochs they were placed in, and where a
//! cursor stands in it. No lock, no clock.

use std::collections::VecDeque;

use crate::{
    domain::{
        cursor::Cursor,
        entry::{Body, Entry},
        position::{Epoch, Position},
    },
    log::{Found, Page, StateVersion},
};

/// Entries in the order of their offsets. What retention took from the front is gone, its epochs stay known.
#[derive(Clone, Debug, Default)]
pub struct History {
    entries: VecDeque<Entry>,
    head: Option<Position>,
    /// The first offset of each epoch, ascending. An epoch starts at one point of one history.
    epochs: Vec<(u64, Epoch)>,
}

impl History {
    /// The newest position, also when its entry is gone.
    pub fn head(&self) -> Option<Position> {
        self.head
    }

    /// The first offset that is still there; head + 1 when none is.
    pub fn first(&self) -> u64 {
        self.entries
            .front()
            .map_or(self.next_offset(), |entry| entry.at.offset)
    }

    /// The offset that the next entry gets.
    pub fn next_offset(&self) -> u64 {
        self.head.map_or(1, |head| head.offset + 1)
    }

    /// The kept entries.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// Adds an entry at [`History::next_offset`].
    pub fn push(&mut self, entry: Entry) {
        debug_assert_eq!(entry.at.offset, self.next_offset(), "offsets are dense");
        if self.head.is_none_or(|head| head.epoch != entry.at.epoch) {
            self.epochs.push((entry.at.offset, entry.at.epoch));
        }
        self.head = Some(entry.at);
        self.entries.push_back(entry);
    }

    /// Forgets entries from the front while there are more than `count`.
    pub fn keep_newest(&mut self, count: u64) {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let surplus = self.entries.len().saturating_sub(count);
        self.entries.drain(..surplus);
    }

    /// Forgets entries from the front that were placed before `ts`.
    pub fn keep_since(&mut self, ts: u64) {
        while self.entries.front().is_some_and(|entry| entry.ts < ts) {
            self.entries.pop_front();
        }
    }

    /// Takes the content of the entry at this position; its place stays. Another epoch there, or nothing: nothing happens.
    pub fn redact(&mut self, at: Position) {
        if let Some(entry) = self
            .index(at.offset)
            .and_then(|index| self.entries.get_mut(index))
            .filter(|entry| entry.at == at)
        {
            entry.body = Body::Removed;
        }
    }

    /// The entry at this offset, if it is still there.
    pub fn at(&self, offset: u64) -> Option<&Entry> {
        self.entries.get(self.index(offset)?)
    }

    /// At most `limit` entries after the cursor.
    pub fn after(&self, cursor: &Cursor, limit: u32, state: StateVersion) -> Page {
        let found = self.find(cursor);
        let wanted = match found {
            Found::Here => cursor.newest().map_or(1, |newest| newest.offset + 1),
            Found::Fork { keep } => keep.offset + 1,
            Found::Reset => return self.page(found, self.newest(limit), limit, state),
        };
        self.page(found, wanted, limit, state)
    }

    /// The `limit` entries just below `offset`, or the newest.
    pub fn before(&self, offset: Option<u64>, limit: u32, state: StateVersion) -> Page {
        let end = offset
            .unwrap_or(u64::MAX)
            .clamp(self.first(), self.next_offset());
        let start = end.saturating_sub(u64::from(limit)).max(self.first());
        let span = u32::try_from(end - start).expect("at most `limit`");
        self.page(Found::Here, start, span, state)
    }

    /// Where a cursor stands.
    pub fn find(&self, cursor: &Cursor) -> Found {
        find(&self.epochs, self.next_offset(), cursor)
    }

    /// Loses everything above `keep`, which is not below what is kept: a store that was set back.
    #[cfg(test)]
    pub(crate) fn roll_back(&mut self, keep: u64) {
        self.entries.retain(|entry| entry.at.offset <= keep);
        self.epochs.retain(|(first, _)| *first <= keep);
        self.head = self.epochs.last().map(|(_, epoch)| Position {
            offset: keep,
            epoch: *epoch,
        });
    }

    fn newest(&self, limit: u32) -> u64 {
        self.next_offset()
            .saturating_sub(u64::from(limit))
            .max(self.first())
    }

    fn page(&self, found: Found, wanted: u64, limit: u32, state: StateVersion) -> Page {
        let skip = usize::try_from(wanted.saturating_sub(self.first())).unwrap_or(usize::MAX);
        Page {
            found,
            first: self.first(),
            head: self.head,
            state,
            entries: self
                .entries
                .iter()
                .skip(skip)
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .cloned()
                .collect(),
        }
    }

    fn index(&self, offset: u64) -> Option<usize> {
        usize::try_from(offset.checked_sub(self.first())?).ok()
    }
}

/// Where a cursor stands in a log with these epochs, each with its first offset, ascending. Why the answer is exact: an epoch is
/// minted once and starts at one point of one history, so a log and a cursor that share it share all before its first entry;
/// within it this log's copy ends where the next begins.
pub fn find(epochs: &[(u64, Epoch)], next_offset: u64, cursor: &Cursor) -> Found {
    if cursor.is_start() {
        return Found::Here;
    }
    for (age, position) in cursor.positions().iter().enumerate() {
        let Some(place) = epochs
            .iter()
            .position(|(_, epoch)| *epoch == position.epoch)
        else {
            continue;
        };
        let last = epochs.get(place + 1).map_or(next_offset, |(next, _)| *next) - 1;
        if age == 0 && position.offset <= last {
            return Found::Here;
        }
        return Found::Fork {
            keep: Position {
                offset: position.offset.min(last),
                epoch: position.epoch,
            },
        };
    }
    Found::Reset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

    use super::History;
    use crate::{
        domain::{
            cursor::Cursor,
            entry::{Body, Entry},
            ids::{MessageId, Producer, ProducerId},
            position::{Epoch, Position},
        },
        log::{Found, StateVersion},
    };

    fn entry(offset: u64, epoch: u64, seq: u64) -> Entry {
        Entry {
            at: Position {
                offset,
                epoch: Epoch::new(epoch),
            },
            ts: offset,
            id: MessageId {
                producer: Producer {
                    id: ProducerId::from_bytes([0; 12]),
                    chain: 0,
                },
                seq,
            },
            body: Body::Removed,
        }
    }

    fn cursor(positions: &[(u64, u64)]) -> Cursor {
        let pairs: Vec<_> = positions
            .iter()
            .map(|(offset, epoch)| (*offset, Epoch::new(*epoch).to_string()))
            .collect();
        Cursor::parse(&pairs, 4).expect("at most four pairs")
    }

    fn history(epochs: &[u64]) -> History {
        let mut history = History::default();
        for (offset, epoch) in (1..).zip(epochs) {
            history.push(entry(offset, *epoch, offset));
        }
        history
    }

    #[test]
    fn a_cursor_is_here_forked_or_unknown() {
        let log = history(&[1, 1, 1, 5, 5]);
        let keep = |offset, epoch| Found::Fork {
            keep: Position {
                offset,
                epoch: Epoch::new(epoch),
            },
        };
        for (positions, found) in [
            (&[][..], Found::Here),
            (&[(5, 5)], Found::Here),
            (&[(3, 1)], Found::Here),
            (&[(2, 1)], Found::Here),
            (&[(3, 5)], Found::Here), // just before the epoch's first entry, as a `gap` names it
            (&[(6, 5)], keep(5, 5)),  // beyond the head
            (&[(4, 1)], keep(3, 1)),  // its epoch ended earlier here
            (&[(4, 2), (2, 1)], keep(2, 1)),
            (&[(6, 3), (5, 2), (3, 1)], keep(3, 1)),
            (&[(5, 9)], Found::Reset),
        ] {
            assert_eq!(log.find(&cursor(positions)), found, "{positions:?}");
        }
        assert_eq!(History::default().find(&cursor(&[(1, 1)])), Found::Reset);
    }

    #[test]
    fn a_trimmed_front_keeps_the_head_and_the_epochs() {
        let mut log = history(&[1, 1, 5, 5]);
        log.keep_newest(0);
        assert_eq!((log.first(), log.next_offset()), (5, 5));
        assert_eq!(log.find(&cursor(&[(2, 1)])), Found::Here);
        let page = log.after(&cursor(&[(2, 1)]), 10, StateVersion(None));
        assert_eq!(
            (page.first, page.entries.len()),
            (5, 0),
            "a gap without entries"
        );
        assert_eq!(page.head, log.head());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Two copies of one history part ways somewhere; whoever followed one of them is told exactly where.
        #[test]
        fn a_fork_is_found_at_the_exact_entry(
            common in proptest::collection::vec(0_u64..2, 1..20),
            ours in proptest::collection::vec(0_u64..2, 1..20),
            theirs in proptest::collection::vec(0_u64..2, 1..20),
            rolled_back in 0_usize..20,
        ) {
            // A 1 starts a new epoch; epochs are minted once, so the branches never share one that began after the parting.
            let mut minted = 0;
            let mut grow = |base: &[u64], steps: &[u64], fresh: bool| {
                let mut out = base.to_vec();
                for (index, step) in steps.iter().enumerate() {
                    if *step == 1 || out.is_empty() || (fresh && index == 0) {
                        minted += 1;
                        out.push(minted);
                    } else {
                        out.push(*out.last().expect("not empty"));
                    }
                }
                out
            };
            let trunk = grow(&[], &common, true);
            let client = grow(&trunk, &theirs, false);
            let kept = trunk.len().saturating_sub(rolled_back).max(1);
            let log = grow(&trunk[..kept], &ours, true);

            let mut positions: Vec<(u64, u64)> = Vec::new();
            for (offset, epoch) in (1..).zip(&client) {
                match positions.first_mut() {
                    Some(newest) if newest.1 == *epoch => newest.0 = offset,
                    _ => positions.insert(0, (offset, *epoch)),
                }
            }
            positions.truncate(4);
            let same = client.iter().zip(&log).take_while(|(a, b)| a == b).count();
            let found = history(&log).find(&cursor(&positions));
            match found {
                Found::Here => prop_assert_eq!(same, client.len()),
                Found::Fork { keep } => prop_assert_eq!(keep.offset, same as u64),
                // Only when the four newest epochs of the client all lie above the parting.
                Found::Reset => prop_assert_eq!(positions.iter().any(|(_, epoch)| log.contains(epoch)), false),
            }
        }
    }
}
