//! What the whole run saw: every message from when it was due to when its last receiver had it, and everything that went wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::receiver::Receiver;

/// Latencies up to a minute, in microseconds, to three digits.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3)
        .expect("the bounds are constants that the crate accepts")
}

/// What must be zero, counted over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Faults {
    /// Deliveries that never came: a message in the log that a member did not get.
    pub(super) lost: u64,
    /// Messages that came to a member again.
    pub(super) doubled: u64,
    /// Messages whose text was not what had been sent.
    pub(super) altered: u64,
    /// Offsets that went back, skipped, named another message for another member, or turned a sender's order round.
    pub(super) disordered: u64,
    /// Answers that were not true: an ack with another place than members saw, a refusal of a message that came all the same.
    pub(super) contradicted: u64,
    /// Gaps, resets and forks in a member's stream.
    pub(super) breaks: u64,
    /// Messages without an answer.
    pub(super) unanswered: u64,
    /// Sessions that ended before they should, by the code they were given.
    pub(super) closed: BTreeMap<String, u64>,
}

impl Faults {
    /// Whether all of it is zero.
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The run's memory. Locked for one batch of frames at a time.
#[derive(Debug)]
pub(super) struct Recorder {
    rooms: Vec<Room>,
    /// Only messages that were due within it enter the histograms.
    window_us: std::ops::Range<u64>,
    /// From due to received, one entry per delivery.
    pub(super) delivery: Histogram<u64>,
    /// From due to acknowledged.
    pub(super) ack: Histogram<u64>,
    /// From due to handed to the connection: the generator's own delay.
    pub(super) late: Histogram<u64>,
    pub(super) sent: u64,
    pub(super) acked: u64,
    /// Good deliveries.
    pub(super) delivered: u64,
    /// Messages in our rooms that this run did not send.
    pub(super) foreign: u64,
    /// Messages that the gateway did not take, by code.
    pub(super) refused: BTreeMap<String, u64>,
    pub(super) faults: Faults,
}

#[derive(Debug, Default)]
struct Room {
    members: u32,
    /// The number of the first slot.
    base: u64,
    /// Messages that have not reached everybody.
    slots: VecDeque<Slot>,
    /// Numbers that nobody is owed, and how sure the gateway was of it.
    withdrawn: BTreeMap<u64, Outcome>,
    unanswered: BTreeSet<u64>,
    /// The highest number of each sender that came, in the order of the log.
    last_of: BTreeMap<usize, u64>,
}

/// What an error said about its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is not in the log.
    No,
    /// It may be.
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    sender: usize,
    /// Members that do not have it yet.
    remaining: u32,
    /// Where the first receiver saw it; 0 until then.
    offset: u64,
}

/// One delivery, as a member saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivery {
    pub(super) number: u64,
    pub(super) offset: u64,
    pub(super) due_us: u64,
}

impl Recorder {
    /// A recorder for that many rooms, which times nothing yet.
    pub(super) fn new(rooms: usize) -> Self {
        Self {
            rooms: (0..rooms).map(|_| Room::default()).collect(),
            window_us: 0..0,
            delivery: histogram(),
            ack: histogram(),
            late: histogram(),
            sent: 0,
            acked: 0,
            delivered: 0,
            foreign: 0,
            refused: BTreeMap::new(),
            faults: Faults::default(),
        }
    }

    /// Only what is due within the window is timed; it is known when everybody has joined.
    pub(super) fn set_window(&mut self, window_us: std::ops::Range<u64>) {
        self.window_us = window_us;
    }

    /// A member has joined; it is owed every message from the one returned on.
    pub(super) fn joined(&mut self, room: usize) -> u64 {
        let room = &mut self.rooms[room];
        room.members += 1;
        room.end()
    }

    /// Gives a message its number.
    pub(super) fn number(&mut self, room: usize, sender: usize) -> u64 {
        self.sent += 1;
        let room = &mut self.rooms[room];
        let number = room.end();
        room.slots.push_back(Slot {
            sender,
            remaining: room.members,
            offset: 0,
        });
        room.unanswered.insert(number);
        number
    }

    /// Messages of a room that have not reached everybody.
    pub(super) fn under_way(&self, room: usize) -> usize {
        self.rooms[room].slots.len()
    }

    /// Whether every message has reached everybody and has its answer.
    pub(super) fn is_settled(&self) -> bool {
        self.rooms
            .iter()
            .all(|room| room.slots.is_empty() && room.unanswered.is_empty())
    }

