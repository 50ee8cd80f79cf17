//! The Graph API: reads a call, lets faults strike, checks the token and finds who answers it.
//!
//! Every path works with and without a version in front. Source: Meta: Graph API, WhatsApp Business Management API.

mod accounts;
pub(super) mod dialog;
mod login;
mod media;
mod numbers;

pub(super) use media::download_url;

use super::{
    Request as Logged, Shared,
    error::GraphError,
    escape,
    faults::{Fault, Place},
    listen::Line,
    sending,
    world::{Account, Number, World},
};
use axum::{
    Json,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// The version that answers name.
const VERSION: &str = "v25.0";
/// Larger bodies than this are not read, except uploads.
const BODY_LIMIT: usize = 4 * 1024 * 1024;
/// Query values that are not kept in the log.
const SECRET_NAMES: &[&str] = &[
    "access_token",
    "appsecret_proof",
    "client_secret",
    "code",
    "fb_exchange_token",
    "hub.verify_token",
    "input_token",
    "verify_token",
];

/// What an endpoint gives back.
type Outcome = Result<Value, GraphError>;

/// A call, read.
struct Call {
    method: Method,
    path: String,
    /// The path without the version.
    segments: Vec<String>,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    /// A JSON body, or the fields of a form as an object; null without one.
    body: Value,
}

/// What a valid token may do.
struct Access {
    app_id: Arc<str>,
    accounts: Option<BTreeSet<String>>,
    /// `None` for the application's own token, which is about the application alone.
    scopes: Option<BTreeSet<String>>,
}

impl Access {
    /// Refuses a call for which the token lacks the permission. Source: Meta: permissions, error 200.
    fn require(&self, scope: &str) -> Result<(), GraphError> {
        let granted = self.scopes.as_ref();
        if granted.is_some_and(|scopes| scopes.contains(scope)) {
            return Ok(());
        }
        Err(GraphError::new(
            200,
            format!("Requires the {scope} permission to manage the object"),
        ))
    }

    fn sees(&self, account: &str) -> bool {
        self.accounts
            .as_ref()
            .is_none_or(|accounts| accounts.contains(account))
    }

    fn account<'a>(&self, world: &'a mut World, id: &str) -> Result<&'a mut Account, GraphError> {
        world
            .accounts
            .get_mut(id)
            .filter(|account| self.sees(&account.id))
            .ok_or_else(|| GraphError::invisible(id))
    }

    fn number<'a>(&self, world: &'a mut World, id: &str) -> Result<&'a mut Number, GraphError> {
        world
            .numbers
            .get_mut(id)
            .filter(|number| self.sees(&number.account))
            .ok_or_else(|| GraphError::invisible(id))
    }
}

/// Answers every call that is not for the page.
pub(super) async fn answer(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(line): ConnectInfo<Line>,
    request: Request,
) -> Response {
    let trace = shared.world().new_secret();
    let mut response = match answer_or_refuse(&shared, &line, request).await {
        Ok(response) => response,
        Err(error) => error.respond(&trace),
    };
    let headers = response.headers_mut();
    headers.insert("facebook-api-version", HeaderValue::from_static(VERSION));
    if let Ok(trace) = HeaderValue::from_str(&trace) {
        headers.insert("x-fb-trace-id", trace);
    }
    response
}

