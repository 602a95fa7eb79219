//! One session of the run: it says what it is told to say, hears its room, and accounts for every frame.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::{
    frame::{Incoming, Message, Outgoing, read_send_id, send_id},
    receiver::{Receiver, Step},
    recorder::{Delivery, Outcome, Recorder},
    socket::{Ended, Socket},
    text::{Said, Texts},
};

/// Orders taken at once: one flush for all of them.
const ORDERS_AT_ONCE: usize = 64;

/// What all sessions of a run share.
pub(super) struct Run {
    pub(super) origin: Instant,
    pub(super) rooms: Vec<String>,
    pub(super) texts: Texts,
    pub(super) recorder: Mutex<Recorder>,
    /// Told when messages have reached everybody.
    pub(super) progress: Notify,
    /// Ends every session.
    pub(super) stop: CancellationToken,
}

impl Run {
    /// Microseconds since the run began.
    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Say this.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) due_us: u64,
}

/// A session that has arrived.
pub(super) struct Member {
    run: Arc<Run>,
    socket: Socket,
    receiver: Option<Receiver>,
    /// Only those that talk have one.
    orders: Option<mpsc::Receiver<Order>>,
}

/// What a frame means for the recorder.
#[derive(Debug)]
enum Heard {
    Delivered(Delivery),
    Acked {
        number: u64,
        due_us: u64,
        offset: Option<u64>,
    },
    Refused {
        number: Option<u64>,
        code: String,
        outcome: Outcome,
    },
    Doubled,
    Altered,
    Foreign,
    /// The offset did not follow the one before.
    Disordered,
    Break,
}

impl Member {
    /// A session in the room that `receiver` belongs to, if it is in one.
    pub(super) fn new(
        run: Arc<Run>,
        socket: Socket,
        receiver: Option<Receiver>,
        orders: Option<mpsc::Receiver<Order>>,
    ) -> Self {
        Self {
            run,
            socket,
            receiver,
            orders,
        }
    }

    /// Lives until the run stops or the session ends.
    pub(super) async fn live(mut self) {
        let run = Arc::clone(&self.run);
        let mut stopped = std::pin::pin!(run.stop.cancelled());
        let mut frames = Vec::new();
        let ended = loop {
            tokio::select! {
                () = &mut stopped => break None,
                Some(order) = next(&mut self.orders) => {
                    if let Err(ended) = self.speak(order).await { break Some(ended) }
                }
                received = self.socket.receive(&mut frames) => {
                    self.hear(&mut frames);
                    if let Err(ended) = received { break Some(ended) }
                }
            }
        };
        self.account(ended.as_ref());
        if ended.is_none() {
            self.socket.close().await;
        }
    }

    fn account(&self, ended: Option<&Ended>) {
        let mut recorder = self.run.recorder.lock();
        if let Some(receiver) = &self.receiver {
            recorder.ended(receiver);
        }
        if let Some(ended) = ended {
            recorder.closed(ended.clone());
        }
    }

    async fn speak(&mut self, first: Order) -> Result<(), Ended> {
        let Some(room) = self.receiver.as_ref().map(Receiver::room) else {
            return Ok(());
        };
        let mut said = vec![first];
        while let Some(order) = self
            .orders
            .as_mut()
            .and_then(|orders| orders.try_recv().ok())
            && said.len() < ORDERS_AT_ONCE
        {
            said.push(order);
        }
        for order in &said {
            let id = send_id(order.number, order.due_us);
            let text = self.run.texts.write(order.number, order.due_us);
            let frame = Outgoing::Send {
                id: &id,
                room: &self.run.rooms[room],
                text: &text,
            };
            self.socket
                .feed(serde_json::to_string(&frame).expect("a frame of strings"))
                .await?;
        }
        self.socket.flush().await?;
        let now_us = self.run.now_us();
        let mut recorder = self.run.recorder.lock();
        for order in said {
            recorder.left(order.due_us, now_us);
        }
        Ok(())
    }

