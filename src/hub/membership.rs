//! A session's membership in a room, given back by `Drop` on every path.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::{ids::SessionId, nickname::Nickname, room_name::RoomId},
    hub::{
        Hub,
        members::{MemberKey, MemberShared},
        room::Room,
    },
};

/// Being in a room. Dropping it is a lost socket: nothing is delivered any more, and seat and nickname are kept for
/// `presence_hold_s`, so that whoever resumes was never gone. [`Membership::leave`] gives them back at once.
#[derive(Debug)]
pub struct Membership {
    hub: Arc<Hub>,
    room: Arc<Room>,
    key: MemberKey,
    shared: Arc<MemberShared>,
    leaves: bool,
}

impl Membership {
    pub(super) fn new(
        hub: &Arc<Hub>,
        room: &Arc<Room>,
        key: MemberKey,
        shared: &Arc<MemberShared>,
    ) -> Self {
        Self {
            hub: Arc::clone(hub),
            room: Arc::clone(room),
            key,
            shared: Arc::clone(shared),
            leaves: false,
        }
    }

    /// Which room.
    pub fn room(&self) -> &RoomId {
        &self.room.id
    }

    /// The name under which the member is here now: a claim of somebody else may have displaced the one it joined with.
    pub fn nick(&self) -> Nickname {
        self.shared.nick()
    }

    /// Whether the member has fallen behind: when its outbox has been written, the session runs [`Membership::catch_up`].
    pub fn lags(&self) -> bool {
        self.shared.lags()
    }

    /// Moves what the member missed into its outbox, as much as there is room for; from the ring, else from the log.
    ///
    /// # Cancel safety
    ///
    /// What was not moved stays missed; the next call goes on from there.
    pub fn catch_up(&self) -> impl Future<Output = ()> + Send + 'static {
        Arc::clone(&self.hub).catch_up(Arc::clone(&self.room), self.key)
    }

    /// Leaves: seat and nickname are free at once.
    pub fn leave(mut self) {
        self.leaves = true;
    }

    pub(super) fn parts(&self) -> (Arc<Hub>, Arc<Room>, Arc<MemberShared>) {
        (
            Arc::clone(&self.hub),
            Arc::clone(&self.room),
            Arc::clone(&self.shared),
        )
    }

    pub(super) fn place(&self) -> &Arc<Room> {
        &self.room
    }

    pub(super) fn session(&self) -> SessionId {
        self.shared.session
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.room.state.lock();
        if state.members.remove(self.key).is_some() {
            self.hub.metrics.members.dec();
        }
        if state.members.is_empty() {
            state.idle_since = Instant::now();
            self.room.wants_nothing();
            self.room.restless.store(false, Ordering::Relaxed);
        }
        let hold = if self.leaves {
            Duration::ZERO
        } else {
            self.hub.settings.presence_hold
        };
        self.room.depart(&self.hub, &mut state, &self.shared, hold);
    }
}
