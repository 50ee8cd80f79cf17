//! The JSON API: `/api/v1/…`, its description `/api/openapi.json` and the page that shows it, `/api/docs`.
//!
//! Each resource is a file with three tables' worth of facts: its fields, its objects, its operations. The routes and the
//! description are made from the same operations, so neither can know more than the other. Every request takes the same
//! way through [`serve`]: key, rights, body, `Idempotency-Key`, handler. Handlers get a [`Call`] and
//! give JSON or a [`Problem`]; SQL is the store's.

mod accounts;
mod alarms;
mod announcements;
mod audit;
mod bitrix_apps;
mod caller;
mod calling;
mod calls;
mod client;
mod connections;
mod conversations;
mod description;
mod docs;
mod doctor;
mod events;
mod fields;
mod frames;
mod idempotency;
mod instances;
mod interactive;
mod keys;
mod knocks;
mod lines;
mod messages;
mod messaging;
mod meta;
mod operation;
mod overview;
mod own_account;
mod page;
mod phone_messages;
mod phone_test;
mod phones;
mod problem;
mod publishing;
mod queue;
mod rule;
mod rules;
mod session;
mod setup;
mod sites;
mod templates;
mod trail;
mod users;
mod view;
mod waba_apps;

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{RawPathParams, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{any, on},
};
use serde_json::Value;

pub use self::{
    caller::{By, Caller, User},
    problem::{FieldError, Problem},
};
use self::{
    client::Client,
    operation::{Call, Cookies, Described, Operation, Verb},
    rule::Rule,
    trail::Trail,
};
use crate::app::App;

/// All operations, in the order in which the description shows them.
fn operations() -> impl Iterator<Item = &'static Operation> {
    [
        session::OPERATIONS,
        own_account::OPERATIONS,
        users::OPERATIONS,
        keys::OPERATIONS,
        audit::OPERATIONS,
        sites::OPERATIONS,
        waba_apps::OPERATIONS,
        accounts::OPERATIONS,
        connections::OPERATIONS,
        knocks::OPERATIONS,
        templates::OPERATIONS,
        interactive::OPERATIONS,
        phones::OPERATIONS,
        calling::OPERATIONS,
        publishing::OPERATIONS,
        messaging::OPERATIONS,
        phone_messages::OPERATIONS,
        phone_test::OPERATIONS,
        conversations::OPERATIONS,
        frames::OPERATIONS,
        bitrix_apps::OPERATIONS,
        instances::OPERATIONS,
        announcements::OPERATIONS,
        lines::OPERATIONS,
        messages::OPERATIONS,
        calls::OPERATIONS,
        events::OPERATIONS,
        queue::OPERATIONS,
        alarms::OPERATIONS,
        overview::OPERATIONS,
        doctor::OPERATIONS,
        setup::OPERATIONS,
    ]
    .into_iter()
    .flatten()
}

/// All objects that operations take and give.
fn objects() -> impl Iterator<Item = &'static Described> {
    [
        session::OBJECTS,
        own_account::OBJECTS,
        users::OBJECTS,
        keys::OBJECTS,
        audit::OBJECTS,
        sites::OBJECTS,
        waba_apps::OBJECTS,
        accounts::OBJECTS,
        meta::OBJECTS,
        connections::OBJECTS,
        knocks::OBJECTS,
        templates::OBJECTS,
        interactive::OBJECTS,
        phones::OBJECTS,
        calling::OBJECTS,
        publishing::OBJECTS,
        messaging::OBJECTS,
        phone_messages::OBJECTS,
        phone_test::OBJECTS,
        conversations::OBJECTS,
        frames::OBJECTS,
        bitrix_apps::OBJECTS,
        instances::OBJECTS,
        announcements::OBJECTS,
        lines::OBJECTS,
        messages::OBJECTS,
        calls::OBJECTS,
        events::OBJECTS,
        queue::OBJECTS,
        alarms::OBJECTS,
        overview::OBJECTS,
        doctor::OBJECTS,
        setup::OBJECTS,
    ]
    .into_iter()
    .flatten()
}

/// The description of the API as JSON (OpenAPI 3.1).
pub fn openapi() -> &'static str {
    description::JSON.as_str()
}

/// Everything below `/api/v1`, and the description; paths in full.
pub fn routes() -> Router<Arc<App>> {
    let mut router = Router::new();
    for operation in operations() {
        let handler = move |State(app): State<Arc<App>>,
                            parameters: RawPathParams,
                            request: Request| async move {
            let id = parameters
                .iter()
                .find(|(name, _)| *name == "id")
                .map(|(_, value)| value.to_owned());
            serve(operation, app, id, request)
                .await
                .unwrap_or_else(Problem::into_response)
        };
        router = router.route(operation.path, on(operation.verb.filter(), handler));
    }
    router
        .route("/api/v1", any(unknown_path))
        .route("/api/v1/{*rest}", any(unknown_path))
        .merge(docs::routes())
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this method is not offered here; /api/docs shows what is",
            )
        })
}

