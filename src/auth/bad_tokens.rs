//! Tokens that must not open anything, one table per kind of badness, and beside each the good twin that must: a verifier that
//! refuses everything would pass a table of bad tokens alone.

use futures_util::future::join_all;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::auth::{
    error::AuthError,
    keys::IssuerKey,
    reason::Reason,
    testing::{IDP, IDP_KEYS, NOW_S, Signer, World, claims, config, encode, provider},
};

/// A refusal for that reason, to be compared with `err()`.
fn bad(reason: Reason) -> Option<AuthError> {
    AuthError::Unauthorized(reason).into()
}

/// Good claims with some of them replaced.
fn with(changes: Value) -> Value {
    let mut out = claims();
    let Value::Object(changes) = changes else {
        panic!("changes are an object");
    };
    out.as_object_mut().expect("an object").extend(changes);
    out
}

fn without(claim: &str) -> Value {
    let mut out = claims();
    out.as_object_mut().expect("an object").remove(claim);
    out
}

/// Holds every case against one provider with one ES256 key.
fn table(
    cases: impl IntoIterator<Item = (String, Value, Option<AuthError>)>,
) -> impl Future<Output = ()> {
    let cases: Vec<_> = cases.into_iter().collect();
    async {
        let signer = Signer::es256();
        let world = World::with_key(&signer);
        world
            .live(async {
                for (what, claims, expected) in cases {
                    let found = world.bearer(&signer.token("k1", &claims)).await.err();
                    assert_eq!(found, expected, "{what}");
                }
            })
            .await;
    }
}

#[tokio::test]
async fn j1_an_algorithm_of_none_opens_nothing() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let good = signer.token("k1", &claims());
            assert!(world.bearer(&good).await.is_ok());
            let left_over = good.rsplit('.').next().expect("a signature");
            for alg in ["none", "None", "nOnE", "NONE"] {
                let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k1"}).to_string();
                let message = format!("{}.{}", encode(header), encode(claims().to_string()));
                let unsigned = world.bearer(&format!("{message}.")).await.err();
                assert_eq!(unsigned, bad(Reason::TokenShape), "{alg}");
                let stuck_on = world.bearer(&format!("{message}.{left_over}")).await.err();
                assert_eq!(stuck_on, bad(Reason::Algorithm), "{alg}");
            }
        })
        .await;
}

#[tokio::test]
async fn j2_a_public_key_is_no_secret() {
    let signer = Signer::rsa();
    let world = World::with_key(&signer);
    let pem = signer.public_pem();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = data_encoding::BASE64.decode(body.as_bytes()).expect("DER");
    let jwk = signer.jwk("k1").to_string();
    world
        .live(async {
            assert!(world.bearer(&signer.token("k1", &claims())).await.is_ok());
            for secret in [
                pem.as_bytes(),
                pem.trim_end().as_bytes(),
                &der,
                jwk.as_bytes(),
            ] {
                let forger = Signer::secret(secret);
                let found = world.bearer(&forger.token("k1", &claims())).await.err();
                assert_eq!(found, bad(Reason::Algorithm));
            }
        })
        .await;
}

#[tokio::test]
async fn j3_and_j4_only_listed_algorithms_in_their_exact_spelling() {
    let signer = Signer::rsa();
    let world = World::with_key(&signer);
    world
        .live(async {
            let token = |alg: Value| {
                let header = json!({"alg": alg, "typ": "at+jwt", "kid": "k1"});
                signer.token_of(&header, &claims())
            };
            assert!(world.bearer(&token(json!("RS256"))).await.is_ok());
            assert!(world.bearer(&token(json!("PS256"))).await.is_ok());
            for (alg, reason) in [
                (json!("RS512"), Reason::Algorithm),
                (json!("rs256"), Reason::Algorithm),
                (json!("RS256 "), Reason::Algorithm),
                (json!(""), Reason::Algorithm),
                (json!(5), Reason::HeaderMalformed),
                (json!(["RS256"]), Reason::HeaderMalformed),
                (json!(null), Reason::HeaderMalformed),
                // Listed, but of another family than the key.
                (json!("ES256"), Reason::KeyAlgorithm),
                (json!("EdDSA"), Reason::KeyAlgorithm),
            ] {
                let found = world.bearer(&token(alg.clone())).await.err();
                assert_eq!(found, bad(reason), "{alg}");
            }
            let header = json!({"typ": "at+jwt", "kid": "k1"});
            let missing = signer.token_of(&header, &claims());
            let found = world.bearer(&missing).await.err();
            assert_eq!(found, bad(Reason::HeaderMalformed));
        })
        .await;
}

