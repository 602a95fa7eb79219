//! Strict query strings: every key is known, none comes twice unless it may, and there are not too many.

use super::problem::Problem;

/// The pairs of a query string, decoded once.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Parses at most `pairs_max` pairs whose keys are all in `known`.
    pub(super) fn parse(
        raw: Option<&str>,
        known: &[&str],
        pairs_max: usize,
    ) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for (key, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
            if pairs.len() >= pairs_max {
                return Err(Problem::bad_request("The query has too many parameters."));
            }
            if !known.contains(&key.as_ref()) {
                return Err(Problem::bad_request(
                    "The query has a parameter that is not known here.",
                ));
            }
            pairs.push((key.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// The value of a key that comes once at most.
    pub(super) fn one(&self, key: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.many(key);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Problem::bad_request("A query parameter comes twice.")),
        }
    }

    /// Every value of a key.
    pub(super) fn many(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(super) fn number(&self, key: &str) -> Result<Option<u64>, Problem> {
        let parse = |raw: &str| {
            raw.parse()
                .map_err(|_| Problem::bad_request("A query parameter is not a whole number."))
        };
        self.one(key)?.map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        let query =
            Query::parse(Some("room=a&room=b&nick=x%20y"), &["room", "nick"], 3).expect("known");
        assert_eq!(query.many("room").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.one("nick").expect("once"), Some("x y"));
        assert!(query.one("room").is_err());
        assert!(Query::parse(Some("rooms=a"), &["room"], 3).is_err());
        assert!(Query::parse(Some("a=&a=&a=&a="), &["a"], 3).is_err());
        assert!(
            Query::parse(Some("a=-1"), &["a"], 3)
                .expect("known")
                .number("a")
                .is_err()
        );
    }
}
