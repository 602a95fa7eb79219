//! What a client has still to say in one room, by the rules for client libraries: numbers when a message first goes out,
//! repeats under the same number, burnt numbers, chains. It reads no clock and owns no connection.

use std::time::Duration;

use crate::{
    domain::ids::{MessageId, Producer, ProducerId},
    hub::send::SendError,
    log::Placed,
};

use super::{
    ClientFault,
    world::{Event, World},
};

const IN_FLIGHT: usize = 4;
/// Between a "not now" and the next copy.
const WAIT: Duration = Duration::from_millis(200);
/// A message that may not be repeated counts as not sent this long after coming level.
const DOUBT: Duration = Duration::from_millis(1500);
/// What a fork took is repeated this much later, unless it has come again by then.
const RETRACT: Duration = Duration::from_millis(200);
const NEVER: Duration = Duration::MAX;

/// Where one message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Queued,
    Sent,
    /// It may be in the log.
    Unknown,
    Acked,
    /// The person is told that it is not known to be in the log.
    Failed,
}

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Its name in this client, and its text.
    pub(super) number: u16,
    pub(super) status: Status,
    /// Its name in the log, once it has one.
    pub(super) id: Option<MessageId>,
    pub(super) name: String,
    prev: u64,
    /// Copies whose outcome is not known to be "no".
    pub(super) copies: u32,
    due: Duration,
    /// When it was acknowledged.
    acked_at: Duration,
    /// Where an ack or the stream said that it stands.
    pub(super) at: Option<(u64, u64)>,
    /// Whether the stream has shown it there, or has gone past it in the same epoch.
    pub(super) confirmed: bool,
}

/// A copy that goes out now.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) number: u16,
    pub(super) id: MessageId,
    pub(super) prev: u64,
}

/// The messages of one client in one room, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Outbox {
    pub(super) items: Vec<Item>,
    producer: ProducerId,
    chain: u16,
    seq: u64,
    /// The highest number that is known to be placed.
    settled: u64,
    /// The highest placed number that is no longer kept here.
    forgotten: u64,
    level_at: Option<Duration>,
    /// Somebody else numbers under this producer.
    pub(super) cloned: bool,
    fault: Option<ClientFault>,
}

impl Outbox {
    pub(super) fn new(producer: ProducerId, fault: Option<ClientFault>) -> Self {
        Self {
            items: Vec::new(),
            producer,
            chain: 0,
            seq: 0,
            settled: 0,
            forgotten: 0,
            level_at: None,
            cloned: false,
            fault,
        }
    }

    /// As a tab that is duplicated takes it along: the numbers without the messages.
    pub(super) fn duplicate(&self) -> Self {
        Self {
            items: Vec::new(),
            forgotten: self.settled,
            level_at: None,
            ..self.clone()
        }
    }

    pub(super) fn add(&mut self, number: u16) {
        self.items.push(Item {
            number,
            status: Status::Queued,
            id: None,
            name: String::new(),
            prev: 0,
            copies: 0,
            due: Duration::ZERO,
            acked_at: Duration::ZERO,
            at: None,
            confirmed: false,
        });
    }

    /// Whether everything has come to an end.
    pub(super) fn is_settled(&self) -> bool {
        self.items.iter().all(|item| match item.status {
            Status::Acked => item.confirmed,
            Status::Failed => true,
            Status::Queued | Status::Sent | Status::Unknown => false,
        })
    }

    /// A session began. Another producer starts its own numbers; what the old one numbered is looked up, not repeated.
    pub(super) fn begin(&mut self, producer: ProducerId) {
        self.level_at = None;
        if producer != self.producer {
            self.producer = producer;
            self.cloned = false;
            self.start_over(0);
        }
    }

    /// The connection is gone: what was sent may or may not have arrived.
    pub(super) fn lost(&mut self) {
        self.level_at = None;
        for index in 0..self.items.len() {
            if self.items[index].status == Status::Sent {
                self.doubt(index, Duration::ZERO);
            }
        }
    }

    /// The stream has reached the head that the join named.
    pub(super) fn level(&mut self, now: Duration) {
        self.level_at = Some(now);
        for index in 0..self.items.len() {
            let item = &self.items[index];
            if item.status == Status::Acked && !item.confirmed {
                self.doubt(index, now);
            } else if item.status == Status::Unknown && !self.counts(item) {
                self.items[index].due = NEVER;
            }
        }
    }

