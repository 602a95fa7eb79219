//! P8: what is said is said over TLS of today, and whatever else comes to that port is turned away and counted.

use std::{net::IpAddr, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, ProtocolVersion, SupportedProtocolVersion,
    client::Resumption,
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::TlsConnector;
use wardroom::config::tls::TlsVersion;

use crate::support::{
    eventually,
    gateway::{TestGateway, Tls},
    http::exchange,
    identity::now,
    quiet::Quiet,
    within,
};

type Versions = &'static [&'static SupportedProtocolVersion];
static OLD: Versions = &[&TLS12];
static NEW: Versions = &[&TLS13];
static BOTH: Versions = &[&TLS12, &TLS13];

/// A client's rules, changed.
struct Rules {
    versions: Versions,
    alpn: Vec<Vec<u8>>,
    sni: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            versions: BOTH,
            alpn: Vec::new(),
            sni: true,
        }
    }
}

fn client(gateway: &TestGateway, rules: Rules) -> ClientConfig {
    let mut config = ClientConfig::builder_with_protocol_versions(rules.versions)
        .with_root_certificates(gateway.root.clone())
        .with_no_client_auth();
    config.alpn_protocols = rules.alpn;
    config.enable_sni = rules.sni;
    config
}

async fn connect(
    gateway: &TestGateway,
    config: &Arc<ClientConfig>,
    name: ServerName<'static>,
) -> std::io::Result<Tls> {
    let tcp = TcpStream::connect(gateway.address).await?;
    let connector = TlsConnector::from(Arc::clone(config));
    within("the handshake", connector.connect(name, tcp)).await
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

async fn handshake(gateway: &TestGateway, rules: Rules) -> std::io::Result<Tls> {
    connect(gateway, &Arc::new(client(gateway, rules)), localhost()).await
}

async fn is_healthy(io: &mut Tls) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    exchange(io, request)
        .await
        .is_ok_and(|(answer, _)| answer.status == 200)
}

/// The alert that ended a handshake.
fn alert(refused: &std::io::Error) -> String {
    match refused.get_ref().and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::AlertReceived(alert)) => format!("{alert:?}"),
        _ => panic!("no alert: {refused}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_version_is_the_configured_one() {
    let open = TestGateway::start().await;
    for (versions, spoken, label) in [
        (OLD, ProtocolVersion::TLSv1_2, "1.2"),
        (NEW, ProtocolVersion::TLSv1_3, "1.3"),
        (BOTH, ProtocolVersion::TLSv1_3, "1.3"),
    ] {
        let series = format!("wardroom_tls_handshakes_total{{result=\"ok\",version=\"{label}\"}}");
        let before = open.metric(&series);
        let rules = Rules {
            versions,
            ..Rules::default()
        };
        let mut io = handshake(&open, rules).await.expect("L1: it is spoken");
        assert_eq!(io.get_ref().1.protocol_version(), Some(spoken));
        assert!(is_healthy(&mut io).await);
        assert_eq!(open.metric(&series), before + 1.0, "L1");
    }
    let strict = TestGateway::with(|config| config.tls.min_version = TlsVersion::V13).await;
    let mut quiet = Quiet::watch(&strict).await;
    let old = Rules {
        versions: OLD,
        ..Rules::default()
    };
    let refused = quiet.during(handshake(&strict, old)).await;
    let refused = refused.expect_err("L1: refused");
    assert_eq!(alert(&refused), "ProtocolVersion", "L1");
    quiet
        .holds(&["wardroom_tls_handshakes_total{result=\"failed\",version=\"none\"}"])
        .await;
    let new = Rules {
        versions: NEW,
        ..Rules::default()
    };
    assert!(handshake(&strict, new).await.is_ok());
}

