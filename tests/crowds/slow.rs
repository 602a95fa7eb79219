//! P1: whoever is slow with a head, a body or an answer is ended, and meanwhile others are served.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinSet,
};

use crate::support::{
    gateway::{Door, TestGateway, Tls},
    quiet::{self, Quiet},
    within,
};

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

/// A connection that takes little: what is not read stays with the gateway.
async fn narrow(door: &Door) -> Tls {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let tcp = socket.connect(door.address).await.expect("accepted");
    door.tls_over(tcp).await.expect("the handshake")
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
            gateway.is_served([127, 0, 0, 2]).await.expect(slow.row);
        }
        while dawdling.join_next().await.is_some() {}
    })
    .await;
}

async fn slow_connections(count: usize) {
    let gateway = TestGateway::with(|config| {
        quiet::for_many(config);
        let limits = &mut config.limits;
        limits.connects_per_ip_burst = 100_000.try_into().expect("not 0");
        limits.requests_per_ip_burst = 100_000.try_into().expect("not 0");
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
