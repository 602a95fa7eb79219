//! P3: what a person may do is asked for every frame, and a refusal does not tell what is there.

use serde_json::{Value, json};

use crate::support::{client::Client, gateway::TestGateway};

/// A session with these claims on top of the usual ones.
async fn session(gateway: &TestGateway, sub: &str, claims: Value) -> Client {
    gateway
        .client()
        .bearer(&gateway.provider.token_with(sub, &claims))
        .query(&format!("nick={sub}"))
        .open()
        .await
}

/// The answer to a frame as it came.
async fn answer(client: &mut Client, frame: Value) -> Value {
    client.send(frame).await;
    client.next().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_opened_by_its_name_or_by_a_prefix_of_it() {
    let gateway = TestGateway::start().await;
    let mut bob = session(
        &gateway,
        "bob",
        json!({ "rooms": ["lobby", "support:*", "*bad", "a*b", "Hall", ""] }),
    )
    .await;
    for room in ["lobby", "support:1", "support:a.b"] {
        bob.join(room).await;
        assert!(bob.say(room, "hi").await["offset"].is_u64(), "{room}");
    }
    for room in [
        "lobby2", "lobb", "support", "supportx", "other", "bad", "a", "hall", "axb",
    ] {
        for frame in [
            json!({ "type": "join", "id": "1", "room": room }),
            json!({ "type": "send", "id": "1", "room": room, "text": "x" }),
            json!({ "type": "history", "id": "1", "room": room }),
            json!({ "type": "members", "id": "1", "room": room }),
        ] {
            bob.send(frame.clone()).await;
            let refused = bob.expect("error").await;
            assert_eq!(refused["code"], "forbidden", "{frame}");
            assert_eq!(refused["id"], "1");
            if frame["type"] == "send" {
                assert_eq!(refused["outcome"], "no", "it is not in the log");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_read_only_reads() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let mut reader = session(&gateway, "reader", json!({ "scope": "chat:read" })).await;
    assert_eq!(reader.welcome["user"]["scopes"], json!(["chat:read"]));
    reader.join("lobby").await;
    reader
        .send(json!({ "type": "send", "id": "1", "room": "lobby", "text": "x" }))
        .await;
    assert_eq!(reader.expect_error().await, "forbidden", "J25");
    reader
        .send(json!({ "type": "typing", "room": "lobby" }))
        .await;
    alice.say("lobby", "read this").await;
    assert_eq!(reader.hear().await["text"], "read this");
    reader
        .send(json!({ "type": "history", "id": "2", "room": "lobby" }))
        .await;
    assert_eq!(
        reader.expect("history").await["messages"]
            .as_array()
            .map(Vec::len),
        Some(1),
        "what was refused is not in the log"
    );
    assert_eq!(alice.hear().await["text"], "read this");
    alice.settle().await;
    assert!(
        alice
            .skipped()
            .iter()
            .all(|frame| frame["type"] != "typing" && frame["type"] != "message"),
        "Q1: nobody heard of what was refused"
    );

    let mut writer = session(&gateway, "writer", json!({ "scope": "chat:send" })).await;
    writer
        .send(json!({ "type": "join", "id": "1", "room": "lobby" }))
        .await;
    assert_eq!(
        writer.expect_error().await,
        "forbidden",
        "joining is reading"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_a_fresh_token_takes_away_are_gone_at_once() {
    let gateway = TestGateway::start().await;
    let mut bob = session(&gateway, "bob", json!({ "rooms": ["lobby", "hall"] })).await;
    bob.join("lobby").await;
    bob.join("hall").await;
    let mut alice = gateway.member("Alice").await;
    alice.join("hall").await;
    let fewer = gateway
        .provider
        .token_with("bob", &json!({ "rooms": ["lobby"], "scope": "chat:read" }));
    bob.send(json!({ "type": "auth", "id": "a", "token": fewer }))
        .await;
    assert_eq!(bob.expect("ok").await["scopes"], json!(["chat:read"]), "X2");
    let left = alice.expect("presence").await;
    assert_eq!(left["left"][0]["nick"], "bob", "X2: the others are told");
    for (frame, code) in [
        (
            json!({ "type": "history", "id": "1", "room": "hall" }),
            "forbidden",
        ),
        (
            json!({ "type": "send", "id": "1", "room": "hall", "text": "x" }),
            "forbidden",
        ),
        (
            json!({ "type": "send", "id": "1", "room": "lobby", "text": "x" }),
            "forbidden",
        ),
    ] {
        bob.send(frame.clone()).await;
        assert_eq!(bob.expect_error().await, code, "{frame}");
    }
    alice.say("hall", "for us").await;
    bob.settle().await;
    assert!(bob.skipped().iter().all(|frame| frame["type"] != "message"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_not_opened_looks_the_same_whether_it_is_there_or_not() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("secret").await;
    alice.say("secret", "we are here").await;
    let mut bob = session(&gateway, "bob", json!({ "rooms": ["lobby"] })).await;
    let token = gateway
        .provider
        .token_with("bob", &json!({ "rooms": ["lobby"] }));
    for kind in ["join", "send", "history", "members"] {
        let mut seen = Vec::new();
        for room in ["secret", "absent"] {
            let frame = json!({ "type": kind, "id": "1", "room": room, "text": "x" });
            bob.send(frame).await;
            seen.push(bob.next_text().await);
        }
        assert!(seen[0].contains("\"forbidden\""), "{seen:?}");
        assert_eq!(seen[0], seen[1], "S11 {kind}: byte-equal");
    }
    for (method, rest, body) in [
        ("GET", "messages", None),
        ("GET", "members", None),
        ("POST", "messages", Some(json!({ "text": "x" }))),
    ] {
        let mut seen = Vec::new();
        for room in ["secret", "absent"] {
            let path = format!("/api/v1/rooms/{room}/{rest}");
            let answer = gateway.api(method, &path, &token, body.clone()).await;
            assert_eq!(answer.refusal(), (403, "forbidden".to_owned()), "{path}");
            let mut document = answer.json();
            document["request_id"] = Value::Null;
            let mut names: Vec<_> = answer
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect();
            names.sort();
            seen.push((document, names));
        }
        assert_eq!(seen[0], seen[1], "H8 {method} {rest}");
    }
    for (room, code) in [("secret", 403), ("absent", 403)] {
        // The upgrade itself is no oracle either: the room is refused after the welcome, or the request with it.
        let dial = gateway
            .client()
            .bearer(&token)
            .query(&format!("room={room}"));
        match dial.dial().await {
            Ok((mut client, _)) => {
                client.expect("welcome").await;
                assert_eq!(client.expect_error().await, "forbidden", "{room}");
            }
            Err(answer) => assert_eq!(answer.status, code, "{room}"),
        }
    }
    alice.settle().await;
    assert!(
        alice
            .skipped()
            .iter()
            .all(|frame| frame["type"] != "presence"),
        "Q1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moderation_that_is_not_spoken_here_is_told_so_and_does_nothing() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    alice.say("lobby", "stays").await;
    let mut bob = session(&gateway, "bob", json!({ "scope": "chat" })).await;
    bob.join("lobby").await;
    for kind in ["delete", "mute", "kick", "ban", "slow_mode"] {
        let refused = answer(
            &mut bob,
            json!({ "type": kind, "id": "1", "room": "lobby", "offset": 1, "user": alice.welcome["user"]["id"], "seconds": 60 }),
        )
        .await;
        assert_eq!(refused["type"], "error", "{kind}");
        assert!(
            ["forbidden", "bad_request"].contains(&refused["code"].as_str().expect("a code")),
            "{kind}: {refused}"
        );
    }
    assert_eq!(alice.say("lobby", "still here").await["offset"], 2);
}
