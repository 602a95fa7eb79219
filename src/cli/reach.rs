//! Whether an identity provider can be reached from here, for `check`. What it answers is for `serve` to judge: it starts while
//! a provider is down, and says so.

use std::{
    net::{TcpStream, ToSocketAddrs},
    time::Duration,
};

use wardroom::{auth::fetch::HttpsUrl, config::auth::Issuer};

/// `check` is run by people, who wait for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects to where the issuer's keys are read. An issuer with a key of its own is always in reach.
pub(super) fn issuer(issuer: &Issuer) -> Result<(), String> {
    let url = if issuer.discovery {
        &issuer.issuer
    } else {
        &issuer.jwks_url
    };
    if url.is_empty() {
        return Ok(());
    }
    let url = HttpsUrl::parse(url).map_err(|error| error.to_string())?;
    let (host, port) = (url.host(), url.port());
    let mut why = "the name has no address".to_owned();
    let addresses = (host, port)
        .to_socket_addrs()
        .map_err(|error| format!("{host}: {error}"))?;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => why = format!("{host} port {port}: {error}"),
        }
    }
    Err(why)
}