async fn answer_or_refuse(
    shared: &Arc<Shared>,
    line: &Line,
    request: Request,
) -> Result<Response, GraphError> {
    let (parts, body) = request.into_parts();
    let segments = segments(parts.uri.path());
    let is_upload =
        parts.method == Method::POST && segments.get(1).is_some_and(|segment| segment == "media");
    let mut call = Call {
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        segments,
        query: form(parts.uri.query().unwrap_or_default().as_bytes()),
        headers: parts.headers.clone(),
        body: Value::Null,
    };
    if is_upload {
        log(shared, &call, &[]);
        return upload(shared, line, &call, Request::from_parts(parts, body)).await;
    }
    let bytes = axum::body::to_bytes(body, BODY_LIMIT)
        .await
        .map_err(|_| GraphError::parameter("The request body is too large or was cut off."))?;
    let parsed = if call.path.contains("/upload:") {
        Some(Value::Null)
    } else {
        parse_body(&call.headers, &bytes)
    };
    call.body = parsed.clone().unwrap_or_default();
    let shown = parsed.is_some() && !call.path.contains("/upload:");
    log(shared, &call, if shown { &bytes } else { &[] });

    if let Some(response) = strike_early(shared, line, &call).await? {
        return Ok(response);
    }
    if parsed.is_none() {
        return Err(GraphError::parameter("The request body is not valid JSON."));
    }
    route(shared, line, &call).await
}

async fn upload(
    shared: &Arc<Shared>,
    line: &Line,
    call: &Call,
    request: Request,
) -> Result<Response, GraphError> {
    if let Some(response) = strike_early(shared, line, call).await? {
        return Ok(response);
    }
    let access = authorize(&shared.world(), call)?;
    let number = call.segments[0].clone();
    access.number(&mut shared.world(), &number)?;
    media::upload(shared, &number, request)
        .await
        .map(json_answer)
}

/// Faults that strike any call before anything is looked at.
async fn strike_early(
    shared: &Shared,
    line: &Line,
    call: &Call,
) -> Result<Option<Response>, GraphError> {
    let faults = &shared.faults;
    if !faults.any() {
        return Ok(None);
    }
    let names = sending::names(&shared.world(), &call.body);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let number = number_of(shared, call);
    let place = Place {
        phone_number_id: number.as_deref(),
        customer: &names,
    };
    if let Some(Fault::Slow(time)) = faults.strike(Fault::Slow(Duration::ZERO), &place) {
        tokio::time::sleep(time).await;
    }
    if faults.strike(Fault::CutBefore, &place).is_some() {
        line.cut();
        return Ok(Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()));
    }
    if faults.strike(Fault::ServerError, &place).is_some() {
        let text = "<html><body>Sorry, something went wrong.</body></html>";
        return Ok(Some(
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
                text,
            )
                .into_response(),
        ));
    }
    let of_a_login = matches!(
        call.segments.first().map(String::as_str),
        Some("debug_token" | "dialog" | "oauth")
    );
    // What a token is can still be asked, which answers that it has expired.
    if !of_a_login && faults.strike(Fault::ExpiredToken, &place).is_some() {
        return Err(GraphError::usual(190));
    }
    let sends = call
        .segments
        .get(1)
        .is_some_and(|part| matches!(part.as_str(), "messages" | "marketing_messages" | "media"));
    if !of_a_login
        && !sends
        && let Some(Fault::ManagementRefused(code)) =
            faults.strike(Fault::ManagementRefused(0), &place)
    {
        return Err(GraphError::usual(code));
    }
    Ok(None)
}

/// The business number a call is about: the first part of the path, or the owner of the file named there.
fn number_of(shared: &Shared, call: &Call) -> Option<String> {
    let world = shared.world();
    let first = call.segments.first()?;
    if world.numbers.contains_key(first.as_str()) {
        return Some(first.clone());
    }
    let file = call.query.get("mid").unwrap_or(first);
    let number = world.files.get(file.as_str())?.number.as_ref()?;
    Some(number.to_string())
}

