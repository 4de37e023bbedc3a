//! Points in time as people write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

/// Milliseconds since the epoch of `2026-01-31T08:00:00Z` (with any offset), `2026-01-31 08:00` (UTC), `2026-01-31`,
/// milliseconds, `now`, or a duration `ago`.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    parse_at(text, &Timestamp::now().to_zoned(TimeZone::UTC))
}

/// Milliseconds since the epoch of the point that lies a duration ago: `2h`, `3 days`, `PT90M`.
pub(crate) fn parse_ago(text: &str) -> Result<i64, String> {
    before(text, &Timestamp::now().to_zoned(TimeZone::UTC))
}

fn parse_at(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(now.timestamp().as_millisecond());
    }
    if let Ok(milliseconds) = text.parse::<i64>() {
        return if milliseconds >= 0 { Ok(milliseconds) } else { Err("must not be before 1970".to_owned()) };
    }
    if let Some(duration) = text.strip_suffix("ago") {
        return before(duration, now);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    match text.parse::<DateTime>().and_then(|civil| civil.to_zoned(TimeZone::UTC)) {
        Ok(zoned) => Ok(zoned.timestamp().as_millisecond()),
        Err(_) => Err(format!("must be such as 2026-01-31T08:00:00Z, 1769846400000 or \"2h ago\", not {text}")),
    }
}

fn before(text: &str, now: &Zoned) -> Result<i64, String> {
    let invalid = || format!("must be a duration such as 2h, \"3 days\" or PT90M, not {text}");
    let span: Span = text.trim().parse().map_err(|_| invalid())?;
    let then = now.checked_sub(span.abs()).map_err(|_| invalid())?;
    Ok(then.timestamp().as_millisecond())
}

/// A point in time for a person: `2026-01-31T08:00:00.123Z`. What no calendar holds is shown as a number.
pub(crate) fn show(milliseconds: i64) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(timestamp) => format!("{timestamp:.3}"),
        Err(_) => milliseconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_numbers_or_durations_ago() {
        let now = "2026-03-01T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned(TimeZone::UTC);
        for (text, expected) in [
            ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000Z"),
            ("2026-01-31T08:00:00+02:00", "2026-01-31T06:00:00.000Z"),
            ("2026-01-31 08:30", "2026-01-31T08:30:00.000Z"),
            ("2026-01-31", "2026-01-31T00:00:00.000Z"),
            ("1769846400123", "2026-01-31T08:00:00.123Z"),
            ("now", "2026-03-01T12:00:00.000Z"),
            ("2h ago", "2026-03-01T10:00:00.000Z"),
            ("90 seconds ago", "2026-03-01T11:58:30.000Z"),
            ("1 day ago", "2026-02-28T12:00:00.000Z"),
            ("1 month ago", "2026-02-01T12:00:00.000Z"),
        ] {
            assert_eq!(parse_at(text, &now).map(show), Ok(expected.to_owned()), "{text}");
        }
        for (text, expected) in [("PT90M", "2026-03-01T10:30:00.000Z"), ("P1D", "2026-02-28T12:00:00.000Z")] {
            assert_eq!(before(text, &now).map(show), Ok(expected.to_owned()), "{text}");
        }
        for text in ["", "tomorrow", "-5", "2026-13-01", "5 parsecs ago", "99999 years ago"] {
            assert!(parse_at(text, &now).is_err(), "{text}");
        }
        assert_eq!(show(i64::MAX), i64::MAX.to_string());
    }
}