#[tokio::test]
async fn j5_j6_and_j7_a_token_has_one_spelling_and_one_signature() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let good = signer.token("k1", &claims());
            assert!(world.bearer(&good).await.is_ok());
            let parts: Vec<&str> = good.split('.').collect();
            let (h, p, s) = (parts[0], parts[1], parts[2]);
            let raw = data_encoding::BASE64URL_NOPAD
                .decode(s.as_bytes())
                .expect("a signature");
            let flipped = {
                let mut raw = raw.clone();
                raw[10] ^= 1;
                encode(raw)
            };
            // 64 bytes leave four bits over in the last character.
            let twin = {
                let last = s.chars().last().expect("a character");
                let next = char::from(u8::try_from(last).expect("ASCII") + 1);
                format!("{}{next}", &s[..s.len() - 1])
            };
            for (token, reason) in [
                (format!("{h}.{p}."), Reason::TokenShape),
                (format!("{h}.{p}"), Reason::TokenShape),
                (h.to_owned(), Reason::TokenShape),
                (format!("{good}.x"), Reason::TokenShape),
                (format!("{h}.{p}.{s}.{p}.{s}"), Reason::TokenShape),
                (String::new(), Reason::TokenShape),
                ("..".to_owned(), Reason::TokenShape),
                (format!(" {good}"), Reason::TokenShape),
                (format!("{good}\n"), Reason::TokenShape),
                (format!("{h}.{p}\n.{s}"), Reason::TokenShape),
                (format!("{h}=.{p}.{s}"), Reason::TokenShape),
                (format!("{h}.{p}.{s}=="), Reason::TokenShape),
                (format!("{h}.{p}.{twin}"), Reason::TokenShape),
                (format!("{h}.{p}.+{}", &s[1..]), Reason::TokenShape),
                (format!("{h}.{p}./{}", &s[1..]), Reason::TokenShape),
                (format!("{h}.{p}.{flipped}"), Reason::Signature),
                (format!("{h}.{p}.{}", encode(&raw[..63])), Reason::Signature),
                (
                    format!("{h}.{p}.{}", encode([raw.clone(), raw.clone()].concat())),
                    Reason::Signature,
                ),
                (format!("{h}.{p}.{}", encode([0; 64])), Reason::Signature),
                // The signature of another token of the same person.
                (
                    format!(
                        "{h}.{}.{s}",
                        encode(with(json!({"sub": "bob"})).to_string())
                    ),
                    Reason::Signature,
                ),
            ] {
                assert_eq!(world.bearer(&token).await.err(), bad(reason), "{token}");
            }
            let der = [&[0x30, 68, 2, 32], &raw[..32], &[2, 32], &raw[32..]].concat();
            let found = world.bearer(&format!("{h}.{p}.{}", encode(der))).await;
            assert_eq!(found.err(), bad(Reason::Signature), "DER");
        })
        .await;
}

#[tokio::test]
async fn j8_nothing_is_said_twice() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#;
            let claims = claims().to_string();
            assert!(
                world
                    .bearer(&signer.token_of_text(header, &claims))
                    .await
                    .is_ok()
            );
            for member in [r#""alg":"ES256""#, r#""kid":"k1""#, r#""typ":"at+jwt""#] {
                let header = header.replacen('{', &format!("{{{member},"), 1);
                let found = world.bearer(&signer.token_of_text(&header, &claims)).await;
                assert_eq!(found.err(), bad(Reason::HeaderMalformed), "{member}");
            }
            for claim in [
                r#""sub":"mallory""#.to_owned(),
                r#""aud":"wardroom""#.to_owned(),
                format!(r#""exp":{}"#, NOW_S + 60),
                format!(r#""iss":"{IDP}""#),
                r#""x":{"a":1,"a":2}"#.to_owned(),
            ] {
                let claims = claims.replacen('{', &format!("{{{claim},"), 1);
                let found = world.bearer(&signer.token_of_text(header, &claims)).await;
                assert_eq!(found.err(), bad(Reason::ClaimsMalformed), "{claim}");
            }
            for claims in ["[]", "null", "5", "\"x\"", "{}{}", "{"] {
                let found = world.bearer(&signer.token_of_text(header, claims)).await;
                assert_eq!(found.err(), bad(Reason::ClaimsMalformed), "{claims}");
            }
            let array = r#"["https://idp.example","wardroom","alice"]"#;
            let found = world.bearer(&signer.token_of_text(header, array)).await;
            assert_eq!(found.err(), bad(Reason::ClaimsMalformed), "the array form");
        })
        .await;
}

