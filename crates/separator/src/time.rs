//! Time: what o'clock it is, and how a moment is kept, compared and written.
//!
//! Every moment in the program is a [`Millis`]: milliseconds since 1970 in UTC, a plain integer in both databases, RFC
//! 3339 text with milliseconds in JSON. The present is asked from a [`Clock`] that is handed in; this file holds the
//! only reading of the system's clock, so that tests move time in place of waiting for it.

use std::{
    fmt,
    ops::{Add, AddAssign, Sub},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, fmt::temporal::DateTimePrinter};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes exactly three digits after the second, so that texts of moments sort as the moments do.
static PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// A moment: milliseconds since 1970-01-01T00:00:00Z.
///
/// Stored as `BIGINT`; in JSON and in `Display` as RFC 3339 in UTC, for example `2026-11-23T04:47:32.010Z`.
/// Arithmetic stops at the ends of the range in place of wrapping.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, sqlx::Type, utoipa::ToSchema,
)]
#[sqlx(transparent)]
#[schema(value_type = String, format = DateTime)]
pub struct Millis(pub i64);

impl Millis {
    /// The moment that many seconds after the beginning of 1970, as Meta and Bitrix24 write times.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// The whole second: times of Meta's and of ours are compared by it, because Meta tells no smaller ones.
    #[must_use]
    pub fn whole_second(self) -> Self {
        Self::from_seconds(self.seconds())
    }

    /// Whole seconds since the beginning of 1970.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment for the calendar; moments beyond the year 9999 become its end.
    fn timestamp(self) -> Timestamp {
        let end = if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        Timestamp::from_millisecond(self.0).unwrap_or(end)
    }
}

impl Add<Duration> for Millis {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole(duration)))
    }
}

impl AddAssign<Duration> for Millis {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Millis {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole(duration)))
    }
}

fn whole(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl fmt::Display for Millis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&PRINTER.timestamp_to_string(&self.timestamp()))
    }
}

/// A text is not a moment in RFC 3339.
#[derive(Debug, thiserror::Error)]
#[error("not a time in RFC 3339, for example 2026-11-23T04:47:32.010Z")]
pub struct NotATime;

impl FromStr for Millis {
    type Err = NotATime;

    /// Reads RFC 3339 with any offset; finer parts than milliseconds are cut off.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let timestamp: Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self(timestamp.as_nanosecond().div_euclid(1_000_000) as i64))
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the present comes from. Clones tell the same time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's clock.
    System,
    /// A clock that stands still until it is moved, holding milliseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `start` until it is moved.
    pub fn manual(start: Millis) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The present. It may go backwards when somebody sets the system's clock.
    pub fn now(&self) -> Millis {
        match self {
            Self::System => system(),
            Self::Manual(millis) => Millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; the system's clock is nobody's to move and stays.
    pub fn advance(&self, duration: Duration) {
        if let Self::Manual(millis) = self {
            millis.fetch_add(whole(duration), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock, also backwards; the system's clock stays.
    pub fn set(&self, moment: Millis) {
        if let Self::Manual(millis) = self {
            millis.store(moment.0, Ordering::SeqCst);
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the system's clock"
)]
fn system() -> Millis {
    let now = SystemTime::now();
    match now.duration_since(UNIX_EPOCH) {
        Ok(after) => Millis(whole(after)),
        Err(before) => Millis(-whole(before.duration())),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_is_written_with_three_digits_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_409_252_010, "2026-11-23T04:47:32.010Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Millis(millis).to_string(), text);
            assert_eq!(text.parse::<Millis>().unwrap(), Millis(millis));
        }
    }

    #[test]
    fn other_offsets_and_finer_fractions_are_read() {
        assert_eq!(
            "1970-01-01T03:00:00+03:00".parse::<Millis>().unwrap(),
            Millis(0)
        );
        assert_eq!(
            "1970-01-01T00:00:00.0019Z".parse::<Millis>().unwrap(),
            Millis(1)
        );
    }

    #[test]
    fn what_is_not_a_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-11-23T04:47:32",
            "2026-13-01T00:00:00Z",
            "1763873252",
        ] {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
    }

    #[test]
    fn json_holds_text() {
        let json = serde_json::to_string(&Millis(5)).unwrap();
        assert_eq!(json, "\"1970-01-01T00:00:00.005Z\"");
        assert_eq!(serde_json::from_str::<Millis>(&json).unwrap(), Millis(5));
        assert!(serde_json::from_str::<Millis>("5").is_err());
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        assert_eq!(Millis(i64::MAX) + Duration::from_secs(1), Millis(i64::MAX));
        assert_eq!(Millis(i64::MIN) - Duration::MAX, Millis(i64::MIN));
        assert_eq!(Millis(1500) - Duration::from_secs(1), Millis(500));
        assert_eq!(Millis(1500).since(Millis(500)), Duration::from_secs(1));
        assert_eq!(Millis(500).since(Millis(1500)), Duration::ZERO);
        assert_eq!(Millis::from_seconds(2).seconds(), 2);
        assert_eq!(Millis(-1).seconds(), -1);
        assert!(Millis(i64::MAX).to_string().starts_with("9999-12-3"));
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_in_all_its_clones() {
        let clock = Clock::manual(Millis(10));
        let same = clock.clone();
        assert_eq!(same.now(), Millis(10));
        clock.advance(Duration::from_millis(5));
        assert_eq!(same.now(), Millis(15));
        clock.set(Millis(3));
        assert_eq!(same.now(), Millis(3));
    }

    #[test]
    fn the_system_clock_is_in_this_century() {
        let now = Clock::System.now();
        assert!(
            now > "2026-01-01T00:00:00Z".parse().unwrap()
                && now < "2100-01-01T00:00:00Z".parse().unwrap()
        );
    }

    proptest! {
        #[test]
        fn any_moment_of_four_digit_years_survives_its_text(millis in -62_135_596_800_000_i64..253_402_207_200_000) {
            prop_assert_eq!(Millis(millis).to_string().parse::<Millis>().unwrap(), Millis(millis));
        }
    }
}
