//! The wire as data: frames and codes. What comes in is still untrusted here; `inbound` makes commands of it.

pub mod client_frame;
pub mod codes;
pub mod plain_text;
pub mod server_frame;
pub mod timestamp;
