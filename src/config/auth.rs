//! `[auth]`: the identity providers, and what a token means.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::units;

/// `[auth]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Whether `?token=` works.
    pub query_token: QueryToken,
    /// How far the provider's clock may be off.
    #[serde(rename = "leeway_s", with = "units::seconds")]
    pub leeway: Duration,
    /// The longest life a token may have.
    #[serde(rename = "token_life_max_s", with = "units::seconds")]
    pub token_life_max: Duration,
    /// The longest life of a session, however often it is refreshed.
    #[serde(rename = "session_max_s", with = "units::seconds")]
    pub session_max: Duration,
    /// `[[auth.issuers]]`
    #[serde(default)]
    pub issuers: Vec<Issuer>,
    /// `[auth.claims]`
    pub claims: Claims,
    /// `[auth.defaults]`
    pub defaults: Defaults,
}

/// `auth.query_token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueryToken {
    /// Any good token.
    On,
    /// Only a token whose whole life is at most `limits.query_token_life_max_s`.
    ShortLived,
    /// Refused.
    Off,
}

/// `[[auth.issuers]]`. Exactly one source of keys: `jwks_url`, `discovery`, `public_key_file` or `secret_file`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The `iss` claim, byte for byte.
    pub issuer: String,
    /// The token's audience must be or contain one of these.
    pub audience: Vec<String>,
    /// Accepted algorithms.
    pub algorithms: Vec<String>,
    /// The key set's address.
    #[serde(default)]
    pub jwks_url: String,
    /// Find the key set by OpenID Connect Discovery.
    #[serde(default)]
    pub discovery: bool,
    /// One public key, PEM.
    #[serde(default)]
    pub public_key_file: PathBuf,
    /// One shared secret of 32 bytes or more, for HS256 alone.
    #[serde(default)]
    pub secret_file: PathBuf,
    /// Root certificates for the key set's server, PEM; empty: the system's.
    #[serde(default)]
    pub ca_file: PathBuf,
    /// Accepted `typ` headers; `""` admits tokens without one.
    #[serde(default = "token_types")]
    pub token_types: Vec<String>,
    /// The audiences of logout tokens.
    #[serde(default)]
    pub client_ids: Vec<String>,
    /// Which claim holds the audience.
    #[serde(default = "audience_claim")]
    pub audience_claim: String,
}

fn token_types() -> Vec<String> {
    ["at+jwt", "application/at+jwt", "JWT"]
        .map(String::from)
        .into()
}

fn audience_claim() -> String {
    "aud".to_owned()
}

/// `[auth.claims]`: dotted paths reach nested claims; a key may be quoted.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// The verified nickname.
    pub nickname: String,
    /// Room names and prefixes.
    pub rooms: String,
    /// What the identity may do.
    pub scope: String,
}

/// `[auth.defaults]`: what holds when the claim is absent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Defaults {
    /// Room names and prefixes.
    pub rooms: Vec<String>,
    /// Scopes.
    pub scopes: Vec<String>,
}
