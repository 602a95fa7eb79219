//! What the stations' errors are to a client: a status, a code, static words. The cause stays here and in the log.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{credential::INVALID, problem::Problem, state::Shared};
use crate::{
    admission::{client_ip::Client, refusal::Refusal},
    auth::{credential::Credential, error::AuthError, identity::Identity},
    domain::{nickname::NicknameError, origin::Origin, text::TextError},
    protocol::codes::ErrorCode,
};

/// The Origin of a request, after it was found on the list.
pub(super) fn origin(shared: &Shared, headers: &HeaderMap) -> Result<Option<Origin>, Problem> {
    let values: Vec<_> = headers
        .get_all(header::ORIGIN)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    shared.admission.origin(&values).map_err(of_admission)
}

/// Verifies a credential. Failures are counted for the address: above the limit they get 429, good credentials still pass.
pub(super) async fn authenticate(
    shared: &Shared,
    client: &Client,
    credential: Credential,
    origin: Option<&Origin>,
) -> Result<Identity, Problem> {
    let error = match shared.authenticator.authenticate(credential, origin).await {
        Ok(identity) => return Ok(identity),
        Err(error) => error,
    };
    if matches!(error, AuthError::Unauthorized(_) | AuthError::TokenExpired) {
        shared
            .admission
            .authentication_failed(client)
            .map_err(of_admission)?;
    }
    Err(of_auth(&error))
}

/// 401 `token_expired`.
pub(super) fn expired() -> Problem {
    invalid_token(ErrorCode::TokenExpired)
}

/// All invalid credentials read alike.
fn of_auth(error: &AuthError) -> Problem {
    match error {
        AuthError::Unauthorized(_) => invalid_token(ErrorCode::Unauthorized),
        AuthError::TokenExpired => invalid_token(ErrorCode::TokenExpired),
        AuthError::Forbidden => forbidden(),
        AuthError::Unavailable { retry_after } => Problem::unavailable(*retry_after),
    }
}

fn invalid_token(code: ErrorCode) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, INVALID).header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer error=\"invalid_token\""),
    )
}

/// 403 `forbidden`.
pub(super) fn forbidden() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        ErrorCode::Forbidden,
        "The credential does not allow this.",
    )
    .header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer error=\"insufficient_scope\""),
    )
}

/// What admission says no to.
pub(super) fn of_admission(refused: Refusal) -> Problem {
    let (status, detail) = match refused {
        Refusal::Overloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The node is full; try again later.",
        ),
        Refusal::TooManyConnections => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many connections from this address.",
        ),
        Refusal::RateLimited { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests; try again later.",
        ),
        Refusal::OriginNotAllowed => (
            StatusCode::FORBIDDEN,
            "Pages of this origin may not connect.",
        ),
        Refusal::SeveralOrigins => (StatusCode::BAD_REQUEST, "The Origin header is repeated."),
    };
    let problem = Problem::new(status, refused.code(), detail);
    refused
        .retry_after()
        .map_or(problem.clone(), |after| problem.retry_after(after))
}

/// A nickname that was not accepted.
pub(super) fn of_nickname(error: NicknameError) -> Problem {
    match error {
        NicknameError::Reserved => Problem::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::NicknameReserved,
            "The nickname is reserved.",
        ),
        NicknameError::Invalid(_) => Problem::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::NicknameInvalid,
            "The nickname is not allowed.",
        ),
    }
}

/// A text that was not accepted.
pub(super) fn of_text(error: TextError) -> Problem {
    let (code, detail) = match error {
        TextError::Empty => (ErrorCode::TextEmpty, "The text is empty."),
        TextError::TooManyBytes { .. } => (ErrorCode::TextTooLong, "The text has too many bytes."),
        TextError::TooManyGraphemes { .. } => {
            (ErrorCode::TextTooLong, "The text has too many characters.")
        }
        TextError::TooManyLines { .. } => (ErrorCode::TextTooLong, "The text has too many lines."),
        TextError::Control => (ErrorCode::TextInvalid, "The text has a control character."),
        TextError::TooManyMarks { .. } => (
            ErrorCode::TextInvalid,
            "A character of the text carries too many marks.",
        ),
    };
    Problem::new(StatusCode::BAD_REQUEST, code, detail)
}
