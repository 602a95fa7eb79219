//! A member takes another name without leaving: the first line of `wardroom.text` claims one.

use std::sync::Arc;

use crate::{
    domain::nickname::Nickname,
    hub::{Hub, join::JoinError, members::MemberShared, membership::Membership, room::Room},
    log::{Entered, Seat},
};

impl Membership {
    /// Takes another name in this room, if nobody else holds it; what was said before keeps the old one.
    ///
    /// # Cancel safety
    ///
    /// Dropping it may leave the new name taken; the next message goes out under the old one.
    pub fn rename(
        &self,
        nick: Nickname,
    ) -> impl Future<Output = Result<(), JoinError>> + Send + 'static {
        let (hub, room, shared) = self.parts();
        async move { hub.rename(&room, &shared, nick).await }
    }
}

impl Hub {
    async fn rename(
        &self,
        room: &Arc<Room>,
        shared: &MemberShared,
        nick: Nickname,
    ) -> Result<(), JoinError> {
        let seat = Seat {
            session: shared.session,
            user: shared.user,
            nick,
        };
        match self.engine.enter(&room.id, seat).await? {
            Entered::Taken => Err(JoinError::NicknameTaken),
            Entered::In { nick, renamed, .. } => {
                shared.rename(&shared.nick(), &nick);
                let state = room.state.lock();
                for yielded in &renamed {
                    state.rename(&yielded.was, &yielded.seat);
                }
                Ok(())
            }
        }
    }
}
