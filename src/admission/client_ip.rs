//! Whose request is it? Without trusted proxies the peer's. Behind one, the single configured header tells, read from the
//! right: each proxy appends who connected to it, so the first entry from the right that no trusted proxy wrote about another
//! trusted proxy is the client. What stands further left is whatever the client liked to write.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use ipnet::IpNet;

use crate::config::{limits::Limits, listen::Listen};

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Who limits and records are about. It grants no right, whatever it is.
    pub address: IpAddr,
    /// Who is at the other end of the connection.
    pub peer: IpAddr,
    /// Whether the peer is a trusted proxy, so that the connection is not the client's own.
    pub proxied: bool,
}

/// The header could not be read on the way to the client; the peer's address was taken instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Finds the client of a request.
#[derive(Clone, Debug)]
pub(super) struct ClientIp {
    trusted: Vec<IpNet>,
    header: String,
    entries_max: usize,
}

impl ClientIp {
    pub(super) fn new(listen: &Listen, limits: &Limits) -> Self {
        Self {
            trusted: listen.trusted_proxies.clone(),
            header: listen.client_ip_header.clone(),
            entries_max: limits.forwarded_entries_max,
        }
    }

    /// The one header that is read, lower case.
    pub(super) fn header(&self) -> &str {
        &self.header
    }

    /// Whether the address is one of `listen.trusted_proxies`.
    pub(super) fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The client of a request of `peer`, whose header lines of the configured name are `lines`, in order.
    pub(super) fn find(
        &self,
        peer: IpAddr,
        lines: &[&[u8]],
    ) -> Result<Client, (Client, Malformed)> {
        let peer = peer.to_canonical();
        let client = |address| Client {
            address,
            peer,
            proxied: self.is_trusted(peer),
        };
        if !client(peer).proxied || lines.is_empty() {
            return Ok(client(peer));
        }
        self.walk(lines)
            .map(client)
            .map_err(|malformed| (client(peer), malformed))
    }

    /// From the right past trusted networks. If everybody is trusted, the leftmost: each entry was written by a trusted hop.
    fn walk(&self, lines: &[&[u8]]) -> Result<IpAddr, Malformed> {
        let (quoting, too_many) = (self.is_forwarded(), self.entries_max.saturating_add(1));
        let entries: Vec<&[u8]> = lines
            .iter()
            .rev()
            .flat_map(|line| from_right(line, quoting, too_many))
            .take(too_many)
            .collect();
        if entries.len() == too_many {
            return Err(Malformed);
        }
        let mut last = Err(Malformed);
        for entry in entries {
            let address = self.address_of(entry)?;
            last = Ok(address);
            if !self.is_trusted(address) {
                break;
            }
        }
        last
    }

    /// RFC 7239 has a grammar of its own; every other header is a list of addresses.
    fn is_forwarded(&self) -> bool {
        self.header == "forwarded"
    }

    fn address_of(&self, entry: &[u8]) -> Result<IpAddr, Malformed> {
        let entry = std::str::from_utf8(entry).map_err(|_| Malformed)?;
        let node = if self.is_forwarded() {
            forwarded_for(entry)?
        } else {
            entry.trim_matches([' ', '\t'])
        };
        node_address(node)
    }
}

/// The parts of a list between commas, last first, and at most `max` of them. Where strings may be quoted (RFC 7239 §4) a
/// comma in one separates nothing. Read from the right, so that a quote that the client never closed spoils only what the
/// client wrote.
fn from_right(line: &[u8], quoting: bool, max: usize) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = Some(line);
    while let Some(list) = rest.filter(|_| parts.len() < max) {
        let comma = last_comma(list, quoting);
        let (left, right) = match comma.and_then(|at| list.split_at_checked(at)) {
            Some((left, [_, right @ ..])) => (Some(left), right),
            _ => (None, list),
        };
        parts.push(right);
        rest = left;
    }
    parts
}

fn last_comma(list: &[u8], quoting: bool) -> Option<usize> {
    let mut quoted = false;
    for (at, byte) in list.iter().enumerate().rev() {
        match byte {
            b',' if !quoted => return Some(at),
            b'"' if quoting && !is_escaped(list, at) => quoted = !quoted,
            _ => {}
        }
    }
    None
}

