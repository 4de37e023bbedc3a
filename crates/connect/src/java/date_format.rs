//! Java's `SimpleDateFormat`, in UTC and English.

use std::fmt::{self, Write};

use super::calendar::CalendarTime;
use super::date_parse;

/// Months in full; their first three letters are the short form.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days in full, from Sunday; their first three letters are the short form.
pub(super) const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Literal(char),
    /// A letter and how often it stands there.
    Field(char, usize),
}

/// A pattern such as `yyyy-MM-dd'T'HH:mm:ss.SSSX`.
///
/// Differences from Java: dates before 1582 are of the Gregorian calendar too; the time zone is always UTC, whatever the
/// machine's; of the zones that have names, `UTC`, `GMT`, `UT` and `Z` are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DateFormat {
    pattern: String,
    items: Vec<Item>,
}

impl DateFormat {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Java's message, without its class.
    pub fn new(pattern: &str) -> Result<DateFormat, String> {
        let mut items = Vec::new();
        let mut characters = pattern.chars().peekable();
        let mut quoted = false;
        while let Some(one) = characters.next() {
            if one == '\'' {
                if characters.next_if_eq(&'\'').is_some() {
                    items.push(Item::Literal('\''));
                } else {
                    quoted = !quoted;
                }
            } else if quoted || !one.is_ascii_alphabetic() {
                items.push(Item::Literal(one));
            } else if "GyMdkHmsSEDFwWahKzZYuXL".contains(one) {
                let mut count = 1;
                while characters.next_if_eq(&one).is_some() {
                    count += 1;
                }
                if one == 'X' && count > 3 {
                    return Err(format!("invalid ISO 8601 format: length={count}"));
                }
                items.push(Item::Field(one, count));
            } else {
                return Err(format!("Illegal pattern character '{one}'"));
            }
        }
        if quoted {
            return Err("Unterminated quote".to_owned());
        }
        Ok(DateFormat { pattern: pattern.to_owned(), items })
    }

    /// The pattern.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Writes a point in time, in milliseconds since the epoch.
    pub fn format(&self, ms: i64) -> String {
        let time = CalendarTime::from_ms(ms);
        let mut text = String::with_capacity(self.pattern.len() + 8);
        for item in &self.items {
            // Writing to a string does not fail.
            let _ = match *item {
                Item::Literal(one) => text.write_char(one),
                Item::Field(letter, count) => write_field(&mut text, &time, letter, count),
            };
        }
        text
    }

    /// Reads a point in time from the beginning of a text, in milliseconds since the epoch; as in Java what follows is
    /// not looked at, and a day 32 or an hour 25 is counted on. `None` when the text does not fit. `now_ms` decides in
    /// which century two digits of a year are.
    pub fn parse(&self, text: &str, now_ms: i64) -> Option<i64> {
        date_parse::parse(&self.items, text, now_ms)
    }
}

fn write_field(text: &mut String, time: &CalendarTime, letter: char, count: usize) -> fmt::Result {
    let hour = time.ms_of_day / 3_600_000;
    let number = match letter {
        'G' => return text.write_str(if time.year > 0 { "AD" } else { "BC" }),
        'y' => return write_year(text, if time.year > 0 { time.year } else { 1 - time.year }, count),
        'Y' => return write_year(text, time.week().0, count),
        'M' | 'L' if count >= 3 => return write_name(text, &MONTHS, time.month - 1, count),
        'E' => return write_name(text, &WEEKDAYS, time.weekday(), count),
        'a' => return text.write_str(if hour < 12 { "AM" } else { "PM" }),
        'z' if count >= 4 => return text.write_str("Coordinated Universal Time"),
        'z' => return text.write_str("UTC"),
        'Z' => return text.write_str("+0000"),
        'X' => return text.write_str("Z"),
        'M' | 'L' => time.month,
        'd' => time.day,
        'D' => time.day_of_year(),
        'F' => (time.day - 1) / 7 + 1,
        'w' => time.week().1,
        'W' => time.week_of_month(),
        'u' => (time.weekday() + 6) % 7 + 1,
        'H' => hour,
        'k' => (hour + 23) % 24 + 1,
        'K' => hour % 12,
        'h' => (hour + 11) % 12 + 1,
        'm' => time.ms_of_day / 60_000 % 60,
        's' => time.ms_of_day / 1000 % 60,
        _ => time.ms_of_day % 1000,
    };
    write!(text, "{number:0count$}")
}

