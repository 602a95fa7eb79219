//! P12: what people hold and what they say is written nowhere, at no level, and nobody writes a line of the log but us.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::support::{
    client::Client,
    eventually,
    gateway::{Dial, Door, ORIGIN, write_secret},
    http::Answer,
    identity::Provider,
    program::{Node, Site},
};

/// The loudest log that an operator can ask for.
const LOUD: &str = "[auth]\nquery_token = \"on\"\n[limits]\nauth_failures_per_ip_per_min = 1000\n\
                    [telemetry]\nlog_level = \"trace\"\n";

async fn loud() -> (Site, Node) {
    let site = Site::new();
    // [auth] stands before its blocks.
    let text = site.configuration("");
    let (head, issuers) = text.split_at(text.find("[[auth.issuers]]").expect("a block"));
    let node = site.serve_text(&format!("{head}{LOUD}{issuers}")).await;
    (site, node)
}

/// What must not be found, and everything in which it could be.
#[derive(Default)]
struct Hunt {
    secrets: Vec<String>,
    seen: Vec<String>,
}

impl Hunt {
    fn hide(&mut self, secret: impl Into<String>) -> String {
        let secret = secret.into();
        assert!(secret.len() >= 16, "{secret}");
        self.secrets.push(secret.clone());
        secret
    }

    async fn refused(&mut self, dial: Dial<'_>) -> u16 {
        match dial.dial().await {
            Ok(_) => 101,
            Err(answer) => self.note(&answer),
        }
    }

    fn note(&mut self, answer: &Answer) -> u16 {
        self.seen.push(format!(
            "{:?} {}",
            answer.headers,
            String::from_utf8_lossy(&answer.body)
        ));
        answer.status
    }

    fn end(&self, log: &str) {
        assert!(log.contains("\"DEBUG\""), "the log is as loud as it can be");
        for secret in &self.secrets {
            for window in secret.as_bytes().windows(16) {
                let Ok(window) = std::str::from_utf8(window) else {
                    continue;
                };
                assert!(
                    !log.contains(window),
                    "O6: {window} of {secret} is in the log"
                );
                for other in &self.seen {
                    assert!(
                        !other.contains(window),
                        "{window} of {secret} is in {other}"
                    );
                }
            }
        }
    }
}

