//! P10 for many: a stop loses nothing and storms nobody.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    PLENTY, room_of, sessions,
    support::{eventually, program::Site},
};

const SESSIONS: usize = 1000;
const SPREAD: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_sessions_are_closed_one_after_the_other_and_every_send_has_its_answer() {
    let site = Site::new();
    let mut node = site
        .serve(&format!(
            "{PLENTY}[drain]\ndelay_s = 0\nspread_s = {}\n",
            SPREAD.as_secs()
        ))
        .await;
    let mut people = sessions(&site, &node.door, 0..SESSIONS).await;
    for (n, person) in people.iter_mut().enumerate() {
        let text = format!("last words of {n}");
        person
            .send(json!({ "type": "send", "id": "last", "room": room_of(n), "text": text }))
            .await;
    }
    eventually("all of it was read", async || {
        let metrics = node.door.admin_get("/metrics").await;
        let text = String::from_utf8(metrics.body).expect("UTF-8");
        let read = format!("wardroom_frames_received_total{{type=\"send\"}} {SESSIONS}");
        if text.lines().any(|line| line == read) {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    node.process.signal("TERM");
    let closes = join_all(people.iter_mut().map(async |person| {
        let close = person.closed().await;
        (close, Instant::now())
    }))
    .await;
    let (mut times, mut hints) = (Vec::new(), Vec::new());
    for (person, (close, at)) in people.iter_mut().zip(closes) {
        assert_eq!(close, Some((1012, "restart".to_owned())), "O10");
        let before = person.skipped();
        let answers = before
            .iter()
            .filter(|frame| frame["id"] == "last")
            .collect::<Vec<_>>();
        assert_eq!(answers.len(), 1, "O10: {before:?}");
        assert_eq!(answers[0]["type"], "ack", "O10");
        let closing = before.last().expect("a closing frame");
        assert_eq!(closing["code"], "restart", "O10");
        hints.push(closing["retry_after_ms"].as_u64().expect("a hint"));
        times.push(at);
    }
    times.sort();
    hints.sort_unstable();
    let (first, last) = (times[0], times[SESSIONS - 1]);
    assert!(
        last - first >= SPREAD / 2,
        "O10: all within {:?}",
        last - first
    );
    let mut halves = times.windows(SESSIONS / 2);
    assert!(
        halves.all(|half| half[half.len() - 1] - half[0] >= SPREAD / 10),
        "O10: half of them came at once"
    );
    for part in 1..10 {
        let hint = Duration::from_millis(hints[SESSIONS * part / 10]);
        let even = SPREAD * u32::try_from(part).expect("few") / 10;
        assert!(
            hint.abs_diff(even) < SPREAD / 5,
            "O10: hints are spread evenly: {hint:?}"
        );
    }
    assert_eq!(node.process.ended().await, Some(0), "O10");
    let written = node.process.written();
    assert!(written.contains("every session was told"), "{written}");

    let node = site.serve(PLENTY).await;
    let mut kept = 0;
    for room in 0..20 {
        // Pages have a rate for each person.
        let token = site.provider.token(&format!("reader{room}"));
        let path = format!("/api/v1/rooms/{}/messages?limit=100", room_of(room));
        let page = node.door.api("GET", &path, &token, None).await.json();
        let texts = page["messages"].as_array().expect("a list");
        kept += texts.iter().filter(|one| one["type"] == "message").count();
    }
    assert_eq!(kept, SESSIONS, "O10: what was acknowledged is there");
}
