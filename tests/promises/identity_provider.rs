//! P2: keys come from the identity provider's own server, which rotates them, is down, and sometimes lies.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    eventually,
    gateway::{TestGateway, issuer},
    http::exchange,
    identity::{AUDIENCE, Provider, claims},
    program::Site,
    provider_server::{ProviderServer, Says},
    within,
};

const REMOTE: &str = "https://remote.test";

fn keys(keys: Vec<Value>) -> Says {
    Says::Truth {
        issuer: REMOTE.to_owned(),
        keys,
    }
}

/// Good claims of an issuer.
fn of(issuer: &str) -> Value {
    let mut all = claims("alice");
    all["iss"] = json!(issuer);
    all
}

/// A gateway that reads its keys at `url`, beside the issuer of the other tests.
async fn reading(url: &str, interval: Duration) -> TestGateway {
    TestGateway::with(|config| {
        config.auth.issuers.push(issuer(
            json!({ "issuer": REMOTE, "audience": [AUDIENCE], "algorithms": ["ES256"], "jwks_url": url }),
        ));
        quick(config, interval);
    })
    .await
}

fn quick(config: &mut wardroom::config::Config, interval: Duration) {
    config.limits.jwks_unknown_kid_interval = interval;
    config.limits.jwks_timeout = Duration::from_millis(500);
    config.limits.auth_failures_per_ip_per_min = 10_000.try_into().expect("not 0");
    config.limits.requests_per_ip_burst = 10_000.try_into().expect("not 0");
    config.limits.connects_per_ip_burst = 10_000.try_into().expect("not 0");
}

const SOON: Duration = Duration::from_millis(100);

/// What an API request with this token comes to.
async fn verdict(gateway: &TestGateway, token: &str) -> u16 {
    gateway
        .api("GET", "/api/v1/rooms/lobby/members", token, None)
        .await
        .status
}

async fn becomes(gateway: &TestGateway, token: &str, expected: u16, what: &str) {
    eventually(what, async || match verdict(gateway, token).await {
        status if status == expected => Ok(()),
        status => Err(status.to_string()),
    })
    .await;
}

