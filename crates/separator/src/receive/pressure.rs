//! How pressed the doors are, and how what works behind them makes way.
//!
//! All share one disk, one writer of the database and few processors. What is acknowledged can wait, what is not
//! acknowledged cannot: Meta's next callback may wait for the answer to this one. So while callbacks come in a crowd, or
//! one upon the other, intake and delivery take only a part of the time. Nothing is held up for long: each rest is
//! bounded, and doors that stay pressed share evenly with what works behind them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// A commit of more receipts than this is one of a crowd.
const CROWD: usize = 8;
/// A callback that comes this soon after the last commit waited for it.
const AT_ONCE: Duration = Duration::from_millis(1);
/// So many of them in a row say that whoever sends waits for us. A late one takes half of what was counted: what works
/// behind the doors makes callbacks late, and would otherwise hide that they wait.
const IN_A_ROW: u32 = 8;
/// How long after a commit it is believed, without another sign, that the doors are pressed.
const BELIEVED: Duration = Duration::from_millis(5);
/// While something is being committed, however long it waits for its turn, the doors stay as pressed as they were.
const COMMITTING: u64 = u64::MAX;
/// Doors that are pressed for longer than this share the time evenly: by then a million callbacks may be on disk.
const BURST: Duration = Duration::from_secs(30);
/// Until then the doors have this many times what each of the others takes.
const PRECEDENCE: u32 = 24;

/// Told by the committer, asked by all who work behind the doors.
#[derive(Debug)]
pub struct Pressure {
    origin: Instant,
    /// Microseconds after the origin: since when, and until when, the doors are believed to be pressed.
    since: AtomicU64,
    until: AtomicU64,
}

impl Pressure {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            since: AtomicU64::new(0),
            until: AtomicU64::new(0),
        }
    }

    fn micros(&self, at: Instant) -> u64 {
        at.duration_since(self.origin).as_micros() as u64
    }

    fn press(&self, now: Instant) {
        let now = self.micros(now);
        if self.until.swap(COMMITTING, Ordering::Relaxed) < now {
            self.since.store(now, Ordering::Relaxed);
        }
    }

    fn committed(&self, now: Instant) {
        if self.until.load(Ordering::Relaxed) == COMMITTING {
            let believed = self.micros(now + BELIEVED);
            self.until.store(believed, Ordering::Relaxed);
        }
    }

    /// How long who has just worked for `worked` should rest now; `None` while the doors are not pressed.
    fn rest_after(&self, worked: Duration, longest: Duration, now: Instant) -> Option<Duration> {
        let now = self.micros(now);
        if self.until.load(Ordering::Relaxed) <= now {
            return None;
        }
        let pressed = Duration::from_micros(now.saturating_sub(self.since.load(Ordering::Relaxed)));
        let times = if pressed < BURST { PRECEDENCE } else { 1 };
        Some((worked * times).min(longest))
    }

    /// Makes way for the doors after having worked for `worked`: returns when they are not pressed any more, and at the
    /// latest after `longest`.
    pub async fn make_way(&self, worked: Duration, longest: Duration) {
        let begun = Instant::now();
        while let Some(rest) = self.rest_after(worked, longest, Instant::now()) {
            let left = rest.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(BELIEVED)).await;
        }
    }
}

/// What the committer sees of the callbacks' coming.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    committed: Option<Instant>,
    in_a_row: u32,
}

impl Arrivals {
    /// So many callbacks are about to be committed.
    pub(super) fn came(&mut self, count: usize, now: Instant, pressure: &Pressure) {
        let at_once = self
            .committed
            .is_some_and(|committed| now.duration_since(committed) < AT_ONCE);
        self.in_a_row = if at_once {
            (self.in_a_row + 1).min(2 * IN_A_ROW)
        } else {
            self.in_a_row / 2
        };
        if count > CROWD || self.in_a_row >= IN_A_ROW {
            pressure.press(now);
        }
    }

