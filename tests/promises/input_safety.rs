//! P4: nothing that a person types runs, hides, forges a name or breaks a screen, and nothing is altered beyond the canonical
//! form.

use serde_json::json;

use crate::support::gateway::TestGateway;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_what_arrives() {
    let gateway =
        TestGateway::with(|config| config.limits.messages_burst = 100.try_into().expect("not 0"))
            .await;
    let mut alice = gateway.member("Alice").await;
    let mut bob = gateway
        .client()
        .bearer(&gateway.provider.token("Bob"))
        .query("nick=Bob&html=1")
        .open()
        .await;
    alice.join("lobby").await;
    bob.join("lobby").await;
    for (sent, html) in [
        ("Tom & Jerry <3", "Tom &amp; Jerry &lt;3"),
        ("1 <y and z>2", "1 &lt;y and z&gt;2"),
        (
            "<script>alert(1)</script>",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
        ),
        (
            "<img src=x onerror=alert(1)>",
            "&lt;img src=x onerror=alert(1)&gt;",
        ),
        ("\"q\" it's", "\"q\" it's"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("two\nlines", "two<br>lines"),
        ("javascript:alert(1)", "javascript:alert(1)"),
    ] {
        alice.say("lobby", sent).await;
        let heard = bob.hear().await;
        assert_eq!(
            (heard["text"].as_str(), heard["html"].as_str()),
            (Some(sent), Some(html))
        );
        let own = alice.hear().await;
        assert_eq!(own.get("html"), None, "html is for those who asked");
    }
    alice
        .say("lobby", "see https://example.com/a?b=1&c=2 now")
        .await;
    let html = bob.hear().await["html"].as_str().expect("html").to_owned();
    assert!(html.contains("<a href=\"https://example.com/a?b=1&amp;c=2\" rel=\"noopener noreferrer nofollow ugc\">"), "{html}");
    assert_eq!(gateway.metric("wardroom_html_disagreements_total"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_sets_cannot_be_set_by_a_client() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let forged = json!({ "type": "send", "id": "1", "room": "lobby", "text": "hi", "user": "u_forged", "nick": "Bob", "verified": true,
        "ts": "1999-01-01T00:00:00.000Z", "offset": 99, "epoch": "dead", "html": "<b>x</b>", "message": "x" });
    alice.send(forged).await;
    let heard = alice.hear().await;
    assert_eq!(
        (
            heard["nick"].as_str(),
            heard["verified"].as_bool(),
            heard["offset"].as_u64()
        ),
        (Some("Alice"), Some(false), Some(1)),
        "S8"
    );
    assert_eq!(heard["user"], alice.welcome["user"]["id"]);
    assert!(!heard.to_string().contains("1999") && !heard.to_string().contains("u_forged"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_cannot_be_read_are_answered_and_end_a_session_that_goes_on_with_them() {
    let gateway = TestGateway::start().await;
    let bad: Vec<String> = [
        r#"{"type":"ping""#,
        r#"{"type":"ping",}"#,
        r#"["send","lobby","hi"]"#,
        r#""ping""#,
        "null",
        r#"{"type":"ping"} {"type":"ping"}"#,
        r#"{"type":"Ping"}"#,
        r#"{"type":5}"#,
        r#"{"id":"1"}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"join","room":"Lobby"}"#,
        r#"{"type":"join","room":"!control"}"#,
        r#"{"type":"send","room":"lobby","text":5}"#,
        r#"{"type":"send","room":"lobby","text":"\ud800"}"#,
        "\u{feff}{\"type\":\"ping\"}",
        "",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([
        format!(
            r#"{{"type":"ping","x":{}1{}}}"#,
            "[".repeat(127),
            "]".repeat(127)
        ),
        "{\"a\":".repeat(3000),
    ])
    .collect();
    for chunk in bad.chunks(9) {
        let mut client = gateway.member("Alice").await;
        for frame in chunk {
            client.send_raw(frame.clone()).await;
            assert_eq!(
                client.expect_error().await,
                "bad_request",
                "S1-S10 {frame:.60}"
            );
        }
        client.settle().await;
    }
    let mut client = gateway.member("Bob").await;
    for _ in 0..11 {
        client.send_raw("{").await;
    }
    assert_eq!(
        client.closed().await,
        Some((4400, "malformed".to_owned())),
        "F19"
    );
    let errors = client
        .skipped()
        .iter()
        .filter(|frame| frame["code"] == "bad_request")
        .count();
    assert_eq!(errors, 10, "ten answers, then the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_and_names_that_hurt_are_rejected_with_their_code() {
    let gateway =
        TestGateway::with(|config| config.limits.messages_burst = 100.try_into().expect("not 0"))
            .await;
    let mut alice = gateway.member("Alice").await;
    alice.join("lobby").await;
    let at = |text: &str| json!({ "type": "send", "id": "t", "room": "lobby", "text": text });
    for (row, text, code) in [
        ("T12 4097 bytes", "a".repeat(4097), "text_too_long"),
        ("T12 2001 graphemes", "é".repeat(2001), "text_too_long"),
        ("T12 51 lines", "a\n".repeat(50) + "b", "text_too_long"),
        ("T13 empty", String::new(), "text_empty"),
        ("T13 blanks", " \n \u{2800}".to_owned(), "text_empty"),
        ("T14 NUL", "a\0b".to_owned(), "text_invalid"),
        ("T14 ESC", "a\u{1b}b".to_owned(), "text_invalid"),
        (
            "T11 9 marks",
            format!("a{}", "\u{0301}".repeat(9)),
            "text_invalid",
        ),
    ] {
        alice.send(at(&text)).await;
        let error = alice.expect("error").await;
        assert_eq!(
            (error["code"].as_str(), error["outcome"].as_str()),
            (Some(code), Some("no")),
            "{row}"
        );
        assert!(
            !error.to_string().contains("aaaa"),
            "the answer never echoes"
        );
    }
    let ok = "a".repeat(2000);
    assert_eq!(
        alice.say("lobby", &ok).await["offset"],
        1,
        "2000 graphemes pass"
    );
    alice.hear().await;
    alice.say("lobby", "abc\u{202e}gpj.exe").await;
    assert_eq!(alice.hear().await["text"], "abcgpj.exe", "T10");
    for (nick, code) in [
        ("", "nickname_invalid"),
        ("admin", "nickname_reserved"),
        ("аdmin", "nickname_invalid"),
        ("a\u{202e}b", "nickname_invalid"),
        ("<b>", "nickname_invalid"),
        ("guest-abcd", "nickname_reserved"),
    ] {
        alice
            .send(json!({ "type": "join", "id": "n", "room": "side", "nick": nick }))
            .await;
        let got = alice.expect_error().await;
        assert!(
            got == code || (nick == "аdmin" && got == "nickname_reserved"),
            "N {nick}: {got}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_looks_like_another_in_the_room_is_taken() {
    let gateway = TestGateway::start().await;
    let mut alice = gateway.member("paypal").await;
    alice.join("lobby").await;
    let mut mallory = gateway.member("Mallory").await;
    for lookalike in ["paypal", "PayPal", "paypaI", "paypa1"] {
        mallory
            .send(json!({ "type": "join", "id": "n", "room": "lobby", "nick": lookalike }))
            .await;
        assert_eq!(
            mallory.expect_error().await,
            "nickname_taken",
            "N5 {lookalike}"
        );
    }
    assert_eq!(mallory.join("lobby").await["nick"], "Mallory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_simplest_protocol_obeys_the_same_rules() {
    let gateway = TestGateway::start().await;
    let text = |name: &'static str| {
        gateway
            .client()
            .bearer(&gateway.provider.token(name))
            .header("sec-websocket-protocol", "wardroom.text")
    };
    let (mut alice, _) = text("alice").dial().await.expect("let in");
    let (mut reader, _) = text("reader").dial().await.expect("let in");
    alice.send_raw("no colon").await;
    assert!(
        alice.next_text().await.starts_with("! bad_request: "),
        "S19"
    );
    alice.send_raw("!x: hi").await;
    assert!(
        alice.next_text().await.starts_with("! nickname_invalid: "),
        "S19"
    );
    alice.send_raw("Alice: first\nadmin: pay me").await;
    assert_eq!(alice.next_text().await, "Alice: first admin: pay me", "S20");
    assert_eq!(
        reader.next_text().await,
        "Alice: first admin: pay me",
        "it reads before it has claimed a name"
    );
    alice.send_raw("Bob: hi").await;
    assert!(alice.next_text().await.starts_with("! forbidden: "), "S19");
    reader.send_raw("Alice: me too").await;
    assert!(
        reader.next_text().await.starts_with("! nickname_taken: "),
        "one name, one person"
    );
}
