//! The one thread that writes. While one commit is flushed the next batch gathers; nothing waits for a timer. Answers and feed
//! come after the commit, so that nobody sees what a crash could take back.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};
use tokio::{sync::watch, time::Instant};

use super::{
    batch::{Batch, Decided},
    chores::{Chores, Place},
    meters::Meters,
    order::{Appending, Order, Visits},
    rooms::Rooms,
    schema,
};
use crate::{
    clock::Clock,
    domain::position::Epoch,
    log::{AppendError, Feed, Health, Rejected, local::feed::FeedEnd, retention::Retention},
};

/// Orders of one commit.
const BATCH_ORDERS: usize = 512;
/// Bytes of one commit.
const BATCH_BYTES: usize = 1 << 20;
/// How often an idle writer looks after the file, and a full one whether there is room again.
const IDLE: Duration = Duration::from_secs(1);

/// What the thread works with.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) orders: Receiver<Order>,
    pub(super) feed: Arc<FeedEnd>,
    pub(super) health: watch::Sender<Health>,
    pub(super) meters: Meters,
    pub(super) retention: Retention,
    pub(super) clock: Clock,
    pub(super) epoch: Epoch,
    pub(super) rooms: Rooms,
    pub(super) chores: Chores,
    pub(super) path: PathBuf,
    /// When the sizes of the files were last looked at.
    pub(super) measured: Instant,
    /// Since when nothing can be written.
    pub(super) full: Option<Instant>,
    /// Held until the thread ends.
    pub(super) _lock: schema::Lock,
}

/// How a transaction ended that was not committed.
enum Failure {
    /// There is no room, or another process is in the way: nothing was written, later perhaps.
    Later(rusqlite::Error),
    /// The storage failed. What a flush had not covered may or may not be there: only a restart finds out.
    Fatal(rusqlite::Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Later(error)
            }
            _ => Self::Fatal(error),
        }
    }
}

/// What is written in one transaction.
enum Item {
    Append(Box<Appending>),
    Visits(Visits),
}

/// What ended the thread's work.
enum Over {
    Closed,
    Failed,
}

