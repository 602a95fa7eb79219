//! The environment over the file over the defaults.

use wardroom::config::finding::Source;

use crate::{Site, assert_names};

#[test]
fn the_environment_is_laid_over_the_file_and_the_file_over_the_defaults() {
    let site = Site::new();
    let text = site.good() + "[limits]\nrooms_max = 7\ninflight_max = 8\n";
    let loaded = site
        .load_with(
            &text,
            &[
                ("WARDROOM__LIMITS__ROOMS_MAX", "9"),
                ("WARDROOM__LISTEN__PUBLIC", "127.0.0.1:1"),
                ("WARDROOM__AUTH__DEFAULTS__ROOMS", "lobby, support:*"),
                ("WARDROOM__NICKNAMES__RESERVED", "[\"a,b\", 'c']"),
                ("WARDROOM__PAGE__TITLE", "true"),
                ("WARDROOM_LOG", "is none of ours"),
                ("PATH", "/bin"),
            ],
        )
        .expect("good");
    let config = loaded.config;
    assert_eq!(config.limits.rooms_max, 9);
    assert_eq!(config.limits.inflight_max, 8);
    assert_eq!(config.limits.strikes_max, 10);
    assert_eq!(config.listen.public.to_string(), "127.0.0.1:1");
    assert_eq!(config.auth.defaults.rooms, ["lobby", "support:*"]);
    assert_eq!(config.nicknames.reserved, ["a,b", "c"]);
    assert_eq!(config.page.title, "true");
    assert_eq!(
        loaded.sources["limits.rooms_max"],
        Source::Environment {
            variable: "WARDROOM__LIMITS__ROOMS_MAX".to_owned()
        }
    );
    assert!(matches!(
        loaded.sources["limits.inflight_max"],
        Source::File { .. }
    ));
    assert_eq!(
        config.auth.issuers[0].token_types,
        ["at+jwt", "application/at+jwt", "JWT"]
    );
}

#[test]
fn a_list_of_blocks_from_the_environment_replaces_the_file_s() {
    let site = Site::new();
    let two = "[{ issuer = \"a\", audience = [\"w\"], jwks_url = \"https://a.example/k\" }, \
               { issuer = \"b\", audience = [\"w\"], jwks_url = \"https://b.example/k\" }]";
    let loaded = site
        .load_with(&site.good(), &[("WARDROOM__AUTH__ISSUERS", two)])
        .expect("two issuers");
    let names: Vec<&str> = loaded
        .config
        .auth
        .issuers
        .iter()
        .map(|it| it.issuer.as_str())
        .collect();
    assert_eq!(names, ["a", "b"]);
    let wrong = "[{ issuer = \"a\", audience = \"w\", jwksurl = \"x\" }]";
    let findings = site.with_variables(&[("WARDROOM__AUTH__ISSUERS", wrong)]);
    assert_names(&findings, "auth.issuers[0].audience", "square brackets");
    assert_names(
        &findings,
        "auth.issuers[0].jwksurl",
        "did you mean jwks_url?",
    );
    assert!(findings.iter().all(|it| it.source
        == Source::Environment {
            variable: "WARDROOM__AUTH__ISSUERS".to_owned()
        }));
}

#[test]
fn every_mistake_of_the_environment_is_told_with_its_variable() {
    let site = Site::new();
    let findings = site.with_variables(&[
        ("WARDROOM__LIMITS__CONECTIONS_MAX", "5"),
        ("WARDROOM__LIMITS__ROOMS_MAX", "many"),
        ("WARDROOM__LIMITS__INFLIGHT_MAX", "0"),
        ("WARDROOM__LIMITS", "5"),
        ("WARDROOM__LOG__ENGINE", "memry"),
        ("WARDROOM__", "x"),
    ]);
    for (key, says) in [
        (
            "limits.conections_max",
            "did you mean WARDROOM__LIMITS__CONNECTIONS_MAX?",
        ),
        ("limits.rooms_max", "a whole number"),
        ("limits.inflight_max", "1 to 10000"),
        ("limits", "is a section"),
        ("log.engine", "did you mean \"memory\"?"),
        ("", "no such key"),
    ] {
        assert_names(&findings, key, says);
    }
    assert!(
        findings
            .iter()
            .all(|it| matches!(it.source, Source::Environment { .. }))
    );
}
