//! What is written out.

use std::io::{self, Write};

use serde_json::{Value, json};
use wardroom::log::sqlite::record::{Form, Record, RecordError};

use crate::{
    book::{Book, user},
    check,
};

fn lines(file: &str) -> Vec<Value> {
    file.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// The lines between header and trailer.
fn rows(file: &str) -> Vec<Value> {
    let mut lines = lines(file);
    lines.pop();
    lines.remove(0);
    lines
}

fn offsets(file: &str) -> Vec<(bool, u64)> {
    rows(file)
        .iter()
        .map(|row| {
            let offset = row["offset"].as_u64().expect("an offset");
            (row.get("visit").is_some(), offset)
        })
        .collect()
}

#[test]
fn a_record_tells_everything_in_order() {
    let book = Book::eventful();
    let file = book.export(None, None);
    let all = lines(&file);
    let header = &all[0];
    assert_eq!(header["format"], "wardroom record 1");
    assert_eq!(header["room"], "lobby");
    let numbers = ["from", "to", "first", "last", "lines"].map(|key| header[key].clone());
    assert_eq!(numbers, [1, 6, 1, 6, 12].map(|number| json!(number)));
    assert_eq!(header["exported_at"], "2026-11-25T12:00:00.000Z");
    assert_eq!(
        offsets(&file),
        [
            (true, 0),
            (false, 1),
            (true, 1),
            (false, 2),
            (false, 3),
            (true, 3),
            (false, 4),
            (false, 5),
            (true, 5),
            (true, 5),
            (false, 6),
            (true, 6)
        ]
    );
    let hello = &all[2];
    assert_eq!(hello["user"], user("alice").as_str());
    assert_eq!(hello["nick"], "Alice");
    assert_eq!(hello["verified"], true);
    assert_eq!(hello["text"], "Hello");
    assert_eq!(hello["epoch"], "5f3a");
    assert_eq!(hello["id"], "Ojo6Ojo6Ojo6Ojo6~2.1");
    assert_eq!(hello["ts"], "2026-11-24T12:00:02.002Z");
    assert!(all[4]["text"].as_str().expect("text").contains('\n'));
    let end = &all[13];
    assert_eq!(end["head"][0], 6);
    assert_eq!(end["head_hash"], book.chain().to_string());
    assert_eq!(end["visits_hash"], book.visits().to_string());
    assert_eq!(
        [&end["entries"], &end["deleted"], &end["visits"]],
        [6, 2, 6]
    );
    let verified = check(&file).expect("it verifies");
    assert_eq!(verified.head_hash, book.chain());
    assert_eq!(verified.counts.deleted, 2);
}

#[test]
fn what_went_is_gone_and_what_a_legal_hold_keeps_is_told_apart() {
    let file = Book::eventful().export(None, None);
    assert!(!file.contains("to be deleted"));
    let rows = rows(&file);
    let entry = |offset: u64| {
        rows.iter()
            .find(|row| row["offset"] == offset && row.get("visit").is_none())
            .expect("an entry")
    };
    let (deleted, withheld, opaque) = (entry(3), entry(4), entry(5));
    assert_eq!(deleted["deleted"], true);
    for gone in ["text", "nick", "salt", "withheld", "envelope"] {
        assert_eq!(deleted.get(gone), None, "{gone}");
    }
    assert_eq!(withheld["deleted"], true);
    assert_eq!(withheld.get("text"), None);
    assert_eq!(withheld["withheld"]["text"], "to be withheld");
    assert_eq!(withheld["withheld"]["nick"], "Robert");
    assert_eq!(opaque["kind"], 99);
    assert_eq!(opaque["envelope"], "AWMDBA");
    let erased: Vec<&Value> = rows
        .iter()
        .filter(|row| row.get("erased").is_some())
        .collect();
    assert_eq!(erased.len(), 2);
    assert!(
        erased
            .iter()
            .all(|row| row.get("nick").is_none() && row["user"] == user("carol").as_str())
    );
}

#[test]
fn a_deletion_says_who_deleted_what_and_why() {
    let book = Book::moderated();
    let file = book.export(None, None);
    assert!(!file.contains("4929") && !file.contains("code is"));
    let rows = rows(&file);
    let alice = user("alice");
    assert_eq!(rows[0]["deleted"], true);
    for (row, deletes, reason) in [
        (&rows[2], 1, Some("a card number\nof his own")),
        (&rows[3], 2, None),
    ] {
        assert_eq!(row["user"], alice.as_str());
        assert_eq!(row["deletes"], serde_json::json!([deletes, "5f3a"]));
        assert_eq!(row.get("reason").and_then(Value::as_str), reason);
        assert_eq!((row.get("envelope"), row.get("deleted")), (None, None));
    }
    let verified = check(&file).expect("it verifies");
    assert_eq!(verified.counts.deleted, 2);
    for (was, is) in [
        ("\"deletes\":[2,", "\"deletes\":[1,"),
        ("\"deletes\":[2,\"5f3a\"]", "\"deletes\":[2,\"5f3b\"]"),
        ("a card number", "a bad joke"),
        (",\"reason\":\"a card number\\nof his own\"", ""),
    ] {
        let changed = file.replacen(was, is, 1);
        assert_ne!(changed, file, "{was}");
        check(&changed).expect_err(was);
    }
    let text = book.text();
    for line in [
        format!("#3 ({alice}) deleted #1 of epoch 5f3a: a card number"),
        "    | of his own".to_owned(),
        format!("#4 ({alice}) deleted #2 of epoch 5f3a"),
    ] {
        let found = text.lines().any(|found| found.ends_with(&line));
        assert!(found, "{line}\n{text}");
    }
}

#[test]
fn a_message_that_names_another_author_than_its_entry_keeps_its_bytes() {
    let mut book = Book::new("lobby");
    let message = wardroom::domain::envelope::Message {
        user: user("bob"),
        nick: "Bob",
        verified: false,
        text: "not mine",
    };
    book.append("alice", &message.encode().expect("short"));
    book.append("alice", &[]);
    book.append("alice", &[9]);
    let file = book.export(None, None);
    assert!(rows(&file).iter().all(|row| row.get("envelope").is_some()));
    check(&file).expect("it verifies");
}

#[test]
fn a_part_begins_with_the_chain_before_it_and_parts_make_the_whole() {
    let book = Book::eventful();
    let whole = rows(&book.export(None, None));
    for cut in 1..=6 {
        let (one, two) = (
            book.export(None, Some(cut)),
            book.export(Some(cut + 1), None),
        );
        let parts: Vec<Value> = rows(&one).into_iter().chain(rows(&two)).collect();
        assert_eq!(parts, whole, "{cut}");
        let (one, two) = (
            check(&one).expect("the first"),
            check(&two).expect("the second"),
        );
        assert_eq!(one.head_hash, two.header.chain, "{cut}");
        assert_eq!(one.visits_hash, two.header.visits_chain, "{cut}");
    }
}

#[test]
fn a_range_without_entries_is_a_record_too() {
    let book = Book::eventful();
    for (from, to, covers) in [
        (Some(7), None, (7, 6)),
        (Some(50), Some(60), (7, 6)),
        (Some(4), Some(2), (4, 3)),
        (Some(u64::MAX), Some(u64::MAX), (7, 6)),
        (None, Some(0), (1, 0)),
    ] {
        let verified = check(book.export(from, to)).expect("it verifies");
        assert_eq!((verified.header.from, verified.header.to), covers);
        assert_eq!((verified.counts.entries, verified.head), (0, None));
    }
    let empty = Book::new("quiet");
    let verified = check(empty.export(None, None)).expect("it verifies");
    assert_eq!((verified.header.from, verified.header.to), (1, 0));
    assert_eq!((verified.header.first, verified.header.last), (1, 0));
}

#[test]
fn what_retention_took_is_named_and_the_rest_verifies() {
    let book = Book::eventful();
    let whole = rows(&book.export(None, None));
    for first in 2..=7 {
        let book = Book::eventful();
        book.trim(first);
        let file = book.export(Some(1), None);
        let verified = check(&file).expect("it verifies");
        assert_eq!(
            (verified.header.first, verified.header.from),
            (first, first)
        );
        assert_eq!(verified.head_hash, book.chain(), "{first}");
        let rows = rows(&file);
        assert_eq!(rows[..], whole[whole.len() - rows.len()..], "{first}");
    }
}

/// Somebody writes to the room whenever a part of the record is written out.
struct Busy {
    book: Book,
    out: Vec<u8>,
}

impl Write for Busy {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.book.say("bob", "Bob", "while it is written");
        self.book.visit("bob", 1, "Bob");
        self.book.delete(self.book.head() - 6);
        self.out.write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_export_sees_one_moment_while_the_gateway_writes() {
    let book = Book::eventful();
    let before = book.export(None, None);
    let record = Record::open(book.path()).expect("a database");
    let wanted = book.wanted(None, None, Form::Lines);
    let mut busy = Busy {
        book,
        out: Vec::new(),
    };
    record
        .export(&wanted, &mut busy, &mut |done, of| assert!(done <= of))
        .expect("a record");
    assert_eq!(String::from_utf8(busy.out).expect("UTF-8"), before);
    assert!(busy.book.head() > 18);
    check(busy.book.export(None, None)).expect("it verifies");
}

#[test]
fn a_damaged_database_is_written_out_and_named() {
    for (damage, offset) in [
        ("UPDATE entry SET ts = ts + 1 WHERE off = 4", 4),
        ("UPDATE entry SET env = x'0163030405' WHERE off = 5", 5),
        ("UPDATE entry SET user = 'u_x' WHERE off = 3", 3),
        ("DELETE FROM entry WHERE off = 2", 3),
        ("DELETE FROM entry WHERE off = 6", 6),
        ("UPDATE visit SET ts = ts + 1 WHERE off = 3", 3),
        ("UPDATE visit SET nick = 'Mallory' WHERE off = 3", 3),
    ] {
        let book = Book::eventful();
        book.sql(damage);
        let (file, written) = book.written(None, None, Form::Lines).expect("a record");
        assert_eq!(written.fault.expect(damage).0, offset, "{damage}");
        assert!(file.lines().count() >= 13);
        check(&file).expect_err(damage);
    }
    let book = Book::eventful();
    book.sql("DELETE FROM entry WHERE off = 2");
    assert!(matches!(
        book.written(Some(3), None, Form::Lines),
        Err(RecordError::Missing { offset: 2 })
    ));
}

#[test]
fn what_the_schema_does_not_allow_is_an_error_and_no_panic() {
    for damage in [
        "UPDATE entry SET producer = x'00' WHERE off = 4",
        "UPDATE entry SET salt = NULL WHERE off = 4",
        "UPDATE entry SET digest = x'00' WHERE off = 4",
        "UPDATE visit SET act = 9 WHERE off = 3",
        "UPDATE room SET chain = x'00'",
    ] {
        let book = Book::eventful();
        book.sql(damage);
        assert!(
            matches!(
                book.written(None, None, Form::Lines),
                Err(RecordError::Database(_))
            ),
            "{damage}"
        );
    }
    for strange in [
        "UPDATE room SET head = -1",
        "UPDATE room SET first = -5",
        "UPDATE room SET first = 0",
        "UPDATE room SET first = 40, head = 2",
        "UPDATE entry SET off = -4 WHERE off = 4",
    ] {
        let book = Book::eventful();
        book.sql(strange);
        let written = book.written(None, None, Form::Lines);
        assert!(
            written.is_err() || written.is_ok_and(|(file, _)| check(file).is_err()),
            "{strange}"
        );
    }
}

#[test]
fn text_is_for_people_and_no_line_of_it_can_be_forged() {
    let mut book = Book::eventful();
    book.say(
        "mallory",
        "Mal",
        "fine\n2026-11-24 12:00:09Z  #9 Alice (u_x): forged\n--- head hash: 00\r\u{202e}\u{1b}[2Jend",
    );
    let text = book.text();
    let alice = user("alice");
    for line in [
        "--- wardroom record 1: #lobby, offsets 1 to 7 of 1 to 7, written 2026-11-25 12:00:00Z by wardroom 0.1.0",
        "--- epoch 5f3a",
        &format!("2026-11-24 12:00:01Z  Alice ({alice}) came"),
        &format!("2026-11-24 12:00:02Z  #1 Alice ({alice}): Hello"),
        "    | lines, and \"quotes\" \\ \\u{2067}אב\\u{2069} 🙂",
        &format!("2026-11-24 12:00:05Z  #3 ({alice}): deleted"),
        &format!(
            "2026-11-24 12:00:06Z  ({}) is now called Robert",
            user("bob")
        ),
        &format!(
            "2026-11-24 12:00:07Z  #4 Robert ({}), deleted, kept for a legal hold: to be withheld",
            user("bob")
        ),
        &format!(
            "2026-11-24 12:00:08Z  #5 ({}): an entry of kind 99 that this version does not know, 4 bytes",
            user("carol")
        ),
        &format!("2026-11-24 12:00:09Z  ({}) came", user("carol")),
        "--- 7 entries (2 deleted), 6 visits",
        &format!("--- head hash: {}", book.chain()),
        "    | 2026-11-24 12:00:09Z  #9 Alice (u_x): forged",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    let ours = text.lines().filter(|line| line.starts_with("--- ")).count();
    assert_eq!(ours, 8, "{text}");
    let trimmed = Book::eventful();
    trimmed.trim(4);
    assert!(
        trimmed
            .text()
            .contains("--- offsets 1 to 3 are no longer kept\n")
    );
}
