//! `/api/v1/users/{user}/messages`: everything that a person said, for whoever may erase it.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    admission::client_ip::Client,
    domain::{ids::UserId, room_name::RoomId},
    server::{problem::Problem, query::Query, refusal, state::Shared},
};

#[derive(Serialize)]
struct Done {
    /// Messages whose content went.
    messages: u64,
    /// Rooms in which something went.
    rooms: Vec<RoomId>,
    /// Rooms in which something stays because of a legal hold.
    held: Vec<RoomId>,
}

/// `DELETE`: places and times stay, contents and names go, in every room without a legal hold.
pub(crate) async fn erase(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Path(user): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let user =
        UserId::parse(&user).map_err(|_| Problem::bad_request("The path holds no user id."))?;
    Query::parse(request.uri().query(), &[], shared.limits.query_pairs_max)?;
    let identity = super::identity(&shared, &client, request.headers()).await?;
    let grant = identity
        .may_administer()
        .map_err(|_| refusal::forbidden())?;
    shared
        .sessions
        .rates
        .try_moderator(identity.user())
        .map_err(|wait| super::limited(&shared, "person", wait))?;
    let erased = shared
        .sessions
        .hub
        .erase(grant, user)
        .await
        .map_err(|why| Problem::unavailable(why.retry_after))?;
    let done = Done {
        messages: erased.messages,
        rooms: erased.rooms,
        held: erased.held,
    };
    Ok(Json(done).into_response())
}
