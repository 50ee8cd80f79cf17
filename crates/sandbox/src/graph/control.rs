//! What the page, and whoever has `curl`, can see and do: the state, writing as the customer, the fault switches.
//!
//! Calls that change something take JSON (a file: `application/octet-stream`), which a foreign web page cannot send
//! without being asked for permission by the browser.

use super::{
    Customer, Progress, Shared, Times,
    faults::{Fault, Scope},
    inbound, statuses,
    world::{Direction, World},
};
use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{collections::HashMap, sync::Arc, time::Duration};

/// How long a look at the state waits for a change.
const LOOK: Duration = Duration::from_secs(25);
/// Customers and messages shown at once.
const SHOWN: usize = 200;
/// The largest file a customer can send.
const FILE_LIMIT: usize = 101 * 1024 * 1024;
/// Nothing but what this server itself gives may run or load.
const POLICY: &str =
    "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'; base-uri 'none'";

pub(super) type Shares = State<Arc<Shared>>;
type Fields = Query<HashMap<String, String>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/",
            get(|| async { asset("text/html; charset=utf-8", include_str!("page.html")) }),
        )
        .route(
            "/page.js",
            get(|| async { asset("text/javascript; charset=utf-8", include_str!("page.js")) }),
        )
        .route(
            "/page.css",
            get(|| async { asset("text/css; charset=utf-8", include_str!("page.css")) }),
        )
        .route("/favicon.ico", get(|| async { StatusCode::NO_CONTENT }))
        .route("/sandbox/state", get(state))
        .route("/sandbox/requests", get(requests))
        .route("/sandbox/links", get(links))
        .route("/sandbox/customers", post(add_customer))
        .route("/sandbox/messages", post(write))
        .route("/sandbox/number-change", post(change_number))
        .route("/sandbox/marketing", post(choose_marketing))
        .route("/sandbox/files", post(add_file))
        .route("/sandbox/files/{id}", get(file))
        .route("/sandbox/read", post(read))
        .route("/sandbox/faults", post(set_fault).delete(clear_faults))
        .route("/sandbox/retry", post(retry))
        .merge(super::console::page::routes())
        .merge(super::calling::routes())
        .merge(super::calls::routes())
}

/// Why a call to the control was refused.
pub(super) struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

pub(super) fn wrong(reason: impl Into<String>) -> Refused {
    Refused(StatusCode::UNPROCESSABLE_ENTITY, reason.into())
}

pub(super) fn asset(content_type: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, content_type),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    )
        .into_response()
}

/// The state for one number and customer; with `since` it waits until something is different from that version.
async fn state(State(shared): Shares, Query(fields): Fields) -> Json<Value> {
    let mut changed = shared.changed.subscribe();
    let since = fields.get("since").and_then(|since| since.parse().ok());
    let different = changed.wait_for(|version| Some(*version) != since);
    tokio::select! {
        _ = tokio::time::timeout(LOOK, different) => {}
        () = shared.cancel.cancelled() => {}
    }
    let version = *shared.changed.borrow();
    let faults = shared.faults.describe();
    let world = shared.world();
    let mut answer = show(
        &world,
        fields.get("number").map(String::as_str),
        fields.get("customer").map(String::as_str),
    );
    answer["version"] = version.into();
    answer["faults"] = faults;
    Json(answer)
}

