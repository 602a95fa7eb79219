//! The configuration as it holds, printed as a file that could be used again.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Value;

use crate::config::{Config, finding::Source, schema::dotted};

/// What stands in the place of a user and a password in an address.
const MASK: &str = "***";

impl Config {
    /// The whole configuration as TOML. Keys that somebody set carry a comment that says where; what an address holds before
    /// an `@` is masked. Files with secrets are named, never read.
    pub fn to_toml(&self, sources: &BTreeMap<String, Source>) -> String {
        let mut value =
            Value::try_from(self).expect("every type of the configuration is one of TOML's");
        mask(&mut value);
        // Back into the configuration, for its types know the order of the keys and the tree does not.
        let masked = Self::deserialize(value).expect("a mask stands only where any string may");
        let plain =
            toml::to_string(&masked).expect("every type of the configuration is one of TOML's");
        let mut printed = Vec::new();
        let mut section = String::new();
        let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
        for line in plain.lines() {
            if let Some(list) = line
                .strip_prefix("[[")
                .and_then(|rest| rest.strip_suffix("]]"))
            {
                let count = entries.entry(list).or_default();
                section = format!("{list}[{count}]");
                *count += 1;
            } else if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                name.clone_into(&mut section);
            }
            let is_whole = !line.ends_with("\"\"\"") && !line.ends_with("'''");
            let source = line
                .split_once(" = ")
                .filter(|_| is_whole)
                .and_then(|(name, _)| sources.get(&dotted(&section, name)));
            printed.push(match source {
                Some(Source::Default) | None => line.to_owned(),
                Some(source) => format!("{line}  # {source}"),
            });
        }
        printed.join("\n") + "\n"
    }
}

fn mask(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Some(masked) = masked(text) {
                *text = masked;
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| mask(value)),
        _ => {}
    }
}

/// `scheme://user:password@host` without what stands before the `@`.
fn masked(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (_, host) = authority.rsplit_once('@')?;
    let tail = &rest[authority.len()..];
    Some(format!("{scheme}://{MASK}@{host}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn what_stands_before_an_at_sign_is_masked() {
        assert_eq!(
            masked("redis://user:secret@host:6379/0").as_deref(),
            Some("redis://***@host:6379/0")
        );
        assert_eq!(
            masked("rediss://:p@ss@host").as_deref(),
            Some("rediss://***@host")
        );
        assert_eq!(masked("https://idp.example/a@b"), None);
        assert_eq!(masked("certs/tls.key"), None);
    }
}
