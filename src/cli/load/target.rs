//! Where the load goes: the address behind the URL, and how the way there is made.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail, ensure};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::http::{Uri, uri::Authority};

/// Bytes to the gateway and back, through TLS or not.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// For one TCP connection and one TLS handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A gateway.
pub(super) struct Target {
    uri: Uri,
    authority: Authority,
    addresses: Vec<SocketAddr>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// How a connection came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Handshake {
    /// Version and cipher suite; `plain` without TLS.
    pub(super) protocol: String,
    /// Whether it resumed an earlier session.
    pub(super) resumed: bool,
}

impl Target {
    /// Resolves the URL. Refuses another machine unless that was allowed: a load generator is a weapon.
    pub(super) async fn resolve(
        url: &str,
        ca: Option<&Path>,
        resumption: bool,
        allow_remote: bool,
    ) -> anyhow::Result<Self> {
        let uri: Uri = url
            .parse()
            .with_context(|| format!("--url {url} is no URL"))?;
        let authority = uri
            .authority()
            .with_context(|| format!("--url {url} names no host"))?
            .clone();
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let secure = match uri.scheme_str() {
            Some("wss") => true,
            Some("ws") => false,
            _ => bail!("--url {url}: the scheme is wss or ws"),
        };
        let port = authority
            .port_u16()
            .unwrap_or(if secure { 443 } else { 80 });
        let resolved = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses: Vec<_> = resolved
            .with_context(|| format!("{host} has no address"))?
            .collect();
        let local = addresses.iter().all(|address| address.ip().is_loopback());
        ensure!(
            local || allow_remote,
            "{host} is another machine; --allow-remote admits that, when it is yours"
        );
        let tls = if secure {
            let name = ServerName::try_from(host.clone())
                .with_context(|| format!("{host} cannot be in a certificate"))?;
            Some((
                TlsConnector::from(Arc::new(client_config(ca, resumption)?)),
                name,
            ))
        } else {
            None
        };
        Ok(Self {
            uri,
            authority,
            addresses,
            tls,
        })
    }

    /// The URL of a session, which joins the room at once if one is named.
    pub(super) fn url(&self, room: Option<&str>) -> String {
        let mut url = self.uri.to_string();
        if let Some(room) = room {
            url.push(if self.uri.query().is_some() { '&' } else { '?' });
            url.push_str("room=");
            url.extend(form_urlencoded::byte_serialize(room.as_bytes()));
        }
        url
    }

    /// `Host`.
    pub(super) fn host(&self) -> &str {
        self.authority.as_str()
    }

    /// Makes a connection.
    pub(super) async fn connect(&self) -> anyhow::Result<(Box<dyn Wire>, Handshake)> {
        let connected = tokio::time::timeout(CONNECT_LIMIT, async {
            let stream = TcpStream::connect(self.addresses.as_slice())
                .await
                .context("no connection")?;
            stream.set_nodelay(true)?;
            self.secure(stream).await
        });
        connected.await.context("no connection in time")?
    }

    async fn secure(&self, stream: TcpStream) -> anyhow::Result<(Box<dyn Wire>, Handshake)> {
        let Some((connector, name)) = &self.tls else {
            return Ok((
                Box::new(stream),
                Handshake {
                    protocol: "plain".to_owned(),
                    resumed: false,
                },
            ));
        };
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .context("no TLS")?;
        let (_, tls) = stream.get_ref();
        let version = tls
            .protocol_version()
            .and_then(|version| version.as_str())
            .unwrap_or("TLS");
        let suite = tls
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or("?");
        let group = tls
            .negotiated_key_exchange_group()
            .map_or("?", |group| group.name().as_str().unwrap_or("?"));
        let handshake = Handshake {
            protocol: format!("{version} {suite} {group}"),
            resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        };
        Ok((Box::new(stream), handshake))
    }
}

fn client_config(ca: Option<&Path>, resumption: bool) -> anyhow::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = versions
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = if resumption {
        Resumption::in_memory_sessions(256)
    } else {
        Resumption::disabled()
    };
    Ok(config)
}

fn roots(ca: Option<&Path>) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = match ca {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("{} cannot be read as certificates", file.display()))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    ensure!(
        !certificates.is_empty(),
        "there is no root certificate to trust; --ca names a file"
    );
    for certificate in certificates {
        roots
            .add(certificate)
            .context("a root certificate is malformed")?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::Target;

    async fn resolve(url: &str, allow_remote: bool) -> anyhow::Result<Target> {
        Target::resolve(url, None, true, allow_remote).await
    }

    #[tokio::test]
    async fn only_this_machine_unless_allowed() {
        assert!(resolve("ws://127.0.0.1:1/ws/chat", false).await.is_ok());
        assert!(resolve("ws://[::1]:1/ws/chat", false).await.is_ok());
        let refused = resolve("ws://192.0.2.1:1/ws/chat", false)
            .await
            .map(drop)
            .unwrap_err();
        assert!(refused.to_string().contains("--allow-remote"), "{refused}");
        assert!(resolve("ws://192.0.2.1:1/ws/chat", true).await.is_ok());
    }

    #[tokio::test]
    async fn a_session_names_its_room_in_the_url() {
        let target = resolve("ws://127.0.0.1:1/ws/chat", false).await.unwrap();
        assert_eq!(target.url(None), "ws://127.0.0.1:1/ws/chat");
        assert_eq!(
            target.url(Some("support-1")),
            "ws://127.0.0.1:1/ws/chat?room=support-1"
        );
        let target = resolve("ws://127.0.0.1:1/ws/chat?html=1", false)
            .await
            .unwrap();
        assert_eq!(
            target.url(Some("a&b")),
            "ws://127.0.0.1:1/ws/chat?html=1&room=a%26b"
        );
    }

    #[tokio::test]
    async fn a_url_that_is_no_websockets_is_refused() {
        for url in ["https://localhost/", "localhost:8443", "/ws/chat", "wss://"] {
            assert!(resolve(url, true).await.is_err(), "{url}");
        }
    }
}
