//! Calling settings of a number, as Meta keeps and judges them, and how they can be made to misbehave.
//!
//! What Meta answers to a malformed host is not published; 100 with details is an assumption. Source: Meta: Calling API,
//! settings; Calling API, SIP.

use super::{
    Graph, Shared,
    control::{Refused, Shares, wrong},
    error::GraphError,
    world::World,
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::post};
use serde_json::{Value, json};
use std::{collections::VecDeque, sync::Arc};

/// How a number's calling settings misbehave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallingFaults {
    /// The next saves are refused with these codes and details, one after the other.
    pub refuse: VecDeque<(u32, String)>,
    /// The next so many saves are answered with HTTP 500 and not done.
    pub broken_saves: u32,
    /// The next so many readings are refused with HTTP 500.
    pub broken_reads: u32,
    /// A change to SIP puts the key exchange back to DTLS.
    pub forgets_keys: bool,
    /// Passwords are not told.
    pub hides_passwords: bool,
    /// What is told in place of the saved host.
    pub other_host: Option<String>,
    /// Another app's server: its id, host and password.
    pub foreign: Option<(String, String, String)>,
}

/// Calling settings of a number.
#[derive(Clone, Debug)]
pub(super) struct Calling {
    settings: Value,
    server: Option<(String, Value)>,
    passwords: u32,
    pub(super) faults: CallingFaults,
}

impl Default for Calling {
    fn default() -> Self {
        Self {
            settings: json!({ "status": "DISABLED" }),
            server: None,
            passwords: 0,
            faults: CallingFaults::default(),
        }
    }
}

impl Graph {
    /// Changes settings of a number as somebody else would, and tells it by webhook.
    pub fn calling_changed_elsewhere(&self, phone_number_id: &str, change: &Value) {
        change_elsewhere(self.shared(), phone_number_id, change);
    }

    /// Makes a number's calling settings misbehave.
    pub fn calling_faults(&self, phone_number_id: &str, faults: CallingFaults) {
        let mut world = self.shared().world();
        if let Some(number) = world.numbers.get_mut(phone_number_id) {
            number.calling.faults = faults;
        }
    }
}

/// Changes settings of a number as somebody else would, in WhatsApp Manager, and tells it by webhook.
fn change_elsewhere(shared: &Arc<Shared>, id: &str, change: &Value) {
    let mut world = shared.world();
    let Some(number) = world.numbers.get_mut(id) else {
        return;
    };
    merge(&mut number.calling.settings, change);
    let account = number.account.clone();
    let value = json!({ "messaging_product": "whatsapp", "timestamp": "1795400500", "type": "phone_number_settings",
        "phone_number_settings": { "phone_number_id": id, "calling": change } });
    super::outbox::push_field(
        shared,
        &mut world,
        &account,
        "account_settings_update",
        &value,
    );
    drop(world);
    shared.bump();
}

fn merge(settings: &mut Value, change: &Value) {
    match change.as_object() {
        Some(change) if settings.is_object() => {
            for (key, value) in change {
                merge(&mut settings[key.as_str()], value);
            }
        }
        _ => *settings = change.clone(),
    }
}

/// Whether a call to `/{number}/settings` is answered with HTTP 500; each counts.
pub(super) fn is_broken(world: &mut World, id: &str, saves: bool) -> bool {
    let Some(number) = world.numbers.get_mut(id) else {
        return false;
    };
    let faults = &mut number.calling.faults;
    let left = if saves {
        &mut faults.broken_saves
    } else {
        &mut faults.broken_reads
    };
    let strikes = *left > 0;
    *left = left.saturating_sub(1);
    strikes
}

fn on(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|word| word.eq_ignore_ascii_case("enabled"))
}

