//! Taking everything that a person said out of every room. No entry says so: it is no act in a room, and as many entries as the
//! person had messages would be one. Whoever reads from then on, live members that come back included, finds the places empty.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    auth::grants::AdminGrant,
    domain::ids::UserId,
    hub::Hub,
    log::{Erased, Unavailable},
};

/// How long a read that was under way is waited for before the rings are emptied again.
const READS: Duration = Duration::from_secs(5);

impl Hub {
    /// Erases in the log, then in what this node keeps at hand.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the erasure going on, and the rings as they are: ask again.
    pub async fn erase(
        self: &Arc<Self>,
        grant: AdminGrant,
        user: UserId,
    ) -> Result<Erased, Unavailable> {
        let erased = self.engine.erase(user).await?;
        for room in erased.rooms.iter().filter_map(|room| self.rooms.find(room)) {
            room.state.lock().ring.clear();
            // A read that began before the erasure may put back what it found; after it, nothing can.
            self.settled(&room, Instant::now() + READS).await.ok();
            room.state.lock().ring.clear();
        }
        self.metrics
            .moderation_acts
            .get_or_create(&[("act", "erase"), ("source", "api")])
            .inc();
        tracing::info!(
            by = %grant.user(),
            user = %user,
            messages = erased.messages,
            rooms = erased.rooms.len(),
            held = erased.held.len(),
            "what a person said was erased"
        );
        Ok(erased)
    }
}