async fn key_state(gateway: &TestGateway) -> String {
    let ready = gateway.admin_get("/readyz").await;
    assert_eq!(
        ready.status, 200,
        "a provider that is down makes no node unready"
    );
    let ready = ready.json();
    let issuers = ready["issuers"].as_array().expect("issuers").clone();
    let remote = issuers
        .iter()
        .find(|one| one["issuer"] == REMOTE)
        .expect("ours");
    remote["keys"].as_str().expect("a word").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_key_is_found_when_a_token_names_it_and_an_old_one_ends_with_its_set() {
    let (old, new) = (Provider::new(), Provider::new());
    let server = ProviderServer::start(keys(vec![old.jwk("old")])).await;
    let gateway = reading(&server.url("/keys"), SOON).await;
    let (by_old, by_new) = (
        old.sign_as("old", &of(REMOTE)),
        new.sign_as("new", &of(REMOTE)),
    );
    assert_eq!(verdict(&gateway, &by_old).await, 200);
    assert_eq!(
        verdict(&gateway, &old.sign(&of(REMOTE))).await,
        200,
        "one key needs no kid"
    );
    assert_eq!(verdict(&gateway, &by_new).await, 401, "J20");
    server.say(keys(vec![old.jwk("old"), new.jwk("new")]));
    becomes(&gateway, &by_new, 200, "J31: the new key").await;
    assert_eq!(
        verdict(&gateway, &by_old).await,
        200,
        "both are good meanwhile"
    );
    assert_eq!(
        verdict(&gateway, &old.sign_as("new", &of(REMOTE))).await,
        401,
        "each kid is its own key"
    );
    server.say(keys(vec![new.jwk("new")]));
    // Another unknown key makes it look again.
    eventually("the old key is gone", async || {
        verdict(&gateway, &new.sign_as("other", &of(REMOTE))).await;
        match verdict(&gateway, &by_old).await {
            401 => Ok(()),
            status => Err(status.to_string()),
        }
    })
    .await;
    assert_eq!(verdict(&gateway, &by_new).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_withdrawn_ends_the_sessions_that_it_signed_for() {
    let (old, new) = (Provider::new(), Provider::new());
    let server = ProviderServer::start(keys(vec![old.jwk("old"), new.jwk("new")])).await;
    let gateway = TestGateway::with(|config| {
        config.auth.issuers.push(issuer(
            json!({ "issuer": REMOTE, "audience": [AUDIENCE], "algorithms": ["ES256"], "jwks_url": server.url("/keys") }),
        ));
        quick(config, SOON);
        config.limits.ws_ping = Duration::from_millis(200);
        config.limits.connections_per_user_max = 2;
    })
    .await;
    let dial = async |token: String| gateway.client().bearer(&token).open().await;
    let mut signed_by_old = dial(old.sign_as("old", &of(REMOTE))).await;
    let mut signed_by_new = dial(new.sign_as("new", &of(REMOTE))).await;
    server.say(keys(vec![new.jwk("new")]));
    eventually("the set was read again", async || {
        let asked = server.asked();
        assert_eq!(verdict(&gateway, &new.sign_as("x", &of(REMOTE))).await, 401);
        if asked >= 2 {
            Ok(())
        } else {
            Err(asked.to_string())
        }
    })
    .await;
    assert_eq!(
        signed_by_old.closed().await,
        Some((4401, "credential_expired".to_owned())),
        "J31"
    );
    signed_by_new.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_is_down_is_waited_for_and_its_last_good_keys_are_kept() {
    let key = Provider::new();
    let token = key.sign_as("k", &of(REMOTE));
    let port = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = port.local_addr().expect("bound");
    drop(port);
    let gateway = reading(&format!("http://{address}/keys"), SOON).await;
    assert_eq!(
        verdict(&gateway, &token).await,
        401,
        "never allowed because of a failure"
    );
    assert_eq!(key_state(&gateway).await, "missing");
    assert_eq!(
        verdict(&gateway, &gateway.provider.token("bob")).await,
        200,
        "the others do not notice"
    );

    let listener = tokio::net::TcpListener::bind(address)
        .await
        .expect("the same port");
    let server = ProviderServer::on(listener, keys(vec![key.jwk("k")]));
    becomes(&gateway, &token, 200, "the provider is up").await;
    assert_eq!(key_state(&gateway).await, "ready");

    drop(server);
    eventually("the node notices that it is down again", async || {
        assert_eq!(verdict(&gateway, &key.sign_as("x", &of(REMOTE))).await, 401);
        match key_state(&gateway).await.as_str() {
            "aging" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    assert_eq!(
        verdict(&gateway, &token).await,
        200,
        "the last good keys are kept"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lies_about_keys_change_nothing_and_are_counted() {
    let key = Provider::new();
    let token = key.sign_as("k", &of(REMOTE));
    let bait = ProviderServer::start(keys(vec![])).await;
    let server = ProviderServer::start(keys(vec![key.jwk("k")])).await;
    let gateway = reading(&server.url("/keys"), SOON).await;
    assert_eq!(verdict(&gateway, &token).await, 200);
    let many: Vec<_> = (0..33)
        .map(|n| Provider::new().jwk(&n.to_string()))
        .collect();
    for (row, lie, result) in [
        ("500", Says::Raw(500, b"oops".to_vec()), "status"),
        (
            "HTML",
            Says::Raw(200, b"<html>maintenance</html>".to_vec()),
            "key_set",
        ),
        ("{}", Says::Raw(200, b"{}".to_vec()), "key_set"),
        ("empty", Says::Raw(200, Vec::new()), "key_set"),
        ("10 MB", Says::Raw(200, vec![b' '; 10 << 20]), "too_large"),
        ("a redirect", Says::Elsewhere(bait.url("/keys")), "status"),
        ("slow", Says::Slowly, "timeout"),
        (
            "one kid twice",
            keys(vec![key.jwk("k"), Provider::new().jwk("k")]),
            "key_set",
        ),
        ("33 keys", keys(many), "key_set"),
    ] {
        let counter =
            format!("wardroom_jwks_refreshes_total{{issuer=\"{REMOTE}\",result=\"{result}\"}}");
        let before = gateway.metric(&counter);
        server.say(lie);
        eventually(row, async || {
            let odd = key.sign_as("unknown", &of(REMOTE));
            let status = within("a verdict in bounded time", verdict(&gateway, &odd)).await;
            assert_eq!(status, 401, "J30 {row}");
            if gateway.metric(&counter) > before {
                Ok(())
            } else {
                Err(gateway
                    .metrics
                    .encode(None)
                    .1
                    .lines()
                    .filter(|line| line.contains("jwks_refreshes"))
                    .collect())
            }
        })
        .await;
        assert_eq!(
            verdict(&gateway, &token).await,
            200,
            "J30 {row}: the last good set stays"
        );
    }
    assert_eq!(bait.asked(), 0, "no redirect is followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discovery_document_is_believed_when_it_is_the_issuers_own() {
    let key = Provider::new();
    let server = ProviderServer::start(Says::Raw(404, Vec::new())).await;
    let own = server.url("");
    let gateway = TestGateway::with(|config| {
        config.auth.issuers.push(issuer(
            json!({ "issuer": own, "audience": [AUDIENCE], "algorithms": ["ES256"], "discovery": true }),
        ));
        quick(config, SOON);
    })
    .await;
    let token = key.sign_as("k", &of(&own));
    let set = vec![key.jwk("k")];
    for lie in [
        Says::Raw(404, Vec::new()),
        Says::Truth {
            issuer: "https://evil.example".to_owned(),
            keys: set.clone(),
        },
        Says::Truth {
            issuer: format!("{own}/"),
            keys: set.clone(),
        },
        Says::Raw(
            200,
            json!({ "issuer": own, "jwks_uri": "file:///etc/passwd" })
                .to_string()
                .into_bytes(),
        ),
        Says::Raw(
            200,
            json!({ "issuer": own, "jwks_uri": "http://user@127.0.0.1/" })
                .to_string()
                .into_bytes(),
        ),
    ] {
        server.say(lie.clone());
        let asked = server.asked();
        eventually("it was asked", async || {
            assert_eq!(verdict(&gateway, &token).await, 401, "{lie:?}");
            if server.asked() > asked {
                Ok(())
            } else {
                Err(asked.to_string())
            }
        })
        .await;
        assert_eq!(verdict(&gateway, &token).await, 401, "{lie:?}");
    }
    server.say(Says::Truth {
        issuer: own.clone(),
        keys: set,
    });
    becomes(&gateway, &token, 200, "the true document").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_unknown_keys_asks_the_provider_once() {
    let key = Provider::new();
    let server = ProviderServer::start(keys(vec![key.jwk("k")])).await;
    let gateway = reading(&server.url("/keys"), Duration::from_secs(30)).await;
    assert_eq!(verdict(&gateway, &key.sign_as("k", &of(REMOTE))).await, 200);
    assert_eq!(server.asked(), 1);
    let claims = of(REMOTE);
    let flood = async |from: usize| {
        let mut io = gateway.tls().await;
        for n in from..from + 500 {
            let token = key.sign_as(&format!("kid-{n}"), &claims);
            let request = format!(
                "GET /api/v1/rooms/lobby/members HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
            );
            let (answer, _) = exchange(&mut io, request.as_bytes())
                .await
                .expect("an answer");
            assert_eq!(answer.status, 401);
        }
    };
    tokio::join!(flood(0), flood(500), flood(1000), flood(1500));
    assert_eq!(server.asked(), 2, "J20");
    assert_eq!(
        verdict(&gateway, &key.sign_as("k", &of(REMOTE))).await,
        200,
        "good ones still pass"
    );
    for odd in [
        "../../etc/passwd",
        "' OR 1=1--",
        "http://evil/",
        "a\r\nb",
        "a\0b",
        "",
        &"k".repeat(129),
    ] {
        assert_eq!(
            verdict(&gateway, &key.sign_as(odd, &claims)).await,
            401,
            "J21 {odd}"
        );
    }
    assert_eq!(server.asked(), 2, "J21");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kid_belongs_to_its_issuer() {
    const OTHER: &str = "https://other.test";
    let (a, b) = (Provider::new(), Provider::new());
    let (server_a, server_b) = (
        ProviderServer::start(keys(vec![a.jwk("same")])).await,
        ProviderServer::start(keys(vec![b.jwk("same")])).await,
    );
    let gateway = TestGateway::with(|config| {
        for (name, server) in [(REMOTE, &server_a), (OTHER, &server_b)] {
            config.auth.issuers.push(issuer(
                json!({ "issuer": name, "audience": [AUDIENCE], "algorithms": ["ES256"], "jwks_url": server.url("/keys") }),
            ));
        }
        quick(config, SOON);
    })
    .await;
    // Cold and at once, then warm.
    for _ in 0..2 {
        let tokens = [
            a.sign_as("same", &of(REMOTE)),
            b.sign_as("same", &of(OTHER)),
            a.sign_as("same", &of(OTHER)),
            b.sign_as("same", &of(REMOTE)),
        ];
        let (one, two, three, four) = tokio::join!(
            verdict(&gateway, &tokens[0]),
            verdict(&gateway, &tokens[1]),
            verdict(&gateway, &tokens[2]),
            verdict(&gateway, &tokens[3])
        );
        assert_eq!([one, two, three, four], [200, 200, 401, 401], "J19");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfit_keys_of_a_set_are_left_out_and_the_others_work() {
    let (good, for_encryption, other_use) = (Provider::new(), Provider::new(), Provider::new());
    let changed = |provider: &Provider, kid: &str, member: &str, value: Value| {
        let mut jwk = provider.jwk(kid);
        jwk[member] = value;
        jwk
    };
    let secret = [7_u8; 32];
    let modulus = data_encoding::BASE64URL_NOPAD.encode(&[0xff; 128]);
    let server = ProviderServer::start(keys(vec![
        json!({ "kty": "RSA", "kid": "short", "n": modulus, "e": "AQAB", "alg": "RS256" }),
        json!({ "kty": "oct", "kid": "oct", "k": data_encoding::BASE64URL_NOPAD.encode(&secret), "alg": "HS256" }),
        changed(&for_encryption, "enc", "use", json!("enc")),
        changed(&other_use, "ops", "key_ops", json!(["encrypt"])),
        changed(&Provider::new(), "off", "y", Provider::new().jwk("x")["y"].clone()),
        changed(&Provider::new(), "curve", "crv", json!("P-384")),
        good.jwk("good"),
    ]))
    .await;
    let gateway = reading(&server.url("/keys"), SOON).await;
    assert_eq!(
        verdict(&gateway, &good.sign_as("good", &of(REMOTE))).await,
        200
    );
    for (row, token) in [
        ("use", for_encryption.sign_as("enc", &of(REMOTE))),
        ("key_ops", other_use.sign_as("ops", &of(REMOTE))),
        ("oct", {
            let header = jsonwebtoken::Header {
                kid: Some("oct".to_owned()),
                ..Default::default()
            };
            let key = jsonwebtoken::EncodingKey::from_secret(&secret);
            jsonwebtoken::encode(&header, &of(REMOTE), &key).expect("a token")
        }),
        ("off the curve", good.sign_as("off", &of(REMOTE))),
    ] {
        assert_eq!(verdict(&gateway, &token).await, 401, "J29 {row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_mints_for_a_set_of_many_keys() {
    let site = Site::new();
    let set = vec![site.provider.jwk("ours"), Provider::new().jwk("other")];
    let server = ProviderServer::start(keys(set)).await;
    let gateway = reading(&server.url("/keys"), SOON).await;
    let mint = |more: &[&str]| {
        let usual = [
            "token",
            "--sub",
            "alice",
            "--rooms",
            "lobby",
            "--key",
            "issuer.key",
            "--iss",
            REMOTE,
            "--aud",
            AUDIENCE,
        ];
        site.run(&[&usual[..], more].concat(), &[])
    };
    for (more, expected) in [
        (&["--kid", "ours"][..], 200),
        (&["--kid", "other"], 401),
        (&["--kid", "nobody"], 401),
        (&[], 401),
    ] {
        let minted = mint(more);
        assert_eq!(minted.status.code(), Some(0), "{minted:?}");
        let token = String::from_utf8(minted.stdout).expect("ASCII");
        assert_eq!(verdict(&gateway, token.trim()).await, expected, "{more:?}");
    }
    let refused = mint(&["--kid", "not a name"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("key id"));
}
