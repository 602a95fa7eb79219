//! From the accepted socket to the first byte of HTTP: the PROXY header, admission, TLS. What a connection was granted rides on
//! its stream, so that it survives the upgrade and is given back when the stream is dropped.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::Request;
use axum_server::accept::Accept;
use parking_lot::Mutex;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::server::TlsStream;
use tower::Service;

use super::{
    answer_timer::AnswerTimer,
    guarded_stream::Readable,
    head_watch::{HeadNotes, HeadTimer, HeadWatch},
    proxy_header::{self, ProxyRules},
};
use crate::{
    admission::{Admission, caps::Permit},
    telemetry::metrics::Metrics,
};

type AcceptFuture<T, S> = Pin<Box<dyn Future<Output = io::Result<(T, S)>> + Send>>;

/// The other end of a connection, as the PROXY header or the socket says.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// What the connection was granted; it may say that every request on it is to be refused.
    pub(super) permit: Arc<Permit>,
    /// What the connection saw of its request heads.
    pub(super) notes: HeadNotes,
}

/// What comes before TLS.
#[derive(Clone)]
pub(super) struct TcpAcceptor {
    admission: Arc<Admission>,
    proxy: Option<ProxyRules>,
    /// The time that a request head may take.
    head_within: Duration,
}

impl TcpAcceptor {
    /// `proxy` is given when every connection must begin with a PROXY header.
    pub(super) fn new(
        admission: Arc<Admission>,
        proxy: Option<ProxyRules>,
        head_within: Duration,
    ) -> Self {
        Self {
            admission,
            proxy,
            head_within,
        }
    }

    async fn admit(self, mut tcp: TcpStream) -> io::Result<(TcpEdge, Peer)> {
        let socket = tcp.peer_addr()?.ip().to_canonical();
        let address = match &self.proxy {
            Some(_) if !self.admission.is_trusted_proxy(socket) => {
                return Err(proxy_header::foreign());
            }
            Some(rules) => proxy_header::read(&mut tcp, rules)
                .await?
                .map_or(socket, |client| client.to_canonical()),
            None => socket,
        };
        let permit = Arc::new(self.admission.accept(address).map_err(io::Error::other)?);
        tune(&tcp)?;
        let notes = HeadNotes::default();
        let peer = Peer {
            address,
            permit: Arc::clone(&permit),
            notes: notes.clone(),
        };
        Ok((
            TcpEdge {
                tcp,
                permit,
                notes,
                head_within: self.head_within,
            },
            peer,
        ))
    }
}

/// Small frames must not wait for one another, and a peer that vanished must not hold a descriptor for hours.
fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(Duration::from_mins(1))
            .with_interval(Duration::from_secs(15))
            .with_retries(4),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(Duration::from_mins(1)))?;
    Ok(())
}

impl<S: Send + 'static> Accept<TcpStream, S> for TcpAcceptor {
    type Stream = TcpEdge;
    type Service = Introduced<S>;
    type Future = AcceptFuture<TcpEdge, Introduced<S>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let admitted = self.clone().admit(stream);
        Box::pin(async move {
            let (stream, peer) = admitted.await?;
            Ok((
                stream,
                Introduced {
                    inner: service,
                    peer,
                },
            ))
        })
    }
}

/// A TCP connection with what it was granted.
pub(super) struct TcpEdge {
    tcp: TcpStream,
    permit: Arc<Permit>,
    notes: HeadNotes,
    head_within: Duration,
}

