//! The whole node as one value: bound, then serving until it is told to stop.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use axum_server::{Control, Handle, tls_rustls::RustlsAcceptor, tls_rustls::RustlsConfig};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    admin,
    drain::{Drain, Drained, Stop},
    edge::{self, OuterAcceptor, TcpAcceptor},
    fetch::HttpsClient,
    guarded_stream::StreamRules,
    headers::SecurityHeaders,
    page::PageSettings,
    precheck::HeadRules,
    proxy_header::ProxyRules,
    router,
    state::Shared,
    tls::{self, TlsError},
};
use crate::{
    admission::Admission,
    auth::{
        AuthParts, Authenticator, LocalIssuer, error::AuthSetupError, mint::Minter,
        ticket_store::MemoryTickets,
    },
    clock::Clock,
    config::{Config, listen::ProxyProtocol, log::LogEngine, tls::TlsMode},
    domain::{origin::OriginError, room_name::RoomId},
    hub::{Hub, settings::HubSettings},
    inbound::{InboundRules, rate::Bucket, rate::SharedRates},
    log::{
        Engine, Health,
        memory::{MemoryEngine, MemorySettings},
        sqlite::{SqliteEngine, SqliteSettings, schema::OpenError},
    },
    outbound::{html::HtmlDeriver, outbox::OutboxBounds, outbox_budget::OutboxBudget},
    protocol::server_frame::WelcomeLimits,
    session::{
        context::{SessionContext, SessionRules},
        registry::Registry,
        timers::TimerRules,
    },
    telemetry::metrics::Metrics,
};

/// Connections that the kernel may hold before they are accepted: a burst of reconnects after a deploy.
const BACKLOG: i32 = 4096;

/// How the node runs.
pub enum Mode {
    /// Production: tokens come from the configured issuers.
    Serve,
    /// Development: this minter signs for whoever asks, and its key is the one issuer's.
    Dev(Minter),
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be bound.
    #[error("{key} = {address} cannot be bound: {cause}")]
    Bind {
        /// The configuration's key.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        cause: io::Error,
    },
    /// The certificate cannot be served.
    #[error("[tls] {0}")]
    Tls(#[from] TlsError),
    /// An origin in the configuration is none.
    #[error("admission.allowed_origins: {0}")]
    Origin(#[from] OriginError),
    /// The issuers cannot be set up.
    #[error("[auth] {0}")]
    Auth(#[from] AuthSetupError),
    /// A file cannot be read.
    #[error("{key} = {path} cannot be read: {cause}")]
    File {
        /// The configuration's key.
        key: &'static str,
        /// The path.
        path: String,
        /// Why.
        cause: io::Error,
    },
    /// The engine is not part of this version.
    #[error("log.engine = \"{0}\" is not available in this version")]
    Engine(&'static str),
    /// The log's file cannot be used.
    #[error("log.path: {0}")]
    Log(#[from] OpenError),
}

/// What has to change before a start can succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// The configuration: starting again will not help.
    Configuration,
    /// The storage: somebody has to look at it.
    Storage,
    /// Perhaps nothing: an address or a file that is in use may be free a moment later.
    Time,
}

impl StartError {
    /// What has to change.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Bind { .. } | Self::Log(OpenError::InUse(_)) => Remedy::Time,
            Self::Log(error) if error.is_storage() => Remedy::Storage,
            _ => Remedy::Configuration,
        }
    }
}

/// Why a node stopped that should not have.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listener failed.
    #[error("the {which} listener failed: {cause}")]
    Listener {
        /// Which one.
        which: &'static str,
        /// Why.
        cause: io::Error,
    },
    /// What was not flushed may or may not be there: only a restart finds out. Nothing was acknowledged after it.
    #[error("the log's storage failed")]
    Storage,
}

/// A node whose sockets are bound and whose parts are built.
pub struct Gateway {
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    public: std::net::TcpListener,
    admin: std::net::TcpListener,
    tls: Option<RustlsConfig>,
}

impl Gateway {
    /// Binds both listeners and builds every station. Nothing is answered yet, but the kernel queues connections.
    pub fn bind(
        mut config: Config,
        mode: Mode,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let public = listen("listen.public", config.listen.public)?;
        let admin = listen("listen.admin", config.listen.admin)?;
        if let (Mode::Dev(_), Ok(address)) = (&mode, public.local_addr()) {
            config
                .admission
                .allowed_origins
                .extend(Config::dev_origins(address.port()));
        }
        let tls = match config.tls.mode {
            TlsMode::Files => Some(tls::load(&config.tls)?),
            TlsMode::Off => None,
        };
        if let Some(end) = tls.as_ref().and_then(|served| served.not_after) {
            metrics
                .tls_certificate_not_after
                .set(i64::try_from(end).unwrap_or(i64::MAX));
        }
        let (shared, hub) = build(config, mode, metrics, clock)?;
        Ok(Self {
            shared,
            hub,
            public,
            admin,
            tls: tls.map(|served| RustlsConfig::from_config(served.config)),
        })
    }

