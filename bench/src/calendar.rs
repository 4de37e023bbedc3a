//! Seconds since 1970 to a UTC date and time, without a clock or a time zone.

use crate::text::Text;

/// The instant of record 0: 2023-11-14T22:13:20Z, in seconds since 1970.
pub(crate) const EPOCH_S: u64 = 1_700_000_000;

const SECONDS_PER_DAY: u64 = 86_400;

/// Appends `YYYY-MM-DD`, `separator`, `HH:MM:SS`.
pub(crate) fn put_date_time(text: &mut Text<'_>, seconds: u64, separator: &str) {
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    let second = seconds % SECONDS_PER_DAY;
    text.padded(year, 4).put("-").padded(month, 2).put("-").padded(day, 2).put(separator);
    text.padded(second / 3600, 2).put(":").padded(second / 60 % 60, 2).put(":").padded(second % 60, 2);
}

/// Year, month and day of a day number counted from 1970-01-01. Counts in years that begin in March, so that the leap day is
/// the last of its year, and in eras of 400 such years.
fn civil(days_since_1970: u64) -> (u64, u64, u64) {
    const DAYS_FROM_YEAR_0_TO_1970: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days_since_1970 + DAYS_FROM_YEAR_0_TO_1970;
    let (era, day_of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}
