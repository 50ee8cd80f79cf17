//! The REST door of a portal: reading a request, the checks before a method, the envelope after it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State as Extract},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tokio::time::Instant;

use super::{
    Behaviour, Call, Fault, Portal, World, clock, consent, control, files, frames, messages,
    methods::{self, Method},
    oauth, page,
    php::{EMPTY, Value, map},
    state::State,
    wire::Peer,
};

/// A request to a portal may be this long.
const BODY_MAXIMUM: usize = 64 * 1024 * 1024;
/// A batch may hold this many commands.
const BATCH_MAXIMUM: usize = 50;

/// What a method came to.
pub(crate) type Outcome = Result<Value, Failure>;

/// What a method does.
pub(crate) enum Handling {
    /// Looks at and changes the portal's state, at once.
    Plain(fn(&Context<'_>, &mut State) -> Outcome),
    /// `imconnector.send.messages`, which fetches files meanwhile.
    SendMessages,
    /// `batch`.
    Batch,
}

/// A call that passed the checks.
pub(crate) struct Context<'a> {
    pub(crate) portal: &'a Portal,
    pub(crate) method: &'static Method,
    pub(crate) params: &'a Value,
    pub(crate) client_id: &'a str,
    pub(crate) user: i64,
    pub(crate) behaviour: Behaviour,
    /// The parameters came as JSON, so their types mean something.
    pub(crate) typed: bool,
}

impl Context<'_> {
    /// A parameter that must not be missing or empty.
    pub(crate) fn required(&self, name: &str) -> Result<&Value, Failure> {
        let found = self.params.get(name).filter(|value| value.truthy());
        found.ok_or_else(|| Failure::argument(name, format!("Argument '{name}' is null or empty")))
    }

    /// A required parameter as text.
    pub(crate) fn required_text(&self, name: &str) -> Result<String, Failure> {
        Ok(self.required(name)?.text().unwrap_or_default())
    }
}

/// A refused call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) description: String,
    argument: Option<String>,
    /// When a method that ran out of operating time works again, seconds since 1970.
    reset_at: Option<i64>,
}

impl Failure {
    pub(crate) fn new(status: u16, code: &str, description: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            description: description.into(),
            argument: None,
            reset_at: None,
        }
    }

    /// 400 `ERROR_ARGUMENT`.
    pub(crate) fn argument(name: &str, description: impl Into<String>) -> Self {
        Self {
            argument: Some(name.to_owned()),
            ..Self::new(400, "ERROR_ARGUMENT", description)
        }
    }

    /// 403 `ACCESS_DENIED`.
    pub(crate) fn denied(description: &str) -> Self {
        Self::new(403, "ACCESS_DENIED", description)
    }

    fn body(&self, portal: &Portal) -> Value {
        let mut body = map([
            ("error", self.code.as_str().into()),
            ("error_description", self.description.as_str().into()),
        ]);
        if let Some(argument) = &self.argument {
            body.set("argument", argument.as_str().into());
        }
        if let Some(reset_at) = self.reset_at {
            let now = portal.world.clock.milliseconds();
            body.set(
                "time",
                time_block(now, now, Duration::ZERO, (0.0, reset_at)),
            );
        }
        body
    }
}

/// A request's parameters.
pub(crate) struct Parameters {
    pub(crate) value: Value,
    pub(crate) token: Option<String>,
    pub(crate) typed: bool,
}

