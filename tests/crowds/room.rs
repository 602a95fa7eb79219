//! P5 and P7 in a crowd: a room of thousands keeps its order for everybody, and the rooms beside it do not notice.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    sync::watch::{self, Receiver},
    task::JoinSet,
    time::Instant,
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    client::Client,
    program::{Node, Site},
};

const MEMBERS: usize = 5000;
const ROOMS_OF_ONE: usize = 50;
const PAIRS: usize = 20;
const SAID: usize = 40;

/// What a crowd of one address needs beyond the defaults.
const CROWD: &str = "[limits]\nconnections_per_ip_max = 10000\nconnects_per_ip_per_s = 10000\nconnects_per_ip_burst = 100000\n\
                     tls_handshakes_per_ip_max = 500\nframes_burst = 1000\ncommands_burst = 1000\nmessages_burst = 1000\n\
                     messages_per_user_burst = 1000\n";

async fn enter(site: &Site, node: &Node, name: &str, query: &str) -> Client {
    let token = site.provider.token(name);
    let dial = node.door.client().bearer(&token);
    dial.query(&format!("nick={name}{query}")).open().await
}

/// Joins when told to and reads as a member does; the offsets of so many messages. They are told apart without parsing: the
/// crowd shares the machine with the gateway.
async fn offsets(mut member: Client, mut go: Receiver<bool>, count: usize) -> (Client, Vec<u64>) {
    go.wait_for(|go| *go).await.expect("it is told");
    member
        .send(json!({ "type": "join", "id": "j", "room": "hall" }))
        .await;
    let mut heard = Vec::new();
    while heard.len() < count {
        match member.ws.next().await {
            Some(Ok(Message::Text(text))) if text.starts_with("{\"type\":\"message\"") => {
                let frame: Value = serde_json::from_str(text.as_str()).expect("JSON");
                heard.push(frame["offset"].as_u64().expect("an offset"));
            }
            Some(Ok(_)) => {}
            end => panic!("a member of the crowd was lost: {end:?}"),
        }
    }
    (member, heard)
}

/// Says one thing in each of its rooms, round after round, until told to end; how many rounds.
async fn talk(
    mut talker: Client,
    mut listener: Client,
    rooms: Vec<String>,
    mut over: Receiver<bool>,
) -> usize {
    let mut rounds = 0;
    while !*over.borrow_and_update() {
        rounds += 1;
        for room in &rooms {
            let ack = talker.say(room, &rounds.to_string()).await;
            assert_eq!(ack["offset"], rounds, "R12: {room}");
            let heard = listener.hear().await;
            assert_eq!(
                (
                    heard["room"].as_str(),
                    &heard["offset"],
                    heard["text"].as_str()
                ),
                (
                    Some(room.as_str()),
                    &ack["offset"],
                    Some(rounds.to_string().as_str())
                ),
                "R12: none lost, in order"
            );
        }
    }
    rounds
}

/// Two people with fifty rooms of their own.
async fn pair(site: &Site, node: &Node, number: usize) -> (Client, Client, Vec<String>) {
    let rooms: Vec<String> = (0..ROOMS_OF_ONE)
        .map(|n| format!("r{number}.{n}"))
        .collect();
    let query: String = rooms.iter().map(|room| format!("&room={room}")).collect();
    let mut two = Vec::new();
    for side in ["t", "l"] {
        let mut client = enter(site, node, &format!("{side}{number}"), &query).await;
        for _ in 0..ROOMS_OF_ONE {
            client.expect("joined").await;
        }
        two.push(client);
    }
    let listener = two.pop().expect("two");
    (two.pop().expect("two"), listener, rooms)
}

/// Waits until so many are in the hall.
async fn full(site: &Site, node: &Node, people: usize) {
    let token = site.provider.token("porter");
    let path = "/api/v1/rooms/hall/members";
    let deadline = Instant::now() + Duration::from_mins(3);
    loop {
        let listed = node.door.api("GET", path, &token, None).await.json();
        if listed["count"] == people {
            return;
        }
        assert!(Instant::now() < deadline, "{} of {people}", listed["count"]);
        tokio::time::sleep_until(Instant::now() + Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_five_thousand_disturbs_none_of_a_thousand_rooms_beside_it() {
    let site = Site::new();
    let node = site.serve(CROWD).await;
    let opening = (0..MEMBERS).map(|n| {
        let (site, node) = (&site, &node);
        async move { enter(site, node, &format!("m{n}"), "").await }
    });
    let (begin, go) = watch::channel(false);
    let mut crowd = JoinSet::new();
    let mut arriving = stream::iter(opening).buffer_unordered(20);
    while let Some(member) = arriving.next().await {
        crowd.spawn(offsets(member, go.clone(), SAID));
    }
    drop(arriving);
    let (end, over) = watch::channel(false);
    let mut pairs = JoinSet::new();
    for number in 0..PAIRS {
        let (talker, listener, rooms) = pair(&site, &node, number).await;
        pairs.spawn(talk(talker, listener, rooms, over.clone()));
    }
    begin.send(true).expect("they wait");
    full(&site, &node, MEMBERS).await;
    let mut speaker = enter(&site, &node, "speaker", "&room=hall").await;
    assert_eq!(speaker.expect("joined").await["members"], MEMBERS + 1);
    for n in 1..=SAID {
        assert_eq!(speaker.say("hall", &n.to_string()).await["offset"], n);
    }
    let expected: Vec<u64> = (1..=SAID as u64).collect();
    let mut present = Vec::new();
    while let Some(member) = crowd.join_next().await {
        let (member, heard) = member.expect("no panic");
        assert_eq!(heard, expected, "R12: everybody hears all, in order");
        present.push(member);
    }
    assert_eq!(present.len(), MEMBERS);
    end.send(true).expect("they listen");
    let mut rounds = 0;
    while let Some(pair) = pairs.join_next().await {
        rounds += pair.expect("R12: a pair was disturbed");
    }
    assert!(rounds >= PAIRS, "R12: every pair talked: {rounds}");
    let metrics = node.door.admin_get("/metrics").await;
    let text = String::from_utf8(metrics.body).expect("UTF-8");
    for bad in ["code=\"4520\"", "code=\"1011\""] {
        let closed = text.lines().find(|line| line.contains(bad));
        assert!(
            closed.is_none_or(|line| line.ends_with(" 0")),
            "R12: {closed:?}"
        );
    }
}
