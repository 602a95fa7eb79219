//! A client: joins, reads slowly or not at all, sends, loses its connection, resumes. After everything has healed it reads
//! whenever it is woken, and only then: a wake that gets lost is a client that never comes level.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use crate::{
    domain::{
        cursor::Cursor,
        ids::{MessageId, Producer, ProducerId, SessionId, UserId},
        nickname::{NameSource, Nickname},
        room_name::RoomId,
        text::CleanText,
    },
    hub::{
        Hub,
        join::{Arrival, JoinError},
        membership::Membership,
        send::{NewMessage, SendError},
        testing,
    },
    outbound::{
        entry_frames::Format,
        frame::Frame,
        outbox::{Outbox, OutboxBounds, OutboxReader, outbox},
        outbox_budget::OutboxBudget,
    },
};

use super::{scheduler::pause, view::View, world::World};

/// What the judge looks at in the end.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) view: View,
    pub(super) lags: bool,
    pub(super) joined: bool,
    /// Acknowledged message ids.
    pub(super) acked: Vec<String>,
    pub(super) unsettled: usize,
}

/// One client.
pub(super) struct Client {
    pub(super) number: u8,
    pub(super) user: UserId,
    pub(super) room: RoomId,
    pub(super) hub: Arc<Hub>,
    pub(super) world: Arc<World>,
    pub(super) budget: Arc<OutboxBudget>,
    pub(super) report: Arc<Mutex<Report>>,
    pub(super) sessions: u8,
    /// How many messages it has written; number n has the text "n".
    pub(super) written: u64,
    /// The number that is sent next.
    pub(super) next: u64,
}

struct Connection {
    membership: Membership,
    reader: OutboxReader,
    out: Outbox,
}

impl Client {
    pub(super) async fn run(mut self) {
        while !self.world.healed() {
            if let Some(mut connection) = self.connect(true).await {
                self.live(&mut connection).await;
                if self.world.healed() {
                    self.settle(connection).await;
                    return;
                }
                if self.world.one_in(3) {
                    connection.membership.leave();
                } // else the socket is lost, with all that was on its way
            }
            pause().await;
        }
        loop {
            if let Some(connection) = self.connect(false).await {
                return self.settle(connection).await;
            }
            // Turned away once more; time passes.
            timeout_at(
                Instant::now() + Duration::from_millis(100),
                std::future::pending::<()>(),
            )
            .await
            .unwrap_or(());
        }
    }

    async fn connect(&mut self, may_start_over: bool) -> Option<Connection> {
        let mut since = {
            let mut report = self.report.lock();
            let own = report.view.own().unwrap_or(0);
            if own == 0 || (may_start_over && self.world.one_in(6)) {
                let people = std::mem::take(&mut report.view.people);
                report.view = View {
                    people,
                    ..View::default()
                };
            }
            report.view.cursor.clone()
        };
        since.truncate(4);
        self.sessions += 1;
        let mut bytes = [self.number; 16];
        bytes[0] = self.sessions;
        let session = SessionId::from_random(bytes);
        let bounds = OutboxBounds {
            messages_max: 2 + usize::try_from(self.world.below(8)).expect("small"),
            bytes_max: 4000,
        };
        let (out, reader) = outbox(bounds, &self.budget);
        let arrival = Arrival {
            session,
            nick: testing::nick(&format!("Person {}", self.number), NameSource::Chosen),
            outbox: out.clone(),
            format: Format::Json,
            reply_to: None,
            since: Cursor::parse(&since, 4).expect("a cursor"),
            history: self.world.below(6),
        };
        let grant = testing::join_grant(&self.room, self.user);
        match self.hub.join(grant, arrival).await {
            Ok(membership) => {
                let connection = Connection {
                    membership,
                    reader,
                    out,
                };
                ask_members(&self.hub, &self.room, self.user, &connection.out).await;
                Some(connection)
            }
            Err(JoinError::Unavailable { .. }) => None,
            Err(why) => {
                self.world.broken(|| format!("join: {why}"));
                None
            }
        }
    }

