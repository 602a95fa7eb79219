//! Who it is: issuer and subject, and what a verified token said about them. Everything downstream asks an [`Identity`]; it
//! gives grants, and shows a person only by a pseudonym. The producer of a session's messages is derived here too.

use std::{fmt, sync::Arc, time::Duration};

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    auth::{
        digest::sha256,
        keys::KeyFingerprint,
        random::secret_bytes,
        rights::{Rooms, Scopes},
    },
    domain::{
        ids::{ProducerId, UserId},
        position::Position,
    },
};

/// How long a resume string is honoured. The log remembers a producer for 24 h, so a repeat within these 20 h always meets a
/// log that remembers the first copy.
const RESUME_LIFE: Duration = Duration::from_hours(20);
/// How far the clock of the node that issued a resume string may be ahead of ours.
const RESUME_AHEAD: Duration = Duration::from_mins(1);
/// Longer strings are nobody's: ours have about 33 bytes.
const RESUME_BYTES_MAX: usize = 64;
/// 128 random bits in base64url.
const RESUME_RANDOM_BYTES: usize = 22;

/// What a verified token said, before it becomes an identity. Also what a ticket carries from the call that fetched it to the
/// upgrade that spends it.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct IdentityParts {
    /// `iss`, one of the configured issuers.
    pub(crate) issuer: Box<str>,
    /// `sub`.
    pub(crate) subject: Box<str>,
    /// The nickname claim, raw: the pipeline of nicknames has not seen it.
    pub(crate) nickname: Option<Box<str>>,
    /// What it may do.
    pub(crate) scopes: Scopes,
    /// Where.
    pub(crate) rooms: Rooms,
    /// `exp`, unix seconds.
    pub(crate) expires_at: u64,
    /// `iat`, unix seconds.
    pub(crate) issued_at: Option<u64>,
    /// `jti`.
    pub(crate) token_id: Option<Box<str>>,
    /// `sid`.
    pub(crate) session_id: Option<Box<str>>,
    /// The key that signed the token.
    pub(crate) key: Option<KeyFingerprint>,
}

impl IdentityParts {
    /// A person without any right, whose token ends at once; a test fills in the rest.
    #[cfg(test)]
    pub(crate) fn new(issuer: impl Into<Box<str>>, subject: impl Into<Box<str>>) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            nickname: None,
            scopes: Scopes::NONE,
            rooms: Rooms::default(),
            expires_at: 0,
            issued_at: None,
            token_id: None,
            session_id: None,
            key: None,
        }
    }
}

/// A person or service that an issuer vouches for. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Verified>);

struct Verified {
    parts: IdentityParts,
    user: UserId,
    /// When this node saw the credential.
    seen: Instant,
}

impl Identity {
    /// Only for who has verified a credential.
    pub(crate) fn from_verified(parts: IdentityParts) -> Self {
        Self(Arc::new(Verified {
            user: user_of(&parts.issuer, &parts.subject),
            seen: Instant::now(),
            parts,
        }))
    }

    /// The public pseudonym: computed from issuer and subject alone, so no other claim can change it.
    pub fn user(&self) -> UserId {
        self.0.user
    }

    /// `iss`.
    pub fn issuer(&self) -> &str {
        &self.0.parts.issuer
    }

    /// The nickname claim as it came; it has to pass the same rules as a chosen name.
    pub fn nickname_claim(&self) -> Option<&str> {
        self.0.parts.nickname.as_deref()
    }

    /// The scopes, `chat` expanded, in the order of the documentation's table.
    pub fn scope_names(&self) -> Vec<&'static str> {
        self.scopes().names()
    }

    /// When the token ends, unix seconds; `auth.leeway_s` is not added.
    pub fn expires_at(&self) -> u64 {
        self.0.parts.expires_at
    }

    /// The scopes.
    pub fn scopes(&self) -> Scopes {
        self.0.parts.scopes
    }

    pub(super) fn rooms(&self) -> &Rooms {
        &self.0.parts.rooms
    }

    pub(super) fn parts(&self) -> &IdentityParts {
        &self.0.parts
    }

    pub(super) fn seen(&self) -> Instant {
        self.0.seen
    }

    /// Whether both are the same person of the same issuer.
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.0.parts.issuer == other.0.parts.issuer && self.0.parts.subject == other.0.parts.subject
    }
}

/// The pseudonym and nothing more: claims are not for logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.user).finish()
    }
}

/// SHA-256(`iss` ‖ 0x00 ‖ `sub`), as [`UserId::from_digest`] prints it. A pseudonym, not a secret: who knows `sub` can
/// compute it.
pub fn user_of(issuer: &str, subject: &str) -> UserId {
    UserId::from_digest(&sha256(&[issuer.as_bytes(), &[0], subject.as_bytes()]))
}

/// Who numbers the messages of a session: 96 bits of a hash over user and resume string. Another user's string yields another
/// producer, so the string needs to be neither signed nor secret nor stored.
pub fn producer_of(user: UserId, resume: &str) -> ProducerId {
    let digest = sha256(&[
        b"wardroom producer",
        user.as_str().as_bytes(),
        resume.as_bytes(),
    ]);
    producer_from(digest)
}

fn producer_from(digest: [u8; 32]) -> ProducerId {
    let mut bytes = [0; 12];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    ProducerId::from_bytes(bytes)
}

