//! Refusals as `application/problem+json` (RFC 9457): static words, a code of the one table, nothing of what was sent.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;

use crate::protocol::codes::ErrorCode;

/// The media type of RFC 9457 §3.
pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An answer that says no.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: ErrorCode,
    detail: &'static str,
    retry_after: Option<Duration>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: ErrorCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem whose detail is `detail`.
    pub(super) fn new(status: StatusCode, code: ErrorCode, detail: &'static str) -> Self {
        Self {
            status,
            code,
            detail,
            retry_after: None,
            headers: Vec::new(),
        }
    }

    /// 400 `bad_request`.
    pub(super) fn bad_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, detail)
    }

    /// 404 `not_found`, the same for everything that is not there or not to be seen.
    pub(super) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            ErrorCode::NotFound,
            "There is nothing here.",
        )
    }

    /// 503 `unavailable`.
    pub(super) fn unavailable(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Unavailable,
            "Not now; try again later.",
        )
        .retry_after(retry_after)
    }

    /// 429 `rate_limited`.
    pub(super) fn rate_limited(retry_after: Duration) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::RateLimited,
            "Too many requests; try again later.",
        )
        .retry_after(retry_after)
    }

    /// Adds when to try again, in the header and in the body.
    pub(super) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The connection ends with this answer: what follows on it cannot be trusted to be a request.
    pub(super) fn and_close(self) -> Self {
        self.header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The code, for the metric.
    pub(super) fn code(&self) -> ErrorCode {
        self.code
    }

    /// The document with the id of the request that it answers.
    pub(super) fn render(&self, request_id: Option<&str>) -> Vec<u8> {
        let document = Document {
            r#type: format!("urn:wardroom:problem:{}", self.code.name()),
            title: self.status.canonical_reason().unwrap_or("Refused"),
            status: self.status.as_u16(),
            detail: self.detail,
            code: self.code,
            request_id,
            retry_after_ms: self
                .retry_after
                .map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        };
        serde_json::to_vec(&document).expect("a problem document is plain data")
    }
}

/// The body is written by the outermost layer, which knows the request's id; until then the problem travels as an extension.
impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: a client that comes back too early is refused again.
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(
                    after
                        .as_secs()
                        .saturating_add(u64::from(after.subsec_nanos() > 0))
                        .max(1),
                ),
            );
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}
