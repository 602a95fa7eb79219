//! What must be true at every step, and what must be true when everything has healed and come to rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use parking_lot::Mutex;

use crate::{
    domain::{
        entry::{Body, Entry},
        ids::Producer,
    },
    hub::{Hub, sync::SyncBuffer},
    log::Seats,
};

use super::{
    client::OUTBOX_BYTES_MAX,
    outbox::{Item, Status},
    person::{Person, Standing},
    sim_log::SimLog,
    sim_room::Real,
    texts::{room, said},
    world::{Fault, World},
};

/// More than any frame of a run has bytes: what is above a bound passes alone.
const FRAME_MAX: usize = 3000;

/// At every step: no buffer holds more than it may.
pub(super) fn bounded(hub: &Hub, world: &World) -> Result<(), String> {
    for index in 0..world.script.rooms {
        let Some(room) = hub.rooms.find(room(index)) else {
            continue;
        };
        let state = room.state.lock();
        let (entries, bytes) = state.sync.as_ref().map_or((0, 0), SyncBuffer::held);
        if entries > hub.settings.sync_entries_max || bytes > hub.settings.sync_bytes_max {
            return Err(format!("a sync buffers {entries} entries, {bytes} bytes"));
        }
        for member in state.members.iter() {
            let bytes = member.outbox.bytes_held();
            if bytes > OUTBOX_BYTES_MAX + OUTBOX_BYTES_MAX / 2 + FRAME_MAX {
                return Err(format!("an outbox holds {bytes} bytes"));
            }
        }
    }
    Ok(())
}

/// In the end.
pub(super) async fn judge(
    world: &World,
    log: &SimLog,
    hub: &Hub,
    people: &[Mutex<Person>],
) -> Result<(), String> {
    let rings = hub.ring_bytes.load(std::sync::atomic::Ordering::Relaxed);
    if rings > hub.settings.ring_bytes_total_max {
        return Err(format!("the rings hold {rings} bytes"));
    }
    for index in 0..world.script.rooms {
        let truth = Truth::read(log, index).await?;
        truth.is_sound()?;
        truth.is_kept(hub, world, index)?;
        for person in people {
            let person = person.lock();
            let room = &person.rooms[index];
            truth
                .holds(world, index, room, person.has_changed_producer())
                .map_err(|what| {
                    let branch = &truth.branch;
                    format!("client {}: {what}; {room:?}; log {branch:?}", person.number)
                })?;
        }
    }
    Ok(())
}

/// What is so in a room.
struct Truth {
    branch: Vec<Real>,
    people: BTreeMap<String, String>,
    count: u64,
}

impl Truth {
    async fn read(log: &SimLog, index: usize) -> Result<Self, String> {
        let list = log.list(room(index), 1000).await;
        let (count, seats) = list.map_err(|why| why.to_string())?;
        let person =
            |seat: crate::log::Seat| (seat.user.to_string(), seat.nick.as_str().to_owned());
        Ok(Self {
            branch: log.branch(index),
            people: seats.into_iter().map(person).collect(),
            count,
        })
    }

    /// The log itself: no id and no text twice, and the numbers of each producer grow.
    fn is_sound(&self) -> Result<(), String> {
        let (mut names, mut texts) = (BTreeSet::new(), BTreeSet::new());
        let mut last: HashMap<Producer, u64> = HashMap::new();
        for real in &self.branch {
            if !names.insert(&real.name) {
                return Err(format!("{} is in the log twice", real.name));
            }
            if !texts.insert(&real.text) {
                return Err(format!("`{}` is in the log twice", real.text));
            }
            let before = last.insert(real.id.producer, real.id.seq);
            if before.is_some_and(|before| before >= real.id.seq) {
                return Err(format!("{} comes too late", real.name));
            }
        }
        Ok(())
    }

