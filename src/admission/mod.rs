//! May this peer connect at all, and this request be looked at? Before TLS an accepted socket gets a [`caps::Permit`] or is
//! dropped; at the request the client's address, its rates and the Origin are judged. Nobody's credential is read here, and no
//! address grants a right.

pub mod address;
pub mod caps;
pub mod client_ip;
mod origin;
mod rates;
pub mod refusal;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::{
    caps::{Caps, Permit, Seat},
    client_ip::{Client, ClientIp},
    origin::Origins,
    rates::Rates,
    refusal::{Dropped, Refusal},
};
use crate::{
    config::{self, limits::Limits, listen::Listen},
    domain::origin::{Origin, OriginError},
    telemetry::metrics::Metrics,
};

/// How often full buckets are forgotten.
const PRUNE_EVERY: Duration = Duration::from_mins(1);

/// Judges peers and requests before anything is known about who they are.
pub struct Admission {
    clients: ClientIp,
    origins: Origins,
    caps: Arc<Caps>,
    connects: Rates,
    requests: Rates,
    auth_failures: Rates,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

impl Admission {
    /// From the sections that concern it. Fails on an origin that is none, which the configuration's own check names.
    pub fn new(
        listen: &Listen,
        admission: &config::admission::Admission,
        limits: &Limits,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, OriginError> {
        let keys = limits.limiter_keys_max;
        Ok(Arc::new(Self {
            clients: ClientIp::new(listen, limits),
            origins: Origins::new(admission)?,
            caps: Caps::new(limits, Arc::clone(&metrics)),
            connects: Rates::per_second(
                limits.connects_per_ip_per_s,
                limits.connects_per_ip_burst,
                keys,
            ),
            requests: Rates::per_second(
                limits.requests_per_ip_per_s,
                limits.requests_per_ip_burst,
                keys,
            ),
            auth_failures: Rates::per_minute(limits.auth_failures_per_ip_per_min, keys),
            metrics,
        }))
    }

    /// A place for an accepted socket, before its first TLS byte. `peer` is the other end, or, where the PROXY protocol is
    /// required, the client that its header names. A connection over a cap gets a permit with [`Permit::refusal`], so that it
    /// can be told over TLS; beyond that it is dropped.
    pub fn accept(&self, peer: IpAddr) -> Result<Permit, Dropped> {
        self.caps.accept(peer, self.clients.is_trusted(peer))
    }

    /// Whether the address is a trusted proxy, who alone may send a PROXY header.
    pub fn is_trusted_proxy(&self, peer: IpAddr) -> bool {
        self.clients.is_trusted(peer)
    }

    /// The one header that [`Admission::client`] wants the lines of, lower case.
    pub fn client_header(&self) -> &str {
        self.clients.header()
    }

    /// Whose request it is. `lines` are the values of all headers named [`Admission::client_header`], in order.
    pub fn client(&self, peer: IpAddr, lines: &[&[u8]]) -> Client {
        self.clients
            .find(peer, lines)
            .unwrap_or_else(|(client, _)| {
                self.metrics.forwarded_malformed.inc();
                client
            })
    }

    /// For each request that is no upgrade: `limits.requests_per_ip_*`.
    pub fn admit_request(&self, client: &Client) -> Result<(), Refusal> {
        self.limited("requests", self.requests.check(client.address.into()))
    }

    /// For each upgrade: `limits.connects_per_ip_*`, and behind a trusted proxy a place among the client's connections, to be
    /// held as long as the connection lives.
    pub fn admit_upgrade(&self, client: &Client) -> Result<Seat, Refusal> {
        self.limited("handshake", self.connects.check(client.address.into()))?;
        if !client.proxied {
            return Ok(Seat::counted_elsewhere());
        }
        self.limited("connection", self.caps.seat(client.address))
    }

    /// The page behind a request, by the values of all its Origin headers; asked before the credential is looked at.
    pub fn origin(&self, values: &[&[u8]]) -> Result<Option<Origin>, Refusal> {
        self.origins.check(values)
    }

    /// Whether the origin is on the list: for CORS, and for tickets that a backend fetches for its page.
    pub fn allows_origin(&self, origin: &Origin) -> bool {
        self.origins.allows(origin)
    }

    /// Notes a credential that was not good. Over `limits.auth_failures_per_ip_per_min` the answer becomes 429; good
    /// credentials of the same address never come here.
    pub fn authentication_failed(&self, client: &Client) -> Result<(), Refusal> {
        self.limited(
            "authentication",
            self.auth_failures.check(client.address.into()),
        )
    }

    /// Forgets addresses that have been quiet, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let now = Instant::now();
            let next = now.checked_add(PRUNE_EVERY).unwrap_or(now);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(next) => {}
            }
            for rates in [&self.connects, &self.requests, &self.auth_failures] {
                rates.prune();
            }
        }
    }

    fn limited<T>(&self, scope: &'static str, found: Result<T, Refusal>) -> Result<T, Refusal> {
        found.inspect_err(|_| self.metrics.limited(scope))
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc, time::Duration};

    use tokio::time::advance;
    use tokio_util::sync::CancellationToken;

    use super::{Admission, refusal::Refusal};
    use crate::{config::Config, telemetry::metrics::Metrics};

    fn config() -> Config {
        let mut config = Config::defaults();
        config.listen.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        config
    }

    fn admission(config: &Config) -> Arc<Admission> {
        Admission::new(
            &config.listen,
            &config.admission,
            &config.limits,
            Metrics::new(),
        )
        .expect("a good setup")
    }

    fn ip(raw: &str) -> IpAddr {
        raw.parse().expect(raw)
    }

    fn limited(admission: &Admission, scope: &'static str) -> u64 {
        admission
            .metrics
            .rate_limited
            .get_or_create(&[("scope", scope)])
            .get()
    }

    #[tokio::test(start_paused = true)]
    async fn y1_a_new_forged_address_per_request_is_one_bucket() {
        let admission = admission(&config());
        let passed = (0..600_u32)
            .filter(|n| {
                let forged = IpAddr::from(n.to_be_bytes()).to_string();
                let client = admission.client(ip("192.0.2.9"), &[forged.as_bytes()]);
                admission.admit_request(&client).is_ok()
            })
            .count();
        assert_eq!(passed, 400);
        assert_eq!(limited(&admission, "requests"), 200);
        assert_eq!(admission.metrics.forwarded_malformed.get(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_of_a_trusted_proxy_have_buckets_of_their_own() {
        let admission = admission(&config());
        for n in 0..600_u32 {
            let address = IpAddr::from((0xcb00_7100 + n).to_be_bytes()).to_string();
            let client = admission.client(ip("10.0.0.1"), &[address.as_bytes()]);
            assert_eq!(admission.admit_request(&client), Ok(()));
        }
        let client = admission.client(ip("10.0.0.1"), &[b"rubbish"]);
        assert_eq!(client.address, ip("10.0.0.1"));
        assert_eq!(admission.metrics.forwarded_malformed.get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn upgrades_have_a_rate_of_their_own() {
        let admission = admission(&config());
        let client = admission.client(ip("192.0.2.9"), &[]);
        let seats: Vec<_> = (0..300)
            .filter_map(|_| admission.admit_upgrade(&client).ok())
            .collect();
        assert_eq!(seats.len(), 200);
        let refusal = admission.admit_upgrade(&client).err();
        let retry_after = Duration::from_millis(20);
        assert_eq!(refusal, Some(Refusal::RateLimited { retry_after }));
        assert_eq!(limited(&admission, "handshake"), 101);
        assert_eq!(admission.admit_request(&client), Ok(()), "another bucket");
        advance(retry_after).await;
        assert!(admission.admit_upgrade(&client).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn behind_a_proxy_the_client_is_counted_and_not_the_proxy() {
        let mut config = config();
        config.limits.connections_per_ip_max = 2;
        let admission = admission(&config);
        let proxy = ip("10.0.0.1");
        let permits: Vec<_> = (0..5)
            .map(|_| admission.accept(proxy).expect("counted in all only"))
            .collect();
        assert!(permits.iter().all(|permit| permit.refusal().is_none()));
        let client = admission.client(proxy, &[b"203.0.113.7"]);
        let seats: Vec<_> = (0..2)
            .map(|_| admission.admit_upgrade(&client).expect("room"))
            .collect();
        let refusal = admission.admit_upgrade(&client).err();
        assert_eq!(refusal, Some(Refusal::TooManyConnections));
        assert_eq!(limited(&admission, "connection"), 1);
        let other = admission.client(proxy, &[b"203.0.113.8"]);
        assert!(admission.admit_upgrade(&other).is_ok());
        drop(seats);
        assert!(admission.admit_upgrade(&client).is_ok());
        // A direct peer's own connections count by its permits, so its upgrades take no second place.
        let direct = admission.client(ip("192.0.2.9"), &[]);
        let upgrades: Vec<_> = (0..5).map(|_| admission.admit_upgrade(&direct)).collect();
        assert!(upgrades.iter().all(Result::is_ok));
    }

    #[tokio::test(start_paused = true)]
    async fn bad_credentials_are_limited_by_the_minute() {
        let admission = admission(&config());
        let client = admission.client(ip("192.0.2.9"), &[]);
        for n in 0..30 {
            assert_eq!(admission.authentication_failed(&client), Ok(()), "{n}");
        }
        let refusal = admission.authentication_failed(&client).err();
        let retry_after = Duration::from_secs(2);
        assert_eq!(refusal, Some(Refusal::RateLimited { retry_after }));
        assert_eq!(limited(&admission, "authentication"), 1);
        let other = admission.client(ip("192.0.2.10"), &[]);
        assert_eq!(admission.authentication_failed(&other), Ok(()));
        advance(Duration::from_mins(1)).await;
        assert_eq!(admission.authentication_failed(&client), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_addresses_are_forgotten_every_minute() {
        let admission = admission(&config());
        for n in 0..1000_u32 {
            let client = admission.client(IpAddr::from((0xcb00_0000 + n).to_be_bytes()), &[]);
            assert_eq!(admission.admit_request(&client), Ok(()));
        }
        assert_eq!(admission.requests.len(), 1000);
        let stop = CancellationToken::new();
        let run = Arc::clone(&admission).run(stop.clone());
        let wait = async {
            advance(Duration::from_secs(61)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert_eq!(admission.requests.len(), 0);
            stop.cancel();
        };
        tokio::join!(run, wait);
    }
}
