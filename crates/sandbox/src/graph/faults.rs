//! Everything that can be made to go wrong, switched on for some calls or for all.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    mem::discriminant,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// One thing that goes wrong. Times are whole milliseconds when set over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A send is accepted and a `failed` status with this code follows.
    FailedStatus(u32),
    /// A send or an upload is refused at once with this code.
    Refused(u32),
    /// Every call is refused: the token has expired (190/463).
    ExpiredToken,
    /// Every call is answered this much later.
    Slow(Duration),
    /// The connection is closed before anything was done.
    CutBefore,
    /// The call is carried out and the connection is closed without an answer.
    CutAfter,
    /// HTTP 500 with a page of text in place of JSON.
    ServerError,
    /// Media ids and addresses are not found.
    MediaMissing,
    /// A media download trickles, with this pause between its twenty pieces.
    MediaSlow(Duration),
    /// A media download never ends.
    MediaEndless,
    /// The size given for a media id is half the real one, and the download tells none.
    MediaLyingSize,
    /// A media download breaks off half way.
    MediaCut,
    /// Each webhook is delivered twice.
    WebhookDuplicate,
    /// Webhooks are gathered: up to this many updates (at most 1000), across numbers, in one POST; for everybody only.
    WebhookBatched(usize),
    /// What is waiting is delivered last first: `delivered` before `sent`, newer messages before older ones; for
    /// everybody or one number.
    WebhookReordered,
    /// Each webhook is delivered this much later.
    WebhookLate(Duration),
    /// Webhooks are posted without a signature.
    WebhookUnsigned,
    /// Webhooks are posted with a signature that is not right.
    WebhookWrongSignature,
    /// Webhooks are held back, for everybody or one number; they go when this is switched off.
    WebhookHeld,
    /// A send is answered only after its statuses were delivered.
    StatusFirst,
    /// The login at Facebook comes back with `access_denied`.
    LoginDenied,
    /// A call about an account, a number or an application (not sending) is refused with this code.
    ManagementRefused(u32),
}

/// How often a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// The next so many times.
    Next(u64),
    /// Until it is switched off.
    Always,
}

/// Whom a fault concerns: everybody, one business number, one customer, or both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// A phone number id.
    pub phone_number_id: Option<String>,
    /// The customer's digits or user id.
    pub customer: Option<String>,
}

impl Scope {
    /// Everybody.
    pub fn all() -> Self {
        Self::default()
    }

    /// One business number, by its phone number id.
    pub fn number(phone_number_id: impl Into<String>) -> Self {
        Self {
            phone_number_id: Some(phone_number_id.into()),
            customer: None,
        }
    }

    /// One customer, by digits or user id.
    pub fn customer(customer: impl Into<String>) -> Self {
        Self {
            phone_number_id: None,
            customer: Some(customer.into()),
        }
    }

    fn covers(&self, place: &Place<'_>) -> bool {
        let number_fits = self
            .phone_number_id
            .as_deref()
            .is_none_or(|wanted| place.phone_number_id == Some(wanted));
        let customer_fits = self
            .customer
            .as_deref()
            .is_none_or(|wanted| place.customer.contains(&wanted));
        number_fits && customer_fits
    }
}

/// Where something is about to happen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place<'a> {
    pub(super) phone_number_id: Option<&'a str>,
    pub(super) customer: &'a [&'a str],
}

struct Described {
    name: &'static str,
    label: &'static str,
    /// What the number beside the switch means, where there is one.
    unit: Option<&'static str>,
    sample: Fault,
}

