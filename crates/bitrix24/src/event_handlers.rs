//! Which events a portal sends where: reading the handlers and bringing them to what they should be.
//!
//! Handlers vanish when an application is updated, stay behind when its address changes, and cannot be bound twice.
//! So they are never just bound: found and desired are compared, and the difference is carried out.

use serde_json::{Value, json};

use crate::client::{Call, Error};
use crate::loose;

/// The events that a connector needs (Bitrix24: event.bind).
pub const CONNECTOR_EVENTS: [&str; 9] = [
    "ONIMCONNECTORMESSAGEADD",
    "ONIMCONNECTORMESSAGEUPDATE",
    "ONIMCONNECTORMESSAGEDELETE",
    "ONIMCONNECTORSTATUSDELETE",
    "ONIMCONNECTORLINEDELETE",
    "ONIMCONNECTORDIALOGSTART",
    "ONIMCONNECTORDIALOGFINISH",
    "ONAPPUNINSTALL",
    "ONAPPUPDATE",
];

/// Sent only when [`fn@test`] asks for it: shows that events arrive, and with which application token.
pub const TEST_EVENT: &str = "ONAPPTEST";

/// Asks the portal to send [`TEST_EVENT`] (Bitrix24: event.test).
pub fn test() -> Call {
    Call::new("event.test", json!({ "any": "data" }))
}

/// A handler that is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handler {
    /// Event in upper case.
    pub event: String,
    /// Where it is sent; empty for an event that waits to be fetched.
    pub url: String,
    /// The user as whom it is authorized; 0 is whoever acted.
    pub auth_type: i64,
    /// Whether it waits to be fetched instead of being sent.
    pub offline: bool,
}

/// What has to be done to one handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Bind an event, authorized as whoever acts.
    Bind {
        /// Event in upper case.
        event: String,
        /// Where to send it.
        url: String,
    },
    /// Remove a handler.
    Unbind(Handler),
}

/// Asks for the application's handlers (Bitrix24: event.get).
pub fn get() -> Call {
    Call::new("event.get", json!({}))
}

/// Reads the result of [`get`].
pub fn read(result: &Value) -> Vec<Handler> {
    loose::items(result)
        .into_iter()
        .filter_map(|handler| {
            Some(Handler {
                event: loose::text_at(handler, &["event"])?.to_ascii_uppercase(),
                url: loose::text_at(handler, &["handler"]).unwrap_or_default(),
                auth_type: loose::integer_at(handler, &["auth_type"]).unwrap_or(0),
                offline: loose::flag_at(handler, &["offline"]).unwrap_or(false),
            })
        })
        .collect()
}

/// The steps from the handlers found to exactly one handler for each desired event.
///
/// Binding comes before unbinding: for a moment an event may come twice, but none is lost.
pub fn converge(found: &[Handler], url: &str, events: &[&str]) -> Vec<Step> {
    let mut kept: Vec<&str> = Vec::new();
    let mut strays = Vec::new();
    // The handler authorized as whoever acts is the one to keep of several.
    let mut ordered: Vec<&Handler> = found.iter().collect();
    ordered.sort_by_key(|handler| handler.auth_type != 0);
    for handler in ordered {
        let wanted = events
            .iter()
            .find(|event| event.eq_ignore_ascii_case(&handler.event))
            .filter(|event| handler.url == url && !handler.offline && !kept.contains(event));
        match wanted {
            Some(event) => kept.push(event),
            None => strays.push(Step::Unbind(handler.clone())),
        }
    }
    let missing = events.iter().filter(|event| !kept.contains(event));
    let mut steps: Vec<Step> = missing
        .map(|event| Step::Bind {
            event: event.to_ascii_uppercase(),
            url: url.to_owned(),
        })
        .collect();
    steps.extend(strays);
    steps
}

