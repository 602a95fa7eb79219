//! What the engine over one file promises beside the traits: what lies on the disk.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use wardroom::{
    clock::Clock,
    domain::{cursor::Cursor, entry::Body, ids::MessageId, position::Position},
    log::{
        Append, Engine, Health, Page, RoomLog, Seat, Seats,
        retention::{Keep, Retention},
        sqlite::{
            SqliteEngine, SqliteSettings,
            record::{Summary, verify_room},
        },
    },
    telemetry::metrics::Metrics,
};

use crate::world::{nick, producer, room, session, user};

fn settings(path: PathBuf, keep: Keep) -> SqliteSettings {
    SqliteSettings {
        path,
        size_bytes_max: 0,
        record_presence: true,
        retention: Retention::uniform(keep),
        envelope_max: 4096,
        page_bytes_max: 1 << 20,
        append_entries_max: 4096,
        append_bytes_max: 1 << 20,
        feed_entries_max: 4096,
        feed_bytes_max: 1 << 20,
    }
}

fn open(path: &Path, keep: Keep, clock: &Clock) -> Arc<SqliteEngine> {
    let engine = SqliteEngine::open(
        settings(path.to_owned(), keep),
        clock.clone(),
        &Metrics::new(),
    );
    Arc::new(engine.expect("the file opens"))
}

fn clock() -> Clock {
    Clock::manual(1_800_000_000_000)
}

/// One message of writer `n`, number `seq`.
fn message<'a>(
    n: u8,
    seq: u64,
    by: &'a wardroom::domain::ids::UserId,
    text: &'a str,
) -> Append<'a> {
    Append {
        id: MessageId {
            producer: producer(n),
            seq,
        },
        prev: seq - 1,
        by,
        remember: Duration::from_hours(1),
        text_hash: 1,
        checked: None,
        envelope: text.as_bytes(),
        redacts: None,
        state: None,
    }
}

async fn say(engine: &SqliteEngine, name: &str, n: u8, seq: u64, text: &str) -> Position {
    let by = user(n);
    let placed = engine.append(&room(name), message(n, seq, &by, text)).await;
    placed.expect("placed").at.expect("a place")
}

async fn all(engine: &SqliteEngine, name: &str) -> Page {
    engine
        .read(&room(name), &Cursor::default(), 10_000)
        .await
        .expect("read")
}

/// The room's record in the file: no hole, every digest and chain value right.
fn assert_sound(path: &Path, name: &str) -> Summary {
    let file = Connection::open(path).expect("a database");
    let summary = verify_room(&file, &room(name)).expect("readable");
    assert!(summary.chain_ok(), "{name}: {:?}", summary.fault);
    summary
}

fn count(path: &Path, sql: &str) -> i64 {
    let file = Connection::open(path).expect("a database");
    file.query_row(sql, [], |row| row.get(0)).expect("a number")
}

/// Waits for something that the writer does on its own.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} did not happen"
        );
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(20)).await;
    }
}

const KEEP_ALL: Keep = Keep::ALL;

/// Writer, number, place, and the length of the write-ahead log when it was acknowledged.
type Acked = (u8, u64, Position, u64);

