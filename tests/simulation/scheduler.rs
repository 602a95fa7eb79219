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

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Tasks and which of them want to be polled.
#[derive(Default)]
pub(super) struct Scheduler {
    tasks: Vec<(Task, Arc<Flag>)>,
}

impl Scheduler {
    pub(super) fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        // The runtime's budget would stop everybody, since to it all of them are one task.
        self.tasks
            .push((Box::pin(tokio::task::unconstrained(task)), flag));
    }

    /// Polls one of those who want it; whether there was one.
    pub(super) fn poll_one(&mut self, rng: &mut fastrand::Rng) -> bool {
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|index| self.tasks[*index].1.0.load(Ordering::Relaxed))
            .collect();
        let Some(&index) = rng.choice(&ready) else {
            return false;
        };
        let (task, flag) = &mut self.tasks[index];
        flag.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(flag));
        if task.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
            drop(self.tasks.swap_remove(index));
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
