//! The bounded way to one client. The hub and the session's own work put frames in; the session takes all that waits, feeds
//! it to the socket and flushes once.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use crate::{
    config::limits::Limits,
    outbound::{frame::Frame, outbox_budget::OutboxBudget},
    protocol::codes::CloseCode,
};

/// Frames for which an empty outbox keeps its buffer: 4 × 32 B. What a burst needed is given back.
const KEPT_FRAMES: usize = 4;
/// What an answer costs beside its bytes, so that many tiny ones are bounded as well.
const REPLY_OVERHEAD: usize = 64;

/// What one outbox may hold, counting what the session is writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Frames from rooms.
    pub messages_max: usize,
    /// Bytes of frames from rooms. Answers to the session's own requests have half as much again, for themselves.
    pub bytes_max: usize,
}

impl OutboxBounds {
    /// From `[limits]`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            messages_max: limits.outbox_messages_max,
            bytes_max: limits.outbox_bytes_max,
        }
    }

    fn reply_bytes_max(self) -> usize {
        self.bytes_max / 2
    }
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It will be written.
    Queued,
    /// There is no room: a member falls back to its cursor.
    Full,
    /// The session has gone.
    Closed,
}

/// The writing end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Shared>);

/// The session's end. Dropping it closes the outbox and gives its bytes back.
#[derive(Debug)]
pub struct OutboxReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    bounds: OutboxBounds,
    budget: Arc<OutboxBudget>,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Frame>,
    /// Taken by whoever wakes, so that a burst wakes once.
    waker: Option<Waker>,
    /// Who waits for the word to close while it writes: frames that come meanwhile do not wake it.
    end_waker: Option<Waker>,
    /// What waits in `queue`.
    waiting: Held,
    /// What the session took and is writing. It counts until the session asks for more, or a peer that stops reading would
    /// hold two outboxes.
    writing: Held,
    nudged: bool,
    /// Something found no room since the session last took what waits: it is woken when there is some.
    refused: bool,
    closed: bool,
    ended: Option<CloseCode>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// Frames from rooms.
    messages: usize,
    /// Their bytes.
    bytes: usize,
    /// Answers: bytes with overhead.
    reply_cost: usize,
    /// Answers: bytes.
    reply_bytes: usize,
}

/// Makes both ends.
pub fn outbox(bounds: OutboxBounds, budget: &Arc<OutboxBudget>) -> (Outbox, OutboxReader) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        bounds,
        budget: Arc::clone(budget),
    });
    (Outbox(Arc::clone(&shared)), OutboxReader(shared))
}

impl Outbox {
    /// Offers a frame from a room.
    pub fn offer(&self, frame: &Frame) -> Offer {
        self.0.budget.tally().offer(self, frame)
    }

    /// Offers an answer to the session's own request (`ack`, `error`, `joined`, a page). Rooms cannot use its room up; `Full`
    /// means that the peer asks and does not read.
    pub fn offer_reply(&self, frame: &Frame) -> Offer {
        self.0.budget.tally().offer_reply(self, frame)
    }

    /// Wakes the session though nothing waits: one of its members fell back to its cursor and wants to be pulled.
    pub fn nudge(&self) {
        self.signal(|state| state.nudged = true);
    }

    /// Tells the session to close with this code. Whether it is the first to say so: the first one counts.
    pub fn end(&self, code: CloseCode) -> bool {
        let mut first = false;
        self.signal(|state| {
            first = state.ended.is_none();
            state.ended.get_or_insert(code);
        });
        first
    }

    /// Tells outboxes apart while they live.
    pub fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Nothing is taken in any more.
    pub fn close(&self) {
        self.signal(|state| state.closed = true);
    }

    /// Whether the session has gone.
    pub fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    /// Whether half of the room for frames from rooms is free: then pulling what a member missed is worth its read. If not,
    /// the session is woken when it is.
    pub fn is_half_empty(&self) -> bool {
        let mut state = self.0.state.lock();
        let held = state.waiting.and(state.writing);
        let bounds = self.0.bounds;
        let free = held.messages <= bounds.messages_max / 2 && held.bytes <= bounds.bytes_max / 2;
        state.refused |= !free;
        free
    }

