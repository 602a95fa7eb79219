//! A key set as an issuer publishes it (RFC 7517): read whole, each key checked before it can verify anything. A key that does
//! not fit is left out and the others work; a set that contradicts itself is refused, so that the last good one stays.

use std::{collections::HashMap, sync::Arc};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use crate::auth::{
    header::is_key_id,
    keys::{IssuerKey, KeyError, KeyFingerprint, SignatureRules, VerifyingKey},
    reason::Reason,
    strict_json::Object,
};

/// Why a whole set is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    /// No JSON object with a list of `keys`.
    #[error("the answer is no key set")]
    NotAKeySet,
    /// More keys than `limits.jwks_keys_max`.
    #[error("the set has too many keys")]
    TooManyKeys,
    /// Two keys have one `kid`: which one is meant would be chance.
    #[error("two keys of the set have the same kid")]
    KeyIdTwice,
}

/// Why one key of a set is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwkError {
    #[error("a member has the wrong form")]
    Malformed,
    #[error("a shared secret has no place at an address")]
    Secret,
    #[error("it carries its private part")]
    Private,
    #[error("it is not for signatures")]
    Use,
    #[error("its algorithm is not accepted or does not fit it")]
    Algorithm,
    #[error("it is too small, not on its curve, or damaged")]
    Unfit,
}

/// The usable keys of an issuer, replaced as a whole.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet {
    by_id: HashMap<String, Arc<VerifyingKey>>,
    without_id: Vec<Arc<VerifyingKey>>,
    /// Keys that were left out, with the reason, for one line in the log.
    pub(super) refused: Vec<JwkError>,
}

impl KeySet {
    /// Reads a set of at most `keys_max` keys.
    pub(super) fn parse(
        bytes: &[u8],
        rules: &SignatureRules,
        keys_max: usize,
    ) -> Result<Self, KeySetError> {
        let document = Object::parse(bytes).ok_or(KeySetError::NotAKeySet)?;
        let Some(Value::Array(keys)) = document.get("keys") else {
            return Err(KeySetError::NotAKeySet);
        };
        if keys.len() > keys_max {
            return Err(KeySetError::TooManyKeys);
        }
        let mut ids: Vec<&str> = keys
            .iter()
            .filter_map(|key| key.get("kid")?.as_str())
            .collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(KeySetError::KeyIdTwice);
        }
        let mut set = Self::default();
        for key in keys {
            match read_key(key, rules) {
                Ok((Some(id), key)) => {
                    set.by_id.insert(id, Arc::new(key));
                }
                Ok((None, key)) => set.without_id.push(Arc::new(key)),
                Err(error) => set.refused.push(error),
            }
        }
        Ok(set)
    }

    /// The key of that name; without a name the only key that takes the algorithm. `Reason::KeyUnknown` means that another
    /// read of the set may help.
    pub(super) fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<&Arc<VerifyingKey>, Reason> {
        if let Some(id) = id {
            let key = self.by_id.get(id).ok_or(Reason::KeyUnknown)?;
            return if key.takes(algorithm) {
                Ok(key)
            } else {
                Err(Reason::KeyAlgorithm)
            };
        }
        let mut fitting = self.all().filter(|key| key.takes(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(only),
            _ => Err(Reason::KeyAmbiguous),
        }
    }

    /// Whether a key of the set has that fingerprint.
    pub(super) fn holds(&self, fingerprint: KeyFingerprint) -> bool {
        self.all().any(|key| key.fingerprint() == fingerprint)
    }

    /// How many keys can verify.
    pub(super) fn len(&self) -> usize {
        self.all().count()
    }

    fn all(&self) -> impl Iterator<Item = &Arc<VerifyingKey>> {
        self.by_id.values().chain(&self.without_id)
    }
}

fn read_key(
    key: &Value,
    rules: &SignatureRules,
) -> Result<(Option<String>, VerifyingKey), JwkError> {
    let key = key.as_object().ok_or(JwkError::Malformed)?;
    if key.contains_key("d") {
        return Err(JwkError::Private);
    }
    let id = text(key, "kid")?;
    if id.is_some_and(|id| !is_key_id(id)) {
        return Err(JwkError::Malformed);
    }
    if text(key, "use")?.is_some_and(|purpose| purpose != "sig") || !may_verify(key)? {
        return Err(JwkError::Use);
    }
    let only = match text(key, "alg")? {
        None => None,
        Some(name) => Some(name.parse().map_err(|_| JwkError::Algorithm)?),
    };
    let public = read_material(key)?;
    let verifying = VerifyingKey::new(public, rules, only).ok_or(JwkError::Algorithm)?;
    Ok((id.map(str::to_owned), verifying))
}

