//! Pages of an application inside the portal: the browser form that opens one, and the page around the frame.
//!
//! A portal shows an application in a frame that a form post opens from the employee's browser (Bitrix24: widgets). The
//! frame's name is `DOMAIN|PROTOCOL|APP_SID`, and the page in it talks with the page around it by `postMessage`: texts
//! `command:parameters:callback:APP_SID`, answered with `callback:JSON`. `frame.js` is that other end.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Path, Query, State as Extract},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::{
    PageAnswer, Portal, Refusal, World,
    caller::{EVENT_AGENT, Outgoing},
    events::{FORM, TOKEN_LIFETIME},
    oauth::Family,
    php::{Value, map},
    state::{App, State},
    view::Robot,
};

/// The page around a frame may show any application and post a form to it; itself it loads only what is ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src *; \
     base-uri 'none'; frame-ancestors 'none'";

/// The form with which a portal opens a page of an application. Tests take it apart and forge it.
#[derive(Clone, PartialEq, Eq)]
pub struct PageForm {
    /// The application's address, without what the portal adds.
    pub url: String,
    /// What is added to the address: `DOMAIN`, `PROTOCOL`, `LANG`, `APP_SID`.
    pub query: Vec<(String, String)>,
    /// The fields of the form.
    pub body: Vec<(String, String)>,
}

impl std::fmt::Debug for PageForm {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("PageForm")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl PageForm {
    /// A value of the address or of the form; empty where it is not there.
    pub fn value(&self, name: &str) -> &str {
        let mut all = self.query.iter().chain(&self.body);
        all.find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    /// Puts another value in place of the one that is there; adds it to the form where there is none.
    pub fn set(&mut self, name: &str, value: &str) {
        let mut all = self.query.iter_mut().chain(&mut self.body);
        match all.find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.body.push((name.to_owned(), value.to_owned())),
        }
    }

    /// Leaves a value out, as older portals do.
    pub fn remove(&mut self, name: &str) {
        self.query.retain(|(known, _)| known != name);
        self.body.retain(|(known, _)| known != name);
    }

    /// The spelling of some portals: everything about the caller nested in `auth[…]`, the address bare.
    #[must_use]
    pub fn nested(mut self) -> Self {
        let names = [
            ("AUTH_ID", "access_token"),
            ("AUTH_EXPIRES", "expires_in"),
            ("REFRESH_ID", "refresh_token"),
            ("SERVER_ENDPOINT", "server_endpoint"),
            ("APPLICATION_TOKEN", "application_token"),
            ("APPLICATION_SCOPE", "scope"),
            ("DOMAIN", "domain"),
            ("member_id", "member_id"),
            ("status", "status"),
        ];
        let all: Vec<_> = self.query.drain(..).chain(self.body.drain(..)).collect();
        for (name, value) in all {
            let nested = names.iter().find(|(flat, _)| *flat == name);
            let name = nested.map_or(name, |(_, nested)| format!("auth[{nested}]"));
            self.body.push((name, value));
        }
        self
    }

