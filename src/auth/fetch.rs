//! How key sets come over the network, seen from here: an address that was checked, limits, bytes or an error. `auth` speaks
//! no HTTPS; `server` implements the trait.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// The longest address that is accepted.
const URL_BYTES_MAX: usize = 2048;

/// `https://host[:port]/path?query`, or `http://` to this machine. No user information, no fragment, nothing but visible
/// ASCII. It comes from the configuration or from a discovery document, never from a token.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpsUrl {
    text: Box<str>,
    tls: bool,
    /// Without the brackets of an IPv6 address.
    host: Box<str>,
    port: u16,
    /// Where the path begins in `text`; equal to its length if there is none.
    path_at: usize,
}

/// Why an address is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither https nor, to this machine, http.
    #[error("an address begins with https:// (http:// only to this machine)")]
    Scheme,
    /// User information, a fragment, characters that no address has, a bad host or port, too long.
    #[error("not an address of the form https://host[:port]/path")]
    Form,
}

impl HttpsUrl {
    /// Parses an address. The host is compared and kept in lower case.
    pub fn parse(raw: &str) -> Result<Self, UrlError> {
        if raw.len() > URL_BYTES_MAX || !raw.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(UrlError::Form);
        }
        let (scheme, rest) = raw.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at_checked(end).ok_or(UrlError::Form)?;
        if tail.contains(['#', '\\', '"', '<', '>']) || authority.contains(['@', '\\', '%']) {
            return Err(UrlError::Form);
        }
        let (host, port) = split_authority(authority)?;
        let url = Self {
            text: raw.into(),
            tls,
            host: host.to_ascii_lowercase().into(),
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            path_at: raw.len().saturating_sub(tail.len()),
        };
        if !url.tls && !url.is_loopback() {
            return Err(UrlError::Scheme);
        }
        Ok(url)
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the connection is TLS. If not, the host is this machine.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Where to connect and whose certificate to expect: a name or an address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's if none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The target of the request line.
    pub fn path_and_query(&self) -> String {
        match self.text.get(self.path_at..).unwrap_or_default() {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        }
    }

    /// `localhost`, 127.0.0.0/8 or `::1`.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => &*self.host == "localhost",
        }
    }

    /// Loopback, or an address that is only valid on its link, like a cloud's metadata service.
    pub fn is_local(&self) -> bool {
        self.is_loopback() || self.host.parse::<IpAddr>().is_ok_and(is_link_local)
    }
}

/// 169.254.0.0/16, `fe80::/10`, and the unspecified addresses, which reach this machine too.
fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

fn split_authority(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (v6, port) = rest.split_once(']').ok_or(UrlError::Form)?;
        v6.parse::<std::net::Ipv6Addr>()
            .map_err(|_| UrlError::Form)?;
        (v6, port)
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let (host, port) = authority.split_at_checked(end).ok_or(UrlError::Form)?;
        if !is_host(host) {
            return Err(UrlError::Form);
        }
        (host, port)
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = digits.parse().map_err(|_| UrlError::Form)?;
            Ok((host, Some(port)))
        }
        _ => Err(UrlError::Form),
    }
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let looks_like_v4 = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    host.len() <= 253
        && host.split('.').all(label)
        // `127.1` and `2130706433` are addresses to some resolvers: four numbers or a name.
        && (!looks_like_v4 || host.parse::<std::net::Ipv4Addr>().is_ok())
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The system's roots.
    System,
    /// The roots in this PEM file alone (`ca_file`).
    File(PathBuf),
}

/// The bounds of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// From the name look-up to the last byte.
    pub timeout: Duration,
    /// Of the body.
    pub bytes_max: usize,
}

/// Why there are no bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not done within the time.
    #[error("no answer in time")]
    Timeout,
    /// More bytes than allowed.
    #[error("the answer is too large")]
    TooLarge,
    /// Another status than 200. A redirect is one of them: none is followed.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The certificate is not the host's, or nobody vouches for it.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// No such name, no route, refused, cut off; or an address on this machine or link behind a name that is not local.
    #[error("connection failed: {0}")]
    Connect(String),
}

