//! The certificate of the public listener and the rules of its handshakes.

use std::{fs, io, path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::NoServerSessionStorage,
};

use super::certificate_time;
use crate::config::tls::{Tls, TlsVersion};

/// Why the certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{path}: {cause}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        cause: io::Error,
    },
    /// The file is no PEM of the wanted kind.
    #[error("{path} holds no {wanted} in PEM form")]
    Pem {
        /// Which file.
        path: String,
        /// What it should hold.
        wanted: &'static str,
    },
    /// The two do not belong together, or rustls cannot use them.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(#[from] rustls::Error),
}

/// What is served.
pub(super) struct Served {
    /// For every new handshake.
    pub(super) config: Arc<ServerConfig>,
    /// The end of the leaf, seconds since 1970, when it can be read.
    pub(super) not_after: Option<u64>,
}

/// Reads the pair that the configuration names and builds the handshake's rules.
pub(super) fn load(tls: &Tls) -> Result<Served, TlsError> {
    let chain = read(&tls.cert_file)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|_| pem(&tls.cert_file, "certificate"))?;
    let leaf = chain
        .first()
        .ok_or_else(|| pem(&tls.cert_file, "certificate"))?;
    let not_after = certificate_time::not_after(leaf);
    let key = read(&tls.key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| pem(&tls.key_file, "private key"))?;
    let versions: &[_] = match tls.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // HTTP/2 is never offered: browsers would then ask for WebSocket over it (RFC 8441), which proxies cannot pass on.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = true;
    // Stateless tickets resume a handshake; one ticket is enough for one browser, each costs a record. Early data stays off:
    // what can be replayed must not reach an API.
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(Served {
        config: Arc::new(config),
        not_after,
    })
}

/// Whether certificate and key can be served together, for `wardroom check`.
pub fn try_pair(tls: &Tls) -> Result<(), TlsError> {
    load(tls).map(|_| ())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::Read {
        path: path.display().to_string(),
        cause,
    })
}

fn pem(path: &Path, wanted: &'static str) -> TlsError {
    TlsError::Pem {
        path: path.display().to_string(),
        wanted,
    }
}
