//! The production socket: the codec over the upgraded connection. A frame of bytes becomes an event of the session here, a
//! frame of the outbox becomes bytes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::{CapacityError, ProtocolError},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding},
    },
};

use super::guarded_stream::{GuardedStream, Readable, StreamRules};
use crate::{
    config::limits::Limits,
    outbound::frame::Frame,
    protocol::codes::CloseCode,
    session::socket::{Event, Socket},
};

/// Bytes that the codec reads at once. It zero-fills this much at every read and keeps it for as long as the session lives.
const READ_BUFFER_BYTES: usize = 1024;
/// Up to this many bytes are gathered before they are written without being asked to flush: one TLS record.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// A WebSocket over `T`.
pub(super) struct WsSocket<T> {
    codec: WebSocketStream<GuardedStream<T>>,
    broken: Option<Event>,
    /// The codec holds an answer of its own to the peer's Close; ours takes its place.
    answered: bool,
    /// The codec and what lies under it were read dry: only the connection itself can bring more.
    drained: bool,
}

impl<T: AsyncRead + AsyncWrite + Readable + Unpin + Send> WsSocket<T> {
    /// Takes over a connection whose upgrade was answered; `early` is what came with the request.
    pub(super) async fn new(io: T, early: Bytes, rules: StreamRules, limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            // A frame above this is an error and not a wait: it must hold a full outbox and the session's own replies.
            .max_write_buffer_size(limits.outbox_bytes_max.saturating_mul(3))
            .max_message_size(Some(limits.ws_message_bytes_max))
            .max_frame_size(Some(limits.ws_frame_bytes_max));
        let guarded = GuardedStream::new(io, early, rules);
        Self {
            codec: WebSocketStream::from_raw_socket(guarded, Role::Server, Some(config)).await,
            broken: None,
            answered: false,
            drained: false,
        }
    }

    fn feed_message(&mut self, message: Message) {
        if let Err(error) = Pin::new(&mut self.codec).start_send(message) {
            let event = self.classify(&error);
            self.broken.get_or_insert(event);
        }
    }

    /// What an error of the codec means for the session. A limit of ours that was broken below the codec wins.
    fn classify(&self, error: &Error) -> Event {
        if let Some(code) = self.codec.get_ref().fault() {
            return Event::Fault(code);
        }
        match error {
            Error::Capacity(CapacityError::MessageTooLong { .. }) => {
                Event::Fault(CloseCode::TooBig)
            }
            Error::Utf8(_) => Event::Fault(CloseCode::NotUtf8),
            Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => Event::Lost,
            Error::Protocol(_) => Event::Fault(CloseCode::ProtocolError),
            Error::WriteBufferFull(_) => Event::Fault(CloseCode::SlowConsumer),
            _ => Event::Lost,
        }
    }

