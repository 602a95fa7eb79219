//! One connection, from its first frame to its close. Frames come from the socket, go through `inbound`, become work for the
//! hub; what the hub sends waits in the outbox and leaves here. The session alone writes to the socket.

pub mod close;
pub mod context;
pub mod dispatch;
mod moderation;
pub mod names;
pub mod registry;
mod rejection;
pub mod socket;
pub mod timers;
pub mod work;

use std::{
    collections::HashMap,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};
use tokio::time::{Instant, Sleep};

use self::{
    close::{End, closing_frame},
    context::SessionContext,
    names::Names,
    registry::Registered,
    socket::{Event, Socket},
    timers::{Tick, Timers},
    work::{Effect, Settled, Work},
};
use crate::{
    auth::{identity::Identity, random},
    domain::{ids::ProducerId, nickname::Nickname, room_name::RoomId},
    hub::membership::Membership,
    inbound::{Accepted, Inbound, Line},
    outbound::{
        frame::Frame,
        outbox::{Outbox, OutboxReader, outbox},
    },
    protocol::timestamp::rfc3339,
    protocol::{
        codes::CloseCode,
        server_frame::{ServerFrame, Welcome, WelcomeUser},
    },
};

/// Frames for which an idle session keeps its buffer.
const KEPT_FRAMES: usize = 4;

/// Which protocol the peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `wardroom.v1`, with `html` beside the text when asked for.
    V1 {
        /// `?html=1`.
        html: bool,
    },
    /// `wardroom.text`.
    Text,
}

impl Protocol {
    /// The name in the handshake and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 { .. } => "wardroom.v1",
            Self::Text => "wardroom.text",
        }
    }
}

/// What the upgrade hands over: a peer that has been let in.
pub struct Arrived {
    /// Who it is.
    pub identity: Identity,
    /// Its place in the registry.
    pub registered: Registered,
    /// What it speaks.
    pub protocol: Protocol,
    /// The names it goes by.
    pub names: Names,
    /// Who numbers its messages.
    pub producer: ProducerId,
    /// Give it back as `?resume=`.
    pub resume: Box<str>,
    /// Rooms to join at once.
    pub rooms: Vec<RoomId>,
}

/// One connection's life.
pub struct Session {
    context: Arc<SessionContext>,
    identity: Identity,
    registered: Registered,
    protocol: Protocol,
    names: Names,
    producer: ProducerId,
    /// Messages that the client does not number get names from here: the base and a counter.
    unnumbered: (ProducerId, u64),
    inbound: Inbound,
    outbox: Outbox,
    reader: OutboxReader,
    memberships: HashMap<RoomId, Membership>,
    running: FuturesOrdered<Work>,
    /// Joins and refreshes under way: what follows one must wait for it, so reading pauses.
    exclusive: usize,
    /// Answers that were known at once.
    replies: Vec<Frame>,
    /// Members that are being pulled, and which: each is pulled once at a time.
    catching_up: FuturesUnordered<Pin<Box<dyn Future<Output = RoomId> + Send>>>,
    pulled: Vec<RoomId>,
    /// The last thing that happened was a delivery.
    delivered: AtomicBool,
    /// Some member may lag: asking each of them at every delivery would cost as much as writing the frame.
    behind: bool,
    timers: Timers,
    started: Instant,
    /// Bytes fed to the socket since it was last flushed.
    unflushed: usize,
    batch: Vec<Frame>,
}

impl Session {
    /// A session of a peer that has been let in; it joins the rooms that came with the upgrade as soon as it runs.
    pub fn new(context: Arc<SessionContext>, arrived: Arrived) -> Self {
        let now = Instant::now();
        let (outbox, reader) = outbox(context.outbox_bounds, &context.outbox_budget);
        let inbound = Inbound::new(
            Arc::clone(&context.inbound),
            Arc::clone(&context.rates),
            arrived.identity.user(),
        );
        let expires = expiry(&context, &arrived.identity, now, now);
        let mut session = Self {
            timers: Timers::new(context.rules.timers, now, expires),
            identity: arrived.identity,
            registered: arrived.registered,
            protocol: arrived.protocol,
            names: arrived.names,
            producer: arrived.producer,
            unnumbered: (ProducerId::from_bytes(random::secret_bytes()), 0),
            inbound,
            outbox,
            reader,
            memberships: HashMap::new(),
            running: FuturesOrdered::new(),
            exclusive: 0,
            delivered: AtomicBool::new(false),
            behind: false,
            replies: Vec::new(),
            catching_up: FuturesUnordered::new(),
            pulled: Vec::new(),
            started: now,
            unflushed: 0,
            batch: Vec::new(),
            context,
        };
        session.welcome(&arrived.resume);
        session.arrive(&arrived.rooms);
        session
    }

