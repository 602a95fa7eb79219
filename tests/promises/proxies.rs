//! P1 behind proxies: the client's address comes from whom the operator trusts, in the one form that was configured.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wardroom::config::{Config, listen::ProxyProtocol};

use crate::support::{gateway::TestGateway, within};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A gateway that wants a PROXY header; one connection an address shows whose it takes a connection for.
async fn required(change: impl FnOnce(&mut Config)) -> TestGateway {
    TestGateway::with(|config| {
        config.listen.proxy_protocol = ProxyProtocol::Required;
        config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.limits.connections_per_ip_max = 1;
        config.limits.proxy_header = Duration::from_millis(500);
        change(config);
    })
    .await
}

fn v2(version_command: u8, family: u8, address: &[u8]) -> Vec<u8> {
    let length = u16::try_from(address.len()).expect("short").to_be_bytes();
    [SIGNATURE, &[version_command, family], &length, address].concat()
}

fn v2_from(client: [u8; 4]) -> Vec<u8> {
    v2(
        0x21,
        0x11,
        &[&client[..], &[127, 0, 0, 1], &[0x12, 0x34, 0x20, 0xfb]].concat(),
    )
}

fn v1_from(client: &str) -> Vec<u8> {
    format!("PROXY TCP4 {client} 127.0.0.1 4711 8443\r\n").into_bytes()
}

