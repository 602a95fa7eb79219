//! Who is in a room as its members are told, as a plain value: what is known, what is still to be told, and what was told to
//! some but not yet to all.
//!
//! Members may ask for the list in between and get it fresh from the engine. So a line is never cancelled by its opposite:
//! who came and went within one frame is told as gone, whose line was missed is told as it is now.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::{
    domain::{
        ids::{SessionId, UserId},
        nickname::Nickname,
        room_name::RoomId,
    },
    log::{PersonChange, Seat, SeatsChange},
    outbound::frame::Frame,
    protocol::server_frame::{Person, Presence, ServerFrame},
};

/// Frames that members with full outboxes may miss and still be told exactly: half a minute of the busiest room, after
/// which such a member is closed anyway.
const JOURNAL_MAX: usize = 128;
/// In a room of more people than a list names, a frame names so many of those who came or went; its count is exact.
const SAMPLE: usize = 16;

/// The roll of a room.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// Everybody known, under the name shown.
    known: HashMap<UserId, Nickname>,
    count: u64,
    pending: BTreeMap<UserId, Pending>,
    /// All that is pending is that this session's person came: that one knows.
    newcomer: Option<SessionId>,
    count_told: u64,
    /// The number of the last batch.
    sent: u64,
    /// Batches that some member has not been told yet, oldest first.
    journal: VecDeque<Batch>,
    /// While lists are read, what the feed brings: it is applied again after them.
    heard: Vec<SeatsChange>,
    /// How many lists are being read.
    listings: usize,
}

/// A list is being read: what came since is applied after it.
#[derive(Debug)]
pub(super) struct Listing {
    since: usize,
}

/// A person whose line changed since the last frame.
#[derive(Debug)]
struct Pending {
    /// The name that members were told, as far as is known.
    was: Option<Nickname>,
    /// The last name that the person had.
    last: Nickname,
}

/// What one frame tells.
#[derive(Debug)]
struct Batch {
    number: u64,
    lines: Vec<Line>,
    count: u64,
}

#[derive(Debug)]
struct Line {
    user: UserId,
    left: Option<Nickname>,
    joined: Option<Nickname>,
}

impl Roll {
    /// The number of the last batch.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Whether something is to be told.
    pub(super) fn has_news(&self) -> bool {
        !self.pending.is_empty() || self.count != self.count_told
    }

    /// Whether some member was not told something that others were.
    pub(super) fn owes(&self) -> bool {
        !self.journal.is_empty()
    }

    /// Takes note of a change.
    pub(super) fn note(&mut self, change: &SeatsChange) {
        if self.listings > 0 {
            self.heard.push(change.clone());
        }
        self.apply(change);
    }

    fn apply(&mut self, change: &SeatsChange) {
        let comes = matches!(change.people.as_slice(), [person] if person.was.is_none());
        self.newcomer = Some(change.session).filter(|_| comes && !self.has_news());
        for person in &change.people {
            self.set(person);
        }
        self.count = change.count;
    }

    fn set(&mut self, person: &PersonChange) {
        let known = match &person.is {
            Some(nick) => self.known.insert(person.user, nick.clone()),
            None => self.known.remove(&person.user),
        };
        let names = [&person.is, &person.was, &known];
        let Some(last) = names.into_iter().flatten().next().cloned() else {
            return; // nobody, before and after
        };
        self.pending
            .entry(person.user)
            .and_modify(|pending| pending.last = last.clone())
            .or_insert_with(|| Pending {
                was: known.or_else(|| person.was.clone()),
                last,
            });
    }

    /// A list is asked for: from here on changes are also kept.
    pub(super) fn begin_listing(&mut self) -> Listing {
        self.listings += 1;
        Listing {
            since: self.heard.len(),
        }
    }

    /// There is no list after all, or it has been applied.
    pub(super) fn end_listing(&mut self, _listing: Listing) {
        self.listings -= 1;
        if self.listings == 0 {
            self.heard = Vec::new();
        }
    }

    /// Takes the engine's list as the truth and tells all of it: after a hole in the feed nobody knows what members believe.
    /// A list that was cut names only some: nobody is taken for gone.
    pub(super) fn listed(&mut self, listing: Listing, count: u64, seats: Vec<Seat>) {
        let complete = seats.len() as u64 == count;
        let mut gone: HashMap<UserId, Nickname> = if complete {
            self.known.clone()
        } else {
            HashMap::new()
        };
        for seat in seats {
            gone.remove(&seat.user);
            self.set(&PersonChange {
                user: seat.user,
                was: None,
                is: Some(seat.nick),
            });
        }
        for (user, nick) in gone {
            self.set(&PersonChange {
                user,
                was: Some(nick),
                is: None,
            });
        }
        self.count = count;
        let since: Vec<SeatsChange> = self.heard.iter().skip(listing.since).cloned().collect();
        for change in &since {
            self.apply(change);
        }
        self.newcomer = None;
        self.end_listing(listing);
    }

