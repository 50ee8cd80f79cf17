//! The stand-in's own HTTP interface under `/sandbox/`, for the operator's page and for scripts. JSON both ways.
//!
//! | address | does |
//! |---|---|
//! | `GET /sandbox/state` | the portals, and one portal's lines, connectors, users, faults, counters and chat list |
//! | `GET /sandbox/chats/{id}` | one chat with its messages |
//! | `POST /sandbox/chats/{id}/messages` | the operator writes: JSON or multipart `text`, `user`, `quote`, `file` … |
//! | `POST /sandbox/chats/{id}/automatic`, `…/close` | the line writes by itself; the session ends |
//! | `PATCH`, `DELETE /sandbox/messages/{id}` | the operator edits or deletes |
//! | `GET`, `POST`, `DELETE /sandbox/faults` | what goes wrong: list, switch one, all off |
//! | `POST /sandbox/actions/{name}` | what an administrator does |
//! | `GET /sandbox/calls` | the log of REST calls |
//! | `GET /sandbox/files/{id}` | the bytes of a file |
//! | `GET /sandbox/changes` | server-sent events: `{portal, chat}` whenever something changed |
//!
//! Each takes `?portal=N`; portal 1 where it is missing. Requests that change something are refused when they come from
//! another origin's page.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, FromRequest, Multipart, Path, Query, Request, State as Extract},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::{self, Next},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
    routing::{delete, get, patch, post},
};
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    Change, Fault, LocalApp, Portal, Refusal, Rule, Upload, World, files, state::State,
    view::Author,
};

/// An operator may attach this much in all.
const UPLOAD_MAXIMUM: usize = 256 * 1024 * 1024;

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/sandbox/state", get(state))
        .route("/sandbox/chats/{id}", get(chat))
        .route(
            "/sandbox/chats/{id}/messages",
            post(write).layer(DefaultBodyLimit::max(UPLOAD_MAXIMUM)),
        )
        .route("/sandbox/chats/{id}/automatic", post(automatic))
        .route("/sandbox/chats/{id}/close", post(close))
        .route("/sandbox/messages/{id}", patch(edit))
        .route("/sandbox/messages/{id}", delete(remove))
        .route(
            "/sandbox/faults",
            get(faults).post(set_fault).delete(clear_faults),
        )
        .route("/sandbox/actions/{name}", post(action))
        .route("/sandbox/apps", post(save_app))
        .route("/sandbox/calls", get(calls))
        .route("/sandbox/files/{id}", get(file))
        .route("/sandbox/changes", get(changes))
        .layer(middleware::from_fn(same_origin))
}

/// Refuses changes asked for by pages of other origins: browsers name the origin on every such request.
async fn same_origin(request: Request, next: Next) -> Response {
    let header = |headers: &HeaderMap, name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let origin = header(request.headers(), header::ORIGIN);
    let host = header(request.headers(), header::HOST).unwrap_or_default();
    let foreign = origin.is_some_and(|origin| origin != format!("http://{host}"));
    if foreign && request.method() != Method::GET {
        return problem(
            StatusCode::FORBIDDEN,
            "Another site's page may not do this.",
        );
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Which {
    portal: Option<u32>,
}

type World1 = Extract<Arc<World>>;

fn problem(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "error": text }))).into_response()
}

fn refused(refusal: Refusal) -> Response {
    let status = match refusal {
        Refusal::NotYours | Refusal::Nothing => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::NOT_FOUND,
    };
    problem(status, &refusal.to_string())
}

fn done(result: Result<(), Refusal>) -> Response {
    result.map_or_else(refused, |()| StatusCode::NO_CONTENT.into_response())
}

/// The portal asked for, or the answer that there is none.
fn portal_of(world: &Arc<World>, which: &Which) -> Result<Portal, Box<Response>> {
    let found = world.portal(which.portal.unwrap_or(1));
    found.ok_or_else(|| Box::new(problem(StatusCode::NOT_FOUND, "There is no such portal.")))
}

macro_rules! portal {
    ($world:expr, $which:expr) => {
        match portal_of(&$world, &$which) {
            Ok(portal) => portal,
            Err(response) => return *response,
        }
    };
}

