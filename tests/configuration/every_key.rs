//! Every key of `config/default.toml` by its name: what it takes and what it refuses. The ranges are written down here a second
//! time on purpose: a slip in the table of the code must not be its own proof.

use std::collections::BTreeSet;

use wardroom::config::keys;

use crate::{Site, assert_names, variable};

/// Numbers: key, least, most.
#[rustfmt::skip] // A table is read by its columns.
const NUMBERS: &[(&str, i64, i64)] = &[
    ("limits.connections_max", 1, 1_000_000),
    ("limits.connections_per_ip_max", 1, 100_000),
    ("limits.connections_per_user_max", 1, 1_000),
    ("limits.connects_per_ip_per_s", 1, 10_000),
    ("limits.connects_per_ip_burst", 1, 100_000),
    ("limits.requests_per_ip_per_s", 1, 10_000),
    ("limits.requests_per_ip_burst", 1, 100_000),
    ("limits.tls_handshakes_max", 16, 65_536),
    ("limits.tls_handshakes_per_ip_max", 1, 4_096),
    ("limits.tls_handshake_ms", 500, 30_000),
    ("limits.proxy_header_ms", 100, 10_000),
    ("limits.proxy_header_bytes_max", 232, 4_096),
    ("limits.forwarded_entries_max", 1, 128),
    ("limits.header_read_ms", 500, 30_000),
    ("limits.header_bytes_max", 8_192, 65_536),
    ("limits.headers_max", 16, 256),
    ("limits.uri_bytes_max", 1_024, 16_384),
    ("limits.query_pairs_max", 8, 256),
    ("limits.subprotocols_max", 2, 64),
    ("limits.http_idle_ms", 1_000, 300_000),
    ("limits.body_bytes_max", 4_096, 1_048_576),
    ("limits.feed_data_bytes_max", 256, 524_288),
    ("limits.body_read_ms", 500, 60_000),
    ("limits.token_bytes_max", 1_024, 15_360),
    ("limits.query_token_bytes_max", 512, 8_000),
    ("limits.query_token_life_max_s", 30, 3_600),
    ("auth.leeway_s", 0, 300),
    ("limits.token_left_min_s", 0, 60),
    ("auth.token_life_max_s", 60, 2_592_000),
    ("auth.session_max_s", 60, 604_800),
    ("limits.expiry_warning_s", 0, 600),
    ("limits.auth_failures_per_ip_per_min", 1, 10_000),
    ("limits.auth_frames_per_min", 1, 60),
    ("limits.ticket_life_s", 5, 120),
    ("limits.tickets_per_user_max", 1, 100),
    ("limits.tickets_max", 100, 1_000_000),
    ("limits.revocations_max", 1_000, 10_000_000),
    ("limits.revocation_stale_max_s", 10, 600),
    ("limits.jwks_ttl_s", 300, 86_400),
    ("limits.jwks_unknown_kid_interval_s", 5, 600),
    ("limits.jwks_timeout_ms", 500, 30_000),
    ("limits.jwks_bytes_max", 4_096, 1_048_576),
    ("limits.jwks_keys_max", 1, 256),
    ("limits.jwks_stale_max_s", 300, 604_800),
    ("limits.ws_frame_bytes_max", 1_024, 1_048_576),
    ("limits.ws_message_bytes_max", 1_024, 1_048_576),
    ("limits.ws_assembly_ms", 1_000, 60_000),
    ("limits.ws_ping_ms", 5_000, 60_000),
    ("limits.ws_silence_ms", 10_000, 300_000),
    ("limits.ws_close_ms", 500, 30_000),
    ("limits.ws_linger_ms", 0, 10_000),
    ("limits.bytes_in_per_s", 4_096, 104_857_600),
    ("limits.bytes_in_burst", 4_096, 104_857_600),
    ("limits.frames_per_s", 5, 10_000),
    ("limits.frames_burst", 10, 100_000),
    ("limits.controls_per_s", 1, 100),
    ("limits.controls_burst", 5, 1_000),
    ("limits.messages_per_s", 1, 1_000),
    ("limits.messages_burst", 1, 10_000),
    ("limits.messages_per_user_per_s", 1, 1_000),
    ("limits.messages_per_user_burst", 1, 10_000),
    ("limits.messages_per_room_per_s", 1, 100_000),
    ("limits.messages_per_room_burst", 1, 100_000),
    ("limits.commands_per_s", 1, 1_000),
    ("limits.commands_burst", 1, 10_000),
    ("limits.history_per_s", 1, 100),
    ("limits.history_burst", 1, 1_000),
    ("limits.typing_per_s", 1, 10),
    ("limits.typing_burst", 1, 100),
    ("limits.overrate_max", 1, 10_000),
    ("limits.overrate_window_s", 1, 600),
    ("limits.strikes_max", 1, 1_000),
    ("limits.strike_window_s", 1, 3_600),
    ("limits.inflight_max", 1, 10_000),
    ("limits.frame_id_bytes_max", 48, 256),
    ("limits.room_bytes_max", 8, 128),
    ("limits.rooms_per_session_max", 1, 1_000),
    ("limits.rooms_max", 1, 1_000_000),
    ("limits.history_page_max", 1, 1_000),
    ("limits.history_page_bytes_max", 16_384, 1_048_576),
    ("limits.members_page_max", 10, 10_000),
    ("limits.cursor_pairs_max", 1, 16),
    ("limits.nick_raw_bytes_max", 16, 1_024),
    ("limits.nick_bytes_max", 8, 512),
    ("limits.nick_graphemes_max", 1, 64),
    ("limits.presence_hold_s", 0, 3_600),
    ("content.text_bytes_max", 1, 65_536),
    ("content.text_graphemes_max", 1, 32_768),
    ("content.lines_max", 1, 1_000),
    ("limits.text_marks_max", 1, 30),
    ("limits.html_links_max", 0, 100),
    ("limits.idempotency_key_bytes_max", 8, 255),
    ("limits.idempotency_keep_s", 60, 86_400),
    ("limits.moderation_seconds_max", 60, 315_360_000),
    ("limits.slow_mode_seconds_max", 1, 86_400),
    ("limits.outbox_messages_max", 8, 65_536),
    ("limits.outbox_bytes_max", 65_536, 67_108_864),
    ("limits.outbox_stall_ms_max", 1_000, 300_000),
    ("limits.outbox_bytes_total_max", 16_777_216, i64::MAX),
    ("limits.redis_timeout_ms", 100, 30_000),
    ("limits.envelope_bytes_max", 32_768, 1_048_576),
    ("limits.room_state_bytes_max", 4_096, 1_048_576),
    ("limits.publish_hold_ms", 0, 60_000),
    ("limits.publish_hold_bytes_max", 65_536, 1_073_741_824),
    ("limits.ack_deadline_ms", 1_000, 60_000),
    ("limits.room_state_stale_max_s", 1, 300),
    ("limits.ring_bytes_total_max", 1_048_576, i64::MAX),
    ("limits.salvage_bytes_max", 0, i64::MAX),
    ("limits.sync_entries_max", 16, 100_000),
    ("limits.sync_bytes_max", 65_536, 268_435_456),
    ("limits.feed_entries_max", 16, 100_000),
    ("limits.feed_bytes_max", 65_536, 268_435_456),
    ("limits.append_entries_max", 16, 1_000_000),
    ("limits.append_bytes_max", 1_048_576, 1_073_741_824),
    ("limits.limiter_keys_max", 1_000, 10_000_000),
    ("limits.log_field_chars_max", 64, 4_096),
    ("limits.audit_queue_max", 100, 1_000_000),
    ("limits.metrics_per_s", 1, 100),
    ("log.size_bytes_max", 0, 1_099_511_627_776),
    ("log.retention_count", 0, 100_000_000),
    ("log.retention_days", 0, 36_500),
    ("drain.delay_s", 0, 300),
    ("drain.spread_s", 0, 3_600),
    ("drain.grace_s", 1, 3_600),
];