#[tokio::test]
async fn j9_required_claims_are_required() {
    table(["exp", "iss", "aud", "sub"].map(|claim| {
        let what = format!("without {claim}");
        (what, without(claim), bad(Reason::ClaimMissing))
    }))
    .await;
    table([
        ("all there".to_owned(), claims(), None),
        ("without iat".to_owned(), without("iat"), None),
    ])
    .await;
}

#[tokio::test]
async fn j10_expiry_is_told_to_the_second() {
    // `exp` + leeway (30 s) is that many seconds away; five must be left.
    let end = |left: i64| {
        let exp = i64::try_from(NOW_S).expect("a time") - 30 + left;
        let claims = with(json!({"exp": exp, "iat": NOW_S - 600}));
        (format!("{left} s left"), claims)
    };
    let expired = Some(AuthError::TokenExpired);
    table(
        [
            (6, None),
            (5, None),
            (4, expired),
            (0, expired),
            (-1, expired),
        ]
        .map(|(left, expected)| {
            let (what, claims) = end(left);
            (what, claims, expected)
        }),
    )
    .await;
}

#[tokio::test]
async fn v28_expired_is_said_only_of_a_token_that_is_good_otherwise() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let old = |changes: Value| {
                let mut out = with(json!({"exp": NOW_S - 3600, "iat": NOW_S - 7200}));
                let Value::Object(changes) = changes else {
                    panic!("changes are an object");
                };
                out.as_object_mut().expect("an object").extend(changes);
                out
            };
            let found = world.bearer(&signer.token("k1", &old(json!({})))).await;
            assert_eq!(found.err(), Some(AuthError::TokenExpired));
            for (changes, reason) in [
                (json!({"aud": "other"}), Reason::Audience),
                (json!({"aud": ["wardroom", 5]}), Reason::ClaimMissing),
                (json!({"sub": ""}), Reason::Subject),
                (json!({"nbf": NOW_S + 3600}), Reason::NotYetValid),
                (json!({"iat": NOW_S - 1800}), Reason::IssuedAfterExpiry),
                (json!({"iat": 0}), Reason::LifeTooLong),
                (json!({"cnf": {}}), Reason::ProofOfPossession),
                (json!({"events": {}}), Reason::LogoutToken),
                (json!({"scope": 5}), Reason::ClaimType),
            ] {
                let told = changes.to_string();
                let found = world.bearer(&signer.token("k1", &old(changes))).await;
                // The crate may see a broken list as missing or as ours to judge; both are refusals without "expired".
                let found = found.err();
                assert!(
                    found == bad(reason) || found == bad(Reason::Audience),
                    "{told}: {found:?}"
                );
            }
            let other = Signer::es256();
            let found = world.bearer(&other.token("k1", &old(json!({})))).await;
            assert_eq!(found.err(), bad(Reason::Signature));
            let header = json!({"alg": "ES256", "typ": "JOSE", "kid": "k1"});
            let found = world
                .bearer(&signer.token_of(&header, &old(json!({}))))
                .await;
            assert_eq!(found.err(), bad(Reason::TokenType));
        })
        .await;
}

#[tokio::test]
async fn j11_an_expiry_that_is_no_time_is_refused_without_a_panic() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#;
            for exp in [
                "\"1800000000\"",
                "null",
                "-1",
                "1.5",
                "1800000000.5",
                "1800000000.0",
                "1.8e9",
                "1e400",
                "18446744073709551615",
                "18446744073709551616",
                "9007199254740992",
                "253402300800",
                "{}",
                "[1800000000]",
                "true",
            ] {
                let claims =
                    format!(r#"{{"iss":"{IDP}","aud":"wardroom","sub":"alice","exp":{exp}}}"#);
                let found = world.bearer(&signer.token_of_text(header, &claims)).await;
                let found = found.err();
                assert!(
                    matches!(found, Some(AuthError::Unauthorized(_))),
                    "{exp}: {found:?}"
                );
            }
        })
        .await;
}

