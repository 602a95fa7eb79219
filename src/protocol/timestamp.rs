//! The wire's form of time: RFC 3339 in UTC with milliseconds.

use jiff::Timestamp;

/// `2026-11-24T12:00:00.000Z` for milliseconds since 1970. A time beyond the year 9999 is written as its last millisecond.
pub fn rfc3339(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok())
        .unwrap_or(Timestamp::MAX);
    format!("{at:.3}")
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_521_600_000), "2026-11-24T12:00:00.000Z");
        assert_eq!(rfc3339(1_795_521_600_007), "2026-11-24T12:00:00.007Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-3"));
    }
}