/// Words: key, what it takes, what it refuses. `{…}` is a file of the site.
#[rustfmt::skip]
const WORDS: &[(&str, &[&str], &[&str])] = &[
    ("listen.public", &["127.0.0.1:8443", "[::1]:8443", "0.0.0.0:443"], &["", "8443", "localhost:8443", "127.0.0.1"]),
    ("listen.admin", &["127.0.0.1:9090", "[::]:9090"], &["", "9090", "127.0.0.1:99999"]),
    ("listen.security_txt_file", &["", "{security.txt}"], &["{missing}", "{public.pem}"]),
    ("listen.proxy_protocol", &["off"], &["", "on", "Off", "required"]),
    ("listen.trusted_proxies", &["", "10.0.0.0/8", "10.0.0.0/8, fd00::/8"], &["10.0.0.1", "10.0.0.0/33", "proxy"]),
    ("listen.client_ip_header", &["x-forwarded-for", "x-real-ip"], &["", "X-Real-IP", "x real"]),
    ("tls.mode", &["files", "off"], &["", "on"]),
    ("tls.allow_plaintext", &["true", "false"], &["", "yes", "1"]),
    ("tls.cert_file", &["{tls.crt}"], &["", "{missing}", "{tls.key}"]),
    ("tls.key_file", &["{tls.key}"], &["", "{missing}", "{tls.crt}"]),
    ("tls.min_version", &["1.2", "1.3"], &["", "1.1", "1", "TLS1.3"]),
    ("admission.allowed_origins", &["https://chat.example", "http://localhost:8080"], &["", "*", "chat.example"]),
    ("admission.allow_missing_origin", &["true", "false"], &["", "null"]),
    ("auth.query_token", &["on", "short-lived", "off"], &["", "true", "short_lived"]),
    ("auth.claims.nickname", &["nickname", "profile.name"], &[""]),
    ("auth.claims.rooms", &["rooms", "'https://chat.example/rooms'"], &[""]),
    ("auth.claims.scope", &["scope", "realm_access.roles"], &[""]),
    ("auth.defaults.rooms", &["", "lobby", "lobby,support:*", "*"], &["Lobby", "a*b", "**", "a b"]),
    ("auth.defaults.scopes", &["", "chat", "chat:read,chat:publish"], &["chat:write", "Chat", "admin"]),
    ("nicknames.source", &["claim", "chosen", "claim-or-chosen"], &["", "none"]),
    ("nicknames.reserved", &["", "admin,root"], &["['']"]),
    ("log.engine", &["memory", "sqlite"], &["", "redis", "disk"]),
    ("log.path", &["data/wardroom.db", "/var/lib/wardroom/log.db"], &[""]),
    ("log.record_presence", &["true", "false"], &["", "1"]),
    ("redis.urls", &[""], &["redis://localhost"]),
    ("redis.topology", &["standalone"], &["", "sentinel", "cluster", "ring"]),
    ("redis.sentinel_master", &[""], &["primary"]),
    ("redis.ca_file", &[""], &["{tls.crt}"]),
    ("redis.username", &[""], &["wardroom"]),
    ("redis.password_file", &[""], &["{secret}"]),
    ("redis.durability", &["primary"], &["", "fsync", "replicas:1"]),
    ("redis.envelope_key_file", &[""], &["{secret}"]),
    ("page.enabled", &["true", "false"], &["", "on"]),
    ("page.title", &["W", "Ward 7 · night"], &["", "a\nb"]),
    ("page.issuer", &[""], &["https://idp.example"]),
    ("page.client_id", &[""], &["page"]),
    ("page.scope", &["openid"], &["", "openid email"]),
    ("page.resource", &[""], &["https://chat.example"]),
    ("page.frame_ancestors", &["", "https://intranet.example"], &["*", "null", "intranet.example"]),
    ("telemetry.log_format", &["json", "text"], &["", "JSON", "pretty"]),
    ("telemetry.log_level", &["error", "warn", "info", "debug", "trace"], &["", "verbose", "INFO"]),
    ("telemetry.otlp_endpoint", &[""], &["https://otlp.example"]),
    ("telemetry.audit_file", &[""], &["audit.log"]),
];

