//! The decision table: what becomes of an append, from what the log knows of its producer and of the room's state. Every
//! engine decides by these rows, in this order. Pure: no clock, no store.

use crate::{
    domain::position::Position,
    log::{Append, Rejected, StateVersion},
};

/// The last thing that a log knows of a producer in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The number of its last entry.
    pub seq: u64,
    /// Where that entry stands.
    pub at: Position,
    /// The hash of its text as it was received; `None` when an engine had to rebuild this line from the log.
    pub text_hash: Option<u32>,
}

/// What the decision looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoomView {
    /// The producer's last entry here; `None` when the producer is not known.
    pub seen: Option<Seen>,
    /// The version of the room's state.
    pub state: StateVersion,
}

/// What becomes of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It gets the next offset.
    Append,
    /// It was decided before; its position, unless it is older than the producer's last entry.
    Duplicate(Option<Position>),
    /// It is definitely not placed.
    Reject(Rejected),
}

/// Goes through the rows. Repeats come before the fence: the other way round a repeat of a message that *is* in the log would
/// be answered with a definite, false no.
pub fn decide(view: &RoomView, what: &Append<'_>) -> Decision {
    let (seq, prev) = (what.id.seq, what.prev);
    match view.seen {
        Some(seen) if seen.seq == seq => {
            if seen.text_hash.is_some_and(|hash| hash != what.text_hash) {
                return Decision::Reject(Rejected::Conflict); // a cloned client
            }
            return Decision::Duplicate(Some(seen.at));
        }
        Some(seen) if seen.seq > seq => return Decision::Duplicate(None),
        Some(seen) if seen.seq < prev => {
            return Decision::Reject(Rejected::OutOfSequence { have: seen.seq });
        }
        Some(seen) if prev < seen.seq => return Decision::Reject(Rejected::Conflict), // two writers under one producer
        None if prev > 0 => return Decision::Reject(Rejected::OutOfSequence { have: 0 }),
        Some(_) | None => {}
    }
    // A new state must say which state it was made from: without that it would overwrite what it never saw.
    let fenced = what.checked.is_some() || what.state.is_some();
    if fenced && what.checked != Some(view.state) {
        return Decision::Reject(Rejected::StaleState(view.state));
    }
    Decision::Append
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, time::Duration};

    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

    use super::{Decision, RoomView, Seen, decide};
    use crate::{
        domain::{
            ids::{MessageId, Producer, ProducerId, UserId},
            position::{Epoch, Position},
        },
        log::{Append, Rejected, StateVersion},
    };

    fn at(offset: u64) -> Position {
        Position {
            offset,
            epoch: Epoch::new(7),
        }
    }

    fn append(by: &UserId, seq: u64, prev: u64, text_hash: u32) -> Append<'_> {
        Append {
            id: MessageId {
                producer: Producer {
                    id: ProducerId::from_bytes([1; 12]),
                    chain: 0,
                },
                seq,
            },
            prev,
            by,
            remember: Duration::from_mins(1),
            text_hash,
            checked: None,
            envelope: b"",
            redacts: None,
            state: None,
        }
    }

    fn seen(seq: u64, hash: Option<u32>) -> RoomView {
        RoomView {
            seen: Some(Seen {
                seq,
                at: at(40),
                text_hash: hash,
            }),
            state: StateVersion(None),
        }
    }

    #[test]
    fn every_row_of_the_table_answers_as_it_says() {
        let by = UserId::from_digest(&[0; 32]);
        let unknown = RoomView {
            seen: None,
            state: StateVersion(None),
        };
        let have = |have| Decision::Reject(Rejected::OutOfSequence { have });
        let conflict = Decision::Reject(Rejected::Conflict);
        for (row, view, (seq, prev, hash), answer) in [
            (1, seen(5, Some(1)), (5, 4, 2), conflict),
            (
                2,
                seen(5, Some(1)),
                (5, 4, 1),
                Decision::Duplicate(Some(at(40))),
            ),
            (
                2,
                seen(5, None),
                (5, 4, 9),
                Decision::Duplicate(Some(at(40))),
            ),
            (3, seen(5, Some(1)), (4, 3, 9), Decision::Duplicate(None)),
            (4, seen(5, Some(1)), (8, 7, 1), have(5)),
            (5, seen(5, Some(1)), (8, 4, 1), conflict),
            (6, unknown, (8, 7, 1), have(0)),
            (8, seen(5, Some(1)), (6, 5, 1), Decision::Append),
            (8, seen(5, Some(1)), (9, 5, 1), Decision::Append),
            (8, unknown, (3, 0, 1), Decision::Append),
        ] {
            assert_eq!(
                decide(&view, &append(&by, seq, prev, hash)),
                answer,
                "row {row}"
            );
        }
    }

    #[test]
    fn the_fence_refuses_what_was_decided_on_another_state_but_answers_repeats() {
        let by = UserId::from_digest(&[0; 32]);
        let version = StateVersion(Some(at(9)));
        let view = RoomView {
            state: version,
            ..seen(5, Some(1))
        };
        let stale = Decision::Reject(Rejected::StaleState(version));
        let next = append(&by, 6, 5, 1);
        let checked = |checked| Append { checked, ..next };
        assert_eq!(decide(&view, &checked(None)), Decision::Append);
        assert_eq!(decide(&view, &checked(Some(version))), Decision::Append);
        assert_eq!(decide(&view, &checked(Some(StateVersion(None)))), stale);
        let repeat = Append {
            checked: Some(StateVersion(None)),
            ..append(&by, 5, 4, 1)
        };
        assert_eq!(decide(&view, &repeat), Decision::Duplicate(Some(at(40))));
        let blind_change = Append {
            state: Some(b"bans"),
            ..next
        };
        assert_eq!(decide(&view, &blind_change), stale);
    }

    /// A client that keeps the rules: numbers upwards, repeats unknown ones as they were, skips burnt ones.
    #[derive(Clone, Debug)]
    enum Step {
        Next { lost_answer: bool },
        Burn,
        RepeatLast,
        RepeatOlder,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<bool>().prop_map(|lost_answer| Step::Next { lost_answer }),
            Just(Step::Burn),
            Just(Step::RepeatLast),
            Just(Step::RepeatOlder),
        ]
    }

    proptest! {
        #[test]
        fn a_client_that_keeps_the_rules_is_never_refused_and_never_doubled(steps in proptest::collection::vec(step(), 1..60)) {
            let by = UserId::from_digest(&[0; 32]);
            let mut view = RoomView { seen: None, state: StateVersion(None) };
            let mut placed: HashMap<u64, u64> = HashMap::new();
            let (mut head, mut seq, mut prev) = (0_u64, 0_u64, 0_u64);
            let mut sent: Vec<(u64, u64)> = Vec::new();
            for step in steps {
                let (number, before, repeats) = match step {
                    Step::Next { lost_answer } => {
                        seq += 1;
                        let one = (seq, prev, usize::from(lost_answer));
                        sent.push((seq, prev));
                        prev = seq;
                        one
                    }
                    Step::Burn => {
                        seq += 1;
                        continue;
                    }
                    Step::RepeatLast => match sent.last() {
                        Some(&(number, before)) => (number, before, 0),
                        None => continue,
                    },
                    Step::RepeatOlder => match sent.first() {
                        Some(&(number, before)) => (number, before, 0),
                        None => continue,
                    },
                };
                for _ in 0..=repeats {
                    match decide(&view, &append(&by, number, before, 3)) {
                        Decision::Append => {
                            head += 1;
                            assert_eq!(placed.insert(number, head), None, "doubled");
                            view.seen = Some(Seen { seq: number, at: at(head), text_hash: Some(3) });
                        }
                        Decision::Duplicate(Some(known)) => assert_eq!(placed.get(&number), Some(&known.offset)),
                        Decision::Duplicate(None) => assert!(placed.contains_key(&number)),
                        Decision::Reject(why) => panic!("{why}"),
                    }
                }
            }
        }

        #[test]
        fn an_append_is_decided_only_onto_what_it_names(
            last in proptest::option::of(1_u64..20), seq in 1_u64..20, prev in 0_u64..20, hash in 0_u32..2,
        ) {
            let by = UserId::from_digest(&[0; 32]);
            let view = RoomView {
                seen: last.map(|seq| Seen { seq, at: at(1), text_hash: Some(0) }),
                state: StateVersion(None),
            };
            let answer = decide(&view, &append(&by, seq, prev, hash));
            let follows = last.unwrap_or(0) == prev && seq > last.unwrap_or(0);
            assert_eq!(answer == Decision::Append, follows);
        }
    }
}
