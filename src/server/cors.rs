//! CORS for `/api/*`: the listed origins, exactly, never `*` and never with credentials.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::admission::Admission;

/// Chromium keeps a preflight no longer than this.
const MAX_AGE: Duration = Duration::from_hours(2);

/// The layer. What is not exposed reads as absent: a page could not see `Retry-After`.
pub(super) fn layer(admission: Arc<Admission>) -> CorsLayer {
    let listed = move |origin: &HeaderValue| admission.origin(&[origin.as_bytes()]).is_ok();
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| listed(origin)))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
        ])
        .max_age(MAX_AGE)
}
