//! What one member has received of its room: which messages, and the offset it stands at.

use std::collections::VecDeque;

/// One member's view of its room.
#[derive(Debug)]
pub(super) struct Receiver {
    room: usize,
    /// The last offset that came, or the head at the join.
    offset: u64,
    /// Every number below it came.
    next: u64,
    /// Whether `next`, `next + 1` … came; begins with a number that did not, or is empty.
    ahead: VecDeque<bool>,
}

/// How an offset follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// By one.
    Next,
    /// Some are missing between.
    Hole,
    /// It does not come after it.
    Back,
}

impl Receiver {
    /// A member that joined room `room` when its head was at `offset` and the run's next message was `next`.
    pub(super) fn new(room: usize, offset: u64, next: u64) -> Self {
        Self {
            room,
            offset,
            next,
            ahead: VecDeque::new(),
        }
    }

    /// The room, as an index.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Goes to an offset.
    pub(super) fn step(&mut self, offset: u64) -> Step {
        let step = match offset {
            _ if offset == self.offset + 1 => Step::Next,
            _ if offset > self.offset => Step::Hole,
            _ => return Step::Back,
        };
        self.offset = offset;
        step
    }

    /// Goes to the place after a gap or reset, which may lie before the last one.
    pub(super) fn jump(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Marks a number as come; false when it had come before.
    pub(super) fn mark(&mut self, number: u64) -> bool {
        let Some(at) = number.checked_sub(self.next) else {
            return false;
        };
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if at == 0 {
            self.advance();
            return true;
        }
        if self.ahead.len() <= at {
            self.ahead.resize(at + 1, false);
        }
        !std::mem::replace(&mut self.ahead[at], true)
    }

    /// The numbers below `end` that did not come.
    pub(super) fn missing(&self, end: u64) -> impl Iterator<Item = u64> {
        (self.next..end)
            .zip(self.ahead.iter().copied().chain(std::iter::repeat(false)))
            .filter(|(_, came)| !came)
            .map(|(number, _)| number)
    }

    fn advance(&mut self) {
        self.next += 1;
        self.ahead.pop_front();
        while self.ahead.front() == Some(&true) {
            self.next += 1;
            self.ahead.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Receiver, Step};

    #[test]
    fn what_came_in_any_order_is_not_missing() {
        let mut receiver = Receiver::new(0, 10, 0);
        for number in [2, 0, 5, 1] {
            assert!(receiver.mark(number), "{number}");
        }
        assert_eq!(receiver.missing(7).collect::<Vec<_>>(), [3, 4, 6]);
        assert_eq!(receiver.missing(3).count(), 0);
        assert!(receiver.mark(4) && receiver.mark(3) && receiver.mark(6));
        assert_eq!(receiver.missing(7).count(), 0);
    }

    #[test]
    fn what_came_twice_is_seen_whenever_the_second_comes() {
        let mut receiver = Receiver::new(0, 10, 0);
        assert!(receiver.mark(0));
        assert!(receiver.mark(3));
        assert!(!receiver.mark(3), "before the hole is filled");
        assert!(!receiver.mark(0), "right after it");
        assert!(receiver.mark(1) && receiver.mark(2) && receiver.mark(4));
        assert!(!receiver.mark(3), "after the hole was filled");
    }

    #[test]
    fn a_late_member_misses_nothing_of_before() {
        assert_eq!(
            Receiver::new(0, 10, 4).missing(6).collect::<Vec<_>>(),
            [4, 5]
        );
        assert!(!Receiver::new(0, 10, 4).mark(3));
    }

    #[test]
    fn offsets_go_up_by_one() {
        let mut receiver = Receiver::new(0, 10, 0);
        let steps = [11, 11, 10, 13, 14].map(|offset| receiver.step(offset));
        assert_eq!(
            steps,
            [Step::Next, Step::Back, Step::Back, Step::Hole, Step::Next]
        );
        receiver.jump(3);
        assert_eq!(receiver.step(4), Step::Next);
    }
}
