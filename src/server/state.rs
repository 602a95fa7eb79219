//! What the handlers share.

use std::sync::Arc;

use super::{
    drain::Drain, guarded_stream::StreamRules, headers::SecurityHeaders, page::PageSettings,
    precheck::HeadRules,
};
use crate::{
    admission::Admission,
    auth::{Authenticator, mint::Minter},
    clock::Clock,
    config::{Config, limits::Limits},
    inbound::rate::Bucket,
    log::{Engine, Health},
    session::context::SessionContext,
    telemetry::metrics::Metrics,
};

/// Shared by every handler of both listeners.
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) limits: Arc<Limits>,
    pub(super) development: bool,
    /// Signs tokens for whoever asks: `dev` alone has one.
    pub(super) minter: Option<Minter>,
    pub(super) admission: Arc<Admission>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) sessions: Arc<SessionContext>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) drain: Drain,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) head_rules: HeadRules,
    pub(super) stream_rules: StreamRules,
    pub(super) security_headers: SecurityHeaders,
    pub(super) page: PageSettings,
    pub(super) security_txt: Option<String>,
    /// Scrapes of the admin listener.
    pub(super) scrapes: Bucket,
}

impl Shared {
    /// The log's health as a word.
    pub(super) fn log_health(&self) -> &'static str {
        match *self.engine.health().borrow() {
            Health::Ok => "ok",
            Health::Degraded => "degraded",
            Health::Down | Health::Failed => "down",
        }
    }
}
