//! P6 for many at once: who comes back after a stop gets all that was missed, and the log is not asked by each of them.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{
    PLENTY, sessions,
    support::{client::Client, program::Site},
};

const CLIENTS: usize = 200;
const ENTRIES: u64 = 1000;

/// The offsets of the messages among some frames.
fn offsets(frames: &[Value]) -> Vec<u64> {
    let messages = frames.iter().filter(|frame| frame["type"] == "message");
    messages
        .filter_map(|frame| frame["offset"].as_u64())
        .collect()
}

/// Resumes from the beginning, and whether all came, in order.
async fn resume(client: &mut Client, epoch: &Value) -> bool {
    client
        .send(json!({ "type": "join", "id": "j", "room": "busy", "since": [[1, epoch]] }))
        .await;
    let joined = client.expect("joined").await;
    let mut had = offsets(joined["messages"].as_array().expect("a list"));
    while had.last().is_none_or(|last| *last < ENTRIES) {
        had.extend(offsets(&[client.hear().await]));
    }
    had.into_iter().eq(2..=ENTRIES)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_resume_a_thousand_entries_each_and_the_log_is_read_a_few_times() {
    let site = Site::new();
    let more = "messages_burst = 5000\nmessages_per_user_burst = 5000\nmessages_per_room_burst = 5000\nframes_burst = 5000\n";
    let node = site.serve(&format!("{PLENTY}{more}")).await;
    let mut writer = sessions(&site, &node.door, 0..1).await.pop().expect("one");
    writer.join("busy").await;
    let mut epoch = Value::Null;
    for n in 1..=ENTRIES {
        epoch = writer.say("busy", &format!("entry {n}")).await["epoch"].clone();
    }
    let mut clients = sessions(&site, &node.door, 1..1 + CLIENTS).await;
    let reads = async || {
        let metrics = node.door.admin_get("/metrics").await;
        let text = String::from_utf8(metrics.body).expect("UTF-8");
        let lines = text
            .lines()
            .filter(|line| line.starts_with("wardroom_log_read_seconds_count"));
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>()
    };
    let (before, memory) = (reads().await, node.process.told("status", "VmHWM"));
    let resuming = join_all(clients.iter_mut().map(|client| resume(client, &epoch)));
    let whole = tokio::time::timeout(Duration::from_mins(3), resuming).await;
    let whole = whole.expect("X10: all of it comes");
    assert!(whole.iter().all(|all| *all), "X10: everything, in order");
    let (asked, grown) = (
        reads().await - before,
        node.process.told("status", "VmHWM") - memory,
    );
    assert!(asked < 100.0, "X10: {asked} reads of the log");
    assert!(grown < 400 << 10, "X10: {grown} KiB more");
}
