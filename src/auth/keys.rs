//! Keys that verify signatures: checked when they are loaded, so that a weak or unfit key is a configuration error or a line
//! in the log, and never a question at the first token.

use std::{fmt, path::Path};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    rsa::PublicEncryptingKey,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    errors::{Error, ErrorKind},
};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::{
    auth::{digest::sha256, reason::Reason, strict_json::Object},
    config::files,
};

/// NIST SP 800-131A: shorter moduli are no longer acceptable; aws-lc verifies none longer than the second number.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// RFC 7518 §3.2: a key of the size of the hash output or larger.
const SECRET_BYTES_MIN: usize = 32;

/// What kind of key, and with it which algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
    Secret,
}

impl KeyKind {
    /// Whether such a key can make signatures of that algorithm.
    pub(super) fn fits(self, algorithm: Algorithm) -> bool {
        use Algorithm as A;
        match self {
            Self::Rsa => matches!(
                algorithm,
                A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512
            ),
            Self::P256 => algorithm == A::ES256,
            Self::P384 => algorithm == A::ES384,
            Self::Ed25519 => algorithm == A::EdDSA,
            Self::Secret => algorithm == A::HS256,
        }
    }

    fn tag(self) -> &'static [u8] {
        match self {
            Self::Rsa => b"rsa",
            Self::P256 => b"p-256",
            Self::P384 => b"p-384",
            Self::Ed25519 => b"ed25519",
            Self::Secret => b"secret",
        }
    }
}

/// Which key it was, for an identity to remember: a hash of kind and public material. All shared secrets have the same one: a
/// hash of the secret would let whoever reads it try out guesses, and an issuer has one secret only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub struct KeyFingerprint([u8; 32]);

/// Why a key is not taken. Never holds key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The file could not be read, or is not safe.
    #[error("{0}")]
    File(String),
    /// Not a public key in PEM.
    #[error("it holds no public key in PEM (`-----BEGIN PUBLIC KEY-----`)")]
    NotPublicPem,
    /// A private key stands where a public one belongs.
    #[error("it holds a private key; this place takes the public one alone")]
    PrivateKey,
    /// An RSA modulus outside 2048 to 8192 bits.
    #[error("an RSA key has 2048 to 8192 bits")]
    RsaSize,
    /// A curve that no accepted algorithm uses, or a point that is not on it.
    #[error("an EC key is an uncompressed point of P-256 or P-384")]
    Curve,
    /// The bytes are no key of that kind.
    #[error("the key is damaged")]
    Damaged,
    /// A shared secret under 32 bytes.
    #[error("a shared secret has 32 bytes or more")]
    SecretSize,
}

/// A key that verifies an issuer's tokens: a public key, or a secret that the issuer shares.
#[derive(Clone)]
pub struct IssuerKey {
    kind: KeyKind,
    decoding: DecodingKey,
    fingerprint: KeyFingerprint,
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerKey({:?})", self.kind)
    }
}

impl IssuerKey {
    /// A public key file: PEM, `PUBLIC KEY` or `RSA PUBLIC KEY`. It is no secret, so its mode does not matter.
    pub fn read_public(path: &Path) -> Result<Self, KeyError> {
        Self::from_public_pem(&files::read_public_key(path).map_err(KeyError::File)?)
    }

    /// A shared secret in a file of safe mode: one line of text, at least 32 bytes without its newline.
    pub fn read_secret(path: &Path) -> Result<Self, KeyError> {
        let secret = files::read_secret(path).map_err(KeyError::File)?;
        Self::from_secret(secret.expose_secret().as_bytes())
    }

