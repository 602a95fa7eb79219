//! `[telemetry]`: logs and traces.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[telemetry]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Telemetry {
    /// One JSON object a line, or text for people.
    pub log_format: LogFormat,
    /// The lowest level written.
    pub log_level: LogLevel,
    /// Where spans go; empty: nowhere.
    pub otlp_endpoint: String,
    /// Where the audit log goes; empty: nowhere.
    pub audit_file: PathBuf,
}

/// `telemetry.log_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// `telemetry.log_level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Our faults.
    Error,
    /// And what recovered.
    Warn,
    /// And what happened.
    Info,
    /// And clients' mistakes.
    Debug,
    /// And everything else but what people say and credentials.
    Trace,
}
