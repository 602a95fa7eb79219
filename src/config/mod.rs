//! The configuration: one file per section. `config/default.toml` is embedded and is the defaults; a file and the environment
//! are laid over it, and what comes out is checked as a whole before anything starts.
//!
//! The road of a key: `schema` (what keys there are) → `overlay` (file and environment, key by key) → `ranges` and the
//! section's own type → `consistency` (pairs of keys) → `availability` (features not built yet) → `production` with `issuers`
//! and `files` (what `serve` refuses). Everything that is wrong is a `finding`, and all findings are told at once.

pub mod admission;
pub mod auth;
pub mod content;
pub mod drain;
pub mod limits;
pub mod listen;
pub mod log;
pub mod nicknames;
pub mod page;
pub mod redis;
pub mod rooms;
pub mod telemetry;
pub mod tls;
pub mod units;

pub mod availability;
mod consistency;
mod development;
mod effective;
pub mod environment;
pub mod files;
pub mod finding;
mod hints;
mod issuers;
mod overlay;
mod production;
mod record;
pub mod ranges;
pub mod schema;
mod unknown;
mod value;

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use crate::config::{
    environment::Environment,
    finding::{ConfigErrors, Finding, Source},
    overlay::Overlay,
    production::Report,
    schema::{Schema, without_index},
};

/// The whole configuration, checked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[listen]`
    pub listen: listen::Listen,
    /// `[tls]`
    pub tls: tls::Tls,
    /// `[admission]`
    pub admission: admission::Admission,
    /// `[auth]`
    pub auth: auth::Auth,
    /// `[nicknames]`
    pub nicknames: nicknames::Nicknames,
    /// `[limits]`
    pub limits: limits::Limits,
    /// `[content]`
    pub content: content::Content,
    /// `[log]`
    pub log: log::Log,
    /// `[redis]`
    pub redis: redis::Redis,
    /// `[[rooms]]`
    #[serde(default)]
    pub rooms: Vec<rooms::Room>,
    /// `[drain]`
    pub drain: drain::Drain,
    /// `[page]`
    pub page: page::Page,
    /// `[telemetry]`
    pub telemetry: telemetry::Telemetry,
}

/// A configuration that may be used.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// What is announced at every start.
    pub warnings: Vec<Finding>,
    /// Where each key that somebody set got its value, by full name.
    pub sources: BTreeMap<String, Source>,
}

impl Config {
    /// What holds when nobody sets anything, without the checks of [`Config::load`]: for tests and for programs that build
    /// their configuration from values.
    pub fn defaults() -> Self {
        Overlay::new().config()
    }

    /// The configuration of `wardroom serve`: defaults < file < environment, with everything that it would refuse.
    pub fn load(file: Option<&Path>, environment: &Environment) -> Result<Loaded, ConfigErrors> {
        let mut overlay = Overlay::new();
        if let Some(path) = file {
            match fs::read_to_string(path) {
                Ok(text) => overlay.lay_file(&text),
                Err(error) => {
                    overlay.readable = false;
                    overlay.findings.push(Finding::new(
                        "--config",
                        format!("{} cannot be read: {error}", path.display()),
                    ));
                }
            }
        }
        overlay.lay_environment(environment);
        let config = overlay.config();
        // Of a file that cannot be read as TOML nobody knows what is missing.
        let report = if overlay.readable {
            production::check(&config)
        } else {
            Report::default()
        };
        conclude(overlay, config, report, file)
    }
}

/// The checks that `serve` and `dev` share, and the verdict.
fn conclude(
    overlay: Overlay,
    mut config: Config,
    mut report: Report,
    file: Option<&Path>,
) -> Result<Loaded, ConfigErrors> {
    if overlay.readable {
        report.refused.extend(config.contradictions());
        unavailable(&overlay, &mut report);
        open_files(&mut config, &overlay, &mut report);
    }
    // A key that was wrong by itself has its default now: what follows from that would only confuse.
    let wrong: Vec<String> = overlay
        .findings
        .iter()
        .map(|finding| finding.key.clone())
        .collect();
    let known = |finding: &Finding| {
        wrong
            .iter()
            .any(|key| *key == finding.key || key.starts_with(&format!("{}.", finding.key)))
    };
    let with_source = |finding: Finding| {
        let source = overlay.sources.get(&finding.key).cloned();
        finding.at(source.unwrap_or(Source::Default))
    };
    let warnings: Vec<Finding> = report.warned.into_iter().map(with_source).collect();
    let follow = report.refused.into_iter().filter(|it| !known(it));
    let mut findings = overlay.findings.clone();
    findings.extend(follow.map(with_source));
    // In the order in which somebody would go through the file.
    findings.sort_by(|a, b| a.source.cmp(&b.source));
    if findings.is_empty() {
        Ok(Loaded {
            config,
            warnings,
            sources: overlay.sources,
        })
    } else {
        Err(ConfigErrors {
            file: file.map(Path::to_owned),
            findings,
            warnings,
            log_format: config.telemetry.log_format,
        })
    }
}

/// Keys of features that are not built yet.
fn unavailable(overlay: &Overlay, report: &mut Report) {
    let changed = overlay.values().filter(|(key, value)| {
        let default = overlay.schema().default_of(&without_index(key));
        default != Some(value)
    });
    for (key, _) in changed {
        report
            .refused
            .extend(availability::unavailable(key, &without_index(key)));
        report.warned.extend(availability::later(key));
    }
}

/// More connections than the system lets this process have files would be refused by the system, one by one and without a
/// word. Whoever asked for them is told; the default is lowered to what there is.
fn open_files(config: &mut Config, overlay: &Overlay, report: &mut Report) {
    const KEY: &str = "limits.connections_max";
    let Some(room) = connections_possible() else {
        return;
    };
    if config.limits.connections_max <= room {
        return;
    }
    if overlay.sources.contains_key(KEY) {
        report.refuse(
            KEY,
            format!(
                "{} connections do not fit the limit of open files of this process, which leaves room for {room}: raise it \
                 (ulimit -n, LimitNOFILE=)",
                config.limits.connections_max
            ),
        );
    } else {
        report.warn(
            KEY,
            format!("lowered to {room}, for the limit of open files of this process is no higher"),
        );
        config.limits.connections_max = room;
    }
}

/// How many sockets there can be beside the files that the program itself needs.
fn connections_possible() -> Option<usize> {
    /// Listeners, the log's pipe, key sets that are being read, the admin listener's own connections.
    const OWN_FILES: u64 = 128;
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::NOFILE).ok()?;
    usize::try_from(hard.saturating_sub(OWN_FILES).max(1)).ok()
}

/// The full names of all keys, as the documentation writes them, with their defaults as TOML.
pub fn keys() -> Vec<(String, String)> {
    let schema = Schema::embedded();
    schema
        .names()
        .into_iter()
        .map(|name| {
            let default = schema
                .default_of(&name)
                .map_or_else(String::new, ToString::to_string);
            (name, default)
        })
        .collect()
}
