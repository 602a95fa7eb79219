//! `GET /ws/chat`: every check before the 101, in order of cost, then the upgrade. A peer that was refused never owned a
//! session, an outbox or a decoder.

use std::{pin::Pin, sync::Arc};

use axum::{
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header},
    response::IntoResponse,
};
use data_encoding::BASE64;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    credential::{self, Offers},
    edge::EdgeStream,
    problem::Problem,
    query::Query,
    refusal,
    state::Shared,
    ws_socket::WsSocket,
};
use crate::{
    admission::{caps::Seat, client_ip::Client},
    auth::{
        identity::{Identity, new_resume, producer_of, resume_is_fresh},
        random,
    },
    domain::{ids::SessionId, nickname::Nickname, room_name::RoomId},
    protocol::codes::ErrorCode,
    session::{Arrived, Protocol, Session, close::End, names::Names},
};

/// The parameters that `/ws/chat` knows.
const KNOWN: [&str; 6] = ["room", "nick", "html", "resume", "ticket", "token"];

/// What the client asked for, beside to be let in.
struct Wishes {
    protocol: Protocol,
    /// The name to answer in the handshake; none was offered when it is `None`.
    chosen: Option<&'static str>,
    rooms: Vec<RoomId>,
    nick: Option<Nickname>,
    resume: Option<Box<str>>,
}

/// Admit, authenticate, upgrade, run.
pub(super) async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    check_method(request.method())?;
    check_upgrade(request.headers())?;
    let seat = admit(&shared, &client)?;
    let accept_key = check_handshake(request.headers())?;
    let origin = refusal::origin(&shared, request.headers())?;
    let query = Query::parse(request.uri().query(), &KNOWN, shared.limits.query_pairs_max)?;
    let offers = Offers::parse(request.headers(), shared.limits.subprotocols_max)?;
    let chosen = choose(&offers)?;
    let credential = credential::of_upgrade(request.headers(), &offers, &query)?;
    let wishes = wishes(&shared, &query, chosen)?;
    let identity = refusal::authenticate(&shared, &client, credential, origin.as_ref()).await?;
    for room in &wishes.rooms {
        identity.may_join(room).map_err(|_| refusal::forbidden())?;
    }
    let on_upgrade = request
        .extensions_mut()
        .remove::<OnUpgrade>()
        .ok_or_else(|| Problem::bad_request("The connection cannot be upgraded."))?;
    let response = switching(&accept_key, wishes.chosen);
    start(&shared, identity, wishes, seat, on_upgrade);
    Ok(response)
}

fn check_method(method: &Method) -> Result<(), Problem> {
    if method == Method::GET {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::BadRequest,
        "The chat is opened with GET.",
    )
    .header(header::ALLOW, HeaderValue::from_static("GET")))
}

/// RFC 6455 §4.2.1, items 3 and 4: `Upgrade` names websocket alone, `Connection` holds upgrade.
fn check_upgrade(headers: &HeaderMap) -> Result<(), Problem> {
    let mut upgrades = headers.get_all(header::UPGRADE).iter();
    let websocket = upgrades
        .next()
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .any(|line| {
            line.split(',')
                .any(|one| one.trim().eq_ignore_ascii_case("upgrade"))
        });
    if websocket && upgrades.next().is_none() && asks {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UPGRADE_REQUIRED,
        ErrorCode::BadRequest,
        "The chat is a WebSocket.",
    )
    .header(header::UPGRADE, HeaderValue::from_static("websocket"))
    .header(header::CONNECTION, HeaderValue::from_static("upgrade")))
}

/// Drain, caps and rates: what costs least to refuse.
fn admit(shared: &Shared, client: &Client) -> Result<Seat, Problem> {
    if shared.drain.refuses() {
        return Err(Problem::unavailable(shared.drain.retry_after()));
    }
    shared
        .admission
        .admit_upgrade(client)
        .map_err(refusal::of_admission)
}

/// RFC 6455 §4.2.1, items 5 and 6, and §4.4: a key of 16 bytes, once, and version 13, once. A body would be read as frames.
fn check_handshake(headers: &HeaderMap) -> Result<String, Problem> {
    let mut versions = headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
    if versions
        .next()
        .is_none_or(|version| version.as_bytes() != b"13")
        || versions.next().is_some()
    {
        return Err(Problem::new(
            StatusCode::UPGRADE_REQUIRED,
            ErrorCode::UnsupportedVersion,
            "WebSocket version 13 is spoken here.",
        )
        .header(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        ));
    }
    let mut keys = headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().filter(|key| {
        key.len() == 24
            && BASE64
                .decode(key.as_bytes())
                .is_ok_and(|raw| raw.len() == 16)
    });
    let (Some(key), None) = (key, keys.next()) else {
        return Err(Problem::bad_request(
            "Sec-WebSocket-Key is missing, repeated or malformed.",
        ));
    };
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers
            .get(header::CONTENT_LENGTH)
            .is_some_and(|length| length.as_bytes() != b"0");
    if has_body {
        return Err(Problem::bad_request("An upgrade has no body.").and_close());
    }
    Ok(derive_accept_key(key.as_bytes()))
}

/// A client that offers nothing speaks `wardroom.v1`; one that offers only what we do not speak is told so.
fn choose(offers: &Offers<'_>) -> Result<Option<&'static str>, Problem> {
    if offers.names().is_empty() {
        return Ok(None);
    }
    let spoken = offers.names().iter().find_map(|name| match *name {
        "wardroom.v1" => Some("wardroom.v1"),
        "wardroom.text" => Some("wardroom.text"),
        _ => None,
    });
    spoken.map(Some).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::UnsupportedVersion,
            "None of the offered subprotocols is spoken here.",
        )
    })
}

