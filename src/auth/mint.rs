//! Tokens of our own making: for `wardroom token` with a local key file, and for `wardroom dev` with a key that lives in memory
//! and dies with the process. Production tokens come from the identity provider.

use std::{fmt, path::Path, time::Duration};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use secrecy::ExposeSecret;
use serde::Serialize;

use crate::{
    auth::{
        header::is_key_id,
        keys::{IssuerKey, KeyError},
        random::secret_bytes,
    },
    config::{Config, files},
};

/// Why no token can be minted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The file is neither of the two.
    #[error("as a private key: {no_key}; as a shared secret: {no_secret}")]
    File {
        /// Why it is no private key.
        no_key: String,
        /// Why it is no shared secret.
        no_secret: String,
    },
    /// The key is too weak or of another kind.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The PEM is no private key of an accepted kind.
    #[error("it holds no private key of RSA (2048 bits or more), P-256, P-384 or Ed25519 in PEM")]
    NotPrivatePem,
    /// No token under such a name would be accepted.
    #[error("a key id is 1 to 128 letters, digits or ._~:/+=-")]
    KeyId,
    /// The library would not make or use the key.
    #[error("the key cannot sign")]
    Signing,
}

/// What a token is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSpec {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// `sub`.
    pub subject: String,
    /// `nickname`, if any.
    pub nickname: Option<String>,
    /// `rooms`; `None` leaves the claim out, so that `auth.defaults` holds.
    pub rooms: Option<Vec<String>>,
    /// `scope`; `None` leaves the claim out, so that `auth.defaults` holds.
    pub scope: Option<String>,
    /// From `iat` to `exp`.
    pub life: Duration,
    /// `kid` in the header, if any: which key of the issuer's set verifies it.
    pub key_id: Option<String>,
}

impl TokenSpec {
    /// A working day for a nickname in `wardroom dev`, where nobody proves anything: every room, publishing and
    /// moderating.
    pub fn development(nickname: &str) -> Self {
        Self {
            nickname: Some(nickname.to_owned()),
            rooms: Some(vec!["*".to_owned()]),
            scope: Some("chat chat:publish chat:moderate".to_owned()),
            life: Duration::from_hours(12),
            ..Self::new(
                Config::DEV_ISSUER,
                Config::DEV_AUDIENCE,
                format!("dev:{}", nickname.to_lowercase()),
            )
        }
    }

    /// An hour for this person, with the default rights.
    pub fn new(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        subject: impl Into<String>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            audience: audience.into(),
            subject: subject.into(),
            nickname: None,
            rooms: None,
            scope: None,
            life: Duration::from_hours(1),
            key_id: None,
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

/// Signs tokens with one key.
pub struct Minter {
    algorithm: Algorithm,
    signing: EncodingKey,
    key: IssuerKey,
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minter({:?})", self.algorithm)
    }
}

impl Minter {
    /// A fresh ES256 key that is written nowhere.
    pub fn ephemeral() -> Result<Self, MintError> {
        let pair =
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|_| MintError::Signing)?;
        Self::from_pair(&pair, &pair.serialize_pem())
    }

    /// A key file of safe mode: a private key in PEM (PKCS #8, or the older forms of RSA and EC), or a shared secret.
    pub fn read(path: &Path) -> Result<Self, MintError> {
        match files::read_private_key(path) {
            Ok(pem) => Self::from_private_pem(pem.expose_secret()),
            Err(no_key) => match files::read_secret(path) {
                Ok(secret) => Self::from_secret(secret.expose_secret().as_bytes()),
                Err(no_secret) => Err(MintError::File { no_key, no_secret }),
            },
        }
    }

    /// A private key in PEM; its kind chooses the algorithm.
    pub fn from_private_pem(pem: &str) -> Result<Self, MintError> {
        let pair = KeyPair::from_pem(pem).map_err(|_| MintError::NotPrivatePem)?;
        Self::from_pair(&pair, pem)
    }

