//! Names of things: our own ids, chance, and the ids that Meta and Bitrix24 give.
//!
//! Our ids are UUIDv7, so that the order of ids is the order in which things happened: a list sorts by its primary key,
//! and the next row of a queue is the smallest id. That needs more than the standard's layout promises, namely that an
//! id never sorts before one that was made earlier, neither within a millisecond nor after somebody has set the system's
//! clock back nor after a restart. [`Ids`] keeps a floor for it.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rand::{Rng, SeedableRng, TryCryptoRng, TryRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Clock;

/// Where random bits come from. Clones draw from the same source.
///
/// Implements [`rand::CryptoRng`], and the methods below need no `mut`.
#[derive(Clone)]
pub enum Chance {
    /// The thread's generator, seeded and reseeded by the operating system.
    System,
    /// A generator that repeats itself, for tests.
    Seeded(Arc<Mutex<StdRng>>),
}

impl Chance {
    /// A source that gives the same bits in each run. Only for tests and stand-ins: all it makes can be foretold.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Fills a piece of memory with random bytes.
    pub fn fill(&self, bytes: &mut [u8]) {
        match self {
            Self::System => system_generator().fill_bytes(bytes),
            Self::Seeded(generator) => {
                generator
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .fill_bytes(bytes);
            }
        }
    }

    /// An array of random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A token of 256 random bits that fits into a URL: 43 letters, digits, `-` and `_`.
    pub fn token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.bytes::<32>())
    }

    /// A random part of a whole, at least 0 and less than 1, for jitter.
    pub fn fraction(&self) -> f64 {
        // A double holds 53 bits.
        (u64::from_le_bytes(self.bytes()) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that takes chance from the system"
)]
fn system_generator() -> rand::rngs::ThreadRng {
    rand::rng()
}

impl fmt::Debug for Chance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::System => "Chance::System",
            Self::Seeded(_) => "Chance::Seeded",
        })
    }
}

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Chance {}

/// Bits of an id below its time: 12 in `rand_a` and 62 in `rand_b` of RFC 9562, section 5.7.
const BITS_BELOW_TIME: u32 = 74;

/// Times from here on (the year 6429) are no times of ours; below them the counter cannot run out.
const END_OF_TIME: u64 = 1 << 47;

/// Makes UUIDv7 that only ever grow. Clones share one sequence.
///
/// An id is taken as one number of 122 bits, 48 of milliseconds and 74 of chance. In a new millisecond it is drawn
/// fresh, otherwise it is the last one plus a random step: larger for certain, still not guessable, and a full
/// millisecond simply runs over into the next.
#[derive(Clone, Debug)]
pub struct Ids {
    clock: Clock,
    chance: Chance,
    /// The largest number given out so far.
    last: Arc<Mutex<u128>>,
}

impl Ids {
    /// A maker of ids that reads the time from `clock`.
    pub fn new(clock: Clock, chance: Chance) -> Self {
        Self {
            clock,
            chance,
            last: Arc::default(),
        }
    }

    /// The next id, larger than each one before it.
    pub fn next(&self) -> Uuid {
        let bytes: [u8; 16] = self.chance.bytes();
        let random = u128::from_le_bytes(bytes);
        let millis = u64::try_from(self.clock.now().0)
            .unwrap_or(0)
            .min(END_OF_TIME - 1);

        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let number = if u128::from(millis) > *last >> BITS_BELOW_TIME {
            // The highest bit stays 0, so that half of the millisecond is room for steps.
            (u128::from(millis) << BITS_BELOW_TIME) | (random & ((1 << (BITS_BELOW_TIME - 1)) - 1))
        } else {
            *last + 1 + (random & u128::from(u32::MAX))
        };
        *last = number;
        drop(last);
        from_number(number)
    }

