//! The pair of tokens of each installation, and its one refresher.
//!
//! A refresh token is good for one use. So for each installation at most one refresh is under way, whoever needs it
//! waits for that one, and the new pair is on disk before anybody uses it. A refresh runs in a task of its own: a caller
//! that gives up does not lose the answer.
//!
//! What remains is a crash after the authorization server answered and before the pair is on disk. Where the server
//! still takes the old refresh token, the next start goes on as if nothing had happened; where it is strict, the next
//! refresh is refused and the portal says that it must be authorized again.
//!
//! Tokens are refreshed when a portal refuses one, not by the clock, which may be wrong on either side. Idle portals are
//! refreshed once a day, because a refresh token dies unused after 180 days.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bitrix24::{
    AccessToken, ClientSecret, RefreshToken,
    oauth::{OAuthClass, OAuthError, Tokens as NewTokens},
};
use futures_util::StreamExt;
use uuid::Uuid;

use super::{Parts, authorized, install, needs_authorization, reload, server_of};
use crate::{
    registry::{Instance, InstanceState},
    secret::Secret,
    store::instances::{self, TokenPair},
    time::Millis,
};

/// Longest wait for the authorization server's answer.
const LIMIT: Duration = Duration::from_secs(10);

/// After a refresh that failed by itself nobody asks again for so long: who waited fails at once in place of waiting
/// for a server that does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// How long another process may take to put a pair on disk that it was given.
const SAVING_ELSEWHERE: Duration = Duration::from_millis(500);

/// Age at which an unused pair is refreshed.
const KEEP_ALIVE: Duration = Duration::from_hours(24);

/// How many idle portals are refreshed at once.
const KEEP_ALIVE_AT_ONCE: usize = 4;

/// What is told to somebody whose client secret is missing when the first access token ends.
const SECRET_MISSING: &str = "The access token has ended and the client secret of the application is not known: \
                              enter it, it is shown in the application's form on the portal.";

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Somebody has to act; the text says what to do.
    #[error("{0}")]
    NeedsAuthorization(String),
    /// It passes by itself, or with a setting that is taken up at once.
    #[error("{0}")]
    Later(String),
}

impl TokenError {
    fn later(error: &impl ToString) -> Self {
        Self::Later(error.to_string())
    }
}

/// The tokens of one installation in memory.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    current: RwLock<Option<AccessToken>>,
    flight: tokio::sync::Mutex<Flight>,
}

/// The state of refreshing, held by the one who refreshes.
#[derive(Debug, Default)]
struct Flight {
    /// A pair that was issued and could not be put on disk yet; it must not be used before.
    unsaved: Option<Box<NewTokens>>,
    /// When the last refresh failed by itself, and why.
    failed: Option<(Millis, String)>,
}

impl Tokens {
    fn current(&self) -> Option<AccessToken> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, token: Option<AccessToken>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Runs a change of the stored pair that is no refresh, while no refresh is under way; the pair is read anew after.
    pub(super) async fn replaced<T>(&self, change: impl Future<Output = T>) -> T {
        let mut flight = self.flight.lock().await;
        let result = change.await;
        *flight = Flight::default();
        self.set(None);
        result
    }
}

/// The access token of an installation.
pub async fn access_token<P: Parts>(
    app: &Arc<P>,
    instance: Uuid,
) -> Result<AccessToken, TokenError> {
    usable(app.as_ref(), instance)?;
    let state = app.portals().state(instance);
    if let Some(token) = state.tokens.current() {
        return Ok(token);
    }
    // Not while the pair is being replaced: the old one must not be put back into memory afterwards.
    let _flight = state.tokens.flight.lock().await;
    if let Some(token) = state.tokens.current() {
        return Ok(token);
    }
    let token = AccessToken::new(stored(app.as_ref(), instance).await?.access_token.expose());
    state.tokens.set(Some(token.clone()));
    Ok(token)
}

/// A token that is newer than `stale`, which a portal refused.
///
/// All who ask at once wait for one request to the authorization server. Where the store holds a newer token already,
/// there is no request at all.
pub async fn refresh<P: Parts>(
    app: &Arc<P>,
    instance: Uuid,
    stale: &AccessToken,
) -> Result<AccessToken, TokenError> {
    let state = app.portals().state(instance);
    if let Some(token) = state.tokens.current().filter(|token| token != stale) {
        return Ok(token);
    }
    let (app, stale) = (Arc::clone(app), stale.clone());
    let task = tokio::spawn(async move {
        let mut flight = state.tokens.flight.lock().await;
        if let Some(token) = state.tokens.current().filter(|token| *token != stale) {
            return Ok(token);
        }
        let token = fly(app.as_ref(), instance, &stale, &mut flight).await?;
        state.tokens.set(Some(token.clone()));
        Ok(token)
    });
    task.await
        .unwrap_or_else(|error| Err(TokenError::later(&error)))
}

