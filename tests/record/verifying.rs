//! What cannot be changed unseen.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::{any, prop, prop_assert, proptest};
use wardroom::{
    domain::{
        envelope::{Deletion, Message},
        position::{Epoch, Position},
    },
    log::sqlite::chain::Seal,
};

use crate::{
    book::{Book, user},
    check, wrong,
};

/// A file whose seal is right for its other lines: what somebody makes who knows the format.
fn sealed(lines: &[String]) -> String {
    let (last, above) = lines.split_last().expect("a trailer");
    let seal = above
        .iter()
        .fold(Seal::new(), |seal, line| seal.with(line))
        .hash();
    let told = last.split(",\"seal\"").next().expect("a seal");
    format!("{}\n{told},\"seal\":\"{seal}\"}}\n", above.join("\n"))
}

fn lines(file: &str) -> Vec<String> {
    file.lines().map(str::to_owned).collect()
}

#[test]
fn every_changed_byte_is_found() {
    let book = Book::eventful();
    for good in [
        book.export(None, None),
        book.export(Some(3), Some(5)),
        book.export(Some(7), None),
        Book::moderated().export(Some(2), None),
    ] {
        let good = good.into_bytes();
        check(&good).expect("it verifies");
        for at in 0..good.len() {
            for flip in [1, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                assert!(check(&bad).is_err(), "byte {at} ^ {flip:#x}");
            }
        }
    }
}

#[test]
fn every_byte_that_is_missing_or_too_much_is_found() {
    let good = Book::eventful().export(None, None).into_bytes();
    for at in 0..=good.len() {
        let mut more = good.clone();
        more.insert(at, b'\n');
        assert!(check(&more).is_err(), "a line feed at {at}");
        more[at] = b' ';
        assert!(check(&more).is_err(), "a blank at {at}");
        assert!(
            at == good.len() || check(&good[..at]).is_err(),
            "cut at {at}"
        );
    }
    for at in 0..good.len() {
        let mut less = good.clone();
        less.remove(at);
        assert!(check(&less).is_err(), "without byte {at}");
    }
}

#[test]
fn whoever_knows_the_format_still_has_to_make_the_chain_anew() {
    let good = lines(&Book::eventful().export(None, None));
    assert_eq!(sealed(&good), good.join("\n") + "\n");
    let count = good.len();
    for at in 1..count - 1 {
        let mut without = good.clone();
        without.remove(at);
        wrong(sealed(&without));
        let mut doubled = good.clone();
        doubled.insert(at, good[at].clone());
        wrong(sealed(&doubled));
        let mut swapped = good.clone();
        swapped.swap(at, at + 1);
        if at + 1 < count - 1 {
            wrong(sealed(&swapped));
        }
    }
    for (was, is) in [
        ("\"Hello\"", "\"Hallo\""),
        ("\"nick\":\"Alice\"", "\"nick\":\"Alicf\""),
        ("\"room\":\"lobby\"", "\"room\":\"lobbx\""),
        ("12:00:02.002Z", "12:00:02.003Z"),
        ("\"visit\":\"came\"", "\"visit\":\"went\""),
        ("\"verified\":true", "\"verified\":false"),
        ("\"to\":6", "\"to\":5"),
        ("\"to\":6", "\"to\":7"),
        ("\"lines\":12", "\"lines\":11"),
        ("\"deleted\":2", "\"deleted\":1"),
        ("\"head\":[6", "\"head\":[7"),
        ("\"from\":1", "\"from\":0"),
        ("\"first\":1", "\"first\":2"),
        ("\"last\":6", "\"last\":5"),
        ("record 1", "record 2"),
        // The same in another way of writing: what two readers read differently is no record.
        ("\"Hello\"", "\"H\\u0065llo\""),
        ("{\"offset\":1,", "{ \"offset\":1,"),
        ("{\"offset\":1,", "{\"offset\":01,"),
        ("\"text\":\"Hello\"", "\"text\":\"x\",\"text\":\"Hello\""),
        ("\"text\":\"Hello\"", "\"deleted\":null,\"text\":\"Hello\""),
        ("\"kind\":99,", ""),
        ("\"epoch\":\"5f3a\"", "\"epoch\":\"05f3a\""),
        ("12:00:02.002Z", "12:00:02.002+00:00"),
        (
            "\"nick\":\"Alice\",\"verified\":true,",
            "\"verified\":true,\"nick\":\"Alice\",",
        ),
        ("\"from\":1,", "\"from\": 1,"),
    ] {
        let changed = good.join("\n").replacen(was, is, 1);
        assert_ne!(changed, good.join("\n"), "{was}");
        wrong(sealed(&lines(&changed)));
    }
}

