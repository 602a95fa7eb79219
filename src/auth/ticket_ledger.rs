//! Which tickets of this node are still out, so that nobody hoards them and the record can tell a reused ticket from one that
//! never was. It decides no right: the store alone says whether a ticket is good.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use crate::{auth::ticket_store::TicketHash, domain::ids::UserId};

/// How long a slip outlives its ticket, to tell an old ticket from an invented one.
const REMEMBERED: Duration = Duration::from_mins(1);

/// The person has as many unspent tickets as allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// When the first of them ends.
    pub(super) first_ends: Instant,
}

/// What is known of a ticket that was issued here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// Not spent until now, and its life goes on.
    Open,
    /// Not spent, and its life is over.
    Over,
    /// Spent before.
    Spent,
}

struct Slip {
    user: UserId,
    ends: Instant,
    spent: bool,
}

/// The slips of the last lives of tickets.
pub(super) struct Ledger {
    per_user_max: usize,
    slips_max: usize,
    slips: HashMap<TicketHash, Slip>,
    /// Unspent tickets by person, at most `per_user_max` each.
    open: HashMap<UserId, Vec<(Instant, TicketHash)>>,
    ends: BTreeSet<(Instant, TicketHash)>,
}

impl Ledger {
    /// `slips_max` bounds the memory: beyond it the oldest slip is forgotten, and with it only a label and a place in a count.
    pub(super) fn new(per_user_max: usize, slips_max: usize) -> Self {
        Self {
            per_user_max,
            slips_max,
            slips: HashMap::new(),
            open: HashMap::new(),
            ends: BTreeSet::new(),
        }
    }

    /// Notes a ticket that is about to be stored.
    pub(super) fn enter(
        &mut self,
        ticket: TicketHash,
        user: UserId,
        ends: Instant,
    ) -> Result<(), TooMany> {
        let now = Instant::now();
        let mine = self.open.entry(user).or_default();
        mine.retain(|(end, _)| *end > now);
        if mine.len() >= self.per_user_max
            && let Some((first_ends, _)) = mine.iter().min()
        {
            return Err(TooMany {
                first_ends: *first_ends,
            });
        }
        mine.push((ends, ticket));
        self.forget(now);
        let slip = Slip {
            user,
            ends,
            spent: false,
        };
        self.slips.insert(ticket, slip);
        self.ends.insert((ends, ticket));
        Ok(())
    }

    /// Notes that somebody shows the ticket, and says what was known of it. `None`: it was not issued here, or long ago.
    pub(super) fn spend(&mut self, ticket: TicketHash) -> Option<Entry> {
        let slip = self.slips.get_mut(&ticket)?;
        if std::mem::replace(&mut slip.spent, true) {
            return Some(Entry::Spent);
        }
        let (user, ends) = (slip.user, slip.ends);
        self.close(user, ticket);
        Some(if ends > Instant::now() {
            Entry::Open
        } else {
            Entry::Over
        })
    }

    /// Forgets the ticket.
    pub(super) fn strike(&mut self, ticket: TicketHash) {
        if let Some(slip) = self.slips.remove(&ticket) {
            self.ends.remove(&(slip.ends, ticket));
            self.close(slip.user, ticket);
        }
    }

    /// Makes room for one slip, and drops what nobody asks for any more.
    fn forget(&mut self, now: Instant) {
        while let Some((ends, oldest)) = self.ends.first().copied() {
            let old = now.saturating_duration_since(ends) >= REMEMBERED;
            if !old && self.slips.len() < self.slips_max {
                return;
            }
            self.strike(oldest);
        }
    }

    fn close(&mut self, user: UserId, ticket: TicketHash) {
        if let Some(mine) = self.open.get_mut(&user) {
            mine.retain(|(_, one)| *one != ticket);
            if mine.is_empty() {
                self.open.remove(&user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Entry, Ledger};
    use crate::{auth::ticket_store::TicketHash, domain::ids::UserId};

    fn hash(n: u8) -> TicketHash {
        TicketHash::of(&[n; 32])
    }

    fn user(n: u8) -> UserId {
        UserId::from_digest(&[n; 32])
    }

    #[tokio::test(start_paused = true)]
    async fn memory_stays_bounded_and_every_index_agrees() {
        let mut ledger = Ledger::new(3, 10);
        let ends = Instant::now() + Duration::from_secs(30);
        for n in 0..200 {
            ledger.enter(hash(n), user(n / 2), ends).expect("room");
            if n % 3 == 0 {
                assert_eq!(ledger.spend(hash(n)), Some(Entry::Open));
                assert_eq!(ledger.spend(hash(n)), Some(Entry::Spent));
            }
        }
        assert_eq!((ledger.slips.len(), ledger.ends.len()), (10, 10));
        let open: usize = ledger.open.values().map(Vec::len).sum();
        let unspent = ledger.slips.values().filter(|slip| !slip.spent).count();
        assert_eq!(open, unspent);
        let held: Vec<_> = ledger.slips.keys().copied().collect();
        for ticket in held {
            ledger.strike(ticket);
        }
        assert!(ledger.slips.is_empty() && ledger.ends.is_empty() && ledger.open.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn slips_are_dropped_a_minute_after_their_tickets() {
        let mut ledger = Ledger::new(3, 10);
        let ends = Instant::now() + Duration::from_secs(30);
        ledger.enter(hash(1), user(1), ends).expect("room");
        tokio::time::advance(Duration::from_secs(31)).await;
        assert_eq!(ledger.spend(hash(1)), Some(Entry::Over));
        tokio::time::advance(Duration::from_mins(1)).await;
        let ends = Instant::now() + Duration::from_secs(30);
        ledger.enter(hash(2), user(2), ends).expect("room");
        assert_eq!((ledger.slips.len(), ledger.open.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_of_another_node_is_not_known() {
        let mut ledger = Ledger::new(3, 10);
        assert_eq!(ledger.spend(hash(1)), None);
    }
}
