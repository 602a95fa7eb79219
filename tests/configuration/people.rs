//! Row O2: whom the gateway believes about people.

use std::path::Path;

use wardroom::config::{Config, environment::Environment};

use crate::{ISSUER, Site, assert_names, refused};

#[test]
fn nobody_can_come_in_without_issuer_audience_and_origin() {
    let site = Site::new();
    let errors = refused(Config::load(None, &Environment::default()));
    for key in [
        "auth.issuers",
        "admission.allowed_origins",
        "tls.cert_file",
        "tls.key_file",
    ] {
        assert!(
            errors.findings.iter().any(|it| it.key == key),
            "{key}: {errors}"
        );
    }
    let findings = site.issuer("jwks_url = \"https://idp.example/keys\"\naudience = []");
    assert_names(&findings, "auth.issuers[0].issuer", "iss claim");
    assert_names(
        &findings,
        "auth.issuers[0].audience",
        "at least one audience",
    );
    let findings = site.issuer("issuer = \"i\"\naudience = [\"\"]\ndiscovery = true");
    assert_names(&findings, "auth.issuers[0].audience", "none may be empty");
    assert_names(&findings, "auth.issuers[0].issuer", "https://");
    let twice = refused(site.load(&(site.good() + ISSUER)));
    assert_names(
        &twice.findings,
        "auth.issuers[1].issuer",
        "one issuer, one block",
    );

    let pageless = site
        .load_with(
            &site.good(),
            &[
                ("WARDROOM__ADMISSION__ALLOWED_ORIGINS", ""),
                ("WARDROOM__PAGE__ENABLED", "false"),
            ],
        )
        .expect("services alone");
    assert_names(
        &pageless.warnings,
        "admission.allowed_origins",
        "no browser",
    );
}

#[test]
fn an_origin_is_a_scheme_a_host_and_a_port() {
    let site = Site::new();
    for wrong in [
        "https://chat.example/",
        "chat.example",
        "*",
        "https://*.chat.example",
    ] {
        let findings = site.with_variables(&[("WARDROOM__ADMISSION__ALLOWED_ORIGINS", wrong)]);
        assert_names(&findings, "admission.allowed_origins", "scheme://host");
    }
    let null = site
        .load_with(
            &site.good(),
            &[(
                "WARDROOM__ADMISSION__ALLOWED_ORIGINS",
                "https://a.example,null",
            )],
        )
        .expect("null, by name");
    assert_names(&null.warnings, "admission.allowed_origins", "sandboxed");
}

#[test]
fn an_issuer_has_exactly_one_source_of_keys() {
    let site = Site::new();
    let base = "issuer = \"https://idp.example\"\naudience = [\"wardroom\"]\n";
    let public = format!("public_key_file = {:?}\n", site.path("public.pem"));
    for block in [
        base.to_owned(),
        format!("{base}jwks_url = \"https://idp.example/keys\"\ndiscovery = true\n"),
        format!("{base}discovery = true\n{public}"),
    ] {
        assert_names(&site.issuer(&block), "auth.issuers[0]", "exactly one of");
    }
    assert_eq!(site.issuer(&format!("{base}{public}")), []);
    assert_eq!(site.issuer(&format!("{base}discovery = true\n")), []);
    for wrong in [
        "http://idp.example/keys",
        "http://localhost.evil.example/keys",
        "http://127.0.0.1@evil.example/keys",
        "https://",
        "https://user:password@idp.example/keys",
        "https://idp.example/keys#x",
        "https://idp.example/ keys",
    ] {
        let findings = site.issuer(&format!("{base}jwks_url = \"{wrong}\"\n"));
        assert_names(&findings, "auth.issuers[0].jwks_url", "must be an https://");
        assert!(!format!("{findings:?}").contains("password@"));
    }
    let local = format!("{base}jwks_url = \"http://[::1]/keys\"\n");
    let loaded = site
        .load(&format!("{}[[auth.issuers]]\n{local}", site.head()))
        .expect("this machine");
    assert_names(
        &loaded.warnings,
        "auth.issuers[0].jwks_url",
        "is plain HTTP",
    );
    let private = format!("{base}public_key_file = {:?}\n", site.path("tls.key"));
    assert_names(
        &site.issuer(&private),
        "auth.issuers[0].public_key_file",
        "holds a private key",
    );
}

#[test]
fn a_shared_secret_stands_alone_and_is_long_and_unknown() {
    let site = Site::new();
    let block = |algorithms: &str, file: &Path| {
        format!(
            "issuer = \"i\"\naudience = [\"wardroom\"]\nalgorithms = [{algorithms}]\nsecret_file = {file:?}\n"
        )
    };
    let good = site.path("secret");
    assert_eq!(site.issuer(&block("\"HS256\"", &good)), []);
    for (algorithms, says) in [
        ("\"HS256\", \"RS256\"", "stands alone"),
        ("\"RS256\"", "must be [\"HS256\"]"),
        ("\"none\"", "\"none\" is none of"),
        ("\"HS512\"", "is none of"),
        ("\"ES512\"", "is none of"),
        ("\"hs256\"", "is none of"),
        ("", "is empty"),
    ] {
        assert_names(
            &site.issuer(&block(algorithms, &good)),
            "auth.issuers[0].algorithms",
            says,
        );
    }
    let without = "issuer = \"i\"\naudience = [\"wardroom\"]\nalgorithms = [\"HS256\"]\n\
                   jwks_url = \"https://idp.example/keys\"\n";
    assert_names(
        &site.issuer(without),
        "auth.issuers[0].algorithms",
        "HS256 needs secret_file",
    );
    let key = "auth.issuers[0].secret_file";
    for (secret, says) in [
        ("x".repeat(31), "holds 31 bytes"),
        (format!("{}\n", "x".repeat(31)), "holds 31 bytes"),
        (format!("{}\n\n", "x".repeat(40)), "one line"),
        (format!(" {}", "x".repeat(40)), "one line"),
        (format!("{}\0", "x".repeat(40)), "one line"),
        (
            "an-example-secret-that-everybody-can-read\n".to_owned(),
            "everybody knows",
        ),
        (
            "a-string-secret-at-least-256-bits-long".to_owned(),
            "everybody knows",
        ),
        (String::new(), "is empty"),
    ] {
        let file = site.write("bad-secret", &secret, 0o600);
        assert_names(&site.issuer(&block("\"HS256\"", &file)), key, says);
    }
    let binary = site.write("binary-secret", [0xff; 40], 0o600);
    assert_names(
        &site.issuer(&block("\"HS256\"", &binary)),
        key,
        "is not text",
    );
    for fits in [
        "x".repeat(32),
        format!("{}\n", "x".repeat(32)),
        format!("{}\r\n", "y".repeat(64)),
    ] {
        let file = site.write("good-secret", &fits, 0o600);
        assert_eq!(site.issuer(&block("\"HS256\"", &file)), []);
    }
}

#[test]
fn the_documentation_s_example_secret_is_the_one_that_is_refused() {
    let page = include_str!("../../docs/configuration.md");
    assert!(page.contains("`an-example-secret-that-everybody-can-read`"));
}
