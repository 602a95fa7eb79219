//! What frames must obey on this node: made once from the configuration, shared by every session.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use prometheus_client::metrics::counter::Counter;

use super::validate::{name_rules, text_rules};
use crate::{
    config::{content::Content, limits::Limits, nicknames::Nicknames},
    domain::{
        nickname::{NameRules, NameSource, Nickname, NicknameError},
        room_name::{RoomId, RoomIdError},
        text::{CleanText, TextError, TextRules},
    },
    protocol::client_frame::RequestKind,
    telemetry::metrics::Metrics,
};

/// The rules and counters of the inbound road.
#[derive(Debug)]
pub struct InboundRules {
    names: NameRules,
    texts: TextRules,
    room_bytes_max: usize,
    pub(super) frame_id_bytes_max: usize,
    pub(super) cursor_pairs_max: usize,
    pub(super) history_page_max: u32,
    pub(super) rates: Rates,
    pub(super) overrate: (usize, Duration),
    pub(super) strikes: (usize, Duration),
    pub(super) counters: Counters,
}

/// The rates of one session: per second and burst, but for `auth`, which is per minute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) messages: (NonZeroU32, NonZeroU32),
    pub(super) commands: (NonZeroU32, NonZeroU32),
    pub(super) history: (NonZeroU32, NonZeroU32),
    pub(super) typing: (NonZeroU32, NonZeroU32),
    pub(super) auth_per_min: NonZeroU32,
}

impl InboundRules {
    /// From the sections that say how much and what a client may say.
    pub fn new(
        limits: &Limits,
        content: &Content,
        nicknames: &Nicknames,
        metrics: &Metrics,
    ) -> Arc<Self> {
        Arc::new(Self {
            names: name_rules(nicknames, limits),
            texts: text_rules(content, limits),
            room_bytes_max: limits.room_bytes_max,
            frame_id_bytes_max: limits.frame_id_bytes_max,
            cursor_pairs_max: limits.cursor_pairs_max,
            history_page_max: limits.history_page_max,
            rates: Rates {
                messages: (limits.messages_per_s, limits.messages_burst),
                commands: (limits.commands_per_s, limits.commands_burst),
                history: (limits.history_per_s, limits.history_burst),
                typing: (limits.typing_per_s, limits.typing_burst),
                auth_per_min: limits.auth_frames_per_min,
            },
            overrate: (limits.overrate_max, limits.overrate_window),
            strikes: (limits.strikes_max, limits.strike_window),
            counters: Counters::new(metrics),
        })
    }

    /// What names must obey.
    pub fn names(&self) -> &NameRules {
        &self.names
    }

    /// A nickname that somebody chose: in a frame, a query or a request.
    pub fn chosen_name(&self, raw: &str) -> Result<Nickname, NicknameError> {
        Nickname::from_untrusted(raw, NameSource::Chosen, &self.names)
    }

    /// The text of a message.
    pub fn text(&self, raw: &str) -> Result<CleanText, TextError> {
        CleanText::from_untrusted(raw, &self.texts)
    }

    /// The name of a room.
    pub fn room(&self, raw: &str) -> Result<RoomId, RoomIdError> {
        RoomId::parse(raw, self.room_bytes_max)
    }
}

/// Counters that every frame moves, looked up once.
#[derive(Debug)]
pub(super) struct Counters {
    received: [Counter; RequestKind::ALL.len()],
    pub(super) unknown: Counter,
    pub(super) unreadable: Counter,
    pub(super) line: Counter,
    pub(super) over_session: Counter,
    pub(super) over_person: Counter,
    pub(super) over_room: Counter,
}

impl Counters {
    fn new(metrics: &Metrics) -> Self {
        let received = |name| {
            metrics
                .frames_received
                .get_or_create(&[("type", name)])
                .clone()
        };
        let limited = |name| {
            metrics
                .rate_limited
                .get_or_create(&[("scope", name)])
                .clone()
        };
        Self {
            received: RequestKind::ALL.map(|kind| received(kind.name())),
            unknown: received("unknown"),
            unreadable: received("unreadable"),
            line: received("line"),
            over_session: limited("connection"),
            over_person: limited("person"),
            over_room: limited("room"),
        }
    }

    /// One request of that kind.
    pub(super) fn received(&self, kind: RequestKind) {
        if let Some(counter) = self.received.get(kind as usize) {
            counter.inc();
        }
    }
}
