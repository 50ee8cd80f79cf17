//! What was chosen for a number's calls, what Meta has of it, and what follows from the difference. Nothing here asks
//! anybody; [`worker`](super::worker) does.

mod trouble;

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use whatsapp::client::{CallingChange, CallingSettings, KeyExchange, NewServer, SipChange};

pub use self::trouble::{CallingError, Failure, OwnError, Warning};
use super::{address::DEFAULT_PORT, preflight::Report};
use crate::time::Millis;

/// After how long a save that did not get through is tried again, try by try; after the last it is given up.
const TRIES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
];

/// What was chosen for a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Whether calling is on.
    pub calling: bool,
    /// Whether calls go to the telephone server.
    pub sip: bool,
    /// The telephone server, in the form that Meta gets. Kept while SIP is off.
    pub hostname: Option<String>,
    /// Its TLS port.
    pub port: u16,
    /// Whether keys stand in the call's description (SDES); else DTLS.
    pub sdes: bool,
    /// Whether the customer is asked for permission to call back.
    pub callback_permission: bool,
    /// Whether the call button is shown.
    pub call_icon: bool,
    /// Hours in Meta's form; none: always.
    pub call_hours: Option<Value>,
    /// Whether webhooks tell of calls while SIP is on.
    pub webhook_delivery: bool,
    /// Parameters for the user part of the address, escaped.
    pub parameters: BTreeMap<String, String>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            calling: false,
            sip: false,
            hostname: None,
            port: DEFAULT_PORT,
            sdes: true,
            callback_permission: true,
            call_icon: true,
            call_hours: None,
            webhook_delivery: true,
            parameters: BTreeMap::new(),
        }
    }
}

/// A server of somebody else's at Meta.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignServer {
    /// The app it belongs to.
    pub app_id: Option<String>,
    /// Its address.
    pub hostname: String,
}

/// What Meta said last. What it did not say is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Whether calling is on.
    pub calling: Option<bool>,
    /// Whether SIP is on.
    pub sip: Option<bool>,
    /// Our server.
    pub hostname: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// Whether keys are agreed on by SDES; Meta says nothing where that was never set, which is DTLS.
    pub sdes: bool,
    /// Whether permission to call back is asked for.
    pub callback_permission: Option<bool>,
    /// Whether the call button is shown.
    pub call_icon: Option<bool>,
    /// Whether there are hours.
    pub call_hours: Option<bool>,
    /// Whether webhooks tell of calls.
    pub webhook_delivery: Option<bool>,
    /// Parameters for the user part of the address.
    #[serde(default)]
    pub parameters: Option<BTreeMap<String, String>>,
    /// Servers of other apps.
    pub foreign: Vec<ForeignServer>,
    /// The choice with which Meta last agreed: what Meta does not tell, such as which hours there are, is known by it.
    #[serde(default)]
    pub agreed: Option<Box<Wish>>,
}

impl Applied {
    /// What is to be known of one field for people who compare it with what was chosen.
    fn value(&self, field: &str) -> Value {
        let word = |on: Option<bool>| json!(on.map(|on| if on { "enabled" } else { "disabled" }));
        match field {
            "calling" => word(self.calling),
            "sip" => word(self.sip),
            "sip_hostname" => json!(self.hostname),
            "sip_port" => json!(self.port),
            "key_exchange" => json!(if self.sdes { "sdes" } else { "dtls" }),
            "callback_permission" => word(self.callback_permission),
            "call_icon" => {
                json!(
                    self.call_icon
                        .map(|shown| if shown { "shown" } else { "hidden" })
                )
            }
            "call_hours" => word(self.call_hours),
            "webhook_delivery" => word(self.webhook_delivery),
            "sip_parameters" => json!(self.parameters),
            _ => Value::Null,
        }
    }

    /// All of it, as the API shows it.
    pub fn to_json(&self) -> Value {
        FIELDS
            .iter()
            .map(|field| ((*field).to_owned(), self.value(field)))
            .collect::<Map<String, Value>>()
            .into()
    }
}

/// What Meta tells of a number's calls, by the names that the API has for it.
const FIELDS: [&str; 10] = [
    "calling",
    "sip",
    "sip_hostname",
    "sip_port",
    "key_exchange",
    "callback_permission",
    "call_icon",
    "call_hours",
    "webhook_delivery",
    "sip_parameters",
];

