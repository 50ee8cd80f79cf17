//! The stand-in's clock: real time plus whatever a test has advanced it by.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Where the stand-in takes its time from.
pub type TimeSource = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// A clock that can be advanced.
#[derive(Clone)]
pub(crate) struct Clock {
    source: TimeSource,
    advanced: Arc<AtomicU64>,
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Clock")
            .field("advanced", &self.advanced)
            .finish_non_exhaustive()
    }
}

impl Clock {
    pub(crate) fn new(source: TimeSource) -> Self {
        Self {
            source,
            advanced: Arc::default(),
        }
    }

    /// Milliseconds since 1970.
    pub(crate) fn milliseconds(&self) -> u64 {
        let real = (self.source)()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        real.as_millis() as u64 + self.advanced.load(Ordering::Relaxed)
    }

    /// Seconds since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        (self.milliseconds() / 1000) as i64
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.advanced
            .fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }
}

/// A point in time split into calendar fields, UTC.
struct Calendar {
    year: i64,
    month: i64,
    day: i64,
    hour: u64,
    minute: u64,
    second: u64,
}

/// Days are counted from 1 March of year 0, so that a leap day is the last day of its year.
fn calendar(milliseconds: u64) -> Calendar {
    let seconds = milliseconds / 1000;
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    Calendar {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
        hour: seconds / 3600 % 24,
        minute: seconds / 60 % 60,
        second: seconds % 60,
    }
}

/// `2026-08-21T09:05:03+00:00`, as the `time` block and message dates are written.
pub(crate) fn iso(milliseconds: u64) -> String {
    let Calendar {
        year,
        month,
        day,
        hour,
        minute,
        second,
    } = calendar(milliseconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}+00:00")
}

/// `21.08.2026 09:05`, as the head of a quotation is written.
pub(crate) fn day_and_minute(milliseconds: u64) -> String {
    let Calendar {
        year,
        month,
        day,
        hour,
        minute,
        ..
    } = calendar(milliseconds);
    format!("{day:02}.{month:02}.{year:04} {hour:02}:{minute:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00+00:00"),
            (951_782_400, "2000-02-29T00:00:00+00:00"),
            (1_709_251_199, "2024-02-29T23:59:59+00:00"),
            (1_709_251_200, "2024-03-01T00:00:00+00:00"),
            (1_767_225_599, "2025-12-31T23:59:59+00:00"),
        ] {
            assert_eq!(iso(seconds * 1000), expected);
        }
        assert_eq!(day_and_minute(1_709_251_199_000), "29.02.2024 23:59");
    }
}
