//! `/api/v1/rooms/{room}/messages/{offset}`: one message, for whoever may delete it.

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::Place;
use crate::{
    admission::client_ip::Client,
    domain::{position::Epoch, reason::Reason},
    hub::redact::{RedactError, Redaction, Source},
    protocol::codes::ErrorCode,
    server::{problem::Problem, query::Query, refusal, request, state::Shared},
};

#[derive(Default, Deserialize)]
struct Body {
    reason: Option<String>,
}

/// `DELETE`: the place stays, the content goes.
pub(crate) async fn redact(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Path((room, offset)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let room = super::room(&shared, &room)?;
    let offset = offset
        .parse()
        .map_err(|_| Problem::bad_request("The path holds no offset."))?;
    let query = Query::parse(
        request.uri().query(),
        &["epoch"],
        shared.limits.query_pairs_max,
    )?;
    let epoch = query
        .one("epoch")?
        .map(Epoch::parse)
        .transpose()
        .map_err(|_| Problem::bad_request("epoch is 1 to 16 lower-case hex digits."))?;
    let identity = super::identity(&shared, &client, request.headers()).await?;
    let grant = identity
        .may_moderate(&room)
        .map_err(|_| refusal::forbidden())?;
    shared
        .sessions
        .rates
        .try_moderator(identity.user())
        .map_err(|wait| super::limited(&shared, "person", wait))?;
    let body: Body = request::optional_json_body(&shared, request).await?;
    let reason = body
        .reason
        .as_deref()
        .map(Reason::from_untrusted)
        .transpose()
        .map_err(refusal::of_text)?;
    let redaction = Redaction {
        offset,
        epoch,
        reason,
        source: Source::Api,
    };
    let redacted = shared
        .sessions
        .hub
        .redact(grant, redaction)
        .await
        .map_err(of_redact)?;
    Ok(Json(Place::new(redacted.id, &redacted.placed)).into_response())
}

fn of_redact(error: RedactError) -> Problem {
    match error {
        RedactError::NotFound => Problem::new(
            StatusCode::NOT_FOUND,
            ErrorCode::NotFound,
            "No message stands at this offset.",
        ),
        RedactError::Conflict => Problem::new(
            StatusCode::CONFLICT,
            ErrorCode::Conflict,
            "An entry of another epoch stands at this offset.",
        ),
        RedactError::Unavailable { retry_after } => Problem::unavailable(retry_after),
        // A repeat does no harm.
        RedactError::Unknown => Problem::unavailable(Duration::from_secs(1)),
    }
}
