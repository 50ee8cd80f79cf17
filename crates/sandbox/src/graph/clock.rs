//! The time and the chance of the stand-in, both handed in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The stand-in's clock: the machine's time moved by an amount that a test may change, or a time that stands still.
///
/// Clones share the same time. It governs the 24-hour window, the five minutes of a media address, rate limits and
/// every timestamp; the pauses between webhook retries are real time.
#[derive(Clone, Debug)]
pub struct Clock {
    fixed: Option<i64>,
    moved: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's time.
    pub fn system() -> Self {
        Self {
            fixed: None,
            moved: Arc::default(),
        }
    }

    /// A clock that stands at this many milliseconds of Unix time until it is moved.
    pub fn standing_at(milliseconds: i64) -> Self {
        Self {
            fixed: Some(milliseconds),
            moved: Arc::default(),
        }
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        let milliseconds = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.moved.fetch_add(milliseconds, Ordering::SeqCst);
    }

    /// Milliseconds of Unix time.
    pub fn now(&self) -> i64 {
        let base = self.fixed.unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_millis() as i64)
        });
        base + self.moved.load(Ordering::SeqCst)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// A sequence of well-mixed numbers that never repeats within one stand-in.
#[derive(Debug)]
pub(super) struct Mixer {
    seed: u64,
    count: AtomicU64,
}

impl Mixer {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            count: AtomicU64::new(0),
        }
    }

    /// The next number. The mixing (that of SplitMix64) is one-to-one, so no number comes twice.
    pub(super) fn next(&self) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        mix(self
            .seed
            .wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// Spreads a number over all 64 bits.
pub(super) fn mix(number: u64) -> u64 {
    let first = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let second = (first ^ (first >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    second ^ (second >> 31)
}