    /// A message left the generator.
    pub(super) fn left(&mut self, due_us: u64, now_us: u64) {
        if self.window_us.contains(&due_us) {
            self.late.saturating_record(now_us.saturating_sub(due_us));
        }
    }

    /// A message reached a member for the first time.
    pub(super) fn delivered(&mut self, room: usize, delivery: Delivery, now_us: u64) {
        self.delivered += 1;
        if self.window_us.contains(&delivery.due_us) {
            self.delivery
                .saturating_record(now_us.saturating_sub(delivery.due_us));
        }
        let room = &mut self.rooms[room];
        if room.withdrawn.get(&delivery.number) == Some(&Outcome::No) {
            self.faults.contradicted += 1;
        }
        if !room.reached(delivery) {
            self.faults.disordered += 1;
        }
    }

    /// A message has its place.
    pub(super) fn acked(
        &mut self,
        room: usize,
        number: u64,
        offset: Option<u64>,
        due_us: u64,
        now_us: u64,
    ) {
        self.acked += 1;
        if self.window_us.contains(&due_us) {
            self.ack.saturating_record(now_us.saturating_sub(due_us));
        }
        let room = &mut self.rooms[room];
        room.unanswered.remove(&number);
        let seen = room.slot(number).map_or(0, |slot| slot.offset);
        if offset.is_some_and(|offset| seen != 0 && seen != offset) {
            self.faults.contradicted += 1;
        }
    }

    /// A message was not taken: nobody is owed it. Without a number it was no message.
    pub(super) fn refused(
        &mut self,
        room: usize,
        number: Option<u64>,
        code: &str,
        outcome: Outcome,
    ) {
        *self.refused.entry(code.to_owned()).or_default() += 1;
        let Some(number) = number else { return };
        let room = &mut self.rooms[room];
        room.unanswered.remove(&number);
        room.withdrawn.insert(number, outcome);
        if let Some(slot) = room.slot(number) {
            slot.remaining = 0;
        }
        room.forget_complete();
    }

    /// A member's run is over: what it is still owed is lost.
    pub(super) fn ended(&mut self, receiver: &Receiver) {
        let room = &mut self.rooms[receiver.room()];
        room.members = room.members.saturating_sub(1);
        for number in receiver.missing(room.end()) {
            if room.withdrawn.contains_key(&number) {
                continue;
            }
            self.faults.lost += 1;
            if let Some(slot) = room.slot(number) {
                slot.remaining = slot.remaining.saturating_sub(1);
            }
        }
        room.forget_complete();
    }

    /// A session ended before its time.
    pub(super) fn closed(&mut self, code: String) {
        *self.faults.closed.entry(code).or_default() += 1;
    }

    /// The run is over: what has no answer now never gets one.
    pub(super) fn finish(&mut self) {
        self.faults.unanswered = self
            .rooms
            .iter()
            .map(|room| room.unanswered.len() as u64)
            .sum();
    }
}

impl Room {
    /// The number of the next message.
    fn end(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.slots.get_mut(at)
    }

    /// False when the place contradicts what another member saw, or the order in which the sender spoke.
    fn reached(&mut self, delivery: Delivery) -> bool {
        let Some(slot) = self.slot(delivery.number) else {
            return delivery.number < self.base;
        };
        slot.remaining = slot.remaining.saturating_sub(1);
        let first = slot.offset == 0;
        let agrees = first || slot.offset == delivery.offset;
        slot.offset = delivery.offset;
        let sender = slot.sender;
        let mut ordered = true;
        if first && let Some(before) = self.last_of.insert(sender, delivery.number) {
            ordered = before < delivery.number;
        }
        self.forget_complete();
        agrees && ordered
    }

    fn forget_complete(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.remaining == 0) {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Outcome, Recorder};
    use crate::cli::load::receiver::Receiver;

    /// Two members of one room.
    fn two() -> (Recorder, [Receiver; 2]) {
        let mut recorder = Recorder::new(1);
        recorder.set_window(100..200);
        let members = [(), ()].map(|()| Receiver::new(0, 0, recorder.joined(0)));
        (recorder, members)
    }

    fn deliver(recorder: &mut Recorder, member: &mut Receiver, number: u64, offset: u64) {
        assert!(member.mark(number));
        recorder.delivered(
            0,
            Delivery {
                number,
                offset,
                due_us: 150,
            },
            170,
        );
    }

