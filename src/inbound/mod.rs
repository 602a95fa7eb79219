//! Untrusted frames become trusted commands: decode → rate → validate → sanitize. A text frame comes from the session, which
//! dispatches the command that comes out, or tells the client why there is none.
//!
//! The frame is decoded before its rate is charged because the buckets differ by what is asked for; what decoding may cost is
//! bounded by the buckets of bytes and frames that every read meets first, at the socket.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

mod decode;
pub mod rate;
mod reject;
mod rules;
pub mod sanitize;
pub mod validate;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, sync::Arc, time::Duration};

use self::{
    decode::{Undecodable, decode},
    rate::{Bucket, Patience, SharedRates},
    reject::Fault,
    validate::validate,
};
use crate::{
    domain::{
        command::{Command, FrameId},
        ids::UserId,
        nickname::{NameSource, Nickname},
        room_name::RoomId,
        text::CleanText,
    },
    protocol::{
        client_frame::{ClientFrame, RequestKind},
        codes::{CloseCode, ErrorCode},
        plain_text,
        server_frame::Outcome,
    },
};

pub use self::{reject::Reject, rules::InboundRules};

/// What became of a frame that was not rejected.
#[derive(Debug)]
pub enum Accepted {
    /// A request of `wardroom.v1`.
    Command(Command),
    /// A line of `wardroom.text`.
    Line(Line),
    /// Nothing is to be done and nothing answered: `typing` above its rate.
    Nothing,
}

/// A message of `wardroom.text`, for the default room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// On the first line of a session whose name is its own to choose: the name that it claims.
    pub claims: Option<Nickname>,
    /// What it says.
    pub text: CleanText,
}

/// The inbound road of one session: its buckets, and how often it did wrong lately.
#[derive(Debug)]
pub struct Inbound {
    rules: Arc<InboundRules>,
    shared: Arc<SharedRates>,
    user: UserId,
    messages: Bucket,
    commands: Bucket,
    history: Bucket,
    typing: Bucket,
    auth: Bucket,
    overrate: Patience,
    strikes: Patience,
    /// `wardroom.text`: the name that the session's lines begin with.
    line_name: Option<Box<str>>,
}

impl Inbound {
    /// The road of one session of `user`, with full buckets.
    pub fn new(rules: Arc<InboundRules>, shared: Arc<SharedRates>, user: UserId) -> Self {
        let rates = rules.rates;
        let bucket = |(per_s, burst)| Bucket::new(per_s, burst);
        Self {
            shared,
            user,
            messages: bucket(rates.messages),
            commands: bucket(rates.commands),
            history: bucket(rates.history),
            typing: bucket(rates.typing),
            auth: Bucket::per_minute(rates.auth_per_min),
            overrate: Patience::new(rules.overrate.0, rules.overrate.1),
            strikes: Patience::new(rules.strikes.0, rules.strikes.1),
            line_name: None,
            rules,
        }
    }

    /// Takes one text frame of `wardroom.v1`.
    pub fn accept(&mut self, raw: &str) -> Result<Accepted, Reject> {
        match decode(raw) {
            Ok(frame) => self.accept_frame(frame),
            Err(Undecodable::Unreadable(detail)) => {
                self.rules.counters.unreadable.inc();
                Err(self.strike(detail))
            }
            Err(Undecodable::Refused { id, kind, fault }) => self.refuse(id, kind, fault),
        }
    }

    fn accept_frame(&mut self, frame: ClientFrame<'_>) -> Result<Accepted, Reject> {
        let kind = frame.request.kind();
        self.rules.counters.received(kind);
        let rules = Arc::clone(&self.rules);
        let (id, id_fault) = match sanitize::frame_id(frame.id, &rules) {
            Ok(id) => (id, None),
            Err(fault) => (None, Some(fault)),
        };
        if !self.charge(kind, id.as_ref())? {
            return Ok(Accepted::Nothing);
        }
        let checked = id_fault
            .map_or(Ok(()), Err)
            .and_then(|()| validate(&frame.request, &rules));
        checked
            .and_then(|()| sanitize::command(id.clone(), frame.request, &rules))
            .map(Accepted::Command)
            .map_err(|fault| reject(id, Some(kind), fault))
    }

    /// An object that is no request of ours still costs its sender what a request costs.
    fn refuse(
        &mut self,
        id: Option<Cow<'_, str>>,
        kind: Option<RequestKind>,
        fault: Fault,
    ) -> Result<Accepted, Reject> {
        match kind {
            Some(kind) => self.rules.counters.received(kind),
            None => {
                self.rules.counters.unknown.inc();
            }
        }
        let id = sanitize::frame_id(id, &self.rules).unwrap_or_default();
        if self.charge(kind.unwrap_or(RequestKind::Ping), id.as_ref())? {
            Err(reject(id, kind, fault))
        } else {
            Ok(Accepted::Nothing)
        }
    }

