//! How many at once: connections in all and of one address, and TLS handshakes under way. A connection over its cap still gets
//! its TLS, because only over TLS can it be told why; such surplus has small caps of its own, and beyond them is dropped.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    admission::{
        address::AddressKey,
        refusal::{Dropped, Refusal},
    },
    config::limits::Limits,
    telemetry::metrics::Metrics,
};

/// The numbers of `[limits]`.
#[derive(Clone, Copy, Debug)]
struct Max {
    connections: usize,
    connections_per_ip: usize,
    handshakes: usize,
    handshakes_per_ip: usize,
}

/// What is open now.
#[derive(Debug, Default)]
struct Counts {
    /// Connections within every cap.
    regular: usize,
    /// Connections that are about to be told that they are too many.
    surplus: usize,
    handshakes: usize,
    by_address: HashMap<AddressKey, OfAddress>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OfAddress {
    regular: usize,
    surplus: usize,
    handshakes: usize,
}

/// Counts connections and gives permits.
#[derive(Debug)]
pub(super) struct Caps {
    max: Max,
    answer_within: Duration,
    counts: Mutex<Counts>,
    metrics: Arc<Metrics>,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    caps: Arc<Caps>,
    /// `None`: the peer is a trusted proxy, whose clients are counted one by one at their requests.
    address: Option<AddressKey>,
    refusal: Option<Refusal>,
    handshaking: Mutex<bool>,
}

/// One upgraded connection's place among those of its client, behind a trusted proxy. Given back when it is dropped.
#[derive(Debug)]
pub struct Seat(Option<(Arc<Caps>, AddressKey)>);

impl Caps {
    pub(super) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        let limit = i64::try_from(limits.connections_max).unwrap_or(i64::MAX);
        metrics.connections_limit.set(limit);
        Arc::new(Self {
            max: Max {
                connections: limits.connections_max,
                connections_per_ip: limits.connections_per_ip_max,
                handshakes: limits.tls_handshakes_max,
                handshakes_per_ip: limits.tls_handshakes_per_ip_max,
            },
            answer_within: limits.http_idle,
            counts: Mutex::default(),
            metrics,
        })
    }

    /// A place for a connection that has just been accepted. The peer is counted by its address unless it is a trusted proxy.
    pub(super) fn accept(
        self: &Arc<Self>,
        peer: IpAddr,
        is_proxy: bool,
    ) -> Result<Permit, Dropped> {
        let address = (!is_proxy).then(|| AddressKey::from(peer));
        let taken = self.counts.lock().take(&self.max, address);
        let refusal = taken.inspect_err(|_| self.metrics.limited("connection"))?;
        self.metrics.connections.inc();
        Ok(Permit {
            caps: Arc::clone(self),
            address,
            refusal,
            handshaking: Mutex::new(true),
        })
    }

    /// A place for an upgraded connection among those of its client.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr) -> Result<Seat, Refusal> {
        let key = AddressKey::from(client);
        let mut counts = self.counts.lock();
        let of = counts.by_address.entry(key).or_default();
        if of.regular >= self.max.connections_per_ip {
            return Err(Refusal::TooManyConnections);
        }
        of.regular = of.regular.saturating_add(1);
        Ok(Seat(Some((Arc::clone(self), key))))
    }
}

impl Counts {
    /// Takes a place and a handshake, or nothing. `Some`: the place is surplus, and why.
    fn take(&mut self, max: &Max, address: Option<AddressKey>) -> Result<Option<Refusal>, Dropped> {
        let of = address.and_then(|key| self.by_address.get(&key).copied());
        let of = of.unwrap_or_default();
        if self.handshakes >= max.handshakes {
            return Err(Dropped::Handshakes);
        }
        if of.handshakes >= max.handshakes_per_ip {
            return Err(Dropped::HandshakesOfAddress);
        }
        let refusal = if address.is_some() && of.regular >= max.connections_per_ip {
            Some(Refusal::TooManyConnections)
        } else if self.regular >= max.connections {
            Some(Refusal::Overloaded)
        } else {
            None
        };
        if refusal.is_some()
            && (self.surplus >= max.handshakes || of.surplus >= max.handshakes_per_ip)
        {
            return Err(Dropped::Surplus);
        }
        self.add(address, refusal.is_some());
        Ok(refusal)
    }

