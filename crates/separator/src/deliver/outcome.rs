//! How a try ended and what follows from it: the one place where retries are decided.

use std::time::Duration;

use crate::{store::lanes::Ending, time::Millis};

/// Pauses between tries; the last one repeats.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
    Duration::from_mins(30),
    Duration::from_hours(1),
];

/// How long a message is tried before it is given up.
pub(super) const PATIENCE: Duration = Duration::from_hours(72);

/// The pause after a number of tries that failed.
pub(super) fn pause(attempts: i64) -> Duration {
    let index = usize::try_from(attempts)
        .unwrap_or_default()
        .min(PAUSES.len() - 1);
    PAUSES[index]
}

/// It did not happen; it is tried again after a pause, until 72 hours are over.
pub(super) fn again(attempts: i64, created_at: Millis, now: Millis, why: &str) -> Ending {
    if now.since(created_at) >= PATIENCE {
        return Ending::Dead {
            reason: format!("given up after 72 hours: {why}"),
        };
    }
    Ending::Later {
        at: now + pause(attempts),
        counts: true,
        unknown: false,
    }
}

/// It did not happen and the reason is a limit: it waits without counting as a try.
pub(super) fn wait(now: Millis, wait: Duration) -> Ending {
    Ending::Later {
        at: now + wait,
        counts: false,
        unknown: false,
    }
}

/// It may have happened: it comes up again to be looked for.
pub(super) fn unknown(now: Millis, wait: Duration) -> Ending {
    Ending::Later {
        at: now + wait,
        counts: true,
        unknown: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour_and_end_after_72_hours() {
        let seconds: Vec<u64> = (0..9).map(|attempt| pause(attempt).as_secs()).collect();
        assert_eq!(seconds, [1, 5, 30, 120, 600, 1800, 3600, 3600, 3600]);
        let created = Millis(0);
        let before = created + PATIENCE - Duration::from_secs(1);
        assert_eq!(
            again(20, created, before, "x"),
            Ending::Later {
                at: before + Duration::from_hours(1),
                counts: true,
                unknown: false
            }
        );
        assert!(matches!(
            again(0, created, created + PATIENCE, "x"),
            Ending::Dead { .. }
        ));
    }

    #[test]
    fn limits_do_not_count() {
        let Ending::Later { counts, .. } = wait(Millis(0), Duration::from_secs(1)) else {
            unreachable!("a wait is always later")
        };
        assert!(!counts);
    }
}
