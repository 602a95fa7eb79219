//! Telling the members of a room who comes and goes: the first change at once, what follows within a quarter of a second in
//! one frame. Seats belong to the engine; its changes come through the feed, in order.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::{ids::SessionId, nickname::Nickname, room_name::RoomId},
    hub::{
        Hub,
        agenda::Job,
        members::Members,
        roll::Roll,
        room::{Room, State},
        sabotage::Sabotage,
    },
    log::{Seat, SeatsChange, Unavailable},
    outbound::{entry_frames::Format, frame::Frame, outbox::Offer},
};

/// Changes within this time share a frame.
const COALESCE: Duration = Duration::from_millis(250);

/// A room's roll, and when its members are told.
#[derive(Debug, Default)]
pub(super) struct RoomPresence {
    roll: Roll,
    /// Frames may not follow each other faster.
    quiet_until: Option<Instant>,
    planned: bool,
}

impl RoomPresence {
    /// The number of the last frame: who joins now is told what comes after it.
    pub(super) fn sent(&self) -> u64 {
        self.roll.sent()
    }

    /// Tells every member what it was not told yet. Whether all were told.
    fn tell(
        &mut self,
        room: &RoomId,
        members: &mut Members,
        newcomer: Option<SessionId>,
        hub: &Hub,
    ) -> bool {
        let sent = self.roll.sent();
        let people_max = usize::try_from(hub.settings.members_page_max).unwrap_or(usize::MAX);
        let mut frames: Vec<(u64, Frame)> = Vec::new();
        let mut tally = hub.settings.budget.tally();
        let mut all = true;
        for member in members.iter_mut() {
            let since = member.presence_at;
            if member.format == Format::Text || since == sent {
                continue;
            }
            // Nobody needs to be told that they came themselves, unless they were told that they had gone.
            let own = newcomer == Some(member.shared.session) && since + 1 == sent;
            if std::mem::take(&mut member.is_new) && own {
                member.presence_at = sent;
                continue;
            }
            let made = frames.iter().position(|(from, _)| *from == since);
            let index = made.unwrap_or_else(|| {
                frames.push((since, self.roll.frame(room, since, people_max)));
                frames.len() - 1
            });
            match tally.offer(&member.outbox, &frames[index].1) {
                Offer::Queued | Offer::Closed => member.presence_at = sent,
                Offer::Full if hub.switch.breaks(Sabotage::PresenceForgets) => {
                    member.presence_at = sent;
                }
                Offer::Full => all = false,
            }
        }
        if all {
            self.roll.all_told();
        }
        all
    }
}

impl Room {
    /// Takes a change of the room's seats from the feed.
    pub(super) fn take_seats(self: &Arc<Self>, hub: &Hub, change: &SeatsChange) {
        let mut state = self.state.lock();
        for yielded in &change.renamed {
            state.rename(&yielded.was, &yielded.seat);
        }
        state.presence.roll.note(change);
        if state.presence.roll.has_news() {
            self.plan_presence(&mut state, hub);
        }
    }

    /// Tells at once, or when the pause after the last frame is over.
    fn plan_presence(self: &Arc<Self>, state: &mut State, hub: &Hub) {
        if state.members.is_empty() {
            state.presence.roll.hush();
            return;
        }
        if state.presence.planned {
            return;
        }
        match state.presence.quiet_until {
            Some(until) if until > Instant::now() => {
                state.presence.planned = true;
                hub.agenda.at(until, Job::Presence(Arc::clone(self)));
            }
            _ => self.tell_presence_now(state, hub),
        }
    }

    /// The pause is over.
    pub(super) fn tell_presence(&self, hub: &Hub) {
        let mut state = self.state.lock();
        state.presence.planned = false;
        if state.presence.roll.has_news() {
            self.tell_presence_now(&mut state, hub);
        }
    }

    /// Tells those who had no room for it the last time.
    pub(super) fn tell_presence_again(&self, state: &mut State, hub: &Hub) -> bool {
        !state.presence.roll.owes() || state.presence.tell(&self.id, &mut state.members, None, hub)
    }

    fn tell_presence_now(&self, state: &mut State, hub: &Hub) {
        let newcomer = state.presence.roll.batch();
        state.presence.quiet_until = Some(Instant::now() + COALESCE);
        let told = state
            .presence
            .tell(&self.id, &mut state.members, newcomer, hub);
        if !told {
            self.is_restless();
        }
    }
}

impl State {
    /// A name yielded to a claim: messages of that session go out under its new one.
    pub(super) fn rename(&self, was: &Nickname, seat: &Seat) {
        let members = self.members.iter().map(|member| &member.shared);
        for shared in members
            .chain(&self.entering)
            .filter(|shared| shared.session == seat.session)
        {
            shared.rename(was, &seat.nick);
        }
    }
}

impl Hub {
    /// Reads who is in a room, as the ground that later changes stand on: before the first member, and after a hole in the
    /// feed.
    pub(super) async fn list_people(&self, room: &Arc<Room>) -> Result<(), Unavailable> {
        let listing = room.state.lock().presence.roll.begin_listing();
        let list = self
            .engine
            .list(&room.id, self.settings.members_page_max)
            .await;
        let mut state = room.state.lock();
        match list {
            Ok((count, seats)) => {
                state.presence.roll.listed(listing, count, seats);
                state.listed = true;
            }
            Err(why) => {
                state.presence.roll.end_listing(listing);
                return Err(why);
            }
        }
        if state.presence.roll.has_news() {
            room.plan_presence(&mut state, self);
        }
        Ok(())
    }
}
