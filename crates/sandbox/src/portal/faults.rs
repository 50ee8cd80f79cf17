//! The faults a portal can be told to have.
//!
//! Each is off, on for the next so many chances, or on until told otherwise; each can be narrowed to one REST method or
//! to one customer's chat. Asking costs one atomic read while no fault is set.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// One way in which a portal, its authorization server or its event queue can misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// 503 `QUERY_LIMIT_EXCEEDED`: too many requests, the call is not executed.
    QueryLimitExceeded,
    /// 503 `OVERLOAD_LIMIT`: the portal is blocked by hand until support lifts it.
    OverloadLimit,
    /// 429 `OPERATION_TIME_LIMIT` with `operating_reset_at`: this method has used up its operating time, for a minute or
    /// as long as the rule says ([`Rule::milliseconds`]).
    OperationTimeLimit,
    /// One item of `imconnector.send.messages` fails inside a 200 answer.
    ItemFailure,
    /// 500 `INTERNAL_SERVER_ERROR`, not executed.
    InternalServerError,
    /// 502 with an HTML page, as a proxy in front of the portal writes it.
    HtmlBadGateway,
    /// 200 with an HTML page, as a portal that is blocked or wants a login.
    HtmlPage,
    /// The answer waits ([`Rule::milliseconds`]) before the call is executed.
    Slow,
    /// The connection is closed without an answer and without doing anything.
    CutBefore,
    /// The connection is closed without an answer although everything was done.
    CutAfter,
    /// 401 `expired_token` whatever the token's age.
    ExpiredToken,
    /// `invalid_grant` at the authorization server although the refresh token is good.
    RefreshRefused,
    /// The authorization server waits ([`Rule::milliseconds`]) before it answers.
    RefreshSlow,
    /// The authorization server makes the new pair at once and answers with it after a wait ([`Rule::milliseconds`]):
    /// whoever ends meanwhile never learns it.
    RefreshAnswerSlow,
    /// The answer of `imconnector.send.messages` leaves out `session`.
    SessionMissing,
    /// No request limit at all: for benchmarks.
    Unlimited,
    /// Each item of `imconnector.send.messages` takes this long ([`Rule::milliseconds`]).
    ItemTime,
    /// An event is never sent.
    EventDropped,
    /// An event is sent twice.
    EventDuplicated,
    /// An event is held until the next one of its chat has been sent.
    EventSwapped,
    /// An event waits ([`Rule::milliseconds`]) before it is sent.
    EventLate,
    /// An event carries no user token, as when an agent or automation acted.
    EventWithoutUser,
    /// An event is sent as JSON.
    EventJson,
}

impl Fault {
    /// Every fault, in the order the operator's page shows them.
    pub const ALL: [Self; 23] = [
        Self::QueryLimitExceeded,
        Self::OverloadLimit,
        Self::OperationTimeLimit,
        Self::ItemFailure,
        Self::InternalServerError,
        Self::HtmlBadGateway,
        Self::HtmlPage,
        Self::Slow,
        Self::CutBefore,
        Self::CutAfter,
        Self::ExpiredToken,
        Self::RefreshRefused,
        Self::RefreshSlow,
        Self::RefreshAnswerSlow,
        Self::SessionMissing,
        Self::Unlimited,
        Self::ItemTime,
        Self::EventDropped,
        Self::EventDuplicated,
        Self::EventSwapped,
        Self::EventLate,
        Self::EventWithoutUser,
        Self::EventJson,
    ];

    /// What the switch is called on the operator's page.
    pub const fn label(self) -> &'static str {
        match self {
            Self::QueryLimitExceeded => "Too many requests (503)",
            Self::OverloadLimit => "Portal blocked for overload (503)",
            Self::OperationTimeLimit => "Method out of operating time (429)",
            Self::ItemFailure => "One message refused inside a good answer",
            Self::InternalServerError => "Internal error (500)",
            Self::HtmlBadGateway => "Bad gateway, HTML page (502)",
            Self::HtmlPage => "HTML page in place of REST (200)",
            Self::Slow => "Slow answers",
            Self::CutBefore => "Connection cut, nothing done",
            Self::CutAfter => "Connection cut after it was done",
            Self::ExpiredToken => "Token expired (401)",
            Self::RefreshRefused => "Token refresh refused",
            Self::RefreshSlow => "Authorization server slow",
            Self::RefreshAnswerSlow => "New token made, answer late",
            Self::SessionMissing => "Answer without a session",
            Self::Unlimited => "No request limit",
            Self::ItemTime => "Each message takes time",
            Self::EventDropped => "Events lost",
            Self::EventDuplicated => "Events sent twice",
            Self::EventSwapped => "Events out of order",
            Self::EventLate => "Events late",
            Self::EventWithoutUser => "Events without a user token",
            Self::EventJson => "Events as JSON",
        }
    }

    /// Whether [`Rule::milliseconds`] means something for this fault.
    pub const fn takes_time(self) -> bool {
        matches!(
            self,
            Self::Slow
                | Self::RefreshSlow
                | Self::RefreshAnswerSlow
                | Self::ItemTime
                | Self::EventLate
        )
    }
}

/// How long a fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Not at all.
    Off,
    /// The next so many times it can strike.
    Next(u32),
    /// Until it is switched off.
    Always,
}

