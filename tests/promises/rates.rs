//! P7: above a rate one is told so and how long to wait; whoever does not listen is closed, and nobody else pays.

use std::{num::NonZeroU32, time::Duration};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    client::Client,
    gateway::TestGateway,
    liar::{self, Liar},
    quiet::{Quiet, SCENE},
};

fn n(n: u32) -> NonZeroU32 {
    n.try_into().expect("not 0")
}

fn send(id: u32) -> Value {
    json!({ "type": "send", "id": id.to_string(), "room": SCENE, "text": id.to_string() })
}

/// The answers to so many requests: those that were done, by id, and the errors.
async fn answers(client: &mut Client, kind: &str, count: usize) -> (Vec<String>, Vec<Value>) {
    let (mut done, mut errors) = (Vec::new(), Vec::new());
    while done.len() + errors.len() < count {
        let frame = client.next().await;
        if frame["type"] == kind {
            done.push(frame["id"].as_str().expect("an id").to_owned());
        } else if frame["type"] == "error" {
            errors.push(frame);
        }
    }
    (done, errors)
}

/// How long a refused request has to wait: the hint of an error that says so.
fn hint(error: &Value) -> Duration {
    assert_eq!(error["code"], "rate_limited", "{error}");
    let hint = error["retry_after_ms"].as_u64().expect("a hint");
    assert!(hint > 0, "{error}");
    Duration::from_millis(hint)
}

