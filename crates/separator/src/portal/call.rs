//! Calling a portal: the one way for everybody.
//!
//! A token that the portal refuses is refreshed once and the call repeated once. A portal that was renamed answers with
//! a redirect; its new address is believed when the authorization server names it too. Everything else is the caller's.
//!
//! The caller spends one call of the portal's budget before; see [`crate::deliver::pace`]. The rare second call is not
//! counted: the portal's own allowance has room for it.

use std::sync::Arc;

use bitrix24::{AccessToken, Answer, Class, Error, Obstacle, Portal};
use serde_json::Value;
use url::Url;

use super::{Parts, TokenError, access_token, host_of, refresh, reload, server_of};
use crate::{
    outgoing::Forbidden,
    registry::Instance,
    store::{self, instances},
};

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The portal's answer, or none.
    #[error(transparent)]
    Rest(#[from] Error),
    /// There is no token to call with.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The database failed while the call was prepared.
    #[error("the store failed: {0}")]
    Store(#[from] store::Error),
}

impl CallError {
    /// What to do about it (Bitrix24: system errors). Where there is no answer to class, a person must act on a portal
    /// that cannot be used; everything else was not executed and can be repeated. What the person
    /// has to do is said by this error's own text, not by the class.
    pub fn class(&self) -> Class {
        match self {
            Self::Rest(error) => error.class(),
            Self::Token(TokenError::NeedsAuthorization(_)) => Class::Blocked(Obstacle::NoAccess),
            Self::Token(TokenError::Later(_)) | Self::Store(_) => Class::Retry,
        }
    }
}

/// Calls a method of a portal with the installation's token.
///
/// `params` is a map or null. What the answer holds for single items is the method's own matter.
pub async fn call<P: Parts>(
    app: &Arc<P>,
    instance: &Instance,
    method: &str,
    params: &Value,
) -> Result<Answer, CallError> {
    let mut endpoint = endpoint_of(app.as_ref(), instance)?;
    let mut token = access_token(app, instance.id).await?;
    let (mut refreshed, mut followed) = (false, false);
    loop {
        app.outgoing()
            .vet(&endpoint)
            .map_err(|forbidden| forbidden_sentence(&forbidden))?;
        let portal = Portal::new(app.outgoing().api_client(), endpoint.clone());
        let error = match portal.call(method, params, &token).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match &error {
            Error::Moved { to } if !followed => {
                followed = true;
                if !follow(app, instance, &endpoint, to, &mut token).await? {
                    return Err(error.into());
                }
                endpoint = to.clone();
            }
            _ if error.class() == Class::Refresh && !refreshed => {
                refreshed = true;
                token = refresh(app, instance.id, &token).await?;
            }
            _ => return Err(error.into()),
        }
    }
}

/// A portal whose address may not be called waits for a person like one without authorization.
fn forbidden_sentence(forbidden: &Forbidden) -> TokenError {
    TokenError::NeedsAuthorization(format!("The portal cannot be called: {forbidden}."))
}

/// Where the portal is now: the caller's snapshot may be older than a renaming.
fn endpoint_of<P: Parts>(app: &P, instance: &Instance) -> Result<Url, CallError> {
    let registry = app.directory().snapshot();
    let endpoint = registry
        .instances
        .get(&instance.id)
        .map_or(&instance.client_endpoint, |now| &now.client_endpoint);
    Url::parse(endpoint).map_err(|_| {
        Error::NotSent {
            why: "the portal's address is not one",
        }
        .into()
    })
}

/// Stores a portal's new address if the authorization server confirms it; gives whether it does.
async fn follow<P: Parts>(
    app: &Arc<P>,
    instance: &Instance,
    from: &Url,
    to: &Url,
    token: &mut AccessToken,
) -> Result<bool, CallError> {
    let weaker = from.scheme() == "https" && to.scheme() != "https";
    let Some(host) = host_of(to).filter(|_| !weaker) else {
        return Ok(false);
    };
    let Ok(server) = server_of(app.as_ref(), instance) else {
        return Ok(false);
    };
    let mut info = server.app_info(token).await;
    if info.is_err() {
        // The redirect came before the portal looked at the token, which may have ended.
        *token = refresh(app, instance.id, token).await?;
        info = server.app_info(token).await;
    }
    let info = match info {
        Ok(info) => info,
        Err(error) => {
            tracing::warn!(%error, portal = instance.domain, "a portal's new address could not be verified");
            return Ok(false);
        }
    };
    if info.install_host().as_deref() != Some(host.as_str()) {
        tracing::warn!(
            portal = instance.domain,
            to = host,
            "a portal redirects to a host that is not its own"
        );
        return Ok(false);
    }
    instances::set_address(app.store(), instance.id, &host, to.as_str()).await?;
    reload(app.as_ref(), instance.id).await?;
    tracing::info!(from = instance.domain, to = host, "a portal was renamed");
    Ok(true)
}
