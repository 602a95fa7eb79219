//! What is wrong with a configuration, or only worth a word: the key, where its value came from, and a sentence. All
//! findings of a configuration are collected and told at once.

use std::{fmt, path::PathBuf};

use crate::config::telemetry::LogFormat;

/// Where a key got its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A line of the configuration file, from 1.
    File {
        /// The line.
        line: usize,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        variable: String,
    },
    /// `config/default.toml`, or a key that nobody set.
    Default,
}

/// One thing about one key. As an error it ends the program with exit code 78, as a warning it is announced at every start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key's full name, `limits.connections_max` or `auth.issuers[0].audience`.
    pub key: String,
    /// Where its value came from.
    pub source: Source,
    /// What it is about it. Never holds what a file with a secret says.
    pub text: String,
}

impl Finding {
    /// A finding about a key; the source is filled in by whoever knows it.
    pub(crate) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            source: Source::Default,
            text: text.into(),
        }
    }

    pub(crate) fn at(mut self, source: Source) -> Self {
        self.source = source;
        self
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { line } => write!(f, "line {line}"),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Default => f.write_str("default"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Default => write!(f, "{}", self.key)?,
            source => write!(f, "{} ({source})", self.key)?,
        }
        write!(f, ": {}", self.text)
    }
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug)]
pub struct ConfigErrors {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// At least one.
    pub findings: Vec<Finding>,
    /// What is only worth a word.
    pub warnings: Vec<Finding>,
    /// In which form to say so: what the configuration asks for, as far as it could be read.
    pub log_format: LogFormat,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.findings.len();
        let problems = if count == 1 { "problem" } else { "problems" };
        match &self.file {
            Some(file) => write!(f, "{} cannot be used: {count} {problems}", file.display())?,
            None => write!(f, "the configuration cannot be used: {count} {problems}")?,
        }
        for finding in &self.findings {
            write!(f, "\n  {finding}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// The word among `candidates` that somebody who wrote `word` most likely meant.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = word.to_lowercase();
    // A third of the letters may be wrong, and at least two: `limts` for `limits`, `conections_maxx` for `connections_max`.
    let allowed = (word.chars().count() / 3).max(2);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A key or value as somebody wrote it, safe to show on a terminal and in a log.
pub(crate) fn shown(raw: &str) -> String {
    let mut shown: String = raw.chars().take(80).flat_map(char::escape_debug).collect();
    if raw.chars().nth(80).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{nearest, shown};

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let keys = ["connections_max", "connections_per_ip_max", "rooms_max"];
        assert_eq!(nearest("conections_max", keys), Some("connections_max"));
        assert_eq!(nearest("Connections_Max", keys), Some("connections_max"));
        assert_eq!(nearest("room_max", keys), Some("rooms_max"));
        assert_eq!(nearest("colour", keys), None);
    }

    #[test]
    fn what_somebody_wrote_cannot_move_the_cursor_of_a_terminal() {
        assert_eq!(shown("a\u{1b}[2Jb\n\u{202e}"), "a\\u{1b}[2Jb\\n\\u{202e}");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
    }
}
