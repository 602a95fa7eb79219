//! P13: the program as its operator meets it: started, asked, stopped, and wrong.

use std::{os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wardroom::clock::Clock;

use crate::support::{
    eventually,
    gateway::{Door, TestGateway, write_secret},
    http::Answer,
    program::{Process, Site, door, program},
    quiet::Quiet,
    within,
};

#[test]
fn what_cannot_work_is_named_and_ends_with_78() {
    let site = Site::new();
    let other = Site::new();
    let text = |path: &str| std::fs::read_to_string(path).expect("there");
    let path = |name: &str| site.path(name).display().to_string();
    std::fs::copy(other.path("certs/tls.key"), site.path("other.key")).expect("copied");
    std::fs::copy(site.path("certs/tls.key"), site.path("open.key")).expect("copied");
    std::fs::set_permissions(
        site.path("open.key"),
        std::fs::Permissions::from_mode(0o644),
    )
    .expect("a mode");
    site.write("empty", "");
    write_secret(
        &site.path("garbage.key"),
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    let good = site.configuration("");
    let key_file = |name: &str| {
        good.replace(
            "key_file = \"certs/tls.key\"",
            &format!("key_file = \"{name}\""),
        )
    };
    let cert_file = |name: &str| {
        good.replace(
            "cert_file = \"certs/tls.crt\"",
            &format!("cert_file = \"{name}\""),
        )
    };
    for (row, config, named) in [
        (
            "O1 misspelt",
            format!("{good}[limits]\nconections_max = 5\n"),
            "connections_max",
        ),
        (
            "O1 range",
            format!("{good}[limits]\nconnections_max = 0\n"),
            "limits.connections_max",
        ),
        (
            "O1 type",
            format!("{good}[limits]\nconnections_max = \"x\"\n"),
            "limits.connections_max",
        ),
        (
            "O1 twice",
            format!("{good}[tls]\nmode = \"files\"\n"),
            "written before",
        ),
        (
            "O2 no issuer",
            good[..good.find("[[auth").expect("a block")].to_owned(),
            "auth.issuers",
        ),
        (
            "O2 no audience",
            good.replace("[\"wardroom\"]", "[]"),
            "audience",
        ),
        (
            "O2 no origin",
            good.replace("[\"https://chat.test\"]", "[]"),
            "admission.allowed_origins",
        ),
        ("O3 missing", key_file("nowhere.key"), "nowhere.key"),
        ("O3 empty", cert_file("empty"), "empty"),
        ("O3 a directory", cert_file("certs"), "certs"),
        ("O3 readable by all", key_file("open.key"), "open.key"),
        ("O3 damaged", key_file("garbage.key"), "key"),
        ("O3 unmatched", key_file("other.key"), "key"),
    ] {
        site.write("bad.toml", &config);
        for command in ["serve", "check"] {
            let ended = site.run(&[command, "--config", "bad.toml"], &[]);
            let said = format!(
                "{}{}",
                String::from_utf8_lossy(&ended.stdout),
                String::from_utf8_lossy(&ended.stderr)
            );
            assert_eq!(ended.status.code(), Some(78), "{row} {command}: {said}");
            assert!(said.contains(named), "{row} {command}: {said}");
            for file in ["certs/tls.key", "other.key"] {
                let secret = text(&path(file));
                let line = secret.lines().nth(1).expect("base64");
                assert!(
                    !said.contains(&line[..16]),
                    "{row} {command}: a key is shown"
                );
            }
        }
    }
}

#[test]
fn the_production_example_says_what_it_needs() {
    let folder = tempfile::tempdir().expect("a folder");
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/config/wardroom.toml");
    for command in ["check", "serve"] {
        let ended = program(folder.path(), &[command, "--config", example], &[])
            .output()
            .expect("it runs");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        );
        assert_eq!(ended.status.code(), Some(78), "{said}");
        for file in ["/etc/wardroom/tls.crt", "/etc/wardroom/tls.key"] {
            assert!(said.contains(file), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cert_and_token_make_can_be_used_against_serve() {
    let site = Site::new();
    let mode = std::fs::metadata(site.path("certs/tls.key"))
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let node = site.serve("").await;
    let minted = site.run(
        &[
            "token",
            "--sub",
            "alice",
            "--nick",
            "Alice",
            "--rooms",
            "lobby,support:*",
            "--scope",
            "chat",
            "--key",
            "issuer.key",
            "--iss",
            "https://idp.test",
            "--aud",
            "wardroom",
            "--ttl",
            "5m",
        ],
        &[],
    );
    assert_eq!(minted.status.code(), Some(0), "{minted:?}");
    let token = String::from_utf8(minted.stdout)
        .expect("ASCII")
        .trim()
        .to_owned();
    let mut alice = node.door.client().bearer(&token).open().await;
    assert_eq!(alice.welcome["user"]["nick"], "Alice");
    alice.join("support:1").await;
    assert_eq!(alice.say("support:1", "hello").await["offset"], 1);

    let admin = format!("http://{}", node.door.admin);
    let probe = |path: &str| {
        site.run(&["healthcheck", "--url", &format!("{admin}{path}")], &[])
            .status
            .code()
    };
    assert_eq!((probe("/readyz"), probe("/nowhere")), (Some(0), Some(1)));
    let ready = node.door.admin_get("/readyz").await.json();
    assert_eq!(
        (&ready["status"], &ready["development"]),
        (&json!("ready"), &json!(false))
    );
    let version = node.door.admin_get("/version").await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    for (accept, kind, end) in [
        ("", "text/plain", false),
        (
            "accept: application/openmetrics-text; version=1.0.0\r\n",
            "application/openmetrics-text",
            true,
        ),
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\n{accept}\r\n");
        let answer = node.door.admin_http(&request).await;
        let text = String::from_utf8(answer.body.clone()).expect("UTF-8");
        assert!(
            answer
                .header("content-type")
                .is_some_and(|one| one.starts_with(kind)),
            "{answer:?}"
        );
        assert!(
            text.contains("wardroom_sessions{protocol=\"wardroom.v1\"} 1"),
            "{text}"
        );
        assert_eq!(text.trim_end().ends_with("# EOF"), end, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_sigterm_asks_and_the_second_insists() {
    let site = Site::new();
    let mut node = site.serve("[drain]\ndelay_s = 0\nspread_s = 0\n").await;
    let mut alice = node
        .door
        .client()
        .bearer(&site.provider.token("alice"))
        .open()
        .await;
    alice.join("lobby").await;
    alice.say("lobby", "before the stop").await;
    node.process.signal("TERM");
    assert_eq!(
        alice.closed().await,
        Some((1012, "restart".to_owned())),
        "O10"
    );
    assert_eq!(node.process.ended().await, Some(0), "O10");
    let last = node.process.written();
    assert!(last.contains("every session was told"), "{last}");

    let mut node = site
        .serve("[drain]\ndelay_s = 300\nspread_s = 60\ngrace_s = 600\n")
        .await;
    let mut open = Vec::new();
    for name in ["alice", "bob", "carol"] {
        open.push(
            node.door
                .client()
                .bearer(&site.provider.token(name))
                .open()
                .await,
        );
    }
    node.process.signal("TERM");
    eventually("the probe says no", async || {
        match node.door.admin_get("/readyz").await.status {
            503 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
    open[0].settle().await;
    assert_eq!(
        site.run(
            &[
                "healthcheck",
                "--url",
                &format!("http://{}/readyz", node.door.admin)
            ],
            &[]
        )
        .status
        .code(),
        Some(1)
    );
    node.process.signal("TERM");
    let code = within("O10: the end at once", node.process.ended()).await;
    assert_eq!(code, Some(0));
}

async fn dev_token(door: &Door, lines: &str) -> Answer {
    let body = r#"{"nick":"Zoe"}"#;
    door.http(&format!(
        "POST /dev/token HTTP/1.1\r\n{lines}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_lets_two_people_talk_and_nobody_from_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [
        ("WARDROOM__LISTEN__PUBLIC", "127.0.0.1:0"),
        ("WARDROOM__LISTEN__ADMIN", "127.0.0.1:0"),
    ];
    let mut process = Process::start(&mut program(folder.path(), &["dev"], &variables));
    let banner = eventually("the banner", async || {
        let written = process.written();
        if written.contains("Ctrl-C") {
            Ok(written)
        } else {
            Err(written)
        }
    })
    .await;
    assert!(banner.contains("DEVELOPMENT"), "{banner}");
    let links: Vec<&str> = banner
        .split_whitespace()
        .filter(|word| word.contains("/#token="))
        .collect();
    assert_eq!(links.len(), 2, "{banner}");
    let admin = banner
        .split_whitespace()
        .find_map(|word| word.strip_prefix("http://")?.strip_suffix("/readyz"))
        .expect("the admin listener");
    let (page, _) = links[0].split_once("/#token=").expect("a link");
    let port = page.strip_prefix("https://localhost:").expect("a page");
    let door = door(
        format!("127.0.0.1:{port}").parse().expect("an address"),
        admin.parse().expect("an address"),
        &folder.path().join("certs/dev/ca.crt"),
    );
    let mode = |name: &str| {
        std::fs::metadata(folder.path().join(name))
            .expect(name)
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!(mode("certs/dev/tls.key"), 0o600);

    let mut people = Vec::new();
    for link in &links {
        let (_, token) = link.split_once("#token=").expect("a link");
        let mut person = door
            .client()
            .bearer(token)
            .header("origin", page)
            .open()
            .await;
        person.join("lobby").await;
        people.push(person);
    }
    people[0].say("lobby", "hello").await;
    assert_eq!(people[1].hear().await["text"], "hello");

    let host = format!("host: localhost:{port}\r\n");
    let minted = dev_token(&door, &format!("{host}origin: {page}\r\n")).await;
    assert_eq!(minted.status, 200);
    let token = minted.json()["token"].as_str().expect("a token").to_owned();
    let zoe = door.client().bearer(&token).open().await;
    assert_eq!(zoe.welcome["user"]["nick"], "Zoe");
    for (row, lines) in [
        ("host", "host: evil.example\r\n".to_owned()),
        (
            "host with our port",
            format!("host: evil.example:{port}\r\n"),
        ),
        ("origin", format!("{host}origin: https://evil.example\r\n")),
        ("null", format!("{host}origin: null\r\n")),
        (
            "another port",
            format!("{host}origin: https://localhost:1\r\n"),
        ),
        (
            "plain",
            format!("{host}origin: http://localhost:{port}\r\n"),
        ),
    ] {
        assert_eq!(dev_token(&door, &lines).await.status, 403, "O21 {row}");
    }
    let index = door.http(&format!("GET / HTTP/1.1\r\n{host}\r\n")).await;
    assert_eq!(index.status, 200);
    assert_eq!(
        index.header("strict-transport-security"),
        None,
        "V40: dev pins nothing"
    );
    let settings: Value = door
        .http(&format!("GET /api/v1/page.json HTTP/1.1\r\n{host}\r\n"))
        .await
        .json();
    assert_eq!(settings["development"], true);
    let ready = door.admin_get("/readyz").await;
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &json!("development"))
    );
    process.signal("INT");
    let code = tokio::time::timeout(Duration::from_secs(20), process.ended())
        .await
        .expect("it stops");
    assert_eq!(code, Some(0));

    let site = Site::new();
    let node = site.serve("").await;
    assert_eq!(
        dev_token(&node.door, "host: localhost\r\n").await.status,
        404,
        "O21 under serve"
    );
    let abroad = program(
        folder.path(),
        &["dev"],
        &[("WARDROOM__LISTEN__PUBLIC", "0.0.0.0:0")],
    )
    .output()
    .expect("it runs");
    assert_eq!(abroad.status.code(), Some(78), "O21 a public address");
}

/// Asks for the same thing so many times on one connection, and reads all the answers.
async fn ask_often(door: &Door, times: usize) {
    let io = door.tls().await;
    let (mut ear, mut mouth) = tokio::io::split(io);
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(times);
    let reading = async {
        let mut seen = 0;
        let mut some = vec![0; 65_536];
        let mut rest = Vec::new();
        while seen < times {
            let came = ear.read(&mut some).await.expect("an answer");
            assert_ne!(came, 0, "the connection ended after {seen}");
            rest.extend_from_slice(&some[..came]);
            let text = String::from_utf8_lossy(&rest).into_owned();
            let found = text.matches("HTTP/1.1 200").count();
            seen += found;
            let keep = text.rfind("HTTP/1.1 200").map_or(0, |at| at + 1);
            rest.drain(..keep.min(rest.len()));
        }
    };
    let writing = async {
        mouth.write_all(&request).await.expect("sent");
        mouth.flush().await.expect("sent");
    };
    tokio::join!(reading, writing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_nobody_reads_makes_nobody_wait_and_counts_what_it_lost() {
    let site = Site::new();
    let mut node = site
        .serve(
            "[telemetry]\nlog_level = \"trace\"\n[drain]\ndelay_s = 0\nspread_s = 0\n\
             [limits]\nrequests_per_ip_per_s = 10000\nrequests_per_ip_burst = 100000\n\
             messages_burst = 1000\nmessages_per_user_burst = 1000\n",
        )
        .await;
    let enter = |name: &'static str| {
        let token = site.provider.token(name);
        let dial = node.door.client().bearer(&token);
        dial.query(&format!("nick={name}&room=lobby"))
    };
    let (mut alice, mut bob) = (enter("Alice").open().await, enter("Bob").open().await);
    node.process.stop_listening();
    let dropped = async || {
        let metrics = node.door.admin_get("/metrics").await;
        let text = String::from_utf8(metrics.body).expect("UTF-8");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("wardroom_telemetry_lines_dropped_total "));
        line.and_then(|raw| raw.parse::<f64>().ok())
            .expect("a count")
    };
    let mut said = 0;
    let mut lost = 0.0;
    for _ in 0..40 {
        ask_often(&node.door, 500).await;
        said += 1;
        let ack = alice.say("lobby", "nobody reads the log").await;
        assert_eq!(
            (&ack["offset"], &bob.hear().await["offset"]),
            (&json!(said), &json!(said)),
            "O8"
        );
        lost = dropped().await;
        if lost > 0.0 {
            break;
        }
    }
    assert!(lost > 0.0, "O8: the loss is counted");
    for _ in 0..20 {
        said += 1;
        let ack = alice.say("lobby", "and still").await;
        assert_eq!(
            (&ack["offset"], &bob.hear().await["offset"]),
            (&json!(said), &json!(said)),
            "O8"
        );
    }
    ask_often(&node.door, 100).await;
    assert!(dropped().await > lost, "O8: every loss is counted");
    node.process.signal("TERM");
    assert_eq!(
        alice.closed().await,
        Some((1012, "restart".to_owned())),
        "O8"
    );
    assert_eq!(
        node.process.ended().await,
        Some(0),
        "O8: nor does the end wait for a reader"
    );
}

/// A clock that breaks once, in the hands of whom it is told.
#[derive(Default)]
struct Trap {
    readers: Mutex<Vec<Option<tokio::task::Id>>>,
    armed: Mutex<Option<tokio::task::Id>>,
}

impl Trap {
    fn clock(self: &Arc<Self>) -> Clock {
        let trap = Arc::clone(self);
        let real = Clock::system();
        Clock::told_by(move || {
            let reader = tokio::task::try_id();
            trap.readers.lock().push(reader);
            let caught = trap.armed.lock().take_if(|armed| Some(*armed) == reader);
            assert!(caught.is_none(), "on purpose");
            real.unix_ms()
        })
    }

    /// The tasks that read it while something was done.
    async fn readers(&self, act: impl Future<Output = ()>) -> Vec<tokio::task::Id> {
        self.readers.lock().clear();
        act.await;
        let mut readers: Vec<_> = self.readers.lock().drain(..).flatten().collect();
        readers.dedup();
        readers
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_session_or_one_room_and_nothing_else() {
    let trap = Arc::new(Trap::default());
    let gateway = TestGateway::on_clock(trap.clock(), |_| {}).await;
    let mut quiet = Quiet::watch(&gateway).await;
    let mut mallory = gateway.member("Mallory").await;
    let mut alice = gateway.member("Alice").await;
    mallory.join("hall").await;
    alice.join("hall").await;
    let auth = json!({ "type": "auth", "id": "a", "token": gateway.provider.token("Mallory") });
    let of_the_session = trap
        .readers(async {
            mallory.send(auth.clone()).await;
            mallory.expect("ok").await;
        })
        .await;
    assert_eq!(of_the_session.len(), 1, "one task reads a token");
    quiet
        .during(async {
            *trap.armed.lock() = Some(of_the_session[0]);
            mallory.send(auth).await;
            let close = mallory.closed().await;
            assert_eq!(close, Some((1011, "internal".to_owned())), "O12: a session");
        })
        .await;
    alice.say("hall", "only one is gone").await;

    let mut bob = gateway.member("Bob").await;
    bob.join("hall").await;
    let auth = json!({ "type": "auth", "id": "a", "token": gateway.provider.token("Bob") });
    let of_bob = trap
        .readers(async {
            bob.send(auth).await;
            bob.expect("ok").await;
        })
        .await;
    bob.say("hall", "who delivers this?").await;
    let hub = eventually("a task of the hub delivers", async || {
        let readers = trap.readers.lock();
        let mut others = readers
            .iter()
            .flatten()
            .filter(|task| !of_bob.contains(task));
        others.next().copied().ok_or_else(|| format!("{readers:?}"))
    })
    .await;
    let head = bob.say("hall", "the last before").await;
    *trap.armed.lock() = Some(hub);
    bob.send(json!({ "type": "send", "id": "b", "room": "hall", "text": "it breaks" }))
        .await;
    for member in [&mut alice, &mut bob] {
        let close = member.closed().await;
        assert_eq!(close, Some((1011, "internal".to_owned())), "O12: a room");
    }
    let acked = bob
        .skipped()
        .iter()
        .any(|frame| frame["type"] == "ack" && frame["id"] == "b");
    let mut alice = gateway.member("Alice").await;
    let joined = alice
        .join_with(json!({ "room": "hall", "since": [[head["offset"], head["epoch"]]] }))
        .await;
    let missed: Vec<_> = joined["messages"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|frame| frame["type"] == "message")
        .map(|frame| frame["text"].as_str().expect("a text"))
        .collect();
    if acked {
        assert_eq!(
            missed,
            ["it breaks"],
            "O12: the room is made anew from the log"
        );
    }
    alice.say("hall", "and goes on").await;
    quiet.settled().await;
    let closed = gateway.metric("wardroom_sessions_closed_total{code=\"1011\",by=\"server\"}");
    assert_eq!(closed, 3.0, "O12");
}
