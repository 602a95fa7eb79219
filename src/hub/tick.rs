//! What is looked after without being asked: rooms that nobody uses, members that lag in silence, rings and outboxes that
//! hold too much.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::room_name::RoomId,
    hub::{Hub, agenda::Job, room::Room, sabotage::Sabotage},
    outbound::outbox::Outbox,
    protocol::codes::CloseCode,
};

const TICK: Duration = Duration::from_millis(250);
/// A tick looks at every fourth shard of the rooms: each is looked at once a second.
const SWEEP_PARTS: u8 = 4;
/// Rooms of one question to the log.
const HEADS_AT_ONCE: usize = 256;

impl Hub {
    pub(super) fn tick(&self) {
        self.agenda.at(Instant::now() + TICK, Job::Tick);
        let tick = self.ticks.fetch_add(1, Ordering::Relaxed) + 1;
        let surplus = self.settings.budget.surplus();
        if surplus > 0 {
            self.close_fullest(surplus);
        }
        self.sweep(usize::try_from(tick % u64::from(SWEEP_PARTS)).expect("below 4"));
        if self.ring_bytes.load(Ordering::Relaxed) > self.settings.ring_bytes_total_max {
            self.thin_rings();
        }
    }

    /// The fullest outboxes are closed until the budget has room again: who reads is not to suffer from who does not.
    fn close_fullest(&self, surplus: usize) {
        let mut outboxes: Vec<(usize, Outbox)> = Vec::new();
        for room in self.rooms.all() {
            let state = room.state.lock();
            let held = state.members.iter().map(|member| {
                let outbox = member.outbox.clone();
                (outbox.bytes_held(), outbox)
            });
            outboxes.extend(held.filter(|(bytes, _)| *bytes > 0));
        }
        outboxes.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        // A session in several rooms stands there several times.
        let mut seen = HashSet::new();
        outboxes.retain(|(_, outbox)| seen.insert(outbox.id()));
        let (mut freed, mut closed) = (0, 0_u32);
        for (bytes, outbox) in outboxes {
            if freed >= surplus {
                break;
            }
            // Whoever was told before is on the way out, and counts.
            closed += u32::from(outbox.end(CloseCode::SlowConsumer));
            freed += bytes;
        }
        if closed == 0 {
            return;
        }
        tracing::warn!(
            closed,
            "outboxes held too much: the fullest sessions are closed"
        );
    }

    fn sweep(&self, part: usize) {
        let restless = |room: &Room| room.restless.load(Ordering::Relaxed);
        let wanting = self
            .rooms
            .sweep(part, usize::from(SWEEP_PARTS), Room::is_cold, restless);
        for room in wanting {
            self.guard(&room, || self.calm(&room));
        }
        self.count_rooms();
    }

    /// Wakes sessions whose members lag though nothing of theirs waits, and repeats presence that found no room.
    fn calm(&self, room: &Arc<Room>) {
        let mut state = room.state.lock();
        let all_told = room.tell_presence_again(&mut state, self);
        state.members.nudge_lagging();
        if all_told && !state.members.any_lags() {
            room.restless.store(false, Ordering::Relaxed);
        }
    }

    /// Empties the rings that were used least recently, down to seven eighths of what is allowed.
    fn thin_rings(&self) {
        let enough = self.settings.ring_bytes_total_max / 8 * 7;
        let mut rooms = self.rooms.all();
        rooms.sort_by_key(|room| room.touched.load(Ordering::Relaxed));
        for room in rooms {
            if self.ring_bytes.load(Ordering::Relaxed) <= enough {
                return;
            }
            room.state.lock().ring.clear();
        }
    }

    /// Compares every room with the log, after a hole in the feed.
    pub(super) async fn compare(self: Arc<Self>) {
        if self.switch.breaks(Sabotage::NoCompareAfterSound) {
            return;
        }
        let rooms = self.rooms.all();
        for some in rooms.chunks(HEADS_AT_ONCE) {
            let ids: Vec<RoomId> = some.iter().map(|room| room.id.clone()).collect();
            let Ok(heads) = self.engine.heads(&ids).await else {
                // Not now, but before anything else is believed.
                self.agenda.at(Instant::now() + TICK, Job::Compare);
                return;
            };
            for (room, head) in some.iter().zip(heads) {
                let mut state = room.state.lock();
                if state.known && state.head() != head {
                    room.need_sync(&self, &mut state, None);
                }
            }
        }
        for room in rooms {
            let used = {
                let mut state = room.state.lock();
                if !state.is_used() {
                    state.go_cold(); // there is nobody for whom to find out what was missed
                }
                state.is_used()
            };
            if used && self.list_people(&room).await.is_err() {
                self.agenda.at(Instant::now() + TICK, Job::Compare);
                return;
            }
        }
    }
}
