//! Where an issuer's key set is: at a configured address, or where its discovery document says. One read is one or two GETs
//! and nothing from a token.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tokio::time::timeout;

use crate::auth::{
    fetch::{Fetch, FetchError, FetchLimits, HttpsUrl, Roots, UrlError},
    jwks::{KeySet, KeySetError},
    keys::SignatureRules,
    strict_json::Object,
};

/// OpenID Connect Discovery 1.0 §4.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// Why a key set was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    #[error("the discovery document is no JSON object with `issuer` and `jwks_uri`")]
    Discovery,
    #[error("the discovery document is another issuer's")]
    DiscoveryIssuer,
    #[error("the discovery document's `jwks_uri` is not allowed: {0}")]
    DiscoveryUrl(UrlError),
    #[error("the discovery document's `jwks_uri` points into this machine or link")]
    DiscoveryLocal,
}

impl ReadError {
    /// The metric's `result`.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.label(),
            Self::KeySet(_) => "key_set",
            Self::Discovery
            | Self::DiscoveryIssuer
            | Self::DiscoveryUrl(_)
            | Self::DiscoveryLocal => "discovery",
        }
    }
}

/// Where to look.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// `jwks_url`.
    Url(HttpsUrl),
    /// `discovery = true`: the document's address, made from the issuer.
    Discovery { document: HttpsUrl, local: bool },
}

impl Place {
    /// The document of an issuer. A final slash of the issuer is dropped before the well-known path (§4.1).
    pub(super) fn discovery(issuer: &str) -> Result<Self, UrlError> {
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        if base.contains(['?', '#']) {
            return Err(UrlError::Form);
        }
        let document = HttpsUrl::parse(&format!("{base}{WELL_KNOWN}"))?;
        let local = document.is_local();
        Ok(Self::Discovery { document, local })
    }
}

/// Reads one issuer's key set.
pub(super) struct KeySource {
    pub(super) place: Place,
    pub(super) roots: Roots,
    pub(super) limits: FetchLimits,
    pub(super) keys_max: usize,
    pub(super) fetch: Arc<dyn Fetch>,
}

impl KeySource {
    /// Reads the set. Takes at most twice `limits.timeout`.
    ///
    /// # Cancel safety
    /// Nothing is kept before the whole set was read.
    pub(super) async fn read(&self, rules: &SignatureRules) -> Result<KeySet, ReadError> {
        let address = match &self.place {
            Place::Url(url) => url.clone(),
            Place::Discovery { document, local } => {
                let bytes = self.get(document).await?;
                key_set_address(&bytes, &rules.issuer, *local)?
            }
        };
        let bytes = self.get(&address).await?;
        Ok(KeySet::parse(&bytes, rules, self.keys_max)?)
    }

    /// The limits are held here too: a key set is not worth trusting an implementation with them.
    async fn get(&self, url: &HttpsUrl) -> Result<Bytes, FetchError> {
        let get = self.fetch.get(url, &self.roots, self.limits);
        let bytes = timeout(self.limits.timeout, get)
            .await
            .map_err(|_| FetchError::Timeout)??;
        if bytes.len() > self.limits.bytes_max {
            return Err(FetchError::TooLarge);
        }
        Ok(bytes)
    }
}

/// `jwks_uri` of a document whose `issuer` is ours, byte for byte (§4.3). It may be on this machine or link only if the issuer
/// is there itself: a hostile provider shall not make this node look around at home.
fn key_set_address(
    document: &[u8],
    issuer: &str,
    issuer_is_local: bool,
) -> Result<HttpsUrl, ReadError> {
    let document = Object::parse(document).ok_or(ReadError::Discovery)?;
    let text = |member| match document.get(member) {
        Some(Value::String(text)) => Ok(text.as_str()),
        _ => Err(ReadError::Discovery),
    };
    if text("issuer")? != issuer {
        return Err(ReadError::DiscoveryIssuer);
    }
    let url = HttpsUrl::parse(text("jwks_uri")?).map_err(ReadError::DiscoveryUrl)?;
    if url.is_local() && !issuer_is_local {
        return Err(ReadError::DiscoveryLocal);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Place, ReadError, key_set_address};

    const ISSUER: &str = "https://idp.example/realm";

    fn address(document: &Value, local: bool) -> Result<String, ReadError> {
        key_set_address(document.to_string().as_bytes(), ISSUER, local)
            .map(|url| url.as_str().to_owned())
    }

    #[test]
    fn the_document_is_beside_the_issuer() {
        for (issuer, expected) in [
            (
                "https://idp.example",
                "https://idp.example/.well-known/openid-configuration",
            ),
            (
                "https://idp.example/",
                "https://idp.example/.well-known/openid-configuration",
            ),
            (
                "https://idp.example/realms/a",
                "https://idp.example/realms/a/.well-known/openid-configuration",
            ),
        ] {
            let Ok(Place::Discovery { document, local }) = Place::discovery(issuer) else {
                panic!("{issuer}");
            };
            assert_eq!((document.as_str(), local), (expected, false));
        }
        for bad in ["http://idp.example", "idp", "https://idp.example/?x", ""] {
            assert!(Place::discovery(bad).is_err(), "{bad}");
        }
        let here = Place::discovery("http://127.0.0.1:9000").expect("loopback");
        assert!(matches!(here, Place::Discovery { local: true, .. }));
    }

    #[test]
    fn the_document_must_be_the_issuers_own() {
        let good = json!({"issuer": ISSUER, "jwks_uri": "https://keys.example/set"});
        assert_eq!(
            address(&good, false),
            Ok("https://keys.example/set".to_owned())
        );
        for other in [
            "https://idp.example",
            "https://idp.example/realm/",
            "https://IDP.example/realm",
            "https://evil.example/realm",
        ] {
            let document = json!({"issuer": other, "jwks_uri": "https://keys.example/set"});
            assert_eq!(address(&document, false), Err(ReadError::DiscoveryIssuer));
        }
        for bad in [
            json!({}),
            json!({"issuer": ISSUER}),
            json!({"issuer": [ISSUER], "jwks_uri": "https://keys.example/set"}),
            json!({"issuer": ISSUER, "jwks_uri": 5}),
            json!([]),
        ] {
            assert_eq!(address(&bad, false), Err(ReadError::Discovery), "{bad}");
        }
    }

    #[test]
    fn a_document_cannot_point_into_this_machine_or_link() {
        for inner in [
            "https://127.0.0.1/keys",
            "http://127.0.0.1/keys",
            "https://localhost/keys",
            "https://169.254.169.254/latest",
            "https://[::1]/keys",
            "https://[fe80::1]/keys",
        ] {
            let document = json!({"issuer": ISSUER, "jwks_uri": inner});
            assert_eq!(
                address(&document, false),
                Err(ReadError::DiscoveryLocal),
                "{inner}"
            );
            assert!(address(&document, true).is_ok(), "{inner}");
        }
        for bad in ["http://keys.example/", "https://u@keys.example/", "keys"] {
            let document = json!({"issuer": ISSUER, "jwks_uri": bad});
            let error = address(&document, true);
            assert!(matches!(error, Err(ReadError::DiscoveryUrl(_))), "{bad}");
        }
    }
}
