//! P1: who may not come in never gets a 101 and costs little.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    eventually,
    gateway::{ORIGIN, TestGateway},
    http::{exchange, read_answer},
    within,
};

/// An upgrade with one line of the good head replaced or left out.
async fn changed(gateway: &TestGateway, from: &str, to: &str) -> (u16, String) {
    let request = gateway
        .client()
        .bearer(&gateway.provider.token("alice"))
        .request();
    assert!(request.contains(from), "{from}");
    let answer = gateway.http(&request.replacen(from, to, 1)).await;
    let code = if answer.status == 101 {
        String::new()
    } else {
        answer.problem()
    };
    (answer.status, code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_is_none_is_refused_before_the_101() {
    let gateway = TestGateway::start().await;
    const KEY: &str = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION: &str = "sec-websocket-version: 13\r\n";
    let key = |value: &str| format!("sec-websocket-key: {value}\r\n");
    let bad = |code: &str| (400, code.to_owned());
    for (row, from, to, expected) in [
        (
            "U1 no Upgrade",
            "upgrade: websocket\r\n",
            String::new(),
            (426, "bad_request".to_owned()),
        ),
        (
            "U1 no Connection",
            "connection: Upgrade\r\n",
            String::new(),
            (426, "bad_request".to_owned()),
        ),
        (
            "U3 h2c",
            "upgrade: websocket\r\n",
            "upgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n".to_owned(),
            (426, "bad_request".to_owned()),
        ),
        (
            "U3 both",
            "upgrade: websocket\r\n",
            "upgrade: websocket, h2c\r\n".to_owned(),
            (426, "bad_request".to_owned()),
        ),
        (
            "U4 case",
            "upgrade: websocket\r\n",
            "UPGRADE: WebSocket\r\n".to_owned(),
            (101, String::new()),
        ),
        (
            "U4 Firefox",
            "connection: Upgrade\r\n",
            "connection: keep-alive, Upgrade\r\n".to_owned(),
            (101, String::new()),
        ),
        ("U5 no key", KEY, String::new(), bad("bad_request")),
        ("U5 empty key", KEY, key(""), bad("bad_request")),
        (
            "U5 no base64",
            KEY,
            key("!!!!!!!!!!!!!!!!!!!!!!=="),
            bad("bad_request"),
        ),
        (
            "U5 15 bytes",
            KEY,
            key("AAAAAAAAAAAAAAAAAAAA"),
            bad("bad_request"),
        ),
        (
            "U5 17 bytes",
            KEY,
            key("AAAAAAAAAAAAAAAAAAAAAAA="),
            bad("bad_request"),
        ),
        ("U5 4 KB", KEY, key(&"A".repeat(4096)), bad("bad_request")),
        ("U5 twice", KEY, format!("{KEY}{KEY}"), bad("bad_request")),
        (
            "U6 no version",
            VERSION,
            String::new(),
            (426, "unsupported_version".to_owned()),
        ),
        (
            "U6 version 0",
            VERSION,
            "sec-websocket-version: 0\r\n".to_owned(),
            (426, "unsupported_version".to_owned()),
        ),
        (
            "U6 version 8",
            VERSION,
            "sec-websocket-version: 8\r\n".to_owned(),
            (426, "unsupported_version".to_owned()),
        ),
        (
            "U6 version 14",
            VERSION,
            "sec-websocket-version: 14\r\n".to_owned(),
            (426, "unsupported_version".to_owned()),
        ),
        (
            "U6 two versions",
            VERSION,
            "sec-websocket-version: 13, 8\r\n".to_owned(),
            (426, "unsupported_version".to_owned()),
        ),
        (
            "U6 twice",
            VERSION,
            format!("{VERSION}{VERSION}"),
            (426, "unsupported_version".to_owned()),
        ),
        (
            "U17 no Host",
            "host: localhost\r\n",
            String::new(),
            bad("bad_request"),
        ),
        (
            "U17 two Hosts",
            "host: localhost\r\n",
            "host: localhost\r\nhost: localhost\r\n".to_owned(),
            bad("bad_request"),
        ),
        (
            "U17 user",
            "host: localhost\r\n",
            "host: a@localhost\r\n".to_owned(),
            bad("bad_request"),
        ),
        (
            "U17 port",
            "host: localhost\r\n",
            "host: localhost:99999\r\n".to_owned(),
            bad("bad_request"),
        ),
        (
            "U24 body",
            "host: localhost\r\n",
            "host: localhost\r\ncontent-length: 5\r\n".to_owned(),
            bad("bad_request"),
        ),
    ] {
        assert_eq!(changed(&gateway, from, &to).await, expected, "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_version_is_told_the_right_one_and_a_wrong_method_the_right_ones() {
    let gateway = TestGateway::start().await;
    let request = gateway
        .client()
        .bearer(&gateway.provider.token("alice"))
        .request();
    let answer = gateway
        .http(&request.replace("version: 13", "version: 8"))
        .await;
    assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    for method in ["POST", "PUT", "DELETE", "HEAD"] {
        let answer = gateway.http(&request.replacen("GET", method, 1)).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET")),
            "U2 {method}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_extension_is_ever_agreed_and_only_our_protocols_are_chosen() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    let offer = |protocols: &str| gateway.client().header("sec-websocket-protocol", protocols);
    let (_, answer) = gateway
        .client()
        .bearer(&token)
        .header(
            "sec-websocket-extensions",
            "permessage-deflate; client_max_window_bits",
        )
        .dial()
        .await
        .expect("U7");
    assert_eq!(answer.header("sec-websocket-extensions"), None);

    let (_, answer) = offer(&format!("wardroom.v1, bearer.{token}"))
        .dial()
        .await
        .expect("U10");
    assert_eq!(answer.header("sec-websocket-protocol"), Some("wardroom.v1"));
    assert!(
        answer
            .headers
            .iter()
            .all(|(_, value)| !value.contains(&token[..16])),
        "the token comes back in no header"
    );

    let sixteen = ["wardroom.v1"]
        .into_iter()
        .chain(["x"; 14])
        .collect::<Vec<_>>()
        .join(", ");
    assert!(
        offer(&format!("{sixteen}, bearer.{token}"))
            .dial()
            .await
            .is_ok(),
        "U8 16 offers"
    );
    assert_eq!(
        offer(&format!("{sixteen}, y, bearer.{token}"))
            .refused()
            .await,
        (400, "bad_request".to_owned()),
        "U8 17 offers"
    );
    let blanks = format!("wardroom.v1,{}, bearer.{token}", " ".repeat(8000));
    assert_eq!(offer(&blanks).refused().await.0, 400, "U8 blanks");

    for unknown in ["graphql-ws".to_owned(), format!("bearer.{token}")] {
        let refused = gateway
            .client()
            .header("sec-websocket-protocol", &unknown)
            .refused()
            .await;
        assert_eq!(refused, (400, "unsupported_version".to_owned()), "U9");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_listed_origins_come_in_whatever_their_credential() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    let from = |origin: &str| gateway.client().bearer(&token).header("origin", origin);
    for origin in [ORIGIN, "HTTPS://CHAT.TEST", "https://chat.test:443"] {
        assert!(from(origin).dial().await.is_ok(), "U13 {origin}");
    }
    let long = format!("https://{}.example", "a".repeat(8000));
    for origin in [
        "https://evil.example",
        "https://chat.test.evil.tld",
        "https://evilchat.test",
        "https://chat.test@evil.tld",
        "http://chat.test",
        "https://chat.test:8443",
        "https://chat.test.",
        "https://chat%2etest",
        "null",
        long.as_str(),
    ] {
        assert_eq!(
            from(origin).refused().await,
            (403, "origin_not_allowed".to_owned()),
            "U12 {origin}"
        );
    }
    let both = from(ORIGIN).header("origin", "https://evil.example");
    assert_eq!(both.refused().await, (400, "bad_request".to_owned()), "U14");
    assert_eq!(
        gateway.metric("wardroom_authentications_total{method=\"bearer\",result=\"unauthorized\"}"),
        0.0,
        "U11"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_no_browsers_may_be_shut_out() {
    let gateway = TestGateway::with(|config| config.admission.allow_missing_origin = false).await;
    let token = gateway.provider.token("alice");
    assert_eq!(
        gateway.client().bearer(&token).refused().await,
        (403, "origin_not_allowed".to_owned()),
        "U15"
    );
    assert!(
        gateway
            .client()
            .bearer(&token)
            .header("origin", ORIGIN)
            .dial()
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_credential_is_looked_at() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    let dial = || gateway.client();
    assert_eq!(
        dial()
            .query(&format!("token={token}&token={token}"))
            .refused()
            .await,
        (400, "bad_request".to_owned())
    );
    assert_eq!(
        dial()
            .bearer(&token)
            .query(&format!("token={token}"))
            .refused()
            .await,
        (400, "bad_request".to_owned())
    );
    assert_eq!(
        dial()
            .query(&format!("ticket=a&token={token}"))
            .refused()
            .await,
        (400, "bad_request".to_owned())
    );
    let both = dial().bearer(&token).header(
        "sec-websocket-protocol",
        &format!("wardroom.v1, bearer.{token}"),
    );
    assert_eq!(both.refused().await, (400, "bad_request".to_owned()), "U26");
    assert_eq!(
        dial().bearer(&token).bearer(&token).refused().await.0,
        400,
        "U28 twice"
    );
    assert_eq!(
        dial()
            .header("authorization", "Bearer a, Bearer b")
            .refused()
            .await
            .0,
        400,
        "U28 list"
    );
    assert!(
        dial()
            .header("authorization", &format!("bearer {token}"))
            .dial()
            .await
            .is_ok(),
        "U28 lower case"
    );
    for (row, client) in [
        ("U27 empty", dial().query("token=")),
        ("U27 bare", dial().query("token")),
        ("U28 Basic", dial().header("authorization", "Basic x")),
        ("U16 cookie", dial().header("cookie", "session=abcdef")),
        ("none", dial()),
    ] {
        let answer = client
            .dial()
            .await
            .err()
            .unwrap_or_else(|| panic!("{row} was let in"));
        assert_eq!(answer.refusal(), (401, "unauthorized".to_owned()), "{row}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_only_look_like_ours_are_not_there() {
    let gateway = TestGateway::start().await;
    let request = gateway
        .client()
        .bearer(&gateway.provider.token("alice"))
        .request();
    for path in [
        "//ws/chat",
        "/ws/chat/",
        "/%77s/chat",
        "/WS/chat",
        "/ws/..%2fmetrics",
        "/ws/chat%00",
        "/metrics",
        "/readyz",
        "/livez",
        "/version",
        "/docs",
        "/debug/pprof",
        "/..%2f",
        "/.git/config",
        "/%2e%2e/Cargo.toml",
        "/assets/x;.css",
        "/assets/../index.html",
    ] {
        let answer = gateway.http(&request.replacen("/ws/chat", path, 1)).await;
        assert_eq!(
            answer.refusal(),
            (404, "not_found".to_owned()),
            "U19 H6 H9 {path}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let absolute = request.replacen("/ws/chat", "http://169.254.169.254/ws/chat", 1);
    assert_eq!(
        gateway.http(&absolute).await.status,
        101,
        "U18: answered as the path alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_two_parsers_could_read_differently_ends_the_connection() {
    let gateway = TestGateway::start().await;
    for (row, head) in [
        (
            "U23 both",
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        ),
        ("U23 identity", "transfer-encoding: identity, chunked\r\n"),
        (
            "U23 chunked twice",
            "transfer-encoding: chunked, chunked\r\n",
        ),
        ("U22 obs-fold", "x: a\r\n b\r\n"),
        ("U22 bare CR", "x: a\rb\r\n"),
        ("U22 NUL", "x: a\0b\r\n"),
        ("U22 blank before the colon", "x : a\r\n"),
        ("U22 no name", ": a\r\n"),
    ] {
        let mut io = gateway.tls().await;
        let request = format!("POST /api/v1/tickets HTTP/1.1\r\nhost: localhost\r\n{head}\r\n");
        let (answer, _) = exchange(&mut io, request.as_bytes()).await.expect(row);
        assert_eq!(answer.status, 400, "{row}");
        let mut rest = Vec::new();
        within("the end of the connection", io.read_to_end(&mut rest))
            .await
            .ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_have_a_size_and_a_time() {
    let gateway =
        TestGateway::with(|config| config.limits.header_read = Duration::from_millis(500)).await;
    let ask = |extra: String| format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{extra}\r\n");
    let lines = |count: usize| {
        (0..count)
            .map(|n| format!("x-{n}: y\r\n"))
            .collect::<String>()
    };
    assert_eq!(
        gateway.http(&ask(lines(63))).await.status,
        200,
        "U20 64 lines"
    );
    assert_eq!(
        gateway.http(&ask(lines(64))).await.status,
        431,
        "U20 65 lines"
    );
    let frame = ask("x: \r\n".to_owned()).len();
    assert_eq!(
        gateway
            .http(&ask(format!("x: {}\r\n", "a".repeat(16384 - frame))))
            .await
            .status,
        200,
        "U20 16384 bytes"
    );
    let mut io = gateway.tls().await;
    io.write_all(ask(format!("x: {}\r\n", "a".repeat(70_000))).as_bytes())
        .await
        .ok();
    let refused = within("an answer or the end", read_answer(&mut io)).await;
    assert!(
        refused.is_err() || refused.is_ok_and(|(answer, _)| answer.status == 431),
        "U20 64 KiB"
    );

    let mut slow = gateway.tls().await;
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: local")
        .await
        .expect("half a head");
    let mut rest = Vec::new();
    within(
        "the end of a head that never ends",
        slow.read_to_end(&mut rest),
    )
    .await
    .ok();
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
        "U21: {}",
        String::from_utf8_lossy(&rest)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_is_never_spoken_however_its_preface_arrives() {
    let gateway = TestGateway::start().await;
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for pieces in [PREFACE.len(), 1] {
        let mut io = gateway.tls().await;
        for piece in PREFACE.chunks(pieces) {
            if io.write_all(piece).await.is_err() || io.flush().await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        within("the end of the connection", io.read_to_end(&mut answer))
            .await
            .ok();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"),
            "U30 in pieces of {pieces}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_in_the_same_segment_as_the_request_are_not_lost() {
    let gateway = TestGateway::start().await;
    let mut request = gateway
        .client()
        .bearer(&gateway.provider.token("alice"))
        .request()
        .into_bytes();
    for text in [r#"{"type":"ping","id":"1"}"#, r#"{"type":"ping","id":"2"}"#] {
        request.extend([
            0x81,
            0x80 | u8::try_from(text.len()).expect("short"),
            0,
            0,
            0,
            0,
        ]);
        request.extend(text.as_bytes());
    }
    let mut io = gateway.tls().await;
    let (answer, mut seen) = exchange(&mut io, &request).await.expect("an answer");
    assert_eq!(answer.status, 101, "U25");
    within("both pongs", async {
        while !String::from_utf8_lossy(&seen).contains(r#"{"type":"pong","id":"2"}"#) {
            assert_ne!(io.read_buf(&mut seen).await.expect("the session lives"), 0);
        }
    })
    .await;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(
        seen.find(r#""id":"1"}"#) < seen.find(r#""id":"2"}"#),
        "in order"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_query_asks_for_is_checked_before_the_101() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    let ask = |query: &str| gateway.client().bearer(&token).query(query);
    let rooms = |count: usize| {
        (0..count)
            .map(|n| format!("room=r{n}"))
            .collect::<Vec<_>>()
            .join("&")
    };
    assert!(ask(&rooms(50)).dial().await.is_ok());
    for (query, code) in [
        (rooms(51), "too_many_rooms"),
        ("room=../x".to_owned(), "bad_request"),
        ("room=".to_owned(), "bad_request"),
        ("html=2".to_owned(), "bad_request"),
        (format!("nick={}", "a".repeat(257)), "nickname_invalid"),
        ("nick=admin".to_owned(), "nickname_reserved"),
        ("nick=".to_owned(), "nickname_invalid"),
        ("unknown=1".to_owned(), "bad_request"),
        (format!("resume={}", "a".repeat(65)), "bad_request"),
    ] {
        assert_eq!(
            ask(&query).refused().await,
            (400, code.to_owned()),
            "U32 {query}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_a_cap_and_a_close_makes_room_again() {
    let gateway = TestGateway::with(|config| config.limits.connections_per_ip_max = 2).await;
    let one = gateway.member("Alice").await;
    let _two = gateway.member("Bob").await;
    let mut third = gateway.tls().await;
    let request = gateway
        .client()
        .bearer(&gateway.provider.token("carol"))
        .request();
    let refused = exchange(&mut third, request.as_bytes()).await;
    if let Ok((answer, _)) = refused {
        assert_eq!(
            answer.refusal(),
            (429, "too_many_connections".to_owned()),
            "R6"
        );
        assert!(answer.header("retry-after").is_some());
    }
    drop(third);
    one.close().await;
    eventually("room again", async || {
        match gateway
            .client()
            .bearer(&gateway.provider.token("carol"))
            .dial()
            .await
        {
            Ok(_) => Ok(()),
            Err(answer) => Err(answer.status.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_a_cap_and_the_oldest_session_yields() {
    let gateway = TestGateway::with(|config| config.limits.connections_per_user_max = 2).await;
    let mut oldest = gateway.member("Alice").await;
    let mut second = gateway.member("Alice").await;
    let mut newest = gateway.member("Alice").await;
    assert_eq!(
        oldest.closed().await,
        Some((4409, "replaced".to_owned())),
        "R7"
    );
    assert_eq!(
        oldest.skipped().last().expect("closing")["code"],
        "replaced"
    );
    second.settle().await;
    newest.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_and_requests_of_an_address_have_a_rate() {
    let gateway = TestGateway::with(|config| {
        config.limits.connects_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.connects_per_ip_burst = 2.try_into().expect("not 0");
    })
    .await;
    let dial = || gateway.client().bearer(&gateway.provider.token("alice"));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let answer = dial()
            .dial()
            .await
            .map_or_else(|refused| refused, |(_, answer)| answer);
        if answer.status == 429 {
            assert_eq!(answer.problem(), "rate_limited");
            assert!(answer.header("retry-after").is_some());
            assert!(
                answer.json()["retry_after_ms"]
                    .as_u64()
                    .is_some_and(|ms| ms > 0)
            );
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..2], [101, 101], "the burst passes");
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_address_is_believed_of_trusted_proxies_alone() {
    let limit = |config: &mut wardroom::config::Config| {
        config.limits.connects_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.connects_per_ip_burst = 1.try_into().expect("not 0");
    };
    let foreign = TestGateway::with(limit).await;
    let from = |gateway: &TestGateway, address: &str| {
        gateway
            .client()
            .bearer(&gateway.provider.token("alice"))
            .header("x-forwarded-for", address)
            .request()
    };
    assert_eq!(foreign.http(&from(&foreign, "192.0.2.1")).await.status, 101);
    assert_eq!(
        foreign.http(&from(&foreign, "192.0.2.2")).await.status,
        429,
        "Y1: a new value per request is one bucket"
    );

    let trusting = TestGateway::with(|config| {
        limit(config);
        config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    assert_eq!(
        trusting.http(&from(&trusting, "192.0.2.1")).await.status,
        101
    );
    assert_eq!(
        trusting.http(&from(&trusting, "192.0.2.2")).await.status,
        101,
        "Y2: each client has a bucket"
    );
    assert_eq!(
        trusting
            .http(&from(&trusting, "6.6.6.6, 192.0.2.2"))
            .await
            .status,
        429,
        "Y2: the first untrusted from the right"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_tls_is_closed_at_once_and_counted() {
    let gateway = TestGateway::start().await;
    for hello in [
        &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n",
    ] {
        let mut tcp = tokio::net::TcpStream::connect(gateway.address)
            .await
            .expect("the listener accepts");
        tcp.write_all(hello).await.expect("sent");
        let mut answer = Vec::new();
        tokio::time::timeout(Duration::from_secs(1), tcp.read_to_end(&mut answer))
            .await
            .expect("L4: within a second")
            .ok();
        assert!(
            !answer.starts_with(b"HTTP"),
            "V1: no redirect, no answer in clear"
        );
    }
    eventually("the counter", async || {
        let counted =
            gateway.metric("wardroom_tls_handshakes_total{result=\"not_tls\",version=\"none\"}");
        if counted >= 1.0 {
            Ok(())
        } else {
            Err(format!("{counted}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_upgrade_on_a_refused_connection_is_judged_by_itself() {
    let gateway = TestGateway::start().await;
    let mut io = gateway.tls().await;
    let (refused, _) = exchange(
        &mut io,
        gateway.client().bearer("nonsense").request().as_bytes(),
    )
    .await
    .expect("an answer");
    assert_eq!(refused.refusal(), (401, "unauthorized".to_owned()), "U31");
    let (admitted, _) = exchange(
        &mut io,
        gateway
            .client()
            .bearer(&gateway.provider.token("alice"))
            .request()
            .as_bytes(),
    )
    .await
    .expect("an answer");
    assert_eq!(admitted.status, 101, "U31");
}