#[tokio::test]
async fn j12_and_j13_times_and_life_have_their_bounds() {
    let case = |what: &str, changes, expected| (what.to_owned(), with(changes), expected);
    table([
        case("nbf past", json!({"nbf": NOW_S - 1}), None),
        case("nbf within the leeway", json!({"nbf": NOW_S + 30}), None),
        case(
            "nbf beyond it",
            json!({"nbf": NOW_S + 31}),
            bad(Reason::NotYetValid),
        ),
        case("nbf a string", json!({"nbf": "1"}), bad(Reason::ClaimType)),
        case("nbf null", json!({"nbf": null}), bad(Reason::ClaimType)),
        case("iat within the leeway", json!({"iat": NOW_S + 30}), None),
        case(
            "iat beyond it",
            json!({"iat": NOW_S + 31}),
            bad(Reason::IssuedLater),
        ),
        case("iat a string", json!({"iat": "1"}), bad(Reason::ClaimType)),
        case(
            "iat after exp",
            json!({"iat": NOW_S, "exp": NOW_S - 1}),
            bad(Reason::IssuedAfterExpiry),
        ),
        case(
            "a life of 86400 s",
            json!({"iat": NOW_S, "exp": NOW_S + 86400}),
            None,
        ),
        case(
            "a life of 86401 s",
            json!({"iat": NOW_S, "exp": NOW_S + 86401}),
            bad(Reason::LifeTooLong),
        ),
    ])
    .await;
    let mut no_iat = without("iat");
    no_iat["exp"] = json!(NOW_S + 86400);
    let mut too_long = no_iat.clone();
    too_long["exp"] = json!(NOW_S + 86401);
    table([
        ("86400 s left, no iat".to_owned(), no_iat, None),
        (
            "86401 s left, no iat".to_owned(),
            too_long,
            bad(Reason::LifeTooLong),
        ),
    ])
    .await;
}

#[tokio::test]
async fn j14_the_issuer_is_one_string_compared_byte_for_byte() {
    table(
        [
            (json!("https://idp.example"), None),
            (json!("https://other.example"), bad(Reason::IssuerUnknown)),
            (json!("https://idp.example/"), bad(Reason::IssuerUnknown)),
            (json!("https://IDP.example"), bad(Reason::IssuerUnknown)),
            (json!("http://idp.example"), bad(Reason::IssuerUnknown)),
            (json!(""), bad(Reason::IssuerUnknown)),
            (json!(5), bad(Reason::ClaimsMalformed)),
            (json!(null), bad(Reason::ClaimsMalformed)),
            (json!(["https://idp.example"]), bad(Reason::ClaimsMalformed)),
            (
                json!(["https://idp.example", "https://evil.example"]),
                bad(Reason::ClaimsMalformed),
            ),
        ]
        .map(|(iss, expected)| (iss.to_string(), with(json!({"iss": iss})), expected)),
    )
    .await;
}

#[tokio::test]
async fn j15_and_j16_audience_and_subject_are_ours_and_plain() {
    table(
        [
            (json!({"aud": ["x", "wardroom"]}), None),
            (json!({"aud": "other"}), bad(Reason::Audience)),
            (json!({"aud": "ward"}), bad(Reason::Audience)),
            (json!({"aud": "wardroom2"}), bad(Reason::Audience)),
            (json!({"aud": []}), bad(Reason::Audience)),
            (json!({"aud": 123}), bad(Reason::ClaimMissing)),
            (json!({"aud": {}}), bad(Reason::ClaimMissing)),
            (json!({"aud": null}), bad(Reason::ClaimMissing)),
            (json!({"aud": ["wardroom", 5]}), bad(Reason::ClaimMissing)),
            (json!({"sub": ""}), bad(Reason::Subject)),
            (json!({"sub": 5}), bad(Reason::ClaimMissing)),
            (json!({"sub": "x".repeat(256)}), None),
            (json!({"sub": "x".repeat(257)}), bad(Reason::Subject)),
            (json!({"sub": "a\nb"}), bad(Reason::Subject)),
            (json!({"sub": "a\u{0}"}), bad(Reason::Subject)),
            (json!({"sub": "\u{1b}[2J"}), bad(Reason::Subject)),
            (json!({"sub": "\u{202e}ecila"}), bad(Reason::Subject)),
        ]
        .map(|(changes, expected)| (changes.to_string(), with(changes), expected)),
    )
    .await;
}

