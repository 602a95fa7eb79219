//! A web page's origin, from an `Origin` header or the configuration; compared as a tuple, never with `Host`.

use std::{fmt, sync::Arc};

/// `scheme://host:port` in lower case with the default port of the scheme filled in, or `null`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(Arc<str>);

/// The string is not an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is scheme://host or scheme://host:port")]
pub struct OriginError;

impl Origin {
    /// Parses the header's or the configuration's form. User information, a path, a trailing dot, percent signs and other
    /// schemes than `http` and `https` are refused.
    pub fn parse(raw: &str) -> Result<Self, OriginError> {
        if raw == "null" {
            return Ok(Self(Arc::from("null")));
        }
        let lower = raw.to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or(OriginError)?;
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return Err(OriginError),
        };
        let (host, port) = split_port(rest, default_port)?;
        if !is_host(host) {
            return Err(OriginError);
        }
        Ok(Self(Arc::from(format!("{scheme}://{host}:{port}"))))
    }

    /// The canonical form, port included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn split_port(rest: &str, default_port: u16) -> Result<(&str, u16), OriginError> {
    let after_host = if rest.starts_with('[') {
        rest.find(']').ok_or(OriginError)? + 1
    } else {
        rest.find(':').unwrap_or(rest.len())
    };
    let (host, port) = rest.split_at_checked(after_host).ok_or(OriginError)?;
    match port.strip_prefix(':') {
        None if port.is_empty() => Ok((host, default_port)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok((host, digits.parse().map_err(|_| OriginError)?))
        }
        _ => Err(OriginError),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(v6) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return v6.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    !host.is_empty() && host.len() <= 253 && host.split('.').all(label)
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn equal_origins_are_equal_however_they_are_written() {
        let plain = Origin::parse("https://chat.example").expect("an origin");
        for same in [
            "https://chat.example:443",
            "HTTPS://CHAT.EXAMPLE",
            "https://Chat.Example:443",
        ] {
            assert_eq!(Origin::parse(same).expect(same), plain, "{same}");
        }
        for other in [
            "http://chat.example",
            "https://chat.example:8443",
            "https://chat.example.evil.tld",
            "https://evilchat.example",
            "null",
        ] {
            assert_ne!(Origin::parse(other).expect(other), plain, "{other}");
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for bad in [
            "",
            "chat.example",
            "https://",
            "https://chat.example@evil.tld",
            "https://chat.example.",
            "https://chat.example/",
            "https://chat%2eexample",
            "https://chat.example:",
            "https://chat.example:99999",
            "ftp://chat.example",
            "https://[::1",
            "https://a..b",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        assert!(Origin::parse("https://[::1]:8443").is_ok());
    }
}