#[tokio::test]
async fn what_was_placed_is_there_after_a_restart_under_another_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let engine = open(&path, KEEP_ALL, &clock());
    let first = say(&engine, "lobby", 1, 1, "one").await;
    engine.close().await;
    let engine = open(&path, KEEP_ALL, &clock());
    let by = user(1);
    let repeat = engine
        .append(&room("lobby"), message(1, 1, &by, "one"))
        .await
        .expect("known");
    assert!(repeat.duplicate);
    assert_eq!(
        repeat.at,
        Some(first),
        "a repeat is recognised across the restart"
    );
    let second = say(&engine, "lobby", 1, 2, "two").await;
    assert_eq!(second.offset, 2);
    assert_ne!(second.epoch, first.epoch);
    let page = all(&engine, "lobby").await;
    assert_eq!(page.entries.len(), 2);
    assert_eq!(assert_sound(&path, "lobby").head, Some(second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let mut acked_in_all = 0;
    for round in 0..30_u64 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.db");
        let engine = open(&path, KEEP_ALL, &clock());
        // Acknowledged, each with the length of the write-ahead log that the ack was based on.
        let acked: Arc<Mutex<Vec<Acked>>> = Arc::default();
        let wal = folder.path().join("log.db-wal");
        let writers: Vec<_> = (1..=16_u8)
            .map(|n| {
                let (engine, acked, wal) = (Arc::clone(&engine), Arc::clone(&acked), wal.clone());
                tokio::spawn(async move {
                    for seq in 1..=40 {
                        let name = if n % 2 == 0 { "even" } else { "odd" };
                        let at = say(&engine, name, n, seq, &format!("{n} says {seq}")).await;
                        let length = wal.metadata().expect("the write-ahead log").len();
                        acked.lock().push((n, seq, at, length));
                    }
                })
            })
            .collect();
        let wanted = usize::try_from(20 + round * 17 % 500).expect("small");
        eventually("some are acknowledged", || acked.lock().len() >= wanted).await;
        // The moment of the cut: what is acknowledged until here must be there, what follows may be torn.
        let before = acked.lock().clone();
        let safe = before
            .iter()
            .map(|(.., length)| *length)
            .max()
            .expect("some");
        let copy = folder.path().join("cut.db");
        std::fs::copy(&path, &copy).expect("copied");
        let mut content = std::fs::read(&wal).expect("the write-ahead log");
        let most = content.len() - usize::try_from(safe).expect("small");
        let torn = content.len() - fastrand::usize(0..=most);
        content[torn..]
            .iter_mut()
            .for_each(|byte| *byte = fastrand::u8(..));
        content.extend(std::iter::repeat_with(|| fastrand::u8(..)).take(fastrand::usize(0..9000)));
        std::fs::write(folder.path().join("cut.db-wal"), content).expect("written");
        for writer in writers {
            writer.await.expect("it wrote");
        }

        let survivor = open(&copy, KEEP_ALL, &clock());
        let mut there = HashMap::new();
        for name in ["even", "odd"] {
            let page = all(&survivor, name).await;
            for (offset, entry) in (1..).zip(&page.entries) {
                assert_eq!(entry.at.offset, offset, "offsets are dense");
                assert_eq!(there.insert(entry.id, entry.at), None, "twice");
            }
            assert_sound(&copy, name);
        }
        for (n, seq, at, _) in &before {
            let id = MessageId {
                producer: producer(*n),
                seq: *seq,
            };
            assert_eq!(
                there.get(&id),
                Some(at),
                "round {round}: acknowledged and lost"
            );
        }
        acked_in_all += before.len();
    }
    println!("power cut: 30 rounds, {acked_in_all} messages acknowledged before the cut and found");
}

#[tokio::test]
async fn retention_takes_rows_in_pieces_and_the_rest_still_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let keep = Keep {
        count: 100,
        time: None,
        hold: false,
    };
    let engine = open(&path, keep, &clock());
    for seq in 1..=3000 {
        say(&engine, "lobby", 1, seq, "hello").await;
    }
    let page = all(&engine, "lobby").await;
    assert_eq!(
        (page.first, page.entries.len()),
        (2901, 100),
        "a reader sees what is kept, exactly"
    );
    eventually("rows go", || {
        count(&path, "SELECT count(*) FROM entry") < 500
    })
    .await;
    let summary = assert_sound(&path, "lobby");
    assert!(summary.first > 2500, "{summary:?}");
    assert_eq!(summary.head.map(|head| head.offset), Some(3000));
}

