//! P7: a member that does not read costs its outbox, is closed when it takes nothing for too long, and misses nothing when it
//! comes back. Nobody else waits for it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use wardroom::config::Config;

use crate::support::{client::Client, eventually, gateway::TestGateway, liar::Liar, within};

/// Small outboxes, and messages so large that the kernel's buffers fill soon.
fn narrow(config: &mut Config) {
    let plenty = 1_000_000.try_into().expect("not 0");
    config.content.text_bytes_max = TEXT_BYTES;
    config.content.text_graphemes_max = TEXT_BYTES;
    let limits = &mut config.limits;
    limits.ws_frame_bytes_max = 131_072;
    limits.ws_message_bytes_max = 131_072;
    for rate in [
        &mut limits.bytes_in_burst,
        &mut limits.bytes_in_per_s,
        &mut limits.frames_burst,
        &mut limits.messages_burst,
        &mut limits.messages_per_user_burst,
        &mut limits.messages_per_room_burst,
    ] {
        *rate = plenty;
    }
    limits.bytes_in_burst = 100_000_000.try_into().expect("not 0");
    limits.outbox_messages_max = 8;
    limits.outbox_bytes_max = 65_536;
}

const TEXT_BYTES: usize = 16_384;

/// A message's text: its number and a filler.
fn text(n: usize) -> String {
    format!("{n} {}", "x".repeat(TEXT_BYTES - 16))
}

fn number(message: &Value) -> usize {
    let text = message["text"].as_str().expect("a text");
    let number = text.split(' ').next().expect("a number");
    number.parse().expect("a number")
}