/// What Meta said, and the password of our server where it was among it.
pub(super) fn applied(
    settings: &CallingSettings,
    app_id: &str,
    wish: &Wish,
) -> (Applied, Option<whatsapp::Secret>) {
    let fits = |server: &&whatsapp::client::SipServer| {
        wish.hostname
            .as_deref()
            .is_some_and(|host| host.eq_ignore_ascii_case(&server.hostname))
            && wish.port == server.port
    };
    let ours = |server: &&whatsapp::client::SipServer| server.app_id.as_deref() == Some(app_id);
    // By our app, and where Meta does not say whose a server is, by its address; never just any.
    let own = settings
        .servers
        .iter()
        .find(|server| ours(server) && fits(server))
        .or_else(|| settings.servers.iter().find(ours))
        .or_else(|| {
            settings
                .servers
                .iter()
                .filter(|server| server.app_id.is_none())
                .find(fits)
        })
        .or_else(|| {
            settings
                .servers
                .iter()
                .find(|server| server.app_id.is_none())
        });
    let foreign = settings
        .servers
        .iter()
        .filter(|server| server.app_id.as_deref().is_some_and(|id| id != app_id))
        .map(|server| ForeignServer {
            app_id: server.app_id.clone(),
            hostname: server.hostname.clone(),
        })
        .collect();
    let applied = Applied {
        calling: settings.enabled,
        sip: settings.sip_enabled,
        hostname: own.map(|server| server.hostname.to_ascii_lowercase()),
        port: own.map(|server| server.port),
        sdes: settings.key_exchange == Some(KeyExchange::Sdes),
        callback_permission: settings.callback_permission,
        call_icon: settings.icon_shown,
        call_hours: settings.hours_enabled,
        webhook_delivery: settings.webhook_delivery,
        parameters: own.and_then(|server| server.parameters.clone()),
        foreign,
        agreed: None,
    };
    (applied, own.and_then(|server| server.password.clone()))
}

/// How what Meta has compares with what was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// It is what was chosen.
    Same,
    /// Only the key exchange is another one: some changes to SIP put it back to DTLS.
    OnlyKeyExchange,
    /// These are not what was chosen.
    Differs(Vec<&'static str>),
}

impl Wish {
    /// Compares with what Meta said.
    pub fn compare(&self, applied: &Applied) -> Comparison {
        let mut differs = Vec::new();
        let mut look = |name, same: bool| {
            if !same {
                differs.push(name);
            }
        };
        look("calling", applied.calling.unwrap_or(false) == self.calling);
        look("sip", applied.sip.unwrap_or(false) == self.sip);
        if self.sip {
            look("sip_hostname", applied.hostname == self.hostname);
            look("sip_port", applied.port == Some(self.port));
            look(
                "webhook_delivery",
                applied
                    .webhook_delivery
                    .is_none_or(|on| on == self.webhook_delivery),
            );
            look(
                "sip_parameters",
                applied
                    .parameters
                    .as_ref()
                    .is_none_or(|parameters| parameters == &self.parameters),
            );
        }
        if self.calling {
            look(
                "callback_permission",
                applied
                    .callback_permission
                    .is_none_or(|on| on == self.callback_permission),
            );
            look(
                "call_icon",
                applied
                    .call_icon
                    .is_none_or(|shown| shown == self.call_icon),
            );
            look(
                "call_hours",
                applied
                    .call_hours
                    .is_none_or(|on| on == self.call_hours.is_some()),
            );
        }
        let keys = !(self.calling || self.sip) || applied.sdes == self.sdes;
        match (differs.is_empty(), keys) {
            (true, true) => Comparison::Same,
            (true, false) => Comparison::OnlyKeyExchange,
            (false, keys) => {
                if !keys {
                    differs.push("key_exchange");
                }
                Comparison::Differs(differs)
            }
        }
    }

