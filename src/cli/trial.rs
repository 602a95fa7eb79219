//! The parts that can be built without a socket, built and thrown away: for `check`, so that it refuses what `serve` would find
//! only while it starts.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use wardroom::{
    auth::{
        AuthParts, Authenticator,
        fetch::{Fetch, FetchError, FetchLimits, HttpsUrl, Roots},
        ticket_store::MemoryTickets,
    },
    clock::Clock,
    config::Config,
    telemetry::metrics::Metrics,
};

/// Nothing is fetched: key sets are read by the running node only.
struct Offline;

#[async_trait]
impl Fetch for Offline {
    async fn get(
        &self,
        _url: &HttpsUrl,
        _roots: &Roots,
        _limits: FetchLimits,
    ) -> Result<Bytes, FetchError> {
        Err(FetchError::Connect("nothing is fetched here".to_owned()))
    }
}

/// Sets the issuers up: keys that verify nothing, paths of claims that are none. The key and what is wrong with it.
pub(super) fn issuers(config: &Config) -> Result<(), (String, String)> {
    let parts = AuthParts {
        fetch: Arc::new(Offline),
        tickets: Arc::new(MemoryTickets::new(config.limits.tickets_max)),
        clock: Clock::system(),
        metrics: Metrics::new(),
    };
    Authenticator::new(&config.auth, &config.limits, parts)
        .map(drop)
        .map_err(|error| (error.key, error.problem))
}