    /// Runs the session to its end.
    pub fn run<S: Socket>(self, socket: S) -> impl Future<Output = End> + Send {
        // One box for both: an async function would keep its arguments beside what it works on, for every idle session.
        let mut both = Box::new((self, socket));
        async move {
            let (session, socket) = &mut *both;
            session.feed_replies(socket);
            // A panic is one session's: the peer gets a Close like any other, nobody else notices.
            let conversed = AssertUnwindSafe(session.converse(socket))
                .catch_unwind()
                .await;
            let end = conversed.unwrap_or(End::Ours(CloseCode::Internal, None));
            farewell(both, end).await;
            end
        }
    }

    fn welcome(&mut self, resume: &str) {
        if self.protocol == Protocol::Text {
            return;
        }
        let scopes = self.identity.scope_names();
        let rules = &self.context.rules;
        let frame = Frame::encode(&ServerFrame::Welcome(Welcome {
            session: self.registered.session(),
            user: WelcomeUser {
                id: self.identity.user(),
                nick: self.names.told().map(Nickname::as_str),
                scopes: &scopes,
            },
            producer: self.producer,
            resume,
            durability: rules.durability,
            limits: rules.welcome,
            ping_ms: u64::try_from(rules.timers.ping.as_millis()).unwrap_or(u64::MAX),
            expires_at: &self.expires_at(),
        }));
        self.replies.push(frame);
    }

    /// When the session ends unless it is refreshed, RFC 3339.
    fn expires_at(&self) -> String {
        let by_token = self
            .identity
            .expires_at()
            .saturating_add(self.context.rules.leeway.as_secs());
        let session_left = self
            .context
            .rules
            .session_max
            .saturating_sub(self.started.elapsed());
        let by_session = self
            .context
            .clock
            .unix_s()
            .saturating_add(session_left.as_secs());
        rfc3339(by_token.min(by_session).saturating_mul(1000))
    }

    /// Everything that can happen, until one thing ends it.
    async fn converse<S: Socket>(&mut self, socket: &mut S) -> End {
        let orders = Arc::clone(self.registered.orders());
        let mut ordered = std::pin::pin!(orders.wait());
        let mut timer = std::pin::pin!(tokio::time::sleep_until(self.timers.next()));
        loop {
            rearm(timer.as_mut(), self.timers.next());
            let flushing = self.unflushed > 0;
            let reading = self.exclusive == 0
                && self.running.len() <= self.context.rules.inflight_max
                && self.unflushed <= self.context.rules.unflushed_bytes_max;
            // What wakes a session is nearly always its outbox, so that is asked first; right after a delivery it is asked last, so
            // that a room that never rests leaves its turn to everything else.
            tokio::select! {
                biased;
                () = poll_fn(|cx| if self.delivered.load(Relaxed) { Poll::Pending } else { self.reader.poll_ready(cx) }), if !flushing => {
                    if let Some(end) = self.deliver(socket).await { return end }
                }
                order = &mut ordered => return End::Ours(order.code, order.retry_after),
                () = timer.as_mut() => match self.timers.due(Instant::now(), socket.bytes_written()) {
                    // The issuer has withdrawn the key that signed for this person.
                    _ if !self.context.authenticator.still_vouched(&self.identity) => {
                        return End::Ours(CloseCode::CredentialExpired, None);
                    }
                    None => {}
                    Some(Tick::Ping) => self.ping(socket),
                    Some(Tick::Expiring(left)) => self.warn_of_expiry(socket, left),
                    Some(Tick::Over(code)) => return End::Ours(code, None),
                },
                // Whoever takes nothing is always flushing: the word to close must reach it there.
                code = self.reader.told_to_end(), if flushing => return End::Ours(code, None),
                Some(settled) = self.running.next(), if !self.running.is_empty() => if let Some(end) = self.settle(socket, settled) { return end },
                // Not pulled again at once: where it stopped for want of room or of the log, the outbox says when it is worth it.
                Some(room) = self.catching_up.next(), if !self.catching_up.is_empty() => self.pulled.retain(|other| *other != room),
                event = poll_fn(|cx| socket.poll_event(cx, flushing, reading)) => {
                    if let Some(end) = self.on_event(socket, event) { return end }
                }
                () = poll_fn(|cx| if self.delivered.swap(false, Relaxed) { self.reader.poll_ready(cx) } else { Poll::Pending }), if !flushing => {
                    if let Some(end) = self.deliver(socket).await { return end }
                }
            }
        }
    }

