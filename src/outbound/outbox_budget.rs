//! What all outboxes of this node may hold together.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

use crate::{
    outbound::{
        frame::Frame,
        outbox::{Offer, Outbox},
    },
    telemetry::metrics::Metrics,
};

/// The sum over all outboxes, bounded by `limits.outbox_bytes_total_max`. The counter *is* the metric `outbox_bytes`.
#[derive(Debug)]
pub struct OutboxBudget {
    held: Gauge,
    max: i64,
}

impl OutboxBudget {
    /// A budget of `bytes_max` bytes, counted in `metrics`.
    pub fn new(bytes_max: usize, metrics: &Metrics) -> Arc<Self> {
        let max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        metrics.outbox_limit_bytes.set(max);
        Arc::new(Self {
            held: metrics.outbox_bytes.clone(),
            max,
        })
    }

    /// What is held now, in bytes.
    pub fn held(&self) -> usize {
        usize::try_from(self.held.get()).unwrap_or(0)
    }

    /// How many bytes must go before members with empty outboxes are sure of their place again: one eighth is kept free, so
    /// the slow are closed before the quick are refused. 0: none.
    pub fn surplus(&self) -> usize {
        let kept_free = self.max / 8;
        usize::try_from(self.held.get() - (self.max - kept_free)).unwrap_or(0)
    }

    /// Starts a fan-out: its bytes are added to the shared counter once, at the end.
    pub fn tally(&self) -> Tally<'_> {
        Tally {
            budget: self,
            held_before: self.held.get(),
            added: 0,
        }
    }

    pub(super) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.held.dec_by(signed(bytes));
        }
    }
}

/// One fan-out's share of the budget. A counter that every core writes for every member would cost more than the push.
#[derive(Debug)]
pub struct Tally<'a> {
    budget: &'a OutboxBudget,
    held_before: i64,
    added: i64,
}

impl Tally<'_> {
    /// Offers a frame to a member; `Full` also when the node's budget is used up.
    pub fn offer(&mut self, outbox: &Outbox, frame: &Frame) -> Offer {
        self.offer_all(outbox, &[frame])
    }

    /// Offers frames that belong together: all of them, or none.
    pub fn offer_all(&mut self, outbox: &Outbox, frames: &[&Frame]) -> Offer {
        let len = signed(frames.iter().map(|frame| frame.len()).sum());
        if self.held_before + self.added + len > self.budget.max {
            return if outbox.is_closed() {
                Offer::Closed
            } else {
                Offer::Full
            };
        }
        let offer = outbox.push(frames);
        if offer == Offer::Queued {
            self.added += len;
        }
        offer
    }

    /// Offers an answer, which the node's budget does not refuse.
    pub(super) fn offer_reply(&mut self, outbox: &Outbox, frame: &Frame) -> Offer {
        let offer = outbox.push_reply(frame);
        if offer == Offer::Queued {
            self.added += signed(frame.len());
        }
        offer
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        if self.added > 0 {
            self.budget.held.inc_by(self.added);
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