    /// Forgets what is to be told: there is nobody to tell.
    pub(super) fn hush(&mut self) {
        self.pending.clear();
        self.journal.clear();
        self.newcomer = None;
        self.count_told = self.count;
    }

    /// Everybody was told everything.
    pub(super) fn all_told(&mut self) {
        self.journal.clear();
    }

    /// Makes a batch of what is to be told; the session, if there is one, that need not be told of it.
    pub(super) fn batch(&mut self) -> Option<SessionId> {
        let known = &self.known;
        let lines = std::mem::take(&mut self.pending)
            .into_iter()
            .map(|(user, Pending { was, last })| match known.get(&user) {
                Some(nick) => Line {
                    user,
                    left: was.filter(|was| was != nick),
                    joined: Some(nick.clone()),
                },
                None => Line {
                    user,
                    left: Some(last),
                    joined: None,
                },
            })
            .collect();
        self.count_told = self.count;
        self.sent += 1;
        self.journal.push_back(Batch {
            number: self.sent,
            lines,
            count: self.count,
        });
        if self.journal.len() > JOURNAL_MAX {
            self.journal.pop_front();
        }
        self.newcomer.take()
    }

    /// The frame for somebody who was told everything up to batch `since`. In a room of more than `people_max` it names only
    /// some.
    pub(super) fn frame(&self, room: &RoomId, since: u64, people_max: usize) -> Frame {
        let mut lines: BTreeMap<UserId, (Option<&Nickname>, Option<&Nickname>)> = BTreeMap::new();
        let missed_too_much = self
            .journal
            .front()
            .is_some_and(|oldest| oldest.number > since + 1);
        if missed_too_much {
            let here = self.known.iter();
            lines.extend(here.map(|(user, nick)| (*user, (None, Some(nick)))));
        }
        for batch in self.journal.iter().filter(|batch| batch.number > since) {
            for line in &batch.lines {
                let (left, joined) = lines.entry(line.user).or_default();
                // The first name that goes is the one that was told; who is gone for good goes by the last one.
                if left.is_none() || line.joined.is_none() {
                    *left = line.left.as_ref();
                }
                *joined = line.joined.as_ref();
            }
        }
        let count = self
            .journal
            .back()
            .map_or(self.count_told, |batch| batch.count);
        let crowded = usize::try_from(count).unwrap_or(usize::MAX) > people_max;
        let named = if crowded { SAMPLE } else { usize::MAX };
        let (mut left, mut joined) = (Vec::new(), Vec::new());
        for (user, (went, came)) in lines.into_iter().take(named) {
            left.extend(
                went.filter(|went| Some(*went) != came)
                    .map(|nick| person(user, nick)),
            );
            joined.extend(came.map(|nick| person(user, nick)));
        }
        Frame::encode(&ServerFrame::Presence(Presence {
            room,
            joined: &joined,
            left: &left,
            count,
        }))
    }
}