    fn add(&mut self, address: Option<AddressKey>, surplus: bool) {
        let up = |count: &mut usize| *count = count.saturating_add(1);
        up(&mut self.handshakes);
        up(if surplus {
            &mut self.surplus
        } else {
            &mut self.regular
        });
        if let Some(key) = address {
            let of = self.by_address.entry(key).or_default();
            up(&mut of.handshakes);
            up(if surplus {
                &mut of.surplus
            } else {
                &mut of.regular
            });
        }
    }

    fn end_handshake(&mut self, address: Option<AddressKey>) {
        down(&mut self.handshakes);
        self.of_address(address, |of| down(&mut of.handshakes));
    }

    fn end_connection(&mut self, address: Option<AddressKey>, surplus: bool) {
        down(if surplus {
            &mut self.surplus
        } else {
            &mut self.regular
        });
        self.of_address(address, |of| {
            down(if surplus {
                &mut of.surplus
            } else {
                &mut of.regular
            });
        });
    }

    /// Changes the counts of an address and forgets it when nothing of it is left.
    fn of_address(&mut self, address: Option<AddressKey>, change: impl FnOnce(&mut OfAddress)) {
        let Some(key) = address else { return };
        let Some(of) = self.by_address.get_mut(&key) else {
            return;
        };
        change(of);
        if *of == OfAddress::default() {
            self.by_address.remove(&key);
        }
    }
}

fn down(count: &mut usize) {
    *count = count.saturating_sub(1);
}

impl Permit {
    /// The TLS handshake is over, well or badly: another peer may begin one. Calling it again does nothing.
    pub fn established(&self) {
        if std::mem::take(&mut *self.handshaking.lock()) {
            self.caps.counts.lock().end_handshake(self.address);
        }
    }

    /// How long the peer may take to read an answer: as long as it may idle between two.
    pub fn answer_within(&self) -> Duration {
        self.caps.answer_within
    }

    /// Why every request on this connection is refused, if it is one too many. Asked by `server` for each request, but not
    /// for the health check.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.established();
        let surplus = self.refusal.is_some();
        self.caps
            .counts
            .lock()
            .end_connection(self.address, surplus);
        self.caps.metrics.connections.dec();
    }
}