    /// The address with what the portal adds.
    fn address(&self) -> io::Result<Url> {
        let mut url = Url::parse(&self.url).map_err(io::Error::other)?;
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    fn form(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.body)
            .finish()
    }
}

/// What `PLACEMENT_OPTIONS` says when the settings of a connector are opened for a line.
pub fn connector_options(connector: &str, line: i64) -> String {
    json!({
        "CONNECTOR": connector, "LINE": line.to_string(), "STATUS": false, "ACTIVE_STATUS": false,
        "CONNECTION_STATUS": false, "REGISTER_STATUS": false, "ERROR_STATUS": false, "URI": "/contact_center/",
    })
    .to_string()
}

/// What `PLACEMENT_OPTIONS` says when the settings of a step are opened for a deal.
fn robot_options(state: &State, robot: &Robot) -> String {
    let saved = state
        .robot_settings
        .get(&robot.code)
        .cloned()
        .unwrap_or_default();
    let mut values = serde_json::Map::new();
    for (key, value) in saved {
        match key.strip_suffix("[]") {
            Some(key) => values.insert(key.to_owned(), value.split('|').collect()),
            None => values.insert(key, value.into()),
        };
    }
    let field = |name: &str| json!({ "Name": name, "Type": "string", "Editable": true });
    json!({
        "code": robot.code,
        "activity_name": "A65e0c0ffee_1",
        "properties": robot.properties.iter().map(|key| (key.clone(), json!({ "Name": key }))).collect::<serde_json::Map<_, _>>(),
        "current_values": values,
        "document_type": ["crm", "CCrmDocumentDeal", "DEAL"],
        "document_fields": {
            "TITLE": field("Deal name"),
            "OPPORTUNITY": field("Amount"),
            "CONTACT.NAME": field("Contact: First name"),
            "CONTACT.PHONE": field("Contact: Phone"),
        },
        "template": {},
    })
    .to_string()
}

impl Portal {
    /// The form that opens the settings of a step, as [`Portal::page_form`].
    pub fn robot_form(&self, code: &str, user: i64) -> Result<PageForm, Refusal> {
        let (client_id, page, options) = {
            let state = self.lock();
            let robot = state
                .robots
                .values()
                .find(|robot| robot.code == code && !robot.settings_page.is_empty())
                .ok_or(Refusal::NoSuchRobot)?;
            let options = robot_options(&state, robot);
            (
                robot.client_id.clone(),
                robot.settings_page.clone(),
                options,
            )
        };
        self.page_form(
            &client_id,
            &page,
            "BIZPROC_PROPERTIES",
            Some(&options),
            user,
        )
    }

    /// The form that the browser of `user` posts to open a page of the application. `options` is the JSON of
    /// `PLACEMENT_OPTIONS`.
    pub fn page_form(
        &self,
        client_id: &str,
        url: &str,
        placement: &str,
        options: Option<&str>,
        user: i64,
    ) -> Result<PageForm, Refusal> {
        self.page_form_in(
            client_id,
            url,
            placement,
            options,
            user,
            self.behaviour().language,
        )
    }

    fn page_form_in(
        &self,
        client_id: &str,
        url: &str,
        placement: &str,
        options: Option<&str>,
        user: i64,
        language: &str,
    ) -> Result<PageForm, Refusal> {
        let mut state = self.lock();
        let app = state
            .apps
            .get(client_id)
            .ok_or(Refusal::NoSuchApplication)?;
        // The installation page brings the pair that the application lives on; every other page its reader's own.
        let family = if app.installed || url != app.install_url {
            Family::Page(user)
        } else {
            Family::Installation
        };
        let scope = app.scope.join(",");
        let application_token = app.application_token.clone();
        let pair = self.new_pair(&mut state, client_id, user, family);
        drop(state);
        let texts = |fields: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            fields.iter().map(owned).collect()
        };
        let (domain, sid, lifetime) = (self.domain(), self.secret(), TOKEN_LIFETIME.to_string());
        let mut body = texts(&[
            ("AUTH_ID", &pair.access),
            ("AUTH_EXPIRES", &lifetime),
            ("REFRESH_ID", &pair.refresh),
            ("SERVER_ENDPOINT", &self.server_endpoint()),
            ("APPLICATION_TOKEN", &application_token),
            ("APPLICATION_SCOPE", &scope),
            ("member_id", self.member_id()),
            ("status", "L"),
            ("PLACEMENT", placement),
        ]);
        body.extend(options.map(|options| ("PLACEMENT_OPTIONS".to_owned(), options.to_owned())));
        Ok(PageForm {
            url: url.to_owned(),
            query: texts(&[
                ("DOMAIN", &domain),
                ("PROTOCOL", "0"),
                ("LANG", language),
                ("APP_SID", &sid),
            ]),
            body,
        })
    }

