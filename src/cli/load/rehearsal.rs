//! The whole generator against a stage: a few lines that behave like a gateway, and misbehave on cue.

use std::{sync::Arc, time::Duration};

use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_tungstenite::{
    accept_hdr_async,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{ErrorResponse, Request, Response},
        http::{StatusCode, header},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::{args::LoadArgs, measure, report::Report};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadArgs,
}

/// What one member meets at the fifth message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cue {
    Nothing,
    Lose,
    Double,
    Alter,
    Close,
    /// The sender is told no, and nobody gets it.
    Refuse,
    /// The sender is told nothing.
    Forget,
}

struct Stage {
    cue: Cue,
    offset: u64,
    members: Vec<mpsc::Sender<Message>>,
    /// Upgrades that are still to be answered with 429.
    turned_away: u32,
    bearers: Vec<String>,
}

type Shared = Arc<Mutex<Stage>>;

impl Stage {
    fn say(&mut self, sender: &mpsc::Sender<Message>, said: &Value) {
        // A member that has gone hears nothing more.
        let put = |member: &mpsc::Sender<Message>, frame: &Value| {
            member.try_send(Message::text(frame.to_string())).ok();
        };
        self.offset += 1;
        let cue = if self.offset == 5 {
            self.cue
        } else {
            Cue::Nothing
        };
        if cue == Cue::Refuse {
            return put(
                sender,
                &json!({"type": "error", "id": said["id"], "code": "rate_limited", "outcome": "no"}),
            );
        }
        let place = if self.cue == Cue::Refuse && self.offset > 5 {
            self.offset - 1
        } else {
            self.offset
        };
        let mut message =
            json!({"type": "message", "room": said["room"], "offset": place, "text": said["text"]});
        for member in self.members.iter().skip(1) {
            put(member, &message);
        }
        match cue {
            Cue::Lose => {}
            Cue::Double => (0..2).for_each(|_| put(&self.members[0], &message)),
            Cue::Alter => {
                message["text"] = json!(said["text"].as_str().unwrap().replace('z', "y"));
                put(&self.members[0], &message);
            }
            Cue::Close => {
                let close = CloseFrame {
                    code: CloseCode::Library(4520),
                    reason: Utf8Bytes::from_static("slow_consumer"),
                };
                self.members[0]
                    .try_send(Message::Close(Some(close)))
                    .unwrap();
            }
            _ => put(&self.members[0], &message),
        }
        if cue != Cue::Forget {
            put(
                sender,
                &json!({"type": "ack", "id": said["id"], "room": said["room"], "offset": place}),
            );
        }
    }
}

