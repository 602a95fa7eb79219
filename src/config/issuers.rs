//! Whom the gateway believes about people: what a block of `[[auth.issuers]]` must say.

use std::{collections::HashSet, path::Path};

use crate::config::{
    auth::{Auth, Issuer},
    files,
    production::Report,
};

/// The signatures that a public key can check.
const ASYMMETRIC: [&str; 9] = [
    "ES256", "ES384", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA",
];

/// Looks at every block, its files included.
pub(super) fn check(auth: &Auth, report: &mut Report) {
    if auth.issuers.is_empty() {
        report.refuse(
            "auth.issuers",
            "no identity provider is named, so nobody could come in: write a block [[auth.issuers]]",
        );
    }
    let mut seen = HashSet::new();
    for (index, issuer) in auth.issuers.iter().enumerate() {
        let block = Block {
            key: format!("auth.issuers[{index}]"),
            issuer,
        };
        block.names(report, seen.insert(&issuer.issuer));
        block.algorithms(report);
        block.keys(report);
    }
}

struct Block<'a> {
    key: String,
    issuer: &'a Issuer,
}

impl Block<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.key)
    }

    fn names(&self, report: &mut Report, first: bool) {
        let issuer = self.issuer;
        if issuer.issuer.is_empty() {
            report.refuse(self.key("issuer"), "must be the iss claim of the tokens");
        } else if !first {
            report.refuse(
                self.key("issuer"),
                "has a block already: one issuer, one block",
            );
        }
        if issuer.audience.is_empty() || issuer.audience.iter().any(String::is_empty) {
            report.refuse(
                self.key("audience"),
                "must name at least one audience, and none may be empty: without it, a token made for any other service \
                 opens this one",
            );
        }
        if issuer.token_types.is_empty() {
            report.refuse(
                self.key("token_types"),
                "is empty, so that no token could be accepted",
            );
        }
        if issuer.audience_claim.is_empty() {
            report.refuse(self.key("audience_claim"), "must name a claim");
        }
    }

    fn algorithms(&self, report: &mut Report) {
        let key = self.key("algorithms");
        let algorithms = &self.issuer.algorithms;
        let shared = algorithms.iter().any(|name| name == "HS256");
        let has_secret = is_set(&self.issuer.secret_file);
        if algorithms.is_empty() {
            report.refuse(&key, "is empty, so that no token could be accepted");
        }
        for name in algorithms {
            if name != "HS256" && !ASYMMETRIC.contains(&name.as_str()) {
                report.refuse(
                    &key,
                    format!("{name:?} is none of {}, HS256", ASYMMETRIC.join(", ")),
                );
            }
        }
        if shared && algorithms.len() > 1 {
            report.refuse(
                &key,
                "HS256 stands alone: beside another algorithm a public key could be taken for a secret",
            );
        } else if shared && !has_secret {
            report.refuse(&key, "HS256 needs secret_file");
        } else if has_secret && !shared {
            report.refuse(
                &key,
                "must be [\"HS256\"], for secret_file holds a shared secret",
            );
        }
    }

    fn keys(&self, report: &mut Report) {
        let issuer = self.issuer;
        let sources = [
            !issuer.jwks_url.is_empty(),
            issuer.discovery,
            is_set(&issuer.public_key_file),
            is_set(&issuer.secret_file),
        ];
        if sources.iter().filter(|set| **set).count() != 1 {
            report.refuse(
                &self.key,
                "exactly one of jwks_url, discovery, public_key_file and secret_file must be set",
            );
        }
        if !issuer.jwks_url.is_empty() {
            self.address(report, "jwks_url", &issuer.jwks_url);
        }
        if issuer.discovery {
            self.address(report, "issuer", &issuer.issuer);
        }
        if is_set(&issuer.public_key_file) {
            report.file(
                self.key("public_key_file"),
                &issuer.public_key_file,
                files::public_key,
            );
        }
        if is_set(&issuer.secret_file) {
            report.secret_file(&self.key("secret_file"), &issuer.secret_file, files::secret);
        }
        if is_set(&issuer.ca_file) {
            report.file(self.key("ca_file"), &issuer.ca_file, files::certificates);
            if issuer.jwks_url.is_empty() && !issuer.discovery {
                report.refuse(
                    self.key("ca_file"),
                    "is for reading a key set, and this block reads none",
                );
            }
        }
    }

    /// The coarse form of an address where keys are read; whoever fetches it parses it.
    fn address(&self, report: &mut Report, name: &str, url: &str) {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?']).next());
        let is_plain = url.starts_with("http://");
        let good = authority.is_some_and(|authority| {
            !authority.is_empty()
                && !authority.contains('@')
                && (!is_plain || is_this_machine(authority))
        });
        if !good || url.contains('#') || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            report.refuse(
                self.key(name),
                "must be an https:// address (or http:// to this machine) without a user, a password or a fragment: keys are \
                 read there",
            );
        } else if is_plain {
            report.warn(
                self.key(name),
                "is plain HTTP: whoever holds that port of this machine says who people are",
            );
        }
    }
}

fn is_set(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// `localhost`, `127.0.0.1` or `[::1]`, with a port or without.
fn is_this_machine(authority: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|host| {
        authority
            .strip_prefix(host)
            .is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}
