//! Every error code of the Cloud API that is known, and what each means for the message that met it.
//!
//! Meta answers with HTTP statuses that do not agree with its codes, and the same code may come in the answer to a
//! call or, minutes later, in a `failed` status. So the code alone decides, from this one table.
//! Source: Meta, "Cloud API: error codes"; a few from the field.

use std::time::Duration;

/// What a delivery loop does about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// This message will never be taken. Set it aside and say why; the next message may go.
    Refused,
    /// Somebody must change something (a template, a setting, a registration) before messages of this kind are taken.
    /// This message is refused; others may go.
    Fix,
    /// Refused now. The same may be taken after the given time, but nobody should wait for that: a repetition before
    /// then makes it worse, and words that are hours late seldom help. Say when it may be tried again.
    Later {
        /// How long Meta's limit stands.
        wait: Duration,
    },
    /// Nothing goes for this number or account until a human has put something right: a login, a payment, a lock.
    /// The message was not sent and stays; the whole destination pauses and somebody is called.
    Blocked,
    /// A limit was reached. The message was not sent; wait and send the same again. This does not count as a try.
    Limited {
        /// How long to wait at least.
        wait: Duration,
        /// What has to wait.
        scope: LimitScope,
    },
    /// The message was not sent and repeating it is safe. Counts as a try.
    Retry {
        /// How often to repeat before the message counts as refused; `None` leaves that to the caller's patience.
        at_most: Option<u32>,
    },
    /// It may have been sent. Look before repeating it.
    Unknown,
}

impl Class {
    /// Whether everything for this number or account must stop, not just this message.
    pub fn stops_the_line(self) -> bool {
        self == Self::Blocked
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// All calls that this app makes for the account.
    App,
    /// Everything that one business number sends.
    Number,
    /// What one business number sends to one person.
    Pair,
}

/// One row of the table: a code, or a run of codes that mean the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code, or the first of a run.
    pub code: i64,
    /// The last code of a run; equal to `code` for a single one.
    pub last: i64,
    /// What it means, in a few words.
    pub name: &'static str,
    /// What to do about it.
    pub class: Class,
}

/// The row of a code, if the code is known.
pub fn find(code: i64) -> Option<&'static Code> {
    let after = CODES.partition_point(|row| row.code <= code);
    let row = CODES.get(after.checked_sub(1)?)?;
    (code <= row.last).then_some(row)
}

/// How long to wait before writing to a person again after the `attempt`-th answer 131056 in a row, counted from 1:
/// 4, 16, 64 … seconds, at most an hour. Source: Meta, "Cloud API: pair rate limits".
pub fn pair_wait(attempt: u32) -> Duration {
    Duration::from_secs(4_u64.saturating_pow(attempt).min(3600))
}

const REFUSED: Class = Class::Refused;
const FIX: Class = Class::Fix;
const BLOCKED: Class = Class::Blocked;
const RETRY: Class = Class::Retry { at_most: None };
const ONCE: Class = Class::Retry { at_most: Some(1) };
const FEW: Class = Class::Retry { at_most: Some(3) };

const fn later(hours: u64) -> Class {
    Class::Later {
        wait: Duration::from_secs(hours * 3600),
    }
}

const fn limited(seconds: u64, scope: LimitScope) -> Class {
    Class::Limited {
        wait: Duration::from_secs(seconds),
        scope,
    }
}

const fn one(code: i64, class: Class, name: &'static str) -> Code {
    Code {
        code,
        last: code,
        name,
        class,
    }
}

const fn run(code: i64, last: i64, class: Class, name: &'static str) -> Code {
    Code {
        code,
        last,
        name,
        class,
    }
}

