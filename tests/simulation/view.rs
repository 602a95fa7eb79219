//! What a client makes of a room's frames, by the rules for client libraries: its own code, on the wire's words alone. Every
//! frame is compared with what is true.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use super::{
    outbox::Outbox,
    texts::said,
    world::{Event, World},
};

/// A frame of the stream, or an answer. Strings are borrowed where they are plain.
#[derive(Debug, Deserialize)]
pub(super) struct Heard<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    pub(super) room: &'a str,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    target: u64,
    #[serde(default)]
    id: &'a str,
    #[serde(default, borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    epoch: &'a str,
    #[serde(default)]
    from: u64,
    #[serde(default, borrow)]
    to: Option<(u64, &'a str)>,
    #[serde(default, borrow)]
    keep: Option<(u64, &'a str)>,
    #[serde(default, borrow)]
    head: Option<(u64, &'a str)>,
    #[serde(default)]
    recovered: bool,
    #[serde(default, borrow)]
    messages: Vec<Heard<'a>>,
    #[serde(default, borrow)]
    people: Vec<Who<'a>>,
    #[serde(default, borrow)]
    joined: Vec<Who<'a>>,
    #[serde(default, borrow)]
    left: Vec<Who<'a>>,
    #[serde(default)]
    count: u64,
}

#[derive(Debug, Deserialize)]
struct Who<'a> {
    user: &'a str,
    nick: &'a str,
}

/// A client's picture of a room.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Offset and epoch, newest first.
    pub(super) cursor: Vec<(u64, u64)>,
    /// What was shown and not retracted: id and text, or no text when the content went.
    pub(super) shown: BTreeMap<u64, (String, Option<String>)>,
    /// What is shown begins after this offset.
    pub(super) begins: u64,
    /// From, to: what retention took.
    pub(super) gaps: Vec<(u64, u64)>,
    pub(super) people: BTreeMap<String, String>,
    pub(super) count: u64,
    /// `joined.head` of this session, until the stream has reached it.
    pub(super) replays_to: Option<u64>,
    /// Of own messages, what the client was told that it is lost: everything above this offset.
    pub(super) void: Vec<u64>,
    /// Of own messages, where the stream has shown them.
    pub(super) placed: Vec<(String, (u64, u64))>,
}

impl View {
    /// The newest offset seen.
    pub(super) fn own(&self) -> u64 {
        self.cursor.first().map_or(0, |newest| newest.0)
    }

    /// The cursor as `join.since` carries it.
    pub(super) fn since(&self) -> Vec<(u64, String)> {
        let pairs = self.cursor.iter();
        pairs
            .map(|(offset, epoch)| (*offset, format!("{epoch:x}")))
            .collect()
    }

    /// Forgets what was seen, but not who is there.
    pub(super) fn start_over(&mut self) {
        *self = Self {
            people: std::mem::take(&mut self.people),
            count: self.count,
            ..Self::default()
        };
    }

    /// Whether the list of people contradicts the count: then a client asks for it.
    pub(super) fn doubts_people(&self) -> bool {
        self.people.len() as u64 != self.count
    }

    /// Takes one frame about room number `room`.
    pub(super) fn take(
        &mut self,
        world: &World,
        room: usize,
        frame: &Heard<'_>,
        outbox: &mut Outbox,
    ) {
        if frame.kind == "joined" {
            self.joined(world, room, frame, outbox);
        } else {
            self.stream(world, room, frame, outbox);
        }
        if self.replays_to.is_some_and(|head| self.own() >= head) {
            self.replays_to = None;
            outbox.level(world.now());
        }
    }

    fn joined(&mut self, world: &World, room: usize, frame: &Heard<'_>, outbox: &mut Outbox) {
        let fresh = self.cursor.is_empty();
        let told = |one: &Heard<'_>| ["fork", "gap", "reset"].contains(&one.kind);
        let lossless = !frame.messages.iter().any(told);
        if frame.recovered != (lossless && !fresh) {
            world.broken(|| format!("recovered is wrong: {frame:?}"));
        }
        for one in &frame.messages {
            if fresh && self.cursor.is_empty() && one.kind != "epoch" {
                world.broken(|| format!("a fresh join opens with epoch: {frame:?}"));
            }
            self.stream(world, room, one, outbox);
        }
        let (head, epoch) = position(frame.head);
        self.replays_to = Some(head);
        if fresh && frame.messages.is_empty() && head > 0 {
            self.cursor = vec![(head, epoch)];
            self.begins = head;
        }
    }

    fn stream(&mut self, world: &World, room: usize, frame: &Heard<'_>, outbox: &mut Outbox) {
        match frame.kind {
            "message" => self.message(world, room, frame, outbox),
            "deleted" => self.deletion(world, room, frame),
            "epoch" => self.epoch(world, frame),
            "gap" => {
                self.gap(world, room, frame);
                outbox.gap(world);
            }
            "fork" => {
                self.fork(world, room, frame);
                outbox.fork(self.own(), world.now());
            }
            "reset" => {
                self.reset(world, room, frame);
                outbox.reset();
            }
            "presence" => self.presence(frame),
            "members" => {
                let person = |who: &Who<'_>| (who.user.to_owned(), who.nick.to_owned());
                self.people = frame.people.iter().map(person).collect();
                self.count = frame.count;
            }
            other => panic!("no such frame: {other}"),
        }
    }

