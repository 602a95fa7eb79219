//! P8: who is in a room is told once, truly, and without flicker.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use crate::support::{
    client::Client,
    eventually,
    gateway::TestGateway,
    liar::{self, Liar},
};

fn nicks(list: &Value) -> Vec<&str> {
    list.as_array()
        .expect("a list of people")
        .iter()
        .map(|person| person["nick"].as_str().expect("a nick"))
        .collect()
}

/// Reads presence frames until one says that this name left; all of them.
async fn until_left(client: &mut Client, nick: &str) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        let frame = client.expect("presence").await;
        let done = nicks(&frame["left"]).contains(&nick);
        seen.push(frame);
        if done {
            return seen;
        }
    }
}

/// A session whose name is the provider's word.
async fn verified(gateway: &TestGateway, sub: &str, nick: &str) -> Client {
    gateway
        .client()
        .bearer(
            &gateway
                .provider
                .token_with(sub, &json!({ "nickname": nick })),
        )
        .open()
        .await
}

async fn named(gateway: &TestGateway, sub: &str, nick: &str) -> Client {
    gateway
        .client()
        .bearer(&gateway.provider.token(sub))
        .query(&format!("nick={nick}"))
        .open()
        .await
}

/// What a join under a name comes to: the name, or the code of its rejection.
async fn join_as(client: &mut Client, nick: &str) -> Result<String, String> {
    client
        .send(json!({ "type": "join", "id": "j", "room": "lobby", "nick": nick }))
        .await;
    let answer = loop {
        let frame = client.next().await;
        if frame["type"] == "joined" || frame["type"] == "error" {
            break frame;
        }
    };
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    if answer["type"] == "joined" {
        Ok(text(&answer["nick"]))
    } else {
        Err(text(&answer["code"]))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_and_goes_is_told_and_people_are_counted_not_sessions() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    assert_eq!(
        alice.join("lobby").await["members"],
        1,
        "oneself is counted"
    );
    let mut bob = gateway.member("Bob").await;
    assert_eq!(bob.join("lobby").await["members"], 2);
    let came = alice.expect("presence").await;
    assert_eq!(
        (nicks(&came["joined"]), nicks(&came["left"]), &came["count"]),
        (vec!["Bob"], vec![], &json!(2))
    );
    assert_eq!(came["joined"][0]["user"], bob.welcome["user"]["id"]);

    let mut phone = gateway.member("Bob").await;
    assert_eq!(
        phone.join("lobby").await["members"],
        2,
        "two sessions of one person are one"
    );
    let token = gateway.provider.token("Alice");
    let members = gateway
        .api("GET", "/api/v1/rooms/lobby/members", &token, None)
        .await
        .json();
    alice
        .send(json!({ "type": "members", "id": "m", "room": "lobby" }))
        .await;
    let frame = alice.expect("members").await;
    for list in [&members, &frame] {
        let mut names = nicks(&list["members"]);
        names.sort_unstable();
        assert_eq!((names, &list["count"]), (vec!["Alice", "Bob"], &json!(2)));
        assert_eq!(list["room"], "lobby");
    }

    bob.send(json!({ "type": "leave", "id": "l", "room": "lobby" }))
        .await;
    bob.expect("ok").await;
    bob.settle().await;
    let mut carol = gateway.member("Carol").await;
    assert_eq!(
        carol.join("lobby").await["members"],
        3,
        "the phone is still there"
    );
    let goodbye = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    carol.ws.close(Some(goodbye)).await.expect("open");
    let seen = until_left(&mut alice, "Carol").await;
    assert!(
        seen.iter()
            .all(|frame| !nicks(&frame["left"]).contains(&"Bob")
                && !nicks(&frame["joined"]).contains(&"Bob")),
        "{seen:?}"
    );
    phone
        .send(json!({ "type": "leave", "id": "l", "room": "lobby" }))
        .await;
    let seen = until_left(&mut alice, "Bob").await;
    assert_eq!(seen.last().expect("one")["count"], 1);
    let empty = gateway
        .api("GET", "/api/v1/rooms/hall/members", &token, None)
        .await
        .json();
    assert_eq!(
        (&empty["count"], &empty["members"]),
        (&json!(0), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_socket_that_comes_back_in_time_is_not_told() {
    let gateway =
        TestGateway::with(|config| config.limits.presence_hold = Duration::from_secs(1)).await;
    let mut bob = gateway.member("Bob").await;
    bob.join("lobby").await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    assert_eq!(nicks(&bob.expect("presence").await["joined"]), ["Alice"]);
    let head = bob.say("lobby", "before").await;
    let since = json!([[head["offset"], head["epoch"]]]);
    let resume = alice.welcome["resume"]
        .as_str()
        .expect("a string")
        .to_owned();
    drop(alice);
    let mut back = gateway
        .client()
        .bearer(&gateway.provider.token("Alice"))
        .query(&format!("nick=Alice&resume={resume}"))
        .open()
        .await;
    let joined = back
        .join_with(json!({ "room": "lobby", "since": since }))
        .await;
    assert_eq!(
        (&joined["nick"], &joined["members"]),
        (&json!("Alice"), &json!(2))
    );
    // Somebody who is lost later and does not come back: when that is told, Alice's time would have been over.
    let mut carol = gateway.member("Carol").await;
    carol.join("lobby").await;
    drop(carol);
    let seen = until_left(&mut bob, "Carol").await;
    for frame in &seen {
        let named: Vec<_> = [nicks(&frame["joined"]), nicks(&frame["left"])].concat();
        assert!(!named.contains(&"Alice"), "no flicker: {seen:?}");
    }
    assert_eq!(seen.last().expect("one")["count"], 2);
    back.say("lobby", "I was never away").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_with_1000_gives_the_seat_back_at_once_and_any_other_keeps_it() {
    // Longer than any test has patience.
    let gateway =
        TestGateway::with(|config| config.limits.presence_hold = Duration::from_mins(5)).await;
    let mut watcher = gateway.member("Watcher").await;
    watcher.join("lobby").await;
    for (row, name, farewell) in [
        ("no code", "Bare", liar::frame(liar::CLOSE, b"")),
        ("1001", "Away", liar::close(1001)),
        ("3000", "Odd", liar::close(3000)),
        ("1000", "Gone", liar::close(1000)),
    ] {
        let mut liar = Liar::enter_with(&gateway, name, "&room=lobby").await;
        liar.expect("joined").await;
        watcher.expect("presence").await;
        liar.write(&farewell).await;
        liar.closed().await;
        liar.ended().await;
        let mut heir = gateway.member(&format!("Heir{name}")).await;
        let expected = if row == "1000" {
            until_left(&mut watcher, name).await;
            Ok(name.to_owned())
        } else {
            Err("nickname_taken".to_owned())
        };
        assert_eq!(join_as(&mut heir, name).await, expected, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_held_for_a_lost_socket_and_free_after_a_leave() {
    let gateway =
        TestGateway::with(|config| config.limits.presence_hold = Duration::from_secs(2)).await;
    let mut watcher = gateway.member("Watcher").await;
    watcher.join("lobby").await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    assert_eq!(
        nicks(&watcher.expect("presence").await["joined"]),
        ["Alice"]
    );
    let mut mallory = gateway
        .client()
        .bearer(&gateway.provider.token("mallory"))
        .open()
        .await;
    assert_eq!(
        join_as(&mut mallory, "Alice").await,
        Err("nickname_taken".to_owned())
    );
    drop(alice);
    assert_eq!(
        join_as(&mut mallory, "Alice").await,
        Err("nickname_taken".to_owned()),
        "N14 within the hold"
    );
    until_left(&mut watcher, "Alice").await;
    assert_eq!(
        join_as(&mut mallory, "Alice").await,
        Ok("Alice".to_owned()),
        "N14 after it"
    );

    let mut bob = gateway.member("Bob").await;
    bob.join("lobby").await;
    bob.send(json!({ "type": "leave", "id": "l", "room": "lobby" }))
        .await;
    bob.expect("ok").await;
    let mut other = gateway
        .client()
        .bearer(&gateway.provider.token("other"))
        .open()
        .await;
    let taken = eventually("the name of who left is free", async || {
        match join_as(&mut other, "Bob").await {
            Ok(nick) => Ok(nick),
            Err(code) => Err(code),
        }
    })
    .await;
    assert_eq!(taken, "Bob", "N14 after a leave");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chosen_name_yields_to_a_claim_and_equal_claims_are_told_apart() {
    let gateway = TestGateway::start().await;
    let mut squatter = named(&gateway, "squatter", "Alice").await;
    squatter.join("lobby").await;
    let mut alice = verified(&gateway, "alice", "Alice").await;
    assert_eq!(alice.welcome["user"]["nick"], "Alice");
    assert_eq!(
        alice.join("lobby").await["nick"],
        "Alice",
        "N15: the claim wins"
    );
    let told = squatter.expect("presence").await;
    assert!(nicks(&told["joined"]).contains(&"Alice"), "{told}");
    let own = squatter.welcome["user"]["id"].clone();
    squatter.say("lobby", "who am I now").await;
    let heard = alice.hear().await;
    assert_eq!(heard["user"], own);
    assert_ne!(heard["nick"], "Alice", "the chosen name yielded");
    assert_eq!(heard["verified"], false);
    alice.say("lobby", "it is me").await;
    let heard = alice.hear().await;
    assert_eq!(
        (&heard["nick"], &heard["verified"]),
        (&json!("Alice"), &json!(true))
    );

    let mut late = named(&gateway, "late", "alice").await;
    late.send(json!({ "type": "join", "id": "j", "room": "lobby" }))
        .await;
    assert_eq!(
        late.expect_error().await,
        "nickname_taken",
        "N15: a claimed name cannot be chosen"
    );

    let mut twin = verified(&gateway, "alice-two", "Alice").await;
    let joined = twin.join("lobby").await;
    let nick = joined["nick"].as_str().expect("a nick");
    let user = twin.welcome["user"]["id"].as_str().expect("an id");
    assert_eq!(
        nick,
        format!("Alice-{}", &user[2..6]),
        "N15: the later has a suffix from its user"
    );
    twin.say("lobby", "me too").await;
    assert_eq!(alice.hear().await["nick"], nick);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_is_told_to_the_others_only_and_only_in_the_room() {
    let gateway = TestGateway::start().await;
    let (mut alice, mut bob, mut outside) = (
        gateway.member("Alice").await,
        gateway.member("Bob").await,
        gateway.member("Outside").await,
    );
    alice.join("lobby").await;
    bob.join("lobby").await;
    outside.join("hall").await;
    outside
        .send(json!({ "type": "typing", "room": "lobby" }))
        .await;
    outside.settle().await;
    alice
        .send(json!({ "type": "typing", "room": "lobby" }))
        .await;
    let told = bob.expect("typing").await;
    assert_eq!(
        (&told["room"], &told["nick"], &told["user"]),
        (
            &json!("lobby"),
            &json!("Alice"),
            &alice.welcome["user"]["id"]
        )
    );
    alice.say("lobby", "done").await;
    bob.hear().await;
    for client in [&mut alice, &mut bob, &mut outside] {
        client.settle().await;
        assert!(
            client
                .skipped()
                .iter()
                .all(|frame| frame["type"] != "typing")
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_want_one_name_at_one_instant_one_gets_it() {
    let gateway = TestGateway::with(|config| {
        let plenty = 1000.try_into().expect("not 0");
        config.limits.commands_burst = plenty;
        config.limits.frames_burst = plenty;
        config.limits.rooms_per_session_max = 1000;
    })
    .await;
    let open = async |name: &str| {
        let token = gateway.provider.token(name);
        gateway.client().bearer(&token).open().await
    };
    let (mut one, mut other) = (open("one").await, open("other").await);
    for round in 0..100 {
        let join =
            json!({ "type": "join", "id": "n", "room": format!("r{round}"), "nick": "Wanted" });
        tokio::join!(one.send(join.clone()), other.send(join));
        let answer = async |client: &mut crate::support::client::Client| loop {
            let frame = client.next().await;
            if frame["id"] == "n" {
                break frame;
            }
        };
        let (mine, theirs) = tokio::join!(answer(&mut one), answer(&mut other));
        let (winner, loser) = if mine["type"] == "joined" {
            (mine, theirs)
        } else {
            (theirs, mine)
        };
        assert_eq!(winner["nick"], "Wanted", "N13 round {round}");
        assert_eq!(
            (loser["type"].as_str(), loser["code"].as_str()),
            (Some("error"), Some("nickname_taken")),
            "N13 round {round}"
        );
    }
}