    fn hear(&mut self, frames: &mut Vec<Utf8Bytes>) {
        let Some(receiver) = &mut self.receiver else {
            return frames.clear();
        };
        let now_us = self.run.now_us();
        let heard: Vec<_> = frames
            .iter()
            .flat_map(|frame| understand(&self.run, receiver, frame))
            .flatten()
            .collect();
        frames.clear();
        if heard.is_empty() {
            return;
        }
        let mut recorder = self.run.recorder.lock();
        let before = recorder.under_way(receiver.room());
        for one in heard {
            record(&mut recorder, receiver.room(), one, now_us);
        }
        if recorder.under_way(receiver.room()) < before {
            self.run.progress.notify_one();
        }
    }
}

async fn next(orders: &mut Option<mpsc::Receiver<Order>>) -> Option<Order> {
    match orders {
        Some(orders) => orders.recv().await,
        None => std::future::pending().await,
    }
}

/// Two things at most: what the frame is, and that its place is wrong.
fn understand(run: &Run, receiver: &mut Receiver, frame: &str) -> [Option<Heard>; 2] {
    let Ok(incoming) = serde_json::from_str(frame) else {
        return [Some(Heard::Altered), None];
    };
    match incoming {
        Incoming::Message(message) => {
            let place = step(receiver, message.offset);
            [Some(message_heard(run, receiver, &message)), place]
        }
        Incoming::Deleted { offset } | Incoming::Moderation { offset } => {
            [step(receiver, offset), None]
        }
        Incoming::Gap { to } | Incoming::Reset { to } => {
            receiver.jump(to.0);
            [Some(Heard::Break), None]
        }
        Incoming::Fork {} => [Some(Heard::Break), None],
        Incoming::Ack { id, offset } => {
            let answered = id.as_deref().and_then(read_send_id);
            [
                answered.map(|(number, due_us)| Heard::Acked {
                    number,
                    due_us,
                    offset,
                }),
                None,
            ]
        }
        Incoming::Error { id, code, outcome } => {
            let number = id
                .as_deref()
                .and_then(read_send_id)
                .map(|(number, _)| number);
            let outcome = if outcome == Some("unknown") {
                Outcome::Unknown
            } else {
                Outcome::No
            };
            [
                Some(Heard::Refused {
                    number,
                    code: code.to_owned(),
                    outcome,
                }),
                None,
            ]
        }
        Incoming::Welcome { .. } | Incoming::Joined { .. } | Incoming::Other => [None, None],
    }
}

fn step(receiver: &mut Receiver, offset: u64) -> Option<Heard> {
    match receiver.step(offset) {
        Step::Next => None,
        Step::Hole | Step::Back => Some(Heard::Disordered),
    }
}

fn message_heard(run: &Run, receiver: &mut Receiver, message: &Message<'_>) -> Heard {
    let ours = run.rooms[receiver.room()] == message.room;
    match message.text.as_deref().map(|text| run.texts.read(text)) {
        Some(Said::Ours { .. } | Said::Altered) if !ours => Heard::Altered,
        Some(Said::Ours { number, due_us }) if receiver.mark(number) => {
            Heard::Delivered(Delivery {
                number,
                offset: message.offset,
                due_us,
            })
        }
        Some(Said::Ours { .. }) => Heard::Doubled,
        Some(Said::Altered) => Heard::Altered,
        Some(Said::Foreign) | None => Heard::Foreign,
    }
}

