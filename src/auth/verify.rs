//! From a raw token to an identity, step by step and cheapest first. Each step has a reason of its own for the audit trail;
//! the outside hears one answer, and "expired" only of a token that is good in every other way.

use data_encoding::BASE64URL_NOPAD;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use crate::auth::{
    claims::{Registered, RightsRules},
    error::AuthError,
    header::Header,
    identity::{Identity, IdentityParts},
    issuer::Issuer,
    reason::Reason,
};

/// The bounds that hold for a token because of the way it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathRules {
    /// The whole token, in bytes.
    pub(super) bytes_max: usize,
    /// From `iat` to `exp`, in seconds; `None`: only `token_life_max_s` counts.
    pub(super) life_max: Option<u64>,
}

/// The bounds that hold for every token, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeRules {
    /// `auth.leeway_s`.
    pub(super) leeway: u64,
    /// `auth.token_life_max_s`.
    pub(super) life_max: u64,
    /// `limits.token_left_min_s`.
    pub(super) left_min: u64,
}

/// Holds tokens against the configured providers.
pub(super) struct Verifier {
    pub(super) issuers: Vec<Issuer>,
    pub(super) times: TimeRules,
    pub(super) rights: RightsRules,
}

/// A good token, and what of it was passed over.
pub(super) struct Verified {
    pub(super) identity: Identity,
    /// Entries of the `rooms` claim that no room can match.
    pub(super) rooms_ignored: u64,
}

impl Verifier {
    /// Verifies one token at `now` (unix seconds).
    pub(super) async fn verify(
        &self,
        token: &str,
        path: PathRules,
        now: u64,
    ) -> Result<Verified, AuthError> {
        if token.len() > path.bytes_max {
            return Err(Reason::TokenTooLong.into());
        }
        let parts = Parts::split(token)?;
        let header = Header::parse(&parts.header)?;
        let issuer = self.issuer(&unverified_issuer(&parts.claims)?)?;
        issuer.admits(&header)?;
        let key = issuer.key(&header).await?;
        let claims = key.verify(token, header.algorithm)?;
        issuer.check_audience(&claims)?;
        let registered = Registered::read(&claims)?;
        let rights = self.rights.read(&claims)?;
        self.check_times(&registered, path, now)?;
        if rights.scopes.is_empty() {
            return Err(AuthError::Forbidden);
        }
        Ok(Verified {
            identity: Identity::from_verified(IdentityParts {
                issuer: issuer.name().into(),
                subject: registered.subject,
                nickname: rights.nickname,
                scopes: rights.scopes,
                rooms: rights.rooms,
                expires_at: registered.expires_at,
                issued_at: registered.issued_at,
                token_id: registered.token_id,
                session_id: registered.session_id,
                key: Some(key.fingerprint()),
            }),
            rooms_ignored: rights.rooms_ignored,
        })
    }

    /// The provider of that name. There is no fallback, with one provider either.
    pub(super) fn issuer(&self, name: &str) -> Result<&Issuer, Reason> {
        self.issuers
            .iter()
            .find(|issuer| issuer.name() == name)
            .ok_or(Reason::IssuerUnknown)
    }

    /// Expiry is asked last: it is the only fault that may be told.
    fn check_times(
        &self,
        registered: &Registered,
        path: PathRules,
        now: u64,
    ) -> Result<(), AuthError> {
        let expires_at = registered.expires_at;
        let latest = now.saturating_add(self.times.leeway);
        if registered.not_before.is_some_and(|at| at > latest) {
            return Err(Reason::NotYetValid.into());
        }
        if registered.issued_at.is_some_and(|at| at > latest) {
            return Err(Reason::IssuedLater.into());
        }
        if registered.issued_at.is_some_and(|at| at > expires_at) {
            return Err(Reason::IssuedAfterExpiry.into());
        }
        let life = expires_at.saturating_sub(registered.issued_at.unwrap_or(now));
        if life > self.times.life_max {
            return Err(Reason::LifeTooLong.into());
        }
        if path.life_max.is_some_and(|max| life > max) {
            return Err(Reason::QueryTokenLife.into());
        }
        let end = expires_at.saturating_add(self.times.leeway);
        match end.checked_sub(now) {
            Some(left) if left >= self.times.left_min && left > 0 => Ok(()),
            _ => Err(AuthError::TokenExpired),
        }
    }
}

/// The decoded first two parts. The third is decoded too, for its form alone; jsonwebtoken reads it from the token.
struct Parts {
    header: Vec<u8>,
    claims: Vec<u8>,
}

impl Parts {
    /// Three parts of strict base64url: no padding, no other alphabet, no bits left over, so that a token has one spelling.
    fn split(token: &str) -> Result<Self, Reason> {
        let mut parts = token.split('.');
        let mut next = || {
            let part = parts.next().filter(|part| !part.is_empty())?;
            BASE64URL_NOPAD.decode(part.as_bytes()).ok()
        };
        let (header, claims, signature) = (next(), next(), next());
        match (header, claims, signature, parts.next()) {
            (Some(header), Some(claims), Some(_), None) => Ok(Self { header, claims }),
            _ => Err(Reason::TokenShape),
        }
    }
}

/// `iss`, read before the signature for one purpose: to choose whose key to try. Everything else is skipped unread.
fn unverified_issuer(claims: &[u8]) -> Result<String, Reason> {
    serde_json::from_slice::<IssuerOnly>(claims)
        .map_err(|_| Reason::ClaimsMalformed)?
        .0
        .ok_or(Reason::ClaimMissing)
}

struct IssuerOnly(Option<String>);

impl<'de> Deserialize<'de> for IssuerOnly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(IssuerVisitor)
    }
}

struct IssuerVisitor;

impl<'de> Visitor<'de> for IssuerVisitor {
    type Value = IssuerOnly;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IssuerOnly, A::Error> {
        let mut issuer = None;
        while let Some(name) = map.next_key::<String>()? {
            if name != "iss" {
                map.next_value::<IgnoredAny>()?;
            } else if issuer.replace(map.next_value::<String>()?).is_some() {
                return Err(A::Error::custom("two issuers"));
            }
        }
        Ok(IssuerOnly(issuer))
    }
}