    /// Raises the floor: every id from now on is larger than `after`.
    ///
    /// Called at start with the largest stored id, because the clock may have been set back in between. What is not a
    /// UUIDv7 of our times is no id of ours and is passed over.
    pub fn seed(&self, after: Uuid) {
        let number = to_number(after);
        if after.get_version_num() != 7 || number >> BITS_BELOW_TIME >= u128::from(END_OF_TIME) {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = number.max(*last);
    }
}

/// Puts version and variant between the bits of a number.
fn from_number(number: u128) -> Uuid {
    let time = number >> BITS_BELOW_TIME;
    let high = (number >> 62) & 0xfff;
    let low = number & ((1 << 62) - 1);
    Uuid::from_u128((time << 80) | (7 << 76) | (high << 64) | (0b10 << 62) | low)
}

/// Takes version and variant out again.
fn to_number(id: Uuid) -> u128 {
    let bits = id.as_u128();
    let time = bits >> 80;
    let high = (bits >> 64) & 0xfff;
    let low = bits & ((1 << 62) - 1);
    (time << BITS_BELOW_TIME) | (high << 62) | low
}

/// Declares an id that somebody else gives and we keep as text: typed, so that two kinds cannot be swapped.
macro_rules! foreign_id {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id as it came from its owner.
            pub fn new(id: impl Into<String>) -> Self {
                Self(id.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(id: String) -> Self {
                Self(id)
            }
        }

        impl From<&str> for $name {
            fn from(id: &str) -> Self {
                Self(id.to_owned())
            }
        }
    };
}

foreign_id! {
    /// Meta's id of a business phone number, the `{phone-number-id}` of Graph paths and of `metadata` in webhooks.
    PhoneNumberId
}
foreign_id! {
    /// Meta's id of a WhatsApp Business account (WABA), the `entry[].id` of webhooks.
    WabaId
}
foreign_id! {
    /// Meta's id of one message, `wamid.…`; how its parts are made is Meta's business.
    Wamid
}
foreign_id! {
    /// Bitrix24's id of a portal, `member_id`: 32 letters and digits that stay when the portal's address changes.
    MemberId
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::time::Millis;

    fn ids(millis: i64) -> (Clock, Ids) {
        let clock = Clock::manual(Millis(millis));
        (clock.clone(), Ids::new(clock, Chance::seeded(1)))
    }

    #[test]
    fn an_id_is_a_version_7_uuid_with_its_time() {
        let (_, ids) = ids(1_795_409_252_010);
        let id = ids.next();
        assert_eq!(
            (id.get_version_num(), id.get_variant()),
            (7, uuid::Variant::RFC4122)
        );
        assert_eq!(
            id.get_timestamp().map(|time| time.to_unix()),
            Some((1_795_409_252, 10_000_000))
        );
    }

    #[test]
    fn within_one_millisecond_ids_grow_as_number_and_as_text() {
        let (_, ids) = ids(1000);
        let made: Vec<Uuid> = (0..10_000).map(|_| ids.next()).collect();
        assert!(made.is_sorted_by(|earlier, later| earlier < later));
        assert!(made.is_sorted_by(|earlier, later| earlier.to_string() < later.to_string()));
        assert_eq!(made[9_999].get_timestamp(), made[0].get_timestamp());
    }

    #[test]
    fn a_full_millisecond_runs_over_into_the_next() {
        let (_, ids) = ids(1000);
        let full = from_number((1000 << BITS_BELOW_TIME) | ((1 << BITS_BELOW_TIME) - 1));
        ids.seed(full);
        let next = ids.next();
        assert!(next > full);
        assert_eq!(to_number(next) >> BITS_BELOW_TIME, 1001);
    }

    #[test]
    fn the_floor_holds_after_a_restart_with_the_clock_set_back() {
        let (_, before) = ids(2_000_000);
        let largest = before.next();
        let (_, after) = ids(1_000_000);
        after.seed(largest);
        assert!(after.next() > largest);
    }

    #[test]
    fn seeding_with_something_smaller_or_foreign_changes_nothing() {
        let (_, ids) = ids(5000);
        let first = ids.next();
        for foreign in [
            Uuid::nil(),
            Uuid::max(),
            from_number(1),
            from_number((1 << 122) - 1),
            Uuid::from_u128(4 << 76),
        ] {
            ids.seed(foreign);
            let next = ids.next();
            assert!(next > first);
            assert_eq!(to_number(next) >> BITS_BELOW_TIME, 5000, "{foreign}");
        }
    }

    #[test]
    fn a_clock_before_1970_or_beyond_all_times_makes_valid_ids() {
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            let (_, ids) = ids(millis);
            let (first, second) = (ids.next(), ids.next());
            assert!(first < second && first.get_version_num() == 7, "{millis}");
        }
    }

    #[test]
    fn threads_never_get_the_same_id() {
        let (_, ids) = ids(1000);
        let made: Vec<Vec<Uuid>> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).map(|_| ids.next()).collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .filter_map(|thread| thread.join().ok())
                .collect()
        });
        assert!(
            made.iter()
                .all(|own| own.is_sorted_by(|earlier, later| earlier < later))
        );
        assert_eq!(made.iter().flatten().collect::<HashSet<_>>().len(), 4000);
    }

    #[test]
    fn seeded_chance_repeats_itself_and_the_systems_does_not() {
        assert_eq!(Chance::seeded(7).token(), Chance::seeded(7).token());
        assert_ne!(Chance::seeded(7).token(), Chance::seeded(8).token());
        assert_ne!(Chance::System.token(), Chance::System.token());
        assert_eq!(Chance::System.token().len(), 43);
    }

    #[test]
    fn fractions_spread_over_the_whole() {
        let chance = Chance::seeded(3);
        let drawn: Vec<f64> = (0..1000).map(|_| chance.fraction()).collect();
        assert!(drawn.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        assert!(
            drawn.iter().any(|fraction| *fraction < 0.1)
                && drawn.iter().any(|fraction| *fraction > 0.9)
        );
    }

    proptest! {
        #[test]
        fn ids_grow_whatever_the_clock_does(steps in prop::collection::vec((-100_000_i64..100_000, 1_usize..5), 1..50)) {
            let (clock, ids) = ids(10_000_000);
            let mut last = Uuid::nil();
            for (step, count) in steps {
                clock.set(Millis(clock.now().0 + step));
                for _ in 0..count {
                    let next = ids.next();
                    prop_assert!(next > last);
                    prop_assert_eq!(next.get_version_num(), 7);
                    last = next;
                }
            }
            clock.set(Millis(20_000_000));
            clock.advance(Duration::from_secs(1));
            prop_assert_eq!(to_number(ids.next()) >> BITS_BELOW_TIME, 20_001_000, "it follows the clock again");
        }

        #[test]
        fn a_number_survives_its_uuid(time in 0..u128::from(END_OF_TIME), below in 0_u128..1 << BITS_BELOW_TIME) {
            let number = (time << BITS_BELOW_TIME) | below;
            prop_assert_eq!(to_number(from_number(number)), number);
        }
    }
}
