//! How long a room keeps its entries: a general rule, and rules for rooms by name or prefix. A value; engines apply it.

use std::time::Duration;

use crate::{
    config::{log::Log, rooms::Room},
    domain::room_name::RoomId,
};

/// What a room keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// At most so many entries; `u64::MAX`: no limit.
    pub count: u64,
    /// For at most so long; `None`: for ever.
    pub time: Option<Duration>,
    /// A legal hold: nothing goes, and what is taken back is only hidden. There are then no limits.
    pub hold: bool,
}

impl Keep {
    /// Everything, for ever.
    pub const ALL: Self = Self {
        count: u64::MAX,
        time: None,
        hold: false,
    };

    /// Entries that were placed before this moment are gone.
    pub fn horizon(&self, now: u64) -> u64 {
        self.time.map_or(0, |time| {
            now.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
        })
    }
}

/// The rules of all rooms.
#[derive(Clone, Debug)]
pub struct Retention {
    general: Keep,
    /// Names, and prefixes without their `*`.
    rules: Vec<(Pattern, Keep)>,
}

#[derive(Clone, Debug)]
enum Pattern {
    Name(String),
    Prefix(String),
}

impl Retention {
    /// From `[log]` and `[[rooms]]`.
    pub fn new(log: &Log, rooms: &[Room]) -> Self {
        let general = Keep {
            count: count(log.retention_count),
            time: time(log.retention_days),
            hold: false,
        };
        let rules = rooms
            .iter()
            .map(|room| (Pattern::new(&room.name), rule(room, general)));
        Self {
            general,
            rules: rules.collect(),
        }
    }

    /// The same for every room.
    pub fn uniform(keep: Keep) -> Self {
        Self {
            general: keep,
            rules: Vec::new(),
        }
    }

    /// What this room keeps: the rule with its name, else that with the longest prefix, else the general one.
    pub fn of(&self, room: &RoomId) -> Keep {
        self.rules
            .iter()
            .filter_map(|(pattern, keep)| Some((pattern.fits(room)?, *keep)))
            .max_by_key(|(rank, _)| *rank)
            .map_or(self.general, |(_, keep)| keep)
    }

    /// Whether any room keeps its entries for a limited time.
    pub fn ends_by_time(&self) -> bool {
        self.general.time.is_some() || self.rules.iter().any(|(_, keep)| keep.time.is_some())
    }
}

impl Pattern {
    fn new(name: &str) -> Self {
        match name.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Name(name.to_owned()),
        }
    }

    /// How closely it fits, if it does.
    fn fits(&self, room: &RoomId) -> Option<usize> {
        match self {
            Self::Name(name) => (room.as_str() == name).then_some(usize::MAX),
            Self::Prefix(prefix) => room.as_str().starts_with(prefix).then_some(prefix.len()),
        }
    }
}

fn rule(room: &Room, general: Keep) -> Keep {
    if room.hold {
        return Keep {
            hold: true,
            ..Keep::ALL
        };
    }
    Keep {
        count: u64::try_from(room.retention_count).map_or(general.count, count),
        time: u32::try_from(room.retention_days).map_or(general.time, time),
        hold: false,
    }
}

/// 0 says: no limit.
fn count(configured: u64) -> u64 {
    if configured == 0 {
        u64::MAX
    } else {
        configured
    }
}

fn time(days: u32) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Keep, Retention};
    use crate::{
        config::{
            Config,
            rooms::{Room, RoomKind},
        },
        domain::room_name::RoomId,
    };

    #[test]
    fn the_closest_rule_says_what_a_room_keeps() {
        let rule = |name: &str, count, days, hold| Room {
            name: name.to_owned(),
            kind: RoomKind::Chat,
            retention_count: count,
            retention_days: days,
            hold,
        };
        let rooms = [
            rule("support:*", 50, -1, false),
            rule("support:eu:*", -1, 7, false),
            rule("support:eu:legal", -1, -1, true),
            rule("board", 0, 0, false),
        ];
        let mut log = Config::defaults().log;
        (log.retention_count, log.retention_days) = (1000, 30);
        let retention = Retention::new(&log, &rooms);
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        for (room, count, time, hold) in [
            ("lobby", 1000, days(30), false),
            ("support:us", 50, days(30), false),
            ("support:eu:1", 1000, days(7), false),
            ("support:eu:legal", u64::MAX, None, true),
            ("board", u64::MAX, None, false),
        ] {
            let room = RoomId::parse(room, 64).expect("a name");
            assert_eq!(retention.of(&room), Keep { count, time, hold }, "{room}");
        }
    }
}
