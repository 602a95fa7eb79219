//! What is said in a run: every message says its own number, so that one that comes twice or changes is noticed. Made once,
//! since a name and a text are costly to admit.

use std::sync::OnceLock;

use crate::{
    domain::{
        nickname::{NameSource, Nickname},
        room_name::RoomId,
        text::CleanText,
    },
    hub::testing,
};

use super::world::ROOMS;

/// Messages that one person writes at most.
pub(super) const WRITTEN_MAX: u16 = 100;
const PEOPLE: u16 = 8;

/// The name of person `number`.
pub(super) fn nick(number: u8) -> Nickname {
    static NICKS: OnceLock<Vec<Nickname>> = OnceLock::new();
    let make = |number| testing::nick(&format!("Person {number}"), NameSource::Chosen);
    NICKS.get_or_init(|| (0..PEOPLE).map(make).collect())[usize::from(number)].clone()
}

/// What message `number` says: person times [`WRITTEN_MAX`] plus the person's count.
pub(super) fn text(number: u16) -> &'static CleanText {
    static TEXTS: OnceLock<Vec<CleanText>> = OnceLock::new();
    let make = |number: u16| {
        // Some are long, so that pages and outboxes fill by bytes as well.
        let padding = if number % 7 == 3 {
            "-".repeat(300)
        } else {
            String::new()
        };
        testing::text(&format!("message {number}{padding}"))
    };
    &TEXTS.get_or_init(|| (0..PEOPLE * WRITTEN_MAX).map(make).collect())[usize::from(number)]
}

/// Likewise, as it is shown.
pub(super) fn said(number: u16) -> &'static str {
    text(number).as_str()
}

/// The rooms.
pub(super) fn room(index: usize) -> &'static RoomId {
    static NAMES: OnceLock<[RoomId; ROOMS]> = OnceLock::new();
    let make = |name| RoomId::parse(name, 64).expect("a name");
    &NAMES.get_or_init(|| [make("lobby"), make("annex")])[index]
}

/// Which of the rooms it is.
pub(super) fn index_of(id: &str) -> usize {
    (0..ROOMS)
        .position(|index| room(index).as_str() == id)
        .expect("one of the rooms")
}
