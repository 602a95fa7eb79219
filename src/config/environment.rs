//! The environment as a value: the variables that begin with `WARDROOM__`. Nothing else in the program reads variables.

use std::ffi::OsString;

/// What every variable of ours begins with; `__` also separates the section from the key.
pub const PREFIX: &str = "WARDROOM__";

/// The variables that may set keys.
#[derive(Clone, Default)]
pub struct Environment(Vec<(String, OsString)>);

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| name.starts_with(PREFIX))
                .collect(),
        )
    }

    /// Variables given as values, for tests and embedding.
    pub fn from_pairs<N: Into<String>, V: Into<OsString>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Self(
            pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .filter(|(name, _)| name.starts_with(PREFIX))
                .collect(),
        )
    }

    /// The text of one variable, if it is set and is text.
    pub fn get(&self, variable: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name == variable)?;
        value.to_str()
    }

    /// Names and values, in the order of the names, so that the same environment gives the same findings.
    pub(super) fn sorted(&self) -> Vec<(&str, &OsString)> {
        let mut all: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        all.sort_unstable();
        all
    }
}

/// Whether `NO_COLOR` (no-color.org) is set, and not to nothing.
pub fn asks_for_no_colour() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}