    /// Bytes that it holds, those being written included.
    pub fn bytes_held(&self) -> usize {
        let state = self.0.state.lock();
        state.waiting.and(state.writing).total()
    }

    /// Puts frames in that belong together, uncounted: the caller's [`Tally`](super::outbox_budget::Tally) counts them.
    pub(super) fn push(&self, frames: &[&Frame]) -> Offer {
        let bounds = self.0.bounds;
        self.put(frames, |state, len| {
            let held = state.waiting.and(state.writing);
            // What is above the bound passes alone, or it could never be delivered.
            let fits = held.messages == 0
                || (held.messages + frames.len() <= bounds.messages_max
                    && held.bytes + len <= bounds.bytes_max);
            if fits {
                state.waiting.messages += frames.len();
                state.waiting.bytes += len;
            }
            state.refused |= !fits;
            fits
        })
    }

    pub(super) fn push_reply(&self, frame: &Frame) -> Offer {
        let max = self.0.bounds.reply_bytes_max();
        self.put(&[frame], |state, len| {
            let held = state.waiting.reply_cost + state.writing.reply_cost;
            let cost = len + REPLY_OVERHEAD;
            let fits = held == 0 || held + cost <= max;
            if fits {
                state.waiting.reply_cost += cost;
                state.waiting.reply_bytes += len;
            }
            fits
        })
    }

    fn put(&self, frames: &[&Frame], fits: impl FnOnce(&mut State, usize) -> bool) -> Offer {
        let len = frames.iter().map(|frame| frame.len()).sum();
        let mut state = self.0.state.lock();
        if state.closed {
            return Offer::Closed;
        }
        if !fits(&mut state, len) {
            return Offer::Full;
        }
        state.queue.extend(frames.iter().copied().cloned());
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Offer::Queued
    }

    fn signal(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.state.lock();
        change(&mut state);
        let wakers = [state.waker.take(), state.end_waker.take()];
        drop(state);
        for waker in wakers.into_iter().flatten() {
            waker.wake();
        }
    }
}