    /// A while of ordinary, careless life.
    async fn live(&mut self, connection: &mut Connection) {
        let steps = self.world.below(40);
        let slow = 1 + self.world.below(8);
        for _ in 0..steps {
            if self.world.healed() {
                return;
            }
            match self.world.below(8) {
                0 | 1 => self.send().await,
                2..=4 if self.world.one_in(slow) => self.read(connection).await,
                5 | 6 if connection.membership.lags() => {
                    self.world.note(|happened| happened.fell_back += 1);
                    let pull = || connection.membership.catch_up();
                    if self.world.one_in(4) {
                        futures_util::future::join(pull(), pull()).await;
                    } else {
                        pull().await;
                    }
                }
                _ => pause().await,
            }
        }
    }

    /// Comes level and stays so, woken by nothing but its outbox.
    async fn settle(mut self, mut connection: Connection) {
        self.report.lock().joined = true;
        while self.next <= self.written {
            let before = self.next;
            self.send_next().await;
            if self.next <= before {
                pause().await;
            }
            self.read(&mut connection).await;
            if connection.membership.lags() {
                connection.membership.catch_up().await;
            }
        }
        self.report.lock().unsettled = 0;
        loop {
            connection.reader.ready().await;
            self.read(&mut connection).await;
            if connection.membership.lags() {
                connection.membership.catch_up().await;
            }
            self.report.lock().lags = connection.membership.lags();
        }
    }

    async fn read(&self, connection: &mut Connection) {
        let mut frames = Vec::new();
        connection.reader.take(&mut frames);
        let asks = {
            let mut report = self.report.lock();
            for frame in frames {
                let number = self.number;
                self.world
                    .trace(|| format!("client {number} gets {}", frame.as_str()));
                report.view.take(&self.world, frame.as_str());
            }
            report.lags = connection.membership.lags();
            report.view.doubts_people()
        };
        if asks {
            ask_members(&self.hub, &self.room, self.user, &connection.out).await;
        }
    }

    async fn send(&mut self) {
        if self.next > self.written {
            self.written += 1;
        }
        self.send_next().await;
    }

    /// Sends number `next` under its name, whether for the first time or again.
    async fn send_next(&mut self) {
        let seq = self.next;
        let id = MessageId {
            producer: Producer {
                id: ProducerId::from_bytes([self.number; 12]),
                chain: 0,
            },
            seq,
        };
        let message = NewMessage {
            id,
            prev: seq - 1,
            remember: Duration::from_hours(24),
            text_hash: 0,
            nick: Nickname::generated(0),
            text: text(seq),
        };
        let grant = testing::send_grant(&self.room, self.user);
        self.report.lock().unsettled = 1;
        match self.hub.send(grant, message).await {
            Ok(_) => {
                self.report.lock().acked.push(id.to_string());
                self.next = seq + 1;
            }
            Err(SendError::OutOfSequence { have }) if have < seq => self.next = have + 1,
            Err(SendError::Unknown | SendError::Unavailable { .. }) => {}
            Err(why) => self.world.broken(|| format!("send {id}: {why}")),
        }
    }
}

fn text(seq: u64) -> CleanText {
    testing::text(&format!("message {seq}"))
}

/// As the session does it: the answer goes through the same outbox as everything else.
async fn ask_members(hub: &Hub, room: &RoomId, user: UserId, out: &Outbox) {
    loop {
        let grant = testing::read_grant(room, user);
        if let Ok((count, people)) = hub.members(grant(), 200).await {
            let people: Vec<_> = people
                .iter()
                .map(|(user, nick)| json!({"user": user.as_str(), "nick": nick.as_str()}))
                .collect();
            let answer = json!({"type": "members", "count": count, "members": people});
            out.offer_reply(&Frame::from(answer.to_string()));
            return;
        }
        pause().await;
    }
}
