//! P9: what a moderator deletes is gone everywhere, its place stays, and nobody else can delete.

use serde_json::{Value, json};

use crate::support::{client::Client, gateway::TestGateway, http::Answer, program::Site};

const SECRET: &str = "4929 1234 5678 9012";

/// The token of somebody who may moderate these rooms.
fn moderator_token(gateway: &TestGateway, rooms: &Value) -> String {
    let claims = json!({ "scope": "chat chat:moderate", "rooms": rooms });
    gateway.provider.token_with("mod", &claims)
}

async fn moderator(gateway: &TestGateway) -> Client {
    let token = moderator_token(gateway, &json!(["*"]));
    gateway
        .client()
        .bearer(&token)
        .query("nick=Mod")
        .open()
        .await
}

fn delete(offset: &Value, epoch: &Value) -> Value {
    json!({ "type": "delete", "id": "8", "room": "lobby", "offset": offset, "epoch": epoch, "reason": "a card number" })
}

/// A DELETE of a message in the lobby.
async fn http_delete(
    gateway: &TestGateway,
    token: &str,
    rest: &str,
    body: Option<Value>,
) -> Answer {
    let path = format!("/api/v1/rooms/lobby/messages/{rest}");
    gateway.api("DELETE", &path, token, body).await
}

/// Three messages in the lobby, the second with something that must go: its ack.
async fn talk(alice: &mut Client) -> Value {
    alice.join("lobby").await;
    alice.say("lobby", "before").await;
    let ack = alice.say("lobby", SECRET).await;
    alice.say("lobby", "after").await;
    ack
}

