//! Keys whose feature is not built yet. They exist, so that a file written today stays right, and nobody can set one and
//! believe that it works: another value than the default is refused, or, for a mere bound, warned about.

use crate::config::finding::Finding;

/// Keys that must keep their default, and what they wait for.
pub const UNAVAILABLE: &[(&str, &str)] = &[
    ("redis.urls", "log.engine \"redis\""),
    ("redis.topology", "log.engine \"redis\""),
    ("redis.sentinel_master", "log.engine \"redis\""),
    ("redis.ca_file", "log.engine \"redis\""),
    ("redis.username", "log.engine \"redis\""),
    ("redis.password_file", "log.engine \"redis\""),
    ("redis.durability", "log.engine \"redis\""),
    ("redis.envelope_key_file", "log.engine \"redis\""),
    ("rooms[].kind", "feed rooms and documents"),
    ("page.issuer", "signing in on the page"),
    ("page.client_id", "signing in on the page"),
    ("page.scope", "signing in on the page"),
    ("page.resource", "signing in on the page"),
    ("telemetry.otlp_endpoint", "traces"),
    ("telemetry.audit_file", "the audit log"),
    ("auth.issuers[].client_ids", "back-channel logout"),
];

/// Bounds of features that are not built yet. They are held to their ranges and bound nothing until then.
pub const LATER: &[(&str, &str)] = &[
    ("limits.feed_data_bytes_max", "feed rooms"),
    ("limits.revocations_max", "revocation"),
    ("limits.revocation_stale_max_s", "revocation"),
    ("limits.moderation_seconds_max", "moderation"),
    ("limits.slow_mode_seconds_max", "moderation"),
    ("limits.room_state_bytes_max", "moderation"),
    ("limits.redis_timeout_ms", "log.engine \"redis\""),
    ("limits.publish_hold_ms", "log.engine \"redis\""),
    ("limits.publish_hold_bytes_max", "log.engine \"redis\""),
    ("limits.room_state_stale_max_s", "log.engine \"redis\""),
    ("limits.salvage_bytes_max", "log.engine \"redis\""),
    ("limits.audit_queue_max", "telemetry.audit_file"),
];

/// Why a key must keep its default, if it must.
pub(super) fn unavailable(key: &str, name: &str) -> Option<Finding> {
    let (_, feature) = UNAVAILABLE.iter().find(|(known, _)| *known == name)?;
    Some(Finding::new(
        key,
        format!(
            "is not available in this version: it belongs to {feature}; leave it at its default"
        ),
    ))
}

/// What to say about a bound that bounds nothing yet, if it is one.
pub(super) fn later(key: &str) -> Option<Finding> {
    let (_, feature) = LATER.iter().find(|(known, _)| *known == key)?;
    Some(Finding::new(
        key,
        format!("has no effect in this version: it belongs to {feature}"),
    ))
}
