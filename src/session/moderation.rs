//! What a moderator asks for: the right is asked for anew for every frame, and being in the room is not needed.

use std::sync::Arc;

use super::{Session, dispatch::done, rejection::Rejection, work::Settled};
use crate::{
    domain::{command::FrameId, position::Position, reason::Reason, room_name::RoomId},
    hub::redact::{Redaction, Source},
};

impl Session {
    /// Takes the content of a message away.
    pub(super) fn delete(
        &mut self,
        id: Option<FrameId>,
        room: &RoomId,
        target: Position,
        reason: Option<Reason>,
    ) {
        let Ok(grant) = self.identity.may_moderate(room) else {
            return self.reject(&Rejection::forbidden(id));
        };
        let redaction = Redaction {
            offset: target.offset,
            epoch: Some(target.epoch),
            reason,
            source: Source::Socket,
        };
        let (hub, answering) = (Arc::clone(&self.context.hub), self.answering());
        self.start(async move {
            Settled::reply(match hub.redact(grant, redaction).await {
                Ok(_) => done(id.as_deref()),
                Err(error) => answering.reject(&Rejection::of_delete(id, error)),
            })
        });
    }
}
