//! One issuer's keys, kept fresh. A single loop reads the set: at the start, at 80 % of its time to live, sooner after a
//! failure, and when a token names a key that is not in it. Requests only ask and wait, so there is one read at a time however
//! many ask, and a request that is given up cannot give up the read.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{
        error::AuthError,
        jwks::KeySet,
        key_source::{KeySource, ReadError},
        keys::{KeyFingerprint, SignatureRules, VerifyingKey},
        reason::Reason,
    },
    clock::Clock,
    telemetry::metrics::Metrics,
};

/// How an issuer's keys are, for the readiness page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// From a file or a value: always there.
    Fixed,
    /// Not read yet: this issuer's tokens are refused.
    NeverRead,
    /// The last read succeeded.
    Fresh,
    /// The last read failed; the last good set is in use.
    Aging,
    /// The last good set is older than `limits.jwks_stale_max_s`: nobody new of this issuer comes in.
    Stale,
}

/// The times of `[limits]` that concern key sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyTimes {
    /// `jwks_ttl_s`.
    pub(super) ttl: Duration,
    /// `jwks_stale_max_s`.
    pub(super) stale_max: Duration,
    /// `jwks_unknown_kid_interval_s`.
    pub(super) unknown_kid_interval: Duration,
}

/// The first wait after a failed read; it doubles up to `unknown_kid_interval`.
const RETRY_FIRST: Duration = Duration::from_secs(1);

struct Loaded {
    set: KeySet,
    read_at: Instant,
}

/// What the loop and the requests agree on.
struct Rounds {
    /// A read is under way, or asked for.
    reading: bool,
    /// When an unknown kid last asked for a read.
    asked_at: Option<Instant>,
    /// Failed reads in a row.
    failures: u32,
    /// When the loop reads again by itself.
    due: Instant,
}

/// The keys of one issuer, at an address.
pub(super) struct KeyCache {
    rules: SignatureRules,
    source: KeySource,
    times: KeyTimes,
    clock: Clock,
    metrics: Arc<Metrics>,
    loaded: ArcSwapOption<Loaded>,
    rounds: Mutex<Rounds>,
    /// Counts finished reads, good and bad.
    finished: watch::Sender<u64>,
    wanted: Notify,
}