fn show(world: &World, number: Option<&str>, customer: Option<&str>) -> Value {
    let number = number
        .filter(|number| world.numbers.contains_key(*number))
        .or_else(|| world.numbers.keys().next().map(AsRef::as_ref))
        .unwrap_or_default();
    let numbers: Vec<Value> = world
        .numbers
        .values()
        .map(|number| {
            json!({
                "id": &*number.id,
                "digits": &*number.digits,
                "name": number.name,
                "registered": number.registered,
            })
        })
        .collect();
    let callback = world
        .apps
        .get(&world.first_app)
        .and_then(|app| app.callback.as_ref())
        .map(|callback| {
            format!(
                "{}{}",
                callback.origin().ascii_serialization(),
                callback.path()
            )
        });
    let log: Vec<Value> = world
        .log
        .iter()
        .rev()
        .take(50)
        .map(|entry| {
            json!({
                "at": entry.at,
                "about": entry.about,
                "status": entry.status,
                "attempt": entry.attempt,
            })
        })
        .collect();
    let person = customer.and_then(|customer| world.find(customer));
    json!({
        "number": number,
        "numbers": numbers,
        "customers": customers(world, number),
        "customer": person.map(|person| world.person_json(person)),
        "thread": person.map(|person| thread(world, number, person)),
        "counters": world.counters,
        "waiting": world.counters.updates_waiting(),
        "log": log,
        "callback": callback,
        "links": links_json(world),
    })
}

/// The customers, those with the latest messages first.
fn customers(world: &World, number: &str) -> Vec<Value> {
    let threads = world.threads.get(number);
    let last = |person: usize| {
        threads
            .and_then(|threads| threads.get(&person))
            .and_then(|thread| thread.messages.last())
            .map(|&index| &world.messages[index])
    };
    let mut persons: Vec<usize> = (0..world.persons.len()).collect();
    persons.sort_by_key(|&person| std::cmp::Reverse(last(person).map(|message| message.at)));
    persons
        .into_iter()
        .take(SHOWN)
        .map(|person| {
            let mut shown = world.person_json(person);
            if let Some(message) = last(person) {
                shown["last"] = json!({
                    "at": message.at,
                    "type": message.kind(),
                    "text": preview(&message.body),
                    "direction": direction(message.direction),
                });
            }
            shown
        })
        .collect()
}

/// The words of a message for the list of customers, where it has any.
fn preview(body: &Value) -> Option<&str> {
    let kind = body["type"].as_str().unwrap_or("text");
    let part = &body[kind];
    [
        &part["body"],
        &part["caption"],
        &part["text"],
        &part["body"]["text"],
        &part["button_reply"]["title"],
        &part["list_reply"]["title"],
        &part["emoji"],
        &part["filename"],
        &part["name"],
    ]
    .into_iter()
    .find_map(Value::as_str)
}

fn thread(world: &World, number: &str, person: usize) -> Value {
    let thread = world
        .threads
        .get(number)
        .and_then(|threads| threads.get(&person));
    let indexes = thread
        .map(|thread| thread.messages.as_slice())
        .unwrap_or_default();
    let messages: Vec<Value> = indexes[indexes.len().saturating_sub(SHOWN)..]
        .iter()
        .map(|&index| message(world, index))
        .collect();
    json!({
        "messages": messages,
        "earlier": indexes.len().saturating_sub(SHOWN),
        "window_open": world.window_is_open(number, person),
        "marketing_stopped": thread.is_some_and(|thread| thread.marketing_stopped),
        "typing": thread.is_some_and(|thread| thread.typing_until > world.clock.now()),
    })
}

fn message(world: &World, index: usize) -> Value {
    let message = &world.messages[index];
    let file = message.media.as_ref().and_then(|id| {
        let file = world.files.get(id)?;
        Some(json!({
            "id": &**id,
            "type": file.mime_type,
            "name": file.filename,
            "size": file.bytes.len(),
        }))
    });
    json!({
        "wamid": &*message.wamid,
        "at": message.at,
        "direction": direction(message.direction),
        "progress": message.progress.as_str(),
        "error": message.error.as_ref().map(|(code, details)| json!({"code": code, "details": details})),
        "file": file,
        "body": message.body,
    })
}

fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::FromCustomer => "from_customer",
        Direction::ToCustomer => "to_customer",
    }
}

fn links_json(world: &World) -> Value {
    world
        .links
        .iter()
        .map(|(label, url)| json!({"label": label, "url": url}))
        .collect()
}

async fn links(State(shared): Shares) -> Json<Value> {
    Json(links_json(&shared.world()))
}

