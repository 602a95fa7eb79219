//! `config/default.toml` read twice: as the defaults, and, with its `#:` lines uncommented, as the schema of keys and types
//! that a file and the environment are held against.

use toml::{Table, Value};

/// The embedded file.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// Every key that there is, with a value of its type. A list whose entries are tables holds one entry, the template.
#[derive(Clone, Debug)]
pub(super) struct Schema {
    /// What a key means when nobody sets it.
    pub(super) defaults: Table,
    /// Keys and types.
    pub(super) keys: Table,
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind<'a> {
    /// A section.
    Section(&'a Table),
    /// A list of tables, with the template of an entry.
    Entries(&'a Table),
    /// Anything else, with a value of its type.
    Leaf(&'a Value),
}

impl Schema {
    /// Reads the embedded file.
    pub(super) fn embedded() -> Self {
        let uncommented = DEFAULT_TOML.replace("\n#: ", "\n");
        let parse = |text: &str| {
            text.parse()
                .expect("a test parses the embedded file in both forms")
        };
        Self {
            defaults: parse(DEFAULT_TOML),
            keys: parse(&uncommented),
        }
    }

    /// What stands at a path of names; an index of a list is not part of it.
    pub(super) fn at(&self, path: &[String]) -> Option<Kind<'_>> {
        let mut table = &self.keys;
        let (last, sections) = path.split_last()?;
        for name in sections {
            table = match kind(table.get(name)?) {
                Kind::Section(inner) | Kind::Entries(inner) => inner,
                Kind::Leaf(_) => return None,
            };
        }
        table.get(last).map(kind)
    }

    /// The full names of all keys; a key of a list's entry has `[]` behind the list's name.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        collect(&self.keys, "", &mut names);
        names
    }

    /// The default of a key as `names` writes it; of an entry's key, the template's.
    pub(super) fn default_of(&self, name: &str) -> Option<&Value> {
        let path: Vec<String> = name
            .replace("[]", "")
            .split('.')
            .map(String::from)
            .collect();
        match self.at(&path)? {
            Kind::Leaf(value) => Some(value),
            Kind::Section(_) | Kind::Entries(_) => None,
        }
    }
}

pub(super) fn kind(value: &Value) -> Kind<'_> {
    match value {
        Value::Table(table) => Kind::Section(table),
        Value::Array(list) => match list.first() {
            Some(Value::Table(template)) => Kind::Entries(template),
            _ => Kind::Leaf(value),
        },
        leaf => Kind::Leaf(leaf),
    }
}

fn collect(table: &Table, prefix: &str, into: &mut Vec<String>) {
    for (name, value) in table {
        match kind(value) {
            Kind::Section(inner) => collect(inner, &format!("{prefix}{name}."), into),
            Kind::Entries(template) => collect(template, &format!("{prefix}{name}[]."), into),
            Kind::Leaf(_) => into.push(format!("{prefix}{name}")),
        }
    }
}

/// The type of a value, with its article.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number with a point",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list of strings",
        Value::Table(_) => "a section",
    }
}

/// A path as findings name it.
pub(super) fn dotted(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// `auth.issuers[2].issuer` as `names` writes it: `auth.issuers[].issuer`.
pub(super) fn without_index(key: &str) -> String {
    let mut plain = String::with_capacity(key.len());
    let mut inside = false;
    for letter in key.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            _ if inside => continue,
            _ => {}
        }
        plain.push(letter);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Kind, Schema, without_index};

    #[test]
    fn the_embedded_file_is_defaults_and_schema() {
        let schema = Schema::embedded();
        let names = schema.names();
        for name in [
            "listen.public",
            "auth.issuers[].jwks_url",
            "rooms[].kind",
            "limits.metrics_per_s",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        assert!(schema.defaults.get("rooms").is_none());
        assert!(matches!(
            schema.at(&["rooms".to_owned()]),
            Some(Kind::Entries(_))
        ));
        assert!(schema.at(&["limits".to_owned(), "x".to_owned()]).is_none());
    }

    #[test]
    fn an_index_is_no_part_of_a_name() {
        assert_eq!(
            without_index("auth.issuers[12].issuer"),
            "auth.issuers[].issuer"
        );
        assert_eq!(without_index("limits.rooms_max"), "limits.rooms_max");
    }
}