/// Keys of a block, as TOML, each in a block that is otherwise good: key, what it takes, what it refuses.
#[rustfmt::skip]
const BLOCKS: &[(&str, &[&str], &[&str])] = &[
    ("auth.issuers[].issuer", &["'https://idp.example'", "'accounts'"], &["''", "7"]),
    ("auth.issuers[].audience", &["['wardroom']", "['a', 'b']"], &["[]", "['']", "'wardroom'"]),
    ("auth.issuers[].algorithms", &["['ES256']", "['ES384', 'RS384', 'RS512', 'PS384', 'PS512']"], &["[]", "['none']", "['HS256']", "['ES256', 'HS256']"]),
    ("auth.issuers[].jwks_url", &["'https://idp.example/k?a=b'", "'http://127.0.0.1:9000/k'"], &["''", "'http://idp.example'", "'https://u@idp.example'"]),
    ("auth.issuers[].discovery", &["false"], &["true", "'no'"]),
    ("auth.issuers[].public_key_file", &["''"], &["'{public.pem}'", "'{missing}'"]),
    ("auth.issuers[].secret_file", &["''"], &["'{secret}'", "7"]),
    ("auth.issuers[].ca_file", &["''", "'{tls.crt}'"], &["'{missing}'", "'{tls.key}'"]),
    ("auth.issuers[].token_types", &["['']", "['JWT', 'at+jwt']"], &["[]", "'JWT'"]),
    ("auth.issuers[].client_ids", &["[]"], &["['page']"]),
    ("auth.issuers[].audience_claim", &["'aud'", "'azp'"], &["''", "[]"]),
    ("rooms[].name", &["'lobby'", "'support:*'", "'*'"], &["''", "'Lobby'", "'a*b'", "7"]),
    ("rooms[].kind", &["'chat'"], &["'feed'", "'doc'", "'talk'", "''"]),
    ("rooms[].retention_count", &["-1", "0", "100000000"], &["-2", "100000001", "'all'"]),
    ("rooms[].retention_days", &["-1", "0", "36500"], &["-2", "36501", "'all'"]),
    ("rooms[].hold", &["true", "false"], &["1", "'yes'"]),
];

