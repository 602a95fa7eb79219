//! What a request offers as proof: from its header, its subprotocols and its query to exactly one [`Credential`], which
//! [`crate::auth::Authenticator`] then looks at.

use std::fmt;

use crate::domain::token::RawToken;

/// The one credential of a request, by the way it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization: Bearer`.
    Bearer(RawToken),
    /// `Sec-WebSocket-Protocol: wardroom.v1, bearer.<jwt>`.
    Subprotocol(RawToken),
    /// `?token=`.
    Query(RawToken),
    /// `?ticket=`.
    Ticket(RawToken),
}

impl Credential {
    /// The metric's `method`.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Bearer(_) => "bearer",
            Self::Subprotocol(_) => "subprotocol",
            Self::Query(_) => "query",
            Self::Ticket(_) => "ticket",
        }
    }
}

/// Everything in a request that could be a credential, unjudged. Cookies are not among it: none is ever read.
#[derive(Clone, Default)]
pub struct Offered<'a> {
    /// The values of all `Authorization` headers, as bytes of the wire.
    pub authorization: Vec<&'a [u8]>,
    /// The offered subprotocols, in order.
    pub subprotocols: Vec<&'a str>,
    /// The values of all `token` pairs of the query, decoded; a pair without `=` is the empty value.
    pub tokens: Vec<&'a str>,
    /// The values of all `ticket` pairs of the query, decoded.
    pub tickets: Vec<&'a str>,
}

/// Only how many of each: the values may be good tokens.
impl fmt::Debug for Offered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offered")
            .field("authorization", &self.authorization.len())
            .field("subprotocols", &self.subprotocols.len())
            .field("tokens", &self.tokens.len())
            .field("tickets", &self.tickets.len())
            .finish()
    }
}

/// Why a request has not exactly one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// None at all, an empty one, or another scheme than Bearer: 401 without an error attribute (RFC 6750 §3.1).
    #[error("no credential")]
    Missing,
    /// More than one, of whatever kinds: 400.
    #[error("more than one credential")]
    Several,
    /// An `Authorization` header that is not one scheme and one token: 400.
    #[error("the authorization header cannot be read")]
    Malformed,
}

impl Offered<'_> {
    /// The one credential. Two of any kind are refused even if they are equal: which of them was meant is not ours to guess.
    pub fn only(&self) -> Result<Credential, CredentialError> {
        let bearers = self
            .subprotocols
            .iter()
            .filter_map(|offer| offer.strip_prefix("bearer."));
        let mut all = self
            .authorization
            .iter()
            .map(|value| bearer(value))
            .chain(bearers.map(|jwt| token(jwt).map(Credential::Subprotocol)))
            .chain(
                self.tokens
                    .iter()
                    .map(|raw| token(raw).map(Credential::Query)),
            )
            .chain(
                self.tickets
                    .iter()
                    .map(|raw| token(raw).map(Credential::Ticket)),
            );
        let first = all.next().ok_or(CredentialError::Missing)?;
        if all.next().is_some() {
            return Err(CredentialError::Several);
        }
        first
    }
}

/// RFC 6750 §2.1: the scheme in any case, blanks, one token.
fn bearer(value: &[u8]) -> Result<Credential, CredentialError> {
    let value = std::str::from_utf8(value).map_err(|_| CredentialError::Malformed)?;
    let value = value.trim_matches([' ', '\t']);
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(CredentialError::Missing);
    }
    let rest = rest.trim_start_matches(' ');
    if rest.contains([' ', '\t', ',']) {
        return Err(CredentialError::Malformed);
    }
    token(rest).map(Credential::Bearer)
}

fn token(raw: &str) -> Result<RawToken, CredentialError> {
    if raw.is_empty() {
        return Err(CredentialError::Missing);
    }
    Ok(RawToken::new(raw))
}

#[cfg(test)]
mod tests {
    use super::{Credential, CredentialError, Offered};
    use crate::domain::token::RawToken;

    fn header(value: &str) -> Offered<'_> {
        Offered {
            authorization: vec![value.as_bytes()],
            ..Offered::default()
        }
    }

    #[test]
    fn each_path_carries_its_credential() {
        let jwt = || RawToken::new("a.b.c");
        for (offered, expected) in [
            (header("Bearer a.b.c"), Credential::Bearer(jwt())),
            (header("bearer a.b.c"), Credential::Bearer(jwt())),
            (header("BEARER   a.b.c "), Credential::Bearer(jwt())),
            (
                Offered {
                    subprotocols: vec!["wardroom.v1", "bearer.a.b.c"],
                    ..Offered::default()
                },
                Credential::Subprotocol(jwt()),
            ),
            (
                Offered {
                    tokens: vec!["a.b.c"],
                    ..Offered::default()
                },
                Credential::Query(jwt()),
            ),
            (
                Offered {
                    tickets: vec!["a.b.c"],
                    ..Offered::default()
                },
                Credential::Ticket(jwt()),
            ),
        ] {
            assert_eq!(offered.only(), Ok(expected));
        }
    }

    #[test]
    fn no_credential_is_missing() {
        for offered in [
            Offered::default(),
            header("Basic dTpw"),
            header("Bearer"),
            header("Bearer "),
            header("Bearerx a.b.c"),
            header(""),
            Offered {
                subprotocols: vec!["wardroom.v1", "bearer."],
                ..Offered::default()
            },
            Offered {
                tokens: vec![""],
                ..Offered::default()
            },
            Offered {
                tickets: vec![""],
                ..Offered::default()
            },
        ] {
            assert_eq!(offered.only(), Err(CredentialError::Missing), "{offered:?}");
        }
    }

    #[test]
    fn two_credentials_of_any_kind_are_refused() {
        let several = [
            Offered {
                tokens: vec!["A", "B"],
                ..Offered::default()
            },
            Offered {
                tokens: vec!["A", "A"],
                ..Offered::default()
            },
            Offered {
                tokens: vec!["A"],
                ..header("Bearer A")
            },
            Offered {
                tickets: vec!["A"],
                tokens: vec!["B"],
                ..Offered::default()
            },
            Offered {
                subprotocols: vec!["bearer.A"],
                ..header("Bearer A")
            },
            Offered {
                subprotocols: vec!["bearer.A", "bearer.B"],
                ..Offered::default()
            },
            Offered {
                authorization: vec![b"Bearer A", b"Bearer A"],
                ..Offered::default()
            },
            Offered {
                tickets: vec!["A"],
                ..header("Basic x")
            },
        ];
        for offered in several {
            assert_eq!(offered.only(), Err(CredentialError::Several), "{offered:?}");
        }
    }

    #[test]
    fn a_header_with_two_tokens_or_no_text_is_malformed() {
        for value in [
            "Bearer a, Bearer b",
            "Bearer a b",
            "Bearer a,b",
            "Bearer a\tb",
        ] {
            assert_eq!(
                header(value).only(),
                Err(CredentialError::Malformed),
                "{value}"
            );
        }
        let bytes = Offered {
            authorization: vec![b"Bearer \xff"],
            ..Offered::default()
        };
        assert_eq!(bytes.only(), Err(CredentialError::Malformed));
    }
}