impl Step {
    /// Builds the call (Bitrix24: event.bind, event.unbind).
    pub fn call(&self) -> Call {
        match self {
            Self::Bind { event, url } => {
                Call::new("event.bind", json!({ "event": event, "handler": url }))
            }
            Self::Unbind(handler) if handler.offline => Call::new(
                "event.unbind",
                json!({ "event": handler.event, "event_type": "offline" }),
            ),
            // Without the user it would remove the handlers of all users for this address.
            Self::Unbind(handler) => Call::new(
                "event.unbind",
                json!({ "event": handler.event, "handler": handler.url, "auth_type": handler.auth_type }),
            ),
        }
    }
}

/// Whether an error of binding an event or a placement says that it is bound already, which is success.
pub fn already_bound(error: &Error) -> bool {
    let Error::Rest { description, .. } = error else {
        return false;
    };
    let description = description.to_ascii_lowercase();
    ["already binded", "already bound", "has already started"]
        .iter()
        .any(|text| description.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://x.example/api/bitrix/1";

    fn handler(event: &str, url: &str, auth_type: i64) -> Handler {
        Handler {
            event: event.into(),
            url: url.into(),
            auth_type,
            offline: false,
        }
    }

    fn bind(event: &str) -> Step {
        Step::Bind {
            event: event.into(),
            url: URL.into(),
        }
    }

    #[test]
    fn handlers_are_read_from_texts() {
        let found = read(
            &json!([{"event": "onImConnectorMessageAdd", "handler": URL, "auth_type": "0", "offline": 0}, {}]),
        );
        assert_eq!(found, [handler("ONIMCONNECTORMESSAGEADD", URL, 0)]);
        assert!(read(&json!([])).is_empty());
    }

    #[test]
    fn strays_and_duplicates_go_and_what_is_missing_comes_first() {
        let found = [
            handler("A", "https://old.example/", 0),
            handler("B", URL, 7),
            handler("B", URL, 0),
            handler("C", URL, 0),
            Handler {
                offline: true,
                ..handler("D", "", 0)
            },
        ];
        let steps = converge(&found, URL, &["A", "B", "D"]);
        assert_eq!(
            steps,
            [
                bind("A"),
                bind("D"),
                Step::Unbind(found[0].clone()),
                Step::Unbind(found[3].clone()),
                Step::Unbind(found[4].clone()),
                Step::Unbind(found[1].clone()),
            ]
        );
    }

    #[test]
    fn converging_twice_changes_nothing() {
        let mut bound: Vec<Handler> = vec![
            handler("A", "https://old.example/", 0),
            handler("B", URL, 3),
        ];
        for step in converge(&bound.clone(), URL, &CONNECTOR_EVENTS) {
            match step {
                Step::Bind { event, url } => bound.push(handler(&event, &url, 0)),
                Step::Unbind(gone) => bound.retain(|handler| *handler != gone),
            }
        }
        assert_eq!(bound.len(), CONNECTOR_EVENTS.len());
        assert_eq!(converge(&bound, URL, &CONNECTOR_EVENTS), []);
    }

    #[test]
    fn calls_carry_no_more_than_documented() {
        assert_eq!(
            bind("A").call(),
            Call::new("event.bind", json!({"event": "A", "handler": URL}))
        );
        assert_eq!(
            Step::Unbind(handler("A", URL, 7)).call(),
            Call::new(
                "event.unbind",
                json!({"event": "A", "handler": URL, "auth_type": 7})
            )
        );
    }

    #[test]
    fn being_bound_already_is_success() {
        let error = |description: &str| Error::Rest {
            code: "ERROR_CORE".into(),
            description: description.into(),
            argument: None,
            http: 400,
            until: None,
        };
        assert!(already_bound(&error(
            "Unable to set event handler: Handler already binded"
        )));
        assert!(already_bound(&error(
            "Process of binding the handler has already started"
        )));
        assert!(!already_bound(&error("Wrong handler")));
    }
}
