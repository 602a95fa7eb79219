//! `[listen]`: where the node listens and whom it believes about addresses.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// `[listen]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The public listener: page, WebSocket, API.
    pub public: SocketAddr,
    /// The admin listener: probes and metrics, plain HTTP.
    pub admin: SocketAddr,
    /// Served at `/.well-known/security.txt`; empty: 404.
    pub security_txt_file: PathBuf,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: ProxyProtocol,
    /// Networks whose forwarding header or PROXY header is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The one header that carries the client's address, lower case.
    pub client_ip_header: String,
}

/// `listen.proxy_protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// Never interpreted.
    Off,
    /// Every connection has one, v1 or v2, from a trusted proxy.
    Required,
}