    /// Whether Meta has all of it: what Meta tells, and what it does not tell but was given.
    fn is_applied(&self, applied: &Applied) -> bool {
        if self.compare(applied) != Comparison::Same {
            return false;
        }
        if !self.calling && !self.sip {
            return true;
        }
        let Some(agreed) = &applied.agreed else {
            return self.call_hours.is_none() && self.parameters.is_empty();
        };
        // Where Meta says nothing of a field it counts what was given.
        let untold = |told: Option<bool>, ours: bool, given: bool| told.is_some() || ours == given;
        let (icon, callback) = (self.call_icon, self.callback_permission);
        self.call_hours == agreed.call_hours
            && (!self.sip || self.parameters == agreed.parameters)
            && untold(applied.call_icon, icon, agreed.call_icon)
            && untold(
                applied.callback_permission,
                callback,
                agreed.callback_permission,
            )
            && untold(
                applied.webhook_delivery,
                self.webhook_delivery,
                agreed.webhook_delivery,
            )
    }

    fn keys(&self) -> KeyExchange {
        if self.sdes {
            KeyExchange::Sdes
        } else {
            KeyExchange::Dtls
        }
    }

    /// The request that makes Meta have what was chosen.
    pub fn change(&self, applied: Option<&Applied>) -> CallingChange {
        if !self.calling && !self.sip {
            return CallingChange {
                enabled: Some(false),
                sip: Some(off(None)),
                ..CallingChange::default()
            };
        }
        let hours = match &self.call_hours {
            Some(hours) => Some(hours.clone()),
            None if applied.is_some_and(|applied| applied.call_hours == Some(true)) => {
                Some(json!({ "status": "DISABLED" }))
            }
            None => None,
        };
        // What Meta has by itself needs no mention.
        let icon =
            !self.call_icon || applied.is_some_and(|applied| applied.call_icon == Some(false));
        let server = self.hostname.clone().map(|hostname| NewServer {
            hostname,
            port: self.port,
            parameters: self.parameters.clone(),
        });
        CallingChange {
            enabled: Some(self.calling),
            key_exchange: Some(self.keys()),
            callback_permission: Some(self.callback_permission),
            icon_shown: icon.then_some(self.call_icon),
            hours,
            sip: Some(if self.sip {
                SipChange {
                    enabled: true,
                    webhook_delivery: Some(self.webhook_delivery),
                    servers: server.map(|server| vec![server]),
                }
            } else {
                // The server stays at Meta, for the next time.
                off(None)
            }),
        }
    }

    /// The request that changes nothing but the key exchange.
    pub fn change_of_keys(&self) -> CallingChange {
        CallingChange {
            key_exchange: Some(self.keys()),
            ..CallingChange::default()
        }
    }
}

fn off(servers: Option<Vec<NewServer>>) -> SipChange {
    SipChange {
        enabled: false,
        webhook_delivery: None,
        servers,
    }
}

/// The request that deletes our server at Meta. While SIP is on Meta wants one, so it is switched off with it; calling goes
/// off too where a new password is wanted.
pub fn removal(calling_off: bool) -> CallingChange {
    CallingChange {
        enabled: calling_off.then_some(false),
        sip: Some(off(Some(Vec::new()))),
        ..CallingChange::default()
    }
}

/// Where a number's settings stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was ever chosen.
    None,
    /// To be saved, or saved again.
    Pending,
    /// Meta has what was chosen.
    InSync,
    /// Meta has something else, and the error says why.
    Refused,
    /// Meta had what was chosen until somebody changed it there.
    Changed,
    /// A save was cut; Meta is asked before it is repeated.
    Unknown,
}

impl State {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pending => "pending",
            Self::InSync => "in_sync",
            Self::Refused => "refused",
            Self::Changed => "changed",
            Self::Unknown => "unknown",
        }
    }

    /// From what was stored.
    pub fn parse(text: &str) -> Self {
        match text {
            "pending" => Self::Pending,
            "in_sync" => Self::InSync,
            "refused" => Self::Refused,
            "changed" => Self::Changed,
            "unknown" => Self::Unknown,
            _ => Self::None,
        }
    }
}

/// What is to be done at Meta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Make Meta have what was chosen.
    Save,
    /// Read back what Meta has.
    Read,
    /// Delete our server and enter it again, which gives a new password.
    ResetPassword,
    /// Delete our server.
    RemoveServer,
}