/// The status of an upgrade behind these bytes; `None` when the connection was dropped.
async fn behind(gateway: &TestGateway, preamble: &[u8]) -> Option<(u16, Box<dyn Send>)> {
    let io = gateway.tls_after(preamble).await.ok()?;
    let dial = gateway.client().bearer(&gateway.provider.token("alice"));
    Some(match dial.dial_on(io).await {
        Ok((client, _)) => (101, Box::new(client)),
        Err(answer) => {
            assert_eq!(answer.problem(), "too_many_connections");
            (answer.status, Box::new(()))
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_in_a_proxy_header_is_the_clients() {
    let gateway = required(|_| {}).await;
    let (status, _held) = behind(&gateway, &v1_from("192.0.2.1"))
        .await
        .expect("let in");
    assert_eq!(status, 101, "v1");
    let mapped = "PROXY TCP6 ::ffff:192.0.2.1 ::1 4711 8443\r\n";
    let mut with_tlv = [
        &[192, 0, 2, 1][..],
        &[127, 0, 0, 1],
        &[0x12, 0x34, 0x20, 0xfb],
    ]
    .concat();
    with_tlv.extend([0x04, 0, 3, 1, 2, 3]);
    for (row, again) in [
        ("v1", v1_from("192.0.2.1")),
        ("v2", v2_from([192, 0, 2, 1])),
        ("v2 with more", v2(0x21, 0x11, &with_tlv)),
        ("v4 in v6", mapped.as_bytes().to_vec()),
    ] {
        let (status, _) = behind(&gateway, &again).await.expect("told over TLS");
        assert_eq!(status, 429, "{row}: the same client");
    }
    let mut kept = Vec::new();
    for (row, other) in [
        ("v1", v1_from("192.0.2.2")),
        ("v2", v2_from([192, 0, 2, 3])),
        (
            "v1 over v6",
            b"PROXY TCP6 2001:db8::7 ::1 4711 8443\r\n".to_vec(),
        ),
        ("Y7 UNKNOWN", b"PROXY UNKNOWN\r\n".to_vec()),
    ] {
        let (status, session) = behind(&gateway, &other)
            .await
            .unwrap_or_else(|| panic!("{row} was dropped"));
        assert_eq!(status, 101, "{row}: another client, or the proxy itself");
        kept.push(session);
    }
    for (row, proxy) in [
        ("UNKNOWN", b"PROXY UNKNOWN ::1 ::1 1 2\r\n".to_vec()),
        ("LOCAL", v2(0x20, 0x00, &[])),
        (
            "LOCAL with an address",
            v2(0x20, 0x11, &[192, 0, 2, 99, 127, 0, 0, 1, 1, 2, 3, 4]),
        ),
    ] {
        let (status, _) = behind(&gateway, &proxy).await.expect("told over TLS");
        assert_eq!(status, 429, "Y7 {row}: the proxy itself, again");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_proper_proxy_header_there_is_no_connection() {
    let gateway = required(|_| {}).await;
    let twice = [v1_from("192.0.2.1"), v1_from("192.0.2.1")].concat();
    let long = format!("PROXY TCP4 {}", "1".repeat(97));
    for (row, preamble) in [
        ("Y6 none", Vec::new()),
        ("Y7 108 bytes", long.clone().into_bytes()),
        (
            "Y7 108 bytes and an end",
            format!("{long}\r\n").into_bytes(),
        ),
        (
            "Y7 port",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 99999 8443\r\n".to_vec(),
        ),
        (
            "Y7 address",
            b"PROXY TCP4 192.0.2.256 127.0.0.1 1 8443\r\n".to_vec(),
        ),
        ("Y7 family", b"PROXY TCP4 ::1 ::1 1 8443\r\n".to_vec()),
        (
            "Y7 CRLF",
            b"PROXY TCP4 192.0.2.1 127.0.0.1 1 8443\n".to_vec(),
        ),
        (
            "Y7 lower case",
            b"proxy TCP4 192.0.2.1 127.0.0.1 1 8443\r\n".to_vec(),
        ),
        ("Y7 AF_UNIX", v2(0x21, 0x31, &[b'a'; 216])),
        ("Y7 version 3", v2(0x31, 0x11, &[1; 12])),
        ("Y7 command", v2(0x22, 0x11, &[1; 12])),
        ("Y7 too short for its family", v2(0x21, 0x11, &[1; 4])),
        (
            "Y7 length 65535",
            [SIGNATURE, &[0x21, 0x11, 0xff, 0xff]].concat(),
        ),
        ("Y7 twice", twice),
    ] {
        assert!(behind(&gateway, &preamble).await.is_none(), "{row}");
    }
    let mut held = Vec::new();
    for cut in [
        &b""[..],
        b"PRO",
        b"PROXY TCP4 192.0.2.1",
        &SIGNATURE[..9],
        &v2_from([1, 2, 3, 4])[..20],
    ] {
        let mut tcp = tokio::net::TcpStream::connect(gateway.address)
            .await
            .expect("accepted");
        tcp.write_all(cut).await.expect("sent");
        held.push(tcp);
    }
    for mut tcp in held {
        let mut rest = Vec::new();
        within(
            "Y7 cut: the end of the connection",
            tcp.read_to_end(&mut rest),
        )
        .await
        .ok();
        assert!(rest.is_empty());
    }
    assert!(
        behind(&gateway, &v1_from("192.0.2.1")).await.is_some(),
        "the listener works on"
    );

    let foreign = required(|config| {
        config.listen.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
    })
    .await;
    assert!(
        behind(&foreign, &v1_from("192.0.2.1")).await.is_none(),
        "Y6 foreign"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarded_address_is_read_in_every_form_or_not_at_all() {
    let gateway = TestGateway::with(|config| {
        config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.limits.connections_per_ip_max = 1;
    })
    .await;
    let token = gateway.provider.token("alice");
    let from = |line: &str| {
        gateway
            .client()
            .bearer(&token)
            .header("x-forwarded-for", line)
    };
    let _held = from("192.0.2.1").dial().await.expect("the first");
    let (_held6, _) = from("2001:db8:0:1::7")
        .dial()
        .await
        .expect("the first of its network");
    for same in [
        "192.0.2.1:4711",
        "::ffff:192.0.2.1",
        "[::ffff:192.0.2.1]:4711",
        " 192.0.2.1 ",
        "6.6.6.6, 192.0.2.1",
        "rubbish, 192.0.2.1",
        "192.0.2.1, 127.0.0.9",
        "2001:db8:0:1::8",
        "[2001:db8:0:1:9::]:443",
    ] {
        assert_eq!(
            from(same).refused().await,
            (429, "too_many_connections".to_owned()),
            "Y3 {same}"
        );
    }
    let malformed = || gateway.metric("wardroom_forwarded_malformed_total");
    let long = vec!["192.0.2.1"; 33].join(",");
    for odd in [
        "unknown",
        "_hidden",
        "192.0.2.1,",
        "192.0.2.1:99999",
        "[192.0.2.1",
        "192.0.2.1;x",
        long.as_str(),
    ] {
        let before = malformed();
        // The proxy's own address, which has no cap of one.
        let (mut client, _) = from(odd)
            .dial()
            .await
            .unwrap_or_else(|refused| panic!("Y3 {odd}: {refused:?}"));
        client.expect("welcome").await;
        assert_eq!(malformed(), before + 1.0, "Y3 {odd}");
    }
    for private in ["127.0.0.1", "10.0.0.1"] {
        let (first, _) = from(&format!("{private}, 10.9.9.9"))
            .dial()
            .await
            .expect("a client like any other");
        assert_eq!(from("10.9.9.9").refused().await.0, 429, "Y4 {private}");
        drop(first);
        crate::support::eventually("room again", async || match from("10.9.9.9").dial().await {
            Ok(_) => Ok(()),
            Err(answer) => Err(answer.status.to_string()),
        })
        .await;
        crate::support::eventually("and again", async || match from("10.9.9.9").dial().await {
            Ok(_) => Ok(()),
            Err(answer) => Err(answer.status.to_string()),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_nobody_configured_change_nothing() {
    let gateway = TestGateway::with(|config| {
        config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.limits.connections_per_ip_max = 1;
    })
    .await;
    let token = gateway.provider.token("alice");
    let from = |line: &str| {
        gateway
            .client()
            .bearer(&token)
            .header("x-forwarded-for", line)
    };
    let _held = from("192.0.2.1").dial().await.expect("the first");
    for (name, value) in [
        ("forwarded", "for=192.0.2.77"),
        ("x-real-ip", "192.0.2.77"),
        ("true-client-ip", "192.0.2.77"),
        ("cf-connecting-ip", "192.0.2.77"),
        ("x-client-ip", "192.0.2.77"),
        ("x-user-id", "admin"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
    ] {
        let (_, code) = from("192.0.2.1").header(name, value).refused().await;
        assert_eq!(code, "too_many_connections", "Y5 {name}");
    }
    for (lines, status) in [
        (
            "GET / HTTP/1.1\r\nx-original-url: /nowhere\r\nx-rewrite-url: /nowhere\r\n",
            200,
        ),
        ("GET /metrics HTTP/1.1\r\nx-original-url: /\r\n", 404),
        (
            "GET /healthz HTTP/1.1\r\nx-http-method-override: DELETE\r\n",
            200,
        ),
        (
            "POST /healthz HTTP/1.1\r\nx-http-method-override: GET\r\ncontent-length: 0\r\n",
            405,
        ),
        (
            "GET /api/v1/rooms/lobby/members HTTP/1.1\r\nx-user-id: alice\r\nx-forwarded-user: alice\r\n",
            401,
        ),
    ] {
        let answer = gateway
            .http(&format!("{lines}host: localhost\r\n\r\n"))
            .await;
        assert_eq!(answer.status, status, "Y5 {lines}");
        assert_eq!(answer.header("location"), None);
    }
}