async fn route(shared: &Arc<Shared>, line: &Line, call: &Call) -> Result<Response, GraphError> {
    let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", ["dialog", "oauth"]) => return Ok(dialog::show(shared, call)),
        ("POST", ["dialog", "answer"]) => return Ok(dialog::answer(shared, call)),
        ("GET" | "POST", ["oauth", "access_token"]) => {
            return login::access_token(shared, call).map(json_answer);
        }
        ("GET", ["lookaside", ..]) => return media::download(shared, call),
        _ => {}
    }
    let access = authorize(&shared.world(), call)?;
    match (call.method.as_str(), segments.as_slice()) {
        ("GET", ["debug_token"]) => login::debug_token(shared, call).map(json_answer),
        ("GET", ["me", "businesses"]) => {
            accounts::businesses(shared, &access, call).map(json_answer)
        }
        (
            "GET",
            [
                business,
                edge @ ("owned_whatsapp_business_accounts" | "client_whatsapp_business_accounts"),
            ],
        ) => accounts::of_business(shared, &access, call, business, edge).map(json_answer),
        ("POST", [number, edge @ ("messages" | "marketing_messages")]) => {
            access.require("whatsapp_business_messaging")?;
            access.number(&mut shared.world(), number)?;
            send(shared, line, call, number, edge).await
        }
        (_, [id, rest @ ..]) if **id == *access.app_id && access.scopes.is_none() => {
            accounts::app(shared, &access, call, rest)
                .await
                .map(json_answer)
        }
        // The application's token sees applications and tokens, nobody's accounts.
        (_, [id, ..]) if access.scopes.is_none() => Err(GraphError::invisible(id)),
        ("POST", [id, "subscribed_apps"]) => accounts::subscribe(shared, &access, call, id)
            .await
            .map(|answer| with_usage(json_answer(answer), id)),
        (_, [id, ..]) => {
            let is_account = shared.world().accounts.contains_key(*id);
            let outcome = answer_at_once(shared, &access, call, &segments).await?;
            let response = json_answer(outcome);
            Ok(if is_account {
                with_usage(response, id)
            } else {
                response
            })
        }
        (_, []) => Err(unknown_path(call)),
    }
}

/// Calls about an account, a number, a template or a file.
async fn answer_at_once(
    shared: &Arc<Shared>,
    access: &Access,
    call: &Call,
    segments: &[&str],
) -> Outcome {
    let id = segments.first().copied().unwrap_or_default();
    let (is_account, is_number) = {
        let world = shared.world();
        (
            world.accounts.contains_key(id),
            world.numbers.contains_key(id),
        )
    };
    if is_account || is_number {
        access.require("whatsapp_business_management")?;
    }
    if is_account {
        return accounts::answer(shared, access, call, segments);
    }
    if is_number {
        return numbers::answer(shared, access, call, segments).await;
    }
    match (call.method.as_str(), segments) {
        ("GET", [id]) if shared.world().files.contains_key(*id) => {
            media::info(shared, access, call, id)
        }
        ("DELETE", [id]) => media::delete(shared, access, id),
        ("POST", [app, "uploads"]) if **app == *access.app_id => {
            accounts::begin_upload(shared, access, call)
        }
        ("GET" | "POST", [id]) if id.starts_with("upload:") => {
            accounts::upload(shared, access, call, id)
        }
        ("GET", [id]) => accounts::template(shared, access, id),
        ("POST", [id]) => accounts::edit_template(shared, access, call, id),
        _ => Err(GraphError::invisible(id)),
    }
}

async fn send(
    shared: &Arc<Shared>,
    line: &Line,
    call: &Call,
    number: &str,
    edge: &str,
) -> Result<Response, GraphError> {
    let accepted = match sending::accept(shared, number, edge, &call.body) {
        Ok(accepted) => accepted,
        Err(error) => {
            shared.world().counters.sends_refused += 1;
            shared.bump();
            return Err(error);
        }
    };
    let is_send = accepted.answer["messages"].is_array();
    let names = sending::names(&shared.world(), &call.body);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = Place {
        phone_number_id: Some(number),
        customer: &names,
    };
    if let Some((message, end)) = accepted.message {
        sending::dispatch(shared, message, end, &place).await;
    }
    shared.bump();
    if is_send && shared.faults.strike(Fault::CutAfter, &place).is_some() {
        line.cut();
    }
    Ok(json_answer(accepted.answer))
}

