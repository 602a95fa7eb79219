//! P4 and P7 at the level of frames: whatever a peer writes, it is told why it was closed, nobody else notices, and what it
//! held is given back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, time::Instant};

use crate::support::{
    eventually,
    gateway::TestGateway,
    liar::{
        self, BINARY, CLOSE, FIRST_PART, Heard, LAST, Liar, MIDDLE_PART, PING, PONG, TEXT, close,
        frame, header,
    },
    quiet::{self, Quiet, SCENE},
    within,
};

#[expect(
    clippy::unnecessary_wraps,
    reason = "a connection may end without a Close, and is compared with this"
)]
fn closed(code: u16, name: &str) -> Option<(u16, String)> {
    Some((code, name.to_owned()))
}

/// A ping of exactly so many bytes; it is answered with a `pong` of the id.
fn long_ping(bytes: usize) -> String {
    let empty = r#"{"type":"ping","id":"long","x":""}"#;
    let filler = "x".repeat(bytes - empty.len());
    format!(r#"{{"type":"ping","id":"long","x":"{filler}"}}"#)
}

/// One row of a table whose rows all end with a Close.
struct Row {
    name: String,
    bytes: Vec<u8>,
    close: (u16, &'static str),
}

fn row(name: impl Into<String>, bytes: Vec<u8>, close: (u16, &'static str)) -> Row {
    Row {
        name: name.into(),
        bytes,
        close,
    }
}

const PROTOCOL_ERROR: (u16, &str) = (1002, "protocol_error");
const UNSUPPORTED: (u16, &str) = (1003, "unsupported_data");
const NOT_UTF8: (u16, &str) = (1007, "not_utf8");
const TOO_BIG: (u16, &str) = (1009, "too_big");

fn broken_frames() -> Vec<Row> {
    let mut rows = vec![
        row("F1 unmasked", vec![TEXT, 2, b'{', b'}'], PROTOCOL_ERROR),
        row("F10 nothing to continue", frame(LAST, b"x"), PROTOCOL_ERROR),
        row(
            "F10 a text inside a message",
            [frame(FIRST_PART, b"x"), frame(TEXT, b"{}")].concat(),
            PROTOCOL_ERROR,
        ),
        row("F12 a ping in parts", frame(0x09, b"x"), PROTOCOL_ERROR),
        row("F12 a Close in parts", frame(0x08, b"x"), PROTOCOL_ERROR),
        row("F12 a long ping", frame(PING, &[b'x'; 126]), PROTOCOL_ERROR),
        row(
            "F12 a long Close",
            frame(CLOSE, &[3, 232].repeat(63)),
            PROTOCOL_ERROR,
        ),
        row(
            "F13 a Close of one byte",
            frame(CLOSE, &[3]),
            PROTOCOL_ERROR,
        ),
    ];
    for bit in [0x40, 0x20, 0x10] {
        for first in [TEXT, PING] {
            rows.push(row(
                format!("F2 reserved bit {bit:#x} on {first:#x}"),
                frame(first | bit, b"{}"),
                PROTOCOL_ERROR,
            ));
        }
    }
    for opcode in (3..=7).chain(11..=15) {
        rows.push(row(
            format!("F3 opcode {opcode}"),
            frame(0x80 | opcode, b""),
            PROTOCOL_ERROR,
        ));
    }
    for code in [0, 999, 1004, 1005, 1006, 1014, 1015, 2999, 5000, 65535] {
        rows.push(row(format!("F13 code {code}"), close(code), PROTOCOL_ERROR));
    }
    rows
}

fn oversized_and_unreadable() -> Vec<Row> {
    let half = "y".repeat(8192);
    let mut rows = vec![
        row(
            "F6 one byte too many",
            frame(TEXT, long_ping(16385).as_bytes()),
            TOO_BIG,
        ),
        row(
            "F6 one byte too many, only the head",
            header(TEXT, 16385),
            TOO_BIG,
        ),
        row(
            "F7 parts of one byte too many",
            [
                frame(FIRST_PART, half.as_bytes()),
                frame(MIDDLE_PART, half.as_bytes()),
                frame(LAST, b"y"),
            ]
            .concat(),
            TOO_BIG,
        ),
        row("F22 empty", frame(BINARY, b""), UNSUPPORTED),
        row(
            "F22 JSON",
            frame(BINARY, br#"{"type":"ping"}"#),
            UNSUPPORTED,
        ),
        row(
            "F22 as much as a frame may hold",
            frame(BINARY, &[0xa5; 16384]),
            UNSUPPORTED,
        ),
        row(
            "F22 in parts",
            [frame(0x02, b"a"), frame(LAST, b"b")].concat(),
            UNSUPPORTED,
        ),
        row(
            "F9 across two parts",
            [frame(FIRST_PART, b"\xf0\x9f"), frame(LAST, b"\x41")].concat(),
            NOT_UTF8,
        ),
        row(
            "F9 cut off at the end of the parts",
            [frame(FIRST_PART, b"a\xf0\x9f"), frame(LAST, b"\x98")].concat(),
            NOT_UTF8,
        ),
    ];
    for length in [1 << 40, 1 << 63, u64::MAX] {
        // The top bit must be 0 (RFC 6455 §5.2); whether that or the size is blamed is the codec's to say.
        rows.push(row(format!("F4 {length}"), header(TEXT, length), TOO_BIG));
    }
    for bad in [
        &b"\x80"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"a\xf0\x9f\x98",
        b"\xff",
    ] {
        rows.push(row(format!("F9 {bad:x?}"), frame(TEXT, bad), NOT_UTF8));
    }
    rows
}

/// Plays every row in a session of its own, with a bystander in the room and two who talk elsewhere.
async fn play(rows: Vec<Row>) {
    let gateway = TestGateway::with(quiet::for_many).await;
    let mut quiet = Quiet::watch(&gateway).await;
    for Row { name, bytes, close } in rows {
        let (code, reason) = close;
        quiet
            .during(async {
                let mut liar =
                    Liar::enter_with(&gateway, "Mallory", &format!("&room={SCENE}")).await;
                liar.expect("joined").await;
                liar.write(&bytes).await;
                let heard = liar.closed().await;
                let too_big_for_a_length =
                    name.starts_with("F4") && heard == closed(1002, "protocol_error");
                assert!(
                    heard == closed(code, reason) || too_big_for_a_length,
                    "{name}: {heard:?}"
                );
                // Answered, so that the server need not wait for more.
                liar.try_write(&liar::close(code)).await.ok();
                liar.ended().await;
            })
            .await;
        quiet
            .holds(&[&format!(
                "wardroom_sessions_closed_total{{code=\"{code}\",by=\"server\"}}"
            )])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_breaks_the_protocol_is_answered_with_1002() {
    play(broken_frames()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_big_not_utf8_or_binary_is_answered_with_its_own_code() {
    play(oversized_and_unreadable()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_as_large_as_allowed_is_read_and_the_end_of_a_huge_one_is_not_waited_for() {
    let gateway =
        TestGateway::with(|config| config.limits.ws_linger = Duration::from_secs(8)).await;
    let mut liar = Liar::enter(&gateway, "Alice").await;
    liar.write(&frame(TEXT, long_ping(16384).as_bytes())).await;
    assert_eq!(liar.expect("pong").await["id"], "long", "F6");
    let text = long_ping(16384);
    let (one, two) = text.as_bytes().split_at(8192);
    liar.write(&[frame(FIRST_PART, one), frame(LAST, two)].concat())
        .await;
    assert_eq!(liar.expect("pong").await["id"], "long", "F7");
    liar.write(&header(TEXT, 100 << 20)).await;
    // It reads only later, as a browser that is busy does: a reset would have taken the Close away.
    for _ in 0..128 {
        liar.try_write(&[0; 16384]).await.ok();
    }
    assert_eq!(liar.closed().await, closed(1009, "too_big"), "F6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_may_be_cut_anywhere_and_a_ping_may_come_between_its_parts() {
    let gateway = TestGateway::start().await;
    let mut liar = Liar::enter_with(&gateway, "Alice", "&room=lobby").await;
    liar.expect("joined").await;
    let send = json!({ "type": "send", "room": "lobby", "text": "a😀b" }).to_string();
    let smile = send.find('😀').expect("it is there");
    for cut in smile..=smile + 4 {
        let (one, two) = send.as_bytes().split_at(cut);
        liar.write(&[frame(FIRST_PART, one), frame(LAST, two)].concat())
            .await;
        assert_eq!(liar.expect("message").await["text"], "a😀b", "F8 at {cut}");
    }
    let parts: Vec<u8> = send.as_bytes()[1..send.len() - 1]
        .iter()
        .flat_map(|byte| frame(MIDDLE_PART, &[*byte]))
        .collect();
    liar.write(&[frame(FIRST_PART, b"{"), parts, frame(LAST, b"}")].concat())
        .await;
    assert_eq!(liar.expect("message").await["text"], "a😀b", "F8 by bytes");

    let (one, two) = br#"{"type":"ping","id":"11"}"#.split_at(9);
    liar.write(&frame(FIRST_PART, one)).await;
    liar.write(&frame(PING, b"are you there")).await;
    loop {
        let heard = liar.heard().await.expect("open");
        if heard.first != TEXT {
            assert_eq!(
                heard,
                Heard {
                    first: PONG,
                    payload: b"are you there".to_vec()
                },
                "F11"
            );
            break;
        }
    }
    liar.write(&frame(LAST, two)).await;
    assert_eq!(liar.expect("pong").await["id"], "11", "F11");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_or_message_that_is_never_finished_ends_with_4508() {
    const ASSEMBLY: Duration = Duration::from_millis(600);
    let gateway = TestGateway::with(|config| config.limits.ws_assembly = ASSEMBLY).await;
    let announced = header(TEXT, 16384);
    let mut quiet = Quiet::watch(&gateway).await;
    for (name, first, drip) in [
        ("F5 silence", announced.clone(), None),
        ("F5 silence inside the head", vec![TEXT, 0xfe], None),
        ("F5 a byte now and then", announced, Some(vec![b'x'])),
        (
            "F21 parts without an end",
            frame(FIRST_PART, b"x"),
            Some(frame(MIDDLE_PART, b"x")),
        ),
        (
            "F21 pings inside a message",
            frame(FIRST_PART, b"x"),
            Some(frame(PING, b"alive")),
        ),
    ] {
        let took = quiet
            .during(async {
                let mut liar = Liar::enter(&gateway, "Mallory").await;
                liar.write(&first).await;
                let began = Instant::now();
                let mut beat = tokio::time::interval(ASSEMBLY / 5);
                loop {
                    tokio::select! {
                        heard = liar.closed() => {
                            assert_eq!(heard, closed(4508, "silent_peer"), "{name}");
                            break began.elapsed();
                        }
                        _ = beat.tick() => {}
                    }
                    if let Some(drip) = &drip {
                        liar.try_write(drip).await.ok();
                    }
                }
            })
            .await;
        assert!(
            (ASSEMBLY * 9 / 10..ASSEMBLY * 5).contains(&took),
            "{name}: {took:?}"
        );
        quiet
            .holds(&["wardroom_sessions_closed_total{code=\"4508\",by=\"server\"}"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_answers_no_ping_is_given_up() {
    let gateway = TestGateway::with(|config| {
        config.limits.ws_ping = Duration::from_millis(200);
        config.limits.ws_silence = Duration::from_millis(700);
    })
    .await;
    let mut alive = gateway.member("Alice").await;
    alive.join("lobby").await;
    let mut liar = Liar::enter(&gateway, "Mallory").await;
    let mut pings = 0;
    let heard = loop {
        // A client with a library answers pings while it reads.
        let heard = tokio::select! {
            heard = liar.heard() => heard.expect("a Close before the end"),
            _ = alive.next() => continue,
        };
        match heard.first {
            PING => pings += 1,
            CLOSE => break heard,
            _ => {
                let told: Value = serde_json::from_slice(&heard.payload).expect("JSON");
                assert_eq!(
                    (told["code"].as_str(), told["reconnect"].as_bool()),
                    (Some("silent_peer"), Some(true))
                );
            }
        }
    };
    assert!(pings >= 2, "{pings} pings were sent before it was given up");
    assert_eq!(
        heard.payload,
        [&4508_u16.to_be_bytes()[..], b"silent_peer"].concat(),
        "F25"
    );
    alive.say("lobby", "whoever answers lives on").await;
    assert_eq!(
        gateway.metric("wardroom_sessions_closed_total{code=\"4508\",by=\"server\"}"),
        1.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_is_echoed_and_the_connection_ends_within_a_second() {
    let gateway = TestGateway::start().await;
    for (name, bytes, code) in [
        ("F14 1000", close(1000), 1000),
        ("F14 3000", close(3000), 3000),
        ("F14 4999", close(4999), 4999),
        ("F14 empty", frame(CLOSE, b""), 1005),
    ] {
        let mut liar = Liar::enter(&gateway, "Alice").await;
        liar.write(&bytes).await;
        let began = Instant::now();
        assert_eq!(liar.closed().await, closed(code, ""), "{name}");
        liar.ended().await;
        assert!(began.elapsed() < Duration::from_secs(1), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_behind_a_close_is_never_delivered() {
    let gateway = TestGateway::with(quiet::for_many).await;
    let mut quiet = Quiet::watch(&gateway).await;
    for behind in [
        liar::json(&json!({ "type": "send", "room": SCENE, "text": "from beyond" })),
        close(1000),
        close(1006),
        vec![0xff; 100],
    ] {
        quiet
            .during(async {
                let mut liar =
                    Liar::enter_with(&gateway, "Mallory", &format!("&room={SCENE}")).await;
                liar.expect("joined").await;
                liar.write(&[close(1000), behind].concat()).await;
                assert_eq!(liar.closed().await, closed(1000, ""), "F15");
                liar.ended().await;
            })
            .await;
        quiet
            .holds(&["wardroom_sessions_closed_total{code=\"1000\",by=\"client\"}"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_answer_our_close_is_not_waited_for_longer_than_allowed() {
    const CLOSING: Duration = Duration::from_secs(1);
    let gateway = TestGateway::with(|config| {
        config.limits.ws_close = CLOSING;
        config.limits.ws_linger = CLOSING / 2;
    })
    .await;
    for keeps_sending in [false, true] {
        let mut liar = Liar::enter(&gateway, "Mallory").await;
        liar.write(&frame(BINARY, b"")).await;
        assert_eq!(liar.closed().await, closed(1003, "unsupported_data"));
        let began = Instant::now();
        if keeps_sending {
            within("the end of the connection", async {
                let more = liar::json(&json!({ "type": "ping" }));
                while liar.try_write(&more).await.is_ok() {}
            })
            .await;
        } else {
            liar.ended().await;
        }
        let took = began.elapsed();
        assert!(
            took < CLOSING + Duration::from_millis(500),
            "F16 keeps sending: {keeps_sending}: {took:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_in_the_middle_of_a_frame_delivers_nothing_and_leaves_once() {
    let gateway =
        TestGateway::with(|config| config.limits.presence_hold = Duration::from_millis(600)).await;
    let mut bob = gateway.member("Bob").await;
    bob.join("lobby").await;
    for end in ["RST", "FIN", "close_notify"] {
        let mut liar = Liar::enter_with(&gateway, "Mallory", "&room=lobby").await;
        liar.expect("joined").await;
        eventually_present(&mut bob, "joined").await;
        let whole = liar::json(&json!({ "type": "send", "room": "lobby", "text": "half" }));
        liar.write(&whole[..whole.len() - 1]).await;
        let mut io = liar.into_io();
        match end {
            "RST" => io.get_ref().0.set_zero_linger().expect("a socket"),
            "FIN" => io.get_mut().0.shutdown().await.expect("a FIN"),
            _ => io.shutdown().await.expect("an alert"),
        }
        let held = (end != "RST").then_some(io);
        let began = Instant::now();
        eventually("the session is over", async || {
            match gateway.metric("wardroom_sessions{protocol=\"wardroom.v1\"}") {
                1.0 => Ok(()),
                open => Err(format!("{open} are open")),
            }
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(1), "F17 {end}");
        eventually_present(&mut bob, "left").await;
        bob.settle().await;
        let beside = bob.skipped();
        assert!(beside.is_empty(), "F17 {end}: {beside:?}");
        drop(held);
    }
    assert_eq!(
        gateway.metric("wardroom_sessions_closed_total{code=\"1001\",by=\"network\"}"),
        3.0
    );
}

/// Waits for the one `presence` frame that names one person in `part` and nobody elsewhere.
async fn eventually_present(client: &mut crate::support::client::Client, part: &str) {
    let told = client.expect("presence").await;
    let (joined, left) = match part {
        "joined" => (1, 0),
        _ => (0, 1),
    };
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    assert_eq!(
        (count(&told["joined"]), count(&told["left"])),
        (joined, left),
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_frames_ends_within_a_second_and_nobody_else_waits() {
    let gateway = TestGateway::start().await;
    let asking: Vec<u8> = (0..100).flat_map(|_| frame(PING, &[b'x'; 125])).collect();
    let answering: Vec<u8> = (0..100).flat_map(|_| frame(PONG, b"")).collect();
    let parts: Vec<u8> = (0..1000).flat_map(|_| frame(MIDDLE_PART, b"")).collect();
    let mut quiet = Quiet::watch(&gateway).await;
    for (name, first, bytes) in [
        ("F18 pings", Vec::new(), asking),
        ("F18 pongs", Vec::new(), answering),
        ("F20 empty continuations", frame(FIRST_PART, b"x"), parts),
    ] {
        quiet
            .during(async {
                let mut liar = Liar::enter(&gateway, "Mallory").await;
                liar.write(&first).await;
                let began = Instant::now();
                let (_, heard) = liar.flood(&bytes).await;
                assert_eq!(heard, closed(4529, "rate_limited"), "{name}");
                assert!(
                    began.elapsed() < Duration::from_secs(1),
                    "{name}: {:?}",
                    began.elapsed()
                );
            })
            .await;
        quiet
            .holds(&["wardroom_sessions_closed_total{code=\"4529\",by=\"server\"}"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_say_nothing_are_answered_ten_times_and_then_end_the_session() {
    let gateway = TestGateway::start().await;
    let mut liar = Liar::enter(&gateway, "Mallory").await;
    let empty: Vec<u8> = (0..1000).flat_map(|_| frame(TEXT, b"")).collect();
    let (before, heard) = liar.flood(&empty).await;
    assert_eq!(heard, closed(4400, "malformed"), "F19: {before:?}");
    let (last, answers) = before.split_last().expect("answers came");
    assert_eq!(
        (last["type"].as_str(), last["code"].as_str()),
        (Some("closing"), Some("malformed"))
    );
    assert_eq!(answers.len(), 10, "F19: {answers:?}");
    assert!(answers.iter().all(|answer| answer["code"] == "bad_request"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_keep_their_order_however_their_bytes_arrive() {
    let gateway = TestGateway::start().await;
    let mut liar = Liar::enter_with(&gateway, "Alice", "&room=lobby").await;
    liar.expect("joined").await;
    let pings: Vec<u8> = (0..50)
        .flat_map(|n| liar::json(&json!({ "type": "ping", "id": n.to_string() })))
        .collect();
    liar.write(&pings).await;
    for n in 0..50 {
        assert_eq!(
            liar.expect("pong").await["id"],
            n.to_string(),
            "F23 in one record"
        );
    }
    assert_eq!(
        gateway.metric("wardroom_frames_received_total{type=\"ping\"}"),
        50.0
    );
    let sends: Vec<u8> = (0..10)
        .flat_map(|n| {
            let text = format!("m{n}");
            liar::json(&json!({ "type": "send", "id": text, "room": "lobby", "text": text }))
        })
        .collect();
    for byte in sends {
        liar.write(&[byte]).await;
    }
    let (mut acks, mut messages) = (Vec::new(), Vec::new());
    while acks.len() < 10 || messages.len() < 10 {
        let frame = liar.json().await;
        match frame["type"].as_str() {
            Some("ack") => acks.push((frame["id"].clone(), frame["offset"].as_u64())),
            Some("message") => messages.push((frame["text"].clone(), frame["offset"].as_u64())),
            _ => {}
        }
    }
    let expected: Vec<_> = (0..10)
        .map(|n| (json!(format!("m{n}")), Some(n + 1)))
        .collect();
    assert_eq!(acks, expected, "F23 byte by byte");
    assert_eq!(messages, expected, "F23 byte by byte");
    assert_eq!(
        gateway.metric("wardroom_frames_received_total{type=\"send\"}"),
        10.0
    );
}
