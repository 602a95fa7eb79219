//! What an acknowledged message costs on the engines: many senders that share a flush against one flush for each message, and how
//! long an ack takes at a steady rate. Ratios of one run, nothing passes or fails. See benches/README.md.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark spawns, waits and prints"
)]

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use wardroom::{
    clock::Clock,
    domain::{
        ids::{MessageId, Producer, ProducerId, UserId},
        room_name::RoomId,
    },
    log::{
        Append, RoomLog,
        retention::{Keep, Retention},
        sqlite::{SqliteEngine, SqliteSettings},
    },
    telemetry::metrics::Metrics,
};

/// How long each measurement runs.
const WINDOW: Duration = Duration::from_secs(3);
/// Rounds; the figure is the median.
const ROUNDS: usize = 5;
const SENDERS: u8 = 64;
/// Messages a second, where a rate is held.
const RATE: u32 = 1000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo bench` passes its own flag, and a filter of `cargo test --benches` is not ours.
    let folder = tempfile::tempdir()?;
    let engine = Arc::new(engine(folder.path())?);
    let (mut ratios, mut singles, mut groups, mut p50s) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let single = throughput(&engine, 1, round).await;
        let group = throughput(&engine, SENDERS, round).await;
        let commit = 1.0 / single;
        let p50 = at_rate(&engine, round).await;
        ratios.push(group / single);
        singles.push(single);
        groups.push(group);
        p50s.push(p50.as_secs_f64() / commit);
    }
    println!(
        "acks/s, one sender, one flush for each message   {:.0}",
        median(&mut singles)
    );
    println!(
        "acks/s, {SENDERS} senders                               {:.0}",
        median(&mut groups)
    );
    println!(
        "ratio                                            {:.1}",
        median(&mut ratios)
    );
    println!(
        "p50 of an ack at {RATE}/s, in times of one commit   {:.2}",
        median(&mut p50s)
    );
    Ok(())
}

fn engine(folder: &std::path::Path) -> anyhow::Result<SqliteEngine> {
    let settings = SqliteSettings {
        path: folder.join("log.db"),
        size_bytes_max: 0,
        record_presence: true,
        retention: Retention::uniform(Keep {
            count: 100_000,
            time: None,
            hold: false,
        }),
        envelope_max: 65_536,
        page_bytes_max: 1 << 20,
        append_entries_max: 4096,
        append_bytes_max: 16 << 20,
        feed_entries_max: 4096,
        feed_bytes_max: 16 << 20,
    };
    Ok(SqliteEngine::open(
        settings,
        Clock::system(),
        &Metrics::new(),
    )?)
}

/// Acknowledged messages a second, each sender waiting for its ack before the next.
async fn throughput(engine: &Arc<SqliteEngine>, senders: u8, round: usize) -> f64 {
    let end = Instant::now() + WINDOW;
    let sending = (0..senders).map(|sender| {
        let engine = Arc::clone(engine);
        tokio::spawn(async move {
            let mut one = Sender::new(&[senders, sender, u8::try_from(round).unwrap_or(0)]);
            while Instant::now() < end {
                one.send(&engine).await;
            }
            one.sent
        })
    });
    let sending: Vec<_> = sending.collect();
    let mut sent = 0;
    for one in sending {
        sent += one.await.unwrap_or(0);
    }
    f64::from(u32::try_from(sent).unwrap_or(u32::MAX)) / WINDOW.as_secs_f64()
}

/// The median time from due to acknowledged when messages come at a steady rate, whoever waits.
async fn at_rate(engine: &Arc<SqliteEngine>, round: usize) -> Duration {
    let started = Instant::now();
    let mut waiting = Vec::new();
    for number in 0..RATE * 3 {
        let due = started + Duration::from_secs(1) * number / RATE;
        tokio::time::sleep_until(due).await;
        let engine = Arc::clone(engine);
        let name = [u8::try_from(round).unwrap_or(0), u8::MAX];
        let number = number.to_be_bytes();
        waiting.push(tokio::spawn(async move {
            let mut one = Sender::new(&[&name[..], &number[..]].concat());
            one.send(&engine).await;
            due.elapsed()
        }));
    }
    let mut took = Vec::new();
    for one in waiting {
        took.extend(one.await.ok());
    }
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

/// A producer of its own, in a room of eight.
struct Sender {
    producer: Producer,
    room: RoomId,
    user: UserId,
    sent: u64,
}

impl Sender {
    fn new(name: &[u8]) -> Self {
        let mut id = [0; 12];
        for (to, from) in id.iter_mut().zip(name) {
            *to = *from;
        }
        let room = format!(
            "room{}",
            name.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) % 8
        );
        Self {
            producer: Producer {
                id: ProducerId::from_bytes(id),
                chain: 0,
            },
            room: RoomId::parse(&room, 64).expect("a name"),
            user: UserId::from_digest(&[7; 32]),
            sent: 0,
        }
    }

    async fn send(&mut self, engine: &SqliteEngine) {
        let what = Append {
            id: MessageId {
                producer: self.producer,
                seq: self.sent + 1,
            },
            prev: self.sent,
            by: &self.user,
            remember: Duration::from_hours(24),
            text_hash: 1,
            checked: None,
            envelope: &[b'x'; 150],
            redacts: None,
            state: None,
        };
        engine.append(&self.room, what).await.expect("placed");
        self.sent += 1;
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
