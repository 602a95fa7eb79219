//! The promises of SECURITY.md, each in a file of its own, against the real gateway over real TLS and real sockets.
#![expect(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::pedantic,
    unreachable_pub,
    reason = "a test spawns tasks that no drain waits for, ends where it must not go on, is read as a table, and is nobody's library"
)]

mod support;

mod admission;
mod authentication;
mod authorization;
mod drain;
mod durability;
mod exhaustion;
mod frames;
mod http_api;
mod identity_provider;
mod input_safety;
mod moderation;
mod operations;
mod ordering;
mod presence;
mod proxies;
mod rates;
mod record;
mod recovery;
mod secrecy;
mod slow_consumers;
mod tls;
mod tls_records;
