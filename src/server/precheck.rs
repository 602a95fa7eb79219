//! What the HTTP parser lets pass and we do not: framing that two parsers may read differently, a `Host` that is none, sizes.
//!
//! Checked against hyper 1.12: it answers 200 to `Content-Length` beside `Transfer-Encoding`, to odd transfer codings, to a
//! missing, repeated or malformed `Host`.

use axum::http::{HeaderMap, Request, StatusCode, Version, header};

use super::problem::Problem;
use crate::protocol::codes::ErrorCode;

/// The largest sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadRules {
    pub(super) uri_bytes: usize,
    pub(super) head_bytes: usize,
    pub(super) lines: usize,
}

/// Says what is wrong with the head of a request, if something is.
pub(super) fn check<B>(request: &Request<B>, rules: &HeadRules) -> Result<(), Problem> {
    let headers = request.headers();
    if request.uri().to_string().len() > rules.uri_bytes {
        return Err(Problem::new(
            StatusCode::URI_TOO_LONG,
            ErrorCode::TooLarge,
            "The request target is too long.",
        )
        .and_close());
    }
    // Name, colon, blank, value, line end: what the peer sent at least.
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if headers.len() > rules.lines || bytes > rules.head_bytes {
        return Err(too_large());
    }
    check_framing(headers)?;
    check_host(request.version(), headers)
}

/// 431.
pub(super) fn too_large() -> Problem {
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ErrorCode::TooLarge,
        "The request's header is too large.",
    )
    .and_close()
}

fn check_framing(headers: &HeaderMap) -> Result<(), Problem> {
    let coded = headers.contains_key(header::TRANSFER_ENCODING);
    if coded && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(ambiguous());
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let plain = codings
        .next()
        .is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !plain
        || codings.next().is_some()
        || headers.get_all(header::CONTENT_LENGTH).iter().count() > 1
    {
        return Err(ambiguous());
    }
    Ok(())
}

fn check_host(version: Version, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.to_str().is_ok_and(|host| split_host(host).is_some()) => Ok(()),
        (None, _) if version == Version::HTTP_10 => Ok(()),
        _ => Err(
            Problem::bad_request("The Host header is missing, repeated or malformed.").and_close(),
        ),
    }
}

/// Splits `host` or `host:port`; `None` when it is neither.
pub(super) fn split_host(raw: &str) -> Option<(&str, Option<u16>)> {
    let end = if raw.starts_with('[') {
        raw.find(']')? + 1
    } else {
        raw.find(':').unwrap_or(raw.len())
    };
    let (host, port) = raw.split_at_checked(end)?;
    let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    if host.is_empty() || !host.bytes().all(named) {
        return None;
    }
    match port.strip_prefix(':') {
        None if port.is_empty() => Some((host, None)),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some((host, Some(digits.parse().ok()?)))
        }
        _ => None,
    }
}

/// Whether a `Host` names this machine: an address or `localhost`. Anything else is another site's name that was made to
/// point here (DNS rebinding).
pub(super) fn is_local_host(raw: &str) -> bool {
    split_host(raw).is_some_and(|(host, _)| {
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::Ipv4Addr>().is_ok()
            || host
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok())
    })
}

/// 400 for a request that two parsers may read differently.
pub(super) fn ambiguous() -> Problem {
    Problem::bad_request("The request's framing is ambiguous.").and_close()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::{HeadRules, check, is_local_host};

    const RULES: HeadRules = HeadRules {
        uri_bytes: 100,
        head_bytes: 1000,
        lines: 4,
    };

    fn verdict(headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).expect("a request"), &RULES).is_ok()
    }

    #[test]
    fn a_head_that_two_parsers_read_differently_is_refused() {
        let host = ("host", "a.example");
        assert!(verdict(&[host]));
        assert!(verdict(&[host, ("transfer-encoding", "chunked")]));
        for bad in [
            &[
                host,
                ("content-length", "5"),
                ("transfer-encoding", "chunked"),
            ][..],
            &[host, ("transfer-encoding", "identity, chunked")],
            &[
                host,
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            &[host, ("content-length", "5"), ("content-length", "5")],
            &[],
            &[host, host],
            &[("host", "a@b")],
            &[("host", "")],
            &[("host", "a:99999")],
            &[("host", "a b")],
            &[host, ("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")],
        ] {
            assert!(!verdict(bad), "{bad:?}");
        }
    }

    #[test]
    fn only_names_of_this_machine_are_local() {
        for local in [
            "localhost",
            "LOCALHOST:8443",
            "127.0.0.1",
            "127.0.0.1:9090",
            "[::1]",
            "[::1]:9090",
            "10.0.0.5:9090",
        ] {
            assert!(is_local_host(local), "{local}");
        }
        for foreign in [
            "evil.example",
            "localhost.evil.example",
            "evil.example:9090",
            "",
            "::1",
        ] {
            assert!(!is_local_host(foreign), "{foreign}");
        }
    }
}
