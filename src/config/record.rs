//! What the commands need that read the database's file: where it is. They run beside a gateway, or where there is none, and so
//! ask for nothing else that `serve` wants; but a file with a key that is wrong is refused as a whole, for it may be the path.

use std::{fs, path::Path};

use crate::config::{
    Config,
    environment::Environment,
    finding::{ConfigErrors, Finding, Source},
    log::Log,
    overlay::Overlay,
};

impl Config {
    /// `[log]` of defaults < file < environment.
    pub fn log_of(file: Option<&Path>, environment: &Environment) -> Result<Log, ConfigErrors> {
        let mut overlay = Overlay::new();
        match file.map(fs::read_to_string) {
            Some(Ok(text)) => overlay.lay_file(&text),
            Some(Err(error)) => {
                overlay.findings.push(
                    Finding::new("--config", format!("cannot be read: {error}"))
                        .at(Source::Default),
                );
            }
            None => {}
        }
        overlay.lay_environment(environment);
        let config = overlay.config();
        if overlay.findings.is_empty() {
            return Ok(config.log);
        }
        Err(ConfigErrors {
            file: file.map(Path::to_owned),
            findings: overlay.findings,
            warnings: Vec::new(),
            log_format: config.telemetry.log_format,
        })
    }
}
