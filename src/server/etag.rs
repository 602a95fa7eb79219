//! What a client has already, known by the hash of its content (RFC 9110, section 8.8.3).

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::{HeaderMap, HeaderValue, header};
use data_encoding::HEXLOWER;

/// The strong validator of some content.
pub(super) fn of(content: &[u8]) -> HeaderValue {
    let hash = HEXLOWER.encode(digest(&SHA256, content).as_ref());
    HeaderValue::from_str(&format!("\"{}\"", hash.get(..32).unwrap_or(&hash)))
        .expect("hex digits between quotes are a header value")
}

/// Whether `If-None-Match` names it. The comparison is weak, as it is for reading; `*` is anything that is there.
pub(super) fn is_known(etag: &HeaderValue, headers: &HeaderMap) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|one| one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{is_known, of};

    #[test]
    fn a_list_of_validators_is_searched_weakly() {
        let etag = of(b"page");
        let known = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                let line = HeaderValue::from_str(line).expect("a value");
                headers.append(header::IF_NONE_MATCH, line);
            }
            is_known(&etag, &headers)
        };
        let ours = etag.to_str().expect("ASCII");
        assert!(known(&[ours]));
        assert!(known(&[&format!("W/{ours}")]));
        assert!(known(&[&format!("\"other\" , {ours}")]));
        assert!(known(&["\"other\"", ours]));
        assert!(known(&["*"]));
        for other in ["", "\"other\"", ours.trim_matches('"')] {
            assert!(!known(&[other]), "{other}");
        }
        assert!(!known(&[]));
        assert_ne!(of(b"page"), of(b"another page"));
    }
}
