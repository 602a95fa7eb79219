//! P6 on one machine: an ack survives a kill, a full disk refuses and reads on, a failed flush acknowledges nothing, and a file that
//! was set back is told to everybody who saw more.

use std::{collections::HashMap, path::Path, process::Command, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    client::Client,
    eventually,
    gateway::TestGateway,
    program::{Node, Process, Site, door, program},
};

const ROOM: &str = "lobby";
/// Limits that a few busy talkers do not meet.
const BUSY: &str = "[limits]\nmessages_per_s = 1000\nmessages_burst = 10000\nmessages_per_user_per_s = 1000\nmessages_per_user_burst = 10000\n\
     messages_per_room_per_s = 100000\nmessages_per_room_burst = 100000\nframes_per_s = 10000\nframes_burst = 100000\n\
     bytes_in_per_s = 104857600\nbytes_in_burst = 104857600\nhistory_per_s = 100\nhistory_burst = 1000\n";
/// Messages of one talker that wait for their ack.
const IN_FLIGHT: usize = 16;

/// A client library in small: numbers its messages, repeats what was not acknowledged, follows with a cursor.
#[derive(Default)]
struct Talker {
    name: String,
    resume: Option<String>,
    /// Positions, newest first.
    cursor: Vec<(u64, String)>,
    seq: u64,
    /// Sent and not acknowledged: number and text.
    unknown: Vec<(u64, String)>,
    /// Acknowledged: text to offset.
    acked: HashMap<String, u64>,
    repeated: u64,
    duplicates: u64,
    /// What it was shown, in order.
    seen: Vec<(u64, String)>,
}

impl Talker {
    fn new(number: usize) -> Self {
        Self {
            name: format!("Talker{number}"),
            ..Self::default()
        }
    }

    /// Comes back to a node, takes what it missed and repeats what it does not know of.
    async fn come(&mut self, site: &Site, node: &Node) -> Client {
        let mut query = format!("nick={}", self.name);
        if let Some(resume) = &self.resume {
            query.push_str(&format!("&resume={resume}"));
        }
        let token = site.provider.token(&self.name);
        let mut client = node.door.client().bearer(&token).query(&query).open().await;
        self.resume = client.welcome["resume"].as_str().map(str::to_owned);
        let joined = client
            .join_with(json!({ "room": ROOM, "since": self.cursor }))
            .await;
        assert_eq!(joined["recovered"], !self.cursor.is_empty(), "{joined}");
        for frame in joined["messages"].as_array().expect("frames") {
            self.take(frame);
        }
        let first = self.cursor.is_empty();
        if first && joined["head"][0] != 0 {
            let head = &joined["head"];
            self.cursor = vec![(head[0].as_u64().expect("an offset"), word(&head[1]))];
        }
        let repeats = self.unknown.clone();
        for (seq, text) in &repeats {
            self.repeated += 1;
            client.send(send(*seq, text)).await;
        }
        client
    }