async fn fly<P: Parts>(
    app: &P,
    instance: Uuid,
    stale: &AccessToken,
    flight: &mut Flight,
) -> Result<AccessToken, TokenError> {
    let instance = usable(app, instance)?;
    if let Some(new) = flight.unsaved.take() {
        return save(app, &instance, new, flight).await;
    }
    let pair = stored(app, instance.id).await?;
    let newest = AccessToken::new(pair.access_token.expose());
    if newest != *stale {
        return Ok(newest);
    }
    if let Some((at, why)) = &flight.failed
        && app.clock().now().since(*at) < PAUSE
        && *at <= app.clock().now()
    {
        return Err(TokenError::Later(why.clone()));
    }
    match ask(app, &instance, &pair).await {
        Ok(new) => save(app, &instance, Box::new(new), flight).await,
        Err(TokenError::NeedsAuthorization(problem)) => {
            if let Some(token) = renewed_elsewhere(app, instance.id, stale).await? {
                return Ok(token);
            }
            needs_authorization(app, instance.id, &problem)
                .await
                .map_err(|error| TokenError::later(&error))?;
            Err(TokenError::NeedsAuthorization(problem))
        }
        Err(TokenError::Later(why)) => {
            flight.failed = Some((app.clock().now(), why.clone()));
            Err(TokenError::Later(why))
        }
    }
}

/// The token of a pair that another process on the same database bought with our refresh token a moment ago: the command
/// `doctor` beside a server, or another node.
async fn renewed_elsewhere<P: Parts>(
    app: &P,
    instance: Uuid,
    stale: &AccessToken,
) -> Result<Option<AccessToken>, TokenError> {
    for pause in [Duration::ZERO, SAVING_ELSEWHERE] {
        tokio::time::sleep(pause).await;
        let newest = AccessToken::new(stored(app, instance).await?.access_token.expose());
        if newest != *stale {
            return Ok(Some(newest));
        }
    }
    Ok(None)
}

/// Asks the authorization server for a new pair.
async fn ask<P: Parts>(
    app: &P,
    instance: &Instance,
    pair: &TokenPair,
) -> Result<NewTokens, TokenError> {
    let registry = app.directory().snapshot();
    let application = registry.bitrix_apps.get(&instance.app_id);
    let credentials = application.and_then(|application| {
        Some((
            application.client_id.as_deref()?,
            application.client_secret.as_ref()?,
        ))
    });
    let Some((client_id, secret)) = credentials else {
        note_problem(app, instance, SECRET_MISSING).await?;
        return Err(TokenError::Later(SECRET_MISSING.to_owned()));
    };
    let server = server_of(app, instance).map_err(|error| token_error(&error))?;
    let secret = ClientSecret::new(secret.expose());
    let refresh_token = RefreshToken::new(pair.refresh_token.expose());
    let request = server.refresh(client_id, &secret, &refresh_token);
    let new = tokio::time::timeout(LIMIT, request)
        .await
        .map_err(|_| {
            TokenError::Later(format!(
                "The authorization server gave no answer in {} s.",
                LIMIT.as_secs()
            ))
        })?
        .map_err(|error| token_error(&error))?;
    if new.member_id != instance.member_id {
        return Err(TokenError::NeedsAuthorization(
            "The authorization server answered for another portal: install the application again."
                .to_owned(),
        ));
    }
    Ok(new)
}

/// What an answer of the authorization server means for the installation.
fn token_error(error: &OAuthError) -> TokenError {
    match error.class() {
        OAuthClass::Permanent(refusal) => TokenError::NeedsAuthorization(refusal.to_string()),
        OAuthClass::Retry => TokenError::Later(error.to_string()),
    }
}

/// Puts a new pair on disk, then gives it out. A pair that the disk does not take is kept for the next try.
async fn save<P: Parts>(
    app: &P,
    instance: &Instance,
    new: Box<NewTokens>,
    flight: &mut Flight,
) -> Result<AccessToken, TokenError> {
    let pair = pair(app.clock().now(), &new);
    let (scope, problem) = if new.scope.is_empty() {
        (
            instance.scope.clone(),
            instance
                .problem
                .clone()
                .filter(|problem| problem != SECRET_MISSING),
        )
    } else {
        (new.scope.join(","), install::missing_scopes(&new.scope))
    };
    let saved = instances::save_tokens(
        app.store(),
        app.sealer(),
        instance.id,
        &pair,
        &scope,
        problem.as_deref(),
    )
    .await;
    if let Err(error) = saved {
        tracing::error!(%error, portal = instance.domain, "new tokens could not be stored, trying again");
        flight.unsaved = Some(new);
        return Err(TokenError::later(&error));
    }
    flight.failed = None;
    // The tokens are safe; what is shown about them may lag behind.
    if let Err(error) = authorized(app, instance.id).await {
        tracing::warn!(%error, "the set-up could not be read anew after a refresh");
    }
    Ok(new.access_token.clone())
}

