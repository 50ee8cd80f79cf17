//! What a portal limits: how many requests come in, and how long each method may work.

use std::{collections::HashMap, time::Duration};

/// The leaky bucket of a portal (Bitrix24: limits): each request fills it by one, it drains by so much a second, and a
/// request that would overfill it is refused and not executed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestLimit {
    /// How much drains a second: 2 on most plans, 5 on Enterprise.
    pub per_second: f64,
    /// How much fits: 50 on most plans, 250 on Enterprise.
    pub burst: f64,
}

impl Default for RequestLimit {
    fn default() -> Self {
        Self {
            per_second: 2.0,
            burst: 50.0,
        }
    }
}

/// How full a bucket is.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    level: f64,
    at: u64,
}

impl Bucket {
    /// Counts one request; `false` where it does not fit.
    pub(crate) fn admit(&mut self, limit: RequestLimit, now: u64) -> bool {
        let drained = now.saturating_sub(self.at) as f64 / 1000.0 * limit.per_second;
        self.level = (self.level - drained).max(0.0);
        self.at = now;
        if self.level + 1.0 > limit.burst {
            return false;
        }
        self.level += 1.0;
        true
    }
}

const MINUTE: u64 = 60_000;
const MINUTES: u64 = 10;

/// The operating time of each method: the sum of its execution times over ten one-minute buckets (Bitrix24: limits).
#[derive(Debug, Default)]
pub(crate) struct OperatingTime {
    methods: HashMap<&'static str, Vec<(u64, u64)>>,
}

impl OperatingTime {
    /// Adds what a call took, in microseconds, and gives the seconds so far and when the next bucket is released.
    pub(crate) fn add(&mut self, method: &'static str, took: Duration, now: u64) -> (f64, i64) {
        let minute = now / MINUTE;
        let buckets = self.methods.entry(method).or_default();
        buckets.retain(|(at, _)| at + MINUTES > minute);
        match buckets.last_mut() {
            Some((at, sum)) if *at == minute => *sum += took.as_micros() as u64,
            _ => buckets.push((minute, took.as_micros() as u64)),
        }
        Self::sum(buckets, minute)
    }

    /// The seconds used so far by a method, and when the next bucket is released.
    pub(crate) fn used(&self, method: &str, now: u64) -> (f64, i64) {
        let minute = now / MINUTE;
        self.methods
            .get(method)
            .map_or((0.0, release(minute)), |buckets| Self::sum(buckets, minute))
    }

    fn sum(buckets: &[(u64, u64)], minute: u64) -> (f64, i64) {
        let live = buckets.iter().filter(|(at, _)| at + MINUTES > minute);
        let used: u64 = live.clone().map(|(_, sum)| sum).sum();
        let oldest = live.map(|(at, _)| *at).next().unwrap_or(minute);
        (used as f64 / 1e6, release(oldest))
    }
}

fn release(minute: u64) -> i64 {
    ((minute + MINUTES) * MINUTE / 1000) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_takes_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::default();
        let limit = RequestLimit::default();
        assert_eq!((0..80).filter(|_| bucket.admit(limit, 1_000)).count(), 50);
        assert_eq!((0..10).filter(|_| bucket.admit(limit, 2_000)).count(), 2);
        assert!(!bucket.admit(limit, 2_400));
        assert!(bucket.admit(limit, 2_500));
    }

    #[test]
    fn operating_time_is_forgotten_after_ten_minutes() {
        let mut operating = OperatingTime::default();
        operating.add("profile", Duration::from_secs(3), 0);
        let (used, reset) = operating.add("profile", Duration::from_secs(4), 5 * MINUTE);
        assert_eq!((used, reset), (7.0, 600));
        assert_eq!(operating.used("profile", 10 * MINUTE), (4.0, 900));
        assert!(operating.used("profile", 15 * MINUTE).0 < 1e-9);
    }
}
