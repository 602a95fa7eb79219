//! Trusted values: what a string from outside becomes after it was parsed. No I/O, no clock, no task. Everything above
//! takes these types, so a value that exists has been checked.

pub mod command;
pub mod cursor;
pub mod entry;
pub mod envelope;
pub mod ids;
pub mod nickname;
pub mod origin;
pub mod position;
pub mod room_name;
pub mod text;
pub mod token;
