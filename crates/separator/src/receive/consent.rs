//! `/bitrix/callback/`: the browser of a user who was at a portal's authorization page; see [`crate::portal::consent`].

use std::sync::Arc;

use axum::{
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    app::App,
    portal::consent::{self, ConsentError, Return},
    users::session,
};

/// What the browser brings. Bitrix24 adds more, none of which is needed.
#[derive(Debug, Deserialize)]
pub struct Parameters {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    member_id: Option<String>,
    server_domain: Option<String>,
}

/// Bitrix24 sends the browser back to the application's handler path, whichever of our doors that is. From there it is
/// sent on to the one address where it is expected; `None` where it does not come from there.
pub(super) fn forwarded(uri: &Uri) -> Option<Response> {
    let query = uri.query()?;
    let has =
        |name: &str| url::form_urlencoded::parse(query.as_bytes()).any(|(known, _)| known == name);
    let comes_back = has("state") && (has("code") || has("error"));
    comes_back.then(|| see_other(&format!("/bitrix/callback/?{query}")))
}

/// `GET /bitrix/callback/`. Where the browser goes next is a page of the web application: `/bitrix/authorized/{instance}`
/// or `/bitrix/refused/{reason}`.
pub async fn callback(
    State(app): State<Arc<App>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let session = match session::token(&headers) {
        Some(token) => session::check(&app.store, app.clock.now(), token).await,
        None => Ok(None),
    };
    let session = match session {
        Ok(Some(session)) => session,
        Ok(None) => return see_other("/bitrix/refused/signed_out"),
        Err(error) => {
            tracing::warn!(%error, "a session could not be looked up");
            return see_other("/bitrix/refused/no_answer");
        }
    };
    let back = Return {
        state: parameters.state.unwrap_or_default(),
        code: parameters.code,
        error: parameters.error,
        member_id: parameters.member_id,
        server_domain: parameters.server_domain,
    };
    match consent::come_back(&app, &back, (session.user_id, session.id)).await {
        Ok(instance) => {
            app.metrics.count("doors_accepted", "consent");
            see_other(&format!("/bitrix/authorized/{instance}"))
        }
        Err(error) => {
            app.metrics.count("doors_refused", "consent");
            log(&error);
            see_other(&format!("/bitrix/refused/{}", error.reason()))
        }
    }
}

fn log(error: &ConsentError) {
    tracing::warn!(%error, "an authorization in the browser failed");
}

fn see_other(address: &str) -> Response {
    // Addresses of ours and queries that were an address already.
    let Ok(location) = HeaderValue::from_str(address) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
