//! Date-like strings to instants: the layouts OLake tries, as one hand-written parser.
//!
//! Accepted, always beginning `YYYY-MM-DD` (a real day of the proleptic Gregorian calendar):
//!
//! | after the date | then |
//! |---|---|
//! | nothing | |
//! | `-hh.mm.ss` | a fraction or nothing (DB2) |
//! | ` h:mm:ss` or ` hh:mm:ss` | fraction; then nothing, `±hh`, `±hh:mm`, ` ±hh:mm` or ` ±hhmm ZONE` |
//! | `Th:mm:ss` or `Thh:mm:ss` | fraction; then nothing, `Z`, `±hh:mm` or `+0000` |
//!
//! A fraction is `.` or `,` and one or more digits; digits beyond the ninth are ignored. Hours end at 23, seconds at 59.
//! Everything else is text. A time without a zone is UTC.
//!
//! Two deviations from OLake: years before 1 (`0000-01-01`, or year 1 moved by its zone) keep their true instant, where
//! OLake writes 1970-01-01; years after 9999 (only possible through the zone) keep theirs too.

use crate::types::DataType;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
const DATE_BYTES: usize = 10;

/// An instant and how fine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedTimestamp {
    /// Microseconds since 1970-01-01T00:00:00Z; finer digits are cut, as at every destination of OLake.
    pub micros: i64,
    /// [`DataType::Timestamp`], `TimestampMilli`, `TimestampMicro` or `TimestampNano`, by the value's own fraction
    /// (`.500000` is milliseconds, `.000` is whole seconds).
    pub precision: DataType,
}

/// Reads a date-like string; `None` if it is only text.
#[must_use]
#[inline]
pub fn parse(text: &[u8]) -> Option<ParsedTimestamp> {
    // Every layout has a dash here: most strings that are no dates leave at once.
    if text.get(4) != Some(&b'-') {
        return None;
    }
    parse_common(text).or_else(|| parse_any(text))
}

/// `YYYY-MM-DDThh:mm:ss[.fff]Z` and `YYYY-MM-DD hh:mm:ss`: what nearly all producers write, without a loop and nearly
/// without branches.
#[inline]
fn parse_common(text: &[u8]) -> Option<ParsedTimestamp> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let millis = match (head[10], tail) {
        (b' ', []) | (b'T', [] | [b'Z']) => 0,
        (b'T', [b'.', a, b, c, b'Z']) => {
            let digits = [a, b, c].map(|digit| u32::from(digit.wrapping_sub(b'0')));
            if digits.iter().any(|digit| *digit > 9) {
                return None;
            }
            digits[0] * 100 + digits[1] * 10 + digits[2]
        }
        _ => return None,
    };
    // The digits of `YYYY-MM-` and `DDxhh:mm` and `hh:mm:ss` as values, everything else as zero.
    let (date, _) = head.split_first_chunk()?;
    let (_, time) = head.split_last_chunk()?;
    let date = fields(date, b"0000-00-")?;
    let time = fields(time, b"00:00:00")?;
    let day = fields(&[head[8], head[9], b'0', b'0', b'0', b'0', b'0', b'0'], b"00000000")?;
    let year = pair_at(date, 0) * 100 + pair_at(date, 2);
    let day = day_number(year, pair_at(date, 5), pair_at(day, 0))?;
    let seconds = day * SECONDS_PER_DAY + clock(pair_at(time, 0), pair_at(time, 3), pair_at(time, 6))?;
    let precision = if millis == 0 { DataType::Timestamp } else { DataType::TimestampMilli };
    Some(ParsedTimestamp { micros: seconds * MICROS_PER_SECOND + i64::from(millis) * 1000, precision })
}

