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

/// Reads what [`rfc3339`] writes, and nothing else: milliseconds since 1970.
pub fn unix_ms(raw: &str) -> Option<u64> {
    let at: Timestamp = raw.parse().ok()?;
    let ms = u64::try_from(at.as_millisecond()).ok()?;
    (rfc3339(ms) == raw).then_some(ms)
}

#[cfg(test)]
mod tests {
    use super::{rfc3339, unix_ms};

    #[test]
    fn one_moment_is_written_in_one_way() {
        for ms in [0, 1_795_521_600_007, 253_402_207_200_999] {
            assert_eq!(unix_ms(&rfc3339(ms)), Some(ms));
        }
        for other in [
            "",
            "2026-11-24",
            "2026-11-24T12:00:00Z",
            "2026-11-24T12:00:00.0000Z",
            "2026-11-24T12:00:00.000+00:00",
            "2026-11-24t12:00:00.000Z",
            "2026-11-24 12:00:00.000Z",
            "1969-12-31T23:59:59.000Z",
        ] {
            assert_eq!(unix_ms(other), None, "{other}");
        }
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_521_600_000), "2026-11-24T12:00:00.000Z");
        assert_eq!(rfc3339(1_795_521_600_007), "2026-11-24T12:00:00.007Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-12-3"));
    }
}
