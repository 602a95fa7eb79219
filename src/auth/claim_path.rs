//! Where in a token a claim lies: `nickname`, `realm_access.roles`, `"https://team.example/rooms"`. Identity providers nest
//! claims, and name them by URLs; a dotted path with quoted keys reaches both.

use serde_json::Value;

use crate::auth::strict_json::Object;

/// A parsed path, at least one key long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimPath {
    first: String,
    rest: Vec<String>,
}

/// The text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a claim is a key, or keys with dots between them; a key with a dot in it stands in double quotes"
)]
pub(super) struct ClaimPathError;

impl ClaimPath {
    /// Reads the configured form. In a quoted key `\"` and `\\` stand for the quote and the backslash.
    pub(super) fn parse(raw: &str) -> Result<Self, ClaimPathError> {
        let (first, mut left) = key(raw)?;
        let mut rest = Vec::new();
        while let Some(more) = left.strip_prefix('.') {
            let (next, after) = key(more)?;
            rest.push(next);
            left = after;
        }
        if !left.is_empty() {
            return Err(ClaimPathError);
        }
        Ok(Self { first, rest })
    }

    /// What lies there; `None` if any key on the way is missing or holds no object.
    pub(super) fn get<'a>(&self, claims: &'a Object) -> Option<&'a Value> {
        self.rest
            .iter()
            .try_fold(claims.get(&self.first)?, |value, key| {
                value.get(key.as_str())
            })
    }

    /// Whether this is the one key `name`.
    pub(super) fn is(&self, name: &str) -> bool {
        self.rest.is_empty() && self.first == name
    }
}

fn key(raw: &str) -> Result<(String, &str), ClaimPathError> {
    let Some(quoted) = raw.strip_prefix('"') else {
        let end = raw.find('.').unwrap_or(raw.len());
        let (key, rest) = raw.split_at_checked(end).ok_or(ClaimPathError)?;
        if key.is_empty() || key.contains('"') {
            return Err(ClaimPathError);
        }
        return Ok((key.to_owned(), rest));
    };
    let mut key = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or(ClaimPathError)? {
            '"' => return Ok((key, chars.as_str())),
            '\\' => match chars.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                _ => return Err(ClaimPathError),
            },
            plain => key.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ClaimPath;
    use crate::auth::strict_json::Object;

    #[test]
    fn a_path_reaches_nested_and_quoted_keys() {
        let claims = json!({
            "nickname": "Alice",
            "realm_access": {"roles": ["a"], "x.y": {"z": 1}},
            "https://team.example/rooms": ["lobby"],
            "qu\"ote": true,
        });
        let claims = Object::parse(claims.to_string().as_bytes()).expect("an object");
        for (path, expected) in [
            ("nickname", Some(json!("Alice"))),
            ("realm_access.roles", Some(json!(["a"]))),
            ("realm_access.\"x.y\".z", Some(json!(1))),
            ("\"https://team.example/rooms\"", Some(json!(["lobby"]))),
            (r#""qu\"ote""#, Some(json!(true))),
            ("\"realm_access\".\"roles\"", Some(json!(["a"]))),
            ("absent", None),
            ("realm_access.absent", None),
            ("nickname.deeper", None),
            ("realm_access.roles.0", None),
        ] {
            let parsed = ClaimPath::parse(path).expect(path);
            assert_eq!(parsed.get(&claims).cloned(), expected, "{path}");
        }
        assert!(ClaimPath::parse("\"aud\"").expect("a path").is("aud"));
        assert!(!ClaimPath::parse("aud.x").expect("a path").is("aud"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for bad in [
            "", ".", "a.", ".a", "a..b", "\"a", "\"a\"b", "a\"b", "\"a\\n\"", "a.\"b",
        ] {
            assert!(ClaimPath::parse(bad).is_err(), "{bad}");
        }
    }
}