fn record(recorder: &mut Recorder, room: usize, heard: Heard, now_us: u64) {
    match heard {
        Heard::Delivered(delivery) => recorder.delivered(room, delivery, now_us),
        Heard::Acked {
            number,
            due_us,
            offset,
        } => recorder.acked(room, number, offset, due_us, now_us),
        Heard::Refused {
            number,
            code,
            outcome,
        } => recorder.refused(room, number, &code, outcome),
        Heard::Doubled => recorder.faults.doubled += 1,
        Heard::Altered => recorder.faults.altered += 1,
        Heard::Foreign => recorder.foreign += 1,
        Heard::Disordered => recorder.faults.disordered += 1,
        Heard::Break => recorder.faults.breaks += 1,
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;
    use tokio::{sync::Notify, time::Instant};
    use tokio_util::sync::CancellationToken;

    use super::{Run, record, understand};
    use crate::cli::load::{receiver::Receiver, recorder::Recorder, text::Texts};

    /// A run with one member, to which frames are shown.
    struct Bench {
        run: Run,
        receiver: Receiver,
    }

    impl Bench {
        fn new(sent: u64) -> Self {
            let mut recorder = Recorder::new(1);
            let receiver = Receiver::new(0, 10, recorder.joined(0));
            for _ in 0..sent {
                recorder.number(0, 0);
            }
            let run = Run {
                origin: Instant::now(),
                rooms: vec!["lobby".to_owned()],
                texts: Texts::new(7, 100),
                recorder: Mutex::new(recorder),
                progress: Notify::new(),
                stop: CancellationToken::new(),
            };
            Self { run, receiver }
        }

        fn show(&mut self, frame: &str) {
            let mut recorder = self.run.recorder.lock();
            for heard in understand(&self.run, &mut self.receiver, frame)
                .into_iter()
                .flatten()
            {
                record(&mut recorder, 0, heard, 1);
            }
        }

        fn message(&self, room: &str, offset: u64, number: u64) -> String {
            let text = self.run.texts.write(number, 0);
            format!(
                r#"{{"type":"message","room":"{room}","offset":{offset},"id":"x.1","user":"u_a","nick":"A","verified":true,"text":"{text}","ts":"t"}}"#
            )
        }

        fn end(self) -> Recorder {
            let mut recorder = self.run.recorder.into_inner();
            recorder.ended(&self.receiver);
            recorder
        }
    }

    #[test]
    fn a_clean_stream_has_no_faults() {
        let mut bench = Bench::new(2);
        bench.show(&bench.message("lobby", 11, 0));
        bench.show(r#"{"type":"ack","id":"0.0","room":"lobby","offset":11,"epoch":"a"}"#);
        bench.show(r#"{"type":"presence","room":"lobby","joined":[],"left":[],"count":1}"#);
        bench.show(&bench.message("lobby", 12, 1));
        let recorder = bench.end();
        assert!(recorder.faults.is_none(), "{:?}", recorder.faults);
        assert_eq!((recorder.delivered, recorder.acked), (2, 1));
    }

    #[test]
    fn what_is_lost_doubled_altered_or_out_of_place_is_counted() {
        let mut bench = Bench::new(4);
        bench.show(&bench.message("lobby", 11, 0));
        bench.show(&bench.message("lobby", 12, 0));
        bench.show(&bench.message("lobby", 14, 1));
        bench.show(&bench.message("lobby", 15, 2).replace("abc", "abd"));
        bench.show(&bench.message("other", 16, 3));
        bench.show(r#"{"type":"gap","room":"lobby","from":17,"to":[20,"a"]}"#);
        bench.show("{");
        let faults = bench.end().faults;
        assert_eq!(
            (
                faults.lost,
                faults.doubled,
                faults.altered,
                faults.disordered,
                faults.breaks
            ),
            (2, 1, 3, 1, 1)
        );
    }

    #[test]
    fn other_peoples_messages_take_their_place_and_are_no_fault() {
        let mut bench = Bench::new(1);
        bench.show(r#"{"type":"message","room":"lobby","offset":11,"id":"y.1","user":"u_b","nick":"B","verified":true,"text":"hi","ts":"t"}"#);
        bench.show(
            r#"{"type":"message","room":"lobby","offset":12,"id":"y.2","deleted":true,"ts":"t"}"#,
        );
        bench.show(&bench.message("lobby", 13, 0));
        let recorder = bench.end();
        assert!(recorder.faults.is_none(), "{:?}", recorder.faults);
        assert_eq!(recorder.foreign, 2);
    }

    #[test]
    fn a_refused_message_is_not_owed() {
        let mut bench = Bench::new(1);
        bench.show(
            r#"{"type":"error","id":"0.0","code":"rate_limited","detail":"…","outcome":"no"}"#,
        );
        let recorder = bench.end();
        assert!(recorder.faults.is_none());
        assert_eq!(recorder.refused["rate_limited"], 1);
    }
}