    /// Whether acked messages above `keep` lose their places: all that the client was told to be safe.
    pub(super) fn fork(&mut self, keep: u64, now: Duration) {
        for index in 0..self.items.len() {
            let item = &mut self.items[index];
            if item.at.is_some_and(|at| at.0 <= keep) {
                continue;
            }
            item.confirmed = false;
            if item.status == Status::Acked {
                self.doubt(index, now + RETRACT);
            } else {
                item.at = None; // an answer that is under way may still name this place
            }
        }
    }

    /// The log is another one: nothing that it lost is brought back from here.
    pub(super) fn reset(&mut self) {
        self.items.retain(|item| item.status != Status::Acked);
        for item in &mut self.items {
            (item.at, item.confirmed) = (None, false);
        }
        self.forgotten = self.settled;
    }

    /// Entries were trimmed before they were seen: what may not be repeated stays unknown, and the person is told so.
    pub(super) fn gap(&mut self, world: &World) {
        for index in 0..self.items.len() {
            if self.items[index].status == Status::Unknown && !self.counts(&self.items[index]) {
                self.fail(index, world);
            }
        }
    }

    /// An entry came; whether it is one of ours. One that has a name of ours and says something else shows that somebody else
    /// numbers under it.
    pub(super) fn seen(&mut self, name: &str, at: (u64, u64), ours: impl Fn(u16) -> bool) -> bool {
        let Some(index) = self.items.iter().position(|item| item.name == name) else {
            return false;
        };
        if !ours(self.items[index].number) {
            self.cloned = true;
            match self.items[index].status {
                Status::Acked => self.items[index].status = Status::Failed,
                // A copy that is under way may yet be placed, if the log loses what stands there.
                Status::Unknown => self.items[index].due = NEVER,
                Status::Queued | Status::Sent | Status::Failed => {}
            }
            return false;
        }
        let item = &mut self.items[index];
        item.at = Some(at);
        item.confirmed = true;
        if !matches!(item.status, Status::Sent | Status::Acked) {
            self.settle(index);
        }
        true
    }

    /// The stream moved on. An ack names a place; the stream confirms it by showing the message there, or by going past it in
    /// the same epoch when the client did not ask for what lies there. A place that it goes past otherwise is void, though
    /// nobody tells: for a client that had not got there the tail was cut above its cursor.
    pub(super) fn moved(&mut self, cursor: &[(u64, u64)], now: Duration) {
        if self.fault == Some(ClientFault::TrustsAcks) {
            return;
        }
        let own = cursor.first().map_or(0, |newest| newest.0);
        for index in 0..self.items.len() {
            let item = &mut self.items[index];
            let (Status::Acked, false, Some(at)) = (item.status, item.confirmed, item.at) else {
                continue;
            };
            match cursor.iter().position(|(_, epoch)| *epoch == at.1) {
                Some(age) if at.0 <= cursor[age].0 => item.confirmed = true,
                Some(0) => {}
                Some(_) => self.doubt(index, now + WAIT),
                None if at.0 <= own => self.doubt(index, now + WAIT),
                None => {}
            }
        }
    }

    /// The log answered a copy.
    pub(super) fn answered(
        &mut self,
        number: u16,
        answer: &Result<Placed, SendError>,
        own: u64,
        world: &World,
    ) {
        let now = world.now();
        let Some(index) = self.items.iter().position(|item| item.number == number) else {
            return;
        };
        match answer {
            Ok(placed) => self.acked(index, placed, own, world),
            Err(_) if self.items[index].status != Status::Sent => {}
            Err(SendError::Unknown) => {
                world.count(Event::Unknown);
                self.doubt(index, now + WAIT);
            }
            Err(SendError::OutOfSequence { have }) => {
                world.count(Event::OutOfSequence);
                self.resequence(index, *have, world);
            }
            // A "no" to a repeat says only that the repeat was not placed.
            Err(SendError::Unavailable { .. }) if self.items[index].copies > 1 => {
                world.count(Event::Unavailable);
                self.doubt(index, now + WAIT);
            }
            Err(SendError::Unavailable { .. }) => {
                world.count(Event::Unavailable);
                self.again(index, now + WAIT);
            }
            Err(SendError::Conflict) => {
                world.count(Event::Conflicts);
                if self.items[index].copies > 1 {
                    self.doubt(index, NEVER);
                } else {
                    self.requeue(index);
                }
                self.cloned = true;
            }
            Err(why) => world.broken(|| format!("send: {why}")),
        }
    }

