//! The shape of a nickname: RFC 8266 on current Unicode, narrowed to letters, numbers and a few signs. A raw string comes in;
//! what comes out is shown as it is and passes again unchanged; next its keys are computed.

use unicode_normalization::{UnicodeNormalization, char::is_public_assigned};
use unicode_segmentation::UnicodeSegmentation;

use super::{
    nickname::NameBounds,
    scripts::{
        ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER, is_default_ignorable, is_joiner_allowed,
        is_letter_or_number, is_mark, is_nonspacing, is_one_writing, is_space_separator,
    },
};

/// Nonspacing marks in a row: Vietnamese and Thai need two, a tower begins with the third.
const STACKED_MARKS_MAX: usize = 2;

/// Brings a name into shape, or says in a few words why it has none.
pub(super) fn shape(raw: &str, bounds: NameBounds) -> Result<String, &'static str> {
    if raw.len() > bounds.raw_bytes_max {
        return Err("it is too long");
    }
    let shaped = shape_once(raw, bounds)?;
    // Normalization may bring up what an earlier step would have changed. RFC 8266 §2.3 repeats until nothing changes; a
    // name that needs that has no honest use.
    if shape_once(&shaped, bounds)? == shaped {
        Ok(shaped)
    } else {
        Err("its form is not stable")
    }
}

fn shape_once(raw: &str, bounds: NameBounds) -> Result<String, &'static str> {
    if raw.chars().any(is_forbidden) {
        return Err("it has a character that names may not have");
    }
    let spaced = raw
        .split(is_space_separator)
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let shaped: String = spaced.nfkc().collect();
    if shaped.is_empty() {
        return Err("it is empty");
    }
    if shaped.len() > bounds.bytes_max || shaped.graphemes(true).nth(bounds.graphemes_max).is_some()
    {
        return Err("it is too long");
    }
    shaped.split(' ').try_for_each(check_word)?;
    if shaped.chars().any(is_letter_or_number) {
        Ok(shaped)
    } else {
        Err("it needs a letter or a digit")
    }
}

/// Before anything is normalized: controls, unassigned and private code points, and everything that is not drawn, but for the
/// joiners, which are judged by their neighbours.
fn is_forbidden(c: char) -> bool {
    let joiner = matches!(c, ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER);
    c.is_control()
        || !is_public_assigned(c)
        || (is_default_ignorable(c) && !joiner)
        || matches!(c, '\u{2800}' | '\u{FFF9}'..='\u{FFFB}')
}

