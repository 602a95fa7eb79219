//! Which pages may connect. A browser lets any page open a WebSocket to anybody, so the Origin header is compared with the
//! configured list, exactly, before a credential is looked at. It is never compared with `Host`, which proxies rewrite.

use std::collections::HashSet;

use crate::{
    admission::refusal::Refusal,
    config::admission::Admission,
    domain::origin::{Origin, OriginError},
};

/// The list of `[admission]`.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    allowed: HashSet<Origin>,
    allow_missing: bool,
}

impl Origins {
    /// Parses the configured list.
    pub(super) fn new(config: &Admission) -> Result<Self, OriginError> {
        Ok(Self {
            allowed: config
                .allowed_origins
                .iter()
                .map(|raw| Origin::parse(raw))
                .collect::<Result<_, _>>()?,
            allow_missing: config.allow_missing_origin,
        })
    }

    /// Judges the values of all Origin headers of a request. `None` is a client without one, where that is allowed.
    pub(super) fn check(&self, values: &[&[u8]]) -> Result<Option<Origin>, Refusal> {
        let value = match values {
            [] if self.allow_missing => return Ok(None),
            [] => return Err(Refusal::OriginNotAllowed),
            [one] => one,
            _ => return Err(Refusal::SeveralOrigins),
        };
        let origin = std::str::from_utf8(value)
            .ok()
            .and_then(|raw| Origin::parse(raw).ok());
        origin
            .filter(|origin| self.allows(origin))
            .map(Some)
            .ok_or(Refusal::OriginNotAllowed)
    }

    /// Whether the origin is on the list.
    pub(super) fn allows(&self, origin: &Origin) -> bool {
        self.allowed.contains(origin)
    }
}

#[cfg(test)]
mod tests {
    use super::Origins;
    use crate::{
        admission::refusal::Refusal, config::admission::Admission, domain::origin::Origin,
    };

    fn origins(allowed: &[&str], allow_missing_origin: bool) -> Origins {
        Origins::new(&Admission {
            allowed_origins: allowed.iter().map(|raw| (*raw).to_owned()).collect(),
            allow_missing_origin,
        })
        .expect("a good list")
    }

    fn ours() -> Origins {
        origins(
            &["https://chat.example", "https://other.example:8443"],
            true,
        )
    }

    #[test]
    fn u13_an_allowed_origin_is_allowed_in_every_spelling() {
        for good in [
            "https://chat.example",
            "https://chat.example:443",
            "HTTPS://CHAT.EXAMPLE",
            "https://other.example:8443",
        ] {
            let found = ours().check(&[good.as_bytes()]);
            assert_eq!(found, Ok(Some(Origin::parse(good).expect(good))), "{good}");
        }
    }

    #[test]
    fn u11_and_u12_any_other_origin_is_refused() {
        let long = format!("https://{}.example", "a".repeat(8192));
        for bad in [
            "https://evil.example",
            "https://chat.example.evil.tld",
            "https://evilchat.example",
            "https://chat.example@evil.tld",
            "http://chat.example",
            "https://chat.example:8443",
            "https://other.example",
            "https://chat.example.",
            "https://chat%2eexample",
            "https://chat.example/",
            "https://chat.example https://evil.example",
            "chat.example",
            "null",
            "NULL",
            "",
            "*",
            &long,
        ] {
            let found = ours().check(&[bad.as_bytes()]);
            assert_eq!(found, Err(Refusal::OriginNotAllowed), "{bad}");
        }
        assert_eq!(ours().check(&[b"\xff"]), Err(Refusal::OriginNotAllowed));
    }

    #[test]
    fn null_is_allowed_only_if_it_is_on_the_list() {
        let null = origins(&["null"], true);
        assert!(null.check(&[b"null"]).is_ok());
        assert_eq!(
            null.check(&[b"https://chat.example"]),
            Err(Refusal::OriginNotAllowed)
        );
    }

    #[test]
    fn u14_two_origins_are_a_bad_request_whatever_they_are() {
        let good = b"https://chat.example".as_slice();
        for two in [[good, b"https://evil.example"], [good, good]] {
            assert_eq!(ours().check(&two), Err(Refusal::SeveralOrigins));
        }
    }

    #[test]
    fn u15_a_missing_origin_is_allowed_while_the_configuration_says_so() {
        assert_eq!(ours().check(&[]), Ok(None));
        let strict = origins(&["https://chat.example"], false);
        assert_eq!(strict.check(&[]), Err(Refusal::OriginNotAllowed));
        assert!(strict.check(&[b"https://chat.example"]).is_ok());
    }
}