#[tokio::test]
async fn what_is_too_old_goes_from_the_file_without_another_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let clock = clock();
    let keep = Keep {
        count: u64::MAX,
        time: Some(Duration::from_hours(24)),
        hold: false,
    };
    let engine = open(&path, keep, &clock);
    for seq in 1..=20 {
        say(&engine, "lobby", 1, seq, "hello").await;
    }
    clock.advance(Duration::from_hours(25));
    eventually("all of it goes", || {
        count(&path, "SELECT count(*) FROM entry") == 0
    })
    .await;
    let page = all(&engine, "lobby").await;
    assert_eq!(
        (page.first, page.head.map(|head| head.offset)),
        (21, Some(20)),
        "the head stays known"
    );
    eventually("nobody is remembered for ever", || {
        count(&path, "SELECT count(*) FROM producer") == 0
    })
    .await;
    assert_eq!(say(&engine, "lobby", 2, 1, "later").await.offset, 21);
    assert_sound(&path, "lobby");
}

#[tokio::test]
async fn a_redaction_leaves_no_byte_of_the_content_and_the_chain_verifies() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let engine = open(&path, KEEP_ALL, &clock());
    let secret = "the launch code is 0000-1111";
    let target = say(&engine, "lobby", 1, 1, secret).await;
    let by = user(2);
    let redaction = Append {
        redacts: Some(target),
        ..message(2, 1, &by, "taken back")
    };
    engine
        .append(&room("lobby"), redaction)
        .await
        .expect("placed");
    let page = all(&engine, "lobby").await;
    assert_eq!(page.entries[0].body, Body::Removed);
    assert_eq!(page.entries.len(), 2, "every offset has its entry");
    engine.close().await;
    assert_sound(&path, "lobby");
    for file in std::fs::read_dir(folder.path()).expect("a folder") {
        let content = std::fs::read(file.expect("a file").path()).expect("readable");
        let found = content
            .windows(secret.len())
            .any(|bytes| bytes == secret.as_bytes());
        assert!(!found, "the content is still on the disk");
    }
}

#[tokio::test]
async fn a_legal_hold_hides_what_is_taken_back_and_keeps_it_until_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let hold = Keep {
        hold: true,
        ..Keep::ALL
    };
    let engine = open(&path, hold, &clock());
    let target = say(&engine, "lobby", 1, 1, "evidence").await;
    let by = user(2);
    let redaction = Append {
        redacts: Some(target),
        ..message(2, 1, &by, "taken back")
    };
    engine
        .append(&room("lobby"), redaction)
        .await
        .expect("placed");
    assert_eq!(
        all(&engine, "lobby").await.entries[0].body,
        Body::Removed,
        "nobody reads it"
    );
    let erased = engine.erase(user(1)).await.expect("done");
    assert_eq!(
        (erased.messages, erased.held.len()),
        (0, 1),
        "erasure waits, and says where"
    );
    assert_eq!(
        count(&path, "SELECT count(*) FROM entry WHERE env IS NOT NULL"),
        2,
        "the record has it"
    );
    engine.close().await;
    let engine = open(&path, KEEP_ALL, &clock());
    eventually("it goes with the hold", || {
        count(&path, "SELECT count(*) FROM entry WHERE env IS NOT NULL") == 1
    })
    .await;
    assert_sound(&path, "lobby");
    drop(engine);
}

#[tokio::test]
async fn erasing_a_person_leaves_places_and_chains_and_nothing_that_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let engine = open(&path, KEEP_ALL, &clock());
    for seq in 1..=6000 {
        say(&engine, "lobby", 1, seq, "by the one").await;
        if seq <= 3 {
            say(&engine, "support", 2, seq, "by the other").await;
        }
    }
    let seat = Seat {
        session: session(1),
        user: user(1),
        nick: nick("Erika", wardroom::domain::nickname::NameSource::Chosen),
    };
    engine.enter(&room("lobby"), seat).await.expect("seated");
    let erased = engine.erase(user(1)).await.expect("done");
    assert_eq!(
        (erased.messages, erased.rooms.as_slice()),
        (6000, &[room("lobby")][..])
    );
    let page = all(&engine, "lobby").await;
    assert_eq!(page.entries.len(), 6000);
    assert!(page.entries.iter().all(|entry| entry.body == Body::Removed));
    assert!(
        all(&engine, "support")
            .await
            .entries
            .iter()
            .all(|entry| entry.body != Body::Removed)
    );
    engine.close().await;
    assert_eq!(
        count(&path, "SELECT count(*) FROM visit WHERE nick IS NOT NULL"),
        0
    );
    assert_sound(&path, "lobby");
    assert_sound(&path, "support");
}

