//! Token buckets. A request that was read comes in; next it is validated, or its sender is told how long to wait. The rates
//! of a session are its own; those of users and rooms are shared by the sessions of this node.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, Hash, RandomState},
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore, keyed::ShrinkableKeyedStateStore},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    config::limits::Limits,
    domain::{ids::UserId, room_name::RoomId},
};

/// Locks over which the keys of a shared rate are spread: more than the threads that will ever meet.
const SHARDS: u64 = 64;

/// Time for the buckets, since the bucket was made. Tokio's, so that it stands still when a test pauses time.
#[derive(Clone, Copy, Debug)]
struct BucketClock(Instant);

impl Clock for BucketClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl BucketClock {
    fn new() -> Self {
        Self(Instant::now())
    }

    /// How long to wait, in whole milliseconds and never none: a hint that is too short makes a client fail twice.
    fn wait(self, refused: &NotUntil<Duration>) -> Duration {
        let micros = refused.wait_time_from(self.now()).as_micros();
        Duration::from_millis(
            u64::try_from(micros.div_ceil(1000))
                .unwrap_or(u64::MAX)
                .max(1),
        )
    }
}

/// One bucket: fills at its rate up to its burst, which is also what it holds at first.
#[derive(Debug)]
pub struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, BucketClock, NoOpMiddleware<Duration>>,
    burst: NonZeroU32,
    owed: u32,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_s: NonZeroU32, burst: NonZeroU32) -> Self {
        Self::of(Quota::per_second(per_s).allow_burst(burst))
    }

    /// A full bucket that holds what one minute fills.
    pub fn per_minute(count: NonZeroU32) -> Self {
        Self::of(Quota::per_minute(count))
    }

    fn of(quota: Quota) -> Self {
        Self {
            limiter: RateLimiter::direct_with_clock(quota, BucketClock::new()),
            burst: quota.burst_size(),
            owed: 0,
        }
    }

    /// Takes one if it is there; else takes nothing and says how long until it is.
    pub fn try_one(&self) -> Result<(), Duration> {
        let clock = self.limiter.clock();
        self.limiter.check().map_err(|refused| clock.wait(&refused))
    }

    /// Takes `n`, whether they are there or not: what has already come in cannot be refused. What is not there is owed and
    /// taken first at the next call; the error says how long until the next part of it can be.
    pub fn take(&mut self, n: u32) -> Result<(), Duration> {
        self.owed = self.owed.saturating_add(n);
        while let Some(part) = NonZeroU32::new(self.owed.min(self.burst.get())) {
            let clock = self.limiter.clock();
            self.limiter
                .check_n(part)
                .expect("a part is at most the burst")
                .map_err(|refused| clock.wait(&refused))?;
            self.owed = self.owed.saturating_sub(part.get());
        }
        Ok(())
    }
}

/// The rates that sessions and requests share: messages per user and per room, pages and acts of moderation per user, on this
/// node.
#[derive(Debug)]
pub struct SharedRates {
    users: KeyedRate<UserId>,
    rooms: KeyedRate<RoomId>,
    readers: KeyedRate<UserId>,
    moderators: KeyedRate<UserId>,
}

type KeyedRate<K> = RateLimiter<K, Buckets<K>, BucketClock, NoOpMiddleware<Duration>>;

impl SharedRates {
    /// From `messages_per_user_*`, `messages_per_room_*`, `history_*`, `commands_*` and `limiter_keys_max`.
    pub fn new(limits: &Limits) -> Self {
        let keys_max = limits.limiter_keys_max;
        Self {
            users: keyed(
                limits.messages_per_user_per_s,
                limits.messages_per_user_burst,
                keys_max,
            ),
            rooms: keyed(
                limits.messages_per_room_per_s,
                limits.messages_per_room_burst,
                keys_max,
            ),
            readers: keyed(limits.history_per_s, limits.history_burst, keys_max),
            moderators: keyed(limits.commands_per_s, limits.commands_burst, keys_max),
        }
    }

    /// Takes one message from a user's bucket, or says how long to wait.
    pub fn try_user(&self, user: UserId) -> Result<(), Duration> {
        try_key(&self.users, &user)
    }

    /// Takes one message from a room's bucket, or says how long to wait. Ask only for somebody who may write there: a
    /// stranger must not be able to empty it.
    pub fn try_room(&self, room: &RoomId) -> Result<(), Duration> {
        try_key(&self.rooms, room)
    }

    /// Takes one page of a log over HTTP from a user's bucket, or says how long to wait.
    pub fn try_reader(&self, user: UserId) -> Result<(), Duration> {
        try_key(&self.readers, &user)
    }

