//! A file and the environment laid over the defaults. What comes in is text that somebody wrote; what goes on is a tree in
//! which every key exists and has its type and its range, and a finding for each that did not.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use crate::config::{
    Config,
    environment::{Environment, PREFIX},
    finding::{Finding, Source, shown},
    hints, ranges,
    schema::{Kind, Schema, dotted, kind, type_name, without_index},
    unknown, value,
};

/// The defaults, and what was laid over them so far.
pub(super) struct Overlay {
    schema: Schema,
    /// Values by full name, checked one by one.
    values: BTreeMap<String, Value>,
    /// Where each of them came from.
    pub(super) sources: BTreeMap<String, Source>,
    /// What is wrong, in the order in which it was found.
    pub(super) findings: Vec<Finding>,
    /// Whether the file could be read as TOML at all; if not, what is missing may stand in the unreadable part.
    pub(super) readable: bool,
}

impl Overlay {
    pub(super) fn new() -> Self {
        Self {
            schema: Schema::embedded(),
            values: BTreeMap::new(),
            sources: BTreeMap::new(),
            findings: Vec::new(),
            readable: true,
        }
    }

    /// Lays a file's text over what is there.
    pub(super) fn lay_file(&mut self, text: &str) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let mut broken = Vec::new();
        for error in errors {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            // The error's own text would quote the line, and the line may hold what does not belong into a log.
            let duplicate = error.message().contains("duplicate");
            let what = if duplicate {
                "this key or section was written before; merge the two".to_owned()
            } else {
                format!("this is not TOML: {}", error.message())
            };
            self.readable &= duplicate;
            if !broken.contains(&line) {
                self.findings
                    .push(Finding::new("(syntax)", what).at(Source::File { line }));
            }
            broken.push(line);
        }
        let before = self.findings.len();
        let keys = self.schema.keys.clone();
        self.lay_table(&keys, document.get_ref(), "", text);
        // What a broken line was recovered to is not what somebody wrote.
        let mut index = 0;
        self.findings.retain(|finding| {
            index += 1;
            index <= before
                || !matches!(finding.source, Source::File { line } if broken.contains(&line))
        });
        self.findings.sort_by(|a, b| a.source.cmp(&b.source));
    }

    fn lay_table(&mut self, schema: &Table, written: &DeTable<'_>, prefix: &str, text: &str) {
        for (name, value) in written {
            let source = Source::File {
                line: line_of(text, name.span().start),
            };
            let key = dotted(prefix, name.get_ref());
            let Some(known) = schema.get(name.get_ref().as_ref()) else {
                let finding = unknown::key(&self.schema, schema, prefix, name.get_ref());
                self.findings.push(finding.at(source));
                continue;
            };
            match (kind(known), value.get_ref()) {
                (Kind::Section(inner), DeValue::Table(table)) => {
                    self.lay_table(inner, table, &key, text);
                }
                (Kind::Section(_), _) => self
                    .findings
                    .push(Finding::new(&key, format!("is a section: write [{key}]")).at(source)),
                (Kind::Entries(template), DeValue::Array(entries)) => {
                    for (index, entry) in entries.iter().enumerate() {
                        let key = format!("{key}[{index}]");
                        match entry.get_ref() {
                            DeValue::Table(table) => {
                                self.begin_entry(&key, &source);
                                self.lay_table(template, table, &key, text);
                            }
                            _ => self
                                .findings
                                .push(Finding::new(key, "must be a table").at(source.clone())),
                        }
                    }
                }
                (Kind::Entries(_), _) => self.findings.push(
                    Finding::new(
                        &key,
                        format!("there may be several of these: write [[{key}]]"),
                    )
                    .at(source),
                ),
                (Kind::Leaf(example), written) => match value::from_file(written) {
                    Some(value) => self.take(&key, example, value, source),
                    None => self.findings.push(
                        Finding::new(
                            key,
                            format!("must be {}, in the range of 64 bits", type_name(example)),
                        )
                        .at(source),
                    ),
                },
            }
        }
    }

    /// Lays the environment over what is there.
    pub(super) fn lay_environment(&mut self, environment: &Environment) {
        for (variable, raw) in environment.sorted() {
            let source = Source::Environment {
                variable: variable.to_owned(),
            };
            let path: Vec<String> = variable[PREFIX.len()..]
                .to_ascii_lowercase()
                .split("__")
                .map(String::from)
                .collect();
            let key = path.join(".");
            let Some(raw) = raw.to_str() else {
                self.findings
                    .push(Finding::new(shown(&key), "its value is not UTF-8").at(source));
                continue;
            };
            match self.schema.at(&path) {
                Some(Kind::Leaf(example)) => match value::from_environment(raw, example) {
                    Ok(value) => {
                        let example = example.clone();
                        self.take(&key, &example, value, source);
                    }
                    Err(what) => self.findings.push(Finding::new(key, what).at(source)),
                },
                Some(Kind::Entries(template)) => {
                    let template = template.clone();
                    self.lay_entries(&template, &key, raw, &source);
                }
                Some(Kind::Section(_)) => self.findings.push(
                    Finding::new(
                        key,
                        format!("is a section: name a key of it, {variable}__KEY"),
                    )
                    .at(source),
                ),
                None => {
                    let finding = unknown::variable(&self.schema, &path);
                    self.findings.push(finding.at(source));
                }
            }
        }
    }

    /// A list of tables from one variable replaces the file's list.
    fn lay_entries(&mut self, template: &Table, key: &str, raw: &str, source: &Source) {
        let document = format!("entries = {raw}");
        let (parsed, errors) = DeTable::parse_recoverable(&document);
        let entries = parsed
            .get_ref()
            .get("entries")
            .and_then(|entries| entries.get_ref().as_array())
            .filter(|_| errors.is_empty() && parsed.get_ref().len() == 1);
        let Some(entries) = entries else {
            self.findings.push(
                Finding::new(key, "must be a list of tables as TOML: [{ name = \"…\" }]")
                    .at(source.clone()),
            );
            return;
        };
        let list = format!("{key}[");
        self.values.retain(|name, _| !name.starts_with(&list));
        self.sources.retain(|name, _| !name.starts_with(&list));
        for (index, entry) in entries.iter().enumerate() {
            let key = format!("{key}[{index}]");
            let Some(table) = entry.get_ref().as_table() else {
                self.findings
                    .push(Finding::new(key, "must be a table").at(source.clone()));
                continue;
            };
            self.begin_entry(&key, source);
            let before = self.findings.len();
            self.lay_table(template, table, &key, "");
            // Lines of the variable mean nothing to anybody.
            for finding in &mut self.findings[before..] {
                finding.source = source.clone();
            }
            let prefix = format!("{key}.");
            for (name, at) in &mut self.sources {
                if name.starts_with(&prefix) {
                    at.clone_from(source);
                }
            }
        }
    }

    /// An entry exists as soon as it is written, even if every key of it is wrong.
    fn begin_entry(&mut self, key: &str, source: &Source) {
        self.values
            .insert(key.to_owned(), Value::Table(Table::new()));
        self.sources.insert(key.to_owned(), source.clone());
    }

    /// Takes a value if its type, its range and its meaning are right.
    fn take(&mut self, key: &str, example: &Value, value: Value, source: Source) {
        let name = without_index(key);
        if let Err(what) = self.check(&name, example, &value) {
            self.findings.push(Finding::new(key, what).at(source));
            return;
        }
        self.values.insert(key.to_owned(), value);
        self.sources.insert(key.to_owned(), source);
    }

    fn check(&self, name: &str, example: &Value, value: &Value) -> Result<(), String> {
        if !value::same_type(example, value) {
            return Err(value::wrong_type(example, value));
        }
        if let Value::Integer(number) = value {
            ranges::of(name)
                .expect("a test finds a range for every number of the embedded file")
                .check(*number)?;
        }
        // What is left are words and addresses, which their types know: the value is tried alone over the defaults.
        let mut tree = self.schema.defaults.clone();
        place(
            &mut tree,
            &self.schema.keys,
            &name.replace("[]", "[0]"),
            value,
        );
        Config::deserialize(Value::Table(tree))
            .map(drop)
            .map_err(|error| hints::explain(name, error.message()))
    }

    /// What was laid over the defaults, by full name.
    pub(super) fn values(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The configuration as laid so far; what was wrong has its default.
    pub(super) fn config(&self) -> Config {
        let mut tree = self.schema.defaults.clone();
        for (key, value) in &self.values {
            place(&mut tree, &self.schema.keys, key, value);
        }
        Config::deserialize(Value::Table(tree))
            .expect("each value was tried alone, and no type looks at two keys")
    }

    /// The schema.
    pub(super) fn schema(&self) -> &Schema {
        &self.schema
    }
}

/// Puts a value at its place; an entry of a list is made from its template.
fn place(tree: &mut Table, keys: &Table, key: &str, value: &Value) {
    let (step, rest) = match key.split_once('.') {
        Some((step, rest)) => (step, Some(rest)),
        None => (key, None),
    };
    let (name, index) = match step.split_once('[') {
        Some((name, index)) => (name, index.trim_end_matches(']').parse().unwrap_or(0)),
        None => (step, 0_usize),
    };
    match (keys.get(name).map(kind), rest) {
        (Some(Kind::Leaf(_)), None) => {
            tree.insert(name.to_owned(), value.clone());
        }
        (Some(Kind::Section(inner)), Some(rest)) => {
            if let Some(Value::Table(table)) = tree.get_mut(name) {
                place(table, inner, rest, value);
            }
        }
        (Some(Kind::Entries(template)), rest) => {
            let list = tree.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let Value::Array(list) = list else { return };
            while list.len() <= index {
                list.push(Value::Table(template.clone()));
            }
            if let (Some(Value::Table(entry)), Some(rest)) = (list.get_mut(index), rest) {
                place(entry, template, rest, value);
            }
        }
        _ => {}
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
}