/// A pair as it is stored.
pub(super) fn pair(now: Millis, new: &NewTokens) -> TokenPair {
    TokenPair {
        access_token: Secret::new(new.access_token.expose()),
        refresh_token: Secret::new(new.refresh_token.expose()),
        expires_at: now + new.expires_in,
        refreshed_at: now,
    }
}

/// The installation, if it can be used.
fn usable<P: Parts>(app: &P, instance: Uuid) -> Result<Instance, TokenError> {
    let registry = app.directory().snapshot();
    let Some(instance) = registry.instances.get(&instance) else {
        return Err(TokenError::NeedsAuthorization(
            "The application is not installed on this portal.".to_owned(),
        ));
    };
    let default = match instance.state {
        InstanceState::Active => return Ok(Instance::clone(instance)),
        InstanceState::NeedsAuthorization => "The portal must be authorized again.",
        InstanceState::Uninstalled => {
            "The application was removed from the portal: install it again."
        }
    };
    Err(TokenError::NeedsAuthorization(
        instance
            .problem
            .clone()
            .unwrap_or_else(|| default.to_owned()),
    ))
}

async fn stored<P: Parts>(app: &P, instance: Uuid) -> Result<TokenPair, TokenError> {
    instances::tokens(app.store(), app.sealer(), instance)
        .await
        .map_err(|error| TokenError::later(&error))?
        .ok_or_else(|| TokenError::Later("The installation was just removed.".to_owned()))
}

/// Shows a problem that does not stop the installation, once.
async fn note_problem<P: Parts>(
    app: &P,
    instance: &Instance,
    problem: &str,
) -> Result<(), TokenError> {
    if instance.problem.as_deref() == Some(problem) {
        return Ok(());
    }
    let noted = async {
        instances::set_state(app.store(), instance.id, instance.state, Some(problem)).await?;
        reload(app, instance.id).await
    };
    noted.await.map_err(|error| TokenError::later(&error))
}

/// Tries new credentials of an application at once: every installation of it is refreshed, and those that needed
/// authorization get another chance. Gives what is wrong with each installation that has no token now.
pub async fn credentials_changed<P: Parts>(
    app: &Arc<P>,
    bitrix_app: Uuid,
) -> Vec<(Uuid, TokenError)> {
    let registry = app.directory().snapshot();
    let mut failed = Vec::new();
    for instance in registry
        .instances
        .values()
        .filter(|instance| instance.app_id == bitrix_app)
    {
        if instance.state == InstanceState::Uninstalled {
            continue;
        }
        if let Err(error) = retry(app, instance).await {
            failed.push((instance.id, error));
        }
    }
    failed
}

async fn retry<P: Parts>(app: &Arc<P>, instance: &Instance) -> Result<(), TokenError> {
    if instance.state == InstanceState::NeedsAuthorization {
        let reset = async {
            instances::set_state(app.store(), instance.id, InstanceState::Active, None).await?;
            reload(app.as_ref(), instance.id).await
        };
        reset.await.map_err(|error| TokenError::later(&error))?;
    }
    app.portals()
        .state(instance.id)
        .tokens
        .flight
        .lock()
        .await
        .failed = None;
    let stale = access_token(app, instance.id).await?;
    refresh(app, instance.id, &stale).await?;
    app.portals().hurry(instance.id);
    Ok(())
}

/// Refreshes the pairs that nobody used for a day.
pub(super) async fn keep_alive<P: Parts>(app: Arc<P>) {
    let before = app.clock().now() - KEEP_ALIVE;
    let idle = match instances::refreshed_before(app.store(), before).await {
        Ok(idle) => idle,
        Err(error) => {
            tracing::warn!(%error, "idle portals could not be looked up");
            return;
        }
    };
    futures_util::stream::iter(idle)
        .for_each_concurrent(KEEP_ALIVE_AT_ONCE, |instance| {
            let app = Arc::clone(&app);
            async move {
                let refreshed =
                    async { refresh(&app, instance, &access_token(&app, instance).await?).await };
                if let Err(error) = refreshed.await {
                    tracing::info!(%error, %instance, "an idle portal could not be refreshed");
                }
            }
        })
        .await;
}