    /// They are on disk and answered.
    pub(super) fn committed(&mut self, now: Instant, pressure: &Pressure) {
        self.committed = Some(now);
        pressure.committed(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKED: Duration = Duration::from_millis(2);
    const LONGEST: Duration = Duration::from_millis(300);

    /// Callbacks, each so long after the commit of the one before.
    fn arrive(times: u32, gap: Duration, pressure: &Pressure, mut now: Instant) -> Instant {
        let mut arrivals = Arrivals::default();
        for _ in 0..times {
            arrivals.came(1, now, pressure);
            arrivals.committed(now, pressure);
            now += gap;
        }
        now
    }

    #[test]
    fn single_callbacks_hold_nobody_up() {
        let pressure = Pressure::new();
        let now = arrive(
            1000,
            Duration::from_millis(1),
            &pressure,
            pressure.origin + Duration::from_secs(1),
        );
        assert_eq!(pressure.rest_after(WORKED, LONGEST, now), None);
    }

    #[test]
    fn callbacks_upon_each_other_press_and_so_does_a_crowd_until_they_end() {
        let pressure = Pressure::new();
        let gap = Duration::from_micros(100);
        let start = pressure.origin + Duration::from_secs(1);
        let now = arrive(8, gap, &pressure, start);
        assert_eq!(pressure.rest_after(WORKED, LONGEST, now), None);
        let now = arrive(9, gap, &pressure, now);
        assert_eq!(
            pressure.rest_after(WORKED, LONGEST, now),
            Some(WORKED * PRECEDENCE)
        );
        let mut now = now + BELIEVED;
        assert_eq!(pressure.rest_after(WORKED, LONGEST, now), None);
        let mut arrivals = Arrivals::default();
        arrivals.came(CROWD + 1, now, &pressure);
        now += Duration::from_secs(1);
        assert!(pressure.rest_after(WORKED, LONGEST, now).is_some());
        arrivals.committed(now, &pressure);
        assert!(pressure.rest_after(WORKED, LONGEST, now).is_some());
        now += BELIEVED;
        assert_eq!(pressure.rest_after(WORKED, LONGEST, now), None);
    }

    #[test]
    fn one_late_callback_among_many_does_not_hide_that_the_others_wait() {
        let pressure = Pressure::new();
        let mut arrivals = Arrivals::default();
        let mut now = pressure.origin + Duration::from_secs(1);
        for number in 1..=100 {
            let late = number % 20 == 0;
            now += Duration::from_micros(if late { 4000 } else { 200 });
            arrivals.came(1, now, &pressure);
            arrivals.committed(now, &pressure);
            if number > 20 {
                assert!(pressure.rest_after(WORKED, LONGEST, now).is_some());
            }
        }
        // Callbacks that come as they like, four milliseconds apart, press nobody.
        for _ in 0..20 {
            now += Duration::from_millis(4);
            arrivals.came(1, now, &pressure);
            arrivals.committed(now, &pressure);
        }
        now += BELIEVED;
        assert_eq!(pressure.rest_after(WORKED, LONGEST, now), None);
    }

    #[test]
    fn rests_are_bounded_and_lasting_pressure_is_shared_evenly() {
        let pressure = Pressure::new();
        let gap = Duration::from_micros(100);
        let start = pressure.origin + Duration::from_secs(1);
        let now = arrive(20, gap, &pressure, start);
        assert_eq!(
            pressure.rest_after(Duration::from_secs(1), LONGEST, now),
            Some(LONGEST)
        );
        let now = arrive(310_000, gap, &pressure, start);
        assert_eq!(pressure.rest_after(WORKED, LONGEST, now), Some(WORKED));
    }

    #[tokio::test]
    async fn who_makes_way_goes_on_as_soon_as_the_crowd_is_through() {
        let (pressure, hour) = (Pressure::new(), Duration::from_hours(1));
        let mut arrivals = Arrivals::default();
        arrivals.came(CROWD + 1, Instant::now(), &pressure);
        arrivals.committed(Instant::now(), &pressure);
        // It would take an hour if the crowd went on.
        let way = pressure.make_way(hour, hour);
        let made = tokio::time::timeout(Duration::from_mins(1), way).await;
        assert!(made.is_ok());
    }
}
