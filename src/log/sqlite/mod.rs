//! The log in one file on this machine.

pub mod backup;
pub mod chain;
pub mod record;
pub mod schema;