    fn message(&mut self, world: &World, room: usize, frame: &Heard<'_>, outbox: &mut Outbox) {
        let Some(at @ (offset, epoch)) = self.next(world, frame) else {
            return;
        };
        let truth = {
            let facts = world.facts(room);
            facts.ever.get(&at).is_some_and(|(id, text)| {
                let content = match frame.text.as_deref() {
                    Some(said) => !frame.deleted && said == text,
                    None => frame.deleted && facts.redacted.contains(&at),
                };
                id == frame.id && content
            })
        };
        if !truth {
            world.broken(|| format!("that was never at {offset} of {epoch:x}: {frame:?}"));
        }
        world.count(Event::EntriesTold);
        if frame.deleted {
            world.count(Event::RemovedTold);
        }
        if self.shown.values().any(|(id, _)| *id == frame.id) {
            world.broken(|| format!("{} is shown twice", frame.id));
        }
        let text = frame.text.as_deref();
        let says = |number| text.is_none_or(|text| said(number) == text);
        if outbox.seen(frame.id, at, says) {
            self.placed.push((frame.id.to_owned(), at));
        }
        self.shown
            .insert(offset, (frame.id.to_owned(), text.map(str::to_owned)));
    }

    /// The entry's place, which must be the one after the last.
    fn next(&mut self, world: &World, frame: &Heard<'_>) -> Option<(u64, u64)> {
        let Some((own, epoch)) = self.cursor.first_mut() else {
            world.broken(|| format!("no epoch before {frame:?}"));
            return None;
        };
        if frame.offset != *own + 1 {
            world.broken(|| format!("hole or double: {frame:?} where {} was due", *own + 1));
        }
        *own = frame.offset;
        Some((frame.offset, *epoch))
    }

    fn deletion(&mut self, world: &World, room: usize, frame: &Heard<'_>) {
        let Some(at) = self.next(world, frame) else {
            return;
        };
        let (target, truth) = {
            let facts = world.facts(room);
            (
                facts.deletions.get(&at).copied(),
                facts.ever.get(&at).cloned(),
            )
        };
        let (Some(target), Some((name, text))) = (target, truth) else {
            return world.broken(|| format!("no such deletion at {at:?}: {frame:?}"));
        };
        if target.0 != frame.target {
            world.broken(|| format!("it deletes {target:?}: {frame:?}"));
        }
        world.count(Event::DeletionsTold);
        if let Some((_, shown)) = self.shown.get_mut(&target.0) {
            *shown = None;
        }
        self.shown.insert(at.0, (name, Some(text)));
    }

    fn epoch(&mut self, world: &World, frame: &Heard<'_>) {
        if self.cursor.is_empty() {
            self.begins = frame.from - 1;
        } else if frame.from != self.own() + 1 {
            world.broken(|| format!("epoch out of place: {frame:?} at {:?}", self.cursor));
        }
        self.advance(frame.from - 1, hex(frame.epoch));
    }

    fn gap(&mut self, world: &World, room: usize, frame: &Heard<'_>) {
        let (to, epoch) = position(frame.to);
        let trimmed = world.facts(room).trimmed_below;
        if frame.from != self.own() + 1 || to < frame.from || to >= trimmed {
            world.broken(|| format!("false gap: {frame:?} at {:?}, {trimmed}", self.cursor));
        }
        world.count(Event::GapsTold);
        self.gaps.push((frame.from, to));
        self.advance(to, epoch);
    }

    fn fork(&mut self, world: &World, room: usize, frame: &Heard<'_>) {
        let (keep, epoch) = position(frame.keep);
        let (rollbacks, lowest) = {
            let facts = world.facts(room);
            (facts.rollbacks, facts.lowest_keep)
        };
        // Below a gap the epochs are not all known, so more may be called void than is: but nothing that was shown.
        let safe = keep + 1..lowest.max(keep) + 1;
        let takes_safe = self.shown.range(safe).next().is_some();
        if rollbacks == 0 || keep > self.own() || takes_safe {
            world.broken(|| format!("false fork: {frame:?} at {:?}, {lowest}", self.cursor));
        }
        world.count(Event::ForksTold);
        self.void.push(keep);
        self.shown.retain(|offset, _| *offset <= keep);
        self.gaps.retain(|(from, _)| *from <= keep);
        self.begins = self.begins.min(keep);
        self.cursor
            .retain(|(offset, other)| *offset < keep && *other != epoch);
        self.cursor.insert(0, (keep, epoch));
    }

    fn reset(&mut self, world: &World, room: usize, frame: &Heard<'_>) {
        if world.facts(room).losses() == 0 {
            world.broken(|| format!("false reset: {frame:?} at {:?}", self.cursor));
        }
        world.count(Event::ResetsTold);
        let (to, epoch) = position(frame.to);
        self.void.push(0);
        self.shown.clear();
        self.gaps.clear();
        self.cursor.clear();
        self.begins = to;
        if to > 0 {
            self.cursor.push((to, epoch));
        }
    }

    fn presence(&mut self, frame: &Heard<'_>) {
        for person in &frame.left {
            self.people.remove(person.user);
        }
        for person in &frame.joined {
            self.people
                .insert(person.user.to_owned(), person.nick.to_owned());
        }
        self.count = frame.count;
    }

    fn advance(&mut self, offset: u64, epoch: u64) {
        match self.cursor.first_mut() {
            Some((own, same)) if *same == epoch => *own = offset,
            _ => {
                self.cursor.insert(0, (offset, epoch));
                self.cursor.truncate(4);
            }
        }
    }
}

fn position(position: Option<(u64, &str)>) -> (u64, u64) {
    let (offset, epoch) = position.expect("a position");
    (offset, if offset == 0 { 0 } else { hex(epoch) })
}

fn hex(epoch: &str) -> u64 {
    u64::from_str_radix(epoch, 16).expect("an epoch")
}
