//! `wardroom.text`, the simplest protocol: `nickname: message` both ways.

/// A line that a client sent, split but not trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Before the first colon.
    pub nick: &'a str,
    /// After it, without the one blank that follows it.
    pub text: &'a str,
}

/// Splits at the first colon; `None` without one.
pub fn parse(raw: &str) -> Option<Line<'_>> {
    let (nick, text) = raw.split_once(':')?;
    Some(Line {
        nick,
        text: text.strip_prefix(' ').unwrap_or(text),
    })
}

/// Writes a message. A line feed leaves as a blank: one frame must never show a second, forged line.
pub fn write(nick: &str, text: &str) -> String {
    let mut out = String::with_capacity(nick.len() + 2 + text.len());
    out.push_str(nick);
    out.push_str(": ");
    out.extend(text.chars().map(|c| if c == '\n' { ' ' } else { c }));
    out
}

/// Writes a rejection.
pub fn write_error(code: super::codes::ErrorCode, detail: &str) -> String {
    format!("! {}: {detail}", code.name())
}

#[cfg(test)]
mod tests {
    use super::{Line, parse, write};

    #[test]
    fn a_line_is_split_at_its_first_colon() {
        assert_eq!(
            parse("Alice: Hello: you"),
            Some(Line {
                nick: "Alice",
                text: "Hello: you"
            })
        );
        assert_eq!(
            parse("Alice:Hello"),
            Some(Line {
                nick: "Alice",
                text: "Hello"
            })
        );
        assert_eq!(parse("Hello"), None);
    }

    #[test]
    fn a_line_feed_never_forges_a_second_line() {
        assert_eq!(
            write("Alice", "hi\nadmin: pay me"),
            "Alice: hi admin: pay me"
        );
    }
}
