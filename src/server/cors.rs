//! CORS for `/api/*`: the listed origins, exactly, never `*` and never with credentials.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::admission::Admission;

/// Chromium keeps a preflight no longer than this.
const MAX_AGE: Duration = Duration::from_hours(2);

/// What a page may read of an answer beside its body.
const EXPOSED: [&str; 5] = [
    "etag",
    "retry-after",
    "x-request-id",
    "ratelimit",
    "ratelimit-policy",
];

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
            header::IF_NONE_MATCH,
        ])
        .expose_headers(EXPOSED.map(HeaderName::from_static))
        .max_age(MAX_AGE)
}

/// For a refusal that was made before the layer: a page that may not read a 429 cannot wait as long as it says.
pub(super) fn expose(admission: &Admission, request: &HeaderMap, answer: &mut HeaderMap) {
    let mut origins = request.get_all(header::ORIGIN).iter();
    answer.append(header::VARY, HeaderValue::from_static("origin"));
    if let (Some(origin), None) = (origins.next(), origins.next())
        && admission.origin(&[origin.as_bytes()]).is_ok()
    {
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if let Ok(names) = HeaderValue::from_str(&EXPOSED.join(",")) {
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }
}