#[test]
fn this_table_names_every_key() {
    let named: BTreeSet<&str> = NUMBERS
        .iter()
        .map(|(key, ..)| *key)
        .chain(WORDS.iter().chain(BLOCKS).map(|(key, ..)| *key))
        .collect();
    let all = keys();
    let known: BTreeSet<&str> = all.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(named, known);
}

#[test]
fn a_number_is_taken_at_both_ends_of_its_range_and_refused_one_beyond() {
    let site = Site::new();
    let out_of_range = |key: &str, number: i64| {
        site.with_variables(&[(&variable(key), &number.to_string())])
            .into_iter()
            .any(|finding| finding.key == key && finding.text.contains("out of range"))
    };
    for (key, least, most) in NUMBERS {
        for fits in [*least, *most] {
            assert!(!out_of_range(key, fits), "{key} = {fits}");
        }
        assert!(out_of_range(key, least - 1), "{key} = {}", least - 1);
        if let Some(beyond) = most.checked_add(1) {
            assert!(out_of_range(key, beyond), "{key} = {beyond}");
        }
    }
}

#[test]
fn a_word_is_taken_or_refused_by_its_key() {
    let site = Site::new();
    for (key, takes, refuses) in WORDS {
        let try_one = |written: &str| {
            let variable = variable(key);
            let value = site.fill(written);
            // Two addresses that differ, wherever the tried one is.
            let other = match *key {
                "listen.public" => ("WARDROOM__LISTEN__ADMIN", "127.0.0.1:1"),
                _ => ("WARDROOM__LISTEN__PUBLIC", "127.0.0.1:2"),
            };
            site.with_variables(&[(&variable, &value), other])
        };
        for good in *takes {
            assert_eq!(try_one(good), [], "{key} = {good}");
        }
        for bad in *refuses {
            let findings = try_one(bad);
            let told = match (*key, *bad) {
                ("listen.proxy_protocol", "required") => "listen.trusted_proxies",
                _ => key,
            };
            assert_names(&findings, told, "");
        }
    }
}

#[test]
fn a_key_of_a_block_is_taken_or_refused_by_its_key() {
    let site = Site::new();
    for (key, takes, refuses) in BLOCKS {
        let (list, name) = key.split_once("[].").expect("a key of a block");
        let try_one = |written: &str| {
            let good: &[(&str, &str)] = match list {
                "rooms" => &[("name", "'lobby'")],
                _ => &[
                    ("issuer", "'i'"),
                    ("audience", "['w']"),
                    ("jwks_url", "'https://idp.example/k'"),
                ],
            };
            let mut pairs: Vec<String> = good
                .iter()
                .filter(|(other, _)| *other != name)
                .map(|(other, value)| format!("{other} = {value}"))
                .collect();
            pairs.push(format!("{name} = {}", site.fill(written)));
            let block = format!("[{{ {} }}]", pairs.join(", "));
            site.with_variables(&[(&variable(list), &block)])
        };
        for good in *takes {
            assert_eq!(try_one(good), [], "{key} = {good}");
        }
        for bad in *refuses {
            let findings = try_one(bad);
            assert!(
                findings
                    .iter()
                    .any(|finding| finding.key.starts_with(&format!("{list}[0]"))),
                "{key} = {bad}: {findings:#?}"
            );
        }
    }
}