    fn on_event<S: Socket>(&mut self, socket: &mut S, event: Event) -> Option<End> {
        let now = Instant::now();
        match event {
            Event::Flushed => {
                self.unflushed = 0;
                self.timers.waiting(false, 0, now);
                self.catch_up();
                return None;
            }
            Event::PeerClosed(code) => return Some(End::Theirs(code)),
            Event::Lost => return Some(End::Lost),
            Event::Fault(code) => return Some(End::Ours(code, None)),
            Event::Binary => return Some(End::Ours(CloseCode::Unsupported, None)),
            Event::Pong(payload) => self.observe_pong(&payload, now),
            Event::Ping => {}
            Event::Text(text) => {
                self.timers.heard(now);
                let end = self.on_text(text.as_str(), now);
                self.feed_replies(socket);
                return end;
            }
        }
        self.timers.heard(now);
        None
    }

    fn on_text(&mut self, text: &str, now: Instant) -> Option<End> {
        let accepted = match self.protocol {
            Protocol::V1 { .. } => self.inbound.accept(text),
            Protocol::Text => self.inbound.accept_text(text, self.names.line_source()),
        };
        match accepted {
            Ok(Accepted::Command(command)) => self.dispatch(command, now),
            Ok(Accepted::Line(line)) => self.line(line, now),
            Ok(Accepted::Nothing) => None,
            Err(reject) => self.refuse(reject),
        }
    }

    fn feed_replies<S: Socket>(&mut self, socket: &mut S) {
        let mut replies = std::mem::take(&mut self.replies);
        for frame in replies.drain(..) {
            self.feed(socket, frame);
        }
        self.replies = replies;
    }

    /// A session that wakes takes all that waits and flushes once, right here: nearly every connection takes it at once, and
    /// another turn of the loop would ask everything else again first.
    async fn deliver<S: Socket>(&mut self, socket: &mut S) -> Option<End> {
        if let Some(code) = self.reader.ended() {
            return Some(End::Ours(code, None));
        }
        self.delivered.store(true, Relaxed);
        let mut batch = std::mem::take(&mut self.batch);
        self.behind |= self.reader.take(&mut batch);
        for frame in batch.drain(..) {
            self.feed(socket, frame);
        }
        // A burst must not leave every idle session with a large buffer.
        if batch.capacity() <= KEPT_FRAMES {
            self.batch = batch;
        }
        match poll_fn(|cx| Poll::Ready(socket.poll_event(cx, true, false))).await {
            Poll::Ready(event) => self.on_event(socket, event),
            Poll::Pending => {
                self.catch_up();
                None
            }
        }
    }

    /// Members that fell back to their cursor go on from the log as soon as there is room in the outbox.
    fn catch_up(&mut self) {
        if !std::mem::take(&mut self.behind) {
            return;
        }
        for (room, membership) in &self.memberships {
            self.behind |= membership.lags();
            if membership.lags() && !self.pulled.contains(room) {
                let (room, pull) = (room.clone(), membership.catch_up());
                self.pulled.push(room.clone());
                self.catching_up.push(pull.map(|()| room).boxed());
            }
        }
    }

    fn settle<S: Socket>(&mut self, socket: &mut S, settled: Settled) -> Option<End> {
        if let Some(reply) = settled.reply {
            self.feed(socket, reply);
        }
        match settled.effect {
            Effect::None => {}
            Effect::Entered(membership) => {
                self.exclusive -= 1;
                self.behind = true;
                self.memberships
                    .insert(membership.room().clone(), *membership);
            }
            Effect::NotEntered => self.exclusive -= 1,
            Effect::NotRenamed => {
                self.exclusive -= 1;
                self.inbound.forget_line_name();
            }
            Effect::Renamed(nick, text) => {
                self.exclusive -= 1;
                self.names.choose(nick);
                let end = self.line(Line { claims: None, text }, Instant::now());
                self.feed_replies(socket);
                return end;
            }
            Effect::Refreshed(id, identity) => {
                self.exclusive -= 1;
                self.refreshed(socket, id.as_deref(), *identity);
            }
            Effect::Over(code) => return Some(End::Ours(code, None)),
        }
        None
    }

    /// A good `auth`: the end moves, the rights are those of the new token, rooms that it does not open are left.
    fn refreshed<S: Socket>(&mut self, socket: &mut S, id: Option<&str>, identity: Identity) {
        self.identity = identity;
        self.timers.refreshed(expiry(
            &self.context,
            &self.identity,
            self.started,
            Instant::now(),
        ));
        let lost: Vec<_> = self
            .memberships
            .keys()
            .filter(|room| self.identity.may_join(room).is_err())
            .cloned()
            .collect();
        for room in lost {
            if let Some(membership) = self.memberships.remove(&room) {
                membership.leave();
            }
        }
        let scopes = self.identity.scope_names();
        let expires_at = self.expires_at();
        let done = crate::protocol::server_frame::Done {
            id,
            expires_at: Some(&expires_at),
            scopes: Some(&scopes),
        };
        self.feed(socket, Frame::encode(&ServerFrame::Ok(done)));
    }

