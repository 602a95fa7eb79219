//! A hub that runs, and guests who come to it.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::Clock,
    domain::{
        cursor::Cursor,
        ids::{MessageId, Producer, ProducerId, SessionId, UserId},
        nickname::{NameSource, Nickname},
        room_name::RoomId,
    },
    hub::{
        Hub,
        join::{Arrival, JoinError},
        membership::Membership,
        send::{NewMessage, SendError},
        settings::HubSettings,
        testing,
    },
    log::{
        Placed,
        memory::{MemoryEngine, MemorySettings},
        retention::{Keep, Retention},
    },
    outbound::{
        entry_frames::Format,
        outbox::{Outbox, OutboxBounds, OutboxReader, outbox},
        outbox_budget::OutboxBudget,
    },
    telemetry::metrics::Metrics,
};

use super::probe::Probe;

/// A hub over the memory log.
pub(super) struct House {
    pub(super) hub: Arc<Hub>,
    pub(super) log: Arc<Probe>,
    pub(super) budget: Arc<OutboxBudget>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Clock,
    stop: CancellationToken,
}

/// What the log of a house keeps.
#[derive(Clone, Copy)]
pub(super) enum Keeps {
    Count(u64),
    Time(Duration),
}

impl House {
    pub(super) fn new() -> Self {
        Self::with(Keeps::Count(1000), |_| {})
    }

    pub(super) fn with(keeps: Keeps, change: impl FnOnce(&mut HubSettings)) -> Self {
        let metrics = Metrics::new();
        let clock = Clock::manual(1_795_521_600_000);
        let (retention_count, retention) = match keeps {
            Keeps::Count(count) => (count, None),
            Keeps::Time(time) => (1000, Some(time)),
        };
        let settings = MemorySettings {
            retention: Retention::uniform(Keep {
                count: retention_count,
                time: retention,
                hold: false,
            }),
            envelope_max: 65_536,
            feed_entries_max: 4096,
            feed_bytes_max: 1 << 24,
        };
        let log = Probe::new(MemoryEngine::new(
            settings,
            clock.clone(),
            Arc::clone(&metrics),
        ));
        let budget = OutboxBudget::new(1 << 20, &metrics);
        let mut settings = testing::settings(&budget);
        change(&mut settings);
        let engine = Arc::clone(&log);
        let hub = Hub::new(engine, settings, clock.clone(), Arc::clone(&metrics));
        let stop = CancellationToken::new();
        TaskTracker::new().spawn(Arc::clone(&hub).run(stop.clone()));
        Self {
            hub,
            log,
            budget,
            metrics,
            clock,
            stop,
        }
    }

    /// Guest `number`, with a chosen name, not yet in any room.
    pub(super) fn guest(&self, number: u8) -> Guest {
        self.guest_with(number, Format::Json, 256)
    }

    pub(super) fn guest_with(&self, number: u8, format: Format, messages_max: usize) -> Guest {
        let bounds = OutboxBounds {
            messages_max,
            bytes_max: 262_144,
        };
        let (out, reader) = outbox(bounds, &self.budget);
        let mut session = [number; 16];
        session[0] = fastrand::u8(..);
        session[1] = fastrand::u8(..);
        Guest {
            hub: Arc::clone(&self.hub),
            session: SessionId::from_random(session),
            user: testing::user(number),
            nick: testing::nick(&format!("Guest {number}"), NameSource::Chosen),
            format,
            out,
            reader,
            seq: 0,
            cursor: Cursor::default(),
        }
    }

    /// Everything that can happen without time passing has happened.
    pub(super) async fn quiet(&self) {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass.
    pub(super) async fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        timeout_at(end, std::future::pending::<()>()).await.ok();
        self.quiet().await;
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Somebody with a session.
pub(super) struct Guest {
    hub: Arc<Hub>,
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) nick: Nickname,
    pub(super) format: Format,
    pub(super) out: Outbox,
    pub(super) reader: OutboxReader,
    seq: u64,
    /// What `join` gives as `since`.
    pub(super) cursor: Cursor,
}

impl Guest {
    pub(super) fn named(mut self, raw: &str, source: NameSource) -> Self {
        self.nick = testing::nick(raw, source);
        self
    }

