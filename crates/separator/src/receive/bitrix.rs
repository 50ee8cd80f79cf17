//! Bitrix24's door: events and the installation of an application without interface (Bitrix24: events, safe handlers).
//!
//! Bitrix24 never repeats an event, so nothing here may be slow and nothing that carries the right application token
//! may be lost. Tokens in a body serve this request only and are blanked before it is stored.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Query, Request, State},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use bitrix24::events::{Event, EventAuth, EventData};
use serde::Deserialize;
use uuid::Uuid;

use super::{consent, origin, read_body};
use crate::{
    app::App,
    portal::{self, claim::Claim},
    store::receipts::Source,
};

/// Query of the events' address.
#[derive(Debug, Deserialize)]
pub struct Parameters {
    #[serde(rename = "api-key")]
    api_key: Option<String>,
    #[serde(rename = "app-id")]
    app_id: Option<String>,
}

/// `GET /api/bitrix/`: probes of the form in which the address is entered, and browsers that come back from the
/// authorization page.
pub async fn probe(uri: Uri) -> Response {
    consent::forwarded(&uri)
        .unwrap_or_else(|| "This address receives the events of Bitrix24.".into_response())
}

/// `POST /api/bitrix/`: the install event and all other events.
pub async fn event(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    event_at(&app, peer, request).await
}

/// An event that came to any of our doors.
pub(super) async fn event_at(app: &Arc<App>, peer: SocketAddr, request: Request) -> Response {
    let Ok(Query(parameters)) = Query::<Parameters>::try_from_uri(request.uri()) else {
        return refuse(app, "not_understood", "the query of the address is not one");
    };
    if let Some(key) = &parameters.api_key {
        match app.callback_keys.is_valid(&app.store, key).await {
            Ok(true) => {}
            Ok(false) => return refuse(app, "api_key", "the api-key is not valid"),
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    let site = origin::domain(request.headers(), peer, &app.settings)
        .and_then(|domain| Some(app.directory.snapshot().site_on(&domain)?.id));
    let body = match read_body(request.into_body()).await {
        Ok(body) => body,
        Err(status) => {
            app.metrics.count("doors_refused", "body");
            return status.into_response();
        }
    };
    let Ok(event) = Event::parse(&body) else {
        return refuse(app, "not_understood", "this is not an event of Bitrix24");
    };
    // The update of an application brings a new pair of tokens, as its installation does: both are believed only after
    // asking the authorization server. An update may also be the first that is heard of a portal, because a portal shows
    // the application's id only after it has announced the installation.
    let brings_tokens = match event.data {
        EventData::Install { .. } => true,
        EventData::Update { .. } => event.auth.refresh_token.is_some(),
        _ => false,
    };
    if brings_tokens {
        return install(app, &event, parameters.app_id.as_deref(), site).await;
    }
    let instance = match known(app, &event.auth) {
        Some(instance) => Some(instance),
        // An installation that was made without an application token learns it from the first event that is proven.
        None => match portal::learn(app, &event.auth).await {
            Ok(learnt) => learnt,
            Err(error) if error.is_temporary() => {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            }
            Err(_) => None,
        },
    };
    let Some(instance) = instance else {
        return refuse(
            app,
            "application_token",
            "the application token is not known for this portal",
        );
    };
    if let Ok(_committed) = app
        .committer
        .commit(Source::Bitrix, instance, blank_tokens(&body))
        .await
    {
        app.metrics.count("doors_accepted", "bitrix");
        StatusCode::OK.into_response()
    } else {
        app.metrics.count("doors_refused", "not_stored");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}

/// The installation whose application token an event brings.
fn known(app: &App, auth: &EventAuth) -> Option<Uuid> {
    let claimed = auth.application_token.as_ref()?;
    let registry = app.directory.snapshot();
    let mut instances = registry.instances_of(&auth.member_id);
    let found = instances.find(|instance| {
        let known = instance.application_token.as_ref();
        known.is_some_and(|known| known.matches(claimed.expose()))
    });
    found.map(|instance| instance.id)
}

async fn install(
    app: &Arc<App>,
    event: &Event,
    client_id: Option<&str>,
    site: Option<Uuid>,
) -> Response {
    let announced = async {
        let claim = Claim::of_event(&event.auth, language(&event.data))?;
        portal::announced(app, &claim, client_id, site).await
    };
    match announced.await {
        Ok(_instance) => {
            app.metrics.count("doors_accepted", "install");
            StatusCode::OK.into_response()
        }
        Err(error) => {
            tracing::warn!(%error, member_id = event.auth.member_id, "installation refused");
            app.metrics.count("doors_refused", "install");
            let status = if error.is_temporary() {
                StatusCode::SERVICE_UNAVAILABLE
            } else {
                StatusCode::UNAUTHORIZED
            };
            (status, error.to_string()).into_response()
        }
    }
}

fn language(data: &EventData) -> Option<&str> {
    match data {
        EventData::Install { language, .. } | EventData::Update { language, .. } => {
            language.as_deref()
        }
        _ => None,
    }
}

fn refuse(app: &App, kind: &'static str, why: &'static str) -> Response {
    app.metrics.count("doors_refused", kind);
    (StatusCode::UNAUTHORIZED, why).into_response()
}

/// The body without its tokens: nothing stored may hold a secret in the clear.
pub(super) fn blank_tokens(body: &Bytes) -> Vec<u8> {
    if body.first() == Some(&b'{') {
        return blank_json_tokens(body);
    }
    body.split(|byte| *byte == b'&')
        .map(|pair| {
            let key_end = pair
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(pair.len());
            let (key, _value) = pair.split_at(key_end);
            if is_token_key(key) {
                [key, b"=blanked"].concat()
            } else {
                pair.to_vec()
            }
        })
        .collect::<Vec<_>>()
        .join(&b'&')
}

fn is_token_key(key: &[u8]) -> bool {
    let decoded = String::from_utf8_lossy(key)
        .replace("%5B", "[")
        .replace("%5b", "[")
        .replace("%5D", "]")
        .replace("%5d", "]")
        .to_ascii_lowercase();
    decoded.starts_with("auth[") && decoded.contains("token")
        || ["auth_id", "refresh_id", "application_token"].contains(&decoded.as_str())
}

fn blank_json_tokens(body: &Bytes) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.to_vec();
    };
    if let Some(auth) = value
        .get_mut("auth")
        .and_then(serde_json::Value::as_object_mut)
    {
        for (key, token) in auth.iter_mut() {
            if key.to_ascii_lowercase().contains("token") {
                *token = "blanked".into();
            }
        }
    }
    value.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn stored_bodies_hold_no_token() {
        let body = Bytes::from_static(
            b"event=X&auth%5Baccess_token%5D=secret1&data%5Btext%5D=token&auth[application_token]=secret2&auth%5Bdomain%5D=d",
        );
        let blanked = String::from_utf8(blank_tokens(&body)).unwrap();
        assert_eq!(
            blanked,
            "event=X&auth%5Baccess_token%5D=blanked&data%5Btext%5D=token&auth[application_token]=blanked&auth%5Bdomain%5D=d"
        );
        let json =
            Bytes::from_static(br#"{"event":"X","auth":{"refresh_token":"secret3","domain":"d"}}"#);
        let blanked = String::from_utf8(blank_tokens(&json)).unwrap();
        assert!(!blanked.contains("secret3") && blanked.contains("\"domain\":\"d\""));
    }
}