/// `key_ops` (RFC 7517 §4.3) is absent, or has `verify` in it.
fn may_verify(key: &Map<String, Value>) -> Result<bool, JwkError> {
    match key.get("key_ops") {
        None => Ok(true),
        Some(Value::Array(operations)) => Ok(operations.iter().any(|one| one == "verify")),
        Some(_) => Err(JwkError::Malformed),
    }
}

fn read_material(key: &Map<String, Value>) -> Result<IssuerKey, JwkError> {
    let built = match text(key, "kty")?.ok_or(JwkError::Malformed)? {
        "RSA" => {
            let (modulus, exponent) = (bytes(key, "n")?, bytes(key, "e")?);
            IssuerKey::from_rsa_components(&modulus, &exponent)
        }
        "EC" => {
            let size = match text(key, "crv")? {
                Some("P-256") => 32,
                Some("P-384") => 48,
                _ => return Err(JwkError::Unfit),
            };
            let (x, y) = (bytes(key, "x")?, bytes(key, "y")?);
            // RFC 7518 §6.2.1.2: full length, leading zeros included.
            if x.len() != size || y.len() != size {
                return Err(JwkError::Unfit);
            }
            IssuerKey::from_ec_point(&[&[4][..], &x, &y].concat())
        }
        "OKP" if text(key, "crv")? == Some("Ed25519") => IssuerKey::from_ed25519(&bytes(key, "x")?),
        "oct" => return Err(JwkError::Secret),
        _ => return Err(JwkError::Unfit),
    };
    built.map_err(|_: KeyError| JwkError::Unfit)
}

fn text<'a>(key: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, JwkError> {
    match key.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JwkError::Malformed),
    }
}

