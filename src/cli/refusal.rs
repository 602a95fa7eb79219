//! A configuration that cannot be used, told in the form that it asks for: lines for people, or JSON objects.

use std::io;

use wardroom::{
    config::{
        Config,
        finding::{ConfigErrors, Finding, Source},
        telemetry::LogFormat,
    },
    telemetry::{logging, metrics::Metrics},
};

use crate::cli::{exit::Exit, output};

/// Says why nothing was started.
pub(super) fn tell(errors: &ConfigErrors) -> Exit {
    match errors.log_format {
        LogFormat::Text => people(errors),
        LogFormat::Json => {
            let mut config = Config::defaults();
            config.telemetry.log_format = LogFormat::Json;
            config.limits.log_field_chars_max = 4096;
            let (subscriber, guard) =
                logging::to_writer(&config, &Metrics::new(), io::stderr(), false);
            tracing::subscriber::with_default(subscriber, || {
                for finding in &errors.findings {
                    log_error(finding);
                }
            });
            drop(guard);
        }
    }
    Exit::Configuration
}

/// The same for people, whatever the format.
pub(super) fn people(errors: &ConfigErrors) {
    output::complain(&errors.to_string());
}

fn log_error(finding: &Finding) {
    let (line, variable) = origin(finding);
    tracing::error!(
        target: "wardroom::config",
        key = finding.key,
        line,
        variable,
        "{}", finding.text
    );
}

/// Announces what weakens the node, in its log.
pub(super) fn log_warnings(warnings: &[Finding]) {
    for finding in warnings {
        let (line, variable) = origin(finding);
        tracing::warn!(
            target: "wardroom::config",
            key = finding.key,
            line,
            variable,
            "{}", finding.text
        );
    }
}

fn origin(finding: &Finding) -> (Option<usize>, Option<&str>) {
    match &finding.source {
        Source::File { line } => (Some(*line), None),
        Source::Environment { variable } => (None, Some(variable)),
        Source::Default => (None, None),
    }
}
