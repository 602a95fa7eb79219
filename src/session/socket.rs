//! What the session needs of a socket. One production type (`server::ws_socket`), and channels in tests; generic and not
//! `dyn`, because it is polled in the hot loop.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{outbound::frame::Frame, protocol::codes::CloseCode};

/// Something that happened on the socket.
#[derive(Debug)]
pub enum Event {
    /// All that was fed has been taken by the connection.
    Flushed,
    /// A whole text message.
    Text(Utf8Bytes),
    /// A binary message; no protocol of ours speaks it.
    Binary,
    /// The peer lives: its ping, which the socket answers by itself.
    Ping,
    /// The peer lives: its pong, with what our ping carried.
    Pong(Bytes),
    /// The peer sent a Close, with this code if it named one.
    PeerClosed(Option<u16>),
    /// The connection is gone, without a Close.
    Lost,
    /// The peer broke a rule of the stream; the session ends with this code.
    Fault(CloseCode),
}

/// A WebSocket connection, server side.
pub trait Socket: Send {
    /// Queues a text frame; nothing leaves before the next flush. Errors show at the next poll.
    fn feed(&mut self, frame: Frame);

    /// Queues a ping.
    fn feed_ping(&mut self, payload: Bytes);

    /// Drives the connection: flushes when `flushing`, reads when `reading`. Cancel-safe.
    fn poll_event(&mut self, cx: &mut Context<'_>, flushing: bool, reading: bool) -> Poll<Event>;

    /// Bytes that the connection has taken so far: a peer that reads makes it grow.
    fn bytes_written(&self) -> u64;

    /// Sends what was fed and a Close within `close`, then reads and discards for `linger` at most, so that the kernel does
    /// not answer the peer's last bytes with a reset that would swallow the Close.
    fn close(
        self,
        code: CloseCode,
        close: Duration,
        linger: Duration,
    ) -> impl Future<Output = ()> + Send;

    /// Finishes the peer's own close: the echo is flushed and the connection ends.
    fn finish(self, within: Duration) -> impl Future<Output = ()> + Send;
}
