//! One room of this node: the head that it knows, the ring of newest entries, its members. All of it under one lock that is
//! never held across an await; `append` and going live take the same one, so nothing can fall between them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::{sync::Notify, time::Instant};

use crate::{
    domain::{cursor::Cursor, entry::Entry, position::Position, room_name::RoomId},
    hub::{
        Hub,
        agenda::Job,
        leave::Departures,
        members::{MemberShared, Members},
        presence::RoomPresence,
        ring::Ring,
        sabotage::{Sabotage, Switch},
        sync::SyncBuffer,
        typing::TypingBrake,
    },
    log::retention::Keep,
    outbound::entry_frames::{EntryFrames, Format},
};

/// A room without anybody goes cold after this time.
const COLD_AFTER: Duration = Duration::from_secs(30);

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) state: Mutex<State>,
    /// Somebody waited for a sync, a backfill or a leave, and it ended, well or not.
    pub(super) changed: Notify,
    /// Which forms members need: an entry's frames are made before the lock is taken.
    formats: AtomicU8,
    /// When the ring was last used, in ticks of the hub.
    pub(super) touched: AtomicU64,
    /// Members that lag or missed presence want to be looked after.
    pub(super) restless: AtomicBool,
}

/// What the lock covers. COLD: not `known`. SYNCING: `sync` is there. LIVE: `known` and not syncing.
#[derive(Debug)]
pub(super) struct State {
    /// Whether `cursor` and `ring` say something about the log.
    pub(super) known: bool,
    /// Whether the roll is whole.
    pub(super) listed: bool,
    /// Where this node stands in the log: its newest position is the room's head.
    pub(super) cursor: Cursor,
    pub(super) ring: Ring,
    /// What the log keeps of the room.
    pub(super) keep: Keep,
    /// The first offset that the log had at the last look.
    pub(super) first_kept: u64,
    pub(super) sync: Option<SyncBuffer>,
    /// How often something was erased: a page that was read before the last time is void.
    pub(super) erasures: u64,
    pub(super) backfill: Option<u32>,
    /// The log could not be read the last time.
    pub(super) outage: Option<Duration>,
    pub(super) members: Members,
    /// Whose seats are being taken: a claim may displace their names already.
    pub(super) entering: Vec<Arc<MemberShared>>,
    pub(super) presence: RoomPresence,
    pub(super) departures: Departures,
    pub(super) typing: TypingBrake,
    /// Since when nobody is here.
    pub(super) idle_since: Instant,
}

/// Where a position stands in what this node knows of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// Level with the head.
    AtHead,
    /// The ring goes on from it.
    InRing,
    /// So many entries lie between it and the ring.
    Below { missing: u64 },
    /// Seen on another node, or rolled back.
    Ahead,
    /// Another epoch stands there.
    Elsewhere,
}

impl Room {
    pub(super) fn new(id: RoomId, ring: Ring, keep: Keep, slow_consumers: Gauge) -> Self {
        Self {
            id,
            state: Mutex::new(State {
                known: false,
                listed: false,
                cursor: Cursor::default(),
                ring,
                keep,
                first_kept: 1,
                sync: None,
                erasures: 0,
                backfill: None,
                outage: None,
                members: Members::new(slow_consumers),
                entering: Vec::new(),
                presence: RoomPresence::default(),
                departures: Departures::default(),
                typing: TypingBrake::default(),
                idle_since: Instant::now(),
            }),
            changed: Notify::new(),
            formats: AtomicU8::new(0),
            touched: AtomicU64::new(0),
            restless: AtomicBool::new(false),
        }
    }

    /// Takes an entry from the feed.
    pub(super) fn take_entry(self: &Arc<Self>, hub: &Hub, entry: Entry) {
        let entry = hub.frames(&self.id, entry);
        self.warm(hub, &entry);
        let at = entry.entry().at;
        let mut state = self.state.lock();
        if let Some(buffer) = &mut state.sync {
            if !hub.switch.breaks(Sabotage::NoSyncBuffer) {
                buffer.push(entry, hub);
            }
            return;
        }
        if !state.known {
            return; // cold: nobody is here, and who comes reads the log
        }
        match state.head() {
            Some(head) if head.epoch == at.epoch && at.offset == head.offset + 1 => {
                state.append(self, entry, hub);
            }
            Some(head) if head.epoch == at.epoch && at.offset <= head.offset => {
                state.check_known(&self.id, entry.entry());
            }
            Some(head)
                if at.offset == head.offset + 1
                    && hub.switch.breaks(Sabotage::OtherEpochFromFeed) =>
            {
                state.append(self, entry, hub);
            }
            // A hole, or another epoch: that one is never taken from the feed, even at head + 1, since the branch may have
            // been rewritten below.
            Some(_) | None => self.need_sync(hub, &mut state, Some(entry)),
        }
    }

