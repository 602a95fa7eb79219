//! The configuration: one file per section. `config/default.toml` is embedded and is the defaults; a file and the environment
//! are laid over it, and what comes out is checked as a whole before anything starts.

pub mod admission;
pub mod auth;
pub mod content;
pub mod drain;
pub mod limits;
pub mod listen;
pub mod log;
pub mod nicknames;
pub mod page;
pub mod redis;
pub mod rooms;
pub mod telemetry;
pub mod tls;
pub mod units;

use serde::{Deserialize, Serialize};

/// The whole configuration, checked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[listen]`
    pub listen: listen::Listen,
    /// `[tls]`
    pub tls: tls::Tls,
    /// `[admission]`
    pub admission: admission::Admission,
    /// `[auth]`
    pub auth: auth::Auth,
    /// `[nicknames]`
    pub nicknames: nicknames::Nicknames,
    /// `[limits]`
    pub limits: limits::Limits,
    /// `[content]`
    pub content: content::Content,
    /// `[log]`
    pub log: log::Log,
    /// `[redis]`
    pub redis: redis::Redis,
    /// `[[rooms]]`
    pub rooms: Vec<rooms::Room>,
    /// `[drain]`
    pub drain: drain::Drain,
    /// `[page]`
    pub page: page::Page,
    /// `[telemetry]`
    pub telemetry: telemetry::Telemetry,
}
