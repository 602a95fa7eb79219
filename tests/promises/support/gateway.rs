//! The gateway under test: its own directory, its own certificate, its own provider, port 0.

use std::{net::SocketAddr, sync::Arc};

use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};
use wardroom::{
    clock::Clock,
    config::{Config, auth::Issuer},
    server::{Drained, Gateway, Mode, ServeError, Stop},
    telemetry::metrics::Metrics,
};

use super::{
    client::Client,
    http::{Answer, exchange},
    identity::{AUDIENCE, ISSUER, Provider},
    within,
};

/// A TLS connection of a client.
pub type Tls = TlsStream<TcpStream>;

/// The Origin that the configuration of the tests allows.
pub const ORIGIN: &str = "https://chat.test";

/// The way to a gateway, in this process or in another: its addresses and whom its clients trust.
pub struct Door {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    /// Whom the clients trust.
    pub root: rustls::RootCertStore,
    connector: TlsConnector,
}

/// A running gateway.
pub struct TestGateway {
    pub door: Door,
    pub provider: Provider,
    pub metrics: Arc<Metrics>,
    /// Its files; gone with it.
    _directory: tempfile::TempDir,
    stop: Stop,
    serving: Option<tokio::task::JoinHandle<Result<Drained, ServeError>>>,
}

impl Door {
    /// The way to these addresses, for clients that trust `root` alone.
    pub fn new(address: SocketAddr, admin: SocketAddr, root: rustls::RootCertStore) -> Self {
        Self {
            address,
            admin,
            connector: connector(root.clone()),
            root,
        }
    }

