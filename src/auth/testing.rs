//! An identity provider for tests. It signs with aws-lc alone and writes headers and claims as given, so that a mistake in the
//! library under test cannot hide in the tokens.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
        RsaKeyPair,
    },
};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        AuthParts, Authenticator,
        credential::Credential,
        error::AuthError,
        fetch::{Fetch, FetchError, FetchLimits, HttpsUrl, Roots},
        identity::Identity,
        ticket_store::MemoryTickets,
    },
    clock::Clock,
    config::{self, Config},
    domain::token::RawToken,
    telemetry::metrics::Metrics,
};

/// Base64url as tokens have it.
pub(crate) fn encode(part: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(part.as_ref())
}

/// PEM of a DER document.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64.encode(der);
    let lines: Vec<&str> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

enum Key {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(&'static RsaKeyPair),
    Secret(Vec<u8>),
}

/// One key of a provider.
pub(crate) struct Signer(Key);

impl Signer {
    pub(crate) fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self(Key::P256(pair))
    }

    pub(crate) fn es384() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).expect("a key");
        Self(Key::P384(pair))
    }

    pub(crate) fn ed25519() -> Self {
        Self(Key::Ed25519(Ed25519KeyPair::generate().expect("a key")))
    }

    /// The same key every time: making one takes long.
    pub(crate) fn rsa() -> Self {
        static PAIR: OnceLock<RsaKeyPair> = OnceLock::new();
        let pair = PAIR.get_or_init(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"));
        Self(Key::Rsa(pair))
    }

    pub(crate) fn secret(bytes: &[u8]) -> Self {
        Self(Key::Secret(bytes.to_vec()))
    }

    /// The public key of an asymmetric signer, PEM.
    pub(crate) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'static> = match &self.0 {
            Key::P256(pair) | Key::P384(pair) => pair.public_key().as_der(),
            Key::Ed25519(pair) => pair.public_key().as_der(),
            Key::Rsa(pair) => pair.public_key().as_der(),
            Key::Secret(_) => panic!("a secret has no public part"),
        }
        .expect("DER");
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The private key of an asymmetric signer, PKCS #8 in PEM.
    pub(crate) fn private_pem(&self) -> String {
        let der = match &self.0 {
            Key::P256(pair) | Key::P384(pair) => {
                pair.to_pkcs8v1().expect("a document").as_ref().to_vec()
            }
            Key::Ed25519(pair) => pair.to_pkcs8().expect("a document").as_ref().to_vec(),
            Key::Rsa(pair) => AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(*pair)
                .expect("a document")
                .as_ref()
                .to_vec(),
            Key::Secret(_) => panic!("a secret has no PEM"),
        };
        pem("PRIVATE KEY", &der)
    }

    /// `EC PRIVATE KEY` of a P-256 signer, as `openssl ecparam -genkey` writes it.
    pub(crate) fn sec1_pem(&self) -> String {
        let Key::P256(pair) = &self.0 else {
            panic!("for P-256 alone");
        };
        let key = pair.private_key();
        let der: aws_lc_rs::encoding::EcPrivateKeyRfc5915Der<'_> = key.as_der().expect("DER");
        pem("EC PRIVATE KEY", der.as_ref())
    }

    /// `RSA PRIVATE KEY` of an RSA signer: what lies in PKCS #8 behind its header of 26 bytes.
    pub(crate) fn pkcs1_pem(&self) -> String {
        let Key::Rsa(pair) = &self.0 else {
            panic!("for RSA alone");
        };
        let der: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().expect("DER");
        pem("RSA PRIVATE KEY", &der.as_ref()[26..])
    }

    /// The public key as a member of a key set.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let ec = |crv: &str, pair: &EcdsaKeyPair| {
            let point = pair.public_key().as_ref();
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            json!({"kty": "EC", "crv": crv, "kid": id, "x": encode(x), "y": encode(y)})
        };
        match &self.0 {
            Key::P256(pair) => ec("P-256", pair),
            Key::P384(pair) => ec("P-384", pair),
            Key::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "kid": id,
                "x": encode(pair.public_key().as_ref())}),
            Key::Rsa(pair) => {
                // RSAPublicKey of a 2048-bit key: SEQUENCE (4), INTEGER (4), 00, 256 bytes, INTEGER (2), e.
                let der = pair.public_key().as_ref();
                json!({"kty": "RSA", "kid": id, "n": encode(&der[9..265]), "e": encode(&der[267..])})
            }
            Key::Secret(bytes) => json!({"kty": "oct", "kid": id, "k": encode(bytes)}),
        }
    }

    /// The algorithm that belongs to the key.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.0 {
            Key::P256(_) => "ES256",
            Key::P384(_) => "ES384",
            Key::Ed25519(_) => "EdDSA",
            Key::Rsa(_) => "RS256",
            Key::Secret(_) => "HS256",
        }
    }

    /// A token of these claims, with a plain header.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": self.algorithm(), "typ": "at+jwt", "kid": id});
        self.token_of(&header, claims)
    }

    /// A token of this header and these claims.
    pub(crate) fn token_of(&self, header: &Value, claims: &Value) -> String {
        self.token_of_text(&header.to_string(), &claims.to_string())
    }

    /// A token of exactly these texts.
    pub(crate) fn token_of_text(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(header, message.as_bytes());
        format!("{message}.{}", encode(signature))
    }

    /// The RSA schemes go by what the header says.
    fn sign(&self, header: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.0 {
            Key::P256(pair) | Key::P384(pair) => {
                let signature = pair.sign(&random, message).expect("a signature");
                signature.as_ref().to_vec()
            }
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Key::Rsa(pair) => {
                let scheme: &'static dyn RsaEncoding = if header.contains("PS256") {
                    &RSA_PSS_SHA256
                } else if header.contains("RS512") {
                    &RSA_PKCS1_SHA512
                } else {
                    &RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(scheme, &random, message, &mut signature)
                    .expect("a signature");
                signature
            }
            Key::Secret(bytes) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
                hmac::sign(&key, message).as_ref().to_vec()
            }
        }
    }
}

