//! Tickets: 256 random bits that open one session. A page trades its token for one over HTTPS and puts it into the address of
//! its WebSocket, where nothing reusable may stand. Bound to the identity and to the Origin it was fetched for.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    auth::{
        error::{AuthError, TicketError},
        identity::{Identity, IdentityParts},
        random::secret_bytes,
        reason::Reason,
        ticket_ledger::{Entry, Ledger, TooMany},
        ticket_store::{TicketHash, TicketStore},
    },
    clock::Clock,
    domain::{origin::Origin, token::RawToken},
    telemetry::metrics::Metrics,
};

/// When to try again after the store failed.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// 32 bytes in base64url.
const TICKET_CHARS: usize = 43;

/// The bounds of `[limits]` and `[auth]` that concern tickets.
#[derive(Clone, Copy, Debug)]
pub(super) struct TicketRules {
    /// `ticket_life_s`.
    pub(super) life: Duration,
    /// `tickets_per_user_max`.
    pub(super) per_user_max: usize,
    /// `tickets_max`.
    pub(super) max: usize,
    /// `auth.leeway_s`.
    pub(super) leeway: u64,
}

/// A ticket for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedTicket {
    /// What stands in `?ticket=`.
    pub ticket: RawToken,
    /// How long it can be spent.
    pub expires_in: Duration,
}

/// What the store keeps.
#[derive(Deserialize, Serialize)]
struct Record {
    identity: IdentityParts,
    /// The page that may spend it; `None`: a client without Origin.
    origin: Option<Box<str>>,
    /// Unix milliseconds. The store ends lives too, but not every store to the second.
    ends_at_ms: u64,
}

/// Issues and redeems.
pub(super) struct Tickets {
    store: Arc<dyn TicketStore>,
    rules: TicketRules,
    ledger: Mutex<Ledger>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Tickets {
    pub(super) fn new(
        store: Arc<dyn TicketStore>,
        rules: TicketRules,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            ledger: Mutex::new(Ledger::new(rules.per_user_max, rules.max)),
            rules,
            clock,
            metrics,
        }
    }

    /// A ticket for this identity, to be spent from that Origin. It never outlives the token behind the identity.
    pub(super) async fn issue(
        &self,
        identity: &Identity,
        origin: Option<&Origin>,
    ) -> Result<IssuedTicket, TicketError> {
        let now_ms = self.clock.unix_ms();
        let token_ends_ms = identity
            .expires_at()
            .saturating_add(self.rules.leeway)
            .saturating_mul(1000);
        let token_left = Duration::from_millis(token_ends_ms.saturating_sub(now_ms));
        let life = self.rules.life.min(token_left);
        if life.is_zero() {
            return Err(TicketError::TokenExpired);
        }
        let secret: [u8; 32] = secret_bytes();
        let hash = TicketHash::of(&secret);
        let now = Instant::now();
        let ends = now.checked_add(life).unwrap_or(now);
        let entered = self.ledger.lock().enter(hash, identity.user(), ends);
        if let Err(TooMany { first_ends }) = entered {
            self.count("limited");
            self.metrics.limited("tickets");
            return Err(TicketError::Limited {
                retry_after: first_ends.saturating_duration_since(now),
            });
        }
        let record = Record {
            identity: identity.parts().clone(),
            origin: origin.map(|origin| origin.as_str().into()),
            ends_at_ms: now_ms.saturating_add(millis(life)),
        };
        if let Err(error) = self.store.put(hash, encode(&record), life).await {
            self.ledger.lock().strike(hash);
            tracing::warn!(%error, "a ticket cannot be stored");
            return Err(TicketError::Unavailable {
                retry_after: STORE_RETRY,
            });
        }
        self.count("issued");
        Ok(IssuedTicket {
            ticket: RawToken::new(BASE64URL_NOPAD.encode(&secret)),
            expires_in: life,
        })
    }

