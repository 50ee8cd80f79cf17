//! The authorization server: tokens for all portals, and `app.info` in its own shape (Bitrix24: OAuth 2.0).

use axum::{
    body::Bytes,
    extract::State as Extract,
    http::{HeaderMap, StatusCode, Uri},
    response::Response,
};
use std::sync::Arc;

use super::{
    Fault, Portal, World,
    events::TOKEN_LIFETIME,
    php::{Value, map},
    rest::{json, parameters},
    state::State,
};

/// Where a refresh token comes from: a pair renews its own family and leaves the others alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Installing, updating, re-authorizing.
    Installation,
    /// A page opened by an employee.
    Page(i64),
}

/// A refresh token that is still good.
#[derive(Debug)]
pub(crate) struct Refresh {
    token: String,
    user: i64,
    family: Family,
}

/// A pair of tokens as given out.
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
    pub(crate) expires: i64,
    pub(crate) user: i64,
}

fn refused(status: StatusCode, error: &str, description: &str) -> Response {
    json(
        status,
        &map([
            ("error", error.into()),
            ("error_description", description.into()),
        ]),
    )
}

/// The portal whose token this is: its number is the token's beginning.
fn portal_of(world: &Arc<World>, token: &str) -> Option<Portal> {
    let number = u32::from_str_radix(token.get(..8)?, 16).ok()?;
    world.portal(number)
}

/// What is said about a portal that was deleted.
fn gone() -> Response {
    refused(StatusCode::NOT_FOUND, "", "Portal not found")
}

/// `GET` or `POST /oauth/token/`.
pub(crate) async fn token(
    Extract(world): Extract<Arc<World>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let parameters = parameters(&uri, &headers, &body).value;
    let grant = parameters.text_of("grant_type");
    let proof = match grant.as_str() {
        "refresh_token" => parameters.text_of("refresh_token"),
        "authorization_code" => parameters.text_of("code"),
        _ => {
            return refused(
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "Unknown grant type",
            );
        }
    };
    let Some(portal) = portal_of(&world, &proof) else {
        return refused(StatusCode::BAD_REQUEST, "invalid_grant", "Invalid grant");
    };
    if portal.lock().deleted {
        return gone();
    }
    if let Some(delay) = portal
        .inner
        .faults
        .delay(Fault::RefreshSlow, "oauth/token", &[])
    {
        tokio::time::sleep(delay).await;
    }
    let answer = portal.grant(&grant, &proof, &parameters);
    if answer.status() == StatusCode::OK
        && let Some(delay) = portal
            .inner
            .faults
            .delay(Fault::RefreshAnswerSlow, "oauth/token", &[])
    {
        tokio::time::sleep(delay).await;
    }
    answer
}

/// `GET` or `POST /rest/app.info` of the authorization server: whose token is this?
pub(crate) async fn app_info(
    Extract(world): Extract<Arc<World>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let token = parameters(&uri, &headers, &body).token.unwrap_or_default();
    let Some(portal) = portal_of(&world, &token) else {
        return refused(
            StatusCode::UNAUTHORIZED,
            "NO_AUTH_FOUND",
            "Wrong authorization data",
        );
    };
    if let Some(delay) = portal
        .inner
        .faults
        .delay(Fault::RefreshSlow, "app.info", &[])
    {
        tokio::time::sleep(delay).await;
    }
    let state = portal.lock();
    if state.deleted {
        return gone();
    }
    let app = state
        .tokens
        .get(&token)
        .and_then(|found| Some((found, state.apps.get(&found.client_id)?)));
    let Some((found, app)) = app else {
        return refused(
            StatusCode::UNAUTHORIZED,
            "NO_AUTH_FOUND",
            "Wrong authorization data",
        );
    };
    if found.expires_at <= world.clock.seconds() {
        return refused(
            StatusCode::UNAUTHORIZED,
            "expired_token",
            "The access token provided has expired.",
        );
    }
    let install = map([
        ("uri", portal.address().into()),
        ("version", app.version.into()),
        ("status", "L".into()),
    ]);
    let result = map([
        ("client_id", app.client_id.as_str().into()),
        ("install", install),
    ]);
    json(StatusCode::OK, &map([("result", result)]))
}

impl Portal {
    fn grant(&self, grant: &str, proof: &str, parameters: &Value) -> Response {
        let client_id = parameters.text_of("client_id");
        let mut state = self.lock();
        let Some(app) = state.apps.get(&client_id) else {
            return refused(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "Client not found",
            );
        };
        if app.client_secret != parameters.text_of("client_secret") {
            return refused(
                StatusCode::UNAUTHORIZED,
                "invalid_client",
                "Wrong client secret",
            );
        }
        if !state.plan_active {
            return refused(
                StatusCode::BAD_REQUEST,
                "PAYMENT_REQUIRED",
                "Payment required",
            );
        }
        let holder = if grant == "refresh_token" {
            let known = app
                .refresh_tokens
                .iter()
                .find(|refresh| refresh.token == proof);
            let holder = known.map(|refresh| (refresh.user, refresh.family));
            holder.filter(|_| {
                !self
                    .inner
                    .faults
                    .strikes(Fault::RefreshRefused, "oauth/token", &[])
            })
        } else {
            let now = self.world.clock.seconds();
            let code = state
                .codes
                .remove(proof)
                .filter(|(client, _, until)| *client == client_id && *until >= now);
            code.map(|(_, user, _)| (user, Family::Installation))
        };
        let Some((user, family)) = holder else {
            return refused(StatusCode::BAD_REQUEST, "invalid_grant", "Invalid grant");
        };
        let pair = self.new_pair(&mut state, &client_id, user, family);
        if grant == "refresh_token" {
            state.counters.refreshes += 1;
        }
        let scope = state
            .apps
            .get(&client_id)
            .map(|app| app.scope.join(","))
            .unwrap_or_default();
        drop(state);
        self.changed(None);
        let host = self.world.url.trim_start_matches("http://");
        json(
            StatusCode::OK,
            &map([
                ("access_token", pair.access.into()),
                ("expires", pair.expires.into()),
                ("expires_in", TOKEN_LIFETIME.into()),
                ("scope", scope.into()),
                // The authorization server's own host, not the portal's.
                ("domain", host.into()),
                ("server_endpoint", self.server_endpoint().into()),
                ("status", "L".into()),
                ("client_endpoint", self.client_endpoint().into()),
                ("member_id", self.inner.member_id.as_str().into()),
                ("user_id", pair.user.into()),
                ("refresh_token", pair.refresh.into()),
            ]),
        )
    }

    /// Issues a pair. The family's refresh token before it stops working, unless the portal is told to be lenient.
    pub(crate) fn new_pair(
        &self,
        state: &mut State,
        client_id: &str,
        user: i64,
        family: Family,
    ) -> Pair {
        let (access, expires) = self.new_token(state, client_id, user);
        let refresh = self.secret();
        if let Some(app) = state.apps.get_mut(client_id) {
            if self.behaviour().one_refresh_token {
                app.refresh_tokens.retain(|old| old.family != family);
            }
            app.refresh_tokens.push(Refresh {
                token: refresh.clone(),
                user,
                family,
            });
        }
        Pair {
            access,
            refresh,
            expires,
            user,
        }
    }
}
