//! Meta's door: the webhook handshake and the webhooks themselves (Meta: webhooks, getting started).

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, Query, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::{origin, read_body};
use crate::{
    app::App,
    registry::{Registry, WabaApp},
    store::receipts::Source,
};

/// Query of both the handshake and the webhooks.
#[derive(Debug, Deserialize)]
pub struct Parameters {
    #[serde(rename = "api-key")]
    api_key: Option<String>,
    #[serde(rename = "app_id")]
    app_id: Option<String>,
    #[serde(rename = "hub.mode")]
    mode: Option<String>,
    #[serde(rename = "hub.challenge")]
    challenge: Option<String>,
    #[serde(rename = "hub.verify_token")]
    verify_token: Option<String>,
}

fn application<'a>(
    registry: &'a Registry,
    parameters: &Parameters,
    headers: &HeaderMap,
    peer: SocketAddr,
    app: &App,
) -> Option<&'a WabaApp> {
    if let Some(client_id) = &parameters.app_id {
        return registry
            .waba_apps
            .values()
            .find(|waba_app| waba_app.client_id == *client_id);
    }
    registry.waba_app_on(&origin::domain(headers, peer, &app.settings)?)
}

/// `GET /api/waba/`: the handshake. The challenge goes back as plain text only for the right verify token.
pub async fn handshake(
    State(app): State<Arc<App>>,
    peer: ConnectInfo<SocketAddr>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let (Some(mode), Some(challenge), Some(token)) = (
        &parameters.mode,
        &parameters.challenge,
        &parameters.verify_token,
    ) else {
        return (
            StatusCode::BAD_REQUEST,
            "hub.mode, hub.challenge and hub.verify_token are needed: this address is for Meta's webhooks",
        )
            .into_response();
    };
    if mode != "subscribe" {
        return (StatusCode::BAD_REQUEST, "hub.mode must be subscribe").into_response();
    }
    let registry = app.directory.snapshot();
    let Some(waba_app) = application(&registry, &parameters, &headers, peer.0, &app) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if !whatsapp::signature::same_token(&waba_app.verify_token, token) {
        app.metrics.count("doors_refused", "verify_token");
        return (
            StatusCode::FORBIDDEN,
            "the verify token is not the one of this application",
        )
            .into_response();
    }
    (
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        challenge.clone(),
    )
        .into_response()
}

/// `POST /api/waba/`: webhooks. 200 only with the bytes on disk.
pub async fn webhook(
    State(app): State<Arc<App>>,
    peer: ConnectInfo<SocketAddr>,
    Query(parameters): Query<Parameters>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let registry = app.directory.snapshot();
    let peer = peer.0;
    let Some(waba_app) = application(&registry, &parameters, &head.headers, peer, &app) else {
        app.metrics.count("doors_refused", "unknown_site");
        return (StatusCode::NOT_FOUND, "no application for this site").into_response();
    };
    if let Some(key) = &parameters.api_key {
        match app.callback_keys.is_valid(&app.store, key).await {
            Ok(true) => {}
            Ok(false) => {
                app.metrics.count("doors_refused", "api_key");
                return (StatusCode::UNAUTHORIZED, "the api-key is not valid").into_response();
            }
            Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(status) => {
            app.metrics.count("doors_refused", "body");
            return status.into_response();
        }
    };
    let signature = head
        .headers
        .get("x-hub-signature-256")
        .and_then(|value| value.to_str().ok());
    let secret = waba_app.client_secret.expose().as_bytes();
    if whatsapp::signature::verify(secret, &body, signature).is_err() {
        app.metrics.count("doors_refused", "signature");
        return (
            StatusCode::UNAUTHORIZED,
            "the signature does not fit this application",
        )
            .into_response();
    }
    if let Ok(_committed) = app
        .committer
        .commit(Source::Meta, waba_app.id, body.into())
        .await
    {
        app.metrics.count("doors_accepted", "meta");
        app.doctor
            .proofs
            .callback(waba_app.site_id, app.clock.now());
        StatusCode::OK.into_response()
    } else {
        app.metrics.count("doors_refused", "not_stored");
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