impl KeyCache {
    /// An empty cache; [`KeyCache::run`] fills it.
    pub(super) fn new(
        rules: SignatureRules,
        source: KeySource,
        times: KeyTimes,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            rules,
            source,
            times,
            clock,
            metrics,
            loaded: ArcSwapOption::empty(),
            rounds: Mutex::new(Rounds {
                // The first read is due at once: who comes before it waits for it.
                reading: true,
                asked_at: None,
                failures: 0,
                due: Instant::now(),
            }),
            finished: watch::Sender::new(0),
            wanted: Notify::new(),
        }
    }

    /// The key that a header names. A kid that the set does not have asks for another read, once per interval for the whole
    /// issuer: that cooldown is the negative cache for every kid at once, and holds nothing that a stranger could fill.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait and not the read.
    pub(super) async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<VerifyingKey>, AuthError> {
        // Before the look-up, so that a read which ends in between is noticed.
        let mut finished = self.finished.subscribe();
        match self.look_up(id, algorithm) {
            Err(Miss::Unknown | Miss::NeverRead | Miss::Stale) if self.ask() => {}
            found => return found.map_err(|miss| self.answer(miss)),
        }
        // Time is up when the slowest read would be: discovery document and key set.
        let patience = self.source.limits.timeout.saturating_mul(2);
        timeout(patience, finished.changed()).await.ok();
        self.look_up(id, algorithm)
            .map_err(|miss| self.answer(miss))
    }

    /// Whether the set that is in use was read after `seen` and lacks the key: the issuer has withdrawn it.
    pub(super) fn withdrew(&self, fingerprint: KeyFingerprint, seen: Instant) -> bool {
        self.loaded
            .load()
            .as_ref()
            .is_some_and(|loaded| loaded.read_at > seen && !loaded.set.holds(fingerprint))
    }

    /// How the keys are.
    pub(super) fn state(&self) -> KeyState {
        match self.loaded.load().as_ref() {
            None => KeyState::NeverRead,
            Some(loaded) if loaded.read_at.elapsed() > self.times.stale_max => KeyState::Stale,
            Some(_) if self.rounds.lock().failures > 0 => KeyState::Aging,
            Some(_) => KeyState::Fresh,
        }
    }

    /// Reads the set now and whenever it is due, until `stop`.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.refresh() => {}
            }
            let due = self.rounds.lock().due;
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(due) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    fn look_up(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<VerifyingKey>, Miss> {
        let loaded = self.loaded.load();
        let loaded = loaded.as_ref().ok_or(Miss::NeverRead)?;
        if loaded.read_at.elapsed() > self.times.stale_max {
            return Err(Miss::Stale);
        }
        match loaded.set.find(id, algorithm) {
            Ok(key) => Ok(Arc::clone(key)),
            Err(Reason::KeyUnknown) => Err(Miss::Unknown),
            Err(reason) => Err(Miss::No(reason)),
        }
    }

    /// Whether there is a read to wait for: one is under way, or may be asked for now.
    fn ask(&self) -> bool {
        let mut rounds = self.rounds.lock();
        if rounds.reading {
            return true;
        }
        if rounds
            .asked_at
            .is_some_and(|at| at.elapsed() < self.times.unknown_kid_interval)
        {
            return false;
        }
        rounds.asked_at = Some(Instant::now());
        rounds.reading = true;
        drop(rounds);
        self.wanted.notify_one();
        true
    }

    fn answer(&self, miss: Miss) -> AuthError {
        match miss {
            Miss::NeverRead => Reason::KeysMissing.into(),
            Miss::Unknown => Reason::KeyUnknown.into(),
            Miss::No(reason) => reason.into(),
            Miss::Stale => AuthError::Unavailable {
                retry_after: self
                    .rounds
                    .lock()
                    .due
                    .saturating_duration_since(Instant::now())
                    .max(RETRY_FIRST),
            },
        }
    }

    async fn refresh(&self) {
        self.rounds.lock().reading = true;
        let read = self.source.read(&self.rules).await;
        let wait = match read {
            Ok(set) => self.take_in(set),
            Err(error) => self.give_up(&error),
        };
        let now = Instant::now();
        let mut rounds = self.rounds.lock();
        rounds.due = now.checked_add(wait).unwrap_or(now);
        rounds.reading = false;
        drop(rounds);
        self.finished
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn take_in(&self, set: KeySet) -> Duration {
        let issuer = &self.rules.issuer;
        let failures = std::mem::take(&mut self.rounds.lock().failures);
        if failures > 0 {
            tracing::warn!(%issuer, failures, "the key set can be read again");
        }
        if !set.refused.is_empty() {
            let reasons: Vec<String> = set.refused.iter().map(ToString::to_string).collect();
            tracing::warn!(%issuer, usable = set.len(), ?reasons, "keys of the set are left out");
        } else if set.len() == 0 {
            tracing::warn!(%issuer, "the key set is empty: no token of this issuer is good");
        }
        self.loaded.store(Some(Arc::new(Loaded {
            set,
            read_at: Instant::now(),
        })));
        self.count("ok");
        let now = i64::try_from(self.clock.unix_s()).unwrap_or(i64::MAX);
        self.metrics
            .jwks_last_success
            .get_or_create(&[("issuer", issuer.clone())])
            .set(now);
        // 72 to 80 %: nodes that started together do not ask together for ever.
        self.times.ttl.mul_f64(0.72 + 0.08 * fastrand::f64())
    }

    fn give_up(&self, error: &ReadError) -> Duration {
        self.count(error.label());
        let mut rounds = self.rounds.lock();
        let failures = rounds.failures;
        rounds.failures = failures.saturating_add(1);
        drop(rounds);
        // Once per outage; the metric counts the rest.
        if failures == 0 {
            tracing::warn!(issuer = %self.rules.issuer, %error, "the key set cannot be read");
        }
        RETRY_FIRST
            .saturating_mul(1 << failures.min(16))
            .min(self.times.unknown_kid_interval)
            .mul_f64(0.75 + 0.25 * fastrand::f64())
    }

    fn count(&self, result: &'static str) {
        self.metrics
            .jwks_refreshes
            .get_or_create(&[
                ("issuer", self.rules.issuer.clone()),
                ("result", result.to_owned()),
            ])
            .inc();
    }
}

/// Why there is no key.
#[derive(Clone, Copy)]
enum Miss {
    NeverRead,
    Stale,
    /// Another read may help.
    Unknown,
    /// No read would help.
    No(Reason),
}

#[cfg(test)]
mod tests {
    use std::{future::Future, sync::Arc, time::Duration};

    use jsonwebtoken::Algorithm;
    use serde_json::json;
    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::{KeyCache, KeyState, KeyTimes};
    use crate::{
        auth::{
            error::AuthError,
            fetch::{FetchError, FetchLimits, HttpsUrl, Roots},
            key_source::{KeySource, Place},
            keys::{IssuerKey, SignatureRules},
            reason::Reason,
            testing::{FakeFetch, Signer},
        },
        clock::Clock,
        telemetry::metrics::Metrics,
    };

    const URL: &str = "https://idp.example/keys";

    fn cache(fetch: &Arc<FakeFetch>) -> KeyCache {
        let rules = SignatureRules {
            issuer: "https://idp.example".to_owned(),
            audience: Some(vec!["wardroom".to_owned()]),
            algorithms: vec![Algorithm::ES256],
        };
        let source = KeySource {
            place: Place::Url(HttpsUrl::parse(URL).expect("an address")),
            roots: Roots::System,
            limits: FetchLimits {
                timeout: Duration::from_secs(5),
                bytes_max: 4096,
            },
            keys_max: 32,
            fetch: Arc::clone(fetch) as _,
        };
        let times = KeyTimes {
            ttl: Duration::from_mins(15),
            stale_max: Duration::from_hours(24),
            unknown_kid_interval: Duration::from_secs(30),
        };
        KeyCache::new(rules, source, times, Clock::manual(0), Metrics::new())
    }

    /// Runs `test` beside the cache's loop.
    async fn beside<T>(cache: &KeyCache, test: impl Future<Output = T>) -> T {
        let stop = CancellationToken::new();
        tokio::select! {
            () = cache.run(&stop) => panic!("the loop ends only when told to"),
            out = test => out,
        }
    }

    /// Lets the loop do what it can without time passing.
    async fn settle() {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn find(cache: &KeyCache, id: &str) -> Result<(), AuthError> {
        cache.find(Some(id), Algorithm::ES256).await.map(|_| ())
    }

    fn set(ids: &[&str]) -> String {
        let keys: Vec<_> = ids.iter().map(|id| Signer::es256().jwk(id)).collect();
        json!({"keys": keys}).to_string()
    }

    const UNKNOWN: Result<(), AuthError> = Err(AuthError::Unauthorized(Reason::KeyUnknown));

    #[tokio::test(start_paused = true)]
    async fn who_comes_before_the_first_read_waits_for_it() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        fetch.take(Duration::from_secs(3));
        let cache = cache(&fetch);
        assert_eq!(cache.state(), KeyState::NeverRead);
        beside(&cache, async {
            assert_eq!(find(&cache, "a").await, Ok(()));
            assert_eq!(fetch.count(), 1);
            assert_eq!(cache.state(), KeyState::Fresh);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_unknown_kids_cost_one_read_per_interval() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        let cache = cache(&fetch);
        beside(&cache, async {
            assert_eq!(find(&cache, "a").await, Ok(()));
            assert_eq!(fetch.count(), 1);
            for n in 0..10_000 {
                advance(Duration::from_millis(1)).await;
                assert_eq!(find(&cache, &format!("k{n}")).await, UNKNOWN);
            }
            assert_eq!(fetch.count(), 2, "one for all within 10 s");
            advance(Duration::from_secs(21)).await;
            assert_eq!(find(&cache, "k").await, UNKNOWN);
            assert_eq!(fetch.count(), 3, "and one in the next interval");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_once_share_one_read() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        let cache = cache(&fetch);
        beside(&cache, async {
            assert_eq!(find(&cache, "a").await, Ok(()));
            fetch.put(URL, set(&["a", "b"]));
            fetch.take(Duration::from_secs(2));
            let all = (0..50).map(|_| find(&cache, "b"));
            for found in futures_util::future::join_all(all).await {
                assert_eq!(found, Ok(()));
            }
            assert_eq!(fetch.count(), 2);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_given_up_does_not_give_up_the_read() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        let cache = cache(&fetch);
        beside(&cache, async {
            assert_eq!(find(&cache, "a").await, Ok(()));
            fetch.put(URL, set(&["b"]));
            fetch.take(Duration::from_secs(2));
            let short = tokio::time::timeout(Duration::from_secs(1), find(&cache, "b"));
            assert!(short.await.is_err(), "given up after one second");
            assert_eq!(find(&cache, "b").await, Ok(()));
            assert_eq!(fetch.count(), 2);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_set_is_read_again_before_its_time_is_over() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        let cache = cache(&fetch);
        beside(&cache, async {
            settle().await;
            assert_eq!(fetch.count(), 1);
            advance(Duration::from_secs(640)).await;
            settle().await;
            assert_eq!(fetch.count(), 1, "not before 72 % of 900 s");
            advance(Duration::from_secs(81)).await;
            settle().await;
            assert_eq!(fetch.count(), 2, "not after 80 %");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_read_keeps_the_last_good_set_until_it_is_too_old() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        let cache = cache(&fetch);
        beside(&cache, async {
            assert_eq!(find(&cache, "a").await, Ok(()));
            for (body, why) in [
                ("{}".to_owned(), "no set"),
                ("<html>".to_owned(), "no JSON"),
                ("x".repeat(4097), "too large"),
                (
                    json!({"keys": [Signer::es256().jwk("b"), Signer::es256().jwk("b")]})
                        .to_string(),
                    "a kid twice",
                ),
            ] {
                fetch.put(URL, body);
                let before = fetch.count();
                advance(Duration::from_secs(721)).await;
                settle().await;
                assert!(fetch.count() > before, "{why}");
                assert_eq!(find(&cache, "a").await, Ok(()), "{why}");
                assert_eq!(cache.state(), KeyState::Aging, "{why}");
            }
            fetch.fail(FetchError::Status(500));
            advance(Duration::from_secs(86401)).await;
            settle().await;
            assert_eq!(cache.state(), KeyState::Stale);
            let refused = find(&cache, "a").await;
            assert!(
                matches!(refused, Err(AuthError::Unavailable { .. })),
                "{refused:?}"
            );
            fetch.put(URL, set(&["a"]));
            advance(Duration::from_secs(31)).await;
            settle().await;
            assert_eq!(find(&cache, "a").await, Ok(()));
            assert_eq!(cache.state(), KeyState::Fresh);
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_refused_and_not_deferred_while_no_set_was_ever_read() {
        let fetch = FakeFetch::holding(URL, String::new());
        fetch.fail(FetchError::Connect("refused".to_owned()));
        let cache = cache(&fetch);
        beside(&cache, async {
            settle().await;
            let missing = Err(AuthError::Unauthorized(Reason::KeysMissing));
            assert_eq!(find(&cache, "a").await, missing);
            assert_eq!(cache.state(), KeyState::NeverRead);
            let before = fetch.count();
            advance(Duration::from_mins(1)).await;
            settle().await;
            assert!(fetch.count() > before, "tries go on");
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_hangs_ends_with_its_time_limit() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        fetch.take(Duration::from_hours(1));
        let cache = cache(&fetch);
        beside(&cache, async {
            let missing = Err(AuthError::Unauthorized(Reason::KeysMissing));
            assert_eq!(find(&cache, "a").await, missing);
            fetch.take(Duration::ZERO);
            advance(Duration::from_secs(2)).await;
            settle().await;
            assert_eq!(find(&cache, "a").await, Ok(()));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_leaves_the_set_is_withdrawn_and_a_new_one_is_not() {
        let (old, new) = (Signer::es256(), Signer::es256());
        let print = |signer: &Signer| {
            IssuerKey::from_public_pem(&signer.public_pem())
                .expect("a key")
                .fingerprint()
        };
        let fetch = FakeFetch::holding(URL, json!({"keys": [old.jwk("a")]}).to_string());
        let cache = cache(&fetch);
        beside(&cache, async {
            assert_eq!(find(&cache, "a").await, Ok(()));
            advance(Duration::from_secs(1)).await;
            let seen = tokio::time::Instant::now();
            assert!(!cache.withdrew(print(&old), seen));
            assert!(
                !cache.withdrew(print(&new), seen),
                "read before it was seen"
            );
            fetch.put(URL, json!({"keys": [new.jwk("b")]}).to_string());
            advance(Duration::from_mins(12)).await;
            settle().await;
            assert!(cache.withdrew(print(&old), seen));
            assert!(!cache.withdrew(print(&new), seen));
            assert_eq!(find(&cache, "a").await, UNKNOWN);
            assert_eq!(find(&cache, "b").await, Ok(()));
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_loop_ends_when_told_to() {
        let fetch = FakeFetch::holding(URL, set(&["a"]));
        fetch.take(Duration::from_hours(1));
        let cache = cache(&fetch);
        let stop = CancellationToken::new();
        stop.cancel();
        cache.run(&stop).await;
    }
}
