//! The hard range of every number, and what happens at the limit: the one table. `docs/limits.md` shows the same rows, and a
//! test compares the two with each other and with `config/default.toml`.

/// A number's range.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The key's full name.
    pub key: &'static str,
    /// The smallest value that is taken.
    pub min: i64,
    /// The largest value that is taken; `i64::MAX` for none.
    pub max: i64,
    /// What whoever meets the limit sees.
    pub at_limit: &'static str,
}

impl Range {
    /// The range in words, `1 to 100`.
    pub fn words(&self) -> String {
        if self.max == i64::MAX {
            format!("at least {}", self.min)
        } else {
            format!("{} to {}", self.min, self.max)
        }
    }

    /// Refuses a number outside.
    pub(super) fn check(&self, number: i64) -> Result<(), String> {
        if (self.min..=self.max).contains(&number) {
            Ok(())
        } else {
            Err(format!("{number} is out of range: {}", self.words()))
        }
    }
}

/// The row of a key, if it is a number.
pub(super) fn of(key: &str) -> Option<&'static Range> {
    RANGES.iter().find(|range| range.key == key)
}

const fn row(key: &'static str, min: i64, max: i64, at_limit: &'static str) -> Range {
    Range {
        key,
        min,
        max,
        at_limit,
    }
}

