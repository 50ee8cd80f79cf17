//! How many preflights there may be: each is a handful of connections to a place that somebody else chose.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::time::{Clock, Millis};

/// Preflights of one person at the same time.
const AT_ONCE: usize = 2;
/// Preflights of one person within [`SPAN`].
const IN_SPAN: usize = 10;
const SPAN: Duration = Duration::from_mins(1);
/// Preflights of everybody at the same time.
const OF_ALL: usize = 16;

/// Counts preflights. Clones count together.
#[derive(Debug, Clone)]
pub struct Limit {
    clock: Clock,
    people: Arc<Mutex<HashMap<String, Person>>>,
}

#[derive(Debug, Default)]
struct Person {
    running: usize,
    begun: VecDeque<Millis>,
}

/// The right to one preflight; given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    limit: Limit,
    person: String,
}

/// Too many preflights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many checks at once; try again in {seconds} seconds")]
pub struct Wait {
    /// After how many seconds there is room again.
    pub seconds: u64,
}

impl Limit {
    /// A counter by a clock.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            people: Arc::default(),
        }
    }

    /// Takes the right to one preflight for a person.
    pub fn enter(&self, person: &str) -> Result<Ticket, Wait> {
        let now = self.clock.now();
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        people.retain(|_, person| {
            person.begun.retain(|begun| now.since(*begun) < SPAN);
            person.running > 0 || !person.begun.is_empty()
        });
        if people.values().map(|person| person.running).sum::<usize>() >= OF_ALL {
            return Err(Wait { seconds: 10 });
        }
        let entry = people.entry(person.to_owned()).or_default();
        if entry.running >= AT_ONCE {
            return Err(Wait { seconds: 10 });
        }
        if entry.begun.len() >= IN_SPAN {
            let oldest = entry.begun.front().copied().unwrap_or(now);
            let left = SPAN.saturating_sub(now.since(oldest));
            return Err(Wait {
                seconds: left.as_secs().max(1),
            });
        }
        entry.running += 1;
        entry.begun.push_back(now);
        Ok(Ticket {
            limit: self.clone(),
            person: person.to_owned(),
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut people = self
            .limit
            .people
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(person) = people.get_mut(&self.person) {
            person.running = person.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_37_two_at_once_and_ten_a_minute_for_each_person() {
        let clock = Clock::manual(Millis(0));
        let limit = Limit::new(clock.clone());
        let first = limit.enter("a");
        let second = limit.enter("a");
        assert!(first.is_ok() && second.is_ok());
        let third = limit.enter("a").map(drop);
        assert_eq!(third, Err(Wait { seconds: 10 }));
        // Somebody else is not in the way.
        assert!(limit.enter("b").is_ok());
        drop((first, second));
        let passed = (0..100).filter(|_| limit.enter("a").is_ok()).count();
        assert_eq!(passed, 8);
        clock.advance(Duration::from_secs(20));
        let refused = limit.enter("a").map(drop);
        assert_eq!(refused, Err(Wait { seconds: 40 }));
        assert!(refused.is_err_and(|wait| wait.to_string().contains("in 40 seconds")));
        clock.advance(Duration::from_secs(40));
        assert!(limit.enter("a").is_ok());
    }
}
