//! Login at Facebook, tokens and what is told about them. Source: Meta: manual login flow, access tokens.

use super::{Call, Outcome, argument};
use crate::graph::{
    Shared,
    error::GraphError,
    faults::{Fault, Place},
    world::Token,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// How long a token from a login lives: 60 days, in seconds.
const LIFETIME: i64 = 60 * 24 * 60 * 60;

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
    let mut token = match text("grant_type").as_deref() {
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
            Token {
                expires_at: Some(world.clock.now() + LIFETIME * 1000),
                ..known.clone()
            }
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
            known.token.clone()
        }
    };
    token.revoked = false;
    let now = world.clock.now();
    let value = format!("EAA{}", world.new_secret());
    let mut answer = json!({"access_token": value, "token_type": "bearer"});
    if let Some(expires_at) = token.expires_at {
        answer["expires_in"] = ((expires_at - now) / 1000).into();
    }
    world.tokens.insert(value, token);
    Ok(answer)
}

/// What is known about a token.
pub(super) fn debug_token(shared: &Shared, call: &Call) -> Outcome {
    let input = argument(call, "input_token").ok_or_else(|| missing("input_token"))?;
    let world = shared.world();
    let now = world.clock.now();
    if let Some((app_id, _)) = input.split_once('|') {
        return Ok(json!({"data": {
            "app_id": app_id, "type": "APP", "is_valid": world.apps.contains_key(app_id), "scopes": [],
        }}));
    }
    let Some(token) = world.tokens.get(&input) else {
        return Ok(json!({"data": {
            "is_valid": false,
            "scopes": [],
            "error": {"code": 190, "message": "Invalid OAuth access token."},
        }}));
    };
    let expired = token.expires_at.is_some_and(|expires| expires <= now)
        || shared
            .faults
            .peek(Fault::ExpiredToken, &Place::default())
            .is_some();
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
    let granular: Vec<Value> = token
        .scopes
        .iter()
        .map(|scope| {
            let named = token.names_accounts && scope.starts_with("whatsapp_");
            if named {
                json!({"scope": scope, "target_ids": accounts})
            } else {
                json!({"scope": scope})
            }
        })
        .collect();
    let seconds = |milliseconds: Option<i64>| milliseconds.map_or(0, |at| at / 1000);
    let application = world.apps.get(&token.app_id).map(|app| app.name.as_str());
    let mut data = json!({
        "app_id": &*token.app_id,
        "type": token.kind,
        "application": application,
        "is_valid": !(expired || token.revoked),
        "expires_at": seconds(token.expires_at),
        "data_access_expires_at": 0,
        "issued_at": now / 1000,
        "user_id": "122100000000001",
        "scopes": token.scopes,
        "granular_scopes": granular,
    });
    if token.kind == "USER" {
        data["data_access_expires_at"] = (now / 1000 + 90 * 24 * 60 * 60).into();
    }
    if expired || token.revoked {
        let (subcode, message) = if expired {
            (463, "Error validating access token: Session has expired.")
        } else {
            (
                460,
                "Error validating access token: The session has been invalidated.",
            )
        };
        data["error"] = json!({"code": 190, "subcode": subcode, "message": message});
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
