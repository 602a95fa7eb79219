//! P2: only a credential that the issuer vouches for, now, opens a session.

use serde_json::{Value, json};

use crate::support::{
    eventually,
    gateway::{ORIGIN, TestGateway, issuer, write_secret},
    identity::{AUDIENCE, ISSUER, Provider, claims, now},
};

/// The answer to a credential in `Authorization`.
async fn verdict(gateway: &TestGateway, token: &str) -> (u16, String) {
    match gateway.client().bearer(token).dial().await {
        Ok(_) => (101, String::new()),
        Err(answer) => answer.refusal(),
    }
}

fn unauthorized() -> (u16, String) {
    (401, "unauthorized".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_one_of_its_claims_or_with_an_odd_one_is_refused() {
    let gateway = TestGateway::with(|config| {
        config.limits.auth_failures_per_ip_per_min = 1000.try_into().expect("not 0")
    })
    .await;
    let soon = now() + 600;
    let refused = [
        ("J9 exp", json!({ "exp": null })),
        ("J9 iss", json!({ "iss": null })),
        ("J9 aud", json!({ "aud": null })),
        ("J9 sub", json!({ "sub": null })),
        ("J11 exp string", json!({ "exp": soon.to_string() })),
        ("J11 exp -1", json!({ "exp": -1 })),
        ("J11 exp 1.5", json!({ "exp": 1.5 })),
        ("J11 exp 2^64-1", json!({ "exp": u64::MAX })),
        ("J11 exp year 9999", json!({ "exp": 253_402_300_800_u64 })),
        ("J11 exp object", json!({ "exp": {} })),
        ("J12 nbf", json!({ "nbf": now() + 3000 })),
        ("J12 nbf string", json!({ "nbf": "0" })),
        ("iat in the future", json!({ "iat": now() + 3000 })),
        ("J13 life", json!({ "iat": now(), "exp": now() + 86_401 })),
        ("J14 other", json!({ "iss": "https://evil.test" })),
        ("J14 slash", json!({ "iss": format!("{ISSUER}/") })),
        ("J14 case", json!({ "iss": "https://IDP.test" })),
        ("J14 number", json!({ "iss": 5 })),
        ("J14 array", json!({ "iss": [ISSUER, "https://evil.test"] })),
        ("J15 other", json!({ "aud": "other" })),
        ("J15 prefix", json!({ "aud": "ward" })),
        ("J15 empty", json!({ "aud": [] })),
        ("J15 number", json!({ "aud": 5 })),
        ("J15 mixed", json!({ "aud": [AUDIENCE, 5] })),
        ("J16 empty", json!({ "sub": "" })),
        ("J16 number", json!({ "sub": 5 })),
        ("J16 257 bytes", json!({ "sub": "a".repeat(257) })),
        ("J16 newline", json!({ "sub": "a\nb" })),
        ("J16 RLO", json!({ "sub": "a\u{202e}b" })),
        ("V23 cnf", json!({ "cnf": { "jkt": "x" } })),
        ("V21 events", json!({ "events": {} })),
    ];
    for (row, change) in refused {
        assert_eq!(
            verdict(&gateway, &gateway.provider.token_with("alice", &change)).await,
            unauthorized(),
            "{row}"
        );
    }
    for (row, change) in [
        ("good", json!({})),
        ("J13 life", json!({ "iat": now(), "exp": now() + 86_400 })),
        ("J15 one of two", json!({ "aud": ["x", AUDIENCE] })),
        ("scope absent", json!({ "scope": null })),
    ] {
        assert_eq!(
            verdict(&gateway, &gateway.provider.token_with("alice", &change))
                .await
                .0,
            101,
            "{row}"
        );
    }
    for (row, left, expected) in [
        ("J10 6 s", -24_i64, 101),
        ("J10 4 s", -26, 401),
        ("J10 0 s", -30, 401),
        ("J10 -1 s", -31, 401),
    ] {
        let exp = now().saturating_add_signed(left);
        let (status, code) = verdict(
            &gateway,
            &gateway
                .provider
                .token_with("alice", &json!({ "iat": now() - 600, "exp": exp })),
        )
        .await;
        assert_eq!(status, expected, "{row}");
        assert!(status == 101 || code == "token_expired", "{row}: {code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_another_key_or_without_a_true_signature_is_refused() {
    let gateway = TestGateway::start().await;
    let good = gateway.provider.token("alice");
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let none = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
    let mut flipped = signature.to_owned().into_bytes();
    flipped[10] = if flipped[10] == b'A' { b'B' } else { b'A' };
    for (row, token) in [
        ("another key", Provider::new().token("alice")),
        ("J1 none", format!("{none}.{payload}.")),
        (
            "J1 none with a signature",
            format!("{none}.{payload}.{signature}"),
        ),
        ("J5 two parts", format!("{header}.{payload}")),
        ("J5 empty signature", format!("{header}.{payload}.")),
        ("J5 four parts", format!("{good}.x")),
        ("J5 dots", "..".to_owned()),
        (
            "J6 a bit",
            format!(
                "{header}.{payload}.{}",
                String::from_utf8(flipped).expect("ASCII")
            ),
        ),
        ("J6 cut", format!("{header}.{payload}.{}", &signature[..40])),
        (
            "J6 doubled",
            format!("{header}.{payload}.{signature}{signature}"),
        ),
        ("J7 padding", format!("{good}==")),
    ] {
        assert_eq!(verdict(&gateway, &token).await, unauthorized(), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_credentials_do_not_say_what_was_wrong() {
    let gateway = TestGateway::start().await;
    let mut bodies = Vec::new();
    for token in [
        "nonsense".to_owned(),
        Provider::new().token("alice"),
        gateway.provider.token_with("alice", &json!({ "aud": "x" })),
    ] {
        let answer = gateway
            .client()
            .bearer(&token)
            .dial()
            .await
            .err()
            .expect("refused");
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer error=\"invalid_token\"")
        );
        let mut body = answer.json();
        body["request_id"] = Value::Null;
        bodies.push(body);
    }
    assert!(bodies.windows(2).all(|two| two[0] == two[1]), "{bodies:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_in_the_query_live_shortly_and_sizes_are_bounded() {
    let gateway = TestGateway::start().await;
    let life = |seconds: u64| {
        gateway
            .provider
            .token_with("alice", &json!({ "iat": now(), "exp": now() + seconds }))
    };
    assert!(
        gateway
            .client()
            .query(&format!("token={}", life(300)))
            .dial()
            .await
            .is_ok()
    );
    assert_eq!(
        gateway
            .client()
            .query(&format!("token={}", life(301)))
            .refused()
            .await,
        unauthorized()
    );
    let padded = |bytes: usize, life: u64| {
        let token = |fill: usize| {
            gateway.provider.token_with(
                "alice",
                &json!({ "exp": now() + life, "fill": "x".repeat(fill) }),
            )
        };
        let (base, wanted) = (token(0).len(), bytes);
        (0..8)
            .map(|more| token((wanted - base) * 3 / 4 - 4 + more))
            .find(|token| token.len() == wanted)
    };
    if let (Some(fits), Some(over)) = (
        padded(8192, 600),
        padded(8194, 600).or_else(|| padded(8195, 600)),
    ) {
        assert_eq!(verdict(&gateway, &fits).await.0, 101, "J24 8192");
        assert_eq!(verdict(&gateway, &over).await, unauthorized(), "J24 above");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scope_that_is_there_counts_even_when_it_is_empty() {
    let gateway = TestGateway::start().await;
    for (row, scope) in [
        ("empty", json!("")),
        ("foreign", json!("chat:connectx")),
        ("foreign list", json!(["mail"])),
    ] {
        let token = gateway
            .provider
            .token_with("alice", &json!({ "scope": scope }));
        assert_eq!(
            verdict(&gateway, &token).await,
            (403, "forbidden".to_owned()),
            "J25 {row}"
        );
    }
    let reader = gateway
        .provider
        .token_with("alice", &json!({ "scope": ["chat:read"] }));
    let mut client = gateway.client().bearer(&reader).open().await;
    client.join("lobby").await;
    client
        .send(json!({ "type": "send", "id": "1", "room": "lobby", "text": "no" }))
        .await;
    let error = client.expect("error").await;
    assert_eq!(
        (error["code"].as_str(), error["outcome"].as_str()),
        (Some("forbidden"), Some("no")),
        "J25"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_secret_stands_alone_in_its_entry() {
    const HS: &str = "https://hs.test";
    let secret = "0123456789abcdef0123456789abcdef";
    let gateway = TestGateway::with(|config| {
        let path = config.tls.key_file.with_file_name("secret");
        write_secret(&path, secret);
        config.auth.issuers.push(issuer(json!({ "issuer": HS, "audience": [AUDIENCE], "algorithms": ["HS256"], "secret_file": path })));
    })
    .await;
    let sign = |issuer: &str, secret: &[u8]| {
        let header = jsonwebtoken::Header {
            typ: Some("JWT".to_owned()),
            ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256)
        };
        let mut claims = claims("bot");
        claims["iss"] = json!(issuer);
        jsonwebtoken::encode(
            &header,
            &claims,
            &jsonwebtoken::EncodingKey::from_secret(secret),
        )
        .expect("signed")
    };
    assert_eq!(verdict(&gateway, &sign(HS, secret.as_bytes())).await.0, 101);
    assert_eq!(
        verdict(&gateway, &sign(HS, b"another secret of thirty-two byte")).await,
        unauthorized()
    );
    let public = gateway.provider.public_pem().to_owned();
    for confused in [public.as_bytes(), public.trim_end().as_bytes()] {
        assert_eq!(
            verdict(&gateway, &sign(ISSUER, confused)).await,
            unauthorized(),
            "J2: the public key is no secret"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_one_session_however_many_race_for_it() {
    let gateway = TestGateway::with(|config| {
        config.limits.tls_handshakes_per_ip_max = 100;
        config.limits.auth_failures_per_ip_per_min = 1000.try_into().expect("not 0");
    })
    .await;
    let token = gateway.provider.token("alice");
    let issued = gateway.api("POST", "/api/v1/tickets", &token, None).await;
    assert_eq!(issued.status, 201);
    assert_eq!(issued.header("cache-control"), Some("no-store"));
    let ticket = issued.json()["ticket"]
        .as_str()
        .expect("a ticket")
        .to_owned();
    assert_eq!(issued.json()["expires_in"], 30);
    assert!(ticket.len() >= 43, "256 bits");
    let race = (0..50).map(|_| gateway.client().query(&format!("ticket={ticket}")).dial());
    let results = futures_util::future::join_all(race).await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "J27"
    );
    for refused in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!([401, 429].contains(&refused.status), "{refused:?}");
    }
    assert_eq!(
        gateway
            .client()
            .query(&format!("ticket={token}"))
            .refused()
            .await
            .0,
        401,
        "J27: a JWT is no ticket"
    );
    assert_eq!(
        verdict(&gateway, &ticket).await.0,
        401,
        "J27: a ticket is no token"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_bound_to_its_origin_and_survives_a_wrong_one() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    let post = |origin: &str, body: &str| {
        let origin = if origin.is_empty() {
            String::new()
        } else {
            format!("origin: {origin}\r\n")
        };
        let kind = if body.is_empty() {
            ""
        } else {
            "content-type: application/json\r\n"
        };
        format!(
            "POST /api/v1/tickets HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{origin}{kind}content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let ticket = |answer: crate::support::http::Answer| {
        answer.json()["ticket"]
            .as_str()
            .expect("a ticket")
            .to_owned()
    };
    let browser = ticket(gateway.http(&post(ORIGIN, "")).await);
    let dial = |ticket: &str| gateway.client().query(&format!("ticket={ticket}"));
    assert_eq!(
        dial(&browser)
            .header("origin", "https://evil.example")
            .refused()
            .await,
        (403, "origin_not_allowed".to_owned()),
        "U11"
    );
    assert!(
        dial(&browser).header("origin", ORIGIN).dial().await.is_ok(),
        "U11: the ticket stayed good"
    );
    let backend = ticket(
        gateway
            .http(&post("", &format!("{{\"origin\":\"{ORIGIN}\"}}")))
            .await,
    );
    assert_eq!(
        dial(&backend).refused().await.0,
        401,
        "J28: bound to the page's origin"
    );
    assert_eq!(
        gateway
            .http(&post("", r#"{"origin":"https://evil.example"}"#))
            .await
            .refusal(),
        (403, "origin_not_allowed".to_owned()),
        "J28"
    );
    assert_eq!(
        gateway
            .http(&post(ORIGIN, &format!("{{\"origin\":\"{ORIGIN}\"}}")))
            .await
            .refusal(),
        (400, "bad_request".to_owned()),
        "J28"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_outstanding_are_bounded() {
    let gateway = TestGateway::start().await;
    let token = gateway.provider.token("alice");
    for _ in 0..5 {
        assert_eq!(
            gateway
                .api("POST", "/api/v1/tickets", &token, None)
                .await
                .status,
            201
        );
    }
    let sixth = gateway.api("POST", "/api/v1/tickets", &token, None).await;
    assert_eq!(sixth.refusal(), (429, "rate_limited".to_owned()));
    assert!(sixth.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_credentials_of_an_address_are_slowed_and_good_ones_still_pass() {
    let gateway = TestGateway::with(|config| {
        config.limits.auth_failures_per_ip_per_min = 3.try_into().expect("not 0")
    })
    .await;
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(verdict(&gateway, "nonsense").await.0);
    }
    assert_eq!(statuses, [401, 401, 401, 429, 429], "J33");
    assert_eq!(
        verdict(&gateway, &gateway.provider.token("alice")).await.0,
        101,
        "J33"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_credential_and_says_so_before() {
    let gateway = TestGateway::with(|config| {
        config.auth.leeway = std::time::Duration::ZERO;
        config.limits.token_left_min = std::time::Duration::ZERO;
        config.limits.expiry_warning = std::time::Duration::from_secs(1);
    })
    .await;
    let token = gateway
        .provider
        .token_with("alice", &json!({ "iat": now(), "exp": now() + 2 }));
    let mut client = gateway.client().bearer(&token).open().await;
    assert!(
        client.welcome["expires_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z'))
    );
    let warning = client.expect("expiring").await;
    assert!(
        warning["in_ms"].as_u64().is_some_and(|ms| ms <= 1000),
        "{warning}"
    );
    assert_eq!(
        client.closed().await,
        Some((4401, "credential_expired".to_owned())),
        "X1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_a_longest_life_whatever_fresh_tokens_it_gets() {
    use std::time::Duration;
    const LIFE: Duration = Duration::from_secs(3);
    let gateway = TestGateway::with(|config| {
        config.auth.session_max = LIFE;
        config.limits.expiry_warning = Duration::from_secs(1);
        config.limits.auth_frames_per_min = 100.try_into().expect("not 0");
    })
    .await;
    let before = tokio::time::Instant::now();
    let mut client = gateway.member("Alice").await;
    let opened = tokio::time::Instant::now();
    for _ in 0..3 {
        client
            .send(json!({ "type": "auth", "id": "a", "token": gateway.provider.token("Alice") }))
            .await;
        client.expect("ok").await;
    }
    let warning = client.expect("expiring").await;
    assert!(
        warning["in_ms"].as_u64().is_some_and(|ms| ms <= 1000),
        "X1: {warning}"
    );
    client
        .send(json!({ "type": "auth", "id": "a", "token": gateway.provider.token("Alice") }))
        .await;
    client.expect("ok").await;
    assert_eq!(
        client.closed().await,
        Some((4401, "credential_expired".to_owned())),
        "X1"
    );
    assert!(before.elapsed() >= LIFE, "X1: not before its time");
    let late = opened.elapsed().saturating_sub(LIFE);
    assert!(late <= Duration::from_secs(1), "X1: {late:?} late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_token_of_the_same_person_extends_the_session_and_any_other_does_not() {
    let gateway = TestGateway::with(|config| {
        config.limits.auth_frames_per_min = 20.try_into().expect("not 0")
    })
    .await;
    let mut client = gateway.member("Alice").await;
    let auth = |token: String| json!({ "type": "auth", "id": "a", "token": token });
    client.join("lobby").await;
    client.join("side").await;
    client
        .send(auth(gateway.provider.token_with(
            "Alice",
            &json!({ "exp": now() + 7200, "rooms": ["lobby"] }),
        )))
        .await;
    let ok = client.expect("ok").await;
    assert_eq!(
        (ok["id"].as_str(), ok["scopes"].as_array().map(Vec::len)),
        (Some("a"), Some(2))
    );
    client
        .send(json!({ "type": "send", "id": "s", "room": "side", "text": "gone" }))
        .await;
    assert_eq!(
        client.expect_error().await,
        "forbidden",
        "X2: the room is left at once"
    );
    client.say("lobby", "still here").await;

    client.send(auth("nonsense".to_owned())).await;
    assert_eq!(client.expect_error().await, "unauthorized", "J32");
    client
        .send(auth(gateway.provider.token_with(
            "Alice",
            &json!({ "iat": now() - 7200, "exp": now() - 3600 }),
        )))
        .await;
    assert_eq!(client.expect_error().await, "token_expired", "J32");
    client.say("lobby", "the old end stays").await;

    client.send(auth(gateway.provider.token("mallory"))).await;
    assert_eq!(
        client.closed().await,
        Some((4403, "revoked".to_owned())),
        "J32"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_costs_its_own_tokens_only() {
    let gateway = TestGateway::with(|config| {
        config.auth.issuers.push(issuer(json!({
            "issuer": "http://127.0.0.1:9", "audience": [AUDIENCE], "algorithms": ["ES256"], "jwks_url": "http://127.0.0.1:9/jwks"
        })));
    })
    .await;
    assert_eq!(
        verdict(&gateway, &gateway.provider.token("alice")).await.0,
        101
    );
    let orphan = gateway
        .provider
        .token_with("bob", &json!({ "iss": "http://127.0.0.1:9" }));
    assert_eq!(verdict(&gateway, &orphan).await.0, 401);
    eventually("readiness tells", async || {
        let ready = gateway.admin_get("/readyz").await;
        let body = ready.json();
        match body["issuers"]
            .as_array()
            .and_then(|all| all.iter().find(|one| one["keys"] == "missing"))
        {
            Some(_) if ready.status == 200 => Ok(()),
            _ => Err(body.to_string()),
        }
    })
    .await;
}