fn is_escaped(list: &[u8], at: usize) -> bool {
    let before = list.get(..at).unwrap_or_default();
    let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// The `for` of one element of `Forwarded`, without its quotes. Exactly one, in any case.
fn forwarded_for(element: &str) -> Result<&str, Malformed> {
    let mut found = None;
    for pair in element.split(';') {
        let (name, value) = pair.split_once('=').ok_or(Malformed)?;
        if !name.trim_matches([' ', '\t']).eq_ignore_ascii_case("for") {
            continue;
        }
        let value = value.trim_matches([' ', '\t']);
        let value = match value.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or(Malformed)?,
            None => value,
        };
        if found.replace(value).is_some() {
            return Err(Malformed);
        }
    }
    found.ok_or(Malformed)
}

/// An address, with a port or without; `unknown`, hidden names and zones are none.
fn node_address(node: &str) -> Result<IpAddr, Malformed> {
    let address = node
        .parse::<IpAddr>()
        .or_else(|_| node.parse::<SocketAddr>().map(|with_port| with_port.ip()))
        .or_else(|_| bracketed(node))
        .map_err(|_| Malformed)?;
    let zoned = node
        .parse::<SocketAddrV6>()
        .is_ok_and(|v6| v6.scope_id() != 0);
    if zoned {
        return Err(Malformed);
    }
    Ok(address.to_canonical())
}

