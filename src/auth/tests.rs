//! The authenticator as a whole: ways in, refresh, rotation, setup, and what is counted.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::advance;

use crate::{
    auth::{
        AuthParts, Authenticator, KeyState, LocalIssuer,
        credential::Credential,
        error::{AuthError, RefreshError},
        mint::{Minter, TokenSpec},
        reason::Reason,
        testing::{FakeFetch, IDP, IDP_KEYS, NOW_S, Signer, World, claims, config, provider},
        ticket_store::MemoryTickets,
    },
    clock::Clock,
    config::{Config, auth::QueryToken},
    domain::{origin::Origin, room_name::RoomId, token::RawToken},
    telemetry::metrics::Metrics,
};

/// A refusal for that reason, to be compared with `err()`.
fn refused(reason: Reason) -> Option<AuthError> {
    AuthError::Unauthorized(reason).into()
}

fn with(claim: &str, value: Value) -> Value {
    let mut out = claims();
    out[claim] = value;
    out
}

/// A token of exactly that many bytes.
fn sized(signer: &Signer, bytes: usize) -> String {
    // Base64 makes four bytes of three, so a filler of the right length is found by trying; the header takes the odd ones.
    for pad in 0..4 {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": "k1", "x": "x".repeat(pad)});
        let short = signer.token_of(&header, &with("fill", json!("")));
        let start = (bytes - short.len()) * 3 / 4;
        for fill in start.saturating_sub(4)..start + 4 {
            let token = signer.token_of(&header, &with("fill", json!("f".repeat(fill))));
            if token.len() == bytes {
                return token;
            }
        }
    }
    panic!("no token of {bytes} bytes");
}

#[tokio::test]
async fn every_way_in_leads_to_the_same_identity_and_is_counted() {
    let signer = Signer::es256();
    let mut config = config();
    config.auth.query_token = QueryToken::On;
    let world = World::new(&config, &[(IDP_KEYS, json!([signer.jwk("k1")]))]);
    world
        .live(async {
            let raw = RawToken::new(signer.token("k1", &claims()));
            for (one, method) in [
                (Credential::Bearer(raw.clone()), "bearer"),
                (Credential::Subprotocol(raw.clone()), "subprotocol"),
                (Credential::Query(raw.clone()), "query"),
            ] {
                let found = world.auth.authenticate(one, None).await.expect(method);
                assert_eq!(found.issuer(), IDP);
                assert_eq!(found.expires_at(), NOW_S + 3600);
                assert_eq!(found.scope_names(), ["chat:read", "chat:send"]);
                let lobby = RoomId::parse("lobby", 64).expect("a name");
                assert!(found.may_join(&lobby).is_ok(), "the default room");
                assert_eq!(world.counted(method, "ok"), 1);
            }
            let bad = RawToken::new("a.b.c");
            for (one, method) in [
                (Credential::Bearer(bad.clone()), "bearer"),
                (Credential::Subprotocol(bad.clone()), "subprotocol"),
                (Credential::Query(bad.clone()), "query"),
                (Credential::Ticket(bad), "ticket"),
            ] {
                assert!(world.auth.authenticate(one, None).await.is_err());
                assert_eq!(world.counted(method, "unauthorized"), 1);
            }
            let old = with("exp", json!(NOW_S - 100));
            let old = world.bearer(&signer.token("k1", &with_iat(old))).await;
            assert_eq!(old.err(), Some(AuthError::TokenExpired));
            assert_eq!(world.counted("bearer", "token_expired"), 1);
            let none = signer.token("k1", &with("scope", json!("")));
            assert_eq!(world.bearer(&none).await.err(), Some(AuthError::Forbidden));
            assert_eq!(world.counted("bearer", "forbidden"), 1);
        })
        .await;
}

fn with_iat(mut claims: Value) -> Value {
    claims["iat"] = json!(NOW_S - 3600);
    claims
}