#[test]
fn line_and_offset_are_named() {
    let good = Book::eventful().export(None, None);
    for (was, is, says) in [
        (
            "Hello",
            "Hallo",
            "line 3, offset 1: the content does not match its digest",
        ),
        (
            "12:00:02.002Z",
            "12:00:02.003Z",
            "line 3, offset 1: the chain does not lead here",
        ),
        (
            "{\"offset\":4",
            "{\"offset\":5",
            "line 8, offset 5: offset 4 should stand here",
        ),
        (
            "\"nick\":\"Robert\",\"salt",
            "\"nick\":\"Rupert\",\"salt",
            "line 7, offset 3: the content does not match its digest",
        ),
        (
            "\"visit\":\"renamed\",\"offset\":3",
            "\"visit\":\"renamed\",\"offset\":2",
            "line 7, offset 2: this visit stands in the wrong place",
        ),
        (
            "{\"offset\":5",
            "{\"offzet\":5",
            "line 9, offset 5: this is not a line",
        ),
        (
            "lobby",
            "lobbx",
            "line 1: the chain of this room does not begin like that",
        ),
        (
            "record 1",
            "record 2",
            "line 1: this is not \"wardroom record 1\"",
        ),
        ("\"to\":6", "\"to\":5", "line 1: "),
        (
            "\"wardroom\":\"0",
            "\"wardroom\":\"1",
            "line 14, offset 6: the seal does not match",
        ),
        (
            "\"seal\":\"",
            "\"seal\": \"",
            "line 14, offset 6: this is not a line",
        ),
        (
            "\"entries\":6",
            "\"entries\":7",
            "line 14, offset 6: the last line does not tell",
        ),
    ] {
        let bad = good.replacen(was, is, 1);
        assert_ne!(bad, good, "{was}");
        let said = wrong(&bad);
        let cut = says == "line 1: ";
        assert!(cut || said.starts_with(says), "{was}: {said}");
    }
    let all = lines(&good);
    let without = [&all[..4], &all[5..]].concat().join("\n") + "\n";
    assert!(wrong(&without).starts_with("line 5, offset 3: offset 2 should stand here"));
    let cut = all[..6].join("\n") + "\n";
    assert!(wrong(&cut).starts_with("line 7, offset 4: the file ends here"));
    let after = good.clone() + "\n";
    assert!(wrong(&after).starts_with("line 15, offset 7: something follows"));
    assert!(wrong("").starts_with("line 1: the file ends here"));
    assert!(wrong(good.replace('\n', "\r\n")).starts_with("line 1: this is not a line"));
}

#[test]
fn what_a_version_wrote_that_did_not_know_deletions_verifies_too() {
    let mut book = Book::new("lobby");
    book.say("alice", "Alice", "Hello");
    book.say("alice", "Alice", "gone");
    book.retract("dora", 2, Some("why"));
    let file = book.export(None, None);
    let known = "\"deletes\":[2,\"5f3a\"],\"reason\":\"why\"";
    let bytes = Deletion {
        target: Position {
            offset: 2,
            epoch: Epoch::new(0x5f3a),
        },
        user: user("dora"),
        reason: Some("why"),
    }
    .encode()
    .expect("short");
    let opaque = |kind, bytes: &[u8]| {
        let bytes = BASE64URL_NOPAD.encode(bytes);
        format!("\"kind\":{kind},\"envelope\":\"{bytes}\"")
    };
    let older = file.replacen(known, &opaque(2, &bytes), 1);
    assert_ne!(older, file);
    check(sealed(&lines(&older))).expect("it verifies");
    // Every version knows messages: there is one way to write them.
    let message = Message {
        user: user("alice"),
        nick: "Alice",
        verified: true,
        text: "Hello",
    }
    .encode()
    .expect("short");
    let known = "\"nick\":\"Alice\",\"verified\":true,\"text\":\"Hello\"";
    let hidden = file.replacen(known, &opaque(1, &message), 1);
    assert_ne!(hidden, file);
    wrong(sealed(&lines(&hidden)));
}

#[test]
fn a_line_without_an_end_is_not_read_into_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let error = wardroom::log::sqlite::record::verify(endless, &mut |_, _| {});
    assert!(error.is_err());
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 4000, ..Default::default() })]

    #[test]
    fn anything_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(check(&bytes).is_err());
    }

    #[test]
    fn lines_that_look_like_a_record_are_read_without_a_panic(
        lines in prop::collection::vec((0..14_usize, "[ -~]{0,8}", any::<prop::sample::Index>()), 0..20)
    ) {
        let good = lines_of();
        let mut file = format!("{}\n", good[0]);
        for (line, put, at) in lines {
            let line = &good[line];
            let at = at.index(line.len() + 1);
            let at = (0..=at).rfind(|at| line.is_char_boundary(*at)).unwrap_or(0);
            for part in [&line[..at], &put, &line[at..], "\n"] {
                file.push_str(part);
            }
        }
        if file != good.join("\n") + "\n" {
            prop_assert!(check(&file).is_err());
        }
    }

    #[test]
    fn every_random_change_is_found(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let good = lines_of().join("\n") + "\n";
        let mut bad = good.clone().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bad.len());
            bad[at] = byte;
        }
        if bad != good.as_bytes() {
            prop_assert!(check(&bad).is_err());
        }
    }
}

/// One good record for all cases.
fn lines_of() -> &'static [String] {
    static LINES: std::sync::OnceLock<Vec<String>> = std::sync::OnceLock::new();
    LINES.get_or_init(|| lines(&Book::eventful().export(None, None)))
}