/// Every fault with the name used over HTTP, its words for a person and a usual value.
const DESCRIBED: &[Described] = &[
    Described {
        name: "failed_status",
        label: "Messages to the customer fail after they were accepted",
        unit: Some("code"),
        sample: Fault::FailedStatus(131_026),
    },
    Described {
        name: "refused",
        label: "Sending is refused at once",
        unit: Some("code"),
        sample: Fault::Refused(130_429),
    },
    Described {
        name: "expired_token",
        label: "The access token has expired",
        unit: None,
        sample: Fault::ExpiredToken,
    },
    Described {
        name: "slow",
        label: "Meta answers slowly",
        unit: Some("ms"),
        sample: Fault::Slow(Duration::from_secs(3)),
    },
    Described {
        name: "cut_before",
        label: "Connection cut before anything was done",
        unit: None,
        sample: Fault::CutBefore,
    },
    Described {
        name: "cut_after",
        label: "Connection cut after the message was accepted",
        unit: None,
        sample: Fault::CutAfter,
    },
    Described {
        name: "server_error",
        label: "HTTP 500 without JSON",
        unit: None,
        sample: Fault::ServerError,
    },
    Described {
        name: "status_first",
        label: "Statuses arrive before the answer to the send",
        unit: None,
        sample: Fault::StatusFirst,
    },
    Described {
        name: "media_missing",
        label: "Files are not found",
        unit: None,
        sample: Fault::MediaMissing,
    },
    Described {
        name: "media_slow",
        label: "Files trickle in, pause between pieces",
        unit: Some("ms"),
        sample: Fault::MediaSlow(Duration::from_millis(500)),
    },
    Described {
        name: "media_endless",
        label: "Files never end",
        unit: None,
        sample: Fault::MediaEndless,
    },
    Described {
        name: "media_lying_size",
        label: "Files are larger than announced",
        unit: None,
        sample: Fault::MediaLyingSize,
    },
    Described {
        name: "media_cut",
        label: "Files break off half way",
        unit: None,
        sample: Fault::MediaCut,
    },
    Described {
        name: "webhook_duplicate",
        label: "Webhooks come twice",
        unit: None,
        sample: Fault::WebhookDuplicate,
    },
    Described {
        name: "webhook_batched",
        label: "Webhooks are gathered, up to",
        unit: Some("updates"),
        sample: Fault::WebhookBatched(50),
    },
    Described {
        name: "webhook_reordered",
        label: "Webhooks come in the wrong order",
        unit: None,
        sample: Fault::WebhookReordered,
    },
    Described {
        name: "webhook_late",
        label: "Webhooks come late",
        unit: Some("ms"),
        sample: Fault::WebhookLate(Duration::from_secs(3)),
    },
    Described {
        name: "webhook_unsigned",
        label: "Webhooks come without a signature",
        unit: None,
        sample: Fault::WebhookUnsigned,
    },
    Described {
        name: "webhook_wrong_signature",
        label: "Webhooks come with a wrong signature",
        unit: None,
        sample: Fault::WebhookWrongSignature,
    },
    Described {
        name: "webhook_held",
        label: "Webhooks are held back",
        unit: None,
        sample: Fault::WebhookHeld,
    },
    Described {
        name: "login_denied",
        label: "The login at Facebook is declined",
        unit: None,
        sample: Fault::LoginDenied,
    },
    Described {
        name: "management_refused",
        label: "Calls about accounts and numbers are refused",
        unit: Some("code"),
        sample: Fault::ManagementRefused(80_007),
    },
];

impl Fault {
    /// The name used over HTTP and in the counters.
    pub fn name(self) -> &'static str {
        DESCRIBED
            .iter()
            .find(|described| discriminant(&described.sample) == discriminant(&self))
            .map_or("unknown", |described| described.name)
    }

    /// The fault of this name; `value` is the code, the milliseconds or the number of updates, a usual one if absent.
    pub fn named(name: &str, value: Option<u64>) -> Option<Self> {
        let sample = DESCRIBED
            .iter()
            .find(|described| described.name == name)?
            .sample;
        let Some(value) = value else {
            return Some(sample);
        };
        let time = Duration::from_millis(value);
        Some(match sample {
            Self::FailedStatus(_) => Self::FailedStatus(u32::try_from(value).ok()?),
            Self::Refused(_) => Self::Refused(u32::try_from(value).ok()?),
            Self::ManagementRefused(_) => Self::ManagementRefused(u32::try_from(value).ok()?),
            Self::Slow(_) => Self::Slow(time),
            Self::MediaSlow(_) => Self::MediaSlow(time),
            Self::WebhookLate(_) => Self::WebhookLate(time),
            Self::WebhookBatched(_) => Self::WebhookBatched(value.clamp(1, 1000) as usize),
            other => other,
        })
    }

    fn value(self) -> Option<u64> {
        match self {
            Self::FailedStatus(code) | Self::Refused(code) | Self::ManagementRefused(code) => {
                Some(code.into())
            }
            Self::Slow(time) | Self::MediaSlow(time) | Self::WebhookLate(time) => {
                Some(time.as_millis() as u64)
            }
            Self::WebhookBatched(count) => Some(count as u64),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    times: Times,
    scope: Scope,
}

/// The switches. All faults are off at the start; the 24-hour window is on, the rate limits are off.
#[derive(Debug)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    any: AtomicBool,
    window: AtomicBool,
    pair_limit: AtomicBool,
    number_limit: AtomicBool,
    changed: watch::Sender<u64>,
}