fn wishes(shared: &Shared, query: &Query, chosen: Option<&'static str>) -> Result<Wishes, Problem> {
    let html = match query.one("html")? {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Problem::bad_request("html is 0 or 1.")),
    };
    let protocol = if chosen == Some("wardroom.text") {
        Protocol::Text
    } else {
        Protocol::V1 { html }
    };
    Ok(Wishes {
        protocol,
        chosen,
        rooms: wished_rooms(shared, query)?,
        nick: wished_nick(shared, query)?,
        resume: wished_resume(shared, query)?,
    })
}

fn wished_rooms(shared: &Shared, query: &Query) -> Result<Vec<RoomId>, Problem> {
    let mut rooms: Vec<RoomId> = Vec::new();
    for raw in query.many("room") {
        let room = RoomId::parse(raw, shared.limits.room_bytes_max)
            .map_err(|_| Problem::bad_request("room is not a room's name."))?;
        if !rooms.contains(&room) {
            rooms.push(room);
        }
        if rooms.len() > shared.limits.rooms_per_session_max {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                ErrorCode::TooManyRooms,
                "Too many rooms for one session.",
            ));
        }
    }
    Ok(rooms)
}

fn wished_nick(shared: &Shared, query: &Query) -> Result<Option<Nickname>, Problem> {
    let parse = |raw| {
        shared
            .sessions
            .inbound
            .chosen_name(raw)
            .map_err(refusal::of_nickname)
    };
    query.one("nick")?.map(parse).transpose()
}

/// A string that was not made here, or that the log may have forgotten, is no error: the session gets a fresh one.
fn wished_resume(shared: &Shared, query: &Query) -> Result<Option<Box<str>>, Problem> {
    let Some(raw) = query.one("resume")? else {
        return Ok(None);
    };
    if raw.len() > shared.limits.frame_id_bytes_max {
        return Err(Problem::bad_request("resume is too long."));
    }
    Ok(resume_is_fresh(raw, shared.clock.unix_s()).then(|| raw.into()))
}

fn switching(accept_key: &str, chosen: Option<&'static str>) -> Response<Body> {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(key) = HeaderValue::from_str(accept_key) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    if let Some(chosen) = chosen {
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(chosen),
        );
    }
    response
}

/// Enters the session before the 101 is sent: the registry and the drain's tracker know it from here on, so neither misses a
/// socket that is between the two.
fn start(
    shared: &Arc<Shared>,
    identity: Identity,
    wishes: Wishes,
    seat: Seat,
    on_upgrade: OnUpgrade,
) {
    let sessions = &shared.sessions;
    let registered = sessions.registry.enter(
        identity.user(),
        SessionId::from_random(random::secret_bytes()),
    );
    let resume = wishes
        .resume
        .unwrap_or_else(|| new_resume(shared.clock.unix_s()).into());
    let names = Names::new(
        &identity,
        wishes.nick,
        shared.config.nicknames.source,
        sessions.inbound.names(),
    );
    let arrived = Arrived {
        producer: producer_of(identity.user(), &resume),
        identity,
        registered,
        protocol: wishes.protocol,
        names,
        resume,
        rooms: wishes.rooms,
    };
    let protocol = arrived.protocol.name();
    // Boxed: what only the beginning needs must not be part of every idle session.
    let session = Box::pin(begin(Arc::clone(shared), arrived, on_upgrade));
    let run = run(Arc::clone(shared), protocol, seat, session);
    shared.drain.sessions.spawn(run);
}

/// A session on its socket, on its way to the end.
type Running = Pin<Box<dyn Future<Output = End> + Send>>;

async fn run(
    shared: Arc<Shared>,
    protocol: &'static str,
    seat: Seat,
    beginning: Pin<Box<impl Future<Output = Option<Running>> + Send>>,
) {
    let Some(session) = beginning.await else {
        return;
    };
    let protocol = [("protocol", protocol)];
    let metrics = &shared.metrics;
    metrics.sessions_opened.get_or_create(&protocol).inc();
    let open = metrics.sessions.get_or_create_owned(&protocol);
    open.inc();
    let began = tokio::time::Instant::now();
    session.await;
    open.dec();
    metrics
        .session_seconds
        .observe(began.elapsed().as_secs_f64());
    drop(seat);
}

/// The session on its socket, once the 101 has reached the peer; `None` if it went away before: then there is nothing to run.
async fn begin(shared: Arc<Shared>, arrived: Arrived, on_upgrade: OnUpgrade) -> Option<Running> {
    let upgraded = on_upgrade.await.ok()?;
    let Ok(parts) =
        hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<EdgeStream>>(upgraded)
    else {
        tracing::error!("the upgraded connection is not the edge's own");
        return None;
    };
    let mut edge = parts.io.into_inner();
    edge.upgraded();
    let socket = WsSocket::new(
        edge,
        // A copy, of nothing as a rule: the parser's whole buffer hangs on what it hands over, on an empty piece of it too.
        bytes::Bytes::copy_from_slice(&parts.read_buf),
        shared.stream_rules.clone(),
        &shared.limits,
    )
    .await;
    let session = Session::new(Arc::clone(&shared.sessions), arrived);
    Some(Box::pin(session.run(socket)))
}