    pub(super) fn since(mut self, pairs: &[(u64, &str)]) -> Self {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(offset, epoch)| (*offset, (*epoch).to_owned()))
            .collect();
        self.cursor = Cursor::parse(&pairs, 4).expect("a cursor");
        self
    }

    /// Joins, and takes what came with it.
    pub(super) async fn join(&mut self, room: &str, history: u32) -> (Membership, Value) {
        let membership = self.try_join(room, history).await.expect("let in");
        let mut frames = self.frames();
        let joined = if frames.is_empty() {
            Value::Null
        } else {
            frames.remove(0)
        };
        assert!(
            self.format == Format::Text || joined["type"] == "joined",
            "{joined}"
        );
        (membership, joined)
    }

    pub(super) async fn try_join(&self, room: &str, history: u32) -> Result<Membership, JoinError> {
        let arrival = Arrival {
            session: self.session,
            nick: self.nick.clone(),
            outbox: self.out.clone(),
            format: self.format,
            reply_to: Some("7".into()),
            since: self.cursor.clone(),
            history,
        };
        let grant = testing::join_grant(&id(room), self.user);
        self.hub.join(grant, arrival).await
    }

    pub(super) async fn say(&mut self, room: &str, text: &str) -> Placed {
        self.try_say(room, text).await.expect("placed")
    }

    pub(super) async fn try_say(&mut self, room: &str, text: &str) -> Result<Placed, SendError> {
        self.seq += 1;
        let message = message(self.user, self.seq, self.nick.clone(), text);
        let grant = testing::send_grant(&id(room), self.user);
        self.hub.send(grant, message).await
    }

    /// Takes what waits, as JSON; plain text as strings.
    pub(super) fn frames(&mut self) -> Vec<Value> {
        let mut frames = Vec::new();
        self.reader.take(&mut frames);
        let text = self.format == Format::Text;
        frames
            .iter()
            .map(|frame| {
                if text {
                    Value::from(frame.as_str())
                } else {
                    serde_json::from_str(frame.as_str()).expect("JSON")
                }
            })
            .collect()
    }

    /// The texts of the messages that wait; other frames are dropped.
    pub(super) fn texts(&mut self) -> Vec<String> {
        texts(&self.frames())
    }

    /// Frames of this type that wait; others are dropped.
    pub(super) fn frames_of(&mut self, kind: &str) -> Vec<Value> {
        let mut frames = self.frames();
        frames.retain(|frame| frame["type"] == kind);
        frames
    }
}

pub(super) fn id(room: &str) -> RoomId {
    RoomId::parse(room, 64).expect("a name")
}

pub(super) fn message(user: UserId, seq: u64, nick: Nickname, text: &str) -> NewMessage {
    let mut producer = [0; 12];
    producer.copy_from_slice(&user.as_str().as_bytes()[2..14]);
    NewMessage {
        id: MessageId {
            producer: Producer {
                id: ProducerId::from_bytes(producer),
                chain: 0,
            },
            seq,
        },
        prev: seq - 1,
        remember: Duration::from_hours(24),
        text_hash: 0,
        nick,
        text: testing::text(text),
    }
}

pub(super) fn texts(frames: &[Value]) -> Vec<String> {
    frames
        .iter()
        .filter(|frame| frame["type"] == "message")
        .map(|frame| frame["text"].as_str().expect("a text").to_owned())
        .collect()
}

pub(super) fn kinds(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .map(|frame| frame["type"].as_str().expect("a type"))
        .collect()
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

pub(super) fn nicks(people: &Value) -> Vec<&str> {
    list(people)
        .iter()
        .map(|person| person["nick"].as_str().expect("a name"))
        .collect()
}
