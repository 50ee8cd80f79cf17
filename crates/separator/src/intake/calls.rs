//! What callbacks tell of calls.

use uuid::Uuid;
use whatsapp::webhook::{
    CallEvent, CallStep, CallsValue, Message, MessageBody, message::InteractiveReply,
};

use super::work::{Named, Work};
use crate::{
    registry::Phone,
    store::{
        calls::{CallNews, Permission},
        events::State as KeptState,
        receipts::Receipt,
    },
    time::Millis,
};

/// A number of the app that the callback came for; keeps the receipt where there is none.
fn number<'a>(
    work: &mut Work<'a>,
    receipt: &Receipt,
    waba_id: &str,
    phone_number_id: Option<&str>,
) -> Option<&'a Phone> {
    let Some(phone_number_id) = phone_number_id else {
        let why = "the value names no phone number id".to_owned();
        work.keep(KeptState::NotUnderstood, why);
        return None;
    };
    let registry = work.registry;
    let Some(phone) = registry.phone_by_number_id(phone_number_id) else {
        work.keep_for(phone_number_id, waba_id);
        return None;
    };
    let owner = registry.app_of(phone).map(|(_, app)| app.id);
    if owner != Some(receipt.owner) {
        let why = format!("the number {phone_number_id} belongs to another application");
        work.keep(KeptState::NotUnderstood, why);
        return None;
    }
    Some(phone)
}

/// Works through the value of the field `calls`.
pub(super) fn apply(work: &mut Work<'_>, receipt: &Receipt, waba_id: &str, value: &CallsValue) {
    let Some(phone) = number(work, receipt, waba_id, value.phone_number_id.as_deref()) else {
        return;
    };
    for call in &value.calls {
        match call {
            Ok(call) => hear(work, receipt, phone, value, call),
            Err(bad) => work.keep(KeptState::NotUnderstood, bad.why.clone()),
        }
    }
    if value.calls.is_empty() {
        let why: Vec<_> = value
            .errors
            .iter()
            .map(whatsapp::ApiError::headline)
            .collect();
        work.keep(KeptState::Recorded, format!("calls: {}", why.join("; ")));
    }
}

fn hear(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    value: &CallsValue,
    call: &CallEvent,
) {
    let step = match &call.step {
        CallStep::Began => "began",
        CallStep::Ended => "ended",
        CallStep::Ringing => "rings",
        CallStep::Accepted => "accepted",
        CallStep::Rejected => "declined",
        CallStep::Other(name) => {
            work.keep(KeptState::Recorded, format!("call event {name}"));
            return;
        }
    };
    work.count("call");
    let contact = value.contact_for(call);
    let named = Named {
        wa_id: call
            .wa_id
            .as_deref()
            .or(contact.and_then(|contact| contact.wa_id.as_deref())),
        user_id: call
            .user_id
            .as_deref()
            .or(contact.and_then(|contact| contact.user_id.as_deref())),
        name: contact.and_then(|contact| contact.name.as_deref()),
        username: contact.and_then(|contact| contact.username.as_deref()),
    };
    if named.wa_id.is_none() && named.user_id.is_none() {
        let why = format!("the call {} names nobody", call.id);
        work.keep(KeptState::NotUnderstood, why);
        return;
    }
    let person = work.person(phone.account_id, named);
    let conversation = work.conversation(phone, person);
    let told_at = call
        .timestamp
        .map_or(receipt.received_at, Millis::from_seconds);
    let start = call
        .start_time
        .filter(|at| *at > 0)
        .map(Millis::from_seconds);
    let end = call.end_time.filter(|at| *at > 0).map(Millis::from_seconds);
    let over = matches!(call.step, CallStep::Ended | CallStep::Rejected);
    let began_at = if call.step == CallStep::Ended {
        start.or(end).unwrap_or(told_at).min(told_at)
    } else {
        told_at
    };
    let spoken = start
        .zip(end)
        .map(|(start, end)| end.since(start).as_secs());
    let failed = call.status.as_deref() == Some("FAILED") || !call.errors.is_empty();
    let why = call.errors.first().map_or_else(
        || "WhatsApp could not put the call through".to_owned(),
        |error| error.headline().to_owned(),
    );
    if !call.by_business {
        // A call opens the 24 hours as a message does, even unanswered (Meta: customer service windows).
        work.open_window(&conversation, began_at.min(receipt.received_at));
    }
    work.calls.push(CallNews {
        phone: phone.id,
        conversation: conversation.id,
        wacid: call.id.clone(),
        outgoing: call.by_business,
        began_at,
        answered_at: match call.step {
            CallStep::Accepted => Some(told_at),
            _ => start,
        },
        ended_at: over.then(|| end.unwrap_or(told_at)),
        duration: call
            .duration
            .or_else(|| spoken.and_then(|seconds| i64::try_from(seconds).ok())),
        declined: call.step == CallStep::Rejected,
        error: (over && failed).then_some(why),
        step,
    });
}

/// Keeps what a customer answered to being asked whether they may be called.
pub(super) fn permission(
    work: &mut Work<'_>,
    receipt: &Receipt,
    conversation: Uuid,
    message: &Message,
) {
    let MessageBody::Interactive(InteractiveReply::CallPermission {
        response,
        is_permanent,
        expires,
    }) = &message.body
    else {
        return;
    };
    let (state, until) = match (response.as_str(), is_permanent) {
        ("accept", true) => ("permanent", None),
        ("accept", false) => ("granted", expires.map(Millis::from_seconds)),
        _ => ("refused", None),
    };
    work.permissions.push(Permission {
        conversation,
        state,
        until,
        told_at: message
            .timestamp
            .map_or(receipt.received_at, Millis::from_seconds),
    });
}
