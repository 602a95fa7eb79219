//! Keys whose feature is not built yet.

use wardroom::config::{availability::LATER, ranges::RANGES};

use crate::{Site, assert_names, refused, variable};

#[test]
fn a_key_whose_feature_is_not_built_is_refused_by_name() {
    let site = Site::new();
    for (key, value) in [
        ("redis.urls", "redis://localhost"),
        ("redis.topology", "cluster"),
        ("redis.sentinel_master", "m"),
        ("redis.ca_file", "ca.crt"),
        ("redis.username", "u"),
        ("redis.password_file", "p"),
        ("redis.durability", "fsync"),
        ("redis.envelope_key_file", "k"),
        ("page.issuer", "https://idp.example"),
        ("page.client_id", "c"),
        ("page.scope", "openid email"),
        ("page.resource", "r"),
        ("telemetry.otlp_endpoint", "https://otlp.example"),
        ("telemetry.audit_file", "audit.log"),
    ] {
        let findings = site.with_variables(&[(&variable(key), value)]);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert_names(&findings, key, "is not available in this version");
    }
    let block = "[[rooms]]\nname = \"scores:*\"\nkind = \"feed\"\n[[rooms]]\nname = \"pad\"\nkind = \"doc\"\n\
                 [[rooms]]\nname = \"lobby\"\n";
    let errors = refused(site.load(&(site.good() + block)));
    assert_names(&errors.findings, "rooms[0].kind", "not available");
    assert_names(&errors.findings, "rooms[1].kind", "not available");
    assert_eq!(errors.findings.len(), 2, "{errors}");
    let logout = "issuer = \"i\"\naudience = [\"w\"]\njwks_url = \"https://idp.example/k\"\nclient_ids = [\"c\"]\n";
    assert_names(
        &site.issuer(logout),
        "auth.issuers[0].client_ids",
        "back-channel logout",
    );
    // Written out with its default, a key is no request for the feature.
    assert_eq!(
        site.with_variables(&[
            ("WARDROOM__REDIS__TOPOLOGY", "standalone"),
            ("WARDROOM__REDIS__DURABILITY", "primary")
        ]),
        []
    );
}

#[test]
fn a_bound_of_a_feature_that_is_not_built_says_that_it_has_no_effect() {
    let site = Site::new();
    for (key, _) in LATER {
        let range = RANGES.iter().find(|range| range.key == *key).expect(key);
        let loaded = site
            .load_with(&site.good(), &[(&variable(key), &range.min.to_string())])
            .expect("a bound");
        assert_names(&loaded.warnings, key, "has no effect in this version");
    }
}