impl AsyncRead for TcpEdge {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpEdge {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            // One record as a rule: a plain send costs the kernel less than a list of one.
            [one] => Pin::new(&mut self.tcp).poll_write(cx, one),
            _ => Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// Puts the peer into each request of its connection.
#[derive(Clone)]
pub(super) struct Introduced<S> {
    inner: S,
    peer: Peer,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Introduced<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.extensions_mut().insert(self.peer.clone());
        self.inner.call(request)
    }
}

/// What comes after TLS, or in its place: counts the handshake and hands out the one stream type of the public listener.
#[derive(Clone)]
pub(super) struct OuterAcceptor<A> {
    inner: A,
    metrics: Arc<Metrics>,
}

impl<A> OuterAcceptor<A> {
    pub(super) fn new(inner: A, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl<A, I, S> Accept<I, S> for OuterAcceptor<A>
where
    A: Accept<I, S>,
    A::Stream: IntoEdge,
    A::Future: Send + 'static,
{
    type Stream = EdgeStream;
    type Service = A::Service;
    type Future = AcceptFuture<EdgeStream, A::Service>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.inner.accept(stream, service);
        let metrics = Arc::clone(&self.metrics);
        Box::pin(async move {
            match accepted.await {
                Ok((stream, service)) => Ok((stream.into_edge(&metrics), service)),
                Err(error) => {
                    count_failure(&error, &metrics);
                    Err(error)
                }
            }
        })
    }
}

fn count_failure(error: &io::Error, metrics: &Metrics) {
    let tls = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    let result = match (error.kind(), tls) {
        (io::ErrorKind::TimedOut, _) => "timeout",
        (_, Some(rustls::Error::InvalidMessage(_))) => "not_tls",
        (_, Some(_)) | (io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset, _) => {
            "failed"
        }
        _ => return,
    };
    metrics
        .tls_handshakes
        .get_or_create(&[("result", result), ("version", "none")])
        .inc();
}

/// What the acceptors below can hand up.
pub(super) trait IntoEdge {
    fn into_edge(self, metrics: &Metrics) -> EdgeStream;
}

impl IntoEdge for TcpEdge {
    fn into_edge(self, _: &Metrics) -> EdgeStream {
        self.permit.established();
        EdgeStream::new(
            self.notes.clone(),
            self.head_within,
            self.permit.answer_within(),
            Connection::Plain(self),
        )
    }
}

impl IntoEdge for TlsStream<TcpEdge> {
    fn into_edge(self, metrics: &Metrics) -> EdgeStream {
        let (tcp, tls) = self.get_ref();
        tcp.permit.established();
        let (notes, head_within) = (tcp.notes.clone(), tcp.head_within);
        let answer_within = tcp.permit.answer_within();
        let version = match tls.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
            _ => "none",
        };
        metrics
            .tls_handshakes
            .get_or_create(&[("result", "ok"), ("version", version)])
            .inc();
        EdgeStream::new(
            notes,
            head_within,
            answer_within,
            Connection::Tls(Box::new(self)),
        )
    }
}

/// A connection of the public listener, with or without TLS. It never speaks HTTP/2: hyper would answer its preface whatever
/// ALPN said, so a connection that begins with `PRI ` ends, however its bytes arrive.
pub(super) struct EdgeStream {
    connection: Connection,
    /// How many bytes of the preface have come; `DECIDED` when something else did.
    preface: u8,
    head: HeadWatch,
    timer: HeadTimer,
    answer: AnswerTimer,
}

enum Connection {
    Tls(Box<TlsStream<TcpEdge>>),
    Plain(TcpEdge),
}

const PREFACE: &[u8] = b"PRI ";
const DECIDED: u8 = u8::MAX;

impl EdgeStream {
    fn new(
        notes: HeadNotes,
        head_within: Duration,
        answer_within: Duration,
        connection: Connection,
    ) -> Self {
        Self {
            connection,
            preface: 0,
            head: HeadWatch::new(notes.clone()),
            timer: HeadTimer::new(head_within, notes),
            answer: AnswerTimer::new(answer_within),
        }
    }

    /// The connection speaks WebSocket from here on.
    pub(super) fn upgraded(&mut self) {
        self.timer.stop();
        self.answer.stop();
    }

    /// What was found when something was to be written: an error when the peer has not taken it for too long.
    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() && self.answer.poll_late(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "an answer was not taken",
            )));
        }
        polled
    }

    fn watch_for_preface(&mut self, came: &[u8]) -> io::Result<()> {
        for byte in came {
            if self.preface == DECIDED {
                break;
            }
            if PREFACE.get(usize::from(self.preface)) != Some(byte) {
                self.preface = DECIDED;
            } else if usize::from(self.preface) + 1 == PREFACE.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "HTTP/2 is not spoken here",
                ));
            } else {
                self.preface += 1;
            }
        }
        Ok(())
    }
}

impl AsyncRead for EdgeStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match &mut self.connection {
            Connection::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Connection::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        match &polled {
            Poll::Ready(Ok(())) => {
                let came = buf.filled().get(before..).unwrap_or_default();
                self.watch_for_preface(came)?;
                self.head.see(came);
                self.timer.came();
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                if self.timer.poll_late(cx).is_ready() {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "a request head took too long",
                    )));
                }
            }
        }
        polled
    }
}

impl Readable for EdgeStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let tcp = match &self.connection {
            Connection::Tls(stream) => &stream.get_ref().0.tcp,
            Connection::Plain(edge) => &edge.tcp,
        };
        // An error shows when it is read.
        tcp.poll_read_ready(cx).map(drop)
    }
}

impl AsyncWrite for EdgeStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.connection {
            Connection::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Connection::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
        };
        self.written(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = match &mut self.connection {
            Connection::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Connection::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        };
        self.written(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.connection {
            Connection::Tls(stream) => stream.is_write_vectored(),
            Connection::Plain(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.connection {
            Connection::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Connection::Plain(stream) => Pin::new(stream).poll_flush(cx),
        };
        if polled.is_ready() {
            self.answer.taken();
        }
        self.written(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = match &mut self.connection {
            Connection::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Connection::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        self.written(polled, cx)
    }
}

/// A connection that came to nothing is the peer's affair. When none can be accepted at all, as when descriptors run out, the
/// operator is told; the loop tries again every 50 ms, and one line a second is enough.
pub(super) fn accept_error(peer: Option<&SocketAddr>, error: &io::Error) {
    if peer.is_some() {
        tracing::debug!(%error, "a connection was not accepted");
    } else if EXHAUSTED.may_tell(Instant::now()) {
        tracing::warn!(%error, "no connection can be accepted");
    }
}

/// Descriptors are the process's, and so is the time at which their lack was told.
static EXHAUSTED: OnceASecond = OnceASecond(Mutex::new(None));

struct OnceASecond(Mutex<Option<Instant>>);

impl OnceASecond {
    fn may_tell(&self, now: Instant) -> bool {
        let mut told = self.0.lock();
        let may = told.is_none_or(|told| now.duration_since(told) >= Duration::from_secs(1));
        if may {
            *told = Some(now);
        }
        may
    }
}
