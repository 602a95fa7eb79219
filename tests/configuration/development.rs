//! The configuration of `wardroom dev`.

use std::path::Path;

use wardroom::config::{Config, environment::Environment};

use crate::{assert_names, refused, variable};

#[test]
fn dev_is_loopback_only_and_decides_what_makes_it_dev() {
    let dev = |variables: &[(&str, &str)]| {
        Config::development(
            &Environment::from_pairs(variables.iter().copied()),
            Path::new("certs/dev/tls.crt"),
            Path::new("certs/dev/tls.key"),
        )
    };
    let plain = dev(&[]).expect("nothing set").config;
    assert_eq!(plain.listen.public.to_string(), "127.0.0.1:8443");
    assert_eq!(plain.listen.admin.to_string(), "127.0.0.1:9090");
    assert!(plain.drain.delay.is_zero());
    let moved = dev(&[
        ("WARDROOM__LISTEN__PUBLIC", "[::1]:0"),
        ("WARDROOM__LISTEN__ADMIN", "127.0.0.1:0"),
        ("WARDROOM__DRAIN__DELAY_S", "3"),
    ])
    .expect("loopback");
    assert_eq!(moved.config.listen.public.to_string(), "[::1]:0");
    assert_eq!(moved.config.drain.delay.as_secs(), 3);
    for key in ["listen.public", "listen.admin"] {
        for address in ["0.0.0.0:0", "192.0.2.7:8443", "[::]:0"] {
            assert_names(
                &refused(dev(&[(&variable(key), address)])).findings,
                key,
                "not loopback",
            );
        }
    }
    let errors = refused(dev(&[
        ("WARDROOM__TLS__MODE", "off"),
        ("WARDROOM__AUTH__ISSUERS", "[{ issuer = \"i\" }]"),
        ("WARDROOM__PAGE__TITLE", ""),
        ("WARDROOM__LOG__ENGINE", "redis"),
    ]));
    assert_names(&errors.findings, "tls.mode", "makes its own certificate");
    assert_names(&errors.findings, "auth.issuers[0]", "signs its own tokens");
    assert_names(&errors.findings, "page.title", "1 to 100 characters");
    assert_names(&errors.findings, "log.engine", "not available");
}
