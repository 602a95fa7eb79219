//! P10: a stop loses nothing and storms nobody.

use std::time::Duration;

use futures_util::future::join_all;
use wardroom::server::Drained;

use crate::support::{eventually, gateway::TestGateway};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_tells_everybody_when_to_come_back_and_waits_for_every_session() {
    let gateway = TestGateway::start().await;
    let mut clients = Vec::new();
    for n in 0..20 {
        let mut client = gateway.member(&format!("P{n}")).await;
        client.join("lobby").await;
        clients.push(client);
    }
    let ack = clients[0].say("lobby", "before the stop").await;
    assert_eq!(ack["offset"], 1);
    let metrics = std::sync::Arc::clone(&gateway.metrics);
    let (drained, closes) = tokio::join!(
        gateway.stop(),
        join_all(clients.iter_mut().map(|client| client.closed()))
    );
    assert_eq!(drained, Drained::Clean);
    assert!(
        closes
            .iter()
            .all(|close| *close == Some((1012, "restart".to_owned()))),
        "{closes:?}"
    );
    let mut hints = Vec::new();
    for client in &mut clients {
        let closing = client.skipped().pop().expect("a closing frame");
        assert_eq!(
            (
                closing["type"].as_str(),
                closing["code"].as_str(),
                closing["reconnect"].as_bool()
            ),
            (Some("closing"), Some("restart"), Some(true))
        );
        hints.push(closing["retry_after_ms"].as_u64().expect("a hint"));
    }
    hints.dedup();
    assert!(hints.len() > 5, "hints are spread: {hints:?}");
    let (_, text) = metrics.encode(None);
    assert!(
        text.contains("wardroom_sessions_closed_total{code=\"1012\",by=\"server\"} 20"),
        "{text}"
    );
}

/// Waits until the drain has begun: the public probe says no.
async fn draining(gateway: &TestGateway) {
    let health = eventually("the probe says no", async || {
        let answer = gateway
            .http("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .await;
        if answer.status == 503 {
            Ok(answer)
        } else {
            Err(answer.status.to_string())
        }
    })
    .await;
    assert!(health.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_say_no_first_while_all_else_works() {
    let gateway = TestGateway::with(|config| config.drain.delay = Duration::from_secs(30)).await;
    let mut open = gateway.member("Alice").await;
    open.join("lobby").await;
    gateway.signals().soft.cancel();
    draining(&gateway).await;
    assert_eq!(gateway.admin_get("/readyz").await.status, 503);
    assert_eq!(gateway.admin_get("/livez").await.status, 200);
    assert_eq!(open.say("lobby", "still open").await["offset"], 1);
    let mut late = gateway.member("Bob").await;
    assert_eq!(
        late.join("lobby").await["members"],
        2,
        "a proxy that has not looked yet may still send people here"
    );
    gateway.signals().hard.cancel();
    gateway.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_sessions_end_upgrades_are_refused_and_the_api_goes_on() {
    let gateway = TestGateway::with(|config| config.drain.spread = Duration::from_mins(1)).await;
    let _members = (gateway.member("Alice").await, gateway.member("Bob").await);
    let token = gateway.provider.token("carol");
    gateway.signals().soft.cancel();
    draining(&gateway).await;
    let refused = eventually("upgrades are refused", async || {
        match gateway.client().bearer(&token).dial().await {
            Ok(_) => Err("let in".to_owned()),
            Err(answer) => Ok(answer),
        }
    })
    .await;
    assert_eq!(refused.refusal(), (503, "unavailable".to_owned()), "U29");
    assert!(refused.header("retry-after").is_some());
    let listed = gateway
        .api("GET", "/api/v1/rooms/lobby/members", &token, None)
        .await;
    assert_eq!(listed.status, 200, "the API goes on");
    gateway.signals().hard.cancel();
    gateway.ended().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_never_takes_longer_than_its_grace() {
    let gateway = TestGateway::with(|config| {
        config.drain.spread = Duration::from_secs(60);
        config.drain.grace = Duration::from_millis(500);
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..4 {
        clients.push(gateway.member(&format!("P{n}")).await);
    }
    let drained = gateway.stop().await;
    assert!(
        matches!(drained, Drained::Cut { sessions } if sessions >= 1),
        "{drained:?}"
    );
}
