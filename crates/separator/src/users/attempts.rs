//! Slowing down those who guess, without locking out those who know.
//!
//! Failures are counted by place: an account, an address, an account from an address, a browser that signed in before.
//! After a few free ones each further try has to wait, longer each time up to a limit. An account is slowed down for
//! strangers by all of them together, but a browser in which its owner signed in before has a count of its own, so that
//! nobody else's guesses keep the owner out. Counts are in memory: a restart forgives.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use uuid::Uuid;

use crate::{secret::sha256_hex, time::Millis};

/// A count without a new failure for so long is forgotten.
const MEMORY: Duration = Duration::from_hours(24);

/// Counts that are kept at most.
const MOST: usize = 10_000;

/// Where failures are counted, how many are free, and how long the next try waits at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    name: String,
    free: u32,
    longest: Duration,
    /// Whether a success says something about others who are counted here, too.
    shared: bool,
}

impl Place {
    fn new(name: String, free: u32, longest: Duration) -> Self {
        Self {
            name,
            free,
            longest,
            shared: false,
        }
    }

    /// Where a stranger's tries for an account are counted: together for this account from this address, for the account
    /// from everywhere, for the address.
    pub fn of_stranger(email: &str, address: IpAddr) -> Vec<Self> {
        let account = sha256_hex(email);
        let network = network(address);
        vec![
            Self::new(format!("{account} {network}"), 5, Duration::from_mins(15)),
            Self::new(account, 20, Duration::from_mins(5)),
            Self {
                shared: true,
                ..Self::new(network, 30, Duration::from_mins(15))
            },
        ]
    }

    /// Where the tries of a browser that signed in to this account before are counted.
    pub fn of_device(device: &str) -> Vec<Self> {
        let name = format!("device {device}");
        vec![Self::new(name, 5, Duration::from_mins(15))]
    }

    /// Where the tries of somebody who is signed in are counted, for what asks for the password or a code once more.
    pub fn of_user(user: Uuid) -> Vec<Self> {
        let name = format!("user {user}");
        vec![Self::new(name, 5, Duration::from_mins(15))]
    }

    /// Where tries of one-time links are counted.
    pub fn of_links(address: IpAddr) -> Vec<Self> {
        let name = format!("link {}", network(address));
        vec![Self::new(name, 10, Duration::from_mins(15))]
    }

    /// How long after the last of so many failures a try is taken again.
    fn wait(&self, failures: u32) -> Duration {
        match failures.checked_sub(self.free) {
            None | Some(0) => Duration::ZERO,
            Some(beyond) => Duration::from_secs(1 << beyond.min(20)).min(self.longest),
        }
    }
}

/// What one household or office has of the network: an IPv4 address, or 64 bits of IPv6.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::")
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Millis,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Attempts {
    counts: Mutex<HashMap<String, Count>>,
}

impl Attempts {
    /// Takes a try, counted as a failure until it is known not to be one, so that many tries at once are no way around
    /// it. `Err` is how long to wait where there were too many.
    pub fn begin(&self, places: &[Place], now: Millis) -> Result<(), Duration> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = places
            .iter()
            .filter_map(|place| {
                let count = counts.get(&place.name)?;
                place
                    .wait(count.failures)
                    .checked_sub(now.since(count.last))
                    .filter(|left| !left.is_zero())
            })
            .max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for place in places {
            let count = counts.entry(place.name.clone()).or_insert(Count {
                failures: 0,
                last: now,
            });
            if now.since(count.last) >= MEMORY {
                count.failures = 0;
            }
            count.failures = count.failures.saturating_add(1);
            count.last = now;
        }
        shrink(&mut counts, now);
        Ok(())
    }

    /// What was begun was neither a failure nor a success.
    pub fn undo(&self, places: &[Place]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            if let Some(count) = counts.get_mut(&place.name) {
                count.failures = count.failures.saturating_sub(1);
            }
        }
    }

    /// What was begun was a success: nobody is guessing there. Others at the same address may still be.
    pub fn succeeded(&self, places: &[Place]) {
        let (shared, own): (Vec<Place>, Vec<Place>) =
            places.iter().cloned().partition(|place| place.shared);
        self.undo(&shared);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for place in own {
            counts.remove(&place.name);
        }
    }
}

/// Forgets what is old and, where that is not enough, what is oldest.
fn shrink(counts: &mut HashMap<String, Count>, now: Millis) {
    if counts.len() <= MOST {
        return;
    }
    counts.retain(|_, count| now.since(count.last) < MEMORY);
    while counts.len() > MOST {
        let oldest = counts.iter().min_by_key(|(_, count)| count.last);
        let Some(name) = oldest.map(|(name, _)| name.clone()) else {
            return;
        };
        counts.remove(&name);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const OWNER: &str = "owner@example.com";

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn guessing_gets_slower_with_every_failure_up_to_a_limit() {
        let attempts = Attempts::default();
        let places = Place::of_stranger(OWNER, address("192.0.2.1"));
        let mut now = Millis(0);
        for _ in 0..6 {
            attempts.begin(&places, now).unwrap();
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = attempts.begin(&places, now).unwrap_err();
            waits.push(wait.as_secs());
            now += wait;
            attempts.begin(&places, now).unwrap();
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    }

    #[test]
    fn the_owner_enters_while_others_guess() {
        let attempts = Attempts::default();
        let now = Millis(0);
        for guess in 0..200 {
            let from = address(&format!("198.51.100.{}", guess % 100));
            let _ = attempts.begin(&Place::of_stranger(OWNER, from), now);
        }
        let stranger = Place::of_stranger(OWNER, address("192.0.2.1"));
        assert!(attempts.begin(&stranger, now).is_err());
        assert!(attempts.begin(&Place::of_device("d1"), now).is_ok());
        // Even where there is no such browser, the wait is bearable.
        assert!(
            attempts
                .begin(&stranger, now + Duration::from_mins(5))
                .is_ok()
        );
    }

    #[test]
    fn success_and_a_day_are_forgotten() {
        let attempts = Attempts::default();
        let places = Place::of_stranger(OWNER, address("192.0.2.1"));
        for _ in 0..5 {
            attempts.begin(&places, Millis(0)).unwrap();
        }
        attempts.begin(&places, Millis(0)).unwrap();
        attempts.succeeded(&places);
        assert!(attempts.begin(&places, Millis(0)).is_ok());
        for _ in 0..5 {
            let _ = attempts.begin(&places, Millis(0));
        }
        let tomorrow = Millis(0) + MEMORY;
        for _ in 0..5 {
            assert!(attempts.begin(&places, tomorrow).is_ok());
        }
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_count_as_one() {
        assert_eq!(
            network(address("2001:db8:1:2::1")),
            network(address("2001:db8:1:2:ffff::9"))
        );
        assert_ne!(
            network(address("2001:db8:1:2::1")),
            network(address("2001:db8:1:3::1"))
        );
    }

    #[test]
    fn counts_do_not_grow_without_end() {
        let attempts = Attempts::default();
        for number in 0..(MOST + 50) {
            attempts
                .begin(
                    &Place::of_device(&number.to_string()),
                    Millis(number as i64),
                )
                .unwrap();
        }
        let counts = attempts.counts.lock().unwrap();
        assert_eq!(counts.len(), MOST);
        assert!(!counts.contains_key("device 0"));
    }
}
