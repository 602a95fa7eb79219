//! Classes of characters by which names and texts are judged. The tables are those of the unicode crates (Unicode 18); what
//! they do not tell is listed here, and a test compares the lists with the crates where it can.

use unicode_normalization::char::{canonical_combining_class, is_combining_mark};
use unicode_security::mixed_script::AugmentedScriptSet;
use unicode_segmentation::UnicodeSegmentation;

/// Joins the letters beside it.
pub(super) const ZERO_WIDTH_JOINER: char = '\u{200D}';
/// Keeps the letters beside it apart.
pub(super) const ZERO_WIDTH_NON_JOINER: char = '\u{200C}';
/// The combining class of a virama, which makes the next consonant part of its cluster (UAX 44, table 15).
const VIRAMA: u8 = 9;

/// `Default_Ignorable_Code_Point`: nothing is drawn for it. Fillers, joiners, bidi controls, variation selectors, tags.
pub(super) fn is_default_ignorable(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// Nothing of it can be seen on its own: white space, what is ignored, the blank braille cell, a mark without a base.
pub(super) fn is_unseen(c: char) -> bool {
    c.is_whitespace() || c == '\u{2800}' || is_default_ignorable(c) || is_mark(c)
}

/// One of the 66 code points that are never characters.
pub(super) fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

/// `Zs`, the spaces that are nothing but width.
pub(super) fn is_space_separator(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
    )
}

/// Any combining mark (`M`).
pub(super) fn is_mark(c: char) -> bool {
    c >= '\u{300}' && is_combining_mark(c)
}

/// A mark that stacks on its base instead of standing beside it (`Mn`, `Me`). No crate of ours says so directly: a legacy
/// grapheme cluster (UAX 29) takes in the nonspacing marks only, so a mark that begins one stands beside its base.
pub(super) fn is_nonspacing(mark: char) -> bool {
    let mut pair = [0; 5];
    let (base, rest) = pair.split_at_mut(1);
    base.fill(b'a');
    let len = mark.encode_utf8(rest).len();
    canonical_combining_class(mark) != 0
        || pair
            .get(..=len)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .is_some_and(|pair| pair.graphemes(false).count() == 1)
}

/// A letter or a number (`L`, `N`). `Alphabetic` says more than that: marks, and circled letters that are symbols.
pub(super) fn is_letter_or_number(c: char) -> bool {
    let symbol = matches!(c, '\u{24B6}'..='\u{24E9}' | '\u{1F130}'..='\u{1F149}' | '\u{1F150}'..='\u{1F169}' | '\u{1F170}'..='\u{1F189}');
    (c.is_alphabetic() || c.is_numeric()) && !symbol && !is_mark(c)
}

/// A Han ideograph, unified or compatibility: the only base of the variation selectors 17 to 256.
pub(super) fn is_han_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}

/// Whether a word is written in one script, or in Latin with Japanese, Chinese or Korean (UTS 39, highly restrictive).
pub(super) fn is_one_writing(word: &str) -> bool {
    let latin = AugmentedScriptSet::for_char('a').base;
    let mut all = AugmentedScriptSet::default();
    let mut beside_latin = AugmentedScriptSet::default();
    for c in word.chars() {
        let scripts = AugmentedScriptSet::for_char(c);
        all.intersect_with(scripts);
        if scripts.base.intersection(latin).is_empty() {
            beside_latin.intersect_with(scripts);
        }
    }
    !all.is_empty() || beside_latin.hanb || beside_latin.jpan || beside_latin.kore
}

/// Whether a joiner may stand between these characters: RFC 5892 A.1 and A.2. After a virama both may; the non-joiner also
/// where it parts two letters that would join, which is decided for the Arabic script alone (Persian, Urdu, Kurdish).
pub(super) fn is_joiner_allowed(before: &[char], joiner: char, after: &[char]) -> bool {
    if before
        .last()
        .is_some_and(|c| canonical_combining_class(*c) == VIRAMA)
    {
        return true;
    }
    let base = |c: &&char| !is_mark(**c);
    joiner == ZERO_WIDTH_NON_JOINER
        && before
            .iter()
            .rev()
            .find(base)
            .is_some_and(|c| arabic_joining(*c) == Some(Joining::Dual))
        && after
            .iter()
            .find(base)
            .is_some_and(|c| arabic_joining(*c).is_some())
}

/// How an Arabic letter joins its neighbours.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Joining {
    /// With the letter before it only.
    Right,
    /// With both.
    Dual,
}