    fn acked(&mut self, index: usize, placed: &Placed, own: u64, world: &World) {
        world.count(Event::Acks);
        let now = world.now();
        let long_level = self.level_at.is_some_and(|level| now > level + DOUBT);
        let item = &mut self.items[index];
        if placed.duplicate {
            world.count(match placed.at {
                Some(_) => Event::Duplicates,
                None => Event::OldDuplicates,
            });
            if item.copies == 1 && item.status == Status::Sent {
                // The only copy there ever was cannot be a repeat: somebody else used this number.
                self.cloned = true;
                return self.requeue(index);
            }
        }
        if item.status == Status::Failed {
            return; // too late: the person was told
        }
        match placed.at.map(|at| (at.offset, at.epoch.raw())) {
            // Twice at one place that was passed: it is there, though the cursor no longer knows that epoch.
            Some(at) if item.at == Some(at) => {
                item.confirmed |= placed.duplicate && at.0 <= own;
            }
            Some(at) => {
                item.at = Some(at);
                item.confirmed = false;
            }
            // Something later of ours is in the log, and that was placed only because this was. What the stream has yet to
            // reach it will show.
            None if item.at.is_some_and(|at| at.0 > own) && !long_level => {}
            None => {
                item.at = None;
                item.confirmed = true;
            }
        }
        self.items[index].acked_at = now;
        self.items[index].confirmed |= self.fault == Some(ClientFault::TrustsAcks);
        self.settle(index);
    }

    /// The next copy that goes out now; call it until it gives nothing.
    pub(super) fn next(&mut self, world: &World) -> Option<Copy> {
        let now = world.now();
        let in_flight = self.items.iter().filter(|one| one.status == Status::Sent);
        if self.level_at.is_none() || self.cloned || in_flight.count() >= IN_FLIGHT {
            return None;
        }
        let due = |item: &Item| item.status == Status::Unknown && item.due <= now;
        if let Some(index) = self.items.iter().position(due) {
            if self.fault == Some(ClientFault::RenumbersUnknown) && self.items[index].copies > 0 {
                self.requeue(index);
                return None;
            }
            if self.items[index].copies > 0 {
                world.count(Event::Repeats);
            }
            return Some(self.send(index));
        }
        let queued = |item: &Item| item.status == Status::Queued;
        let index = self.items.iter().position(queued)?;
        if self.is_undecided(index) {
            return None;
        }
        let prev = self.newest(u64::MAX);
        self.seq += 1;
        let id = MessageId {
            producer: Producer {
                id: self.producer,
                chain: self.chain,
            },
            seq: self.seq,
        };
        let item = &mut self.items[index];
        item.id = Some(id);
        item.name = id.to_string();
        item.prev = prev;
        world.count(Event::Sends);
        Some(self.send(index))
    }

    /// What only time decides.
    pub(super) fn tick(&mut self, world: &World) {
        let now = world.now();
        for index in 0..self.items.len() {
            let item = &self.items[index];
            let given_up = item.status == Status::Unknown
                && item.due == NEVER
                && self.level_at.is_some_and(|level| now > level + DOUBT);
            let unconfirmed = item.status == Status::Acked
                && !item.confirmed
                && self.fault != Some(ClientFault::TrustsAcks)
                && self
                    .level_at
                    .is_some_and(|level| now > level.max(item.acked_at) + DOUBT);
            if given_up {
                self.fail(index, world);
            } else if unconfirmed {
                self.doubt(index, now); // the stream has had time to show it
            }
        }
    }

    /// What was acknowledged long ago is no longer kept.
    pub(super) fn forget_oldest(&mut self) {
        let done =
            |item: &Item| item.status == Status::Acked && item.confirmed && item.at.is_some();
        let Some(index) = self.items.iter().position(done) else {
            return;
        };
        let item = self.items.remove(index);
        if let Some(id) = item.id.filter(|id| self.is_ours(id)) {
            self.forgotten = self.forgotten.max(id.seq);
        }
    }

    fn send(&mut self, index: usize) -> Copy {
        let item = &mut self.items[index];
        item.status = Status::Sent;
        item.copies += 1;
        Copy {
            number: item.number,
            id: item.id.expect("numbered when it first went out"),
            prev: item.prev,
        }
    }

