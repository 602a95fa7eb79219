//! What a session has started and not finished: futures that own what they need, settled in the order they were started, so
//! that a slow log does not hold up this member's deliveries.

use std::pin::Pin;

use crate::{
    auth::identity::Identity,
    domain::{command::FrameId, nickname::Nickname, text::CleanText},
    hub::membership::Membership,
    outbound::frame::Frame,
    protocol::codes::CloseCode,
};

/// Work under way.
pub type Work = Pin<Box<dyn Future<Output = Settled> + Send>>;

/// What came of it.
#[derive(Debug)]
pub struct Settled {
    /// To the peer.
    pub reply: Option<Frame>,
    /// To the session.
    pub effect: Effect,
}

/// What settled work changes in the session.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// It is in a room.
    Entered(Box<Membership>),
    /// A join or a refresh failed; reading goes on.
    NotEntered,
    /// `wardroom.text`: the name was claimed; the line that claimed it is said now.
    Renamed(Nickname, CleanText),
    /// `wardroom.text`: the name was not to be had; the next line may claim another.
    NotRenamed,
    /// The credential was refreshed; the request's id is echoed.
    Refreshed(Option<FrameId>, Box<Identity>),
    /// The session ends.
    Over(CloseCode),
}

impl Settled {
    /// A reply and nothing else.
    pub fn reply(frame: Frame) -> Self {
        Self {
            reply: Some(frame),
            effect: Effect::None,
        }
    }
}
