//! The whole road of a session, frame by frame, with the default limits.

use std::{sync::Arc, time::Duration};

use proptest::prelude::{any, proptest};
use tokio::time::advance;

use super::{Accepted, Inbound, InboundRules, Line, Reject, rate::SharedRates};
use crate::{
    config::Config,
    domain::{
        command::{Command, Numbered},
        ids::UserId,
        nickname::NameSource,
        position::{Epoch, Position},
        reason::Reason,
        room_name::RoomId,
    },
    protocol::{
        codes::{CloseCode, ErrorCode},
        server_frame::Outcome,
    },
    telemetry::metrics::Metrics,
};

struct House {
    rules: Arc<InboundRules>,
    shared: Arc<SharedRates>,
    metrics: Arc<Metrics>,
}

impl House {
    fn new() -> Self {
        let config = Config::defaults();
        let metrics = Metrics::new();
        Self {
            rules: InboundRules::new(&config.limits, &config.content, &config.nicknames, &metrics),
            shared: Arc::new(SharedRates::new(&config.limits)),
            metrics,
        }
    }

    fn session(&self, user: u8) -> Inbound {
        Inbound::new(
            Arc::clone(&self.rules),
            Arc::clone(&self.shared),
            UserId::from_digest(&[user; 32]),
        )
    }

    fn limited(&self, scope: &'static str) -> u64 {
        self.metrics
            .rate_limited
            .get_or_create(&[("scope", scope)])
            .get()
    }

    fn received(&self, kind: &'static str) -> u64 {
        self.metrics
            .frames_received
            .get_or_create(&[("type", kind)])
            .get()
    }
}

fn session() -> Inbound {
    House::new().session(1)
}

/// What a fresh session makes of a frame.
fn command(raw: &str) -> Command {
    match session().accept(raw) {
        Ok(Accepted::Command(command)) => command,
        other => panic!("{raw}: {other:?}"),
    }
}

fn refusal(raw: &str) -> Reject {
    session().accept(raw).expect_err(raw)
}

fn code(raw: &str) -> ErrorCode {
    refusal(raw).code
}

fn send(text: &str) -> String {
    serde_json::json!({"type": "send", "id": "3", "room": "lobby", "text": text}).to_string()
}

fn lobby() -> RoomId {
    RoomId::parse("lobby", 64).expect("a room")
}

