//! What our crates do, as far as our code relies on it or guards against it. Not promises of ours: when an upgrade turns one of
//! these red, read the guard that the test names, and decide whether it is still needed.

use std::{panic::catch_unwind, time::Duration};

use governor::{Quota, RateLimiter, clock::FakeRelativeClock};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode, errors::ErrorKind,
};
use serde::Deserialize;
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    encode(&Header::new(Algorithm::HS256), claims, &key).expect("a token")
}

/// A token with exactly these texts as header and claims.
fn sign_text(header: &str, claims: &str) -> String {
    let part = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256)
        .expect("a signature");
    format!("{message}.{signature}")
}

fn verify(token: &str, validation: &Validation) -> Result<Value, ErrorKind> {
    decode::<Value>(token, &DecodingKey::from_secret(SECRET), validation)
        .map(|data| data.claims)
        .map_err(jsonwebtoken::errors::Error::into_kind)
}

/// Issuer and audience set, nothing more.
fn naive() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&["ours"]);
    validation.set_audience(&["wardroom"]);
    validation
}

/// All registered claims required.
fn strict() -> Validation {
    let mut validation = naive();
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation
}

fn claims() -> Value {
    json!({"iss": "ours", "aud": "wardroom", "sub": "alice", "exp": now() + 600})
}

fn with(changes: &Value) -> Value {
    let mut out = claims();
    let members = out.as_object_mut().expect("an object");
    for (claim, value) in changes.as_object().expect("an object") {
        if value == "absent" {
            members.remove(claim);
        } else {
            members.insert(claim.clone(), value.clone());
        }
    }
    out
}

/// Guard: `auth/keys.rs` requires the claims, `auth/claims.rs` and `auth/verify.rs` type them.
#[test]
fn jsonwebtoken_passes_claims_that_it_was_told_to_compare_when_they_are_absent_or_mistyped() {
    for changes in [
        json!({"aud": "absent"}),
        json!({"aud": 123}),
        json!({"aud": ["wardroom", 5]}),
        json!({"iss": "absent"}),
        json!({"iss": 5}),
        json!({"sub": "absent"}),
    ] {
        let token = sign(&with(&changes));
        assert!(verify(&token, &naive()).is_ok(), "{changes}");
        assert!(verify(&token, &strict()).is_err(), "{changes}");
    }
}

/// Guard: `iss` is one string (`auth/verify.rs`), `sub` has rules of its own (`auth/claims.rs`).
#[test]
fn jsonwebtoken_passes_a_list_of_issuers_and_an_empty_subject_even_when_all_is_required() {
    for changes in [json!({"iss": ["ours", "evil"]}), json!({"sub": ""})] {
        assert!(
            verify(&sign(&with(&changes)), &strict()).is_ok(),
            "{changes}"
        );
    }
}

/// Guard: `auth/header.rs` refuses these members by presence and compares `typ`.
#[test]
fn jsonwebtoken_looks_at_no_critical_member_and_no_type() {
    for header in [
        r#"{"alg":"HS256","crit":["exp"]}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","cty":"JWT"}"#,
        r#"{"alg":"HS256","typ":"logout+jwt"}"#,
        r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#,
        r#"{"alg":"HS256"}"#,
    ] {
        let token = sign_text(header, &claims().to_string());
        assert!(verify(&token, &strict()).is_ok(), "{header}");
    }
}

