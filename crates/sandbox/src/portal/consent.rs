//! The second way to an application's tokens: an employee allows it in the browser, and the browser brings back a code
//! (Bitrix24: OAuth 2.0, `/oauth/authorize/`).
//!
//! There is no `redirect_uri`: the browser goes back to the application's handler path.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, State as Extract},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};

use super::{
    Portal, User, World,
    php::{Value, map},
};

/// How long an authorization code is good, in seconds.
const CODE_LIFETIME: i64 = 30;

/// No script; the form's answer leads to the application, which `form-action` would forbid.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /oauth/authorize/` of a portal: the question. With `POST`, its answer.
pub(crate) async fn of_portal(
    Extract(world): Extract<Arc<World>>,
    Path(number): Path<u32>,
    uri: Uri,
    body: Bytes,
) -> Response {
    consent(world.portal(number), &uri, &body)
}

/// The same where the address names no portal, as it would for one that has a host of its own: the portal is the one that
/// has the application.
pub(crate) async fn of_host(
    Extract(world): Extract<Arc<World>>,
    uri: Uri,
    body: Bytes,
) -> Response {
    let client_id = Value::from_form(uri.query().unwrap_or_default().as_bytes());
    let client_id = client_id.text_of("client_id");
    let has = |portal: &Portal| portal.lock().apps.contains_key(&client_id);
    consent(world.all().into_iter().find(has), &uri, &body)
}

fn consent(portal: Option<Portal>, uri: &Uri, body: &[u8]) -> Response {
    let query = Value::from_form(uri.query().unwrap_or_default().as_bytes());
    let client_id = query.text_of("client_id");
    let known = portal.filter(|portal| portal.lock().apps.contains_key(&client_id));
    let Some(portal) = known else {
        return page(
            StatusCode::BAD_REQUEST,
            "<h1>invalid_client</h1><p>No application with this id is installed here.</p>",
        );
    };
    if body.is_empty() {
        return portal.question(&client_id);
    }
    let answer = Value::from_form(body);
    let back = if answer.text_of("decision") == "allow" {
        portal.allowed(
            &client_id,
            answer.integer_of("user").unwrap_or(1),
            &query.text_of("state"),
        )
    } else {
        map([
            ("error", "access_denied".into()),
            ("error_description", "The user denied the request".into()),
            ("state", query.text_of("state").into()),
        ])
    };
    portal.back(&client_id, &back)
}

fn page(status: StatusCode, content: &str) -> Response {
    let html = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Access – sandbox portal</title>\
         <link rel=\"stylesheet\" href=\"/page.css\"><main class=\"consent\">{content}</main></html>"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, html).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

impl Portal {
    fn question(&self, client_id: &str) -> Response {
        let state = self.lock();
        let users = state.users.values().filter(|user| user.active);
        let option = |user: &User| {
            format!(
                "<option value=\"{}\">{} {}{}</option>",
                user.id,
                escaped(&user.name),
                escaped(&user.last_name),
                if user.admin { " (administrator)" } else { "" }
            )
        };
        let options = users.map(option).collect::<Vec<String>>().concat();
        let content = format!(
            "<h1>{}</h1><p>The application {} asks for access to this portal.</p>\
             <form method=\"post\"><label>You are <select name=\"user\">{options}</select></label>\
             <button class=\"primary\" name=\"decision\" value=\"allow\">Allow</button>\
             <button name=\"decision\" value=\"deny\">Deny</button></form>",
            escaped(self.name()),
            escaped(client_id)
        );
        page(StatusCode::OK, &content)
    }

    fn allowed(&self, client_id: &str, user: i64, state_text: &str) -> Value {
        let code = self.secret();
        let until = self.world.clock.seconds() + CODE_LIFETIME;
        let mut state = self.lock();
        let scope = state
            .apps
            .get(client_id)
            .map(|app| app.scope.join(","))
            .unwrap_or_default();
        state
            .codes
            .insert(code.clone(), (client_id.to_owned(), user, until));
        map([
            ("code", code.into()),
            ("state", state_text.into()),
            ("domain", self.domain().into()),
            ("member_id", self.inner.member_id.as_str().into()),
            ("scope", scope.into()),
            (
                "server_domain",
                self.world.url.trim_start_matches("http://").into(),
            ),
        ])
    }

    /// Sends the browser back to the application.
    fn back(&self, client_id: &str, parameters: &Value) -> Response {
        let handler = {
            let state = self.lock();
            let app = state.apps.get(client_id);
            app.map(|app| app.handler_url.clone()).unwrap_or_default()
        };
        let separator = if handler.contains('?') { '&' } else { '?' };
        let location = format!("{handler}{separator}{}", parameters.to_form());
        (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
    }
}
