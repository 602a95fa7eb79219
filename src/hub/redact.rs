//! A moderator takes the content of a message away: an entry that says so is appended, and the log takes the content with
//! it in the same step. Members learn of it through the feed, like of any other entry.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::{
    auth::{grants::ModerateGrant, identity::producer_of_deletion, random},
    domain::{
        entry::Body,
        envelope::{self, Envelope, encode_deletion},
        ids::{MessageId, Producer, ProducerId},
        position::{Epoch, Position},
        reason::Reason,
        room_name::RoomId,
    },
    hub::Hub,
    log::{Append, AppendError, Placed, Rejected, Unavailable},
};

/// How long a second deletion of a message is answered with the first one's position. After it another entry is placed, which
/// takes away nothing more and does no harm.
const REMEMBER: Duration = Duration::from_hours(24);
/// All deletions of a message are one: who asks and why makes no difference to whether it is a repeat.
const NO_TEXT: u32 = 0;
/// When to try again where the log did not say.
const RETRY: Duration = Duration::from_secs(1);

/// Which message, and why.
#[derive(Clone, Debug)]
pub struct Redaction {
    /// Where the message stands.
    pub offset: u64,
    /// In which epoch; `None`: whatever stands there is meant.
    pub epoch: Option<Epoch>,
    /// Kept for the record.
    pub reason: Option<Reason>,
    /// For the metric.
    pub source: Source,
}

/// How a moderator reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By a frame.
    Socket,
    /// Over HTTP.
    Api,
}

/// The entry that took the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redacted {
    /// Its name.
    pub id: MessageId,
    /// Its place, as durable as the log promises.
    pub placed: Placed,
}

/// Why a message was not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// No message stands there: nothing does yet, retention took it, or it is another kind of entry.
    #[error("no message stands there")]
    NotFound,
    /// An entry of another epoch stands there: the asker means a message of another log.
    #[error("another epoch stands there")]
    Conflict,
    /// Not deleted, not now.
    #[error("the log cannot take entries now")]
    Unavailable {
        /// After how long to try again.
        retry_after: Duration,
    },
    /// It may be deleted: repeat it, which does no harm.
    #[error("the outcome is unknown")]
    Unknown,
}

impl From<Unavailable> for RedactError {
    fn from(why: Unavailable) -> Self {
        Self::Unavailable {
            retry_after: why.retry_after,
        }
    }
}

impl From<AppendError> for RedactError {
    fn from(why: AppendError) -> Self {
        match why {
            AppendError::Unknown => Self::Unknown,
            AppendError::Rejected(Rejected::Unavailable { retry_after }) => {
                Self::Unavailable { retry_after }
            }
            // Small, unfenced and the first of its producer: an engine has no reason to name one of these.
            AppendError::Rejected(_) => Self::Unavailable { retry_after: RETRY },
        }
    }
}

/// What stands at an offset, for somebody who wants it gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Message,
    Emptied,
}

impl Hub {
    /// Takes the content of a message away, in the log and on every node. Resolves when that is as durable as the log
    /// promises. For a message that was deleted before it gives the entry that did it, while the log remembers that one.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the outcome unknown; repeating it is harmless.
    pub async fn redact(
        &self,
        grant: ModerateGrant,
        what: Redaction,
    ) -> Result<Redacted, RedactError> {
        let deadline = Instant::now() + self.settings.ack_deadline;
        let work = self.redact_in_time(&grant, &what);
        let redacted = match timeout_at(deadline, work).await {
            Ok(answer) => answer?,
            Err(_) => return Err(RedactError::Unknown),
        };
        if !redacted.placed.duplicate {
            self.account(&grant, &what);
        }
        Ok(redacted)
    }

    async fn redact_in_time(
        &self,
        grant: &ModerateGrant,
        what: &Redaction,
    ) -> Result<Redacted, RedactError> {
        let room = grant.room();
        let (target, _) = self.look(room, what).await?;
        let known = message_id(producer_of_deletion(target));
        let first = self.append_deletion(grant, what, target, known).await;
        let placed = match first {
            Ok(placed) if !placed.duplicate => placed,
            // It was deleted before, or so it seems: what counts is that the content is gone.
            Ok(placed) if self.look(room, what).await?.1 == Found::Emptied => placed,
            Ok(_) | Err(AppendError::Rejected(Rejected::Conflict)) => {
                let fresh = message_id(ProducerId::from_bytes(random::secret_bytes()));
                let placed = self.append_deletion(grant, what, target, fresh).await?;
                self.forget(room, target);
                return Ok(Redacted { id: fresh, placed });
            }
            Err(why) => return Err(why.into()),
        };
        self.forget(room, target);
        Ok(Redacted { id: known, placed })
    }

    /// The position that is meant, and what stands there.
    async fn look(
        &self,
        room: &RoomId,
        what: &Redaction,
    ) -> Result<(Position, Found), RedactError> {
        let above = what.offset.saturating_add(1);
        let page = self.engine.before(room, Some(above), 1).await?;
        let entry = page
            .entries
            .first()
            .filter(|entry| entry.at.offset == what.offset)
            .ok_or(RedactError::NotFound)?;
        if what.epoch.is_some_and(|epoch| epoch != entry.at.epoch) {
            return Err(RedactError::Conflict);
        }
        let found = match &entry.body {
            Body::Removed => Found::Emptied,
            Body::Kept(raw) => match envelope::decode(raw) {
                Ok(Envelope::Message(_)) => Found::Message,
                Ok(Envelope::Deletion(_)) | Err(_) => return Err(RedactError::NotFound),
            },
        };
        Ok((entry.at, found))
    }

    async fn append_deletion(
        &self,
        grant: &ModerateGrant,
        what: &Redaction,
        target: Position,
        id: MessageId,
    ) -> Result<Placed, AppendError> {
        let by = grant.user();
        let envelope = encode_deletion(target, by, what.reason.as_ref());
        let append = Append {
            id,
            prev: 0,
            by: &by,
            remember: REMEMBER,
            text_hash: NO_TEXT,
            checked: None,
            envelope: &envelope,
            redacts: Some(target),
            state: None,
        };
        self.engine.append(grant.room(), append).await
    }

    /// The feed brings the entry that empties the ring. Whoever was told that the message is gone must not meet it before.
    fn forget(&self, room: &RoomId, target: Position) {
        if let Some(room) = self.rooms.find(room) {
            room.state.lock().ring.empty(target);
        }
    }

    fn account(&self, grant: &ModerateGrant, what: &Redaction) {
        match what.source {
            Source::Socket => self.meters.deleted_by_socket.inc(),
            Source::Api => self.meters.deleted_by_api.inc(),
        };
        tracing::info!(
            actor = %grant.user(),
            room = %grant.room(),
            offset = what.offset,
            "a message was deleted"
        );
    }
}

fn message_id(id: ProducerId) -> MessageId {
    MessageId {
        producer: Producer { id, chain: 0 },
        seq: 1,
    }
}
