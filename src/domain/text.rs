//! Message text in canonical form. What a client or a service wrote comes in; [`CleanText`] is the only text that reaches the
//! hub.

use std::sync::Arc;

use unicode_normalization::char::decompose_canonical;
use unicode_segmentation::UnicodeSegmentation;

use super::{
    scripts::{is_default_ignorable, is_mark, is_unseen},
    text_form::{Forbidden, canonical},
};

/// Canonical plain text of a message: never escaped, never stripped of markup. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct CleanText(Arc<str>);

/// The bounds of a text (`[content]` and `limits.text_marks_max`), all of the canonical form.
#[derive(Clone, Copy, Debug)]
pub struct TextRules {
    /// Most bytes.
    pub bytes_max: usize,
    /// Most grapheme clusters.
    pub graphemes_max: usize,
    /// Most lines.
    pub lines_max: usize,
    /// Most combining marks on one base, those that a precomposed letter has in it included.
    pub marks_max: usize,
}

/// Why a text was not accepted; the text itself is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing that can be seen is left.
    #[error("the text is empty")]
    Empty,
    /// More bytes than allowed.
    #[error("the text is longer than {max} bytes")]
    TooManyBytes {
        /// The limit.
        max: usize,
    },
    /// More grapheme clusters than allowed.
    #[error("the text is longer than {max} characters")]
    TooManyGraphemes {
        /// The limit.
        max: usize,
    },
    /// More lines than allowed.
    #[error("the text has more than {max} lines")]
    TooManyLines {
        /// The limit.
        max: usize,
    },
    /// A control character or a noncharacter.
    #[error("the text has a control character")]
    Control,
    /// More marks on one character than allowed.
    #[error("a character carries more than {max} marks")]
    TooManyMarks {
        /// The limit.
        max: usize,
    },
}

impl CleanText {
    /// Brings client text into canonical form, or says why not. The only way to a `CleanText`; its own text passes again
    /// unchanged.
    pub fn from_untrusted(raw: &str, rules: &TextRules) -> Result<Self, TextError> {
        let text = canonical(raw).map_err(|Forbidden| TextError::Control)?;
        check(&text, rules)?;
        Ok(Self(Arc::from(text)))
    }

    /// FNV-1a, 32 bits: tells two texts under one number apart, on every node alike. It protects nobody from anybody: who
    /// makes two texts collide only confuses their own numbering.
    pub fn fingerprint(&self) -> u32 {
        self.0.bytes().fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What people say is never logged, so `Debug` gives the length alone.
impl std::fmt::Debug for CleanText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CleanText({} bytes)", self.0.len())
    }
}

/// Measures a canonical text, cheapest first.
fn check(text: &str, rules: &TextRules) -> Result<(), TextError> {
    if text.chars().all(is_unseen) {
        return Err(TextError::Empty);
    }
    if text.len() > rules.bytes_max {
        return Err(TextError::TooManyBytes {
            max: rules.bytes_max,
        });
    }
    if text.matches('\n').count() >= rules.lines_max {
        return Err(TextError::TooManyLines {
            max: rules.lines_max,
        });
    }
    // A cluster has at least one byte, and in ASCII exactly one: CR LF, the only longer one, is not canonical.
    let many_bytes = text.len() > rules.graphemes_max;
    let plain = text.is_ascii();
    if many_bytes && (plain || text.graphemes(true).nth(rules.graphemes_max).is_some()) {
        return Err(TextError::TooManyGraphemes {
            max: rules.graphemes_max,
        });
    }
    if !plain && carries_more_than(text, rules.marks_max) {
        return Err(TextError::TooManyMarks {
            max: rules.marks_max,
        });
    }
    Ok(())
}

