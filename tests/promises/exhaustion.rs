//! P1 and P7 when somebody takes as much as they can get: it is bounded, it is given back, and others are served meanwhile.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use wardroom::config::Config;

use crate::support::{
    eventually,
    gateway::TestGateway,
    http::exchange,
    liar::{self, Liar},
    program::Site,
    quiet::{self, Quiet, SCENE},
    within,
};

/// Waits until the gateway holds no more connections than before.
async fn given_back(gateway: &TestGateway, before: f64) {
    eventually("Q4: the connections are given back", async || match gateway
        .metric("wardroom_connections")
    {
        now if now <= before => Ok(()),
        now => Err(format!("{now} instead of {before}")),
    })
    .await;
}

fn no_rates(config: &mut Config) {
    quiet::for_many(config);
    let plenty = 100_000.try_into().expect("not 0");
    let limits = &mut config.limits;
    limits.connects_per_ip_burst = plenty;
    limits.requests_per_ip_burst = plenty;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_of_one_address_are_dropped_and_a_newcomer_elsewhere_is_served() {
    let gateway = TestGateway::with(|config| {
        quiet::for_many(config);
        config.limits.tls_handshake = Duration::from_secs(2);
    })
    .await;
    let mut quiet = Quiet::watch(&gateway).await;
    let before = gateway.metric("wardroom_connections");
    let mut silent = Vec::new();
    quiet
        .during(async {
            for nth in 0..2000 {
                let mut tcp = TcpStream::connect(gateway.address).await.expect("R4");
                // Every other one says a byte of a handshake now and then.
                if nth % 2 == 0 {
                    tcp.write_all(&[0x16]).await.ok();
                }
                silent.push(tcp);
                if nth % 500 == 499 {
                    gateway
                        .is_served([127, 0, 0, 2])
                        .await
                        .expect("R4: a newcomer");
                }
            }
        })
        .await;
    let held = gateway.metric("wardroom_connections") - before;
    assert!(
        held <= 33.0,
        "R4: {held} are held, and 32 handshakes may be"
    );
    // The rest is dropped, the handshakes that were let in by their time.
    quiet
        .during(async {
            for tcp in &mut silent {
                tcp.write_all(&[0x03]).await.ok();
                let mut rest = Vec::new();
                within("R4: the end", tcp.read_to_end(&mut rest)).await.ok();
            }
        })
        .await;
    given_back(&gateway, before).await;
    let late = gateway.metric("wardroom_tls_handshakes_total{result=\"timeout\",version=\"none\"}");
    assert!((1.0..=64.0).contains(&late), "R4: {late} ran out of time");
    assert!(gateway.metric("wardroom_rate_limited_total{scope=\"connection\"}") >= 1900.0);
    gateway
        .is_served([127, 0, 0, 1])
        .await
        .expect("R4: and the address itself again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_of_an_address_have_a_rate_and_connections_have_none() {
    let gateway = TestGateway::with(|config| {
        config.limits.connects_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.connects_per_ip_burst = 6.try_into().expect("not 0");
    })
    .await;
    for _ in 0..20 {
        gateway
            .is_served([127, 0, 0, 1])
            .await
            .expect("a connection is no upgrade");
    }
    let began = Instant::now();
    let mut refusals = Vec::new();
    for n in 0..10 {
        let token = if n % 2 == 0 {
            "nonsense"
        } else {
            &gateway.provider.token("alice")
        };
        match gateway.client().bearer(token).dial().await {
            Ok(_) => refusals.push(101),
            Err(answer) => refusals.push(answer.status),
        }
    }
    let more = usize::try_from(began.elapsed().as_secs()).expect("few") + 1;
    assert_eq!(refusals[..6], [401, 101, 401, 101, 401, 101]);
    let limited = refusals.iter().filter(|status| **status == 429).count();
    assert!((4 - more.min(4)..=4).contains(&limited), "{refusals:?}");
    assert!(gateway.metric("wardroom_rate_limited_total{scope=\"handshake\"}") >= limited as f64);
    gateway
        .is_served([127, 0, 0, 1])
        .await
        .expect("nor are requests upgrades");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_256_connections_and_a_network_of_ipv6_counts_as_one() {
    let gateway = TestGateway::with(no_rates).await;
    let token = gateway.provider.token("alice");
    let mut open = Vec::new();
    for _ in 0..256 {
        open.push(gateway.tls().await);
    }
    let refused = gateway.client().bearer(&token).refused().await;
    assert_eq!(refused, (429, "too_many_connections".to_owned()), "R6: 257");
    gateway
        .is_served([127, 0, 0, 2])
        .await
        .expect("R6: another address");
    open.pop();
    eventually("R6: room again", async || {
        match gateway.client().bearer(&token).dial().await {
            Ok(_) => Ok(()),
            Err(answer) => Err(answer.status.to_string()),
        }
    })
    .await;
    drop(open);

    let behind = TestGateway::with(|config| {
        no_rates(config);
        config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.limits.connections_per_user_max = 1000;
    })
    .await;
    let token = behind.provider.token("alice");
    let from = |address: String| {
        behind
            .client()
            .bearer(&token)
            .header("x-forwarded-for", &address)
            .dial()
    };
    let mut open = Vec::new();
    for host in 0..256 {
        let one = from(format!("2001:db8:1:2:{host:x}::{host:x}")).await;
        open.push(one.expect("R6: within the /64"));
    }
    let refused = from("2001:db8:1:2:ffff::1".to_owned()).await.err();
    let refused = refused.expect("R6: the /64 counts as one");
    assert_eq!(
        refused.refusal(),
        (429, "too_many_connections".to_owned()),
        "R6"
    );
    assert!(
        from("2001:db8:1:3::1".to_owned()).await.is_ok(),
        "R6: the next /64"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_announces_a_terabyte_takes_no_memory() {
    let site = Site::new();
    let node = site.serve("").await;
    let virtually = || node.process.told("status", "VmPeak");
    let mut open = Vec::new();
    for n in 0..20 {
        let dial = node.door.client();
        let dial = dial.bearer(&site.provider.token(&format!("p{n}")));
        open.push(Liar::over(node.door.tls().await, &dial.request()).await);
    }
    let before = virtually();
    for (liar, length) in open
        .iter_mut()
        .zip([1 << 40, 1 << 63, u64::MAX, 1 << 30].into_iter().cycle())
    {
        liar.write(&liar::header(liar::TEXT, length)).await;
        let (code, _) = liar.closed().await.expect("F4: a Close");
        assert!([1002, 1009].contains(&code), "F4 {length}: {code}");
    }
    let grown = virtually().saturating_sub(before);
    assert!(grown < 512 << 10, "F4: {grown} KiB of address space");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_files_run_out_the_node_says_so_once_a_second_and_recovers() {
    let site = Site::new();
    let node = site.serve_with_files(200, "").await;
    node.door.is_served([127, 0, 0, 1]).await.expect("before");
    let began = Instant::now();
    let mut held = Vec::new();
    for n in 0..400 {
        held.push(
            node.door
                .tcp_from([127, 0, 1, n as u8 % 20])
                .await
                .expect("the kernel accepts"),
        );
    }
    let complaints = || {
        node.process
            .written()
            .matches("no connection can be accepted")
            .count()
    };
    eventually("R9: the operator is told", async || match complaints() {
        0 => Err(node.process.written()),
        _ => Ok(()),
    })
    .await;
    drop(held);
    eventually("R9: it recovers", async || {
        node.door.is_served([127, 0, 0, 1]).await
    })
    .await;
    let (lines, seconds) = (complaints(), began.elapsed().as_secs());
    assert!(
        lines as u64 <= seconds + 1,
        "R9: {lines} lines in {seconds} s"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_beyond_the_bound_share_one_bucket_and_those_before_keep_theirs() {
    const KEYS: u32 = 1000;
    let gateway = TestGateway::with(|config| {
        quiet::for_many(config);
        config.listen.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        config.limits.limiter_keys_max = KEYS as usize;
        config.limits.requests_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.requests_per_ip_burst = 100.try_into().expect("not 0");
    })
    .await;
    let mut io = gateway.tls().await;
    let mut ask = async |n: u32| {
        let [a, b, c, d] = (0x0a00_0000 + n).to_be_bytes();
        let request = format!(
            "GET /api/v1/page.json HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {a}.{b}.{c}.{d}\r\n\r\n"
        );
        let (answer, _) = exchange(&mut io, request.as_bytes()).await.expect("R10");
        answer.status
    };
    for n in 0..KEYS {
        assert_eq!(ask(n).await, 200, "R10: {n} has a bucket");
    }
    let began = Instant::now();
    let mut passed = 0;
    for n in KEYS..KEYS + 1000 {
        passed += u64::from(ask(n).await == 200);
    }
    let refilled = began.elapsed().as_secs() + 1;
    assert!(
        (100..=100 + refilled).contains(&passed),
        "R10: {passed} newcomers passed"
    );
    for n in 0..50 {
        assert_eq!(ask(n).await, 200, "R10: {n} keeps its bucket");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_and_leaves_without_end_is_told_closed_and_not_passed_on() {
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    let turn = [
        liar::json(&json!({ "type": "join", "id": "j", "room": SCENE })),
        liar::json(&json!({ "type": "leave", "id": "l", "room": SCENE })),
    ]
    .concat();
    let (before, close) = quiet
        .during(async {
            let mut liar = Liar::enter(&gateway, "Mallory").await;
            liar.flood(&turn.repeat(10)).await
        })
        .await;
    assert_eq!(close, Some((4529, "rate_limited".to_owned())), "R11");
    let limited = before
        .iter()
        .filter(|frame| frame["code"] == "rate_limited")
        .count();
    assert!((50..=101).contains(&limited), "R11: {limited} times");
    let joined = before
        .iter()
        .filter(|frame| frame["type"] == "joined")
        .count();
    assert!(joined <= 60, "R11: {joined} joins");
    quiet.settled().await;
}