    /// Talks until the node is gone.
    async fn talk(mut self, mut client: Client) -> Self {
        loop {
            while self.unknown.len() < IN_FLIGHT {
                self.seq += 1;
                let text = format!("{} says {}", self.name, self.seq);
                self.unknown.push((self.seq, text.clone()));
                let frame = send(self.seq, &text).to_string();
                if client.ws.send(Message::text(frame)).await.is_err() {
                    return self;
                }
            }
            match client.ws.next().await {
                Some(Ok(Message::Text(text))) => {
                    self.take(&serde_json::from_str(text.as_str()).expect("JSON"));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return self,
            }
        }
    }

    /// Follows the stream: no hole, no double, no message of a kind that a kill cannot cause.
    fn take(&mut self, frame: &Value) {
        match frame["type"].as_str().expect("a type") {
            "message" => {
                let offset = frame["offset"].as_u64().expect("an offset");
                match self.cursor.first_mut() {
                    Some((last, _)) => {
                        assert_eq!(offset, *last + 1, "{}: a hole or a double", self.name);
                        *last = offset;
                    }
                    None => panic!("{}: an entry before its epoch: {frame}", self.name),
                }
                self.seen.push((offset, word(&frame["text"])));
            }
            "epoch" => {
                let from = frame["from"].as_u64().expect("an offset");
                self.cursor.insert(0, (from - 1, word(&frame["epoch"])));
                self.cursor.truncate(4);
            }
            "ack" => {
                let seq: u64 = word(&frame["id"]).parse().expect("the number");
                let (_, text) = self
                    .unknown
                    .iter()
                    .find(|(one, _)| *one == seq)
                    .expect("sent")
                    .clone();
                self.unknown.retain(|(one, _)| *one != seq);
                assert_eq!(frame["durability"], "disk");
                self.duplicates += u64::from(frame["duplicate"] == true);
                // A duplicate of a message that is older than the last has no position: the log has it all the same.
                self.acked
                    .insert(text, frame["offset"].as_u64().unwrap_or(0));
            }
            "presence" | "pong" => {}
            other => panic!("{}: {other}: {frame}", self.name),
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn send(seq: u64, text: &str) -> Value {
    json!({ "type": "send", "id": seq.to_string(), "room": ROOM, "text": text, "chain": 0, "seq": seq, "prev": seq - 1 })
}

/// The whole log of the room, from its first entry.
async fn whole(site: &Site, node: &Node) -> Vec<(u64, String)> {
    let token = site.provider.token("Reader");
    let mut entries = Vec::new();
    loop {
        let after = entries.last().map_or(0, |(offset, _)| *offset);
        let path = format!("/api/v1/rooms/{ROOM}/messages?after={after}&limit=100");
        let page = node.door.api("GET", &path, &token, None).await.json();
        let before = entries.len();
        for frame in page["messages"].as_array().expect("frames") {
            if frame["type"] == "message" {
                entries.push((
                    frame["offset"].as_u64().expect("an offset"),
                    word(&frame["text"]),
                ));
            }
        }
        if entries.len() == before {
            return entries;
        }
    }
}

/// Rounds of the kill test: in the suite, and on demand.
fn rounds() -> u32 {
    std::env::var_os("WARDROOM_KILL_ROUNDS")
        .and_then(|raw| raw.to_str()?.parse().ok())
        .unwrap_or(50)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_at_any_moment_exactly_once() {
    let site = Site::new();
    let mut talkers: Vec<Talker> = (0..6).map(Talker::new).collect();
    for round in 0..rounds() {
        let mut node = site.serve(BUSY).await;
        let mut talking = Vec::new();
        for mut talker in talkers.drain(..) {
            let client = talker.come(&site, &node).await;
            talking.push(tokio::spawn(talker.talk(client)));
        }
        // A moment that differs from round to round: early, in the middle of a batch, late.
        let moment = Instant::now() + Duration::from_millis(u64::from(round * 37 % 220));
        tokio::time::sleep_until(moment).await;
        node.process.signal("KILL");
        node.process.ended().await;
        for talker in talking {
            talkers.push(talker.await.expect("no invariant was broken"));
        }
    }
    let node = site.serve(BUSY).await;
    for talker in &mut talkers {
        let mut client = talker.come(&site, &node).await;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !talker.unknown.is_empty() {
            let frame = timeout_at(deadline, client.next())
                .await
                .expect("every message settles");
            talker.take(&frame);
        }
    }
    let log = whole(&site, &node).await;
    for (place, (offset, text)) in (1..).zip(&log) {
        assert_eq!(*offset, place, "offsets are dense: {text}");
    }
    let places: HashMap<&str, u64> = log
        .iter()
        .map(|(offset, text)| (text.as_str(), *offset))
        .collect();
    assert_eq!(places.len(), log.len(), "no message is there twice");
    let (mut acked, mut repeated, mut duplicates) = (0, 0, 0);
    for talker in &talkers {
        for (text, offset) in &talker.acked {
            let place = places.get(text.as_str());
            assert!(place.is_some(), "{text} was acknowledged and is lost");
            assert!(*offset == 0 || place == Some(offset), "{text} is elsewhere");
        }
        assert_eq!(
            talker.acked.len() as u64,
            talker.seq,
            "every message of {} settled",
            talker.name
        );
        for (offset, text) in &talker.seen {
            assert_eq!(
                places.get(text.as_str()),
                Some(offset),
                "{} was shown another log",
                talker.name
            );
        }
        acked += talker.acked.len();
        repeated += talker.repeated;
        duplicates += talker.duplicates;
    }
    let export = site.run(
        &["export", "--config", "wardroom.toml", "--room", ROOM],
        &[],
    );
    assert_eq!(
        export.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&export.stderr)
    );
    std::fs::write(site.path("record.jsonl"), export.stdout).expect("written");
    let verified = site.run(&["verify", "record.jsonl"], &[]);
    assert_eq!(
        verified.status.code(),
        Some(0),
        "the chain verifies: {verified:?}"
    );
    println!(
        "kill -9: {} rounds, {acked} messages acknowledged and found once, {repeated} repeats, {duplicates} of them were there already",
        rounds()
    );
    assert!(
        acked > 500 && repeated > 0,
        "the test has to have met something: {acked} {repeated}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_room_refuses_messages_and_goes_on_reading() {
    let gateway = TestGateway::with(|config| {
        config.log.size_bytes_max = 400 * 1024;
        config.limits.messages_burst = 10_000.try_into().expect("not 0");
        config.limits.messages_per_user_burst = 10_000.try_into().expect("not 0");
        config.limits.messages_per_room_burst = 10_000.try_into().expect("not 0");
        config.limits.frames_burst = 100_000.try_into().expect("not 0");
        config.limits.bytes_in_burst = 50_000_000.try_into().expect("not 0");
    })
    .await;
    let mut alice = gateway.member("Alice").await;
    alice.join(ROOM).await;
    let text = "x".repeat(2000);
    let (mut placed, mut told) = (0, Vec::new());
    let refused = loop {
        assert!(placed < 1000, "the file is bounded");
        alice
            .send(json!({ "type": "send", "id": "s", "room": ROOM, "text": text }))
            .await;
        let answer = loop {
            let frame = alice.next().await;
            // It may be told before the answer is.
            told.extend((frame["type"] == "status").then(|| frame["log"].clone()));
            if frame["type"] == "ack" || frame["type"] == "error" {
                break frame;
            }
        };
        if answer["type"] == "error" {
            break answer;
        }
        placed += 1;
    };
    assert_eq!(refused["code"], "unavailable");
    assert_eq!(refused["outcome"], "no", "it is definitely not in the log");
    assert!(refused["retry_after_ms"].as_u64().expect("a hint") > 0);
    assert!(placed > 20);
    if told.is_empty() {
        told.push(alice.expect("status").await["log"].clone());
    }
    assert_eq!(told, ["degraded"], "everybody is told");
    let page = alice_history(&mut alice).await;
    assert!(!page.is_empty(), "reading goes on");
    assert_eq!(
        gateway.metric("wardroom_log_writable{engine=\"sqlite\"}"),
        0.0
    );
    assert_eq!(
        gateway.admin_get("/readyz").await.status,
        503,
        "whoever asks is told"
    );
    // Nobody was closed, and whoever comes now is let in and reads.
    let mut bob = gateway.member("Bob").await;
    bob.join(ROOM).await;
    assert!(!alice_history(&mut bob).await.is_empty());
}

async fn alice_history(client: &mut Client) -> Vec<Value> {
    client
        .send(json!({ "type": "history", "id": "h", "room": ROOM, "limit": 5 }))
        .await;
    let page = client.expect("history").await;
    page["messages"].as_array().expect("frames").clone()
}

/// Fails every flush from the one on that a file asks for.
const FAILING_FLUSH: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int fails(void) { const char *f = getenv("FAIL_WHEN"); return f && access(f, F_OK) == 0; }
int fsync(int fd) { if (fails()) { errno = EIO; return -1; } return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd); }
int fdatasync(int fd) { if (fails()) { errno = EIO; return -1; } return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd); }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flush_acknowledges_nothing_and_ends_with_70() {
    let site = Site::new();
    site.write("failing.c", FAILING_FLUSH);
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "failing.so", "failing.c", "-ldl"])
        .current_dir(site.folder.path())
        .status()
        .expect("a C compiler, as the build needs one too");
    assert!(compiled.success());
    site.write("wardroom.toml", &site.configuration(BUSY));
    let library = site.path("failing.so").display().to_string();
    let switch = site.path("fail-now").display().to_string();
    let variables = [
        ("LD_PRELOAD", library.as_str()),
        ("FAIL_WHEN", switch.as_str()),
    ];
    let mut command = program(
        site.folder.path(),
        &["serve", "--config", "wardroom.toml"],
        &variables,
    );
    let mut process = Process::start(&mut command);
    let (public, admin) = process.addresses().await;
    let way = door(public, admin, &site.path("certs/ca.crt"));
    let token = site.provider.token("Alice");
    let mut alice = way.client().bearer(&token).query("nick=Alice").open().await;
    alice.join(ROOM).await;
    alice.say(ROOM, "flushed").await;
    site.write("fail-now", "");
    alice
        .send(json!({ "type": "send", "id": "late", "room": ROOM, "text": "not flushed" }))
        .await;
    assert_eq!(process.ended().await, Some(70), "{}", process.written());
    while let Some(Ok(message)) = alice.ws.next().await {
        if let Message::Text(text) = message {
            let frame: Value = serde_json::from_str(text.as_str()).expect("JSON");
            assert_ne!(
                frame["type"], "ack",
                "acknowledged without a flush: {frame}"
            );
            assert_ne!(frame["text"], "not flushed", "delivered without a flush");
        }
    }
    std::fs::remove_file(site.path("fail-now")).expect("removed");
    let node = site.serve(BUSY).await;
    let log = whole(&site, &node).await;
    assert_eq!(
        log.first().map(|(_, text)| text.as_str()),
        Some("flushed"),
        "{log:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_forgets_nothing_and_is_no_loss_to_whoever_comes_back() {
    let site = Site::new();
    let mut alice = Talker::new(1);
    let mut node = site.serve(BUSY).await;
    let mut client = alice.come(&site, &node).await;
    let epoch = client.say(ROOM, "before").await["epoch"].clone();
    node.process.signal("TERM");
    assert_eq!(node.process.ended().await, Some(0));
    let node = site.serve(BUSY).await;
    let mut client = node
        .door
        .client()
        .bearer(&site.provider.token("Bob"))
        .query("nick=Bob")
        .open()
        .await;
    let joined = client
        .join_with(json!({ "room": ROOM, "since": [[0, ""]], "history": 10 }))
        .await;
    assert_eq!(
        joined["head"],
        json!([1, epoch]),
        "the head is where it was"
    );
    let after = client.say(ROOM, "after").await;
    assert_eq!(after["offset"], 2);
    assert_ne!(after["epoch"], epoch, "each run is an epoch of its own");
    assert_eq!(whole(&site, &node).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_older_copy_is_a_fork_to_whoever_saw_more() {
    let site = Site::new();
    let say = async |node: &Node, text: &str| {
        let mut client = node
            .door
            .client()
            .bearer(&site.provider.token("Alice"))
            .query("nick=Alice")
            .open()
            .await;
        client.join(ROOM).await;
        let ack = client.say(ROOM, text).await;
        (
            ack["offset"].as_u64().expect("an offset"),
            word(&ack["epoch"]),
        )
    };
    let stopped = async |mut node: Node| {
        node.process.signal("TERM");
        node.process.ended().await;
    };
    let node = site.serve(BUSY).await;
    let kept = say(&node, "in the copy").await;
    stopped(node).await;
    let file = site.path("data/wardroom.db");
    std::fs::copy(&file, site.path("backup.db")).expect("copied");

    let node = site.serve(BUSY).await;
    let lost = say(&node, "after the copy").await;
    stopped(node).await;
    for beside in ["data/wardroom.db-wal", "data/wardroom.db-shm"] {
        std::fs::remove_file(site.path(beside)).ok();
    }
    std::fs::copy(site.path("backup.db"), &file).expect("restored");

    let node = site.serve(BUSY).await;
    say(&node, "another history").await;
    let mut bob = node
        .door
        .client()
        .bearer(&site.provider.token("Bob"))
        .query("nick=Bob")
        .open()
        .await;
    let joined = bob
        .join_with(json!({ "room": ROOM, "since": [lost, kept.clone()] }))
        .await;
    assert_eq!(joined["recovered"], false);
    let frames = joined["messages"].as_array().expect("frames");
    assert_eq!(frames[0]["type"], "fork", "{joined}");
    assert_eq!(
        frames[0]["keep"],
        json!([kept.0, kept.1]),
        "at the exact entry"
    );
    assert!(
        frames
            .iter()
            .any(|frame| frame["text"] == "another history"),
        "{joined}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_node_on_the_same_file_is_refused() {
    let site = Site::new();
    let _node = site.serve("").await;
    let mut second = Process::start(&mut program(
        site.folder.path(),
        &["serve", "--config", "wardroom.toml"],
        &[],
    ));
    assert_eq!(second.ended().await, Some(1));
    said(&second, "is in use by another process").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_later_version_or_of_somebody_else_is_left_alone() {
    let site = Site::new();
    drop(site.serve("").await);
    let file = site.path("data/wardroom.db");
    let set = |pragma: &str, value: i64| {
        let connection = rusqlite::Connection::open(&file).expect("a database");
        connection.pragma_update(None, pragma, value).expect("set");
    };
    let refused = async |why: &str| {
        let before = bytes(&file);
        let mut process = Process::start(&mut program(
            site.folder.path(),
            &["serve", "--config", "wardroom.toml"],
            &[],
        ));
        assert_eq!(process.ended().await, Some(78));
        said(&process, why).await;
        let checked = site.run(&["check", "--config", "wardroom.toml"], &[]);
        assert_eq!(
            checked.status.code(),
            Some(78),
            "check says it before: {checked:?}"
        );
        let told = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(told.contains("log.path") && told.contains(why), "{told}");
        assert_eq!(bytes(&file), before, "nothing was written");
    };
    set("user_version", 999);
    refused("it was written by a later version").await;
    set("user_version", 1);
    set("application_id", 7);
    refused("is not a log of wardroom").await;
}

/// What the process wrote reaches us a moment after its end.
async fn said(process: &Process, what: &str) {
    eventually("it is said", async || {
        let written = process.written();
        written.contains(what).then_some(()).ok_or(written)
    })
    .await;
}

fn bytes(file: &Path) -> Vec<u8> {
    std::fs::read(file).expect("a file")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_ends_with_70_and_says_how_to_recover() {
    let site = Site::new();
    let mut node = site.serve(BUSY).await;
    let mut alice = Talker::new(1);
    let client = alice.come(&site, &node).await;
    let talking = tokio::spawn(alice.talk(client));
    eventually("some messages are there", async || {
        let entries = whole(&site, &node).await.len();
        (entries > 200)
            .then_some(())
            .ok_or(format!("{entries} entries"))
    })
    .await;
    node.process.signal("KILL");
    node.process.ended().await;
    talking.await.expect("it talked");
    // Everything into the file, then a page in its middle overwritten.
    let file = site.path("data/wardroom.db");
    let connection = rusqlite::Connection::open(&file).expect("a database");
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("folded in");
    drop(connection);
    let mut content = bytes(&file);
    let middle = content.len() / 2 / 4096 * 4096;
    content[middle..middle + 4096].fill(0xa5);
    std::fs::write(&file, content).expect("written");
    let mut process = Process::start(&mut program(
        site.folder.path(),
        &["serve", "--config", "wardroom.toml"],
        &[],
    ));
    assert_eq!(process.ended().await, Some(70), "{}", process.written());
    said(&process, ".recover").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_person_s_words_are_gone_for_whoever_reads_from_then_on() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway.member("Bob").await;
    for client in [&mut alice, &mut bob] {
        client.join(ROOM).await;
    }
    alice.say(ROOM, "forget this").await;
    bob.say(ROOM, "keep this").await;
    let user = word(&alice.welcome["user"]["id"]);
    let path = format!("/api/v1/users/{user}/messages");
    let refused = gateway
        .api("DELETE", &path, &gateway.provider.token("Bob"), None)
        .await;
    assert_eq!(refused.refusal(), (403, "forbidden".to_owned()));
    let admin = gateway
        .provider
        .token_with("Root", &json!({ "scope": "chat:admin" }));
    let done = gateway.api("DELETE", &path, &admin, None).await;
    assert_eq!(done.status, 200);
    assert_eq!(
        done.json(),
        json!({ "messages": 1, "rooms": [ROOM], "held": [] })
    );
    let mut carol = gateway.member("Carol").await;
    let joined = carol
        .join_with(json!({ "room": ROOM, "history": 10 }))
        .await;
    let said: Vec<(&Value, &Value)> = joined["messages"]
        .as_array()
        .expect("frames")
        .iter()
        .filter(|frame| frame["type"] == "message")
        .map(|frame| (&frame["text"], &frame["deleted"]))
        .collect();
    assert_eq!(
        said,
        [
            (&Value::Null, &json!(true)),
            (&json!("keep this"), &Value::Null)
        ]
    );
    let again = gateway.api("DELETE", &path, &admin, None).await;
    assert_eq!(again.json()["messages"], 0);
}
