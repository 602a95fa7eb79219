//! The HTTP API, a file per resource. Each handler reads like its sentence: who, may they, do it, answer.

pub(super) mod members;
pub(super) mod message;
pub(super) mod messages;
pub(super) mod security_txt;
pub(super) mod tickets;
pub(super) mod users;

use std::time::Duration;

use axum::http::HeaderMap;
use serde::Serialize;

use super::{credential, problem::Problem, refusal, state::Shared};
use crate::{
    admission::client_ip::Client,
    auth::identity::Identity,
    domain::{ids::MessageId, position::Epoch, room_name::RoomId},
    log::Placed,
    protocol::timestamp::rfc3339,
};

/// Where an entry stands that a request placed.
#[derive(Serialize)]
struct Place {
    offset: Option<u64>,
    epoch: Option<Epoch>,
    id: MessageId,
    ts: String,
}

impl Place {
    fn new(id: MessageId, placed: &Placed) -> Self {
        Self {
            offset: placed.at.map(|at| at.offset),
            epoch: placed.at.map(|at| at.epoch),
            id,
            ts: rfc3339(placed.ts),
        }
    }
}

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

/// 429, counted.
fn limited(shared: &Shared, scope: &'static str, wait: Duration) -> Problem {
    shared.metrics.limited(scope);
    Problem::rate_limited(wait)
}