fn bytes(key: &Map<String, Value>, member: &str) -> Result<Vec<u8>, JwkError> {
    let encoded = text(key, member)?.ok_or(JwkError::Malformed)?;
    BASE64URL_NOPAD
        .decode(encoded.as_bytes())
        .map_err(|_| JwkError::Malformed)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;
    use serde_json::{Value, json};

    use super::{JwkError, KeySet, KeySetError};
    use crate::auth::{keys::SignatureRules, reason::Reason, testing::Signer};

    fn rules() -> SignatureRules {
        use Algorithm as A;
        SignatureRules {
            issuer: "https://idp.example".to_owned(),
            audience: Some(vec!["wardroom".to_owned()]),
            algorithms: vec![A::ES256, A::ES384, A::RS256, A::PS256, A::EdDSA],
        }
    }

    fn parse(keys: &Value) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes(), &rules(), 32)
    }

    fn refused(change: impl FnOnce(&mut Value)) -> Vec<JwkError> {
        let mut bad = Signer::es256().jwk("bad");
        change(&mut bad);
        let good = Signer::es256().jwk("good");
        let set = parse(&json!([bad, good])).expect("a set");
        assert!(
            set.find(Some("good"), Algorithm::ES256).is_ok(),
            "the others work"
        );
        set.refused
    }

    #[test]
    fn every_accepted_kind_of_key_is_read() {
        let set = parse(&json!([
            Signer::es256().jwk("a"),
            Signer::es384().jwk("b"),
            Signer::rsa().jwk("c"),
            Signer::ed25519().jwk("d"),
        ]))
        .expect("a set");
        assert_eq!((set.len(), set.refused.len()), (4, 0));
        for (id, algorithm) in [
            ("a", Algorithm::ES256),
            ("b", Algorithm::ES384),
            ("c", Algorithm::RS256),
            ("c", Algorithm::PS256),
            ("d", Algorithm::EdDSA),
        ] {
            assert!(set.find(Some(id), algorithm).is_ok(), "{id}");
        }
        for (id, algorithm, reason) in [
            (Some("c"), Algorithm::RS512, Reason::KeyAlgorithm),
            (Some("a"), Algorithm::RS256, Reason::KeyAlgorithm),
            (Some("a"), Algorithm::HS256, Reason::KeyAlgorithm),
            (Some("z"), Algorithm::ES256, Reason::KeyUnknown),
            (None, Algorithm::HS256, Reason::KeyAmbiguous),
        ] {
            assert_eq!(set.find(id, algorithm).err(), Some(reason));
        }
    }

    #[test]
    fn a_key_that_names_its_algorithm_takes_no_other() {
        let mut key = Signer::rsa().jwk("c");
        key["alg"] = json!("PS256");
        let set = parse(&json!([key])).expect("a set");
        assert!(set.find(Some("c"), Algorithm::PS256).is_ok());
        assert_eq!(
            set.find(Some("c"), Algorithm::RS256).err(),
            Some(Reason::KeyAlgorithm)
        );
    }

    #[test]
    fn without_kid_only_a_single_fitting_key_is_used() {
        let (ec, rsa) = (Signer::es256(), Signer::rsa());
        let set = parse(&json!([ec.jwk("a"), rsa.jwk("b")])).expect("a set");
        assert!(set.find(None, Algorithm::ES256).is_ok());
        let mut nameless = Signer::es256().jwk("x");
        nameless.as_object_mut().expect("an object").remove("kid");
        let set = parse(&json!([ec.jwk("a"), nameless])).expect("a set");
        assert_eq!(
            set.find(None, Algorithm::ES256).err(),
            Some(Reason::KeyAmbiguous)
        );
    }

    #[test]
    fn an_unfit_key_is_left_out_and_the_others_work() {
        let small = json!({"kty": "RSA", "kid": "bad", "e": "AQAB",
            "n": data_encoding::BASE64URL_NOPAD.encode(&[0xc5; 128])});
        assert_eq!(refused(|key| *key = small), [JwkError::Unfit]);
        let huge = json!({"kty": "RSA", "kid": "bad", "e": "AQAB",
            "n": data_encoding::BASE64URL_NOPAD.encode(&[0xc5; 1025])});
        assert_eq!(refused(|key| *key = huge), [JwkError::Unfit]);
        let even = json!({"kty": "RSA", "kid": "bad", "e": "Ag",
            "n": data_encoding::BASE64URL_NOPAD.encode(&[0xc5; 256])});
        assert_eq!(refused(|key| *key = even), [JwkError::Unfit]);
        let one = json!({"kty": "RSA", "kid": "bad", "e": "AQ",
            "n": data_encoding::BASE64URL_NOPAD.encode(&[0xc5; 256])});
        assert_eq!(refused(|key| *key = one), [JwkError::Unfit]);
        let oct = json!({"kty": "oct", "kid": "bad", "k": "c2VjcmV0".repeat(8)});
        assert_eq!(refused(|key| *key = oct), [JwkError::Secret]);
        for (change, error) in [
            (json!({"use": "enc"}), JwkError::Use),
            (json!({"use": 5}), JwkError::Malformed),
            (json!({"key_ops": ["encrypt"]}), JwkError::Use),
            (json!({"key_ops": "verify"}), JwkError::Malformed),
            (json!({"crv": "P-384"}), JwkError::Unfit),
            (json!({"crv": "P-521"}), JwkError::Unfit),
            (json!({"crv": "secp256k1"}), JwkError::Unfit),
            (json!({"crv": 5}), JwkError::Malformed),
            (json!({"alg": "ES384"}), JwkError::Algorithm),
            (json!({"alg": "RS256"}), JwkError::Algorithm),
            (json!({"alg": "HS256"}), JwkError::Algorithm),
            (json!({"alg": "none"}), JwkError::Algorithm),
            (json!({"alg": "RSA-OAEP"}), JwkError::Algorithm),
            (json!({"kty": "RSA"}), JwkError::Malformed),
            (json!({"kty": "OKP"}), JwkError::Unfit),
            (json!({"kty": null}), JwkError::Malformed),
            (json!({"kid": "a b"}), JwkError::Malformed),
            (json!({"kid": 7}), JwkError::Malformed),
            (json!({"d": "AAAA"}), JwkError::Private),
            (json!({"x": "AAAA"}), JwkError::Unfit),
            (json!({"x": "A+=="}), JwkError::Malformed),
            // A point that is not on the curve.
            (
                json!({"y": data_encoding::BASE64URL_NOPAD.encode(&[7; 32])}),
                JwkError::Unfit,
            ),
        ] {
            let told = change.to_string();
            let members = change.as_object().expect("an object").clone();
            let found = refused(|key| {
                key.as_object_mut().expect("an object").extend(members);
            });
            assert_eq!(found, [error], "{told}");
        }
        assert!(refused(|key| key["use"] = json!("sig")).is_empty());
        assert!(refused(|key| key["key_ops"] = json!(["verify", "sign"])).is_empty());
    }

    #[test]
    fn a_set_that_contradicts_itself_is_refused_whole() {
        let key = Signer::es256().jwk("a");
        let twice = json!([key, Signer::es256().jwk("a")]);
        assert_eq!(parse(&twice).err(), Some(KeySetError::KeyIdTwice));
        let many: Vec<_> = (0..33).map(|n| json!({"kid": n.to_string()})).collect();
        assert_eq!(parse(&json!(many)).err(), Some(KeySetError::TooManyKeys));
        let many: Vec<_> = (0..32).map(|n| json!({"kid": n.to_string()})).collect();
        assert_eq!(parse(&json!(many)).expect("a set").refused.len(), 32);
        for body in [
            "",
            "{}",
            "[]",
            "<html></html>",
            r#"{"keys":{}}"#,
            r#"{"keys":null}"#,
            r#"{"keys":[],"keys":[]}"#,
            r#"[["keys",[]]]"#,
        ] {
            let error = KeySet::parse(body.as_bytes(), &rules(), 32).err();
            assert_eq!(error, Some(KeySetError::NotAKeySet), "{body}");
        }
        assert_eq!(parse(&json!([])).expect("an empty set").len(), 0);
    }
}
