//! A key that does not exist: what somebody most likely meant by it.

use toml::Table;

use crate::config::{
    environment::PREFIX,
    finding::{Finding, nearest, shown},
    schema::{Schema, dotted},
};

/// A name in a file, inside the section (or, with an empty prefix, in the place of a section) that `siblings` describes.
pub(super) fn key(schema: &Schema, siblings: &Table, prefix: &str, name: &str) -> Finding {
    let what = if prefix.is_empty() {
        "there is no such section"
    } else {
        "there is no such key"
    };
    let lower = name.to_lowercase();
    let all = schema.names();
    let elsewhere = all
        .iter()
        .find(|known| known.rsplit('.').next() == Some(&lower));
    let near = nearest(name, siblings.keys().map(String::as_str));
    let text = match (near, elsewhere) {
        (Some(near), _) if near == lower => format!("{what}; write {near}"),
        (_, Some(known)) => format!("{what} here; {known} is the one"),
        (Some(near), None) => format!("{what}; did you mean {near}?"),
        (None, None) => what.to_owned(),
    };
    Finding::new(dotted(prefix, &shown(name)), text)
}

/// A variable's path.
pub(super) fn variable(schema: &Schema, path: &[String]) -> Finding {
    let whole = path.join(".");
    let all = schema.names();
    let near = nearest(&whole, all.iter().map(String::as_str));
    let text = match near {
        Some(near) if !near.contains("[]") => format!(
            "there is no such key; did you mean {PREFIX}{}?",
            near.to_uppercase().replace('.', "__")
        ),
        _ => "there is no such key".to_owned(),
    };
    Finding::new(shown(&whole), text)
}