#[tokio::test]
async fn j17_and_j18_only_access_tokens_are_access_tokens() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let typed = |typ: Value| {
                let header = json!({"alg": "ES256", "typ": typ, "kid": "k1"});
                signer.token_of(&header, &claims())
            };
            for good in ["JWT", "at+jwt", "AT+JWT", "application/at+jwt", "jwt"] {
                assert!(world.bearer(&typed(json!(good))).await.is_ok(), "{good}");
            }
            for (typ, reason) in [
                (json!("id+jwt"), Reason::TokenType),
                (json!(""), Reason::TokenType),
                (json!("logout+jwt"), Reason::LogoutToken),
                (json!("application/logout+jwt"), Reason::LogoutToken),
                (json!(7), Reason::HeaderMalformed),
            ] {
                assert_eq!(
                    world.bearer(&typed(typ.clone())).await.err(),
                    bad(reason),
                    "{typ}"
                );
            }
            let header = json!({"alg": "ES256", "kid": "k1"});
            let absent = world.bearer(&signer.token_of(&header, &claims())).await;
            assert_eq!(absent.err(), bad(Reason::TokenType));
            for (kind, changes) in [
                (
                    "ID token",
                    json!({"aud": "client-1", "nonce": "n", "at_hash": "h"}),
                ),
                ("ID token for us", json!({"nonce": "n", "at_hash": "h"})),
                (
                    "logout token",
                    json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
                ),
                ("refresh token", json!({"aud": IDP, "typ": "Refresh"})),
            ] {
                let found = world.bearer(&signer.token("k1", &with(changes))).await;
                assert!(matches!(found, Err(AuthError::Unauthorized(_))), "{kind}");
            }
        })
        .await;
    let mut untyped = config();
    untyped.auth.issuers[0].token_types = vec![String::new()];
    let world = World::new(&untyped, &[(IDP_KEYS, json!([signer.jwk("k1")]))]);
    world
        .live(async {
            let header = json!({"alg": "ES256", "kid": "k1"});
            assert!(
                world
                    .bearer(&signer.token_of(&header, &claims()))
                    .await
                    .is_ok()
            );
            let typed = world.bearer(&signer.token("k1", &claims())).await;
            assert_eq!(typed.err(), bad(Reason::TokenType));
        })
        .await;
}

#[tokio::test]
async fn j19_a_kid_belongs_to_its_issuer() {
    let (a, b) = (Signer::es256(), Signer::es256());
    let mut both = config();
    both.auth
        .issuers
        .push(provider("https://b.example", "https://b.example/keys"));
    let sets = [
        (IDP_KEYS, json!([a.jwk("k1")])),
        ("https://b.example/keys", json!([b.jwk("k1")])),
    ];
    let of_b = with(json!({"iss": "https://b.example"}));
    for warm in [false, true] {
        let world = World::new(&both, &sets);
        world
            .live(async {
                if warm {
                    assert!(world.bearer(&a.token("k1", &claims())).await.is_ok());
                }
                let (own, foreign, twisted) = (
                    b.token("k1", &of_b),
                    b.token("k1", &claims()),
                    a.token("k1", &of_b),
                );
                let at_once = [&own, &foreign, &twisted].map(|token| Box::pin(world.bearer(token)));
                let [own, foreign, twisted] =
                    join_all(at_once).await.try_into().expect("an answer each");
                assert!(own.is_ok());
                assert_eq!(foreign.err(), bad(Reason::Signature));
                assert_eq!(twisted.err(), bad(Reason::Signature));
            })
            .await;
    }
}

#[tokio::test]
async fn j21_and_j22_a_header_brings_no_key_and_leads_nowhere() {
    let (signer, evil) = (Signer::es256(), Signer::es256());
    let world = World::with_key(&signer);
    world
        .live(async {
            assert!(world.bearer(&signer.token("k1", &claims())).await.is_ok());
            for (kid, reason) in [
                (json!("../../etc/passwd"), Reason::KeyUnknown),
                (json!("http://evil/"), Reason::KeyUnknown),
                (json!("' OR 1=1--"), Reason::KeyIdForm),
                (json!("k1\r\n"), Reason::KeyIdForm),
                (json!("k1\u{0}"), Reason::KeyIdForm),
                (json!("k".repeat(129)), Reason::KeyIdForm),
                (json!(1), Reason::HeaderMalformed),
            ] {
                let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
                let found = world.bearer(&signer.token_of(&header, &claims())).await;
                assert_eq!(found.err(), bad(reason), "{kid}");
            }
            for (member, value) in [
                ("jwk", evil.jwk("k1")),
                ("jku", json!("https://evil.example/keys")),
                ("x5u", json!("https://evil.example/chain")),
                ("x5c", json!(["MIIB"])),
            ] {
                let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"});
                header[member] = value;
                let found = world.bearer(&evil.token_of(&header, &claims())).await;
                assert_eq!(found.err(), bad(Reason::HeaderMember), "{member}");
            }
            let elsewhere = world
                .fetch
                .asked()
                .into_iter()
                .filter(|url| url != IDP_KEYS);
            assert_eq!(
                elsewhere.count(),
                0,
                "only the configured address was asked"
            );
        })
        .await;
}

