//! P1 and P7 when somebody takes as much as they can get: it is bounded, it is given back, and others are served meanwhile.

use std::{net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::Instant,
};
use wardroom::config::Config;

use crate::support::{
    client::Client,
    eventually,
    gateway::{Door, TestGateway, Tls},
    http::exchange,
    liar::{self, Liar},
    program::Site,
    quiet::{self, Quiet, SCENE},
    within,
};

/// A connection from another address of this machine.
async fn tcp_from(door: &Door, source: [u8; 4]) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source, 0)))?;
    socket.connect(door.address).await
}

/// The same, with TLS.
async fn tls_from(door: &Door, source: [u8; 4]) -> std::io::Result<Tls> {
    let tcp = tcp_from(door, source).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    within("the handshake", door.connector().connect(name, tcp)).await
}

async fn is_served(door: &Door, source: [u8; 4]) -> Result<(), String> {
    let mut io = tls_from(door, source)
        .await
        .map_err(|error| error.to_string())?;
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    match exchange(&mut io, request).await {
        Ok((answer, _)) if answer.status == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

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
                    is_served(&gateway, [127, 0, 0, 2])
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
    is_served(&gateway, [127, 0, 0, 1])
        .await
        .expect("R4: and the address itself again");
}

/// What a slow client sends first, what it goes on with, and whether it reads.
struct Slow {
    row: &'static str,
    first: Vec<u8>,
    drip: &'static [u8],
    reads: bool,
}

fn slow() -> [Slow; 3] {
    [
        Slow {
            row: "R5 -H, a head without end",
            first: b"GET /ws/chat HTTP/1.1\r\nhost: localhost\r\n".to_vec(),
            drip: b"x-a: b\r\n",
            reads: true,
        },
        Slow {
            row: "R5 -B, a body without end",
            first: b"POST /api/v1/tickets HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                     content-length: 4096\r\n\r\n"
                .to_vec(),
            drip: b" ",
            reads: true,
        },
        Slow {
            row: "R5 -X, answers that nobody reads",
            first: b"GET /assets/wardroom.css HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(400),
            drip: b"",
            reads: false,
        },
    ]
}

/// One slow connection, until the gateway ends it.
async fn dawdle(mut io: Tls, first: Vec<u8>, drip: &'static [u8]) {
    io.write_all(&first).await.ok();
    io.flush().await.ok();
    let (mut ear, mut mouth) = tokio::io::split(io);
    let dripping = async {
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        loop {
            beat.tick().await;
            if mouth.write_all(drip).await.is_err() || mouth.flush().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut rest = Vec::new();
    tokio::select! {
        _ = ear.read_to_end(&mut rest) => {}
        () = dripping => {}
    }
}

/// A TLS connection that takes little: what is not read stays with the gateway.
async fn narrow(door: &Door) -> Tls {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let tcp = socket.connect(door.address).await.expect("accepted");
    let name = ServerName::try_from("localhost").expect("a name");
    within("the handshake", door.connector().connect(name, tcp))
        .await
        .expect("TLS")
}

/// Opens so many slow connections of one kind, and looks whether others are served until all have been ended.
async fn slow_ones(gateway: &TestGateway, slow: Slow, count: usize, before: f64) {
    // Fewer at once than handshakes may be.
    let opening = (0..count).map(|_| async {
        if slow.reads {
            gateway.tls().await
        } else {
            narrow(gateway).await
        }
    });
    let open: Vec<Tls> = stream::iter(opening).buffer_unordered(20).collect().await;
    let (mut dawdling, mut deaf) = (JoinSet::new(), JoinSet::new());
    for mut io in open {
        let first = slow.first.clone();
        if slow.reads {
            dawdling.spawn(dawdle(io, first, slow.drip));
        } else {
            deaf.spawn(async move {
                io.write_all(&first).await.ok();
                io.flush().await.ok();
                std::future::pending::<Tls>().await
            });
        }
    }
    let opened = gateway.metric("wardroom_connections") - before;
    assert!(opened > 0.0, "{}: they are open", slow.row);
    within(slow.row, async {
        while gateway.metric("wardroom_connections") > before {
            is_served(gateway, [127, 0, 0, 2]).await.expect(slow.row);
        }
        while dawdling.join_next().await.is_some() {}
    })
    .await;
}

async fn slow_connections(count: usize) {
    let gateway = TestGateway::with(|config| {
        no_rates(config);
        let limits = &mut config.limits;
        limits.header_read = Duration::from_secs(1);
        limits.body_read = Duration::from_secs(1);
        limits.http_idle = Duration::from_secs(1);
        limits.connections_per_ip_max = 2000;
        limits.tls_handshakes_per_ip_max = 200;
        limits.auth_failures_per_ip_per_min = 10_000.try_into().expect("not 0");
    })
    .await;
    let mut quiet = Quiet::watch(&gateway).await;
    let before = gateway.metric("wardroom_connections");
    for slow in slow() {
        quiet.during(slow_ones(&gateway, slow, count, before)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_bodies_and_readers_end_while_others_are_served() {
    slow_connections(200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_connections_end_while_others_are_served() {
    slow_connections(1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upgrades_of_an_address_have_a_rate_and_connections_have_none() {
    let gateway = TestGateway::with(|config| {
        config.limits.connects_per_ip_per_s = 1.try_into().expect("not 0");
        config.limits.connects_per_ip_burst = 6.try_into().expect("not 0");
    })
    .await;
    for _ in 0..20 {
        is_served(&gateway, [127, 0, 0, 1])
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
    is_served(&gateway, [127, 0, 0, 1])
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
    is_served(&gateway, [127, 0, 0, 2])
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

/// Rates and caps that a thousand clients of one address need.
const PLENTY: &str = "[limits]\nconnections_per_ip_max = 5000\nconnects_per_ip_per_s = 10000\nconnects_per_ip_burst = 100000\n\
                      requests_per_ip_per_s = 10000\nrequests_per_ip_burst = 100000\ntls_handshakes_per_ip_max = 200\n";

/// Opens so many sessions of people of their own, a few at a time.
async fn sessions(site: &Site, door: &Door, people: std::ops::Range<usize>) -> Vec<Client> {
    let opening = people.map(|n| async move {
        let token = site.provider.token(&format!("p{n}"));
        door.client()
            .bearer(&token)
            .query("room=lobby")
            .open()
            .await
    });
    stream::iter(opening).buffer_unordered(20).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_sessions_cost_little_memory_and_no_time() {
    const SESSIONS: usize = 1000;
    let site = Site::new();
    let node = site.serve(PLENTY).await;
    let memory = || node.process.told("status", "VmRSS");
    // What the first sessions bring with them once is not theirs.
    let warm = sessions(&site, &node.door, 0..100).await;
    let before = memory();
    let open = sessions(&site, &node.door, 100..100 + SESSIONS).await;
    let each = memory().saturating_sub(before) as f64 / SESSIONS as f64;
    assert!(each < 64.0, "R8: {each} KiB a session");
    // Ticks of the processor: no timer storm.
    let spent = || {
        let stat = String::from_utf8(node.process.proc_file("stat")).expect("ASCII");
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let field = |n: usize| {
            fields
                .split_whitespace()
                .nth(n)
                .and_then(|raw| raw.parse::<u64>().ok())
        };
        field(11).expect("user") + field(12).expect("system")
    };
    tokio::time::sleep_until(Instant::now() + Duration::from_secs(1)).await;
    let busy = spent();
    tokio::time::sleep_until(Instant::now() + Duration::from_secs(3)).await;
    let ticks = spent() - busy;
    assert!(ticks <= 60, "R8: {ticks} ticks in 3 s of idling");
    drop((warm, open));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_announces_a_terabyte_takes_no_memory() {
    let site = Site::new();
    let node = site.serve(PLENTY).await;
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
    is_served(&node.door, [127, 0, 0, 1]).await.expect("before");
    let began = Instant::now();
    let mut held = Vec::new();
    for n in 0..400 {
        held.push(
            tcp_from(&node.door, [127, 0, 1, n as u8 % 20])
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
        is_served(&node.door, [127, 0, 0, 1]).await
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