fn person(user: UserId, nick: &Nickname) -> Person<'_> {
    Person {
        user,
        nick: nick.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Roll;
    use crate::{
        domain::{
            ids::SessionId,
            nickname::{NameSource, Nickname},
            room_name::RoomId,
        },
        hub::testing,
        log::{PersonChange, Seat, SeatsChange},
    };

    fn name(raw: &str) -> Nickname {
        testing::nick(raw, NameSource::Chosen)
    }

    fn session(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    /// Person `number` was called this and is called that; `count` people are there now.
    fn change(number: u8, was: Option<&str>, is: Option<&str>, count: u64) -> SeatsChange {
        SeatsChange {
            session: session(number),
            people: vec![PersonChange {
                user: testing::user(number),
                was: was.map(name),
                is: is.map(name),
            }],
            renamed: Vec::new(),
            count,
        }
    }

    fn told(roll: &Roll, since: u64, people_max: usize) -> Value {
        let room = RoomId::parse("lobby", 64).expect("a name");
        let frame = roll.frame(&room, since, people_max);
        let frame: Value = serde_json::from_str(frame.as_str()).expect("JSON");
        let names = |list: &Value| -> Vec<String> {
            let people = list.as_array().expect("a list").iter();
            let mut names: Vec<_> = people.map(|person| person["nick"].to_string()).collect();
            names.sort_unstable();
            names.iter().map(|name| name.replace('"', "")).collect()
        };
        json!([
            names(&frame["joined"]),
            names(&frame["left"]),
            frame["count"]
        ])
    }

    #[test]
    fn changes_share_a_frame_and_end_as_they_are() {
        let mut roll = Roll::default();
        roll.note(&change(1, None, Some("Alice"), 1));
        assert_eq!(roll.batch(), Some(session(1)), "who came alone knows it");
        assert_eq!(told(&roll, 0, 9), json!([["Alice"], [], 1]));
        roll.note(&change(2, None, Some("Bob"), 2));
        roll.note(&change(3, None, Some("Carol"), 3));
        roll.note(&change(3, Some("Carol"), None, 2));
        roll.note(&change(1, Some("Alice"), Some("Ally"), 2));
        assert_eq!(roll.batch(), None);
        assert_eq!(
            told(&roll, 1, 9),
            json!([["Ally", "Bob"], ["Alice", "Carol"], 2])
        );
        assert!(!roll.has_news());
    }

    #[test]
    fn who_missed_frames_is_told_the_sum_of_them() {
        let mut roll = Roll::default();
        for (was, is, count) in [
            (None, Some("Alice"), 1),
            (Some("Alice"), Some("Ally"), 1),
            (Some("Ally"), Some("Al"), 1),
        ] {
            roll.note(&change(1, was, is, count));
            roll.batch();
        }
        assert_eq!(told(&roll, 1, 9), json!([["Al"], ["Alice"], 1]));
        roll.note(&change(1, Some("Al"), None, 0));
        roll.batch();
        assert_eq!(told(&roll, 1, 9), json!([[], ["Al"], 0]));
        assert!(roll.owes());
        roll.all_told();
        assert!(!roll.owes());
    }

    #[test]
    fn a_line_that_was_missed_is_told_though_nothing_seems_to_have_changed() {
        let mut roll = Roll::default();
        roll.note(&change(1, None, Some("Alice"), 1));
        roll.batch();
        // Lost: Alice → Ally. Somebody asked for the list meanwhile.
        roll.note(&change(1, Some("Ally"), Some("Alice"), 1));
        assert!(roll.has_news());
        roll.batch();
        assert_eq!(told(&roll, 1, 9), json!([["Alice"], [], 1]));
    }

    #[test]
    fn a_list_is_the_truth_and_what_came_meanwhile_is_applied_after_it() {
        let mut roll = Roll::default();
        roll.note(&change(1, None, Some("Alice"), 1));
        roll.note(&change(2, None, Some("Bob"), 2));
        roll.batch();
        let listing = roll.begin_listing();
        roll.note(&change(3, None, Some("Carol"), 2));
        let seat = Seat {
            session: session(2),
            user: testing::user(2),
            nick: name("Bob"),
        };
        roll.listed(listing, 1, vec![seat]);
        roll.batch();
        assert_eq!(told(&roll, 1, 9), json!([["Bob", "Carol"], ["Alice"], 2]));
    }

    #[test]
    fn an_older_list_that_comes_last_takes_nothing_back() {
        let mut roll = Roll::default();
        let older = roll.begin_listing(); // nobody is there
        roll.note(&change(1, None, Some("Alice"), 1));
        let newer = roll.begin_listing(); // Alice is
        roll.note(&change(2, None, Some("Bob"), 2));
        let seat = Seat {
            session: session(1),
            user: testing::user(1),
            nick: name("Alice"),
        };
        roll.listed(newer, 1, vec![seat]);
        roll.listed(older, 0, Vec::new());
        roll.batch();
        assert_eq!(told(&roll, 0, 9), json!([["Alice", "Bob"], [], 2]));
    }

    #[test]
    fn a_crowd_is_counted_and_only_some_are_named() {
        let mut roll = Roll::default();
        for number in 0..100 {
            let nick = format!("Person {number}");
            roll.note(&change(number, None, Some(&nick), u64::from(number) + 1));
        }
        roll.batch();
        let frame = told(&roll, 0, 99);
        assert_eq!(frame[0].as_array().map(Vec::len), Some(super::SAMPLE));
        assert_eq!(frame[2], 100);
        assert_eq!(told(&roll, 0, 100)[0].as_array().map(Vec::len), Some(100));
    }
}
