//! What leaves to one client: frames encoded once and shared, and the bounded way to the client's session.

pub mod frame;
pub mod entry_frames;
pub mod html;
pub mod outbox;
pub mod outbox_budget;
