//! The routes of the public listener and the order of its layers, on one page.

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, StatusCode},
    middleware,
    response::IntoResponse,
    routing::{any, delete, get, post},
};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::{
    api::{members, message, messages, security_txt, tickets, users},
    cors, dev, page,
    problem::Problem,
    request,
    state::Shared,
    upgrade,
};
use crate::protocol::codes::ErrorCode;

/// Everything that the public listener answers.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let api = Router::new()
        .route("/api/v1/tickets", post(tickets::issue))
        .route(
            "/api/v1/rooms/{room}/messages",
            get(messages::page).post(messages::publish),
        )
        .route(
            "/api/v1/rooms/{room}/messages/{offset}",
            delete(message::redact),
        )
        .route("/api/v1/rooms/{room}/members", get(members::list))
        .route("/api/v1/users/{user}/messages", delete(users::erase))
        .route("/api/v1/page.json", get(page::settings))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(cors::layer(Arc::clone(&shared.admission)));
    let layers = ServiceBuilder::new()
        // Outermost: id, head, rate, headers, problem bodies, metrics.
        .layer(middleware::from_fn_with_state(
            Arc::clone(&shared),
            request::around,
        ))
        // A panic in one handler is one answer of 500.
        .layer(CatchPanicLayer::custom(panicked));
    let mut routes = Router::new()
        .route("/", get(page::index))
        .route("/assets/{*path}", get(page::asset))
        .route(request::UPGRADES, any(upgrade::upgrade))
        .route("/healthz", get(healthz))
        .route("/.well-known/security.txt", get(security_txt::show))
        .merge(api);
    if shared.minter.is_some() {
        routes = routes.route("/dev/token", post(dev::token));
    }
    routes
        .route_layer(middleware::from_fn(request::remember_route))
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(method_not_allowed)
        .layer(layers)
        .with_state(shared)
}

/// 200 while the node takes sessions; 503 from the first stop signal on, so that a proxy looks elsewhere.
async fn healthz(State(shared): State<Arc<Shared>>) -> Response<Body> {
    if shared.drain.is_draining() {
        return Problem::unavailable(shared.drain.retry_after()).into_response();
    }
    "ok".into_response()
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorCode::BadRequest,
        "The method is not allowed here.",
    )
}

/// What panicked is in the log by the panic hook; the client learns that it was our fault.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response<Body> {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorCode::Internal,
        "Something went wrong here.",
    )
    .into_response()
}
