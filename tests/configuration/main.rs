//! The promises of the configuration: a wrong one does not start, every reason is named at once, and nothing secret is shown.

mod mistakes;
mod every_key;
mod people;
mod named_files;
mod environment;
mod availability;
mod development;
mod printing;
mod documentation;
mod command_line;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use wardroom::config::{
    Config, Loaded,
    environment::Environment,
    finding::{ConfigErrors, Finding},
};

/// A folder with everything that a production configuration names.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let site = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
        site.write("tls.crt", pair.cert.pem(), 0o644);
        site.write("tls.key", pair.signing_key.serialize_pem(), 0o600);
        site.write("public.pem", pair.signing_key.public_key_pem(), 0o644);
        site.write("secret", format!("{}\n", "s3".repeat(16)), 0o600);
        site.write(
            "security.txt",
            "Contact: mailto:security@chat.example\nExpires: 2030-01-01T00:00:00Z\n",
            0o644,
        );
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    /// What stands before the issuers in a configuration that `serve` accepts.
    fn head(&self) -> String {
        format!(
            "[listen]\npublic = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
             [tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n\
             [admission]\nallowed_origins = [\"https://chat.example\"]\n",
            self.path("tls.crt").display(),
            self.path("tls.key").display(),
        )
    }

    /// A configuration that `serve` accepts.
    fn good(&self) -> String {
        self.head() + ISSUER
    }

    /// A value with `{name}` replaced by the path of that file.
    fn fill(&self, written: &str) -> String {
        match (written.find('{'), written.find('}')) {
            (Some(from), Some(to)) => format!(
                "{}{}{}",
                &written[..from],
                self.path(&written[from + 1..to]).display(),
                &written[to + 1..]
            ),
            _ => written.to_owned(),
        }
    }

    fn load(&self, text: &str) -> Result<Loaded, ConfigErrors> {
        self.load_with(text, &[])
    }

    fn load_with(&self, text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
        let file = self.write("wardroom.toml", text, 0o644);
        Config::load(
            Some(&file),
            &Environment::from_pairs(variables.iter().copied()),
        )
    }

    /// The findings of a configuration with one block of `[[auth.issuers]]`.
    fn issuer(&self, block: &str) -> Vec<Finding> {
        let text = format!("{}[[auth.issuers]]\n{block}", self.head());
        self.load(&text)
            .map_or_else(|errors| errors.findings, |_| Vec::new())
    }

    fn with_variables(&self, variables: &[(&str, &str)]) -> Vec<Finding> {
        self.load_with(&self.good(), variables)
            .map_or_else(|errors| errors.findings, |_| Vec::new())
    }
}

const ISSUER: &str = "[[auth.issuers]]\nissuer = \"https://idp.example\"\naudience = [\"wardroom\"]\n\
                      jwks_url = \"https://idp.example/keys\"\n";

#[track_caller]
fn assert_names(findings: &[Finding], key: &str, text: &str) {
    assert!(
        findings
            .iter()
            .any(|finding| finding.key == key && finding.text.contains(text)),
        "no finding about {key} says {text:?}: {findings:#?}"
    );
}

#[track_caller]
fn refused(result: Result<Loaded, ConfigErrors>) -> ConfigErrors {
    result.expect_err("the configuration is refused")
}

fn variable(key: &str) -> String {
    format!("WARDROOM__{}", key.to_uppercase().replace('.', "__"))
}