#[tokio::test]
async fn j23_critical_members_are_refused_by_presence() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            for (member, value) in [
                ("crit", json!(["exp"])),
                ("crit", json!(["x"])),
                ("crit", json!([])),
                ("crit", json!("b64")),
                ("b64", json!(false)),
                ("zip", json!("DEF")),
                ("cty", json!("JWT")),
                ("enc", json!("A128GCM")),
            ] {
                let mut header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1"});
                header[member] = value;
                let found = world.bearer(&signer.token_of(&header, &claims())).await;
                assert_eq!(found.err(), bad(Reason::HeaderMember), "{member}");
            }
        })
        .await;
}

#[tokio::test]
async fn v23_a_bound_token_is_no_bearer_token() {
    table([(
        "cnf".to_owned(),
        with(json!({"cnf": {"jkt": "x"}})),
        bad(Reason::ProofOfPossession),
    )])
    .await;
}

#[tokio::test]
async fn j25_scope_decides_and_defaults_hold_only_where_it_is_absent() {
    table(
        [
            (json!({}), None),
            (json!({"scope": ["chat"]}), None),
            (json!({"scope": "chat:read"}), None),
            (json!({"scope": "chat:admin"}), None),
            (json!({"scope": ""}), Some(AuthError::Forbidden)),
            (json!({"scope": []}), Some(AuthError::Forbidden)),
            (
                json!({"scope": "chat:connectx"}),
                Some(AuthError::Forbidden),
            ),
            (
                json!({"scope": "openid profile"}),
                Some(AuthError::Forbidden),
            ),
            (json!({"scp": "openid"}), Some(AuthError::Forbidden)),
            (json!({"scope": null}), bad(Reason::ClaimType)),
            (json!({"scope": 5}), bad(Reason::ClaimType)),
        ]
        .map(|(changes, expected)| (changes.to_string(), with(changes), expected)),
    )
    .await;
}

#[tokio::test]
async fn an_audience_in_another_claim_is_compared_by_the_same_rules() {
    let signer = Signer::es256();
    let mut cognito = config();
    cognito.auth.issuers[0].audience_claim = "client_id".to_owned();
    let world = World::new(&cognito, &[(IDP_KEYS, json!([signer.jwk("k1")]))]);
    world
        .live(async {
            for (claims, expected) in [
                (with(json!({"client_id": "wardroom"})), None),
                (with(json!({"client_id": ["x", "wardroom"]})), None),
                (with(json!({"client_id": "wardroom", "aud": "else"})), None),
                (claims(), bad(Reason::ClaimMissing)),
                (with(json!({"client_id": "x"})), bad(Reason::Audience)),
                (with(json!({"client_id": 5})), bad(Reason::Audience)),
                (
                    with(json!({"client_id": ["wardroom", 5]})),
                    bad(Reason::Audience),
                ),
                (with(json!({"client_id": []})), bad(Reason::Audience)),
            ] {
                let found = world.bearer(&signer.token("k1", &claims)).await.err();
                assert_eq!(found, expected, "{claims}");
            }
        })
        .await;
}

fn local_world() -> (World, Signer) {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    (world, signer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_verifier_panic_or_give_in(raw in ".{0,200}", a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
        let (world, signer) = local_world();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"k1"}"#;
        let message = format!("{}.{}", encode(header), encode(&a));
        runtime.block_on(world.live(async {
            for token in [
                raw.clone(),
                format!("{}.{}.{}", encode(&a), encode(&b), encode(&a)),
                format!("{message}.{}", encode(&b)),
                // Well signed, whatever it says.
                signer.token_of_text(header, &raw),
            ] {
                assert!(world.bearer(&token).await.is_err(), "{token}");
            }
        }));
    }

    #[test]
    fn no_bytes_are_a_key(pem in ".{0,200}", bytes in any::<Vec<u8>>()) {
        IssuerKey::from_public_pem(&pem).expect_err("random text is no key");
        IssuerKey::from_rsa_der(&bytes).expect_err("random bytes are no key");
        IssuerKey::from_rsa_components(&bytes, &bytes).expect_err("random bytes are no key");
        IssuerKey::from_ec_point(&bytes).expect_err("random bytes are no key");
    }
}
