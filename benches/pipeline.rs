//! What one message costs between the socket and the hub, and what its markup costs on the way out.
//!
//! `cargo bench --bench pipeline -- --quick`. The goal is 3 µs for a whole frame with 100 bytes of plain text.

use std::{hint::black_box, num::NonZeroU32, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use wardroom::{
    config::Config,
    domain::{
        ids::UserId,
        nickname::{NameSource, Nickname},
        text::CleanText,
    },
    inbound::{
        Inbound, InboundRules,
        rate::SharedRates,
        validate::{name_rules, text_rules},
    },
    outbound::html::HtmlDeriver,
    telemetry::metrics::Metrics,
};

/// 100 bytes, as people write them.
const PLAIN: &str = "The quick brown fox jumps over the lazy dog, then it sits down and looks around for somebody to chat";
/// 100 bytes of something else.
const ACCENTED: &str = "Größere Straßenfeste führen üblicherweise über mehrere Plätze, sagt Jürgen – schön wär's ja 🙂 !!";

/// The defaults, with rates that a benchmark does not reach.
fn config() -> Config {
    let mut config = Config::defaults();
    let limits = &mut config.limits;
    let plenty = NonZeroU32::new(1_000_000_000).expect("not zero");
    for rate in [
        &mut limits.messages_per_s,
        &mut limits.messages_burst,
        &mut limits.messages_per_user_per_s,
        &mut limits.messages_per_user_burst,
        &mut limits.commands_per_s,
        &mut limits.commands_burst,
    ] {
        *rate = plenty;
    }
    config
}

fn session(config: &Config) -> Inbound {
    let metrics = Metrics::new();
    Inbound::new(
        InboundRules::new(&config.limits, &config.content, &config.nicknames, &metrics),
        Arc::new(SharedRates::new(&config.limits)),
        UserId::from_digest(&[7; 32]),
    )
}

fn frame(text: &str) -> String {
    let text = serde_json::to_string(text).expect("a string");
    format!(
        r#"{{"type":"send","id":"31","room":"lobby","text":{text},"chain":0,"seq":7,"prev":6}}"#
    )
}

fn inbound(c: &mut Criterion) {
    let mut session = session(&config());
    for (name, raw) in [
        ("send, 100 bytes plain", frame(PLAIN)),
        ("send, 100 bytes accented", frame(ACCENTED)),
        ("send, 2000 bytes plain", frame(&PLAIN.repeat(20))),
        ("ping", r#"{"type":"ping","id":"31"}"#.to_owned()),
        ("nothing readable", "[".repeat(16_384)),
    ] {
        c.bench_function(&format!("inbound/{name}"), |b| {
            b.iter(|| {
                session
                    .accept(black_box(&raw))
                    .map_err(|reject| reject.code)
            });
        });
    }
    let line = format!("Alice: {PLAIN}");
    c.bench_function("inbound/line, 100 bytes plain", |b| {
        b.iter(|| {
            session
                .accept_text(black_box(&line), NameSource::Chosen)
                .map_err(|reject| reject.code)
        });
    });
}

fn values(c: &mut Criterion) {
    let config = config();
    let (texts, names) = (
        text_rules(&config.content, &config.limits),
        name_rules(&config.nicknames, &config.limits),
    );
    let zalgo = format!("x{}", "\u{301}".repeat(4000));
    let grown = "\u{FDFA}".repeat(80);
    for (name, raw) in [
        ("100 bytes plain", PLAIN),
        ("100 bytes accented", ACCENTED),
        ("8000 bytes of marks", &zalgo),
    ] {
        c.bench_function(&format!("text/{name}"), |b| {
            b.iter(|| CleanText::from_untrusted(black_box(raw), &texts));
        });
    }
    for (name, raw) in [
        ("Alice Smith", "Alice Smith"),
        ("a mixed one", "太郎 Ivan Иванов"),
        ("one that grows", &grown),
    ] {
        c.bench_function(&format!("name/{name}"), |b| {
            b.iter(|| Nickname::from_untrusted(black_box(raw), NameSource::Chosen, &names));
        });
    }
}

fn html(c: &mut Criterion) {
    let deriver = HtmlDeriver::new(20, Metrics::new());
    let plain = PLAIN.replace(':', ",");
    for (name, text) in [
        ("100 bytes plain", plain),
        (
            "with a link",
            format!("{PLAIN} https://example.org/a?b=1&c=2"),
        ),
        ("4096 bytes of &", "&".repeat(4096)),
        (
            "a link and 4084 times &",
            format!("http://a.b {}", "&".repeat(4084)),
        ),
        ("4096 bytes of <ul><li>", "<ul><li>".repeat(512)),
        ("4096 bytes of http://@", "http://@".repeat(512)),
        ("4096 bytes of http://0x1/", "http://0x1/".repeat(372)),
        ("4096 bytes of http://a.b/", "http://a.b/".repeat(372)),
        ("4096 bytes of addresses", "http://a.b ".repeat(372)),
        (
            "addresses of &",
            format!("http://a.b/{} ", "&".repeat(387)).repeat(10),
        ),
    ] {
        c.bench_function(&format!("html/{name}"), |b| {
            b.iter(|| deriver.derive(black_box(&text)));
        });
    }
}

criterion_group!(benches, inbound, values, html);
criterion_main!(benches);
