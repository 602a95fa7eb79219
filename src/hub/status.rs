//! The log has trouble, or is well again: every session that is in a room is told, once.

use std::collections::HashSet;

use crate::{
    hub::Hub,
    log::Health,
    outbound::{entry_frames::Format, frame::Frame},
    protocol::server_frame::ServerFrame,
};

impl Hub {
    /// Tells the sessions of this node how the log is. Who has no room for it does without: an answer to a `send` says the same.
    pub(super) fn tell_status(&self, health: Health) {
        let log = match health {
            Health::Ok => "ok",
            Health::Degraded => "degraded",
            // The node ends, and tells that in its own way.
            Health::Down | Health::Failed => return,
        };
        let frame = Frame::encode(&ServerFrame::Status { log });
        let mut told = HashSet::new();
        for room in self.rooms.all() {
            for member in room.state.lock().members.iter() {
                if member.format != Format::Text && told.insert(member.shared.session) {
                    member.outbox.offer_reply(&frame);
                }
            }
        }
    }
}
