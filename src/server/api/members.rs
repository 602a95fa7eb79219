//! `GET /api/v1/rooms/{room}/members`: who is in a room.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    admission::client_ip::Client,
    domain::room_name::RoomId,
    protocol::server_frame::Person,
    server::{problem::Problem, query::Query, refusal, state::Shared},
};

#[derive(Serialize)]
struct Body<'a> {
    room: &'a RoomId,
    count: u64,
    members: Vec<Person<'a>>,
}

/// The people of a room; the list is cut at `limits.members_page_max`, the count is not.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Path(room): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let room = super::room(&shared, &room)?;
    Query::parse(request.uri().query(), &[], shared.limits.query_pairs_max)?;
    let identity = super::identity(&shared, &client, request.headers()).await?;
    let grant = identity.may_read(&room).map_err(|_| refusal::forbidden())?;
    let listed = shared
        .sessions
        .hub
        .members(grant, shared.limits.members_page_max)
        .await;
    let (count, people) = listed.map_err(|away| Problem::unavailable(away.retry_after))?;
    let members = people
        .iter()
        .map(|(user, nick)| Person {
            user: *user,
            nick: nick.as_str(),
        })
        .collect();
    Ok(Json(Body {
        room: &room,
        count,
        members,
    })
    .into_response())
}