/// The calls made last, newest first.
async fn requests(State(shared): Shares, Query(fields): Fields) -> Json<Value> {
    let limit = fields
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(50);
    let world = shared.world();
    let shown: Vec<Value> = world
        .requests
        .iter()
        .rev()
        .take(limit)
        .map(|request| {
            json!({
                "at": request.at,
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "body": serde_json::from_slice::<Value>(&request.body).unwrap_or_default(),
            })
        })
        .collect();
    Json(shown.into())
}

async fn add_customer(
    State(shared): Shares,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let text = |name: &str| {
        body[name]
            .as_str()
            .map(|value| value.trim().trim_start_matches('@').to_owned())
            .filter(|value| !value.is_empty())
    };
    let phone: Option<String> =
        text("phone").map(|phone| phone.chars().filter(char::is_ascii_digit).collect());
    if phone
        .as_ref()
        .is_some_and(|phone| !(7..=15).contains(&phone.len()))
    {
        return Err(wrong("A phone has 7 to 15 digits."));
    }
    if phone.is_none() && text("user_id").is_none() && text("username").is_none() {
        return Err(wrong("A customer needs a phone or a username."));
    }
    let customer = Customer {
        name: text("name")
            .or_else(|| text("username"))
            .or_else(|| phone.as_ref().map(|phone| format!("+{phone}")))
            .unwrap_or_default(),
        phone,
        user_id: text("user_id"),
        username: text("username"),
    };
    let mut world = shared.world();
    let now = world.clock.now();
    let person = world.meet(&customer);
    world.persons[person].introduced_at = Some(now);
    let answer = world.person_json(person);
    drop(world);
    shared.bump();
    Ok(Json(answer))
}

/// The number and the customer that a call names.
pub(super) fn named(shared: &Shared, body: &Value) -> Result<(String, Customer), Refused> {
    let world = shared.world();
    let number = body["number"]
        .as_str()
        .filter(|number| world.numbers.contains_key(*number))
        .ok_or_else(|| wrong("`number` must be a phone number id."))?;
    let person = body["customer"]
        .as_str()
        .and_then(|customer| world.find(customer))
        .ok_or_else(|| wrong("`customer` must be a known user id or phone."))?;
    let person = &world.persons[person];
    let customer = Customer {
        phone: person.phone.clone(),
        user_id: Some(person.user_id.clone()),
        name: person.name.clone(),
        username: person.username.clone(),
    };
    Ok((number.to_owned(), customer))
}

async fn write(State(shared): Shares, Json(body): Json<Value>) -> Result<Json<Value>, Refused> {
    let (number, customer) = named(&shared, &body)?;
    let message = &body["message"];
    if !message["type"].is_string() {
        return Err(wrong("`message` must be an object with a type."));
    }
    let wamid = inbound::write(&shared, &number, &customer, message.clone());
    Ok(Json(json!({ "wamid": wamid })))
}

async fn choose_marketing(
    State(shared): Shares,
    Json(body): Json<Value>,
) -> Result<StatusCode, Refused> {
    let (number, customer) = named(&shared, &body)?;
    let stop = body["stop"]
        .as_bool()
        .ok_or_else(|| wrong("`stop` is true or false."))?;
    inbound::choose_marketing(&shared, &number, &customer, stop);
    Ok(StatusCode::NO_CONTENT)
}

async fn change_number(
    State(shared): Shares,
    Json(body): Json<Value>,
) -> Result<Json<Value>, Refused> {
    let (number, customer) = named(&shared, &body)?;
    let digits: String = body["phone"]
        .as_str()
        .unwrap_or_default()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    if !(7..=15).contains(&digits.len()) {
        return Err(wrong("A phone has 7 to 15 digits."));
    }
    let wamid = inbound::change_number(&shared, &number, &customer, &digits);
    let world = shared.world();
    let person = world.find(&digits).map(|person| world.person_json(person));
    Ok(Json(json!({"wamid": wamid, "customer": person})))
}