/// Eight bytes as digit values, first one lowest, if they are digits where `pattern` has `0` and else equal to it.
#[inline]
fn fields(bytes: &[u8; 8], pattern: &[u8; 8]) -> Option<u64> {
    const NOT_ABOVE_NINE: u64 = u64::from_le_bytes([0x80 - 10; 8]);
    const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    let separators = u64::from_le_bytes(pattern.map(|byte| if byte == b'0' { 0 } else { 0xFF }));
    let values = u64::from_le_bytes(*bytes) ^ u64::from_le_bytes(*pattern);
    let wrong = (values | values.wrapping_add(NOT_ABOVE_NINE)) & HIGH_BITS | values & separators;
    (wrong == 0).then_some(values)
}

/// The number of the two digits at `at` of [`fields`].
#[inline]
const fn pair_at(fields: u64, at: u32) -> u32 {
    let pair = fields >> (at * u8::BITS);
    (pair & 0xF) as u32 * 10 + (pair >> u8::BITS & 0xF) as u32
}

/// Every layout of the module's table.
fn parse_any(text: &[u8]) -> Option<ParsedTimestamp> {
    let (date, rest) = text.split_first_chunk::<DATE_BYTES>()?;
    let day = days(date)?;
    let Some((separator, rest)) = rest.split_first() else {
        return Some(ParsedTimestamp {
            micros: day * SECONDS_PER_DAY * MICROS_PER_SECOND,
            precision: DataType::Timestamp,
        });
    };
    let colon = match separator {
        b' ' | b'T' => b':',
        b'-' => b'.',
        _ => return None,
    };
    // One digit is enough for the hour, except with dots.
    let (hour, rest) = match rest {
        [h, c, rest @ ..] if *c == b':' && colon == b':' => (pair(b'0', *h)?, rest),
        [h1, h2, c, rest @ ..] if *c == colon => (pair(*h1, *h2)?, rest),
        _ => return None,
    };
    let [m1, m2, c, s1, s2, rest @ ..] = rest else { return None };
    if *c != colon {
        return None;
    }
    let day_seconds = clock(hour, pair(*m1, *m2)?, pair(*s1, *s2)?)?;
    let (nanos, rest) = fraction(rest);
    let offset = match separator {
        b' ' => offset_after_space(rest)?,
        b'T' => offset_after_t(rest)?,
        _ if rest.is_empty() => 0,
        _ => return None,
    };
    let seconds = day * SECONDS_PER_DAY + day_seconds - offset;
    let precision = match nanos {
        0 => DataType::Timestamp,
        n if n % 1_000_000 == 0 => DataType::TimestampMilli,
        n if n % 1000 == 0 => DataType::TimestampMicro,
        _ => DataType::TimestampNano,
    };
    Some(ParsedTimestamp { micros: seconds * MICROS_PER_SECOND + nanos / 1000, precision })
}

/// Two digits as a number.
#[inline]
fn pair(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| u32::from(tens) * 10 + u32::from(ones))
}

/// Seconds of the day.
#[inline]
fn clock(hour: u32, minute: u32, second: u32) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60).then(|| i64::from(hour * 3600 + minute * 60 + second))
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
#[inline]
fn days(date: &[u8; DATE_BYTES]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
    day_number(pair(y1, y2)? * 100 + pair(y3, y4)?, pair(m1, m2)?, pair(d1, d2)?)
}

/// Days since 1970-01-01 of a day, if there is such a day.
#[inline]
fn day_number(year: u32, month: u32, day: u32) -> Option<i64> {
    // Days before the month and in the month, in a year that is not a leap year; no days outside of 1 to 12.
    const BEFORE: [u32; 16] = [0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 0, 0, 0];
    const LENGTH: [u32; 16] = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 0, 0, 0];
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let at = if month < 16 { month as usize } else { 0 };
    if day == 0 || day > LENGTH[at] + u32::from(is_leap && at == 2) {
        return None;
    }
    // Leap days of the years before this one; year 0 is counted as year 400, so that there is nothing below 1.
    let past = year + 399;
    let leap_days = past / 4 - past / 100 + past / 400 - LEAP_YEARS_1_TO_399;
    let year_day = BEFORE[at] + u32::from(is_leap && at > 2) + day - 1;
    Some(i64::from(year * 365 + leap_days + year_day) - DAYS_YEAR_0_TO_EPOCH)
}

