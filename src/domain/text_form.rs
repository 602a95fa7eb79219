//! The canonical form of a message's text: what was typed, less what breaks or hides. Raw text comes in; next `text` measures
//! what is left. Nothing is escaped and no markup is taken away.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::scripts::{is_han_ideograph, is_noncharacter};

/// Ends the nearest isolate.
const POP_ISOLATE: char = '\u{2069}';
/// The one emoji that tag characters may follow: they spell a region's flag.
const BLACK_FLAG: char = '\u{1F3F4}';
/// Ends a flag's tags.
const TAG_END: char = '\u{E007F}';
/// A region's code is two letters or three digits and one to four characters (UTS 51, ED-14a; UTS 35 on subdivisions).
const FLAG_TAGS: std::ops::RangeInclusive<usize> = 3..=7;

/// A control character or a noncharacter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forbidden;

/// The canonical form: line ends are LF, overrides and strays are gone, isolates balance in each line, NFC, trimmed.
pub(super) fn canonical(raw: &str) -> Result<Cow<'_, str>, Forbidden> {
    if is_plain(raw) {
        return Ok(Cow::Borrowed(raw.trim()));
    }
    let kept = keep(raw)?;
    let normal = match is_nfc_quick(kept.chars()) {
        IsNormalized::Yes => kept,
        IsNormalized::No | IsNormalized::Maybe => kept.nfc().collect(),
    };
    Ok(Cow::Owned(trimmed(normal)))
}

/// Printable ASCII, tabs and line feeds: canonical but for its ends. Without an exit or a sum that could overflow, so that it
/// compiles to vector code.
fn is_plain(raw: &str) -> bool {
    let other = |byte: u8| u8::from(!matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
    raw.bytes().fold(0, |others, byte| others | other(byte)) == 0
}

fn trimmed(text: String) -> String {
    match text.trim() {
        inner if inner.len() == text.len() => text,
        inner => inner.to_owned(),
    }
}

/// One pass over the characters: refuses, replaces, drops, balances.
fn keep(raw: &str) -> Result<String, Forbidden> {
    let mut out = String::with_capacity(raw.len());
    let mut open_isolates = 0;
    let mut before = '\0';
    let mut rest = raw.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => {
                if c == '\r' && rest.as_str().starts_with('\n') {
                    rest.next();
                }
                close(&mut out, &mut open_isolates);
                out.push('\n');
            }
            '\t' => out.push(c),
            _ if c.is_control() || is_noncharacter(c) => return Err(Forbidden),
            // Embeddings, overrides, deprecated controls, a byte order mark, annotations.
            '\u{202A}'..='\u{202E}'
            | '\u{206A}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}' => continue,
            '\u{2066}'..='\u{2068}' => {
                open_isolates += 1;
                out.push(c);
            }
            POP_ISOLATE if open_isolates == 0 => continue,
            POP_ISOLATE => {
                open_isolates -= 1;
                out.push(c);
            }
            '\u{E0100}'..='\u{E01EF}' if !is_han_ideograph(before) => continue,
            '\u{E0000}'..=TAG_END => {
                let tags = raw
                    .get(at..)
                    .filter(|_| before == BLACK_FLAG)
                    .and_then(flag_tags);
                let Some(tags) = tags else {
                    // What follows a dropped tag must not pass for the start of a flag.
                    before = c;
                    continue;
                };
                out.push_str(tags);
                rest.nth(tags.chars().count() - 2);
            }
            _ => out.push(c),
        }
        before = c;
    }
    close(&mut out, &mut open_isolates);
    Ok(out)
}

/// Ends the isolates that a line left open, so that they reorder nothing after it.
fn close(out: &mut String, open_isolates: &mut usize) {
    out.extend(std::iter::repeat_n(
        POP_ISOLATE,
        std::mem::take(open_isolates),
    ));
}

/// The tags at the start of `from` if they spell a region and end properly; anything else could be a hidden message.
fn flag_tags(from: &str) -> Option<&str> {
    let in_code = |c: &char| matches!(c, '\u{E0030}'..='\u{E0039}' | '\u{E0061}'..='\u{E007A}');
    let code = from
        .chars()
        .take(FLAG_TAGS.end() + 1)
        .take_while(in_code)
        .count();
    let whole = FLAG_TAGS.contains(&code) && from.chars().nth(code) == Some(TAG_END);
    // Every tag is four bytes.
    from.get(..(code + 1) * 4).filter(|_| whole)
}
