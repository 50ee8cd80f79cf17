//! Calls of telephone systems outside the portal (Bitrix24: telephony.externalCall).
//!
//! The employee who is responsible for everything the CRM knows is number 27.

use serde::Serialize;

use super::{
    php::{Value, map},
    rest::{Context, Failure, Outcome},
    state::State,
    view::Lead,
};

/// Who is responsible for all leads here.
const RESPONSIBLE: i64 = 27;

/// A call as the portal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhoneCall {
    /// The portal's id.
    pub call_id: String,
    /// The telephone system's id.
    pub external_id: String,
    /// The employee.
    pub user: i64,
    /// The other side.
    pub phone: String,
    /// `1` from the company, `2` to it.
    pub kind: i64,
    /// When it began, as it was told.
    pub began: String,
    /// The CRM's entry: its type and id.
    pub entity: Option<(String, i64)>,
    /// To whom its card was shown, in order; nobody sees it any more once it is finished.
    pub shown_to: Vec<i64>,
    /// How it ended.
    pub end: Option<PhoneCallEnd>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PhoneCallEnd {
    /// Seconds.
    pub duration: i64,
    /// Bitrix24's code.
    pub status: String,
    /// Why it failed.
    pub reason: String,
    /// The CRM's activity.
    pub activity: i64,
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn lead_of(state: &State, phone: &str) -> Option<i64> {
    let wanted = digits(phone);
    let known = state.open_leads_by_phone.get(&wanted)?;
    known.first().copied()
}

/// `telephony.externalCall.searchCrmEntities`.
pub(crate) fn search(context: &Context<'_>, state: &mut State) -> Outcome {
    let phone = context.required_text("PHONE_NUMBER")?;
    let entry = |lead: i64| {
        map([
            ("CRM_ENTITY_TYPE", "LEAD".into()),
            ("CRM_ENTITY_ID", lead.into()),
            ("ASSIGNED_BY_ID", RESPONSIBLE.into()),
        ])
    };
    // A list, as PHP writes it: `[]` where nothing is found.
    let found: Vec<Value> = lead_of(state, &phone).map(entry).into_iter().collect();
    Ok(found.into())
}

/// `telephony.externalCall.register`. A call that is not finished is found again by its external id.
pub(crate) fn register(context: &Context<'_>, state: &mut State) -> Outcome {
    let phone = context.required_text("PHONE_NUMBER")?;
    let user = context.params.integer_of("USER_ID").unwrap_or_default();
    if !state.users.contains_key(&user) {
        return Err(Failure::new(400, "ERROR_CORE", "USER_ID is not found"));
    }
    let kind = context.params.integer_of("TYPE").unwrap_or_default();
    if !(1..=5).contains(&kind) {
        return Err(Failure::new(400, "ERROR_CORE", "TYPE is not correct"));
    }
    let external_id = context.params.text_of("EXTERNAL_CALL_ID");
    let open = state.phone_calls.values().find(|call| {
        !external_id.is_empty() && call.external_id == external_id && call.end.is_none()
    });
    if let Some(call) = open {
        return Ok(registered(call, None));
    }
    let named = context
        .params
        .integer_of("CRM_ENTITY_ID")
        .map(|id| (context.params.text_of("CRM_ENTITY_TYPE"), id));
    let known = || lead_of(state, &phone).map(|lead| ("LEAD".to_owned(), lead));
    let mut entity = named.or_else(known);
    let mut created = None;
    if entity.is_none() && context.params.integer_of("CRM_CREATE") == Some(1) {
        let id = state.next.lead.take();
        let lead = Lead {
            id,
            title: format!("Call {phone}"),
            phone: Some(phone.clone()),
            chat_id: 0,
            open: true,
        };
        state.leads.insert(id, lead);
        let leads = state.open_leads_by_phone.entry(digits(&phone)).or_default();
        leads.push(id);
        entity = Some(("LEAD".to_owned(), id));
        created = Some(id);
    }
    let number = state.phone_calls.len() + 1;
    let call = PhoneCall {
        call_id: format!("externalCall.{number:032x}.1795400700"),
        external_id,
        user,
        phone,
        kind,
        began: context.params.text_of("CALL_START_DATE"),
        entity,
        shown_to: if context.params.switch_of("SHOW", true) {
            vec![user]
        } else {
            Vec::new()
        },
        end: None,
    };
    let answer = registered(&call, created);
    state.phone_calls.insert(call.call_id.clone(), call);
    Ok(answer)
}

fn registered(call: &PhoneCall, created: Option<i64>) -> Value {
    let (kind, id) = call.entity.clone().unwrap_or_default();
    let mut answer = map([
        ("CALL_ID", call.call_id.as_str().into()),
        ("CRM_ENTITY_TYPE", kind.into()),
        ("CRM_ENTITY_ID", id.into()),
    ]);
    if let Some(lead) = created {
        answer.set("CRM_CREATED_LEAD", lead.into());
    }
    answer
}

fn call<'a>(context: &Context<'_>, state: &'a mut State) -> Result<&'a mut PhoneCall, Failure> {
    let id = context.required_text("CALL_ID")?;
    let found = state.phone_calls.get_mut(&id);
    found
        .filter(|call| call.end.is_none())
        .ok_or_else(|| Failure::new(400, "NOT_FOUND", "Call is not found"))
}

/// `telephony.externalCall.show`.
pub(crate) fn show(context: &Context<'_>, state: &mut State) -> Outcome {
    let user = context.params.integer_of("USER_ID").unwrap_or_default();
    call(context, state)?.shown_to.push(user);
    Ok(true.into())
}

/// `telephony.externalCall.hide`.
pub(crate) fn hide(context: &Context<'_>, state: &mut State) -> Outcome {
    let user = context.params.integer_of("USER_ID").unwrap_or_default();
    call(context, state)?.shown_to.retain(|one| *one != user);
    Ok(true.into())
}

/// `telephony.externalCall.finish`.
pub(crate) fn finish(context: &Context<'_>, state: &mut State) -> Outcome {
    let activity = 9000 + i64::try_from(state.phone_calls.len()).unwrap_or_default();
    let duration = context
        .params
        .integer_of("DURATION")
        .filter(|seconds| *seconds >= 0)
        .ok_or_else(|| Failure::new(400, "ERROR_CORE", "DURATION is not a number"))?;
    let end = PhoneCallEnd {
        duration,
        status: context.params.text_of("STATUS_CODE"),
        reason: context.params.text_of("FAILED_REASON"),
        activity,
    };
    let call = call(context, state)?;
    let answer = map([
        ("CALL_ID", call.call_id.as_str().into()),
        ("CALL_DURATION", duration.into()),
        ("CALL_FAILED_CODE", end.status.as_str().into()),
        ("CRM_ACTIVITY_ID", activity.into()),
    ]);
    call.end = Some(end);
    Ok(answer)
}
