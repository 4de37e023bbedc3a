//! Reading points in time by a pattern.

use super::calendar::{CalendarTime, days_from_civil};
use super::date_format::{Item, MONTHS, WEEKDAYS};

const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;

/// Longest run of digits that is read as a number.
const DIGITS_MAX: usize = 18;

/// What the fields read so far say.
#[derive(Debug, Default)]
struct Parsed {
    year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    hour_of_half: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    millisecond: i64,
    offset_ms: i64,
}

impl Parsed {
    fn to_ms(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        // Beyond this a day does not fit the milliseconds of an i64.
        if !(-200_000_000..=200_000_000).contains(&year) {
            return None;
        }
        let days = match self.day_of_year {
            Some(day) if self.month.is_none() && self.day.is_none() => {
                days_from_civil(year, 1, 1).checked_add(day - 1)?
            }
            _ => days_from_civil(year, self.month.unwrap_or(1), 1).checked_add(self.day.unwrap_or(1) - 1)?,
        };
        let hour = self.hour_of_half.map_or(self.hour, |hour| hour + if self.afternoon { 12 } else { 0 });
        let parts = [
            (days, 24 * HOUR_MS),
            (hour, HOUR_MS),
            (self.minute, MINUTE_MS),
            (self.second, 1000),
            (self.millisecond, 1),
        ];
        let mut ms = 0_i64;
        for (value, unit) in parts {
            ms = ms.checked_add(value.checked_mul(unit)?)?;
        }
        ms.checked_sub(self.offset_ms)
    }
}

/// Reads the beginning of `text`.
pub(super) fn parse(items: &[Item], text: &str, now_ms: i64) -> Option<i64> {
    let (mut parsed, mut rest) = (Parsed::default(), text);
    for (index, item) in items.iter().enumerate() {
        match *item {
            Item::Literal(one) => rest = rest.strip_prefix(one)?,
            Item::Field(letter, count) => {
                // Digits of two fields without anything between are told apart by their count.
                let abuts = is_number(letter, count)
                    && matches!(items.get(index + 1), Some(Item::Field(next, count)) if is_number(*next, *count));
                rest = field(&mut parsed, rest, letter, count, abuts, now_ms)?;
            }
        }
    }
    parsed.to_ms()
}

fn is_number(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' => count <= 2,
        'G' | 'E' | 'a' | 'z' | 'Z' | 'X' => false,
        _ => true,
    }
}

fn field<'a>(
    parsed: &mut Parsed,
    text: &'a str,
    letter: char,
    count: usize,
    abuts: bool,
    now_ms: i64,
) -> Option<&'a str> {
    let trimmed = text.trim_start_matches([' ', '\t']);
    if trimmed.is_empty() {
        return None;
    }
    match letter {
        'G' => {
            let (index, rest) = name(text, &["AD", "BC"], 2)?;
            parsed.before_christ = index == 1;
            return Some(rest);
        }
        'M' | 'L' if count >= 3 => {
            let (index, rest) = name(text, &MONTHS, 3)?;
            parsed.month = Some(index + 1);
            return Some(rest);
        }
        'E' => return name(text, &WEEKDAYS, 3).map(|(_, rest)| rest),
        'a' => {
            let (index, rest) = name(text, &["AM", "PM"], 2)?;
            parsed.afternoon = index == 1;
            return Some(rest);
        }
        'z' | 'Z' | 'X' => {
            let (offset_ms, rest) = zone(trimmed, letter, count)?;
            parsed.offset_ms = offset_ms;
            return Some(rest);
        }
        _ => {}
    }
    // Space before a number counts as a part of it where the count decides, before a name it does not fit at all.
    let (number, length) = match abuts {
        true => number(text.get(..count)?)?,
        false => number(text)?,
    };
    let rest = &text[length..];
    let two_digits = length - (text.len() - trimmed.len()) == 2 && number >= 0;
    match letter {
        'y' | 'Y' if count <= 2 && two_digits => parsed.year = Some(in_century(number, now_ms)),
        'y' | 'Y' => parsed.year = Some(number),
        'M' | 'L' => parsed.month = Some(number),
        'd' => parsed.day = Some(number),
        'D' => parsed.day_of_year = Some(number),
        'H' => parsed.hour = number,
        'k' => parsed.hour = if number == 24 { 0 } else { number },
        'K' => parsed.hour_of_half = Some(number),
        'h' => parsed.hour_of_half = Some(if number == 12 { 0 } else { number }),
        'm' => parsed.minute = number,
        's' => parsed.second = number,
        'S' => parsed.millisecond = number,
        // The other fields of the week say nothing that the date has not said.
        _ => {}
    }
    Some(rest)
}

/// The year of two digits that is within 80 years before and 20 after now.
fn in_century(two_digits: i64, now_ms: i64) -> i64 {
    let first = CalendarTime::from_ms(now_ms).year - 80;
    let year = first - first.rem_euclid(100) + two_digits;
    if year < first { year + 100 } else { year }
}

/// A number behind space, and how long both are.
fn number(text: &str) -> Option<(i64, usize)> {
    let trimmed = text.trim_start_matches([' ', '\t']);
    let unsigned = trimmed.strip_prefix('-').unwrap_or(trimmed);
    let digits = unsigned.bytes().take(DIGITS_MAX).take_while(u8::is_ascii_digit).count();
    let value: i64 = unsigned[..digits].parse().ok()?;
    let value = if unsigned.len() < trimmed.len() { -value } else { value };
    Some((value, text.len() - unsigned.len() + digits))
}

/// Index of a name, or of its first `short` letters, in any case.
fn name<'a>(text: &'a str, names: &[&str], short: usize) -> Option<(i64, &'a str)> {
    let starts = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    for length in [usize::MAX, short] {
        for (index, name) in (0..).zip(names) {
            let name = &name[..name.len().min(length)];
            if starts(name) {
                return Some((index, &text[name.len()..]));
            }
        }
    }
    None
}

/// Offset from UTC.
fn zone(text: &str, letter: char, count: usize) -> Option<(i64, &str)> {
    if letter == 'X' {
        return match text.strip_prefix('Z') {
            Some(rest) => Some((0, rest)),
            None => signed_offset(text, count > 1, count == 3),
        };
    }
    for name in ["UTC", "GMT", "UT"] {
        if let Some(rest) = text.get(name.len()..).filter(|_| text[..name.len()].eq_ignore_ascii_case(name)) {
            let with_offset = if name == "GMT" { signed_offset(rest, true, true) } else { None };
            return with_offset.or(Some((0, rest)));
        }
    }
    match text.strip_prefix('Z') {
        Some(rest) => Some((0, rest)),
        None => signed_offset(text, true, false),
    }
}

/// `+hh`, `+hhmm` or `+hh:mm`.
fn signed_offset(text: &str, minutes: bool, colon: bool) -> Option<(i64, &str)> {
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let two_digits = |text: &str| {
        let digits = text.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()))?;
        digits.parse::<i64>().ok()
    };
    let hours = two_digits(rest)?;
    let mut rest = &rest[2..];
    let mut offset_ms = hours * HOUR_MS;
    if minutes {
        rest = if colon { rest.strip_prefix(':')? } else { rest };
        offset_ms += two_digits(rest)? * MINUTE_MS;
        rest = &rest[2..];
    }
    Some((sign * offset_ms, rest))
}