/// The table, in the order in which a connection meets the limits.
#[rustfmt::skip] // A table is read by its columns.
pub const RANGES: &[Range] = &[
    row("limits.connections_max", 1, 1_000_000, "503 `unavailable`; the admin listener still answers"),
    row("limits.connections_per_ip_max", 1, 100_000, "429 `too_many_connections`"),
    row("limits.connections_per_user_max", 1, 1_000, "the oldest session is closed with 4409, the new one enters"),
    row("limits.connects_per_ip_per_s", 1, 10_000, "429 `rate_limited`"),
    row("limits.connects_per_ip_burst", 1, 100_000, "429 `rate_limited`"),
    row("limits.requests_per_ip_per_s", 1, 10_000, "429 `rate_limited`"),
    row("limits.requests_per_ip_burst", 1, 100_000, "429 `rate_limited`"),
    row("limits.tls_handshakes_max", 16, 65_536, "dropped before any byte of TLS"),
    row("limits.tls_handshakes_per_ip_max", 1, 4_096, "dropped before any byte of TLS"),
    row("limits.tls_handshake_ms", 500, 30_000, "dropped"),
    row("limits.proxy_header_ms", 100, 10_000, "dropped"),
    row("limits.proxy_header_bytes_max", 232, 4_096, "dropped"),
    row("limits.forwarded_entries_max", 1, 128, "the peer's own address is used, and it is counted"),
    row("limits.header_read_ms", 500, 30_000, "dropped"),
    row("limits.header_bytes_max", 8_192, 65_536, "431 `too_large`, the connection closes"),
    row("limits.headers_max", 16, 256, "431 `too_large`, the connection closes"),
    row("limits.uri_bytes_max", 1_024, 16_384, "414 `too_large`"),
    row("limits.query_pairs_max", 8, 256, "400 `bad_request`"),
    row("limits.subprotocols_max", 2, 64, "400 `bad_request`"),
    row("limits.http_idle_ms", 1_000, 300_000, "dropped"),
    row("limits.body_bytes_max", 4_096, 1_048_576, "413 `too_large`"),
    row("limits.feed_data_bytes_max", 256, 524_288, "413 `too_large`"),
    row("limits.body_read_ms", 500, 60_000, "408 `bad_request`, the connection closes"),
    row("limits.token_bytes_max", 1_024, 15_360, "401 `unauthorized`"),
    row("limits.query_token_bytes_max", 512, 8_000, "401 `unauthorized`"),
    row("limits.query_token_life_max_s", 30, 3_600, "401 `unauthorized` while `auth.query_token` is `short-lived`"),
    row("auth.leeway_s", 0, 300, "401 `token_expired`"),
    row("limits.token_left_min_s", 0, 60, "fewer left: 401 `token_expired`"),
    row("auth.token_life_max_s", 60, 2_592_000, "401 `unauthorized`"),
    row("auth.session_max_s", 60, 604_800, "closed with 4401"),
    row("limits.expiry_warning_s", 0, 600, "frame `expiring`"),
    row("limits.auth_failures_per_ip_per_min", 1, 10_000, "bad credentials get 429 `rate_limited`, good ones still pass"),
    row("limits.auth_frames_per_min", 1, 60, "`rate_limited`"),
    row("limits.ticket_life_s", 5, 120, "401 `unauthorized`"),
    row("limits.tickets_per_user_max", 1, 100, "429 `rate_limited`"),
    row("limits.tickets_max", 100, 1_000_000, "503 `unavailable`"),
    row("limits.revocations_max", 1_000, 10_000_000, "503 `unavailable` to whoever revokes; none is forgotten before it expires"),
    row("limits.revocation_stale_max_s", 10, 600, "new sessions get 503 `unavailable`"),
    row("limits.jwks_ttl_s", 300, 86_400, "read again; the reading begins at 80 %"),
    row("limits.jwks_unknown_kid_interval_s", 5, 600, "401 `unauthorized` without a reading"),
    row("limits.jwks_timeout_ms", 500, 30_000, "that reading fails, the last good set stays"),
    row("limits.jwks_bytes_max", 4_096, 1_048_576, "that reading fails, the last good set stays"),
    row("limits.jwks_keys_max", 1, 256, "that reading fails, the last good set stays"),
    row("limits.jwks_stale_max_s", 300, 604_800, "503 `unavailable` for that provider"),
    row("limits.ws_frame_bytes_max", 1_024, 1_048_576, "closed with 1009"),
    row("limits.ws_message_bytes_max", 1_024, 1_048_576, "closed with 1009"),
    row("limits.ws_assembly_ms", 1_000, 60_000, "closed with 4508"),
    row("limits.ws_ping_ms", 5_000, 60_000, "a ping is sent"),
    row("limits.ws_silence_ms", 10_000, 300_000, "closed with 4508"),
    row("limits.ws_close_ms", 500, 30_000, "the connection ends"),
    row("limits.ws_linger_ms", 0, 10_000, "the connection ends"),
    row("limits.bytes_in_per_s", 4_096, 104_857_600, "reading pauses until the bucket refills"),
    row("limits.bytes_in_burst", 4_096, 104_857_600, "reading pauses until the bucket refills"),
    row("limits.frames_per_s", 5, 10_000, "closed with 4529"),
    row("limits.frames_burst", 10, 100_000, "closed with 4529"),
    row("limits.controls_per_s", 1, 100, "closed with 4529"),
    row("limits.controls_burst", 5, 1_000, "closed with 4529"),
    row("limits.messages_per_s", 1, 1_000, "`rate_limited`"),
    row("limits.messages_burst", 1, 10_000, "`rate_limited`"),
    row("limits.messages_per_user_per_s", 1, 1_000, "`rate_limited`"),
    row("limits.messages_per_user_burst", 1, 10_000, "`rate_limited`"),
    row("limits.messages_per_room_per_s", 1, 100_000, "`rate_limited`, over HTTP 429"),
    row("limits.messages_per_room_burst", 1, 100_000, "`rate_limited`, over HTTP 429"),
    row("limits.commands_per_s", 1, 1_000, "`rate_limited`, over HTTP 429"),
    row("limits.commands_burst", 1, 10_000, "`rate_limited`, over HTTP 429"),
    row("limits.history_per_s", 1, 100, "`rate_limited`, over HTTP 429"),
    row("limits.history_burst", 1, 1_000, "`rate_limited`, over HTTP 429"),
    row("limits.typing_per_s", 1, 10, "not passed on, counted"),
    row("limits.typing_burst", 1, 100, "not passed on, counted"),
    row("limits.overrate_max", 1, 10_000, "closed with 4529"),
    row("limits.overrate_window_s", 1, 600, "the count begins anew"),
    row("limits.strikes_max", 1, 1_000, "closed with 4400"),
    row("limits.strike_window_s", 1, 3_600, "the count begins anew"),
    row("limits.inflight_max", 1, 10_000, "`rate_limited`"),
    row("limits.frame_id_bytes_max", 48, 256, "`bad_request`, in `?resume=` 400"),
    row("limits.room_bytes_max", 8, 128, "`bad_request`, over HTTP 400"),
    row("limits.rooms_per_session_max", 1, 1_000, "`too_many_rooms`, in `?room=` 400"),
    row("limits.rooms_max", 1, 1_000_000, "`unavailable`"),
    row("limits.history_page_max", 1, 1_000, "`bad_request`, over HTTP 400"),
    row("limits.history_page_bytes_max", 16_384, 1_048_576, "the page ends earlier, `first` and `head` tell"),
    row("limits.members_page_max", 10, 10_000, "the list is cut, `count` stays exact"),
    row("limits.cursor_pairs_max", 1, 16, "`bad_request`"),
    row("limits.nick_raw_bytes_max", 16, 1_024, "`nickname_invalid`"),
    row("limits.nick_bytes_max", 8, 512, "`nickname_invalid`"),
    row("limits.nick_graphemes_max", 1, 64, "`nickname_invalid`"),
    row("limits.presence_hold_s", 0, 3_600, "within: others get `nickname_taken`; after: the leave is told"),
    row("content.text_bytes_max", 1, 65_536, "`text_too_long`, over HTTP 400"),
    row("content.text_graphemes_max", 1, 32_768, "`text_too_long`, over HTTP 400"),
    row("content.lines_max", 1, 1_000, "`text_too_long`, over HTTP 400"),
    row("limits.text_marks_max", 1, 30, "`text_invalid`, over HTTP 400"),
    row("limits.html_links_max", 0, 100, "further links stay text"),
    row("limits.idempotency_key_bytes_max", 8, 255, "400 `bad_request`"),
    row("limits.idempotency_keep_s", 60, 86_400, "the key is forgotten"),
    row("limits.moderation_seconds_max", 60, 315_360_000, "`bad_request`, over HTTP 400"),
    row("limits.slow_mode_seconds_max", 1, 86_400, "`bad_request`, over HTTP 400"),
    row("limits.outbox_messages_max", 8, 65_536, "the member becomes a cursor, nothing more is queued"),
    row("limits.outbox_bytes_max", 65_536, 67_108_864, "the member becomes a cursor, nothing more is queued"),
    row("limits.outbox_stall_ms_max", 1_000, 300_000, "closed with 4520"),
    row("limits.outbox_bytes_total_max", 16_777_216, i64::MAX, "closed with 4520, the fullest first"),
    row("limits.redis_timeout_ms", 100, 30_000, "`unavailable`, over HTTP 503; a message's outcome is unknown"),
    row("limits.envelope_bytes_max", 32_768, 1_048_576, "dropped unread, counted"),
    row("limits.room_state_bytes_max", 4_096, 1_048_576, "503 `unavailable` for that act"),
    row("limits.publish_hold_ms", 0, 60_000, "`unavailable`"),
    row("limits.publish_hold_bytes_max", 65_536, 1_073_741_824, "`unavailable`"),
    row("limits.ack_deadline_ms", 1_000, 60_000, "`unavailable`, its outcome unknown"),
    row("limits.room_state_stale_max_s", 1, 300, "joining and sending are `unavailable`, receiving goes on"),
    row("limits.ring_bytes_total_max", 1_048_576, i64::MAX, "the oldest leave first"),
    row("limits.salvage_bytes_max", 0, i64::MAX, "the oldest leave first"),
    row("limits.sync_entries_max", 16, 100_000, "the buffer is dropped, the log is read again; nothing is lost"),
    row("limits.sync_bytes_max", 65_536, 268_435_456, "the buffer is dropped, the log is read again; nothing is lost"),
    row("limits.feed_entries_max", 16, 100_000, "the rooms read their logs; nothing is lost"),
    row("limits.feed_bytes_max", 65_536, 268_435_456, "the rooms read their logs; nothing is lost"),
    row("limits.append_entries_max", 16, 1_000_000, "the next wait until there is room, or for `ack_deadline_ms`"),
    row("limits.append_bytes_max", 1_048_576, 1_073_741_824, "the next wait until there is room, or for `ack_deadline_ms`"),
    row("limits.limiter_keys_max", 1_000, 10_000_000, "new ones share one bucket"),
    row("limits.log_field_chars_max", 64, 4_096, "cut, with a mark"),
    row("limits.audit_queue_max", 100, 1_000_000, "dropped, counted"),
    row("limits.metrics_per_s", 1, 100, "429"),
    row("log.size_bytes_max", 0, 1_099_511_627_776, "`unavailable` until retention has made room; reading goes on"),
    row("log.retention_count", 0, 100_000_000, "the oldest go first; 0 is no limit"),
    row("log.retention_days", 0, 36_500, "the oldest go first; 0 keeps them for ever"),
    row("rooms[].retention_count", -1, 100_000_000, "the oldest go first; -1 as `[log]` says, 0 is no limit"),
    row("rooms[].retention_days", -1, 36_500, "the oldest go first; -1 as `[log]` says, 0 keeps them for ever"),
    row("drain.delay_s", 0, 300, "the sessions begin to be closed"),
    row("drain.spread_s", 0, 3_600, "every session has been asked to go"),
    row("drain.grace_s", 1, 3_600, "what is left is cut"),
];