const LEAP_YEARS_1_TO_399: u32 = 96;
/// Days from 0000-01-01 to 1970-01-01.
const DAYS_YEAR_0_TO_EPOCH: i64 = 719_528;

/// Nanoseconds of an optional fraction, and what follows it.
fn fraction(text: &[u8]) -> (i64, &[u8]) {
    let [b'.' | b',', digits @ ..] = text else { return (0, text) };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return (0, text);
    }
    let (digits, rest) = digits.split_at(count);
    let nine = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    (nine.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0')), rest)
}

/// Offset from UTC in seconds of what may follow `YYYY-MM-DD hh:mm:ss`.
fn offset_after_space(rest: &[u8]) -> Option<i64> {
    match rest {
        [] => Some(0),
        [b' ', sign, h1, h2, b':', m1, m2] | [sign, h1, h2, b':', m1, m2] => offset(*sign, [*h1, *h2, *m1, *m2]),
        [sign, h1, h2] => offset(*sign, [*h1, *h2, b'0', b'0']),
        [b' ', sign, h1, h2, m1, m2, b' ', zone @ ..] if is_zone_name(zone) => offset(*sign, [*h1, *h2, *m1, *m2]),
        _ => None,
    }
}

/// Offset from UTC in seconds of what may follow `YYYY-MM-DDThh:mm:ss`.
fn offset_after_t(rest: &[u8]) -> Option<i64> {
    match rest {
        [] | b"Z" | b"+0000" => Some(0),
        [sign, h1, h2, b':', m1, m2] => offset(*sign, [*h1, *h2, *m1, *m2]),
        _ => None,
    }
}

fn offset(sign: u8, [h1, h2, m1, m2]: [u8; 4]) -> Option<i64> {
    let (hours, minutes) = (pair(h1, h2)?, pair(m1, m2)?);
    if hours > 24 || minutes > 60 {
        return None;
    }
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// An abbreviation such as `UTC`, `MST`, `CEST`; the numeric offset before it is what counts.
fn is_zone_name(zone: &[u8]) -> bool {
    let upper = zone.iter().all(u8::is_ascii_uppercase);
    upper && (zone.len() == 3 || (matches!(zone.len(), 4 | 5) && zone.ends_with(b"T")) || zone == b"WITA")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_layouts_equal_the_general_ones() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..200_000 {
            let mut text = format!(
                "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}",
                rng.u32(0..10_000),
                rng.u32(0..14),
                rng.u32(0..33),
                ["T", " "][rng.usize(0..2)],
                rng.u32(0..26),
                rng.u32(0..62),
                rng.u32(0..62),
                ["", "Z", ".000Z", ".120Z", ".999Z"][rng.usize(0..5)],
            )
            .into_bytes();
            if rng.u8(0..4) == 0 {
                let at = rng.usize(0..text.len());
                text[at] = *rng.choice(b"0-:TZ. x9").unwrap();
            }
            if let Some(fast) = parse_common(&text) {
                assert_eq!(Some(fast), parse_any(&text), "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn days_run_without_gaps_over_the_whole_calendar() {
        let mut expected = days(b"0000-01-01").unwrap();
        for year in 0..10_000 {
            for month in 1..=12 {
                for day in 1..=31 {
                    let text = format!("{year:04}-{month:02}-{day:02}").into_bytes();
                    if let Some(found) = days(text.first_chunk().unwrap()) {
                        assert_eq!(found, expected, "{year}-{month}-{day}");
                        expected += 1;
                    }
                }
            }
        }
        assert_eq!(days(b"1970-01-01"), Some(0));
        assert_eq!(days(b"9999-12-31"), Some(2_932_896));
    }
}
