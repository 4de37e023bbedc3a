//! UTC calendar fields of an instant, for file and folder names.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01, counting years from March so that a leap day is the last day of a year.
const DAYS_BEFORE_1970: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;

/// An instant taken apart, proleptic Gregorian, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year; 0 is 1 BC.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
    /// 0 to 999,999.
    pub micros: i64,
    /// Days since 1970-01-01.
    days: i64,
}

impl Civil {
    /// Takes apart an instant in microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        let seconds = micros.div_euclid(MICROS_PER_SECOND);
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let of_day = seconds.rem_euclid(SECONDS_PER_DAY);
        let (year, month, day) = date(days);
        Self {
            year,
            month,
            day,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
            micros: micros.rem_euclid(MICROS_PER_SECOND),
            days,
        }
    }

    /// The ISO 8601 week, 1 to 53: week 1 has the year's first Thursday.
    #[must_use]
    pub const fn iso_week(&self) -> i64 {
        // 1970-01-01 was a Thursday; the week of a day is the week of that week's Thursday.
        let weekday = (self.days + 3).rem_euclid(7);
        let thursday = self.days - weekday + 3;
        let (year, _, _) = date(thursday);
        (thursday - days_of_new_year(year)) / 7 + 1
    }
}

/// Year, month and day of a day number (0 is 1970-01-01).
const fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + DAYS_BEFORE_1970;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let of_era = shifted.rem_euclid(DAYS_PER_ERA);
    // Leap days of the era so far are taken out, then years have 365 days.
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / (DAYS_PER_ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// Day number of January 1st.
const fn days_of_new_year(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + (before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)) - 477
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_day_by_day_count() {
        let (mut year, mut month, mut day) = (1969, 12, 30);
        for days in -2..60_000 {
            assert_eq!(date(days), (year, month, day), "day {days}");
            if (month, day) == (1, 1) {
                assert_eq!(days_of_new_year(year), days);
            }
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let last = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            day += 1;
            if day > last[usize::try_from(month).unwrap() - 1] {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn takes_instants_apart() {
        let civil = Civil::from_micros(1_700_000_000_123_456);
        assert_eq!((civil.year, civil.month, civil.day), (2023, 11, 14));
        assert_eq!((civil.hour, civil.minute, civil.second, civil.micros), (22, 13, 20, 123_456));
        let before = Civil::from_micros(-1);
        assert_eq!((before.year, before.month, before.day, before.second, before.micros), (1969, 12, 31, 59, 999_999));
    }

    #[test]
    fn iso_weeks_at_the_edges_of_years() {
        let week = |days: i64| Civil::from_micros(days * SECONDS_PER_DAY * MICROS_PER_SECOND).iso_week();
        assert_eq!(week(0), 1, "1970-01-01, a Thursday");
        assert_eq!(week(18_627), 53, "2020-12-31");
        assert_eq!(week(18_630), 53, "2021-01-03");
        assert_eq!(week(18_631), 1, "2021-01-04");
        assert_eq!(week(20_087), 1, "2024-12-30 belongs to 2025");
    }
}
