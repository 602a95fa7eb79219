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
        room::{Room, State},
    },
    log::Unavailable,
};

/// The seats of a room that will be given back, unless their people return.
#[derive(Debug, Default)]
pub(super) struct Departures {
    seats: Vec<Departing>,
    /// When the agenda will look at them. A time is added only when it is earlier than all others, so there are never more
    /// than there are seats.
    planned: Vec<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Departing {
    session: SessionId,
    user: UserId,
    due: Instant,
    /// The engine has been asked.
    running: bool,
}

impl Departures {
    fn of(&self, session: SessionId) -> Option<&Departing> {
        self.seats.iter().find(|seat| seat.session == session)
    }

    /// What is due, which from now on is running.
    fn begin(&mut self, now: Instant) -> Vec<SessionId> {
        self.planned.retain(|at| *at > now);
        let due = |seat: &&mut Departing| seat.due <= now && !seat.running;
        self.seats
            .iter_mut()
            .filter(due)
            .map(|seat| {
                seat.running = true;
                seat.session
            })
            .collect()
    }

    fn end(&mut self, session: SessionId, left: Result<(), Unavailable>) {
        match left {
            Ok(()) => self.seats.retain(|seat| seat.session != session),
            Err(Unavailable { retry_after }) => {
                for seat in self.seats.iter_mut().filter(|seat| seat.session == session) {
                    seat.running = false;
                    seat.due = Instant::now() + retry_after;
                }
            }
        }
    }

    /// When the agenda has to look again, if it does not do so by then anyway.
    fn plan(&mut self) -> Option<Instant> {
        let waiting = self.seats.iter().filter(|seat| !seat.running);
        let due = waiting.map(|seat| seat.due).min()?;
        let is_first = self.planned.iter().all(|at| *at > due);
        is_first.then(|| {
            self.planned.push(due);
            due
        })
    }
}

impl Room {
    /// Gives a seat back after this time.
    pub(super) fn depart(
        self: &Arc<Self>,
        hub: &Hub,
        state: &mut State,
        shared: &MemberShared,
        hold: Duration,
    ) {
        state.departures.seats.push(Departing {
            session: shared.session,
            user: shared.user,
            due: Instant::now() + hold,
            running: false,
        });
        self.plan_departures(hub, state);
    }

    fn plan_departures(self: &Arc<Self>, hub: &Hub, state: &mut State) {
        if let Some(at) = state.departures.plan() {
            hub.agenda.at(at, Job::Leave(Arc::clone(self)));
        }
    }

    /// This person is here again, so the seats of their lost sockets need not be kept any longer. In this order nobody sees
    /// them go.
    pub(super) fn release_held(self: &Arc<Self>, hub: &Hub, user: UserId) {
        let mut state = self.state.lock();
        for seat in &mut state.departures.seats {
            if seat.user == user {
                seat.due = Instant::now();
            }
        }
        self.plan_departures(hub, &mut state);
    }
}

impl Hub {
    /// Gives back what is due.
    pub(super) async fn give_back(self: Arc<Self>, room: Arc<Room>) {
        let due = room.state.lock().departures.begin(Instant::now());
        for session in due {
            let left = self.engine.leave(&room.id, session).await;
            room.state.lock().departures.end(session, left);
            room.changed.notify_waiters();
        }
        let mut state = room.state.lock();
        room.plan_departures(&self, &mut state);
    }

    /// This session enters again: what it was about to give back it keeps. An engine that has been asked is waited for, or
    /// its answer would take the new seat.
    pub(super) async fn keep_seat(&self, room: &Arc<Room>, session: SessionId) {
        loop {
            let changed = room.changed.notified();
            {
                let mut state = room.state.lock();
                let seats = &mut state.departures.seats;
                seats.retain(|seat| seat.session != session || seat.running);
                if state.departures.of(session).is_none() {
                    return;
                }
            }
            changed.await;
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
