//! How fast a destination may be called. The limit belongs to the destination; waiting is a time, not a sleeping worker.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::time::{Clock, Millis};

/// A leaky bucket: so many calls at once, so many a second after that (Bitrix24: limits; Meta: pair rate limit).
#[derive(Debug, Clone)]
pub struct Bucket {
    level: f64,
    capacity: f64,
    per_second: f64,
    at: Millis,
}

impl Bucket {
    /// An empty bucket.
    pub fn new(capacity: f64, per_second: f64, now: Millis) -> Self {
        Self {
            level: 0.0,
            capacity: capacity.max(1.0),
            per_second: per_second.max(0.001),
            at: now,
        }
    }

    /// Takes the limits as they are now.
    pub fn set_limits(&mut self, capacity: f64, per_second: f64) {
        self.capacity = capacity.max(1.0);
        self.per_second = per_second.max(0.001);
    }

    /// Puts one call in, or says how long until there is room.
    pub fn take(&mut self, now: Millis) -> Result<(), Duration> {
        self.until_room(1.0, now).map_or(Ok(()), Err)?;
        self.level += 1.0;
        Ok(())
    }

    /// How long until there is room for so many calls; `None` where there is now.
    fn until_room(&mut self, calls: f64, now: Millis) -> Option<Duration> {
        self.leak(now);
        let missing = self.level + calls - self.capacity;
        (missing > 1e-9).then(|| Duration::from_secs_f64((missing / self.per_second).max(0.001)))
    }

    /// The other side says that it is full.
    pub fn fill(&mut self, now: Millis) {
        self.leak(now);
        self.level = self.capacity;
    }

    /// Whether nothing was put in lately.
    pub fn is_empty(&mut self, now: Millis) -> bool {
        self.leak(now);
        self.level <= 0.0
    }

    fn leak(&mut self, now: Millis) {
        let seconds = now.since(self.at).as_secs_f64();
        self.level = (self.level - seconds * self.per_second).max(0.0);
        self.at = now;
    }
}

/// How long after the moment it was told to come back a caller that found no room keeps its turn.
const TURN_KEPT: Duration = Duration::from_millis(500);

/// Who calls a destination. Where both find no room they take turns, so that looking over a portal that answers slowly
/// does not keep its messages waiting, nor a flood of messages the connecting of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// The worker that delivers messages.
    Delivery,
    /// Everything else.
    Upkeep,
}

/// The pace of one destination, shared by all that call it.
#[derive(Debug)]
pub struct Pace {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bucket: Bucket,
    closed_until: Millis,
    strikes: u32,
    /// Whether it is known to work: not so after a start, because what was found before is not in memory.
    works: bool,
    /// Who called last.
    last: Caller,
    /// Until when delivery, and until when upkeep, has its turn kept because it found no room.
    delivery_waits: Millis,
    upkeep_waits: Millis,
}

impl State {
    fn waits(&mut self, caller: Caller) -> &mut Millis {
        match caller {
            Caller::Delivery => &mut self.delivery_waits,
            Caller::Upkeep => &mut self.upkeep_waits,
        }
    }

    /// How long this caller has to wait, which keeps its turn; `None` where it may call now.
    fn wait(&mut self, caller: Caller, now: Millis) -> Option<Duration> {
        if self.closed_until > now {
            return Some(self.closed_until.since(now));
        }
        let other = match caller {
            Caller::Delivery => Caller::Upkeep,
            Caller::Upkeep => Caller::Delivery,
        };
        let turn_of_other = self.last == caller && *self.waits(other) > now;
        // The other one's call goes first, and then there has to be room for ours.
        let calls = if turn_of_other { 2.0 } else { 1.0 };
        let wait = self.bucket.until_room(calls, now)?;
        *self.waits(caller) = now + wait + TURN_KEPT;
        Some(wait)
    }

    fn take(&mut self, caller: Caller, now: Millis) -> Result<(), Duration> {
        self.wait(caller, now).map_or(Ok(()), Err)?;
        self.bucket.take(now)?;
        *self.waits(caller) = Millis(0);
        self.last = caller;
        Ok(())
    }
}

impl Pace {
    pub(super) fn new(clock: Clock, burst: f64, per_second: f64) -> Self {
        let now = clock.now();
        let mut bucket = Bucket::new(burst, per_second, now);
        // What was called just before a restart is not known; half the burst is held back for it.
        bucket.level = bucket.capacity / 2.0;
        Self {
            clock,
            state: Mutex::new(State {
                bucket,
                closed_until: Millis(0),
                strikes: 0,
                works: false,
                last: Caller::Upkeep,
                delivery_waits: Millis(0),
                upkeep_waits: Millis(0),
            }),
        }
    }

