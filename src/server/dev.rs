//! `POST /dev/token`: a token for any nickname, without proof. It exists in `wardroom dev` alone, which listens on loopback alone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{StatusCode, header},
};
use serde::{Deserialize, Serialize};

use super::{precheck::is_local_host, problem::Problem, refusal, request, state::Shared};
use crate::{
    auth::mint::{Minter, TokenSpec},
    protocol::codes::ErrorCode,
};

#[derive(Deserialize)]
struct Body {
    nick: String,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct Token {
    token: String,
}

/// Mints a token for a nickname that the pipeline accepts.
pub(super) async fn token(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Json<Token>, Problem> {
    let minter: &Minter = shared.minter.as_ref().ok_or_else(Problem::not_found)?;
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_local_host) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            ErrorCode::Forbidden,
            "Development tokens are for this machine only.",
        ));
    }
    refusal::origin(&shared, request.headers())?;
    let body: Body = request::json_body(&shared, request).await?;
    let nick = shared
        .sessions
        .inbound
        .chosen_name(&body.nick)
        .map_err(refusal::of_nickname)?;
    let token = minter
        .mint(
            &TokenSpec::development(nick.as_str()),
            shared.clock.unix_s(),
        )
        .map_err(|error| {
            tracing::error!(%error, "the development key cannot sign");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                ErrorCode::Internal,
                "The development key cannot sign.",
            )
        })?;
    Ok(Json(Token { token }))
}
