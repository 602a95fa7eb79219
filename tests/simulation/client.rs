//! A client: joins, reads slowly or not at all, sends, loses its connection, resumes. After everything has healed it reads
//! whenever it is woken, and only then: a wake that gets lost is a client that never comes level.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    domain::{
        cursor::Cursor,
        ids::{SessionId, UserId},
    },
    hub::{
        Hub,
        history::{HistoryAsk, PageFrom},
        join::{Arrival, JoinError},
        membership::Membership,
        send::{NewMessage, SendError},
        testing,
    },
    log::Placed,
    outbound::{
        entry_frames::Format,
        frame::Frame,
        outbox::{Outbox, OutboxBounds, OutboxReader, outbox},
        outbox_budget::OutboxBudget,
    },
};

use super::{
    outbox::Copy,
    person::Person,
    scheduler::{Task, pause},
    sim_log::SimLog,
    texts,
    world::{Event, Fault, World},
};

/// Bytes that one session may have waiting.
pub(super) const OUTBOX_BYTES_MAX: usize = 6000;
/// How often a client that has something open looks at the clock.
const TICK: Duration = Duration::from_millis(100);
/// A replay that stands still for so long is begun anew.
const STALLED: Duration = Duration::from_millis(800);

/// One client.
pub(super) struct Client {
    pub(super) number: u8,
    pub(super) user: UserId,
    pub(super) hub: Arc<Hub>,
    pub(super) log: Arc<SimLog>,
    pub(super) world: Arc<World>,
    pub(super) budget: Arc<OutboxBudget>,
    pub(super) people: Arc<Vec<Mutex<Person>>>,
    pub(super) sessions: u8,
}

type Answer = (usize, Copy, (bool, u32), Result<Placed, SendError>);

struct Connection {
    memberships: Vec<Membership>,
    reader: OutboxReader,
    out: Outbox,
    answers: FuturesUnordered<Pin<Box<dyn Future<Output = Answer> + Send>>>,
}

impl Client {
    pub(super) async fn run(mut self) {
        loop {
            let healed = self.world.healed();
            match self.connect(healed).await {
                Some(mut connection) => {
                    if !self.world.healed() {
                        self.live(&mut connection).await;
                    }
                    if self.world.healed() {
                        self.settle(&mut connection).await;
                    }
                    self.part(connection);
                }
                None if healed => sleep_until(Instant::now() + TICK).await,
                None => pause().await,
            }
        }
    }

