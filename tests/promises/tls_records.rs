//! P1 below TLS: handshakes in pieces and records that say nothing. Written byte by byte, around rustls on the client's side.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, NamedGroup,
    crypto::{CryptoProvider, aws_lc_rs::cipher_suite},
    pki_types::ServerName,
    version::TLS13,
};

use crate::support::{
    PATIENCE,
    gateway::{Door, TestGateway},
    quiet::Quiet,
    within,
};

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// A client of TLS 1.3 with one suite, whose secrets can be had.
fn client(door: &Door, alpn: Vec<Vec<u8>>) -> Arc<ClientConfig> {
    let provider = CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_256_GCM_SHA384],
        ..rustls::crypto::aws_lc_rs::default_provider()
    };
    let mut config = ClientConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS13])
        .expect("a suite of 1.3")
        .with_root_certificates(door.root.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn;
    config.enable_secret_extraction = true;
    Arc::new(config)
}

/// A connection of somebody who decides where the pieces of their handshake end.
struct Peer {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Peer {
    fn new(door: &Door, alpn: Vec<Vec<u8>>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let tcp = TcpStream::connect(door.address).expect("accepted");
        tcp.set_nodelay(true).expect("a socket");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a socket");
        tcp.set_write_timeout(Some(PATIENCE)).expect("a socket");
        let tls = ClientConnection::new(client(door, alpn), name).expect("a client");
        Self { tls, tcp }
    }

    /// The first records that it would write.
    fn hello(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).expect("a buffer");
        }
        bytes
    }

    /// Ends the handshake, asks for the health and gives the status; or says how it failed.
    fn healthy(&mut self) -> std::io::Result<()> {
        let mut io = rustls::Stream::new(&mut self.tls, &mut self.tcp);
        io.write_all(HEALTH)?;
        let mut answer = [0; 12];
        io.read_exact(&mut answer)?;
        assert_eq!(&answer, b"HTTP/1.1 200");
        Ok(())
    }

    /// Reads to the end of the connection: the bytes as they came.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end as well.
        self.tcp.read_to_end(&mut rest).ok();
        rest
    }
}

/// The payloads of records in records of so many bytes.
fn cut(records: &[u8], size: usize) -> Vec<u8> {
    let mut left = records;
    let mut all = Vec::new();
    while let [kind, 3, minor, high, low, rest @ ..] = left {
        let (payload, next) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        for piece in payload.chunks(size) {
            let length = u16::try_from(piece.len()).expect("short").to_be_bytes();
            all.extend([*kind, 3, *minor, length[0], length[1]]);
            all.extend(piece);
        }
        left = next;
    }
    all
}

