//! `GET /.well-known/security.txt` (RFC 9116), from the operator's own file.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use crate::server::{problem::Problem, state::Shared};

/// The file as it was at start; 404 when none is configured.
pub(crate) async fn show(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let text = shared.security_txt.clone().ok_or_else(Problem::not_found)?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