impl Writer {
    /// Works until it is told to close, everybody who could ask is gone, or the storage fails. A panic here is a failure of the
    /// storage to everybody else: what was under way may or may not be there.
    pub(super) fn run(mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            loop {
                if let Err(over) = self.turn() {
                    return over;
                }
            }
        }));
        if !matches!(worked, Ok(Over::Closed)) {
            self.health.send_replace(Health::Failed);
            self.meters.writable.set(0);
        }
    }

    fn turn(&mut self) -> Result<(), Over> {
        let wait = if self.chores.pending() && self.full.is_none() {
            Duration::ZERO
        } else {
            IDLE
        };
        let first = match self.orders.recv_timeout(wait) {
            Ok(order) => order,
            Err(RecvTimeoutError::Timeout) => return self.look_after(),
            Err(RecvTimeoutError::Disconnected) => return self.end(),
        };
        let (batch, after) = self.gather(first);
        if !batch.is_empty() {
            self.commit(batch)?;
        }
        match after {
            Some(Order::Erase(user, done)) => self.chores.erase(user, done),
            Some(Order::Close(done)) => {
                let ended = self.end();
                // Whoever closed may have given up waiting.
                done.send(()).ok();
                return ended;
            }
            Some(Order::Append(_) | Order::Visits(_)) | None => {}
        }
        self.look_after()
    }

    /// Everything that waits, up to a commit's size, and the order behind it that is not part of one.
    fn gather(&self, first: Order) -> (VecDeque<Item>, Option<Order>) {
        let mut batch = VecDeque::new();
        let mut bytes = 0;
        let mut next = Some(first);
        loop {
            match next {
                Some(Order::Append(append)) => {
                    bytes += append.what.envelope.len();
                    batch.push_back(Item::Append(append));
                }
                Some(Order::Visits(visits)) => batch.push_back(Item::Visits(visits)),
                other => return (batch, other),
            }
            if batch.len() >= BATCH_ORDERS || bytes >= BATCH_BYTES {
                return (batch, None);
            }
            next = self.orders.try_recv().ok();
        }
    }

    fn commit(&mut self, batch: VecDeque<Item>) -> Result<(), Over> {
        if self.full.is_some_and(|since| since.elapsed() < IDLE) {
            refuse(batch);
            return Ok(());
        }
        let started = Instant::now();
        let size = batch.len();
        match self.transact(&batch) {
            Ok(decided) => {
                self.meters.committed(size, started.elapsed());
                self.writable();
                self.answer(batch, decided);
                Ok(())
            }
            Err(Failure::Later(error)) => {
                self.unwritable(&error);
                refuse(batch);
                Ok(())
            }
            Err(Failure::Fatal(error)) => Err(failed(&error)),
        }
    }

    fn transact(&mut self, items: &VecDeque<Item>) -> Result<Vec<Option<Decided>>, Failure> {
        let change = Change::begin(&self.connection)?;
        let mut batch = Batch::new(&self.connection, &self.rooms, &self.retention, self.epoch);
        let mut decided = Vec::with_capacity(items.len());
        for item in items {
            let now = self.clock.unix_ms();
            decided.push(match item {
                Item::Append(append) => Some(batch.append(&append.room, &append.what, now)?),
                Item::Visits(visits) => {
                    batch.visits(&visits.room, &visits.people, now)?;
                    None
                }
            });
        }
        let done = batch.finish()?;
        change.commit()?;
        self.rooms.install(done.changed);
        self.chores.surplus(done.surplus);
        self.meters.epochs(done.created, done.restarted);
        Ok(decided)
    }

    /// Delivers, then answers: who reads after an ack finds the message.
    fn answer(&self, items: VecDeque<Item>, decided: Vec<Option<Decided>>) {
        let mut answers = Vec::with_capacity(items.len());
        for (item, decided) in items.into_iter().zip(decided) {
            if let (Item::Append(append), Some((answer, entry))) = (item, decided) {
                if let Some(entry) = entry {
                    self.feed.send(Feed::Entry(append.room, entry));
                }
                answers.push((append.answer, answer));
            }
        }
        for (to, answer) in answers {
            // Whoever asked may have stopped waiting: then it is an outcome that nobody knows.
            to.send(answer).ok();
        }
    }

    /// One piece of what keeps the file in shape.
    fn look_after(&mut self) -> Result<(), Over> {
        if self.full.is_some_and(|since| since.elapsed() >= IDLE) {
            match probe(&self.connection) {
                Ok(()) => self.writable(),
                Err(Failure::Later(error)) => self.unwritable(&error),
                Err(Failure::Fatal(error)) => return Err(failed(&error)),
            }
        }
        if self.measured.elapsed() >= IDLE {
            self.measured = Instant::now();
            self.meters.measure(&self.path);
        }
        let now = self.clock.unix_ms();
        if !self.chores.due(now) {
            return Ok(());
        }
        let done = Change::begin(&self.connection)
            .map_err(Failure::from)
            .and_then(|change| {
                let piece = self.chores.piece(&Place {
                    connection: &self.connection,
                    rooms: &self.rooms,
                    retention: &self.retention,
                    now,
                })?;
                if piece.is_some() {
                    change.commit()?;
                }
                Ok(piece)
            });
        match done {
            Ok(Some(piece)) => {
                self.rooms.install(piece.changed);
                self.meters.removed(piece.removed);
                self.chores.done();
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(Failure::Later(error)) => {
                self.unwritable(&error);
                Ok(())
            }
            Err(Failure::Fatal(error)) => Err(failed(&error)),
        }
    }

    fn writable(&mut self) {
        if self.full.take().is_some() {
            tracing::info!("the log takes entries again");
            self.meters.writable.set(1);
            self.health.send_replace(Health::Ok);
        }
    }

    fn unwritable(&mut self, error: &rusqlite::Error) {
        if self.full.replace(Instant::now()).is_none() {
            tracing::error!(%error, "the log cannot take entries; reading goes on, and it is tried again every second");
            self.meters.writable.set(0);
            self.health.send_replace(Health::Degraded);
        }
    }

    fn end(&mut self) -> Result<(), Over> {
        match schema::note_end(&self.connection) {
            Ok(()) => Err(Over::Closed),
            Err(error) => match Failure::from(error) {
                // The next start checks the file, that is all.
                Failure::Later(error) => {
                    tracing::warn!(%error, "the end of the run could not be noted");
                    Err(Over::Closed)
                }
                Failure::Fatal(error) => Err(failed(&error)),
            },
        }
    }
}

fn failed(error: &rusqlite::Error) -> Over {
    tracing::error!(%error, "the log's storage failed: nothing is acknowledged any more, the process ends with 70; a restart finds out what is there");
    Over::Failed
}

fn refuse(batch: VecDeque<Item>) {
    for item in batch {
        if let Item::Append(append) = item {
            let why = AppendError::Rejected(Rejected::Unavailable { retry_after: IDLE });
            append.answer.send(Err(why)).ok();
        }
    }
}

/// Whether there is room for a few pages.
fn probe(connection: &Connection) -> Result<(), Failure> {
    let change = Change::begin(connection)?;
    connection.execute("INSERT INTO probe (body) VALUES (zeroblob(16384))", [])?;
    connection.execute("DELETE FROM probe", [])?;
    change.commit()?;
    Ok(())
}

/// A transaction; rolled back when it is dropped.
struct Change<'a>(&'a Connection);

impl<'a> Change<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self(connection))
    }

    fn commit(self) -> rusqlite::Result<()> {
        self.0.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // Some errors have rolled it back already; what cannot be rolled back now is when the connection closes.
        if !self.0.is_autocommit() {
            self.0.execute_batch("ROLLBACK").ok();
        }
    }
}
