//! Nicknames: what is shown beside a message. A raw string from a person or a claim comes in; next the hub compares its keys
//! with those of the names that the room holds.

use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use unicode_segmentation::UnicodeSegmentation;

use super::{
    ids::UserId,
    name_key::{Keys, bare_keys, is_generated_form, keys},
    name_shape::shape,
};

/// A nickname that passed the pipeline, with its three comparison keys. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nickname(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    shown: Box<str>,
    keys: Keys,
    source: NameSource,
    bounds: NameBounds,
}

/// Where a nickname comes from; it decides who yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameSource {
    /// From the configured claim: `verified`, never yields.
    Claim,
    /// Chosen by the person: yields to a claim.
    Chosen,
    /// Made by the server (`guest-xxxx`).
    Generated,
}

/// How long a nickname may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameBounds {
    /// Most bytes before normalization.
    pub raw_bytes_max: usize,
    /// Most bytes after.
    pub bytes_max: usize,
    /// Most grapheme clusters.
    pub graphemes_max: usize,
}

/// The bounds of a nickname and the reserved names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NameRules {
    bounds: NameBounds,
    /// Bare keys of the reserved names, sorted.
    reserved: Arc<[Box<str>]>,
}

impl NameRules {
    /// Rules with these bounds, under which nobody may choose a name that is or looks like one of `reserved`.
    pub fn new<'a>(bounds: NameBounds, reserved: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys: Vec<Box<str>> = reserved
            .into_iter()
            .flat_map(bare_keys)
            .filter(|key| !key.is_empty())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        Self {
            bounds,
            reserved: keys.into(),
        }
    }

    fn reserves(&self, name: &str) -> bool {
        let bare = bare_keys(name);
        is_generated_form(&bare)
            || bare
                .iter()
                .any(|key| self.reserved.binary_search(key).is_ok())
    }
}

/// Why a string is not a nickname; the string itself is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NicknameError {
    /// Nothing to show, too long, or a character, script mix or mark that names may not have.
    #[error("the nickname is not allowed: {0}")]
    Invalid(&'static str),
    /// It is, or looks like, a reserved name.
    #[error("the nickname is reserved")]
    Reserved,
}

impl Nickname {
    /// Runs the pipeline over what somebody typed or a claim says. Reserved names are refused unless they come from a claim.
    /// A claim that is refused counts as absent: the session then has a chosen or a generated name.
    pub fn from_untrusted(
        raw: &str,
        source: NameSource,
        rules: &NameRules,
    ) -> Result<Self, NicknameError> {
        let shown = shape(raw, rules.bounds).map_err(NicknameError::Invalid)?;
        if source == NameSource::Chosen && rules.reserves(&shown) {
            return Err(NicknameError::Reserved);
        }
        Ok(Self::build(shown, source, rules.bounds))
    }

    /// A name for somebody without one: `guest-` and four characters of base32 (20 of the 64 random bits). Two guests may
    /// get the same; whoever seats them draws again.
    pub fn generated(random: u64) -> Self {
        let mut shown = BASE32_NOPAD.encode(&random.to_be_bytes());
        shown.make_ascii_lowercase();
        shown.truncate(4);
        let shown = format!("guest-{shown}");
        let bounds = NameBounds {
            raw_bytes_max: shown.len(),
            bytes_max: shown.len(),
            graphemes_max: shown.len(),
        };
        Self::build(shown, NameSource::Generated, bounds)
    }

    /// The same name with the first four characters of the user's pseudonym, for a claim that meets an equal claim. A name
    /// that would become too long loses its end; where a hyphen would mix scripts in one word, a blank parts the two.
    #[must_use]
    pub fn with_suffix(&self, user: UserId) -> Self {
        let suffix: String = user.as_str().chars().skip(2).take(4).collect();
        let graphemes: Vec<&str> = self.as_str().graphemes(true).collect();
        for kept in (1..=graphemes.len()).rev() {
            let stem: String = graphemes.iter().take(kept).copied().collect();
            for separator in ['-', ' '] {
                let candidate = format!("{stem}{separator}{suffix}");
                if let Ok(shown) = shape(&candidate, self.0.bounds) {
                    return Self::build(shown, self.0.source, self.0.bounds);
                }
            }
        }
        // Bounds so narrow that a suffix leaves no room for the name: the suffix is the name.
        Self::build(suffix, self.0.source, self.0.bounds)
    }

    fn build(shown: String, source: NameSource, bounds: NameBounds) -> Self {
        Self(Arc::new(Parts {
            keys: keys(&shown),
            shown: shown.into(),
            source,
            bounds,
        }))
    }

    /// The name as shown.
    pub fn as_str(&self) -> &str {
        &self.0.shown
    }

    /// The three keys: two names are the same person to an eye if any key of one equals any key of the other.
    pub fn keys(&self) -> &[Box<str>; 3] {
        &self.0.keys
    }

    /// Whether an eye could take the one for the other.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.keys().iter().any(|key| other.keys().contains(key))
    }

    /// Where it comes from.
    pub fn source(&self) -> NameSource {
        self.0.source
    }

    /// Whether the identity provider vouches for it.
    pub fn is_verified(&self) -> bool {
        self.0.source == NameSource::Claim
    }
}

