//! The upgraded connection under the codec: every byte and frame that comes in is measured here, before it is parsed.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use super::frame_walker::FrameWalker;
use crate::{
    config::limits::Limits, inbound::rate::Bucket, protocol::codes::CloseCode,
    telemetry::metrics::Metrics,
};

/// The limits of the stream, shared by every session.
#[derive(Clone, Debug)]
pub(super) struct StreamRules {
    limits: Arc<Limits>,
    metrics: Arc<Metrics>,
}

impl StreamRules {
    pub(super) fn new(limits: Arc<Limits>, metrics: Arc<Metrics>) -> Self {
        Self { limits, metrics }
    }
}

/// A stream that counts. A limit of frames or of time ends it with a [`CloseCode`]; a limit of bytes makes it pause.
pub(super) struct GuardedStream<T> {
    inner: T,
    /// What the HTTP parser had read beyond the request: the peer's first frames.
    early: bytes::Bytes,
    walker: FrameWalker,
    bytes_in: Bucket,
    frames: Bucket,
    controls: Bucket,
    rules: StreamRules,
    fault: Option<CloseCode>,
    written: u64,
    /// Armed while reading pauses or a message is unfinished; most connections never need it.
    alarm: Option<Pin<Box<Sleep>>>,
    paused: Option<Instant>,
}

/// A connection that can be asked whether it has anything to read, without reading.
pub(super) trait Readable {
    /// Ready when a read may bring something, or fail; registers for that otherwise. Says nothing of bytes that an earlier
    /// read left in a buffer above the socket.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()>;
}

impl<T: Readable> GuardedStream<T> {
    /// Ready when reading is worth it; while a deadline runs or bytes are held back, always.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waits = self.alarm.is_some() || self.paused.is_some();
        if waits || self.fault.is_some() || !self.early.is_empty() {
            return Poll::Ready(());
        }
        self.inner.poll_readable(cx)
    }
}

impl<T> GuardedStream<T> {
    pub(super) fn new(inner: T, early: bytes::Bytes, rules: StreamRules) -> Self {
        let limits = &rules.limits;
        Self {
            inner,
            early,
            walker: FrameWalker::new(),
            bytes_in: Bucket::new(limits.bytes_in_per_s, limits.bytes_in_burst),
            frames: Bucket::new(limits.frames_per_s, limits.frames_burst),
            controls: Bucket::new(limits.controls_per_s, limits.controls_burst),
            fault: None,
            written: 0,
            alarm: None,
            paused: None,
            rules,
        }
    }

    /// The rule that the peer broke, if it broke one.
    pub(super) fn fault(&self) -> Option<CloseCode> {
        self.fault
    }

    /// Bytes that the connection has taken.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Above a rate of frames the stream has ended, but what came with the last of them is handed on: it fits the codec's read
    /// buffer, and a peer whose frames are malformed is told that and not that they were many.
    fn measure(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        self.rules.metrics.received_bytes.inc_by(bytes.len() as u64);
        let seen = self.walker.walk(bytes, now);
        if self.frames.take(seen.frames).is_err() || self.controls.take(seen.controls).is_err() {
            self.rules.metrics.limited("frames");
            self.fault = Some(CloseCode::RateLimited);
            return;
        }
        if let Err(wait) = self
            .bytes_in
            .take(u32::try_from(bytes.len()).unwrap_or(u32::MAX))
        {
            self.rules.metrics.limited("bytes");
            self.paused = Some(now + wait);
        }
    }

    fn broke(&mut self, code: CloseCode) -> io::Result<()> {
        self.fault = Some(code);
        Err(io::Error::other("a limit of the stream was broken"))
    }

    /// Waits until `until`; ready at once when that has passed.
    fn poll_alarm(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if alarm.deadline() != until {
            alarm.as_mut().reset(until);
        }
        alarm.as_mut().poll(cx)
    }

    /// Nothing came: is a message unfinished for too long?
    fn poll_unfinished(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(since) = self.walker.unfinished_since() else {
            self.alarm = None;
            return Poll::Pending;
        };
        let limit: Duration = self.rules.limits.ws_assembly;
        ready!(self.poll_alarm(cx, since + limit));
        Poll::Ready(self.broke(CloseCode::SilentPeer))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for GuardedStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Some(code) = this.fault {
            return Poll::Ready(this.broke(code));
        }
        if let Some(until) = this.paused {
            ready!(this.poll_alarm(cx, until));
            this.paused = None;
            this.alarm = None;
        }
        let before = buf.filled().len();
        if this.early.is_empty() {
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                Poll::Ready(read) => read?,
                Poll::Pending => return this.poll_unfinished(cx),
            }
        } else {
            let now = this.early.split_to(this.early.len().min(buf.remaining()));
            buf.put_slice(&now);
        }
        let came = buf.filled().get(before..).unwrap_or_default();
        this.measure(came);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for GuardedStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.written = self.written.saturating_add(taken as u64);
        self.rules.metrics.sent_bytes.inc_by(taken as u64);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T> GuardedStream<T> {
    /// The connection without its guards, to send a last frame and to read what is left.
    pub(super) fn into_inner(self) -> T {
        self.inner
    }
}