/// Token present, known, not expired, and its proof right where one is given.
fn authorize(world: &World, call: &Call) -> Result<Access, GraphError> {
    let value = token_of(call).ok_or_else(|| {
        GraphError::token(
            None,
            "An access token is required to request this resource.",
        )
    })?;
    if let Some((app_id, secret)) = value.split_once('|') {
        let app = world
            .apps
            .get(app_id)
            .filter(|app| app.secret == secret)
            .ok_or_else(|| GraphError::token(None, "Invalid OAuth access token signature."))?;
        return Ok(Access {
            app_id: Arc::clone(&app.id),
            accounts: None,
            scopes: None,
        });
    }
    let token = world.tokens.get(&value).ok_or_else(|| {
        GraphError::token(
            None,
            "Invalid OAuth access token - Cannot parse access token",
        )
    })?;
    if token.revoked {
        return Err(GraphError::token(
            Some(460),
            "Error validating access token: The session has been invalidated.",
        ));
    }
    if token
        .expires_at
        .is_some_and(|expires| expires <= world.clock.now())
    {
        return Err(GraphError::usual(190));
    }
    if let Some(proof) = call.query.get("appsecret_proof") {
        let right = world
            .apps
            .get(&token.app_id)
            .is_some_and(|app| escape::hmac(&app.secret, value.as_bytes()) == *proof);
        if !right {
            return Err(GraphError::parameter(
                "Invalid appsecret_proof provided in the API argument",
            ));
        }
    }
    Ok(Access {
        app_id: Arc::clone(&token.app_id),
        accounts: token.accounts.clone(),
        scopes: Some(token.scopes.clone()),
    })
}

fn token_of(call: &Call) -> Option<String> {
    let header = call
        .headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| {
            scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("oauth")
        })
        .map(|(_, token)| token.trim().to_owned());
    header
        .or_else(|| call.query.get("access_token").cloned())
        .or_else(|| call.body["access_token"].as_str().map(ToOwned::to_owned))
        .filter(|token| !token.is_empty())
}

/// The path without the version in front, decoded.
fn segments(path: &str) -> Vec<String> {
    let mut segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode)
        .collect();
    let versioned = segments.first().is_some_and(|first| {
        first
            .strip_prefix('v')
            .is_some_and(|rest| rest.split('.').all(|part| part.parse::<u32>().is_ok()))
    });
    if versioned {
        segments.remove(0);
    }
    segments
}

fn decode(segment: &str) -> String {
    // A path has no `+` for a space; the decoder of forms would make one.
    let escaped = segment.replace('+', "%2B");
    form(escaped.as_bytes())
        .into_keys()
        .next()
        .unwrap_or_default()
}

fn form(bytes: &[u8]) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

/// The body as JSON; `None` if it claims to be JSON and is not.
fn parse_body(headers: &HeaderMap, bytes: &Bytes) -> Option<Value> {
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !content_type.starts_with("application/x-www-form-urlencoded") {
        return serde_json::from_slice(bytes).ok();
    }
    let fields: Map<String, Value> = form(bytes)
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    Some(Value::Object(fields))
}

fn log(shared: &Shared, call: &Call, body: &[u8]) {
    let query: Vec<String> = call
        .query
        .iter()
        .map(|(name, value)| {
            let secret = SECRET_NAMES.contains(&name.as_str());
            format!("{name}={}", if secret { "…" } else { value })
        })
        .collect();
    let holds_secrets = call
        .body
        .as_object()
        .is_some_and(|body| SECRET_NAMES.iter().any(|name| body.contains_key(*name)));
    let mut world = shared.world();
    world.counters.requests += 1;
    while world.requests.len() >= shared.settings.kept_requests.max(1) {
        world.requests.pop_front();
    }
    let at = world.clock.now();
    world.requests.push_back(Logged {
        at,
        method: call.method.to_string(),
        path: call.path.clone(),
        query: query.join("&"),
        // A copy, because the bytes may be a small part of a large buffer of the connection.
        body: if holds_secrets {
            Bytes::new()
        } else {
            Bytes::copy_from_slice(body)
        },
    });
}

