//! From a trusted command to work under way. A right is asked for anew for every frame; what the hub is asked to do runs
//! beside the session and is settled in order.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Protocol, Session,
    close::End,
    rejection::Rejection,
    work::{Effect, Settled},
};
use crate::{
    auth::error::RefreshError,
    domain::{
        command::{Command, FrameId, Numbered},
        cursor::Cursor,
        ids::{MessageId, Producer, ProducerId},
        nickname::Nickname,
        room_name::RoomId,
        text::CleanText,
        token::RawToken,
    },
    hub::{
        history::{HistoryAsk, PageFrom},
        join::Arrival,
        membership::Membership,
        send::{NewMessage, SendError},
    },
    inbound::{Line, Reject},
    log::Placed,
    outbound::{entry_frames::Format, frame::Frame},
    protocol::{
        client_frame::RequestKind,
        codes::{CloseCode, ErrorCode},
        server_frame::{Ack, Done, History, Members, Person, ServerFrame},
        timestamp::rfc3339,
    },
    telemetry::metrics::Metrics,
};

/// How long the log remembers what the node itself numbered.
const REMEMBER_UNNUMBERED: Duration = Duration::from_mins(1);
/// When a client with too many unacknowledged messages may try again: about two round trips to a slow log.
const INFLIGHT_RETRY: Duration = Duration::from_millis(500);

/// What work needs to answer by itself.
#[derive(Clone)]
pub(super) struct Answering {
    protocol: Protocol,
    metrics: Arc<Metrics>,
}

impl Answering {
    pub(super) fn reject(&self, rejection: &Rejection) -> Frame {
        self.metrics.rejected(rejection.code);
        rejection.frame(self.protocol)
    }
}

impl Session {
    /// Joins the rooms that came with the upgrade; `wardroom.text` is in the default room from its start.
    pub(super) fn arrive(&mut self, rooms: &[RoomId]) {
        if self.protocol == Protocol::Text {
            let room = self.context.rules.default_room.clone();
            return self.join(None, &room, None, Cursor::default(), 0);
        }
        for room in rooms {
            let history = self.context.rules.history_default;
            self.join(None, room, None, Cursor::default(), history);
        }
    }

    /// Starts what a command asks for.
    pub(super) fn dispatch(&mut self, command: Command, now: Instant) -> Option<End> {
        match command {
            Command::Join {
                id,
                room,
                nick,
                since,
                history,
            } => self.join(id, &room, nick.as_ref(), since, history),
            Command::Leave { id, room } => self.leave(id, &room),
            Command::Send {
                id,
                room,
                text,
                numbered,
            } => return self.send(id, room, text, numbered, now),
            Command::History {
                id,
                room,
                before,
                limit,
            } => self.history(id, room, before, limit),
            Command::Members { id, room } => self.members(id, room),
            Command::Typing { room } => self.typing(&room),
            Command::Delete {
                id,
                room,
                target,
                reason,
            } => self.delete(id, &room, target, reason),
            Command::Auth { id, token } => self.refresh(id, token),
            Command::Ping { id } => self
                .replies
                .push(Frame::encode(&ServerFrame::Pong { id: id.as_deref() })),
        }
        None
    }

    /// A line of `wardroom.text`: the first one claims its name, then it is a message like any other.
    pub(super) fn line(&mut self, line: Line, now: Instant) -> Option<End> {
        let room = self.context.rules.default_room.clone();
        let Some(nick) = line.claims else {
            return self.send(None, room, line.text, None, now);
        };
        let Some(renaming) = self
            .memberships
            .get(&room)
            .map(|membership| membership.rename(nick.clone()))
        else {
            self.reject(&Rejection::not_joined(None));
            return None;
        };
        let answering = self.answering();
        self.start_exclusive(async move {
            match renaming.await {
                Ok(()) => Settled {
                    reply: None,
                    effect: Effect::Renamed(nick, line.text),
                },
                Err(error) => Settled {
                    reply: Some(answering.reject(&Rejection::of_join(None, error))),
                    effect: Effect::NotRenamed,
                },
            }
        });
        None
    }

    /// Tells the peer what was wrong with a frame; one too many ends the session.
    pub(super) fn refuse(&mut self, reject: Reject) -> Option<End> {
        if let Some(code) = reject.ends_session() {
            return Some(End::Ours(code, None));
        }
        self.reject(&Rejection::of_inbound(reject));
        None
    }

    pub(super) fn reject(&mut self, rejection: &Rejection) {
        let frame = self.answering().reject(rejection);
        self.replies.push(frame);
    }

    pub(super) fn answering(&self) -> Answering {
        Answering {
            protocol: self.protocol,
            metrics: Arc::clone(&self.context.metrics),
        }
    }

