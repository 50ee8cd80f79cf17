//! Calls, as the field `calls` tells of them.
//!
//! A call from a customer is told when it begins (`connect`; `call_created` while SIP takes the calls) and when it ends
//! (`terminate`), a call to a customer also by statuses. Nothing promises their order or that each comes once.
//! Source: Meta, "Calling API: webhooks".

use serde_json::value::RawValue;

use super::{Bad, Contact, each};
use crate::error::ApiError;
use crate::json::Object;

/// The value of the field `calls`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallsValue {
    /// The business number it is about.
    pub phone_number_id: Option<String>,
    /// The people who call or are called.
    pub contacts: Vec<Contact>,
    /// What happened, in the order of the body: events first, then statuses.
    pub calls: Vec<Result<CallEvent, Bad>>,
    /// Errors about the calls.
    pub errors: Vec<ApiError>,
}

/// What is told about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallStep {
    /// `connect` or `call_created`: it rings.
    Began,
    /// `terminate`: it is over.
    Ended,
    /// Status `RINGING`: it rings at the customer's.
    Ringing,
    /// Status `ACCEPTED`: the customer took it.
    Accepted,
    /// Status `REJECTED`: the customer declined it.
    Rejected,
    /// Anything else, such as `call_recording_available`.
    Other(String),
}

/// One event or status of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct CallEvent {
    /// The call's wacid.
    pub id: String,
    /// What is told.
    pub step: CallStep,
    /// Whether the business calls (`BUSINESS_INITIATED`, and every status).
    pub by_business: bool,
    /// WhatsApp id of the customer; absent for hidden phones.
    pub wa_id: Option<String>,
    /// User id of the customer.
    pub user_id: Option<String>,
    /// When it was told, Unix seconds.
    pub timestamp: Option<i64>,
    /// At its end: `COMPLETED` or `FAILED`, in capitals.
    pub status: Option<String>,
    /// When it was answered, Unix seconds; absent where it was not.
    pub start_time: Option<i64>,
    /// When it ended, Unix seconds.
    pub end_time: Option<i64>,
    /// How long people spoke, seconds.
    pub duration: Option<i64>,
    /// Why it failed.
    pub errors: Vec<ApiError>,
}

impl CallsValue {
    pub(super) fn read(value: &Object<'_>) -> Self {
        let metadata = value.object("metadata");
        let mut calls = each(value.list("calls"), CallEvent::read);
        calls.extend(each(value.list("statuses"), CallEvent::read_status));
        Self {
            phone_number_id: metadata.and_then(|metadata| metadata.filled("phone_number_id")),
            contacts: value
                .objects("contacts")
                .map(|contact| Contact::read(&contact))
                .collect(),
            calls,
            errors: ApiError::read_all(value.list("errors")),
        }
    }

    /// The contact with whom a call is, found by user id, then by WhatsApp id.
    pub fn contact_for(&self, call: &CallEvent) -> Option<&Contact> {
        let same =
            |ours: &Option<String>, theirs: &Option<String>| ours.is_some() && ours == theirs;
        let by = |found: &dyn Fn(&Contact) -> bool| self.contacts.iter().find(|one| found(one));
        by(&|contact| same(&contact.user_id, &call.user_id))
            .or_else(|| by(&|contact| same(&contact.wa_id, &call.wa_id)))
    }
}

impl CallEvent {
    fn read(_: &RawValue, call: &Object<'_>) -> Result<Self, &'static str> {
        let event = call.filled("event").ok_or("no event")?;
        let step = match event.to_ascii_lowercase().as_str() {
            "connect" | "call_created" => CallStep::Began,
            "terminate" => CallStep::Ended,
            _ => CallStep::Other(event),
        };
        let direction = call.filled("direction").unwrap_or_default();
        let by_business = direction.eq_ignore_ascii_case("BUSINESS_INITIATED");
        let (wa_id, user_id) = if by_business {
            ("to", "to_user_id")
        } else {
            ("from", "from_user_id")
        };
        Ok(Self {
            id: call.filled("id").ok_or("no id")?,
            step,
            by_business,
            wa_id: call.filled(wa_id),
            user_id: call.filled(user_id),
            timestamp: call.integer("timestamp"),
            status: call
                .filled("status")
                .map(|status| status.to_ascii_uppercase()),
            start_time: call.integer("start_time"),
            end_time: call.integer("end_time"),
            duration: call.integer("duration"),
            errors: ApiError::read_all(call.list("errors")),
        })
    }

    fn read_status(_: &RawValue, status: &Object<'_>) -> Result<Self, &'static str> {
        let name = status.filled("status").ok_or("no status")?;
        let step = match name.to_ascii_uppercase().as_str() {
            "RINGING" => CallStep::Ringing,
            "ACCEPTED" => CallStep::Accepted,
            "REJECTED" => CallStep::Rejected,
            _ => CallStep::Other(name),
        };
        Ok(Self {
            id: status.filled("id").ok_or("no id")?,
            step,
            by_business: true,
            wa_id: status.filled("recipient_id"),
            user_id: status.filled("recipient_user_id"),
            timestamp: status.integer("timestamp"),
            status: None,
            start_time: None,
            end_time: None,
            duration: None,
            errors: ApiError::read_all(status.list("errors")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhook::{ChangeKind, parse};

    fn change(field: &str, value: &serde_json::Value) -> ChangeKind {
        let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "1", "changes": [
            { "field": field, "value": value }] }] });
        match parse(body.to_string().as_bytes()) {
            Ok(mut callback) => callback.changes.remove(0).kind,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn both_directions_and_statuses_name_the_customer() {
        let value = json!({
            "metadata": { "phone_number_id": "11" },
            "contacts": [{ "profile": { "name": "Max" }, "user_id": "DE.4H" }],
            "calls": [
                { "id": "wacid.1", "from_user_id": "DE.4H", "to": "49", "event": "call_created", "timestamp": "5", "direction": "USER_INITIATED" },
                { "id": "wacid.2", "from": "49", "to": "4917", "event": "terminate", "direction": "BUSINESS_INITIATED",
                  "status": "Completed", "start_time": "10", "end_time": 95, "duration": 85, "errors": [{ "code": 138_020, "title": "x" }] },
                { "id": "wacid.3" }, 7,
            ],
            "statuses": [{ "id": "wacid.2", "type": "call", "status": "RINGING", "recipient_id": "4917" }],
        });
        let ChangeKind::Calls(value) = change("calls", &value) else {
            panic!("not understood as calls")
        };
        assert_eq!(value.phone_number_id.as_deref(), Some("11"));
        let bad: Vec<bool> = value.calls.iter().map(Result::is_err).collect();
        assert_eq!(bad, [false, false, true, true, false]);
        let all: Vec<&CallEvent> = value.calls.iter().flatten().collect();
        assert_eq!(
            (
                &all[0].step,
                all[0].wa_id.as_deref(),
                all[0].user_id.as_deref(),
                all[0].timestamp
            ),
            (&CallStep::Began, None, Some("DE.4H"), Some(5))
        );
        assert_eq!(
            value
                .contact_for(all[0])
                .and_then(|one| one.name.as_deref()),
            Some("Max")
        );
        assert_eq!(
            (
                &all[1].step,
                all[1].wa_id.as_deref(),
                all[1].status.as_deref(),
                all[1].end_time
            ),
            (&CallStep::Ended, Some("4917"), Some("COMPLETED"), Some(95))
        );
        assert_eq!((all[1].duration, all[1].errors.len()), (Some(85), 1));
        assert_eq!(
            (&all[2].step, all[2].by_business),
            (&CallStep::Ringing, true)
        );
    }
}
