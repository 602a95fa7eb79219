//! The positions that a client holds, newest first: from `join.since` or `?after=`, next to the log's `read`.

use super::position::{Epoch, Position};

/// At most a few positions, newest first: the last offset seen in each epoch. Empty: nothing was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Vec<Position>);

/// Why a list of pairs is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// More pairs than `limits.cursor_pairs_max`.
    #[error("a cursor has at most {max} positions")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// An epoch that is not lower-case hex, or missing beside an offset above 0.
    #[error("a cursor is a list of [offset, epoch] pairs, newest first")]
    Form,
}

impl Cursor {
    /// How many positions a cursor that moves on keeps: enough for so many rollbacks in a row.
    const KEPT: usize = 4;

    /// Parses pairs as they come on the wire. A newest offset of 0 means the same as no cursor.
    pub fn parse(pairs: &[(u64, String)], pairs_max: usize) -> Result<Self, CursorError> {
        if pairs.len() > pairs_max {
            return Err(CursorError::TooMany { max: pairs_max });
        }
        if pairs.first().is_none_or(|(offset, _)| *offset == 0) {
            return Ok(Self::default());
        }
        pairs
            .iter()
            .filter(|(offset, _)| *offset > 0)
            .map(|(offset, epoch)| {
                Ok(Position {
                    offset: *offset,
                    epoch: Epoch::parse(epoch).map_err(|_| CursorError::Form)?,
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// A cursor at one position, or at the start.
    pub fn at(position: Option<Position>) -> Self {
        Self(position.into_iter().collect())
    }

    /// The positions, newest first.
    pub fn positions(&self) -> &[Position] {
        &self.0
    }

    /// The newest position.
    pub fn newest(&self) -> Option<Position> {
        self.0.first().copied()
    }

    /// Whether nothing was seen yet.
    pub fn is_start(&self) -> bool {
        self.0.is_empty()
    }

    /// Moves on to a position of the same history: within its epoch it replaces the newest, in another it comes in front.
    pub fn advance(&mut self, to: Position) {
        match self.0.first_mut() {
            Some(newest) if newest.epoch == to.epoch => *newest = to,
            _ => {
                self.0.insert(0, to);
                self.0.truncate(Self::KEPT);
            }
        }
    }

    /// Goes back to the last common position: what is above it is void.
    pub fn fork(&mut self, keep: Position) {
        self.0
            .retain(|position| position.offset < keep.offset && position.epoch != keep.epoch);
        self.0.insert(0, keep);
        self.0.truncate(Self::KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, CursorError};
    use crate::domain::position::{Epoch, Position};

    fn at(offset: u64, epoch: u64) -> Position {
        Position {
            offset,
            epoch: Epoch::new(epoch),
        }
    }

    #[test]
    fn a_cursor_keeps_the_last_offset_of_each_of_its_newest_epochs() {
        let mut cursor = Cursor::default();
        for (offset, epoch) in [(1, 1), (2, 1), (3, 2), (4, 3), (5, 4), (6, 5), (7, 5)] {
            cursor.advance(at(offset, epoch));
        }
        assert_eq!(cursor.positions(), [at(7, 5), at(5, 4), at(4, 3), at(3, 2)]);
    }

    #[test]
    fn a_fork_drops_what_is_above_the_common_position() {
        let mut cursor = Cursor::default();
        for (offset, epoch) in [(2, 1), (4, 2), (6, 3)] {
            cursor.advance(at(offset, epoch));
        }
        cursor.fork(at(3, 2));
        assert_eq!(cursor.positions(), [at(3, 2), at(2, 1)]);
        cursor.fork(at(1, 1));
        assert_eq!(cursor.positions(), [at(1, 1)]);
    }

    #[test]
    fn a_cursor_is_at_most_four_pairs_newest_first() {
        let pair = |offset: u64| (offset, "5f3a".to_owned());
        assert_eq!(
            Cursor::parse(&[pair(9), pair(3)], 4)
                .expect("two pairs")
                .positions()
                .len(),
            2
        );
        assert!(
            Cursor::parse(&[(0, String::new())], 4)
                .expect("the start")
                .is_start()
        );
        assert_eq!(
            Cursor::parse(&[pair(5), pair(4), pair(3), pair(2), pair(1)], 4),
            Err(CursorError::TooMany { max: 4 })
        );
        assert_eq!(
            Cursor::parse(&[(5, "XYZ".to_owned())], 4),
            Err(CursorError::Form)
        );
    }
}