fn write_year(text: &mut String, year: i64, count: usize) -> fmt::Result {
    if count == 2 { write!(text, "{:02}", year.rem_euclid(100)) } else { write!(text, "{year:0count$}") }
}

fn write_name(text: &mut String, names: &[&str], index: i64, count: usize) -> fmt::Result {
    let name = usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default();
    text.write_str(if count >= 4 { name } else { &name[..name.len().min(3)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T17:05:09.007Z, a Saturday.
    const TIME: i64 = 1_795_280_709_007;

    #[test]
    fn writes_every_letter() {
        let cases = [
            ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "2026-11-21T17:05:09.007Z"),
            ("yy M d H k K h m s S a", "26 11 21 17 17 5 5 5 9 7 PM"),
            ("yyyyy MMM MMMM EEE EEEE u", "02026 Nov November Sat Saturday 6"),
            ("D F w W YYYY G", "325 3 47 3 2026 AD"),
            ("z Z X XXX zzzz", "UTC +0000 Z Z Coordinated Universal Time"),
            ("'o''clock' ''", "o'clock '"),
            ("yyyyMMdd", "20261121"),
        ];
        for (pattern, text) in cases {
            assert_eq!(DateFormat::new(pattern).unwrap().format(TIME), text, "{pattern}");
        }
        assert_eq!(DateFormat::new("yyyy/G").unwrap().format(-62_135_596_800_001), "0001/BC");
    }

    #[test]
    fn refuses_what_java_refuses() {
        assert_eq!(DateFormat::new("bad").unwrap_err(), "Illegal pattern character 'b'");
        assert_eq!(DateFormat::new("yyyy'T").unwrap_err(), "Unterminated quote");
        assert_eq!(DateFormat::new("XXXX").unwrap_err(), "invalid ISO 8601 format: length=4");
    }

    #[test]
    fn reads_what_it_writes() {
        for pattern in
            ["yyyy-MM-dd'T'HH:mm:ss.SSSX", "dd MMM yyyy hh:mm:ss.SSS a Z", "yyyyMMddHHmmssSSS", "yyyy D kk:m:s.SSS"]
        {
            let format = DateFormat::new(pattern).unwrap();
            assert_eq!(format.parse(&format.format(TIME), TIME), Some(TIME), "{pattern}");
        }
    }

    #[test]
    fn reads_as_leniently_as_java() {
        let parse = |pattern: &str, text: &str| DateFormat::new(pattern).unwrap().parse(text, TIME);
        let day = |year, month, day| super::super::calendar::days_from_civil(year, month, day) * 86_400_000;
        assert_eq!(parse("yyyy-MM-dd", "2021-02-31"), Some(day(2021, 3, 3)));
        assert_eq!(parse("yyyy-MM-dd", "2021-2-3 and more"), Some(day(2021, 2, 3)));
        assert_eq!(parse("yyyy-MM-dd", "2021/02/03"), None);
        assert_eq!(parse("yyyy-MM-dd", ""), None);
        assert_eq!(parse("yy", "45"), Some(day(2045, 1, 1)));
        assert_eq!(parse("yy", "50"), Some(day(1950, 1, 1)));
        assert_eq!(parse("yy", "2050"), Some(day(2050, 1, 1)));
        assert_eq!(parse("HH:mm", "25:61"), Some((26 * 60 + 1) * 60_000));
        assert_eq!(parse("HH:mm X", "01:00 +02:00"), Some(-3_600_000), "one X takes the hours only");
        assert_eq!(parse("HH:mm XXX", "01:00 +02:00"), Some(-3_600_000));
        assert_eq!(parse("HH:mm Z", "01:00 -0130"), Some(9_000_000));
        assert_eq!(parse("HH:mm z", "01:00 GMT+02:00"), Some(-3_600_000));
        assert_eq!(parse("EEE, d MMM yyyy", "Sat, 21 nov 2026"), Some(day(2026, 11, 21)));
        assert_eq!(parse("hh a", "12 am"), Some(0));
        assert_eq!(parse("SSS", "5"), Some(5));
    }
}
