//! One room of the simulated log: its truth, how an append is decided, and what faults do to it.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    domain::{
        entry::{Body, Entry},
        envelope::{self, Envelope},
        ids::{MessageId, Producer},
        position::{Epoch, Position},
    },
    log::{
        Append, Durability, Placed, Rejected, StateVersion,
        decide::{Decision, RoomView, Seen, decide},
        history::History,
    },
};

use super::{
    LogFault,
    world::{Event, World},
};

/// An entry of the branch that is real now, trimmed or not.
#[derive(Clone, Debug)]
pub(super) struct Real {
    pub(super) at: Position,
    pub(super) id: MessageId,
    pub(super) name: String,
    pub(super) text: String,
}

/// A room.
#[derive(Default)]
pub(super) struct SimRoom {
    pub(super) index: usize,
    pub(super) history: History,
    pub(super) branch: Vec<Real>,
    producers: HashMap<Producer, Vec<Seen>>,
    pub(super) new_epoch: bool,
    /// The entries that changed the state.
    states: Vec<Position>,
}

impl SimRoom {
    pub(super) fn new(index: usize) -> Self {
        Self {
            index,
            ..Self::default()
        }
    }

    /// The version of the state.
    pub(super) fn state(&self) -> StateVersion {
        StateVersion(self.states.last().copied())
    }

    /// Decides an append and carries it out; the entry, if one was placed.
    pub(super) fn place(
        &mut self,
        what: &Append<'_>,
        fault: Option<LogFault>,
        minted: &mut u64,
        world: &World,
    ) -> (Result<Placed, Rejected>, Option<Entry>) {
        let blind = fault == Some(LogFault::NoDedupe);
        let known = self.producers.get(&what.id.producer);
        let view = RoomView {
            seen: known
                .and_then(|seen| seen.last().copied())
                .filter(|_| !blind),
            state: self.state(),
        };
        let what = Append {
            prev: if blind { 0 } else { what.prev },
            ..*what
        };
        let stale = what.checked.is_some_and(|checked| checked != view.state);
        let decision = if stale && fault == Some(LogFault::FenceBeforeDedupe) {
            Decision::Reject(Rejected::StaleState(view.state))
        } else {
            decide(&view, &what)
        };
        match decision {
            Decision::Reject(why) => (Err(why), None),
            Decision::Duplicate(at) => (Ok(placed(at, true)), None),
            Decision::Append => {
                let entry = self.append(&what, minted, world);
                (Ok(placed(Some(entry.at), false)), Some(entry))
            }
        }
    }

    /// Where the next entry goes.
    pub(super) fn next(&self, minted: &mut u64) -> Position {
        let epoch = match self.history.head() {
            Some(head) if !self.new_epoch => head.epoch,
            _ => {
                *minted += 1;
                Epoch::new(*minted)
            }
        };
        Position {
            offset: self.history.next_offset(),
            epoch,
        }
    }

    fn append(&mut self, what: &Append<'_>, minted: &mut u64, world: &World) -> Entry {
        let at = self.next(minted);
        self.new_epoch = false;
        self.producers
            .entry(what.id.producer)
            .or_default()
            .push(Seen {
                seq: what.id.seq,
                at,
                text_hash: Some(what.text_hash),
            });
        let entry = Entry {
            at,
            ts: 1,
            id: what.id,
            body: Body::Kept(Bytes::copy_from_slice(what.envelope)),
        };
        self.history.push(entry.clone());
        let text = match envelope::decode(what.envelope).expect("an envelope") {
            Envelope::Message(message) => message.text.to_owned(),
            Envelope::Deletion(deletion) => format!("deletes {:?}", deletion.target),
        };
        let real = Real {
            at,
            id: what.id,
            name: what.id.to_string(),
            text,
        };
        if let Some(target) = what.redacts {
            let target = (target.offset, target.epoch.raw());
            let mut facts = world.facts(self.index);
            facts.deletions.insert((at.offset, at.epoch.raw()), target);
            facts.redacted.insert(target);
        }
        // What a position held first counts: whoever sees something else there later has found it out.
        world
            .facts(self.index)
            .ever
            .entry((at.offset, at.epoch.raw()))
            .or_insert_with(|| (real.name.clone(), real.text.clone()));
        self.branch.push(real);
        if let Some(redacted) = what.redacts {
            self.history.redact(redacted);
        }
        if what.state.is_some() {
            self.states.push(at);
        }
        entry
    }

    /// Retention takes all but the newest.
    pub(super) fn trim(&mut self, world: &World) {
        let kept = world.below(12);
        self.history.keep_newest(u64::from(kept));
        let first = self.history.first();
        let mut facts = world.facts(self.index);
        facts.trimmed_below = facts.trimmed_below.max(first);
    }

    /// The tail is lost; whether there was one.
    pub(super) fn roll_back(&mut self, world: &World, fault: Option<LogFault>) -> bool {
        let Some(head) = self.history.head() else {
            return false;
        };
        let kept_from = self.history.first() - 1;
        let lost = u64::from(world.below(6) + 1).min(head.offset - kept_from);
        if lost == 0 {
            return false;
        }
        let keep = head.offset - lost;
        self.history.roll_back(keep);
        self.branch.retain(|real| real.at.offset <= keep);
        self.states.retain(|at| at.offset <= keep);
        for seen in self.producers.values_mut() {
            seen.retain(|seen| seen.at.offset <= keep);
        }
        self.new_epoch = fault != Some(LogFault::EpochSurvives);
        world.count(Event::Rollbacks);
        let mut facts = world.facts(self.index);
        facts.lowest_keep = if facts.losses() == 0 {
            keep
        } else {
            facts.lowest_keep.min(keep)
        };
        facts.rollbacks += 1;
        true
    }

    /// Everything is lost.
    pub(super) fn wipe(&mut self, world: &World) {
        *self = Self {
            index: self.index,
            new_epoch: true,
            ..Self::default()
        };
        world.count(Event::Wipes);
        let mut facts = world.facts(self.index);
        facts.wipes += 1;
        facts.lowest_keep = 0;
    }
}

pub(super) fn placed(at: Option<Position>, duplicate: bool) -> Placed {
    Placed {
        at,
        ts: 1,
        duplicate,
        durability: Durability::Memory,
    }
}
