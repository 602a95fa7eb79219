//! The time in which a peer must have taken an answer of HTTP. hyper waits for a peer that reads nothing as long as the kernel
//! does, and such a peer would hold its connection, its file and a few buffers for nothing.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Runs from the moment at which something had to wait for the peer until nothing waits: a byte taken now and then moves
/// nothing.
#[derive(Debug)]
pub(super) struct AnswerTimer {
    within: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl AnswerTimer {
    pub(super) fn new(within: Duration) -> Self {
        Self {
            within,
            alarm: None,
            over: false,
        }
    }

    /// The connection is no longer HTTP; a session has a limit of its own.
    pub(super) fn stop(&mut self) {
        self.over = true;
        self.alarm = None;
    }

    /// Everything was handed to the kernel.
    pub(super) fn taken(&mut self) {
        self.alarm = None;
    }

    /// Something waits for the peer: ready when it has waited for too long.
    pub(super) fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over {
            return Poll::Pending;
        }
        let within = self.within;
        self.alarm
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + within)))
            .as_mut()
            .poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::AnswerTimer;

    async fn late(timer: &mut AnswerTimer, seconds: u64) -> bool {
        let poll = std::future::poll_fn(|cx| timer.poll_late(cx));
        tokio::time::timeout(Duration::from_secs(seconds), poll)
            .await
            .is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_has_its_time_and_the_next_one_has_it_again() {
        let mut timer = AnswerTimer::new(Duration::from_secs(30));
        assert!(!late(&mut timer, 29).await);
        timer.taken();
        assert!(!late(&mut timer, 20).await);
        assert!(late(&mut timer, 11).await, "it runs on until all is taken");
        timer.stop();
        assert!(!late(&mut timer, 100).await, "a session has its own");
    }
}
