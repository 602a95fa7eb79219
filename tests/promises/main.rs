//! The promises of SECURITY.md, each in a file of its own, against the real gateway over real TLS and real sockets.
#![expect(
    clippy::disallowed_methods,
    reason = "a test spawns its own tasks; no drain waits for them"
)]

mod support;

mod admission;
mod authentication;
mod drain;
mod frames;
mod input_safety;
mod ordering;
mod rates;
mod recovery;
mod slow_consumers;
