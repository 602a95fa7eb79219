//! Wardroom: a guarded gateway in front of a team's chat.
//!
//! The modules are listed along the road that one message travels; `docs/architecture.md` tells the story, and
//! `tests/architecture.rs` holds the arrows. The invariants:
//!
//! 1. One library, one home: axum, axum-server, hyper and tower in `server`; rustls there and for the client in `cli/load`;
//!    jsonwebtoken in `auth`; ammonia in one file; governor in two.
//! 2. `protocol` and `domain` do no I/O, read no clock, spawn nothing.
//! 3. Client text reaches the hub only as `CleanText`; every hub call needs a grant.
//! 4. Every queue has a bound, in bytes too, from the configuration.
//! 5. Every task is tracked by the drain.
//! 6. No lock is held across an await.
//! 7. Secrets have no readable `Debug`; message text is never logged.
//! 8. The hub never waits for a member.
//! 9. No cargo features: what is tested is what ships.

// The road of one message.
pub mod server;
pub mod admission;
pub mod auth;
pub mod session;
pub mod inbound;
pub mod hub;
pub mod log;
pub mod outbound;

// What every station stands on.
pub mod protocol;
pub mod domain;
pub mod config;
pub mod telemetry;
pub mod clock;
