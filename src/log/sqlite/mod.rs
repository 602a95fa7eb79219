//! The log in one file on this machine: SQLite with a write-ahead log, one thread that writes, a few that read. Appends come from
//! the hub and are answered when their commit was flushed; entries go back to it through the feed. A restart goes on where the
//! file ends, under a new epoch: a file that was set back is found by every client that saw more.

pub mod backup;
mod batch;
pub mod chain;
mod chores;
mod erasure;
mod meters;
mod order;
mod pages;
mod readers;
pub mod record;
mod rooms;
pub mod schema;
mod sweep;
mod trim;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::Instant,
};

use self::{
    chores::Chores,
    meters::Meters,
    order::{Appending, Order, OwnedAppend, Visit, Visits},
    pages::Reading,
    readers::Readers,
    record::row::Act,
    rooms::Rooms,
    schema::{LastRun, OpenError},
    writer::Writer,
};
use crate::{
    clock::Clock,
    config::{limits::Limits, log::Log, rooms::Room},
    domain::{
        cursor::Cursor,
        ids::{SessionId, UserId},
        nickname::Nickname,
        position::{Epoch, Position},
        room_name::RoomId,
    },
    log::{
        Append, AppendError, Durability, Engine, Entered, Erased, Facts, Feed, Follow, Fut, Health,
        Page, PersonChange, Placed, Rejected, RoomLog, Seat, Seats, SeatsChange, StateVersion,
        Unavailable,
        local::{counters::Counters, feed::FeedEnd, seats::LocalSeats},
        retention::{Keep, Retention},
    },
    telemetry::metrics::Metrics,
};

const ENGINE: &str = "sqlite";
/// What a caller of a closed engine is told; the process is about to end.
const CLOSED_RETRY: Duration = Duration::from_secs(1);

/// Where the file is and what bounds the engine.
#[derive(Clone, Debug)]
pub struct SqliteSettings {
    /// The file.
    pub path: PathBuf,
    /// Its most bytes; 0: no limit but the disk's.
    pub size_bytes_max: u64,
    /// Whether the record says who came and went.
    pub record_presence: bool,
    /// What rooms keep.
    pub retention: Retention,
    /// Most bytes of an envelope, and of a state document.
    pub envelope_max: usize,
    /// Most bytes of content of one page, but for its first entry.
    pub page_bytes_max: usize,
    /// Orders that wait for the writer.
    pub append_entries_max: usize,
    /// Bytes that so wait.
    pub append_bytes_max: usize,
    /// Entries waiting in the feed; above it the feed is Suspect and the hub reads again.
    pub feed_entries_max: usize,
    /// Bytes waiting in the feed; likewise.
    pub feed_bytes_max: usize,
}

impl SqliteSettings {
    /// From `[log]`, `[[rooms]]` and `[limits]`.
    pub fn new(log: &Log, rooms: &[Room], limits: &Limits) -> Self {
        Self {
            path: log.path.clone(),
            size_bytes_max: log.size_bytes_max,
            record_presence: log.record_presence,
            retention: Retention::new(log, rooms),
            envelope_max: limits.envelope_bytes_max,
            page_bytes_max: limits.sync_bytes_max,
            append_entries_max: limits.append_entries_max,
            append_bytes_max: limits.append_bytes_max,
            feed_entries_max: limits.feed_entries_max,
            feed_bytes_max: limits.feed_bytes_max,
        }
    }
}

