//! Days and fields of the calendar, in UTC.

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;

/// Days from the epoch to a day of the Gregorian calendar. `month` counts from 1 and may be anything, as `day` may:
/// the 32nd of a month is the 1st of the next.
pub(super) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = (year + (month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
    // Years begin in March here, so that the leap day comes last.
    let (year, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * months + 2) / 5;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
    // 1970-01-01 is day 719468 of this count.
    era * ERA_DAYS + day_of_era - 719_468 + day - 1
}

/// A point in time as a calendar shows it in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CalendarTime {
    /// Days since the epoch.
    pub(super) days: i64,
    /// Year; 0 is 1 BC.
    pub(super) year: i64,
    /// Month, 1 to 12.
    pub(super) month: i64,
    /// Day of the month, from 1.
    pub(super) day: i64,
    /// Milliseconds since midnight.
    pub(super) ms_of_day: i64,
}

impl CalendarTime {
    /// Of milliseconds since the epoch.
    pub(super) fn from_ms(ms: i64) -> CalendarTime {
        let (days, ms_of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let shifted = days + 719_468;
        let (era, of_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let months = (5 * day_of_year + 2) / 153;
        let month = if months < 10 { months + 3 } else { months - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        CalendarTime { days, year, month, day: day_of_year - (153 * months + 2) / 5 + 1, ms_of_day }
    }

    /// Day of the week: 0 is Sunday.
    pub(super) fn weekday(self) -> i64 {
        (self.days + 4).rem_euclid(7)
    }

    /// Day of the year, from 1.
    pub(super) fn day_of_year(self) -> i64 {
        self.days - days_from_civil(self.year, 1, 1) + 1
    }

    /// Year and number of the week as in the United States: weeks begin on Sunday, and the week of January 1 is the
    /// first.
    pub(super) fn week(self) -> (i64, i64) {
        let first_sunday_before = |year| {
            let first = CalendarTime::from_ms(days_from_civil(year, 1, 1) * DAY_MS);
            first.days - first.weekday()
        };
        let year = if self.days >= first_sunday_before(self.year + 1) { self.year + 1 } else { self.year };
        (year, (self.days - first_sunday_before(year)) / 7 + 1)
    }

    /// Number of the week in its month, from 1, with weeks as in [`week`](Self::week).
    pub(super) fn week_of_month(self) -> i64 {
        let first_weekday = (self.weekday() - (self.day - 1)).rem_euclid(7);
        (self.day - 1 + first_weekday) / 7 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_agree() {
        assert_eq!(days_from_civil(1970, 1, 1), 0);
        assert_eq!(days_from_civil(2000, 2, 29), 11_016);
        assert_eq!(days_from_civil(1969, 14, 1), days_from_civil(1970, 2, 1));
        assert_eq!(days_from_civil(2021, 1, 32), days_from_civil(2021, 2, 1));
        for days in (-800_000..800_000).step_by(97) {
            let time = CalendarTime::from_ms(days * DAY_MS - 1 + DAY_MS);
            assert_eq!(days_from_civil(time.year, time.month, time.day), days);
            assert_eq!(time.ms_of_day, DAY_MS - 1);
        }
    }

    #[test]
    fn weeks_begin_on_sunday() {
        let day = |year, month, day| CalendarTime::from_ms(days_from_civil(year, month, day) * DAY_MS);
        assert_eq!(day(2026, 11, 21).weekday(), 6);
        assert_eq!(day(2024, 12, 31).week(), (2025, 1));
        assert_eq!(day(2024, 1, 1).week(), (2024, 1));
        assert_eq!(day(2023, 12, 30).week(), (2023, 52));
        assert_eq!(day(2024, 3, 3).week_of_month(), 2);
        assert_eq!(day(2024, 12, 31).day_of_year(), 366);
    }
}
