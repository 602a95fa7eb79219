//! The HTTP API, a file per resource. Each handler reads like its sentence: who, may they, do it, answer.

pub(super) mod members;
pub(super) mod messages;
pub(super) mod security_txt;
pub(super) mod tickets;

use axum::http::HeaderMap;

use super::{credential, problem::Problem, refusal, state::Shared};
use crate::{admission::client_ip::Client, auth::identity::Identity, domain::room_name::RoomId};

/// Who asks, by the one credential of an API request.
async fn identity(
    shared: &Shared,
    client: &Client,
    headers: &HeaderMap,
) -> Result<Identity, Problem> {
    let origin = refusal::origin(shared, headers)?;
    let credential = credential::of_api(headers)?;
    refusal::authenticate(shared, client, credential, origin.as_ref()).await
}

/// A room from the path.
fn room(shared: &Shared, raw: &str) -> Result<RoomId, Problem> {
    RoomId::parse(raw, shared.limits.room_bytes_max)
        .map_err(|_| Problem::bad_request("The path holds no room's name."))
}