    /// A secret that the verifier shares: HS256.
    pub fn from_secret(secret: &[u8]) -> Result<Self, MintError> {
        Ok(Self {
            algorithm: Algorithm::HS256,
            signing: EncodingKey::from_secret(secret),
            key: IssuerKey::from_secret(secret)?,
        })
    }

    /// rcgen tells the kind from any form; jsonwebtoken signs with one form per kind.
    fn from_pair(pair: &KeyPair, pem: &str) -> Result<Self, MintError> {
        let (public, private) = (pair.public_key_raw(), pair.serialized_der());
        let (algorithm, signing, key) = if pair.is_compatible(&PKCS_ECDSA_P256_SHA256) {
            let ec = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, private);
            let key = IssuerKey::from_ec_point(public)?;
            (Algorithm::ES256, ec_signing_key(ec)?, key)
        } else if pair.is_compatible(&PKCS_ECDSA_P384_SHA384) {
            let ec = EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, private);
            let key = IssuerKey::from_ec_point(public)?;
            (Algorithm::ES384, ec_signing_key(ec)?, key)
        } else if pair.is_compatible(&PKCS_ED25519) {
            let key = IssuerKey::from_ed25519(public)?;
            (Algorithm::EdDSA, EncodingKey::from_ed_der(private), key)
        } else if pair.is_compatible(&PKCS_RSA_SHA256) {
            let key = IssuerKey::from_rsa_der(public)?;
            let signing =
                EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(|_| MintError::NotPrivatePem)?;
            (Algorithm::RS256, signing, key)
        } else {
            return Err(MintError::NotPrivatePem);
        };
        Ok(Self {
            algorithm,
            signing,
            key,
        })
    }

    /// The key that verifies what this minter signs.
    pub fn key(&self) -> &IssuerKey {
        &self.key
    }

    /// The algorithm's name, as `auth.issuers` lists it.
    pub fn algorithm(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// A token of type `at+jwt`, issued at `now_s` (unix seconds), with a `jti` of its own.
    pub fn mint(&self, spec: &TokenSpec, now_s: u64) -> Result<String, MintError> {
        if spec.key_id.as_deref().is_some_and(|id| !is_key_id(id)) {
            return Err(MintError::KeyId);
        }
        let mut header = Header::new(self.algorithm);
        header.typ = Some("at+jwt".to_owned());
        header.kid.clone_from(&spec.key_id);
        let claims = Claims {
            iss: &spec.issuer,
            aud: &spec.audience,
            sub: &spec.subject,
            iat: now_s,
            exp: now_s.saturating_add(spec.life.as_secs()),
            jti: BASE64URL_NOPAD.encode(&secret_bytes::<16>()),
            nickname: spec.nickname.as_deref(),
            rooms: spec.rooms.as_deref(),
            scope: spec.scope.as_deref(),
        };
        jsonwebtoken::encode(&header, &claims, &self.signing).map_err(|_| MintError::Signing)
    }
}