async fn perform(stream: TcpStream, stage: Shared) {
    #[expect(
        clippy::result_large_err,
        reason = "the callback's type is the crate's"
    )]
    let admit = |request: &Request, response: Response| {
        let mut stage = stage.lock();
        if stage.turned_away > 0 {
            stage.turned_away -= 1;
            let mut refusal = ErrorResponse::new(Some(r#"{"code":"rate_limited"}"#.to_owned()));
            *refusal.status_mut() = StatusCode::TOO_MANY_REQUESTS;
            refusal.headers_mut().insert(header::RETRY_AFTER, 1.into());
            return Err(refusal);
        }
        assert_eq!(request.uri().query(), Some("room=lobby"));
        stage.bearers.push(
            request.headers()[header::AUTHORIZATION]
                .to_str()
                .unwrap()
                .to_owned(),
        );
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, admit).await else {
        return;
    };
    let (member, mut frames) = mpsc::channel(256);
    socket
        .feed(Message::text(
            json!({"type": "welcome", "limits": {"messages_per_s": 20}}).to_string(),
        ))
        .await
        .unwrap();
    let head = {
        let mut stage = stage.lock();
        stage.members.push(member.clone());
        stage.offset
    };
    let joined = json!({"type": "joined", "room": "lobby", "head": [head, "5f3a"], "messages": []});
    socket
        .send(Message::text(joined.to_string()))
        .await
        .unwrap();
    loop {
        tokio::select! {
            Some(frame) = frames.recv() => if socket.send(frame).await.is_err() { return },
            read = socket.next() => match read {
                Some(Ok(Message::Text(said))) => stage.lock().say(&member, &serde_json::from_str(&said).unwrap()),
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}

const STEADY: &str = "--rate 20 --senders 2";

/// Runs five sessions for a second.
async fn rehearse(cue: Cue, turned_away: u32, more: &str) -> anyhow::Result<(Report, Vec<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stage = Arc::new(Mutex::new(Stage {
        cue,
        offset: 0,
        members: Vec::new(),
        turned_away,
        bearers: Vec::new(),
    }));
    let mut performing = JoinSet::new();
    let performers = Arc::clone(&stage);
    performing.spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            sessions.spawn(perform(stream, Arc::clone(&performers)));
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    std::fs::write(&tokens, "one\n\ntwo\n").unwrap();
    let line = format!(
        "load --url ws://127.0.0.1:{port}/ws/chat --sockets 5 --warmup 0 --seconds 1 --patience 1 {more} --token-file"
    );
    let words = line
        .split_ascii_whitespace()
        .map(Into::into)
        .chain([tokens.into_os_string()]);
    let report = measure(&Cli::parse_from(words).load).await?;
    let bearers = std::mem::take(&mut stage.lock().bearers);
    Ok((report, bearers))
}

#[tokio::test]
async fn a_faithful_gateway_is_found_faithful() {
    let (report, mut bearers) = rehearse(Cue::Nothing, 2, STEADY).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(
        (
            report.messages.sent,
            report.messages.acknowledged,
            report.deliveries.all
        ),
        (20, 20, 100),
        "{report}"
    );
    assert_eq!(report.sessions.delayed, 2);
    assert!(report.deliveries.latency_us.max >= report.deliveries.latency_us.p50);
    bearers.sort();
    assert_eq!(
        bearers,
        [
            "Bearer one",
            "Bearer one",
            "Bearer one",
            "Bearer two",
            "Bearer two"
        ]
    );
}

#[tokio::test]
async fn a_saturating_run_says_more_than_any_rate_and_loses_nothing() {
    let (report, _) = rehearse(Cue::Nothing, 0, "--in-flight 4").await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert!(report.messages.sent > 20, "{report}");
    assert_eq!(report.deliveries.all, report.messages.sent * 5);
    assert!(
        report
            .render(true)
            .unwrap()
            .starts_with("{\"sessions\":{\"count\":5,")
    );
}

#[tokio::test]
async fn every_misbehaviour_is_found() {
    let runs = [
        Cue::Lose,
        Cue::Double,
        Cue::Alter,
        Cue::Close,
        Cue::Refuse,
        Cue::Forget,
    ]
    .map(|cue| rehearse(cue, 0, STEADY));
    let reports = futures_util::future::join_all(runs).await;
    let reports: Vec<_> = reports.into_iter().map(|run| run.unwrap().0).collect();
    let [lose, double, alter, close, refuse, forget] = &reports[..] else {
        panic!("six runs")
    };
    assert_eq!((lose.faults.lost, lose.faults.disordered), (1, 1), "{lose}");
    assert_eq!(
        (
            double.faults.doubled,
            double.faults.disordered,
            double.faults.lost
        ),
        (1, 1, 0),
        "{double}"
    );
    assert_eq!((alter.faults.altered, alter.faults.lost), (1, 1), "{alter}");
    assert_eq!(
        close.faults.closed.keys().collect::<Vec<_>>(),
        ["4520 slow_consumer"],
        "{close}"
    );
    assert!(close.faults.lost >= 1, "{close}");
    assert_eq!(refuse.messages.refused["rate_limited"], 1);
    assert!(
        refuse.is_clean() && refuse.to_string().contains("--senders"),
        "a refusal is no fault, and is explained: {refuse}"
    );
    assert_eq!(
        (forget.faults.unanswered, forget.faults.lost),
        (1, 0),
        "{forget}"
    );
}

#[tokio::test]
async fn more_than_the_gateway_lets_a_session_send_is_said_before_it_is_tried() {
    let refused = rehearse(Cue::Nothing, 0, "--rate 20 --senders 1")
        .await
        .map(drop);
    assert!(refused.is_ok(), "20 of 20 per second");
    let refused = tokio::time::timeout(
        Duration::from_secs(10),
        rehearse(Cue::Nothing, 0, "--rate 41 --senders 2"),
    )
    .await
    .unwrap();
    assert!(
        refused
            .map(drop)
            .unwrap_err()
            .to_string()
            .contains("--senders 3")
    );
}
