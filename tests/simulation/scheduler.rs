//! One thread, every await a choice: tasks are polled in an order that a seed decides, and time stands still until nobody
//! can go on.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Something that goes on by itself.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Slot {
    task: Task,
    flag: Arc<Flag>,
    waker: Waker,
}

/// Tasks and which of them want to be polled.
#[derive(Default)]
pub(super) struct Scheduler {
    slots: Vec<Slot>,
    ready: Vec<usize>,
}

impl Scheduler {
    pub(super) fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        self.slots.push(Slot {
            // The runtime's budget would stop everybody, since to it all of them are one task.
            task: Box::pin(tokio::task::unconstrained(task)),
            waker: Waker::from(Arc::clone(&flag)),
            flag,
        });
    }

    /// Polls one of those who want it; whether there was one.
    pub(super) fn poll_one(&mut self, rng: &mut fastrand::Rng) -> bool {
        self.ready.clear();
        let wants = |slot: &Slot| slot.flag.0.load(Ordering::Relaxed);
        let ready = self.slots.iter().enumerate();
        let ready = ready.filter(|(_, slot)| wants(slot));
        self.ready.extend(ready.map(|(index, _)| index));
        if self.ready.is_empty() {
            return false;
        }
        let index = self.ready[rng.usize(..self.ready.len())];
        let slot = &mut self.slots[index];
        slot.flag.0.store(false, Ordering::Relaxed);
        let mut context = Context::from_waker(&slot.waker);
        if slot.task.as_mut().poll(&mut context) == Poll::Ready(()) {
            drop(self.slots.swap_remove(index));
        }
        true
    }
}

/// Gives others a turn.
pub(super) async fn pause() {
    let mut polled = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Gives others this many turns.
pub(super) async fn pauses(count: u32) {
    for _ in 0..count {
        pause().await;
    }
}
