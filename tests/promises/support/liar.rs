//! Somebody who writes frames by hand: every byte is the test's own, the answers are taken apart byte by byte.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{
    gateway::{TestGateway, Tls},
    http::exchange,
    within,
};

/// FIN and a text frame.
pub const TEXT: u8 = 0x81;
/// FIN and a binary frame.
pub const BINARY: u8 = 0x82;
/// FIN and a continuation.
pub const LAST: u8 = 0x80;
/// The first part of a text.
pub const FIRST_PART: u8 = 0x01;
/// A part in the middle.
pub const MIDDLE_PART: u8 = 0x00;
/// A Close.
pub const CLOSE: u8 = 0x88;
/// A ping.
pub const PING: u8 = 0x89;
/// A pong.
pub const PONG: u8 = 0x8a;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A masked frame, as a client must send it.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(
        payload
            .iter()
            .zip(MASK.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}

/// The head of a masked frame, its length in the shortest form.
pub fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    if let Ok(short @ 0..=125) = u8::try_from(length) {
        bytes.push(0x80 | short);
    } else if let Ok(medium) = u16::try_from(length) {
        bytes.push(0x80 | 0x7e);
        bytes.extend(medium.to_be_bytes());
    } else {
        bytes.push(0x80 | 0x7f);
        bytes.extend(length.to_be_bytes());
    }
    bytes.extend(MASK);
    bytes
}

/// A text frame with JSON.
pub fn json(value: &Value) -> Vec<u8> {
    frame(TEXT, value.to_string().as_bytes())
}

/// A Close with a code and no reason.
pub fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// A frame of the server.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// An open session without a WebSocket library.
pub struct Liar {
    ear: Ear,
    mouth: WriteHalf<Tls>,
}

/// The half that listens.
struct Ear {
    io: ReadHalf<Tls>,
    raw: Vec<u8>,
}

impl Liar {
    /// A session of a person, after its `welcome`.
    pub async fn enter(gateway: &TestGateway, name: &str) -> Self {
        Self::enter_with(gateway, name, "").await
    }

    /// The same with more of the query, such as `&room=lobby`.
    pub async fn enter_with(gateway: &TestGateway, name: &str, query: &str) -> Self {
        let dial = gateway
            .client()
            .bearer(&gateway.provider.token(name))
            .query(&format!("nick={name}{query}"));
        Self::over(gateway.tls().await, &dial.request()).await
    }

    /// A session over a connection that has said nothing, after its `welcome`.
    pub async fn over(io: Tls, request: &str) -> Self {
        Self::welcomed(io, request).await.0
    }

    /// The same, and the `welcome`.
    pub async fn welcomed(mut io: Tls, request: &str) -> (Self, Value) {
        let (answer, raw) = exchange(&mut io, request.as_bytes())
            .await
            .expect("an answer");
        assert_eq!(answer.status, 101, "{answer:?}");
        let (io, mouth) = tokio::io::split(io);
        let mut liar = Self {
            ear: Ear { io, raw },
            mouth,
        };
        let welcome = liar.json().await;
        assert_eq!(welcome["type"], "welcome");
        (liar, welcome)
    }

    /// Writes bytes, in one TLS record if they fit one.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.expect("it is written");
    }

    /// Writes to a server that may have gone.
    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.mouth.write_all(bytes).await?;
        self.mouth.flush().await
    }

    /// The next frame, whatever it is; nothing when the connection has ended.
    pub async fn heard(&mut self) -> Option<Heard> {
        self.ear.heard().await
    }

    /// The next text as JSON; pings of the server are passed over.
    pub async fn json(&mut self) -> Value {
        loop {
            let heard = self.heard().await.expect("the connection is open");
            if heard.first == PING {
                continue;
            }
            assert_eq!(heard.first, TEXT, "{heard:?}");
            return serde_json::from_slice(&heard.payload).expect("frames are JSON");
        }
    }

    /// The next frame of a type; others are passed over.
    pub async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.json().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Reads to the Close: its code and its reason; nothing when the connection ended without one.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        self.ear.closed().await.1
    }

    /// The same, and the texts that came before it.
    pub async fn closed_after(&mut self) -> (Vec<Value>, Option<(u16, String)>) {
        self.ear.closed().await
    }

    /// Reads to the end of the connection.
    pub async fn ended(&mut self) {
        while self.heard().await.is_some() {}
    }

    /// Writes the same bytes as fast as they are taken until a Close comes: the texts before it, and it.
    pub async fn flood(&mut self, bytes: &[u8]) -> (Vec<Value>, Option<(u16, String)>) {
        let Self { ear, mouth } = self;
        let writing = async {
            while mouth.write_all(bytes).await.is_ok() {}
            // The server has gone; its last words may still be on their way.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            heard = ear.closed() => heard,
            () = writing => unreachable!("it never ends"),
        }
    }

    /// The connection itself, to end it in a way of one's own.
    pub fn into_io(self) -> Tls {
        self.ear.io.unsplit(self.mouth)
    }
}

impl Ear {
    async fn heard(&mut self) -> Option<Heard> {
        within("a frame of the server", async {
            loop {
                if let Some(heard) = self.take_frame() {
                    return Some(heard);
                }
                match self.io.read_buf(&mut self.raw).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return None,
                }
            }
        })
        .await
    }

    async fn closed(&mut self) -> (Vec<Value>, Option<(u16, String)>) {
        let mut before = Vec::new();
        loop {
            let Some(heard) = self.heard().await else {
                return (before, None);
            };
            match heard.first {
                CLOSE => return (before, Some(told(&heard.payload))),
                TEXT => {
                    before.push(serde_json::from_slice(&heard.payload).expect("frames are JSON"));
                }
                PING | PONG => {}
                first => panic!("no server sends {first:#x}"),
            }
        }
    }

    fn take_frame(&mut self) -> Option<Heard> {
        let (first, second) = (*self.raw.first()?, *self.raw.get(1)?);
        assert_eq!(second & 0x80, 0, "a server never masks");
        let (head, length) = match second {
            126 => (4, self.length(2)?),
            127 => (10, self.length(8)?),
            short => (2, usize::from(short)),
        };
        let payload = self.raw.get(head..head + length)?.to_vec();
        self.raw.drain(..head + length);
        Some(Heard { first, payload })
    }

    fn length(&self, bytes: usize) -> Option<usize> {
        let bytes = self.raw.get(2..2 + bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        )
    }
}

/// A Close's code, 1005 when it names none, and its reason.
fn told(payload: &[u8]) -> (u16, String) {
    match payload {
        [high, low, reason @ ..] => (
            u16::from_be_bytes([*high, *low]),
            String::from_utf8(reason.to_vec()).expect("a reason is UTF-8"),
        ),
        _ => (1005, String::new()),
    }
}
