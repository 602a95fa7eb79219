//! The commands as a person or a script meets them.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{book::Book, check};

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wardroom"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WARDROOM__") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).args(arguments);
    command
}

fn wardroom(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments)
        .output()
        .expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// A database and the configuration that names it.
fn site() -> Book {
    let book = Book::eventful();
    let config = "[log]\nengine = \"sqlite\"\npath = \"wardroom.db\"\n";
    fs::write(book.folder().join("wardroom.toml"), config).expect("a file");
    book
}

#[test]
fn a_room_is_exported_and_verified_while_the_database_is_in_use() {
    let book = site();
    let folder = book.folder();
    let exported = wardroom(
        folder,
        &["export", "--room", "lobby", "--config", "wardroom.toml"],
    );
    assert_eq!(exported.status.code(), Some(0), "{}", err(&exported));
    assert_eq!(err(&exported), "", "no progress line without a terminal");
    let verified = check(out(&exported)).expect("it verifies");
    assert_eq!(verified.head_hash, book.chain());
    fs::write(folder.join("lobby.jsonl"), out(&exported)).expect("a file");
    let said = wardroom(folder, &["verify", "lobby.jsonl"]);
    assert_eq!(said.status.code(), Some(0), "{}", err(&said));
    for part in [
        "room         lobby\n",
        "covers       offsets 1 to 6; the room had 1 to 6\n",
        "holds        6 entries, 2 of them deleted, 6 visits\n",
        &format!("head hash    {}  after offset 6, epoch", book.chain()),
    ] {
        assert!(out(&said).contains(part), "{part}: {}", out(&said));
    }
    let mut piped = command(folder, &["verify", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = piped.stdin.take().expect("a pipe");
    stdin.write_all(&exported.stdout).expect("taken");
    drop(stdin);
    let piped = piped.wait_with_output().expect("an end");
    assert_eq!((piped.status.code(), out(&piped)), (Some(0), out(&said)));

    let changed = out(&exported).replace("Hello", "Hallo");
    fs::write(folder.join("changed.jsonl"), changed).expect("a file");
    let refused = wardroom(folder, &["verify", "changed.jsonl"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(out(&refused), "");
    assert!(
        err(&refused).contains("changed.jsonl: line 3, offset 1: the content does not match"),
        "{}",
        err(&refused)
    );
    assert_eq!(
        wardroom(folder, &["verify", "missing"]).status.code(),
        Some(1)
    );
}

#[test]
fn a_range_and_a_form_can_be_chosen() {
    let book = site();
    let part = wardroom(
        book.folder(),
        &[
            "export",
            "--room",
            "lobby",
            "--from",
            "2",
            "--to",
            "3",
            "--database",
            "wardroom.db",
        ],
    );
    let verified = check(out(&part)).expect("it verifies");
    assert_eq!((verified.header.from, verified.header.to), (2, 3));
    let text = wardroom(
        book.folder(),
        &[
            "export",
            "--room",
            "lobby",
            "--format",
            "text",
            "--database",
            "wardroom.db",
        ],
    );
    assert_eq!(text.status.code(), Some(0));
    assert_eq!(out(&text), {
        // But for the moment of writing.
        let lines: Vec<String> = book.text().lines().skip(1).map(str::to_owned).collect();
        format!(
            "{}\n{}\n",
            out(&text).lines().next().expect("a header"),
            lines.join("\n")
        )
    });
}

#[test]
fn what_is_not_there_is_said_with_its_exit_code() {
    let book = site();
    let folder = book.folder();
    fs::write(folder.join("memory.toml"), "[log]\nengine = \"memory\"\n").expect("a file");
    fs::write(folder.join("wrong.toml"), "[log]\npaht = \"x\"\n").expect("a file");
    for (arguments, code, says) in [
        (
            &["export", "--room", "nowhere", "--config", "wardroom.toml"][..],
            1,
            "wardroom.db: there is no room nowhere",
        ),
        (
            &["export", "--room", "lobby", "--database", "missing.db"],
            1,
            "missing.db does not exist",
        ),
        (
            &["export", "--room", "lobby", "--database", "wardroom.toml"],
            1,
            "wardroom.toml is not a log of wardroom",
        ),
        (
            &["export", "--room", "lobby", "--config", "memory.toml"],
            78,
            "log.engine is \"memory\", and that keeps no record",
        ),
        (
            &["backup", "copy.db", "--config", "memory.toml"],
            78,
            "log.engine is \"memory\"",
        ),
        (
            &["export", "--room", "lobby", "--config", "wrong.toml"],
            78,
            "log.paht (line 2): there is no such key; did you mean",
        ),
        (
            &["export", "--room", "lobby", "--config", "missing.toml"],
            78,
            "cannot be read",
        ),
        (
            &["export", "--room", "No Room", "--config", "wardroom.toml"],
            2,
            "lower-case",
        ),
        (&["export", "--config", "wardroom.toml"], 2, "--room"),
        (&["export", "--room", "lobby", "--from", "-1"], 2, "-1"),
        (
            &["export", "--room", "lobby", "--format", "xml"],
            2,
            "jsonl",
        ),
        (&["verify"], 2, "FILE"),
    ] {
        let output = wardroom(folder, arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            err(&output)
        );
        assert!(
            err(&output).contains(says),
            "{arguments:?}: {}",
            err(&output)
        );
        assert_eq!(out(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_damaged_record_is_written_out_and_ends_with_1() {
    let book = site();
    book.sql("UPDATE entry SET ts = ts + 1 WHERE off = 4");
    let output = wardroom(
        book.folder(),
        &["export", "--room", "lobby", "--database", "wardroom.db"],
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("the record of lobby is damaged, 4 is the first"),
        "{}",
        err(&output)
    );
    assert_eq!(out(&output).lines().count(), 14);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let mut book = site();
    for _ in 0..2000 {
        book.say("alice", "Alice", &"x".repeat(500));
    }
    let mut export = command(
        book.folder(),
        &["export", "--room", "lobby", "--database", "wardroom.db"],
    )
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .spawn()
    .expect("the program runs");
    let mut pipe = export.stdout.take().expect("a pipe");
    pipe.read_exact(&mut [0; 10]).expect("a beginning");
    drop(pipe);
    let output = export.wait_with_output().expect("an end");
    assert_eq!(
        (output.status.code(), err(&output)),
        (Some(0), String::new())
    );
    let full = command(
        book.folder(),
        &["export", "--room", "lobby", "--database", "wardroom.db"],
    )
    .stdout(
        fs::File::options()
            .write(true)
            .open("/dev/full")
            .expect("a full disk"),
    )
    .output()
    .expect("the program runs");
    assert_eq!(full.status.code(), Some(1));
    assert!(err(&full).contains("cannot be written"), "{}", err(&full));
}

#[test]
fn a_backup_can_be_exported_from() {
    let book = site();
    let folder = book.folder();
    let arguments = ["backup", "copy.db", "--config", "wardroom.toml"];
    let made = wardroom(folder, &arguments);
    assert_eq!(made.status.code(), Some(0), "{}", err(&made));
    assert!(out(&made).starts_with("copy.db  ") && out(&made).ends_with(" bytes\n"));
    let again = wardroom(folder, &arguments);
    assert_eq!(again.status.code(), Some(1));
    assert!(err(&again).contains("is there already: name another file, or give --force"));
    let forced = wardroom(folder, &[&arguments[..], &["--force"]].concat());
    assert_eq!(forced.status.code(), Some(0), "{}", err(&forced));
    let exported = wardroom(
        folder,
        &["export", "--room", "lobby", "--database", "copy.db"],
    );
    assert_eq!(
        check(out(&exported)).expect("it verifies").head_hash,
        book.chain()
    );
}
