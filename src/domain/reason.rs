//! Why a moderator did something, in their own words: kept for the record, never delivered. From a frame or a request body,
//! next into an envelope.

use super::text::{CleanText, TextError, TextRules};

/// A sentence or three; the record is not a place for essays.
const RULES: TextRules = TextRules {
    bytes_max: Reason::BYTES_MAX,
    graphemes_max: Reason::BYTES_MAX,
    lines_max: 5,
    marks_max: 8,
};

/// A moderator's reason, canonical and bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(CleanText);

impl Reason {
    /// Most bytes of a reason. It shares an entry with what was done, so the bound is fixed.
    pub const BYTES_MAX: usize = 512;

    /// Cleans what somebody typed, as a message's text is cleaned.
    pub fn from_untrusted(raw: &str) -> Result<Self, TextError> {
        CleanText::from_untrusted(raw, &RULES).map(Self)
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use crate::domain::text::TextError;

    #[test]
    fn a_reason_is_clean_and_short() {
        let reason = |raw: &str| Reason::from_untrusted(raw);
        assert_eq!(
            reason(" spam\r\n ").map(|reason| reason.as_str().to_owned()),
            Ok("spam".to_owned())
        );
        assert!(reason(&"x".repeat(512)).is_ok());
        assert_eq!(
            reason(&"x".repeat(513)),
            Err(TextError::TooManyBytes { max: 512 })
        );
        assert_eq!(reason("\u{200b} "), Err(TextError::Empty));
        assert_eq!(reason("a\u{7}"), Err(TextError::Control));
    }
}