    /// What the node keeps at hand is the log, without what was deleted there.
    fn is_kept(&self, hub: &Hub, world: &World, index: usize) -> Result<(), String> {
        let Some(room) = hub.rooms.find(room(index)) else {
            return Ok(());
        };
        let state = room.state.lock();
        let facts = world.facts(index);
        let deletions = self.branch.iter();
        let deletions = deletions.map(|real| (real.at.offset, real.at.epoch.raw()));
        let deleted: Vec<_> = deletions
            .filter_map(|at| facts.deletions.get(&at))
            .collect();
        for kept in state.ring.from(0) {
            let Entry { at, id, body, .. } = kept.entry();
            let real = self.branch.iter().find(|real| real.at == *at);
            if real.is_none_or(|real| real.id != *id) {
                return Err(format!(
                    "the ring has {id:?} at {at:?}; log {:?}",
                    self.branch
                ));
            }
            let shows = matches!(body, Body::Kept(_));
            if shows && deleted.contains(&&(at.offset, at.epoch.raw())) {
                return Err(format!("the ring has kept {id:?}, which was deleted"));
            }
        }
        Ok(())
    }

    fn holds(
        &self,
        world: &World,
        index: usize,
        room: &Standing,
        renumbered: bool,
    ) -> Result<(), String> {
        if !room.joined {
            return Err("never came in".to_owned());
        }
        if room.lags || room.view.replays_to.is_some() {
            return Err("never came level".to_owned());
        }
        self.shows(room)?;
        self.settled(world, index, room, renumbered)?;
        let view = &room.view;
        if view.people != self.people || view.count != self.count {
            return Err(format!("presence should be {:?}", self.people));
        }
        Ok(())
    }

    /// What the client shows is the log over its range, without holes that it was not told of.
    fn shows(&self, room: &Standing) -> Result<(), String> {
        let view = &room.view;
        let head = self.branch.last().map(|real| real.at);
        let own = view.cursor.first().copied();
        if view.own() != self.branch.len() as u64
            || (view.own() > 0 && own != head.map(|at| (at.offset, at.epoch.raw())))
        {
            return Err("is not level".to_owned());
        }
        for (offset, real) in (1..).zip(&self.branch) {
            let gone = view
                .gaps
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&offset));
            match view.shown.get(&offset) {
                Some((name, text)) => {
                    let same = text.as_ref().is_none_or(|text| *text == real.text);
                    if *name != real.name || !same {
                        return Err(format!("shows {name} at {offset}"));
                    }
                }
                None if offset <= view.begins || gone => {}
                None => return Err(format!("lacks {offset}")),
            }
        }
        Ok(())
    }

    /// What it said has come to an end, and to the right one.
    fn settled(
        &self,
        world: &World,
        index: usize,
        room: &Standing,
        renumbered: bool,
    ) -> Result<(), String> {
        if !room.outbox.is_settled() {
            return Err("has messages without an end".to_owned());
        }
        let there = |name: &str, number: u16| {
            let real = self.branch.iter().find(|real| real.name == name);
            real.is_some_and(|real| real.text == said(number))
        };
        if world.had(Fault::Clones) {
            // Two write under one name: an old duplicate, or a place without content, may be the other one's. That this
            // doubles nothing has been seen above.
            return Ok(());
        }
        let lacks = |item: &&Item| {
            let placed = item.status == Status::Acked && item.at.is_some();
            placed && !there(&item.name, item.number)
        };
        if let Some(item) = room.outbox.items.iter().find(lacks) {
            return Err(format!("believes that {} is there", item.name));
        }
        let losses = world.facts(index).losses();
        let failed = |item: &&Item| item.status == Status::Failed;
        let failed = room.outbox.items.iter().find(failed);
        if let Some(item) = failed.filter(|_| losses == 0 && !renumbered) {
            return Err(format!("{} failed without a cause", item.name));
        }
        for acked in &room.acked {
            let lost = !there(&acked.name, acked.number);
            let failed = |item: &Item| item.number == acked.number && item.status == Status::Failed;
            let told = acked.excused || acked.at.is_none() || room.outbox.items.iter().any(failed);
            if lost && (losses == 0 || !told) {
                let name = &acked.name;
                return Err(format!(
                    "{name} was acknowledged and is lost, and nobody was told"
                ));
            }
        }
        Ok(())
    }
}