    fn feed<S: Socket>(&mut self, socket: &mut S, frame: Frame) {
        if self.unflushed == 0 {
            self.timers
                .waiting(true, socket.bytes_written(), Instant::now());
        }
        self.unflushed = self.unflushed.saturating_add(frame.len()).saturating_add(1);
        socket.feed(frame);
    }

    /// The ping carries when it was sent, in microseconds of the session's life.
    fn ping<S: Socket>(&mut self, socket: &mut S) {
        let sent = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        socket.feed_ping(bytes::Bytes::copy_from_slice(&sent.to_be_bytes()));
        if self.unflushed == 0 {
            self.timers
                .waiting(true, socket.bytes_written(), Instant::now());
        }
        self.unflushed = self.unflushed.saturating_add(1);
    }

    fn observe_pong(&self, payload: &[u8], now: Instant) {
        if let Ok(sent) = <[u8; 8]>::try_from(payload) {
            let alive = now - self.started;
            if let Some(trip) = alive.checked_sub(Duration::from_micros(u64::from_be_bytes(sent))) {
                self.context
                    .metrics
                    .ping_round_trip_seconds
                    .observe(trip.as_secs_f64());
            }
        }
    }

    fn warn_of_expiry<S: Socket>(&mut self, socket: &mut S, left: Duration) {
        if self.protocol != Protocol::Text {
            self.feed(
                socket,
                Frame::encode(&ServerFrame::Expiring {
                    in_ms: whole_millis(left),
                }),
            );
        }
    }

    /// What was sent in time gets its answer, and what waits in the outbox leaves, before the Close.
    async fn settle_rest<S: Socket>(&mut self, socket: &mut S) {
        let deadline = Instant::now() + self.context.rules.close;
        while let Ok(Some(settled)) = tokio::time::timeout_at(deadline, self.running.next()).await {
            if let Some(reply) = settled.reply {
                socket.feed(reply);
            }
        }
        let mut rest = std::mem::take(&mut self.batch);
        self.reader.take(&mut rest);
        for frame in rest {
            socket.feed(frame);
        }
    }

    /// Leaves the rooms, then says why and closes. What was acknowledged meanwhile is in the log: a resume finds it.
    async fn say_goodbye<S: Socket>(mut self, mut socket: S, end: End) {
        // Who takes nothing is not waited for to take more: a resume finds it.
        if matches!(end, End::Ours(code, _) if code != CloseCode::SlowConsumer) {
            self.settle_rest(&mut socket).await;
        }
        self.outbox.close();
        for (_, membership) in self.memberships.drain() {
            match end {
                End::Theirs(Some(1000)) => membership.leave(),
                _ => drop(membership),
            }
        }
        let (code, by) = end.account();
        self.context.metrics.closed(code, by);
        // The node's budget gets its bytes back now: what is still written leaves within `ws_close`, and meanwhile nobody else
        // is to be closed for it.
        drop(self.reader);
        let rules = &self.context.rules;
        match end {
            End::Ours(code, retry_after) => {
                if let Some(frame) =
                    closing_frame(code, retry_after).filter(|_| self.protocol != Protocol::Text)
                {
                    socket.feed(frame);
                }
                socket.close(code, rules.close, rules.linger).await;
            }
            End::Theirs(_) => socket.finish(rules.close.min(Duration::from_secs(1))).await,
            End::Lost => drop(socket),
        }
    }
}

/// Boxed: what only the end needs must not be part of every idle session.
#[expect(
    clippy::boxed_local,
    reason = "it comes boxed, and is taken apart here"
)]
fn farewell<S: Socket>(
    both: Box<(Session, S)>,
    end: End,
) -> Pin<Box<impl Future<Output = ()> + Send>> {
    let (session, socket) = *both;
    Box::pin(session.say_goodbye(socket, end))
}

/// Sets the timer anew only when the deadline came nearer or the old one has fired: a session that hears something often
/// must not move its timer each time.
fn rearm(mut timer: Pin<&mut Sleep>, next: Instant) {
    if next < timer.deadline() || timer.is_elapsed() {
        timer.as_mut().reset(next);
    }
}

/// The end of a session: of its credential, leeway included, or of the longest life, whichever comes first.
fn expiry(
    context: &SessionContext,
    identity: &Identity,
    started: Instant,
    now: Instant,
) -> Instant {
    let by_token = identity
        .expires_at()
        .saturating_add(context.rules.leeway.as_secs());
    let left = Duration::from_secs(by_token.saturating_sub(context.clock.unix_s()));
    let by_session = started + context.rules.session_max;
    now.checked_add(left)
        .map_or(by_session, |by_token| by_token.min(by_session))
}

/// A duration as whole milliseconds, rounded up: a hint of 0 would invite a retry that fails again.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
