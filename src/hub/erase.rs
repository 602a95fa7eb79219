//! Taking everything that a person said out of every room. No entry says so: it is no act in a room, and as many entries as the
//! person had messages would be one. Whoever reads from then on, live members that come back included, finds the places empty.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::{
    auth::grants::AdminGrant,
    domain::{ids::UserId, position::Position},
    hub::{
        Hub,
        room::{Room, State},
    },
    log::{Erased, Unavailable},
};

/// How long a room may take to come level with the log. One that takes longer cannot be answered for.
const LEVEL: Duration = Duration::from_secs(5);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(20);

impl Hub {
    /// Erases in the log, then in what this node keeps at hand. [`Unavailable`]: ask again, for a ring may still hold something.
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
        // Also where nothing went this time: the time before may not have been answered.
        for room in self.rooms.all() {
            self.empty_ring(&room).await?;
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

    /// What was placed before is still on its way through the feed, and pages that were read before may be about to be kept:
    /// the room is awaited, then its ring is emptied and those pages are void.
    async fn empty_ring(&self, room: &Arc<Room>) -> Result<(), Unavailable> {
        let heads = self.engine.heads(std::slice::from_ref(&room.id)).await?;
        let head = heads.first().copied().flatten();
        let deadline = Instant::now() + LEVEL;
        while !room.state.lock().reaches(head) {
            if Instant::now() >= deadline {
                return Err(Unavailable { retry_after: LEVEL });
            }
            sleep_until(Instant::now() + LOOK).await;
        }
        let mut state = room.state.lock();
        state.erasures += 1;
        state.ring.clear();
        Ok(())
    }
}

impl State {
    /// Whether the room has seen this position, or will read it from the log before it shows anything.
    fn reaches(&self, head: Option<Position>) -> bool {
        let offset = |position: Option<Position>| position.map_or(0, |position| position.offset);
        !self.known || offset(self.head()) >= offset(head)
    }
}
