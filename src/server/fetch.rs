//! Our only outgoing HTTPS: key sets and discovery documents. One request a connection, no redirects, no proxy, everything
//! under one deadline, the body under a cap.

use std::{net::SocketAddr, path::Path, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::auth::fetch::{Fetch, FetchError, FetchLimits, HttpsUrl, Roots};

/// A client without state: what it is asked for is rare, so each request sets up what it needs.
#[derive(Debug)]
pub(super) struct HttpsClient;

#[async_trait]
impl Fetch for HttpsClient {
    async fn get(
        &self,
        url: &HttpsUrl,
        roots: &Roots,
        limits: FetchLimits,
    ) -> Result<Bytes, FetchError> {
        let exchange = Box::pin(exchange(url, roots, limits.bytes_max));
        tokio::time::timeout(limits.timeout, exchange)
            .await
            .map_err(|_| FetchError::Timeout)?
    }
}

async fn exchange(url: &HttpsUrl, roots: &Roots, bytes_max: usize) -> Result<Bytes, FetchError> {
    let tcp = connect(url).await?;
    if !url.is_tls() {
        return Box::pin(request(tcp, url, bytes_max)).await;
    }
    let host = url.host().to_owned();
    let name = ServerName::try_from(host).map_err(connect_error)?;
    let tls = TlsConnector::from(Arc::new(client_config(roots)?))
        .connect(name, tcp)
        .await
        .map_err(tls_error)?;
    Box::pin(request(tls, url, bytes_max)).await
}

/// Connects to the first address that answers. A name in public must not lead inside: an attacker who controls it could have
/// us ask a service of this machine or link.
async fn connect(url: &HttpsUrl) -> Result<TcpStream, FetchError> {
    let host = url.host();
    let mut last = FetchError::Connect("no address".to_owned());
    for address in tokio::net::lookup_host((host, url.port()))
        .await
        .map_err(connect_error)?
    {
        if !url.is_local() && is_inside(address) {
            last = FetchError::Connect(
                "the name leads to an address of this machine or link".to_owned(),
            );
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = connect_error(error),
        }
    }
    Err(last)
}

fn is_inside(address: SocketAddr) -> bool {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
        std::net::IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()
        }
    }
}

fn client_config(roots: &Roots) -> Result<ClientConfig, FetchError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::File(path) => add_file(&mut store, path)?,
        Roots::System => {
            // A root that rustls cannot read is one that nothing of ours can be signed with.
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls_error)?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), FetchError> {
    for certificate in CertificateDer::pem_file_iter(path).map_err(tls_error)? {
        store
            .add(certificate.map_err(tls_error)?)
            .map_err(tls_error)?;
    }
    Ok(())
}

/// One request, its answer, and the connection's own work, driven together: nothing is spawned, nothing outlives the call.
async fn request<T: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: T,
    url: &HttpsUrl,
    bytes_max: usize,
) -> Result<Bytes, FetchError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io))
        .await
        .map_err(connect_error)?;
    let request = Request::get(url.path_and_query())
        .header(header::HOST, host_header(url))
        .header(header::ACCEPT, "application/json")
        .header(header::USER_AGENT, "wardroom")
        .body(Empty::<Bytes>::new())
        .map_err(connect_error)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(connect_error)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), bytes_max)
            .collect()
            .await;
        body.map(http_body_util::Collected::to_bytes)
            .map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    FetchError::TooLarge
                } else {
                    connect_error(error)
                }
            })
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The server may close as soon as it has answered; what it sent is still to be read.
        _ = &mut connection => answer.await,
    }
}

/// An IPv6 address stands in brackets (RFC 3986 §3.2.2).
fn host_header(url: &HttpsUrl) -> String {
    let (host, port) = (url.host(), url.port());
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn connect_error(error: impl std::fmt::Display) -> FetchError {
    FetchError::Connect(error.to_string())
}

fn tls_error(error: impl std::fmt::Display) -> FetchError {
    FetchError::Tls(error.to_string())
}
