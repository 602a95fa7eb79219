//! One configured identity provider: from `[[auth.issuers]]` to what its tokens are held against.

use std::{path::Path, sync::Arc};

use jsonwebtoken::Algorithm;
use tokio::time::Instant;

use crate::{
    auth::{
        claim_path::ClaimPath,
        claims::audience_fits,
        error::{AuthError, AuthSetupError},
        fetch::{Fetch, FetchLimits, HttpsUrl, Roots},
        header::Header,
        identity::Identity,
        key_set::{KeyCache, KeyState, KeyTimes},
        key_source::{KeySource, Place},
        keys::{IssuerKey, SignatureRules, VerifyingKey},
        reason::Reason,
        strict_json::Object,
    },
    clock::Clock,
    config::{self, limits::Limits},
    telemetry::metrics::Metrics,
};

/// Types that are never an access token's, however they are configured (OpenID Connect Back-Channel Logout §2.4).
const LOGOUT_TYPES: [&str; 2] = ["logout+jwt", "application/logout+jwt"];

/// A provider whose public key is given as a value: `wardroom dev`, which signs its own tokens.
#[derive(Clone, Debug)]
pub struct LocalIssuer {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// What verifies its tokens.
    pub key: IssuerKey,
}

/// One provider.
pub(super) struct Issuer {
    rules: SignatureRules,
    audience: Audience,
    token_types: Vec<String>,
    keys: Keys,
}

/// Who compares the audience.
enum Audience {
    /// jsonwebtoken, by `aud`.
    Registered,
    /// We do, because another claim holds it.
    Elsewhere {
        claim: ClaimPath,
        accepted: Vec<String>,
    },
}

enum Keys {
    Fixed(Arc<VerifyingKey>),
    Fetched(Box<KeyCache>),
}

/// What a provider's key set is read and timed with.
pub(super) struct Surroundings<'a> {
    pub(super) limits: &'a Limits,
    pub(super) fetch: &'a Arc<dyn Fetch>,
    pub(super) clock: &'a Clock,
    pub(super) metrics: &'a Arc<Metrics>,
}

impl Issuer {
    /// Builds the provider of a configuration block; `key` is the block's name for errors.
    pub(super) fn from_config(
        block: &config::auth::Issuer,
        key: &str,
        around: &Surroundings<'_>,
    ) -> Result<Self, AuthSetupError> {
        let at = |name: &str| format!("{key}.{name}");
        if block.issuer.is_empty() {
            return Err(AuthSetupError::new(at("issuer"), "is empty"));
        }
        if block.audience.is_empty() || block.audience.iter().any(String::is_empty) {
            return Err(AuthSetupError::new(
                at("audience"),
                "must name at least one audience, and none may be empty",
            ));
        }
        let token_types = token_types(&block.token_types)
            .map_err(|problem| AuthSetupError::new(at("token_types"), problem))?;
        let algorithms =
            algorithms(block).map_err(|problem| AuthSetupError::new(at("algorithms"), problem))?;
        let claim = ClaimPath::parse(&block.audience_claim)
            .map_err(|error| AuthSetupError::new(at("audience_claim"), error))?;
        let registered = claim.is("aud");
        let rules = SignatureRules {
            issuer: block.issuer.clone(),
            audience: registered.then(|| block.audience.clone()),
            algorithms,
        };
        let audience = if registered {
            Audience::Registered
        } else {
            Audience::Elsewhere {
                claim,
                accepted: block.audience.clone(),
            }
        };
        Ok(Self {
            keys: Keys::from_config(block, key, &rules, around)?,
            rules,
            audience,
            token_types,
        })
    }

    /// A provider with one key, given as a value.
    pub(super) fn local(local: LocalIssuer) -> Result<Self, AuthSetupError> {
        let algorithm = local.key.algorithm();
        let rules = SignatureRules {
            issuer: local.issuer,
            audience: Some(vec![local.audience]),
            algorithms: vec![algorithm],
        };
        let key = VerifyingKey::new(local.key, &rules, None).ok_or_else(|| {
            AuthSetupError::new("auth.issuers", "the local key verifies no algorithm")
        })?;
        Ok(Self {
            rules,
            audience: Audience::Registered,
            token_types: vec!["at+jwt".to_owned()],
            keys: Keys::Fixed(Arc::new(key)),
        })
    }

    /// `iss`, byte for byte.
    pub(super) fn name(&self) -> &str {
        &self.rules.issuer
    }

    /// Whether a header may come from this provider at all.
    pub(super) fn admits(&self, header: &Header) -> Result<(), Reason> {
        let one = header.token_type.as_str();
        let same = |other: &&str| other.eq_ignore_ascii_case(one);
        if LOGOUT_TYPES.iter().any(same) {
            return Err(Reason::LogoutToken);
        }
        if !self.token_types.iter().any(|own| same(&own.as_str())) {
            return Err(Reason::TokenType);
        }
        if self.rules.algorithms.contains(&header.algorithm) {
            Ok(())
        } else {
            Err(Reason::Algorithm)
        }
    }

    /// The key that a header names. With a single key file the `kid` does not matter.
    pub(super) async fn key(&self, header: &Header) -> Result<Arc<VerifyingKey>, AuthError> {
        match &self.keys {
            Keys::Fixed(key) => Ok(Arc::clone(key)),
            Keys::Fetched(cache) => cache.find(header.key_id.as_deref(), header.algorithm).await,
        }
    }