/// A fault that is switched on, and for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What goes wrong.
    pub fault: Fault,
    /// For how long.
    pub when: When,
    /// Only for this REST method, lower case; for all where it is missing.
    #[serde(default)]
    pub method: Option<String>,
    /// Only for this external chat id; for all where it is missing.
    #[serde(default)]
    pub chat: Option<String>,
    /// How long, for the faults that take time.
    #[serde(default)]
    pub milliseconds: Option<u64>,
}

impl Rule {
    /// A fault for every method and every chat.
    pub const fn new(fault: Fault, when: When) -> Self {
        Self {
            fault,
            when,
            method: None,
            chat: None,
            milliseconds: None,
        }
    }

    /// The same for one REST method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_ascii_lowercase());
        self
    }

    /// The same for one customer's chat, by its external chat id.
    #[must_use]
    pub fn chat(mut self, external_chat_id: &str) -> Self {
        self.chat = Some(external_chat_id.to_owned());
        self
    }

    /// The same with a duration.
    #[must_use]
    pub const fn lasting(mut self, duration: Duration) -> Self {
        self.milliseconds = Some(duration.as_millis() as u64);
        self
    }
}

/// The faults of one portal.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Rule>>,
    /// How many rules there are; read without the lock, because most of the time there is none.
    armed: AtomicUsize,
}

impl Faults {
    /// Switches a fault on for every method and chat, or off.
    pub fn set(&self, fault: Fault, when: When) {
        self.apply(Rule::new(fault, when));
    }

    /// Switches a fault on as the rule says. A rule for the same fault, method and chat is replaced; with [`When::Off`]
    /// it is removed.
    pub fn apply(&self, mut rule: Rule) {
        rule.method = rule.method.map(|method| method.to_ascii_lowercase());
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|old| {
            (old.fault, &old.method, &old.chat) != (rule.fault, &rule.method, &rule.chat)
        });
        if !matches!(rule.when, When::Off | When::Next(0)) {
            rules.push(rule);
        }
        self.armed.store(rules.len(), Ordering::Release);
    }

    /// Switches everything off.
    pub fn clear(&self) {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.clear();
        self.armed.store(0, Ordering::Release);
    }

    /// What is switched on.
    pub fn rules(&self) -> Vec<Rule> {
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether `fault` strikes now; counts it if so.
    pub(crate) fn strikes(&self, fault: Fault, method: &str, chats: &[&str]) -> bool {
        self.rule(fault, method, chats).is_some()
    }

    /// How long `fault` delays this chance; nothing where it is off.
    pub(crate) fn delay(&self, fault: Fault, method: &str, chats: &[&str]) -> Option<Duration> {
        self.lasting(fault, method, chats, Duration::from_secs(1))
    }

    /// How long `fault` lasts this time, `usually` where its rule does not say; nothing where it is off.
    pub(crate) fn lasting(
        &self,
        fault: Fault,
        method: &str,
        chats: &[&str],
        usually: Duration,
    ) -> Option<Duration> {
        let rule = self.rule(fault, method, chats)?;
        Some(rule.milliseconds.map_or(usually, Duration::from_millis))
    }

    /// Whether `fault` is switched on for anything; does not count.
    pub(crate) fn is_on(&self, fault: Fault) -> bool {
        self.any() && self.rules().iter().any(|rule| rule.fault == fault)
    }

    /// Whether any rule is set at all.
    pub(crate) fn any(&self) -> bool {
        self.armed.load(Ordering::Acquire) > 0
    }

    fn rule(&self, fault: Fault, method: &str, chats: &[&str]) -> Option<Rule> {
        if !self.any() {
            return None;
        }
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let index = rules.iter().position(|rule| {
            rule.fault == fault
                && rule.method.as_deref().is_none_or(|only| only == method)
                && rule
                    .chat
                    .as_deref()
                    .is_none_or(|only| chats.contains(&only))
        })?;
        let struck = rules[index].clone();
        if let When::Next(left) = &mut rules[index].when {
            *left -= 1;
            if *left == 0 {
                rules.remove(index);
            }
        }
        self.armed.store(rules.len(), Ordering::Release);
        Some(struck)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_as_often_as_it_was_told() {
        let faults = Faults::default();
        faults.set(Fault::Slow, When::Next(2));
        let struck = (0..4)
            .filter(|_| faults.strikes(Fault::Slow, "profile", &[]))
            .count();
        assert_eq!(struck, 2);
        assert!(faults.rules().is_empty());
    }

    #[test]
    fn a_rule_is_narrowed_to_its_method_and_chat() {
        let faults = Faults::default();
        faults.apply(
            Rule::new(Fault::ItemFailure, When::Always)
                .method("Imconnector.send.messages")
                .chat("7"),
        );
        assert!(!faults.strikes(Fault::ItemFailure, "imconnector.send.messages", &["8"]));
        assert!(!faults.strikes(Fault::ItemFailure, "profile", &["7"]));
        assert!(faults.strikes(Fault::ItemFailure, "imconnector.send.messages", &["8", "7"]));
        faults.apply(
            Rule::new(Fault::ItemFailure, When::Off)
                .method("imconnector.send.messages")
                .chat("7"),
        );
        assert!(!faults.any());
    }

    #[test]
    fn every_fault_is_listed_once() {
        let mut labels: Vec<&str> = Fault::ALL.iter().map(|fault| fault.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), Fault::ALL.len());
    }
}
