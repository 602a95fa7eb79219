//! `[redis]`: the backplane of `log.engine = "redis"`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[redis]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://` or `rediss://` addresses.
    pub urls: Vec<String>,
    /// How the servers are arranged.
    pub topology: Topology,
    /// The name of the master that the Sentinels watch.
    pub sentinel_master: String,
    /// Root certificates, PEM; empty: the system's.
    pub ca_file: PathBuf,
    /// The ACL user.
    pub username: String,
    /// The user's password.
    pub password_file: PathBuf,
    /// What an ack waits for.
    pub durability: String,
    /// Keys that authenticate envelopes.
    pub envelope_key_file: PathBuf,
}

/// `redis.topology`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One server.
    Standalone,
    /// A primary that Sentinels choose.
    Sentinel,
    /// A cluster.
    Cluster,
}