/// Answers where the API has nothing.
pub async fn unknown_path() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "there is nothing at this path; /api/docs shows what there is",
    )
}

/// The way of a request.
async fn serve(
    operation: &'static Operation,
    app: Arc<App>,
    id: Option<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let client = Client::of(&head, &app.settings);
    let caller = if operation.rule == Rule::Anybody {
        client::refuse_foreign(&client, &head, false).map_err(|(_, problem)| problem)?;
        Caller::Nobody
    } else {
        Caller::of(&app, &head, &client).await?
    };
    if let Err(why) = operation.rule.admits(&caller) {
        app.metrics.count("api_refused", "role");
        return Err(rule::refused(why));
    }
    app.metrics.count("api_requests", operation.tag);
    let cookies = Cookies::default();
    let call = Call {
        cookies: cookies.clone(),
        app,
        caller,
        client,
        id,
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: read_body(body, operation.body_limit).await?,
    };
    operation.rule.admits_fields(&call.caller, &call.body)?;
    call.registry().admits(operation.path, call.id.as_deref())?;
    let caller = call.caller.place();
    let answer = if operation.verb == Verb::Get {
        Answer::work(operation, call).await?
    } else if operation.rule == Rule::Anybody || operation.records_itself {
        work_once(operation, call, &head).await?
    } else {
        recorded(operation, call, head.clone()).await?
    };
    if operation.verb != Verb::Get {
        let status = answer.status.as_u16();
        tracing::info!(%caller, method = %head.method, path = head.uri.path(), status, "changed by API");
    }
    let mut response = answer.into_response();
    for cookie in cookies.take() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Does the work of an operation, once for each `Idempotency-Key` of a caller who is known.
async fn work_once(
    operation: &'static Operation,
    call: Call,
    head: &Parts,
) -> Result<Answer, Problem> {
    if operation.verb == Verb::Post && operation.rule != Rule::Anybody {
        idempotency::once(operation, call, head).await
    } else {
        Answer::work(operation, call).await
    }
}

/// Does the work of an operation and writes down that it was done; both go on when the caller hangs up.
async fn recorded(
    operation: &'static Operation,
    call: Call,
    head: Parts,
) -> Result<Answer, Problem> {
    let work = tokio::spawn(async move {
        let trail = Trail::begin(operation, &call).await?;
        let answer = work_once(operation, call, &head).await;
        trail.end(answer.as_ref().ok()).await;
        answer
    });
    work.await.unwrap_or_else(|error| {
        tracing::error!(%error, path = operation.path, "a request to the API broke off");
        Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request broke off; the log of the program says why",
        ))
    })
}

async fn read_body(body: Body, limit: usize) -> Result<Bytes, Problem> {
    to_bytes(body, limit).await.map_err(|_| {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("a body has at most {limit} bytes"),
        )
    })
}

/// What is sent when all is well.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    location: Option<String>,
    /// JSON; empty where there is nothing to say.
    body: String,
    replayed: bool,
}

impl Answer {
    async fn work(operation: &Operation, call: Call) -> Result<Self, Problem> {
        let shown = (operation.run)(call).await?;
        Ok(Self::new(
            operation,
            operation.status,
            if shown.is_null() {
                String::new()
            } else {
                shown.to_string()
            },
        ))
    }

    fn new(operation: &Operation, status: StatusCode, body: String) -> Self {
        let id = || {
            serde_json::from_str::<Value>(&body)
                .ok()?
                .get("id")?
                .as_str()
                .map(str::to_owned)
        };
        let location = operation
            .location
            .and_then(|base| Some(format!("{base}/{}", id()?)));
        Self {
            status,
            location,
            body,
            replayed: false,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = if self.body.is_empty() {
            self.status.into_response()
        } else {
            let content = [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )];
            (self.status, content, self.body).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(location) = self.location.and_then(|location| location.parse().ok()) {
            headers.insert(header::LOCATION, location);
        }
        if self.replayed {
            headers.insert(
                HeaderName::from_static("idempotency-replayed"),
                HeaderValue::from_static("true"),
            );
        }
        response
    }
}

#[cfg(test)]
mod people_tests;
#[cfg(test)]
mod role_tests;
#[cfg(test)]
mod tests;