/// The place is there, and nothing of what stood in it.
fn assert_emptied(frames: &Value, ack: &Value) {
    let all = frames.to_string();
    assert!(!all.contains("4929") && !all.contains("card"), "{all}");
    let list = frames.as_array().expect("a list");
    let one = list
        .iter()
        .find(|frame| frame["type"] == "message" && frame["offset"] == ack["offset"])
        .expect("every offset has a frame");
    let mut fields: Vec<_> = one.as_object().expect("an object").keys().collect();
    fields.sort();
    assert_eq!(fields, ["deleted", "id", "offset", "room", "ts", "type"]);
    assert_eq!(
        (&one["deleted"], &one["id"]),
        (&json!(true), &ack["message"])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_message_is_told_live_and_gone_from_everything_that_is_read_later() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let mut plain = gateway
        .client()
        .bearer(&gateway.provider.token("plain"))
        .header("sec-websocket-protocol", "wardroom.text")
        .dial()
        .await
        .expect("let in")
        .0;
    let ack = talk(&mut alice).await;
    let mut moderator = moderator(&gateway).await; // in no room: the right alone decides
    moderator.send(delete(&ack["offset"], &ack["epoch"])).await;
    assert_eq!(moderator.next().await, json!({ "type": "ok", "id": "8" }));

    let told = alice.expect("deleted").await;
    let frame = json!({ "type": "deleted", "room": "lobby", "offset": 4, "target": 2 });
    assert_eq!(told, frame);
    alice.say("lobby", "live again").await;
    for _ in 0..4 {
        alice.hear().await;
    }

    for html in ["", "&html=1"] {
        let mut late = gateway
            .client()
            .bearer(&gateway.provider.token("late"))
            .query(&format!("nick=Late{html}"))
            .open()
            .await;
        let joined = late.join("lobby").await;
        assert_emptied(&joined["messages"], &ack);
        let list = joined["messages"].as_array().expect("a list");
        let offsets: Vec<_> = list
            .iter()
            .filter_map(|one| one["offset"].as_u64())
            .collect();
        assert_eq!(offsets, [1, 2, 3, 4, 5], "every offset has one frame");
        assert!(list.contains(&frame), "the same frame as live");
    }
    let mut back = gateway.member("Back").await;
    let joined = back
        .join_with(json!({ "room": "lobby", "since": [[1, ack["epoch"]]] }))
        .await;
    assert_eq!(joined["recovered"], true);
    assert_emptied(&joined["messages"], &ack);
    back.send(json!({ "type": "history", "id": "h", "room": "lobby" }))
        .await;
    assert_emptied(&back.expect("history").await["messages"], &ack);
    let token = gateway.provider.token("reader");
    for query in ["", "?after=0", "?after=1", "?before=4"] {
        let path = format!("/api/v1/rooms/lobby/messages{query}");
        let page = gateway.api("GET", &path, &token, None).await.json();
        assert_emptied(&page["messages"], &ack);
    }

    // A reader of plain text had it before, and is told nothing.
    assert_eq!(plain.next_text().await, "Alice: before");
    assert_eq!(plain.next_text().await, format!("Alice: {SECRET}"));
    assert_eq!(plain.next_text().await, "Alice: after");
    assert_eq!(plain.next_text().await, "Alice: live again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_may_moderate_this_room_deletes_in_it() {
    let gateway =
        TestGateway::with(|config| config.auth.defaults.scopes = vec!["chat:moderate".to_owned()])
            .await;
    let mut alice = gateway.member("Alice").await;
    let ack = talk(&mut alice).await;
    for (row, claims) in [
        ("without the scope", json!({})),
        (
            "a service",
            json!({ "scope": "chat chat:publish chat:admin" }),
        ),
        (
            "another room",
            json!({ "scope": "chat:moderate", "rooms": ["hall", "lobby2", "lob"] }),
        ),
        (
            "a room by default",
            json!({ "scope": "chat:moderate", "rooms": null }),
        ),
    ] {
        let token = gateway.provider.token_with("mallory", &claims);
        let mut mallory = gateway.client().bearer(&token).open().await;
        for offset in [&ack["offset"], &json!(99)] {
            mallory.send(delete(offset, &ack["epoch"])).await;
            let refused = mallory.expect("error").await;
            assert_eq!(
                (&refused["code"], &refused["id"]),
                (&json!("forbidden"), &json!("8")),
                "{row}"
            );
            assert!(refused.get("outcome").is_none(), "{refused}");
            let answer = http_delete(&gateway, &token, &offset.to_string(), None).await;
            assert_eq!(answer.refusal(), (403, "forbidden".to_owned()), "{row}");
        }
    }
    // The right is asked for every frame: a fresh token without it ends it.
    let mut moderator = moderator(&gateway).await;
    let fewer = gateway.provider.token("mod");
    moderator
        .send(json!({ "type": "auth", "id": "a", "token": fewer }))
        .await;
    moderator.expect("ok").await;
    moderator.send(delete(&ack["offset"], &ack["epoch"])).await;
    assert_eq!(moderator.expect_error().await, "forbidden");
    let unknown = http_delete(&gateway, "nonsense", "2", None).await;
    assert_eq!(unknown.status, 401);

    for expected in ["before", SECRET, "after"] {
        assert_eq!(alice.hear().await["text"], expected);
    }
    alice.settle().await;
    assert!(
        alice
            .skipped()
            .iter()
            .all(|frame| frame["type"] != "deleted"),
        "nobody heard of what was refused"
    );
    assert_eq!(
        gateway.metric("wardroom_moderation_acts_total{act=\"delete\",source=\"socket\"}"),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_means_the_message_that_was_seen_or_nothing() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let ack = talk(&mut alice).await;
    let epoch = ack["epoch"].as_str().expect("an epoch");
    let token = moderator_token(&gateway, &json!(["lobby"]));
    let mut moderator = moderator(&gateway).await;
    for (offset, epoch, code, status) in [
        (2, "dead", "conflict", 409),
        (4, epoch, "not_found", 404),
        (9_007_199_254_740_993_u64, epoch, "not_found", 404),
    ] {
        moderator.send(delete(&json!(offset), &json!(epoch))).await;
        assert_eq!(moderator.expect_error().await, code, "{offset} {epoch}");
        let answer = http_delete(&gateway, &token, &format!("{offset}?epoch={epoch}"), None).await;
        assert_eq!(
            answer.refusal(),
            (status, code.to_owned()),
            "{offset} {epoch}"
        );
    }
    for bad in [
        json!({ "type": "delete", "id": "8", "room": "lobby", "offset": 2 }),
        json!({ "type": "delete", "id": "8", "room": "lobby", "epoch": epoch }),
        json!({ "type": "delete", "id": "8", "room": "lobby", "offset": 0, "epoch": epoch }),
        json!({ "type": "delete", "id": "8", "room": "lobby", "offset": 2, "epoch": "XYZ" }),
        json!({ "type": "delete", "id": "8", "room": "Lobby", "offset": 2, "epoch": epoch }),
    ] {
        moderator.send(bad.clone()).await;
        assert_eq!(moderator.expect_error().await, "bad_request", "{bad}");
    }
    let mut long = delete(&ack["offset"], &ack["epoch"]);
    long["reason"] = json!("x".repeat(513));
    moderator.send(long.clone()).await;
    assert_eq!(moderator.expect_error().await, "text_too_long");
    let body = json!({ "reason": long["reason"] });
    let answer = http_delete(&gateway, &token, "2", Some(body)).await;
    assert_eq!(answer.refusal(), (400, "text_too_long".to_owned()));
    for bad in [
        "x",
        "-1",
        "2.0",
        "2?epoch=",
        "2?epoch=5F",
        "2?epoch=1&epoch=1",
        "2?after=1",
    ] {
        let answer = http_delete(&gateway, &token, bad, None).await;
        assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{bad}");
    }
    assert_eq!(http_delete(&gateway, &token, "0", None).await.status, 404);
    let reader = gateway.provider.token("reader");
    let path = "/api/v1/rooms/lobby/messages";
    let page = gateway.api("GET", path, &reader, None).await.json();
    assert_eq!(page["head"][0], 3, "nothing of this is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http_the_answer_is_the_entry_that_took_the_message_also_for_a_repeat() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let ack = talk(&mut alice).await;
    let token = moderator_token(&gateway, &json!(["lobby"]));
    let rest = format!("2?epoch={}", ack["epoch"].as_str().expect("an epoch"));
    let reason = json!({ "reason": "a card number" });
    let first = http_delete(&gateway, &token, &rest, Some(reason)).await;
    assert_eq!(first.status, 200);
    let place = first.json();
    let mut fields: Vec<_> = place.as_object().expect("an object").keys().collect();
    fields.sort();
    assert_eq!(fields, ["epoch", "id", "offset", "ts"]);
    assert_eq!(
        (&place["offset"], &place["epoch"]),
        (&json!(4), &ack["epoch"])
    );
    assert_eq!(alice.expect("deleted").await["offset"], 4);
    for rest in [rest.as_str(), "2"] {
        let again = http_delete(&gateway, &token, rest, None).await;
        assert_eq!((again.status, again.json()), (200, place.clone()));
    }
    let mut moderator = moderator(&gateway).await;
    moderator.send(delete(&ack["offset"], &ack["epoch"])).await;
    assert_eq!(moderator.expect("ok").await["id"], "8");
    let deletion = http_delete(&gateway, &token, "4", None).await;
    assert_eq!(
        deletion.refusal(),
        (404, "not_found".to_owned()),
        "a deletion is no message"
    );
    let ack = alice.say("lobby", "next").await;
    assert_eq!(ack["offset"], 5, "the repeats placed nothing");
    for (source, count) in [("api", 1.0), ("socket", 0.0)] {
        let series =
            format!("wardroom_moderation_acts_total{{act=\"delete\",source=\"{source}\"}}");
        assert_eq!(gateway.metric(&series), count, "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_has_a_rate_in_frames_and_over_http() {
    let gateway = TestGateway::with(|config| {
        config.limits.commands_per_s = 1.try_into().expect("not 0");
        config.limits.commands_burst = 3.try_into().expect("not 0");
    })
    .await;
    let mut alice = gateway.member("Alice").await;
    let ack = talk(&mut alice).await;
    let mut moderator = moderator(&gateway).await;
    let token = moderator_token(&gateway, &json!(["lobby"]));
    let mut codes = Vec::new();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        moderator.send(delete(&ack["offset"], &ack["epoch"])).await;
        let answer = moderator.next().await;
        codes.push(answer["code"].as_str().unwrap_or("ok").to_owned());
        let answer = http_delete(&gateway, &token, "2", None).await;
        if answer.status == 429 {
            assert_eq!(answer.problem(), "rate_limited");
            assert!(answer.header("retry-after").is_some());
        }
        statuses.push(answer.status);
    }
    assert_eq!(codes[..3], ["ok", "ok", "ok"]);
    assert!(codes[3..].contains(&"rate_limited".to_owned()), "{codes:?}");
    assert_eq!(statuses[..3], [200, 200, 200]);
    assert!(statuses[3..].contains(&429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_outlives_the_process_and_leaves_nothing_on_the_disk() {
    let site = Site::new();
    let claims = json!({ "scope": "chat chat:moderate" });
    let token = site.provider.token_with("mod", &claims);
    let mut node = site.serve("").await;
    let mut alice = node.door.client().bearer(&token).open().await;
    let ack = talk(&mut alice).await;
    let epoch = ack["epoch"].as_str().expect("an epoch");
    let delete = format!("/api/v1/rooms/lobby/messages/2?epoch={epoch}");
    let first = node.door.api("DELETE", &delete, &token, None).await;
    assert_eq!(first.status, 200);
    node.process.signal("TERM");
    assert_eq!(node.process.ended().await, Some(0));
    for file in std::fs::read_dir(site.path("data")).expect("the log's folder") {
        let path = file.expect("a file").path();
        let raw = std::fs::read(&path).expect("readable");
        let found = raw
            .windows(SECRET.len())
            .any(|some| some == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }

    let node = site.serve("").await;
    let mut late = node.door.client().bearer(&token).open().await;
    assert_emptied(&late.join("lobby").await["messages"], &ack);
    let now = late.say("lobby", "a run later").await;
    assert_ne!(
        now["epoch"], ack["epoch"],
        "each run is an epoch of its own"
    );
    let again = node.door.api("DELETE", &delete, &token, None).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let epoch = now["epoch"].as_str().expect("an epoch");
    let other = format!("/api/v1/rooms/lobby/messages/1?epoch={epoch}");
    let refused = node.door.api("DELETE", &other, &token, None).await;
    assert_eq!(refused.refusal(), (409, "conflict".to_owned()));
}
