//! What a client makes of its frames, by the rules for client libraries: its own code, on the wire's words alone.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::World;

/// A client's picture of a room.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// `[offset, epoch]`, newest first.
    pub(super) cursor: Vec<(u64, String)>,
    /// What was shown and not retracted.
    pub(super) shown: BTreeMap<u64, String>,
    pub(super) people: BTreeMap<String, String>,
    pub(super) count: u64,
    /// The newest offset that came with `joined.head`.
    pub(super) joined_head: u64,
}

impl View {
    /// The newest offset seen, if any.
    pub(super) fn own(&self) -> Option<u64> {
        self.cursor.first().map(|(offset, _)| *offset)
    }

    /// Whether the list of people contradicts the count: then a client asks for it.
    pub(super) fn doubts_people(&self) -> bool {
        self.people.len() as u64 != self.count
    }

    /// Takes one frame.
    pub(super) fn take(&mut self, world: &World, raw: &str) {
        let frame: Value = serde_json::from_str(raw).expect("frames are JSON");
        if frame["type"] == "joined" {
            self.joined(world, &frame);
        } else {
            self.stream(world, &frame);
        }
    }

    fn joined(&mut self, world: &World, frame: &Value) {
        let fresh = self.cursor.is_empty();
        let messages = frame["messages"].as_array().expect("a list");
        let lossless = messages
            .iter()
            .all(|one| !["fork", "gap", "reset"].contains(&one["type"].as_str().expect("a type")));
        if frame["recovered"] != (lossless && !fresh) {
            world.broken(|| format!("recovered is wrong: {frame}"));
        }
        for one in messages {
            self.stream(world, one);
        }
        let (head, epoch) = position(&frame["head"]);
        self.joined_head = head;
        if fresh && messages.is_empty() && head > 0 {
            self.cursor = vec![(head, epoch)];
        }
        if fresh && !messages.is_empty() && messages[0]["type"] != "epoch" {
            world.broken(|| format!("a fresh join opens with epoch: {frame}"));
        }
    }

    fn stream(&mut self, world: &World, frame: &Value) {
        match frame["type"].as_str().expect("a type") {
            "message" => self.message(world, frame),
            "epoch" => {
                let from = frame["from"].as_u64().expect("a number");
                if self.own().is_some_and(|own| from != own + 1) {
                    world.broken(|| format!("epoch out of place: {frame} at {:?}", self.cursor));
                }
                self.advance(from - 1, text(&frame["epoch"]));
            }
            "gap" => {
                let from = frame["from"].as_u64().expect("a number");
                let (to, epoch) = position(&frame["to"]);
                let trimmed = world.happened().trimmed_below;
                if from != self.own().unwrap_or(0) + 1 || to < from || to >= trimmed {
                    world.broken(|| {
                        format!("false gap: {frame} at {:?}, trimmed {trimmed}", self.cursor)
                    });
                }
                world.note(|happened| happened.gaps_told += 1);
                self.advance(to, epoch);
            }
            "fork" => {
                let (keep, epoch) = position(&frame["keep"]);
                if world.happened().rollbacks == 0 || self.own().is_none_or(|own| keep > own) {
                    world.broken(|| format!("false fork: {frame} at {:?}", self.cursor));
                }
                world.note(|happened| happened.forks_told += 1);
                self.shown.retain(|offset, _| *offset <= keep);
                self.cursor
                    .retain(|(offset, other)| *offset < keep && *other != epoch);
                self.cursor.insert(0, (keep, epoch));
            }
            "reset" => {
                let happened = world.happened();
                if happened.rollbacks + happened.wipes == 0 {
                    world.broken(|| format!("false reset: {frame} at {:?}", self.cursor));
                }
                world.note(|happened| happened.resets_told += 1);
                let (to, epoch) = position(&frame["to"]);
                self.shown.clear();
                self.cursor.clear();
                if to > 0 {
                    self.cursor.push((to, epoch));
                }
            }
            "presence" => self.presence(frame),
            "members" => {
                self.people.clear();
                for person in frame["members"].as_array().expect("a list") {
                    self.people
                        .insert(text(&person["user"]), text(&person["nick"]));
                }
                self.count = frame["count"].as_u64().expect("a number");
            }
            other => panic!("no such frame: {other}"),
        }
    }

    fn message(&mut self, world: &World, frame: &Value) {
        let offset = frame["offset"].as_u64().expect("a number");
        let expected = self.own().map(|own| own + 1);
        let in_place = match expected {
            Some(expected) => offset == expected,
            None => offset == 1,
        };
        if !in_place {
            world.broken(|| format!("hole or double: {offset} where {expected:?} was due"));
        }
        if let Some((own, _)) = self.cursor.first_mut() {
            *own = offset;
        } else {
            world.broken(|| format!("no epoch before {frame}"));
        }
        world.note(|happened| happened.entries_told += 1);
        let id = text(&frame["id"]);
        if self.shown.values().any(|shown| *shown == id) {
            world.broken(|| format!("{id} is shown twice"));
        }
        self.shown.insert(offset, id);
    }

    fn presence(&mut self, frame: &Value) {
        for person in frame["left"].as_array().expect("a list") {
            self.people.remove(&text(&person["user"]));
        }
        for person in frame["joined"].as_array().expect("a list") {
            self.people
                .insert(text(&person["user"]), text(&person["nick"]));
        }
        self.count = frame["count"].as_u64().expect("a number");
    }

    fn advance(&mut self, offset: u64, epoch: String) {
        match self.cursor.first_mut() {
            Some((own, same)) if *same == epoch => *own = offset,
            _ => {
                self.cursor.insert(0, (offset, epoch));
                self.cursor.truncate(4);
            }
        }
    }
}

fn position(value: &Value) -> (u64, String) {
    (value[0].as_u64().expect("an offset"), text(&value[1]))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}
