//! What a client keeps beyond its connections: a picture of each room, what it has still to say there, and what it was told
//! about what it said. The judge looks at it in the end.

use std::time::Duration;

use crate::{domain::ids::ProducerId, hub::send::SendError, log::Placed};

use super::{
    ClientFault,
    outbox::{Copy, Outbox},
    texts::{WRITTEN_MAX, index_of},
    view::{Heard, View},
    world::{Event, World},
};

/// A message that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Acked {
    pub(super) name: String,
    pub(super) number: u16,
    /// Where; nothing when only a repeat was answered, after something later.
    pub(super) at: Option<(u64, u64)>,
    /// The client was told that it is lost, or has forgotten that it was ever there.
    pub(super) excused: bool,
}

/// One room, as a client has it.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) view: View,
    pub(super) outbox: Outbox,
    pub(super) acked: Vec<Acked>,
    pub(super) lags: bool,
    pub(super) joined: bool,
}

/// One client.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) number: u8,
    pub(super) rooms: Vec<Standing>,
    pub(super) producer: ProducerId,
    producers: u8,
    written: u16,
    fault: Option<ClientFault>,
}

impl Person {
    pub(super) fn new(number: u8, rooms: usize, fault: Option<ClientFault>) -> Self {
        let producer = ProducerId::from_bytes([number; 12]);
        let standing = Standing {
            view: View::default(),
            outbox: Outbox::new(producer, fault),
            acked: Vec::new(),
            lags: false,
            joined: false,
        };
        Self {
            number,
            rooms: vec![standing; rooms],
            producer,
            producers: 0,
            written: 0,
            fault,
        }
    }

    /// A producer that nobody has had.
    pub(super) fn take_producer(&mut self) {
        self.producers += 1;
        let mut bytes = [self.number; 12];
        bytes[0] = self.producers;
        bytes[1] = 0xff;
        self.producer = ProducerId::from_bytes(bytes);
    }

    /// Whether it may have messages that a producer of the past numbered.
    pub(super) fn has_changed_producer(&self) -> bool {
        self.producers > 0
    }

    /// The page is loaded again and has kept nothing.
    pub(super) fn forget_everything(&mut self) {
        self.take_producer();
        for room in &mut self.rooms {
            room.view.start_over();
            room.outbox = Outbox::new(self.producer, self.fault);
            room.excuse(0);
        }
    }

    /// Numbers as that one does, as a tab does that is a copy of another.
    pub(super) fn clone_of(&mut self, other: &Self) {
        self.producer = other.producer;
        for (room, others) in self.rooms.iter_mut().zip(&other.rooms) {
            room.outbox = others.outbox.duplicate();
            room.excuse(0);
        }
    }

    /// Somebody else numbers under this producer, and nothing is under way any more.
    pub(super) fn must_change_producer(&self) -> bool {
        self.rooms.iter().any(|room| room.outbox.cloned)
    }

    /// Writes something.
    pub(super) fn write(&mut self, room: usize) {
        if self.written < WRITTEN_MAX {
            let number = u16::from(self.number) * WRITTEN_MAX + self.written;
            self.written += 1;
            self.rooms[room].outbox.add(number);
        }
    }

    /// Takes a frame.
    pub(super) fn take(&mut self, world: &World, raw: &str) {
        let frame: Heard<'_> = serde_json::from_str(raw).expect("frames are JSON as documented");
        let index = index_of(frame.room);
        let Standing { view, outbox, .. } = &mut self.rooms[index];
        view.take(world, index, &frame, outbox);
        let void = std::mem::take(&mut view.void);
        for keep in void {
            let taken = self.rooms[index].excuse(keep);
            (0..taken).for_each(|_| world.count(Event::TakenAndTold));
        }
        let Standing {
            view,
            outbox,
            acked,
            ..
        } = &mut self.rooms[index];
        for (name, at) in view.placed.drain(..) {
            if let Some(acked) = acked.iter_mut().find(|acked| acked.name == name) {
                acked.at = Some(at);
            }
        }
        outbox.moved(&view.cursor, world.now());
    }

    /// Takes the answer to a copy.
    pub(super) fn answered(
        &mut self,
        world: &World,
        room: usize,
        copy: &Copy,
        answer: &Result<Placed, SendError>,
    ) {
        let standing = &mut self.rooms[room];
        if let Ok(placed) = answer {
            let name = copy.id.to_string();
            let at = placed.at.map(|at| (at.offset, at.epoch.raw()));
            match standing.acked.iter_mut().find(|acked| acked.name == name) {
                Some(acked) => acked.at = at.or(acked.at),
                None => standing.acked.push(Acked {
                    name,
                    number: copy.number,
                    at,
                    excused: false,
                }),
            }
        }
        let own = standing.view.own();
        standing.outbox.answered(copy.number, answer, own, world);
        standing.outbox.moved(&standing.view.cursor, world.now());
    }

    /// Whether nothing is left to do.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |room: &Standing| {
            room.view.replays_to.is_none() && room.outbox.is_settled() && !room.lags
        };
        self.rooms.iter().all(settled)
    }
}

impl Standing {
    /// The cursor is given up: whoever has none is not told what is lost, so nothing that was acknowledged is sure.
    pub(super) fn lose_place(&mut self, now: Duration) {
        self.view.start_over();
        self.outbox.fork(0, now);
        self.excuse(0);
    }

    /// What stands above `keep` may be gone, and the client knows. How many of its own that are.
    fn excuse(&mut self, keep: u64) -> usize {
        let above = |acked: &&mut Acked| !acked.excused && acked.at.is_none_or(|at| at.0 > keep);
        self.acked
            .iter_mut()
            .filter(above)
            .map(|acked| acked.excused = true)
            .count()
    }
}
