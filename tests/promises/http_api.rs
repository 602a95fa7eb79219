//! P1, P3, P4: the HTTP side answers what is asked, says no in one form, and gives a browser nothing to misuse.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    gateway::{ORIGIN, TestGateway},
    http::{Answer, exchange, read_answer},
    identity::claims,
    within,
};

const ROOM: &str = "/api/v1/rooms/lobby/messages";

/// A service that may publish everywhere.
fn service(gateway: &TestGateway, sub: &str) -> String {
    gateway
        .provider
        .token_with(sub, &json!({ "scope": "chat chat:publish" }))
}

/// A POST of a message with header lines of the test's own.
async fn publish(gateway: &TestGateway, token: &str, lines: &str, body: &str) -> Answer {
    let request = format!(
        "POST {ROOM} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    gateway.http(&request).await
}

async fn get(gateway: &TestGateway, path: &str, lines: &str) -> Answer {
    gateway
        .http(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n"
        ))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_is_json_once_and_in_clear() {
    let gateway = TestGateway::start().await;
    let token = service(&gateway, "bot");
    let body = r#"{"text":"hello"}"#;
    for (row, lines, expected) in [
        ("plain", "content-type: application/json\r\n", 201),
        (
            "charset",
            "content-type: Application/JSON; charset=UTF-8\r\n",
            201,
        ),
        ("H1 missing", "", 415),
        (
            "H1 twice",
            "content-type: application/json\r\ncontent-type: application/json\r\n",
            415,
        ),
        ("H1 text", "content-type: text/plain\r\n", 415),
        (
            "H1 utf-16",
            "content-type: application/json; charset=utf-16\r\n",
            415,
        ),
        (
            "H1 gzip",
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            415,
        ),
    ] {
        let answer = publish(&gateway, &token, lines, body).await;
        assert_eq!(answer.status, expected, "{row}");
        if expected != 201 {
            assert_eq!(answer.problem(), "bad_request", "{row}");
        }
    }
    for bad in [
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        r#"{"text":"a"}{"text":"b"}"#,
        r#"{"text":5}"#,
        r#"{"text":"a","text":"b"}"#,
        "{}",
        "\u{feff}{\"text\":\"a\"}",
    ] {
        let answer = publish(&gateway, &token, "content-type: application/json\r\n", bad).await;
        assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_has_a_size_and_a_time() {
    let gateway =
        TestGateway::with(|config| config.limits.body_read = Duration::from_millis(500)).await;
    let token = service(&gateway, "bot");
    let padded = |bytes: usize| {
        let frame = r#"{"text":"hello","pad":""}"#.len();
        format!(
            r#"{{"text":"hello","pad":"{}"}}"#,
            "x".repeat(bytes - frame)
        )
    };
    let kind = "content-type: application/json\r\n";
    assert_eq!(
        publish(&gateway, &token, kind, &padded(32_768))
            .await
            .status,
        201,
        "H2 at the limit"
    );
    assert_eq!(
        publish(&gateway, &token, kind, &padded(32_769))
            .await
            .refusal(),
        (413, "too_large".to_owned()),
        "H2 beyond it"
    );
    let head = |line: &str| {
        format!(
            "POST {ROOM} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{kind}{line}\r\n\r\n"
        )
    };
    let answer = gateway.http(&head("content-length: 1000000000")).await;
    assert_eq!(
        answer.refusal(),
        (413, "too_large".to_owned()),
        "H2 declared"
    );

    let mut io = gateway.tls().await;
    io.write_all(head("transfer-encoding: chunked").as_bytes())
        .await
        .expect("sent");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..9 {
        if io.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    io.flush().await.ok();
    let (answer, _) = within("an answer to endless chunks", read_answer(&mut io))
        .await
        .expect("an answer");
    assert_eq!(answer.refusal(), (413, "too_large".to_owned()), "H2 chunks");

    let mut io = gateway.tls().await;
    io.write_all(head("content-length: 20").as_bytes())
        .await
        .expect("sent");
    io.write_all(b"{").await.expect("sent");
    io.flush().await.expect("sent");
    let (answer, _) = within("an answer to a body that stops", read_answer(&mut io))
        .await
        .expect("an answer");
    assert_eq!(answer.refusal(), (408, "bad_request".to_owned()), "H2 slow");
    let mut rest = Vec::new();
    within("the end of the connection", io.read_to_end(&mut rest))
        .await
        .ok();
    assert!(rest.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_a_problem_document_whatever_was_accepted() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    for (row, request, expected) in [
        ("404", "GET /nowhere HTTP/1.1\r\n".to_owned(), 404),
        ("405", "DELETE /healthz HTTP/1.1\r\n".to_owned(), 405),
        (
            "405 api",
            "DELETE /api/v1/tickets HTTP/1.1\r\n".to_owned(),
            405,
        ),
        ("405 TRACE", "TRACE /healthz HTTP/1.1\r\n".to_owned(), 405),
        ("405 own", "BREW /ws/chat HTTP/1.1\r\n".to_owned(), 405),
        ("401", format!("GET {ROOM} HTTP/1.1\r\n"), 401),
        (
            "asset",
            "GET /assets/nothing.js HTTP/1.1\r\n".to_owned(),
            404,
        ),
        (
            "room name",
            format!("GET /api/v1/rooms/A/members HTTP/1.1\r\nauthorization: Bearer {token}\r\n"),
            400,
        ),
        (
            "room name, not UTF-8",
            format!(
                "GET /api/v1/rooms/%ff%fe/members HTTP/1.1\r\nauthorization: Bearer {token}\r\n"
            ),
            400,
        ),
        (
            "asset, not UTF-8",
            "GET /assets/%ff HTTP/1.1\r\n".to_owned(),
            400,
        ),
        (
            "query",
            format!("GET {ROOM}?limit=%ff HTTP/1.1\r\nauthorization: Bearer {token}\r\n"),
            400,
        ),
    ] {
        for accept in [
            "",
            "accept: text/html\r\n",
            "accept: application/json;q=0\r\n",
        ] {
            let answer = gateway
                .http(&format!("{request}host: localhost\r\n{accept}\r\n"))
                .await;
            assert_eq!(answer.status, expected, "H3 {row} {accept}");
            answer.problem();
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{row}");
            assert_eq!(
                answer.header("x-request-id").map(str::to_owned),
                answer.json()["request_id"].as_str().map(str::to_owned),
                "{row}: the id of header and body is one"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_in_the_path_is_a_rooms_name_or_nothing() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    let long = "a".repeat(4096);
    for room in [
        "'",
        "%00",
        "%0d%0aset-cookie:x=1",
        "%252e",
        "..",
        "%2e%2e",
        "%2e%2e%2fx",
        "A",
        "!control",
        "%E2%80%AE",
        "*",
        "a%20b",
        "",
        long.as_str(),
    ] {
        for rest in ["messages", "members"] {
            let path = format!("/api/v1/rooms/{room}/{rest}");
            let answer = gateway.api("GET", &path, &token, None).await;
            assert!(
                matches!(answer.status, 400 | 404),
                "H4 {path}: {}",
                answer.status
            );
            answer.problem();
            assert_eq!(answer.header("set-cookie"), None, "H4 {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_origins_may_read_the_api_and_never_with_credentials() {
    let gateway = TestGateway::with(|config| {
        config.limits.requests_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.requests_per_ip_burst = 20.try_into().expect("not 0");
    })
    .await;
    let token = gateway.provider.token("alice");
    let preflight = |origin: &str| {
        format!(
            "OPTIONS {ROOM} HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: authorization,content-type,idempotency-key\r\n\r\n"
        )
    };
    for foreign in ["https://evil.example", "null", "http://chat.test"] {
        let answer = gateway.http(&preflight(foreign)).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "H7 {foreign}"
        );
        let lines = format!("origin: {foreign}\r\nauthorization: Bearer {token}\r\n");
        let answer = get(&gateway, ROOM, &lines).await;
        assert_eq!(
            answer.refusal(),
            (403, "origin_not_allowed".to_owned()),
            "H7 {foreign}"
        );
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "H7 {foreign}"
        );
    }
    let allowed = |answer: &Answer, row: &str| {
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(ORIGIN),
            "H7 {row}"
        );
        assert_eq!(
            answer.header("access-control-allow-credentials"),
            None,
            "H7 {row}"
        );
        assert!(
            answer.headers.iter().any(
                |(name, value)| name == "vary" && value.to_ascii_lowercase().contains("origin")
            ),
            "H7 {row}: {answer:?}"
        );
    };
    let answer = gateway.http(&preflight(ORIGIN)).await;
    assert_eq!(answer.status, 200);
    allowed(&answer, "preflight");
    let listed = answer
        .header("access-control-allow-headers")
        .expect("headers")
        .to_ascii_lowercase();
    for name in ["authorization", "content-type", "idempotency-key"] {
        assert!(listed.contains(name), "{listed}");
    }
    let mut statuses = Vec::new();
    for _ in 0..40 {
        let answer = get(
            &gateway,
            "/api/v1/rooms/lobby/members",
            &format!("origin: {ORIGIN}\r\nauthorization: Bearer {token}\r\n"),
        )
        .await;
        statuses.push(answer.status);
        allowed(&answer, "answer");
        let exposed = answer
            .header("access-control-expose-headers")
            .expect("exposed headers")
            .to_ascii_lowercase();
        for name in [
            "retry-after",
            "x-request-id",
            "ratelimit",
            "ratelimit-policy",
        ] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "a page can see that it must wait, too: {statuses:?}"
    );
    let anonymous = get(&gateway, ROOM, "").await;
    assert_eq!(anonymous.header("access-control-allow-origin"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_tells_the_browser_what_it_may_not_do() {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                          manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                          require-trusted-types-for 'script'; trusted-types 'none'";
    let gateway = TestGateway::start().await;
    let limited = TestGateway::with(|config| {
        config.limits.requests_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.requests_per_ip_burst = 1.try_into().expect("not 0");
    })
    .await;
    get(&limited, "/", "").await;
    let etag = get(&gateway, "/", "").await;
    let etag = etag.header("etag").expect("a validator");
    let upgrade = gateway
        .client()
        .bearer(&gateway.provider.token("alice"))
        .request();
    for (answer, status) in [
        (get(&gateway, "/", "").await, 200),
        (get(&gateway, "/healthz", "").await, 200),
        (get(&gateway, "/assets/wardroom.js", "").await, 200),
        (
            get(&gateway, "/", &format!("if-none-match: {etag}\r\n")).await,
            304,
        ),
        (get(&gateway, ROOM, "").await, 401),
        (get(&gateway, "/metrics", "").await, 404),
        (get(&gateway, "/", "host: other\r\n").await, 400),
        (
            gateway
                .http(&upgrade.replace("version: 13", "version: 8"))
                .await,
            426,
        ),
        (gateway.http(&upgrade).await, 101),
        (get(&limited, "/", "").await, 429),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        for (name, value) in [
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            (
                "permissions-policy",
                "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            ),
            ("strict-transport-security", "max-age=63072000"),
        ] {
            let lines: Vec<_> = answer
                .headers
                .iter()
                .filter(|(one, _)| one.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            assert_eq!(lines, [value], "V39 {status} {name}");
        }
        assert_eq!(answer.header("server"), None, "V41 {status}");
        assert_eq!(answer.header("set-cookie"), None, "V5 {status}");
        assert!(answer.header("x-request-id").is_some(), "{status}");
        assert!(answer.header("cache-control").is_some(), "V40 {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_its_assets_are_revalidated_by_their_content() {
    let gateway = TestGateway::start().await;
    let index = get(&gateway, "/", "").await;
    assert_eq!(
        (
            index.status,
            index.header("content-type"),
            index.header("cache-control")
        ),
        (200, Some("text/html; charset=utf-8"), Some("no-cache"))
    );
    assert_eq!(index.header("access-control-allow-origin"), None);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/assets/wardroom.js", "text/javascript; charset=utf-8"),
        ("/assets/wardroom.css", "text/css; charset=utf-8"),
        ("/assets/favicon.svg", "image/svg+xml"),
    ] {
        let answer = get(&gateway, path, "").await;
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert!(!answer.body.is_empty(), "{path}");
        let etag = answer.header("etag").expect("a validator").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
        for (known, status) in [
            (etag.clone(), 304),
            (format!("W/{etag}"), 304),
            (format!("\"x\", {etag}"), 304),
            ("\"x\"".to_owned(), 200),
            (etag.trim_matches('"').to_owned(), 200),
        ] {
            let again = get(&gateway, path, &format!("if-none-match: {known}\r\n")).await;
            assert_eq!(again.status, status, "{path} {known}");
            assert_eq!(again.body.is_empty(), status == 304, "{path} {known}");
            assert_eq!(again.header("etag"), Some(etag.as_str()), "{path}");
            if path != "/" {
                assert_eq!(
                    again.header("access-control-allow-origin"),
                    Some("*"),
                    "{path}"
                );
            }
        }
        let mut io = gateway.tls().await;
        io.write_all(
            format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .await
        .expect("sent");
        let (head, rest) = within("an answer", read_answer(&mut io))
            .await
            .expect("an answer");
        assert_eq!(head.status, 200, "HEAD {path}");
        assert_eq!(
            head.header("content-length"),
            Some(answer.body.len().to_string().as_str())
        );
        assert!(head.body.is_empty() && rest.is_empty(), "HEAD {path}");
    }
    let settings = get(&gateway, "/api/v1/page.json", "").await;
    assert_eq!(settings.header("content-type"), Some("application/json"));
    assert_eq!(
        settings.json(),
        json!({ "title": "Wardroom", "development": false, "default_room": "lobby",
                "sign_in": { "issuer": "", "client_id": "", "scope": "openid", "resource": "" } })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_configured_is_not_there() {
    let bare = TestGateway::with(|config| config.page.enabled = false).await;
    for path in [
        "/",
        "/api/v1/page.json",
        "/.well-known/security.txt",
        "/dev/token",
    ] {
        assert_eq!(
            get(&bare, path, "").await.refusal(),
            (404, "not_found".to_owned()),
            "{path}"
        );
    }
    let post = "POST /dev/token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"nick\":\"A\"}";
    assert_eq!(
        bare.http(post).await.refusal(),
        (404, "not_found".to_owned()),
        "O21"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("security.txt");
    let text = "Contact: mailto:security@chat.example\nExpires: 2030-01-01T00:00:00Z\n";
    std::fs::write(&file, text).expect("written");
    let named = TestGateway::with(|config| config.listen.security_txt_file = file).await;
    let answer = get(&named, "/.well-known/security.txt", "").await;
    assert_eq!(answer.status, 200, "V50");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(answer.body, text.as_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_listener_answers_this_machine_and_reads_only() {
    let gateway = TestGateway::start().await;
    let ask = async |method: &str, path: &str, lines: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n");
        gateway.admin_http(&request).await
    };
    for path in ["/livez", "/readyz", "/metrics", "/version"] {
        assert_eq!(
            ask("GET", path, "host: localhost\r\n").await.status,
            200,
            "{path}"
        );
        let head = ask("HEAD", path, "host: 127.0.0.1:9090\r\n").await;
        assert_eq!((head.status, head.body.len()), (200, 0), "HEAD {path}");
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let answer = ask(method, path, "host: localhost\r\n").await;
            assert_eq!(answer.status, 405, "H10 {method} {path}");
            assert_eq!(answer.json()["code"], "bad_request");
        }
        for (row, lines) in [
            ("host", "host: evil.example\r\n"),
            ("host with a port", "host: evil.example:9090\r\n"),
            ("no host", ""),
            (
                "origin",
                "host: localhost\r\norigin: https://evil.example\r\n",
            ),
            ("null", "host: localhost\r\norigin: null\r\n"),
            (
                "forwarded",
                "host: evil.example\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-host: localhost\r\n",
            ),
        ] {
            let answer = ask("GET", path, lines).await;
            assert!(
                matches!(answer.status, 403) || (row == "no host" && answer.status == 400),
                "H10 {row} {path}: {}",
                answer.status
            );
        }
    }
    for path in ["/", "/docs", "/ws/chat", ROOM, "/healthz"] {
        assert_eq!(
            ask("GET", path, "host: localhost\r\n").await.status,
            404,
            "{path}"
        );
    }
    let mut statuses = Vec::new();
    for _ in 0..30 {
        statuses.push(gateway.admin_get("/metrics").await.status);
    }
    assert!(statuses.contains(&429), "scrapes have a rate: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_repeats_itself_says_it_once() {
    let gateway = TestGateway::start().await;
    let (bot, other) = (service(&gateway, "bot"), service(&gateway, "other-bot"));
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let say = async |token: &str, room: &str, key: &str, text: &str| {
        let body = json!({ "text": text }).to_string();
        let request = format!(
            "POST /api/v1/rooms/{room}/messages HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        gateway.http(&request).await
    };
    let first = say(&bot, "lobby", "order-1", "shipped").await;
    assert_eq!(first.status, 201);
    let place = first.json();
    assert_eq!(place["offset"], 1);
    for field in ["offset", "epoch", "id", "ts"] {
        assert!(!place[field].is_null(), "{place}");
    }
    let again = say(&bot, "lobby", "order-1", "shipped").await;
    assert_eq!(
        (again.status, again.json()),
        (201, place),
        "H11 same answer"
    );
    assert_eq!(
        say(&bot, "lobby", "order-1", "sunk").await.refusal(),
        (409, "conflict".to_owned()),
        "H11 other body"
    );
    assert_eq!(say(&bot, "lobby", &"k".repeat(64), "a").await.status, 201);
    for bad in ["k".repeat(65), String::new(), "é".to_owned()] {
        assert_eq!(
            say(&bot, "lobby", &bad, "b").await.refusal(),
            (400, "bad_request".to_owned()),
            "H11 {bad}"
        );
    }
    assert_eq!(
        say(&bot, "lobby", "a\r\nidempotency-key: b", "b")
            .await
            .refusal(),
        (400, "bad_request".to_owned()),
        "two keys"
    );
    assert_eq!(
        say(&other, "lobby", "order-1", "mine").await.json()["offset"],
        3,
        "H11 identity"
    );
    assert_eq!(
        say(&bot, "hall", "order-1", "there").await.json()["offset"],
        1,
        "H11 room"
    );
    let mut texts = Vec::new();
    for _ in 0..3 {
        texts.push(alice.hear().await["text"].clone());
    }
    alice.settle().await;
    assert_eq!(texts, ["shipped", "a", "mine"]);
    assert!(
        alice
            .skipped()
            .iter()
            .all(|frame| frame["type"] != "message")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_publishes_where_and_as_whom_it_may() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let mut carol = gateway
        .client()
        .bearer(
            &gateway
                .provider
                .token_with("carol", &json!({ "nickname": "Carol" })),
        )
        .open()
        .await;
    carol.join("lobby").await;
    let post = async |claims: serde_json::Value, room: &str, body: serde_json::Value| {
        let token = gateway.provider.token_with("bot", &claims);
        let answer = gateway
            .api(
                "POST",
                &format!("/api/v1/rooms/{room}/messages"),
                &token,
                Some(body),
            )
            .await;
        let code = if answer.status == 201 {
            String::new()
        } else {
            answer.problem()
        };
        (answer.status, code)
    };
    let may = json!({ "scope": "chat:publish", "rooms": ["lobby", "support:*"] });
    let ok = (201, String::new());
    let forbidden = (403, "forbidden".to_owned());
    let text = json!({ "text": "x" });
    for (row, claims, room, body, expected) in [
        ("its room", may.clone(), "lobby", text.clone(), ok.clone()),
        (
            "its prefix",
            may.clone(),
            "support:7",
            text.clone(),
            ok.clone(),
        ),
        (
            "H12 other room",
            may.clone(),
            "board",
            text.clone(),
            forbidden.clone(),
        ),
        (
            "H12 the bare prefix",
            may.clone(),
            "support",
            text.clone(),
            forbidden.clone(),
        ),
        (
            "H12 no scope",
            json!({ "scope": "chat" }),
            "lobby",
            text.clone(),
            forbidden.clone(),
        ),
        (
            "H12 rooms by default open nothing to publish in",
            json!({ "scope": "chat:publish", "rooms": null }),
            "lobby",
            text.clone(),
            forbidden.clone(),
        ),
        (
            "a name",
            may.clone(),
            "lobby",
            json!({ "text": "x", "nick": "Robot" }),
            ok,
        ),
        (
            "H12 held",
            may.clone(),
            "lobby",
            json!({ "text": "x", "nick": "ALICE" }),
            (409, "nickname_taken".to_owned()),
        ),
        (
            "H12 verified",
            may.clone(),
            "lobby",
            json!({ "text": "x", "nick": "carol" }),
            (409, "nickname_taken".to_owned()),
        ),
        (
            "H12 reserved",
            may.clone(),
            "lobby",
            json!({ "text": "x", "nick": "moderator" }),
            (400, "nickname_reserved".to_owned()),
        ),
        (
            "invalid",
            may.clone(),
            "lobby",
            json!({ "text": "x", "nick": "a\u{202e}b" }),
            (400, "nickname_invalid".to_owned()),
        ),
        (
            "empty",
            may.clone(),
            "lobby",
            json!({ "text": " " }),
            (400, "text_empty".to_owned()),
        ),
        (
            "long",
            may.clone(),
            "lobby",
            json!({ "text": "x".repeat(4097) }),
            (400, "text_too_long".to_owned()),
        ),
        (
            "control",
            may.clone(),
            "lobby",
            json!({ "text": "a\u{0}b" }),
            (400, "text_invalid".to_owned()),
        ),
    ] {
        assert_eq!(post(claims, room, body).await, expected, "{row}");
    }
    let heard = alice.hear().await;
    assert_eq!(
        (&heard["text"], &heard["verified"]),
        (&json!("x"), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_make_the_metrics_grow() {
    let gateway = TestGateway::with(|config| {
        config.limits.requests_per_ip_burst = 10_000.try_into().expect("not 0");
        config.limits.auth_failures_per_ip_per_min = 10_000.try_into().expect("not 0");
    })
    .await;
    // A series is what stands before its value.
    let series = || -> BTreeSet<String> {
        let (_, text) = gateway.metrics.encode(None);
        let name = |line: &str| line.rsplit_once(' ').map(|(name, _)| name.to_owned());
        text.lines().filter_map(name).collect()
    };
    let mut io = gateway.tls().await;
    let mut after_one = BTreeSet::new();
    for n in 0..200 {
        for request in [
            format!("GET /x{n} HTTP/1.1\r\n"),
            format!("X{n} /healthz HTTP/1.1\r\n"),
            format!("GET /api/v1/rooms/room{n}/members HTTP/1.1\r\n"),
            format!("GET /assets/{n}.js HTTP/1.1\r\n"),
            format!(
                "GET {ROOM} HTTP/1.1\r\nauthorization: Bearer {n}\r\nuser-agent: u{n}\r\norigin: https://{n}.example\r\n"
            ),
            format!(
                "GET {ROOM} HTTP/1.1\r\nauthorization: Bearer {}\r\n",
                gateway.provider.sign(&{
                    let mut odd = claims("x");
                    odd["iss"] = json!(format!("https://{n}.example"));
                    odd
                })
            ),
        ] {
            let request = format!("{request}host: localhost\r\n\r\n");
            exchange(&mut io, request.as_bytes())
                .await
                .expect("an answer");
        }
        if n == 0 {
            after_one = series();
        }
    }
    let more: Vec<_> = series().difference(&after_one).cloned().collect();
    assert!(more.is_empty(), "H15: {more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_the_log_says_where_it_is_and_what_is_missing() {
    let gateway = TestGateway::with(|config| {
        config.log.retention_count = 5;
        config.limits.history_burst = 100.try_into().expect("not 0");
    })
    .await;
    let token = gateway.provider.token("reader");
    let empty = gateway.api("GET", ROOM, &token, None).await.json();
    assert_eq!(
        empty,
        json!({ "room": "lobby", "messages": [], "first": 1, "head": [0, ""] })
    );
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let mut ack = json!(null);
    for n in 1..=8 {
        ack = alice.say("lobby", &format!("m{n}")).await;
    }
    let epoch = ack["epoch"].as_str().expect("an epoch");
    let last = |offset: u64| format!("?after={offset}-{epoch}");
    let at = |offset: u64| json!([offset, epoch]);
    let gap = |from: u64| json!({ "gap": { "from": from, "to": at(3) } });
    for (query, offsets, told) in [
        (String::new(), vec![4, 5, 6, 7, 8], json!({})),
        ("?limit=2".to_owned(), vec![7, 8], json!({})),
        ("?before=6".to_owned(), vec![4, 5], json!({})),
        ("?before=7&limit=1".to_owned(), vec![6], json!({})),
        ("?before=3".to_owned(), vec![], json!({})),
        (last(6), vec![7, 8], json!({})),
        (last(6) + "&limit=1", vec![7], json!({})),
        (last(8), vec![], json!({})),
        ("?after=6".to_owned(), vec![7, 8], json!({})),
        ("?after=0&limit=2".to_owned(), vec![4, 5], gap(1)),
        (last(1), vec![4, 5, 6, 7, 8], gap(2)),
        (last(99), vec![], json!({ "fork": { "keep": at(8) } })),
        (
            "?after=2-dead&limit=2".to_owned(),
            vec![7, 8],
            json!({ "reset": { "to": at(6) } }),
        ),
    ] {
        let mut page = gateway
            .api("GET", &format!("{ROOM}{query}"), &token, None)
            .await
            .json();
        let page = page.as_object_mut().expect("an object");
        let messages = page.remove("messages").expect("messages");
        let found: Vec<_> = messages
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["offset"].as_u64().expect("no epoch frame is due"))
            .collect();
        assert_eq!(found, offsets, "{query}");
        let mut expected = json!({ "room": "lobby", "first": 4, "head": at(8) });
        let expected = expected.as_object_mut().expect("an object");
        expected.extend(told.as_object().expect("an object").clone());
        assert_eq!(page, expected, "{query}");
    }
    for bad in [
        "?after=1&before=9",
        "?after=x",
        "?after=1-XYZ",
        "?limit=0",
        "?since=1",
        "?limit=1&limit=1",
    ] {
        let answer = gateway
            .api("GET", &format!("{ROOM}{bad}"), &token, None)
            .await;
        assert_eq!(answer.refusal(), (400, "bad_request".to_owned()), "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_has_not_changed_is_not_sent_again_and_a_deletion_changes_it() {
    let gateway =
        TestGateway::with(|config| config.limits.history_burst = 100.try_into().expect("not 0"))
            .await;
    let token = gateway
        .provider
        .token_with("mod", &json!({ "scope": "chat chat:moderate" }));
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    for n in 1..=4 {
        alice.say("lobby", &format!("m{n}")).await;
    }
    let page = format!("{ROOM}?before=3");
    let bearer = format!("authorization: Bearer {token}\r\n");
    let asked = async |etag: Option<&str>| {
        let line = etag.map_or_else(String::new, |etag| format!("if-none-match: {etag}\r\n"));
        get(&gateway, &page, &format!("{bearer}{line}")).await
    };
    let first = asked(None).await;
    assert_eq!(first.header("content-type"), Some("application/json"));
    let etag = first.header("etag").expect("a validator").to_owned();
    for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}")] {
        let again = asked(Some(&known)).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("etag"), Some(etag.as_str()));
        assert_eq!(
            again.header("cache-control"),
            Some("no-store"),
            "what is deleted must not live on in a cache"
        );
    }
    assert_eq!(asked(Some("\"x\"")).await.status, 200);
    assert_eq!(
        get(&gateway, &page, &format!("if-none-match: {etag}\r\n"))
            .await
            .status,
        401,
        "the right goes first"
    );
    let gone = gateway
        .api("DELETE", &format!("{ROOM}/2"), &token, None)
        .await;
    assert_eq!(gone.status, 200);
    let changed = asked(Some(&etag)).await;
    assert_eq!(changed.status, 200);
    assert_eq!(changed.json()["messages"][1]["deleted"], true);
    let etag = changed.header("etag").expect("a validator").to_owned();
    assert_eq!(asked(Some(&etag)).await.status, 304);
    alice.say("lobby", "next").await;
    let moved = asked(Some(&etag)).await;
    assert_eq!((moved.status, &moved.json()["head"][0]), (200, &json!(6)));
}