/// A web server that holds texts, may be slow and may fail.
pub(crate) struct FakeFetch(Mutex<FakeState>);

struct FakeState {
    pages: HashMap<String, String>,
    delay: Duration,
    failure: Option<FetchError>,
    asked: Vec<String>,
}

impl FakeFetch {
    pub(crate) fn holding(url: &str, body: String) -> Arc<Self> {
        Arc::new(Self(Mutex::new(FakeState {
            pages: HashMap::from([(url.to_owned(), body)]),
            delay: Duration::ZERO,
            failure: None,
            asked: Vec::new(),
        })))
    }

    /// Replaces a page, and ends any failure.
    pub(crate) fn put(&self, url: &str, body: String) {
        let mut state = self.0.lock();
        state.pages.insert(url.to_owned(), body);
        state.failure = None;
    }

    /// How long each answer takes from now on.
    pub(crate) fn take(&self, delay: Duration) {
        self.0.lock().delay = delay;
    }

    pub(crate) fn fail(&self, failure: FetchError) {
        self.0.lock().failure = Some(failure);
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().asked.len()
    }

    /// Which addresses were asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.0.lock().asked.clone()
    }
}

#[async_trait]
impl Fetch for FakeFetch {
    async fn get(
        &self,
        url: &HttpsUrl,
        _roots: &Roots,
        _limits: FetchLimits,
    ) -> Result<Bytes, FetchError> {
        let (delay, answer) = {
            let mut state = self.0.lock();
            state.asked.push(url.as_str().to_owned());
            let page = state.pages.get(url.as_str()).cloned();
            let answer = match &state.failure {
                Some(failure) => Err(failure.clone()),
                None => page.ok_or(FetchError::Status(404)),
            };
            (state.delay, answer)
        };
        if delay > Duration::ZERO {
            tokio::time::sleep_until(tokio::time::Instant::now() + delay).await;
        }
        answer.map(Bytes::from)
    }
}

/// The time of every test, unix seconds.
pub(crate) const NOW_S: u64 = 1_700_000_000;
/// The first provider.
pub(crate) const IDP: &str = "https://idp.example";
/// Where it publishes its keys.
pub(crate) const IDP_KEYS: &str = "https://idp.example/keys";

/// The defaults, with one provider whose key set is at [`IDP_KEYS`].
pub(crate) fn config() -> Config {
    let mut config = Config::defaults();
    config.auth.issuers = vec![provider(IDP, IDP_KEYS)];
    config
}

/// A configuration block.
pub(crate) fn provider(issuer: &str, keys: &str) -> config::auth::Issuer {
    serde_json::from_value(json!({
        "issuer": issuer,
        "audience": ["wardroom"],
        "algorithms": ["ES256", "RS256", "PS256", "EdDSA"],
        "jwks_url": keys,
    }))
    .expect("a block")
}

/// Claims that are good at [`NOW_S`].
pub(crate) fn claims() -> Value {
    json!({
        "iss": IDP, "aud": "wardroom", "sub": "alice",
        "iat": NOW_S - 10, "exp": NOW_S + 3600,
    })
}

/// An authenticator in a world of its own.
pub(crate) struct World {
    pub(crate) auth: Arc<Authenticator>,
    pub(crate) fetch: Arc<FakeFetch>,
    pub(crate) metrics: Arc<Metrics>,
}

impl World {
    /// Over a configuration, a web server with the given key sets, and the loop that reads them.
    pub(crate) fn new(config: &Config, sets: &[(&str, Value)]) -> Self {
        let fetch = FakeFetch::holding("https://nowhere.example/", String::new());
        for (url, keys) in sets {
            fetch.put(url, json!({"keys": keys}).to_string());
        }
        let metrics = Metrics::new();
        let parts = AuthParts {
            fetch: Arc::clone(&fetch) as _,
            tickets: Arc::new(MemoryTickets::new(config.limits.tickets_max)),
            clock: Clock::manual(NOW_S * 1000),
            metrics: Arc::clone(&metrics),
        };
        let auth = Authenticator::new(&config.auth, &config.limits, parts).expect("a good setup");
        Self {
            auth: Arc::new(auth),
            fetch,
            metrics,
        }
    }

    /// With one provider that has this key under the name `k1`.
    pub(crate) fn with_key(signer: &Signer) -> Self {
        Self::new(&config(), &[(IDP_KEYS, json!([signer.jwk("k1")]))])
    }

    /// Runs `test` beside the authenticator's loop.
    pub(crate) async fn live<T>(&self, test: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        tokio::select! {
            () = Arc::clone(&self.auth).run(stop.clone()) => panic!("the loop ends only when told to"),
            out = test => out,
        }
    }

    /// What a token gets as `Authorization: Bearer`.
    pub(crate) async fn bearer(&self, token: &str) -> Result<Identity, AuthError> {
        let one = Credential::Bearer(RawToken::new(token));
        self.auth.authenticate(one, None).await
    }

    /// `authentications` of that method and result.
    pub(crate) fn counted(&self, method: &'static str, result: &'static str) -> u64 {
        self.metrics
            .authentications
            .get_or_create(&[("method", method), ("result", result)])
            .get()
    }
}
