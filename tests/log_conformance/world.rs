//! What every test stands on: an engine with its clock, and short ways to append and enter.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use wardroom::{
    clock::Clock,
    domain::{
        cursor::Cursor,
        entry::Entry,
        ids::{MessageId, Producer, ProducerId, SessionId, UserId},
        nickname::{NameBounds, NameRules, NameSource, Nickname},
        position::Position,
        room_name::RoomId,
    },
    log::{
        Append, AppendError, Engine, Entered, Feed, Page, Placed, Seat,
        retention::{Keep, Retention},
    },
};

/// The bounds that an engine is made with.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) retention_count: u64,
    pub(crate) retention: Option<Duration>,
    pub(crate) envelope_max: usize,
    pub(crate) feed_entries_max: usize,
    pub(crate) feed_bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            retention_count: 1000,
            retention: None,
            envelope_max: 4096,
            feed_entries_max: 4096,
            feed_bytes_max: 1 << 20,
        }
    }
}

impl Bounds {
    pub(crate) fn retention(self) -> Retention {
        Retention::uniform(Keep {
            count: self.retention_count,
            time: self.retention,
            hold: false,
        })
    }
}

/// Makes an engine with an empty log.
pub(crate) trait Make: Sync {
    fn make(&self, bounds: Bounds) -> World;
}

/// An engine and its clock.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Clock,
    /// What the engine lives in, kept as long as it is used.
    _folder: Option<Arc<tempfile::TempDir>>,
}

pub(crate) fn room(name: &str) -> RoomId {
    RoomId::parse(name, 64).expect("a room's name")
}

pub(crate) fn user(n: u8) -> UserId {
    UserId::from_digest(&[n; 32])
}

pub(crate) fn session(n: u8) -> SessionId {
    SessionId::from_random([n; 16])
}

pub(crate) fn producer(n: u8) -> Producer {
    Producer {
        id: ProducerId::from_bytes([n; 12]),
        chain: 0,
    }
}

pub(crate) fn nick(raw: &str, source: NameSource) -> Nickname {
    let bounds = NameBounds {
        raw_bytes_max: 256,
        bytes_max: 128,
        graphemes_max: 32,
    };
    let rules = NameRules::new(bounds, []);
    Nickname::from_untrusted(raw, source, &rules).expect("a nickname")
}

/// Messages of one producer, numbered as a client numbers them.
pub(crate) struct Sender {
    producer: Producer,
    by: UserId,
    seq: u64,
}

impl Sender {
    pub(crate) fn new(n: u8) -> Self {
        Self {
            producer: producer(n),
            by: user(n),
            seq: 0,
        }
    }

    /// The next message, one minute remembered.
    pub(crate) fn next<'a>(&'a mut self, text: &'a str) -> Append<'a> {
        self.seq += 1;
        self.numbered(self.seq, self.seq - 1, text)
    }

    pub(crate) fn numbered<'a>(&'a self, seq: u64, prev: u64, text: &'a str) -> Append<'a> {
        Append {
            id: MessageId {
                producer: self.producer,
                seq,
            },
            prev,
            by: &self.by,
            remember: Duration::from_mins(1),
            text_hash: text.bytes().map(u32::from).sum(),
            checked: None,
            envelope: text.as_bytes(),
            redacts: None,
            state: None,
        }
    }
}

impl World {
    pub(crate) fn new(engine: Arc<dyn Engine>, clock: Clock) -> Self {
        Self {
            engine,
            clock,
            _folder: None,
        }
    }

    pub(crate) fn in_folder(self, folder: Arc<tempfile::TempDir>) -> Self {
        Self {
            _folder: Some(folder),
            ..self
        }
    }

    pub(crate) async fn append(&self, name: &str, what: Append<'_>) -> Result<Placed, AppendError> {
        self.engine.append(&room(name), what).await
    }

    /// Appends, and it must be placed as new.
    pub(crate) async fn placed(&self, name: &str, what: Append<'_>) -> Position {
        let placed = self.append(name, what).await.expect("placed");
        assert!(!placed.duplicate);
        placed.at.expect("a new entry has a place")
    }

    /// `count` messages of one producer.
    pub(crate) async fn fill(&self, name: &str, count: u64) -> Vec<Position> {
        let mut sender = Sender::new(1);
        let mut at = Vec::new();
        for n in 1..=count {
            at.push(
                self.placed(name, sender.next(&format!("message {n}")))
                    .await,
            );
        }
        at
    }

    pub(crate) async fn read(&self, name: &str, after: &Cursor, limit: u32) -> Page {
        self.engine
            .read(&room(name), after, limit)
            .await
            .expect("readable")
    }

    pub(crate) async fn before(&self, name: &str, offset: Option<u64>, limit: u32) -> Page {
        self.engine
            .before(&room(name), offset, limit)
            .await
            .expect("readable")
    }

    pub(crate) async fn enter(&self, seat: Seat) -> Entered {
        self.engine
            .enter(&room("lobby"), seat)
            .await
            .expect("reachable")
    }

    pub(crate) async fn leave(&self, n: u8) {
        self.engine
            .leave(&room("lobby"), session(n))
            .await
            .expect("reachable");
    }

    /// The names in the room, as `list` gives them, and the count beside them.
    pub(crate) async fn people(&self, limit: u32) -> (u64, Vec<String>) {
        let (count, seats) = self
            .engine
            .list(&room("lobby"), limit)
            .await
            .expect("reachable");
        (
            count,
            seats
                .iter()
                .map(|seat| seat.nick.as_str().to_owned())
                .collect(),
        )
    }
}

pub(crate) fn offsets(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.at.offset).collect()
}

/// All that waits in the feed.
pub(crate) fn drain(feed: &mut mpsc::Receiver<Feed>) -> Vec<Feed> {
    std::iter::from_fn(|| feed.try_recv().ok()).collect()
}