fn json_answer(value: Value) -> Response {
    Json(value).into_response()
}

/// Calls about an account tell how much of its hourly allowance is used.
fn with_usage(mut response: Response, account: &str) -> Response {
    let usage = json!({
        account: [{
            "type": "whatsapp",
            "call_count": 1,
            "total_cputime": 1,
            "total_time": 1,
            "estimated_time_to_regain_access": 0,
        }],
    });
    if let Ok(value) = HeaderValue::from_str(&usage.to_string()) {
        response
            .headers_mut()
            .insert("x-business-use-case-usage", value);
    }
    response
}

fn unknown_path(call: &Call) -> GraphError {
    GraphError::new(2500, format!("Unknown path components: {}", call.path))
}

/// A text that Graph may get as JSON, as a form field or in the query.
fn argument(call: &Call, name: &str) -> Option<String> {
    match &call.body[name] {
        Value::String(text) => Some(text.clone()),
        Value::Null => call.query.get(name).cloned(),
        other => Some(other.to_string()),
    }
}

/// Only the wanted fields, and the id, of a full object. `fields` may hold nested lists, which are ignored.
fn select(full: &Value, fields: Option<&str>, usual: &[&str]) -> Value {
    let mut depth = 0;
    let flat: String = fields
        .unwrap_or_default()
        .chars()
        .filter(|character| match character {
            '{' => {
                depth += 1;
                false
            }
            '}' => {
                depth -= 1;
                false
            }
            _ => depth == 0,
        })
        .collect();
    let wanted: Vec<&str> = match fields {
        Some(_) => flat.split(',').map(str::trim).collect(),
        None => usual.to_vec(),
    };
    let Some(object) = full.as_object() else {
        return full.clone();
    };
    object
        .iter()
        .filter(|(name, _)| *name == "id" || wanted.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<Map<_, _>>()
        .into()
}

/// One page of a list, with cursors; `paging.next` is absent on the last. Source: Meta: paged results.
fn page(shared: &Shared, call: &Call, all: &[Value]) -> Value {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let limit: usize = call
        .query
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(25)
        .clamp(1, 1000);
    let start = call
        .query
        .get("after")
        .and_then(|cursor| STANDARD.decode(cursor).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
        .min(all.len());
    let end = (start + limit).min(all.len());
    let mut answer = json!({ "data": all[start..end] });
    if start == end {
        return answer;
    }
    let (before, after) = (
        STANDARD.encode(start.to_string()),
        STANDARD.encode(end.to_string()),
    );
    answer["paging"] = json!({"cursors": {"before": before, "after": after}});
    if end < all.len() {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in call.query.iter().filter(|(name, _)| *name != "after") {
            query.append_pair(name, value);
        }
        query.append_pair("after", &after);
        answer["paging"]["next"] = format!("{}{}?{}", shared.url, call.path, query.finish()).into();
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_with_and_without_a_version_and_keep_plus_signs() {
        for path in ["/v25.0/1/messages", "/v7.1/1/messages", "/1/messages"] {
            assert_eq!(segments(path), ["1", "messages"]);
        }
        assert_eq!(segments("/a+b%3D"), ["a+b="]);
        assert_eq!(segments("/verify"), ["verify"]);
    }

    #[test]
    fn only_the_wanted_fields_are_shown() {
        let full = json!({"id": "1", "name": "a", "status": "b", "throughput": {"level": "HIGH"}});
        assert_eq!(
            select(
                &full,
                Some("name,health_status{errors,x}, throughput{level}"),
                &[]
            ),
            json!({"id": "1", "name": "a", "throughput": {"level": "HIGH"}})
        );
        assert_eq!(
            select(&full, None, &["status"]),
            json!({"id": "1", "status": "b"})
        );
    }
}
