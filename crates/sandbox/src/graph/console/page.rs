//! Meta's consoles as a part of the page: applications, tokens, accounts, numbers and templates.

use super::Console;
use crate::graph::{
    Shared,
    control::{Refused, Shares, asset, wrong},
};
use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};
use std::sync::Arc;

pub(in crate::graph) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(
            "/console.js",
            get(|| async { asset("text/javascript; charset=utf-8", include_str!("page.js")) }),
        )
        .route("/sandbox/console", get(show).post(change))
}

/// Everything, tokens and secrets included: the stand-in has no others than these made-up ones.
async fn show(State(shared): Shares) -> Json<Value> {
    let world = shared.world();
    let apps: Vec<Value> = world
        .apps
        .values()
        .map(|app| json!({"id": &*app.id, "secret": app.secret, "live": app.live, "fields": app.fields}))
        .collect();
    let tokens: Vec<Value> = world
        .tokens
        .iter()
        .map(|(value, token)| {
            json!({
                "value": value, "app": &*token.app_id, "kind": token.kind, "scopes": token.scopes,
                "accounts": token.accounts, "expires_at": token.expires_at, "revoked": token.revoked,
            })
        })
        .collect();
    let accounts: Vec<Value> = world
        .accounts
        .values()
        .map(|account| {
            let templates: Vec<Value> = account
                .templates
                .iter()
                .map(|template| {
                    json!({"name": template.name, "language": template.language, "status": template.status})
                })
                .collect();
            let numbers: Vec<Value> = world
                .numbers
                .values()
                .filter(|number| number.account == account.id)
                .map(|number| {
                    json!({
                        "id": &*number.id, "digits": &*number.digits, "registered": number.registered,
                        "pin": number.pin,
                    })
                })
                .collect();
            json!({
                "id": &*account.id, "name": account.name, "templates": templates, "numbers": numbers,
                "subscribed": account.subscribed.keys().map(AsRef::as_ref).collect::<Vec<&str>>(),
            })
        })
        .collect();
    Json(json!({"apps": apps, "tokens": tokens, "accounts": accounts}))
}

/// `{"do": "live", "app": id, "on": bool}`, `{"do": "revoke" | "restore", "token": value}`,
/// `{"do": "number", "number": id, "registered": bool, "pin": digits | null}` or
/// `{"do": "template", "account": id, "name": …, "language": …, "event": …}`.
async fn change(State(shared): Shares, Json(body): Json<Value>) -> Result<StatusCode, Refused> {
    let console = Console(&shared);
    let text = |name: &str| {
        body[name]
            .as_str()
            .ok_or_else(|| wrong(format!("`{name}` must be text.")))
    };
    let flag = |name: &str| {
        body[name]
            .as_bool()
            .ok_or_else(|| wrong(format!("`{name}` must be true or false.")))
    };
    match text("do")? {
        "live" => console.set_live(text("app")?, flag("on")?),
        "revoke" => console.revoke_token(text("token")?),
        "restore" => console.restore_token(text("token")?),
        "number" => {
            let pin = body["pin"].as_str().filter(|pin| !pin.is_empty());
            if pin.is_some_and(|pin| {
                pin.len() != 6 || !pin.bytes().all(|digit| digit.is_ascii_digit())
            }) {
                return Err(wrong("A PIN has six digits."));
            }
            console.set_standing(text("number")?, flag("registered")?, pin);
        }
        "template" => {
            console
                .set_template_status(
                    text("account")?,
                    text("name")?,
                    text("language")?,
                    text("event")?,
                    "NONE",
                )
                .ok_or_else(|| wrong("There is no such template."))?;
        }
        _ => return Err(wrong("`do` is none of the things that can be done.")),
    }
    Ok(StatusCode::NO_CONTENT)
}
