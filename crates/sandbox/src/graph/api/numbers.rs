//! Business numbers: what they are, registration, settings and profile.

use super::{Access, Call, Outcome, accounts, argument, select, unknown_path};
use crate::graph::{
    Shared, ailments, calling,
    error::GraphError,
    world::{Number, World},
};
use serde_json::{Value, json};

/// Fields shown when none are asked for.
const USUAL: &[&str] = &[
    "verified_name",
    "code_verification_status",
    "display_phone_number",
    "quality_rating",
    "platform_type",
    "throughput",
    "last_onboarded_time",
    "webhook_configuration",
];

/// Calls about a number, but not sending and uploading.
pub(super) async fn answer(
    shared: &Shared,
    access: &Access,
    call: &Call,
    segments: &[&str],
) -> Outcome {
    let id = segments[0];
    access.number(&mut shared.world(), id)?;
    let configuration = &call.body["webhook_configuration"];
    if call.method == "POST" && segments.len() == 1 && configuration.is_object() {
        return configure(shared, access, id, configuration).await;
    }
    let mut world = shared.world();
    if call.method == "GET"
        && segments.len() == 1
        && let Some(number) = world.numbers.get(id)
    {
        return Ok(show(&world, number, call));
    }
    if segments.get(1) == Some(&"settings") {
        return settings(&mut world, access, call, id);
    }
    let number = access.number(&mut world, id)?;
    match (call.method.as_str(), &segments[1..]) {
        ("POST", []) => change(number, call),
        ("POST", ["register"]) => register(number, call, shared.settings.clock.now()),
        ("POST", ["deregister"]) => {
            number.registered = false;
            Ok(success())
        }
        ("POST", ["request_code" | "verify_code"]) => Ok(success()),
        ("GET", ["whatsapp_business_profile"]) => Ok(json!({"data": [number.profile]})),
        ("POST", ["whatsapp_business_profile"]) => {
            require_product(call)?;
            merge(&mut number.profile, &call.body);
            Ok(success())
        }
        _ => Err(unknown_path(call)),
    }
}

/// Calling settings; only these are kept.
fn settings(world: &mut World, access: &Access, call: &Call, id: &str) -> Outcome {
    let saves = call.method == "POST";
    if calling::is_broken(world, id, saves) {
        return Err(GraphError::usual(131_000));
    }
    if saves {
        return calling::save(world, id, &access.app_id, &call.body);
    }
    let wanted = call.query.get("include_sip_credentials");
    calling::show(world, id, wanted.is_some_and(|value| value == "true"))
}

/// A number as Graph shows it.
pub(super) fn show(world: &World, number: &Number, call: &Call) -> Value {
    let application = world
        .accounts
        .get(&number.account)
        .and_then(|account| account.subscribed.keys().next())
        .and_then(|app| world.apps.get(app))
        .and_then(|app| app.callback.as_ref());
    let mut configuration = json!({});
    if let Some(application) = application {
        configuration["application"] = application.as_str().into();
    }
    if let Some(callback) = &number.callback {
        configuration["phone_number"] = callback.callback.as_str().into();
    }
    let full = json!({
        "id": &*number.id,
        "display_phone_number": displayed(&number.digits),
        "verified_name": number.name,
        "status": if number.registered { "CONNECTED" } else { "PENDING" },
        "quality_rating": "GREEN",
        "quality_score": {"score": "GREEN"},
        "whatsapp_business_manager_messaging_limit": "TIER_2K",
        "throughput": {"level": "STANDARD"},
        "name_status": "APPROVED",
        "new_name_status": "NONE",
        "code_verification_status": "VERIFIED",
        "account_mode": "LIVE",
        "platform_type": if number.registered || number.on_phone_app { "CLOUD_API" } else { "NOT_APPLICABLE" },
        "is_official_business_account": false,
        "is_pin_enabled": number.pin.is_some(),
        "is_on_biz_app": number.on_phone_app,
        "is_preverified_number": false,
        "webhook_configuration": configuration,
        "last_onboarded_time": "2026-01-15T09:00:00+0000",
        "country_dial_code": "49",
        "health_status": {"can_send_message": "AVAILABLE", "entities": []},
    });
    let full = ailments::told(&world.said, &number.id, full);
    select(&full, call.query.get("fields").map(String::as_str), USUAL)
}

/// Digits in groups with a plus in front, as Graph writes them.
fn displayed(digits: &str) -> String {
    let mut text = String::from("+");
    for (position, digit) in digits.chars().enumerate() {
        if matches!(position, 2 | 6) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

async fn configure(shared: &Shared, access: &Access, id: &str, configuration: &Value) -> Outcome {
    let address = configuration["override_callback_uri"]
        .as_str()
        .unwrap_or_default();
    let callback = if address.is_empty() {
        None
    } else {
        let verify_token = configuration["verify_token"].as_str().unwrap_or_default();
        Some(accounts::verified(shared, address, verify_token).await?)
    };
    access.number(&mut shared.world(), id)?.callback = callback;
    shared.bump();
    shared.outbox.kick();
    Ok(success())
}

fn change(number: &mut Number, call: &Call) -> Outcome {
    if let Some(pin) = argument(call, "pin") {
        number.pin = Some(checked_pin(&pin)?);
        return Ok(success());
    }
    if let Some(name) = argument(call, "new_display_name") {
        number.name = name;
        return Ok(success());
    }
    Err(GraphError::parameter("Nothing to change was given."))
}

/// So many tries to register a number in so many milliseconds. Source: Meta: registration, error 133016.
const TRIES: usize = 10;
const TRIES_WITHIN: i64 = 72 * 60 * 60 * 1000;

/// The first PIN sets two-step verification; later ones have to match. Source: Meta: registration.
fn register(number: &mut Number, call: &Call, now: i64) -> Outcome {
    require_product(call)?;
    let pin = argument(call, "pin").ok_or_else(|| GraphError::missing("pin"))?;
    let pin = checked_pin(&pin)?;
    number.tries.retain(|at| now - at < TRIES_WITHIN);
    if number.tries.len() >= TRIES {
        return Err(GraphError::usual(133_016));
    }
    number.tries.push(now);
    if number.pin.as_ref().is_some_and(|known| *known != pin) {
        return Err(GraphError::usual(133_005));
    }
    number.pin = Some(pin);
    number.registered = true;
    Ok(success())
}

fn checked_pin(pin: &str) -> Result<String, GraphError> {
    if pin.len() == 6 && pin.chars().all(|digit| digit.is_ascii_digit()) {
        return Ok(pin.to_owned());
    }
    Err(GraphError::parameter(
        "Param pin must be 6 characters long.",
    ))
}

fn require_product(call: &Call) -> Result<(), GraphError> {
    match argument(call, "messaging_product").as_deref() {
        Some("whatsapp") => Ok(()),
        _ => Err(GraphError::parameter(
            "The parameter messaging_product is required.",
        )),
    }
}

/// Objects are merged key by key, everything else is replaced.
fn merge(old: &mut Value, new: &Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                merge(old.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => old.clone_from(new),
    }
}

fn success() -> Value {
    json!({"success": true})
}