    fn is_ours(&self, id: &MessageId) -> bool {
        id.producer.id == self.producer && id.producer.chain == self.chain
    }

    /// Whether it is numbered by this producer and chain and not definitely rejected.
    fn counts(&self, item: &Item) -> bool {
        item.id.as_ref().is_some_and(|id| self.is_ours(id))
            && !matches!(item.status, Status::Failed | Status::Queued)
    }

    fn doubt(&mut self, index: usize, due: Duration) {
        self.items[index].status = Status::Unknown;
        let due = if self.counts(&self.items[index]) {
            due
        } else {
            NEVER // looked up, never repeated
        };
        self.items[index].due = due;
    }

    fn settle(&mut self, index: usize) {
        self.items[index].status = Status::Acked;
        if let Some(id) = self.items[index].id.filter(|id| self.is_ours(id)) {
            self.settled = self.settled.max(id.seq);
        }
    }

    fn fail(&mut self, index: usize, world: &World) {
        world.count(Event::Failed);
        self.items[index].status = Status::Failed;
    }

    /// Definitely not in the log: its number still holds, unless numbers started over meanwhile.
    fn again(&mut self, index: usize, due: Duration) {
        if !self.counts(&self.items[index]) {
            return self.requeue(index);
        }
        self.items[index].copies = 0;
        self.doubt(index, due);
    }

    /// Back into the queue as if never sent; its number is burnt.
    fn requeue(&mut self, index: usize) {
        let number = self.items[index].number;
        self.items[index] = Item {
            number,
            status: Status::Queued,
            id: None,
            name: String::new(),
            prev: 0,
            copies: 0,
            due: Duration::ZERO,
            acked_at: Duration::ZERO,
            at: None,
            confirmed: false,
        };
    }

    /// Whether this queued message must wait: for what goes before it and is unknown, and for what went ahead and has no answer.
    fn is_undecided(&self, index: usize) -> bool {
        self.items.iter().enumerate().any(|(place, item)| {
            let ours = self.counts(item);
            (item.status == Status::Sent && (place > index || !ours))
                || (item.status == Status::Unknown && ours)
        })
    }

    /// The newest number below `seq` that is not definitely rejected.
    fn newest(&self, seq: u64) -> u64 {
        let held = self.items.iter().filter(|item| self.counts(item));
        let held = held.filter_map(|item| item.id).map(|id| id.seq);
        let settled = Some(self.settled).filter(|settled| *settled < seq);
        let below = held.filter(|held| *held < seq).max();
        below.max(settled).unwrap_or(0)
    }

    /// Numbers start over. What is definitely not in the log takes new ones; the rest is looked up.
    fn start_over(&mut self, chain: u16) {
        self.chain = chain;
        self.seq = 0;
        self.settled = 0;
        self.forgotten = 0;
        for index in 0..self.items.len() {
            let item = &self.items[index];
            match item.status {
                Status::Unknown if item.copies == 0 => self.requeue(index),
                Status::Unknown => self.doubt(index, NEVER),
                _ => {}
            }
        }
    }

    /// The log holds nothing of ours after `have`, yet this message builds on something later.
    fn resequence(&mut self, index: usize, have: u64, world: &World) {
        let now = world.now();
        if self.items[index].copies == 1 {
            self.items[index].copies = 0;
        }
        if !self.counts(&self.items[index]) {
            return if self.items[index].copies > 0 {
                self.doubt(index, NEVER);
            } else {
                self.requeue(index);
            };
        }
        let seq = self.items[index].id.map_or(0, |id| id.seq);
        if self.newest(seq) <= have {
            let before = &self.items[..index];
            if before.iter().any(|other| other.status == Status::Queued) {
                return self.requeue(index);
            }
            self.items[index].prev = have;
            return self.again(index, now);
        }
        if self.forgotten > have {
            world.count(Event::NewChains);
            self.doubt(index, NEVER);
            let chain = if self.fault == Some(ClientFault::KeepsChain) {
                self.chain
            } else {
                self.chain + 1
            };
            return self.start_over(chain);
        }
        let mut wait = WAIT;
        for other in 0..self.items.len() {
            let item = &self.items[other];
            let below = item.id.is_some_and(|id| id.seq > have && id.seq < seq);
            if below && item.status == Status::Acked && self.counts(item) {
                self.doubt(other, now);
                wait = Duration::ZERO; // they go out first, and this one right behind
            }
        }
        self.doubt(index, now + wait);
    }
}
