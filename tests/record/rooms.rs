//! A room's chain, followed through the database.

use wardroom::{
    domain::room_name::RoomId,
    log::sqlite::record::{RecordError, Summary, verify_room, walk::Fault},
};

use crate::book::Book;

fn summary(book: &Book) -> Summary {
    verify_room(&book.connection, &book.room).expect("it can be read")
}

#[test]
fn a_whole_room_verifies_with_all_that_went() {
    let book = Book::eventful();
    let all = summary(&book);
    assert!(all.chain_ok(), "{all:?}");
    assert_eq!((all.counts.entries, all.first), (6, 1));
    assert_eq!(all.head.expect("a head").offset, 6);
    assert_eq!(all.head_hash, book.chain());
    book.trim(4);
    let rest = summary(&book);
    assert!(rest.chain_ok(), "{rest:?}");
    assert_eq!((rest.counts.entries, rest.first), (3, 4));
    book.trim(7);
    let none = summary(&book);
    assert!(none.chain_ok(), "{none:?}");
    assert_eq!((none.counts.entries, none.first), (0, 7));
    assert!(summary(&Book::new("quiet")).chain_ok());
}

#[test]
fn it_also_works_within_a_transaction_of_the_caller() {
    let book = Book::eventful();
    book.sql("BEGIN");
    book.sql("UPDATE entry SET ts = 1 WHERE off = 2");
    assert_eq!(summary(&book).fault, Some((2, Fault::Chain)));
    book.sql("ROLLBACK");
    assert!(summary(&book).chain_ok());
}

#[test]
fn whatever_was_changed_is_found_at_its_offset() {
    for (damage, offset, fault) in [
        ("UPDATE entry SET ts = 1 WHERE off = 2", 2, Fault::Chain),
        ("UPDATE entry SET epoch = 1 WHERE off = 5", 5, Fault::Chain),
        ("UPDATE entry SET seq = 9 WHERE off = 5", 5, Fault::Chain),
        (
            "UPDATE entry SET env = x'01' WHERE off = 2",
            2,
            Fault::Digest,
        ),
        (
            "UPDATE entry SET salt = x'01' WHERE off = 4",
            4,
            Fault::Digest,
        ),
        (
            "DELETE FROM entry WHERE off = 3",
            3,
            Fault::Offset { expected: 3 },
        ),
        (
            "DELETE FROM entry WHERE off >= 5",
            5,
            Fault::Offset { expected: 5 },
        ),
        ("UPDATE room SET chain = base", 6, Fault::Chain),
        ("UPDATE room SET base = visits", 1, Fault::Chain),
        ("UPDATE room SET epoch = 1", 6, Fault::Chain),
        ("UPDATE room SET head = 5", 5, Fault::Chain),
        ("DELETE FROM visit WHERE off = 3", 5, Fault::Chain),
        ("DELETE FROM visit WHERE off = 6", 6, Fault::Chain),
        ("UPDATE visit SET act = 2 WHERE off = 1", 1, Fault::Chain),
    ] {
        let book = Book::eventful();
        book.sql(damage);
        assert_eq!(summary(&book).fault, Some((offset, fault)), "{damage}");
    }
}

#[test]
fn a_room_that_is_not_there_is_said_to_be() {
    let book = Book::eventful();
    let other = RoomId::parse("nowhere", 64).expect("a name");
    assert!(matches!(
        verify_room(&book.connection, &other),
        Err(RecordError::UnknownRoom(room)) if room == other
    ));
}