/// A chat as the list shows it: without its messages, except the last.
fn chat_line(portal: &Portal) -> Vec<serde_json::Value> {
    let (now, period) = portal.now_and_period();
    let state = portal.lock();
    let chats = state.chats.values().map(|chat| {
        let messages = || chat.messages.iter().filter_map(|id| state.messages.get(id));
        let last = messages().next_back();
        let waiting = messages()
            .rev()
            .take_while(|message| !matches!(message.author, Author::Operator(_)));
        let red = messages().any(|message| State::message_view(message, now, period).red);
        json!({
            "id": chat.id,
            "title": chat.title,
            "external_chat_id": chat.external_id,
            "line": chat.line,
            "connector": chat.connector,
            "name": state.clients.get(&chat.client).map(|client| &client.name),
            "phone": state.clients.get(&chat.client).and_then(|client| client.phone.as_ref()),
            "session_open": chat.session_open,
            "unanswered": waiting.filter(|message| message.author == Author::Customer).count(),
            "red": red,
            "last": last.map(|message| json!({
                "author": message.author,
                "text": message.text,
                "files": message.files.len(),
                "deleted": message.deleted,
                "at": message.at,
            })),
        })
    });
    chats.collect()
}

async fn state(Extract(world): World1, Query(which): Query<Which>) -> Response {
    let portal = portal!(world, which);
    let portals: Vec<_> = world
        .all()
        .iter()
        .map(|portal| json!({ "number": portal.number(), "name": portal.name() }))
        .collect();
    let links = world
        .links
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let apps: Vec<_> = {
        let state = portal.lock();
        let apps = state.apps.values();
        let shown = apps.map(|app| {
            json!({
                "client_id": app.client_id,
                "installed": app.installed,
                "version": app.version,
                "with_pages": app.with_pages,
            })
        });
        shown.collect()
    };
    let body = json!({
        "portal": {
            "number": portal.number(),
            "name": portal.name(),
            "member_id": portal.member_id(),
            "client_endpoint": portal.client_endpoint(),
        },
        "portals": portals,
        "links": links,
        "apps": apps,
        "lines": portal.lines(),
        "connectors": portal.connectors(),
        "handlers": portal.handlers(),
        "placements": portal.placements(),
        "users": portal.users(),
        "counters": portal.counters(),
        "phone_calls": portal.phone_calls(),
        "faults": fault_list(&portal),
        "chats": chat_line(&portal),
    });
    Json(body).into_response()
}

/// Every fault with its label and the rules set for it.
fn fault_list(portal: &Portal) -> Vec<serde_json::Value> {
    let rules = portal.faults().rules();
    let described = Fault::ALL.iter().map(|fault| {
        let set: Vec<&Rule> = rules.iter().filter(|rule| rule.fault == *fault).collect();
        json!({ "fault": fault, "label": fault.label(), "takes_time": fault.takes_time(), "rules": set })
    });
    described.collect()
}

async fn chat(Extract(world): World1, Query(which): Query<Which>, Path(id): Path<i64>) -> Response {
    let portal = portal!(world, which);
    portal.chat(id).map_or_else(
        || refused(Refusal::NoSuchChat),
        |chat| Json(chat).into_response(),
    )
}

/// What an operator writes.
#[derive(Default, Deserialize)]
struct Draft {
    #[serde(default)]
    text: String,
    user: Option<i64>,
    quote: Option<i64>,
    #[serde(skip)]
    files: Vec<Upload>,
}

