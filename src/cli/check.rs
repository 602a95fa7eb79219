//! `wardroom check`: everything that `serve` would refuse, what it would announce, and what will hold.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use wardroom::{
    clock::Clock,
    config::{
        Config, Loaded,
        auth::Issuer,
        environment::Environment,
        finding::{ConfigErrors, Finding, Source},
        tls::{Tls, TlsMode},
    },
};

use crate::cli::{exit::Exit, output, refusal, run, trial};

/// What `check` takes.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The configuration; without it the environment must say everything that has no default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What only a try can tell.
pub(super) struct Probes {
    /// Whether certificate and key belong together and can be served.
    pub(super) pair: fn(&Tls) -> Result<(), String>,
    /// Whether an issuer's keys are in reach.
    pub(super) issuer: fn(&Issuer) -> Result<(), String>,
}

impl Check {
    pub(super) fn run(self) -> Exit {
        self.run_with(&run::PROBES)
    }

    fn run_with(&self, probes: &Probes) -> Exit {
        let loaded = match Config::load(self.config.as_deref(), &Environment::of_process()) {
            Ok(loaded) => loaded,
            Err(errors) => {
                refusal::people(&errors);
                warn(&errors.warnings);
                return Exit::Configuration;
            }
        };
        if let Some(errors) = failed_trials(&loaded, self.config.as_deref(), probes) {
            refusal::people(&errors);
            warn(&errors.warnings);
            return Exit::Configuration;
        }
        let mut warnings = loaded.warnings.clone();
        warnings.extend(unreachable_issuers(&loaded, probes));
        warnings.extend(expired_contact(&loaded));
        output::say(&loaded.config.to_toml(&loaded.sources));
        warn(&warnings);
        output::note(&verdict(warnings.len()));
        Exit::Done
    }
}

fn verdict(warnings: usize) -> String {
    let words = match warnings {
        0 => "no warning".to_owned(),
        1 => "1 warning".to_owned(),
        more => format!("{more} warnings"),
    };
    format!("wardroom: this configuration can be used, with {words}\n")
}

fn warn(warnings: &[Finding]) {
    for finding in warnings {
        output::note(&format!("warning: {finding}\n"));
    }
}

fn finding(loaded: &Loaded, key: String, text: String) -> Finding {
    let source = loaded.sources.get(&key).cloned();
    Finding {
        key,
        source: source.unwrap_or(Source::Default),
        text,
    }
}

/// What only building the parts can find.
fn failed_trials(loaded: &Loaded, file: Option<&Path>, probes: &Probes) -> Option<ConfigErrors> {
    let mut findings = Vec::new();
    if loaded.config.tls.mode == TlsMode::Files
        && let Err(why) = (probes.pair)(&loaded.config.tls)
    {
        findings.push(finding(loaded, "tls.cert_file".to_owned(), why));
    }
    for tried in [trial::issuers(&loaded.config), trial::log(&loaded.config)] {
        if let Err((key, why)) = tried {
            findings.push(finding(loaded, key, why));
        }
    }
    (!findings.is_empty()).then(|| ConfigErrors {
        file: file.map(Path::to_owned),
        findings,
        warnings: loaded.warnings.clone(),
        log_format: loaded.config.telemetry.log_format,
    })
}

/// All at once: three seconds for each, one after the other, would be long with many issuers.
fn unreachable_issuers(loaded: &Loaded, probes: &Probes) -> Vec<Finding> {
    let issuers = &loaded.config.auth.issuers;
    std::thread::scope(|scope| {
        let asked: Vec<_> = issuers
            .iter()
            .map(|issuer| scope.spawn(|| (probes.issuer)(issuer)))
            .collect();
        asked
            .into_iter()
            .enumerate()
            .filter_map(|(index, answer)| {
                let why = answer
                    .join()
                    .unwrap_or_else(|_| Err("the probe failed".to_owned()))
                    .err()?;
                Some(finding(
                    loaded,
                    format!("auth.issuers[{index}]"),
                    format!(
                        "its keys cannot be read from here: {why}; serve starts nevertheless, and lets nobody of this issuer \
                         in until they can"
                    ),
                ))
            })
            .collect()
    })
}

/// A `security.txt` whose time is over is worse than none (RFC 9116 §2.5.5), but no reason not to start.
fn expired_contact(loaded: &Loaded) -> Option<Finding> {
    let text = fs::read_to_string(&loaded.config.listen.security_txt_file).ok()?;
    let expires = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("expires").then(|| value.trim())
    })?;
    let key = "listen.security_txt_file".to_owned();
    match expires.parse::<jiff::Timestamp>() {
        Ok(end) if end.as_millisecond() >= i64::try_from(Clock::system().unix_ms()).ok()? => None,
        Ok(_) => Some(finding(
            loaded,
            key,
            format!("its Expires {expires} is over"),
        )),
        Err(_) => Some(finding(
            loaded,
            key,
            "its Expires is no date as 2030-01-01T00:00:00Z".to_owned(),
        )),
    }
}
