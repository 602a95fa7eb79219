//! The log in one file on this machine.

pub mod chain;
pub mod schema;
