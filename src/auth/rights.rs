//! What a token allows: scopes, and the rooms in which they hold. Read from claims, kept in an identity, asked for every
//! frame.

use serde::{Deserialize, Serialize};

use crate::domain::room_name::RoomId;

/// One thing that an identity may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Join, receive, read history and presence.
    Read,
    /// Send messages.
    Send,
    /// Publish over HTTP, as a service.
    Publish,
    /// Delete, mute, kick, ban.
    Moderate,
    /// Revoke credentials, see and end sessions.
    Admin,
}

impl Scope {
    /// Every scope, in the order of the documentation's table.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Send,
        Self::Publish,
        Self::Moderate,
        Self::Admin,
    ];

    /// The word in a token's `scope`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "chat:read",
            Self::Send => "chat:send",
            Self::Publish => "chat:publish",
            Self::Moderate => "chat:moderate",
            Self::Admin => "chat:admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Read => 1,
            Self::Send => 2,
            Self::Publish => 4,
            Self::Moderate => 8,
            Self::Admin => 16,
        }
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Scopes(u8);

impl Scopes {
    /// No right at all.
    pub const NONE: Self = Self(0);

    /// The rights that these words name. Words are compared whole; what is not ours is passed over.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        words
            .into_iter()
            .filter_map(Self::of_word)
            .fold(Self::NONE, |all, one| Self(all.0 | one.0))
    }

    /// The rights of one word; `None` if it is not ours.
    pub fn of_word(word: &str) -> Option<Self> {
        if word == "chat" {
            return Some(Self(Scope::Read.bit() | Scope::Send.bit()));
        }
        Scope::ALL
            .into_iter()
            .find(|scope| scope.name() == word)
            .map(|scope| Self(scope.bit()))
    }

    /// Whether the scope is in the set.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// The names, expanded, in the table's order.
    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL
            .into_iter()
            .filter(|scope| self.has(*scope))
            .map(Scope::name)
            .collect()
    }
}

/// A room's name, or the beginning that many names share.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum RoomPattern {
    /// Exactly this room.
    Name(Box<str>),
    /// Every room that begins so. Empty: every room.
    Prefix(Box<str>),
}

impl RoomPattern {
    /// Reads `name` or `prefix*`. `None` for any other shape: a star elsewhere, characters that no room has, too long.
    pub fn parse(raw: &str, room_bytes_max: usize) -> Option<Self> {
        let Some(prefix) = raw.strip_suffix('*') else {
            RoomId::parse(raw, room_bytes_max).ok()?;
            return Some(Self::Name(raw.into()));
        };
        if !prefix.is_empty() {
            RoomId::parse(prefix, room_bytes_max).ok()?;
        }
        Some(Self::Prefix(prefix.into()))
    }

    fn matches(&self, room: &RoomId) -> bool {
        match self {
            Self::Name(name) => **name == *room.as_str(),
            Self::Prefix(prefix) => room.as_str().starts_with(&**prefix),
        }
    }
}

/// The rooms of an identity, and whether its token named them or the configuration's default did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rooms {
    patterns: Vec<RoomPattern>,
    claimed: bool,
}

impl Rooms {
    /// The rooms that a token names.
    pub fn claimed(patterns: Vec<RoomPattern>) -> Self {
        Self {
            patterns,
            claimed: true,
        }
    }

    /// The rooms of `auth.defaults`, for a token that names none.
    pub fn by_default(patterns: Vec<RoomPattern>) -> Self {
        Self {
            patterns,
            claimed: false,
        }
    }

    /// Whether the room is open to reading and sending.
    pub fn open(&self, room: &RoomId) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(room))
    }

    /// Whether the token itself opens the room, as publishing and moderating want.
    pub fn opened_by_claim(&self, room: &RoomId) -> bool {
        self.claimed && self.open(room)
    }
}

#[cfg(test)]
mod tests {
    use super::{RoomPattern, Rooms, Scope, Scopes};
    use crate::domain::room_name::RoomId;

    fn room(name: &str) -> RoomId {
        RoomId::parse(name, 64).expect(name)
    }

    fn patterns(raw: &[&str]) -> Vec<RoomPattern> {
        raw.iter()
            .map(|raw| RoomPattern::parse(raw, 64).expect(raw))
            .collect()
    }

    #[test]
    fn scope_words_are_compared_whole() {
        let names = |words: &[&str]| Scopes::from_words(words.iter().copied()).names();
        assert_eq!(names(&["chat"]), ["chat:read", "chat:send"]);
        assert_eq!(
            names(&["chat:admin", "openid", "chat:read"]),
            ["chat:read", "chat:admin"]
        );
        assert_eq!(
            names(&["chat:publish", "chat:moderate", "chat:send"]),
            ["chat:send", "chat:publish", "chat:moderate"]
        );
        for foreign in [
            "chat:connectx",
            "chat:",
            "CHAT",
            "chat:read ",
            "chats",
            "",
            "xchat",
        ] {
            assert!(Scopes::from_words([foreign]).is_empty(), "{foreign}");
        }
        assert!(!Scopes::from_words(["chat"]).has(Scope::Publish));
    }

    #[test]
    fn a_room_pattern_is_a_name_or_a_prefix_with_one_final_star() {
        for bad in [
            "",
            "**",
            "*a",
            "a*b",
            "a**",
            "Lobby",
            "!control",
            "a b",
            "_x*",
            "é*",
            "support:**",
        ] {
            assert!(RoomPattern::parse(bad, 64).is_none(), "{bad}");
        }
        assert!(RoomPattern::parse(&"x".repeat(65), 64).is_none());
        assert!(RoomPattern::parse(&format!("{}*", "x".repeat(64)), 64).is_some());
    }

    #[test]
    fn patterns_open_what_they_name_and_nothing_beside_it() {
        let rooms = Rooms::claimed(patterns(&["lobby", "support:*"]));
        for open in ["lobby", "support:1", "support:a.b"] {
            assert!(rooms.open(&room(open)), "{open}");
        }
        for shut in ["lobby2", "lobb", "support", "supporter", "x:support:1"] {
            assert!(!rooms.open(&room(shut)), "{shut}");
        }
        assert!(Rooms::claimed(patterns(&["*"])).open(&room("anything")));
        assert!(!Rooms::claimed(Vec::new()).open(&room("lobby")));
    }

    #[test]
    fn default_rooms_are_not_opened_by_the_token() {
        let lobby = room("lobby");
        assert!(Rooms::by_default(patterns(&["*"])).open(&lobby));
        assert!(!Rooms::by_default(patterns(&["*"])).opened_by_claim(&lobby));
        assert!(Rooms::claimed(patterns(&["*"])).opened_by_claim(&lobby));
    }
}
