//! What connections cost: memory while they idle, CPU to set them up.

use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use crate::{
    generator::{self, Idle},
    machine::files_of,
    server::{Keys, Server, Wire, pause},
    windows::Series,
};

/// For the first sessions to arrive.
const ARRIVAL_LIMIT: Duration = Duration::from_mins(1);

/// Resident bytes per idle session: the growth of a fresh gateway from 500 sessions to `more` above that.
pub(crate) fn memory(
    keys: &Keys,
    wire: Wire,
    more: usize,
    rounds: usize,
) -> anyhow::Result<Series> {
    const FIRST: usize = 500;
    let mut bytes = Series::default();
    for _ in 0..rounds {
        let gateway = Server::gateway(keys, wire)?;
        let first =
            format!("--sockets {FIRST} --rooms 10 --rate 0 --seconds 300 --user-prefix first");
        let _first = Idle::start(keys, &gateway, &first)?;
        let deadline = Instant::now() + ARRIVAL_LIMIT;
        while files_of(gateway.pid()) < FIRST {
            ensure!(
                Instant::now() < deadline,
                "the first {FIRST} sessions did not arrive"
            );
            pause(Duration::from_millis(100));
        }
        // What setting up left behind goes back to the system within jemalloc's decay of 10 s.
        pause(Duration::from_secs(15));
        let rooms = more.div_ceil(50);
        let report = generator::run(
            keys,
            &gateway,
            &format!(
                "--sockets {more} --rooms {rooms} --rate 0 --settle 20 --seconds 1 --user-prefix more"
            ),
        )?;
        bytes.push(report.figure("/server/resident_bytes_per_session")?);
    }
    Ok(bytes)
}

/// What setting up a session takes.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) full_us: Series,
    pub(crate) resumed_us: Series,
    /// How many of a hundred connections were resumed when they could be.
    pub(crate) resumed_percent: i64,
    pub(crate) protocols: String,
}

/// CPU microseconds per connection: handshake, upgrade with an ES256 token, `welcome`; with and without resumption.
pub(crate) fn upgrade(
    keys: &Keys,
    server: &Server,
    connections: usize,
    rounds: usize,
) -> anyhow::Result<Setup> {
    let mut setup = Setup::default();
    let load = format!("--sockets {connections} --rooms 0 --seconds 0");
    // Once for what is done lazily; not counted.
    generator::run(keys, server, &load)?;
    for _ in 0..rounds {
        let full = generator::run(keys, server, &format!("{load} --no-resumption"))?;
        setup
            .full_us
            .push(full.figure("/server/setup_cpu_us_per_session")?);
        let resumed = generator::run(keys, server, &load)?;
        setup
            .resumed_us
            .push(resumed.figure("/server/setup_cpu_us_per_session")?);
        setup.resumed_percent =
            resumed.figure("/sessions/resumed")? * 100 / resumed.figure("/sessions/count")?.max(1);
        setup.protocols = full.protocols();
    }
    Ok(setup)
}