#[tokio::test]
async fn j24_a_token_has_its_size_and_a_query_token_a_smaller_one() {
    let signer = Signer::es256();
    let mut config = config();
    config.auth.query_token = QueryToken::On;
    let world = World::new(&config, &[(IDP_KEYS, json!([signer.jwk("k1")]))]);
    world
        .live(async {
            assert!(world.bearer(&sized(&signer, 8191)).await.is_ok());
            assert!(world.bearer(&sized(&signer, 8192)).await.is_ok());
            let over = world.bearer(&sized(&signer, 8193)).await;
            assert_eq!(over.err(), refused(Reason::TokenTooLong));
            for (bytes, expected) in [
                (4095, None),
                (4096, None),
                (4097, refused(Reason::TokenTooLong)),
            ] {
                let one = Credential::Query(RawToken::new(sized(&signer, bytes)));
                let found = world.auth.authenticate(one, None).await.err();
                assert_eq!(found, expected, "{bytes}");
            }
        })
        .await;
}

#[tokio::test]
async fn a_query_token_is_off_short_lived_or_on() {
    let signer = Signer::es256();
    let lives = |life: u64| {
        let mut out = claims();
        out["iat"] = json!(NOW_S);
        out["exp"] = json!(NOW_S + life);
        signer.token("k1", &out)
    };
    for (setting, life, expected) in [
        (QueryToken::Off, 60, refused(Reason::QueryTokenOff)),
        (QueryToken::ShortLived, 299, None),
        (QueryToken::ShortLived, 300, None),
        (QueryToken::ShortLived, 301, refused(Reason::QueryTokenLife)),
        (QueryToken::On, 301, None),
        (QueryToken::On, 86400, None),
        (QueryToken::On, 86401, refused(Reason::LifeTooLong)),
    ] {
        let mut config = config();
        config.auth.query_token = setting;
        let world = World::new(&config, &[(IDP_KEYS, json!([signer.jwk("k1")]))]);
        world
            .live(async {
                let one = Credential::Query(RawToken::new(lives(life)));
                let found = world.auth.authenticate(one, None).await.err();
                assert_eq!(found, expected, "{setting:?} {life}");
                assert!(
                    life > 86400 || world.bearer(&lives(life)).await.is_ok(),
                    "the rule is the query's alone"
                );
            })
            .await;
    }
}

