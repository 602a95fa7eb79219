//! Finding a place in a room's stream: what a newcomer has seen is located, what it missed is put into `joined`, and it
//! becomes a member, the last two under the lock that `append` takes. So nothing can fall between them.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    domain::position::{Head, Position},
    hub::{
        Hub,
        join::{Arrival, JoinError},
        members::{MemberKey, MemberShared},
        room::{Located, Room, State},
        sabotage::Sabotage,
        slice::{Slice, with_messages},
        stream::FramedPage,
    },
    log::{Found, Unavailable},
    outbound::{
        entry_frames::{EntryFrames, Format},
        frame::Frame,
        outbox::Offer,
    },
    protocol::server_frame::Joined,
};

/// How long somebody who enters waits for a room to come level with the log, before the ring has to do.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is needed before somebody can be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs {
    /// The room must come level with the log.
    Sync,
    /// The ring must reach further down.
    Backfill(u32),
    /// A page of the log.
    Page,
    /// The outbox takes no answers.
    Room,
}

/// Somebody who has a seat and wants a place in the stream.
pub(super) struct Entrance<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) room: &'a Arc<Room>,
    pub(super) arrival: &'a Arrival,
    pub(super) shared: &'a Arc<MemberShared>,
    /// How many people are in the room.
    pub(super) count: u64,
}

