//! How a member that fell behind comes level again: its session pulls, from the ring, else from the log, as much as its
//! outbox takes.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::cursor::Cursor,
    hub::{
        Hub,
        members::{MemberKey, Place},
        room::{Located, Room, State},
        sabotage::Sabotage,
        stream::{FramedPage, Stopped, Stream, Told},
    },
    outbound::{
        frame::Frame,
        outbox::{Offer, Outbox},
    },
};

/// Entries of the first page from the log; doubled at each, so that a pager overtakes a busy room.
const FIRST_LIMIT: u32 = 100;
const LIMIT_MAX: u32 = 1000;
/// How long a pager waits for the room to read the log before it does so itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where a member stands that neither the head nor the ring can serve, and what may help without a read of its own.
struct Missed {
    cursor: Cursor,
    cure: Option<Cure>,
    outbox: Outbox,
}

/// What the room can do for all who stand alike. Each is tried once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cure {
    /// Come level with the log.
    Sync,
    /// Reach so many entries further down.
    Backfill(u32),
}

impl Hub {
    pub(super) async fn catch_up(self: Arc<Self>, room: Arc<Room>, key: MemberKey) {
        let (mut limit, mut synced, mut backfilled) = (FIRST_LIMIT, false, false);
        loop {
            let ControlFlow::Continue(missed) = self.pull_from_ring(&room, key) else {
                return;
            };
            if !missed.outbox.is_half_empty() {
                return; // a read is worth it when there is room for what it brings
            }
            let deadline = Instant::now() + PATIENCE;
            match missed.cure {
                Some(Cure::Sync) if !synced => {
                    synced = true;
                    room.ask_sync(&self);
                    // Whatever comes of it, the read below says more.
                    self.settled(&room, deadline).await.ok();
                }
                Some(Cure::Backfill(missing)) if !backfilled => {
                    backfilled = true;
                    self.backfilled(&room, missing, deadline).await;
                }
                Some(_) | None => {
                    let pulled = self.pull_from_log(&room, key, missed.cursor, limit).await;
                    if pulled.is_break() {
                        return;
                    }
                    limit = (limit * 2).min(LIMIT_MAX);
                }
            }
        }
    }

    /// Breaks when the member is level, gone, or full.
    fn pull_from_ring(&self, room: &Arc<Room>, key: MemberKey) -> ControlFlow<(), Missed> {
        let mut state = room.state.lock();
        let state = &mut *state;
        state.forget_expired(self);
        let Some(cursor) = state.lagging_cursor(key) else {
            return ControlFlow::Break(());
        };
        let cure = match state.locate(cursor.newest(), self.switch) {
            Located::AtHead => {
                state.level(self, room, key);
                return ControlFlow::Break(());
            }
            Located::InRing => {
                room.touch(self);
                let next = cursor.newest().map_or(1, |newest| newest.offset + 1);
                let (stopped, cursor) = self.hand_out(room, state, key, cursor, |state, stream| {
                    state
                        .ring
                        .from(next)
                        .try_for_each(|entry| stream.entry(entry))
                });
                state.settle(key, cursor);
                if stopped.is_none() {
                    state.level(self, room, key);
                }
                return ControlFlow::Break(());
            }
            Located::Ahead => Some(Cure::Sync),
            Located::Below { missing } => state.ring.could_take(missing).map(Cure::Backfill),
            Located::Elsewhere => None,
        };
        match state.members.get(key) {
            Some(member) => ControlFlow::Continue(Missed {
                cursor,
                cure,
                outbox: member.outbox.clone(),
            }),
            None => ControlFlow::Break(()),
        }
    }

    /// Breaks when there is nothing to go on with now: full, gone, or the log cannot be read.
    async fn pull_from_log(
        &self,
        room: &Arc<Room>,
        key: MemberKey,
        cursor: Cursor,
        limit: u32,
    ) -> ControlFlow<()> {
        let Ok(page) = self.engine.read(&room.id, &cursor, limit).await else {
            return ControlFlow::Break(()); // the hub nudges the session again
        };
        let mut page = self.framed(&room.id, page);
        if let Some(format) = room
            .state
            .lock()
            .members
            .get(key)
            .map(|member| member.format)
        {
            page.warm(format, &self.settings.derive_html);
        }
        let mut state = room.state.lock();
        let state = &mut *state;
        let still = state.lagging_cursor(key);
        if still.as_ref() != Some(&cursor) && !self.switch.breaks(Sabotage::StalePage) {
            // The member was moved while the page was read: it is of no use.
            return match still {
                Some(_) => ControlFlow::Continue(()),
                None => ControlFlow::Break(()),
            };
        }
        page.empty(state.ring.deleted());
        self.hand_out_page(room, state, key, cursor, &page)
    }

    fn hand_out_page(
        &self,
        room: &Arc<Room>,
        state: &mut State,
        key: MemberKey,
        cursor: Cursor,
        page: &FramedPage,
    ) -> ControlFlow<()> {
        let before = cursor.clone();
        let head = state.head().map(|head| head.offset);
        let silent = self.switch.breaks(Sabotage::NoGapOnEmptyPage);
        let (stopped, cursor) = self.hand_out(room, state, key, cursor, |_, stream| {
            stream.page(page, head, silent)
        });
        let moved = cursor != before;
        state.settle(key, cursor.clone());
        if stopped.is_some() {
            return ControlFlow::Break(());
        }
        if state.locate(cursor.newest(), self.switch) == Located::AtHead {
            state.level(self, room, key);
            return ControlFlow::Break(());
        }
        if !moved {
            // The log says nothing new and yet this node is elsewhere: the room has to read, the session comes back.
            room.need_sync(self, state, None);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Lets `walk` move the cursor as far as the member's outbox takes frames; where it stopped, if it did, and the cursor.
    fn hand_out(
        &self,
        room: &Room,
        state: &State,
        key: MemberKey,
        cursor: Cursor,
        walk: impl FnOnce(&State, &mut Stream<'_>) -> Result<(), Stopped>,
    ) -> (Option<Stopped>, Cursor) {
        let Some(member) = state.members.get(key) else {
            return (Some(Stopped), cursor);
        };
        let mut tally = self.settings.budget.tally();
        let mut replayed = 0;
        let mut emit = |frames: &[&Frame], told: Told| {
            let queued = tally.offer_all(&member.outbox, frames) == Offer::Queued;
            replayed += u64::from(queued && told == Told::Entry);
            queued
        };
        let mut stream = Stream {
            room: &room.id,
            format: member.format,
            derive: &self.settings.derive_html,
            cursor,
            emit: &mut emit,
        };
        let stopped = walk(state, &mut stream).err();
        let cursor = stream.cursor;
        self.metrics.replayed_entries.inc_by(replayed);
        (stopped, cursor)
    }
}

impl State {
    /// Where a member that lags stands; `None` for one at the tail, or gone.
    fn lagging_cursor(&self, key: MemberKey) -> Option<Cursor> {
        match &self.members.get(key)?.place {
            Place::Lag(cursor) => Some(Cursor::clone(cursor)),
            Place::Tail => None,
        }
    }

    fn settle(&mut self, key: MemberKey, cursor: Cursor) {
        if let Some(member) = self.members.get_mut(key) {
            member.place = Place::Lag(Box::new(cursor));
        }
    }

    /// The member is level: it gets what is appended from here on, and the presence that it missed.
    fn level(&mut self, hub: &Hub, room: &Room, key: MemberKey) {
        self.members.catch_up(key);
        room.tell_presence_again(self, hub);
    }
}