impl Faults {
    pub(super) fn new(changed: watch::Sender<u64>) -> Self {
        Self {
            rules: Mutex::default(),
            counts: Mutex::default(),
            any: AtomicBool::new(false),
            window: AtomicBool::new(true),
            pair_limit: AtomicBool::new(false),
            number_limit: AtomicBool::new(false),
            changed,
        }
    }

    /// Switches a fault on for everybody.
    pub fn set(&self, fault: Fault, times: Times) {
        self.set_for(fault, times, Scope::all());
    }

    /// Switches a fault on for some; a rule of the same fault and scope is replaced.
    pub fn set_for(&self, fault: Fault, times: Times, scope: Scope) {
        self.edit(|rules| {
            rules.retain(|rule| {
                discriminant(&rule.fault) != discriminant(&fault) || rule.scope != scope
            });
            if times != Times::Next(0) {
                rules.push(Rule {
                    fault,
                    times,
                    scope,
                });
            }
        });
    }

    /// Switches a fault off everywhere, whatever its value.
    pub fn off(&self, fault: Fault) {
        self.edit(|rules| rules.retain(|rule| discriminant(&rule.fault) != discriminant(&fault)));
    }

    /// Switches every fault off. The window and the rate limits stay as they are.
    pub fn clear(&self) {
        self.edit(Vec::clear);
    }

    /// Whether a free-form message more than 24 hours after the customer's last one fails with 131047.
    pub fn window(&self, on: bool) {
        self.window.store(on, Ordering::SeqCst);
        self.bump();
    }

    /// Whether one customer may get one message in 6 seconds, 45 on credit (131056). Source: Meta: pair rate limit.
    pub fn pair_limit(&self, on: bool) {
        self.pair_limit.store(on, Ordering::SeqCst);
        self.bump();
    }

    /// Whether a business number may send 80 messages a second (130429). Source: Meta: throughput.
    pub fn number_limit(&self, on: bool) {
        self.number_limit.store(on, Ordering::SeqCst);
        self.bump();
    }

    /// How often each fault has struck, by name.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How often this fault has struck, whatever its value.
    pub fn count(&self, fault: Fault) -> u64 {
        self.counts().get(fault.name()).copied().unwrap_or(0)
    }