    /// Where the public listener is, with its real port.
    pub fn public_address(&self) -> io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// Where the admin listener is, with its real port.
    pub fn admin_address(&self) -> io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until it is told to stop, then drains: probes first, then the sessions one after the other, then every task.
    pub async fn serve(self, stop: Stop) -> Result<Drained, ServeError> {
        let Self {
            shared,
            hub,
            public,
            admin,
            tls,
        } = self;
        let control = Control::new();
        let loops = CancellationToken::new();
        start_loops(&shared, &hub, &loops);
        let public = serve_public(&shared, public, tls, &control);
        let admin = serve_admin(&shared, admin, &control);
        shared.metrics.ready.set(1);
        let drain = drain(&shared, &stop, &control, &loops);
        // The listeners end when the drain tells them to; one that ends before has failed.
        let (mut public, mut admin, mut drain) = (
            std::pin::pin!(public),
            std::pin::pin!(admin),
            std::pin::pin!(drain),
        );
        let mut health = shared.engine.health();
        let mut failure = std::pin::pin!(health.wait_for(|health| *health == Health::Failed));
        let mut ended = (false, false);
        loop {
            tokio::select! {
                Ok(_) = &mut failure => return Err(ServeError::Storage),
                drained = &mut drain => return Ok(drained),
                result = &mut public, if !ended.0 => { ended.0 = true; failed("public", result)?; }
                result = &mut admin, if !ended.1 => { ended.1 = true; failed("admin", result)?; }
            }
        }
    }
}

fn failed(which: &'static str, result: io::Result<()>) -> Result<(), ServeError> {
    result.map_err(|cause| ServeError::Listener { which, cause })
}

/// The whole stop, from the signal on; `grace` bounds it.
async fn drain(
    shared: &Shared,
    stop: &Stop,
    control: &Control,
    loops: &CancellationToken,
) -> Drained {
    tokio::select! {
        () = stop.soft.cancelled() => {}
        () = stop.hard.cancelled() => {}
    }
    tracing::info!(sessions = shared.sessions.registry.len(), "draining");
    let deadline = Instant::now() + shared.config.drain.grace;
    let orderly = async {
        shared.drain.announce(&stop.hard).await;
        shared
            .drain
            .end_sessions(&shared.sessions.registry, &stop.hard)
            .await;
    };
    // Whether it was done or cut, what follows is the same.
    tokio::time::timeout_at(deadline, orderly).await.ok();
    // Idle keep-alive connections are told to go; what is being answered is answered.
    control.graceful_shutdown(Some(deadline.saturating_duration_since(Instant::now())));
    let sessions = shared
        .drain
        .wait_sessions(deadline, &shared.sessions.registry, &stop.hard)
        .await;
    loops.cancel();
    let tasks = shared
        .drain
        .wait_loops(deadline, &shared.sessions.registry, &stop.hard)
        .await;
    shared.engine.close().await;
    control.shutdown();
    if sessions == Drained::Clean {
        tasks
    } else {
        sessions
    }
}

fn start_loops(shared: &Arc<Shared>, hub: &Arc<Hub>, stop: &CancellationToken) {
    let tasks = &shared.drain.loops;
    tasks.spawn(Arc::clone(hub).run(stop.clone()));
    tasks.spawn(Arc::clone(&shared.authenticator).run(stop.clone()));
    tasks.spawn(Arc::clone(&shared.admission).run(stop.clone()));
    tasks.spawn(prune(Arc::clone(&shared.sessions.rates), stop.clone()));
}

/// Buckets that are full again are forgotten, so that a million passers-by do not stay in memory.
async fn prune(rates: Arc<SharedRates>, stop: CancellationToken) {
    let mut tick = tokio::time::interval(std::time::Duration::from_mins(1));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => rates.prune(),
        }
    }
}

