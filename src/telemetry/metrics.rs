//! Every metric, declared once, with its help text and its unit. Labels are enums or configured names, never a room, a
//! person, an address or a path.

use std::sync::Arc;

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};

use crate::{
    protocol::codes::{CloseCode, ErrorCode},
    telemetry::{
        histogram::Histogram,
        process::{COMMIT, Process, RUSTC, VERSION},
    },
};

/// Labels whose names and values are known at compile time.
pub type Labels<const N: usize> = [(&'static str, &'static str); N];
/// A label whose value is a configured name.
pub type IssuerLabel = [(&'static str, String); 1];
/// A counter with such labels.
pub type Counters<const N: usize> = Family<Labels<N>, Counter>;
/// A gauge with such labels.
pub type Gauges<const N: usize> = Family<Labels<N>, Gauge>;
/// A histogram with such labels.
pub type Histograms<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;
/// A histogram by matched route.
pub type RouteHistograms = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

/// Who ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// We did.
    Server,
    /// The peer sent a Close.
    Client,
    /// The connection broke.
    Network,
}

/// The handles. Made once in `main`; each station keeps an `Arc` of it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// 1 in `wardroom dev`.
    pub development: Gauge,
    /// 1 while the node takes new sessions.
    pub ready: Gauge,
    /// 1 from the first stop signal on.
    pub draining: Gauge,
    /// End of the served certificate, seconds since 1970.
    pub tls_certificate_not_after: Gauge,
    /// TLS handshakes by `result` (`ok` `failed` `timeout` `not_tls`) and `version` (`1.2` `1.3` `none`).
    pub tls_handshakes: Counters<2>,
    /// TCP connections on the public listener.
    pub connections: Gauge,
    /// `limits.connections_max`.
    pub connections_limit: Gauge,
    /// HTTP requests by matched `route`, `method` and `status`; unknown paths are `unmatched`.
    pub http_requests: Family<[(&'static str, String); 3], Counter>,
    /// Time to answer a request, by matched `route`; an upgrade ends at its 101.
    pub http_request_seconds: RouteHistograms,
    /// Requests refused before any session existed, by `code`.
    pub refusals: Counters<1>,
    /// Credentials looked at, by `method` (`bearer` `subprotocol` `ticket` `query` `frame`) and `result` (`ok` or the code).
    pub authentications: Counters<2>,
    /// Tickets by `result` (`issued` `redeemed` `expired` `reused` `unknown` `origin_mismatch` `limited`).
    pub tickets: Counters<1>,
    /// Entries of `rooms` claims that are neither a room's name nor a prefix; they open nothing.
    pub room_claims_ignored: Counter,
    /// Reads of a key set by `issuer` and `result` (`ok` or the reason).
    pub jwks_refreshes: Family<[(&'static str, String); 2], Counter>,
    /// When an issuer's key set was last read, seconds since 1970.
    pub jwks_last_success: Family<IssuerLabel, Gauge>,
    /// Open sessions by `protocol` (`wardroom.v1` `wardroom.text`).
    pub sessions: Gauges<1>,
    /// Sessions opened, by `protocol`.
    pub sessions_opened: Counters<1>,
    /// Sessions closed, by `code` and by whom (`server` `client` `network`).
    pub sessions_closed: Counters<2>,
    /// How long sessions lived.
    pub session_seconds: Histogram,
    /// From a ping to its pong.
    pub ping_round_trip_seconds: Histogram,
    /// Frames from clients by `type`.
    pub frames_received: Counters<1>,
    /// Frames that got an error, by `code`.
    pub rejects: Counters<1>,
    /// Bytes read from sessions, after decryption.
    pub received_bytes: Counter,
    /// Bytes written to sessions, before encryption.
    pub sent_bytes: Counter,
    /// What met a rate limit, by `scope` (`handshake` `authentication` `connection` `person` `room` `bytes` `frames` `tickets`
    /// `requests`).
    pub rate_limited: Counters<1>,
    /// Forwarded client addresses that could not be used (malformed, or too many entries): the peer's was used instead.
    pub forwarded_malformed: Counter,
    /// Derived HTML that the verifier would have changed; escaped text was sent instead. Alert on it.
    pub html_disagreements: Counter,
    /// Rooms that this node holds, by `kind`.
    pub rooms: Gauges<1>,
    /// Members on this node.
    pub members: Gauge,
    /// Messages given a place by this node, by `kind` and `source` (`socket` `api`).
    pub messages: Counters<2>,
    /// Acts of moderation given a place by this node, by `act` (`delete`) and `source` (`socket` `api`).
    pub moderation_acts: Counters<2>,
    /// Acks by `durability` and `duplicate` (`true` `false`).
    pub acks: Counters<2>,
    /// From reading a `send` to queueing its ack, by `durability`.
    pub ack_seconds: Histograms<1>,
    /// Frames put into outboxes by the fan-out.
    pub deliveries: Counter,
    /// From the append to the last local outbox, one sample per entry.
    pub delivery_seconds: Histogram,
    /// Local members per entry.
    pub fanout_members: Histogram,
    /// Bytes waiting in outboxes.
    pub outbox_bytes: Gauge,
    /// `limits.outbox_bytes_total_max`.
    pub outbox_limit_bytes: Gauge,
    /// Members that lag now.
    pub slow_consumers: Gauge,
    /// Joins with a cursor by `result` (`live` `replayed` `gap` `fork` `reset`).
    pub resumes: Counters<1>,
    /// Entries sent again to members that resumed or lagged.
    pub replayed_entries: Counter,
    /// Appends by `engine` and `result` (`ok` `duplicate` `gap` `conflict` `stale` `unavailable`).
    pub log_appends: Counters<2>,
    /// Time of an append, by `engine`.
    pub log_append_seconds: Histograms<1>,
    /// Time of a read, by `engine`.
    pub log_read_seconds: Histograms<1>,
    /// 1 while the log takes entries, by `engine`.
    pub log_writable: Gauges<1>,
    /// Time of a commit of the log's file, its flush included.
    pub log_commit_seconds: Histogram,
    /// Entries and visits of one commit.
    pub log_batch_entries: Histogram,
    /// Entries that retention took.
    pub log_removed_entries: Counter,
    /// Bytes of the log on disk, by `file` (`main` `wal`).
    pub log_size_bytes: Gauges<1>,
    /// Times that a room read on below its ring, once for all who asked.
    pub log_backfills: Counter,
    /// Incarnations of a room's log by `cause` (`created` `restart` `failover` `rollback`); a rollback lost a tail.
    pub log_epochs: Counters<1>,
    /// Envelopes that could not be decoded; shown as removed.
    pub log_poisoned: Counter,
    /// Lines that the log writer dropped because its queue was full.
    pub telemetry_lines_dropped: Counter,
}

fn seconds() -> Histogram {
    Histogram::new(&[
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    ])
}

fn fast_seconds() -> Histogram {
    Histogram::new(&[
        0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05,
        0.1, 0.5, 1.0, 5.0,
    ])
}

fn lifetime_seconds() -> Histogram {
    Histogram::new(&[
        1.0, 5.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 43200.0,
    ])
}

fn counts() -> Histogram {
    Histogram::new(&[
        1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10000.0,
    ])
}

impl Metrics {
    /// Registers every metric under the prefix `wardroom`, and those of the process without one.
    pub fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            development: Gauge::default(),
            ready: Gauge::default(),
            draining: Gauge::default(),
            tls_certificate_not_after: Gauge::default(),
            tls_handshakes: Family::default(),
            connections: Gauge::default(),
            connections_limit: Gauge::default(),
            http_requests: Family::default(),
            http_request_seconds: Family::new_with_constructor(seconds),
            refusals: Family::default(),
            authentications: Family::default(),
            tickets: Family::default(),
            room_claims_ignored: Counter::default(),
            jwks_refreshes: Family::default(),
            jwks_last_success: Family::default(),
            sessions: Family::default(),
            sessions_opened: Family::default(),
            sessions_closed: Family::default(),
            session_seconds: lifetime_seconds(),
            ping_round_trip_seconds: seconds(),
            frames_received: Family::default(),
            rejects: Family::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            rate_limited: Family::default(),
            forwarded_malformed: Counter::default(),
            html_disagreements: Counter::default(),
            rooms: Family::default(),
            members: Gauge::default(),
            messages: Family::default(),
            moderation_acts: Family::default(),
            acks: Family::default(),
            ack_seconds: Family::new_with_constructor(fast_seconds),
            deliveries: Counter::default(),
            delivery_seconds: fast_seconds(),
            fanout_members: counts(),
            outbox_bytes: Gauge::default(),
            outbox_limit_bytes: Gauge::default(),
            slow_consumers: Gauge::default(),
            resumes: Family::default(),
            replayed_entries: Counter::default(),
            log_appends: Family::default(),
            log_append_seconds: Family::new_with_constructor(fast_seconds),
            log_read_seconds: Family::new_with_constructor(fast_seconds),
            log_writable: Family::default(),
            log_commit_seconds: fast_seconds(),
            log_batch_entries: counts(),
            log_removed_entries: Counter::default(),
            log_size_bytes: Family::default(),
            log_backfills: Counter::default(),
            log_epochs: Family::default(),
            log_poisoned: Counter::default(),
            telemetry_lines_dropped: Counter::default(),
        };
        metrics.register();
        Arc::new(metrics)
    }

    fn register(&mut self) {
        self.registry.register_collector(Box::new(Process));
        let r = self.registry.sub_registry_with_prefix("wardroom");
        r.sub_registry_with_labels(
            [("version", VERSION), ("commit", COMMIT), ("rustc", RUSTC)]
                .map(|(name, value)| (name.into(), value.into()))
                .into_iter(),
        )
        .register("build_info", "Which build this is", ConstGauge::new(1_i64));
        r.register("development", "1 in wardroom dev", self.development.clone());
        r.register(
            "ready",
            "1 while the node takes new sessions",
            self.ready.clone(),
        );
        r.register(
            "draining",
            "1 from the first stop signal on",
            self.draining.clone(),
        );
        r.register_with_unit(
            "tls_certificate_not_after_timestamp",
            "End of the served certificate, seconds since 1970",
            Unit::Seconds,
            self.tls_certificate_not_after.clone(),
        );
        r.register(
            "tls_handshakes",
            "TLS handshakes by result and version",
            self.tls_handshakes.clone(),
        );
        r.register(
            "connections",
            "TCP connections on the public listener",
            self.connections.clone(),
        );
        r.register(
            "connections_limit",
            "limits.connections_max",
            self.connections_limit.clone(),
        );
        r.register(
            "http_requests",
            "HTTP requests by matched route, method and status",
            self.http_requests.clone(),
        );
        r.register_with_unit(
            "http_request",
            "Time to answer a request by matched route; an upgrade ends at its 101",
            Unit::Seconds,
            self.http_request_seconds.clone(),
        );
        r.register(
            "refusals",
            "Requests refused before any session existed, by code",
            self.refusals.clone(),
        );
        r.register(
            "authentications",
            "Credentials looked at, by method and result",
            self.authentications.clone(),
        );
        r.register("tickets", "Tickets by result", self.tickets.clone());
        r.register(
            "room_claims_ignored",
            "Entries of rooms claims that are neither a name nor a prefix",
            self.room_claims_ignored.clone(),
        );
        r.register(
            "jwks_refreshes",
            "Reads of a key set by issuer and result",
            self.jwks_refreshes.clone(),
        );
        r.register_with_unit(
            "jwks_last_success_timestamp",
            "When the key set of an issuer was last read, seconds since 1970",
            Unit::Seconds,
            self.jwks_last_success.clone(),
        );
        r.register(
            "sessions",
            "Open sessions by protocol",
            self.sessions.clone(),
        );
        r.register(
            "sessions_opened",
            "Sessions opened by protocol",
            self.sessions_opened.clone(),
        );
        r.register(
            "sessions_closed",
            "Sessions closed by code and by whom",
            self.sessions_closed.clone(),
        );
        r.register_with_unit(
            "session",
            "How long sessions lived",
            Unit::Seconds,
            self.session_seconds.clone(),
        );
        r.register_with_unit(
            "ping_round_trip",
            "From a ping to its pong",
            Unit::Seconds,
            self.ping_round_trip_seconds.clone(),
        );
        r.register(
            "frames_received",
            "Frames from clients by type",
            self.frames_received.clone(),
        );
        r.register(
            "rejects",
            "Frames that got an error, by code",
            self.rejects.clone(),
        );
        r.register_with_unit(
            "received",
            "Bytes read from sessions, after decryption",
            Unit::Bytes,
            self.received_bytes.clone(),
        );
        r.register_with_unit(
            "sent",
            "Bytes written to sessions, before encryption",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        r.register(
            "rate_limited",
            "What met a rate limit, by scope",
            self.rate_limited.clone(),
        );
        r.register(
            "forwarded_malformed",
            "Forwarded client addresses that could not be used",
            self.forwarded_malformed.clone(),
        );
        r.register(
            "html_disagreements",
            "Derived HTML that the verifier would have changed",
            self.html_disagreements.clone(),
        );
        r.register(
            "rooms",
            "Rooms that this node holds, by kind",
            self.rooms.clone(),
        );
        r.register("members", "Members on this node", self.members.clone());
        r.register(
            "messages",
            "Messages given a place by this node, by kind and source",
            self.messages.clone(),
        );
        r.register(
            "moderation_acts",
            "Acts of moderation given a place by this node, by act and source",
            self.moderation_acts.clone(),
        );
        r.register(
            "acks",
            "Acks by durability and whether they answered a repeat",
            self.acks.clone(),
        );
        r.register_with_unit(
            "ack",
            "From reading a send to queueing its ack, by durability",
            Unit::Seconds,
            self.ack_seconds.clone(),
        );
        r.register(
            "deliveries",
            "Frames put into outboxes by the fan-out",
            self.deliveries.clone(),
        );
        r.register_with_unit(
            "delivery",
            "From the append to the last local outbox",
            Unit::Seconds,
            self.delivery_seconds.clone(),
        );
        r.register(
            "fanout_members",
            "Local members per entry",
            self.fanout_members.clone(),
        );
        r.register_with_unit(
            "outbox",
            "Bytes waiting in outboxes",
            Unit::Bytes,
            self.outbox_bytes.clone(),
        );
        r.register_with_unit(
            "outbox_limit",
            "limits.outbox_bytes_total_max",
            Unit::Bytes,
            self.outbox_limit_bytes.clone(),
        );
        r.register(
            "slow_consumers",
            "Members that lag now",
            self.slow_consumers.clone(),
        );
        r.register(
            "resumes",
            "Joins with a cursor by result",
            self.resumes.clone(),
        );
        r.register(
            "replayed_entries",
            "Entries sent again to members that resumed or lagged",
            self.replayed_entries.clone(),
        );
        r.register(
            "log_appends",
            "Appends by engine and result",
            self.log_appends.clone(),
        );
        r.register_with_unit(
            "log_append",
            "Time of an append by engine",
            Unit::Seconds,
            self.log_append_seconds.clone(),
        );
        r.register_with_unit(
            "log_read",
            "Time of a read by engine",
            Unit::Seconds,
            self.log_read_seconds.clone(),
        );
        r.register(
            "log_writable",
            "1 while the log takes entries, by engine",
            self.log_writable.clone(),
        );
        r.register_with_unit(
            "log_commit",
            "Time of a commit of the log, its flush included",
            Unit::Seconds,
            self.log_commit_seconds.clone(),
        );
        r.register(
            "log_batch_entries",
            "Entries and visits of one commit of the log",
            self.log_batch_entries.clone(),
        );
        r.register(
            "log_removed_entries",
            "Entries that retention took",
            self.log_removed_entries.clone(),
        );
        r.register_with_unit(
            "log_size",
            "Bytes of the log on disk by file",
            Unit::Bytes,
            self.log_size_bytes.clone(),
        );
        r.register(
            "log_backfills",
            "Times that a room read on below its ring, once for all who asked",
            self.log_backfills.clone(),
        );
        r.register(
            "log_epochs",
            "Incarnations of a log of a room by cause; a rollback lost a tail",
            self.log_epochs.clone(),
        );
        r.register(
            "log_poisoned",
            "Envelopes that could not be decoded and are shown as removed",
            self.log_poisoned.clone(),
        );
        r.register(
            "telemetry_lines_dropped",
            "Log lines dropped because the queue was full",
            self.telemetry_lines_dropped.clone(),
        );
    }

    /// The registry, for the exposition on the admin listener.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// One refusal before any session existed.
    pub fn refused(&self, code: ErrorCode) {
        self.refusals.get_or_create(&[("code", code.name())]).inc();
    }

    /// One rejected frame.
    pub fn rejected(&self, code: ErrorCode) {
        self.rejects.get_or_create(&[("code", code.name())]).inc();
    }

    /// One closed session.
    pub fn closed(&self, code: CloseCode, by: ClosedBy) {
        let by = match by {
            ClosedBy::Server => "server",
            ClosedBy::Client => "client",
            ClosedBy::Network => "network",
        };
        self.sessions_closed
            .get_or_create(&[("code", close_label(code)), ("by", by)])
            .inc();
    }

    /// One thing that met a rate limit.
    pub fn limited(&self, scope: &'static str) {
        self.rate_limited.get_or_create(&[("scope", scope)]).inc();
    }
}

/// The close code as a label: its number, as alerts name it.
fn close_label(code: CloseCode) -> &'static str {
    match code {
        CloseCode::Normal => "1000",
        CloseCode::GoingAway => "1001",
        CloseCode::ProtocolError => "1002",
        CloseCode::Unsupported => "1003",
        CloseCode::NotUtf8 => "1007",
        CloseCode::TooBig => "1009",
        CloseCode::Internal => "1011",
        CloseCode::Restart => "1012",
        CloseCode::Overload => "1013",
        CloseCode::Malformed => "4400",
        CloseCode::CredentialExpired => "4401",
        CloseCode::Revoked => "4403",
        CloseCode::Replaced => "4409",
        CloseCode::SilentPeer => "4508",
        CloseCode::SlowConsumer => "4520",
        CloseCode::RateLimited => "4529",
    }
}