#[cfg(test)]
mod tests {
    use super::{NameBounds, NameRules, NameSource, Nickname, NicknameError};
    use crate::domain::ids::UserId;

    const BOUNDS: NameBounds = NameBounds {
        raw_bytes_max: 256,
        bytes_max: 128,
        graphemes_max: 32,
    };

    fn rules() -> NameRules {
        NameRules::new(BOUNDS, ["admin", "moderator", "system", "wardroom"])
    }

    fn chosen(raw: &str) -> Result<Nickname, NicknameError> {
        Nickname::from_untrusted(raw, NameSource::Chosen, &rules())
    }

    fn claimed(raw: &str) -> Nickname {
        Nickname::from_untrusted(raw, NameSource::Claim, &rules()).expect("a good claim")
    }

    #[test]
    fn n4_reserved_names_cannot_be_chosen_in_any_dress() {
        for raw in [
            "admin",
            "ADMIN",
            "Admin",
            "ａｄｍｉｎ",
            "ⓐⓓⓜⓘⓝ",
            "a d m i n",
            "a.d.m.i.n",
            "ad-min",
            "_admin_",
            "'admin'",
            "adrnin",
            "System",
            "ward room",
            "guest-ab2c",
            "GUEST AB2C",
            "guestab2c",
        ] {
            assert_eq!(chosen(raw), Err(NicknameError::Reserved), "{raw}");
        }
        for raw in ["аdmin", "ad\u{200B}min", "ad\u{200C}min", "ad\u{AD}min"] {
            assert!(
                matches!(chosen(raw), Err(NicknameError::Invalid(_))),
                "{raw}"
            );
        }
        for raw in ["administer", "guest", "guest-of-honour", "Alice"] {
            assert!(chosen(raw).is_ok(), "{raw}");
        }
    }

    #[test]
    fn reserved_names_do_not_bind_a_claim() {
        assert_eq!(claimed("Admin").as_str(), "Admin");
        assert!(claimed("Admin").is_verified());
        assert!(!chosen("Alice").expect("good").is_verified());
    }

    #[test]
    fn n5_n6_names_that_look_alike_are_taken() {
        let looks = |one: &str, other: &str| {
            chosen(one)
                .expect("good")
                .looks_like(&chosen(other).expect("good"))
        };
        for (one, other) in [
            ("paypaI", "paypal"),
            ("paypa1", "paypal"),
            ("PAYPAL", "paypal"),
            ("раураӏ", "paypal"),
            ("modem", "modern"),
            ("B0B", "BOB"),
            ("b0b", "bob"),
            ("Alice Smith", "alice  smith"),
            ("straße", "STRASSE"),
            ("علی\u{200C}رضا", "علیرضا"),
        ] {
            assert!(looks(one, other), "{one} {other}");
        }
        assert!(!looks("Alice", "Alicia"));
    }

    #[test]
    fn a_generated_name_is_a_guest_that_nobody_can_choose() {
        let guest = Nickname::generated(0x0123_4567_89ab_cdef);
        assert_eq!(guest.as_str(), "guest-aeru");
        assert_eq!(guest.source(), NameSource::Generated);
        for random in [0, 1 << 44, u64::MAX, 0xdead_beef_0bad_cafe] {
            let guest = Nickname::generated(random);
            assert_eq!(chosen(guest.as_str()), Err(NicknameError::Reserved));
            assert!(
                Nickname::from_untrusted(guest.as_str(), NameSource::Generated, &rules()).is_ok()
            );
        }
    }

    #[test]
    fn n15_an_equal_claim_gets_a_suffix_from_its_user() {
        let user = UserId::from_digest(&[7; 32]);
        let code = &user.as_str()[2..6];
        let twin = claimed("Alice").with_suffix(user);
        assert_eq!(twin.as_str(), format!("Alice-{code}"));
        assert!(twin.is_verified());
        assert!(!twin.looks_like(&claimed("Alice")));
        assert_eq!(
            claimed("太郎").with_suffix(user).as_str(),
            format!("太郎-{code}")
        );
        assert_eq!(
            claimed("Иван").with_suffix(user).as_str(),
            format!("Иван {code}"),
            "a hyphen would mix scripts in one word"
        );
    }

    #[test]
    fn a_suffixed_name_obeys_the_bounds() {
        let user = UserId::from_digest(&[7; 32]);
        for raw in [
            "x".repeat(32),
            "Иван ".repeat(6),
            "é".repeat(32),
            "ab".to_owned(),
        ] {
            let twin = claimed(&raw).with_suffix(user);
            assert!(twin.as_str().ends_with(&user.as_str()[2..6]));
            assert_eq!(
                Nickname::from_untrusted(twin.as_str(), NameSource::Claim, &rules()),
                Ok(twin)
            );
        }
        let narrow = NameBounds {
            graphemes_max: 2,
            ..BOUNDS
        };
        let tiny = Nickname::from_untrusted("ab", NameSource::Claim, &NameRules::new(narrow, []));
        assert_eq!(
            tiny.expect("two letters").with_suffix(user).as_str(),
            &user.as_str()[2..6]
        );
    }
}
