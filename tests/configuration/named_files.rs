//! Row O3: the files that a configuration names, and what is announced about the rest.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use crate::{Site, assert_names};

#[test]
fn certificate_and_key_are_looked_at_before_anything_starts() {
    let site = Site::new();
    let der = {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        pair.cert.der().to_vec()
    };
    let pem = |name: &str| fs::read(site.path(name)).expect("written by the site");
    let huge = site.path("huge");
    fs::File::create(&huge)
        .and_then(|file| file.set_len(100 * 1024 * 1024))
        .expect("a sparse file");
    fs::set_permissions(&huge, fs::Permissions::from_mode(0o600)).expect("a mode");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let rows: [(PathBuf, &str, &str); 7] = [
        (site.path("missing"), "does not exist", "does not exist"),
        (site.write("empty", "", 0o600), "is empty", "is empty"),
        (site.write("der", der, 0o600), "is not PEM", "is not PEM"),
        (
            site.folder.path().to_owned(),
            "is a directory",
            "is a directory",
        ),
        (
            huge,
            "larger than 1048576 bytes",
            "larger than 1048576 bytes",
        ),
        (
            site.write("text", "hello", 0o600),
            "holds no certificate",
            "holds no private key",
        ),
        (PathBuf::new(), "must name a file", "must name a file"),
    ];
    for (path, about_certificate, about_key) in &rows {
        let path = path.to_str().expect("a path of ours");
        let findings = site.with_variables(&[
            ("WARDROOM__TLS__CERT_FILE", path),
            ("WARDROOM__TLS__KEY_FILE", path),
        ]);
        assert_names(&findings, "tls.cert_file", about_certificate);
        assert_names(&findings, "tls.key_file", about_key);
        assert!(
            findings.iter().all(|finding| finding.text.contains(path)),
            "{findings:?}"
        );
    }
    let swapped = site.with_variables(&[
        (
            "WARDROOM__TLS__CERT_FILE",
            site.path("tls.key").to_str().expect("a path"),
        ),
        (
            "WARDROOM__TLS__KEY_FILE",
            site.write("as-key", pem("tls.crt"), 0o600)
                .to_str()
                .expect("a path"),
        ),
    ]);
    assert_names(&swapped, "tls.cert_file", "holds a private key");
    assert_names(&swapped, "tls.key_file", "holds a certificate");
    let locked = site.write("locked", encrypted, 0o600);
    let findings =
        site.with_variables(&[("WARDROOM__TLS__KEY_FILE", locked.to_str().expect("a path"))]);
    assert_names(&findings, "tls.key_file", "is encrypted");
    for open in [0o644, 0o604, 0o602, 0o666] {
        let file = site.write("open", pem("tls.key"), open);
        let findings =
            site.with_variables(&[("WARDROOM__TLS__KEY_FILE", file.to_str().expect("a path"))]);
        assert_names(&findings, "tls.key_file", &format!("(mode {open:04o})"));
        let secret = String::from_utf8(pem("tls.key")).expect("PEM");
        let line = secret.lines().nth(1).expect("a line of the key");
        assert!(!format!("{findings:?}").contains(line));
    }
    for closed in [0o600, 0o400, 0o640] {
        let file = site.write("closed", pem("tls.key"), closed);
        let path = file.to_str().expect("a path");
        assert_eq!(
            site.with_variables(&[("WARDROOM__TLS__KEY_FILE", path)]),
            []
        );
        fs::remove_file(file).expect("ours");
    }
}

#[test]
fn plain_http_is_refused_away_from_loopback_unless_it_is_allowed_by_name() {
    let site = Site::new();
    let off = ("WARDROOM__TLS__MODE", "off");
    let public = ("WARDROOM__LISTEN__PUBLIC", "0.0.0.0:8443");
    let allowed = ("WARDROOM__TLS__ALLOW_PLAINTEXT", "true");
    assert_names(
        &site.with_variables(&[off, public]),
        "tls.mode",
        "not loopback",
    );
    let warnings = |variables: &[(&str, &str)]| {
        site.load_with(&site.good(), variables)
            .expect("allowed")
            .warnings
    };
    assert_names(&warnings(&[off]), "tls.mode", "TLS is off");
    assert_names(
        &warnings(&[off, public, allowed]),
        "tls.allow_plaintext",
        "plain HTTP",
    );
}

#[test]
fn what_weakens_the_gateway_is_announced() {
    let site = Site::new();
    let loaded = site
        .load_with(
            &site.good(),
            &[
                ("WARDROOM__LISTEN__ADMIN", "0.0.0.0:9090"),
                ("WARDROOM__LISTEN__TRUSTED_PROXIES", "0.0.0.0/0"),
                ("WARDROOM__AUTH__QUERY_TOKEN", "on"),
                ("WARDROOM__AUTH__DEFAULTS__SCOPES", "chat,chat:admin"),
                ("WARDROOM__DRAIN__GRACE_S", "14"),
                ("WARDROOM__LOG__ENGINE", "memory"),
            ],
        )
        .expect("allowed, and announced");
    for key in [
        "listen.admin",
        "listen.trusted_proxies",
        "auth.query_token",
        "auth.defaults.scopes",
        "drain.grace_s",
        "log.engine",
    ] {
        assert!(
            loaded.warnings.iter().any(|it| it.key == key),
            "{key}: {:#?}",
            loaded.warnings
        );
    }
    let quiet = site.load(&site.good()).expect("the example");
    assert_eq!(quiet.warnings, []);
}
