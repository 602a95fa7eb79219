//! How often: token buckets by address. The number of buckets has a cap; who comes when it is reached shares one bucket with
//! all others who do, so a flood of addresses costs the newcomers and not the node's memory.

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{StateStore, keyed::ShrinkableKeyedStateStore},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admission::{address::AddressKey, refusal::Refusal};

/// Buckets of one kind, one for each address.
pub(super) struct Rates(
    RateLimiter<AddressKey, BoundedStore, TokioClock, NoOpMiddleware<Duration>>,
);

impl Rates {
    /// Buckets of depth `burst` that refill at `per_s`; at most `keys_max` of them.
    pub(super) fn per_second(per_s: NonZeroU32, burst: NonZeroU32, keys_max: usize) -> Self {
        Self::new(Quota::per_second(per_s).allow_burst(burst), keys_max)
    }

    /// Buckets of depth `per_min` that refill within a minute.
    pub(super) fn per_minute(per_min: NonZeroU32, keys_max: usize) -> Self {
        Self::new(Quota::per_minute(per_min), keys_max)
    }

    fn new(quota: Quota, keys_max: usize) -> Self {
        Self(RateLimiter::new(
            quota,
            BoundedStore::new(keys_max),
            TokioClock::new(),
        ))
    }

    /// Takes one from the bucket of that address.
    pub(super) fn check(&self, address: AddressKey) -> Result<(), Refusal> {
        self.0
            .check_key(&address)
            .map_err(|until: NotUntil<Duration>| Refusal::RateLimited {
                retry_after: until.wait_time_from(self.0.clock().now()),
            })
    }

    /// Forgets the buckets that are full again: they are as good as new ones.
    pub(super) fn prune(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// tokio's clock, so that a test can pause it.
struct TokioClock(Instant);

impl TokioClock {
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Instant::now().saturating_duration_since(self.0)
    }
}

/// governor's own store never forgets a key and has no cap.
struct BoundedStore {
    keys_max: usize,
    states: Mutex<States>,
}

#[derive(Default)]
struct States {
    by_key: HashMap<AddressKey, Nanos>,
    /// Of everybody who came when there was no room.
    shared: Option<Nanos>,
}

impl BoundedStore {
    fn new(keys_max: usize) -> Self {
        Self {
            keys_max,
            states: Mutex::default(),
        }
    }
}

impl StateStore for BoundedStore {
    type Key = AddressKey;

    fn measure_and_replace<T, F, E>(&self, key: &AddressKey, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.states.lock();
        if let Some(state) = states.by_key.get_mut(key) {
            let (out, next) = decide(Some(*state))?;
            *state = next;
            return Ok(out);
        }
        if states.by_key.len() < self.keys_max {
            let (out, next) = decide(None)?;
            states.by_key.insert(*key, next);
            return Ok(out);
        }
        let (out, next) = decide(states.shared)?;
        states.shared = Some(next);
        Ok(out)
    }
}

impl ShrinkableKeyedStateStore<AddressKey> for BoundedStore {
    fn retain_recent(&self, drop_below: Nanos) {
        let mut states = self.states.lock();
        states.by_key.retain(|_, state| *state > drop_below);
    }

    fn shrink_to_fit(&self) {
        self.states.lock().by_key.shrink_to_fit();
    }

    fn len(&self) -> usize {
        self.states.lock().by_key.len()
    }

    fn is_empty(&self) -> bool {
        self.states.lock().by_key.is_empty()
    }
}

/// `Reference` is what governor asks of an instant; that `Duration` is one is all the clock above rests on.
const _: fn() = || {
    fn reference<R: Reference>() {}
    reference::<Duration>();
};

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, num::NonZeroU32, time::Duration};

    use tokio::time::advance;

    use super::Rates;
    use crate::admission::{address::AddressKey, refusal::Refusal};

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    fn ip(n: u32) -> AddressKey {
        IpAddr::from(n.to_be_bytes()).into()
    }

    fn passed(rates: &Rates, address: AddressKey, tries: usize) -> usize {
        (0..tries).filter(|_| rates.check(address).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn the_burst_passes_at_once_and_then_the_rate() {
        let rates = Rates::per_second(number(50), number(200), 100);
        assert_eq!(passed(&rates, ip(1), 300), 200);
        assert_eq!(passed(&rates, ip(2), 300), 200, "each address has its own");
        advance(Duration::from_secs(1)).await;
        assert_eq!(passed(&rates, ip(1), 300), 50);
        advance(Duration::from_hours(1)).await;
        assert_eq!(passed(&rates, ip(1), 300), 200, "never more than the burst");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_says_when_one_more_would_pass() {
        let rates = Rates::per_second(number(2), number(1), 100);
        assert_eq!(rates.check(ip(1)), Ok(()));
        let retry_after = Duration::from_millis(500);
        assert_eq!(
            rates.check(ip(1)),
            Err(Refusal::RateLimited { retry_after })
        );
        advance(Duration::from_millis(499)).await;
        let retry_after = Duration::from_millis(1);
        assert_eq!(
            rates.check(ip(1)),
            Err(Refusal::RateLimited { retry_after })
        );
        advance(retry_after).await;
        assert_eq!(rates.check(ip(1)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_minutes_bucket_is_full_again_after_a_minute() {
        let rates = Rates::per_minute(number(30), 100);
        assert_eq!(passed(&rates, ip(1), 100), 30);
        advance(Duration::from_secs(2)).await;
        assert_eq!(passed(&rates, ip(1), 100), 1);
        advance(Duration::from_mins(1)).await;
        assert_eq!(passed(&rates, ip(1), 100), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_cap_newcomers_share_one_bucket_and_nobody_else_suffers() {
        let rates = Rates::per_second(number(1), number(5), 3);
        for known in 0..3 {
            assert_eq!(rates.check(ip(known)), Ok(()));
        }
        let new: usize = (100..1100).map(|n| passed(&rates, ip(n), 1)).sum();
        assert_eq!(new, 5, "a thousand newcomers have one burst");
        assert_eq!(rates.len(), 3);
        for known in 0..3 {
            assert_eq!(passed(&rates, ip(known), 10), 4);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pruning_forgets_who_is_full_again_and_keeps_who_is_not() {
        let rates = Rates::per_second(number(1), number(60), 1000);
        for n in 0..500 {
            assert_eq!(rates.check(ip(n)), Ok(()));
        }
        assert_eq!(passed(&rates, ip(7), 100), 59);
        advance(Duration::from_secs(10)).await;
        rates.prune();
        assert_eq!(rates.len(), 1);
        assert_eq!(passed(&rates, ip(7), 100), 10, "pruning refills nothing");
    }
}
