//! The promises of SECURITY.md, each in a file of its own, against the real gateway over real TLS and real sockets.
#![expect(
    clippy::disallowed_methods,
    reason = "a test spawns its own tasks; no drain waits for them"
)]

mod support;

mod admission;
mod authentication;
mod authorization;
mod drain;
mod http_api;
mod identity_provider;
mod input_safety;
mod operations;
mod ordering;
mod presence;
mod proxies;
mod recovery;
mod secrecy;