    /// Takes one act of moderation over HTTP from a user's bucket, or says how long to wait.
    pub fn try_moderator(&self, user: UserId) -> Result<(), Duration> {
        try_key(&self.moderators, &user)
    }

    /// Forgets the buckets that are full again. The node's housekeeping calls it every 60 s.
    pub fn prune(&self) {
        self.users.retain_recent();
        self.rooms.retain_recent();
        self.readers.retain_recent();
        self.moderators.retain_recent();
    }

    /// How many buckets there are now.
    pub fn keys(&self) -> usize {
        self.users
            .len()
            .saturating_add(self.rooms.len())
            .saturating_add(self.readers.len())
            .saturating_add(self.moderators.len())
    }
}

fn keyed<K: Hash + Eq + Clone>(
    per_s: NonZeroU32,
    burst: NonZeroU32,
    keys_max: usize,
) -> KeyedRate<K> {
    RateLimiter::new(
        Quota::per_second(per_s).allow_burst(burst),
        Buckets::new(keys_max),
        BucketClock::new(),
    )
}

fn try_key<K: Hash + Eq + Clone>(rate: &KeyedRate<K>, key: &K) -> Result<(), Duration> {
    rate.check_key(key)
        .map_err(|refused| rate.clock().wait(&refused))
}

/// The state of many buckets, bounded. Governor's own store is one lock and grows without end.
#[derive(Debug)]
struct Buckets<K> {
    shards: Vec<Mutex<HashMap<K, Nanos>>>,
    hasher: RandomState,
    keys: AtomicUsize,
    keys_max: usize,
    /// The bucket of everybody for whom there is no room.
    overflow: Mutex<Option<Nanos>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(keys_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            keys: AtomicUsize::new(0),
            keys_max,
            overflow: Mutex::default(),
        }
    }

    fn shard(&self, key: &K) -> &Mutex<HashMap<K, Nanos>> {
        let hash = self
            .hasher
            .hash_one(key)
            .checked_rem(SHARDS)
            .unwrap_or_default();
        usize::try_from(hash)
            .ok()
            .and_then(|shard| self.shards.get(shard))
            .expect("a remainder is below the number of shards")
    }

    /// Counts one more key, if there is room for it.
    fn reserve(&self) -> bool {
        let one_more = |keys: usize| (keys < self.keys_max).then(|| keys.saturating_add(1));
        self.keys
            .try_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }
}

impl<K: Hash + Eq + Clone> StateStore for Buckets<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut shard = self.shard(key).lock();
        if let Some(state) = shard.get_mut(key) {
            let (outcome, next) = decide(Some(*state))?;
            *state = next;
            return Ok(outcome);
        }
        if self.reserve() {
            let decided = decide(None).inspect_err(|_| {
                self.keys.fetch_sub(1, Ordering::Relaxed);
            });
            let (outcome, next) = decided?;
            shard.insert(key.clone(), next);
            return Ok(outcome);
        }
        drop(shard);
        let mut overflow = self.overflow.lock();
        let (outcome, next) = decide(*overflow)?;
        *overflow = Some(next);
        Ok(outcome)
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Buckets<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.len();
            shard.retain(|_, state| *state > drop_below);
            let after = shard.len();
            shard.shrink_to(after.saturating_mul(2));
            self.keys
                .fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        }
    }

    fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How often somebody may do wrong within a time before it is enough.
#[derive(Debug)]
pub(super) struct Patience {
    max: usize,
    window: Duration,
    /// When it happened lately, oldest first; at most `max`.
    lately: VecDeque<Instant>,
}

impl Patience {
    pub(super) fn new(max: usize, window: Duration) -> Self {
        Self {
            max,
            window,
            lately: VecDeque::new(),
        }
    }

    /// It happened again: is it one more than `max` within the window?
    pub(super) fn is_over(&mut self) -> bool {
        let now = Instant::now();
        while self
            .lately
            .front()
            .is_some_and(|then| now.duration_since(*then) >= self.window)
        {
            self.lately.pop_front();
        }
        if self.lately.len() >= self.max {
            return true;
        }
        self.lately.push_back(now);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, time::Duration};

    use tokio::time::advance;