    /// Posts such a form, as a browser does.
    pub async fn post_page(&self, form: &PageForm) -> io::Result<PageAnswer> {
        let (url, body) = (form.address()?, form.form());
        let mut page = Vec::new();
        let request = Outgoing {
            method: "POST",
            url: &url,
            agent: EVENT_AGENT,
            content_type: Some(FORM),
            body: body.as_bytes(),
            timeout: Duration::from_secs(30),
        };
        let head = self
            .world
            .caller
            .call(request, &mut |piece| page.extend_from_slice(piece))
            .await?;
        Ok(PageAnswer {
            status: head.status,
            body: String::from_utf8_lossy(&page).into_owned(),
            location: head.location,
            policy: head.policy,
            sets_cookie: head.sets_cookie,
        })
    }

    /// Opens a page of the application in a frame, as the browser of `user` does: a form post with that user's token.
    pub async fn open_page(
        &self,
        client_id: &str,
        url: &str,
        placement: &str,
        options: Option<&str>,
        user: i64,
    ) -> io::Result<PageAnswer> {
        let form = self
            .page_form(client_id, url, placement, options, user)
            .map_err(io::Error::other)?;
        self.post_page(&form).await
    }
}

pub(crate) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/p/{portal}/frame/", get(page))
        .route("/p/{portal}/frame/auth", post(auth))
        .route("/p/{portal}/frame/robot", post(robot))
        .route(
            "/frame.js",
            get(|| async {
                let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
                (kind, include_str!("frame.js"))
            }),
        )
}

/// Which page is opened, and by whom.
#[derive(Deserialize)]
struct Which {
    client_id: String,
    /// `install`, `app`, `SETTING_CONNECTOR`, `ROBOT` (settings of the step `code`), or the name of a placement.
    #[serde(default = "default_page")]
    page: String,
    #[serde(default = "default_user")]
    user: i64,
    language: Option<String>,
    connector: Option<String>,
    line: Option<i64>,
    options: Option<String>,
    /// Code of a step whose settings are opened.
    #[serde(default)]
    code: String,
}

fn default_page() -> String {
    "app".to_owned()
}

fn default_user() -> i64 {
    1
}

/// The application's address for a page, the placement's name and its options.
fn target(
    state: &State,
    app: &App,
    which: &Which,
) -> Option<(String, &'static str, String, Option<String>)> {
    let default = |url: &str| Some((url.to_owned(), "app", "DEFAULT".to_owned(), None));
    match which.page.as_str() {
        // An application that is not installed to the end shows its installation again at every opening.
        "app" | "install" if !app.installed => Some((
            app.install_url.clone(),
            "install",
            "DEFAULT".to_owned(),
            None,
        )),
        "install" => default(&app.install_url),
        "app" => default(&app.handler_url),
        "SETTING_CONNECTOR" => {
            let connector = which.connector.as_deref()?.to_lowercase();
            let handler = state.connectors.get(&connector)?.placement_handler.clone();
            let options = connector_options(&connector, which.line.unwrap_or_default());
            Some((handler, "app", which.page.clone(), Some(options)))
        }
        "ROBOT" => {
            let robot = state
                .robots
                .values()
                .find(|robot| robot.code == which.code)?;
            let page = Some(robot.settings_page.clone()).filter(|page| !page.is_empty())?;
            let options = robot_options(state, robot);
            // The portal has one placement of its own for all steps.
            Some((page, "app", "BIZPROC_PROPERTIES".to_owned(), Some(options)))
        }
        name => {
            let bound = state
                .placements
                .iter()
                .find(|bound| bound.client_id == app.client_id && bound.placement == name)?;
            Some((
                bound.handler.clone(),
                "app",
                name.to_owned(),
                which.options.clone(),
            ))
        }
    }
}

fn refused(status: StatusCode, text: &str) -> Response {
    (status, text.to_owned()).into_response()
}

