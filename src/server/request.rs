//! Around every public request: who asks, under which id, whether the head can be trusted, what it cost; and the headers that
//! every answer carries.

use std::sync::Arc;

use axum::{
    body::{Body, HttpBody},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header},
    middleware::Next,
    response::IntoResponse,
};
use data_encoding::BASE32_NOPAD;
use tokio::time::Instant;

use super::{
    cors,
    edge::Peer,
    precheck,
    problem::{self, Problem},
    refusal,
    state::Shared,
};
use crate::{auth::random, protocol::codes::ErrorCode};

/// The path of upgrades.
pub(super) const UPGRADES: &str = "/ws/chat";

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer.
pub(super) async fn around(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let began = Instant::now();
    let method = request.method().clone();
    // See `head_watch`: what follows a coded body on its connection cannot be trusted to be a request.
    let coded = request.headers().contains_key(header::TRANSFER_ENCODING);
    let peer = request.extensions().get::<Peer>().cloned();
    let serving = peer.as_ref().map(|peer| peer.notes.serve());
    let id = request_id(&shared, peer.as_ref(), request.headers());
    let mut response = match precheck::check(&request, &shared.head_rules)
        .and_then(|()| introduce(&shared, peer.as_ref(), &mut request))
    {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut refused = problem.into_response();
            if request.uri().path().starts_with("/api/") {
                cors::expose(&shared.admission, request.headers(), refused.headers_mut());
            }
            refused
        }
    };
    let route = response
        .extensions_mut()
        .remove::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let surplus = peer.is_some_and(|peer| peer.permit.refusal().is_some());
    if coded || surplus {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    finish(&shared, &mut response, &id, &method);
    account(&shared, &route, &method, response.status(), began);
    tracing::debug!(request_id = %id, route, method = method.as_str(), status = response.status().as_u16(), "answered");
    drop(serving);
    response
}

/// Puts the route that was matched where the outermost layer sees it.
pub(super) async fn remember_route(request: Request, next: Next) -> Response<Body> {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(path) = path {
        response.extensions_mut().insert(path);
    }
    response
}

/// Finds the client's address and charges its bucket of requests.
fn introduce(shared: &Shared, peer: Option<&Peer>, request: &mut Request) -> Result<(), Problem> {
    let peer = peer.ok_or_else(Problem::not_found)?;
    if peer.notes.is_ambiguous() {
        return Err(precheck::ambiguous());
    }
    let lines: Vec<_> = request
        .headers()
        .get_all(shared.admission.client_header())
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let client = shared.admission.client(peer.address, &lines);
    // Probes of proxies and orchestrators come from one address and must not be refused with it.
    match request.uri().path() {
        "/healthz" => {}
        // An upgrade has buckets of its own.
        path => {
            peer.permit
                .refusal()
                .map_or(Ok(()), Err)
                .map_err(refusal::of_admission)?;
            if path != UPGRADES {
                shared
                    .admission
                    .admit_request(&client)
                    .map_err(refusal::of_admission)?;
            }
        }
    }
    request.extensions_mut().insert(client);
    Ok(())
}

/// A trusted proxy's id is kept, so that its log and ours meet; anybody else's is replaced.
fn request_id(shared: &Shared, peer: Option<&Peer>, headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let plain = |id: &&str| {
        (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match (peer, given.filter(plain)) {
        (Some(peer), Some(id)) if shared.admission.is_trusted_proxy(peer.address) => id.to_owned(),
        _ => BASE32_NOPAD
            .encode(&random::secret_bytes::<10>())
            .to_ascii_lowercase(),
    }
}

/// Headers, the problem's body, and the rule that an unread body ends the connection.
fn finish(shared: &Shared, response: &mut Response<Body>, id: &str, method: &Method) {
    if let Some(problem) = problem_of(response) {
        shared.metrics.refused(problem.code());
        if method != Method::HEAD {
            *response.body_mut() = problem.render(Some(id)).into();
        }
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID.clone(), id);
    }
    shared.security_headers.apply(headers);
}

/// The problem that a refusal carries. One without was made by a library, in plain words of its own: it gets ours.
fn problem_of(response: &mut Response<Body>) -> Option<Problem> {
    let carried = response.extensions_mut().remove::<Problem>();
    let status = response.status();
    if carried.is_some() || !(status.is_client_error() || status.is_server_error()) {
        return carried;
    }
    let problem = if status.is_server_error() {
        Problem::new(status, ErrorCode::Internal, "Something went wrong here.")
    } else {
        Problem::new(status, ErrorCode::BadRequest, "The request cannot be read.")
    };
    // What the layers added, for CORS or `Allow`, stays.
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, problem::CONTENT_TYPE);
    *response.body_mut() = Body::empty();
    Some(problem)
}

fn account(shared: &Shared, route: &str, method: &Method, status: StatusCode, began: Instant) {
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "OPTIONS") => known,
        _ => "other",
    };
    let labels = [
        ("route", route.to_owned()),
        ("method", method.to_owned()),
        ("status", status.as_str().to_owned()),
    ];
    shared.metrics.http_requests.get_or_create(&labels).inc();
    shared
        .metrics
        .http_request_seconds
        .get_or_create(&[("route", route.to_owned())])
        .observe(began.elapsed().as_secs_f64());
}

/// Reads a JSON body within its bounds of size and time.
pub(super) async fn json_body<T: serde::de::DeserializeOwned>(
    shared: &Shared,
    request: Request,
) -> Result<T, Problem> {
    let mut types = request.headers().get_all(header::CONTENT_TYPE).iter();
    let is_json = types
        .next()
        .and_then(|value| value.to_str().ok())
        .is_some_and(is_json);
    if !is_json
        || types.next().is_some()
        || request.headers().contains_key(header::CONTENT_ENCODING)
    {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorCode::BadRequest,
            "The body must be application/json.",
        )
        .and_close());
    }
    let raw = raw_body(shared, request).await?;
    parse_object(&raw)
}

/// As [`json_body`]; no body at all is the default.
pub(super) async fn optional_json_body<T: serde::de::DeserializeOwned + Default>(
    shared: &Shared,
    request: Request,
) -> Result<T, Problem> {
    if request.body().is_end_stream() {
        Ok(T::default())
    } else {
        json_body(shared, request).await
    }
}

async fn raw_body(shared: &Shared, request: Request) -> Result<bytes::Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::TooLarge,
            "The body is too large.",
        )
        .and_close()
    };
    let limit = shared.limits.body_bytes_max;
    if request.body().size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(
        shared.limits.body_read,
        axum::body::to_bytes(request.into_body(), limit),
    )
    .await
    {
        Ok(Ok(raw)) => Ok(raw),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::BadRequest,
            "The body did not come in time.",
        )
        .and_close()),
    }
}

/// An object, once, without nesting that could hurt: serde stops at 128 and no field of ours nests.
fn parse_object<T: serde::de::DeserializeOwned>(raw: &[u8]) -> Result<T, Problem> {
    let malformed =
        || Problem::bad_request("The body is not the JSON object that is expected here.");
    if raw.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(malformed());
    }
    serde_json::from_slice(raw).map_err(|_| malformed())
}

fn is_json(raw: &str) -> bool {
    let mut parts = raw.split(';').map(str::trim);
    let media = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    media && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
}