/// Guard: `auth/strict_json.rs` reads claims without repeated keys.
#[test]
fn jsonwebtoken_takes_the_last_of_two_equal_claims_of_a_loose_type() {
    let twice = claims()
        .to_string()
        .replacen('{', r#"{"role":"guest","role":"admin","#, 1);
    let found = verify(&sign_text(r#"{"alg":"HS256"}"#, &twice), &strict());
    assert_eq!(found.expect("passes")["role"], "admin");
}

/// Guard: `auth/keys.rs` switches the crate's times off; `auth/verify.rs` has its own, on our clock.
#[test]
fn jsonwebtoken_reads_the_machines_clock_leniently_and_ignores_when_a_token_was_issued() {
    let default = Validation::new(Algorithm::HS256);
    assert_eq!((default.leeway, default.validate_nbf), (60, false));
    let late = with(&json!({"nbf": now() + 6000}));
    assert!(verify(&sign(&late), &strict()).is_ok(), "nbf is off");
    let unborn = with(&json!({"iat": now() + 6000}));
    assert!(
        verify(&sign(&unborn), &strict()).is_ok(),
        "iat is never read"
    );
    let odd = with(&json!({"iat": "yesterday"}));
    assert!(verify(&sign(&odd), &strict()).is_ok());
    let fraction = with(&json!({"exp": 1e10 + 0.5}));
    assert!(
        verify(&sign(&fraction), &strict()).is_ok(),
        "exp may be a fraction"
    );
    let mut exact = strict();
    exact.leeway = 1000;
    // The clock may tick between signing and verifying, but not three times in a row.
    let at_the_edge = || sign(&with(&json!({"exp": now() - 1000})));
    assert!(
        (0..3).any(|_| verify(&at_the_edge(), &exact).is_ok()),
        "exp = now - leeway passes"
    );
}

/// Guard: `auth/verify.rs` says "expired" last (`V28` of the tests in `auth/bad_tokens.rs`).
#[test]
fn jsonwebtoken_says_expired_before_it_has_compared_issuer_and_audience() {
    let token = sign(&with(
        &json!({"exp": now() - 6000, "iss": "evil", "aud": "other"}),
    ));
    let found = verify(&token, &strict());
    assert_eq!(found, Err(ErrorKind::ExpiredSignature));
}

/// Guard: `auth/claims.rs` takes no time of 2^53 or more, and `auth/verify.rs` bounds every life.
#[test]
fn jsonwebtoken_accepts_the_last_second_of_all_and_std_panics_on_it() {
    let token = sign(&with(&json!({"exp": u64::MAX})));
    assert!(verify(&token, &strict()).is_ok());
    let start = tokio::time::Instant::now();
    let sum = catch_unwind(|| start + Duration::from_secs(u64::MAX));
    assert!(sum.is_err(), "an unchecked sum would end the task");
}

/// Guard: `auth/keys.rs` builds one set of rules per key and algorithm.
#[test]
fn jsonwebtoken_refuses_every_token_when_two_families_are_listed() {
    let mut mixed = strict();
    mixed.algorithms = vec![Algorithm::HS256, Algorithm::RS256];
    assert!(verify(&sign(&claims()), &strict()).is_ok());
    let found = verify(&sign(&claims()), &mixed);
    assert_eq!(found, Err(ErrorKind::InvalidAlgorithm));
}

/// Guard: `auth/keys.rs` looks at the label of a PEM file first.
#[test]
fn jsonwebtoken_takes_a_private_key_for_a_public_one() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    assert!(DecodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).is_ok());
}

/// Guard: `auth/jwks.rs` compares `crv`, `alg`, `use` and sizes itself.
#[test]
fn jsonwebtoken_reads_a_jwk_without_a_look_at_curve_point_or_use() {
    let jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(json!({
        "kty": "EC", "crv": "P-384", "use": "enc", "alg": "ES256",
        "x": data_encoding::BASE64URL_NOPAD.encode(&[7; 32]),
        "y": data_encoding::BASE64URL_NOPAD.encode(&[7; 32]),
    }))
    .expect("a JWK");
    assert!(DecodingKey::from_jwk(&jwk).is_ok());
    let weak: jsonwebtoken::jwk::Jwk = serde_json::from_value(json!({
        "kty": "RSA", "e": "AQAB", "n": data_encoding::BASE64URL_NOPAD.encode(&[0xc5; 64]),
    }))
    .expect("a JWK");
    assert!(DecodingKey::from_jwk(&weak).is_ok(), "512 bits");
}

/// Guard: none; `auth/header.rs` parses the name with this, so `none` needs no rule of its own.
#[test]
fn jsonwebtoken_knows_no_algorithm_without_a_signature() {
    for name in ["none", "None", "NONE", "", "ES512", "Ed448"] {
        assert!(name.parse::<Algorithm>().is_err(), "{name}");
    }
}

/// Guard: `auth/strict_json.rs` starts with an object.
#[test]
fn serde_reads_an_array_where_a_struct_is_derived() {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let read: Claims = serde_json::from_str(r#"["alice"]"#).expect("the array form");
    assert_eq!(read.sub, "alice");
}

/// Guard: `admission/rates.rs` has a store with a cap and prunes it.
#[test]
fn governor_keeps_every_key_it_has_seen_until_it_is_told_to_forget() {
    let clock = FakeRelativeClock::default();
    let quota = Quota::per_second(std::num::NonZeroU32::MIN);
    let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone());
    for key in 0..10_000_u32 {
        assert!(limiter.check_key(&key).is_ok());
    }
    clock.advance(Duration::from_hours(1));
    assert_eq!(limiter.len(), 10_000);
    limiter.retain_recent();
    assert_eq!(limiter.len(), 0);
}

/// Guard: none; the burst of `docs/limits.md` means exactly this.
#[test]
fn governor_lets_exactly_the_burst_pass_after_any_rest() {
    let clock = FakeRelativeClock::default();
    let number = |n| std::num::NonZeroU32::new(n).expect("not zero");
    let quota = Quota::per_second(number(5)).allow_burst(number(20));
    let limiter = RateLimiter::direct_with_clock(quota, clock.clone());
    for rest in [0, 10, 3600] {
        clock.advance(Duration::from_secs(rest));
        let passed = (0..100).filter(|_| limiter.check().is_ok()).count();
        assert_eq!(passed, 20);
    }
}

/// The order in which so many futures of one set are let through a semaphore that has room for all.
async fn let_through(count: usize, budget: bool) -> Vec<usize> {
    let room = tokio::sync::Semaphore::new(count);
    let order = parking_lot::Mutex::new(Vec::new());
    let mut set: futures_util::stream::FuturesOrdered<_> = (0..count)
        .map(|n| {
            let (room, order) = (&room, &order);
            let one = async move {
                room.acquire().await.expect("open").forget();
                order.lock().push(n);
            };
            if budget {
                Box::pin(one) as std::pin::Pin<Box<dyn Future<Output = ()>>>
            } else {
                Box::pin(tokio::task::unconstrained(one))
            }
        })
        .collect();
    while futures_util::StreamExt::next(&mut set).await.is_some() {}
    drop(set);
    order.into_inner()
}

/// tokio gives a task 128 answers a turn; who asks beyond stands back, and a set of futures asks the next one then. So a burst
/// of sends of one session reached the log in another order than it was sent in.
#[tokio::test]
async fn in_a_set_of_futures_tokios_budget_lets_later_ones_pass() {
    let in_order: Vec<_> = (0..500).collect();
    assert_ne!(let_through(500, true).await, in_order);
    assert_eq!(let_through(500, false).await, in_order);
}