    /// A public key in PEM.
    pub fn from_public_pem(pem: &str) -> Result<Self, KeyError> {
        let label = pem
            .trim_start()
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.split_once("-----"))
            .map(|(label, _)| label);
        match label {
            Some("PUBLIC KEY" | "RSA PUBLIC KEY") => {}
            Some(label) if label.ends_with("PRIVATE KEY") => return Err(KeyError::PrivateKey),
            _ => return Err(KeyError::NotPublicPem),
        }
        let pem = pem.as_bytes();
        let raw = |key: DecodingKey| key.try_get_as_bytes().map(<[u8]>::to_vec);
        if let Ok(point) = DecodingKey::from_ec_pem(pem).and_then(raw) {
            Self::from_ec_point(&point)
        } else if let Ok(raw) = DecodingKey::from_ed_pem(pem).and_then(raw) {
            Self::from_ed25519(&raw)
        } else if let Ok(der) = DecodingKey::from_rsa_pem(pem).and_then(raw) {
            Self::from_rsa_der(&der)
        } else {
            Err(KeyError::NotPublicPem)
        }
    }

    /// A shared secret.
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::SecretSize);
        }
        let decoding = DecodingKey::from_secret(secret);
        Ok(Self::new(KeyKind::Secret, decoding, b""))
    }

    /// An uncompressed point (SEC 1 §2.3.3); its length tells the curve.
    pub(super) fn from_ec_point(point: &[u8]) -> Result<Self, KeyError> {
        let (kind, algorithm): (_, &'static dyn VerificationAlgorithm) = match point.len() {
            65 => (KeyKind::P256, &ECDSA_P256_SHA256_FIXED),
            97 => (KeyKind::P384, &ECDSA_P384_SHA384_FIXED),
            _ => return Err(KeyError::Curve),
        };
        ParsedPublicKey::new(algorithm, point).map_err(|_| KeyError::Curve)?;
        Ok(Self::new(kind, DecodingKey::from_ec_der(point), point))
    }

    /// The 32 bytes of an Ed25519 public key.
    pub(super) fn from_ed25519(raw: &[u8]) -> Result<Self, KeyError> {
        if raw.len() != 32 {
            return Err(KeyError::Damaged);
        }
        ParsedPublicKey::new(&ED25519, raw).map_err(|_| KeyError::Damaged)?;
        let decoding = DecodingKey::from_ed_der(raw);
        Ok(Self::new(KeyKind::Ed25519, decoding, raw))
    }

    /// A key in DER: `RSAPublicKey` of RFC 8017, or `SubjectPublicKeyInfo`.
    pub(super) fn from_rsa_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = aws_lc_rs::rsa::PublicKey::from_der(der).map_err(|_| KeyError::Damaged)?;
        let spki: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::Damaged)?;
        // This type takes no key below 2048 bits and says how long it is.
        let sized = PublicEncryptingKey::from_der(spki.as_ref()).map_err(|_| KeyError::RsaSize)?;
        if !RSA_BITS.contains(&sized.key_size_bits()) {
            return Err(KeyError::RsaSize);
        }
        let decoding = DecodingKey::from_rsa_der(key.as_ref());
        Ok(Self::new(KeyKind::Rsa, decoding, key.as_ref()))
    }

    /// Modulus and exponent of RFC 7518 §6.3.1, big-endian. Leading zeros are dropped: some providers write one, and the
    /// library takes none.
    pub(super) fn from_rsa_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let components = RsaPublicKeyComponents {
            n: without_zeros(modulus),
            e: without_zeros(exponent),
        };
        let spki: PublicKeyX509Der<'_> = components.as_der().map_err(|_| KeyError::Damaged)?;
        Self::from_rsa_der(spki.as_ref())
    }

    fn new(kind: KeyKind, decoding: DecodingKey, public: &[u8]) -> Self {
        Self {
            kind,
            decoding,
            fingerprint: KeyFingerprint(sha256(&[kind.tag(), &[0], public])),
        }
    }

    pub(super) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The algorithm that such a key signs with unless told otherwise.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self.kind {
            KeyKind::Rsa => Algorithm::RS256,
            KeyKind::P256 => Algorithm::ES256,
            KeyKind::P384 => Algorithm::ES384,
            KeyKind::Ed25519 => Algorithm::EdDSA,
            KeyKind::Secret => Algorithm::HS256,
        }
    }

    pub(super) fn fingerprint(&self) -> KeyFingerprint {
        self.fingerprint
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// What every token of an issuer must be signed for.
#[derive(Clone, Debug)]
pub(super) struct SignatureRules {
    pub(super) issuer: String,
    /// `None`: another claim holds the audience, so the verifier looks at it and not the crate.
    pub(super) audience: Option<Vec<String>>,
    pub(super) algorithms: Vec<Algorithm>,
}

impl SignatureRules {
    /// The crate's rules for one algorithm. Times are left out: the crate knows only the machine's clock, answers "expired"
    /// before it has compared issuer and audience, and lets `exp` = now − leeway pass.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.set_issuer(&[&self.issuer]);
        if let Some(audience) = &self.audience {
            validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
            validation.set_audience(audience);
        } else {
            validation.set_required_spec_claims(&["exp", "iss", "sub"]);
            validation.validate_aud = false;
        }
        validation
    }
}