/// `[v6]` without a port.
fn bracketed(node: &str) -> Result<IpAddr, std::net::AddrParseError> {
    node.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or_default()
        .parse::<std::net::Ipv6Addr>()
        .map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::LazyLock};

    use proptest::prelude::*;

    use super::{Client, ClientIp, Malformed};
    use crate::config::Config;

    const PROXY: &str = "10.0.0.1";

    fn finder(header: &str) -> ClientIp {
        static DEFAULTS: LazyLock<Config> = LazyLock::new(Config::defaults);
        let mut config = DEFAULTS.clone();
        config.listen.trusted_proxies = ["10.0.0.0/8", "2001:db8:ff::/48"]
            .map(|net| net.parse().expect("a network"))
            .into();
        header.clone_into(&mut config.listen.client_ip_header);
        ClientIp::new(&config.listen, &config.limits)
    }

    fn ip(raw: &str) -> IpAddr {
        raw.parse().expect(raw)
    }

    fn found(header: &str, lines: &[&str]) -> Result<String, Malformed> {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        match finder(header).find(ip(PROXY), &lines) {
            Ok(client) => {
                assert!(client.proxied && client.peer == ip(PROXY));
                Ok(client.address.to_string())
            }
            Err((client, malformed)) => {
                assert_eq!(client.address, ip(PROXY), "the peer's address stands in");
                assert!(client.proxied);
                Err(malformed)
            }
        }
    }

    fn forwarded(lines: &[&str]) -> Result<String, Malformed> {
        found("x-forwarded-for", lines)
    }

    #[test]
    fn y1_a_peer_that_is_not_trusted_writes_no_address() {
        let peer = ip("192.0.2.9");
        for lines in [
            vec![],
            vec!["203.0.113.7"],
            vec!["203.0.113.8, 10.0.0.1"],
            vec!["rubbish"],
        ] {
            let lines: Vec<&[u8]> = lines.iter().map(|line: &&str| line.as_bytes()).collect();
            let client = Client {
                address: peer,
                peer,
                proxied: false,
            };
            assert_eq!(finder("x-forwarded-for").find(peer, &lines), Ok(client));
        }
    }

    #[test]
    fn y2_the_first_from_the_right_that_is_not_trusted_is_the_client() {
        for (lines, client) in [
            (&["203.0.113.7"][..], "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
            (&["6.6.6.6", "203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7, 10.1.1.1, 10.2.2.2"], "203.0.113.7"),
            (
                &["6.6.6.6, 203.0.113.7", "10.1.1.1", "10.2.2.2"],
                "203.0.113.7",
            ),
            (&["10.9.9.9, 203.0.113.7"], "203.0.113.7"),
            (&["rubbish, 203.0.113.7"], "203.0.113.7"),
            (&["203.0.113.7, 2001:db8:ff::5"], "203.0.113.7"),
            // Everybody is trusted: the first hop's word.
            (&["10.3.3.3, 10.1.1.1"], "10.3.3.3"),
            // No header, from a proxy's own health check.
            (&[], PROXY),
        ] {
            assert_eq!(forwarded(lines), Ok(client.to_owned()), "{lines:?}");
        }
    }

    #[test]
    fn y3_entries_are_addresses_with_or_without_a_port_or_the_peer_counts() {
        for (entry, client) in [
            ("203.0.113.7:4711", "203.0.113.7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("[::ffff:203.0.113.7]:1", "203.0.113.7"),
            ("\t 203.0.113.7 \t", "203.0.113.7"),
        ] {
            assert_eq!(forwarded(&[entry]), Ok(client.to_owned()), "{entry}");
        }
        for entry in [
            "unknown",
            "_hidden",
            "",
            " ",
            "203.0.113.7,",
            "203.0.113.7, ,10.1.1.1",
            "203.0.113.7:",
            "203.0.113.7:99999",
            "203.0.113.256",
            "203.0.113",
            "0203.0.113.7",
            "[2001:db8::7",
            "2001:db8::7]",
            "[2001:db8::7]x",
            "[203.0.113.7]",
            "fe80::1%eth0",
            "[fe80::1%1]:80",
            "\"203.0.113.7\"",
            "203.0.113.7;10.1.1.1",
            "203.0.113.7 10.1.1.1",
            "for=203.0.113.7",
            "é",
        ] {
            assert_eq!(forwarded(&[entry]), Err(Malformed), "{entry:?}");
        }
        let bytes: &[u8] = b"\xff\xfe";
        assert!(finder("x-forwarded-for").find(ip(PROXY), &[bytes]).is_err());
    }

    #[test]
    fn y3_32_entries_are_read_and_33_are_too_many() {
        let chain = |n: usize| vec!["203.0.113.7"; n].join(",");
        for (n, good) in [(31, true), (32, true), (33, false), (8000, false)] {
            assert_eq!(forwarded(&[&chain(n)]).is_ok(), good, "{n}");
        }
        let lines = vec!["203.0.113.7"; 33];
        assert_eq!(
            forwarded(&lines),
            Err(Malformed),
            "however they are spread over lines"
        );
        let long = "203.0.113.7,".repeat(5500);
        assert_eq!(forwarded(&[&long]), Err(Malformed));
    }

    #[test]
    fn y4_a_private_client_is_a_client_like_any_other() {
        for private in ["127.0.0.1", "192.168.1.1", "::1"] {
            assert_eq!(forwarded(&[private]), Ok(private.to_owned()));
        }
    }

    #[test]
    fn y5_the_configured_header_alone_is_read_by_its_own_grammar() {
        assert_eq!(finder("x-real-ip").header(), "x-real-ip");
        assert_eq!(
            found("x-real-ip", &["203.0.113.7"]),
            Ok("203.0.113.7".to_owned())
        );
        for (line, client) in [
            ("for=203.0.113.7", "203.0.113.7"),
            (
                "For=\"203.0.113.7:4711\";proto=https;by=10.0.0.1",
                "203.0.113.7",
            ),
            ("by=10.0.0.1; for=\"[2001:db8::7]:4711\"", "2001:db8::7"),
            ("for=6.6.6.6, for=203.0.113.7, for=10.1.1.1", "203.0.113.7"),
            ("for=203.0.113.7;host=\"a,b\"", "203.0.113.7"),
            ("for=\"_a\\\"b,c\", for=203.0.113.7", "203.0.113.7"),
        ] {
            assert_eq!(found("forwarded", &[line]), Ok(client.to_owned()), "{line}");
        }
        for line in [
            "203.0.113.7",
            "for=unknown",
            "for=_hidden",
            "for=",
            "for=\"203.0.113.7",
            "for=203.0.113.7;for=203.0.113.8",
            "by=203.0.113.7",
            "for",
            ";",
        ] {
            assert_eq!(found("forwarded", &[line]), Err(Malformed), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic_or_believe_a_stranger(
            lines in proptest::collection::vec(any::<Vec<u8>>(), 0..5),
            text in "[0-9a-f:., \\[\\];=\"for]{0,80}",
        ) {
            for header in ["x-forwarded-for", "forwarded"] {
                let mut lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
                lines.push(text.as_bytes());
                finder(header).find(ip(PROXY), &lines).ok();
                let stranger = ip("192.0.2.9");
                let client = finder(header).find(stranger, &lines).expect("not read at all");
                prop_assert_eq!(client.address, stranger);
            }
        }

        #[test]
        fn what_the_client_wrote_never_changes_what_the_proxies_appended(
            written in "[ -~]{0,60}",
            appended in any::<[u8; 4]>(),
        ) {
            let client = IpAddr::from(appended);
            prop_assume!(!finder("x-forwarded-for").is_trusted(client));
            prop_assume!(written.matches(',').count() < 30);
            let line = format!("{written}, {client}, 10.1.1.1");
            prop_assert_eq!(forwarded(&[&line]), Ok(client.to_string()));
            let line = format!("{written}, for={client}, for=\"10.1.1.1:80\";host=\"a,b\\\"c\"");
            prop_assert_eq!(found("forwarded", &[&line]), Ok(client.to_string()));
        }
    }
}