    /// A connection from another address of this machine.
    pub async fn tcp_from(&self, source: [u8; 4]) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        socket.connect(self.address).await
    }

    /// Whether somebody at that address gets an answer, on a connection of their own.
    pub async fn is_served(&self, source: [u8; 4]) -> Result<(), String> {
        let served = async {
            let mut io = self.tls_over(self.tcp_from(source).await?).await?;
            exchange(&mut io, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await
        };
        match served.await {
            Ok((answer, _)) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// A TLS connection that has said nothing.
    pub async fn tls(&self) -> Tls {
        self.tls_after(b"").await.expect("the handshake")
    }

    /// A TLS connection behind some bytes in clear.
    pub async fn tls_after(&self, preamble: &[u8]) -> std::io::Result<Tls> {
        let mut tcp = TcpStream::connect(self.address)
            .await
            .expect("the listener accepts");
        tcp.write_all(preamble).await?;
        self.tls_over(tcp).await
    }

    /// TLS over a connection that is there.
    pub async fn tls_over(&self, tcp: TcpStream) -> std::io::Result<Tls> {
        let name = ServerName::try_from("localhost").expect("a name");
        within("the TLS handshake", self.connector.connect(name, tcp)).await
    }

    /// One request, one answer.
    pub async fn http(&self, request: &str) -> Answer {
        let mut io = self.tls().await;
        exchange(&mut io, request.as_bytes())
            .await
            .expect("an answer")
            .0
    }

    /// A request with a credential and perhaps a body.
    pub async fn api(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let kind = if body.is_empty() {
            ""
        } else {
            "content-type: application/json\r\n"
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{kind}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.http(&request).await
    }

    /// A request of the admin listener.
    pub async fn admin_get(&self, path: &str) -> Answer {
        self.admin_http(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    /// Any request of the admin listener.
    pub async fn admin_http(&self, request: &str) -> Answer {
        let mut io = TcpStream::connect(self.admin)
            .await
            .expect("the admin listener accepts");
        exchange(&mut io, request.as_bytes())
            .await
            .expect("an answer")
            .0
    }

    /// A client in the making.
    pub fn client(&self) -> Dial<'_> {
        Dial {
            door: self,
            query: String::new(),
            headers: Vec::new(),
        }
    }
}

impl std::ops::Deref for TestGateway {
    type Target = Door;

    fn deref(&self) -> &Door {
        &self.door
    }
}

impl TestGateway {
    /// A gateway with the defaults.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A gateway with some of the configuration changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on_clock(Clock::system(), change).await
    }

    /// The same with a clock of its own.
    pub async fn on_clock(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        crypto();
        let directory = tempfile::tempdir().expect("a directory");
        let provider = Provider::new();
        let (config, root) = configuration(&directory, &provider, change);
        let metrics = Metrics::new();
        let gateway = Gateway::bind(config, Mode::Serve, Arc::clone(&metrics), clock)
            .expect("the gateway starts");
        let address = gateway.public_address().expect("bound");
        let admin = gateway.admin_address().expect("bound");
        let stop = Stop::default();
        let serving = Some(tokio::spawn(gateway.serve(stop.clone())));
        Self {
            door: Door::new(address, admin, root),
            provider,
            metrics,
            _directory: directory,
            stop,
            serving,
        }
    }

    /// The value of a metric by its whole name with labels, 0 when it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let (_, text) = self.metrics.encode(None);
        text.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or(0.0)
    }

    /// A person in a session, by the `Authorization` header, in no room yet.
    pub async fn member(&self, name: &str) -> Client {
        self.client()
            .bearer(&self.provider.token(name))
            .query(&format!("nick={name}"))
            .open()
            .await
    }

    /// Tells the gateway to stop and waits for what comes of it.
    pub async fn stop(mut self) -> Drained {
        self.stop.soft.cancel();
        let serving = self.serving.take().expect("it runs");
        within("the drain", serving)
            .await
            .expect("no panic")
            .expect("no listener failed")
    }

    /// The two signals.
    pub fn signals(&self) -> &Stop {
        &self.stop
    }

    /// Waits for the end without asking for it.
    pub async fn ended(mut self) -> Drained {
        let serving = self.serving.take().expect("it runs");
        within("the end", serving)
            .await
            .expect("no panic")
            .expect("no listener failed")
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.stop.hard.cancel();
        self.stop.soft.cancel();
    }
}

/// A WebSocket upgrade, written by hand.
pub struct Dial<'a> {
    door: &'a Door,
    query: String,
    headers: Vec<(String, String)>,
}

impl Dial<'_> {
    /// Adds `name=value` pairs as they are.
    pub fn query(mut self, pairs: &str) -> Self {
        self.query
            .push(if self.query.is_empty() { '?' } else { '&' });
        self.query.push_str(pairs);
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `Authorization: Bearer`.
    pub fn bearer(self, token: &str) -> Self {
        let value = format!("Bearer {token}");
        self.header("authorization", &value)
    }

    /// The request's bytes.
    pub fn request(&self) -> String {
        let mut request = format!(
            "GET /ws/chat{} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            self.query
        );
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request + "\r\n"
    }

    /// Asks, and the session or the refusal.
    pub async fn dial(self) -> Result<(Client, Answer), Answer> {
        let io = self.door.tls().await;
        self.dial_on(io).await
    }

    /// As [`Dial::dial`], on a connection that is there.
    pub async fn dial_on(self, mut io: Tls) -> Result<(Client, Answer), Answer> {
        let (answer, early) = exchange(&mut io, self.request().as_bytes())
            .await
            .expect("an answer");
        if answer.status != 101 {
            return Err(answer);
        }
        assert_eq!(
            answer.header("sec-websocket-accept"),
            Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
        let config = WebSocketConfig::default().read_buffer_size(4096);
        let ws = WebSocketStream::from_partially_read(io, early, Role::Client, Some(config)).await;
        Ok((Client::new(ws), answer))
    }

    /// A session of `wardroom.v1`, after its `welcome`.
    pub async fn open(self) -> Client {
        let (mut client, _) = self
            .dial()
            .await
            .unwrap_or_else(|refused| panic!("refused: {refused:?}"));
        client.welcome = client.next().await;
        assert_eq!(client.welcome["type"], "welcome");
        client
    }

    /// The refusal: status and code.
    pub async fn refused(self) -> (u16, String) {
        match self.dial().await {
            Ok(_) => panic!("it was let in"),
            Err(answer) => answer.refusal(),
        }
    }
}

/// The one crypto library, for both ends.
pub fn crypto() {
    // The second test of the binary finds it installed.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .ok();
    wardroom::auth::install_crypto().expect("signatures work");
}

fn connector(root: rustls::RootCertStore) -> TlsConnector {
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(root)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn configuration(
    directory: &tempfile::TempDir,
    provider: &Provider,
    change: impl FnOnce(&mut Config),
) -> (Config, rustls::RootCertStore) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params =
        rcgen::CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("tls.crt"), certificate.pem()).expect("written");
    write_secret(&path("tls.key"), &key.serialize_pem());
    std::fs::write(path("issuer.pem"), provider.public_pem()).expect("written");
    let mut root = rustls::RootCertStore::empty();
    root.add(certificate.der().clone()).expect("a root");

    let mut config = Config::defaults();
    config.listen.public = "127.0.0.1:0".parse().expect("an address");
    config.listen.admin = "127.0.0.1:0".parse().expect("an address");
    config.tls.cert_file = path("tls.crt");
    config.tls.key_file = path("tls.key");
    config.log.path = path("log.db");
    config.admission.allowed_origins = vec![ORIGIN.to_owned()];
    config.auth.issuers = vec![issuer(
        json!({ "issuer": ISSUER, "audience": [AUDIENCE], "algorithms": ["ES256"], "public_key_file": path("issuer.pem") }),
    )];
    config.drain.delay = std::time::Duration::ZERO;
    config.drain.spread = std::time::Duration::from_millis(200);
    change(&mut config);
    (config, root)
}

/// An issuer from the keys of the configuration file.
pub fn issuer(keys: Value) -> Issuer {
    serde_json::from_value(keys).expect("keys of [[auth.issuers]]")
}

/// A file that only its owner can read.
pub fn write_secret(path: &std::path::Path, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, content).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
}