    fn join(
        &mut self,
        id: Option<FrameId>,
        room: &RoomId,
        nick: Option<&Nickname>,
        since: Cursor,
        history: u32,
    ) {
        if self.memberships.contains_key(room) {
            return self.reject(&Rejection::new(
                id,
                ErrorCode::AlreadyJoined,
                "the session is in this room",
            ));
        }
        if self.memberships.len() + self.exclusive >= self.context.rules.rooms_max {
            return self.reject(&Rejection::new(
                id,
                ErrorCode::TooManyRooms,
                "the session is in as many rooms as it may",
            ));
        }
        let Ok(grant) = self.identity.may_join(room) else {
            return self.reject(&Rejection::forbidden(id));
        };
        let arrival = Arrival {
            session: self.registered.session(),
            nick: self.names.for_room(nick),
            outbox: self.outbox.clone(),
            format: self.format(),
            reply_to: id.clone(),
            since,
            history,
        };
        let (hub, answering) = (Arc::clone(&self.context.hub), self.answering());
        self.start_exclusive(async move {
            match hub.join(grant, arrival).await {
                Ok(membership) => Settled {
                    reply: None,
                    effect: Effect::Entered(Box::new(membership)),
                },
                Err(error) => Settled {
                    reply: Some(answering.reject(&Rejection::of_join(id, error))),
                    effect: Effect::NotEntered,
                },
            }
        });
    }

    fn format(&self) -> Format {
        match self.protocol {
            Protocol::V1 { html: false } => Format::Json,
            Protocol::V1 { html: true } => Format::Html,
            Protocol::Text => Format::Text,
        }
    }

    fn leave(&mut self, id: Option<FrameId>, room: &RoomId) {
        let Some(membership) = self.memberships.remove(room) else {
            return self.reject(&Rejection::not_joined(id));
        };
        membership.leave();
        self.replies.push(done(id.as_deref()));
    }

    /// Right, membership, bounds; then the log, beside the session.
    fn send(
        &mut self,
        id: Option<FrameId>,
        room: RoomId,
        text: CleanText,
        numbered: Option<Numbered>,
        began: Instant,
    ) -> Option<End> {
        let Ok(grant) = self.identity.may_send(&room) else {
            self.reject(&Rejection::forbidden(id).not_sent());
            return None;
        };
        let Some(nick) = self.memberships.get(&room).map(Membership::nick) else {
            self.reject(&Rejection::not_joined(id).not_sent());
            return None;
        };
        if self.running.len() >= self.context.rules.inflight_max {
            let over = self.inbound.over_rate(
                RequestKind::Send,
                id,
                "too many messages wait for their ack",
                INFLIGHT_RETRY,
            );
            return self.refuse(over);
        }
        if let Err(over) = self.inbound.charge_room(&room, id.as_ref()) {
            return self.refuse(over);
        }
        let (message_id, prev, remember) = self.number(numbered);
        let message = NewMessage {
            id: message_id,
            prev,
            remember,
            text_hash: text.fingerprint(),
            nick,
            text,
        };
        let (hub, answering) = (Arc::clone(&self.context.hub), self.answering());
        let deadline = began + self.context.rules.ack_deadline;
        self.start(async move {
            let sent = tokio::time::timeout_at(deadline, hub.send(grant, message)).await;
            let reply = match sent.unwrap_or(Err(SendError::Unknown)) {
                Ok(placed) => {
                    account_ack(&answering.metrics, &placed, began);
                    (answering.protocol != Protocol::Text)
                        .then(|| ack(id.as_deref(), &room, message_id, &placed))
                }
                Err(error) => Some(answering.reject(&Rejection::of_send(id, error))),
            };
            Settled {
                reply,
                effect: Effect::None,
            }
        });
        None
    }

    /// The client's numbering, or one of our own: every append has an id, so an unknown outcome can be resolved by repeating
    /// it.
    fn number(&mut self, numbered: Option<Numbered>) -> (MessageId, u64, Duration) {
        if let Some(Numbered { chain, seq, prev }) = numbered {
            let producer = Producer {
                id: self.producer,
                chain,
            };
            return (
                MessageId { producer, seq },
                prev,
                self.context.rules.remember,
            );
        }
        // Each gets a producer of its own: messages that nobody numbered do not wait for one another.
        let (base, count) = &mut self.unnumbered;
        *count += 1;
        let mut id = *base.as_bytes();
        for (byte, counted) in id.iter_mut().rev().zip(count.to_le_bytes()) {
            *byte ^= counted;
        }
        let producer = Producer {
            id: ProducerId::from_bytes(id),
            chain: 0,
        };
        (MessageId { producer, seq: 1 }, 0, REMEMBER_UNNUMBERED)
    }