/// The first message of a handshake by hand: a version in it, one cipher suite, and perhaps a server name.
fn hello(version: [u8; 2], suite: [u8; 2], name: Option<&[u8]>) -> Vec<u8> {
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let length = |extra: usize| {
            u16::try_from(name.len() + extra)
                .expect("short")
                .to_be_bytes()
        };
        extensions.extend([0, 0]);
        extensions.extend(length(5));
        extensions.extend(length(3));
        extensions.push(0);
        extensions.extend(length(0));
        extensions.extend(name);
    }
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2]);
    body.extend(suite);
    body.extend([1, 0]);
    body.extend(
        u16::try_from(extensions.len())
            .expect("short")
            .to_be_bytes(),
    );
    body.extend(extensions);
    let mut handshake = vec![1, 0];
    handshake.extend(u16::try_from(body.len()).expect("short").to_be_bytes());
    handshake.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(handshake.len()).expect("short").to_be_bytes());
    record.extend(handshake);
    record
}

/// Writes bytes to the bare port and reads to the end: what came back, and how long it took.
async fn bare(gateway: &TestGateway, bytes: &[u8]) -> (Vec<u8>, Duration) {
    let mut tcp = TcpStream::connect(gateway.address).await.expect("accepted");
    tcp.write_all(bytes).await.expect("written");
    let began = Instant::now();
    let mut came = Vec::new();
    // A reset is an end as well.
    within("the end", tcp.read_to_end(&mut came)).await.ok();
    (came, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_versions_and_weak_suites_get_an_alert() {
    const ALERT: u8 = 21;
    const FATAL: u8 = 2;
    const HANDSHAKE_FAILURE: u8 = 40;
    const PROTOCOL_VERSION: u8 = 70;
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    for (name, bytes, description) in [
        ("L1 SSL 3", hello([3, 0], [0, 0x2f], None), PROTOCOL_VERSION),
        (
            "L1 TLS 1.0",
            hello([3, 1], [0, 0x2f], None),
            PROTOCOL_VERSION,
        ),
        (
            "L1 TLS 1.1",
            hello([3, 2], [0, 0x2f], None),
            PROTOCOL_VERSION,
        ),
        (
            "L2 CBC",
            hello([3, 3], [0xc0, 0x13], None),
            HANDSHAKE_FAILURE,
        ),
        ("L2 RSA", hello([3, 3], [0, 0x9c], None), HANDSHAKE_FAILURE),
        ("L2 3DES", hello([3, 3], [0, 0x0a], None), HANDSHAKE_FAILURE),
        ("L2 RC4", hello([3, 3], [0, 0x05], None), HANDSHAKE_FAILURE),
        ("L2 NULL", hello([3, 3], [0, 0x02], None), HANDSHAKE_FAILURE),
        (
            "L2 anonymous",
            hello([3, 3], [0, 0x34], None),
            HANDSHAKE_FAILURE,
        ),
    ] {
        let (came, took) = quiet.during(bare(&gateway, &bytes)).await;
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        let [ALERT, 3, _, 0, 2, FATAL, told] = came[..] else {
            panic!("{name}: no alert: {came:x?}");
        };
        // Which of the two is blamed first is the library's to say: neither continues.
        assert!(
            told == description || [HANDSHAKE_FAILURE, PROTOCOL_VERSION].contains(&told),
            "{name}: alert {told}"
        );
        quiet
            .holds(&["wardroom_tls_handshakes_total{result=\"failed\",version=\"none\"}"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_server_name_or_none_gets_the_certificate_or_an_alert() {
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    let address = ServerName::IpAddress(IpAddr::from([127, 0, 0, 1]).into());
    for (name, server, sni) in [
        ("L3 no name", localhost(), false),
        ("L3 an address", address, true),
    ] {
        let rules = Rules {
            sni,
            ..Rules::default()
        };
        let config = Arc::new(client(&gateway, rules));
        let mut io = connect(&gateway, &config, server).await.expect(name);
        assert!(is_healthy(&mut io).await, "{name}");
    }
    let config = Arc::new(client(&gateway, Rules::default()));
    let unknown = ServerName::try_from("elsewhere.example").expect("a name");
    let refused = connect(&gateway, &config, unknown).await.err();
    let refused = refused.expect("the client sees that the certificate is not for that name");
    assert!(
        refused.to_string().contains("not valid for name"),
        "{refused}"
    );
    drop(config);
    for (name, sni) in [
        ("L3 300 bytes", vec![b'a'; 300]),
        ("L3 NUL", b"local\0host".to_vec()),
        ("L3 empty", Vec::new()),
        ("L3 an address as text", b"127.0.0.1".to_vec()),
    ] {
        let (came, took) = quiet
            .during(bare(&gateway, &hello([3, 3], [0xc0, 0x2b], Some(&sni))))
            .await;
        assert_eq!(came.first(), Some(&21), "{name}: an alert: {came:x?}");
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
    }
    let mut after = handshake(&gateway, Rules::default()).await.expect("L3");
    assert!(is_healthy(&mut after).await, "nothing broke");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_tls_ends_at_once_and_is_counted() {
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    for (name, bytes) in [
        (
            "plain HTTP",
            &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
        ),
        ("a PROXY header", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n"),
        ("an SSH banner", b"SSH-2.0-OpenSSH_9.6\r\n"),
        ("bytes", &[0xa7; 64]),
    ] {
        let (came, took) = quiet.during(bare(&gateway, bytes)).await;
        assert!(took < Duration::from_secs(1), "L4 {name}: {took:?}");
        assert!(
            !came.windows(4).any(|four| four == b"HTTP"),
            "L4 {name}: nothing readable comes back"
        );
        quiet
            .holds(&["wardroom_tls_handshakes_total{result=\"not_tls\",version=\"none\"}"])
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_http_1_1_is_agreed_on() {
    let gateway = TestGateway::start().await;
    let mut quiet = Quiet::watch(&gateway).await;
    let many: Vec<Vec<u8>> = (0..999)
        .map(|n: u32| format!("p{n}").into_bytes())
        .chain([b"http/1.1".to_vec()])
        .collect();
    for (name, alpn, agreed) in [
        ("L7 none", Vec::new(), None),
        ("L7 http/1.1", vec![b"http/1.1".to_vec()], Some("http/1.1")),
        (
            "L7 both",
            vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Some("http/1.1"),
        ),
        ("L7 1000 names", many, Some("http/1.1")),
    ] {
        let rules = Rules {
            alpn,
            ..Rules::default()
        };
        let mut io = handshake(&gateway, rules).await.expect(name);
        let chosen = io.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(chosen.as_deref(), agreed.map(str::as_bytes), "{name}");
        assert!(is_healthy(&mut io).await, "{name}");
    }
    let rules = Rules {
        alpn: vec![b"h2".to_vec()],
        ..Rules::default()
    };
    let refused = quiet.during(handshake(&gateway, rules)).await;
    let refused = refused.expect_err("L7: refused");
    assert_eq!(alert(&refused), "NoApplicationProtocol", "L7");
    quiet
        .holds(&["wardroom_tls_handshakes_total{result=\"failed\",version=\"none\"}"])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_is_resumed_and_early_data_is_not_taken() {
    let gateway = TestGateway::start().await;
    for versions in [NEW, OLD] {
        let rules = Rules {
            versions,
            ..Rules::default()
        };
        let mut config = client(&gateway, rules);
        config.resumption = Resumption::in_memory_sessions(8);
        config.enable_early_data = true;
        let config = Arc::new(config);
        let mut first = connect(&gateway, &config, localhost()).await.expect("L8");
        assert_eq!(
            first.get_ref().1.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
        // With an answer the ticket has come as well.
        assert!(is_healthy(&mut first).await);
        drop(first);
        let mut again = connect(&gateway, &config, localhost()).await.expect("L8");
        let kind = again.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::Resumed), "{versions:?}");
        assert!(is_healthy(&mut again).await);
        drop(again);
        // A client that would send early data finds that its ticket allows none.
        let mut eager = rustls::ClientConnection::new(config, localhost()).expect("L8");
        assert!(eager.early_data().is_none(), "L8 {versions:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_certificate_is_told_to_the_operator() {
    let gateway = TestGateway::start().await;
    eventually("the metric is set", async || {
        let end = gateway.metric("wardroom_tls_certificate_not_after_timestamp_seconds");
        if end > now() as f64 {
            Ok(())
        } else {
            Err(end.to_string())
        }
    })
    .await;
}
