//! From the claims of a token whose signature is good to values of ours. A claim of the wrong type is a failure, never an
//! absence: nothing falls back to a default because a provider wrote a number where a word belongs.

use serde_json::Value;

use crate::auth::{
    claim_path::ClaimPath,
    reason::Reason,
    rights::{RoomPattern, Rooms, Scopes},
    strict_json::Object,
};

/// The largest integer that every JSON reader agrees about (RFC 8259 §6).
const INTEGER_MAX: u64 = (1 << 53) - 1;
/// The longest `sub`, `jti` or `sid`.
const NAME_BYTES_MAX: usize = 256;

/// The registered claims, typed. Whether they hold now is for the verifier to say.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Registered {
    pub(super) expires_at: u64,
    pub(super) issued_at: Option<u64>,
    pub(super) not_before: Option<u64>,
    pub(super) subject: Box<str>,
    pub(super) token_id: Option<Box<str>>,
    pub(super) session_id: Option<Box<str>>,
}

impl Registered {
    /// Reads them, and refuses the kinds of token that are no access tokens.
    pub(super) fn read(claims: &Object) -> Result<Self, Reason> {
        if claims.has("events") {
            return Err(Reason::LogoutToken);
        }
        if claims.has("cnf") {
            return Err(Reason::ProofOfPossession);
        }
        // OpenID Connect Core §3.1.3.6 and §3.3.2.11: hashes that only an ID token carries.
        if claims.has("at_hash") || claims.has("c_hash") {
            return Err(Reason::IdToken);
        }
        let subject = claims.get("sub").ok_or(Reason::ClaimMissing)?;
        let subject = subject.as_str().ok_or(Reason::ClaimType)?;
        Ok(Self {
            expires_at: time(claims, "exp")?.ok_or(Reason::ClaimMissing)?,
            issued_at: time(claims, "iat")?,
            not_before: time(claims, "nbf")?,
            subject: plain_name(subject).ok_or(Reason::Subject)?.into(),
            token_id: name(claims, "jti")?,
            session_id: name(claims, "sid")?,
        })
    }
}

fn time(claims: &Object, claim: &str) -> Result<Option<u64>, Reason> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    match value.as_u64() {
        Some(seconds) if seconds <= INTEGER_MAX => Ok(Some(seconds)),
        _ => Err(Reason::ClaimType),
    }
}

fn name(claims: &Object, claim: &str) -> Result<Option<Box<str>>, Reason> {
    let Some(value) = claims.get(claim) else {
        return Ok(None);
    };
    let name = value.as_str().ok_or(Reason::ClaimType)?;
    plain_name(name)
        .map(|name| Some(name.into()))
        .ok_or(Reason::ClaimType)
}

/// The string, if it has 1 to 256 bytes and nothing that moves a cursor or turns a line around.
fn plain_name(raw: &str) -> Option<&str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    ((1..=NAME_BYTES_MAX).contains(&raw.len()) && !raw.chars().any(steers)).then_some(raw)
}

/// Whether the claim is, or contains, one of the accepted audiences; it may be a string or a list of strings.
pub(super) fn audience_fits(claim: &Value, accepted: &[String]) -> bool {
    let fits = |value: &str| accepted.iter().any(|one| one == value);
    match claim {
        Value::String(one) => fits(one),
        Value::Array(list) => {
            list.iter().all(Value::is_string) && list.iter().filter_map(Value::as_str).any(fits)
        }
        _ => false,
    }
}

/// Where the rights are, and what holds where the token says nothing.
#[derive(Clone, Debug)]
pub(super) struct RightsRules {
    pub(super) nickname: ClaimPath,
    pub(super) rooms: ClaimPath,
    pub(super) scope: ClaimPath,
    pub(super) default_rooms: Vec<RoomPattern>,
    pub(super) default_scopes: Scopes,
    pub(super) room_bytes_max: usize,
}

/// What the token says that its bearer may do, and how they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) nickname: Option<Box<str>>,
    pub(super) scopes: Scopes,
    pub(super) rooms: Rooms,
    /// Entries of `rooms` that are neither a name nor a prefix.
    pub(super) rooms_ignored: u64,
}

