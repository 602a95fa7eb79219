//! The header of a token: the one part that is read before the signature, and therefore believed in nothing. It chooses
//! among keys and algorithms that the configuration already names; whatever would bring its own key is refused.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::auth::{reason::Reason, strict_json::Object};

/// The longest `kid`.
const KEY_ID_BYTES_MAX: usize = 128;

/// Members that change what the token means, or bring a key along. Their presence is enough to refuse, whatever they hold:
/// RFC 7515 §4.1.11 wants `crit` refused by who does not understand it, and RFC 8725 §3.10 distrusts the others.
const REFUSED: [&str; 9] = [
    "crit", "b64", "zip", "cty", "enc", "jwk", "jku", "x5u", "x5c",
];

/// What is used of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// One that the crate knows; whether the issuer may use it is the entry's to say.
    pub(super) algorithm: Algorithm,
    /// `typ`; a token without one has the empty type.
    pub(super) token_type: String,
    /// The name of the key: letters, digits and `._~:/+=-`, a key of a map and nothing else.
    pub(super) key_id: Option<String>,
}

impl Header {
    /// Reads the decoded first part of a token.
    pub(super) fn parse(json: &[u8]) -> Result<Self, Reason> {
        let object = Object::parse(json).ok_or(Reason::HeaderMalformed)?;
        if REFUSED.iter().any(|member| object.has(member)) {
            return Err(Reason::HeaderMember);
        }
        let algorithm = text(&object, "alg")?.ok_or(Reason::HeaderMalformed)?;
        let key_id = text(&object, "kid")?;
        if key_id.is_some_and(|id| !is_key_id(id)) {
            return Err(Reason::KeyIdForm);
        }
        Ok(Self {
            algorithm: algorithm.parse().map_err(|_| Reason::Algorithm)?,
            token_type: text(&object, "typ")?.unwrap_or_default().to_owned(),
            key_id: key_id.map(str::to_owned),
        })
    }
}

fn text<'a>(object: &'a Object, member: &str) -> Result<Option<&'a str>, Reason> {
    match object.get(member) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::HeaderMalformed),
    }
}

/// Whether the string can be the name of a key, here and in a key set.
pub(super) fn is_key_id(raw: &str) -> bool {
    (1..=KEY_ID_BYTES_MAX).contains(&raw.len())
        && raw
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._~:/+=-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::Algorithm;

    use super::Header;
    use crate::auth::reason::Reason;

    fn refused(json: &str) -> Option<Reason> {
        Header::parse(json.as_bytes()).err()
    }

    #[test]
    fn a_header_gives_algorithm_type_and_key() {
        let full = Header::parse(br#"{"alg":"ES256","typ":"at+jwt","kid":"k-1","x":[1]}"#);
        assert_eq!(
            full,
            Ok(Header {
                algorithm: Algorithm::ES256,
                token_type: "at+jwt".to_owned(),
                key_id: Some("k-1".to_owned()),
            })
        );
        let least = Header::parse(br#"{"alg":"EdDSA"}"#).expect("a header");
        assert_eq!((least.token_type.as_str(), least.key_id), ("", None));
    }

    #[test]
    fn none_and_every_other_unknown_algorithm_is_refused() {
        for alg in [
            "none", "None", "nOnE", "rs256", "RS256 ", " RS256", "", "ES512", "HS1", "Ed448",
        ] {
            let json = format!(r#"{{"alg":"{alg}"}}"#);
            assert_eq!(refused(&json), Some(Reason::Algorithm), "{alg:?}");
        }
    }

    #[test]
    fn a_header_of_the_wrong_shape_is_refused() {
        for json in [
            "{}",
            "[]",
            r#"["ES256"]"#,
            r#"{"alg":5}"#,
            r#"{"alg":["RS256"]}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","kid":"a","kid":"b"}"#,
            r#"{"alg":"RS256","typ":"JWT","typ":"JWT"}"#,
            r#"{"alg":"RS256","typ":7}"#,
            r#"{"alg":"RS256","kid":7}"#,
            r#"{"alg":"RS256","kid":null}"#,
            r#"{"alg":"RS256"} "#.trim_end_matches(['}', ' ']),
            "",
        ] {
            assert_eq!(refused(json), Some(Reason::HeaderMalformed), "{json}");
        }
    }

    #[test]
    fn members_that_bring_keys_or_meaning_are_refused_by_presence() {
        for member in [
            r#""crit":["exp"]"#,
            r#""crit":[]"#,
            r#""crit":"b64""#,
            r#""crit":null"#,
            r#""b64":false"#,
            r#""zip":"DEF""#,
            r#""cty":"JWT""#,
            r#""enc":"A128GCM""#,
            r#""jwk":{}"#,
            r#""jku":"https://evil.example/""#,
            r#""x5u":"https://evil.example/""#,
            r#""x5c":["MII"]"#,
        ] {
            let json = format!(r#"{{"alg":"ES256",{member}}}"#);
            assert_eq!(refused(&json), Some(Reason::HeaderMember), "{member}");
        }
    }

    #[test]
    fn a_kid_is_a_short_plain_string() {
        for good in [
            "a",
            "../../etc/passwd",
            "http://evil/",
            "a.b_c~d:e/f+g=h-i",
            &"k".repeat(128),
        ] {
            let json = format!(r#"{{"alg":"ES256","kid":"{good}"}}"#);
            assert_eq!(refused(&json), None, "{good}");
        }
        for bad in [
            "",
            "' OR 1=1--",
            "a\\r\\nb",
            "a\\u0000",
            "é",
            "a b",
            &"k".repeat(129),
            &"k".repeat(65536),
        ] {
            let json = format!(r#"{{"alg":"ES256","kid":"{bad}"}}"#);
            assert_eq!(refused(&json), Some(Reason::KeyIdForm), "{bad}");
        }
    }
}