impl Task {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::Read => "read",
            Self::ResetPassword => "reset_password",
            Self::RemoveServer => "remove_server",
        }
    }

    /// From what was stored.
    pub fn parse(text: &str) -> Self {
        match text {
            "read" => Self::Read,
            "reset_password" => Self::ResetPassword,
            "remove_server" => Self::RemoveServer,
            _ => Self::Save,
        }
    }
}

/// When a save that failed so often is tried again; none: it is given up.
pub(super) fn next_try(attempts: i64) -> Option<Duration> {
    let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(0);
    TRIES.get(index).copied()
}

/// Everything that is kept about a number's calls, but the password.
#[derive(Debug, Clone)]
pub struct Calling {
    /// Grows with every choice.
    pub version: i64,
    /// What was chosen.
    pub wish: Wish,
    /// Where it stands.
    pub state: State,
    /// What is to be done.
    pub task: Task,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is due.
    pub due_at: Option<Millis>,
    /// What Meta said last.
    pub applied: Option<Applied>,
    /// When.
    pub applied_at: Option<Millis>,
    /// Whether the password is known.
    pub has_password: bool,
    /// What to know.
    pub warnings: Vec<Warning>,
    /// Why Meta does not have what was chosen.
    pub error: Option<CallingError>,
    /// What others changed at Meta: field, and its value there.
    pub outside: Option<Value>,
    /// The last preflight.
    pub report: Option<Report>,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            version: 0,
            wish: Wish::default(),
            state: State::None,
            task: Task::Save,
            attempts: 0,
            due_at: None,
            applied: None,
            applied_at: None,
            has_password: false,
            warnings: Vec::new(),
            error: None,
            outside: None,
            report: None,
        }
    }
}

impl Calling {
    /// Whether the last preflight was of another address than the chosen one.
    pub fn report_is_stale(&self) -> bool {
        self.report.as_ref().is_some_and(|report| {
            Some(&report.address.host) != self.wish.hostname.as_ref()
                || report.address.port != self.wish.port
        })
    }

    /// What follows from another choice: nothing to do at Meta where it is what Meta has already.
    #[must_use]
    pub fn chosen(&self, wish: Wish, now: Millis) -> Self {
        let agrees = self
            .applied
            .as_ref()
            .is_some_and(|applied| wish.is_applied(applied))
            && !matches!(self.state, State::Pending | State::Unknown);
        // Nothing was ever entered at Meta from here, and nothing is to be.
        let idle = self.state == State::None && !wish.calling && !wish.sip;
        let mut next = Self {
            version: self.version + 1,
            wish,
            task: Task::Save,
            attempts: 0,
            ..self.clone()
        };
        if idle {
            next.due_at = None;
        } else if agrees {
            next.state = State::InSync;
            next.due_at = None;
            next.error = None;
            next.outside = None;
        } else {
            next.state = State::Pending;
            next.due_at = Some(now);
        }
        next
    }

    /// Takes in what Meta has now, after somebody may have changed it there: what is another thing than before and than
    /// was chosen is told, and nothing is overwritten.
    pub(super) fn looked(&mut self, applied: Applied, now: Millis) {
        let differs = match self.wish.compare(&applied) {
            Comparison::Same => Vec::new(),
            Comparison::OnlyKeyExchange => vec!["key_exchange"],
            Comparison::Differs(differs) => differs,
        };
        let told_before = self.outside.take();
        let before = self.applied.take().unwrap_or_default();
        let outside: Map<String, Value> = differs
            .into_iter()
            .filter(|field| {
                applied.value(field) != before.value(field)
                    || told_before
                        .as_ref()
                        .is_some_and(|told| told.get(field).is_some())
            })
            .map(|field| (field.to_owned(), applied.value(field)))
            .collect();
        if !outside.is_empty() {
            self.outside = Some(outside.into());
            if self.state == State::InSync {
                self.state = State::Changed;
            }
        }
        let agreed = before.agreed;
        (self.applied, self.applied_at) = (Some(Applied { agreed, ..applied }), Some(now));
        self.due_at = None;
    }

    /// The same choice, to be done at Meta once more.
    #[must_use]
    pub fn again(&self, task: Task, now: Millis) -> Self {
        Self {
            version: self.version + 1,
            state: State::Pending,
            task,
            attempts: 0,
            due_at: Some(now),
            outside: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