/// A key with everything that its tokens are checked against, built ahead: one set of rules per algorithm, because a set that
/// names two families refuses every token.
#[derive(Clone, Debug)]
pub(super) struct VerifyingKey {
    key: IssuerKey,
    validations: Vec<(Algorithm, Validation)>,
}

impl VerifyingKey {
    /// `only`: the one algorithm that the key set names for this key. `None` if no accepted algorithm is left.
    pub(super) fn new(
        key: IssuerKey,
        rules: &SignatureRules,
        only: Option<Algorithm>,
    ) -> Option<Self> {
        let validations: Vec<_> = rules
            .algorithms
            .iter()
            .filter(|algorithm| key.kind().fits(**algorithm))
            .filter(|algorithm| only.is_none_or(|only| only == **algorithm))
            .map(|algorithm| (*algorithm, rules.validation(*algorithm)))
            .collect();
        (!validations.is_empty()).then_some(Self { key, validations })
    }

    /// Whether tokens of that algorithm can be verified with this key.
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.validations.iter().any(|(one, _)| *one == algorithm)
    }

    pub(super) fn fingerprint(&self) -> KeyFingerprint {
        self.key.fingerprint()
    }

    /// Verifies the signature, then issuer, audience and the presence of the required claims, and gives the claims.
    pub(super) fn verify(&self, token: &str, algorithm: Algorithm) -> Result<Object, Reason> {
        let (_, validation) = self
            .validations
            .iter()
            .find(|(one, _)| *one == algorithm)
            .ok_or(Reason::KeyAlgorithm)?;
        jsonwebtoken::decode::<Object>(token, &self.key.decoding, validation)
            .map(|data| data.claims)
            .map_err(|error| reason_of(&error))
    }
}

