//! The record: while people talk, what is written out of the running gateway's database is whole, verifies, and has everything that
//! was acknowledged before; a copy is as good as the database.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde_json::{Value, json};

use crate::support::program::Site;

const ROOM: &str = "lobby";
const BUSY: &str = "[limits]\nmessages_per_s = 1000\nmessages_burst = 10000\nmessages_per_user_per_s = 1000\nmessages_per_user_burst = 10000\n\
     messages_per_room_per_s = 100000\nmessages_per_room_burst = 100000\nframes_per_s = 10000\nframes_burst = 100000\n";

/// Runs a command that must succeed; what it printed.
fn done(site: &Site, arguments: &[&str]) -> String {
    let output = site.run(arguments, &[]);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Exports the room from a database, verifies the file, and gives its lines.
fn exported(site: &Site, source: &[&str]) -> Vec<Value> {
    let arguments = [&["export", "--room", ROOM], source].concat();
    let file = done(site, &arguments);
    site.write("record.jsonl", &file);
    done(site, &["verify", "record.jsonl"]);
    file.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn last(lines: &[Value]) -> u64 {
    let head = &lines.last().expect("a trailer")["head"];
    head[0].as_u64().expect("an offset")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_and_a_copy_made_while_people_talk_are_whole() {
    let site = Site::new();
    let mut node = site.serve(BUSY).await;
    let token = site.provider.token("alice");
    let mut alice = node
        .door
        .client()
        .bearer(&token)
        .query("nick=Alice")
        .open()
        .await;
    alice.join(ROOM).await;
    alice.say(ROOM, "first").await;
    let (acked, over) = (
        Arc::new(AtomicU64::new(1)),
        Arc::new(AtomicBool::new(false)),
    );
    let talking = tokio::spawn({
        let (acked, over) = (Arc::clone(&acked), Arc::clone(&over));
        async move {
            while !over.load(Ordering::Relaxed) {
                let text = format!("after {}\nand \u{202e}more", acked.load(Ordering::Relaxed));
                let ack = alice.say(ROOM, &text).await;
                acked.store(
                    ack["offset"].as_u64().expect("an offset"),
                    Ordering::Relaxed,
                );
            }
            alice
        }
    });
    let live = ["--config", "wardroom.toml"];
    for round in 0..5 {
        let before = acked.load(Ordering::Relaxed);
        assert!(last(&exported(&site, &live)) >= before, "round {round}");
        let before = acked.load(Ordering::Relaxed);
        done(&site, &["backup", "copy.db", "--force", live[0], live[1]]);
        assert!(
            last(&exported(&site, &["--database", "copy.db"])) >= before,
            "round {round}"
        );
    }
    over.store(true, Ordering::Relaxed);
    let alice = talking.await.expect("every message was acknowledged");
    let user = alice.welcome["user"]["id"].clone();
    alice.close().await;
    node.process.signal("TERM");
    assert_eq!(node.process.ended().await, Some(0));
    let lines = exported(&site, &live);
    assert_eq!(last(&lines), acked.load(Ordering::Relaxed));
    let (came, first) = (&lines[1], &lines[2]);
    assert_eq!(
        [&came["visit"], &came["nick"], &came["user"]],
        [&json!("came"), &json!("Alice"), &user]
    );
    assert_eq!(
        [&first["text"], &first["nick"], &first["user"]],
        [&json!("first"), &json!("Alice"), &user]
    );
    assert_eq!(lines[3]["text"], "after 1\nand more");
}