async fn serve_public(
    shared: &Arc<Shared>,
    listener: std::net::TcpListener,
    tls: Option<RustlsConfig>,
    control: &Control,
) -> io::Result<()> {
    let limits = &shared.limits;
    let proxy =
        (shared.config.listen.proxy_protocol == ProxyProtocol::Required).then_some(ProxyRules {
            within: limits.proxy_header,
            bytes_max: limits.proxy_header_bytes_max,
        });
    let inner = TcpAcceptor::new(Arc::clone(&shared.admission), proxy, limits.header_read);
    let mut server = axum_server::from_tcp(listener)?
        .handle(Handle::with_control(control.clone()))
        .first_request_timeout(limits.header_read)
        .accept_error_handler(edge::accept_error);
    server
        .http_builder()
        .http1()
        // From the end of one answer: an idle connection. A head has its own time, see `head_watch`.
        .header_read_timeout(limits.http_idle)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.header_bytes_max)
        .keep_alive(true);
    let service = router::router(Arc::clone(shared)).into_make_service();
    let metrics = Arc::clone(&shared.metrics);
    match tls {
        Some(config) => {
            let acceptor = RustlsAcceptor::new(config)
                .handshake_timeout(limits.tls_handshake)
                .acceptor(inner);
            server
                .acceptor(OuterAcceptor::new(acceptor, metrics))
                .serve(service)
                .await
        }
        None => {
            server
                .acceptor(OuterAcceptor::new(inner, metrics))
                .serve(service)
                .await
        }
    }
}

async fn serve_admin(
    shared: &Arc<Shared>,
    listener: std::net::TcpListener,
    control: &Control,
) -> io::Result<()> {
    let mut server = axum_server::from_tcp(listener)?
        .handle(Handle::with_control(control.clone()))
        .first_request_timeout(shared.limits.header_read);
    server
        .http_builder()
        .http1()
        .header_read_timeout(shared.limits.header_read)
        .keep_alive(true);
    server
        .serve(admin::router(Arc::clone(shared)).into_make_service())
        .await
}

/// A listener with a deep backlog, dual-stack where the address is `[::]`.
fn listen(key: &'static str, address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bound = || -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|cause| StartError::Bind {
        key,
        address,
        cause,
    })
}

fn build(
    config: Config,
    mode: Mode,
    metrics: Arc<Metrics>,
    clock: Clock,
) -> Result<(Arc<Shared>, Arc<Hub>), StartError> {
    let limits = Arc::new(config.limits.clone());
    let minter = match mode {
        Mode::Serve => None,
        Mode::Dev(minter) => Some(minter),
    };
    let development = minter.is_some();
    metrics.development.set(i64::from(development));
    metrics
        .connections_limit
        .set(i64::try_from(limits.connections_max).unwrap_or(i64::MAX));

    let admission = Admission::new(
        &config.listen,
        &config.admission,
        &limits,
        Arc::clone(&metrics),
    )?;
    let authenticator = Arc::new(authenticator(&config, minter.as_ref(), &clock, &metrics)?);
    let engine = engine(&config, &clock, &metrics)?;
    let drain = Drain::new(config.drain, Arc::clone(&metrics));
    let deriver = HtmlDeriver::new(limits.html_links_max, Arc::clone(&metrics));
    let budget = OutboxBudget::new(limits.outbox_bytes_total_max, &metrics);
    let settings = HubSettings::new(
        &limits,
        Arc::clone(&budget),
        Arc::new(move |text| deriver.derive(text)),
    );
    let hub = Hub::new(
        Arc::clone(&engine),
        settings,
        clock.clone(),
        Arc::clone(&metrics),
    );
    let default_room = default_room(&config);
    let sessions = Arc::new(SessionContext {
        hub: Arc::clone(&hub),
        authenticator: Arc::clone(&authenticator),
        inbound: InboundRules::new(&config.limits, &config.content, &config.nicknames, &metrics),
        rates: Arc::new(SharedRates::new(&limits)),
        registry: Registry::new(limits.connections_per_user_max),
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
        outbox_bounds: OutboxBounds::new(&limits),
        outbox_budget: budget,
        rules: session_rules(
            &config,
            engine.facts().durability.name(),
            default_room.clone(),
        ),
    });
    let security_txt = security_txt(&config.listen.security_txt_file)?;
    let shared = Shared {
        page: PageSettings::new(&config.page, development, default_room.as_str()),
        security_headers: SecurityHeaders::new(&config, !development),
        head_rules: HeadRules {
            uri_bytes: limits.uri_bytes_max,
            head_bytes: limits.header_bytes_max,
            lines: limits.headers_max,
        },
        stream_rules: StreamRules::new(Arc::clone(&limits), Arc::clone(&metrics)),
        scrapes: Bucket::new(limits.metrics_per_s, limits.metrics_per_s),
        config,
        limits,
        development,
        minter,
        admission,
        authenticator,
        sessions,
        engine,
        drain,
        clock,
        metrics,
        security_txt,
    };
    Ok((Arc::new(shared), hub))
}