    /// Spends a ticket. It is gone afterwards, whether its Origin fits or not: who shows it from elsewhere has stolen it.
    pub(super) async fn redeem(
        &self,
        raw: &RawToken,
        origin: Option<&Origin>,
    ) -> Result<Identity, AuthError> {
        let hash = hash_of(raw).ok_or(Reason::TicketShape)?;
        let taken = self.store.take(hash).await.map_err(|error| {
            tracing::warn!(%error, "a ticket cannot be looked up");
            AuthError::Unavailable {
                retry_after: STORE_RETRY,
            }
        })?;
        let entry = self.ledger.lock().spend(hash);
        let Some(bytes) = taken else {
            return Err(self.refuse(match entry {
                // Open, and yet gone from the store: another use was faster, here or on another node.
                Some(Entry::Spent | Entry::Open) => Reason::TicketSpent,
                Some(Entry::Over) => Reason::TicketExpired,
                None => Reason::TicketUnknown,
            }));
        };
        let Ok(record) = serde_json::from_slice::<Record>(&bytes) else {
            tracing::error!("the ticket store gave something that is no ticket");
            return Err(self.refuse(Reason::TicketUnknown));
        };
        if self.clock.unix_ms() >= record.ends_at_ms {
            return Err(self.refuse(Reason::TicketExpired));
        }
        if record.origin.as_deref() != origin.map(Origin::as_str) {
            return Err(self.refuse(Reason::TicketOrigin));
        }
        self.count("redeemed");
        Ok(Identity::from_verified(record.identity))
    }

    fn refuse(&self, reason: Reason) -> AuthError {
        self.count(match reason {
            Reason::TicketSpent => "reused",
            Reason::TicketExpired => "expired",
            Reason::TicketOrigin => "origin_mismatch",
            _ => "unknown",
        });
        reason.into()
    }

    fn count(&self, result: &'static str) {
        self.metrics
            .tickets
            .get_or_create(&[("result", result)])
            .inc();
    }
}

fn hash_of(raw: &RawToken) -> Option<TicketHash> {
    let text = raw.expose();
    if text.len() != TICKET_CHARS {
        return None;
    }
    let secret = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    Some(TicketHash::of(&secret.try_into().ok()?))
}

fn encode(record: &Record) -> Bytes {
    serde_json::to_vec(record)
        .expect("strings, numbers and lists always become JSON")
        .into()
}