/// The table, ascending.
pub static CODES: &[Code] = &[
    one(0, BLOCKED, "the token cannot authenticate"),
    one(1, FEW, "unknown API error"),
    one(2, RETRY, "service down or overloaded"),
    one(3, BLOCKED, "the app lacks the capability"),
    one(4, limited(60, LimitScope::App), "call limit of the app"),
    one(10, BLOCKED, "permission missing or removed"),
    one(17, limited(60, LimitScope::App), "call limit of the user"),
    one(33, FIX, "the object does not exist or is not visible"),
    one(100, REFUSED, "bad parameter"),
    one(102, FIX, "session missing"),
    one(104, FIX, "token missing"),
    one(190, BLOCKED, "the token expired or is invalid"),
    run(200, 299, BLOCKED, "permission not granted"),
    one(368, BLOCKED, "blocked for policy violations"),
    one(613, limited(60, LimitScope::App), "custom call limit"),
    one(803, FIX, "object does not exist"),
    one(
        80007,
        limited(60, LimitScope::App),
        "call limit of the account",
    ),
    one(130_403, REFUSED, "the business blocked this person"),
    one(
        130_429,
        limited(1, LimitScope::Number),
        "throughput of the number reached",
    ),
    one(130_472, REFUSED, "the person is in a marketing experiment"),
    one(
        130_497,
        REFUSED,
        "the business may not write to this country",
    ),
    one(131_000, FEW, "something went wrong"),
    one(131_005, FIX, "access denied"),
    one(131_008, REFUSED, "required parameter missing"),
    one(131_009, REFUSED, "parameter value invalid"),
    one(131_016, RETRY, "service unavailable"),
    one(131_020, REFUSED, "group not found"),
    one(131_021, REFUSED, "sender and recipient are the same"),
    one(131_026, REFUSED, "undeliverable"),
    one(131_030, FIX, "recipient is not in the test number's list"),
    one(131_031, BLOCKED, "account locked"),
    one(131_037, FIX, "display name not approved"),
    one(131_041, REFUSED, "group unknown"),
    one(131_042, BLOCKED, "payment problem"),
    one(131_044, FIX, "payment problem for calling"),
    one(131_045, BLOCKED, "number not registered properly"),
    one(
        131_047,
        REFUSED,
        "more than 24 hours since the person's last message",
    ),
    one(131_048, later(1), "spam limit of the number"),
    one(
        131_049,
        later(24),
        "held back to keep the ecosystem healthy",
    ),
    one(131_050, REFUSED, "the person stopped marketing messages"),
    one(131_051, REFUSED, "message type not supported"),
    one(131_052, ONCE, "media could not be downloaded"),
    one(131_053, REFUSED, "media could not be uploaded"),
    one(131_055, REFUSED, "method not allowed"),
    one(
        131_056,
        limited(4, LimitScope::Pair),
        "too many messages to this person",
    ),
    one(
        131_057,
        limited(60, LimitScope::Number),
        "number in maintenance",
    ),
    one(131_059, REFUSED, "bad cursor"),
    one(
        131_062,
        REFUSED,
        "this message needs a phone number, not a user id",
    ),
    one(
        131_063,
        FIX,
        "marketing templates are switched off for the Cloud API",
    ),
    one(131_064, FIX, "limited for wrongly classified templates"),
    run(131_201, 131_207, REFUSED, "group error"),
    one(131_208, limited(60, LimitScope::Number), "group rate limit"),
    run(131_209, 131_215, REFUSED, "group error"),
    one(132_000, REFUSED, "number of template parameters differs"),
    one(
        132_001,
        FIX,
        "template missing or not approved in this language",
    ),
    one(132_005, REFUSED, "template text too long"),
    one(132_007, REFUSED, "template content violates a policy"),
    one(132_008, REFUSED, "template parameter value invalid"),
    one(132_012, REFUSED, "template parameter of the wrong kind"),
    one(132_015, later(6), "template paused for low quality"),
    one(132_016, FIX, "template disabled for low quality"),
    one(132_018, REFUSED, "template parameter not accepted"),
    one(132_068, FIX, "flow blocked"),
    one(132_069, later(1), "flow throttled"),
    one(133_000, FEW, "an earlier deregistration is incomplete"),
    one(133_004, RETRY, "registration server unavailable"),
    one(133_005, FIX, "two-step verification PIN wrong"),
    one(133_006, FIX, "number must be verified again"),
    one(133_008, later(12), "too many PIN guesses"),
    one(133_009, later(1), "PIN entered too fast"),
    one(133_010, BLOCKED, "number not registered on the Cloud API"),
    one(
        133_015,
        limited(300, LimitScope::Number),
        "number was deleted a moment ago",
    ),
    one(133_016, later(72), "too many registrations"),
    one(134_011, FIX, "payments terms not accepted"),
    one(134_100, REFUSED, "only marketing templates are taken here"),
    one(
        134_101,
        Class::Retry { at_most: Some(6) },
        "template not synchronised yet",
    ),
    one(134_102, FIX, "not eligible for the marketing messages API"),
    one(135_000, REFUSED, "generic error of a parameter"),
    one(136_024, later(1), "code requested in the wrong state"),
    one(137_000, FIX, "the person's identity key changed"),
    one(138_000, FIX, "calling not enabled on the number"),
    one(138_001, REFUSED, "the person cannot be called"),
    one(
        138_002,
        limited(10, LimitScope::Number),
        "too many calls at once",
    ),
    one(138_003, REFUSED, "a call with this person is in progress"),
    one(138_004, ONCE, "call connection error"),
    one(138_005, limited(60, LimitScope::Number), "call rate limit"),
    one(138_006, REFUSED, "no permission to call this person"),
    one(138_007, ONCE, "call timed out while connecting"),
    one(138_009, later(24), "limit of call permission requests"),
    one(
        138_011,
        REFUSED,
        "calling error without a documented meaning",
    ),
    one(
        138_012,
        later(24),
        "limit of connected calls with this person",
    ),
    one(
        138_013,
        REFUSED,
        "calls by businesses are not available in this country",
    ),
    one(138_014, FIX, "calling disabled for low quality"),
    one(
        138_015,
        FIX,
        "calling cannot be enabled at this messaging limit",
    ),
    one(138_017, REFUSED, "permanent call permission exists already"),
    one(138_018, FIX, "neither the calls webhook nor SIP is set up"),
    run(
        138_019,
        138_023,
        REFUSED,
        "call set-up, relay or media timed out",
    ),
    run(
        139_000,
        139_004,
        FIX,
        "flow blocked, or could not be changed",
    ),
    run(139_100, 139_101, REFUSED, "block list could not be changed"),
    run(139_102, 139_103, RETRY, "block list busy"),
    run(
        147_001,
        147_005,
        FIX,
        "username not available or not eligible",
    ),
    one(1_752_041, REFUSED, "onboarding was requested twice"),
    one(2_388_012, FIX, "number exists in the account already"),
    one(2_388_019, FIX, "template limit of the account reached"),
    run(
        2_388_023,
        2_388_024,
        FIX,
        "template name being deleted, or language exists",
    ),
    run(
        2_388_039,
        2_388_040,
        FIX,
        "template refused: format or length",
    ),
    one(2_388_047, FIX, "template refused: header"),
    run(
        2_388_072,
        2_388_073,
        FIX,
        "template refused: body or footer",
    ),
    run(2_388_091, 2_388_093, FIX, "number not eligible for a code"),
    one(2_388_103, FIX, "number cannot be migrated"),
    one(
        2_388_293,
        FIX,
        "template refused: too many variables for its text",
    ),
    one(
        2_388_299,
        FIX,
        "template refused: variable at the start or the end",
    ),
    one(
        2_494_100,
        limited(60, LimitScope::Number),
        "number in maintenance for migration",
    ),
    run(
        2_593_107,
        2_593_109,
        REFUSED,
        "phone app synchronisation not possible",
    ),
];

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rows_ascend_and_do_not_overlap() {
        for pair in CODES.windows(2) {
            assert!(
                pair[0].last < pair[1].code,
                "{} and {}",
                pair[0].code,
                pair[1].code
            );
        }
        assert!(
            CODES
                .iter()
                .all(|row| row.code <= row.last && !row.name.is_empty())
        );
    }

    #[test]
    fn every_code_is_found_by_itself_and_none_beside_it() {
        for row in CODES {
            assert_eq!(find(row.code), Some(row));
            assert_eq!(find(row.last), Some(row));
        }
        for unknown in [
            -1,
            5,
            199,
            300,
            131_001,
            131_216,
            132_017,
            9_999_999,
            i64::MIN,
            i64::MAX,
        ] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn exactly_these_stop_the_line() {
        let stopping: Vec<i64> = CODES
            .iter()
            .filter(|row| row.class.stops_the_line())
            .map(|row| row.code)
            .collect();
        assert_eq!(
            stopping,
            [0, 3, 10, 190, 200, 368, 131_031, 131_042, 131_045, 133_010]
        );
    }

    #[test]
    fn limits_say_what_waits() {
        for (code, wanted) in [
            (4, LimitScope::App),
            (17, LimitScope::App),
            (613, LimitScope::App),
            (80007, LimitScope::App),
            (130_429, LimitScope::Number),
            (131_056, LimitScope::Pair),
            (131_057, LimitScope::Number),
            (138_005, LimitScope::Number),
        ] {
            let Class::Limited { scope, wait } = find(code).unwrap().class else {
                panic!("{code} is no limit")
            };
            assert_eq!(scope, wanted, "{code}");
            assert!(!wait.is_zero());
        }
    }

    #[test]
    fn pair_limit_waits_in_powers_of_four() {
        let seconds: Vec<u64> = [1, 2, 3, 6, 40, u32::MAX]
            .map(|attempt| pair_wait(attempt).as_secs())
            .to_vec();
        assert_eq!(seconds, [4, 16, 64, 3600, 3600, 3600]);
    }
}
