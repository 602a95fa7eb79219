//! Trusted values: what a string from outside becomes after it was parsed. No I/O, no clock, no task. Everything above
//! takes these types, so a value that exists has been checked.

pub mod command;
pub mod cursor;
pub mod entry;
pub mod envelope;
pub mod ids;
mod name_key;
mod name_shape;
pub mod nickname;
pub mod origin;
pub mod position;
pub mod reason;
pub mod room_name;
mod scripts;
pub mod text;
mod text_form;
pub mod token;
