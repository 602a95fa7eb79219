//! P6: what was acknowledged is there, once; what is missing is named.

use serde_json::{Value, json};

use crate::support::{
    client::Client,
    gateway::TestGateway,
    liar::{self, Liar},
};

fn texts(frames: &Value) -> Vec<String> {
    let list = frames.as_array().expect("a list");
    list.iter()
        .filter(|frame| frame["type"] == "message")
        .map(|frame| frame["text"].as_str().unwrap_or("-").to_owned())
        .collect()
}

async fn resumed(gateway: &TestGateway, name: &str, resume: &Value) -> Client {
    let resume = resume.as_str().expect("a string");
    gateway
        .client()
        .bearer(&gateway.provider.token(name))
        .query(&format!("nick={name}&resume={resume}"))
        .open()
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_gets_only_what_it_missed() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway.member("Bob").await;
    alice.join("lobby").await;
    bob.join("lobby").await;
    alice.say("lobby", "one").await;
    let seen = bob.hear().await;
    let epoch = alice.say("lobby", "two").await["epoch"].clone();
    bob.close().await;
    alice.say("lobby", "three").await;
    let mut bob = gateway.member("Bob").await;
    let joined = bob
        .join_with(json!({ "room": "lobby", "since": [[seen["offset"], epoch]] }))
        .await;
    assert_eq!(joined["recovered"], true);
    assert_eq!(joined["head"], json!([3, epoch]));
    assert_eq!(texts(&joined["messages"]), ["two", "three"]);
    alice.say("lobby", "four").await;
    assert_eq!(bob.hear().await["text"], "four");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_answered_and_not_repeated() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let send = |seq: u64, prev: u64, text: &str| json!({ "type": "send", "id": format!("{seq}"), "room": "lobby", "text": text, "chain": 0, "seq": seq, "prev": prev });
    alice.send(send(1, 0, "once")).await;
    let first = alice.expect("ack").await;
    assert_eq!(first["duplicate"], false);
    let producer = alice.welcome["producer"]
        .as_str()
        .expect("a producer")
        .to_owned();
    assert_eq!(first["message"], format!("{producer}.1"));

    let resume = alice.welcome["resume"].clone();
    drop(alice);
    let mut alice = resumed(&gateway, "Alice", &resume).await;
    assert_eq!(
        alice.welcome["producer"], producer,
        "the string gives the producer back"
    );
    assert_eq!(alice.welcome["resume"], resume);
    let joined = alice.join("lobby").await;
    assert_eq!(texts(&joined["messages"]), ["once"]);
    alice.send(send(1, 0, "once")).await;
    let again = alice.expect("ack").await;
    assert_eq!(
        (
            again["duplicate"].as_bool(),
            &again["offset"],
            &again["epoch"]
        ),
        (Some(true), &first["offset"], &first["epoch"]),
        "S13"
    );
    alice.send(send(1, 0, "another text")).await;
    assert_eq!(alice.expect_error().await, "conflict", "S13");
    alice.send(send(5, 4, "too far")).await;
    let error = alice.expect("error").await;
    assert_eq!(
        (
            error["code"].as_str(),
            error["have"].as_u64(),
            error["outcome"].as_str()
        ),
        (Some("out_of_sequence"), Some(1), Some("no")),
        "S13"
    );
    alice.send(send(2, 1, "next")).await;
    assert_eq!(alice.expect("ack").await["offset"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_persons_resume_string_gives_another_producer() {
    let gateway = TestGateway::start().await;
    let alice = gateway.member("Alice").await;
    let mallory = resumed(&gateway, "Mallory", &alice.welcome["resume"]).await;
    assert_ne!(alice.welcome["producer"], mallory.welcome["producer"], "X7");
}

/// Sends until it is acknowledged, as a client does while the log is busy.
async fn acked(client: &mut Client, send: Value) -> Value {
    loop {
        client.send(send.clone()).await;
        let answer = loop {
            let frame = client.next().await;
            if frame["id"] == send["id"] && frame["type"] != "message" {
                break frame;
            }
        };
        if answer["type"] == "ack" {
            return answer;
        }
        assert_eq!(answer["code"], "unavailable", "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_a_reset_is_there_once_and_a_retry_by_number_makes_no_double() {
    const SENDS: u64 = 500;
    let gateway = TestGateway::with(|config| {
        let plenty = 2000.try_into().expect("not 0");
        let limits = &mut config.limits;
        limits.messages_burst = plenty;
        limits.messages_per_user_burst = plenty;
        limits.messages_per_room_burst = plenty;
        limits.frames_burst = plenty;
        limits.inflight_max = 2000;
    })
    .await;
    let send = |seq: u64| json!({ "type": "send", "id": seq.to_string(), "room": "lobby", "text": format!("m{seq}"), "chain": 0, "seq": seq, "prev": seq - 1 });
    let mut bob = gateway.member("Bob").await;
    bob.join("lobby").await;
    let token = gateway.provider.token("Alice");
    let dial = gateway
        .client()
        .bearer(&token)
        .query("nick=Alice&room=lobby");
    let (mut liar, welcome) = Liar::welcomed(gateway.tls().await, &dial.request()).await;
    liar.expect("joined").await;
    let all: Vec<u8> = (1..=SENDS).flat_map(|seq| liar::json(&send(seq))).collect();
    liar.write(&all).await;
    // Some are in the log and some perhaps are not, when the connection is reset; no ack was read.
    let mut heard = Vec::new();
    while heard.len() < 100 {
        heard.push(bob.hear().await);
    }
    assert_eq!(
        gateway.metric("wardroom_rejects_total{code=\"out_of_sequence\"}"),
        0.0,
        "F24: what was sent in order is asked for in order"
    );
    let io = liar.into_io();
    io.get_ref().0.set_zero_linger().expect("a socket");
    drop(io);

    let mut alice = resumed(&gateway, "Alice", &welcome["resume"]).await;
    assert_eq!(alice.welcome["producer"], welcome["producer"]);
    alice.join("lobby").await;
    let mut again = 0;
    for seq in 1..=SENDS {
        let ack = acked(&mut alice, send(seq)).await;
        assert_eq!(ack["id"], seq.to_string());
        let duplicate = ack["duplicate"] == true;
        // Where an older one than the last is, is not told again.
        assert!(
            ack["offset"] == seq || (duplicate && ack["offset"].is_null()),
            "F24: each has its place: {ack}"
        );
        again += u64::from(duplicate);
    }
    assert!(again >= 100, "F24: {again} were there already");
    while heard.len() < usize::try_from(SENDS).expect("few") {
        heard.push(bob.hear().await);
    }
    for (message, seq) in heard.iter().zip(1..) {
        assert_eq!(
            (message["offset"].as_u64(), message["text"].as_str()),
            (Some(seq), Some(format!("m{seq}").as_str())),
            "F24: once, in order"
        );
    }
    alice.say("lobby", "the last").await;
    assert_eq!(
        bob.hear().await["offset"],
        SENDS + 1,
        "F24: nothing beside them"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sockets_with_one_resume_string_one_writes_and_the_other_is_told() {
    let gateway = TestGateway::start().await;
    let mut reader = gateway.member("Reader").await;
    reader.join("lobby").await;
    let mut first = gateway.member("Alice").await;
    let mut second = resumed(&gateway, "Alice", &first.welcome["resume"]).await;
    assert_eq!(first.welcome["producer"], second.welcome["producer"], "X7");
    let send = |seq: u64, text: &str| json!({ "type": "send", "id": text, "room": "lobby", "text": text, "chain": 0, "seq": seq, "prev": seq - 1 });
    first.join("lobby").await;
    second.join("lobby").await;
    first.send(send(1, "one of the first")).await;
    assert_eq!(first.expect("ack").await["offset"], 1);
    second.send(send(1, "one of the second")).await;
    let error = second.expect("error").await;
    assert_eq!(
        (error["code"].as_str(), error["outcome"].as_str()),
        (Some("conflict"), Some("no")),
        "X7"
    );
    first.send(send(2, "two of the first")).await;
    assert_eq!(first.expect("ack").await["offset"], 2, "the first goes on");
    for text in ["one of the first", "two of the first"] {
        assert_eq!(reader.hear().await["text"], text);
    }
    second.settle().await;
    let invented = "A".repeat(48);
    for (row, resume) in [
        ("invented", invented.as_str()),
        ("empty", ""),
        ("odd", "%00"),
    ] {
        let dial = gateway
            .client()
            .bearer(&gateway.provider.token("Mallory"))
            .query(&format!("resume={resume}"));
        match dial.dial().await {
            Ok((mut mallory, _)) => {
                let welcome = mallory.next().await;
                assert_ne!(welcome["producer"], first.welcome["producer"], "X7 {row}");
            }
            Err(refused) => assert_eq!(refused.status, 400, "X7 {row}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_given_is_named() {
    let gateway = TestGateway::with(|config| config.log.retention_count = 5).await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let mut epoch = Value::Null;
    for n in 1..=9 {
        epoch = alice.say("lobby", &format!("m{n}")).await["epoch"].clone();
    }
    let mut bob = gateway.member("Bob").await;
    let joined = bob
        .join_with(json!({ "room": "lobby", "since": [[1, epoch]] }))
        .await;
    assert_eq!(joined["recovered"], false);
    let first = &joined["messages"][0];
    assert_eq!(
        (first["type"].as_str(), first["from"].as_u64()),
        (Some("gap"), Some(2)),
        "X8: {joined}"
    );
    let to = first["to"][0].as_u64().expect("a position");
    assert_eq!(
        joined["messages"][1]["offset"].as_u64(),
        Some(to + 1),
        "the stream goes on after the gap"
    );
    assert_eq!(
        texts(&joined["messages"]).last().map(String::as_str),
        Some("m9")
    );

    bob.send(json!({ "type": "leave", "id": "l", "room": "lobby" }))
        .await;
    bob.expect("ok").await;
    let joined = bob
        .join_with(json!({ "room": "lobby", "since": [[3, "dead"]] }))
        .await;
    assert_eq!(joined["recovered"], false);
    assert_eq!(joined["messages"][0]["type"], "reset", "X8: {joined}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_offset_gives_one_frame_to_everybody() {
    let gateway =
        TestGateway::with(|config| config.limits.messages_burst = 200.try_into().expect("not 0"))
            .await;
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = gateway.member(&format!("P{n}")).await;
        client.join("lobby").await;
        clients.push(client);
    }
    for n in 0..30 {
        for client in &mut clients {
            client.send(json!({ "type": "send", "id": n.to_string(), "room": "lobby", "text": format!("t{n}") })).await;
        }
    }
    let mut stories = Vec::new();
    for client in &mut clients {
        let mut story = Vec::new();
        while story.len() < 120 {
            let heard = client.hear().await;
            story.push((
                heard["offset"].as_u64().expect("an offset"),
                heard["id"].as_str().expect("an id").to_owned(),
            ));
        }
        stories.push(story);
    }
    assert!(
        stories[0].iter().map(|(offset, _)| *offset).eq(1..=120),
        "one order, without holes"
    );
    assert!(
        stories.windows(2).all(|two| two[0] == two[1]),
        "the same for everybody"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_a_page_of_the_same_frames() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    for n in 1..=5 {
        alice.say("lobby", &format!("m{n}")).await;
    }
    let mut live = Vec::new();
    for _ in 0..5 {
        live.push(alice.hear().await);
    }
    alice
        .send(json!({ "type": "history", "id": "h", "room": "lobby", "before": 4, "limit": 2 }))
        .await;
    let page = alice.expect("history").await;
    assert_eq!(
        (texts(&page["messages"]), page["first"].as_u64()),
        (vec!["m2".to_owned(), "m3".to_owned()], Some(1))
    );
    assert_eq!(page["messages"][0], live[1], "the same frame as live");
    for limit in [0, 101] {
        alice
            .send(json!({ "type": "history", "id": "h", "room": "lobby", "limit": limit }))
            .await;
        assert_eq!(
            alice.expect_error().await,
            "bad_request",
            "S16 limit {limit}"
        );
    }
    let head = page["head"].clone();
    let token = gateway.provider.token("reader");
    let over_http = |query: &str| format!("/api/v1/rooms/lobby/messages{query}");
    let all = gateway
        .api("GET", &over_http("?after=0"), &token, None)
        .await
        .json();
    assert_eq!((texts(&all["messages"]).len(), &all["head"]), (5, &head));
    let after = format!("?after=3-{}&limit=1", head[1].as_str().expect("an epoch"));
    assert_eq!(
        texts(
            &gateway
                .api("GET", &over_http(&after), &token, None)
                .await
                .json()["messages"]
        ),
        ["m4"]
    );
    assert_eq!(
        gateway
            .api("GET", &over_http("?limit=101"), &token, None)
            .await
            .status,
        400
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_closed_to_a_person_by_now_is_not_resumed_and_the_others_are() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway.member("Bob").await;
    let mut since = Vec::new();
    for room in ["lobby", "hall"] {
        alice.join(room).await;
        bob.join(room).await;
        let ack = alice.say(room, "seen").await;
        since.push((room, json!([[ack["offset"], ack["epoch"]]])));
    }
    let resume = bob.welcome["resume"].as_str().expect("a string").to_owned();
    drop(bob);
    for room in ["lobby", "hall"] {
        alice.say(room, "missed").await;
    }
    let fewer = gateway
        .provider
        .token_with("Bob", &json!({ "rooms": ["lobby"] }));
    let dial = gateway.client().bearer(&fewer);
    let mut bob = dial
        .query(&format!("nick=Bob&resume={resume}"))
        .open()
        .await;
    for (room, cursor) in since {
        bob.send(json!({ "type": "join", "id": room, "room": room, "since": cursor }))
            .await;
        if room == "lobby" {
            let joined = bob.expect("joined").await;
            assert_eq!(texts(&joined["messages"]), ["missed"], "X9: others resume");
        } else {
            let refused = bob.expect("error").await;
            assert_eq!(
                (refused["id"].as_str(), refused["code"].as_str()),
                (Some("hall"), Some("forbidden")),
                "X9"
            );
        }
    }
    alice.say("hall", "not for him").await;
    bob.settle().await;
    assert!(
        bob.skipped().iter().all(|frame| frame["room"] != "hall"),
        "X9: nothing of that room"
    );
}
