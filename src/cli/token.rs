//! `wardroom token`: a token for tests, signed with a local key.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use wardroom::{
    auth::mint::{Minter, TokenSpec},
    clock::Clock,
    config::Config,
};

use crate::cli::{exit::Exit, output};

/// What `token` takes.
#[derive(Args, Debug)]
pub(super) struct Token {
    /// Who it is: the sub claim
    #[arg(long)]
    sub: String,
    /// The nickname claim
    #[arg(long)]
    nick: Option<String>,
    /// The rooms claim: names, and prefixes that end in *, with commas
    #[arg(long, value_delimiter = ',')]
    rooms: Option<Vec<String>>,
    /// The scope claim, for example 'chat chat:publish'
    #[arg(long)]
    scope: Option<String>,
    /// How long it lives, for example 90s, 5m or 1h
    #[arg(long, default_value = "1h", value_parser = life)]
    ttl: Duration,
    /// The private key in PEM (its kind chooses the algorithm), or a shared secret for HS256
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The kid header: which key of the issuer's set verifies it
    #[arg(long, value_name = "KEY ID")]
    kid: Option<String>,
    /// The iss claim
    #[arg(long, value_name = "ISSUER", default_value = Config::DEV_ISSUER)]
    iss: String,
    /// The aud claim
    #[arg(long, value_name = "AUDIENCE", default_value = Config::DEV_AUDIENCE)]
    aud: String,
}

impl Token {
    pub(super) fn run(self) -> Exit {
        let key = self.key.clone();
        let spec = TokenSpec {
            issuer: self.iss,
            audience: self.aud,
            subject: self.sub,
            nickname: self.nick,
            rooms: self.rooms,
            scope: self.scope,
            life: self.ttl,
            key_id: self.kid,
        };
        let minted =
            Minter::read(&key).and_then(|minter| minter.mint(&spec, Clock::system().unix_s()));
        match minted {
            Ok(token) => {
                output::say(&format!("{token}\n"));
                Exit::Done
            }
            Err(error) => {
                output::complain(&error.to_string());
                Exit::Failed
            }
        }
    }
}

/// A friendly duration of at least a second.
fn life(written: &str) -> Result<Duration, String> {
    let life: jiff::SignedDuration = written
        .parse()
        .map_err(|_| "write a duration as 90s, 5m or 1h30m".to_owned())?;
    Duration::try_from(life)
        .ok()
        .filter(|life| life.as_secs() > 0)
        .ok_or_else(|| "a token lives for a second at least".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::life;

    #[test]
    fn a_life_is_written_as_people_say_it() {
        for (written, seconds) in [
            ("1h", 3600),
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5400),
            ("2 hours", 7200),
        ] {
            assert_eq!(life(written), Ok(Duration::from_secs(seconds)), "{written}");
        }
        for wrong in ["", "5", "0s", "-1h", "soon", "500ms"] {
            assert!(life(wrong).is_err(), "{wrong}");
        }
    }
}
