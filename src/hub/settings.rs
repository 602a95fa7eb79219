//! The hub's bounds.

use std::{sync::Arc, time::Duration};

use crate::{
    config::limits::Limits,
    outbound::{entry_frames::DeriveHtml, outbox_budget::OutboxBudget},
};

/// What the hub is made with.
#[derive(Clone)]
pub struct HubSettings {
    /// Rooms that live on this node; one more is `unavailable`.
    pub rooms_max: usize,
    /// Entries of one page.
    pub history_page_max: u32,
    /// Bytes of one page's frames; the page ends earlier.
    pub history_page_bytes_max: usize,
    /// People that a list and a presence frame name; counts are always exact.
    pub members_page_max: u32,
    /// How long seat and nickname are kept after a lost socket.
    pub presence_hold: Duration,
    /// After this long an append is *unknown*.
    pub ack_deadline: Duration,
    /// Bytes that the rings of all rooms may hold; the least recently used leave first.
    pub ring_bytes_total_max: usize,
    /// Entries that a room buffers while it reads the log; above it the log is read again.
    pub sync_entries_max: usize,
    /// Bytes likewise.
    pub sync_bytes_max: usize,
    /// What all outboxes may hold.
    pub budget: Arc<OutboxBudget>,
    /// Makes `html` of a text.
    pub derive_html: DeriveHtml,
}

impl HubSettings {
    /// From `[limits]`, with the node's outbox budget and the maker of `html`.
    pub fn new(limits: &Limits, budget: Arc<OutboxBudget>, derive_html: DeriveHtml) -> Self {
        Self {
            rooms_max: limits.rooms_max,
            history_page_max: limits.history_page_max,
            history_page_bytes_max: limits.history_page_bytes_max,
            members_page_max: limits.members_page_max,
            presence_hold: limits.presence_hold,
            ack_deadline: limits.ack_deadline,
            ring_bytes_total_max: limits.ring_bytes_total_max,
            sync_entries_max: limits.sync_entries_max,
            sync_bytes_max: limits.sync_bytes_max,
            budget,
            derive_html,
        }
    }
}

impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings").finish_non_exhaustive()
    }
}