/// The engine.
#[derive(Debug)]
pub struct SqliteEngine {
    settings: SqliteSettings,
    clock: Clock,
    /// `None` when the engine was told to close.
    orders: Mutex<Option<SyncSender<Order>>>,
    entries: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    readers: Arc<Readers>,
    seats: LocalSeats,
    feed: Arc<FeedEnd>,
    health: watch::Sender<Health>,
    counters: Counters,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SqliteEngine {
    /// Opens the file, makes it if there is none, checks it after an unclean stop, and starts the threads.
    pub fn open(
        settings: SqliteSettings,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        let path = settings.path.clone();
        let lock = schema::lock(&path)?;
        let connection = schema::open_writer(&path, &lock, settings.size_bytes_max)?;
        let epoch = Epoch::mint(clock.unix_s(), fastrand::u32(..));
        let sqlite = |cause| OpenError::Sqlite {
            path: path.clone(),
            cause,
        };
        let last = schema::note_start(&connection, epoch.raw(), clock.unix_ms()).map_err(sqlite)?;
        let (health, _) = watch::channel(Health::Ok);
        let mut threads = Vec::new();
        if last == LastRun::Unclean {
            threads.extend(check(&path, &health)?);
        }
        let (orders, taken) = sync_channel(settings.append_entries_max);
        let feed = Arc::new(FeedEnd::new(
            settings.feed_entries_max,
            settings.feed_bytes_max,
        ));
        let meters = Meters::new(metrics, ENGINE);
        meters.writable.set(1);
        meters.measure(&path);
        let writer = Writer {
            connection,
            orders: taken,
            feed: Arc::clone(&feed),
            health: health.clone(),
            meters,
            retention: settings.retention.clone(),
            clock: clock.clone(),
            epoch,
            rooms: Rooms::default(),
            chores: Chores::default(),
            path: path.clone(),
            measured: Instant::now(),
            full: None,
            _lock: lock,
        };
        let readers = Arc::new(Readers::start(&path)?);
        threads.push(spawn("log-write", &path, move || writer.run())?);
        Ok(Self {
            entries: Arc::new(Semaphore::new(settings.append_entries_max)),
            bytes: Arc::new(Semaphore::new(settings.append_bytes_max)),
            orders: Mutex::new(Some(orders)),
            readers,
            seats: LocalSeats::new(),
            feed,
            health,
            counters: Counters::new(metrics, ENGINE),
            threads: Mutex::new(threads),
            clock,
            settings,
        })
    }

    async fn place(&self, room: &RoomId, what: Append<'_>) -> Result<Placed, AppendError> {
        let closed = AppendError::Rejected(Rejected::Unavailable {
            retry_after: CLOSED_RETRY,
        });
        let max = self.settings.envelope_max;
        let state = what.state.map_or(0, <[u8]>::len);
        if what.envelope.len() > max || state > max {
            return Err(AppendError::Rejected(Rejected::TooLarge { max }));
        }
        // One that is larger than the whole queue has it to itself.
        let bytes = (what.envelope.len().saturating_add(state)).min(self.settings.append_bytes_max);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let taken = [
            permit(&self.entries, 1).await.ok_or(closed)?,
            permit(&self.bytes, bytes).await.ok_or(closed)?,
        ];
        let (answer, answered) = oneshot::channel();
        let order = Order::Append(Box::new(Appending {
            room: room.clone(),
            what: OwnedAppend::of(&what),
            answer,
            _room_taken: taken,
        }));
        self.order(order).map_err(|()| closed)?;
        answered.await.unwrap_or(Err(AppendError::Unknown))
    }

    /// There is room: it was counted. An error says that the writer is gone.
    fn order(&self, order: Order) -> Result<(), ()> {
        let orders = self.orders.lock().clone().ok_or(())?;
        orders.try_send(order).map_err(|_| ())
    }

    fn reading(&self, room: &RoomId) -> Reading {
        Reading {
            keep: self.settings.retention.of(room),
            now: self.clock.unix_ms(),
            bytes_max: self.settings.page_bytes_max,
        }
    }

    /// Writes a change of seats into the record. It is not waited for and survives no crash by itself: the next commit takes it.
    async fn record(&self, room: &RoomId, change: Option<SeatsChange>) {
        let Some(change) = change.filter(|_| self.settings.record_presence) else {
            return;
        };
        let visits: Vec<Visit> = change.people.into_iter().filter_map(visit).collect();
        let Some(taken) = permit(&self.entries, 1).await else {
            return;
        };
        if visits.is_empty() {
            return;
        }
        let order = Order::Visits(Visits {
            room: room.clone(),
            people: visits,
            _room_taken: taken,
        });
        // The writer is gone: the process ends.
        self.order(order).ok();
    }
}

async fn permit(of: &Arc<Semaphore>, count: u32) -> Option<OwnedSemaphorePermit> {
    Arc::clone(of).acquire_many_owned(count).await.ok()
}

fn visit(person: PersonChange) -> Option<Visit> {
    let (act, nick) = match (person.was, person.is) {
        (None, Some(nick)) => (Act::Came, nick),
        (Some(nick), None) => (Act::Went, nick),
        (Some(_), Some(nick)) => (Act::Renamed, nick),
        (None, None) => return None,
    };
    Some(Visit {
        user: person.user,
        act,
        nick: nick.as_str().to_owned(),
    })
}

/// After an unclean stop: a small file is checked before anything is served, a large one beside it.
fn check(
    path: &std::path::Path,
    health: &watch::Sender<Health>,
) -> Result<Option<JoinHandle<()>>, OpenError> {
    tracing::info!(path = %path.display(), "the last run did not end in order: the log is checked");
    if schema::is_small(path) {
        return schema::check(path).map(|()| None);
    }
    let (path_owned, health) = (path.to_owned(), health.clone());
    let checked = move || {
        if let Err(error) = schema::check(&path_owned) {
            tracing::error!(%error, "the log's file is damaged");
            health.send_replace(Health::Failed);
        }
    };
    spawn("log-check", path, checked).map(Some)
}

fn spawn(
    name: &str,
    path: &std::path::Path,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|cause| OpenError::Io {
            path: path.to_owned(),
            cause,
        })
}

