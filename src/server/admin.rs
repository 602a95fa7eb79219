//! The admin listener: probes, metrics, version. Plain HTTP on loopback, GET and HEAD only, no credential, no content.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::{precheck::is_local_host, problem::Problem, state::Shared};
use crate::{
    auth::KeyState,
    telemetry::process::{COMMIT, RUSTC, VERSION},
};

/// The routes of the admin listener.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                crate::protocol::codes::ErrorCode::BadRequest,
                "GET and HEAD only.",
            )
        })
        .layer(middleware::from_fn(local_only))
        .with_state(shared)
}

/// DNS rebinding: a page on the operator's machine could read this listener under a name of its own.
async fn local_only(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let mut response =
        if host.is_some_and(is_local_host) && !request.headers().contains_key(header::ORIGIN) {
            next.run(request).await
        } else {
            Problem::new(
                StatusCode::FORBIDDEN,
                crate::protocol::codes::ErrorCode::Forbidden,
                "The admin listener answers local names only.",
            )
            .into_response()
        };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        *response.body_mut() = problem.render(None).into();
    }
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    development: bool,
    log: &'static str,
    issuers: Vec<IssuerReadiness>,
}

#[derive(Serialize)]
struct IssuerReadiness {
    issuer: String,
    keys: &'static str,
}

/// Ready while new sessions are taken. An identity provider that is down does not make the node unready: the sessions of
/// the others, and every open one, go on; it is told here and by a metric. A log that takes no entries does: another node may do
/// better, and there is nothing to say here.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    let draining = shared.drain.is_draining();
    let log = shared.log_health();
    let status = match (draining, log, shared.development) {
        (true, ..) => "draining",
        (false, "ok", true) => "development",
        (false, "ok", false) => "ready",
        (false, ..) => "degraded",
    };
    let issuers = shared
        .authenticator
        .keys_ready()
        .into_iter()
        .map(|(issuer, state)| IssuerReadiness {
            issuer,
            keys: match state {
                KeyState::Fixed | KeyState::Fresh => "ready",
                KeyState::Aging => "aging",
                KeyState::Stale => "stale",
                KeyState::NeverRead => "missing",
            },
        });
    let body = Readiness {
        status,
        development: shared.development,
        log,
        issuers: issuers.collect(),
    };
    let code = if draining || log != "ok" {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    (code, Json(body)).into_response()
}

async fn metrics(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    if let Err(wait) = shared.scrapes.try_one() {
        return Problem::rate_limited(wait).into_response();
    }
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let (content_type, text) = shared.metrics.encode(accept);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

#[derive(Serialize)]
struct Build {
    version: &'static str,
    commit: &'static str,
    rustc: &'static str,
}

async fn version() -> Json<Build> {
    Json(Build {
        version: VERSION,
        commit: COMMIT,
        rustc: RUSTC,
    })
}