    pub(super) fn set_limits(&self, burst: f64, per_second: f64) {
        self.lock().bucket.set_limits(burst, per_second);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the budget of one call that delivers, or says how long to wait for it.
    pub fn try_take(&self) -> Result<(), Duration> {
        let now = self.clock.now();
        self.lock().take(Caller::Delivery, now)
    }

    /// How long there will be no budget for delivery; `None` where there is one now. Takes nothing.
    pub fn wait(&self) -> Option<Duration> {
        let now = self.clock.now();
        self.lock().wait(Caller::Delivery, now)
    }

    /// Nothing is to be delivered, so nobody needs to give way to it.
    pub fn nothing_to_deliver(&self) {
        self.lock().delivery_waits = Millis(0);
    }

    /// Waits for the budget of one call that does not deliver.
    pub async fn take(&self) {
        loop {
            let now = self.clock.now();
            let taken = self.lock().take(Caller::Upkeep, now);
            match taken {
                Ok(()) => return,
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// The destination said "too many": its bucket is full, whatever we counted.
    pub fn limited(&self, wait: Duration) {
        let now = self.clock.now();
        let mut state = self.lock();
        state.bucket.fill(now);
        state.closed_until = state.closed_until.max(now + wait);
    }

    /// The destination is out of order: nothing goes for a growing while; gives how long.
    pub fn strike(&self, first: Duration, most: Duration) -> Duration {
        let now = self.clock.now();
        let mut state = self.lock();
        if state.closed_until > now {
            return state.closed_until.since(now);
        }
        let wait = (first * 2_u32.saturating_pow(state.strikes.min(16))).min(most);
        state.strikes += 1;
        state.works = false;
        state.closed_until = now + wait;
        wait
    }

    /// The destination works; gives whether that is news.
    pub fn works(&self) -> bool {
        let mut state = self.lock();
        state.strikes = 0;
        !std::mem::replace(&mut state.works, true)
    }

    /// Somebody mended the destination: it may be tried at once.
    pub fn reopen(&self) {
        self.lock().closed_until = Millis(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_then_a_steady_pace() {
        let mut bucket = Bucket::new(3.0, 2.0, Millis(0));
        assert!((0..3).all(|_| bucket.take(Millis(0)).is_ok()));
        assert_eq!(bucket.take(Millis(0)), Err(Duration::from_millis(500)));
        assert!(bucket.take(Millis(500)).is_ok());
        assert!(bucket.take(Millis(600)).is_err());
    }

    #[test]
    fn strikes_grow_and_are_forgotten() {
        let clock = Clock::manual(Millis(0));
        let pace = Pace::new(clock.clone(), 10.0, 10.0);
        let minute = Duration::from_mins(1);
        assert_eq!(pace.strike(minute, minute * 10), minute);
        assert!(pace.try_take().is_err());
        clock.advance(minute);
        assert_eq!(pace.strike(minute, minute * 10), minute * 2);
        clock.advance(minute * 2);
        assert!(pace.try_take().is_ok());
        assert!(pace.works() && !pace.works());
        assert_eq!(pace.strike(minute, minute * 10), minute);
    }

    #[test]
    fn delivery_and_upkeep_take_turns_and_nobody_waits_for_who_does_not_come() {
        let clock = Clock::manual(Millis(0));
        let pace = Pace::new(clock.clone(), 1.0, 2.0);
        let upkeep = || pace.lock().take(Caller::Upkeep, clock.now());
        let half = Duration::from_millis(500);
        assert_eq!(upkeep(), Err(Duration::from_millis(250)));
        clock.advance(half);
        assert_eq!(upkeep(), Ok(()));
        // Both wait; upkeep comes back first, and again and again, but it is not its turn.
        assert_eq!(pace.try_take(), Err(half));
        clock.advance(half);
        assert_eq!(upkeep(), Err(half));
        assert_eq!(pace.wait(), None);
        assert_eq!(upkeep(), Err(half));
        assert_eq!(pace.try_take(), Ok(()));
        assert_eq!(pace.try_take(), Err(half * 2), "upkeep goes first");
        clock.advance(half);
        assert!(pace.try_take().is_err(), "now it is the turn of upkeep");
        assert_eq!(upkeep(), Ok(()));
        assert_eq!(upkeep(), Err(half * 2), "delivery goes first");
        clock.advance(half);
        assert_eq!(upkeep(), Err(half), "delivery was told to come back");
        pace.nothing_to_deliver();
        assert_eq!(upkeep(), Ok(()));
        assert_eq!(upkeep(), Err(half));
        assert_eq!(pace.try_take(), Err(half));
        clock.advance(half);
        assert_eq!(upkeep(), Err(half));
        clock.advance(half + half + half);
        assert_eq!(upkeep(), Ok(()), "whoever does not come loses the turn");
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit(steps in proptest::collection::vec(0_i64..2000, 1..200)) {
            let mut bucket = Bucket::new(5.0, 2.0, Millis(0));
            let mut now = 0;
            let mut taken = Vec::new();
            for step in steps {
                now += step;
                if bucket.take(Millis(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (index, begin) in taken.iter().enumerate() {
                for (count, end) in taken[index..].iter().enumerate() {
                    let allowed = 5.0 + 2.0 * (*end - *begin) as f64 / 1000.0;
                    prop_assert!((count + 1) as f64 <= allowed + 1e-6);
                }
            }
        }
    }
}
