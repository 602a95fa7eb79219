//! A session enters a room: its seat first, then its place in the stream (`entrance.rs`).

use std::{sync::Arc, time::Duration};

use crate::{
    auth::grants::JoinGrant,
    domain::{command::FrameId, cursor::Cursor, ids::SessionId, nickname::Nickname},
    hub::{
        Hub, entrance::Entrance, leave::SeatGuard, members::MemberShared, membership::Membership,
    },
    log::{Entered, Seat, Unavailable},
    outbound::{entry_frames::Format, outbox::Outbox},
};

/// Who comes, and how.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Whose connection.
    pub session: SessionId,
    /// Under which name.
    pub nick: Nickname,
    /// The way to it.
    pub outbox: Outbox,
    /// In which form it gets what is said.
    pub format: Format,
    /// Echoed in `joined`.
    pub reply_to: Option<FrameId>,
    /// What it has seen; at the start: a fresh join.
    pub since: Cursor,
    /// How many entries before the head a fresh join wants; at most a page are given.
    pub history: u32,
}

/// Why a join is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Somebody in the room has that name, or one that looks like it.
    #[error("the nickname is taken")]
    NicknameTaken,
    /// This node holds as many rooms as it may.
    #[error("this node holds as many rooms as it may")]
    RoomsFull,
    /// The log cannot be reached, or the session takes no answers.
    #[error("the room cannot be entered now")]
    Unavailable {
        /// After how long to try again.
        retry_after: Duration,
    },
}

impl From<Unavailable> for JoinError {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable {
            retry_after: why.retry_after,
        }
    }
}

impl Hub {
    /// Lets a session in: takes its seat, pushes `joined` with the first frames of the stream, and makes it a member, the
    /// last two in one step. What does not fit into the first page it pulls with [`Membership::catch_up`].
    ///
    /// # Cancel safety
    ///
    /// A join that is dropped gives its seat back.
    pub async fn join(
        self: &Arc<Self>,
        grant: JoinGrant,
        arrival: Arrival,
    ) -> Result<Membership, JoinError> {
        let room = self.open(grant.room()).map_err(|_| JoinError::RoomsFull)?;
        self.keep_seat(&room, arrival.session).await;
        let seat = Seat {
            session: arrival.session,
            user: grant.user(),
            nick: arrival.nick.clone(),
        };
        let shared = Arc::new(MemberShared::new(
            arrival.session,
            grant.user(),
            arrival.nick.clone(),
        ));
        let guard = SeatGuard::new(self, &room, &shared);
        let count = match self.engine.enter(&room.id, seat).await? {
            Entered::Taken => {
                guard.keep(); // there is none to give back
                return Err(JoinError::NicknameTaken);
            }
            Entered::In {
                nick,
                count,
                renamed,
            } => {
                shared.rename(&arrival.nick, &nick);
                let state = room.state.lock();
                for yielded in &renamed {
                    state.rename(&yielded.was, &yielded.seat);
                }
                count
            }
        };
        let entrance = Entrance {
            hub: self,
            room: &room,
            arrival: &arrival,
            shared: &shared,
            count,
        };
        let key = entrance.find().await?;
        guard.keep();
        room.release_held(self, grant.user());
        Ok(Membership::new(self, &room, key, &shared))
    }
}