/// `Joining_Type` of the letters of the Arabic block and its first supplement; `None` for everything that does not join.
fn arabic_joining(c: char) -> Option<Joining> {
    match c {
        '\u{622}'..='\u{625}'
        | '\u{627}'
        | '\u{629}'
        | '\u{62F}'..='\u{632}'
        | '\u{648}'
        | '\u{671}'..='\u{673}'
        | '\u{675}'..='\u{677}'
        | '\u{688}'..='\u{699}'
        | '\u{6C0}'
        | '\u{6C3}'..='\u{6CB}'
        | '\u{6CD}'
        | '\u{6CF}'
        | '\u{6D2}'..='\u{6D3}'
        | '\u{6D5}'
        | '\u{6EE}'..='\u{6EF}'
        | '\u{759}'..='\u{75B}'
        | '\u{76B}'..='\u{76C}'
        | '\u{771}'
        | '\u{773}'..='\u{774}'
        | '\u{778}'..='\u{779}' => Some(Joining::Right),
        '\u{620}'
        | '\u{626}'
        | '\u{628}'
        | '\u{62A}'..='\u{62E}'
        | '\u{633}'..='\u{63F}'
        | '\u{641}'..='\u{647}'
        | '\u{649}'..='\u{64A}'
        | '\u{66E}'..='\u{66F}'
        | '\u{678}'..='\u{687}'
        | '\u{69A}'..='\u{6BF}'
        | '\u{6C1}'..='\u{6C2}'
        | '\u{6CC}'
        | '\u{6CE}'
        | '\u{6D0}'..='\u{6D1}'
        | '\u{6FA}'..='\u{6FC}'
        | '\u{6FF}'
        | '\u{750}'..='\u{77F}' => Some(Joining::Dual),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ZERO_WIDTH_JOINER, ZERO_WIDTH_NON_JOINER, is_default_ignorable, is_joiner_allowed,
        is_letter_or_number, is_mark, is_noncharacter, is_nonspacing, is_one_writing,
        is_space_separator,
    };

    #[test]
    fn the_list_of_ignorables_is_the_one_of_the_skeleton() {
        // The skeleton of UTS 39 drops exactly these.
        for c in '\0'..=char::MAX {
            let dropped = unicode_security::skeleton(&c.to_string()).next().is_none();
            assert_eq!(is_default_ignorable(c), dropped, "{:04X}", u32::from(c));
        }
    }

    #[test]
    fn spaces_are_the_white_space_that_is_no_control_and_no_line_end() {
        for c in '\0'..=char::MAX {
            let wanted =
                c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}');
            assert_eq!(is_space_separator(c), wanted, "{:04X}", u32::from(c));
        }
        assert_eq!(
            ('\0'..=char::MAX).filter(|c| is_noncharacter(*c)).count(),
            66
        );
    }

    #[test]
    fn marks_that_stack_are_told_from_marks_that_stand_beside() {
        for stacks in [
            '\u{301}', '\u{E31}', '\u{94D}', '\u{20DD}', '\u{F72}', '\u{103A}',
        ] {
            assert!(
                is_mark(stacks) && is_nonspacing(stacks),
                "{:04X}",
                u32::from(stacks)
            );
        }
        for beside in ['\u{903}', '\u{93E}', '\u{102C}', '\u{103B}', '\u{BBF}'] {
            assert!(
                is_mark(beside) && !is_nonspacing(beside),
                "{:04X}",
                u32::from(beside)
            );
        }
    }

    #[test]
    fn letters_and_numbers_are_neither_marks_nor_symbols() {
        for yes in ['a', 'é', 'я', '太', 'ა', 'Ა', '5', '٣', 'Ⅷ', 'ʻ', '½'] {
            assert!(is_letter_or_number(yes), "{yes}");
        }
        for no in [
            '-', '\u{301}', '🅰', '🤗', '€', '+', '\u{E31}', '\u{200D}', ' ',
        ] {
            assert!(!is_letter_or_number(no), "{no}");
        }
    }

    #[test]
    fn a_word_has_one_script_or_latin_beside_a_cjk_writing() {
        for one in [
            "Smith",
            "Иван",
            "אבג",
            "太郎Smith",
            "ひらカナ漢字abc",
            "한국漢字ok",
            "注音ㄓㄨabc",
            "42",
            "a1",
            "ᲐᲑ",
            "é",
        ] {
            assert!(is_one_writing(one), "{one}");
        }
        for mixed in [
            "аdmin",
            "раураl",
            "Ωmega",
            "Иvan",
            "אa",
            "ひら한",
            "ไaข",
            "太郎Иван",
        ] {
            assert!(!is_one_writing(mixed), "{mixed}");
        }
    }

    #[test]
    fn joiners_stand_after_a_virama_or_between_joining_letters() {
        let at = |text: &str, joiner| {
            let (before, after) = text.split_once(joiner).expect("the joiner is there");
            is_joiner_allowed(
                &before.chars().collect::<Vec<_>>(),
                joiner,
                &after.chars().collect::<Vec<_>>(),
            )
        };
        assert!(at("علی\u{200C}رضا", ZERO_WIDTH_NON_JOINER));
        assert!(
            at("می\u{650}\u{200C}خواهم", ZERO_WIDTH_NON_JOINER),
            "marks are skipped"
        );
        assert!(at("क्\u{200D}ष", ZERO_WIDTH_JOINER));
        assert!(at("क्\u{200C}ष", ZERO_WIDTH_NON_JOINER));
        for (text, joiner) in [
            ("ad\u{200C}min", ZERO_WIDTH_NON_JOINER),
            ("ad\u{200D}min", ZERO_WIDTH_JOINER),
            ("رضا\u{200C}علی", ZERO_WIDTH_NON_JOINER),
            ("علی\u{200C}", ZERO_WIDTH_NON_JOINER),
            ("\u{200C}علی", ZERO_WIDTH_NON_JOINER),
            ("علی\u{200D}رضا", ZERO_WIDTH_JOINER),
            ("ک\u{200C} ک", ZERO_WIDTH_NON_JOINER),
            ("\u{640}\u{200C}ک", ZERO_WIDTH_NON_JOINER),
        ] {
            assert!(!at(text, joiner), "{}", text.escape_unicode());
        }
    }
}
