//! The open sessions of this node: who they are and how to end them. The upgrade enters a session, its `Registered` takes it
//! out again; the drain and the cap per user give orders through it.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    domain::ids::{SessionId, UserId},
    protocol::codes::CloseCode,
};

/// An order to end one session; the first one counts.
#[derive(Debug, Default)]
pub struct Orders {
    order: OnceLock<Order>,
    given: Notify,
}

/// End the session with this code; the peer may come back after the hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Why.
    pub code: CloseCode,
    /// A jittered hint.
    pub retry_after: Option<Duration>,
}

impl Orders {
    /// Gives the order; a later one changes nothing.
    pub fn end(&self, order: Order) {
        // The first reason is the true one: whoever comes later ends what has ended.
        self.order.set(order).ok();
        self.given.notify_one();
    }

    /// Waits for the order. Cancel-safe: an order given in between is kept.
    pub async fn wait(&self) -> Order {
        loop {
            if let Some(order) = self.order.get() {
                return *order;
            }
            self.given.notified().await;
        }
    }
}

/// Every open session of this node.
#[derive(Debug)]
pub struct Registry {
    per_user_max: usize,
    open: Mutex<HashMap<UserId, Vec<Entry>>>,
}

#[derive(Debug)]
struct Entry {
    session: SessionId,
    orders: Arc<Orders>,
}

impl Registry {
    /// A registry that lets each user hold `per_user_max` sessions.
    pub fn new(per_user_max: usize) -> Arc<Self> {
        Arc::new(Self {
            per_user_max,
            open: Mutex::default(),
        })
    }

    /// Enters a session. Above the cap the user's oldest session is ordered to end with 4409; the new one enters.
    pub fn enter(self: &Arc<Self>, user: UserId, session: SessionId) -> Registered {
        let orders = Arc::new(Orders::default());
        let mut open = self.open.lock();
        let mine = open.entry(user).or_default();
        let surplus = (mine.len() + 1).saturating_sub(self.per_user_max);
        for oldest in mine.iter().take(surplus) {
            oldest.orders.end(Order {
                code: CloseCode::Replaced,
                retry_after: None,
            });
        }
        mine.push(Entry {
            session,
            orders: Arc::clone(&orders),
        });
        drop(open);
        Registered {
            registry: Arc::clone(self),
            user,
            session,
            orders,
        }
    }

    /// The orders of every open session, for the drain.
    pub fn all(&self) -> Vec<Arc<Orders>> {
        self.open
            .lock()
            .values()
            .flatten()
            .map(|entry| Arc::clone(&entry.orders))
            .collect()
    }

    /// How many sessions are open.
    pub fn len(&self) -> usize {
        self.open.lock().values().map(Vec::len).sum()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.lock().is_empty()
    }
}

/// A session's place in the registry; dropping it takes the session out.
#[derive(Debug)]
pub struct Registered {
    registry: Arc<Registry>,
    user: UserId,
    session: SessionId,
    orders: Arc<Orders>,
}

impl Registered {
    /// The session's orders.
    pub fn orders(&self) -> &Arc<Orders> {
        &self.orders
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.registry.open.lock();
        if let Some(mine) = open.get_mut(&self.user) {
            mine.retain(|entry| entry.session != self.session);
            if mine.is_empty() {
                open.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, Registry};
    use crate::{
        domain::ids::{SessionId, UserId},
        protocol::codes::CloseCode,
    };

    #[tokio::test]
    async fn the_oldest_session_of_a_user_yields_to_the_newest() {
        let registry = Registry::new(2);
        let user = UserId::from_digest(&[1; 32]);
        let other = UserId::from_digest(&[2; 32]);
        let mut held: Vec<_> = (0..2)
            .map(|n| registry.enter(user, SessionId::from_random([n; 16])))
            .collect();
        let _stranger = registry.enter(other, SessionId::from_random([9; 16]));
        assert!(
            held.iter().all(|one| one.orders.order.get().is_none()),
            "n sessions are allowed"
        );
        held.push(registry.enter(user, SessionId::from_random([2; 16])));
        let replaced = Order {
            code: CloseCode::Replaced,
            retry_after: None,
        };
        assert_eq!(held[0].orders().wait().await, replaced);
        assert!(held[1..].iter().all(|one| one.orders.order.get().is_none()));
        assert_eq!(registry.len(), 4);
        held.clear();
        assert_eq!(registry.len(), 1, "a close makes room again");
    }
}