/// Says the numbers one after the other; a quick member hears each before the next is said. How long the slowest took.
async fn talk(alice: &mut Client, quick: &mut Client, numbers: std::ops::Range<usize>) -> Duration {
    let mut slowest = Duration::ZERO;
    for n in numbers {
        let began = Instant::now();
        alice.say("lobby", &text(n)).await;
        assert_eq!(number(&alice.hear().await), n);
        assert_eq!(number(&quick.hear().await), n);
        slowest = slowest.max(began.elapsed());
    }
    slowest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_member_delays_nobody_is_closed_and_resumes_without_loss() {
    const STALL: Duration = Duration::from_millis(1500);
    let gateway = TestGateway::with(|config| {
        narrow(config);
        config.limits.outbox_stall_max = STALL;
    })
    .await;
    let mut alice = gateway.member("Alice").await;
    let mut quick = gateway.member("Quick").await;
    alice.join("lobby").await;
    quick.join("lobby").await;
    let mut stalled = Liar::enter_with(&gateway, "Stalled", "&room=lobby").await;
    stalled.expect("joined").await;
    let mut said = 0;
    let closed = "wardroom_sessions_closed_total{code=\"4520\",by=\"server\"}";
    // It reads nothing from here on. The room talks on until it is closed, and never waits.
    within("the stalled member is closed", async {
        while gateway.metric(closed) < 1.0 {
            let slowest = talk(&mut alice, &mut quick, said..said + 10).await;
            assert!(
                slowest < Duration::from_secs(1),
                "somebody waited {slowest:?}"
            );
            said += 10;
            // Once it lags more of the same proves nothing: a fast machine would say thousands until the time is over.
            if gateway.metric("wardroom_slow_consumers") >= 1.0 {
                tokio::time::sleep_until(Instant::now() + STALL / 30).await;
            }
            assert!(
                gateway.metric("wardroom_outbox_bytes") < 4.0 * 65_536.0,
                "F26: nothing is queued past the outbox"
            );
            assert!(said < 2_000, "4520 did not come");
        }
    })
    .await;
    // What was written still arrives, in order and without holes, and then the reason.
    let (mut had, end) = stalled.closed_after().await;
    assert_eq!(end, Some((4520, "slow_consumer".to_owned())), "F26");
    assert_eq!(had.pop().expect("a frame")["type"], "closing");
    had.retain(|frame| frame["type"] == "message");
    assert!(had.iter().map(number).eq(0..had.len()), "F26: in order");
    let last = had.last().expect("some arrived");
    let epoch = alice.say("lobby", &text(said)).await["epoch"].clone();
    let mut back = gateway.member("Stalled").await;
    let joined = back
        .join_with(json!({ "room": "lobby", "since": [[last["offset"], epoch]] }))
        .await;
    let missed = joined["messages"].as_array().expect("a list").clone();
    let mut next = had.len();
    for message in missed.iter().filter(|frame| frame["type"] == "message") {
        assert_eq!(number(message), next, "F26: resume gets all");
        next += 1;
    }
    while next <= said {
        assert_eq!(number(&back.hear().await), next, "F26: resume gets all");
        next += 1;
    }
    eventually("nothing is held", async || {
        match gateway.metric("wardroom_slow_consumers") + gateway.metric("wardroom_outbox_bytes") {
            0.0 => Ok(()),
            held => Err(format!("{held}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_member_that_reads_lags_and_catches_up_without_loss() {
    let gateway = TestGateway::with(narrow).await;
    let mut alice = gateway.member("Alice").await;
    let mut quick = gateway.member("Quick").await;
    let mut slow = gateway.member("Slow").await;
    for client in [&mut alice, &mut quick, &mut slow] {
        client.join("lobby").await;
    }
    let mut said = 0;
    within("the slow one lags", async {
        while gateway.metric("wardroom_slow_consumers") < 1.0 {
            talk(&mut alice, &mut quick, said..said + 10).await;
            said += 10;
        }
    })
    .await;
    talk(&mut alice, &mut quick, said..said + 50).await;
    said += 50;
    // It reads a little, the room goes on, it reads the rest: always the next one.
    for n in 0..100 {
        assert_eq!(number(&slow.hear().await), n);
    }
    talk(&mut alice, &mut quick, said..said + 20).await;
    said += 20;
    for n in 100..said {
        assert_eq!(number(&slow.hear().await), n);
    }
    eventually("it lags no more", async || {
        match gateway.metric("wardroom_slow_consumers") {
            0.0 => Ok(()),
            lag => Err(format!("{lag} lag")),
        }
    })
    .await;
    talk(&mut alice, &mut quick, said..said + 1).await;
    assert_eq!(number(&slow.hear().await), said, "and hears live again");
    assert_eq!(
        gateway.metric("wardroom_sessions_closed_total{code=\"4520\",by=\"server\"}"),
        0.0,
        "slow is not stalled"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stalled_members_hold_no_more_than_the_node_allows() {
    const TOTAL: usize = 400_000;
    let gateway = TestGateway::with(|config| {
        narrow(config);
        config.limits.outbox_bytes_total_max = TOTAL;
        config.limits.ws_close = Duration::from_millis(500);
    })
    .await;
    let mut alice = gateway.member("Alice").await;
    let mut quick = gateway.member("Quick").await;
    alice.join("lobby").await;
    quick.join("lobby").await;
    let mut stalled = Vec::new();
    for n in 0..12 {
        let mut liar = Liar::enter_with(&gateway, &format!("S{n}"), "&room=lobby").await;
        liar.expect("joined").await;
        stalled.push(liar);
    }
    let closed = "wardroom_sessions_closed_total{code=\"4520\",by=\"server\"}";
    let (mut said, mut most) = (0, 0.0_f64);
    within("the fullest are closed", async {
        while gateway.metric(closed) < 1.0 {
            talk(&mut alice, &mut quick, said..said + 5).await;
            said += 5;
            most = most.max(gateway.metric("wardroom_outbox_bytes"));
        }
    })
    .await;
    assert!(most <= TOTAL as f64, "F27: {most} bytes were held");
    let slowest = talk(&mut alice, &mut quick, said..said + 5).await;
    assert!(slowest < Duration::from_secs(1), "F27: {slowest:?}");
    assert!(
        gateway.metric(closed) < 12.0,
        "F27: not more are closed than it takes"
    );
}
