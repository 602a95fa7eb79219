//! The identity provider of the tests: an ES256 key and the tokens that it signs, the odd ones too.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// The issuer in the configuration of the tests.
pub const ISSUER: &str = "https://idp.test";
/// The audience.
pub const AUDIENCE: &str = "wardroom";

/// Seconds since 1970, on the machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests have a clock of their own"
)]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

/// Signs tokens with one key.
pub struct Provider {
    key: EncodingKey,
    public_pem: String,
    private_pem: String,
    /// x and y of the point.
    point: (String, String),
}

impl Provider {
    /// A fresh ES256 key.
    pub fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a PEM of ours");
        let raw = pair.public_key_raw();
        let coordinate =
            |range: std::ops::Range<usize>| data_encoding::BASE64URL_NOPAD.encode(&raw[range]);
        Self {
            key,
            public_pem: pair.public_key_pem(),
            private_pem: pair.serialize_pem(),
            point: (coordinate(1..33), coordinate(33..65)),
        }
    }

    /// The public key as a member of a key set.
    pub fn jwk(&self, kid: &str) -> Value {
        let (x, y) = &self.point;
        json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y })
    }

    /// Signs any claims under a header that names a key.
    pub fn sign_as(&self, kid: &str, claims: &Value) -> String {
        let header = Header {
            typ: Some("JWT".to_owned()),
            kid: Some(kid.to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.key).expect("claims are an object")
    }

    /// The public key, PEM.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// The private key, PEM.
    pub fn private_pem(&self) -> &str {
        &self.private_pem
    }

    /// A good token for a person who may talk in every room.
    pub fn token(&self, sub: &str) -> String {
        self.sign(&claims(sub))
    }

    /// A good token with some claims set or, by `null`, taken away.
    pub fn token_with(&self, sub: &str, changes: &Value) -> String {
        let mut all = claims(sub);
        for (name, value) in changes.as_object().expect("an object of claims") {
            if value.is_null() {
                all.as_object_mut().expect("an object").remove(name);
            } else {
                all[name] = value.clone();
            }
        }
        self.sign(&all)
    }

    /// Signs any claims under the usual header.
    pub fn sign(&self, claims: &Value) -> String {
        let header = Header {
            typ: Some("JWT".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        jsonwebtoken::encode(&header, claims, &self.key).expect("claims are an object")
    }
}

/// The claims of a good token.
pub fn claims(sub: &str) -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": sub, "iat": now(), "exp": now() + 3600, "jti": format!("{sub}-{}", now()),
            "rooms": ["*"], "scope": "chat" })
}
