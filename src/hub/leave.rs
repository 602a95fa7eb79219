//! Giving seats back: at once after a `leave`, after `presence_hold_s` when a socket was lost, and not at all when its person
//! came back.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::ids::{SessionId, UserId},
    hub::{
        Hub,
        agenda::Job,
        members::MemberShared,
        room::{Departing, Room},
    },
    log::Unavailable,
};

impl Hub {
    /// Gives the seat with this ticket back, unless its person came back in time.
    pub(super) async fn give_back(self: Arc<Self>, room: Arc<Room>, ticket: u64) {
        let session = {
            let mut state = room.state.lock();
            let planned = state
                .departing
                .iter_mut()
                .find(|departing| departing.ticket == ticket && !departing.running);
            let Some(planned) = planned else {
                return;
            };
            planned.running = true;
            planned.session
        };
        let left = self.engine.leave(&room.id, session).await;
        let mut state = room.state.lock();
        match left {
            Ok(()) => state
                .departing
                .retain(|departing| departing.ticket != ticket),
            Err(Unavailable { retry_after }) => {
                for departing in &mut state.departing {
                    departing.running &= departing.ticket != ticket;
                }
                self.agenda.at(
                    Instant::now() + retry_after,
                    Job::Leave(Arc::clone(&room), ticket),
                );
            }
        }
        drop(state);
        room.changed.notify_waiters();
    }

    /// This session enters again: what it was about to give back it keeps. An engine that has been asked is waited for, or
    /// its answer would take the new seat.
    pub(super) async fn keep_seat(&self, room: &Arc<Room>, session: SessionId) {
        loop {
            let changed = room.changed.notified();
            {
                let mut state = room.state.lock();
                state
                    .departing
                    .retain(|departing| departing.session != session || departing.running);
                if !state
                    .departing
                    .iter()
                    .any(|departing| departing.session == session)
                {
                    return;
                }
            }
            changed.await;
        }
    }

    /// This person is here again, so the seats of their lost sockets need not be kept any longer. In this order nobody sees
    /// them go.
    pub(super) fn release_held(&self, room: &Arc<Room>, user: UserId) {
        let state = room.state.lock();
        let held = |departing: &&Departing| departing.user == user && !departing.running;
        for departing in state.departing.iter().filter(held) {
            self.agenda
                .now(Job::Leave(Arc::clone(room), departing.ticket));
        }
    }
}

/// A seat that is being taken for a member who is not in the room yet. Dropped, it is given back.
pub(super) struct SeatGuard<'a> {
    hub: &'a Hub,
    room: &'a Arc<Room>,
    shared: &'a Arc<MemberShared>,
    kept: bool,
}

impl<'a> SeatGuard<'a> {
    /// Before the engine is asked: from then on a claim may displace the name.
    pub(super) fn new(hub: &'a Hub, room: &'a Arc<Room>, shared: &'a Arc<MemberShared>) -> Self {
        room.state.lock().entering.push(Arc::clone(shared));
        Self {
            hub,
            room,
            shared,
            kept: false,
        }
    }

    /// The member is in the room, so its membership answers for the seat; or there is no seat.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for SeatGuard<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state.lock();
        state
            .entering
            .retain(|other| !Arc::ptr_eq(other, self.shared));
        if !self.kept {
            self.room
                .depart(self.hub, &mut state, self.shared, Duration::ZERO);
        }
    }
}