impl OutboxReader {
    /// Resolves when there is something to do: frames wait, a member lags and there is room for what it missed, the session is
    /// told to close, or the outbox was closed. The session then takes what waits (which may be nothing), writes it, and
    /// lets members that lag catch up. Calling it says that what was taken before has been written.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken, so nothing can be lost.
    pub async fn ready(&self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    /// Resolves when the session is told to close, and says why. For a session that is writing and cannot call
    /// [`ready`](Self::ready): it may be writing for ever.
    ///
    /// # Cancel safety
    ///
    /// The word stays said.
    pub async fn told_to_end(&self) -> CloseCode {
        poll_fn(|context| {
            let mut state = self.0.state.lock();
            if let Some(code) = state.ended {
                return Poll::Ready(code);
            }
            state.end_waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes all that waits, in order, into `into`, and says that what was taken before has been written. Whether a member may
    /// have fallen behind since the last time: one that does is nudged after it was marked.
    pub fn take(&mut self, into: &mut Vec<Frame>) -> bool {
        let mut state = self.0.state.lock();
        let taken = std::mem::take(&mut state.waiting);
        let written = std::mem::replace(&mut state.writing, taken);
        let behind = std::mem::take(&mut state.nudged) | std::mem::take(&mut state.refused);
        if into.is_empty() {
            std::mem::swap(&mut state.queue, into);
        } else {
            into.append(&mut state.queue);
        }
        if state.queue.capacity() > KEPT_FRAMES {
            state.queue = Vec::new();
        }
        drop(state);
        self.0.budget.release(written.total());
        behind
    }

    /// Bytes that wait, without those that were taken.
    pub fn bytes_waiting(&self) -> usize {
        self.0.state.lock().waiting.total()
    }

    /// Why the session shall close, once somebody has said so: `slow_consumer` when the node's budget is used up and this
    /// outbox is among the fullest, `internal` when a room of its broke.
    pub fn ended(&self) -> Option<CloseCode> {
        self.0.state.lock().ended
    }

    /// Whether [`Outbox::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.state.lock().closed
    }

    /// As [`ready`](Self::ready), for a loop of one's own.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.state.lock();
        let written = std::mem::take(&mut state.writing);
        // What was written has made room for what was refused.
        let ready = !state.queue.is_empty()
            || state.nudged
            || state.refused
            || state.closed
            || state.ended.is_some();
        if !ready
            && state
                .waker
                .as_ref()
                .is_none_or(|waker| !waker.will_wake(context.waker()))
        {
            state.waker = Some(context.waker().clone());
        }
        drop(state);
        self.0.budget.release(written.total());
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for OutboxReader {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        state.waker = None;
        let dropped = std::mem::take(&mut state.queue);
        let held = std::mem::take(&mut state.waiting).and(std::mem::take(&mut state.writing));
        drop(state);
        drop(dropped);
        self.0.budget.release(held.total());
    }
}

impl Held {
    fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages + other.messages,
            bytes: self.bytes + other.bytes,
            reply_cost: self.reply_cost + other.reply_cost,
            reply_bytes: self.reply_bytes + other.reply_bytes,
        }
    }

    fn total(self) -> usize {
        self.bytes + self.reply_bytes
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, sync::Arc, task::Context};

    use futures_util::task::noop_waker_ref;

    use super::{Offer, Outbox, OutboxBounds, OutboxReader, outbox};
    use crate::{
        outbound::{frame::Frame, outbox_budget::OutboxBudget},
        protocol::codes::CloseCode,
        telemetry::metrics::Metrics,
    };

    const BOUNDS: OutboxBounds = OutboxBounds {
        messages_max: 8,
        bytes_max: 1000,
    };

    fn budget(bytes: usize) -> Arc<OutboxBudget> {
        OutboxBudget::new(bytes, &Metrics::new())
    }

    fn pair(budget: &Arc<OutboxBudget>) -> (Outbox, OutboxReader) {
        outbox(BOUNDS, budget)
    }

    fn frame(bytes: usize) -> Frame {
        Frame::from("x".repeat(bytes))
    }

    fn is_ready(reader: &mut OutboxReader) -> bool {
        pin!(reader.ready())
            .poll(&mut Context::from_waker(noop_waker_ref()))
            .is_ready()
    }

    fn take(reader: &mut OutboxReader) -> usize {
        let mut into = Vec::new();
        reader.take(&mut into);
        into.len()
    }

    #[test]
    fn n_frames_pass_and_one_more_is_full() {
        let budget = budget(1 << 20);
        let (out, mut reader) = pair(&budget);
        for n in 1..=8 {
            assert_eq!(out.offer(&frame(1)), Offer::Queued, "{n}");
        }
        assert_eq!(out.offer(&frame(1)), Offer::Full);
        assert_eq!(take(&mut reader), 8);
        // Taken is not written: a peer that stops reading holds one outbox, not two.
        assert_eq!(out.offer(&frame(1)), Offer::Full);
        assert!(is_ready(&mut reader), "there is room for what was refused");
        assert_eq!(out.offer(&frame(1)), Offer::Queued);
        assert_eq!(take(&mut reader), 1);
        assert!(!is_ready(&mut reader));
    }

    #[test]
    fn frames_that_belong_together_come_together() {
        let budget = budget(1 << 20);
        let (out, mut reader) = pair(&budget);
        let (small, large) = (frame(10), frame(5000));
        let both = |out: &Outbox| budget.tally().offer_all(out, &[&small, &large]);
        assert_eq!(both(&out), Offer::Queued, "alone they pass");
        assert_eq!((take(&mut reader), budget.held()), (2, 5010));
        assert!(!is_ready(&mut reader));
        for _ in 0..7 {
            assert_eq!(out.offer(&small), Offer::Queued);
        }
        let pair = budget.tally().offer_all(&out, &[&small, &small]);
        assert_eq!(pair, Offer::Full, "one of them would fit");
        assert_eq!(take(&mut reader), 7);
    }

    #[test]
    fn n_bytes_pass_and_one_more_is_full() {
        let budget = budget(1 << 20);
        let (out, mut reader) = pair(&budget);
        for (bytes, last) in [
            (499, Offer::Queued),
            (500, Offer::Queued),
            (501, Offer::Full),
        ] {
            assert_eq!(out.offer(&frame(500)), Offer::Queued);
            assert_eq!(out.offer(&frame(bytes)), last, "500 + {bytes}");
            take(&mut reader);
            assert!(!is_ready(&mut reader));
        }
        take(&mut reader);
        assert_eq!(out.offer(&frame(5000)), Offer::Queued, "passes alone");
        assert_eq!(out.offer(&frame(1)), Offer::Full);
    }

    #[test]
    fn answers_have_room_of_their_own_that_is_bounded_too() {
        let budget = budget(1 << 20);
        let (out, mut reader) = pair(&budget);
        while out.offer(&frame(10)) == Offer::Queued {}
        let cost = 64 + 61;
        let answers = 500 / cost;
        for n in 1..=answers {
            assert_eq!(out.offer_reply(&frame(61)), Offer::Queued, "{n}");
        }
        assert_eq!(out.offer_reply(&frame(61)), Offer::Full);
        assert_eq!(
            take(&mut reader),
            8 + answers,
            "in the order in which they came"
        );
    }

    #[test]
    fn the_nodes_budget_refuses_rooms_but_not_answers_and_everything_comes_back() {
        let budget = budget(1000);
        let (one, mut first) = pair(&budget);
        let (two, second) = pair(&budget);
        assert_eq!(one.offer(&frame(600)), Offer::Queued);
        assert_eq!(two.offer(&frame(401)), Offer::Full);
        assert_eq!(two.offer(&frame(400)), Offer::Queued);
        assert_eq!(budget.surplus(), 125);
        assert_eq!(two.offer_reply(&frame(50)), Offer::Queued);
        assert_eq!(budget.held(), 1050);
        take(&mut first);
        assert_eq!(budget.held(), 1050, "being written");
        assert!(!is_ready(&mut first));
        assert_eq!(budget.held(), 450);
        drop(second);
        assert_eq!((budget.held(), budget.surplus()), (0, 0));
        assert_eq!(two.offer(&frame(1)), Offer::Closed);
        assert_eq!(two.offer_reply(&frame(1)), Offer::Closed);
    }

    #[tokio::test]
    async fn a_reader_wakes_for_frames_nudges_ends_and_closing() {
        let budget = budget(1 << 20);
        let (out, mut reader) = pair(&budget);
        assert!(!is_ready(&mut reader));
        for wake in [
            &(|out: &Outbox| assert_eq!(out.offer(&frame(1)), Offer::Queued)) as &dyn Fn(&Outbox),
            &|out| out.nudge(),
        ] {
            let (ready, ()) = tokio::join!(reader.ready(), async { wake(&out) });
            let () = ready;
            take(&mut reader);
            assert!(!is_ready(&mut reader), "once");
        }
        tokio::join!(reader.ready(), async {
            out.end(CloseCode::SlowConsumer);
            out.end(CloseCode::Internal);
        });
        assert_eq!(reader.ended(), Some(CloseCode::SlowConsumer));
        out.close();
        assert!(is_ready(&mut reader) && reader.is_closed());
        assert_eq!(out.offer(&frame(1)), Offer::Closed);
    }

    #[test]
    fn an_idle_outbox_keeps_no_large_buffer() {
        let budget = budget(1 << 20);
        let bounds = OutboxBounds {
            messages_max: 1000,
            bytes_max: 1 << 20,
        };
        let (out, mut reader) = outbox(bounds, &budget);
        let mut batch = Vec::new();
        for burst in [500, 1, 1] {
            for _ in 0..burst {
                out.offer(&frame(1));
            }
            batch.clear();
            reader.take(&mut batch);
            assert_eq!(batch.len(), burst);
        }
        let kept = reader.0.state.lock().queue.capacity() + batch.capacity();
        assert!(kept <= 2 * super::KEPT_FRAMES, "{kept}");
        assert!(std::mem::size_of::<super::Shared>() <= 200);
    }
}