/// Whether a base carries more than `max` marks. What is ignored in drawing does not part a mark from its base.
fn carries_more_than(text: &str, max: usize) -> bool {
    let mut base = '\0';
    let mut carried = 0;
    text.chars().any(|c| {
        if is_mark(c) {
            if carried == 0 {
                carried = own_marks(base);
            }
            carried += 1;
            return carried > max;
        }
        if !is_default_ignorable(c) {
            base = c;
            carried = 0;
        }
        false
    })
}

/// How many marks are part of a precomposed character.
fn own_marks(c: char) -> usize {
    let mut marks = 0;
    decompose_canonical(c, |part| marks += usize::from(is_mark(part)));
    marks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{CleanText, TextError, TextRules};

    const RULES: TextRules = TextRules {
        bytes_max: 4096,
        graphemes_max: 2000,
        lines_max: 50,
        marks_max: 8,
    };

    fn clean(raw: &str) -> Result<String, TextError> {
        CleanText::from_untrusted(raw, &RULES).map(|text| text.as_str().to_owned())
    }

    fn unchanged(raw: &str) {
        assert_eq!(clean(raw).as_deref(), Ok(raw), "{}", raw.escape_unicode());
    }

    #[test]
    fn t1_to_t6_and_t17_markup_and_commands_arrive_as_they_were_typed() {
        for raw in [
            "<script>alert(1)</script>",
            "<ScRiPt/x>",
            "</script>",
            "<img src=x onerror=alert(1)>",
            "<svg onload=alert(1)>",
            "<details open ontoggle=alert(1)>",
            "javascript:alert(1)",
            "java&#x0a;script:",
            "data:text/html,<b>",
            "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">",
            "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
            "Tom & Jerry",
            "a < b && c > d",
            "<3",
            "1 <y and z>2",
            "\"q\"",
            "it's",
            "&lt;script&gt;",
            "&amp;lt;",
            "&#0;",
            "&nbsp",
            "'; DROP TABLE users; --",
            "${jndi:ldap://x}",
            "=cmd",
            "use `<script>` here",
        ] {
            unchanged(raw);
        }
        assert_eq!(
            clean("\r\n*1\r\n$8\r\nFLUSHALL\r\n").as_deref(),
            Ok("*1\n$8\nFLUSHALL")
        );
    }

    #[test]
    fn t3_t14_controls_and_noncharacters_are_invalid_and_a_tab_is_not() {
        for c in (0..0x20_u32)
            .filter(|c| ![0x09, 0x0A, 0x0D].contains(c))
            .chain([0x7F])
            .chain((0x80..0xA0).filter(|c| *c != 0x85))
            .chain([0xFFFE, 0xFFFF, 0xFDD0, 0xFDEF, 0x1_FFFE, 0x10_FFFF])
        {
            let c = char::from_u32(c).expect("no surrogate");
            for raw in [format!("a{c}b"), format!("{c}é"), c.to_string()] {
                assert_eq!(
                    clean(&raw),
                    Err(TextError::Control),
                    "{}",
                    raw.escape_unicode()
                );
            }
        }
        assert_eq!(clean("\u{1}javascript:x"), Err(TextError::Control));
        unchanged("a\tb");
        unchanged("ä\tb");
    }

    #[test]
    fn line_ends_are_line_feeds_and_the_ends_are_trimmed() {
        assert_eq!(
            clean("a\r\nb\rc\u{85}d\u{2028}e\u{2029}f").as_deref(),
            Ok("a\nb\nc\nd\ne\nf")
        );
        assert_eq!(clean(" \t\n a b \n\u{3000}").as_deref(), Ok("a b"));
        assert_eq!(clean("\u{A0}é\u{2003}").as_deref(), Ok("é"));
        unchanged("a\n\n  b");
    }

    #[test]
    fn t10_overrides_are_dropped_and_isolates_balance_in_each_line() {
        assert_eq!(clean("abc\u{202E}gpj.exe").as_deref(), Ok("abcgpj.exe"));
        let dropped: String = ('\u{202A}'..='\u{202E}')
            .chain('\u{206A}'..='\u{206F}')
            .chain(['\u{FEFF}'])
            .chain('\u{FFF9}'..='\u{FFFB}')
            .collect();
        assert_eq!(clean(&format!("a{dropped}b")).as_deref(), Ok("ab"));
        assert_eq!(clean("a\u{2069}b").as_deref(), Ok("ab"), "a stray end");
        assert_eq!(
            clean("\u{2067}a\nb\u{2069}").as_deref(),
            Ok("\u{2067}a\u{2069}\nb"),
            "a line's isolate ends with it"
        );
        let open = format!("{}x", "\u{2067}".repeat(100));
        assert_eq!(
            clean(&open),
            Ok(format!("{open}{}", "\u{2069}".repeat(100)))
        );
        unchanged("a \u{2068}b \u{2066}c\u{2069}\u{2069} d");
        // Left-to-right and right-to-left marks and the Arabic letter mark are part of ordinary text.
        unchanged("a\u{200E}b\u{200F}c\u{61C}d");
    }

    #[test]
    fn t11_marks_on_one_base_are_counted_however_they_are_composed() {
        let with = |base: &str, marks: usize| format!("{base}{}", "\u{301}".repeat(marks));
        for base in ["a", "q", "ก"] {
            assert!(clean(&with(base, 8)).is_ok(), "{base}");
            assert_eq!(
                clean(&with(base, 9)),
                Err(TextError::TooManyMarks { max: 8 }),
                "{base}"
            );
            assert_eq!(
                clean(&with(base, 500)),
                Err(TextError::TooManyMarks { max: 8 }),
                "{base}"
            );
        }
        assert_eq!(
            clean(&with("á", 8)),
            Err(TextError::TooManyMarks { max: 8 }),
            "one is in the letter"
        );
        let parted = format!("q{}", "\u{301}\u{200D}".repeat(9));
        assert_eq!(
            clean(&parted),
            Err(TextError::TooManyMarks { max: 8 }),
            "a joiner parts nothing"
        );
        assert_eq!(
            clean(&"\u{301}".repeat(5)),
            Err(TextError::Empty),
            "marks only"
        );
        assert!(clean(&"q\u{301}".repeat(100)).is_ok(), "a hundred bases");
    }

    #[test]
    fn t12_every_cap_says_which_it_is() {
        let bytes = "あ".repeat(1365);
        assert_eq!(bytes.len(), 4095);
        unchanged(&format!("{bytes}a"));
        assert_eq!(
            clean(&format!("{bytes}ab")),
            Err(TextError::TooManyBytes { max: 4096 })
        );
        unchanged(&"a".repeat(2000));
        assert_eq!(
            clean(&"a".repeat(2001)),
            Err(TextError::TooManyGraphemes { max: 2000 })
        );
        unchanged(&"é".repeat(2000));
        assert_eq!(
            clean(&"é".repeat(2001)),
            Err(TextError::TooManyGraphemes { max: 2000 })
        );
        let lines = |count: usize| vec!["x"; count].join("\r\n");
        assert_eq!(clean(&lines(50)), Ok(lines(50).replace("\r\n", "\n")));
        assert_eq!(clean(&lines(51)), Err(TextError::TooManyLines { max: 50 }));
        assert_eq!(
            clean(&"a".repeat(4097)),
            Err(TextError::TooManyBytes { max: 4096 })
        );
    }

    #[test]
    fn t13_nothing_to_see_is_empty() {
        for raw in [
            "",
            "   ",
            "\u{200B}",
            "\u{2800}",
            "\n\n\r\n",
            "\u{A0}\t",
            "\u{3164}\u{115F}",
            "\u{2067}",
            "\u{FEFF}",
            "\u{E0041}",
            "\u{FE0F}",
            "\u{202E}",
        ] {
            assert_eq!(
                clean(raw),
                Err(TextError::Empty),
                "{}",
                raw.escape_unicode()
            );
        }
    }

    #[test]
    fn t15_hidden_selectors_and_tags_are_dropped_and_honest_ones_kept() {
        assert_eq!(clean("hi\u{E0041}\u{E0042}\u{E007F}").as_deref(), Ok("hi"));
        assert_eq!(clean("x\u{E0100}\u{E0101}y").as_deref(), Ok("xy"));
        assert_eq!(
            clean("葛\u{E0100}\u{E0101}\u{E0102}").as_deref(),
            Ok("葛\u{E0100}"),
            "one of a row"
        );
        unchanged("葛\u{E0100}城");
        let england = "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}";
        unchanged(england);
        unchanged(&format!("{england}{england} go"));
        for hidden in [
            "\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}".to_owned(),
            format!("\u{1F3F4}{}\u{E007F}", "\u{E0068}".repeat(8)),
            "\u{1F3F4}\u{E0041}\u{E0042}\u{E0043}\u{E007F}".to_owned(),
        ] {
            assert_eq!(
                clean(&hidden).as_deref(),
                Ok("\u{1F3F4}"),
                "{}",
                hidden.escape_unicode()
            );
        }
    }

    #[test]
    fn t16_the_writings_of_the_world_and_emoji_pass() {
        for raw in [
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦 ❤\u{FE0F} 1\u{FE0F}\u{20E3}",
            "สวัสดีครับ น้ำ",
            "བཀྲ་ཤིས་བདེ་ལེགས། རྒྱུ",
            "ကျွန်ုပ်",
            "Xin chào thế giới",
            "שָׁלוֹם",
            "ᠮᠣᠩᠭᠣᠯ\u{180B}",
            "🏳\u{FE0F}\u{200D}🌈",
        ] {
            unchanged(raw);
        }
        assert_eq!(clean("e\u{301}\u{212A}").as_deref(), Ok("éK"), "NFC");
    }

    #[test]
    fn what_people_say_is_not_in_the_debug_form() {
        let text = CleanText::from_untrusted("secret", &RULES).expect("clean");
        assert_eq!(format!("{text:?}"), "CleanText(6 bytes)");
    }

    proptest! {
        #[test]
        fn a_clean_text_is_clean(raw in any::<String>()) {
            if let Ok(text) = clean(&raw) {
                prop_assert_eq!(clean(&text), Ok(text.clone()));
            }
        }

        #[test]
        fn a_clean_text_of_odd_characters_is_clean(raw in prop::collection::vec(prop::sample::select(ODD), 0..40)) {
            let raw: String = raw.into_iter().collect();
            if let Ok(text) = clean(&raw) {
                prop_assert_eq!(clean(&text), Ok(text.clone()));
                let dropped = text.contains(['\u{202E}', '\r', '\u{FEFF}', '\u{2028}']);
                prop_assert!(!dropped);
            }
        }
    }

    const ODD: &[char] = &[
        'a',
        'e',
        ' ',
        '\n',
        '\r',
        '\t',
        '\u{85}',
        '\u{2028}',
        '\u{301}',
        '\u{323}',
        '\u{345}',
        'é',
        '\u{212A}',
        '\u{F900}',
        '葛',
        '\u{2F800}',
        '\u{E0100}',
        '\u{E0101}',
        '\u{FE0F}',
        '\u{200D}',
        '\u{200B}',
        '\u{2066}',
        '\u{2067}',
        '\u{2068}',
        '\u{2069}',
        '\u{202E}',
        '\u{FEFF}',
        '\u{1F3F4}',
        '\u{E0067}',
        '\u{E0062}',
        '\u{E0065}',
        '\u{E007F}',
        '\u{E0041}',
        '\u{2800}',
        '\u{1100}',
        '\u{1161}',
        '\u{11A8}',
        '\u{AC00}',
        '\u{3000}',
        '\u{2126}',
        '\u{1D15F}',
        '\u{FFF9}',
        '\u{5D0}',
        '\u{5B0}',
    ];
}