impl RoomLog for SqliteEngine {
    fn append<'a>(
        &'a self,
        room: &'a RoomId,
        what: Append<'a>,
    ) -> Fut<'a, Result<Placed, AppendError>> {
        Box::pin(async move {
            let started = Instant::now();
            let answer = self.place(room, what).await;
            self.counters.count(&answer);
            self.counters
                .append_seconds
                .observe(started.elapsed().as_secs_f64());
            answer
        })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: &'a Cursor,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        let (room, cursor, reading) = (room.clone(), after.clone(), self.reading(room));
        Box::pin(async move {
            let started = Instant::now();
            let page = self
                .readers
                .read(move |file| pages::after(file, &room, &cursor, limit, reading))
                .await;
            self.counters
                .read_seconds
                .observe(started.elapsed().as_secs_f64());
            page
        })
    }

    fn before<'a>(
        &'a self,
        room: &'a RoomId,
        offset: Option<u64>,
        limit: u32,
    ) -> Fut<'a, Result<Page, Unavailable>> {
        let (room, reading) = (room.clone(), self.reading(room));
        Box::pin(async move {
            let started = Instant::now();
            let page = self
                .readers
                .read(move |file| pages::before(file, &room, offset, limit, reading))
                .await;
            self.counters
                .read_seconds
                .observe(started.elapsed().as_secs_f64());
            page
        })
    }

    fn heads<'a>(
        &'a self,
        rooms: &'a [RoomId],
    ) -> Fut<'a, Result<Vec<Option<Position>>, Unavailable>> {
        let rooms = rooms.to_vec();
        Box::pin(async move {
            self.readers
                .read(move |file| rooms.iter().map(|room| pages::head(file, room)).collect())
                .await
        })
    }

    fn state<'a>(
        &'a self,
        room: &'a RoomId,
    ) -> Fut<'a, Result<(StateVersion, Bytes), Unavailable>> {
        let room = room.clone();
        Box::pin(async move {
            self.readers
                .read(move |file| pages::state(file, &room))
                .await
        })
    }

    fn facts(&self) -> Facts {
        Facts {
            engine: ENGINE,
            durability: Durability::Disk,
            verified: true,
            envelope_max: self.settings.envelope_max,
            many_nodes: false,
        }
    }

    fn keep(&self, room: &RoomId) -> Keep {
        self.settings.retention.of(room)
    }

    fn erase(&self, user: UserId) -> Fut<'_, Result<Erased, Unavailable>> {
        Box::pin(async move {
            let unavailable = Unavailable {
                retry_after: CLOSED_RETRY,
            };
            let (done, erased) = oneshot::channel();
            let _taken = permit(&self.entries, 1).await.ok_or(unavailable)?;
            self.order(Order::Erase(user, done))
                .map_err(|()| unavailable)?;
            erased.await.map_err(|_| unavailable)
        })
    }
}

impl Follow for SqliteEngine {
    fn feed(&self) -> mpsc::Receiver<Feed> {
        self.feed.take()
    }

    fn cast<'a>(&'a self, room: &'a RoomId, body: Bytes) -> Fut<'a, ()> {
        Box::pin(async move { self.feed.send(Feed::Cast(room.clone(), body)) })
    }
}

impl Seats for SqliteEngine {
    fn enter<'a>(&'a self, room: &'a RoomId, seat: Seat) -> Fut<'a, Result<Entered, Unavailable>> {
        Box::pin(async move {
            let (entered, change) = self.seats.enter(room, &seat, &self.feed);
            self.record(room, change).await;
            Ok(entered)
        })
    }

    fn leave<'a>(
        &'a self,
        room: &'a RoomId,
        session: SessionId,
    ) -> Fut<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            let change = self.seats.leave(room, session, &self.feed);
            self.record(room, change).await;
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        room: &'a RoomId,
        limit: u32,
    ) -> Fut<'a, Result<(u64, Vec<Seat>), Unavailable>> {
        Box::pin(async move { Ok(self.seats.list(room, limit)) })
    }

    fn holder<'a>(
        &'a self,
        room: &'a RoomId,
        nick: &'a Nickname,
    ) -> Fut<'a, Result<Option<Seat>, Unavailable>> {
        Box::pin(async move { Ok(self.seats.holder(room, nick)) })
    }
}

impl Engine for SqliteEngine {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    fn close(&self) -> Fut<'_, ()> {
        Box::pin(async move {
            self.entries.close();
            self.bytes.close();
            let Some(orders) = self.orders.lock().take() else {
                return;
            };
            let (done, closed) = oneshot::channel();
            if orders.try_send(Order::Close(done)).is_ok() {
                // An error: the writer has failed, and there is nothing to wait for.
                closed.await.ok();
            }
            drop(orders);
            self.readers.end();
            for thread in self.threads.lock().drain(..) {
                // A writer that panicked has said so.
                thread.join().ok();
            }
            self.health.send_if_modified(|health| {
                let failed = *health == Health::Failed;
                *health = if failed { Health::Failed } else { Health::Down };
                !failed
            });
        })
    }
}
