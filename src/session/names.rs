//! Which nickname a session has before anybody in a room objects: the claim's, the chosen one, or a generated one.

use crate::{
    auth::{identity::Identity, random},
    config::nicknames::NicknameSource,
    domain::nickname::{NameRules, NameSource, Nickname},
};

/// The names of one session.
#[derive(Clone, Debug)]
pub struct Names {
    claim: Option<Nickname>,
    chosen: Option<Nickname>,
    generated: Nickname,
}

impl Names {
    /// Reads the claim. One that is malformed counts as absent: the person is not shut out by what their provider wrote.
    pub fn new(
        identity: &Identity,
        chosen: Option<Nickname>,
        source: NicknameSource,
        rules: &NameRules,
    ) -> Self {
        let claim = match source {
            NicknameSource::Chosen => None,
            NicknameSource::Claim | NicknameSource::ClaimOrChosen => identity
                .nickname_claim()
                .and_then(|raw| Nickname::from_untrusted(raw, NameSource::Claim, rules).ok()),
        };
        let chosen = if source == NicknameSource::Claim {
            None
        } else {
            chosen
        };
        Self {
            claim,
            chosen,
            generated: Nickname::generated(u64::from_be_bytes(random::secret_bytes())),
        }
    }

    /// The name for a room in which the person asked for `wish`. A claim wins over every wish.
    pub fn for_room(&self, wish: Option<&Nickname>) -> Nickname {
        self.claim
            .as_ref()
            .or(wish)
            .or(self.chosen.as_ref())
            .unwrap_or(&self.generated)
            .clone()
    }

    /// The name that `welcome` tells: a generated one is not told before a room has seen it.
    pub fn told(&self) -> Option<&Nickname> {
        self.claim.as_ref().or(self.chosen.as_ref())
    }

    /// Whose word the name before a line of `wardroom.text` is: with a claim it is the provider's and not looked at.
    pub fn line_source(&self) -> NameSource {
        if self.claim.is_some() {
            NameSource::Claim
        } else {
            NameSource::Chosen
        }
    }

    /// Keeps what the person chose.
    pub fn choose(&mut self, nick: Nickname) {
        self.chosen = Some(nick);
    }
}