#[tokio::test]
async fn who_came_and_went_is_in_the_record_when_it_is_to_be() {
    for (record_presence, visits) in [(true, 3), (false, 0)] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.db");
        let mut settings = settings(path.clone(), KEEP_ALL);
        settings.record_presence = record_presence;
        let engine = SqliteEngine::open(settings, clock(), &Metrics::new()).expect("a new file");
        let seat = |name| Seat {
            session: session(1),
            user: user(1),
            nick: nick(name, wardroom::domain::nickname::NameSource::Chosen),
        };
        engine
            .enter(&room("lobby"), seat("Alice"))
            .await
            .expect("seated");
        engine
            .enter(&room("lobby"), seat("Alicia"))
            .await
            .expect("renamed");
        engine
            .leave(&room("lobby"), session(1))
            .await
            .expect("left");
        engine.close().await;
        assert_eq!(count(&path, "SELECT count(*) FROM visit"), visits);
        if record_presence {
            assert_eq!(assert_sound(&path, "lobby").counts.visits, 3);
        }
    }
}

#[tokio::test]
async fn a_page_ends_by_bytes_and_goes_on_from_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(folder.path().join("log.db"), KEEP_ALL);
    settings.page_bytes_max = 10_000;
    let engine = SqliteEngine::open(settings, clock(), &Metrics::new()).expect("a new file");
    let text = "x".repeat(3000);
    for seq in 1..=10 {
        say(&engine, "lobby", 1, seq, &text).await;
    }
    let page = all(&engine, "lobby").await;
    assert_eq!(page.entries.len(), 3);
    let last = page.entries[2].at;
    let next = engine
        .read(&room("lobby"), &Cursor::at(Some(last)), 1000)
        .await
        .expect("read");
    assert_eq!(next.entries[0].at.offset, 4);
    let newest = engine
        .before(&room("lobby"), None, 1000)
        .await
        .expect("read");
    let offsets: Vec<u64> = newest.entries.iter().map(|entry| entry.at.offset).collect();
    assert_eq!(offsets, [8, 9, 10], "the newest, ascending");
}

#[tokio::test]
async fn a_writer_that_breaks_acknowledges_nothing_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("log.db");
    let broken = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&broken);
    let clock = Clock::told_by(move || {
        assert!(!asked.load(Ordering::Relaxed), "the clock is broken");
        1_800_000_000_000
    });
    let engine = open(&path, KEEP_ALL, &clock);
    say(&engine, "lobby", 1, 1, "whole").await;
    let mut health = engine.health();
    broken.store(true, Ordering::Relaxed);
    let by = user(1);
    let answer = engine
        .append(&room("lobby"), message(1, 2, &by, "broken"))
        .await;
    assert!(answer.is_err(), "{answer:?}");
    let failed = health.wait_for(|health| *health == Health::Failed);
    let failed = tokio::time::timeout(Duration::from_secs(10), failed).await;
    assert!(failed.is_ok(), "the node goes on as if nothing were wrong");
}

#[tokio::test]
async fn appends_beyond_the_bounds_of_the_queue_wait_and_are_placed() {
    for (entries, bytes) in [(1, 1 << 20), (4096, 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut settings = settings(folder.path().join("log.db"), KEEP_ALL);
        (settings.append_entries_max, settings.append_bytes_max) = (entries, bytes);
        let engine = SqliteEngine::open(settings, clock(), &Metrics::new()).expect("a new file");
        let saying = (1..=50).map(|n| say(&engine, "lobby", n, 1, "more than a byte"));
        let all = futures_util::future::join_all(saying);
        let all = tokio::time::timeout(Duration::from_secs(20), all).await;
        assert_eq!(all.expect("none waits for ever").len(), 50);
    }
}
