//! One session as a client: the upgrade, the wait for its room, then batches of frames in and out.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message, Utf8Bytes,
        client::IntoClientRequest,
        http::{HeaderValue, Response, StatusCode, header},
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode},
    },
};

use super::{
    frame::{Incoming, Limits},
    target::{Handshake, Target, Wire},
};

/// Small buffers: thousands of sessions in one process.
const READ_BUFFER_BYTES: usize = 4096;
/// A `joined` may carry a page of history.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Frames taken at once before others have their turn.
const BATCH: usize = 64;
/// From the upgrade to `joined`.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);
/// For saying goodbye.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A session that has arrived.
pub(super) struct Socket {
    stream: WebSocketStream<Box<dyn Wire>>,
}

/// What is known once a session has arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) handshake: Handshake,
    pub(super) limits: Limits,
    /// The offset of the room's head at the join.
    pub(super) head: u64,
    /// How often the gateway said "not so fast".
    pub(super) delayed: u32,
}

/// Why a session is over, as it is reported.
pub(super) type Ended = String;

impl Socket {
    /// Connects, and waits until the room was entered. While the gateway answers that connections come too fast, it is asked
    /// again after the time it named, until `deadline`.
    pub(super) async fn arrive(
        target: &Target,
        token: &str,
        room: Option<&str>,
        deadline: Instant,
    ) -> anyhow::Result<(Self, Arrival)> {
        let mut delayed = 0;
        loop {
            match Self::upgrade(target, token, room).await? {
                Upgrade::Done(mut socket, handshake) => {
                    let (limits, head) = timeout(ARRIVAL_LIMIT, socket.wait_for_room(room))
                        .await
                        .context("no `joined` in time")??;
                    return Ok((
                        socket,
                        Arrival {
                            handshake,
                            limits,
                            head,
                            delayed,
                        },
                    ));
                }
                Upgrade::NotSoFast(wait) => {
                    let again = Instant::now() + wait;
                    if again > deadline {
                        bail!(
                            "the gateway admits connections too slowly; limits.connects_per_ip_per_s of the gateway is for that"
                        );
                    }
                    delayed += 1;
                    sleep_until(again).await;
                }
            }
        }
    }

    async fn upgrade(target: &Target, token: &str, room: Option<&str>) -> anyhow::Result<Upgrade> {
        let (wire, handshake) = target.connect().await?;
        let mut request = target.url(room).into_client_request()?;
        let bearer =
            HeaderValue::try_from(format!("Bearer {token}")).context("the token is no token")?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        match timeout(
            ARRIVAL_LIMIT,
            client_async_with_config(request, wire, Some(config)),
        )
        .await
        .context("no answer in time")?
        {
            Ok((stream, _)) => Ok(Upgrade::Done(Self { stream }, handshake)),
            Err(tungstenite::Error::Http(response)) => refused(&response),
            Err(error) => Err(error).context("no upgrade"),
        }
    }

    async fn wait_for_room(&mut self, room: Option<&str>) -> anyhow::Result<(Limits, u64)> {
        let mut limits = Limits::default();
        let mut welcomed = false;
        let mut frames = Vec::with_capacity(1);
        loop {
            if welcomed && room.is_none() {
                return Ok((limits, 0));
            }
            self.read(&mut frames, 1)
                .await
                .map_err(|ended| anyhow!("the session ended before it had joined: {ended}"))?;
            for frame in frames.drain(..) {
                match serde_json::from_str(&frame)
                    .with_context(|| format!("a frame that is none: {frame}"))?
                {
                    Incoming::Welcome { limits: told } => (welcomed, limits) = (true, told),
                    Incoming::Joined { room: joined, head } if Some(joined) == room => {
                        return Ok((limits, head.0));
                    }
                    Incoming::Error { code, .. } => bail!("the room was not entered: {code}"),
                    _ => {}
                }
            }
        }
    }

    /// Waits for a frame, then takes what else is there. Cancel-safe.
    pub(super) async fn receive(&mut self, frames: &mut Vec<Utf8Bytes>) -> Result<(), Ended> {
        self.read(frames, BATCH).await
    }

    async fn read(&mut self, frames: &mut Vec<Utf8Bytes>, most: usize) -> Result<(), Ended> {
        let first = self.stream.next().await;
        take(first, frames)?;
        while frames.len() < most {
            let Some(next) = self.stream.next().now_or_never() else {
                break;
            };
            take(next, frames)?;
        }
        Ok(())
    }

    /// Queues a frame.
    pub(super) async fn feed(&mut self, frame: String) -> Result<(), Ended> {
        self.stream
            .feed(Message::text(frame))
            .await
            .map_err(|error| broken(&error))
    }

    /// Sends what was queued.
    pub(super) async fn flush(&mut self) -> Result<(), Ended> {
        self.stream.flush().await.map_err(|error| broken(&error))
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: Utf8Bytes::from_static("normal"),
        };
        let deadline = Instant::now() + CLOSE_LIMIT;
        let said = timeout_at(deadline, self.stream.close(Some(goodbye))).await;
        if matches!(said, Ok(Ok(()))) {
            // The gateway's echo; whether it comes in time or not, the run is over.
            timeout_at(deadline, async {
                while let Some(Ok(_)) = self.stream.next().await {}
            })
            .await
            .ok();
        }
    }
}

/// What became of a request for an upgrade.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Upgrade {
    Done(Socket, Handshake),
    NotSoFast(Duration),
}

fn take(
    next: Option<Result<Message, tungstenite::Error>>,
    frames: &mut Vec<Utf8Bytes>,
) -> Result<(), Ended> {
    match next {
        Some(Ok(Message::Text(text))) => frames.push(text),
        Some(Ok(Message::Close(Some(close)))) => {
            return Err(format!("{} {}", u16::from(close.code), close.reason));
        }
        Some(Ok(Message::Close(None))) => return Err("1005 no code".to_owned()),
        Some(Ok(Message::Binary(_))) => return Err("a binary frame".to_owned()),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
        Some(Err(error)) => return Err(broken(&error)),
        None => return Err("the connection ended".to_owned()),
    }
    Ok(())
}

fn broken(error: &tungstenite::Error) -> Ended {
    error.to_string()
}

/// A refusal: wait and ask again, or give up and say why.
fn refused(response: &Response<Option<Vec<u8>>>) -> anyhow::Result<Upgrade> {
    let body = response.body().as_deref().unwrap_or_default();
    let problem = serde_json::from_slice::<Problem>(body).unwrap_or_default();
    if response.status() == StatusCode::TOO_MANY_REQUESTS && problem.code != "too_many_connections"
    {
        let header = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|wait| wait.to_str().ok()?.parse().ok());
        return Ok(Upgrade::NotSoFast(Duration::from_secs(
            header.unwrap_or(1).clamp(1, 60),
        )));
    }
    let hint = match problem.code.as_str() {
        "too_many_connections" => "; limits.connections_per_ip_max of the gateway is for that",
        "unavailable" => "; it is full or draining (limits.connections_max)",
        _ => "",
    };
    bail!(
        "the gateway refused a session: {} {} {}{hint}",
        response.status(),
        problem.code,
        problem.detail
    )
}

/// The body of a refusal, as far as it is shown.
#[derive(Default, serde::Deserialize)]
struct Problem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    detail: String,
}
