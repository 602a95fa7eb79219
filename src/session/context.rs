//! What every session of this node shares: the stations it talks to and the rules that hold for it.

use std::{sync::Arc, time::Duration};

use super::{registry::Registry, timers::TimerRules};
use crate::{
    auth::Authenticator,
    clock::Clock,
    domain::room_name::RoomId,
    hub::Hub,
    inbound::{InboundRules, rate::SharedRates},
    outbound::{outbox::OutboxBounds, outbox_budget::OutboxBudget},
    protocol::server_frame::WelcomeLimits,
    telemetry::metrics::Metrics,
};

/// Shared by every session of this node.
pub struct SessionContext {
    /// The rooms.
    pub hub: Arc<Hub>,
    /// Who refreshes credentials.
    pub authenticator: Arc<Authenticator>,
    /// What frames must obey.
    pub inbound: Arc<InboundRules>,
    /// The buckets of users and rooms.
    pub rates: Arc<SharedRates>,
    /// The open sessions.
    pub registry: Arc<Registry>,
    /// The time of day.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The bounds of an outbox.
    pub outbox_bounds: OutboxBounds,
    /// What all outboxes together may hold.
    pub outbox_budget: Arc<OutboxBudget>,
    /// The numbers.
    pub rules: SessionRules,
}

/// The numbers that a session obeys.
#[derive(Clone, Debug)]
pub struct SessionRules {
    /// The deadlines.
    pub timers: TimerRules,
    /// The longest life of a session, from its start.
    pub session_max: Duration,
    /// How far the identity provider's clock may be off.
    pub leeway: Duration,
    /// A Close must be out within this.
    pub close: Duration,
    /// How long the peer's last bytes are read and discarded.
    pub linger: Duration,
    /// Rooms of one session.
    pub rooms_max: usize,
    /// Sends without an ack.
    pub inflight_max: usize,
    /// When an append is given up as unknown.
    pub ack_deadline: Duration,
    /// Members listed at most.
    pub members_page_max: u32,
    /// Bytes fed to the socket and not yet taken, above which reading pauses.
    pub unflushed_bytes_max: usize,
    /// How long the log remembers the producer of a resumable session.
    pub remember: Duration,
    /// Entries that a join from the query gets.
    pub history_default: u32,
    /// Where `wardroom.text` talks.
    pub default_room: RoomId,
    /// What `welcome` says about limits.
    pub welcome: WelcomeLimits,
    /// What an ack means here.
    pub durability: &'static str,
}