    /// Whether any fault is on at all.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::SeqCst)
    }

    pub(super) fn window_is_on(&self) -> bool {
        self.window.load(Ordering::SeqCst)
    }

    pub(super) fn pair_limit_is_on(&self) -> bool {
        self.pair_limit.load(Ordering::SeqCst)
    }

    pub(super) fn number_limit_is_on(&self) -> bool {
        self.number_limit.load(Ordering::SeqCst)
    }

    /// The fault of this kind if it strikes here; one of its times is used up. The value of `kind` does not matter.
    pub(super) fn strike(&self, kind: Fault, place: &Place<'_>) -> Option<Fault> {
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        let mut rules = self.lock();
        let index = find(&rules, kind, place)?;
        let fault = rules[index].fault;
        if let Times::Next(left) = &mut rules[index].times {
            *left -= 1;
            if *left == 0 {
                rules.remove(index);
                self.any.store(!rules.is_empty(), Ordering::SeqCst);
            }
        }
        drop(rules);
        *self
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(fault.name())
            .or_default() += 1;
        self.bump();
        Some(fault)
    }

    /// The fault of this kind if it would strike here.
    pub(super) fn peek(&self, kind: Fault, place: &Place<'_>) -> Option<Fault> {
        if !self.any.load(Ordering::SeqCst) {
            return None;
        }
        let rules = self.lock();
        find(&rules, kind, place).map(|index| rules[index].fault)
    }

    /// What the page shows: every fault with its words, the rules in force and the counters.
    pub(super) fn describe(&self) -> Value {
        let counts = self.counts();
        let kinds: Vec<Value> = DESCRIBED
            .iter()
            .map(|described| {
                json!({
                    "name": described.name,
                    "label": described.label,
                    "unit": described.unit,
                    "value": described.sample.value(),
                    "count": counts.get(described.name).copied().unwrap_or(0),
                })
            })
            .collect();
        let rules: Vec<Value> = self
            .lock()
            .iter()
            .map(|rule| {
                json!({
                    "fault": rule.fault.name(),
                    "value": rule.fault.value(),
                    "times": match rule.times {
                        Times::Next(left) => json!(left),
                        Times::Always => json!("always"),
                    },
                    "phone_number_id": rule.scope.phone_number_id,
                    "customer": rule.scope.customer,
                })
            })
            .collect();
        json!({
            "kinds": kinds,
            "rules": rules,
            "window": self.window_is_on(),
            "pair_limit": self.pair_limit_is_on(),
            "number_limit": self.number_limit_is_on(),
        })
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<Rule>)) {
        let mut rules = self.lock();
        change(&mut rules);
        self.any.store(!rules.is_empty(), Ordering::SeqCst);
        drop(rules);
        self.bump();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bump(&self) {
        self.changed
            .send_modify(|version| *version = version.wrapping_add(1));
    }
}

fn find(rules: &[Rule], kind: Fault, place: &Place<'_>) -> Option<usize> {
    rules.iter().position(|rule| {
        discriminant(&rule.fault) == discriminant(&kind) && rule.scope.covers(place)
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn faults() -> Faults {
        Faults::new(watch::Sender::new(0))
    }

    #[test]
    fn a_fault_strikes_as_often_as_told() {
        let faults = faults();
        let here = Place::default();
        faults.set(Fault::Refused(131_056), Times::Next(2));
        let kind = Fault::Refused(0);
        assert_eq!(faults.strike(kind, &here), Some(Fault::Refused(131_056)));
        assert_eq!(faults.peek(kind, &here), Some(Fault::Refused(131_056)));
        assert!(faults.strike(kind, &here).is_some());
        assert_eq!(faults.strike(kind, &here), None);
        assert_eq!(faults.count(kind), 2);
    }

    #[test]
    fn a_fault_for_one_number_spares_the_others() {
        let faults = faults();
        faults.set_for(Fault::CutAfter, Times::Always, Scope::number("1"));
        let at = |id| Place {
            phone_number_id: Some(id),
            customer: &[],
        };
        assert!(faults.strike(Fault::CutAfter, &at("2")).is_none());
        assert!(faults.strike(Fault::CutAfter, &Place::default()).is_none());
        assert!(faults.strike(Fault::CutAfter, &at("1")).is_some());
    }

    #[test]
    fn a_fault_for_one_customer_knows_each_of_his_names() {
        let faults = faults();
        faults.set_for(
            Fault::FailedStatus(131_026),
            Times::Always,
            Scope::customer("DE.a"),
        );
        let place = Place {
            phone_number_id: Some("1"),
            customer: &["4915755509876", "DE.a"],
        };
        assert!(faults.strike(Fault::FailedStatus(0), &place).is_some());
    }

    #[test]
    fn every_fault_has_one_name_that_finds_it_again() {
        for described in DESCRIBED {
            let fault = Fault::named(described.name, described.sample.value()).unwrap();
            assert_eq!(fault, described.sample);
            assert_eq!(fault.name(), described.name);
        }
        assert_eq!(Fault::named("none such", None), None);
    }
}