/// PKCS #8, the one form that jsonwebtoken signs with, from whichever form the file had.
fn ec_signing_key<E>(pair: Result<EcdsaKeyPair, E>) -> Result<EncodingKey, MintError> {
    let pair = pair.map_err(|_| MintError::NotPrivatePem)?;
    let document = pair.to_pkcs8v1().map_err(|_| MintError::Signing)?;
    Ok(EncodingKey::from_ec_der(document.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use jsonwebtoken::Algorithm;
    use serde_json::json;

    use super::{MintError, Minter, TokenSpec};
    use crate::auth::{
        keys::{SignatureRules, VerifyingKey},
        strict_json::Object,
        testing::Signer,
    };

    fn claims_of(minter: &Minter, spec: &TokenSpec) -> Object {
        let rules = SignatureRules {
            issuer: spec.issuer.clone(),
            audience: Some(vec![spec.audience.clone()]),
            algorithms: vec![minter.algorithm().parse().expect("a name")],
        };
        let token = minter.mint(spec, 1000).expect("a token");
        let key = VerifyingKey::new(minter.key().clone(), &rules, None).expect("a fitting key");
        key.verify(&token, rules.algorithms[0])
            .expect("a good token")
    }

    #[test]
    fn every_kind_of_key_signs_what_its_public_half_verifies() {
        let ec = Signer::es256();
        for (pem, algorithm) in [
            (ec.private_pem(), Algorithm::ES256),
            (ec.sec1_pem(), Algorithm::ES256),
            (Signer::es384().private_pem(), Algorithm::ES384),
            (Signer::ed25519().private_pem(), Algorithm::EdDSA),
            (Signer::rsa().private_pem(), Algorithm::RS256),
            (Signer::rsa().pkcs1_pem(), Algorithm::RS256),
        ] {
            let minter = Minter::from_private_pem(&pem).expect("a key");
            assert_eq!(minter.algorithm, algorithm);
            claims_of(&minter, &TokenSpec::new("i", "a", "alice"));
        }
        let secret = Minter::from_secret(&[7; 32]).expect("a secret");
        claims_of(&secret, &TokenSpec::new("i", "a", "alice"));
    }

    #[test]
    fn a_token_says_what_was_asked_and_leaves_the_rest_to_the_defaults() {
        let minter = Minter::ephemeral().expect("a key");
        let least = claims_of(&minter, &TokenSpec::new("i", "a", "alice"));
        for absent in ["nickname", "rooms", "scope"] {
            assert!(!least.has(absent), "{absent}");
        }
        let full = claims_of(
            &minter,
            &TokenSpec {
                nickname: Some("Alice".to_owned()),
                rooms: Some(vec!["lobby".to_owned(), "support:*".to_owned()]),
                scope: Some("chat".to_owned()),
                life: std::time::Duration::from_mins(1),
                ..TokenSpec::new("i", "a", "alice")
            },
        );
        for (claim, value) in [
            ("sub", json!("alice")),
            ("iat", json!(1000)),
            ("exp", json!(1060)),
            ("nickname", json!("Alice")),
            ("rooms", json!(["lobby", "support:*"])),
            ("scope", json!("chat")),
        ] {
            assert_eq!(full.get(claim), Some(&value), "{claim}");
        }
        assert_ne!(least.get("jti"), full.get("jti"));
    }

    #[test]
    fn a_token_names_its_key_when_it_is_told_to() {
        let minter = Minter::ephemeral().expect("a key");
        let header = |key_id: Option<&str>| {
            let spec = TokenSpec {
                key_id: key_id.map(str::to_owned),
                ..TokenSpec::new("i", "a", "alice")
            };
            let token = minter.mint(&spec, 1000)?;
            Ok(jsonwebtoken::decode_header(&token).expect("a token").kid)
        };
        assert_eq!(header(None), Ok(None));
        assert_eq!(header(Some("2026-11")), Ok(Some("2026-11".to_owned())));
        for wrong in ["", "a b", "a\n", "\u{e9}", &"a".repeat(129)] {
            assert_eq!(header(Some(wrong)), Err(MintError::KeyId), "{wrong:?}");
        }
    }

    #[test]
    fn a_key_file_is_pem_or_a_secret_of_safe_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        let write = |content: &str, mode| {
            fs::write(&path, content).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        };
        write(&Signer::es256().private_pem(), 0o600);
        assert_eq!(
            Minter::read(&path).expect("a key").algorithm,
            Algorithm::ES256
        );
        write(&format!("{}\n", "s".repeat(32)), 0o600);
        assert_eq!(
            Minter::read(&path).expect("a key").algorithm,
            Algorithm::HS256
        );
        for (content, mode) in [
            ("s".repeat(31), 0o600),
            (Signer::es256().public_pem(), 0o600),
            (Signer::es256().private_pem(), 0o644),
            ("s".repeat(32), 0o644),
        ] {
            write(&content, mode);
            let error = Minter::read(&path).err();
            assert!(matches!(error, Some(MintError::File { .. })), "{error:?}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let minter = Minter::from_secret(b"hunter2hunter2hunter2hunter2hunter2").expect("a key");
        assert_eq!(format!("{minter:?}"), "Minter(HS256)");
    }
}