    fn read_event(&mut self, read: Option<Result<Message, Error>>) -> Option<Event> {
        match read {
            None => Some(Event::Lost),
            Some(Ok(Message::Text(text))) => Some(Event::Text(text)),
            Some(Ok(Message::Binary(_))) => Some(Event::Binary),
            Some(Ok(Message::Ping(_))) => Some(Event::Ping),
            Some(Ok(Message::Pong(payload))) => Some(Event::Pong(payload)),
            Some(Ok(Message::Close(Some(close)))) if is_refusal(&close) => {
                self.answered = true;
                Some(Event::Fault(CloseCode::ProtocolError))
            }
            Some(Ok(Message::Close(close))) => {
                Some(Event::PeerClosed(close.map(|close| close.code.into())))
            }
            Some(Ok(Message::Frame(_))) => None,
            Some(Err(error)) => Some(self.classify(&error)),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Readable + Unpin + Send + Sync> Socket for WsSocket<T> {
    fn feed(&mut self, frame: Frame) {
        self.feed_message(Message::Text(frame.into_utf8()));
    }

    fn feed_ping(&mut self, payload: Bytes) {
        self.feed_message(Message::Ping(payload));
    }

    fn poll_event(&mut self, cx: &mut Context<'_>, flushing: bool, reading: bool) -> Poll<Event> {
        if let Some(event) = self.broken.take() {
            return Poll::Ready(event);
        }
        if flushing {
            match Pin::new(&mut self.codec).poll_flush(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Flushed),
                Poll::Ready(Err(error)) => return Poll::Ready(self.classify(&error)),
                Poll::Pending => {}
            }
        }
        if !reading {
            return Poll::Pending;
        }
        // Every delivery comes by here; the way down to the socket and back costs as much as sealing a record.
        if self.drained {
            ready!(self.codec.get_ref().poll_readable(cx));
        }
        loop {
            let read = Pin::new(&mut self.codec).poll_next(cx);
            self.drained = read.is_pending();
            let read = ready!(read);
            if let Some(event) = self.read_event(read) {
                return Poll::Ready(event);
            }
        }
    }

    fn bytes_written(&self) -> u64 {
        self.codec.get_ref().written()
    }

    async fn close(mut self, code: CloseCode, close: Duration, linger: Duration) {
        let close_frame = raw_close(code);
        let sent = tokio::time::timeout(close, async {
            // After an error of framing the codec refuses to flush; then nothing of ours was under way, or it is lost with it.
            if !self.answered {
                self.codec.flush().await.ok();
            }
            let mut io = self.codec.into_inner().into_inner();
            io.write_all(&close_frame).await?;
            io.flush().await?;
            std::io::Result::Ok(io)
        })
        .await;
        let Ok(Ok(mut io)) = sent else { return };
        // The peer may be sending; closing now would make the kernel answer with a reset, which swallows the Close.
        let drained = tokio::time::timeout(linger, async {
            let mut sink = [0; 1024];
            let mut tail = CloseWatch::default();
            while let Ok(read @ 1..) = io.read(&mut sink).await {
                if tail.saw_close(sink.get(..read).unwrap_or_default()) {
                    break;
                }
            }
        });
        // Whether the peer was done or the time was over: the connection ends either way.
        drained.await.ok();
        tokio::time::timeout(Duration::from_millis(200), io.shutdown())
            .await
            .ok();
    }

    async fn finish(mut self, within: Duration) {
        let flushed = tokio::time::timeout(within, async {
            self.codec.flush().await.ok();
            let mut io = self.codec.into_inner().into_inner();
            io.shutdown().await
        });
        // A peer that does not take the echo of its own Close does not get it.
        flushed.await.ok();
    }
}

/// The codec shows a Close with a code that nobody may send as if the peer had sent what it is about to answer itself.
fn is_refusal(close: &CloseFrame) -> bool {
    close.code == coding::CloseCode::Protocol && close.reason == "Protocol violation"
}

/// A Close frame as bytes: the codec has no way to send one after an error of framing.
fn raw_close(code: CloseCode) -> Vec<u8> {
    let reason = code.name().as_bytes();
    let length = u8::try_from(reason.len()).unwrap_or(0).saturating_add(2);
    let mut frame = vec![0x88, length];
    frame.extend(code.number().to_be_bytes());
    frame.extend(reason);
    frame
}

/// Looks for the peer's answer to our Close while everything else is discarded. The peer's frames may be broken, so this
/// is a guess that only ever ends the linger early: a short masked Close at the end of what came.
#[derive(Default)]
struct CloseWatch {
    tail: Vec<u8>,
}

impl CloseWatch {
    fn saw_close(&mut self, came: &[u8]) -> bool {
        const LONGEST: usize = 6 + 125;
        self.tail.extend_from_slice(
            came.get(came.len().saturating_sub(LONGEST)..)
                .unwrap_or_default(),
        );
        let surplus = self.tail.len().saturating_sub(LONGEST);
        self.tail.drain(..surplus);
        (0..self.tail.len()).any(|at| match self.tail.get(at..) {
            Some([0x88, length, rest @ ..]) if length & 0x80 != 0 => {
                rest.len() == usize::from(length & 0x7f) + 4
            }
            _ => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseWatch, raw_close};
    use crate::protocol::codes::CloseCode;

    #[test]
    fn a_close_frame_carries_its_code_and_its_name() {
        assert_eq!(
            raw_close(CloseCode::SlowConsumer),
            [b"\x88\x0f\x11\xa8".as_slice(), b"slow_consumer"].concat()
        );
        for code in CloseCode::ALL {
            let frame = raw_close(code);
            assert_eq!(frame.len(), usize::from(frame[1]) + 2);
            assert!(frame[1] <= 125);
        }
    }

    #[test]
    fn the_answer_to_a_close_is_seen_behind_other_bytes() {
        let answer = [0x88, 0x82, 1, 2, 3, 4, 0x12, 0x34];
        assert!(CloseWatch::default().saw_close(&answer));
        let mut watch = CloseWatch::default();
        assert!(!watch.saw_close(&[7; 500]));
        assert!(!watch.saw_close(&answer[..3]));
        assert!(watch.saw_close(&answer[3..]));
    }
}
