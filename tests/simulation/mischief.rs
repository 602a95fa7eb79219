//! What goes on in the simulated log by itself: deliveries of the feed, and the faults of the script.

use std::time::Duration;

use crate::{
    domain::{
        entry::{Body, Entry},
        envelope::{self, Envelope, encode_deletion, encode_message},
        ids::{MessageId, Producer, ProducerId, UserId},
        position::Position,
    },
    hub::testing,
    log::{Append, Feed, Scope},
};

use super::{
    sim_log::{Inner, SimLog, Unsettled},
    sim_room::SimRoom,
    texts::{WRITTEN_MAX, text},
    world::{Event, Fault, World},
};

/// Who writes on another node: the last of those for whom there are texts.
const ELSEWHERE: u8 = 7;

impl SimLog {
    /// One thing that goes on by itself: mostly a delivery, now and then a fault. False when there was nothing to do.
    pub(super) fn act(&self) -> bool {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let world = &self.world;
        if !world.healed() {
            self.misbehave(inner);
            if world.has(Fault::LosesFeed)
                && world.one_in(10)
                && let Some(item) = inner.under_way.pop_front()
            {
                world.trace(|| format!("lost {item:?}"));
                world.count(Event::FeedsLost);
                inner.suspect();
                return true;
            }
        }
        if let Some(unsettled) = inner.unsettled.pop_front() {
            inner.place_late(world, &unsettled);
        }
        if inner.owes_sound && (world.healed() || world.one_in(20)) {
            inner.owes_sound = false;
            inner.under_way.push_back(Feed::Sound(Scope));
        }
        let Some(item) = inner.under_way.pop_front() else {
            return false;
        };
        world.trace(|| format!("feed {item:?}"));
        inner
            .sender
            .try_send(item)
            .expect("the hub reads faster than 10 000 behind");
        true
    }

    fn misbehave(&self, inner: &mut Inner) {
        let world = &self.world;
        let may = |fault, one_in| world.has(fault) && world.one_in(one_in);
        if may(Fault::Trims, 12) {
            inner.any_room(world).trim(world);
        }
        if may(Fault::Restarts, 40) {
            inner.any_room(world).new_epoch = true;
        }
        if may(Fault::RollsBack, 40) {
            inner.roll_back(world, self.fault);
        }
        if may(Fault::Wipes, 150) {
            inner.wipe(world);
        }
        if may(Fault::Redacts, 20) {
            inner.redact(world);
        }
        if may(Fault::ChangesState, 20) {
            inner.change_state(world);
        }
        if world.has(Fault::ShufflesFeed) {
            inner.shuffle(world);
        }
    }
}

impl Inner {
    fn any_room(&mut self, world: &World) -> &mut SimRoom {
        let index = world.index(self.rooms.len());
        &mut self.rooms[index]
    }

    fn suspect(&mut self) {
        self.under_way.push_back(Feed::Suspect(Scope));
        self.owes_sound = true;
    }

    /// Entries change places and come twice; changes of seats keep their order, as the trait says.
    fn shuffle(&mut self, world: &World) {
        let entry = |item: Option<&Feed>| matches!(item, Some(Feed::Entry(..)));
        if entry(self.under_way.front()) && entry(self.under_way.get(1)) && world.one_in(4) {
            self.under_way.swap(0, 1);
        }
        if world.one_in(6)
            && let Some(Feed::Entry(room, entry)) = self.under_way.front()
        {
            let again = Feed::Entry(room.clone(), entry.clone());
            self.under_way.push_back(again);
        }
    }

    /// The tail is lost, and so is what was under way: the link broke with the store.
    fn roll_back(&mut self, world: &World, fault: Option<super::LogFault>) {
        if !self.any_room(world).roll_back(world, fault) {
            return;
        }
        self.under_way
            .retain(|item| !matches!(item, Feed::Entry(..)) || world.one_in(2));
        // Seats are not the store's: their changes are not lost with it, but may be with the link.
        self.suspect();
    }

    fn wipe(&mut self, world: &World) {
        self.any_room(world).wipe(world);
        self.under_way
            .retain(|item| !matches!(item, Feed::Entry(..)));
        self.suspect();
    }

    /// Somebody on another node takes back what somebody said.
    fn redact(&mut self, world: &World) {
        let room = self.any_room(world);
        let index = room.index;
        let said = |entry: &&Entry| match &entry.body {
            Body::Kept(raw) => matches!(envelope::decode(raw), Ok(Envelope::Message(_))),
            Body::Removed => false,
        };
        let said: Vec<Position> = room
            .history
            .entries()
            .filter(said)
            .map(|entry| entry.at)
            .collect();
        if said.is_empty() {
            return;
        }
        let target = said[world.index(said.len())];
        let envelope = encode_deletion(target, testing::user(ELSEWHERE), None);
        self.append_elsewhere(index, world, &envelope, |append| Append {
            redacts: Some(target),
            ..append
        });
    }

    fn change_state(&mut self, world: &World) {
        let index = self.any_room(world).index;
        let version = self.rooms[index].state();
        if self.elsewhere >= WRITTEN_MAX {
            return;
        }
        let number = u16::from(ELSEWHERE) * WRITTEN_MAX + self.elsewhere;
        let by = testing::user(ELSEWHERE);
        let envelope = encode_message(by, "Elsewhere", false, text(number));
        self.append_elsewhere(index, world, &envelope, |append| Append {
            checked: Some(version),
            state: Some(b"state"),
            ..append
        });
    }

    /// Another node appends something, under a producer of its own: it needs nothing before it.
    fn append_elsewhere(
        &mut self,
        index: usize,
        world: &World,
        envelope: &[u8],
        with: impl for<'a> FnOnce(Append<'a>) -> Append<'a>,
    ) {
        self.elsewhere += 1;
        let by = testing::user(ELSEWHERE);
        let mut producer = [0xee; 12];
        producer[..2].copy_from_slice(&self.elsewhere.to_be_bytes());
        let append = with(Append {
            id: MessageId {
                producer: Producer {
                    id: ProducerId::from_bytes(producer),
                    chain: 0,
                },
                seq: 1,
            },
            prev: 0,
            by: &by,
            remember: Duration::from_hours(1),
            text_hash: 0,
            checked: None,
            envelope,
            redacts: None,
            state: None,
        });
        let placed = self.place(index, &append, None, world);
        debug_assert!(placed.is_ok(), "nothing stands in its way");
    }

    fn place_late(&mut self, world: &World, unsettled: &Unsettled) {
        let by: UserId = testing::user(0);
        let append = unsettled.append(&by);
        self.place(unsettled.room, &append, None, world).ok();
    }
}
