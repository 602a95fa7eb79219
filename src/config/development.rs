//! The configuration of `wardroom dev`: the defaults and the environment, on loopback, with what only a developer's machine
//! may have.

use std::{net::Ipv4Addr, path::Path, time::Duration};

use crate::config::{
    Config, Loaded,
    auth::QueryToken,
    conclude,
    environment::Environment,
    finding::ConfigErrors,
    overlay::Overlay,
    production::{self, Report},
    telemetry::LogFormat,
};

/// Keys that `dev` decides itself.
const DECIDED: &[(&str, &str)] = &[
    ("tls.", "wardroom dev makes its own certificate"),
    ("auth.issuers", "wardroom dev signs its own tokens"),
];

impl Config {
    /// The issuer whose tokens `wardroom dev` mints.
    pub const DEV_ISSUER: &'static str = "https://localhost/dev";
    /// Their audience.
    pub const DEV_AUDIENCE: &'static str = "wardroom";

    /// The configuration of `wardroom dev`; `certificate` and `key` are the files that it made. `allowed_origins` holds what
    /// the environment adds: the page's own origins are known when the port is, see [`Config::dev_origins`].
    pub fn development(
        environment: &Environment,
        certificate: &Path,
        key: &Path,
    ) -> Result<Loaded, ConfigErrors> {
        let mut overlay = Overlay::new();
        overlay.lay_environment(environment);
        let unset = |key: &str| !overlay.sources.contains_key(key);
        let (public, admin) = (unset("listen.public"), unset("listen.admin"));
        let (query, delay) = (unset("auth.query_token"), unset("drain.delay_s"));
        let format = unset("telemetry.log_format");
        let mut config = overlay.config();
        if public {
            config.listen.public.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        if admin {
            config.listen.admin.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        if query {
            config.auth.query_token = QueryToken::On;
        }
        if delay {
            config.drain.delay = Duration::ZERO;
        }
        if format {
            config.telemetry.log_format = LogFormat::Text;
        }
        certificate.clone_into(&mut config.tls.cert_file);
        key.clone_into(&mut config.tls.key_file);
        let report = check(&config, &overlay);
        conclude(overlay, config, report, None)
    }

    /// The origins of the page that `wardroom dev` serves on a port.
    pub fn dev_origins(port: u16) -> [String; 3] {
        ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("https://{host}:{port}"))
    }
}

fn check(config: &Config, overlay: &Overlay) -> Report {
    let mut report = production::values(config);
    for (key, address) in [
        ("listen.public", config.listen.public),
        ("listen.admin", config.listen.admin),
    ] {
        if !address.ip().is_loopback() {
            report.refuse(
                key,
                format!("{address} is not loopback, and wardroom dev lets in whoever asks: use wardroom serve"),
            );
        }
    }
    for key in overlay.sources.keys() {
        for (prefix, why) in DECIDED {
            if key.starts_with(prefix) {
                report.refuse(key, format!("cannot be set here: {why}"));
            }
        }
    }
    report
}
