//! `wardroom dev`: everything that a first look needs, made on the spot, on loopback only.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use wardroom::{
    auth::mint::{Minter, TokenSpec},
    clock::Clock,
    config::{Config, environment::Environment, telemetry::LogFormat},
    telemetry::{logging, metrics::Metrics, process::VERSION},
};

use crate::cli::{
    certificate::{Folder, Pair},
    exit::Exit,
    output, process, refusal,
    run::{self, Addresses, Start},
};

/// Where the pair lies, below the working directory.
const FOLDER: &str = "certs/dev";

/// A pair that ends sooner is made anew: a working day should not end with a browser's warning.
const LEFT_MIN: Duration = Duration::from_hours(24);

/// The people whose links are printed. Two, for a chat with oneself shows nothing.
const PEOPLE: [&str; 2] = ["Alice", "Bob"];

/// `dev` takes nothing; the environment may move it (`WARDROOM__LISTEN__PUBLIC`, `WARDROOM__LISTEN__ADMIN`).
#[derive(Args, Debug)]
pub(super) struct Dev {}

impl Dev {
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(super) fn run(self) -> Exit {
        let folder = Folder::new(FOLDER);
        let environment = Environment::of_process();
        let loaded = match Config::development(&environment, &folder.certificate(), &folder.key()) {
            Ok(loaded) => loaded,
            Err(errors) => return refusal::tell(&errors),
        };
        let clock = Clock::system();
        let prepared = certificate(&folder, &clock).and_then(|()| links(&clock));
        let (minter, people) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                output::complain(&format!("{error:#}"));
                return Exit::Failed;
            }
        };
        let metrics = Metrics::new();
        let _log = match logging::start(&loaded.config, &metrics) {
            Ok(log) => log,
            Err(error) => {
                output::complain(&error.to_string());
                return Exit::Failed;
            }
        };
        process::prepare();
        refusal::log_warnings(&loaded.warnings);
        let format = loaded.config.telemetry.log_format;
        run::blocking(
            loaded.config,
            Start::Dev(minter),
            metrics,
            move |addresses| {
                let banner = Banner {
                    addresses,
                    people,
                    ca: folder.ca().display().to_string(),
                };
                output::say(&match format {
                    LogFormat::Json => banner.json(&clock),
                    LogFormat::Text => banner.text(),
                });
            },
        )
    }
}

/// The pair of the last days, or a new one.
fn certificate(folder: &Folder, clock: &Clock) -> anyhow::Result<()> {
    let now = clock.unix_s();
    if folder.is_good_for(LEFT_MIN, now) {
        return Ok(());
    }
    let pair = Pair::make(&[], now).context("the development certificate cannot be made")?;
    folder.write(&pair)?;
    folder.remember_end(&pair)
}

/// A key for this run, and a token of it for each of the people.
fn links(clock: &Clock) -> anyhow::Result<(Minter, Vec<(&'static str, String)>)> {
    let minter = Minter::ephemeral().context("the development key cannot be made")?;
    let people = PEOPLE
        .into_iter()
        .map(|name| {
            let token = minter.mint(&TokenSpec::development(name), clock.unix_s())?;
            Ok((name, token))
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((minter, people))
}

/// What is said once everything is there. The one place where a token is printed: nobody but this machine can use it.
struct Banner {
    addresses: Addresses,
    people: Vec<(&'static str, String)>,
    ca: String,
}

impl Banner {
    fn page(&self) -> String {
        format!("https://localhost:{}/", self.addresses.public.port())
    }

    fn links(&self) -> impl Iterator<Item = (&str, String)> {
        self.people
            .iter()
            .map(|(name, token)| (*name, format!("{}#token={token}", self.page())))
    }

    fn text(&self) -> String {
        let links: Vec<String> = self
            .links()
            .map(|(name, link)| format!("  {name:<7}{link}"))
            .collect();
        format!(
            "\n  Wardroom {VERSION}   DEVELOPMENT: this machine only, a token for whoever asks; what is said stays in data/\n\n  \
             page   {}\n{}\n  admin  http://{}/readyz\n\n  \
             Open both links, each in a window of its own. The certificate is our own: trust {}, or tell the browser once that you mean it. Ctrl-C stops.\n\n",
            self.page(),
            links.join("\n"),
            self.addresses.admin,
            self.ca
        )
    }

    fn json(&self, clock: &Clock) -> String {
        let time = i64::try_from(clock.unix_ms())
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let links: serde_json::Map<String, serde_json::Value> = self
            .links()
            .map(|(name, link)| (name.to_owned(), link.into()))
            .collect();
        let line = json!({
            "timestamp": time.map(|time| time.to_string()),
            "level": "INFO",
            "target": "wardroom::dev",
            "message": "DEVELOPMENT: this machine only, a token for whoever asks; what is said stays in data/",
            "version": VERSION,
            "page": self.page(),
            "links": links,
            "admin": format!("http://{}/readyz", self.addresses.admin),
            "ca": self.ca,
        });
        format!("{line}\n")
    }
}

#[cfg(test)]
mod tests {
    use wardroom::clock::Clock;

    use super::Banner;
    use crate::cli::run::Addresses;

    fn banner() -> Banner {
        Banner {
            addresses: Addresses {
                public: "127.0.0.1:43211".parse().expect("an address"),
                admin: "127.0.0.1:43212".parse().expect("an address"),
            },
            people: vec![("Alice", "a.b.c".to_owned()), ("Bob", "d.e.f".to_owned())],
            ca: "certs/dev/ca.crt".to_owned(),
        }
    }

    #[test]
    fn the_banner_says_development_and_has_a_ready_link_for_two() {
        let text = banner().text();
        for part in [
            "DEVELOPMENT",
            "https://localhost:43211/\n",
            "https://localhost:43211/#token=a.b.c\n",
            "https://localhost:43211/#token=d.e.f\n",
            "http://127.0.0.1:43212/readyz",
            "certs/dev/ca.crt",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn in_json_the_banner_is_one_line_too() {
        let line = banner().json(&Clock::manual(1_795_521_600_000));
        assert_eq!(line.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["timestamp"], "2026-11-24T12:00:00Z");
        assert_eq!(
            value["links"]["Alice"],
            "https://localhost:43211/#token=a.b.c"
        );
        assert!(
            value["message"]
                .as_str()
                .expect("text")
                .starts_with("DEVELOPMENT")
        );
    }
}