    /// Makes the entry's frames for the members who are here, before any lock is taken.
    pub(super) fn warm(&self, hub: &Hub, entry: &EntryFrames) {
        let wanted = self.formats.load(Ordering::Relaxed);
        for format in [Format::Json, Format::Html, Format::Text] {
            if wanted & bit(format) != 0 {
                entry.frame(format, &hub.settings.derive_html);
            }
        }
    }

    /// Notes that somebody in this form is here.
    pub(super) fn wants(&self, format: Format) {
        self.formats.fetch_or(bit(format), Ordering::Relaxed);
    }

    /// Somebody here lags or missed presence: the hub looks after the room until nobody does.
    pub(super) fn is_restless(&self) {
        self.restless.store(true, Ordering::Relaxed);
    }

    /// Nobody is here any more.
    pub(super) fn wants_nothing(&self) {
        self.formats.store(0, Ordering::Relaxed);
    }

    /// Whether nobody has been here for so long that the room may go.
    pub(super) fn is_cold(&self) -> bool {
        let state = self.state.lock();
        !state.is_used() && state.sync.is_none() && state.idle_since.elapsed() >= COLD_AFTER
    }

    /// The ring was of use.
    pub(super) fn touch(&self, hub: &Hub) {
        let tick = hub.ticks.load(Ordering::Relaxed);
        self.touched.store(tick, Ordering::Relaxed);
    }

    /// Somebody has reason to believe that the log is further.
    pub(super) fn ask_sync(self: &Arc<Self>, hub: &Hub) {
        let mut state = self.state.lock();
        self.need_sync(hub, &mut state, None);
    }

    /// Sees to it that the log is read. The buffer exists from this instant.
    pub(super) fn need_sync(
        self: &Arc<Self>,
        hub: &Hub,
        state: &mut State,
        entry: Option<Arc<EntryFrames>>,
    ) {
        if let Some(buffer) = &mut state.sync {
            buffer.again();
            return;
        }
        let mut buffer = SyncBuffer::default();
        if let Some(entry) = entry {
            buffer.push(entry, hub);
        }
        state.sync = Some(buffer);
        hub.agenda.now(Job::Sync(Arc::clone(self)));
    }
}

impl State {
    /// The newest position that this node knows.
    pub(super) fn head(&self) -> Option<Position> {
        self.cursor.newest()
    }

    /// Drops from the ring what the log no longer keeps.
    pub(super) fn forget_expired(&mut self, hub: &Hub) {
        if self.keep.time.is_some() {
            self.ring.cut_older(self.keep.horizon(hub.clock.unix_ms()));
        }
    }

    /// Where a cursor's newest position stands here.
    pub(super) fn locate(&self, newest: Option<Position>, switch: Switch) -> Located {
        let next = self.head().map_or(1, |head| head.offset + 1);
        let ring_first = self.ring.first().unwrap_or(next);
        let offset = newest.map_or(0, |position| position.offset);
        if newest == self.head() {
            return Located::AtHead;
        }
        if offset >= next {
            return Located::Ahead;
        }
        if offset + 1 < ring_first {
            return Located::Below {
                missing: ring_first - 1 - offset,
            };
        }
        let continues = match newest {
            Some(_) if switch.breaks(Sabotage::LocateByOffset) => true,
            Some(position) => self.ring.continues(position),
            None => self.ring.at(1).is_some(),
        };
        if continues {
            Located::InRing
        } else {
            Located::Elsewhere
        }
    }

    /// Whether somebody is here, or about to be.
    pub(super) fn is_used(&self) -> bool {
        !self.members.is_empty() || !self.entering.is_empty()
    }

    /// Forgets what is known of the log and of people: the next who comes makes the room look anew.
    pub(super) fn go_cold(&mut self) {
        self.known = false;
        self.listed = false;
        self.cursor = Cursor::default();
        self.ring.clear();
    }

    /// An entry that came before must be the one that came before.
    fn check_known(&self, room: &RoomId, entry: &Entry) {
        let known = self.ring.at(entry.at.offset).map(|known| known.entry().id);
        if known.is_some_and(|id| id != entry.id) {
            // A store that was set back without a new epoch: a snapshot of a running machine, for instance.
            tracing::error!(%room, at = ?entry.at, "one position holds two entries: the store was set back unnoticed");
        }
    }
}

fn bit(format: Format) -> u8 {
    match format {
        Format::Json => 1,
        Format::Html => 2,
        Format::Text => 4,
    }
}
