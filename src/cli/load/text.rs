//! What the generated messages say: who and when, and a filler by which a receiver knows that nothing was changed on the way.

/// The longest text; the gateway's default limit is below it.
pub(super) const BYTES_MAX: usize = 16_384;
/// Room for the head: the word, the run, the number and the time at their longest, and one byte of filler.
pub(super) const BYTES_MIN: usize = 5 + 9 + 21 + 21 + 1;

const LETTERS: &[u8; 26] = b"abcdefghijklmnopqrstuvwxyz";

/// Writes and reads the texts of one run.
#[derive(Debug)]
pub(super) struct Texts {
    /// `load <run> `, so that another run's messages are told from ours.
    head: String,
    bytes: usize,
    /// The alphabet over and over; a filler is a piece of it.
    filler: String,
}

/// What a receiver learned from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// One of ours, unchanged.
    Ours {
        /// Its number within its room, from 0.
        number: u64,
        /// When it was due, in microseconds of the run.
        due_us: u64,
    },
    /// One of ours, but not as it was sent.
    Altered,
    /// Somebody else's.
    Foreign,
}

impl Texts {
    /// Texts of `bytes` bytes; `run` tells them from another run's.
    pub(super) fn new(run: u32, bytes: usize) -> Self {
        let filler = LETTERS
            .iter()
            .cycle()
            .take(bytes + LETTERS.len())
            .copied()
            .map(char::from)
            .collect();
        Self {
            head: format!("load {run:08x} "),
            bytes,
            filler,
        }
    }

    /// The text of a message.
    pub(super) fn write(&self, number: u64, due_us: u64) -> String {
        let mut out = String::with_capacity(self.bytes);
        out.push_str(&self.head);
        out.push_str(&number.to_string());
        out.push(' ');
        out.push_str(&due_us.to_string());
        out.push(' ');
        out.push_str(self.filler(
            number.wrapping_add(due_us),
            self.bytes.saturating_sub(out.len()),
        ));
        out
    }

    /// Reads a text back. Every byte of it is looked at.
    pub(super) fn read(&self, text: &str) -> Said {
        let Some(tail) = text.strip_prefix(self.head.as_str()) else {
            return Said::Foreign;
        };
        self.read_tail(text, tail).unwrap_or(Said::Altered)
    }

    fn read_tail(&self, text: &str, tail: &str) -> Option<Said> {
        let (number, tail) = tail.split_once(' ')?;
        let (due_us, filler) = tail.split_once(' ')?;
        let (number, due_us) = (number.parse::<u64>().ok()?, due_us.parse::<u64>().ok()?);
        let whole = text.len() == self.bytes
            && filler == self.filler(number.wrapping_add(due_us), filler.len());
        whole.then_some(Said::Ours { number, due_us })
    }

    fn filler(&self, seed: u64, bytes: usize) -> &str {
        let from = usize::try_from(seed % LETTERS.len() as u64).unwrap_or(0);
        self.filler.get(from..from + bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES_MAX, BYTES_MIN, Said, Texts};

    #[test]
    fn a_text_reads_back_at_every_length() {
        for bytes in [BYTES_MIN, 100, BYTES_MAX] {
            let texts = Texts::new(7, bytes);
            for (number, due_us) in [(0, 0), (25, 1), (26, 1_000_000), (u64::MAX, u64::MAX)] {
                let text = texts.write(number, due_us);
                assert_eq!(text.len(), bytes);
                assert_eq!(texts.read(&text), Said::Ours { number, due_us });
            }
        }
    }

    #[test]
    fn a_changed_byte_anywhere_behind_the_head_is_seen() {
        let texts = Texts::new(7, 100);
        let text = texts.write(1234, 56_789);
        let original = texts.read(&text);
        for at in "load 00000007 ".len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'q' { b'r' } else { b'q' };
            assert_ne!(
                texts.read(std::str::from_utf8(&changed).unwrap()),
                original,
                "byte {at}"
            );
        }
        assert_eq!(texts.read(&text[..99]), Said::Altered);
        assert_eq!(texts.read(&format!("{text}a")), Said::Altered);
        assert_eq!(texts.read("load 00000007 1"), Said::Altered);
    }

    #[test]
    fn another_runs_text_is_foreign() {
        let text = Texts::new(8, 100).write(1, 1);
        assert_eq!(Texts::new(7, 100).read(&text), Said::Foreign);
        assert_eq!(Texts::new(7, 100).read("hello"), Said::Foreign);
    }
}