impl Draft {
    async fn read(request: Request) -> Result<Self, Box<Response>> {
        let unreadable = |text: &str| Box::new(problem(StatusCode::UNPROCESSABLE_ENTITY, text));
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        if !content_type.unwrap_or_default().starts_with("multipart/") {
            let draft = Json::<Self>::from_request(request, &()).await;
            return draft
                .map(|Json(draft)| draft)
                .map_err(|error| unreadable(&error.to_string()));
        }
        let multipart = Multipart::from_request(request, &()).await;
        let mut multipart = multipart.map_err(|error| unreadable(&error.to_string()))?;
        let mut draft = Self::default();
        while let Some(field) = multipart
            .next_field()
            .await
            .map_err(|error| unreadable(&error.to_string()))?
        {
            let name = field.name().unwrap_or_default().to_owned();
            let file_name = field.file_name().map(str::to_owned);
            let bytes = field
                .bytes()
                .await
                .map_err(|error| unreadable(&error.to_string()))?;
            let text = || String::from_utf8_lossy(&bytes).into_owned();
            match (name.as_str(), file_name) {
                ("text", _) => draft.text = text(),
                ("user", _) => draft.user = text().parse().ok(),
                ("quote", _) => draft.quote = text().parse().ok(),
                ("file", Some(name)) if !name.is_empty() => {
                    draft.files.push(Upload::new(name, bytes));
                }
                _ => {}
            }
        }
        Ok(draft)
    }
}

