//! Who is it, and what may they do? A request's one credential becomes an [`identity::Identity`] before the 101; from then on
//! the identity gives a grant per frame, and the hub does nothing without one. Keys come over [`fetch::Fetch`], tickets lie in
//! a [`ticket_store::TicketStore`]; both are implemented elsewhere. jsonwebtoken is named in this folder alone.
// Tests may panic; that is how they fail.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

pub mod credential;
pub mod identity;
pub mod grants;
pub mod rights;
pub mod error;
pub mod reason;

// From a raw token to an identity.
mod verify;
mod header;
mod claims;
mod claim_path;
mod issuer;
mod strict_json;

// Keys.
pub mod keys;
mod key_set;
mod key_source;
mod jwks;
pub mod fetch;

// Tickets.
pub mod ticket_store;
mod tickets;
mod ticket_ledger;

// What all of it stands on.
pub mod crypto;
pub mod mint;
pub mod digest;
pub mod random;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod bad_tokens;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use self::{
    claim_path::ClaimPath,
    claims::RightsRules,
    credential::Credential,
    error::{AuthError, AuthSetupError, RefreshError, TicketError},
    fetch::Fetch,
    identity::Identity,
    issuer::{Issuer, Surroundings},
    reason::Reason,
    rights::{RoomPattern, Scopes},
    ticket_store::TicketStore,
    tickets::{TicketRules, Tickets},
    verify::{PathRules, TimeRules, Verifier},
};
pub use self::{
    crypto::install_crypto, issuer::LocalIssuer, key_set::KeyState, tickets::IssuedTicket,
};
use crate::{
    clock::Clock,
    config::{
        auth::{Auth, QueryToken},
        limits::Limits,
    },
    domain::{origin::Origin, token::RawToken},
    telemetry::metrics::Metrics,
};

/// What the authenticator works with and does not make itself.
#[derive(Clone)]
pub struct AuthParts {
    /// Reads key sets.
    pub fetch: Arc<dyn Fetch>,
    /// Keeps tickets.
    pub tickets: Arc<dyn TicketStore>,
    /// The time of day.
    pub clock: Clock,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// Tells who somebody is.
pub struct Authenticator {
    verifier: Verifier,
    tickets: Tickets,
    /// For headers, subprotocols and frames.
    anywhere: PathRules,
    /// For `?token=`; `None` if it is off.
    query: Option<PathRules>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("issuers", &self.verifier.issuers.len())
            .finish_non_exhaustive()
    }
}

impl Authenticator {
    /// Reads key files and checks the whole section. Key sets are read by [`Authenticator::run`].
    pub fn new(auth: &Auth, limits: &Limits, parts: AuthParts) -> Result<Self, AuthSetupError> {
        let around = Surroundings {
            limits,
            fetch: &parts.fetch,
            clock: &parts.clock,
            metrics: &parts.metrics,
        };
        let mut issuers: Vec<Issuer> = Vec::new();
        for (index, block) in auth.issuers.iter().enumerate() {
            let key = format!("auth.issuers[{index}]");
            if issuers.iter().any(|issuer| issuer.name() == block.issuer) {
                return Err(AuthSetupError::new(key, "this issuer has a block already"));
            }
            issuers.push(Issuer::from_config(block, &key, &around)?);
        }
        if issuers.is_empty() {
            return Err(AuthSetupError::new("auth.issuers", "no issuer is named"));
        }
        Self::over(issuers, auth, limits, parts)
    }

    /// As [`Authenticator::new`], but the one issuer is a local key: for `wardroom dev`. `auth.issuers` is not looked at.
    pub fn with_static_key(
        auth: &Auth,
        limits: &Limits,
        local: LocalIssuer,
        parts: AuthParts,
    ) -> Result<Self, AuthSetupError> {
        Self::over(vec![Issuer::local(local)?], auth, limits, parts)
    }

    fn over(
        issuers: Vec<Issuer>,
        auth: &Auth,
        limits: &Limits,
        parts: AuthParts,
    ) -> Result<Self, AuthSetupError> {
        install_crypto().map_err(|error| AuthSetupError::new("auth", error))?;
        let leeway = auth.leeway.as_secs();
        let query = PathRules {
            bytes_max: limits.query_token_bytes_max.min(limits.token_bytes_max),
            life_max: match auth.query_token {
                QueryToken::ShortLived => Some(limits.query_token_life_max.as_secs()),
                QueryToken::On | QueryToken::Off => None,
            },
        };
        let ticket_rules = TicketRules {
            life: limits.ticket_life,
            per_user_max: limits.tickets_per_user_max,
            max: limits.tickets_max,
            leeway,
        };
        let metrics = Arc::clone(&parts.metrics);
        Ok(Self {
            tickets: Tickets::new(parts.tickets, ticket_rules, parts.clock.clone(), metrics),
            verifier: Verifier {
                issuers,
                times: TimeRules {
                    leeway,
                    life_max: auth.token_life_max.as_secs(),
                    left_min: limits.token_left_min.as_secs(),
                },
                rights: rights_rules(auth, limits)?,
            },
            anywhere: PathRules {
                bytes_max: limits.token_bytes_max,
                life_max: None,
            },
            query: (auth.query_token != QueryToken::Off).then_some(query),
            clock: parts.clock,
            metrics: parts.metrics,
        })
    }