#[tokio::test]
async fn every_request_becomes_its_command() {
    let id = || Some("1".into());
    assert_eq!(
        command(r#"{"type":"ping","id":"1"}"#),
        Command::Ping { id: id() }
    );
    assert_eq!(
        command(r#"{"type":"leave","id":"1","room":"lobby"}"#),
        Command::Leave {
            id: id(),
            room: lobby()
        }
    );
    assert_eq!(
        command(r#"{"type":"members","id":"1","room":"lobby"}"#),
        Command::Members {
            id: id(),
            room: lobby()
        }
    );
    assert_eq!(
        command(r#"{"type":"typing","room":"lobby"}"#),
        Command::Typing { room: lobby() }
    );
    assert_eq!(
        command(r#"{"type":"history","id":"1","room":"lobby","before":120,"limit":100}"#),
        Command::History {
            id: id(),
            room: lobby(),
            before: Some(120),
            limit: 100
        }
    );
    assert_eq!(
        command(r#"{"type":"history","room":"lobby"}"#),
        Command::History {
            id: None,
            room: lobby(),
            before: None,
            limit: 50
        }
    );
    let target = Position {
        offset: 41,
        epoch: Epoch::new(0x5f3a),
    };
    for (reason, told) in [("", None), (r#","reason":" spam ""#, Some("spam"))] {
        let raw = format!(
            r#"{{"type":"delete","id":"1","room":"lobby","offset":41,"epoch":"5f3a"{reason}}}"#
        );
        assert_eq!(
            command(&raw),
            Command::Delete {
                id: id(),
                room: lobby(),
                target,
                reason: told.map(|told| Reason::from_untrusted(told).expect("a reason")),
            }
        );
    }
    let Command::Auth { token, .. } = command(r#"{"type":"auth","token":"a.b.c"}"#) else {
        panic!("an auth")
    };
    assert_eq!(token.expose(), "a.b.c");
    let Command::Join {
        nick,
        since,
        history,
        ..
    } = command(
        r#"{"type":"join","room":"lobby","nick":" Alice ","since":[[42,"5f3a"]],"history":0}"#,
    )
    else {
        panic!("a join")
    };
    assert_eq!(nick.expect("chosen").as_str(), "Alice");
    assert_eq!((since.positions().len(), history), (1, 0));
    let Command::Join {
        nick: None,
        since,
        history: 50,
        ..
    } = command(r#"{"type":"join","room":"lobby","since":[[0,""]]}"#)
    else {
        panic!("a fresh join")
    };
    assert!(since.is_start());
}

#[tokio::test]
async fn a_send_is_cleaned_and_keeps_its_number() {
    let Command::Send {
        text,
        numbered,
        room,
        id,
    } = command(
        r#"{"type":"send","id":"3","room":"lobby","text":" Hi\r\n<b> ","chain":2,"seq":7,"prev":5}"#,
    )
    else {
        panic!("a send")
    };
    assert_eq!(
        (text.as_str(), room, id.as_deref()),
        ("Hi\n<b>", lobby(), Some("3"))
    );
    assert_eq!(
        numbered,
        Some(Numbered {
            chain: 2,
            seq: 7,
            prev: 5
        })
    );
    let number = |fields: &str| {
        let Command::Send { numbered, .. } = command(&format!(
            r#"{{"type":"send","room":"lobby","text":"x"{fields}}}"#
        )) else {
            panic!("a send")
        };
        numbered
    };
    assert_eq!(number(""), None);
    assert_eq!(
        number(r#","seq":7"#),
        Some(Numbered {
            chain: 0,
            seq: 7,
            prev: 6
        })
    );
    assert_eq!(
        number(r#","seq":1,"prev":0"#),
        Some(Numbered {
            chain: 0,
            seq: 1,
            prev: 0
        })
    );
}

#[tokio::test]
async fn numbers_that_contradict_each_other_are_refused() {
    for fields in [
        r#""seq":0"#,
        r#""seq":7,"prev":7"#,
        r#""seq":7,"prev":8"#,
        r#""prev":6"#,
        r#""chain":1"#,
        r#""chain":65536,"seq":1"#,
        r#""seq":-1"#,
    ] {
        let reject = refusal(&format!(
            r#"{{"type":"send","id":"3","room":"lobby","text":"x",{fields}}}"#
        ));
        assert_eq!(
            (reject.code, reject.outcome),
            (ErrorCode::BadRequest, Some(Outcome::No)),
            "{fields}"
        );
        assert_eq!(reject.id.as_deref(), Some("3"));
    }
}

#[tokio::test]
async fn s10_room_names_have_one_form() {
    let long = "x".repeat(65);
    let longer = "x".repeat(5000);
    for room in [
        "", &long, &longer, "Lobby", "../x", "*", "{tag}", "a\r\n", "a\0", "!control",
    ] {
        for kind in ["join", "leave", "send", "history", "members", "typing"] {
            let raw =
                serde_json::json!({"type": kind, "id": "1", "room": room, "text": "x"}).to_string();
            let reject = refusal(&raw);
            assert_eq!(reject.code, ErrorCode::BadRequest, "{raw}");
            assert!(reject.detail.contains("`room`"), "{}", reject.detail);
        }
    }
    assert!(matches!(
        command(&format!(
            r#"{{"type":"leave","room":"{}"}}"#,
            "x".repeat(64)
        )),
        Command::Leave { .. }
    ));
}

#[tokio::test]
async fn s16_pages_and_cursors_are_bounded() {
    for raw in [
        r#"{"type":"history","room":"lobby","limit":0}"#,
        r#"{"type":"history","room":"lobby","limit":101}"#,
        r#"{"type":"history","room":"lobby","limit":5000}"#,
        r#"{"type":"join","room":"lobby","history":101}"#,
        r#"{"type":"join","room":"lobby","since":[[5,"a"],[4,"b"],[3,"c"],[2,"d"],[1,"e"]]}"#,
        r#"{"type":"join","room":"lobby","since":[[5,"XYZ"]]}"#,
    ] {
        assert_eq!(code(raw), ErrorCode::BadRequest, "{raw}");
    }
    command(
        r#"{"type":"join","room":"lobby","since":[[5,"a"],[4,"b"],[3,"c"],[2,"d"]],"history":100}"#,
    );
}

#[tokio::test]
async fn names_and_texts_have_codes_of_their_own() {
    let join = |nick: &str| {
        code(&serde_json::json!({"type": "join", "room": "lobby", "nick": nick}).to_string())
    };
    for nick in [
        "",
        "  ",
        "a\u{202E}b",
        "<b>",
        &"x".repeat(33),
        &"x".repeat(5000),
    ] {
        assert_eq!(join(nick), ErrorCode::NicknameInvalid, "{nick}");
    }
    assert_eq!(join("a.d.m.i.n"), ErrorCode::NicknameReserved);
    let text = |text: &str| code(&send(text));
    assert_eq!(text(" \n "), ErrorCode::TextEmpty);
    assert_eq!(text("a\0b"), ErrorCode::TextInvalid);
    assert_eq!(
        text(&format!("q{}", "\u{301}".repeat(9))),
        ErrorCode::TextInvalid
    );
    for long in ["x".repeat(2001), "x".repeat(16_000), "x\n".repeat(51) + "x"] {
        assert_eq!(text(&long), ErrorCode::TextTooLong);
    }
}

#[tokio::test]
async fn a_request_keeps_its_name_as_far_as_it_can_be_read() {
    let with_id = |bytes: usize| format!(r#"{{"type":"ping","id":"{}"}}"#, "i".repeat(bytes));
    assert!(matches!(
        command(&with_id(64)),
        Command::Ping { id: Some(_) }
    ));
    let reject = refusal(&with_id(65));
    assert_eq!((reject.code, reject.id), (ErrorCode::BadRequest, None));
    for raw in [
        r#"{"id":"1"}"#,
        r#"{"id":"1","type":"dance"}"#,
        r#"{"id":"1","type":"join"}"#,
        r#"{"id":"1","type":"join","room":5}"#,
        r#"{"id":"1","type":"join","room":"Lobby"}"#,
        r#"{"id":"1","type":"join","room":"lobby","nick":""}"#,
    ] {
        assert_eq!(refusal(raw).id.as_deref(), Some("1"), "{raw}");
    }
}

#[tokio::test]
async fn nothing_that_was_sent_is_said_again() {
    for raw in [
        r#"{"type":"secret"}"#,
        r#"{"type":"send","room":"secret!","text":"x"}"#,
        r#"{"type":"send","room":"lobby","text":["secret"]}"#,
        r#"{"type":"join","room":"lobby","nick":"secret<"}"#,
        r#"{"type":"send","room":"lobby","text":"secret\u0000"}"#,
        r#"{"type":"join","room":"lobby","since":[[1,"secret"]]}"#,
        r#"{"secret"}"#,
        r#"{"type":"join","room":"secretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecretsecret"}"#,
    ] {
        assert!(!refusal(raw).detail.contains("secret"), "{raw}");
    }
}

#[tokio::test(start_paused = true)]
async fn r1_a_burst_passes_and_one_more_is_told_how_long_to_wait() {
    let house = House::new();
    let mut session = house.session(1);
    for _ in 0..20 {
        assert!(session.accept(&send("x")).is_ok());
    }
    let reject = session.accept(&send("x")).expect_err("the 21st");
    assert_eq!(reject.code, ErrorCode::RateLimited);
    assert_eq!(reject.retry_after, Some(Duration::from_millis(200)));
    assert_eq!(
        (reject.outcome, reject.id.as_deref()),
        (Some(Outcome::No), Some("3"))
    );
    assert_eq!(house.limited("connection"), 1);
    advance(Duration::from_millis(200)).await;
    assert!(session.accept(&send("x")).is_ok());
    assert_eq!(house.received("send"), 22);
}

#[tokio::test(start_paused = true)]
async fn r2_too_many_answers_of_that_kind_end_the_session() {
    let mut session = session();
    let mut answered = 0;
    // 200 a second for five seconds.
    for _ in 0..1000 {
        advance(Duration::from_millis(5)).await;
        if let Err(reject) = session.accept(&send("x")) {
            if let Some(code) = reject.ends_session() {
                assert_eq!((code, answered), (CloseCode::RateLimited, 100));
                return;
            }
            answered += 1;
        }
    }
    panic!("the session was never ended");
}

#[tokio::test(start_paused = true)]
async fn r3_a_persons_sessions_share_a_bucket() {
    let house = House::new();
    let mut sessions: Vec<_> = (0..8).map(|_| house.session(1)).collect();
    let passed = |sessions: &mut Vec<Inbound>| {
        sessions
            .iter_mut()
            .flat_map(|one| {
                (0..20)
                    .map(|_| one.accept(&send("x")).is_ok())
                    .collect::<Vec<_>>()
            })
            .filter(|ok| *ok)
            .count()
    };
    assert_eq!(passed(&mut sessions), 40);
    assert!(house.limited("person") > 0);
    // Coming back with fresh sessions empties nothing.
    assert_eq!(passed(&mut vec![house.session(1)]), 0);
    assert!(house.session(2).accept(&send("x")).is_ok());
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_request_has_its_bucket() {
    let passed = |raw: &str| {
        let mut session = session();
        (0..100).filter(|_| session.accept(raw).is_ok()).count()
    };
    assert_eq!(passed(r#"{"type":"ping"}"#), 60);
    assert_eq!(passed(r#"{"type":"members","room":"lobby"}"#), 60);
    assert_eq!(passed(r#"{"type":"history","room":"lobby"}"#), 10);
    assert_eq!(passed(r#"{"type":"auth","token":"x"}"#), 6);
    assert_eq!(passed(&send("x")), 20);
}

#[tokio::test(start_paused = true)]
async fn typing_above_its_rate_is_counted_and_goes_nowhere() {
    let house = House::new();
    let mut session = house.session(1);
    let relayed = (0..10)
        .filter(|_| {
            matches!(
                session.accept(r#"{"type":"typing","room":"lobby"}"#),
                Ok(Accepted::Command(Command::Typing { .. }))
            )
        })
        .count();
    assert_eq!((relayed, house.limited("connection")), (3, 7));
}

#[tokio::test(start_paused = true)]
async fn a_room_has_a_bucket_for_those_who_may_write_there() {
    let house = House::new();
    let mut session = house.session(1);
    for _ in 0..400 {
        assert!(session.charge_room(&lobby(), None).is_ok());
    }
    let id = "9".into();
    let reject = session
        .charge_room(&lobby(), Some(&id))
        .expect_err("the 401st");
    assert_eq!(
        (reject.code, reject.id.as_deref()),
        (ErrorCode::RateLimited, Some("9"))
    );
    assert_eq!(
        (reject.retry_after, reject.outcome),
        (Some(Duration::from_millis(5)), Some(Outcome::No))
    );
    assert_eq!(house.limited("room"), 1);
    // A frame alone, from somebody who may not even be there, takes nothing from it.
    advance(Duration::from_millis(5)).await;
    assert!(house.session(2).accept(&send("x")).is_ok());
    assert!(session.charge_room(&lobby(), None).is_ok());
}

#[tokio::test(start_paused = true)]
async fn f19_frames_that_cannot_be_read_are_answered_ten_times() {
    let house = House::new();
    let mut session = house.session(1);
    for _ in 0..10 {
        let reject = session.accept("").expect_err("nothing");
        assert_eq!(
            (reject.code, reject.ends_session()),
            (ErrorCode::BadRequest, None)
        );
    }
    assert_eq!(
        session.accept("").expect_err("nothing").ends_session(),
        Some(CloseCode::Malformed)
    );
    assert_eq!(house.received("unreadable"), 11);
    advance(Duration::from_mins(1)).await;
    assert_eq!(
        session.accept("[]").expect_err("no object").ends_session(),
        None
    );
}

#[tokio::test(start_paused = true)]
async fn a_newer_client_is_not_thrown_out_for_what_we_do_not_know() {
    let house = House::new();
    let mut session = house.session(1);
    let unknown = r#"{"type":"dance","id":"1"}"#;
    for _ in 0..60 {
        let reject = session.accept(unknown).expect_err("unknown");
        assert_eq!(
            (reject.code, reject.ends_session()),
            (ErrorCode::BadRequest, None)
        );
    }
    assert_eq!(
        session.accept(unknown).expect_err("unknown").code,
        ErrorCode::RateLimited,
        "but it costs what a command costs"
    );
    assert_eq!(house.received("unknown"), 61);
}

fn line(session: &mut Inbound, raw: &str) -> Line {
    match session.accept_text(raw, NameSource::Chosen) {
        Ok(Accepted::Line(line)) => line,
        other => panic!("{raw}: {other:?}"),
    }
}

fn line_code(session: &mut Inbound, raw: &str) -> ErrorCode {
    session
        .accept_text(raw, NameSource::Chosen)
        .expect_err(raw)
        .code
}

#[tokio::test]
async fn s19_the_first_line_claims_the_name_of_all() {
    let mut session = session();
    assert_eq!(line_code(&mut session, "hello"), ErrorCode::BadRequest);
    assert_eq!(
        line_code(&mut session, "!sys: hello"),
        ErrorCode::NicknameInvalid
    );
    assert_eq!(
        line_code(&mut session, ": hello"),
        ErrorCode::NicknameInvalid
    );
    assert_eq!(
        line_code(&mut session, "admin: hello"),
        ErrorCode::NicknameReserved
    );
    assert_eq!(line_code(&mut session, "Alice:  "), ErrorCode::TextEmpty);
    let first = line(&mut session, "Alice: hello: you");
    assert_eq!(
        (first.claims.expect("claimed").as_str(), first.text.as_str()),
        ("Alice", "hello: you")
    );
    for again in ["Alice: more", "Alice:more", " Alice : more", "Ａlice: more"] {
        let more = line(&mut session, again);
        assert_eq!((more.claims, more.text.as_str()), (None, "more"));
    }
    assert_eq!(line_code(&mut session, "Bob: hello"), ErrorCode::Forbidden);
    assert_eq!(
        line_code(&mut session, "alice: hello"),
        ErrorCode::Forbidden
    );
    assert_eq!(
        line_code(&mut session, "!Alice: hello"),
        ErrorCode::NicknameInvalid
    );
    session.forget_line_name();
    assert!(line(&mut session, "Bob: hello").claims.is_some());
}

#[tokio::test]
async fn a_name_that_the_provider_gave_is_not_claimed_again() {
    let mut session = session();
    let Ok(Accepted::Line(first)) = session.accept_text("Admin: hi", NameSource::Claim) else {
        panic!("a line")
    };
    assert_eq!(first.claims, None);
    assert_eq!(
        session
            .accept_text("Bob: hi", NameSource::Claim)
            .expect_err("another")
            .code,
        ErrorCode::Forbidden
    );
}

#[tokio::test(start_paused = true)]
async fn lines_meet_the_same_limits_as_frames() {
    let mut session = session();
    assert_eq!(
        (0..30)
            .filter(|_| session.accept_text("Alice: x", NameSource::Chosen).is_ok())
            .count(),
        20
    );
    assert_eq!(line_code(&mut session, "Alice: x"), ErrorCode::RateLimited);
    let ended = (0..11)
        .filter_map(|_| {
            session
                .accept_text("", NameSource::Chosen)
                .expect_err("nothing")
                .ends_session()
        })
        .collect::<Vec<_>>();
    assert_eq!(ended, [CloseCode::Malformed]);
}

proptest! {
    #[test]
    fn nothing_makes_the_road_panic(raw in any::<String>(), text in any::<String>(), nick in any::<String>()) {
        let mut session = session();
        session.accept(&raw).ok();
        session.accept_text(&raw, NameSource::Chosen).ok();
        session.accept_text(&format!("{nick}:{text}"), NameSource::Chosen).ok();
        session.accept(&send(&text)).ok();
        session.accept(&serde_json::json!({"type": "join", "room": text, "nick": nick, "id": raw}).to_string()).ok();
    }
}