fn reason_of(error: &Error) -> Reason {
    match error.kind() {
        ErrorKind::MissingRequiredClaim(_) => Reason::ClaimMissing,
        ErrorKind::InvalidClaimFormat(_) => Reason::ClaimType,
        ErrorKind::InvalidIssuer => Reason::IssuerUnknown,
        ErrorKind::InvalidAudience => Reason::Audience,
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => Reason::ClaimsMalformed,
        ErrorKind::InvalidAlgorithm => Reason::KeyAlgorithm,
        ErrorKind::InvalidToken | ErrorKind::Base64(_) => Reason::TokenShape,
        _ => Reason::Signature,
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::{IssuerKey, KeyError, KeyKind, SignatureRules, VerifyingKey};
    use crate::auth::{
        reason::Reason,
        testing::{IDP, Signer, claims},
    };

    /// `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 | openssl pkey -pubout`
    const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----\n\
        MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCnDsCfLuo4tSPOZ8YjrBzs56Ts\n\
        TgIS0aIS5v8ZhQu0HCFFswi23e6+jGcIkxzzTIZ/iF6x82gjhctddqvAtkFK7v3g\n\
        SPPlFTjitG9uWYJAlb2NBUFViii9WHIFCioGzKRv7W8P3iEWj52YosuE6r756pXm\n\
        l35SOpZfkE8PZhfGyQIDAQAB\n\
        -----END PUBLIC KEY-----";
    /// A curve whose points are as long as those of P-256.
    const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEQ499NSlMjxmBq7di3aE51/Demev9M3cv\n\
        krHYpJIzfyKkwoP+Y4soZ6zLDVUQ+70Ljb+DqqiMFtPcDgQjEoF5eg==\n\
        -----END PUBLIC KEY-----";
    /// A curve for which no algorithm is accepted.
    const P_521: &str = "-----BEGIN PUBLIC KEY-----\n\
        MIGbMBAGByqGSM49AgEGBSuBBAAjA4GGAAQBbkPuMX6OutN99D4CP1/cEiMM2kki\n\
        kMtg0qWHzD2l0aHYG/wnzRPBgeMRcgCSAYtnVfCT5QsIqcqMxkVhH3tYxdUBuDgm\n\
        HV3j1+Vdj9zAfOiM6adarQDwoEKm1dfJF06AaKRd4H7GaKOc+7ka+MtzJlEHQGoK\n\
        Lcmk+E39UlyV8+4rMDI=\n\
        -----END PUBLIC KEY-----";
    /// The other Edwards curve.
    const ED448: &str = "-----BEGIN PUBLIC KEY-----\n\
        MEMwBQYDK2VxAzoATBBOUud+AJFjpkjrEOJJoeRyhEU+Jap9q2JBOZhnzBsU8Rda\n\
        pvS9yUyb5eJ3elE8KweDrpqkBQwA\n\
        -----END PUBLIC KEY-----";

    #[test]
    fn a_public_key_file_gives_kind_and_algorithms() {
        for (signer, kind) in [
            (Signer::es256(), KeyKind::P256),
            (Signer::es384(), KeyKind::P384),
            (Signer::ed25519(), KeyKind::Ed25519),
            (Signer::rsa(), KeyKind::Rsa),
        ] {
            let key = IssuerKey::from_public_pem(&signer.public_pem()).expect("a key");
            assert_eq!(key.kind(), kind);
        }
    }

    #[test]
    fn weak_and_unfit_public_keys_are_refused_at_load() {
        for (pem, error) in [
            (RSA_1024, KeyError::RsaSize),
            (SECP256K1, KeyError::Curve),
            (P_521, KeyError::Curve),
            (ED448, KeyError::NotPublicPem),
            ("", KeyError::NotPublicPem),
            ("MIIB", KeyError::NotPublicPem),
            (
                "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
                KeyError::NotPublicPem,
            ),
            (
                "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----",
                KeyError::NotPublicPem,
            ),
            ("-----BEGIN PUBLIC KEY-----\n", KeyError::NotPublicPem),
        ] {
            assert_eq!(IssuerKey::from_public_pem(pem).err(), Some(error), "{pem}");
        }
        for private in [Signer::es256(), Signer::rsa(), Signer::ed25519()] {
            let error = IssuerKey::from_public_pem(&private.private_pem()).err();
            assert_eq!(error, Some(KeyError::PrivateKey));
        }
    }

    #[test]
    fn a_secret_has_32_bytes_or_more_and_takes_hs256_alone() {
        assert_eq!(
            IssuerKey::from_secret(&[7; 31]).err(),
            Some(KeyError::SecretSize)
        );
        let key = IssuerKey::from_secret(&[7; 32]).expect("a key");
        for algorithm in [
            Algorithm::HS384,
            Algorithm::HS512,
            Algorithm::RS256,
            Algorithm::ES256,
        ] {
            assert!(!key.kind().fits(algorithm));
        }
        assert!(key.kind().fits(Algorithm::HS256));
    }

    #[test]
    fn a_key_without_an_accepted_algorithm_is_none() {
        let rules = SignatureRules {
            issuer: "i".to_owned(),
            audience: None,
            algorithms: vec![Algorithm::RS256],
        };
        let key = || IssuerKey::from_public_pem(&Signer::rsa().public_pem()).expect("a key");
        assert!(VerifyingKey::new(key(), &rules, None).is_some());
        assert!(VerifyingKey::new(key(), &rules, Some(Algorithm::RS512)).is_none());
        let ec = IssuerKey::from_public_pem(&Signer::es256().public_pem()).expect("a key");
        assert!(VerifyingKey::new(ec, &rules, None).is_none());
    }

    #[test]
    fn a_token_is_for_the_issuer_and_the_audience_of_its_key() {
        let signer = Signer::es256();
        let key = |issuer: &str, audience: Option<&str>| {
            let rules = SignatureRules {
                issuer: issuer.to_owned(),
                audience: audience.map(|one| vec![one.to_owned()]),
                algorithms: vec![Algorithm::ES256],
            };
            let key = IssuerKey::from_public_pem(&signer.public_pem()).expect("a key");
            VerifyingKey::new(key, &rules, None).expect("a fitting key")
        };
        let token = signer.token("k1", &claims());
        let verify = |key: VerifyingKey| key.verify(&token, Algorithm::ES256).err();
        assert_eq!(verify(key(IDP, Some("wardroom"))), None);
        assert_eq!(verify(key(IDP, None)), None);
        assert_eq!(
            verify(key("https://other.example", Some("wardroom"))),
            Some(Reason::IssuerUnknown)
        );
        assert_eq!(verify(key(IDP, Some("other"))), Some(Reason::Audience));
    }

    #[test]
    fn debug_shows_the_kind_and_no_material() {
        let secret = IssuerKey::from_secret(b"hunter2hunter2hunter2hunter2hunter2").expect("a key");
        assert_eq!(format!("{secret:?}"), "IssuerKey(Secret)");
    }
}
