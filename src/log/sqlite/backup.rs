//! A copy of the database while a gateway writes to it: SQLite's own backup, within one read transaction, so that no write makes
//! it begin again. The copy is one file, whole or not there.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use crate::log::sqlite::schema::{self, OpenError, open_reader};

/// Copied at a step, between two looks at the progress.
const PAGES_AT_ONCE: i32 = 512;

/// What SQLite puts beside a database, and what we do.
const BESIDE: [&str; 4] = ["-wal", "-shm", "-journal", ".lock"];

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no database to copy.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Something is there already.
    #[error("{} is there already", .0.display())]
    Occupied(PathBuf),
    /// The copy would replace what it is a copy of.
    #[error("{} belongs to the database itself", .0.display())]
    Itself(PathBuf),
    /// Another backup wrote the same file meanwhile.
    #[error("{} was replaced by another backup meanwhile", .0.display())]
    Overtaken(PathBuf),
    /// The pages of the copy contradict each other, and so do those of the database.
    #[error("what was copied is damaged: {0}")]
    Damaged(OpenError),
    /// A file or folder.
    #[error("{}: {cause}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The engine.
    #[error("cannot be copied: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The source is locked, which a read transaction excludes.
    #[error("the database is locked by another process")]
    Locked,
}

/// What to do with a file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Keep it, and make no copy.
    Keep,
    /// Replace it, once the copy is whole.
    Replace,
}

/// A finished copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// How many pages.
    pub pages: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Copies the database at `from` to `out`; `tick` is told how many pages are done, and of how many.
pub fn copy(
    from: &Path,
    out: &Path,
    existing: Existing,
    tick: &mut dyn FnMut(u64, u64),
) -> Result<Copied, BackupError> {
    let source = open_reader(from)?;
    if belongs_to(from, out) {
        return Err(BackupError::Itself(out.to_owned()));
    }
    if existing == Existing::Keep && fs::symlink_metadata(out).is_ok() {
        return Err(BackupError::Occupied(out.to_owned()));
    }
    let partial = Partial::make(out)?;
    let pages = copy_pages(&source, &partial.path, tick)?;
    drop(source);
    into_one_file(&partial.path)?;
    schema::check(&partial.path).map_err(BackupError::Damaged)?;
    let bytes = partial.publish(out)?;
    Ok(Copied { pages, bytes })
}

fn copy_pages(
    source: &Connection,
    to: &Path,
    tick: &mut dyn FnMut(u64, u64),
) -> Result<u64, BackupError> {
    let moment = source.unchecked_transaction()?;
    // The first read fixes the moment; what is written from here on is not copied.
    moment.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let mut copy = open_copy(to)?;
    // Nobody but us knows the file yet: until it is whole it needs no journal.
    copy.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(source, &mut copy)?;
    loop {
        let step = backup.step(PAGES_AT_ONCE)?;
        let progress = backup.progress();
        let pages = u64::try_from(progress.pagecount).unwrap_or(0);
        let left = u64::try_from(progress.remaining).unwrap_or(0);
        tick(pages.saturating_sub(left), pages);
        match step {
            StepResult::Done => return Ok(pages),
            StepResult::More => {}
            _ => return Err(BackupError::Locked),
        }
    }
}

/// A copied page says that the database writes ahead; in one file it can also be read where nothing can be written.
fn into_one_file(path: &Path) -> Result<(), BackupError> {
    let copy = open_copy(path)?;
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    copy.close()
        .map_err(|(_, cause)| BackupError::Sqlite(cause))
}

fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// Whether `out` is the database, or a file that lives beside it.
fn belongs_to(database: &Path, out: &Path) -> bool {
    let (Ok(database), Ok(out)) = (fs::canonicalize(database), fs::canonicalize(out)) else {
        return false;
    };
    database == out || BESIDE.iter().any(|end| with(&database, end) == out)
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// `OUT.partial`, readable by its owner alone; taken away again unless it was published.
struct Partial {
    path: PathBuf,
    file: File,
    published: bool,
}

impl Partial {
    fn make(out: &Path) -> Result<Self, BackupError> {
        let path = with(out, ".partial");
        // One that is there was left by a backup that was killed.
        remove(&path);
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => Ok(Self {
                path,
                file,
                published: false,
            }),
            Err(cause) => Err(BackupError::Io { path, cause }),
        }
    }

    /// Gives the file its name, after all of it is on the disk.
    fn publish(mut self, out: &Path) -> Result<u64, BackupError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |cause| BackupError::Io { path, cause }
        };
        if !self.is_still_there() {
            self.published = true;
            return Err(BackupError::Overtaken(self.path.clone()));
        }
        self.file.sync_all().map_err(io(&self.path))?;
        let bytes = self.file.metadata().map_err(io(&self.path))?.len();
        fs::rename(&self.path, out).map_err(io(out))?;
        self.published = true;
        let folder = match out.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io(folder))?;
        Ok(bytes)
    }

    /// Whether the name still means our file, and not that of another backup which took it for a left-over.
    #[cfg(unix)]
    fn is_still_there(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let of = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let ours = self.file.metadata().map(of);
        let named = fs::symlink_metadata(&self.path).map(of);
        matches!((ours, named), (Ok(ours), Ok(named)) if ours == named)
    }

    #[cfg(not(unix))]
    fn is_still_there(&self) -> bool {
        true
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            remove(&self.path);
        }
    }
}

/// A file that is not there is as good as one that was removed; one that stays is found when it is made again.
fn remove(path: &Path) {
    fs::remove_file(path).ok();
    for end in ["-wal", "-shm", "-journal"] {
        fs::remove_file(with(path, end)).ok();
    }
}