impl Entrance<'_> {
    /// Finds the place, answers, and takes it.
    pub(super) async fn find(&self) -> Result<MemberKey, JoinError> {
        let deadline = Instant::now() + PATIENCE;
        self.hub.settled(self.room, deadline).await?;
        let (mut synced, mut backfilled) = (false, false);
        loop {
            self.warm();
            match self.by_ring() {
                Ok(key) => return Ok(key),
                Err(Needs::Sync) if !synced => {
                    synced = true;
                    self.room.ask_sync(self.hub);
                    self.hub.settled(self.room, deadline).await?;
                }
                Err(Needs::Backfill(missing)) if !backfilled => {
                    backfilled = true;
                    self.hub.backfilled(self.room, missing, deadline).await;
                }
                Err(Needs::Room) => return Err(no_room().into()),
                Err(_) => return self.by_log().await,
            }
        }
    }

    /// Makes costly frames while no lock is held; what comes in between is made under it.
    fn warm(&self) {
        if self.arrival.format != Format::Html {
            return;
        }
        let page = usize::try_from(self.hub.settings.history_page_max).unwrap_or(usize::MAX);
        let entries: Vec<Arc<EntryFrames>> = {
            let state = self.room.state.lock();
            let from = self
                .arrival
                .since
                .newest()
                .map_or(0, |newest| newest.offset + 1);
            state
                .ring
                .shared_from(from)
                .rev()
                .take(page)
                .map(Arc::clone)
                .collect()
        };
        for entry in entries {
            entry.frame(Format::Html, &self.hub.settings.derive_html);
        }
    }

    /// Enters out of what this node holds, if that is enough.
    fn by_ring(&self) -> Result<MemberKey, Needs> {
        let mut state = self.room.state.lock();
        state.forget_expired(self.hub);
        if self.arrival.since.is_start() {
            return self.fresh(&mut state);
        }
        let newest = self.arrival.since.newest();
        match state.locate(newest, self.hub.switch) {
            Located::AtHead => self.enter(&mut state, self.slice(), Seen::Resumed("live")),
            Located::InRing => self.enter(&mut state, self.slice(), Seen::Resumed("replayed")),
            Located::Ahead => Err(Needs::Sync),
            Located::Below { missing } => Err(state
                .ring
                .could_take(missing)
                .map_or(Needs::Page, Needs::Backfill)),
            Located::Elsewhere => Err(Needs::Page),
        }
    }

    fn fresh(&self, state: &mut State) -> Result<MemberKey, Needs> {
        let wanted = self.page_max();
        let held = u64::try_from(state.ring.len()).unwrap_or(u64::MAX);
        let next = state.head().map_or(1, |head| head.offset + 1);
        let all_kept = state.ring.first().unwrap_or(next) <= state.first_kept;
        if held < u64::from(wanted) && !all_kept {
            return Err(Needs::Page);
        }
        let from = self.newest_that_fit(state, next.saturating_sub(u64::from(wanted)).max(1));
        let mut slice = self.slice();
        slice.start_at(state, from);
        self.enter(state, slice, Seen::Fresh)
    }

    /// The lowest offset from which on everything fits into a page; what is left out is the oldest.
    fn newest_that_fit(&self, state: &State, lowest: u64) -> u64 {
        let next = state.head().map_or(1, |head| head.offset + 1);
        let entries = state.ring.from(lowest).rev();
        next - self.count_that_fit(entries)
    }

    fn count_that_fit<'e>(&self, newest_first: impl Iterator<Item = &'e EntryFrames>) -> u64 {
        let mut bytes = 0;
        let fits = |entry: &&EntryFrames| {
            let first = bytes == 0;
            bytes += entry
                .frame(self.arrival.format, &self.hub.settings.derive_html)
                .map_or(0, Frame::len);
            first || bytes <= self.hub.settings.history_page_bytes_max
        };
        newest_first.take_while(fits).count() as u64
    }

    fn page_max(&self) -> u32 {
        self.arrival.history.min(self.hub.settings.history_page_max)
    }

    /// Enters with a page of the log as the first frames.
    async fn by_log(&self) -> Result<MemberKey, JoinError> {
        let fresh = self.arrival.since.is_start();
        let id = &self.room.id;
        let page = if fresh {
            self.hub.engine.before(id, None, self.page_max()).await?
        } else {
            let limit = self.hub.settings.history_page_max;
            self.hub.engine.read(id, &self.arrival.since, limit).await?
        };
        let mut page = self.hub.framed(id, page);
        page.warm(self.arrival.format, &self.hub.settings.derive_html);
        let mut state = self.room.state.lock();
        page.empty(state.ring.deleted());
        let mut slice = self.slice();
        let head = state.head().map(|head| head.offset);
        if fresh {
            let fitting = self.count_that_fit(page.entries.iter().rev());
            let skip = page.entries.len() - usize::try_from(fitting).unwrap_or(usize::MAX);
            match page.entries.get(skip).map(|entry| entry.entry().at.offset) {
                Some(first) if head.is_some_and(|head| first <= head) => {
                    slice.entries(page.entries.iter().skip(skip), head);
                }
                // Nothing below this node's head: the stream starts there, and more than was asked for comes live.
                _ => {
                    let next = head.map_or(1, |head| head + 1);
                    slice.start_at(&state, next);
                }
            }
            return self
                .enter(&mut state, slice, Seen::Fresh)
                .map_err(|_| no_room().into());
        }
        let silent = self.hub.switch.breaks(Sabotage::NoGapOnEmptyPage);
        let label = label(&page, self.arrival.since.newest());
        slice.page(&page, head, silent);
        if self.hub.switch.breaks(Sabotage::JoinWithoutLock) {
            slice.cursor = state.cursor.clone();
        }
        self.enter(&mut state, slice, Seen::Resumed(label))
            .map_err(|_| no_room().into())
    }

    fn slice(&self) -> Slice<'_> {
        Slice::after(
            self.arrival.since.clone(),
            self.room,
            self.arrival.format,
            &self.hub.settings,
        )
    }

    /// Goes on in the ring as far as the page reaches, answers, and becomes a member.
    fn enter(
        &self,
        state: &mut State,
        mut slice: Slice<'_>,
        seen: Seen,
    ) -> Result<MemberKey, Needs> {
        self.room.touch(self.hub);
        if state.locate(slice.cursor.newest(), self.hub.switch) == Located::InRing {
            let next = slice.cursor.newest().map_or(1, |newest| newest.offset + 1);
            slice.entries(state.ring.from(next), None);
        }
        let (head, cursor) = (state.head(), slice.cursor.clone());
        let at_tail = cursor.newest() == head;
        self.answer(&slice, head, seen)?;
        let key = state.members.insert(
            self.arrival.outbox.clone(),
            self.arrival.format,
            state.presence.sent(),
            Arc::clone(self.shared),
        );
        self.room.wants(self.arrival.format);
        self.hub.metrics.members.inc();
        if !at_tail {
            if state.locate(cursor.newest(), self.hub.switch) == Located::Elsewhere {
                self.room.need_sync(self.hub, state, None); // one of us is on a dead branch
            }
            state.members.fall_back(key, cursor);
            self.room.is_restless();
        }
        Ok(key)
    }

    /// Pushes `joined`; plain text readers get the lines alone.
    fn answer(&self, slice: &Slice<'_>, head: Option<Position>, seen: Seen) -> Result<(), Needs> {
        let metrics = &self.hub.metrics;
        if let Seen::Resumed(result) = seen {
            metrics.resumes.get_or_create(&[("result", result)]).inc();
            metrics.replayed_entries.inc_by(slice.entries as u64);
        }
        let outbox = &self.arrival.outbox;
        if self.arrival.format == Format::Text {
            for frame in &slice.frames {
                if outbox.offer_reply(frame) != Offer::Queued {
                    return Err(Needs::Room);
                }
            }
            return Ok(());
        }
        let nick = self.shared.nick();
        let joined = Joined {
            id: self.arrival.reply_to.as_deref(),
            room: &self.room.id,
            nick: nick.as_str(),
            head: Head(head),
            recovered: matches!(seen, Seen::Resumed("live" | "replayed")),
            members: self.count,
            messages: Vec::new(),
        };
        match outbox.offer_reply(&with_messages(joined, &slice.frames)) {
            Offer::Queued => Ok(()),
            Offer::Full | Offer::Closed => Err(Needs::Room),
        }
    }
}

/// Where somebody came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// Nowhere.
    Fresh,
    /// A cursor, with what became of it: the metric's label.
    Resumed(&'static str),
}

fn label(page: &FramedPage, newest: Option<Position>) -> &'static str {
    let wanted = newest.map_or(1, |newest| newest.offset + 1);
    match page.found {
        Found::Fork { .. } => "fork",
        Found::Reset => "reset",
        Found::Here if page.first > wanted => "gap",
        Found::Here => "replayed",
    }
}

fn no_room() -> Unavailable {
    Unavailable {
        retry_after: Duration::from_secs(1),
    }
}
