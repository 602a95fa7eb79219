//! The database file: made, recognised, brought to this build's version, and never opened by two processes at once.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

/// "WRDR": whose file this is.
const APPLICATION_ID: i32 = 0x5752_4452;
/// Each brings a file from the version of its index to the next.
const MIGRATIONS: [&str; 1] = [include_str!("schema/1.sql")];
/// How long a statement waits for another process, an `export` or a `backup` as it begins.
const BUSY: Duration = Duration::from_secs(5);
/// A file above this size is checked after an unclean stop while the node already serves.
const CHECKED_AT_ONCE_BYTES: u64 = 1 << 30;

/// Why the log's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// A later version wrote it.
    #[error(
        "{} has schema version {found}, this build knows up to {known}: it was written by a later version of wardroom; \
         start that version, or restore a backup of before the upgrade",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// It is a database, but not ours.
    #[error("{} is not a log of wardroom", .0.display())]
    Foreign(PathBuf),
    /// There is nothing to read.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// Its pages contradict each other.
    #[error(
        "{path} is damaged ({finding}); keep a copy, then: sqlite3 {path} .recover | sqlite3 recovered.db, \
         check it with `wardroom export`, and put it in its place; or restore a backup"
    )]
    Corrupt {
        /// The file.
        path: String,
        /// What SQLite says.
        finding: String,
    },
    /// A file or folder.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The engine.
    #[error("{}: {cause}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: rusqlite::Error,
    },
}

impl OpenError {
    /// Whether the storage failed, as against a wrong file or a wrong moment.
    pub fn is_storage(&self) -> bool {
        matches!(
            self,
            Self::Corrupt { .. } | Self::Io { .. } | Self::Sqlite { .. }
        )
    }
}

/// The one process that may write; given back by `Drop`.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// What the file says of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastRun {
    /// It ended in order, or there was none.
    Clean,
    /// It was killed, or the machine went down.
    Unclean,
}

/// Takes the lock beside the database.
pub fn lock(path: &Path) -> Result<Lock, OpenError> {
    let io = |cause| OpenError::Io {
        path: path.to_owned(),
        cause,
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        make(folder).map_err(io)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private(Path::new(&name)).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => Err(io(cause)),
    }
}

/// Makes a folder that outlives a power cut: SQLite flushes the folder of its files, and nobody but us those above.
fn make(folder: &Path) -> io::Result<()> {
    let missing: Vec<_> = folder
        .ancestors()
        .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
        .collect();
    std::fs::create_dir_all(folder)?;
    #[cfg(unix)]
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

/// What people said is nobody else's on this machine. The files that SQLite puts beside it get the same mode.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// The writer's connection; the file is made if there is none and brought to this version. `_lock` is proof that nobody else
/// writes.
pub fn open_writer(path: &Path, _lock: &Lock, bytes_max: u64) -> Result<Connection, OpenError> {
    private(path).map_err(|cause| OpenError::Io {
        path: path.to_owned(),
        cause,
    })?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(|cause| of_sqlite(path, cause))?;
    recognise(path, &connection)?;
    prepare_writer(&connection, bytes_max).map_err(|cause| of_sqlite(path, cause))?;
    migrate(path, &mut connection)?;
    Ok(connection)
}

/// A connection that can only read. It waits for nobody but a recovery.
pub fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let open = || {
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    let connection = open().map_err(|cause| of_sqlite(path, cause))?;
    recognise(path, &connection)?;
    match version(&connection).map_err(|cause| of_sqlite(path, cause))? {
        0 => Err(OpenError::Foreign(path.to_owned())),
        _ => Ok(connection),
    }
}

/// After an unclean stop: whether the pages still agree with each other. A large file is checked by the caller later.
pub fn is_small(path: &Path) -> bool {
    path.metadata()
        .map_or(true, |meta| meta.len() <= CHECKED_AT_ONCE_BYTES)
}

/// Asks SQLite whether the pages agree with each other.
pub fn check(path: &Path) -> Result<(), OpenError> {
    let connection = open_reader(path)?;
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|cause| of_sqlite(path, cause))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(OpenError::Corrupt {
        path: path.display().to_string(),
        finding,
    })
}

/// Notes the start of a run; what became of the one before is returned.
pub fn note_start(connection: &Connection, epoch: u64, now: u64) -> rusqlite::Result<LastRun> {
    let clean: bool = connection
        .query_row(
            "SELECT clean FROM boot ORDER BY id DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .or_else(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => Ok(true),
            other => Err(other),
        })?;
    connection.execute(
        "INSERT INTO boot (epoch, started) VALUES (?1, ?2)",
        (epoch.cast_signed(), now.cast_signed()),
    )?;
    Ok(if clean {
        LastRun::Clean
    } else {
        LastRun::Unclean
    })
}

/// Notes that the run ends in order, and leaves one file.
pub fn note_end(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE boot SET clean = 1 WHERE id = (SELECT max(id) FROM boot)",
        [],
    )?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

fn of_sqlite(path: &Path, cause: rusqlite::Error) -> OpenError {
    match cause.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::Foreign(path.to_owned()),
        Some(rusqlite::ErrorCode::DatabaseCorrupt) => OpenError::Corrupt {
            path: path.display().to_string(),
            finding: cause.to_string(),
        },
        Some(rusqlite::ErrorCode::DatabaseBusy) => OpenError::InUse(path.to_owned()),
        _ => OpenError::Sqlite {
            path: path.to_owned(),
            cause,
        },
    }
}

/// Before anything is changed: is it ours, and not of a later version?
fn recognise(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let ask = || {
        let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let tables: u32 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((id, tables, version(connection)?))
    };
    let (id, tables, found) = ask().map_err(|cause| of_sqlite(path, cause))?;
    let fresh = id == 0 && tables == 0 && found == 0;
    if !fresh && id != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    if found > MIGRATIONS.len() {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found,
            known: MIGRATIONS.len(),
        });
    }
    Ok(())
}

fn version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// `FULL`: a commit returns after its fsync. No memory map: an I/O error must be a code and not a signal. `secure_delete`: what
/// was taken back is overwritten.
fn prepare_writer(connection: &Connection, bytes_max: u64) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.query_row("PRAGMA secure_delete = ON", [], |_| Ok(()))?;
    connection.query_row("PRAGMA wal_autocheckpoint = 4000", [], |_| Ok(()))?;
    connection.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
    if bytes_max > 0 {
        let page: u64 = connection
            .query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)?;
        let pages = (bytes_max / page.max(1)).clamp(1, u64::from(u32::MAX - 1));
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    Ok(())
}

fn migrate(path: &Path, connection: &mut Connection) -> Result<(), OpenError> {
    let mut step = || {
        let found = version(connection)?;
        for (index, sql) in MIGRATIONS.iter().enumerate().skip(found) {
            let change =
                connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            change.execute_batch(sql)?;
            change.pragma_update(
                None,
                "user_version",
                u32::try_from(index + 1).unwrap_or(u32::MAX),
            )?;
            change.commit()?;
            tracing::info!(path = %path.display(), version = index + 1, "the log's schema is up to date");
        }
        Ok(())
    };
    step().map_err(|cause| of_sqlite(path, cause))
}