fn authenticator(
    config: &Config,
    minter: Option<&Minter>,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Authenticator, AuthSetupError> {
    let parts = AuthParts {
        fetch: Arc::new(HttpsClient),
        tickets: Arc::new(MemoryTickets::new(config.limits.tickets_max)),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    };
    let Some(minter) = minter else {
        return Authenticator::new(&config.auth, &config.limits, parts);
    };
    let local = LocalIssuer {
        issuer: Config::DEV_ISSUER.to_owned(),
        audience: Config::DEV_AUDIENCE.to_owned(),
        key: minter.key().clone(),
    };
    Authenticator::with_static_key(&config.auth, &config.limits, local, parts)
}

fn engine(
    config: &Config,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Engine>, StartError> {
    match config.log.engine {
        LogEngine::Memory => {
            let settings = MemorySettings::new(&config.log, &config.rooms, &config.limits);
            Ok(Arc::new(MemoryEngine::new(
                settings,
                clock.clone(),
                Arc::clone(metrics),
            )))
        }
        LogEngine::Sqlite => {
            let settings = SqliteSettings::new(&config.log, &config.rooms, &config.limits);
            Ok(Arc::new(SqliteEngine::open(
                settings,
                clock.clone(),
                metrics,
            )?))
        }
        LogEngine::Redis => Err(StartError::Engine("redis")),
    }
}

/// Where people land who name no room: the first whole name that everybody may enter.
fn default_room(config: &Config) -> RoomId {
    let bytes_max = config.limits.room_bytes_max;
    let whole = config
        .auth
        .defaults
        .rooms
        .iter()
        .find_map(|name| RoomId::parse(name, bytes_max).ok());
    whole.unwrap_or_else(|| {
        RoomId::parse("lobby", RoomId::BYTES_MAX).expect("a constant that has the form")
    })
}

fn session_rules(config: &Config, durability: &'static str, default_room: RoomId) -> SessionRules {
    let limits = &config.limits;
    SessionRules {
        timers: TimerRules {
            ping: limits.ws_ping,
            silence: limits.ws_silence,
            expiry_warning: limits.expiry_warning,
            stall: limits.outbox_stall_max,
        },
        session_max: config.auth.session_max,
        leeway: config.auth.leeway,
        close: limits.ws_close,
        linger: limits.ws_linger,
        rooms_max: limits.rooms_per_session_max,
        inflight_max: limits.inflight_max,
        ack_deadline: limits.ack_deadline,
        members_page_max: limits.members_page_max,
        unflushed_bytes_max: limits.outbox_bytes_max,
        remember: std::time::Duration::from_hours(24),
        history_default: limits.history_page_max.min(50),
        default_room,
        durability,
        welcome: WelcomeLimits {
            text_bytes_max: config.content.text_bytes_max,
            text_graphemes_max: config.content.text_graphemes_max,
            lines_max: config.content.lines_max,
            ws_message_bytes_max: limits.ws_message_bytes_max,
            messages_per_s: limits.messages_per_s.get(),
            messages_burst: limits.messages_burst.get(),
            rooms_per_session_max: limits.rooms_per_session_max,
            history_page_max: limits.history_page_max as usize,
            inflight_max: limits.inflight_max,
            cursor_pairs_max: limits.cursor_pairs_max,
        },
    }
}

fn security_txt(path: &Path) -> Result<Option<String>, StartError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let read = std::fs::read_to_string(path);
    read.map(Some).map_err(|cause| StartError::File {
        key: "listen.security_txt_file",
        path: path.display().to_string(),
        cause,
    })
}
