//! `[limits]`: every bound that protects the node, its defaults in `config/default.toml`.

use std::{num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

use super::units;

/// Every bound. A limit of n means: n passes, n + 1 meets the answer that `docs/limits.md` names.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// See `config/default.toml`.
    pub connections_max: usize,
    /// See `config/default.toml`.
    pub connections_per_ip_max: usize,
    /// See `config/default.toml`.
    pub connections_per_user_max: usize,
    /// See `config/default.toml`.
    pub connects_per_ip_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub connects_per_ip_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub requests_per_ip_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub requests_per_ip_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub tls_handshakes_max: usize,
    /// See `config/default.toml`.
    pub tls_handshakes_per_ip_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "tls_handshake_ms", with = "units::millis")]
    pub tls_handshake: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "proxy_header_ms", with = "units::millis")]
    pub proxy_header: Duration,
    /// See `config/default.toml`.
    pub proxy_header_bytes_max: usize,
    /// See `config/default.toml`.
    pub forwarded_entries_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "header_read_ms", with = "units::millis")]
    pub header_read: Duration,
    /// See `config/default.toml`.
    pub header_bytes_max: usize,
    /// See `config/default.toml`.
    pub headers_max: usize,
    /// See `config/default.toml`.
    pub uri_bytes_max: usize,
    /// See `config/default.toml`.
    pub query_pairs_max: usize,
    /// See `config/default.toml`.
    pub subprotocols_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "http_idle_ms", with = "units::millis")]
    pub http_idle: Duration,
    /// See `config/default.toml`.
    pub body_bytes_max: usize,
    /// See `config/default.toml`.
    pub feed_data_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "body_read_ms", with = "units::millis")]
    pub body_read: Duration,
    /// See `config/default.toml`.
    pub token_bytes_max: usize,
    /// See `config/default.toml`.
    pub query_token_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "query_token_life_max_s", with = "units::seconds")]
    pub query_token_life_max: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "token_left_min_s", with = "units::seconds")]
    pub token_left_min: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "expiry_warning_s", with = "units::seconds")]
    pub expiry_warning: Duration,
    /// See `config/default.toml`.
    pub auth_failures_per_ip_per_min: NonZeroU32,
    /// See `config/default.toml`.
    pub auth_frames_per_min: NonZeroU32,
    /// See `config/default.toml`.
    #[serde(rename = "ticket_life_s", with = "units::seconds")]
    pub ticket_life: Duration,
    /// See `config/default.toml`.
    pub tickets_per_user_max: usize,
    /// See `config/default.toml`.
    pub tickets_max: usize,
    /// See `config/default.toml`.
    pub revocations_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "revocation_stale_max_s", with = "units::seconds")]
    pub revocation_stale_max: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "jwks_ttl_s", with = "units::seconds")]
    pub jwks_ttl: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "jwks_unknown_kid_interval_s", with = "units::seconds")]
    pub jwks_unknown_kid_interval: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "jwks_timeout_ms", with = "units::millis")]
    pub jwks_timeout: Duration,
    /// See `config/default.toml`.
    pub jwks_bytes_max: usize,
    /// See `config/default.toml`.
    pub jwks_keys_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "jwks_stale_max_s", with = "units::seconds")]
    pub jwks_stale_max: Duration,
    /// See `config/default.toml`.
    pub ws_frame_bytes_max: usize,
    /// See `config/default.toml`.
    pub ws_message_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "ws_assembly_ms", with = "units::millis")]
    pub ws_assembly: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "ws_ping_ms", with = "units::millis")]
    pub ws_ping: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "ws_silence_ms", with = "units::millis")]
    pub ws_silence: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "ws_close_ms", with = "units::millis")]
    pub ws_close: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "ws_linger_ms", with = "units::millis")]
    pub ws_linger: Duration,
    /// See `config/default.toml`.
    pub bytes_in_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub bytes_in_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub frames_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub frames_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub controls_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub controls_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub messages_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub messages_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub messages_per_user_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub messages_per_user_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub messages_per_room_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub messages_per_room_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub commands_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub commands_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub history_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub history_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub typing_per_s: NonZeroU32,
    /// See `config/default.toml`.
    pub typing_burst: NonZeroU32,
    /// See `config/default.toml`.
    pub overrate_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "overrate_window_s", with = "units::seconds")]
    pub overrate_window: Duration,
    /// See `config/default.toml`.
    pub strikes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "strike_window_s", with = "units::seconds")]
    pub strike_window: Duration,
    /// See `config/default.toml`.
    pub inflight_max: usize,
    /// See `config/default.toml`.
    pub frame_id_bytes_max: usize,
    /// See `config/default.toml`.
    pub room_bytes_max: usize,
    /// See `config/default.toml`.
    pub rooms_per_session_max: usize,
    /// See `config/default.toml`.
    pub rooms_max: usize,
    /// See `config/default.toml`.
    pub history_page_max: u32,
    /// See `config/default.toml`.
    pub history_page_bytes_max: usize,
    /// See `config/default.toml`.
    pub members_page_max: u32,
    /// See `config/default.toml`.
    pub cursor_pairs_max: usize,
    /// See `config/default.toml`.
    pub nick_raw_bytes_max: usize,
    /// See `config/default.toml`.
    pub nick_bytes_max: usize,
    /// See `config/default.toml`.
    pub nick_graphemes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "presence_hold_s", with = "units::seconds")]
    pub presence_hold: Duration,
    /// See `config/default.toml`.
    pub text_marks_max: usize,
    /// See `config/default.toml`.
    pub html_links_max: usize,
    /// See `config/default.toml`.
    pub idempotency_key_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "idempotency_keep_s", with = "units::seconds")]
    pub idempotency_keep: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "moderation_seconds_max", with = "units::seconds")]
    pub moderation_max: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "slow_mode_seconds_max", with = "units::seconds")]
    pub slow_mode_max: Duration,
    /// See `config/default.toml`.
    pub outbox_messages_max: usize,
    /// See `config/default.toml`.
    pub outbox_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "outbox_stall_ms_max", with = "units::millis")]
    pub outbox_stall_max: Duration,
    /// See `config/default.toml`.
    pub outbox_bytes_total_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "redis_timeout_ms", with = "units::millis")]
    pub redis_timeout: Duration,
    /// See `config/default.toml`.
    pub envelope_bytes_max: usize,
    /// See `config/default.toml`.
    pub room_state_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "publish_hold_ms", with = "units::millis")]
    pub publish_hold: Duration,
    /// See `config/default.toml`.
    pub publish_hold_bytes_max: usize,
    /// See `config/default.toml`.
    #[serde(rename = "ack_deadline_ms", with = "units::millis")]
    pub ack_deadline: Duration,
    /// See `config/default.toml`.
    #[serde(rename = "room_state_stale_max_s", with = "units::seconds")]
    pub room_state_stale_max: Duration,
    /// See `config/default.toml`.
    pub ring_bytes_total_max: usize,
    /// See `config/default.toml`.
    pub salvage_bytes_max: usize,
    /// See `config/default.toml`.
    pub sync_entries_max: usize,
    /// See `config/default.toml`.
    pub sync_bytes_max: usize,
    /// See `config/default.toml`.
    pub feed_entries_max: usize,
    /// See `config/default.toml`.
    pub feed_bytes_max: usize,
    /// See `config/default.toml`.
    pub append_entries_max: usize,
    /// See `config/default.toml`.
    pub append_bytes_max: usize,
    /// See `config/default.toml`.
    pub limiter_keys_max: usize,
    /// See `config/default.toml`.
    pub log_field_chars_max: usize,
    /// See `config/default.toml`.
    pub audit_queue_max: usize,
    /// See `config/default.toml`.
    pub metrics_per_s: NonZeroU32,
}
