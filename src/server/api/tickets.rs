//! `POST /api/v1/tickets`: a good credential becomes a single-use ticket, which may travel in a URL because it is worth nothing
//! afterwards.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    admission::client_ip::Client,
    auth::error::TicketError,
    domain::origin::Origin,
    protocol::codes::ErrorCode,
    server::{problem::Problem, refusal, request, state::Shared},
};

#[derive(Default, Deserialize)]
struct Body {
    /// The page's origin, when a backend fetches the ticket for its page.
    origin: Option<String>,
}

#[derive(Serialize)]
struct Issued<'a> {
    ticket: &'a str,
    expires_in: u64,
}

/// Issues a ticket bound to the identity and to the Origin.
pub(crate) async fn issue(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Result<Response, Problem> {
    let has_origin = request.headers().contains_key(header::ORIGIN);
    let own = refusal::origin(&shared, request.headers())?;
    let identity = super::identity(&shared, &client, request.headers()).await?;
    let body: Body = request::optional_json_body(&shared, request).await?;
    let origin = match body.origin {
        // A browser says itself where it is; a page must not bind a ticket to another's origin.
        Some(_) if has_origin => {
            return Err(Problem::bad_request(
                "origin is for requests without an Origin header.",
            ));
        }
        Some(raw) => shared
            .admission
            .origin(&[raw.as_bytes()])
            .map_err(refusal::of_admission)?,
        None => own,
    };
    answer(&shared, &identity, origin.as_ref()).await
}

async fn answer(
    shared: &Shared,
    identity: &crate::auth::identity::Identity,
    origin: Option<&Origin>,
) -> Result<Response, Problem> {
    let issued = shared
        .authenticator
        .issue_ticket(identity, origin)
        .await
        .map_err(of_ticket)?;
    let body = Issued {
        ticket: issued.ticket.expose(),
        expires_in: issued.expires_in.as_secs(),
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn of_ticket(error: TicketError) -> Problem {
    match error {
        TicketError::Limited { retry_after } => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::RateLimited,
            "Too many tickets wait to be used.",
        )
        .retry_after(retry_after),
        TicketError::TokenExpired => refusal::expired(),
        TicketError::Unavailable { retry_after } => Problem::unavailable(retry_after),
    }
}
