//! A snapshot of every frame and code. A changed snapshot is a changed protocol, and belongs into the changelog.

use wardroom::{
    domain::{
        ids::{MessageId, Producer, ProducerId, SessionId, UserId},
        position::{Epoch, Head, Position},
        room_name::RoomId,
    },
    outbound::frame::Frame,
    protocol::{
        codes::{CloseCode, ErrorCode},
        plain_text,
        server_frame::{
            Ack, Done, Error, History, Joined, Members, Message, Outcome, Person, Presence, Said,
            ServerFrame, Welcome, WelcomeLimits, WelcomeUser,
        },
        timestamp::rfc3339,
    },
};

fn frames() -> Vec<String> {
    let room = RoomId::parse("lobby", 64).expect("a room");
    let user = UserId::from_digest(&[7; 32]);
    let at = Position {
        offset: 43,
        epoch: Epoch::new(0x5f3a),
    };
    let producer = ProducerId::from_bytes([1; 12]);
    let id = MessageId {
        producer: Producer {
            id: producer,
            chain: 0,
        },
        seq: 7,
    };
    let ts = rfc3339(1_795_521_600_000);
    let said = Said {
        user,
        nick: "Alice",
        verified: true,
        text: "a < b & \"c\"",
        html: None,
    };
    let message = |said, deleted| {
        ServerFrame::Message(Message {
            room: &room,
            offset: 44,
            id,
            said,
            deleted,
            ts: &ts,
        })
    };
    let live = Frame::encode(&message(Some(Said { ..said }), false));
    let raw: Box<serde_json::value::RawValue> =
        serde_json::from_str(live.as_str()).expect("a frame is JSON");
    let people = [Person {
        user,
        nick: "Alice",
    }];
    let limits = WelcomeLimits {
        text_bytes_max: 4096,
        text_graphemes_max: 2000,
        lines_max: 50,
        ws_message_bytes_max: 16384,
        messages_per_s: 5,
        messages_burst: 20,
        rooms_per_session_max: 50,
        history_page_max: 100,
        inflight_max: 100,
        cursor_pairs_max: 4,
    };
    let error = Error {
        id: Some("3"),
        code: ErrorCode::RateLimited,
        detail: "Too fast.",
        retry_after_ms: None,
        outcome: None,
        have: None,
    };
    let all = [
        ServerFrame::Welcome(Welcome {
            session: SessionId::from_random([2; 16]),
            user: WelcomeUser {
                id: user,
                nick: None,
                scopes: &["chat:read", "chat:send"],
            },
            producer,
            resume: "1795521600.AAAAAAAAAAAAAAAAAAAAAA",
            durability: "memory",
            limits,
            ping_ms: 25000,
            expires_at: &ts,
        }),
        ServerFrame::Joined(Joined {
            id: Some("1"),
            room: &room,
            nick: "Alice",
            head: Head(Some(at)),
            recovered: true,
            members: 12,
            messages: vec![&raw],
        }),
        ServerFrame::Joined(Joined {
            id: None,
            room: &room,
            nick: "Alice",
            head: Head(None),
            recovered: false,
            members: 1,
            messages: vec![],
        }),
        message(Some(Said { ..said }), false),
        message(
            Some(Said {
                html: Some("a &lt; b &amp; \"c\""),
                ..said
            }),
            false,
        ),
        message(None, true),
        ServerFrame::Deleted {
            room: &room,
            offset: 45,
            target: 41,
        },
        ServerFrame::Ok(Done {
            id: Some("2"),
            expires_at: None,
            scopes: None,
        }),
        ServerFrame::Ok(Done {
            id: None,
            expires_at: Some(&ts),
            scopes: Some(&["chat:read"]),
        }),
        ServerFrame::Ack(Ack {
            id: Some("3"),
            room: &room,
            offset: Some(44),
            epoch: Some(at.epoch),
            message: id,
            ts: &ts,
            durability: "memory",
            duplicate: false,
        }),
        ServerFrame::Ack(Ack {
            id: None,
            room: &room,
            offset: None,
            epoch: None,
            message: id,
            ts: &ts,
            durability: "disk",
            duplicate: true,
        }),
        ServerFrame::Error(Error {
            retry_after_ms: Some(1200),
            ..error
        }),
        ServerFrame::Error(Error {
            code: ErrorCode::OutOfSequence,
            outcome: Some(Outcome::No),
            have: Some(5),
            ..error
        }),
        ServerFrame::Error(Error {
            id: None,
            code: ErrorCode::Unavailable,
            outcome: Some(Outcome::Unknown),
            ..error
        }),
        ServerFrame::Presence(Presence {
            room: &room,
            joined: &people,
            left: &[],
            count: 13,
        }),
        ServerFrame::Typing {
            room: &room,
            user,
            nick: "Alice",
        },
        ServerFrame::Epoch {
            room: &room,
            epoch: at.epoch,
            from: 41,
        },
        ServerFrame::Gap {
            room: &room,
            from: 41,
            to: Head(Some(at)),
        },
        ServerFrame::Fork {
            room: &room,
            keep: at,
        },
        ServerFrame::Reset {
            room: &room,
            to: Head(None),
        },
        ServerFrame::History(History {
            id: Some("4"),
            room: &room,
            messages: vec![&raw],
            first: 1,
            head: Head(Some(at)),
        }),
        ServerFrame::Members(Members {
            id: Some("5"),
            room: &room,
            count: 1,
            members: &people,
        }),
        ServerFrame::Pong { id: Some("7") },
        ServerFrame::Pong { id: None },
        ServerFrame::Expiring { in_ms: 60000 },
        ServerFrame::Status { log: "degraded" },
        ServerFrame::Closing {
            code: CloseCode::GoingAway,
            reconnect: true,
            retry_after_ms: Some(4200),
        },
        ServerFrame::Closing {
            code: CloseCode::Revoked,
            reconnect: false,
            retry_after_ms: None,
        },
    ];
    let mut lines: Vec<String> = all
        .iter()
        .map(|frame| Frame::encode(frame).as_str().to_owned())
        .collect();
    lines.push(plain_text::write("Alice", "two\nlines"));
    lines.push(plain_text::write_error(ErrorCode::BadRequest, "No colon."));
    lines
}

#[test]
fn every_frame_has_its_form() {
    insta::assert_snapshot!("frames", frames().join("\n"));
}

#[test]
fn every_code_has_its_name() {
    let close = CloseCode::ALL.map(|code| {
        format!(
            "{} {} reconnect={} closing_frame={}",
            code.number(),
            code.name(),
            code.reconnect(),
            code.has_closing_frame()
        )
    });
    insta::assert_snapshot!("close_codes", close.join("\n"));
    insta::assert_snapshot!(
        "error_codes",
        ErrorCode::ALL.map(ErrorCode::name).join("\n")
    );
}

/// The tables of the documentation are the tables of the code.
#[test]
fn the_documented_codes_are_the_codes() {
    let page = include_str!("../docs/protocol.md");
    for code in CloseCode::ALL {
        let row = format!("| {} | `{}` |", code.number(), code.name());
        assert!(page.contains(&row), "docs/protocol.md lacks the row {row}");
    }
    for code in ErrorCode::ALL {
        let row = format!("| `{}` |", code.name());
        assert!(
            page.lines().any(|line| line.starts_with(&row)),
            "docs/protocol.md lacks the row {row}"
        );
    }
}
