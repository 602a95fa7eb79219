//! P5: one order per room, without holes.

use serde_json::json;

use crate::support::gateway::TestGateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_talk_over_tls() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway.member("Bob").await;
    assert_eq!(alice.join("lobby").await["members"], 1);
    assert_eq!(bob.join("lobby").await["members"], 2);
    let ack = alice.say("lobby", "Hello").await;
    assert_eq!(ack["offset"], 1);
    assert_eq!(ack["duplicate"], false);
    let heard = bob.hear().await;
    assert_eq!(
        (heard["nick"].as_str(), heard["text"].as_str()),
        (Some("Alice"), Some("Hello"))
    );
    assert_eq!(heard["offset"], 1);
    assert_eq!(heard["id"], ack["message"]);
    bob.send(json!({ "type": "send", "id": "9", "room": "lobby", "text": "Hi Alice" }))
        .await;
    loop {
        let heard = alice.hear().await;
        if heard["nick"] == "Bob" {
            assert_eq!(
                (heard["offset"].as_u64(), heard["text"].as_str()),
                (Some(2), Some("Hi Alice"))
            );
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_two_client_test_passes_over_the_simplest_protocol() {
    let gateway = TestGateway::start().await;
    let text = |name: &'static str| {
        gateway
            .client()
            .bearer(&gateway.provider.token(name))
            .header("sec-websocket-protocol", "wardroom.text")
    };
    let (mut alice, answer) = text("alice").dial().await.expect("let in");
    assert_eq!(
        answer.header("sec-websocket-protocol"),
        Some("wardroom.text")
    );
    let (mut bob, _) = text("bob").dial().await.expect("let in");
    alice.send_raw("Alice: Hello").await;
    assert_eq!(bob.next_text().await, "Alice: Hello");
    assert_eq!(alice.next_text().await, "Alice: Hello");
    bob.send_raw("Bob: Hi Alice").await;
    assert_eq!(alice.next_text().await, "Bob: Hi Alice");
}
