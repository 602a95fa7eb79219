//! `[tls]`: the certificate of the public listener.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[tls]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Certificate files, or none at all.
    pub mode: TlsMode,
    /// Admits `mode = "off"` on an address that is not loopback.
    pub allow_plaintext: bool,
    /// PEM chain, leaf first.
    pub cert_file: PathBuf,
    /// PEM private key, readable by its owner alone.
    pub key_file: PathBuf,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
}

/// `tls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// TLS with the two files.
    Files,
    /// Plain HTTP: loopback, or behind a proxy on the same machine.
    Off,
}

/// `tls.min_version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    V13,
}