    fn me(&self) -> parking_lot::MutexGuard<'_, Person> {
        self.people[usize::from(self.number)].lock()
    }

    async fn connect(&mut self, healed: bool) -> Option<Connection> {
        self.turn_over(healed);
        self.trace(|| format!("comes with {:?}", self.me().rooms));
        self.sessions = self.sessions.wrapping_add(1);
        let bounds = OutboxBounds {
            messages_max: 2 + self.world.index(8),
            bytes_max: OUTBOX_BYTES_MAX,
        };
        let (out, reader) = outbox(bounds, &self.budget);
        let mut connection = Connection {
            memberships: Vec::new(),
            reader,
            out,
            answers: FuturesUnordered::new(),
        };
        for room in 0..self.world.script.rooms {
            if room > 0 {
                // Or the second answer finds no room.
                self.read(&mut connection).await;
                connection.reader.ready().now_or_never(); // it has been written
            }
            let membership = self.join(room, connection.out.clone()).await?;
            connection.memberships.push(membership);
            self.me().rooms[room].joined = true;
            let out = connection.out.clone();
            self.ask_members(room, &out).await;
        }
        Some(connection)
    }

    fn trace(&self, what: impl FnOnce() -> String) {
        let number = self.number;
        self.world.trace(|| format!("client {number} {}", what()));
    }

    /// What may be different when a client comes back.
    fn turn_over(&self, healed: bool) {
        let clones = !healed && self.world.has(Fault::Clones) && self.world.one_in(6);
        if clones && self.number > 0 {
            let original = self.people[0].lock();
            self.me().clone_of(&original);
            return;
        }
        let mut me = self.me();
        if !healed && self.world.one_in(12) {
            self.world.count(Event::StartsOver);
            me.forget_everything();
        } else if me.must_change_producer() || (!healed && self.world.one_in(16)) {
            me.take_producer();
        }
        let producer = me.producer;
        for room in &mut me.rooms {
            if room.view.own() == 0 || (!healed && self.world.one_in(16)) {
                room.lose_place(self.world.now());
            }
            room.view.replays_to = None;
            room.outbox.begin(producer);
        }
    }

    async fn join(&self, room: usize, outbox: Outbox) -> Option<Membership> {
        let since = self.me().rooms[room].view.since();
        if !since.is_empty() {
            self.world.count(Event::Resumes);
        }
        let mut bytes = [self.number; 16];
        bytes[0] = self.sessions;
        let arrival = Arrival {
            session: SessionId::from_random(bytes),
            nick: texts::nick(self.number),
            outbox,
            format: if self.number == 1 {
                Format::Html
            } else {
                Format::Json
            },
            reply_to: None,
            since: Cursor::parse(&since, 4).expect("a cursor"),
            history: self.world.below(6),
        };
        let grant = testing::join_grant(texts::room(room), self.user);
        match self.hub.join(grant, arrival).await {
            Ok(membership) => {
                self.trace(|| format!("is in room {room}"));
                Some(membership)
            }
            Err(JoinError::Unavailable { .. }) => None,
            Err(why) => {
                self.world.broken(|| format!("join: {why}"));
                None
            }
        }
    }

    /// The connection ends: politely, or with all that was on its way. Copies that are under way may yet arrive.
    fn part(&self, connection: Connection) {
        self.trace(|| "parts".to_owned());
        for membership in connection.memberships {
            if self.world.one_in(3) {
                membership.leave();
            }
        }
        for copy in connection.answers {
            if self.world.one_in(2) {
                self.world.count(Event::LateCopies);
                let late: Task = Box::pin(copy.map(drop));
                self.world.spawn(late);
            }
        }
        for room in &mut self.me().rooms {
            room.outbox.lost();
        }
    }

    /// A while of ordinary, careless life.
    async fn live(&self, connection: &mut Connection) {
        let steps = self.world.below(40);
        let slow = 1 + self.world.below(8);
        for _ in 0..steps {
            if self.world.healed() || self.must_come_back(connection) {
                return;
            }
            while let Some(Some(answer)) = connection.answers.next().now_or_never() {
                self.hear(answer).await;
            }
            match self.world.below(8) {
                0 => {
                    let room = self.world.index(self.world.script.rooms);
                    self.me().write(room);
                    self.flush(connection);
                }
                1 => self.flush(connection),
                2..=4 if self.world.one_in(slow) => {
                    self.read(connection).await;
                }
                5 | 6 => self.catch_up(connection, true).await,
                7 if self.world.one_in(20) => {
                    let room = self.world.index(self.world.script.rooms);
                    self.me().rooms[room].outbox.forget_oldest();
                }
                _ => {}
            }
            pause().await;
        }
    }

    /// Comes level and stays so; returns when the connection has to be made anew.
    async fn settle(&self, connection: &mut Connection) {
        let mut progress = Instant::now();
        loop {
            let settled = self.me().is_settled() && connection.answers.is_empty();
            let tick = async {
                if settled {
                    std::future::pending::<()>().await;
                }
                sleep_until(Instant::now() + TICK).await;
            };
            tokio::select! {
                biased;
                () = connection.reader.ready() => {
                    if self.read(connection).await {
                        progress = Instant::now();
                    }
                    self.catch_up(connection, false).await;
                }
                Some(answer) = connection.answers.next() => self.hear(answer).await,
                () = tick => {}
            }
            let replays = {
                let mut me = self.me();
                for room in &mut me.rooms {
                    room.outbox.tick(&self.world);
                }
                me.rooms.iter().any(|room| room.view.replays_to.is_some())
            };
            if !replays {
                progress = Instant::now();
            }
            if self.must_come_back(connection) || progress.elapsed() > STALLED {
                self.trace(|| format!("comes back after {:?}", progress.elapsed()));
                return;
            }
            self.flush(connection);
        }
    }

    /// Whether the node has closed the connection, or the client must take another producer.
    fn must_come_back(&self, connection: &Connection) -> bool {
        if connection.reader.ended().is_some() {
            self.world.count(Event::ClosedForMemory);
            return true;
        }
        self.me().must_change_producer() && connection.answers.is_empty()
    }

    async fn catch_up(&self, connection: &mut Connection, twice: bool) {
        for (room, membership) in connection.memberships.iter().enumerate() {
            if membership.lags() {
                self.world.count(Event::FellBack);
                self.trace(|| format!("catches up in room {room}"));
                let pull = || membership.catch_up();
                if twice && self.world.one_in(4) {
                    futures_util::future::join(pull(), pull()).await;
                } else {
                    pull().await;
                }
            }
            self.me().rooms[room].lags = membership.lags();
        }
    }

    /// Takes what waits; whether there was anything.
    async fn read(&self, connection: &mut Connection) -> bool {
        let mut frames = Vec::new();
        connection.reader.take(&mut frames);
        let any = !frames.is_empty();
        let asks: Vec<usize> = {
            let mut me = self.me();
            for frame in frames {
                let number = self.number;
                self.world
                    .trace(|| format!("client {number} gets {}", frame.as_str()));
                me.take(&self.world, frame.as_str());
            }
            for (room, membership) in connection.memberships.iter().enumerate() {
                me.rooms[room].lags = membership.lags();
            }
            let doubting = me.rooms.iter().enumerate();
            let doubting = doubting.filter(|(_, room)| room.view.doubts_people());
            doubting.map(|(room, _)| room).collect()
        };
        for room in asks {
            self.ask_members(room, &connection.out).await;
        }
        any
    }

    /// Sends what may go out.
    fn flush(&self, connection: &Connection) {
        for room in 0..self.world.script.rooms {
            loop {
                let copy = self.me().rooms[room].outbox.next(&self.world);
                let Some(copy) = copy else { break };
                connection.answers.push(self.send(room, copy));
            }
        }
    }

    fn send(&self, room: usize, copy: Copy) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let message = NewMessage {
            id: copy.id,
            prev: copy.prev,
            remember: Duration::from_hours(24),
            text_hash: u32::from(copy.number),
            nick: texts::nick(self.number),
            text: texts::text(copy.number).clone(),
        };
        let grant = testing::send_grant(texts::room(room), self.user);
        let (hub, number) = (Arc::clone(&self.hub), self.number);
        self.world
            .trace(|| format!("client {number} sends {:?} after {}", copy.id, copy.prev));
        let held = self.log.holds(room, &copy.id);
        Box::pin(async move {
            let answer = hub.send(grant, message).await;
            (room, copy, held, answer)
        })
    }

    /// Takes an answer, and holds it against the truth.
    async fn hear(&self, (room, copy, (held, losses), answer): Answer) {
        let number = self.number;
        self.world
            .trace(|| format!("client {number} hears {answer:?} to {:?}", copy.id));
        let (holds, losses_now) = self.log.holds(room, &copy.id);
        let copies = {
            let mut me = self.me();
            let items = &me.rooms[room].outbox.items;
            let copies = items.iter().find(|item| item.number == copy.number);
            let copies = copies.map_or(0, |item| item.copies);
            me.answered(&self.world, room, &copy, &answer);
            copies
        };
        if let Err(SendError::Unavailable { retry_after }) = answer
            && retry_after.is_zero()
        {
            self.world.count(Event::Stale);
            if held && losses == losses_now {
                self.world
                    .broken(|| format!("{:?} is there and was refused", copy.id));
            }
        }
        let definite = !matches!(answer, Ok(_) | Err(SendError::Unknown));
        // Of a clone's message the number may well be there: it says something else.
        if definite && holds && copies == 1 && !self.world.had(Fault::Clones) {
            self.world
                .broken(|| format!("{:?} was definitely rejected and is there", copy.id));
        }
        if let Ok(Placed { at: Some(at), .. }) = answer
            && losses == losses_now
            && self.world.one_in(4)
        {
            self.look(room, &copy, at.offset, losses).await;
        }
    }

    /// A read that is begun after an ack returns the message.
    async fn look(&self, room: usize, copy: &Copy, offset: u64, losses: u32) {
        let ask = HistoryAsk {
            from: PageFrom::Before(Some(offset + 1)),
            limit: 1,
            format: Format::Json,
        };
        let grant = testing::read_grant(texts::room(room), self.user);
        let Ok(page) = self.hub.history(grant(), ask).await else {
            return;
        };
        if self.world.facts(room).losses() != losses {
            return;
        }
        self.world.count(Event::ReadsAfterAck);
        let name = copy.id.to_string();
        let holds = page
            .messages
            .iter()
            .any(|frame| frame.as_str().contains(&name));
        let reaches = page.head.0.is_some_and(|head| head.offset >= offset);
        if !reaches || (!holds && page.first <= offset) {
            self.world
                .broken(|| format!("{name} was acknowledged at {offset}, and {page:?} lacks it"));
        }
    }

    /// As the session does it: the answer goes through the same outbox as everything else.
    async fn ask_members(&self, room: usize, out: &Outbox) {
        let id = texts::room(room);
        loop {
            let grant = testing::read_grant(id, self.user);
            if let Ok((count, people)) = self.hub.members(grant(), 200).await {
                let people: Vec<_> = people
                    .iter()
                    .map(|(user, nick)| json!({"user": user.as_str(), "nick": nick.as_str()}))
                    .collect();
                let answer =
                    json!({"type": "members", "room": id, "count": count, "people": people});
                out.offer_reply(&Frame::from(answer.to_string()));
                return;
            }
            pause().await;
        }
    }
}