impl FetchError {
    /// The metric's `result`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::Status(_) => "status",
            Self::Tls(_) => "tls",
            Self::Connect(_) => "connect",
        }
    }
}

/// Reads what an address holds.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// One GET: no redirect, no proxy of the environment, no credential, no cookie. Ends within `limits.timeout` and keeps
    /// no more than `limits.bytes_max` bytes. A name that is not local must not lead to an address that is.
    ///
    /// # Cancel safety
    /// Dropping the future drops the connection.
    async fn get(
        &self,
        url: &HttpsUrl,
        roots: &Roots,
        limits: FetchLimits,
    ) -> Result<Bytes, FetchError>;
}

#[cfg(test)]
mod tests {
    use super::{HttpsUrl, UrlError};

    #[test]
    fn an_address_falls_into_its_parts() {
        for (raw, host, port, path) in [
            ("https://idp.example", "idp.example", 443, "/"),
            ("https://idp.example/", "idp.example", 443, "/"),
            (
                "https://IdP.Example:8443/a/b?c=d",
                "idp.example",
                8443,
                "/a/b?c=d",
            ),
            ("https://idp.example?x", "idp.example", 443, "/?x"),
            ("HTTPS://[2001:db8::1]:1/k", "2001:db8::1", 1, "/k"),
            ("http://127.0.0.1:9000/keys", "127.0.0.1", 9000, "/keys"),
            ("http://localhost/", "localhost", 80, "/"),
            ("http://[::1]:80/x", "::1", 80, "/x"),
        ] {
            let url = HttpsUrl::parse(raw).expect(raw);
            assert_eq!(
                (url.host(), url.port(), url.path_and_query().as_str()),
                (host, port, path),
                "{raw}"
            );
            assert_eq!(url.is_tls(), raw.to_lowercase().starts_with("https:"));
            assert_eq!(url.as_str(), raw);
        }
    }

    #[test]
    fn http_goes_to_this_machine_only() {
        for raw in [
            "http://idp.example/",
            "http://localhost.evil.example/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "//localhost/",
            "localhost",
        ] {
            assert_eq!(HttpsUrl::parse(raw), Err(UrlError::Scheme), "{raw}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_no_address() {
        for raw in [
            "https://",
            "https:///path",
            "https://user@idp.example/",
            "https://idp.example@evil.example/",
            "https://idp.example\\@evil.example/",
            "https://idp.example/#fragment",
            "https://idp.example/a b",
            "https://idp.example/\r\nX: y",
            "https://idp.example:/",
            "https://idp.example:99999/",
            "https://idp.example:80x/",
            "https://idp..example/",
            "https://.example/",
            "https://[::1/",
            "https://[zz]/",
            "https://::1/",
            "https://127.1/",
            "https://2130706433/",
            "https://idp%2eexample/",
            "https://idpé.example/",
        ] {
            assert_eq!(HttpsUrl::parse(raw), Err(UrlError::Form), "{raw}");
        }
        let long = format!("https://idp.example/{}", "x".repeat(2048));
        assert_eq!(HttpsUrl::parse(&long), Err(UrlError::Form));
    }

    #[test]
    fn local_addresses_are_known_in_every_spelling() {
        for (raw, loopback, local) in [
            ("https://localhost/", true, true),
            ("https://127.8.9.1/", true, true),
            ("https://[::ffff:127.0.0.1]/", true, true),
            ("https://169.254.169.254/", false, true),
            ("https://[fe80::1]/", false, true),
            ("https://0.0.0.0/", false, true),
            ("https://[::]/", false, true),
            ("https://10.0.0.1/", false, false),
            ("https://idp.example/", false, false),
        ] {
            let url = HttpsUrl::parse(raw).expect(raw);
            assert_eq!(
                (url.is_loopback(), url.is_local()),
                (loopback, local),
                "{raw}"
            );
        }
    }
}