    fn history(&mut self, id: Option<FrameId>, room: RoomId, before: Option<u64>, limit: u32) {
        let Ok(grant) = self.identity.may_read(&room) else {
            return self.reject(&Rejection::forbidden(id));
        };
        if !self.memberships.contains_key(&room) {
            return self.reject(&Rejection::not_joined(id));
        }
        let (hub, answering) = (Arc::clone(&self.context.hub), self.answering());
        let ask = HistoryAsk {
            from: PageFrom::Before(before),
            limit,
            format: self.format(),
        };
        self.start(async move {
            let reply = match hub.history(grant, ask).await {
                Ok(page) => Frame::encode(&ServerFrame::History(History {
                    id: id.as_deref(),
                    room: &room,
                    messages: page.messages.iter().map(Frame::raw).collect(),
                    first: page.first,
                    head: page.head,
                })),
                Err(away) => answering.reject(&Rejection::log_away(id, away.retry_after)),
            };
            Settled::reply(reply)
        });
    }

    fn members(&mut self, id: Option<FrameId>, room: RoomId) {
        let Ok(grant) = self.identity.may_read(&room) else {
            return self.reject(&Rejection::forbidden(id));
        };
        if !self.memberships.contains_key(&room) {
            return self.reject(&Rejection::not_joined(id));
        }
        let (hub, answering, limit) = (
            Arc::clone(&self.context.hub),
            self.answering(),
            self.context.rules.members_page_max,
        );
        self.start(async move {
            let reply = match hub.members(grant, limit).await {
                Ok((count, people)) => {
                    let members: Vec<_> = people
                        .iter()
                        .map(|(user, nick)| Person {
                            user: *user,
                            nick: nick.as_str(),
                        })
                        .collect();
                    Frame::encode(&ServerFrame::Members(Members {
                        id: id.as_deref(),
                        room: &room,
                        count,
                        members: &members,
                    }))
                }
                Err(away) => answering.reject(&Rejection::log_away(id, away.retry_after)),
            };
            Settled::reply(reply)
        });
    }

    /// Without the right or outside the room it is not relayed; there is no answer that could tell.
    fn typing(&mut self, room: &RoomId) {
        if let (Ok(grant), Some(membership)) =
            (self.identity.may_send(room), self.memberships.get(room))
        {
            self.context.hub.typing(&grant, membership);
        }
    }

    fn refresh(&mut self, id: Option<FrameId>, token: RawToken) {
        let authenticator = Arc::clone(&self.context.authenticator);
        let (answering, current) = (self.answering(), self.identity.clone());
        self.start_exclusive(async move {
            match authenticator.refresh(&current, token).await {
                Ok(identity) => Settled {
                    reply: None,
                    effect: Effect::Refreshed(id, Box::new(identity)),
                },
                Err(RefreshError::OtherIdentity) => Settled {
                    reply: None,
                    effect: Effect::Over(CloseCode::Revoked),
                },
                Err(RefreshError::Refused(error)) => Settled {
                    reply: Some(answering.reject(&Rejection::of_auth(id, &error))),
                    effect: Effect::NotEntered,
                },
            }
        });
    }

    /// Starts work behind all that was started. Each is asked for the first time in that order, and the log takes what it is
    /// asked for first; but tokio's budget would make some of a burst stand back for those behind them, so they have none. Work
    /// is a few questions to the log and ends by its deadline.
    pub(super) fn start(&mut self, work: impl Future<Output = Settled> + Send + 'static) {
        self.running
            .push_back(Box::pin(tokio::task::unconstrained(work)));
    }

    /// Work behind which everything else waits.
    fn start_exclusive(&mut self, work: impl Future<Output = Settled> + Send + 'static) {
        self.exclusive += 1;
        self.start(work);
    }
}

/// `ok` with nothing to add.
pub(super) fn done(id: Option<&str>) -> Frame {
    Frame::encode(&ServerFrame::Ok(Done {
        id,
        expires_at: None,
        scopes: None,
    }))
}

fn account_ack(metrics: &Metrics, placed: &Placed, began: Instant) {
    let durability = placed.durability.name();
    metrics
        .ack_seconds
        .get_or_create(&[("durability", durability)])
        .observe(began.elapsed().as_secs_f64());
    let duplicate = if placed.duplicate { "true" } else { "false" };
    metrics
        .acks
        .get_or_create(&[("durability", durability), ("duplicate", duplicate)])
        .inc();
}

fn ack(id: Option<&str>, room: &RoomId, message: MessageId, placed: &Placed) -> Frame {
    Frame::encode(&ServerFrame::Ack(Ack {
        id,
        room,
        offset: placed.at.map(|at| at.offset),
        epoch: placed.at.map(|at| at.epoch),
        message,
        ts: &rfc3339(placed.ts),
        durability: placed.durability.name(),
        duplicate: placed.duplicate,
    }))
}