async fn write(
    Extract(world): World1,
    Query(which): Query<Which>,
    Path(chat): Path<i64>,
    request: Request,
) -> Response {
    let portal = portal!(world, which);
    let draft = match Draft::read(request).await {
        Ok(draft) => draft,
        Err(response) => return *response,
    };
    let user = draft.user.unwrap_or(27);
    let written = match draft.quote {
        Some(quoted) => portal.operator_quotes_as(user, quoted, &draft.text, draft.files),
        None => portal.operator_writes_as(user, chat, &draft.text, draft.files),
    };
    written.map_or_else(refused, |id| {
        (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
    })
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

async fn automatic(
    Extract(world): World1,
    Query(which): Query<Which>,
    Path(chat): Path<i64>,
    Json(body): Json<Text>,
) -> Response {
    let portal = portal!(world, which);
    let written = portal.automatic_text(chat, &body.text);
    written.map_or_else(refused, |id| {
        (StatusCode::CREATED, Json(json!({ "id": id }))).into_response()
    })
}

async fn close(
    Extract(world): World1,
    Query(which): Query<Which>,
    Path(chat): Path<i64>,
) -> Response {
    done(portal!(world, which).close_session(chat))
}

async fn edit(
    Extract(world): World1,
    Query(which): Query<Which>,
    Path(id): Path<i64>,
    Json(body): Json<Text>,
) -> Response {
    done(portal!(world, which).operator_edits(id, &body.text))
}

async fn remove(
    Extract(world): World1,
    Query(which): Query<Which>,
    Path(id): Path<i64>,
) -> Response {
    done(portal!(world, which).operator_deletes(id))
}

async fn faults(Extract(world): World1, Query(which): Query<Which>) -> Response {
    Json(fault_list(&portal!(world, which))).into_response()
}

async fn set_fault(
    Extract(world): World1,
    Query(which): Query<Which>,
    Json(rule): Json<Rule>,
) -> Response {
    let portal = portal!(world, which);
    portal.faults().apply(rule);
    portal.changed(None);
    Json(fault_list(&portal)).into_response()
}

async fn clear_faults(Extract(world): World1, Query(which): Query<Which>) -> Response {
    let portal = portal!(world, which);
    portal.faults().clear();
    portal.changed(None);
    StatusCode::NO_CONTENT.into_response()
}

/// What an action needs; each uses its own part.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    line: i64,
    user: i64,
    connector: String,
    clean: bool,
    admin: bool,
    seconds: u64,
    client_id: String,
}

async fn action(
    Extract(world): World1,
    Query(which): Query<Which>,
    Path(name): Path<String>,
    details: Option<Json<Details>>,
) -> Response {
    let portal = portal!(world, which);
    let details = details.map(|Json(details)| details).unwrap_or_default();
    let result = match name.as_str() {
        "disconnect" => portal
            .disconnect(details.line)
            .then_some(())
            .ok_or(Refusal::NoSuchLine),
        "delete-line" => portal.delete_line(details.line),
        "switch-off-connector" => {
            let was_on = portal.switch_off_connector(&details.connector, details.line);
            was_on.then_some(()).ok_or(Refusal::NoSuchLine)
        }
        "dismiss-user" => portal.dismiss_user(details.user),
        "set-admin" => portal.set_admin(details.user, details.admin),
        "finish-installation" => portal.finish_installation(&details.client_id),
        "uninstall" => {
            portal.uninstall(details.clean);
            Ok(())
        }
        "update-app" => {
            portal.update_app().await;
            Ok(())
        }
        "drop-connector" => {
            portal.drop_connector(&details.connector);
            Ok(())
        }
        "wipe-handlers" => {
            portal.wipe_handlers();
            Ok(())
        }
        "end-plan" => {
            portal.end_plan();
            Ok(())
        }
        "pay-plan" => {
            portal.set_plan(true);
            Ok(())
        }
        "delete-portal" => {
            portal.delete();
            Ok(())
        }
        "expire-tokens" => {
            portal.expire_tokens();
            Ok(())
        }
        "advance" => {
            world.clock.advance(Duration::from_secs(details.seconds));
            world.events.marks.changed.notify_one();
            world.changed(0, None);
            Ok(())
        }
        "rename" => {
            return match portal.rename().await {
                Ok(domain) => Json(json!({ "domain": domain })).into_response(),
                Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            };
        }
        _ => return problem(StatusCode::NOT_FOUND, "There is no such action."),
    };
    done(result)
}

/// The form of a local application, as its administrator fills it in.
#[derive(Deserialize)]
struct AppForm {
    handler_url: String,
    #[serde(default)]
    install_url: String,
    #[serde(default)]
    api_only: bool,
    #[serde(default)]
    scope: String,
    #[serde(default = "administrator")]
    user: i64,
}

fn administrator() -> i64 {
    1
}

/// Saves such a form. The application's id and key exist from then on and are shown by the answer, which is after the
/// installation was announced.
async fn save_app(
    Extract(world): World1,
    Query(which): Query<Which>,
    Json(form): Json<AppForm>,
) -> Response {
    let portal = portal!(world, which);
    let chance = || uuid::Uuid::new_v4().simple().to_string();
    let (id, number, secret) = (chance(), chance(), chance());
    let client_id = format!("local.{}.{}", &id[..14], &number[..8]);
    let mut app = LocalApp::api_only(&client_id, &secret, &form.install_url);
    app.handler_url = form.handler_url;
    app.with_interface = !form.api_only;
    app.installer = form.user;
    if !form.scope.trim().is_empty() {
        app.scope = form.scope;
    }
    // An application with pages is installed by the browser that opens its page.
    let status = if app.with_interface {
        portal.enter_local_app(app);
        None
    } else {
        portal.save_local_app(app).await.status
    };
    let body = json!({ "client_id": client_id, "client_secret": secret, "status": status });
    (StatusCode::CREATED, Json(body)).into_response()
}

async fn calls(Extract(world): World1, Query(which): Query<Which>) -> Response {
    Json(portal!(world, which).calls()).into_response()
}

/// Media is shown in the page; everything else is saved, because it could be a page itself.
async fn file(Extract(world): World1, Query(which): Query<Which>, Path(id): Path<i64>) -> Response {
    let portal = portal!(world, which);
    let state = portal.lock();
    let Some(stored) = state.files.get(&id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let media = ["image/", "audio/", "video/"]
        .iter()
        .any(|kind| stored.file.mime.starts_with(kind));
    files::bytes_answer(stored, if media { "inline" } else { "attachment" })
}

async fn changes(Extract(world): World1) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let stream = stream::unfold(
        (world.feed.subscribe(), world.closing.clone()),
        |(mut feed, closing)| async move {
            let change = tokio::select! {
                change = next_change(&mut feed) => change?,
                () = closing.cancelled() => return None,
            };
            // Numbers only: it always serializes.
            let event = Event::default().json_data(change).unwrap_or_default();
            Some((Ok(event), (feed, closing)))
        },
    );
    Sse::new(stream).keep_alive(KeepAlive::default())
}

/// The next change. A reader who fell behind is told that anything may have changed.
async fn next_change(feed: &mut Receiver<Change>) -> Option<Change> {
    match feed.recv().await {
        Ok(change) => Some(change),
        Err(RecvError::Lagged(_)) => Some(Change {
            portal: 0,
            chat: None,
        }),
        Err(RecvError::Closed) => None,
    }
}
