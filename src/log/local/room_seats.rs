//! Who sits in one room, in the order of arrival, and which names they hold. A plain value; the engine locks it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
};

use crate::{
    domain::{
        ids::{SessionId, UserId},
        nickname::{NameSource, Nickname},
    },
    log::{Entered, PersonChange, Seat, SeatsChange, Yielded},
};

/// The seats of a room.
#[derive(Debug, Default)]
pub(super) struct RoomSeats {
    seats: BTreeMap<u64, Seat>,
    /// The number of the next seat.
    arrivals: u64,
    sessions: HashMap<SessionId, u64>,
    /// The seats of each person, earliest first: the first one's name is what the room sees.
    people: HashMap<UserId, Vec<u64>>,
    /// Hashes of the keys of every held name with the seat that holds it; a hit is compared in full.
    names: BTreeSet<(u64, u64)>,
    hasher: RandomState,
}

impl RoomSeats {
    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// How many people sit here.
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.people.len()).unwrap_or(u64::MAX)
    }

    /// The first `limit` people in the order of arrival, each by their first seat.
    pub(super) fn list(&self, limit: u32) -> Vec<Seat> {
        self.seats
            .iter()
            .filter(|(number, seat)| self.first_seat(seat.user) == Some(**number))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|(_, seat)| seat.clone())
            .collect()
    }

    /// Who holds a name that meets this one; a claim before others.
    pub(super) fn holder(&self, nick: &Nickname) -> Option<Seat> {
        let mut holders: Vec<_> = self
            .holders(nick)
            .into_iter()
            .filter_map(|number| self.seats.get(&number))
            .collect();
        holders.sort_by_key(|seat| !seat.nick.is_verified());
        holders.first().map(|seat| (*seat).clone())
    }

    /// Takes the seat, unless the name is taken. What others can see of it is returned beside the answer.
    pub(super) fn enter(&mut self, seat: &Seat) -> (Entered, Option<SeatsChange>) {
        let Some(nick) = self.name_for(seat) else {
            return (Entered::Taken, None);
        };
        let mut before = Before::default();
        before.note(self, seat.user);
        let yielding = self.rivals(&nick, seat.user);
        let number = self.remove(seat.session).unwrap_or_else(|| {
            self.arrivals += 1;
            self.arrivals
        });
        self.insert(
            number,
            Seat {
                nick: nick.clone(),
                ..seat.clone()
            },
        );
        let mut renamed: Vec<Yielded> = Vec::new();
        for rival in yielding {
            self.rename(rival, &mut renamed, &mut before);
        }
        let change = before.change(self, seat.session, renamed.clone());
        let entered = Entered::In {
            nick,
            count: self.count(),
            renamed,
        };
        (entered, change)
    }

    /// Gives the seat back.
    pub(super) fn leave(&mut self, session: SessionId) -> Option<SeatsChange> {
        let user = self.seats.get(self.sessions.get(&session)?)?.user;
        let mut before = Before::default();
        before.note(self, user);
        self.remove(session);
        before.change(self, session, Vec::new())
    }

    /// The name that this seat gets; `None` when it is taken.
    fn name_for(&self, seat: &Seat) -> Option<Nickname> {
        let rivals = |nick: &Nickname| self.rivals(nick, seat.user);
        if rivals(&seat.nick).is_empty() {
            return Some(seat.nick.clone());
        }
        match seat.nick.source() {
            NameSource::Chosen => None,
            NameSource::Generated => Some(self.free_name()),
            NameSource::Claim => {
                let meets_claim = rivals(&seat.nick)
                    .into_iter()
                    .any(|number| self.is_claim(number));
                Some(if meets_claim {
                    seat.nick.with_suffix(seat.user)
                } else {
                    seat.nick.clone()
                })
            }
        }
    }

    /// Seats of other people whose name meets this one.
    fn rivals(&self, nick: &Nickname, user: UserId) -> Vec<u64> {
        let mut found = self.holders(nick);
        found.retain(|number| self.seats.get(number).is_some_and(|held| held.user != user));
        found
    }

    fn holders(&self, nick: &Nickname) -> Vec<u64> {
        let mut found: Vec<u64> = nick
            .keys()
            .iter()
            .flat_map(|key| {
                let hash = self.hasher.hash_one(key);
                self.names
                    .range((hash, 0)..=(hash, u64::MAX))
                    .map(|(_, number)| *number)
            })
            .filter(|number| {
                self.seats
                    .get(number)
                    .is_some_and(|held| held.nick.looks_like(nick))
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn is_claim(&self, number: u64) -> bool {
        self.seats
            .get(&number)
            .is_some_and(|seat| seat.nick.is_verified())
    }

    /// A generated name that nobody holds. 20 random bits: a second draw is rare, a tenth does not happen.
    fn free_name(&self) -> Nickname {
        std::iter::repeat_with(|| Nickname::generated(fastrand::u64(..)))
            .find(|name| self.holders(name).is_empty())
            .expect("the iterator does not end")
    }

    /// Gives a rival another name, unless it is a claim, which never yields. Seats of one person get the same.
    fn rename(&mut self, number: u64, renamed: &mut Vec<Yielded>, before: &mut Before) {
        let Some(seat) = self.seats.get(&number).cloned() else {
            return;
        };
        if seat.nick.is_verified() {
            return;
        }
        before.note(self, seat.user);
        self.remove(seat.session);
        let nick = renamed
            .iter()
            .find(|other| other.seat.user == seat.user)
            .map_or_else(|| self.free_name(), |other| other.seat.nick.clone());
        let was = seat.nick.clone();
        let seat = Seat { nick, ..seat };
        self.insert(number, seat.clone());
        renamed.push(Yielded { was, seat });
    }

    fn insert(&mut self, number: u64, seat: Seat) {
        self.sessions.insert(seat.session, number);
        let seats = self.people.entry(seat.user).or_default();
        let place = seats.partition_point(|other| *other < number);
        seats.insert(place, number);
        for key in seat.nick.keys() {
            self.names.insert((self.hasher.hash_one(key), number));
        }
        self.seats.insert(number, seat);
    }

    fn remove(&mut self, session: SessionId) -> Option<u64> {
        let number = self.sessions.remove(&session)?;
        let seat = self.seats.remove(&number)?;
        for key in seat.nick.keys() {
            self.names.remove(&(self.hasher.hash_one(key), number));
        }
        if let Some(seats) = self.people.get_mut(&seat.user) {
            seats.retain(|other| *other != number);
            if seats.is_empty() {
                self.people.remove(&seat.user);
            }
        }
        Some(number)
    }

    fn first_seat(&self, user: UserId) -> Option<u64> {
        self.people.get(&user)?.first().copied()
    }

    fn shown(&self, user: UserId) -> Option<Nickname> {
        self.seats
            .get(&self.first_seat(user)?)
            .map(|seat| seat.nick.clone())
    }
}

/// What the room saw before a change, of the people whom it touches.
#[derive(Default)]
struct Before(Vec<(UserId, Option<Nickname>)>);

impl Before {
    fn note(&mut self, seats: &RoomSeats, user: UserId) {
        if !self.0.iter().any(|(noted, _)| *noted == user) {
            self.0.push((user, seats.shown(user)));
        }
    }

    fn change(
        self,
        seats: &RoomSeats,
        session: SessionId,
        renamed: Vec<Yielded>,
    ) -> Option<SeatsChange> {
        let people: Vec<PersonChange> = self
            .0
            .into_iter()
            .map(|(user, was)| PersonChange {
                user,
                was,
                is: seats.shown(user),
            })
            .filter(|person| shown(person.was.as_ref()) != shown(person.is.as_ref()))
            .collect();
        (!people.is_empty() || !renamed.is_empty()).then(|| SeatsChange {
            session,
            people,
            renamed,
            count: seats.count(),
        })
    }
}

fn shown(nick: Option<&Nickname>) -> Option<&str> {
    nick.map(Nickname::as_str)
}