/// The log up to now: after a last line that shows that all before it was written.
async fn log_of(node: &Node) -> String {
    let answer = node
        .door
        .http("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    let last = answer.header("x-request-id").expect("an id").to_owned();
    eventually("the last line", async || {
        let written = node.process.written();
        if written.contains(&last) {
            Ok(written)
        } else {
            Err(written)
        }
    })
    .await
}

fn every_line_is_ours(log: &str) {
    for line in log.lines() {
        let parsed: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let level = parsed["level"].as_str().expect("a level");
        assert!(
            ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"].contains(&level),
            "{line}"
        );
        assert_ne!(parsed["message"], "forged", "O7: {line}");
        let hidden =
            |letter: char| letter.is_control() || "\u{2028}\u{2029}\u{202e}\u{85}".contains(letter);
        assert!(!line.chars().any(hidden), "O7: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_credential_comes_out_again_by_whatever_path_it_came() {
    let (site, node) = loud().await;
    let (door, provider): (&Door, &Provider) = (&node.door, &site.provider);
    let mut hunt = Hunt::default();
    for n in 0..2 {
        let good = n == 0;
        let by = if good { provider } else { &Provider::new() };
        let mut fresh = |sub: &str| hunt.hide(by.token(sub));
        let (header, protocol, query, cookie) =
            (fresh("one"), fresh("two"), fresh("three"), fresh("four"));
        let status = if good { 101 } else { 401 };
        assert_eq!(hunt.refused(door.client().bearer(&header)).await, status);
        let offer = format!("wardroom.v1, bearer.{protocol}");
        assert_eq!(
            hunt.refused(door.client().header("sec-websocket-protocol", &offer))
                .await,
            status
        );
        assert_eq!(
            hunt.refused(door.client().query(&format!("token={query}")))
                .await,
            status
        );
        assert_eq!(
            hunt.refused(door.client().header("cookie", &format!("token={cookie}")))
                .await,
            401
        );
        for odd in [
            door.client()
                .bearer(&header)
                .query(&format!("token={query}")),
            door.client().query(&format!("ticket={header}")),
            door.client().query(&format!("tokn={query}")),
            door.client()
                .query(&format!("room={query}"))
                .bearer(&header),
            door.client()
                .query(&format!("nick={query}"))
                .bearer(&header),
            door.client()
                .query(&format!("resume={query}"))
                .bearer(&header),
            door.client()
                .header("authorization", &format!("Basic {header}")),
            door.client()
                .header("origin", &format!("https://{}", &header[..60])),
            door.client().header("x-request-id", &header[..64]),
        ] {
            assert_ne!(hunt.refused(odd).await, 101);
        }
        for path in [
            format!("/api/v1/rooms/lobby/members?token={query}"),
            format!("/{query}"),
            format!("/api/v1/rooms/{query}/members"),
            format!("/assets/{query}"),
        ] {
            assert_ne!(hunt.note(&door.api("GET", &path, &header, None).await), 200);
        }
        let body = json!({ "origin": query });
        hunt.note(
            &door
                .api("POST", "/api/v1/tickets", &header, Some(body))
                .await,
        );
        hunt.note(
            &door
                .api(
                    "POST",
                    "/api/v1/rooms/lobby/messages",
                    &header,
                    Some(json!({ "text": 5, "token": query })),
                )
                .await,
        );
    }
    let ticket = door
        .api("POST", "/api/v1/tickets", &provider.token("carol"), None)
        .await;
    let ticket = hunt.hide(ticket.json()["ticket"].as_str().expect("a ticket"));
    let mut session = door
        .client()
        .query(&format!("ticket={ticket}"))
        .open()
        .await;
    let resume = hunt.hide(session.welcome["resume"].as_str().expect("a string"));
    hunt.refused(door.client().query(&format!("ticket={ticket}")))
        .await;
    hunt.refused(
        door.client()
            .query(&format!("ticket={ticket}"))
            .header("origin", ORIGIN),
    )
    .await;
    for token in [provider.token("carol"), Provider::new().token("carol")] {
        let token = hunt.hide(token);
        session
            .send(json!({ "type": "auth", "id": "a", "token": token }))
            .await;
        session
            .send(json!({ "type": "auth", "id": token, "token": 5 }))
            .await;
        session.send(json!({ "type": token })).await;
        session.send_raw(format!("{{{token}")).await;
    }
    session.settle().await;
    for frame in session.skipped() {
        hunt.seen.push(without_echo(frame).to_string());
    }
    drop(session);
    let session = door
        .client()
        .bearer(&provider.token("carol"))
        .query(&format!("resume={resume}"))
        .open()
        .await;
    drop(session);
    let metrics = door.admin_get("/metrics").await;
    hunt.note(&metrics);
    let log = log_of(&node).await;
    every_line_is_ours(&log);
    hunt.end(&log);
}

/// A client's own `id` is echoed to it by contract.
fn without_echo(mut frame: Value) -> Value {
    frame["id"] = Value::Null;
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_people_say_and_are_called_is_not_written() {
    let (site, node) = loud().await;
    let door = &node.door;
    let mut hunt = Hunt::default();
    let nick = hunt.hide("Nobody Else Is Called That");
    let claim = hunt.hide("The Provider Calls Her So");
    let said = hunt.hide("the merger is announced on friday at noon");
    let encoded = nick.replace(' ', "%20");
    let mut alice = door
        .client()
        .bearer(&site.provider.token("alice"))
        .query(&format!("nick={encoded}"))
        .open()
        .await;
    alice.join("lobby").await;
    let mut bob = door
        .client()
        .bearer(&site.provider.token_with(
            "bob",
            &json!({ "nickname": claim, "scope": "chat chat:publish" }),
        ))
        .open()
        .await;
    bob.join("lobby").await;
    alice.say("lobby", &said).await;
    assert_eq!(bob.hear().await["text"], said);
    let control = format!("{said}\u{0}");
    for frame in [
        json!({ "type": "send", "id": "1", "room": "lobby", "text": control }),
        json!({ "type": "send", "id": "2", "room": "lobby", "text": said.repeat(200) }),
        json!({ "type": "send", "id": "3", "room": "elsewhere", "text": said }),
        json!({ "type": "send", "id": "4", "room": said, "text": 5 }),
        json!({ "type": said, "id": "5" }),
        json!({ "type": "join", "id": "6", "room": "hall", "nick": format!("{nick}\u{202e}") }),
        json!([said]),
    ] {
        alice.send(frame).await;
        let refused = alice.expect("error").await;
        hunt.seen.push(refused.to_string());
    }
    alice.send_raw(format!("{said} {{")).await;
    hunt.seen.push(alice.expect("error").await.to_string());
    let token = site
        .provider
        .token_with("bob", &json!({ "scope": "chat:publish" }));
    for body in [
        json!({ "text": control, "nick": nick }),
        json!({ "text": said, "nick": nick }),
        json!({ "text": said.repeat(200) }),
        json!([said]),
    ] {
        let answer = door
            .api("POST", "/api/v1/rooms/lobby/messages", &token, Some(body))
            .await;
        assert!(answer.status >= 400);
        hunt.note(&answer);
    }
    let reason = CloseFrame {
        code: CloseCode::Normal,
        reason: said.clone().into(),
    };
    alice.ws.close(Some(reason)).await.expect("open");
    bob.ws
        .send(Message::binary(said.clone().into_bytes()))
        .await
        .expect("open");
    assert_eq!(bob.closed().await.map(|(code, _)| code), Some(1003));
    hunt.note(&door.admin_get("/metrics").await);
    let log = log_of(&node).await;
    every_line_is_ours(&log);
    hunt.end(&log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_forges_a_line_of_the_log() {
    const LINE: &str = r#"{"level":"ERROR","message":"forged"}"#;
    let (site, node) = loud().await;
    let door = &node.door;
    let token = site.provider.token("alice");
    let odd = format!("x\"}}\u{2028}\u{202e}{LINE}");
    let coded: String = format!("\"}}\r\n{LINE}\n\u{1b}[2J\u{2028}\u{202e}\u{85}")
        .bytes()
        .map(|byte| format!("%{byte:02x}"))
        .collect();
    for query in [
        format!("nick={coded}"),
        format!("room={coded}"),
        format!("resume={coded}"),
        format!("{coded}=1"),
    ] {
        let refused = door.client().bearer(&token).query(&query).dial().await;
        drop(refused);
    }
    for name in [
        "origin",
        "user-agent",
        "x-forwarded-for",
        "x-request-id",
        "authorization",
        "referer",
    ] {
        drop(door.client().header(name, &odd).dial().await);
    }
    for path in [
        format!("/{coded}"),
        format!("/api/v1/rooms/{coded}/members"),
        format!("/assets/{coded}"),
    ] {
        door.api("GET", &path, &token, None).await;
    }
    let claims = json!({ "nickname": format!("a\n{LINE}"), "sub": "alice" });
    let mut client: Client = door
        .client()
        .bearer(&site.provider.token_with("alice", &claims))
        .open()
        .await;
    client.join("lobby").await;
    for name in ["sub", "iss", "jti", "scope"] {
        let claims = json!({ name: format!("a\n{LINE}\u{2028}") });
        drop(
            door.client()
                .bearer(&site.provider.token_with("bob", &claims))
                .dial()
                .await,
        );
    }
    let odd_kid = site.provider.sign_as(
        &format!("a\n{LINE}"),
        &crate::support::identity::claims("alice"),
    );
    drop(door.client().bearer(&odd_kid).dial().await);
    let log = log_of(&node).await;
    every_line_is_ours(&log);
    assert!(log.lines().count() > 10, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_the_operator_is_shown_by_any_command_or_to_other_processes() {
    const SECRET: &str = "correct-horse-battery-staple-0123456789-abcdef";
    let site = Site::new();
    let mut hunt = Hunt::default();
    hunt.hide(SECRET);
    for file in ["certs/tls.key", "issuer.key"] {
        let pem = std::fs::read_to_string(site.path(file)).expect("there");
        for line in pem
            .lines()
            .filter(|line| !line.starts_with('-') && line.len() >= 16)
        {
            hunt.hide(line);
        }
    }
    write_secret(&site.path("shared"), SECRET);
    write_secret(&site.path("short"), &SECRET[..31]);
    write_secret(
        &site.path("garbled.key"),
        &format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n"),
    );
    let public = site.configuration("[telemetry]\nlog_level = \"trace\"\n");
    let good = public.replace("[\"ES256\"]", "[\"HS256\"]").replace(
        "public_key_file = \"issuer.pem\"",
        "secret_file = \"shared\"",
    );
    let secret = |name: &str| good.replace("\"shared\"", &format!("\"{name}\""));
    let output = |ended: &std::process::Output| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr)
        )
    };
    for (row, config, code) in [
        ("good", good.clone(), 0),
        ("short", secret("short"), 78),
        ("inline", secret(SECRET), 78),
        ("garbled", good.replace("certs/tls.key", "garbled.key"), 78),
        (
            "pem as a secret",
            good.replace("certs/tls.key", "shared"),
            78,
        ),
    ] {
        site.write("one.toml", &config);
        let ended = site.run(&["check", "--config", "one.toml"], &[]);
        let said = output(&ended);
        assert_eq!(ended.status.code(), Some(code), "{row}: {said}");
        if row != "inline" {
            hunt.seen.push(said);
        }
    }
    for key in ["shared", "short", "garbled.key", "issuer.key"] {
        let ended = site.run(&["token", "--sub", "alice", "--key", key], &[]);
        // Its output is a token when it worked.
        hunt.seen
            .push(String::from_utf8_lossy(&ended.stderr).into_owned());
    }
    let node = site.serve_text(&good).await;
    let command_line = node.process.proc_file("cmdline");
    hunt.seen
        .push(String::from_utf8_lossy(&command_line).replace('\0', " "));
    for key in ["shared", "issuer.key"] {
        let minted = site.run(
            &[
                "token",
                "--sub",
                "alice",
                "--key",
                key,
                "--iss",
                "https://idp.test",
                "--aud",
                "wardroom",
            ],
            &[],
        );
        let token = hunt.hide(String::from_utf8(minted.stdout).expect("ASCII").trim());
        let status = hunt.refused(node.door.client().bearer(&token)).await;
        assert_eq!(status, if key == "shared" { 101 } else { 401 });
    }
    hunt.note(&node.door.admin_get("/metrics").await);
    hunt.end(&log_of(&node).await);
}
