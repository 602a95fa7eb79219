//! Promises that only a crowd can put to the test. Apart from the others, which look at the clock and would wait for it.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::pedantic,
    unreachable_pub,
    reason = "a test spawns tasks that no drain waits for, ends where it must not go on, is read as a table, and is nobody's library"
)]

#[path = "../promises/support/mod.rs"]
#[expect(dead_code, reason = "it serves the promises of a few as well")]
mod support;

mod idle;
mod resume;
mod room;
mod slow;
mod stop;

use futures_util::{StreamExt, stream};

use support::{client::Client, gateway::Door, program::Site};

/// Rates and caps that a thousand clients of one address need.
const PLENTY: &str = "[limits]\nconnections_per_ip_max = 5000\nconnects_per_ip_per_s = 10000\nconnects_per_ip_burst = 100000\n\
                      requests_per_ip_per_s = 10000\nrequests_per_ip_burst = 100000\ntls_handshakes_per_ip_max = 200\n";

/// The room of the nth person: a crowd in one room is another test.
pub fn room_of(n: usize) -> String {
    format!("r{}", n % 20)
}

/// Opens so many sessions of people of their own, a few at a time.
async fn sessions(site: &Site, door: &Door, people: std::ops::Range<usize>) -> Vec<Client> {
    let opening = people.map(|n| async move {
        let token = site.provider.token(&format!("p{n}"));
        let query = format!("nick=p{n}&room={}", room_of(n));
        let mut client = door.client().bearer(&token).query(&query).open().await;
        client.expect("joined").await;
        client
    });
    // In the order of their numbers.
    stream::iter(opening).buffered(20).collect().await
}