fn millis(life: Duration) -> u64 {
    u64::try_from(life.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use async_trait::async_trait;
    use bytes::Bytes;
    use tokio::time::advance;

    use super::{TicketRules, Tickets};
    use crate::{
        auth::{
            error::{AuthError, TicketError},
            identity::{Identity, IdentityParts},
            reason::Reason,
            rights::{RoomPattern, Rooms, Scopes},
            ticket_store::{MemoryTickets, TicketHash, TicketStore, TicketStoreError},
        },
        clock::Clock,
        domain::{origin::Origin, room_name::RoomId, token::RawToken},
        telemetry::metrics::Metrics,
    };

    const NOW_S: u64 = 1_700_000_000;

    struct Node {
        tickets: Tickets,
        metrics: Arc<Metrics>,
    }

    impl Node {
        fn over(store: &Arc<MemoryTickets>, clock: &Clock) -> Self {
            let metrics = Metrics::new();
            let rules = TicketRules {
                life: Duration::from_secs(30),
                per_user_max: 5,
                max: 100,
                leeway: 30,
            };
            let store = Arc::clone(store) as _;
            let tickets = Tickets::new(store, rules, clock.clone(), Arc::clone(&metrics));
            Self { tickets, metrics }
        }

        fn counted(&self, result: &'static str) -> u64 {
            self.metrics
                .tickets
                .get_or_create(&[("result", result)])
                .get()
        }

        async fn issue(&self, identity: &Identity, origin: Option<&Origin>) -> RawToken {
            let issued = self.tickets.issue(identity, origin).await.expect("issued");
            issued.ticket
        }

        async fn redeem(
            &self,
            ticket: &RawToken,
            origin: Option<&Origin>,
        ) -> Result<(), AuthError> {
            self.tickets.redeem(ticket, origin).await.map(|_| ())
        }
    }

    fn node() -> (Node, Clock) {
        let clock = Clock::manual(NOW_S * 1000);
        let store = Arc::new(MemoryTickets::new(100));
        (Node::over(&store, &clock), clock)
    }

    fn person(subject: &str, expires_at: u64) -> Identity {
        Identity::from_verified(IdentityParts {
            scopes: Scopes::from_words(["chat", "chat:publish"]),
            rooms: Rooms::claimed(vec![RoomPattern::parse("a:*", 64).expect("a prefix")]),
            nickname: Some("Alice".into()),
            expires_at,
            ..IdentityParts::new("https://idp.example", subject)
        })
    }

    fn alice() -> Identity {
        person("alice", NOW_S + 3600)
    }

    fn origin(raw: &str) -> Origin {
        Origin::parse(raw).expect("an origin")
    }

    fn refused(reason: Reason) -> Result<(), AuthError> {
        Err(AuthError::Unauthorized(reason))
    }

    /// Both clocks, as they go together outside tests.
    async fn pass(clock: &Clock, time: Duration) {
        clock.advance(time);
        advance(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_gives_back_the_identity_it_was_issued_for() {
        let (node, _) = node();
        let page = origin("https://chat.example");
        let ticket = node.issue(&alice(), Some(&page)).await;
        assert_eq!(ticket.expose().len(), 43);
        let back = node
            .tickets
            .redeem(&ticket, Some(&page))
            .await
            .expect("a good ticket");
        assert!(back.is_same_person(&alice()));
        assert_eq!(back.user(), alice().user());
        assert_eq!(back.nickname_claim(), Some("Alice"));
        assert_eq!(back.scope_names(), alice().scope_names());
        assert_eq!(back.expires_at(), NOW_S + 3600);
        let room = RoomId::parse("a:1", 64).expect("a name");
        assert!(back.may_publish(&room).is_ok());
        assert_eq!((node.counted("issued"), node.counted("redeemed")), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_spent_once() {
        let (node, _) = node();
        let ticket = node.issue(&alice(), None).await;
        assert_eq!(node.redeem(&ticket, None).await, Ok(()));
        assert_eq!(
            node.redeem(&ticket, None).await,
            refused(Reason::TicketSpent)
        );
        assert_eq!(node.counted("reused"), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_50_racing_uses_on_two_nodes_one_wins() {
        let clock = Clock::manual(NOW_S * 1000);
        let store = Arc::new(MemoryTickets::new(100));
        let nodes = [
            Arc::new(Node::over(&store, &clock)),
            Arc::new(Node::over(&store, &clock)),
        ];
        for _ in 0..20 {
            let ticket = nodes[0].issue(&alice(), None).await;
            let start = Arc::new(tokio::sync::Barrier::new(50));
            let mut race = tokio::task::JoinSet::new();
            for n in 0..50 {
                let (node, ticket) = (Arc::clone(&nodes[n % 2]), ticket.clone());
                let start = Arc::clone(&start);
                race.spawn(async move {
                    start.wait().await;
                    node.redeem(&ticket, None).await.is_ok()
                });
            }
            let won = race.join_all().await.into_iter().filter(|won| *won).count();
            assert_eq!(won, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_is_over_after_its_life() {
        let (node, clock) = node();
        let (first, second) = (
            node.issue(&alice(), None).await,
            node.issue(&alice(), None).await,
        );
        pass(&clock, Duration::from_secs(29)).await;
        assert_eq!(node.redeem(&first, None).await, Ok(()));
        pass(&clock, Duration::from_secs(2)).await;
        assert_eq!(
            node.redeem(&second, None).await,
            refused(Reason::TicketExpired)
        );
        assert_eq!(node.counted("expired"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_ends_a_ticket_that_a_store_still_gives() {
        let (node, clock) = node();
        let ticket = node.issue(&alice(), None).await;
        clock.advance(Duration::from_secs(30));
        assert_eq!(
            node.redeem(&ticket, None).await,
            refused(Reason::TicketExpired)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_never_outlives_its_token() {
        let (node, clock) = node();
        let issued = node
            .tickets
            .issue(&person("alice", NOW_S - 20), None)
            .await
            .expect("ten seconds are left with the leeway");
        assert_eq!(issued.expires_in, Duration::from_secs(10));
        pass(&clock, Duration::from_secs(10)).await;
        assert_eq!(
            node.redeem(&issued.ticket, None).await,
            refused(Reason::TicketExpired)
        );
        let over = node.tickets.issue(&person("alice", NOW_S - 20), None).await;
        assert_eq!(over.err(), Some(TicketError::TokenExpired));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_opens_only_for_the_page_it_was_fetched_for() {
        let (node, _) = node();
        let (ours, other) = (
            origin("https://chat.example"),
            origin("https://other.example"),
        );
        for (fetched, spent) in [
            (Some(&ours), Some(&other)),
            (Some(&ours), None),
            (None, Some(&ours)),
        ] {
            let ticket = node.issue(&alice(), fetched).await;
            assert_eq!(
                node.redeem(&ticket, spent).await,
                refused(Reason::TicketOrigin)
            );
            assert_eq!(
                node.redeem(&ticket, fetched).await,
                refused(Reason::TicketSpent),
                "it is gone for its own page too"
            );
        }
        assert_eq!(node.counted("origin_mismatch"), 3);
        let ticket = node.issue(&alice(), Some(&ours)).await;
        let spelled = origin("HTTPS://Chat.Example:443");
        assert_eq!(node.redeem(&ticket, Some(&spelled)).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_ticket_is_refused_without_a_look_at_the_store() {
        let (node, _) = node();
        let good = node.issue(&alice(), None).await;
        let good = good.expose();
        for bad in [
            String::new(),
            "eyJhbGciOiJFUzI1NiJ9.e30.AAAA".to_owned(),
            good[..42].to_owned(),
            format!("{good}A"),
            format!("{}=", &good[..42]),
            format!("{}+", &good[..42]),
            // 43 characters leave two bits over; they must be zero.
            format!("{}B", "A".repeat(42)),
            "é".repeat(21) + "A",
        ] {
            let raw = RawToken::new(bad.as_str());
            assert_eq!(
                node.redeem(&raw, None).await,
                refused(Reason::TicketShape),
                "{bad}"
            );
        }
        let unknown = RawToken::new("A".repeat(43));
        assert_eq!(
            node.redeem(&unknown, None).await,
            refused(Reason::TicketUnknown)
        );
        assert_eq!(node.counted("unknown"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_person_holds_five_unspent_tickets_and_no_more() {
        let (node, clock) = node();
        let mut held = Vec::new();
        for _ in 0..5 {
            held.push(node.issue(&alice(), None).await);
        }
        pass(&clock, Duration::from_secs(10)).await;
        let limited = node.tickets.issue(&alice(), None).await.err();
        let retry_after = Duration::from_secs(20);
        assert_eq!(limited, Some(TicketError::Limited { retry_after }));
        assert_eq!(node.counted("limited"), 1);
        node.issue(&person("bob", NOW_S + 3600), None).await;
        // One that is spent makes room for one.
        assert_eq!(node.redeem(&held[0], None).await, Ok(()));
        node.issue(&alice(), None).await;
        assert!(node.tickets.issue(&alice(), None).await.is_err());
        // So do those that are over.
        pass(&clock, Duration::from_secs(20)).await;
        for _ in 0..4 {
            node.issue(&alice(), None).await;
        }
        assert!(node.tickets.issue(&alice(), None).await.is_err());
    }

    struct Broken(TicketStoreError);

    #[async_trait]
    impl TicketStore for Broken {
        async fn put(&self, _: TicketHash, _: Bytes, _: Duration) -> Result<(), TicketStoreError> {
            Err(self.0)
        }

        async fn take(&self, _: TicketHash) -> Result<Option<Bytes>, TicketStoreError> {
            Err(self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_fails_makes_tickets_unavailable_and_costs_nobody_a_place() {
        for error in [TicketStoreError::Full, TicketStoreError::Unreachable] {
            let (node, clock) = node();
            let broken = Tickets::new(
                Arc::new(Broken(error)),
                node.tickets.rules,
                clock,
                Metrics::new(),
            );
            for _ in 0..10 {
                let issued = broken.issue(&alice(), None).await.err();
                assert!(matches!(issued, Some(TicketError::Unavailable { .. })));
            }
            let ticket = RawToken::new("A".repeat(43));
            let redeemed = broken.redeem(&ticket, None).await.err();
            assert!(matches!(redeemed, Some(AuthError::Unavailable { .. })));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn neither_the_ticket_nor_its_hash_can_be_read_from_debug() {
        let (node, _) = node();
        let issued = node.tickets.issue(&alice(), None).await.expect("issued");
        let shown = format!("{issued:?}");
        assert!(!shown.contains(&issued.ticket.expose()[..16]), "{shown}");
    }
}
