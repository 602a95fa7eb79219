//! What the writer is asked to do, owned: whoever asked may be gone when it is done.

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::record::row::Act;
use crate::{
    domain::{
        ids::{MessageId, UserId},
        position::Position,
        room_name::RoomId,
    },
    log::{Append, AppendError, Erased, Placed, StateVersion},
};

/// One thing to do.
pub(super) enum Order {
    Append(Box<Appending>),
    Visits(Visits),
    Erase(UserId, oneshot::Sender<Erased>),
    /// Do what is waiting, note the end, and go.
    Close(oneshot::Sender<()>),
}

/// An append that waits for its commit.
pub(super) struct Appending {
    pub(super) room: RoomId,
    pub(super) what: OwnedAppend,
    /// Dropped without an answer: the outcome is unknown.
    pub(super) answer: oneshot::Sender<Result<Placed, AppendError>>,
    /// Its place in the queue, given back with it.
    pub(super) _room_taken: [OwnedSemaphorePermit; 2],
}

/// [`Append`], owned.
pub(super) struct OwnedAppend {
    pub(super) id: MessageId,
    pub(super) prev: u64,
    pub(super) by: UserId,
    pub(super) remember_ms: u64,
    pub(super) text_hash: u32,
    pub(super) checked: Option<StateVersion>,
    pub(super) envelope: Bytes,
    pub(super) redacts: Option<Position>,
    pub(super) state: Option<Bytes>,
}

/// Who came and went, for the record.
pub(super) struct Visits {
    pub(super) room: RoomId,
    pub(super) people: Vec<Visit>,
    pub(super) _room_taken: OwnedSemaphorePermit,
}

/// One person who came, went, or is called otherwise.
pub(super) struct Visit {
    pub(super) user: UserId,
    pub(super) act: Act,
    pub(super) nick: String,
}

impl OwnedAppend {
    pub(super) fn of(what: &Append<'_>) -> Self {
        Self {
            id: what.id,
            prev: what.prev,
            by: *what.by,
            remember_ms: u64::try_from(what.remember.as_millis()).unwrap_or(u64::MAX),
            text_hash: what.text_hash,
            checked: what.checked,
            envelope: Bytes::copy_from_slice(what.envelope),
            redacts: what.redacts,
            state: what.state.map(Bytes::copy_from_slice),
        }
    }

    /// As the decision table sees it.
    pub(super) fn borrowed(&self) -> Append<'_> {
        Append {
            id: self.id,
            prev: self.prev,
            by: &self.by,
            remember: std::time::Duration::from_millis(self.remember_ms),
            text_hash: self.text_hash,
            checked: self.checked,
            envelope: &self.envelope,
            redacts: self.redacts,
            state: self.state.as_deref(),
        }
    }
}