async fn add_file(
    State(shared): Shares,
    Query(fields): Fields,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refused> {
    let binary = HeaderValue::from_static("application/octet-stream");
    if headers.get(header::CONTENT_TYPE) != Some(&binary) {
        return Err(wrong("A file is sent as application/octet-stream."));
    }
    let bytes = axum::body::to_bytes(body, FILE_LIMIT)
        .await
        .map_err(|_| wrong("The file is too large or was cut off."))?;
    let mime_type = fields
        .get("type")
        .map_or("application/octet-stream", String::as_str);
    let name = fields.get("name").cloned();
    let id = shared.world().store_file(bytes, mime_type, name, None);
    Ok(Json(json!({"id": &*id})))
}

/// A file for the page. What a browser might run is only offered for download.
async fn file(State(shared): Shares, Path(id): Path<String>) -> Response {
    let Some(file) = shared.world().files.get(id.as_str()).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let base = file.mime_type.split(';').next().unwrap_or_default();
    let harmless = base != "image/svg+xml"
        && ["image/", "audio/", "video/"]
            .iter()
            .any(|kind| base.starts_with(kind));
    let disposition = if harmless { "inline" } else { "attachment" };
    let content_type = HeaderValue::from_str(&file.mime_type)
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    (
        [
            (header::CONTENT_TYPE, content_type),
            (
                header::CONTENT_DISPOSITION,
                HeaderValue::from_static(disposition),
            ),
            (
                header::X_CONTENT_TYPE_OPTIONS,
                HeaderValue::from_static("nosniff"),
            ),
            (
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static("sandbox"),
            ),
        ],
        file.bytes,
    )
        .into_response()
}

async fn read(State(shared): Shares, Json(body): Json<Value>) -> Result<StatusCode, Refused> {
    if let Some(wamid) = body["wamid"].as_str() {
        let progress = match body["progress"].as_str() {
            Some("played") => Progress::Played,
            _ => Progress::Read,
        };
        statuses::advance(&shared, wamid, progress);
        return Ok(StatusCode::NO_CONTENT);
    }
    let (number, customer) = named(&shared, &body)?;
    let customer = customer.user_id.unwrap_or_default();
    statuses::read_all(&shared, &number, &customer);
    Ok(StatusCode::NO_CONTENT)
}

/// `{"fault": name, "value": n, "times": n | "always" | "off", "number": id, "customer": id}`, or one of the three
/// rules as `{"window": bool}`, `{"pair_limit": bool}`, `{"number_limit": bool}`.
async fn set_fault(State(shared): Shares, Json(body): Json<Value>) -> Result<StatusCode, Refused> {
    let faults = &shared.faults;
    for (name, set) in [
        ("window", super::Faults::window as fn(&super::Faults, bool)),
        ("pair_limit", super::Faults::pair_limit),
        ("number_limit", super::Faults::number_limit),
    ] {
        if let Some(on) = body[name].as_bool() {
            set(faults, on);
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    let fault = body["fault"]
        .as_str()
        .and_then(|name| Fault::named(name, body["value"].as_u64()))
        .ok_or_else(|| wrong("`fault` is not the name of a fault."))?;
    let times = match &body["times"] {
        Value::String(word) if word == "always" => Times::Always,
        Value::String(word) if word == "off" => Times::Next(0),
        Value::Number(number) if number.is_u64() => Times::Next(number.as_u64().unwrap_or(0)),
        _ => return Err(wrong("`times` is a number, `always` or `off`.")),
    };
    let text = |name: &str| body[name].as_str().map(ToOwned::to_owned);
    let scope = Scope {
        phone_number_id: text("number"),
        customer: text("customer"),
    };
    if times == Times::Next(0) && scope == Scope::all() {
        faults.off(fault);
    } else {
        faults.set_for(fault, times, scope);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn clear_faults(State(shared): Shares) -> StatusCode {
    shared.faults.clear();
    StatusCode::NO_CONTENT
}

async fn retry(State(shared): Shares, Json(_): Json<Value>) -> StatusCode {
    shared.outbox.kick();
    StatusCode::NO_CONTENT
}
