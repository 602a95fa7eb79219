//! Where one-time values lie between the call that makes them and the call that spends them. `auth` declares the trait;
//! [`MemoryTickets`] keeps them in this process, an engine that many nodes share keeps them for all.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::auth::digest::sha256;

/// The SHA-256 of a ticket. The ticket itself is stored nowhere, so a store that leaks opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketHash([u8; 32]);

impl TicketHash {
    pub(super) fn of(ticket: &[u8; 32]) -> Self {
        Self(sha256(&[ticket]))
    }

    /// The hash, for an engine that makes a key of it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketHash(…)")
    }
}

/// Why a store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketStoreError {
    /// It holds `limits.tickets_max` values.
    #[error("the ticket store is full")]
    Full,
    /// It does not answer. A value that was being put may or may not be there.
    #[error("the ticket store does not answer")]
    Unreachable,
}

/// Keeps values that can be taken once.
#[async_trait]
pub trait TicketStore: Send + Sync {
    /// Keeps `value` under `ticket` for `life`. The hash is of 256 random bits, so it is not there yet. When this has
    /// returned, a `take` on any node finds it.
    async fn put(
        &self,
        ticket: TicketHash,
        value: Bytes,
        life: Duration,
    ) -> Result<(), TicketStoreError>;

    /// Takes the value away and gives it. Atomic: of any number of takes at once, on any nodes, one gets it. `None` if it
    /// was never there, was taken, or its life is over.
    async fn take(&self, ticket: TicketHash) -> Result<Option<Bytes>, TicketStoreError>;
}

/// Tickets of a node that stands alone.
pub struct MemoryTickets {
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    values: HashMap<TicketHash, (Bytes, Instant)>,
    /// The same tickets by their end, soonest first.
    ends: BTreeSet<(Instant, TicketHash)>,
}

impl Kept {
    fn remove(&mut self, ticket: TicketHash) -> Option<(Bytes, Instant)> {
        let (value, end) = self.values.remove(&ticket)?;
        self.ends.remove(&(end, ticket));
        Some((value, end))
    }

    fn forget_ended(&mut self, now: Instant) {
        while let Some((end, ticket)) = self.ends.first().copied() {
            if end > now {
                return;
            }
            self.remove(ticket);
        }
    }
}

impl MemoryTickets {
    /// A store for at most `max` values that are neither taken nor over (`limits.tickets_max`).
    pub fn new(max: usize) -> Self {
        Self {
            max,
            kept: Mutex::default(),
        }
    }
}

#[async_trait]
impl TicketStore for MemoryTickets {
    async fn put(
        &self,
        ticket: TicketHash,
        value: Bytes,
        life: Duration,
    ) -> Result<(), TicketStoreError> {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        kept.forget_ended(now);
        if kept.values.len() >= self.max {
            return Err(TicketStoreError::Full);
        }
        let end = now.checked_add(life).unwrap_or(now);
        kept.values.insert(ticket, (value, end));
        kept.ends.insert((end, ticket));
        Ok(())
    }

    async fn take(&self, ticket: TicketHash) -> Result<Option<Bytes>, TicketStoreError> {
        let taken = self.kept.lock().remove(ticket);
        let now = Instant::now();
        Ok(taken.filter(|(_, end)| *end > now).map(|(value, _)| value))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::advance;

    use super::{MemoryTickets, TicketHash, TicketStore, TicketStoreError};

    const LIFE: Duration = Duration::from_secs(30);

    fn hash(n: u8) -> TicketHash {
        TicketHash::of(&[n; 32])
    }

    fn value(n: u8) -> Bytes {
        Bytes::copy_from_slice(&[n])
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_taken_once_and_within_its_life() {
        let store = MemoryTickets::new(10);
        assert_eq!(store.put(hash(1), value(1), LIFE).await, Ok(()));
        assert_eq!(store.put(hash(2), value(2), LIFE).await, Ok(()));
        assert_eq!(store.take(hash(3)).await, Ok(None));
        assert_eq!(store.take(hash(1)).await, Ok(Some(value(1))));
        assert_eq!(store.take(hash(1)).await, Ok(None));
        advance(LIFE).await;
        assert_eq!(store.take(hash(2)).await, Ok(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_takes_no_more_until_one_is_taken_or_over() {
        let store = MemoryTickets::new(2);
        assert_eq!(store.put(hash(1), value(1), LIFE).await, Ok(()));
        assert_eq!(store.put(hash(2), value(2), LIFE / 2).await, Ok(()));
        let full = Err(TicketStoreError::Full);
        assert_eq!(store.put(hash(3), value(3), LIFE).await, full);
        assert_eq!(store.take(hash(1)).await, Ok(Some(value(1))));
        assert_eq!(store.put(hash(3), value(3), LIFE).await, Ok(()));
        assert_eq!(store.put(hash(4), value(4), LIFE).await, full);
        advance(LIFE / 2).await;
        assert_eq!(store.put(hash(4), value(4), LIFE).await, Ok(()));
        assert_eq!(store.kept.lock().ends.len(), 2);
    }
}