impl Seat {
    /// For a connection that is counted already, by its peer's address.
    pub(super) fn counted_elsewhere() -> Self {
        Self(None)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some((caps, key)) = self.0.take() {
            let mut counts = caps.counts.lock();
            counts.of_address(Some(key), |of| down(&mut of.regular));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use super::{Caps, Counts, Permit};
    use crate::{
        admission::refusal::{Dropped, Refusal},
        config::Config,
        telemetry::metrics::Metrics,
    };

    fn caps(connections: usize, per_ip: usize, handshakes: usize, of_ip: usize) -> Arc<Caps> {
        let mut limits = Config::defaults().limits;
        limits.connections_max = connections;
        limits.connections_per_ip_max = per_ip;
        limits.tls_handshakes_max = handshakes;
        limits.tls_handshakes_per_ip_max = of_ip;
        Caps::new(&limits, Metrics::new())
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// A connection whose handshake is over.
    fn connect(caps: &Arc<Caps>, peer: IpAddr) -> Permit {
        let permit = caps.accept(peer, false).expect("not dropped");
        permit.established();
        permit
    }

    fn assert_nothing_is_left(caps: &Caps) {
        let Counts {
            regular,
            surplus,
            handshakes,
            by_address,
        } = &*caps.counts.lock();
        assert_eq!((*regular, *surplus, *handshakes), (0, 0, 0));
        assert!(by_address.is_empty());
        assert_eq!(caps.metrics.connections.get(), 0);
    }

    #[test]
    fn of_one_address_n_pass_and_one_more_is_told_until_one_closes() {
        let caps = caps(100, 3, 100, 100);
        let mut open: Vec<Permit> = (0..3).map(|_| connect(&caps, ip(1))).collect();
        assert!(open.iter().all(|permit| permit.refusal().is_none()));
        let over = connect(&caps, ip(1));
        assert_eq!(over.refusal(), Some(Refusal::TooManyConnections));
        assert_eq!(connect(&caps, ip(2)).refusal(), None, "another address");
        drop(open.pop());
        let again = connect(&caps, ip(1));
        assert_eq!(
            again.refusal(),
            None,
            "a close makes room, though the surplus one is open"
        );
        assert_eq!(caps.metrics.connections.get(), 4);
        drop((open, over, again));
        assert_nothing_is_left(&caps);
    }

    #[test]
    fn an_ipv6_64_is_one_address() {
        let caps = caps(100, 2, 100, 100);
        let v6 = |raw: &str| raw.parse::<IpAddr>().expect(raw);
        let _first = connect(&caps, v6("2001:db8::1"));
        let _second = connect(&caps, v6("2001:db8::2"));
        let third = connect(&caps, v6("2001:db8::3"));
        assert_eq!(third.refusal(), Some(Refusal::TooManyConnections));
        assert_eq!(connect(&caps, v6("2001:db8:0:1::1")).refusal(), None);
    }

    #[test]
    fn in_all_n_pass_and_one_more_is_told_until_one_closes() {
        let caps = caps(3, 100, 100, 100);
        let mut open: Vec<Permit> = (0..3).map(|n| connect(&caps, ip(n))).collect();
        assert!(open.iter().all(|permit| permit.refusal().is_none()));
        let over = connect(&caps, ip(9));
        assert_eq!(over.refusal(), Some(Refusal::Overloaded));
        drop(open.pop());
        assert_eq!(connect(&caps, ip(9)).refusal(), None);
        drop((open, over));
        assert_nothing_is_left(&caps);
    }

    #[test]
    fn handshakes_under_way_have_caps_in_all_and_of_one_address() {
        let caps = caps(100, 100, 4, 2);
        let first = caps.accept(ip(1), false).expect("the first");
        let second = caps.accept(ip(1), false).expect("the second");
        let third = caps.accept(ip(1), false).err();
        assert_eq!(third, Some(Dropped::HandshakesOfAddress));
        let others: Vec<_> = (2..4)
            .map(|n| caps.accept(ip(n), false).expect("room"))
            .collect();
        assert_eq!(caps.accept(ip(9), false).err(), Some(Dropped::Handshakes));
        first.established();
        first.established();
        let next = caps.accept(ip(1), false).expect("one has ended");
        assert_eq!(caps.accept(ip(9), false).err(), Some(Dropped::Handshakes));
        drop(second);
        assert!(caps.accept(ip(9), false).is_ok(), "one has gone");
        drop((first, next, others));
        assert_nothing_is_left(&caps);
    }

    #[test]
    fn surplus_has_a_cap_of_its_own_and_is_dropped_beyond_it() {
        let caps = caps(100, 1, 100, 2);
        let _regular = connect(&caps, ip(1));
        let told: Vec<_> = (0..2).map(|_| connect(&caps, ip(1))).collect();
        assert!(told.iter().all(|permit| permit.refusal().is_some()));
        assert_eq!(caps.accept(ip(1), false).err(), Some(Dropped::Surplus));
        assert_eq!(connect(&caps, ip(2)).refusal(), None);
        drop(told);
        assert!(connect(&caps, ip(1)).refusal().is_some());
        let full = self::caps(1, 100, 2, 100);
        let _regular = connect(&full, ip(1));
        let _told: Vec<_> = (2..4).map(|n| connect(&full, ip(n))).collect();
        assert_eq!(full.accept(ip(9), false).err(), Some(Dropped::Surplus));
    }

    #[test]
    fn a_trusted_proxy_is_counted_in_all_and_its_clients_by_seats() {
        let caps = caps(4, 2, 100, 1);
        let open: Vec<_> = (0..4)
            .map(|_| caps.accept(ip(1), true).expect("no cap of one address"))
            .collect();
        assert!(open.iter().all(|permit| permit.refusal().is_none()));
        let over = caps.accept(ip(1), true).expect("surplus");
        assert_eq!(over.refusal(), Some(Refusal::Overloaded));
        let seats: Vec<_> = (0..2).map(|_| caps.seat(ip(7)).expect("room")).collect();
        assert_eq!(caps.seat(ip(7)).err(), Some(Refusal::TooManyConnections));
        let other = caps.seat(ip(8)).expect("another client");
        drop(seats);
        let again = caps.seat(ip(7)).expect("both have closed");
        drop((open, over, other, again));
        assert_nothing_is_left(&caps);
    }

    #[test]
    fn a_refused_seat_leaves_no_trace_of_its_address() {
        let caps = caps(10, 1, 10, 10);
        let seat = caps.seat(ip(1)).expect("room");
        assert!(caps.seat(ip(1)).is_err());
        drop(seat);
        assert_nothing_is_left(&caps);
    }
}
