//! Row O1: what is misspelt, of the wrong type, out of range, written twice or contradicts another key.

use wardroom::config::{Config, environment::Environment, finding::Source};

use crate::{Site, assert_names, refused};

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_key_line_and_suggestion() {
    let site = Site::new();
    let text = "[limits]\n\
                conections_max = 5\n\
                rooms_max = \"many\"\n\
                inflight_max = 0\n\
                [telemetri]\n\
                log_level = \"info\"\n\
                [log]\n\
                engine = \"memry\"\n\
                [limits]\n\
                typing_per_s = 1\n";
    let errors = refused(site.load(text));
    let found: Vec<(&str, usize)> = errors
        .findings
        .iter()
        .filter_map(|finding| match finding.source {
            Source::File { line } => Some((finding.key.as_str(), line)),
            _ => None,
        })
        .collect();
    assert_eq!(
        found,
        [
            ("limits.conections_max", 2),
            ("limits.rooms_max", 3),
            ("limits.inflight_max", 4),
            ("telemetri", 5),
            ("log.engine", 8),
            ("(syntax)", 9),
        ]
    );
    let findings = &errors.findings;
    assert_names(
        findings,
        "limits.conections_max",
        "did you mean connections_max?",
    );
    assert_names(findings, "limits.rooms_max", "a whole number");
    assert_names(findings, "limits.inflight_max", "1 to 10000");
    assert_names(findings, "telemetri", "did you mean telemetry?");
    assert_names(findings, "log.engine", "did you mean \"memory\"?");
    assert_names(findings, "(syntax)", "written before");
    // And what is missing is told in the same breath.
    assert_names(findings, "auth.issuers", "no identity provider");
    assert_names(findings, "admission.allowed_origins", "empty");
    assert_names(findings, "tls.cert_file", "does not exist");
    let shown = errors.to_string();
    assert!(shown.contains("limits.conections_max (line 2)"), "{shown}");
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    let site = Site::new();
    let errors =
        refused(site.load(&(site.good() + "[limits]\ntext_bytes_max = 5\nlog_Level = 3\n")));
    assert_names(
        &errors.findings,
        "limits.text_bytes_max",
        "content.text_bytes_max is the one",
    );
    assert_names(
        &errors.findings,
        "limits.log_Level",
        "telemetry.log_level is the one",
    );
}

#[test]
fn types_are_not_guessed() {
    let site = Site::new();
    for (text, key, says) in [
        ("[tls]\nmin_version = 1.3", "tls.min_version", "in quotes"),
        (
            "[page]\nenabled = \"true\"",
            "page.enabled",
            "leave the quotes out",
        ),
        (
            "[limits]\nrooms_max = 1.5",
            "limits.rooms_max",
            "a whole number",
        ),
        (
            "[limits]\nrooms_max = 99999999999999999999",
            "limits.rooms_max",
            "64 bits",
        ),
        (
            "[limits]\nrooms_max = -1",
            "limits.rooms_max",
            "out of range",
        ),
        (
            "[listen]\ntrusted_proxies = \"10.0.0.0/8\"",
            "listen.trusted_proxies",
            "square brackets",
        ),
        (
            "[listen]\ntrusted_proxies = [\"10.0.0.1\"]",
            "listen.trusted_proxies",
            "192.0.2.7/32",
        ),
        (
            "[listen]\ntrusted_proxies = [7]",
            "listen.trusted_proxies",
            "something else",
        ),
        (
            "[listen]\npublic = \"8443\"",
            "listen.public",
            "0.0.0.0:8443",
        ),
        ("limits = 5", "limits", "write [limits]"),
        (
            "[auth.issuers]\nissuer = \"x\"",
            "auth.issuers",
            "write [[auth.issuers]]",
        ),
        ("auth.issuers = [5]", "auth.issuers[0]", "must be a table"),
    ] {
        assert_names(&refused(site.load(text)).findings, key, says);
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line_and_without_its_content() {
    let site = Site::new();
    let errors = refused(site.load("[listen]\npublic = hunter2-is-my-password\n"));
    assert_eq!(errors.findings.len(), 1, "{errors}");
    assert!(matches!(
        errors.findings[0].source,
        Source::File { line: 2 }
    ));
    assert!(!errors.to_string().contains("hunter2"), "{errors}");
    assert!(!format!("{errors:?}").contains("hunter2"), "{errors:?}");

    let missing = refused(Config::load(
        Some(&site.path("nowhere.toml")),
        &Environment::default(),
    ));
    assert_names(&missing.findings, "--config", "nowhere.toml cannot be read");
}

#[test]
fn two_keys_that_contradict_each_other_are_refused() {
    let site = Site::new();
    for (variables, key) in [
        (
            &[("WARDROOM__LIMITS__HISTORY_PAGE_BYTES_MAX", "65537")][..],
            "limits.history_page_bytes_max",
        ),
        (
            &[("WARDROOM__CONTENT__TEXT_BYTES_MAX", "5121")],
            "limits.ws_message_bytes_max",
        ),
        (
            &[("WARDROOM__LIMITS__BODY_BYTES_MAX", "13311")],
            "limits.body_bytes_max",
        ),
        (
            &[("WARDROOM__LIMITS__WS_FRAME_BYTES_MAX", "16385")],
            "limits.ws_message_bytes_max",
        ),
        (
            &[("WARDROOM__LIMITS__WS_SILENCE_MS", "49999")],
            "limits.ws_silence_ms",
        ),
        (
            &[
                ("WARDROOM__LISTEN__PUBLIC", "127.0.0.1:7001"),
                ("WARDROOM__LISTEN__ADMIN", "127.0.0.1:7001"),
            ],
            "listen.admin",
        ),
    ] {
        let findings = site.with_variables(variables);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_eq!(findings[0].key, key);
    }
    for fits in [
        ("WARDROOM__LIMITS__HISTORY_PAGE_BYTES_MAX", "65536"),
        ("WARDROOM__CONTENT__TEXT_BYTES_MAX", "5120"),
        ("WARDROOM__LIMITS__BODY_BYTES_MAX", "13312"),
        ("WARDROOM__LIMITS__WS_FRAME_BYTES_MAX", "16384"),
        ("WARDROOM__LIMITS__WS_SILENCE_MS", "50000"),
    ] {
        assert_eq!(site.with_variables(&[fits]), []);
    }
    assert!(Config::defaults().contradictions().is_empty());
}
