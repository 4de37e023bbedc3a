//! Kafka record timestamps as the tables show them: microseconds in a column, RFC 3339 text in raw rows.

/// What Kafka writes for "this record has no timestamp".
pub(crate) const NO_TIMESTAMP: i64 = -1;

const MS_PER_SECOND: i64 = 1_000;
const SECONDS_PER_DAY: i64 = 86_400;

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
    /// Appends `timestamp_ms` to `out`.
    pub(crate) fn append(&mut self, timestamp_ms: i64, out: &mut Vec<u8>) {
        let second = timestamp_ms.div_euclid(MS_PER_SECOND);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = second_text(second);
        }
        out.extend_from_slice(self.text.as_bytes());
        let millisecond = timestamp_ms.rem_euclid(MS_PER_SECOND);
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

/// `YYYY-MM-DDTHH:MM:SS` of a second since 1970.
fn second_text(second: i64) -> String {
    let (year, month, day) = civil_date(second.div_euclid(SECONDS_PER_DAY));
    let in_day = second.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (in_day / 3_600, in_day / 60 % 60, in_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar, by counting whole
/// 400-year cycles from 1 March of year 0.
fn civil_date(day_since_1970: i64) -> (i64, i64, i64) {
    const DAYS_PER_CYCLE: i64 = 146_097;
    let day = day_since_1970 + 719_468;
    let cycle = day.div_euclid(DAYS_PER_CYCLE);
    let day_of_cycle = day.rem_euclid(DAYS_PER_CYCLE);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_cycle + cycle * 400 + i64::from(month <= 2);
    (year, month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(timestamp_ms: i64) -> String {
        let mut out = Vec::new();
        Rfc3339::default().append(timestamp_ms, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_as_go_does() {
        assert_eq!(text(0), "1970-01-01T00:00:00Z");
        assert_eq!(text(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(text(1_700_000_000_120), "2023-11-14T22:13:20.12Z");
        assert_eq!(text(1_700_000_001_000), "2023-11-14T22:13:21Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(text(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(text(253_402_300_799_000), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn keeps_the_second_across_records() {
        let mut writer = Rfc3339::default();
        let mut out = Vec::new();
        for timestamp_ms in [1_005, 1_010, 2_000, 1_999] {
            writer.append(timestamp_ms, &mut out);
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
