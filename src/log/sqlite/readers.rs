//! Threads that read, each over a connection of its own that cannot write. A read sees one committed state of the file and holds
//! up nobody.

use std::{
    panic::AssertUnwindSafe,
    path::Path,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::schema::{self, OpenError};
use crate::log::Unavailable;

/// Connections that read at the same time.
const THREADS: usize = 3;
/// Reads that wait for one of them; more wait before they are asked for.
const WAITING: usize = 256;
/// What a reader is told when the file could not be read.
const RETRY: Duration = Duration::from_secs(1);

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The readers.
#[derive(Debug)]
pub(super) struct Readers {
    /// `None` when they were told to end.
    jobs: Mutex<Option<SyncSender<Job>>>,
    room: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Readers {
    pub(super) fn start(path: &Path) -> Result<Self, OpenError> {
        let (jobs, taken) = sync_channel::<Job>(WAITING);
        let taken = Arc::new(Mutex::new(taken));
        let threads = (0..THREADS).map(|number| {
            let connection = schema::open_reader(path)?;
            let taken = Arc::clone(&taken);
            std::thread::Builder::new()
                .name(format!("log-read-{number}"))
                .spawn(move || work(&connection, &taken))
                .map_err(|cause| OpenError::Io {
                    path: path.to_owned(),
                    cause,
                })
        });
        let threads = threads.collect::<Result<_, _>>()?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            room: Arc::new(Semaphore::new(WAITING)),
            threads: Mutex::new(threads),
        })
    }

    /// Reads in one transaction, so that what it finds belongs together.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let unavailable = Unavailable { retry_after: RETRY };
        let room = Arc::clone(&self.room)
            .acquire_owned()
            .await
            .map_err(|_| unavailable)?;
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let _room = room;
            // Whoever asked may have stopped waiting.
            answer.send(in_one_state(connection, read)).ok();
        });
        let jobs = self.jobs.lock().clone().ok_or(unavailable)?;
        // There is room: it was counted.
        jobs.try_send(job).map_err(|_| unavailable)?;
        drop(jobs);
        match answered.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => {
                tracing::error!(%error, "the log cannot be read");
                Err(unavailable)
            }
            Err(_) => Err(unavailable),
        }
    }

    /// Lets what was asked for be done, and ends the threads.
    pub(super) fn end(&self) {
        drop(self.jobs.lock().take());
        for thread in self.threads.lock().drain(..) {
            // A reader catches its jobs' panics; there is nothing else to hear of it.
            thread.join().ok();
        }
    }
}

fn work(connection: &Connection, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let next = jobs.lock().recv();
        let Ok(job) = next else { return };
        // One read's panic is that read's: it drops its answer, and is told as unavailable.
        if std::panic::catch_unwind(AssertUnwindSafe(|| job(connection))).is_err() {
            tracing::error!("a read of the log panicked");
        }
    }
}

fn in_one_state<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let state = connection.unchecked_transaction()?;
    let found = read(&state)?;
    state.commit()?;
    Ok(found)
}