/// Waits as long as a client that was told to.
async fn obey(hint: Duration) {
    let until = Instant::now() + hint;
    tokio::time::sleep_until(until).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_passes_and_one_more_is_told_when_to_come_back() {
    let gateway =
        TestGateway::with(|config| config.limits.presence_hold = Duration::from_millis(50)).await;
    let mut quiet = Quiet::watch(&gateway).await;
    let mut alice = gateway.member("Alice").await;
    quiet
        .during(async {
            alice.join("side").await;
            for id in 1..=21 {
                let mut send = send(id);
                send["room"] = json!("side");
                alice.send(send).await;
            }
            let (acked, errors) = answers(&mut alice, "ack", 21).await;
            let expected: Vec<_> = (1..=20).map(|id: u32| id.to_string()).collect();
            assert_eq!(acked, expected, "R1: n pass, in order");
            assert_eq!(errors.len(), 1, "R1: {errors:?}");
            assert_eq!(
                (errors[0]["id"].as_str(), errors[0]["outcome"].as_str()),
                (Some("21"), Some("no"))
            );
            let hint = hint(&errors[0]);
            assert!(hint <= Duration::from_millis(200), "5 a second: {hint:?}");
            obey(hint).await;
            let ack = alice.say("side", "as told").await;
            assert_eq!(ack["offset"], 21, "the surplus has no place");
        })
        .await;
    alice.close().await;
    quiet
        .holds(&[
            "wardroom_rejects_total{code=\"rate_limited\"}",
            "wardroom_sessions_closed_total{code=\"1000\",by=\"client\"}",
        ])
        .await;
    assert_eq!(
        gateway.metric("wardroom_rate_limited_total{scope=\"connection\"}"),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_listen_is_told_a_hundred_times_and_then_closed() {
    let gateway = TestGateway::with(|config| config.limits.frames_burst = n(1000)).await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway.member("Bob").await;
    alice.join(SCENE).await;
    bob.join(SCENE).await;
    let mut liar = Liar::enter_with(&gateway, "Mallory", &format!("&room={SCENE}")).await;
    liar.expect("joined").await;
    let all: Vec<u8> = (1..=200).flat_map(|id| liar::json(&send(id))).collect();
    liar.write(&all).await;
    let (before, close) = liar.closed_after().await;
    assert_eq!(close, Some((4529, "rate_limited".to_owned())), "R2");
    let of = |kind: &str| before.iter().filter(|frame| frame["type"] == kind).count();
    assert_eq!(of("error"), 100, "R2");
    let closing = before.last().expect("frames came");
    assert_eq!(
        (closing["code"].as_str(), closing["reconnect"].as_bool()),
        (Some("rate_limited"), Some(true)),
        "4529 comes back"
    );
    let acked = of("ack");
    assert!((20..30).contains(&acked), "{acked} were acked");
    for at in 1..=acked {
        assert_eq!(
            bob.hear().await["offset"],
            at,
            "what was acked is delivered"
        );
    }
    alice.say(SCENE, "business as usual").await;
    assert_eq!(
        bob.hear().await["text"],
        "business as usual",
        "and nothing else is"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_of_a_person_holds_over_all_of_its_sessions_and_over_new_ones() {
    let gateway = TestGateway::with(|config| {
        config.limits.messages_per_user_per_s = n(2);
        config.limits.messages_per_user_burst = n(12);
    })
    .await;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let mut session = gateway.member("Alice").await;
        session.join(SCENE).await;
        sessions.push(session);
    }
    let began = Instant::now();
    let (mut done, mut refused) = (0, Vec::new());
    for session in &mut sessions {
        for id in 1..=5 {
            session.send(send(id)).await;
        }
        let (acked, errors) = answers(session, "ack", 5).await;
        done += acked.len();
        refused.extend(errors);
    }
    let allowed = |began: Instant| 12 + 2 * (began.elapsed().as_secs() + 1);
    assert!(
        done >= 12 && done as u64 <= allowed(began),
        "R3: {done} passed"
    );
    let hint = hint(refused.last().expect("some are refused"));
    assert!(hint <= Duration::from_millis(500), "2 a second: {hint:?}");

    sessions.pop().expect("a session").close().await;
    let mut fresh = gateway.member("Alice").await;
    fresh.join(SCENE).await;
    for id in 1..=5 {
        fresh.send(send(id)).await;
    }
    let (acked, _) = answers(&mut fresh, "ack", 5).await;
    done += acked.len();
    assert!(
        done as u64 <= allowed(began),
        "R3: a new session has no new bucket: {done}"
    );
    let mut bob = gateway.member("Bob").await;
    bob.join(SCENE).await;
    bob.say(SCENE, "another person has").await;
    assert!(gateway.metric("wardroom_rate_limited_total{scope=\"person\"}") >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rate_of_a_room_holds_over_everybody_in_it_and_not_beyond() {
    let gateway = TestGateway::with(|config| {
        config.limits.messages_per_room_per_s = n(2);
        config.limits.messages_per_room_burst = n(6);
    })
    .await;
    let mut refused = Vec::new();
    for name in ["Alice", "Bob"] {
        let mut client = gateway.member(name).await;
        client.join(SCENE).await;
        for id in 1..=5 {
            client.send(send(id)).await;
        }
        let (_, errors) = answers(&mut client, "ack", 5).await;
        refused.extend(errors);
        client.join_with(json!({ "room": "side" })).await;
        client.say("side", "another room has its own").await;
    }
    assert!((2..=4).contains(&refused.len()), "{refused:?}");
    let hint = hint(&refused[0]);
    assert!(hint <= Duration::from_millis(500), "2 a second: {hint:?}");
    let mut stranger = gateway.member("Carol").await;
    for id in 1..=5 {
        stranger.send(send(id)).await;
        assert_eq!(stranger.expect_error().await, "not_joined");
    }
    obey(Duration::from_millis(500)).await;
    let mut dave = gateway.member("Dave").await;
    dave.join(SCENE).await;
    dave.say(SCENE, "whoever may not write takes nothing from the room")
        .await;
    assert_eq!(
        gateway.metric("wardroom_rate_limited_total{scope=\"room\"}"),
        refused.len() as f64
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_request_has_a_rate_and_an_honest_hint() {
    let gateway = TestGateway::with(|config| {
        let limits = &mut config.limits;
        (limits.commands_per_s, limits.commands_burst) = (n(4), n(8));
        (limits.history_per_s, limits.history_burst) = (n(4), n(3));
    })
    .await;
    let history = json!({ "type": "history", "id": "x", "room": SCENE, "limit": 1 });
    let members = json!({ "type": "members", "id": "x", "room": SCENE });
    let ping = json!({ "type": "ping", "id": "x" });
    let again = json!({ "type": "join", "id": "x", "room": SCENE });
    for (request, answer, burst) in [
        (history, "history", 3),
        (members, "members", 7),
        (ping, "pong", 7),
        (again, "error", 7),
    ] {
        // A person of its own each time, whose join took one of the commands.
        let mut client = gateway.member("Alice").await;
        client.join(SCENE).await;
        let began = Instant::now();
        let mut passed = 0;
        let refused = loop {
            client.send(request.clone()).await;
            let frame = loop {
                let frame = client.next().await;
                if frame["id"] == "x" {
                    break frame;
                }
            };
            if frame["code"] == "rate_limited" {
                break frame;
            }
            assert_eq!(frame["type"], answer);
            passed += 1;
        };
        let refilled = 4 * (began.elapsed().as_secs() + 1);
        assert!(
            (burst..=burst + refilled).contains(&passed),
            "{answer}: {passed} passed"
        );
        let hint = hint(&refused);
        assert!(hint <= Duration::from_millis(250), "{answer}: {hint:?}");
        obey(hint).await;
        client.send(request).await;
        let frame = client.expect(answer).await;
        assert_ne!(frame["code"], "rate_limited", "the hint was too short");
        client.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_in_frames_have_a_rate_of_their_own() {
    let gateway = TestGateway::with(|config| config.limits.auth_frames_per_min = n(3)).await;
    let mut alice = gateway.member("Alice").await;
    let token = gateway.provider.token("Alice");
    let auth = json!({ "type": "auth", "id": "a", "token": token });
    for _ in 0..3 {
        alice.send(auth.clone()).await;
        assert_eq!(alice.expect("ok").await["id"], "a");
    }
    alice.send(auth).await;
    let hint = hint(&alice.expect("error").await);
    assert!(
        (Duration::from_secs(15)..=Duration::from_secs(20)).contains(&hint),
        "3 a minute: {hint:?}"
    );
    alice.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_above_its_rate_is_neither_passed_on_nor_answered() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway.member("Bob").await;
    alice.join(SCENE).await;
    bob.join(SCENE).await;
    for _ in 0..50 {
        alice.send(json!({ "type": "typing", "room": SCENE })).await;
    }
    alice.settle().await;
    alice.say(SCENE, "done").await;
    bob.hear().await;
    let told = |client: &mut Client, kind: &str| {
        let frames = client.skipped();
        frames.iter().filter(|frame| frame["type"] == kind).count()
    };
    assert_eq!(told(&mut alice, "error"), 0, "R11: no answer");
    assert!(told(&mut bob, "typing") <= 4, "R11: coalesced");
    assert!(gateway.metric("wardroom_rate_limited_total{scope=\"connection\"}") >= 46.0);
    assert_eq!(
        gateway.metric("wardroom_rejects_total{code=\"rate_limited\"}"),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_above_their_rate_wait_and_are_not_lost() {
    let gateway = TestGateway::with(|config| {
        config.limits.bytes_in_per_s = n(65536);
        config.limits.bytes_in_burst = n(4096);
    })
    .await;
    let mut liar = Liar::enter(&gateway, "Alice").await;
    let filler = "x".repeat(4000);
    let began = Instant::now();
    let all: Vec<u8> = (0..12)
        .flat_map(|id| liar::json(&json!({ "type": "ping", "id": id.to_string(), "x": filler })))
        .collect();
    liar.write(&all).await;
    for id in 0..12 {
        assert_eq!(liar.expect("pong").await["id"], id.to_string());
    }
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(550),
        "48 kB at 64 KiB a second with 4 KiB ahead: {took:?}"
    );
    assert!(gateway.metric("wardroom_rate_limited_total{scope=\"bytes\"}") >= 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_was_not_allowed_where_it_was_said_is_told_why() {
    let gateway = TestGateway::with(|config| config.limits.rooms_per_session_max = 2).await;
    let mut alice = gateway.member("Alice").await;
    alice.send(send(1)).await;
    assert_eq!(alice.expect_error().await, "not_joined", "S12 before");
    alice.join(SCENE).await;
    alice
        .send(json!({ "type": "join", "id": "2", "room": SCENE }))
        .await;
    assert_eq!(alice.expect_error().await, "already_joined", "S12 twice");
    alice.join("second").await;
    let third = json!({ "type": "join", "id": "3", "room": "third" });
    alice.send(third.clone()).await;
    assert_eq!(alice.expect_error().await, "too_many_rooms", "S12 n + 1");
    alice
        .send(json!({ "type": "leave", "id": "4", "room": SCENE }))
        .await;
    alice.expect("ok").await;
    alice.send(send(5)).await;
    assert_eq!(alice.expect_error().await, "not_joined", "S12 after");
    alice.send(third).await;
    alice.expect("joined").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_for_their_ack_are_bounded_and_none_is_lost() {
    let gateway = TestGateway::with(|config| {
        config.limits.inflight_max = 1;
        config.limits.messages_burst = n(100);
        config.limits.messages_per_user_burst = n(100);
    })
    .await;
    let mut alice = gateway.member("Alice").await;
    alice.join(SCENE).await;
    let mut liar = Liar::enter_with(&gateway, "Mallory", &format!("&room={SCENE}")).await;
    liar.expect("joined").await;
    // They are read faster than the log answers, but for rare turns of the scheduler.
    let all: Vec<u8> = (1..=60).flat_map(|id| liar::json(&send(id))).collect();
    liar.write(&all).await;
    let (mut acked, mut refused) = (Vec::new(), 0);
    while acked.len() + refused < 60 {
        let frame = liar.json().await;
        match frame["type"].as_str() {
            Some("ack") => acked.push(frame["id"].clone()),
            Some("error") => {
                assert_eq!(frame["outcome"], "no", "S17");
                hint(&frame);
                refused += 1;
            }
            _ => {}
        }
    }
    assert!(refused > 0, "S17: n + 1 is refused");
    assert!(!acked.is_empty(), "S17: n pass");
    let mut heard = Vec::new();
    for _ in 0..acked.len() {
        heard.push(alice.hear().await["text"].clone());
    }
    assert_eq!(heard, acked, "S17: none lost, none that was refused");
}
