//! What is looked after without being asked: rooms that nobody uses, members that lag in silence, rings and outboxes that
//! hold too much.

use std::{
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
/// Rooms are looked at at every fourth tick.
const SWEEP_EVERY: u64 = 4;
/// A room without anybody goes cold after this time.
const COLD_AFTER: Duration = Duration::from_secs(30);
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
        if tick.is_multiple_of(SWEEP_EVERY) {
            self.sweep();
        }
    }

    /// The fullest outboxes are closed until the budget has room again: who reads is not to suffer from who does not.
    fn close_fullest(&self, surplus: usize) {
        let mut outboxes: Vec<(usize, Outbox)> = Vec::new();
        for room in self.rooms.all() {
            let state = room.state.lock();
            let held = state
                .members
                .iter()
                .map(|member| (member.outbox.bytes_held(), &member.outbox));
            outboxes.extend(
                held.filter(|(bytes, _)| *bytes > 0)
                    .map(|(bytes, outbox)| (bytes, outbox.clone())),
            );
        }
        outboxes.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let (mut freed, mut closed) = (0, 0_u32);
        for (bytes, outbox) in outboxes {
            if freed >= surplus {
                break;
            }
            // A session in several rooms stands here several times, and is ended once.
            if outbox.end(CloseCode::SlowConsumer) {
                freed += bytes;
                closed += 1;
            }
        }
        tracing::warn!(
            closed,
            "outboxes held too much: the fullest sessions are closed"
        );
    }

    fn sweep(&self) {
        let rooms = self.rooms.all();
        for room in &rooms {
            if room.restless.load(Ordering::Relaxed) {
                self.guard(room, || self.calm(room));
            }
        }
        self.thin_rings(&rooms);
        let ids: Vec<RoomId> = rooms.iter().map(|room| room.id.clone()).collect();
        drop(rooms);
        for id in ids {
            self.close_if_cold(&id);
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
    fn thin_rings(&self, rooms: &[Arc<Room>]) {
        let max = self.settings.ring_bytes_total_max;
        if self.ring_bytes.load(Ordering::Relaxed) <= max {
            return;
        }
        let mut rooms: Vec<&Arc<Room>> = rooms.iter().collect();
        rooms.sort_by_key(|room| room.touched.load(Ordering::Relaxed));
        for room in rooms {
            if self.ring_bytes.load(Ordering::Relaxed) <= max / 8 * 7 {
                return;
            }
            room.state.lock().ring.clear();
        }
    }

    fn close_if_cold(&self, id: &RoomId) {
        self.rooms.close_if(id, |room| {
            let state = room.state.lock();
            !state.is_used() && state.sync.is_none() && state.idle_since.elapsed() >= COLD_AFTER
        });
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