/// The page around the frame.
async fn page(
    Extract(world): Extract<Arc<World>>,
    Path(number): Path<u32>,
    Query(which): Query<Which>,
) -> Response {
    let Some(portal) = world.portal(number) else {
        return refused(StatusCode::NOT_FOUND, "There is no such portal.");
    };
    let found = {
        let state = portal.lock();
        let user = state.users.get(&which.user).filter(|user| user.active);
        let app = state.apps.get(&which.client_id);
        let Some((user, app)) = user.zip(app) else {
            return refused(
                StatusCode::NOT_FOUND,
                "There is no such employee or application.",
            );
        };
        target(&state, app, &which).map(|found| (found, user.admin, app.installed))
    };
    let Some(((url, mode, placement, options), admin, installed)) = found else {
        return refused(StatusCode::NOT_FOUND, "Nothing is bound to this place.");
    };
    let language = which.language.as_deref();
    let language = language.unwrap_or(portal.behaviour().language);
    let form = portal.page_form_in(
        &which.client_id,
        &url,
        &placement,
        options.as_deref(),
        which.user,
        language,
    );
    let Ok(form) = form else {
        return refused(StatusCode::NOT_FOUND, "There is no such application.");
    };
    let (Ok(action), sid) = (form.address(), form.value("APP_SID").to_owned()) else {
        return refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "The application's address is none.",
        );
    };
    let shown: serde_json::Value = options
        .and_then(|options| serde_json::from_str(&options).ok())
        .unwrap_or_else(|| json!({}));
    let data = json!({
        "portal": number,
        "action": action.as_str(),
        "fields": form.body,
        "name": format!("{}|0|{sid}", portal.domain()),
        "title": format!("{} – {}", portal.name(), which.client_id),
        "client_id": which.client_id,
        "user": which.user,
        "code": which.code,
        "init": {
            "LANG": language, "DOMAIN": portal.domain(), "PROTOCOL": "0", "PATH": "/rest",
            "AUTH_ID": form.value("AUTH_ID"), "REFRESH_ID": form.value("REFRESH_ID"),
            "AUTH_EXPIRES": form.value("AUTH_EXPIRES"), "MEMBER_ID": portal.member_id(), "IS_ADMIN": admin,
            "APP_OPTIONS": {}, "USER_OPTIONS": {}, "PLACEMENT": placement, "PLACEMENT_OPTIONS": shown,
            "INSTALL": mode == "install" && !installed, "FIRST_RUN": false,
        },
    });
    // Within a script's text "<" could only end it.
    let data = data.to_string().replace('<', "\\u003c");
    let html = include_str!("frame.html").replace("{{data}}", &data);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, html).into_response()
}

#[derive(Deserialize)]
struct Viewer {
    client_id: String,
    user: i64,
}

/// A new token for the employee who looks at a page: what `refreshAuth` gives.
async fn auth(
    Extract(world): Extract<Arc<World>>,
    Path(number): Path<u32>,
    Json(viewer): Json<Viewer>,
) -> Response {
    let Some(portal) = world.portal(number) else {
        return refused(StatusCode::NOT_FOUND, "There is no such portal.");
    };
    let mut state = portal.lock();
    if !state.apps.contains_key(&viewer.client_id) {
        return refused(StatusCode::NOT_FOUND, "There is no such application.");
    }
    let family = Family::Page(viewer.user);
    let pair = portal.new_pair(&mut state, &viewer.client_id, viewer.user, family);
    drop(state);
    let answer: Value = map([
        ("AUTH_ID", pair.access.into()),
        ("REFRESH_ID", pair.refresh.into()),
        ("AUTH_EXPIRES", TOKEN_LIFETIME.to_string().into()),
    ]);
    Json(answer.to_json()).into_response()
}

/// Settings of a step, as its page sets them: what `setPropertyValue` gives, saved at once.
#[derive(Deserialize)]
struct StepValues {
    code: String,
    values: serde_json::Map<String, serde_json::Value>,
}

async fn robot(
    Extract(world): Extract<Arc<World>>,
    Path(number): Path<u32>,
    Json(step): Json<StepValues>,
) -> Response {
    let Some(portal) = world.portal(number) else {
        return refused(StatusCode::NOT_FOUND, "There is no such portal.");
    };
    match portal.save_robot_settings(&step.code, &step.values) {
        Ok(()) => Json(json!(true)).into_response(),
        Err(refusal) => refused(StatusCode::UNPROCESSABLE_ENTITY, &refusal.to_string()),
    }
}