/// `POST /{number}/settings` with a `calling` object, for the app of the token.
pub(super) fn save(
    world: &mut World,
    id: &str,
    app_id: &str,
    body: &Value,
) -> Result<Value, GraphError> {
    let features: Vec<&String> = body
        .as_object()
        .into_iter()
        .flat_map(|object| object.keys())
        .collect();
    if features
        .iter()
        .any(|feature| *feature != "calling" && *feature != "messaging_product")
    {
        return Err(GraphError::parameter(
            "Only one setting can be updated at a time.",
        ));
    }
    let change = &body["calling"];
    if !change.is_object() {
        return Err(GraphError::parameter(
            "Param calling must be a JSON object.",
        ));
    }
    let hears_calls = world.apps.values().any(|app| {
        app.callback.is_some()
            && app
                .fields
                .as_ref()
                .is_none_or(|fields| fields.contains("calls"))
    });
    let Some(number) = world.numbers.get_mut(id) else {
        return Err(GraphError::invisible(id));
    };
    let calling = &mut number.calling;
    if let Some((code, details)) = calling.faults.refuse.pop_front() {
        return Err(GraphError::new(code, details));
    }
    for (key, words) in [
        ("status", ["ENABLED", "DISABLED"]),
        ("callback_permission_status", ["ENABLED", "DISABLED"]),
        ("call_icon_visibility", ["DEFAULT", "DISABLE_ALL"]),
        ("srtp_key_exchange_protocol", ["DTLS", "SDES"]),
    ] {
        let known = |value: &Value| {
            value
                .as_str()
                .is_some_and(|word| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
        };
        if !change[key].is_null() && !known(&change[key]) {
            return Err(GraphError::parameter(format!(
                "Param calling.{key} must be one of {{{}}}.",
                words.join(", ")
            )));
        }
    }
    let sip = &change["sip"];
    let server = match &sip["servers"] {
        Value::Null => calling.server.clone(),
        Value::Array(servers) => match servers.as_slice() {
            [] => None,
            [server] => Some(entered(calling, app_id, server)?),
            _ => {
                return Err(GraphError::parameter(
                    "Only one SIP server can be configured.",
                ));
            }
        },
        _ => {
            return Err(GraphError::parameter(
                "Param calling.sip.servers must be an array.",
            ));
        }
    };
    let sip_on = if sip["status"].is_null() {
        on(&calling.settings["sip"]["status"])
    } else {
        on(&sip["status"])
    };
    if sip_on && server.is_none() && calling.faults.foreign.is_none() {
        return Err(GraphError::parameter(
            "At least one SIP server is required while SIP is enabled.",
        ));
    }
    let status_on = if change["status"].is_null() {
        on(&calling.settings["status"])
    } else {
        on(&change["status"])
    };
    if status_on && !sip_on && !hears_calls {
        return Err(GraphError::new(
            138_018,
            "Technical prerequisites for calling are not met.",
        ));
    }
    for key in [
        "status",
        "callback_permission_status",
        "call_icon_visibility",
        "call_hours",
        "srtp_key_exchange_protocol",
    ] {
        if !change[key].is_null() {
            calling.settings[key] = change[key].clone();
        }
    }
    for key in ["status", "webhook_delivery"] {
        if !sip[key].is_null() {
            calling.settings["sip"][key] = sip[key].clone();
        }
    }
    if calling.faults.forgets_keys && sip.is_object() {
        calling.settings["srtp_key_exchange_protocol"] = "DTLS".into();
    }
    calling.server = server;
    Ok(json!({ "success": true }))
}

/// A server as it is kept. Its password is made once for the number and the app, and anew after it was deleted.
fn entered(
    calling: &mut Calling,
    app_id: &str,
    server: &Value,
) -> Result<(String, Value), GraphError> {
    let hostname = server["hostname"].as_str().unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    if hostname.is_empty() || hostname.len() > 253 || !hostname.bytes().all(plain) {
        return Err(GraphError::parameter(
            "Param calling.sip.servers[0].hostname is not a valid host name.",
        ));
    }
    let port = match &server["port"] {
        Value::Null => 5061,
        Value::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    };
    if !(1..=65535).contains(&port) {
        return Err(GraphError::parameter(
            "Param calling.sip.servers[0].port must be between 1 and 65535.",
        ));
    }
    let password = match &calling.server {
        Some((owner, kept)) if owner == app_id => kept["sip_user_password"].clone(),
        _ => {
            calling.passwords += 1;
            json!(format!("PLANTED-sip-password-{}", calling.passwords))
        }
    };
    let mut kept = json!({ "hostname": hostname, "port": port, "app_id": app_id, "sip_user_password": password });
    if server["request_uri_user_params"].is_object() {
        kept["request_uri_user_params"] = server["request_uri_user_params"].clone();
    }
    Ok((app_id.to_owned(), kept))
}

/// `GET /{number}/settings`.
pub(super) fn show(world: &World, id: &str, with_credentials: bool) -> Result<Value, GraphError> {
    let Some(number) = world.numbers.get(id) else {
        return Err(GraphError::invisible(id));
    };
    let Calling {
        settings,
        server,
        faults,
        ..
    } = &number.calling;
    let mut shown = settings.clone();
    let mut servers: Vec<Value> = Vec::new();
    if let Some((app_id, host, password)) = &faults.foreign {
        servers.push(json!({ "hostname": host, "port": 5061, "app_id": app_id, "sip_user_password": password }));
    }
    if let Some((_, server)) = server {
        let mut server = server.clone();
        if let Some(host) = &faults.other_host {
            server["hostname"] = host.as_str().into();
        }
        servers.push(server);
    }
    for server in &mut servers {
        if (!with_credentials || faults.hides_passwords)
            && let Some(server) = server.as_object_mut()
        {
            server.remove("sip_user_password");
        }
    }
    if !servers.is_empty() || shown["sip"].is_object() {
        shown["sip"]["servers"] = servers.into();
    }
    if shown["sip"].is_null()
        && let Some(shown) = shown.as_object_mut()
    {
        shown.remove("sip");
    }
    Ok(json!({ "calling": shown, "storage_configuration": { "status": "DEFAULT" } }))
}

/// Switches over HTTP, for the page and for whoever has `curl`: `{number, refuse: [[code, details]], …}`; `elsewhere`
/// has calling settings that somebody else changes.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/sandbox/calling", post(set))
}

async fn set(State(shared): Shares, Json(body): Json<Value>) -> Result<StatusCode, Refused> {
    let mut world = shared.world();
    let number = body["number"]
        .as_str()
        .and_then(|id| world.numbers.get_mut(id));
    let number = number.ok_or_else(|| wrong("`number` is no phone number id."))?;
    let refuse = body["refuse"].as_array().into_iter().flatten();
    let count = |name: &str| u32::try_from(body[name].as_u64().unwrap_or(0)).unwrap_or(u32::MAX);
    number.calling.faults = CallingFaults {
        refuse: refuse
            .map(|entry| {
                let code = u32::try_from(entry[0].as_u64().unwrap_or(100)).unwrap_or(100);
                (code, entry[1].as_str().unwrap_or_default().to_owned())
            })
            .collect(),
        broken_saves: count("broken_saves"),
        broken_reads: count("broken_reads"),
        forgets_keys: body["forgets_keys"] == true,
        hides_passwords: body["hides_passwords"] == true,
        other_host: body["other_host"].as_str().map(ToOwned::to_owned),
        foreign: None,
    };
    drop(world);
    if body["elsewhere"].is_object() {
        let id = body["number"].as_str().unwrap_or_default();
        change_elsewhere(&shared, id, &body["elsewhere"]);
    }
    Ok(StatusCode::NO_CONTENT)
}
