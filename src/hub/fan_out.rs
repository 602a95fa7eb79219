//! One entry, or one word about the stream, to every member at the tail. The room's lock is held; an offer is a push and a
//! wake, and a member without room becomes a cursor: the hub never waits for a member.

use std::sync::Arc;

use crate::{
    domain::position::Position,
    hub::{
        Hub,
        members::NoRoom,
        room::{Room, State},
        sabotage::Sabotage,
        stream,
    },
    outbound::{
        entry_frames::{EntryFrames, Format},
        frame::Frame,
        outbox::{Offer, Outbox},
        outbox_budget::Tally,
    },
};

impl State {
    /// Takes the next entry: members, then cursor and ring.
    pub(super) fn append(&mut self, room: &Room, entry: Arc<EntryFrames>, hub: &Hub) {
        let at = entry.entry().at;
        if !self.members.is_empty() {
            let epoch = self
                .head()
                .is_none_or(|head| head.epoch != at.epoch)
                .then(|| stream::epoch(&room.id, at));
            let mut out = Out::new(hub);
            self.members.offer_at_tail(&self.cursor, |member| {
                let frame = entry.frame(member.format, &hub.settings.derive_html);
                match (&epoch, frame) {
                    (Some(epoch), Some(frame)) if member.format != Format::Text => {
                        out.offer(&member.outbox, &[epoch, frame])
                    }
                    (_, Some(frame)) => out.offer(&member.outbox, &[frame]),
                    (_, None) => Ok(()),
                }
            });
            out.finish(self.members.len(), entry.entry().ts);
            if self.members.any_lags() {
                room.is_restless();
            }
        }
        if let Some(target) = entry.target() {
            self.ring.empty(target);
        }
        self.cursor.advance(at);
        self.ring.push(entry);
        let kept_from = (at.offset + 1).saturating_sub(self.keep.count);
        self.first_kept = self.first_kept.max(kept_from);
        room.touch(hub);
    }

    /// Tells every member at the tail that everything above `keep` is void, and goes back there.
    pub(super) fn fork(&mut self, room: &Room, keep: Position, hub: &Hub) {
        self.announce(room, &stream::fork(&room.id, keep), hub);
        self.cursor.fork(keep);
        if !hub.switch.breaks(Sabotage::ForkKeepsRing) {
            self.ring.cut_above(keep.offset);
        }
    }

    /// Tells every member at the tail what retention took, and goes on after it.
    pub(super) fn gap(&mut self, room: &Room, to: Option<Position>, hub: &Hub) {
        let from = self.head().map_or(1, |head| head.offset + 1);
        self.announce(room, &stream::gap(&room.id, from, to), hub);
        if let Some(to) = to {
            self.cursor.advance(to);
        }
        self.ring.clear();
    }

    /// Tells every member at the tail that nothing of theirs is known, and goes on after `to`.
    pub(super) fn reset(&mut self, room: &Room, to: Option<Position>, hub: &Hub) {
        self.announce(room, &stream::reset(&room.id, to), hub);
        self.cursor = crate::domain::cursor::Cursor::at(to);
        self.ring.clear();
    }

    /// Who has no room falls back to where the stream stood before: its pager finds out the same by itself.
    fn announce(&mut self, room: &Room, frame: &Frame, hub: &Hub) {
        let mut out = Out::new(hub);
        self.members.offer_at_tail(&self.cursor, |member| {
            if member.format == Format::Text {
                Ok(())
            } else {
                out.offer(&member.outbox, &[frame])
            }
        });
        if self.members.any_lags() {
            room.is_restless();
        }
    }
}

/// One walk over the members.
struct Out<'a> {
    hub: &'a Hub,
    tally: Tally<'a>,
    queued: u64,
}

impl<'a> Out<'a> {
    fn new(hub: &'a Hub) -> Self {
        Self {
            hub,
            tally: hub.settings.budget.tally(),
            queued: 0,
        }
    }

    fn offer(&mut self, outbox: &Outbox, frames: &[&Frame]) -> Result<(), NoRoom> {
        match self.tally.offer_all(outbox, frames) {
            Offer::Queued => {
                self.queued += frames.len() as u64;
                Ok(())
            }
            Offer::Full if self.hub.switch.breaks(Sabotage::DropWhenFull) => Ok(()),
            Offer::Full => Err(NoRoom),
            Offer::Closed => Ok(()), // its membership is about to be dropped
        }
    }

    fn finish(self, members: usize, placed_ms: u64) {
        let took = self.hub.clock.unix_ms().saturating_sub(placed_ms);
        let metrics = &self.hub.metrics;
        metrics.deliveries.inc_by(self.queued);
        metrics.fanout_members.observe(float(members as u64));
        // The log's times are in milliseconds: what is faster counts as 0.
        metrics.delivery_seconds.observe(float(took) / 1000.0);
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a metric: counts far below 2^53"
)]
fn float(count: u64) -> f64 {
    count as f64
}
