//! A trusted message on its way into the log. It comes back through the feed, to its sender, too.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::time::timeout;

use crate::{
    auth::grants::{PublishGrant, SendGrant},
    domain::{
        envelope::encode_message,
        ids::{MessageId, UserId},
        nickname::Nickname,
        room_name::RoomId,
        text::CleanText,
    },
    hub::Hub,
    log::{Append, AppendError, Placed, Rejected},
};

/// What is to be said.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its name: the client's numbering, or the node's.
    pub id: MessageId,
    /// The producer's latest earlier number that was not definitely rejected; 0 for none.
    pub prev: u64,
    /// How long a repeat is recognised.
    pub remember: Duration,
    /// Hash of the text as it was received.
    pub text_hash: u32,
    /// Under which name.
    pub nick: Nickname,
    /// What.
    pub text: CleanText,
}

/// Why a message was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Definitely not in the log: something before it is missing there.
    #[error("the log has this producer up to {have}")]
    OutOfSequence {
        /// The last number that the log holds.
        have: u64,
    },
    /// Definitely not in the log: its number was used for something else.
    #[error("the number was used for something else")]
    Conflict,
    /// Definitely not in the log: it is larger than the log takes.
    #[error("larger than {max} bytes")]
    TooLarge {
        /// The limit, in bytes.
        max: usize,
    },
    /// Definitely not in the log: not now.
    #[error("the log cannot take entries now")]
    Unavailable {
        /// After how long to try again.
        retry_after: Duration,
    },
    /// Definitely not in the log: a service may not speak under a name that somebody holds. Only from [`Hub::publish`].
    #[error("the nickname is taken")]
    NicknameTaken,
    /// It may be in the log: repeat it under the same name.
    #[error("the outcome is unknown")]
    Unknown,
}

impl Hub {
    /// Gives a member's message its place. Resolves when the entry is as durable as the log promises.
    ///
    /// # Cancel safety
    ///
    /// Dropping it leaves the outcome unknown.
    pub async fn send(&self, grant: SendGrant, message: NewMessage) -> Result<Placed, SendError> {
        self.append(
            grant.room(),
            grant.user(),
            &message,
            &self.meters.sent_by_socket,
        )
        .await
    }

    /// Gives a service's message its place. Its name may be nobody's in the room but the service's own.
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::send`].
    pub async fn publish(
        &self,
        grant: PublishGrant,
        message: NewMessage,
    ) -> Result<Placed, SendError> {
        let holder = self.engine.holder(grant.room(), &message.nick).await;
        match holder {
            Ok(Some(seat)) if seat.user != grant.user() => return Err(SendError::NicknameTaken),
            Ok(_) => {}
            Err(why) => {
                return Err(SendError::Unavailable {
                    retry_after: why.retry_after,
                });
            }
        }
        self.append(
            grant.room(),
            grant.user(),
            &message,
            &self.meters.sent_by_api,
        )
        .await
    }

    async fn append(
        &self,
        room: &RoomId,
        by: UserId,
        message: &NewMessage,
        sent: &Counter,
    ) -> Result<Placed, SendError> {
        let nick = &message.nick;
        let envelope = encode_message(by, nick.as_str(), nick.is_verified(), &message.text);
        let what = Append {
            id: message.id,
            prev: message.prev,
            by: &by,
            remember: message.remember,
            text_hash: message.text_hash,
            checked: None,
            envelope: &envelope,
            redacts: None,
            state: None,
        };
        let deadline = self.settings.ack_deadline;
        let placed = match timeout(deadline, self.engine.append(room, what)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(SendError::Unknown),
        };
        if !placed.duplicate {
            sent.inc();
        }
        Ok(placed)
    }
}

impl From<AppendError> for SendError {
    fn from(why: AppendError) -> Self {
        match why {
            AppendError::Unknown => Self::Unknown,
            AppendError::Rejected(Rejected::OutOfSequence { have }) => Self::OutOfSequence { have },
            AppendError::Rejected(Rejected::Conflict) => Self::Conflict,
            AppendError::Rejected(Rejected::TooLarge { max }) => Self::TooLarge { max },
            AppendError::Rejected(Rejected::Unavailable { retry_after }) => {
                Self::Unavailable { retry_after }
            }
            // Not asked for a fence, an engine has no reason to name one; the sender may try again.
            AppendError::Rejected(Rejected::StaleState(_)) => Self::Unavailable {
                retry_after: Duration::ZERO,
            },
        }
    }
}
