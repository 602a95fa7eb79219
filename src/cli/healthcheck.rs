//! `wardroom healthcheck`: asks a node's admin listener over plain HTTP and reads one status line.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::Duration,
};

use clap::Args;
use wardroom::config::{Config, environment::Environment};

use crate::cli::{exit::Exit, output};

/// For connecting, for writing and for each part of the answer: a probe that hangs is a probe that failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// No status line is longer.
const LINE_BYTES_MAX: u64 = 1024;

/// What `healthcheck` takes.
#[derive(Args, Debug)]
pub(super) struct Healthcheck {
    #[arg(
        long,
        value_name = "URL",
        help = "What to ask, over plain http; without it the admin listener's /readyz on this machine, where \
                WARDROOM__LISTEN__ADMIN says, else port 9090"
    )]
    url: Option<String>,
}

impl Healthcheck {
    pub(super) fn run(self) -> Exit {
        let url = self.url.unwrap_or_else(|| {
            let said = Environment::of_process()
                .get("WARDROOM__LISTEN__ADMIN")
                .and_then(|address| address.parse().ok());
            format!("http://{}/readyz", reachable(said.unwrap_or_else(admin)))
        });
        match ask(&url) {
            Ok(200) => Exit::Done,
            Ok(status) => {
                output::complain(&format!("{url} answers {status}"));
                Exit::Failed
            }
            Err(why) => {
                output::complain(&format!("{url}: {why}"));
                Exit::Failed
            }
        }
    }
}

/// Where the admin listener is when nobody says otherwise.
fn admin() -> SocketAddr {
    Config::defaults().listen.admin
}

/// An address that listens everywhere is asked on loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The status of the answer.
fn ask(url: &str) -> Result<u16, String> {
    let rest = url
        .strip_prefix("http://")
        .ok_or("only plain http:// can be asked: the admin listener speaks no TLS")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) || authority.is_empty() {
        return Err("this is no address".to_owned());
    }
    let with_port = if authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let mut stream = connect(&with_port)?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .map_err(|error| error.to_string())?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX))
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    line.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| "the answer is not HTTP/1.1".to_owned())
}

fn connect(authority: &str) -> Result<TcpStream, String> {
    let mut why = "the name has no address".to_owned();
    let addresses = authority
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream
                    .set_read_timeout(Some(PATIENCE))
                    .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
                    .map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        for (listens, asked) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("192.0.2.7:9090", "192.0.2.7:9090"),
        ] {
            assert_eq!(
                reachable(listens.parse().expect(listens)).to_string(),
                asked
            );
        }
    }
}
