//! The pages and examples say what the code does.

use std::{collections::BTreeMap, fs, path::Path};

use wardroom::config::{
    Config, availability::LATER, availability::UNAVAILABLE, environment::Environment, keys,
    ranges::RANGES, schema::DEFAULT_TOML,
};

use crate::{Site, assert_names, refused};

/// The comment above each key of the embedded file, by the key's full name.
fn comments() -> Vec<(String, String)> {
    let mut section = String::new();
    let mut comment = String::new();
    let mut found = Vec::new();
    for line in DEFAULT_TOML.lines() {
        let line = line.strip_prefix("#: ").unwrap_or(line);
        if let Some(text) = line.strip_prefix("# ") {
            comment.push_str(text);
            comment.push(' ');
        } else if let Some(name) = line.strip_prefix("[[").and_then(|it| it.strip_suffix("]]")) {
            section = format!("{name}[]");
            comment.clear();
        } else if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            assert!(!comment.is_empty(), "[{name}] is not described");
            name.clone_into(&mut section);
            comment.clear();
        } else if let Some((name, _)) = line.split_once(" = ") {
            found.push((format!("{section}.{name}"), std::mem::take(&mut comment)));
        } else {
            assert!(line.is_empty() || line == "#", "what is {line:?}?");
            comment.clear();
        }
    }
    found
}

#[test]
fn every_key_is_described_with_its_range_and_its_availability() {
    let comments = comments();
    let described: Vec<&str> = comments.iter().map(|(key, _)| key.as_str()).collect();
    let mut all: Vec<String> = keys().into_iter().map(|(key, _)| key).collect();
    let mut sorted = described.clone();
    sorted.sort_unstable();
    all.sort_unstable();
    assert_eq!(sorted, all);
    for (key, comment) in &comments {
        assert!(
            comment.trim_end().ends_with('.'),
            "{key} is not described: {comment:?}"
        );
        match RANGES.iter().find(|range| range.key == key) {
            Some(range) => assert!(
                comment.contains(&format!("Range: {}.", range.words())),
                "{key}: {comment}"
            ),
            None => assert!(!comment.contains("Range:"), "{key}: {comment}"),
        }
        let unavailable = UNAVAILABLE.iter().any(|(known, _)| known == key);
        assert_eq!(
            comment
                .to_lowercase()
                .contains("not available in this version"),
            unavailable,
            "{key}: {comment}"
        );
        let later = LATER.iter().find(|(known, _)| known == key);
        assert_eq!(
            comment.contains("Takes effect with"),
            later.is_some(),
            "{key}: {comment}"
        );
        if let Some((_, feature)) = later {
            assert!(
                comment.contains(&format!("Takes effect with {feature}.")),
                "{key}: {comment}"
            );
        }
    }
}

#[test]
fn the_page_of_limits_is_the_table_of_the_code() {
    let page = include_str!("../../docs/limits.md");
    let defaults: BTreeMap<String, String> = keys().into_iter().collect();
    let written: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let wanted: Vec<String> = RANGES
        .iter()
        .map(|range| {
            format!(
                "| `{}` | {} | {} | {} |",
                range.key,
                defaults[range.key],
                range.words(),
                range.at_limit
            )
        })
        .collect();
    assert_eq!(written, wanted);
}

#[test]
fn the_reference_says_of_every_key_what_the_embedded_file_says() {
    let page = include_str!("../../docs/configuration.md");
    let written: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let defaults: BTreeMap<String, String> = keys().into_iter().collect();
    let wanted: Vec<String> = comments()
        .into_iter()
        .filter(|(key, _)| !key.starts_with("limits."))
        .map(|(key, comment)| {
            format!(
                "| `{key}` | `{}` | {} |",
                defaults[&key],
                comment.trim_end()
            )
        })
        .collect();
    assert_eq!(written, wanted);
}

#[test]
fn the_production_example_lacks_the_files_alone() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/wardroom.toml");
    let errors = refused(Config::load(Some(&example), &Environment::default()));
    let keys: Vec<&str> = errors.findings.iter().map(|it| it.key.as_str()).collect();
    assert_eq!(keys, ["tls.cert_file", "tls.key_file"], "{errors}");
    let site = Site::new();
    let path = |name: &str| site.path(name).to_str().expect("a path").to_owned();
    Config::load(
        Some(&example),
        &Environment::from_pairs([
            ("WARDROOM__TLS__CERT_FILE", path("tls.crt")),
            ("WARDROOM__TLS__KEY_FILE", path("tls.key")),
        ]),
    )
    .expect("with a certificate it is complete");
}

#[test]
fn the_cluster_example_says_that_it_has_to_wait() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/cluster.toml");
    let text = fs::read_to_string(&example).expect("the example");
    assert!(
        text.lines()
            .next()
            .expect("a line")
            .contains("NOT AVAILABLE IN THIS VERSION")
    );
    let errors = refused(Config::load(Some(&example), &Environment::default()));
    for key in [
        "log.engine",
        "redis.urls",
        "redis.topology",
        "redis.durability",
    ] {
        assert_names(&errors.findings, key, "is not available in this version");
    }
    assert!(
        errors
            .findings
            .iter()
            .all(|it| !it.text.contains("no such")),
        "{errors}"
    );
}
