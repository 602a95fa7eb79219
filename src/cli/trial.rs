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
    config::{Config, log::LogEngine},
    log::sqlite::schema,
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

/// Looks at the log's file, if there is one: of another program, of a later version, unreadable. The key and what is wrong.
pub(super) fn log(config: &Config) -> Result<(), (String, String)> {
    let path = &config.log.path;
    // An empty file is what a start leaves that was cut off at its first step; the next one goes on with it.
    let is_there = path.metadata().is_ok_and(|file| file.len() > 0);
    if config.log.engine != LogEngine::Sqlite || !is_there {
        return Ok(());
    }
    schema::open_reader(path)
        .map(drop)
        .map_err(|error| ("log.path".to_owned(), error.to_string()))
}
