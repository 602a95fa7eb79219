//! A string that somebody else chose, made safe for a line of a log or a terminal: it can neither end the line, nor move the
//! cursor, nor turn the reading direction, nor fill the disk.

use std::fmt::{self, Write};

/// Shows a user's string with everything escaped that is not plain to see, and cuts it. What is shown is shown unchanged by
/// another `LogSafe`, so that it does no harm to wrap twice.
#[derive(Clone, Copy)]
pub struct LogSafe<'a> {
    raw: &'a str,
    chars_max: usize,
}

/// What stands where a string was cut.
const CUT: &str = "…(cut)";

impl<'a> LogSafe<'a> {
    /// The most that a string may show: the top of the range of `limits.log_field_chars_max`. The log itself cuts at what is
    /// configured.
    pub const CHARS_MAX: usize = 4096;

    /// Wraps a string.
    pub fn new(raw: &'a str) -> Self {
        Self::cut_at(raw, Self::CHARS_MAX)
    }

    /// Wraps a string and shows at most so many of its characters.
    pub fn cut_at(raw: &'a str, chars_max: usize) -> Self {
        Self { raw, chars_max }
    }
}

impl fmt::Display for LogSafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.raw.chars();
        for letter in left.by_ref().take(self.chars_max) {
            if hides(letter) {
                write!(f, "{}", letter.escape_default())?;
            } else {
                f.write_char(letter)?;
            }
        }
        match left.as_str() {
            "" | CUT => f.write_str(left.as_str()),
            _ => f.write_str(CUT),
        }
    }
}

impl fmt::Debug for LogSafe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// C0, DEL and C1; line and paragraph separators; marks, embeddings, overrides and isolates of the reading direction.
fn hides(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{2028}' | '\u{2029}'
            | '\u{061c}' | '\u{200e}' | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{206f}')
}

#[cfg(test)]
mod tests {
    use super::LogSafe;

    #[test]
    fn a_string_cannot_leave_its_line_or_turn_it_around() {
        for (raw, shown) in [
            ("plain", "plain"),
            ("Zoë 🙂 日本", "Zoë 🙂 日本"),
            ("a\r\n{\"level\":\"ERROR\"}", "a\\r\\n{\"level\":\"ERROR\"}"),
            ("\u{1b}[2J\u{7}\0\u{7f}", "\\u{1b}[2J\\u{7}\\u{0}\\u{7f}"),
            ("\u{85}\u{9b}31m", "\\u{85}\\u{9b}31m"),
            ("a\u{2028}b\u{2029}c", "a\\u{2028}b\\u{2029}c"),
            (
                "\u{202e}gpj.exe\u{2066}\u{200f}\u{61c}",
                "\\u{202e}gpj.exe\\u{2066}\\u{200f}\\u{61c}",
            ),
        ] {
            assert_eq!(LogSafe::new(raw).to_string(), shown);
            assert_eq!(format!("{:?}", LogSafe::new(raw)), shown);
        }
    }

    #[test]
    fn a_string_is_cut_with_a_mark_and_wrapping_twice_changes_nothing() {
        assert_eq!(LogSafe::cut_at("abc", 3).to_string(), "abc");
        assert_eq!(LogSafe::cut_at("abcd", 3).to_string(), "abc…(cut)");
        assert_eq!(LogSafe::cut_at("äöüß", 3).to_string(), "äöü…(cut)");
        let once = LogSafe::cut_at("\u{202e}bcdefghijklm", 12).to_string();
        let long = LogSafe::cut_at(&"x".repeat(40), 30).to_string();
        assert_eq!(LogSafe::new(&once).to_string(), once);
        assert_eq!(LogSafe::cut_at(&long, 30).to_string(), long);
        let all = LogSafe::new(&"x".repeat(10_000)).to_string();
        assert_eq!(all.chars().count(), LogSafe::CHARS_MAX + 6);
    }
}
