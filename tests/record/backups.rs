//! Copies of the database.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use rusqlite::Connection;
use wardroom::log::sqlite::{
    backup::{BackupError, Copied, Existing, copy},
    record::verify_room,
    schema::{lock, open_reader, open_writer},
};

use crate::book::Book;

fn copied(book: &Book, out: &Path, existing: Existing) -> Result<Copied, BackupError> {
    copy(book.path(), out, existing, &mut |_, _| {})
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_copy_is_the_database_of_one_moment_in_one_file() {
    let mut book = Book::eventful();
    for n in 0..2000 {
        book.say(
            "alice",
            "Alice",
            &format!("message {n} {}", "x".repeat(2000)),
        );
    }
    let head = book.head();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let out = elsewhere.path().join("copy.db");
    let mut steps = 0;
    let from = book.path().to_owned();
    let done = copy(&from, &out, Existing::Keep, &mut |done, of| {
        assert!(done <= of);
        steps += 1;
        assert!(steps < 100, "the copy begins again and again");
        book.say("bob", "Bob", "while it is copied");
    })
    .expect("a copy");
    assert!(steps > 1, "{steps}");
    assert!(book.head() > head);
    assert_eq!(names(elsewhere.path()), ["copy.db"]);
    let meta = fs::metadata(&out).expect("there");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    assert_eq!(meta.len(), done.bytes);
    assert!(done.pages > 1000);
    // It can be read where nothing can be written.
    fs::set_permissions(&out, fs::Permissions::from_mode(0o400)).expect("a mode");
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o500)).expect("a mode");
    let reader = open_reader(&out).expect("a database");
    let summary = verify_room(&reader, &book.room).expect("a room");
    assert!(summary.chain_ok(), "{summary:?}");
    assert_eq!(summary.head.expect("a head").offset, head);
    drop(reader);
    assert_eq!(names(elsewhere.path()), ["copy.db"]);
    fs::set_permissions(elsewhere.path(), fs::Permissions::from_mode(0o700)).expect("a mode");
    fs::set_permissions(&out, fs::Permissions::from_mode(0o600)).expect("a mode");
    // And a gateway can go on with it.
    let lock = lock(&out).expect("nobody has it");
    let writer = open_writer(&out, &lock, 0).expect("a database");
    let mode: String = writer
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .expect("a mode");
    assert_eq!(mode, "wal");
    assert!(verify_room(&writer, &book.room).expect("a room").chain_ok());
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked_for() {
    let mut book = Book::eventful();
    let out = book.folder().join("copy.db");
    copied(&book, &out, Existing::Keep).expect("a copy");
    let before = fs::read(&out).expect("there");
    book.say("alice", "Alice", "later");
    assert!(matches!(
        copied(&book, &out, Existing::Keep),
        Err(BackupError::Occupied(_))
    ));
    assert_eq!(fs::read(&out).expect("there"), before);
    // What a killed backup left is in nobody's way.
    fs::write(book.folder().join("copy.db.partial"), "half").expect("a file");
    copied(&book, &out, Existing::Replace).expect("a copy");
    assert_ne!(fs::read(&out).expect("there"), before);
    assert!(
        !names(book.folder())
            .iter()
            .any(|name| name.contains("partial"))
    );
}

#[test]
fn a_copy_never_replaces_what_it_is_a_copy_of() {
    let book = Book::eventful();
    let link = book.folder().join("link");
    symlink(book.path(), &link).expect("a link");
    let wal = book.folder().join("wardroom.db-wal");
    assert!(wal.exists());
    for out in [
        book.path(),
        &link,
        &wal,
        &book.folder().join("wardroom.db.lock"),
    ] {
        assert!(
            matches!(
                copied(&book, out, Existing::Replace),
                Err(BackupError::Itself(_))
            ),
            "{}",
            out.display()
        );
    }
    assert!(
        verify_room(&book.connection, &book.room)
            .expect("a room")
            .chain_ok()
    );
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let book = Book::eventful();
    let before = names(book.folder());
    let nowhere = book.folder().join("no/such/folder.db");
    assert!(matches!(
        copied(&book, &nowhere, Existing::Keep),
        Err(BackupError::Io { .. })
    ));
    let foreign = book.folder().join("foreign.db");
    Connection::open(&foreign)
        .and_then(|other| other.execute_batch("CREATE TABLE t (x)"))
        .expect("a database");
    let out = book.folder().join("copy.db");
    for from in [foreign.as_path(), &book.folder().join("missing.db")] {
        assert!(matches!(
            copy(from, &out, Existing::Keep, &mut |_, _| {}),
            Err(BackupError::Open(_))
        ));
    }
    fs::remove_file(&foreign).expect("there");
    fs::create_dir(&out).expect("a folder");
    assert!(matches!(
        copied(&book, &out, Existing::Replace),
        Err(BackupError::Io { .. })
    ));
    fs::remove_dir(&out).expect("there");
    assert_eq!(names(book.folder()), before);
}
