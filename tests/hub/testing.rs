//! What tests of the hub stand on: people with rights, names, texts, and bounds.

use std::{sync::Arc, time::Duration};

use crate::{
    auth::grants::{JoinGrant, ModerateGrant, PublishGrant, ReadGrant, SendGrant},
    domain::{
        ids::UserId,
        nickname::{NameBounds, NameRules, NameSource, Nickname},
        room_name::RoomId,
        text::{CleanText, TextRules},
    },
    hub::settings::HubSettings,
    outbound::outbox_budget::OutboxBudget,
};

pub(super) fn user(number: u8) -> UserId {
    UserId::from_digest(&[number; 32])
}

pub(super) fn join_grant(room: &RoomId, user: UserId) -> JoinGrant {
    JoinGrant::of(room, user)
}

pub(super) fn send_grant(room: &RoomId, user: UserId) -> SendGrant {
    SendGrant::of(room, user)
}

pub(super) fn publish_grant(room: &RoomId, user: UserId) -> PublishGrant {
    PublishGrant::of(room, user)
}

pub(super) fn moderate_grant(room: &RoomId, user: UserId) -> ModerateGrant {
    ModerateGrant::of(room, user)
}

pub(super) fn read_grant(room: &RoomId, user: UserId) -> impl Fn() -> ReadGrant + use<> {
    let room = room.clone();
    move || ReadGrant::of(&room, user)
}

pub(super) fn nick(raw: &str, source: NameSource) -> Nickname {
    let bounds = NameBounds {
        raw_bytes_max: 256,
        bytes_max: 128,
        graphemes_max: 32,
    };
    Nickname::from_untrusted(raw, source, &NameRules::new(bounds, [])).expect("a nickname")
}

pub(super) fn text(raw: &str) -> CleanText {
    let rules = TextRules {
        bytes_max: 4096,
        graphemes_max: 4096,
        lines_max: 50,
        marks_max: 8,
    };
    CleanText::from_untrusted(raw, &rules).expect("a text")
}

pub(super) fn settings(budget: &Arc<OutboxBudget>) -> HubSettings {
    HubSettings {
        rooms_max: 100,
        history_page_max: 100,
        history_page_bytes_max: 65_536,
        members_page_max: 200,
        presence_hold: Duration::from_secs(15),
        ack_deadline: Duration::from_secs(8),
        ring_bytes_total_max: 1 << 20,
        sync_entries_max: 1000,
        sync_bytes_max: 1 << 20,
        budget: Arc::clone(budget),
        derive_html: Arc::new(|text| format!("<i>{text}</i>")),
    }
}