fn check_word(word: &str) -> Result<(), &'static str> {
    let chars: Vec<char> = word.chars().collect();
    if chars.first().is_some_and(|c| is_mark(*c)) {
        return Err("a mark has no letter to stand on");
    }
    let mut stacked: Vec<char> = Vec::new();
    for (at, &c) in chars.iter().enumerate() {
        if matches!(c, ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER) {
            let (before, rest) = chars.split_at(at);
            if !is_joiner_allowed(before, c, rest.get(1..).unwrap_or_default()) {
                return Err("it has a character that names may not have");
            }
        } else if is_mark(c) {
            if !is_nonspacing(c) {
                stacked.clear();
            } else if stacked.len() == STACKED_MARKS_MAX || stacked.contains(&c) {
                return Err("a letter carries too many marks");
            } else {
                stacked.push(c);
            }
        } else if is_letter_or_number(c) || matches!(c, '-' | '_' | '.' | '\'') {
            stacked.clear();
        } else {
            return Err("it has a character that names may not have");
        }
    }
    if is_one_writing(word) {
        Ok(())
    } else {
        Err("it mixes scripts in one word")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::shape;
    use crate::domain::nickname::NameBounds;

    const BOUNDS: NameBounds = NameBounds {
        raw_bytes_max: 256,
        bytes_max: 128,
        graphemes_max: 32,
    };

    fn refused(raw: &str) -> bool {
        shape(raw, BOUNDS).is_err()
    }

    #[test]
    fn n1_nothing_to_see_is_no_name() {
        for blank in [
            "", " ", "   ", "\u{A0}", "\u{3000}", "\u{2800}", "\u{3164}", "\u{115F}", "\u{200B}",
            "\u{FFA0}", "-", "._'", "\u{301}",
        ] {
            assert!(refused(blank), "{}", blank.escape_unicode());
        }
    }

    #[test]
    fn n2_spaces_are_one_ascii_blank_and_trimmed() {
        for spaced in [
            "Alice Smith",
            "  Alice   Smith ",
            "Alice\u{2003}Smith",
            "\u{A0}Alice\u{3000}Smith\u{1680}",
        ] {
            assert_eq!(shape(spaced, BOUNDS).as_deref(), Ok("Alice Smith"));
        }
    }

    #[test]
    fn n3_sizes_count_graphemes_and_bytes() {
        assert!(shape(&"x".repeat(32), BOUNDS).is_ok());
        assert!(refused(&"x".repeat(33)));
        assert!(
            refused(&format!("x{}", "\u{301}\u{300}".repeat(30))),
            "one grapheme of 61 code points"
        );
        // Four bytes a letter: 32 of them are 128 bytes.
        let deseret = "\u{10428}".repeat(32);
        assert_eq!(deseret.len(), 128);
        assert!(shape(&deseret, BOUNDS).is_ok());
        let narrow = NameBounds {
            bytes_max: 127,
            ..BOUNDS
        };
        assert!(shape(&deseret, narrow).is_err());
        assert!(refused(&"é".repeat(129)), "258 bytes before anything else");
    }

    #[test]
    fn n7_scripts_do_not_mix_in_a_word() {
        for mixed in ["аdmin", "Ωmega", "раураl", "Иvan Smith"] {
            assert!(refused(mixed), "{mixed}");
        }
    }

    #[test]
    fn n8_the_writings_of_the_world_pass() {
        for name in [
            "太郎Smith",
            "Ivan Иванов",
            "Иван 2",
            "אבג",
            "ᲐᲑ",
            "Nguyễn Thị Ánh",
            "محمد",
            "علی\u{200C}رضا",
            "สมชาย เก่ง",
            "ကျော်",
            "किरण",
            "O'Brien",
            "Jean-Luc",
            "d_a.t",
            "x Æ A-12",
            "김철수",
            "Müller",
            "ʻIolani",
            "ひらがな",
            "Ⅷ",
        ] {
            let shaped = shape(name, BOUNDS);
            assert!(shaped.is_ok(), "{name}: {shaped:?}");
        }
        assert_eq!(
            shape("ᲐᲑ", BOUNDS).as_deref(),
            Ok("ᲐᲑ"),
            "nothing is lower-cased for show"
        );
    }

    #[test]
    fn n9_what_cannot_be_seen_is_refused_anywhere() {
        let hidden = ('\u{202A}'..='\u{202E}')
            .chain('\u{2060}'..='\u{2069}')
            .chain('\u{FFF9}'..='\u{FFFB}')
            .chain('\u{FE00}'..='\u{FE0F}')
            .chain('\u{E0020}'..='\u{E007F}')
            .chain('\u{E0100}'..='\u{E01EF}')
            .chain([
                '\u{AD}', '\u{34F}', '\u{61C}', '\u{200B}', '\u{200C}', '\u{200D}', '\u{200E}',
                '\u{200F}', '\u{FEFF}', '\u{180E}', '\u{2800}',
            ]);
        for c in hidden {
            for name in [
                format!("{c}Alice"),
                format!("Al{c}ice"),
                format!("Alice{c}"),
            ] {
                assert!(refused(&name), "{}", name.escape_unicode());
            }
        }
    }

    #[test]
    fn n10_marks_do_not_pile_up() {
        assert!(refused(&format!("a{}", "\u{301}".repeat(200))), "200 marks");
        assert!(
            refused(&format!("a{}", "\u{301}".repeat(100))),
            "100 marks, within the raw size"
        );
        assert!(refused("q\u{301}\u{301}"), "one mark twice");
        assert!(refused("q\u{301}\u{301}\u{301}"), "one mark three times");
        assert!(refused("q\u{301}\u{300}\u{302}"), "three in a row");
        assert!(refused("\u{301}a"), "a leading mark");
        assert!(refused("ab \u{301}c"), "a mark on a blank");
        assert!(
            shape("q\u{323}\u{302}", BOUNDS).is_ok(),
            "two different ones"
        );
    }

    #[test]
    fn n12_controls_and_markup_are_refused() {
        for bad in [
            "\n",
            "a\nb",
            "a\0b",
            "\u{1B}[31mred",
            "a\u{85}b",
            "a\u{2028}b",
            "a\u{2029}b",
            "<b>",
            "\"><img onerror=x>",
            "{a}",
            "*",
            "a:b",
            "!a",
            "a/b",
            "a\\b",
            "a@b",
            "#a",
            "a\u{E000}b",
            "a\u{FFFE}b",
            "a\u{378}b",
            "🤗",
            "Al🤗",
            "🅰lice",
            "a\tb",
            "l|l",
        ] {
            assert!(refused(bad), "{}", bad.escape_unicode());
        }
    }

    #[test]
    fn n16_growth_is_bounded() {
        assert!(
            refused(&"\u{FDFA}".repeat(32)),
            "18 times longer after normalization"
        );
        assert!(shape("\u{FDFA}", BOUNDS).is_ok());
        assert!(refused(&"x".repeat(4096)));
    }

    #[test]
    fn what_normalization_brings_up_is_judged_too() {
        assert_eq!(shape("ａｄｍｉｎ", BOUNDS).as_deref(), Ok("admin"));
        assert_eq!(shape("ⓐⓓⓜⓘⓝ", BOUNDS).as_deref(), Ok("admin"));
        assert!(refused("a\u{A8}"), "a diaeresis becomes a blank and a mark");
        assert!(refused("\u{2100}"), "a/c");
    }

    proptest! {
        #[test]
        fn a_shaped_name_is_shaped(raw in any::<String>()) {
            if let Ok(shaped) = shape(&raw, BOUNDS) {
                prop_assert_eq!(shape(&shaped, BOUNDS), Ok(shaped.clone()));
                prop_assert!(shaped.len() <= 128);
            }
        }

        #[test]
        fn a_shaped_name_of_odd_letters_is_shaped(raw in "[\\p{L}\\p{M}\\p{N}\\p{Zs}'._\u{200C}\u{200D}-]{1,12}") {
            if let Ok(shaped) = shape(&raw, BOUNDS) {
                prop_assert_eq!(shape(&shaped, BOUNDS), Ok(shaped.clone()));
            }
        }
    }
}
