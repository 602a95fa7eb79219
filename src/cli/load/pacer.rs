//! Who speaks when: by the clock, whatever the gateway does, or as fast as messages reach everybody.

use std::num::NonZeroU32;

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Duration, sleep_until},
};

use super::{
    args::Pace,
    member::{Order, Run},
    recorder::Outcome,
};

/// Orders that may wait for one session. A session that falls so far behind has stalled.
pub(super) const ORDERS_WAITING: usize = 1024;

/// A session that talks.
pub(super) struct Sender {
    /// Which session.
    pub(super) socket: usize,
    pub(super) room: usize,
    pub(super) orders: mpsc::Sender<Order>,
}

/// Speaks at that pace until `end_us`. Cancel-safe: what was ordered is said.
pub(super) async fn speak(run: &Run, senders: &[Sender], pace: Pace, start_us: u64, end_us: u64) {
    match pace {
        Pace::Silent => sleep_until(run.origin + Duration::from_micros(end_us)).await,
        Pace::Rate(rate) => by_the_clock(run, senders, rate, start_us, end_us).await,
        Pace::InFlight(window) => as_fast_as_it_goes(run, senders, window, end_us).await,
    }
}

async fn by_the_clock(run: &Run, senders: &[Sender], rate: NonZeroU32, start_us: u64, end_us: u64) {
    for (n, sender) in (0_u64..).zip((0..senders.len()).cycle()) {
        let due_us = start_us + n * 1_000_000 / u64::from(rate.get());
        if due_us >= end_us {
            return;
        }
        sleep_until(run.origin + Duration::from_micros(due_us)).await;
        order(run, senders, sender, due_us);
    }
}

async fn as_fast_as_it_goes(run: &Run, senders: &[Sender], window: NonZeroU32, end_us: u64) {
    let window = window.get() as usize;
    let rooms: Vec<Vec<usize>> = (0..run.rooms.len())
        .map(|room| {
            (0..senders.len())
                .filter(|&sender| senders[sender].room == room)
                .collect()
        })
        .collect();
    let mut turns = vec![0_usize; rooms.len()];
    let mut over = std::pin::pin!(sleep_until(run.origin + Duration::from_micros(end_us)));
    loop {
        for (room, turn) in turns.iter_mut().enumerate() {
            let free = window.saturating_sub(run.recorder.lock().under_way(room));
            for _ in 0..free {
                order(
                    run,
                    senders,
                    rooms[room][*turn % rooms[room].len()],
                    run.now_us(),
                );
                *turn += 1;
            }
        }
        tokio::select! {
            () = &mut over => return,
            () = run.progress.notified() => {}
        }
    }
}

/// Gives a message its number and has it said. A session that cannot take the order is accounted for as a refusal.
fn order(run: &Run, senders: &[Sender], sender: usize, due_us: u64) {
    let Sender { room, orders, .. } = &senders[sender];
    let number = run.recorder.lock().number(*room, sender);
    let code = match orders.try_send(Order { number, due_us }) {
        Ok(()) => return,
        Err(TrySendError::Full(_)) => "sender stalled",
        Err(TrySendError::Closed(_)) => "sender closed",
    };
    run.recorder
        .lock()
        .refused(*room, Some(number), code, Outcome::No);
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use parking_lot::Mutex;
    use tokio::{
        sync::{Notify, mpsc},
        time::Instant,
    };
    use tokio_util::sync::CancellationToken;

    use super::{Sender, speak};
    use crate::cli::load::{
        args::Pace,
        member::{Order, Run},
        recorder::{Delivery, Recorder},
        text::Texts,
    };

    fn run(rooms: usize, members: usize) -> Run {
        let mut recorder = Recorder::new(rooms);
        for room in 0..rooms {
            for _ in 0..members {
                recorder.joined(room);
            }
        }
        Run {
            origin: Instant::now(),
            rooms: (0..rooms).map(|room| room.to_string()).collect(),
            texts: Texts::new(7, 100),
            recorder: Mutex::new(recorder),
            progress: Notify::new(),
            stop: CancellationToken::new(),
        }
    }

    fn senders(rooms: usize, each: usize) -> (Vec<Sender>, Vec<mpsc::Receiver<Order>>) {
        (0..rooms * each)
            .map(|n| (n % rooms, mpsc::channel(64)))
            .enumerate()
            .map(|(socket, (room, (orders, taken)))| {
                (
                    Sender {
                        socket,
                        room,
                        orders,
                    },
                    taken,
                )
            })
            .unzip()
    }

    fn taken(orders: &mut mpsc::Receiver<Order>) -> Vec<u64> {
        std::iter::from_fn(|| orders.try_recv().ok())
            .map(|order| order.due_us)
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_due_at_equal_distances_and_senders_take_turns() {
        let run = run(1, 1);
        let (senders, mut orders) = senders(1, 2);
        speak(
            &run,
            &senders,
            Pace::Rate(NonZeroU32::new(4).unwrap()),
            0,
            1_000_000,
        )
        .await;
        assert_eq!(taken(&mut orders[0]), [0, 500_000]);
        assert_eq!(taken(&mut orders[1]), [250_000, 750_000]);
        assert_eq!(run.recorder.lock().sent, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_window_is_under_way_in_each_room() {
        let run = run(2, 1);
        let (senders, mut orders) = senders(2, 1);
        let pace = Pace::InFlight(NonZeroU32::new(3).unwrap());
        speak(&run, &senders, pace, 0, 10_000).await;
        assert_eq!(
            orders
                .iter_mut()
                .map(|orders| taken(orders).len())
                .collect::<Vec<_>>(),
            [3, 3]
        );
        run.recorder.lock().delivered(
            1,
            Delivery {
                number: 0,
                offset: 1,
                due_us: 0,
            },
            0,
        );
        speak(&run, &senders, pace, 0, 20_000).await;
        assert_eq!(
            orders
                .iter_mut()
                .map(|orders| taken(orders).len())
                .collect::<Vec<_>>(),
            [0, 1]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_has_gone_is_asked_and_accounted_for() {
        let run = run(1, 1);
        let (senders, orders) = senders(1, 1);
        drop(orders);
        speak(
            &run,
            &senders,
            Pace::Rate(NonZeroU32::new(1).unwrap()),
            0,
            1,
        )
        .await;
        assert_eq!(run.recorder.lock().refused["sender closed"], 1);
        assert_eq!(run.recorder.lock().under_way(0), 0);
    }
}
