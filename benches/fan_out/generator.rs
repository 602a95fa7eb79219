//! `wardroom load` as a child process, and its report.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    machine::{Half, pinned},
    server::{GATEWAY, ISSUER, Keys, Server},
};

/// What a run found; figures are looked up by their path.
pub(crate) struct Report(Value);

impl Report {
    /// A figure, as in `/server/cpu_ns_per_delivery`.
    pub(crate) fn figure(&self, path: &str) -> anyhow::Result<i64> {
        self.0
            .pointer(path)
            .and_then(Value::as_i64)
            .with_context(|| format!("the report has no {path}"))
    }

    /// Whether 99 % of the messages left in time.
    pub(crate) fn kept_up(&self) -> bool {
        self.0
            .pointer("/generator/kept_up")
            .and_then(Value::as_bool)
            == Some(true)
    }

    /// TLS version, cipher and key exchange.
    pub(crate) fn protocols(&self) -> String {
        let protocols = self
            .0
            .pointer("/sessions/protocols")
            .and_then(Value::as_object);
        protocols
            .map(|protocols| protocols.keys().cloned().collect::<Vec<_>>().join(", "))
            .unwrap_or_default()
    }

    /// Fails unless every message reached everybody once, unchanged and in order, and none was refused.
    fn check(self) -> anyhow::Result<Self> {
        let faults = self
            .0
            .pointer("/faults")
            .and_then(Value::as_object)
            .context("the report has no faults")?;
        let sound = faults.values().all(|count| {
            count.as_u64() == Some(0) || count.as_object().is_some_and(serde_json::Map::is_empty)
        });
        ensure!(sound, "faults: {}", Value::from(faults.clone()));
        let refused = self.0.pointer("/messages/refused");
        ensure!(
            refused
                .and_then(Value::as_object)
                .is_some_and(serde_json::Map::is_empty),
            "refused: {refused:?}"
        );
        Ok(self)
    }
}

fn command(keys: &Keys, server: &Server, arguments: &str) -> Command {
    let mut command = pinned(Half::Generator, Path::new(GATEWAY));
    command.args([
        "load",
        "--json",
        "--url",
        &server.url,
        "--iss",
        ISSUER,
        "--aud",
        "wardroom",
    ]);
    command
        .arg("--ca")
        .arg(keys.certificate())
        .arg("--key")
        .arg(keys.token_key());
    command
        .args(["--server-pid", &server.pid().to_string()])
        .args(arguments.split_ascii_whitespace());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Runs the generator to its end.
pub(crate) fn run(keys: &Keys, server: &Server, arguments: &str) -> anyhow::Result<Report> {
    let output = command(keys, server, arguments)
        .output()
        .context("the generator does not start")?;
    let report = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the generator failed: {}", output.status))?;
    Report(report).check()
}

/// Sessions that idle until the value goes.
pub(crate) struct Idle(Child);

impl Idle {
    /// Starts them; they have not arrived yet.
    pub(crate) fn start(keys: &Keys, server: &Server, arguments: &str) -> anyhow::Result<Self> {
        Ok(Self(
            command(keys, server, arguments)
                .spawn()
                .context("the generator does not start")?,
        ))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