    /// The audience, where jsonwebtoken does not see it.
    pub(super) fn check_audience(&self, claims: &Object) -> Result<(), Reason> {
        // jsonwebtoken passes a list with other things than strings in it.
        let (claim, accepted) = match &self.audience {
            Audience::Registered => (claims.get("aud"), self.rules.audience.as_deref()),
            Audience::Elsewhere { claim, accepted } => {
                (claim.get(claims), Some(accepted.as_slice()))
            }
        };
        let claim = claim.ok_or(Reason::ClaimMissing)?;
        if audience_fits(claim, accepted.unwrap_or_default()) {
            Ok(())
        } else {
            Err(Reason::Audience)
        }
    }

    /// Whether the key that signed for this identity has left the set since.
    pub(super) fn withdrew(&self, identity: &Identity, seen: Instant) -> bool {
        match (&self.keys, identity.parts().key) {
            (Keys::Fetched(cache), Some(fingerprint)) => cache.withdrew(fingerprint, seen),
            _ => false,
        }
    }

    /// How the keys are.
    pub(super) fn key_state(&self) -> KeyState {
        match &self.keys {
            Keys::Fixed(_) => KeyState::Fixed,
            Keys::Fetched(cache) => cache.state(),
        }
    }

    /// The set that has to be kept fresh, if there is one.
    pub(super) fn cache(&self) -> Option<&KeyCache> {
        match &self.keys {
            Keys::Fixed(_) => None,
            Keys::Fetched(cache) => Some(cache),
        }
    }
}

impl Keys {
    fn from_config(
        block: &config::auth::Issuer,
        key: &str,
        rules: &SignatureRules,
        around: &Surroundings<'_>,
    ) -> Result<Self, AuthSetupError> {
        let at = |name: &str| format!("{key}.{name}");
        let given = |path: &Path| !path.as_os_str().is_empty();
        let sources = (
            given(&block.public_key_file),
            given(&block.secret_file),
            !block.jwks_url.is_empty(),
            block.discovery,
        );
        let fixed = |name, key: Result<IssuerKey, _>| {
            let key = key.map_err(|error| AuthSetupError::new(at(name), error))?;
            VerifyingKey::new(key, rules, None)
                .map(|key| Self::Fixed(Arc::new(key)))
                .ok_or_else(|| AuthSetupError::new(at(name), "the key fits none of `algorithms`"))
        };
        let place = match sources {
            (true, false, false, false) => {
                let key = IssuerKey::read_public(&block.public_key_file);
                return fixed("public_key_file", key);
            }
            (false, true, false, false) => {
                return fixed("secret_file", IssuerKey::read_secret(&block.secret_file));
            }
            (false, false, true, false) => HttpsUrl::parse(&block.jwks_url)
                .map(Place::Url)
                .map_err(|error| AuthSetupError::new(at("jwks_url"), error))?,
            (false, false, false, true) => Place::discovery(&block.issuer)
                .map_err(|error| AuthSetupError::new(at("issuer"), error))?,
            _ => {
                return Err(AuthSetupError::new(
                    key,
                    "exactly one of jwks_url, discovery, public_key_file and secret_file must be set",
                ));
            }
        };
        Ok(Self::fetched(block, place, rules, around))
    }

    fn fetched(
        block: &config::auth::Issuer,
        place: Place,
        rules: &SignatureRules,
        around: &Surroundings<'_>,
    ) -> Self {
        let limits = around.limits;
        let roots = if block.ca_file.as_os_str().is_empty() {
            Roots::System
        } else {
            Roots::File(block.ca_file.clone())
        };
        let source = KeySource {
            place,
            roots,
            limits: FetchLimits {
                timeout: limits.jwks_timeout,
                bytes_max: limits.jwks_bytes_max,
            },
            keys_max: limits.jwks_keys_max,
            fetch: Arc::clone(around.fetch),
        };
        let times = KeyTimes {
            ttl: limits.jwks_ttl,
            stale_max: limits.jwks_stale_max,
            unknown_kid_interval: limits.jwks_unknown_kid_interval,
        };
        Self::Fetched(Box::new(KeyCache::new(
            rules.clone(),
            source,
            times,
            around.clock.clone(),
            Arc::clone(around.metrics),
        )))
    }
}

/// The configured names. HS256 stands alone and with a secret, or a public key could be taken for one.
fn algorithms(block: &config::auth::Issuer) -> Result<Vec<Algorithm>, String> {
    let mut out: Vec<Algorithm> = Vec::new();
    for name in &block.algorithms {
        let algorithm = name
            .parse()
            .ok()
            .filter(|one| !matches!(one, Algorithm::HS384 | Algorithm::HS512))
            .ok_or_else(|| format!("{name:?} is not accepted"))?;
        out.push(algorithm);
    }
    let secret = !block.secret_file.as_os_str().is_empty();
    match out.as_slice() {
        [] => Err("is empty, so that no token could be accepted".to_owned()),
        [Algorithm::HS256] if secret => Ok(out),
        _ if secret || out.contains(&Algorithm::HS256) => {
            Err("HS256 goes with secret_file, alone, and secret_file with HS256".to_owned())
        }
        _ => Ok(out),
    }
}

fn token_types(types: &[String]) -> Result<Vec<String>, String> {
    if types.is_empty() {
        return Err("is empty, so that no token could be accepted".to_owned());
    }
    let is_logout = |one: &&String| LOGOUT_TYPES.iter().any(|t| t.eq_ignore_ascii_case(one));
    match types.iter().find(is_logout) {
        Some(logout) => Err(format!("{logout:?} is no access token's type")),
        None => Ok(types.to_vec()),
    }
}