/// Who numbers the deletion of the message at this position: whoever deletes it, from wherever, appends under one name, and
/// the log recognises all but the first.
pub fn producer_of_deletion(target: Position) -> ProducerId {
    let digest = sha256(&[
        b"wardroom deletion",
        &target.offset.to_be_bytes(),
        &target.epoch.raw().to_be_bytes(),
    ]);
    producer_from(digest)
}

/// A fresh resume string: `<issued>.<128 random bits>`, the time in unix seconds.
pub fn new_resume(unix_s: u64) -> String {
    format!("{unix_s}.{}", BASE64URL_NOPAD.encode(&secret_bytes::<16>()))
}

/// Whether a client's resume string has our form and is under 20 hours old. One that is not gets a fresh string instead.
pub fn resume_is_fresh(raw: &str, now_s: u64) -> bool {
    if raw.len() > RESUME_BYTES_MAX {
        return false;
    }
    let Some((issued, random)) = raw.split_once('.') else {
        return false;
    };
    let random_fits =
        random.len() == RESUME_RANDOM_BYTES && BASE64URL_NOPAD.decode(random.as_bytes()).is_ok();
    let Some(issued) = issued
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| issued.parse::<u64>().ok())
        .flatten()
    else {
        return false;
    };
    random_fits
        && issued <= now_s.saturating_add(RESUME_AHEAD.as_secs())
        && now_s.saturating_sub(issued) < RESUME_LIFE.as_secs()
}

#[cfg(test)]
mod tests {
    use super::{Identity, IdentityParts, new_resume, producer_of, resume_is_fresh, user_of};

    #[test]
    fn a_person_is_issuer_and_subject_and_nothing_else() {
        let user = user_of("https://idp.example", "alice");
        assert_eq!(user.as_str().len(), 22);
        assert_eq!(user, user_of("https://idp.example", "alice"));
        assert_ne!(user, user_of("https://idp.example", "bob"));
        assert_ne!(user, user_of("https://other.example", "alice"));
        assert_ne!(
            user_of("a", "bc"),
            user_of("ab", "c"),
            "the zero byte separates"
        );
        let named = Identity::from_verified(IdentityParts {
            nickname: Some("Bob".into()),
            expires_at: 7,
            ..IdentityParts::new("https://idp.example", "alice")
        });
        assert_eq!(named.user(), user);
        assert_eq!(named.nickname_claim(), Some("Bob"));
        assert_eq!(named.expires_at(), 7);
        assert_eq!(named.issuer(), "https://idp.example");
    }

    #[test]
    fn the_pseudonym_is_the_documented_hash() {
        // printf 'https://idp.example\0alice' | sha256sum | cut -c-64 | xxd -r -p | base32 | tr A-Z a-z | cut -c-20
        assert_eq!(
            user_of("https://idp.example", "alice").as_str(),
            "u_py5a2tte2bj2udmailcq"
        );
    }

    #[test]
    fn debug_shows_the_pseudonym_alone() {
        let identity = Identity::from_verified(IdentityParts {
            nickname: Some("Secret Name".into()),
            ..IdentityParts::new("https://idp.example", "hidden-subject")
        });
        let shown = format!("{identity:?}");
        assert!(shown.contains("u_"), "{shown}");
        for hidden in ["Secret", "hidden", "idp"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn a_producer_belongs_to_one_person_and_one_string() {
        let (alice, bob) = (user_of("i", "alice"), user_of("i", "bob"));
        let resume = new_resume(1_700_000_000);
        assert_eq!(producer_of(alice, &resume), producer_of(alice, &resume));
        assert_ne!(producer_of(alice, &resume), producer_of(bob, &resume));
        assert_ne!(
            producer_of(alice, &resume),
            producer_of(alice, &new_resume(1_700_000_000))
        );
    }

    #[test]
    fn a_resume_string_is_fresh_for_20_hours() {
        let issued = 1_700_000_000;
        let resume = new_resume(issued);
        let hours_20 = 20 * 3600;
        assert!(resume_is_fresh(&resume, issued));
        assert!(resume_is_fresh(&resume, issued + hours_20 - 1));
        assert!(!resume_is_fresh(&resume, issued + hours_20));
        assert!(resume_is_fresh(&resume, issued - 60));
        assert!(!resume_is_fresh(&resume, issued - 61));
    }

    #[test]
    fn a_resume_string_of_another_form_is_not_fresh() {
        let now = 1_700_000_000;
        let random = "AAAAAAAAAAAAAAAAAAAAAA";
        assert!(resume_is_fresh(&format!("{now}.{random}"), now));
        for bad in [
            String::new(),
            ".".to_owned(),
            now.to_string(),
            format!("{now}."),
            format!(".{random}"),
            format!("+{now}.{random}"),
            format!("-1.{random}"),
            format!("{now}.{random}A"),
            format!("{now}.AAAAAAAAAAAAAAAAAAAAAB"),
            format!("{now}.AAAAAAAAAAAAAAAAAAAAA="),
            format!("{now}.{random}.x"),
            format!("99999999999999999999999.{random}"),
            format!("{}{now}.{random}", "0".repeat(64)),
            "é".repeat(30),
        ] {
            assert!(!resume_is_fresh(&bad, now), "{bad}");
        }
    }
}
