//! Calls: a customer calls, or the business does, and the webhooks of the field `calls`.

use super::{
    Customer, Graph, Shared,
    control::{Refused, Shares, wrong},
    outbox,
    world::World,
};
use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// People spoke so long.
    Answered(Duration),
    /// Nobody took it.
    Missed,
    /// The customer declined the business's call.
    Declined,
    /// It failed with this code.
    Failed(u32),
}

/// A call that goes on.
#[derive(Clone, Debug)]
pub(super) struct OpenCall {
    number: String,
    /// The customer, as the webhooks show them.
    wa_id: Option<String>,
    user_id: String,
    name: String,
    by_business: bool,
}

impl Graph {
    /// The customer calls the number; gives the call's id. The webhook follows.
    pub fn customer_calls(&self, phone_number_id: &str, customer: &Customer) -> String {
        begin(self.shared(), phone_number_id, customer, false)
    }

    /// The business calls the customer from its number; gives the call's id. The webhooks follow.
    pub fn business_calls(&self, phone_number_id: &str, customer: &Customer) -> String {
        begin(self.shared(), phone_number_id, customer, true)
    }

    /// A call ends; false where it does not go on. The webhook follows.
    pub fn end_call(&self, wacid: &str, end: CallEnd) -> bool {
        finish(self.shared(), wacid, end)
    }
}

fn begin(shared: &Arc<Shared>, number: &str, customer: &Customer, by_business: bool) -> String {
    let mut world = shared.world();
    let person = world.meet(customer);
    let person = &world.persons[person];
    let hidden = customer.phone.is_none() && customer.user_id.is_some();
    let call = OpenCall {
        number: number.to_owned(),
        wa_id: (!hidden).then(|| person.phone.clone()).flatten(),
        user_id: person.user_id.clone(),
        name: person.name.clone(),
        by_business,
    };
    let wacid = world
        .new_wamid("0", by_business)
        .replacen("wamid", "wacid", 1);
    let mut event = call.event(&wacid, world.clock.now());
    event["event"] = "connect".into();
    tell(shared, &mut world, &call, &json!({ "calls": [event] }));
    if by_business {
        status(shared, &mut world, &call, &wacid, "RINGING");
    } else if let Some(person) = world.find(&call.user_id) {
        // A call opens the 24 hours as a message does.
        let now = world.clock.now();
        world.thread_mut(&Arc::from(number), person).last_inbound = Some(now);
    }
    world.calls.insert(wacid.clone(), call);
    drop(world);
    shared.bump();
    wacid
}

fn finish(shared: &Arc<Shared>, wacid: &str, end: CallEnd) -> bool {
    let mut world = shared.world();
    let Some(call) = world.calls.remove(wacid) else {
        return false;
    };
    let now = world.clock.now();
    if end == CallEnd::Declined && call.by_business {
        status(shared, &mut world, &call, wacid, "REJECTED");
    }
    let mut event = call.event(wacid, now);
    event["event"] = "terminate".into();
    event["status"] = "COMPLETED".into();
    match end {
        CallEnd::Answered(length) => {
            let seconds = length.as_secs();
            let start = u64::try_from(now / 1000)
                .unwrap_or_default()
                .saturating_sub(seconds);
            event["start_time"] = start.to_string().into();
            event["end_time"] = (now / 1000).to_string().into();
            event["duration"] = seconds.into();
        }
        CallEnd::Missed | CallEnd::Declined => {}
        CallEnd::Failed(code) => {
            event["status"] = "FAILED".into();
            event["errors"] = json!([{ "code": code, "title": "Call failed", "message": "The media did not arrive" }]);
        }
    }
    tell(shared, &mut world, &call, &json!({ "calls": [event] }));
    drop(world);
    shared.bump();
    true
}

impl OpenCall {
    fn event(&self, wacid: &str, now: i64) -> Value {
        let (direction, side) = if self.by_business {
            ("BUSINESS_INITIATED", "to")
        } else {
            ("USER_INITIATED", "from")
        };
        let mut event = json!({
            "id": wacid, "timestamp": (now / 1000).to_string(), "direction": direction,
            format!("{side}_user_id"): self.user_id,
        });
        if let Some(phone) = &self.wa_id {
            event[side] = phone.as_str().into();
        }
        event
    }
}

fn status(shared: &Arc<Shared>, world: &mut World, call: &OpenCall, wacid: &str, name: &str) {
    let mut status = json!({
        "id": wacid, "type": "call", "status": name, "timestamp": (world.clock.now() / 1000).to_string(),
        "recipient_user_id": call.user_id,
    });
    if let Some(phone) = &call.wa_id {
        status["recipient_id"] = phone.as_str().into();
    }
    tell(shared, world, call, &json!({ "statuses": [status] }));
}

fn tell(shared: &Arc<Shared>, world: &mut World, call: &OpenCall, what: &Value) {
    let Some(number) = world.numbers.get(call.number.as_str()) else {
        return;
    };
    let account = Arc::clone(&number.account);
    let mut contact = json!({ "profile": { "name": call.name }, "user_id": call.user_id });
    if let Some(phone) = &call.wa_id {
        contact["wa_id"] = phone.as_str().into();
    }
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": &*number.digits, "phone_number_id": call.number },
        "contacts": [contact],
    });
    for key in ["calls", "statuses"] {
        if !what[key].is_null() {
            value[key] = what[key].clone();
        }
    }
    outbox::push_field(shared, world, &account, "calls", &value);
}

/// What the page does: `{number, customer, by_business}` begins, `{call, end, seconds}` ends.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sandbox/calls", post(place))
        .route("/sandbox/calls/end", post(end))
}

async fn place(State(shared): Shares, Json(body): Json<Value>) -> Result<Json<Value>, Refused> {
    let (number, customer) = super::control::named(&shared, &body)?;
    let wacid = begin(&shared, &number, &customer, body["by_business"] == true);
    Ok(Json(json!({ "call": wacid })))
}

async fn end(State(shared): Shares, Json(body): Json<Value>) -> Result<Json<Value>, Refused> {
    let number = |key: &str| body[key].as_u64().unwrap_or_default();
    let end = match body["end"].as_str() {
        Some("answered") => CallEnd::Answered(Duration::from_secs(number("seconds"))),
        Some("missed") => CallEnd::Missed,
        Some("declined") => CallEnd::Declined,
        Some("failed") => CallEnd::Failed(u32::try_from(number("code")).unwrap_or(138_020)),
        _ => return Err(wrong("`end` must be answered, missed, declined or failed.")),
    };
    if finish(&shared, body["call"].as_str().unwrap_or_default(), end) {
        Ok(Json(json!({})))
    } else {
        Err(wrong("This call does not go on."))
    }
}
