//! A record of this format, kept: what was exported once must verify for ever, and independent programs are tested on it.

use std::{fs, path::Path};

use crate::{book::Book, check};

fn golden() -> String {
    kept("golden.jsonl")
}

fn kept(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/record");
    fs::read_to_string(folder.join(name)).expect("the kept record")
}

#[test]
fn a_record_that_was_exported_once_verifies_for_ever() {
    let verified = check(golden()).expect("it verifies");
    assert_eq!(verified.counts.entries, 6);
    assert_eq!(verified.header.room, "lobby");
}

#[test]
fn the_format_stays_as_it_is() {
    let now = Book::eventful().export(None, None);
    let version = format!("\"wardroom\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let as_then = now.replacen(&version, "\"wardroom\":\"0.1.0\"", 1);
    let unsealed = |file: &str| file.split(",\"seal\":").next().map(str::to_owned);
    assert_eq!(
        unsealed(&as_then),
        unsealed(&golden()),
        "another format needs another name than wardroom record 1"
    );
}

#[test]
fn so_does_the_record_of_a_deletion() {
    let now = Book::moderated().export(None, None);
    let kept = kept("golden_deletion.jsonl");
    check(&kept).expect("it verifies");
    let unsealed = |file: &str| file.split(",\"seal\":").next().map(str::to_owned);
    let version = format!("\"wardroom\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let as_then = now.replacen(&version, "\"wardroom\":\"0.1.0\"", 1);
    assert_eq!(unsealed(&as_then), unsealed(&kept));
}
