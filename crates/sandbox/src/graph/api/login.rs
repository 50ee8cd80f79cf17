//! Login at Facebook, tokens and what is told about them. Source: Meta: manual login flow, access tokens.

use super::{Call, Outcome, argument};
use crate::graph::{
    Shared,
    error::GraphError,
    faults::{Fault, Place},
    world::{Code, Token},
};
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// How long a token from a login lives: 60 days, in seconds.
const LIFETIME: i64 = 60 * 24 * 60 * 60;

/// The dialog agrees at once and sends the browser back with a code.
pub(super) fn dialog(shared: &Shared, call: &Call) -> Response {
    let Some(mut back) = call
        .query
        .get("redirect_uri")
        .and_then(|address| Url::parse(address).ok())
    else {
        return (StatusCode::BAD_REQUEST, "redirect_uri is missing").into_response();
    };
    let mut world = shared.world();
    let client_id = call.query.get("client_id").map_or("", String::as_str);
    let Some(app_id) = world.apps.get(client_id).map(|app| Arc::clone(&app.id)) else {
        return (StatusCode::BAD_REQUEST, "unknown client_id").into_response();
    };
    let state = call.query.get("state").map_or("", String::as_str);
    if shared
        .faults
        .strike(Fault::LoginDenied, &Place::default())
        .is_some()
    {
        back.query_pairs_mut()
            .append_pair("error", "access_denied")
            .append_pair("error_code", "200")
            .append_pair("error_reason", "user_denied")
            .append_pair("error_description", "Permissions error")
            .append_pair("state", state);
    } else {
        let code = world.new_secret();
        world.codes.insert(
            code.clone(),
            Code {
                app_id,
                redirect_uri: call.query.get("redirect_uri").cloned(),
                used: false,
            },
        );
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", state);
    }
    let location = back.to_string();
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

/// Exchanges a code or a token, or gives the application's token.
pub(super) fn access_token(shared: &Shared, call: &Call) -> Outcome {
    let text = |name: &str| argument(call, name);
    let mut world = shared.world();
    let client_id = text("client_id").ok_or_else(|| missing("client_id"))?;
    let app = world
        .apps
        .get(client_id.as_str())
        .ok_or_else(|| GraphError::new(101, "Error validating application."))?;
    if text("client_secret").as_deref() != Some(&app.secret) {
        return Err(GraphError::new(1, "Error validating client secret."));
    }
    let app_id = Arc::clone(&app.id);
    let mut accounts = None;
    match text("grant_type").as_deref() {
        Some("client_credentials") => {
            let token = format!("{client_id}|{}", app.secret);
            return Ok(json!({"access_token": token, "token_type": "bearer"}));
        }
        Some("fb_exchange_token") => {
            let given = text("fb_exchange_token").ok_or_else(|| missing("fb_exchange_token"))?;
            let known = world.tokens.get(&given).filter(|token| !token.revoked);
            let known = known.ok_or_else(|| {
                GraphError::token(None, "Error validating access token: unknown token.")
            })?;
            accounts.clone_from(&known.accounts);
        }
        _ => {
            let code = text("code").ok_or_else(|| missing("code"))?;
            let redirect_uri = text("redirect_uri");
            let known = world
                .codes
                .get_mut(&code)
                .filter(|code| !code.used && code.app_id == app_id);
            let Some(known) = known else {
                return Err(with_subcode(
                    36_009,
                    "This authorization code has been used.",
                ));
            };
            if known.redirect_uri != redirect_uri {
                return Err(with_subcode(
                    36_008,
                    "Error validating verification code. Please make sure your redirect_uri is identical to the one you used in the OAuth dialog request",
                ));
            }
            known.used = true;
        }
    }
    let token = format!("EAA{}", world.new_secret());
    let expires_at = Some(world.clock.now() + LIFETIME * 1000);
    world.tokens.insert(
        token.clone(),
        Token {
            app_id,
            accounts,
            expires_at,
            revoked: false,
        },
    );
    Ok(json!({"access_token": token, "token_type": "bearer", "expires_in": LIFETIME}))
}

/// What is known about a token.
pub(super) fn debug_token(shared: &Shared, call: &Call) -> Outcome {
    let input = argument(call, "input_token").ok_or_else(|| missing("input_token"))?;
    let world = shared.world();
    let now = world.clock.now();
    let Some(token) = world.tokens.get(&input) else {
        return Ok(json!({"data": {
            "is_valid": false,
            "scopes": [],
            "error": {"code": 190, "message": "Invalid OAuth access token."},
        }}));
    };
    let expired = token.expires_at.is_some_and(|expires| expires <= now);
    let accounts: Vec<&str> = world
        .accounts
        .keys()
        .map(AsRef::as_ref)
        .filter(|id: &&str| {
            token
                .accounts
                .as_ref()
                .is_none_or(|accounts| accounts.contains(*id))
        })
        .collect();
    let scopes = [
        "whatsapp_business_management",
        "whatsapp_business_messaging",
    ];
    let granular: Vec<Value> = scopes
        .iter()
        .map(|scope| json!({"scope": scope, "target_ids": accounts}))
        .collect();
    let mut data = json!({
        "app_id": &*token.app_id,
        "type": "SYSTEM_USER",
        "application": "Sandbox",
        "is_valid": !(expired || token.revoked),
        "expires_at": token.expires_at.map_or(0, |expires| expires / 1000),
        "data_access_expires_at": 0,
        "issued_at": now / 1000,
        "user_id": "122100000000001",
        "scopes": scopes,
        "granular_scopes": granular,
    });
    if expired || token.revoked {
        let subcode = if expired { 463 } else { 460 };
        data["error"] = json!({
            "code": 190,
            "subcode": subcode,
            "message": "Error validating access token: Session has expired.",
        });
    }
    Ok(json!({ "data": data }))
}

fn missing(name: &str) -> GraphError {
    GraphError::parameter(format!("Missing {name} parameter."))
}

fn with_subcode(subcode: u32, details: &str) -> GraphError {
    GraphError {
        subcode: Some(subcode),
        ..GraphError::parameter(details)
    }
}
