//! Calls that a telephone system outside Bitrix24 carries: `telephony.externalCall.*`.
//!
//! A call is registered while it rings, shown to an employee, and finished; only finishing writes it into the CRM.
//! Registering again with the same external id gives the same call within half an hour, as long as it is not finished.

use serde_json::{Value, json};

use crate::client::{Call, Error};
use crate::loose;

/// Who is behind a phone number, as far as the CRM knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrmMatch {
    /// `CONTACT`, `LEAD` or `COMPANY`.
    pub entity_type: String,
    /// Its id.
    pub entity_id: i64,
    /// The employee who is responsible for it.
    pub responsible: Option<i64>,
}

/// Asks the CRM for a phone number, the best match first (Bitrix24: telephony.externalCall.searchCrmEntities).
pub fn search_crm(phone: &str) -> Call {
    Call::new(
        "telephony.externalCall.searchCrmEntities",
        json!({ "PHONE_NUMBER": phone }),
    )
}

/// Reads the result of [`search_crm`].
pub fn read_matches(result: &Value) -> Vec<CrmMatch> {
    loose::items(result)
        .into_iter()
        .filter_map(|item| {
            Some(CrmMatch {
                entity_type: loose::text_at(item, &["CRM_ENTITY_TYPE"])?,
                entity_id: loose::integer_at(item, &["CRM_ENTITY_ID"])?,
                responsible: loose::integer_at(item, &["ASSIGNED_BY_ID"])
                    .or_else(|| loose::integer_at(item, &["ASSIGNED_BY", "ID"])),
            })
        })
        .collect()
}

/// A call to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The telephone system's own id of the call.
    pub external_id: String,
    /// The employee.
    pub user: i64,
    /// The other side's number.
    pub phone: String,
    /// Whether the company calls.
    pub outgoing: bool,
    /// When it began, ISO 8601.
    pub began: String,
    /// Whether a lead is made for a number that the CRM does not know.
    pub creates_lead: bool,
    /// The CRM's entry of the other side, where it is known already.
    pub entity: Option<(String, i64)>,
}

impl Registration {
    /// Registers it without showing it (Bitrix24: telephony.externalCall.register).
    pub fn call(&self) -> Call {
        let mut params = json!({
            "USER_ID": self.user,
            "PHONE_NUMBER": self.phone,
            "TYPE": if self.outgoing { 1 } else { 2 },
            "CALL_START_DATE": self.began,
            "CRM_CREATE": i32::from(self.creates_lead),
            "SHOW": 0,
            "EXTERNAL_CALL_ID": self.external_id,
        });
        if let Some((entity_type, id)) = &self.entity {
            params["CRM_ENTITY_TYPE"] = entity_type.as_str().into();
            params["CRM_ENTITY_ID"] = (*id).into();
        }
        Call::new("telephony.externalCall.register", params)
    }
}

/// A call as the portal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Bitrix24's id of the call.
    pub call_id: String,
    /// The CRM's entry that it belongs to.
    pub entity: Option<(String, i64)>,
}

/// Reads the result of [`Registration::call`].
pub fn read_registered(result: &Value) -> Option<Registered> {
    let entity = || {
        let id = loose::integer_at(result, &["CRM_ENTITY_ID"]).filter(|id| *id > 0)?;
        Some((loose::text_at(result, &["CRM_ENTITY_TYPE"])?, id))
    };
    let lead = || {
        let id = loose::integer_at(result, &["CRM_CREATED_LEAD"]).filter(|id| *id > 0)?;
        Some(("LEAD".to_owned(), id))
    };
    Some(Registered {
        call_id: loose::text_at(result, &["CALL_ID"]).filter(|id| !id.is_empty())?,
        entity: entity().or_else(lead),
    })
}

/// Shows the call's card to an employee (Bitrix24: telephony.externalCall.show).
pub fn show(call_id: &str, user: i64) -> Call {
    Call::new(
        "telephony.externalCall.show",
        json!({ "CALL_ID": call_id, "USER_ID": user }),
    )
}

/// Takes the card away (Bitrix24: telephony.externalCall.hide).
pub fn hide(call_id: &str, user: i64) -> Call {
    Call::new(
        "telephony.externalCall.hide",
        json!({ "CALL_ID": call_id, "USER_ID": user }),
    )
}

/// Ends the call and writes it into the CRM (Bitrix24: telephony.externalCall.finish). `status` is one of Bitrix24's
/// codes: `200` talked, `304` missed, `603` declined, `480` not reached, `OTHER`.
pub fn finish(call_id: &str, user: i64, seconds: i64, status: &str, reason: Option<&str>) -> Call {
    let mut params = json!({
        "CALL_ID": call_id,
        "USER_ID": user,
        "DURATION": seconds,
        "STATUS_CODE": status,
    });
    if let Some(reason) = reason {
        params["FAILED_REASON"] = reason.into();
    }
    Call::new("telephony.externalCall.finish", params)
}

/// The CRM's activity in the result of [`finish`].
pub fn read_activity(result: &Value) -> Option<i64> {
    loose::integer_at(result, &["CRM_ACTIVITY_ID"]).filter(|id| *id > 0)
}

/// Whether a portal does not know the call (any more): it is finished, or half an hour has passed.
pub fn is_unknown_call(error: &Error) -> bool {
    error.code().is_some_and(|code| {
        ["NOT_FOUND", "CALL_NOT_FOUND"]
            .iter()
            .any(|known| code.eq_ignore_ascii_case(known))
    }) || error
        .to_string()
        .to_ascii_lowercase()
        .contains("call is not found")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_registered_by_its_own_id() {
        let call = Registration {
            external_id: "wacid.1".to_owned(),
            user: 27,
            phone: "+4917".to_owned(),
            outgoing: false,
            began: "2026-11-25T10:00:00+00:00".to_owned(),
            creates_lead: false,
            entity: Some(("CONTACT".to_owned(), 9)),
        }
        .call();
        assert_eq!(call.method, "telephony.externalCall.register");
        assert_eq!(
            call.params,
            json!({ "USER_ID": 27, "PHONE_NUMBER": "+4917", "TYPE": 2, "CALL_START_DATE": "2026-11-25T10:00:00+00:00",
                "CRM_CREATE": 0, "SHOW": 0, "EXTERNAL_CALL_ID": "wacid.1", "CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": 9 })
        );
    }

    #[test]
    fn answers_are_read_in_their_kinds() {
        let found = json!([{ "CRM_ENTITY_TYPE": "CONTACT", "CRM_ENTITY_ID": "9", "ASSIGNED_BY_ID": "27" }, { "CRM_ENTITY_TYPE": "LEAD" }]);
        assert_eq!(
            read_matches(&found),
            [CrmMatch {
                entity_type: "CONTACT".to_owned(),
                entity_id: 9,
                responsible: Some(27)
            }]
        );
        let created = json!({ "CALL_ID": "externalCall.a.1", "CRM_CREATED_LEAD": 5, "CRM_ENTITY_TYPE": "", "CRM_ENTITY_ID": 0 });
        assert_eq!(
            read_registered(&created),
            Some(Registered {
                call_id: "externalCall.a.1".to_owned(),
                entity: Some(("LEAD".to_owned(), 5))
            })
        );
        assert_eq!(read_registered(&json!({ "CALL_ID": "" })), None);
        assert_eq!(read_activity(&json!({ "CRM_ACTIVITY_ID": "77" })), Some(77));
    }
}
