//! Kafka record timestamps as the tables show them: microseconds in a column, RFC 3339 text in raw rows.

use kanat_lake::calendar::Civil;

/// What Kafka writes for "this record has no timestamp".
const NO_TIMESTAMP: i64 = -1;

const US_PER_SECOND: i64 = 1_000_000;

/// Microseconds since 1970, or `None` for a record without a timestamp or one no microsecond column can hold.
pub(crate) fn timestamp_us(timestamp_ms: i64) -> Option<i64> {
    if timestamp_ms == NO_TIMESTAMP { None } else { timestamp_ms.checked_mul(1_000) }
}

/// Writes timestamps as RFC 3339 in UTC, the way Go prints them: a fraction only when it is not zero,
/// without trailing zeros. Neighbouring records share their second, whose text is kept.
#[derive(Debug, Default)]
pub(crate) struct Rfc3339 {
    second: Option<i64>,
    text: String,
}

impl Rfc3339 {
    /// Appends an instant, microseconds since 1970, to `out`; digits below the millisecond are left out.
    pub(crate) fn append(&mut self, timestamp_us: i64, out: &mut Vec<u8>) {
        let second = timestamp_us.div_euclid(US_PER_SECOND);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = second_text(timestamp_us);
        }
        out.extend_from_slice(self.text.as_bytes());
        let millisecond = timestamp_us.rem_euclid(US_PER_SECOND) / 1_000;
        if millisecond != 0 {
            let digits = format_millisecond(millisecond);
            let length = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
            out.push(b'.');
            out.extend_from_slice(&digits[..length]);
        }
        out.push(b'Z');
    }
}

fn format_millisecond(millisecond: i64) -> [u8; 3] {
    let digit = |value: i64| b'0' + (value % 10) as u8;
    [digit(millisecond / 100), digit(millisecond / 10), digit(millisecond)]
}

/// `YYYY-MM-DDTHH:MM:SS` of an instant.
fn second_text(timestamp_us: i64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_micros(timestamp_us);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(timestamp_ms: i64) -> String {
        let mut out = Vec::new();
        Rfc3339::default().append(timestamp_us(timestamp_ms).unwrap(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_as_go_does() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(text(1_700_000_000_120), "2023-11-14T22:13:20.12Z");
        assert_eq!(text(1_700_000_001_000), "2023-11-14T22:13:21Z");
        assert_eq!(text(-2), "1969-12-31T23:59:59.998Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(text(253_402_300_799_000), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn keeps_the_second_across_records() {
        let mut writer = Rfc3339::default();
        let mut out = Vec::new();
        for timestamp_ms in [1_005, 1_010, 2_000, 1_999] {
            writer.append(timestamp_ms * 1_000, &mut out);
            out.push(b' ');
        }
        let expected =
            "1970-01-01T00:00:01.005Z 1970-01-01T00:00:01.01Z 1970-01-01T00:00:02Z 1970-01-01T00:00:01.999Z ";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_record_without_a_timestamp_is_null() {
        assert_eq!(timestamp_us(-1), None);
        assert_eq!(timestamp_us(-2), Some(-2_000));
        assert_eq!(timestamp_us(5), Some(5_000));
        assert_eq!(timestamp_us(i64::MAX), None);
    }
}