/// Runs something that blocks beside the two who talk.
async fn beside<T: Send + 'static>(
    quiet: &mut Quiet<'_>,
    act: impl FnOnce() -> T + Send + 'static,
) -> T {
    let acting = tokio::task::spawn_blocking(act);
    quiet
        .during(within("the peer", acting))
        .await
        .expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_may_come_in_pieces_or_be_huge() {
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    let mut peer = Peer::new(&gateway, Vec::new());
    let (peer, works) = beside(&mut quiet, move || {
        let pieces = cut(&peer.hello(), 1);
        peer.tcp.write_all(&pieces).expect("L5");
        let works = peer.healthy();
        (peer, works)
    })
    .await;
    works.expect("L5: a hello in records of one byte");
    let group = peer
        .tls
        .negotiated_key_exchange_group()
        .map(|group| group.name());
    assert_eq!(group, Some(NamedGroup::X25519MLKEM768), "L5: hybrid");

    let mut peer = Peer::new(&gateway, Vec::new());
    let works = beside(&mut quiet, move || {
        let hello = peer.hello();
        assert!(hello.len() > 1200, "L5: a hybrid share is long");
        let (one, two) = hello.split_at(700);
        peer.tcp.write_all(one).expect("L5");
        // As long as a second packet takes.
        std::thread::sleep(Duration::from_millis(100));
        peer.tcp.write_all(two).expect("L5");
        peer.healthy()
    })
    .await;
    works.expect("L5: a hello in two packets");

    // As large as its lengths can say.
    for names in [10_000, 12_500] {
        let alpn = (0..names)
            .map(|n: u32| format!("{n:04}").into_bytes()[..4].to_vec())
            .chain([b"http/1.1".to_vec()]);
        let mut peer = Peer::new(&gateway, alpn.collect());
        let (works, rest) = beside(&mut quiet, move || {
            let hello = peer.hello();
            peer.tcp.write_all(&hello).ok();
            let works = peer.healthy();
            let rest = works.is_err().then(|| peer.rest());
            (works, rest)
        })
        .await;
        assert!(works.is_ok(), "L5 {names}: {works:?} {rest:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_into_a_handshake_ends_it() {
    // A peer that says that it will say no more may use up the time of its handshake.
    let gateway =
        TestGateway::with(|config| config.limits.tls_handshake = Duration::from_secs(1)).await;
    let mut quiet = Quiet::watch(&gateway).await;
    let data = [&[DATA, 3, 3, 0, 32][..], &[0xa5; 32]].concat();
    for (row, after_hello, bytes) in [
        ("close_notify at once", false, vec![ALERT, 3, 3, 0, 2, 1, 0]),
        ("close_notify", true, vec![ALERT, 3, 3, 0, 2, 1, 0]),
        ("a fatal alert", true, vec![ALERT, 3, 3, 0, 2, 2, 40]),
        ("an alert of no kind", true, vec![ALERT, 3, 3, 0, 2, 9, 250]),
        ("an alert of one byte", true, vec![ALERT, 3, 3, 0, 1, 2]),
        ("data at once", false, data.clone()),
        ("data", true, data),
        ("a record of no kind", true, vec![99, 3, 3, 0, 1, 0]),
        (
            "a second hello",
            true,
            vec![HANDSHAKE, 3, 3, 0, 4, 1, 0, 0, 0],
        ),
        (
            "a record that is too long",
            true,
            vec![DATA, 3, 3, 0xff, 0xff],
        ),
    ] {
        let mut peer = Peer::new(&gateway, Vec::new());
        let took = beside(&mut quiet, move || {
            if after_hello {
                let hello = peer.hello();
                peer.tcp.write_all(&hello).expect("L6");
            }
            peer.tcp.write_all(&bytes).ok();
            let began = Instant::now();
            peer.rest();
            began.elapsed()
        })
        .await;
        assert!(took < Duration::from_secs(2), "L6 {row}: {took:?}");
    }
    let mut after = Peer::new(&gateway, Vec::new());
    beside(&mut quiet, move || after.healthy())
        .await
        .expect("L6");
}

/// Records of TLS 1.3 with nothing in them, after a good handshake.
struct Empty {
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Empty {
    fn record(&mut self) -> Vec<u8> {
        let mut nonce: [u8; 12] = self.iv[..].try_into().expect("12 bytes");
        for (at, byte) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *at ^= byte;
        }
        self.sequence += 1;
        // The kind, and the tag.
        let mut record = vec![DATA, 3, 3, 0, 17];
        let mut inner = vec![DATA];
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(record.clone()),
                &mut inner,
            )
            .expect("sealed");
        record.extend(inner);
        record
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_records_that_say_nothing_ends() {
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    let mut peer = Peer::new(&gateway, Vec::new());
    let ended = beside(&mut quiet, move || {
        peer.healthy().expect("L6");
        let mut sent = 0;
        for _ in 0..100_000 {
            if peer.tls.refresh_traffic_keys().is_err() {
                break;
            }
            let update = peer.hello();
            if peer.tcp.write_all(&update).is_err() {
                break;
            }
            sent += 1;
        }
        sent
    })
    .await;
    assert!(ended < 100_000, "L6: key updates go on for ever");

    let mut peer = Peer::new(&gateway, Vec::new());
    let ended = beside(&mut quiet, move || {
        peer.healthy().expect("L6");
        let Peer { tls, mut tcp } = peer;
        let secrets = tls.dangerous_extract_secrets().expect("they can be had");
        let (sequence, ConnectionTrafficSecrets::Aes256Gcm { key, iv }) = secrets.tx else {
            panic!("another suite");
        };
        let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).expect("a key");
        let mut empty = Empty {
            key: LessSafeKey::new(key),
            iv: iv.as_ref().to_vec(),
            sequence,
        };
        (0..100_000)
            .take_while(|_| tcp.write_all(&empty.record()).is_ok())
            .count()
    })
    .await;
    assert!(ended < 100_000, "L6: empty records go on for ever");
    let mut after = Peer::new(&gateway, Vec::new());
    beside(&mut quiet, move || after.healthy())
        .await
        .expect("L6");
}