    use super::{Bucket, Patience, SharedRates};
    use crate::{
        config::Config,
        domain::{ids::UserId, room_name::RoomId},
    };

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).expect("not zero")
    }

    fn taken(bucket: &Bucket, tries: usize) -> usize {
        (0..tries).filter(|_| bucket.try_one().is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_holds_its_burst_and_fills_at_its_rate() {
        let bucket = Bucket::new(number(5), number(20));
        assert_eq!(taken(&bucket, 100), 20);
        assert_eq!(bucket.try_one(), Err(Duration::from_millis(200)));
        advance(Duration::from_millis(199)).await;
        assert_eq!(bucket.try_one(), Err(Duration::from_millis(1)));
        advance(Duration::from_millis(1)).await;
        assert_eq!(taken(&bucket, 100), 1);
        advance(Duration::from_hours(24)).await;
        assert_eq!(
            taken(&bucket, 100),
            20,
            "a day of silence saves no more than the burst"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_of_a_bucket_per_minute_can_be_taken_at_once() {
        let bucket = Bucket::per_minute(number(6));
        assert_eq!(taken(&bucket, 7), 6);
        advance(Duration::from_secs(10)).await;
        assert_eq!(taken(&bucket, 7), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_in_without_room_is_owed() {
        let mut bucket = Bucket::new(number(1000), number(4000));
        assert_eq!(bucket.take(0), Ok(()));
        assert_eq!(bucket.take(4000), Ok(()));
        assert_eq!(bucket.take(2000), Err(Duration::from_secs(2)));
        advance(Duration::from_secs(1)).await;
        assert_eq!(bucket.take(0), Err(Duration::from_secs(1)), "still owed");
        advance(Duration::from_secs(1)).await;
        assert_eq!(bucket.take(0), Ok(()));
        // More than the burst is paid in parts.
        advance(Duration::from_secs(4)).await;
        assert_eq!(bucket.take(9000), Err(Duration::from_secs(4)));
        advance(Duration::from_secs(4)).await;
        assert_eq!(bucket.take(0), Err(Duration::from_secs(1)));
        advance(Duration::from_secs(1)).await;
        assert_eq!(bucket.take(0), Ok(()));
    }

    fn shared(keys_max: usize) -> SharedRates {
        let mut limits = Config::defaults().limits;
        limits.limiter_keys_max = keys_max;
        SharedRates::new(&limits)
    }

    fn user(n: u32) -> UserId {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        UserId::from_digest(&digest)
    }

    #[tokio::test(start_paused = true)]
    async fn users_and_rooms_have_buckets_of_their_own() {
        let rates = shared(1000);
        assert_eq!(
            (0..100).filter(|_| rates.try_user(user(1)).is_ok()).count(),
            40
        );
        assert_eq!(rates.try_user(user(1)), Err(Duration::from_millis(100)));
        assert_eq!(rates.try_user(user(2)), Ok(()));
        let room = RoomId::parse("lobby", 64).expect("a room");
        assert_eq!(
            (0..1000).filter(|_| rates.try_room(&room).is_ok()).count(),
            400
        );
        assert_eq!(rates.keys(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn r10_keys_are_bounded_and_newcomers_share_a_bucket() {
        let rates = shared(1000);
        let passed = (0..5000)
            .filter(|n| rates.try_user(user(*n)).is_ok())
            .count();
        assert_eq!(rates.keys(), 1000);
        assert_eq!(
            passed, 1040,
            "one each, then the burst of the shared bucket"
        );
        assert_eq!(rates.try_user(user(1)), Ok(()), "who has a bucket keeps it");
        advance(Duration::from_mins(1)).await;
        rates.prune();
        assert_eq!(rates.keys(), 0);
        assert_eq!(rates.try_user(user(4999)), Ok(()));
        assert_eq!(rates.keys(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn pruning_forgets_no_bucket_that_is_not_full() {
        let rates = shared(1000);
        while rates.try_user(user(1)).is_ok() {}
        assert_eq!(rates.try_user(user(2)), Ok(()));
        advance(Duration::from_secs(1)).await;
        rates.prune();
        assert_eq!(rates.keys(), 1);
        assert_eq!(
            (0..100).filter(|_| rates.try_user(user(1)).is_ok()).count(),
            10
        );
    }

    #[tokio::test(start_paused = true)]
    async fn patience_is_lost_by_one_more_than_its_measure_and_comes_back() {
        let mut patience = Patience::new(3, Duration::from_secs(10));
        assert_eq!(
            [(); 5].map(|()| patience.is_over()),
            [false, false, false, true, true]
        );
        advance(Duration::from_secs(10)).await;
        assert!(!patience.is_over());
        advance(Duration::from_secs(9)).await;
        assert_eq!([(); 3].map(|()| patience.is_over()), [false, false, true]);
    }
}