    /// Verifies the one credential of a request. `origin` is the request's, already allowed: a ticket is good only for the
    /// page that it was fetched for, and is spent by this call.
    ///
    /// # Cancel safety
    /// Dropping the future may have spent a ticket.
    pub async fn authenticate(
        &self,
        one: Credential,
        origin: Option<&Origin>,
    ) -> Result<Identity, AuthError> {
        let method = one.method();
        let found = match &one {
            Credential::Bearer(token) | Credential::Subprotocol(token) => {
                self.verify(token, self.anywhere).await
            }
            Credential::Query(token) => match self.query {
                Some(rules) => self.verify(token, rules).await,
                None => Err(Reason::QueryTokenOff.into()),
            },
            Credential::Ticket(ticket) => self.redeem(ticket, origin).await,
        };
        self.record(method, found.as_ref().err());
        found
    }

    /// Verifies the token of an `auth` frame, for a session that goes on as the same person.
    pub async fn refresh(
        &self,
        current: &Identity,
        token: RawToken,
    ) -> Result<Identity, RefreshError> {
        let found = match self.verify(&token, self.anywhere).await {
            Ok(fresh) if !fresh.is_same_person(current) => {
                self.count("frame", "forbidden");
                return Err(RefreshError::OtherIdentity);
            }
            Ok(fresh) if fresh.expires_at() < current.expires_at() => {
                Err(Reason::OlderExpiry.into())
            }
            found => found,
        };
        self.record("frame", found.as_ref().err());
        found.map_err(RefreshError::Refused)
    }

    /// A ticket for this identity, to be spent from that Origin (`None`: by a client without one).
    pub async fn issue_ticket(
        &self,
        identity: &Identity,
        origin: Option<&Origin>,
    ) -> Result<IssuedTicket, TicketError> {
        self.tickets.issue(identity, origin).await
    }

    /// Whether the issuer still publishes the key that signed for this identity. A session whose key is gone ends.
    pub fn still_vouched(&self, identity: &Identity) -> bool {
        match self.verifier.issuer(identity.issuer()) {
            Ok(issuer) => !issuer.withdrew(identity, identity.seen()),
            Err(_) => false,
        }
    }

    /// Keeps every key set fresh until `stop`. The first reads happen here.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let caches = self.verifier.issuers.iter().filter_map(Issuer::cache);
        join_all(caches.map(|cache| cache.run(&stop))).await;
        stop.cancelled().await;
    }

    /// Every issuer with the state of its keys, in the configuration's order.
    pub fn keys_ready(&self) -> Vec<(String, KeyState)> {
        self.verifier
            .issuers
            .iter()
            .map(|issuer| (issuer.name().to_owned(), issuer.key_state()))
            .collect()
    }

    async fn verify(&self, token: &RawToken, rules: PathRules) -> Result<Identity, AuthError> {
        let now = self.clock.unix_s();
        let verified = self.verifier.verify(token.expose(), rules, now).await?;
        if verified.rooms_ignored > 0 {
            self.metrics
                .room_claims_ignored
                .inc_by(verified.rooms_ignored);
        }
        Ok(verified.identity)
    }

    async fn redeem(
        &self,
        ticket: &RawToken,
        origin: Option<&Origin>,
    ) -> Result<Identity, AuthError> {
        let identity = self.tickets.redeem(ticket, origin).await?;
        // A store that many nodes share may hold tickets of an issuer that this node no longer believes.
        self.verifier.issuer(identity.issuer())?;
        Ok(identity)
    }

    fn record(&self, method: &'static str, error: Option<&AuthError>) {
        let Some(error) = error else {
            return self.count(method, "ok");
        };
        self.count(method, error.code().name());
        tracing::debug!(method, reason = error.label(), "a credential was refused");
    }

    fn count(&self, method: &'static str, result: &'static str) {
        self.metrics
            .authentications
            .get_or_create(&[("method", method), ("result", result)])
            .inc();
    }
}

fn rights_rules(auth: &Auth, limits: &Limits) -> Result<RightsRules, AuthSetupError> {
    let path = |name: &str, raw: &str| {
        ClaimPath::parse(raw)
            .map_err(|error| AuthSetupError::new(format!("auth.claims.{name}"), error))
    };
    let default_rooms = auth.defaults.rooms.iter().map(|raw| {
        RoomPattern::parse(raw, limits.room_bytes_max).ok_or_else(|| {
            AuthSetupError::new(
                "auth.defaults.rooms",
                format!("{raw:?} is neither a room's name nor a prefix that ends in *"),
            )
        })
    });
    let words = &auth.defaults.scopes;
    if let Some(foreign) = words.iter().find(|word| Scopes::of_word(word).is_none()) {
        return Err(AuthSetupError::new(
            "auth.defaults.scopes",
            format!("{foreign:?} is no scope of this gateway"),
        ));
    }
    Ok(RightsRules {
        nickname: path("nickname", &auth.claims.nickname)?,
        rooms: path("rooms", &auth.claims.rooms)?,
        scope: path("scope", &auth.claims.scope)?,
        default_rooms: default_rooms.collect::<Result<_, _>>()?,
        default_scopes: Scopes::from_words(words.iter().map(String::as_str)),
        room_bytes_max: limits.room_bytes_max,
    })
}