    /// Takes one line of `wardroom.text`. The first line sets the name that every later one must begin with; `source` says
    /// whether that name is the person's to choose or the provider's, in which case it is not looked at further.
    pub fn accept_text(&mut self, raw: &str, source: NameSource) -> Result<Accepted, Reject> {
        let rules = Arc::clone(&self.rules);
        let Some(line) = plain_text::parse(raw) else {
            rules.counters.unreadable.inc();
            return Err(self.strike("a line is `nickname: message`"));
        };
        rules.counters.line.inc();
        self.charge(RequestKind::Send, None)?;
        let told = |fault| reject(None, Some(RequestKind::Send), fault);
        let claimed = self.name_of_line(line.nick, source).map_err(told)?;
        let text = sanitize::text(line.text, &rules).map_err(told)?;
        let claims = claimed.and_then(|nick| {
            self.line_name = Some(nick.as_str().into());
            (source != NameSource::Claim).then_some(nick)
        });
        Ok(Accepted::Line(Line { claims, text }))
    }

    /// The name that a first line claims; nothing when the line begins with the name that was claimed. No name begins with
    /// `!`, so no person can sound like a rejection.
    fn name_of_line(&self, raw: &str, source: NameSource) -> Result<Option<Nickname>, Fault> {
        if self.line_name.as_deref() == Some(raw) {
            return Ok(None);
        }
        let nick = Nickname::from_untrusted(raw, source, self.rules.names())
            .map_err(sanitize::name_fault)?;
        match self.line_name.as_deref() {
            None => Ok(Some(nick)),
            Some(claimed) if claimed == nick.as_str() => Ok(None),
            Some(_) => Err(Fault::new(
                ErrorCode::Forbidden,
                "a session has one nickname",
            )),
        }
    }

    /// `wardroom.text`: the room did not give the name that the first line claimed; the next line may claim another.
    pub fn forget_line_name(&mut self) {
        self.line_name = None;
    }

    /// Charges one message to a room. Ask after the sender's right and membership are known, or a stranger could use up what
    /// the room may say.
    pub fn charge_room(&mut self, room: &RoomId, id: Option<&FrameId>) -> Result<(), Reject> {
        let Err(wait) = self.shared.try_room(room) else {
            return Ok(());
        };
        self.rules.counters.over_room.inc();
        Err(self.over_rate(
            RequestKind::Send,
            id.cloned(),
            "the room takes no more messages for now",
            wait,
        ))
    }

    /// A request was above a rate or a bound of what may be under way: counts it, so that too many end the session.
    pub fn over_rate(
        &mut self,
        kind: RequestKind,
        id: Option<FrameId>,
        detail: &'static str,
        retry_after: Duration,
    ) -> Reject {
        Reject {
            retry_after: Some(retry_after),
            ends: self.overrate.is_over().then_some(CloseCode::RateLimited),
            ..reject(id, Some(kind), Fault::new(ErrorCode::RateLimited, detail))
        }
    }

    /// Takes one from the bucket of a kind of request. `false`: above the rate of what gets no answer.
    fn charge(&mut self, kind: RequestKind, id: Option<&FrameId>) -> Result<bool, Reject> {
        let bucket = match kind {
            RequestKind::Send => &self.messages,
            RequestKind::History => &self.history,
            RequestKind::Typing => &self.typing,
            RequestKind::Auth => &self.auth,
            RequestKind::Join
            | RequestKind::Leave
            | RequestKind::Members
            | RequestKind::Delete
            | RequestKind::Ping => &self.commands,
        };
        if let Err(wait) = bucket.try_one() {
            self.rules.counters.over_session.inc();
            return if kind == RequestKind::Typing {
                Ok(false)
            } else {
                Err(self.over_rate(kind, id.cloned(), "too many requests", wait))
            };
        }
        if kind == RequestKind::Send
            && let Err(wait) = self.shared.try_user(self.user)
        {
            self.rules.counters.over_person.inc();
            return Err(self.over_rate(
                kind,
                id.cloned(),
                "too many messages from this person",
                wait,
            ));
        }
        Ok(true)
    }

    /// A frame that cannot be read.
    fn strike(&mut self, detail: &'static str) -> Reject {
        Reject {
            ends: self.strikes.is_over().then_some(CloseCode::Malformed),
            ..reject(None, None, Fault::bad_request(detail))
        }
    }
}

fn reject(id: Option<FrameId>, kind: Option<RequestKind>, fault: Fault) -> Reject {
    Reject {
        id,
        code: fault.code,
        detail: fault.detail,
        retry_after: None,
        outcome: (kind == Some(RequestKind::Send)).then_some(Outcome::No),
        ends: None,
    }
}
