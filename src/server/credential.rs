//! The one credential of a request, from where HTTP carries it; `auth::credential` says which one counts.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{problem::Problem, query::Query};
use crate::{
    auth::credential::{Credential, CredentialError, Offered},
    protocol::codes::ErrorCode,
};

/// What `Sec-WebSocket-Protocol` offers, in order.
pub(super) struct Offers<'a>(Vec<&'a str>);

impl<'a> Offers<'a> {
    /// Reads every line of the header; at most `max` names, each a token of RFC 9110 §5.6.2.
    pub(super) fn parse(headers: &'a HeaderMap, max: usize) -> Result<Self, Problem> {
        let mut offers = Vec::new();
        for line in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
            for name in line.to_str().map_err(|_| malformed())?.split(',') {
                let name = name.trim_matches([' ', '\t']);
                if offers.len() >= max {
                    return Err(Problem::bad_request("Too many subprotocols are offered."));
                }
                if name.is_empty() || !name.bytes().all(is_token_byte) {
                    return Err(malformed());
                }
                offers.push(name);
            }
        }
        Ok(Self(offers))
    }

    /// Everything that was offered.
    pub(super) fn names(&self) -> &[&'a str] {
        &self.0
    }
}

/// The credential of a WebSocket upgrade: `Authorization`, subprotocol, `?ticket=` or `?token=`.
pub(super) fn of_upgrade(
    headers: &HeaderMap,
    offers: &Offers<'_>,
    query: &Query,
) -> Result<Credential, Problem> {
    let offered = Offered {
        authorization: authorization(headers),
        subprotocols: offers.names().to_vec(),
        tokens: query.many("token").collect(),
        tickets: query.many("ticket").collect(),
    };
    offered.only().map_err(refuse)
}

/// The credential of an API request: `Authorization` alone.
pub(super) fn of_api(headers: &HeaderMap) -> Result<Credential, Problem> {
    Offered {
        authorization: authorization(headers),
        ..Offered::default()
    }
    .only()
    .map_err(refuse)
}

fn authorization(headers: &HeaderMap) -> Vec<&[u8]> {
    headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect()
}

/// All 401s read alike.
pub(super) const INVALID: &str = "The request carries no credential that is valid here.";

fn refuse(error: CredentialError) -> Problem {
    match error {
        // RFC 6750 §3.1: no error attribute when the request carries no credential.
        CredentialError::Missing => {
            Problem::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, INVALID)
                .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
        }
        CredentialError::Several => {
            Problem::bad_request("The request carries more than one credential.")
        }
        CredentialError::Malformed => {
            Problem::bad_request("The Authorization header cannot be read.")
        }
    }
}

fn malformed() -> Problem {
    Problem::bad_request("Sec-WebSocket-Protocol is malformed.")
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