    #[test]
    fn a_message_is_under_way_until_the_last_member_has_it() {
        let (mut recorder, [mut a, mut b]) = two();
        assert_eq!((recorder.number(0, 0), recorder.number(0, 0)), (0, 1));
        deliver(&mut recorder, &mut a, 0, 1);
        deliver(&mut recorder, &mut a, 1, 2);
        assert_eq!(recorder.under_way(0), 2);
        deliver(&mut recorder, &mut b, 0, 1);
        assert_eq!(recorder.under_way(0), 1);
        deliver(&mut recorder, &mut b, 1, 2);
        assert!(!recorder.is_settled(), "the answers are missing");
        recorder.acked(0, 0, Some(1), 150, 160);
        recorder.acked(0, 1, Some(2), 150, 160);
        assert!(recorder.is_settled());
        recorder.ended(&a);
        recorder.ended(&b);
        recorder.finish();
        assert!(recorder.faults.is_none(), "{:?}", recorder.faults);
        assert_eq!((recorder.delivery.len(), recorder.ack.len()), (4, 2));
    }

    #[test]
    fn what_a_member_is_owed_at_its_end_is_lost() {
        let (mut recorder, [mut a, b]) = two();
        for _ in 0..3 {
            recorder.number(0, 0);
        }
        recorder.refused(0, Some(1), "rate_limited", Outcome::No);
        deliver(&mut recorder, &mut a, 0, 1);
        recorder.ended(&b);
        assert_eq!(recorder.faults.lost, 2, "0 and 2; 1 was refused");
        assert_eq!(
            recorder.under_way(0),
            1,
            "the other member still waits for 2"
        );
        recorder.number(0, 0);
        deliver(&mut recorder, &mut a, 2, 2);
        deliver(&mut recorder, &mut a, 3, 3);
        assert_eq!(
            recorder.under_way(0),
            0,
            "a member that has gone is owed nothing new"
        );
        recorder.finish();
        assert_eq!(recorder.faults.unanswered, 3);
        assert_eq!(recorder.refused["rate_limited"], 1);
    }

    #[test]
    fn two_members_must_see_one_log() {
        let (mut recorder, [mut a, mut b]) = two();
        recorder.number(0, 0);
        deliver(&mut recorder, &mut a, 0, 1);
        deliver(&mut recorder, &mut b, 0, 2);
        assert_eq!(recorder.faults.disordered, 1);
    }

    #[test]
    fn an_ack_must_name_the_place_that_members_see() {
        let (mut recorder, [mut a, _]) = two();
        recorder.number(0, 0);
        deliver(&mut recorder, &mut a, 0, 1);
        recorder.acked(0, 0, Some(9), 150, 160);
        assert_eq!(recorder.faults.contradicted, 1);
    }

    #[test]
    fn a_refused_message_must_not_come_unless_its_outcome_is_unknown() {
        for (outcome, faults) in [(Outcome::No, 1), (Outcome::Unknown, 0)] {
            let (mut recorder, [mut a, _]) = two();
            recorder.number(0, 0);
            recorder.refused(0, Some(0), "unavailable", outcome);
            deliver(&mut recorder, &mut a, 0, 1);
            assert_eq!(recorder.faults.contradicted, faults, "{outcome:?}");
        }
    }

    #[test]
    fn a_sender_is_heard_in_the_order_it_spoke_and_others_may_overtake() {
        let (mut recorder, [mut a, _]) = two();
        for sender in [0, 1, 0] {
            recorder.number(0, sender);
        }
        deliver(&mut recorder, &mut a, 1, 1);
        deliver(&mut recorder, &mut a, 0, 2);
        assert_eq!(recorder.faults.disordered, 0, "two senders");
        let (mut recorder, [mut a, _]) = two();
        for sender in [0, 1, 0] {
            recorder.number(0, sender);
        }
        deliver(&mut recorder, &mut a, 2, 1);
        deliver(&mut recorder, &mut a, 0, 2);
        assert_eq!(recorder.faults.disordered, 1, "one sender");
    }

    #[test]
    fn only_what_was_due_in_the_window_is_timed() {
        let (mut recorder, _) = two();
        for due_us in [99, 100, 199, 200] {
            recorder.left(due_us, 250);
        }
        assert_eq!(
            (
                recorder.late.len(),
                recorder.late.min(),
                recorder.late.max()
            ),
            (2, 51, 150)
        );
    }
}