#[tokio::test]
async fn j27_a_ticket_is_no_token_and_a_token_no_ticket() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let jwt = signer.token("k1", &claims());
            let identity = world.bearer(&jwt).await.expect("a good token");
            let origin = Origin::parse("https://chat.example").expect("an origin");
            let issued = world
                .auth
                .issue_ticket(&identity, Some(&origin))
                .await
                .expect("issued");
            let as_bearer = world.bearer(issued.ticket.expose()).await;
            assert_eq!(as_bearer.err(), refused(Reason::TokenShape));
            let one = Credential::Ticket(RawToken::new(jwt));
            let as_ticket = world.auth.authenticate(one, Some(&origin)).await;
            assert_eq!(as_ticket.err(), refused(Reason::TicketShape));
            let ticket = || Credential::Ticket(issued.ticket.clone());
            let spent = world.auth.authenticate(ticket(), Some(&origin)).await;
            assert!(spent.expect("good").is_same_person(&identity));
            let again = world.auth.authenticate(ticket(), Some(&origin)).await;
            assert_eq!(again.err(), refused(Reason::TicketSpent));
            assert_eq!(world.counted("ticket", "ok"), 1);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn j31_a_new_key_is_good_at_once_and_an_old_one_ends_its_sessions() {
    let (old, new) = (Signer::es256(), Signer::es256());
    let world = World::with_key(&old);
    world
        .live(async {
            let before = world
                .bearer(&old.token("k1", &claims()))
                .await
                .expect("good");
            assert!(world.auth.still_vouched(&before));
            advance(Duration::from_mins(1)).await;
            let both = json!({"keys": [old.jwk("k1"), new.jwk("k2")]});
            world.fetch.put(IDP_KEYS, both.to_string());
            let after = world
                .bearer(&new.token("k2", &claims()))
                .await
                .expect("good");
            assert!(world.auth.still_vouched(&before) && world.auth.still_vouched(&after));
            assert!(world.bearer(&old.token("k1", &claims())).await.is_ok());
            let rotated = json!({"keys": [new.jwk("k2")]});
            world.fetch.put(IDP_KEYS, rotated.to_string());
            advance(Duration::from_mins(12)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert!(!world.auth.still_vouched(&before));
            assert!(world.auth.still_vouched(&after));
            let found = world.bearer(&old.token("k1", &claims())).await;
            assert_eq!(found.err(), refused(Reason::KeyUnknown));
        })
        .await;
}

#[tokio::test]
async fn j32_a_refresh_is_for_the_same_person_and_only_forward() {
    let signer = Signer::es256();
    let other = Signer::es256();
    let mut config = config();
    config
        .auth
        .issuers
        .push(provider("https://b.example", "https://b.example/keys"));
    let sets = [
        (IDP_KEYS, json!([signer.jwk("k1")])),
        ("https://b.example/keys", json!([other.jwk("k1")])),
    ];
    let world = World::new(&config, &sets);
    world
        .live(async {
            let current = world
                .bearer(&signer.token("k1", &claims()))
                .await
                .expect("good");
            let refresh = async |token: String| {
                let fresh = world.auth.refresh(&current, RawToken::new(token)).await;
                fresh.map(|fresh| fresh.expires_at())
            };
            let later = with("exp", json!(NOW_S + 7200));
            assert_eq!(refresh(signer.token("k1", &later)).await, Ok(NOW_S + 7200));
            assert_eq!(
                refresh(signer.token("k1", &claims())).await,
                Ok(NOW_S + 3600)
            );
            for (token, expected) in [
                (
                    signer.token("k1", &with("sub", json!("bob"))),
                    RefreshError::OtherIdentity,
                ),
                (
                    other.token("k1", &with("iss", json!("https://b.example"))),
                    RefreshError::OtherIdentity,
                ),
                (
                    signer.token("k1", &with_iat(with("exp", json!(NOW_S - 100)))),
                    RefreshError::Refused(AuthError::TokenExpired),
                ),
                (
                    "nonsense".to_owned(),
                    RefreshError::Refused(AuthError::Unauthorized(Reason::TokenShape)),
                ),
                (
                    signer.token("k1", &with("exp", json!(NOW_S + 3599))),
                    RefreshError::Refused(AuthError::Unauthorized(Reason::OlderExpiry)),
                ),
            ] {
                assert_eq!(refresh(token).await, Err(expected));
            }
            let fewer = with("rooms", json!(["other"]));
            let fresh = world
                .auth
                .refresh(&current, RawToken::new(signer.token("k1", &fewer)))
                .await
                .expect("good");
            let lobby = RoomId::parse("lobby", 64).expect("a name");
            assert!(
                fresh.may_join(&lobby).is_err(),
                "rights are those of the new token"
            );
            for (result, count) in [
                ("ok", 3),
                ("forbidden", 2),
                ("token_expired", 1),
                ("unauthorized", 2),
            ] {
                assert_eq!(world.counted("frame", result), count, "{result}");
            }
        })
        .await;
}

#[tokio::test]
async fn rooms_that_cannot_be_are_counted() {
    let signer = Signer::es256();
    let world = World::with_key(&signer);
    world
        .live(async {
            let odd = with("rooms", json!(["lobby", "A", "b*c"]));
            assert!(world.bearer(&signer.token("k1", &odd)).await.is_ok());
            assert_eq!(world.metrics.room_claims_ignored.get(), 2);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_costs_its_own_people_and_nobody_else() {
    let (a, b) = (Signer::es256(), Signer::es256());
    let mut config = config();
    config
        .auth
        .issuers
        .push(provider("https://b.example", "https://b.example/keys"));
    let world = World::new(&config, &[(IDP_KEYS, json!([a.jwk("k1")]))]);
    world
        .live(async {
            let of_b = with("iss", json!("https://b.example"));
            let found = world.bearer(&b.token("k1", &of_b)).await;
            assert_eq!(found.err(), refused(Reason::KeysMissing));
            assert!(world.bearer(&a.token("k1", &claims())).await.is_ok());
            assert_eq!(
                world.auth.keys_ready(),
                [
                    (IDP.to_owned(), KeyState::Fresh),
                    ("https://b.example".to_owned(), KeyState::NeverRead),
                ]
            );
        })
        .await;
}

#[tokio::test]
async fn discovery_leads_to_the_key_set() {
    let signer = Signer::es256();
    let mut config = config();
    config.auth.issuers[0].jwks_url = String::new();
    config.auth.issuers[0].discovery = true;
    let world = World::new(&config, &[(IDP_KEYS, json!([signer.jwk("k1")]))]);
    let document = "https://idp.example/.well-known/openid-configuration";
    let body = json!({"issuer": IDP, "jwks_uri": IDP_KEYS}).to_string();
    world.fetch.put(document, body);
    world
        .live(async {
            assert!(world.bearer(&signer.token("k1", &claims())).await.is_ok());
            assert_eq!(world.fetch.asked(), [document, IDP_KEYS]);
        })
        .await;
}

#[tokio::test]
async fn keys_from_files_need_no_loop_and_no_kid() {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, content: &str| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        path
    };
    let (public, secret) = (Signer::rsa(), Signer::secret(&[b's'; 32]));
    let mut config = config();
    config.auth.issuers[0].jwks_url = String::new();
    config.auth.issuers[0].public_key_file = write("public", &public.public_pem());
    let mut shared = provider("https://b.example", "");
    shared.secret_file = write("secret", &format!("{}\n", "s".repeat(32)));
    shared.algorithms = vec!["HS256".to_owned()];
    config.auth.issuers.push(shared);
    let world = World::new(&config, &[]);
    assert!(world.bearer(&public.token("any", &claims())).await.is_ok());
    let header = json!({"alg": "PS256", "typ": "at+jwt"});
    let no_kid = public.token_of(&header, &claims());
    assert!(world.bearer(&no_kid).await.is_ok());
    let of_b = with("iss", json!("https://b.example"));
    let identity = world
        .bearer(&secret.token("any", &of_b))
        .await
        .expect("good");
    assert!(world.auth.still_vouched(&identity));
    // Each key for its own issuer alone.
    let crossed = world.bearer(&secret.token("any", &claims())).await;
    assert_eq!(crossed.err(), refused(Reason::Algorithm));
    let crossed = world.bearer(&public.token("any", &of_b)).await;
    assert_eq!(crossed.err(), refused(Reason::Algorithm));
    assert!(world.fetch.asked().is_empty());
    assert!(
        world
            .auth
            .keys_ready()
            .iter()
            .all(|(_, state)| *state == KeyState::Fixed)
    );
}

#[tokio::test]
async fn a_local_key_signs_and_verifies_for_dev() {
    let minter = Minter::ephemeral().expect("a key");
    let config = Config::defaults();
    let parts = AuthParts {
        fetch: FakeFetch::holding("https://nowhere.example/", String::new()),
        tickets: Arc::new(MemoryTickets::new(10)),
        clock: Clock::manual(NOW_S * 1000),
        metrics: Metrics::new(),
    };
    let local = LocalIssuer {
        issuer: Config::DEV_ISSUER.to_owned(),
        audience: Config::DEV_AUDIENCE.to_owned(),
        key: minter.key().clone(),
    };
    let auth = Authenticator::with_static_key(&config.auth, &config.limits, local, parts)
        .expect("a good setup");
    let spec = TokenSpec {
        nickname: Some("Alice".to_owned()),
        ..TokenSpec::new(Config::DEV_ISSUER, Config::DEV_AUDIENCE, "alice")
    };
    let token = RawToken::new(minter.mint(&spec, NOW_S).expect("a token"));
    let found = auth.authenticate(Credential::Bearer(token), None).await;
    assert_eq!(found.expect("good").nickname_claim(), Some("Alice"));
    let foreign = Minter::ephemeral().expect("a key");
    let token = RawToken::new(foreign.mint(&spec, NOW_S).expect("a token"));
    let found = auth.authenticate(Credential::Bearer(token), None).await;
    assert_eq!(found.err(), refused(Reason::Signature));
}

type Case<'a> = (&'a str, &'a dyn Fn(&mut Config));

#[test]
fn a_setup_that_could_not_authenticate_safely_names_its_key() {
    let fails = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        let parts = AuthParts {
            fetch: FakeFetch::holding("https://nowhere.example/", String::new()),
            tickets: Arc::new(MemoryTickets::new(10)),
            clock: Clock::manual(0),
            metrics: Metrics::new(),
        };
        Authenticator::new(&config.auth, &config.limits, parts)
            .err()
            .map(|error| error.key)
            .unwrap_or_default()
    };
    assert_eq!(fails(&|_| {}), "");
    let cases: [Case<'_>; 22] = [
        ("auth.issuers", &|c| c.auth.issuers.clear()),
        ("auth.issuers[1]", &|c| {
            c.auth.issuers.push(provider(IDP, IDP_KEYS));
        }),
        ("auth.issuers[0].issuer", &|c| {
            c.auth.issuers[0].issuer.clear();
        }),
        ("auth.issuers[0].audience", &|c| {
            c.auth.issuers[0].audience.clear();
        }),
        ("auth.issuers[0].audience", &|c| {
            c.auth.issuers[0].audience.push(String::new());
        }),
        ("auth.issuers[0].audience_claim", &|c| {
            c.auth.issuers[0].audience_claim.clear();
        }),
        ("auth.issuers[0].algorithms", &|c| {
            c.auth.issuers[0].algorithms.clear();
        }),
        ("auth.issuers[0].algorithms", &|c| {
            c.auth.issuers[0].algorithms = vec!["none".to_owned()];
        }),
        ("auth.issuers[0].algorithms", &|c| {
            c.auth.issuers[0].algorithms = vec!["HS384".to_owned()];
        }),
        ("auth.issuers[0].algorithms", &|c| {
            c.auth.issuers[0].algorithms = vec!["HS256".to_owned()];
        }),
        ("auth.issuers[0].algorithms", &|c| {
            c.auth.issuers[0].algorithms.push("HS256".to_owned());
        }),
        ("auth.issuers[0].algorithms", &|c| {
            c.auth.issuers[0].jwks_url.clear();
            c.auth.issuers[0].secret_file = "/nowhere".into();
        }),
        ("auth.issuers[0].token_types", &|c| {
            c.auth.issuers[0].token_types.clear();
        }),
        ("auth.issuers[0].token_types", &|c| {
            c.auth.issuers[0].token_types.push("Logout+JWT".to_owned());
        }),
        ("auth.issuers[0]", &|c| c.auth.issuers[0].jwks_url.clear()),
        ("auth.issuers[0]", &|c| c.auth.issuers[0].discovery = true),
        ("auth.issuers[0].jwks_url", &|c| {
            c.auth.issuers[0].jwks_url = "http://idp.example/".to_owned();
        }),
        ("auth.issuers[0].issuer", &|c| {
            c.auth.issuers[0].jwks_url.clear();
            c.auth.issuers[0].issuer = "not-a-url".to_owned();
            c.auth.issuers[0].discovery = true;
        }),
        ("auth.issuers[0].public_key_file", &|c| {
            c.auth.issuers[0].jwks_url.clear();
            c.auth.issuers[0].public_key_file = "/nowhere".into();
        }),
        ("auth.claims.rooms", &|c| {
            c.auth.claims.rooms = "a..b".to_owned();
        }),
        ("auth.defaults.rooms", &|c| {
            c.auth.defaults.rooms.push("Lobby".to_owned());
        }),
        ("auth.defaults.scopes", &|c| {
            c.auth.defaults.scopes.push("chat:all".to_owned());
        }),
    ];
    for (n, (key, change)) in cases.into_iter().enumerate() {
        assert_eq!(fails(change), key, "case {n}");
    }
}