/// Reads parameters from the query and the body, and the token from wherever PHP looks for it.
pub(crate) fn parameters(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Parameters {
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let mut value = Value::from_form(uri.query().unwrap_or_default().as_bytes());
    let typed = header(header::CONTENT_TYPE).starts_with("application/json");
    let from_body = if typed {
        serde_json::from_slice(body).unwrap_or(Value::Null)
    } else {
        Value::from_form(body)
    };
    for (key, inner) in from_body.entries() {
        value.set(&key, inner.clone());
    }
    let bearer = header(header::AUTHORIZATION)
        .strip_prefix("Bearer ")
        .map(str::to_owned);
    let in_parameters = [value.take("auth"), value.take("access_token")];
    let token = in_parameters
        .into_iter()
        .flatten()
        .find_map(|token| token.text())
        .or(bearer);
    Parameters {
        value,
        token,
        typed,
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &Value) -> Response {
    // A value of ours has text keys and finite numbers only, which always serialize.
    let body = serde_json::to_vec(body).unwrap_or_default();
    (
        status,
        [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
        body,
    )
        .into_response()
}

/// Every address of the process.
pub(crate) fn router(world: Arc<World>) -> Router {
    let root = Router::new()
        .route("/p/{portal}/rest/{method}", any(answer))
        .route("/p/{portal}/{*path}", get(files::portal_file))
        .route("/oauth/token/", any(oauth::token))
        .route("/oauth/token", any(oauth::token))
        .route("/oauth/authorize/", any(consent::of_host))
        .route("/p/{portal}/oauth/authorize/", any(consent::of_portal))
        .route("/rest/app.info", any(oauth::app_info))
        .route("/rest/app.info.json", any(oauth::app_info));
    root.merge(page::router())
        .merge(control::router())
        .merge(frames::router())
        .layer(DefaultBodyLimit::max(BODY_MAXIMUM))
        .with_state(world)
}

/// A portal that was renamed answers its old address with its new one, same path and query.
pub(crate) fn moved(portal: &Portal, peer: &Peer, uri: &Uri) -> Option<Response> {
    if peer.local.is_none_or(|local| local.port() == portal.port()) {
        return None;
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let location = format!("http://{}{target}", portal.domain());
    Some((StatusCode::FOUND, [(header::LOCATION, location)]).into_response())
}

async fn answer(
    Extract(world): Extract<Arc<World>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((number, method)): Path<(u32, String)>,
    request: Request,
) -> Response {
    let Some(portal) = world.portal(number) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if let Some(redirect) = moved(&portal, &peer, request.uri()) {
        return redirect;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAXIMUM).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let parameters = parameters(&parts.uri, &parts.headers, &body);
    let method = method.to_ascii_lowercase();
    let method = method.strip_suffix(".json").unwrap_or(&method);
    portal.rest(&peer, method, parameters).await
}

impl Portal {
    /// Answers one request.
    async fn rest(&self, peer: &Peer, method: &str, parameters: Parameters) -> Response {
        let begun = Instant::now();
        let start = self.world.clock.milliseconds();
        let chats = if self.inner.faults.any() {
            chats_of(&parameters.value)
        } else {
            Vec::new()
        };
        let chats: Vec<&str> = chats.iter().map(String::as_str).collect();
        let admitted = self.admit(start, method, &chats);
        let faults = &self.inner.faults;
        if faults.strikes(Fault::CutBefore, method, &chats) {
            peer.cut();
            self.log(start, method, &parameters, 0, None);
            return Response::new(Body::empty());
        }
        if let Some(delay) = faults.delay(Fault::Slow, method, &chats) {
            tokio::time::sleep(delay).await;
        }
        if faults.strikes(Fault::HtmlBadGateway, method, &chats) {
            self.log(start, method, &parameters, 502, None);
            return bad_gateway();
        }
        if faults.strikes(Fault::HtmlPage, method, &chats) {
            self.log(start, method, &parameters, 200, None);
            return files::login_page();
        }
        let outcome = match admitted.and_then(|()| self.fails(method, &chats)) {
            Ok(()) => self.authorized(method, &parameters).await,
            Err(failure) => Err(failure),
        };
        if faults.strikes(Fault::CutAfter, method, &chats) {
            peer.cut();
            self.log(start, method, &parameters, 0, None);
            return Response::new(Body::empty());
        }
        match outcome {
            Ok((result, operating)) => {
                self.log(start, method, &parameters, 200, None);
                let finish = self.world.clock.milliseconds();
                let time = time_block(start, finish, begun.elapsed(), operating);
                json(StatusCode::OK, &map([("result", result), ("time", time)]))
            }
            Err(failure) => {
                self.log(
                    start,
                    method,
                    &parameters,
                    failure.status,
                    Some(failure.code.clone()),
                );
                let status =
                    StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_REQUEST);
                json(status, &failure.body(self))
            }
        }
    }

    /// Counts the request and asks the bucket.
    fn admit(&self, now: u64, method: &str, chats: &[&str]) -> Result<(), Failure> {
        let unlimited = self.inner.faults.strikes(Fault::Unlimited, method, chats);
        let limit = self.behaviour().requests.filter(|_| !unlimited);
        let mut state = self.lock();
        state.count_request(now);
        if limit.is_none_or(|limit| state.bucket.admit(limit, now)) {
            return Ok(());
        }
        state.counters.refused += 1;
        Err(Failure::new(
            503,
            "QUERY_LIMIT_EXCEEDED",
            "Too many requests",
        ))
    }

    /// The faults that answer with an error in place of the method.
    fn fails(&self, method: &str, chats: &[&str]) -> Result<(), Failure> {
        let faults = &self.inner.faults;
        if !faults.any() {
            return Ok(());
        }
        if faults.strikes(Fault::QueryLimitExceeded, method, chats) {
            self.lock().counters.refused += 1;
            return Err(Failure::new(
                503,
                "QUERY_LIMIT_EXCEEDED",
                "Too many requests",
            ));
        }
        if faults.strikes(Fault::OverloadLimit, method, chats) {
            self.lock().counters.refused += 1;
            return Err(Failure::new(
                503,
                "OVERLOAD_LIMIT",
                "REST API is blocked due to overload.",
            ));
        }
        let minute = Duration::from_mins(1);
        if let Some(wait) = faults.lasting(Fault::OperationTimeLimit, method, chats, minute) {
            let reset_at = self.world.clock.seconds() + wait.as_secs() as i64;
            return Err(out_of_time(reset_at));
        }
        if faults.strikes(Fault::InternalServerError, method, chats) {
            return Err(Failure::new(
                500,
                "INTERNAL_SERVER_ERROR",
                "Internal server error",
            ));
        }
        if method == "messageservice.message.status.update"
            && faults.strikes(Fault::SmsUnknown, method, chats)
        {
            return Err(Failure::new(
                400,
                "ERROR_MESSAGE_NOT_FOUND",
                "Message not found!",
            ));
        }
        if faults.strikes(Fault::ExpiredToken, method, chats) {
            return Err(expired());
        }
        Ok(())
    }

    /// Checks the method and the token, then runs it; the result with the operating time.
    async fn authorized(
        &self,
        method: &str,
        parameters: &Parameters,
    ) -> Result<(Value, (f64, i64)), Failure> {
        let Some(method) = methods::find(method) else {
            return Err(unknown_method());
        };
        let token = parameters.token.as_deref().unwrap_or_default();
        let (client_id, user) = self.identify(token)?;
        let result = match method.handling {
            Handling::Batch => Box::pin(self.batch(parameters, &client_id, user)).await?,
            _ => {
                self.run(
                    method,
                    &parameters.value,
                    parameters.typed,
                    &client_id,
                    user,
                )
                .await?
            }
        };
        let now = self.world.clock.milliseconds();
        let operating = self.lock().operating.used(method.name, now);
        Ok((result, operating))
    }

    /// Whose token this is.
    fn identify(&self, token: &str) -> Result<(String, i64), Failure> {
        let now = self.world.clock.seconds();
        let state = self.lock();
        if state.deleted {
            return Err(Failure::new(500, "PORTAL_DELETED", "Portal was deleted"));
        }
        let Some(found) = state.tokens.get(token) else {
            return Err(Failure::new(
                401,
                "NO_AUTH_FOUND",
                "Wrong authorization data",
            ));
        };
        if !state.apps.contains_key(&found.client_id) {
            return Err(Failure::new(
                401,
                "APPLICATION_NOT_FOUND",
                "Application not found",
            ));
        }
        if found.expires_at <= now {
            return Err(expired());
        }
        if !state.users.get(&found.user).is_some_and(|user| user.active) {
            return Err(Failure::new(
                401,
                "authorization_error",
                "Unable to authorize user",
            ));
        }
        if !state.plan_active {
            return Err(Failure::denied(
                "REST API is available only on commercial plans.",
            ));
        }
        Ok((found.client_id.clone(), found.user))
    }

    /// Runs one method for an identified caller, alone or inside a batch.
    async fn run(
        &self,
        method: &'static Method,
        params: &Value,
        typed: bool,
        client_id: &str,
        user: i64,
    ) -> Outcome {
        let begun = Instant::now();
        let behaviour = self.behaviour();
        self.permitted(method, params, client_id, user, &behaviour)?;
        let context = Context {
            portal: self,
            method,
            params,
            client_id,
            user,
            behaviour,
            typed,
        };
        let outcome = match method.handling {
            Handling::Plain(handle) => handle(&context, &mut self.lock()),
            Handling::SendMessages => messages::send(&context).await,
            Handling::Batch => Err(Failure::new(
                405,
                "ERROR_BATCH_METHOD_NOT_ALLOWED",
                "Method is not allowed for batch usage",
            )),
        };
        let now = self.world.clock.milliseconds();
        self.lock()
            .operating
            .add(method.name, begun.elapsed() + behaviour.operating_cost, now);
        outcome
    }

    /// Permission, operating time and documented parameters.
    fn permitted(
        &self,
        method: &'static Method,
        params: &Value,
        client_id: &str,
        user: i64,
        behaviour: &Behaviour,
    ) -> Result<(), Failure> {
        let now = self.world.clock.milliseconds();
        let mut state = self.lock();
        *state
            .counters
            .calls
            .entry(method.name.to_owned())
            .or_default() += 1;
        let granted = state
            .apps
            .get(client_id)
            .map(|app| app.scope.as_slice())
            .unwrap_or_default();
        if !method.scope.is_empty()
            && !method
                .scope
                .iter()
                .any(|scope| granted.iter().any(|has| has == scope))
        {
            let description =
                "The request requires higher privileges than provided by the access token";
            return Err(Failure::new(403, "insufficient_scope", description));
        }
        let (used, reset_at) = state.operating.used(method.name, now);
        let limit = behaviour
            .operating
            .filter(|_| !self.inner.faults.is_on(Fault::Unlimited));
        if limit.is_some_and(|limit| used > limit.as_secs_f64()) {
            return Err(out_of_time(reset_at));
        }
        if method.admin && !state.users.get(&user).is_some_and(|user| user.admin) {
            return Err(Failure::denied("Access denied!"));
        }
        state.secret_seen |= params.get("client_secret").is_some();
        if let Some(parameter) = methods::undocumented(&method.parameters, params, "") {
            state
                .undocumented
                .push(format!("{}: {parameter}", method.name));
            if behaviour.documented_parameters {
                return Err(Failure::argument(
                    &parameter,
                    format!("Parameter '{parameter}' is not documented"),
                ));
            }
        }
        Ok(())
    }

    /// `batch`: up to 50 commands in the order they were written (Bitrix24: batch).
    async fn batch(&self, parameters: &Parameters, client_id: &str, user: i64) -> Outcome {
        let commands = parameters
            .value
            .get("cmd")
            .map(Value::entries)
            .unwrap_or_default();
        if commands.len() > BATCH_MAXIMUM {
            return Err(Failure::new(
                400,
                "ERROR_BATCH_LENGTH_EXCEEDED",
                "Max batch length exceeded",
            ));
        }
        let halt = parameters.value.switch_of("halt", false);
        let (mut results, mut errors, mut times) = (Vec::new(), Vec::new(), Vec::new());
        for (key, command) in commands {
            let start = self.world.clock.milliseconds();
            let begun = Instant::now();
            let command = command.text().unwrap_or_default();
            match self.command(&command, &results, client_id, user).await {
                Ok((method, result)) => {
                    let operating = self.lock().operating.used(method, start);
                    let finish = self.world.clock.milliseconds();
                    times.push((
                        key.clone(),
                        time_block(start, finish, begun.elapsed(), operating),
                    ));
                    results.push((key, result));
                }
                Err(failure) => {
                    errors.push((key, failure.body(self)));
                    if halt {
                        break;
                    }
                }
            }
        }
        Ok(map([
            ("result", array(results)),
            ("result_error", array(errors)),
            ("result_total", EMPTY),
            ("result_next", EMPTY),
            ("result_time", array(times)),
        ]))
    }

    async fn command(
        &self,
        command: &str,
        results: &[(String, Value)],
        client_id: &str,
        user: i64,
    ) -> Result<(&'static str, Value), Failure> {
        let (name, query) = command.split_once('?').unwrap_or((command, ""));
        let name = name.to_ascii_lowercase();
        let method = methods::find(name.strip_suffix(".json").unwrap_or(&name))
            .ok_or_else(unknown_method)?;
        let mut params = Value::from_form(query.as_bytes());
        substitute(&mut params, results);
        params.take("auth");
        let chats = if self.inner.faults.any() {
            chats_of(&params)
        } else {
            Vec::new()
        };
        let chats: Vec<&str> = chats.iter().map(String::as_str).collect();
        self.fails(method.name, &chats)?;
        let result = self.run(method, &params, false, client_id, user).await?;
        Ok((method.name, result))
    }

    fn log(
        &self,
        at: u64,
        method: &str,
        parameters: &Parameters,
        status: u16,
        error: Option<String>,
    ) {
        let recorded = self.behaviour().record_parameters;
        let params = if recorded {
            parameters.value.to_json()
        } else {
            serde_json::Value::Null
        };
        self.lock().log_call(Call {
            at,
            method: method.to_owned(),
            params,
            status,
            error,
        });
        self.changed(None);
    }
}

/// A map as PHP writes it: a list where its keys are 0, 1, 2 …, and `[]` where it is empty.
fn array(entries: Vec<(String, Value)>) -> Value {
    let sequential = entries
        .iter()
        .enumerate()
        .all(|(index, (key, _))| *key == index.to_string());
    if sequential {
        return Value::List(entries.into_iter().map(|(_, value)| value).collect());
    }
    Value::Map(entries)
}

/// Puts earlier results in place of `$result[key][field]`.
fn substitute(value: &mut Value, results: &[(String, Value)]) {
    match value {
        Value::List(values) => values
            .iter_mut()
            .for_each(|value| substitute(value, results)),
        Value::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, value)| substitute(value, results)),
        Value::Text(text) => {
            if let Some(found) = reference(text, results) {
                *value = found;
            }
        }
        _ => {}
    }
}

fn reference(text: &str, results: &[(String, Value)]) -> Option<Value> {
    let path = text.strip_prefix("$result[")?.strip_suffix(']')?;
    let mut keys = path.split("][");
    let first = keys.next()?;
    let start = &results.iter().find(|(key, _)| key == first)?.1;
    keys.try_fold(start, |value, key| value.get(key)).cloned()
}

/// The external chat ids a call speaks of: faults can be narrowed to one.
fn chats_of(params: &Value) -> Vec<String> {
    let items = params
        .get("MESSAGES")
        .map(Value::elements)
        .unwrap_or_default();
    let chats = items
        .iter()
        .filter_map(|item| item.get("chat"))
        .map(|chat| chat.text_of("id"));
    chats
        .chain(params.get("CHAT_ID").and_then(Value::text))
        .collect()
}

fn time_block(start: u64, finish: u64, took: Duration, (operating, reset_at): (f64, i64)) -> Value {
    map([
        ("start", Value::Float(start as f64 / 1000.0)),
        ("finish", Value::Float(finish as f64 / 1000.0)),
        ("duration", Value::Float(took.as_secs_f64())),
        ("processing", Value::Float(took.as_secs_f64())),
        ("date_start", clock::iso(start).into()),
        ("date_finish", clock::iso(finish).into()),
        ("operating_reset_at", reset_at.into()),
        ("operating", Value::Float(operating)),
    ])
}

fn unknown_method() -> Failure {
    Failure::new(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")
}

fn expired() -> Failure {
    Failure::new(
        401,
        "expired_token",
        "The access token provided has expired.",
    )
}

fn out_of_time(reset_at: i64) -> Failure {
    let description = "Method is blocked due to operation time limit.";
    Failure {
        reset_at: Some(reset_at),
        ..Failure::new(429, "OPERATION_TIME_LIMIT", description)
    }
}

fn bad_gateway() -> Response {
    let page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";
    (
        StatusCode::BAD_GATEWAY,
        [(header::CONTENT_TYPE, "text/html")],
        page,
    )
        .into_response()
}