impl RightsRules {
    /// Reads the three configured claims.
    pub(super) fn read(&self, claims: &Object) -> Result<Rights, Reason> {
        let nickname = match self.nickname.get(claims) {
            // Providers write null for a person without a nickname; it gives no right, so it may be read as absent.
            None | Some(Value::Null) => None,
            Some(Value::String(raw)) => Some(raw.as_str().into()),
            Some(_) => return Err(Reason::ClaimType),
        };
        let scopes = match self.scope.get(claims).or_else(|| claims.get("scp")) {
            None => self.default_scopes,
            Some(claim) => Scopes::from_words(words(claim)?),
        };
        let mut rooms_ignored = 0_u64;
        let rooms = match self.rooms.get(claims) {
            None => Rooms::by_default(self.default_rooms.clone()),
            Some(claim) => {
                let mut patterns = Vec::new();
                for raw in words(claim)? {
                    match RoomPattern::parse(raw, self.room_bytes_max) {
                        Some(pattern) => patterns.push(pattern),
                        None => rooms_ignored = rooms_ignored.saturating_add(1),
                    }
                }
                Rooms::claimed(patterns)
            }
        };
        Ok(Rights {
            nickname,
            scopes,
            rooms,
            rooms_ignored,
        })
    }
}

/// The words of a claim: a string with blanks between them (RFC 6749 §3.3), or a list of strings.
fn words(claim: &Value) -> Result<Vec<&str>, Reason> {
    match claim {
        Value::String(line) => Ok(line.split_ascii_whitespace().collect()),
        Value::Array(list) => list
            .iter()
            .map(|value| value.as_str().ok_or(Reason::ClaimType))
            .collect(),
        _ => Err(Reason::ClaimType),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Registered, Rights, RightsRules, audience_fits};
    use crate::{
        auth::{
            claim_path::ClaimPath,
            reason::Reason,
            rights::{RoomPattern, Scopes},
            strict_json::Object,
        },
        domain::room_name::RoomId,
    };

    fn object(value: &Value) -> Object {
        Object::parse(value.to_string().as_bytes()).expect("an object")
    }

    fn registered(change: impl FnOnce(&mut Value)) -> Result<Registered, Reason> {
        let mut claims = json!({"iss": "i", "aud": "a", "sub": "alice", "exp": 1000});
        change(&mut claims);
        Registered::read(&object(&claims))
    }

    #[test]
    fn times_are_whole_numbers_below_two_to_the_53() {
        for claim in ["exp", "iat", "nbf"] {
            for good in [json!(0), json!(1), json!(9_007_199_254_740_991_u64)] {
                assert!(registered(|claims| claims[claim] = good.clone()).is_ok());
            }
            for bad in [
                json!("1000"),
                json!(null),
                json!(-1),
                json!(1.5),
                json!(1000.0),
                json!(9_007_199_254_740_992_u64),
                json!(u64::MAX),
                json!({}),
                json!([1000]),
                json!(true),
            ] {
                let error = registered(|claims| claims[claim] = bad.clone()).err();
                assert_eq!(error, Some(Reason::ClaimType), "{claim} {bad}");
            }
        }
    }

    #[test]
    fn a_subject_is_1_to_256_bytes_without_controls() {
        for good in [
            "a",
            "alice@example.org",
            "auth0|5f",
            "Łukasz",
            &"x".repeat(256),
        ] {
            assert!(
                registered(|claims| claims["sub"] = json!(good)).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "",
            "a\nb",
            "a\0",
            "\u{1b}[31m",
            "\u{202e}evil",
            "a\u{2028}",
            "\u{85}",
            &"x".repeat(257),
        ] {
            let error = registered(|claims| claims["sub"] = json!(bad)).err();
            assert_eq!(error, Some(Reason::Subject), "{bad:?}");
        }
        for (bad, reason) in [
            (json!(5), Reason::ClaimType),
            (json!(null), Reason::ClaimType),
            (json!(["alice"]), Reason::ClaimType),
        ] {
            assert_eq!(registered(|claims| claims["sub"] = bad).err(), Some(reason));
        }
    }

    #[test]
    fn tokens_of_another_kind_are_refused_by_the_claims_that_only_they_have() {
        for (claim, reason) in [
            ("events", Reason::LogoutToken),
            ("cnf", Reason::ProofOfPossession),
            ("at_hash", Reason::IdToken),
            ("c_hash", Reason::IdToken),
        ] {
            for value in [json!({}), json!(null), json!("x")] {
                let error = registered(|claims| claims[claim] = value).err();
                assert_eq!(error, Some(reason), "{claim}");
            }
        }
    }

    #[test]
    fn token_and_session_ids_are_strings_or_absent() {
        let read = registered(|claims| {
            claims["jti"] = json!("t1");
            claims["sid"] = json!("s1");
        })
        .expect("good claims");
        assert_eq!(read.token_id.as_deref(), Some("t1"));
        assert_eq!(read.session_id.as_deref(), Some("s1"));
        for claim in ["jti", "sid"] {
            for bad in [
                json!(5),
                json!(null),
                json!(""),
                json!("a\n"),
                json!("x".repeat(257)),
            ] {
                let error = registered(|claims| claims[claim] = bad).err();
                assert_eq!(error, Some(Reason::ClaimType), "{claim}");
            }
        }
    }

    #[test]
    fn an_audience_is_a_string_or_a_list_of_strings_with_ours_in_it() {
        let accepted = ["wardroom".to_owned(), "other".to_owned()];
        for good in [json!("wardroom"), json!("other"), json!(["x", "wardroom"])] {
            assert!(audience_fits(&good, &accepted), "{good}");
        }
        for bad in [
            json!("ward"),
            json!("wardroom2"),
            json!("Wardroom"),
            json!([]),
            json!(["x"]),
            json!(5),
            json!(null),
            json!({"wardroom": true}),
            json!(["wardroom", 5]),
            json!([["wardroom"]]),
        ] {
            assert!(!audience_fits(&bad, &accepted), "{bad}");
        }
    }

    fn rules() -> RightsRules {
        let path = |raw| ClaimPath::parse(raw).expect("a path");
        RightsRules {
            nickname: path("nickname"),
            rooms: path("rooms"),
            scope: path("scope"),
            default_rooms: vec![RoomPattern::parse("lobby", 64).expect("a name")],
            default_scopes: Scopes::from_words(["chat"]),
            room_bytes_max: 64,
        }
    }

    fn rights(claims: &Value) -> Result<Rights, Reason> {
        rules().read(&object(claims))
    }

    #[test]
    fn scope_is_a_string_or_a_list_and_scp_stands_in_for_it() {
        let names = |claims| rights(&claims).expect("good claims").scopes.names();
        let chat = ["chat:read", "chat:send"];
        assert_eq!(names(json!({})), chat, "absent: the default");
        assert_eq!(names(json!({"scope": "openid chat"})), chat);
        assert_eq!(names(json!({"scope": ["chat"]})), chat);
        assert_eq!(names(json!({"scp": ["chat:read"]})), ["chat:read"]);
        assert_eq!(names(json!({"scp": "chat:read x"})), ["chat:read"]);
        assert_eq!(
            names(json!({"scope": "chat:read", "scp": "chat:admin"})),
            ["chat:read"],
            "scp only where scope is absent"
        );
        for empty in [
            json!(""),
            json!([]),
            json!("chat:connectx"),
            json!(["chat:read chat"]),
        ] {
            assert!(names(json!({"scope": empty})).is_empty(), "{empty}");
        }
        for bad in [
            json!(null),
            json!(5),
            json!({}),
            json!(["chat", 5]),
            json!(true),
        ] {
            assert_eq!(
                rights(&json!({"scope": bad})).err(),
                Some(Reason::ClaimType),
                "{bad}"
            );
        }
    }

    #[test]
    fn rooms_of_any_other_shape_are_ignored_and_counted() {
        let read = rights(&json!({"rooms": ["lobby", "a*b", "Upper", "support:*", ""]}))
            .expect("good claims");
        assert_eq!(read.rooms_ignored, 3);
        let room = |name| RoomId::parse(name, 64).expect("a name");
        assert!(read.rooms.opened_by_claim(&room("support:7")));
        assert!(!read.rooms.open(&room("upper")));
        let absent = rights(&json!({})).expect("good claims");
        assert!(absent.rooms.open(&room("lobby")));
        assert!(!absent.rooms.opened_by_claim(&room("lobby")));
        let empty = rights(&json!({"rooms": []})).expect("good claims");
        assert!(
            !empty.rooms.open(&room("lobby")),
            "present but empty is no default"
        );
        assert_eq!(rights(&json!({"rooms": 5})).err(), Some(Reason::ClaimType));
    }

    #[test]
    fn a_nickname_is_a_string_or_nothing() {
        let nickname = |claims| rights(&claims).map(|read| read.nickname);
        assert_eq!(nickname(json!({"nickname": "Al"})), Ok(Some("Al".into())));
        assert_eq!(nickname(json!({"nickname": null})), Ok(None));
        assert_eq!(nickname(json!({})), Ok(None));
        assert_eq!(nickname(json!({"nickname": 5})), Err(Reason::ClaimType));
    }
}
