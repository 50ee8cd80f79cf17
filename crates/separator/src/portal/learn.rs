//! The application token of an installation that was made without one: by a code, or by a page of an older portal.
//!
//! The first event of the portal shows it. It is believed when the authorization server confirms that the event's access
//! token belongs to the installation's application and portal; an event without such a token proves nothing.

use std::sync::Arc;

use bitrix24::events::EventAuth;
use uuid::Uuid;

use super::{
    InstallError, Parts,
    claim::{self, Claim},
    reload,
};
use crate::{registry::InstanceState, secret::Secret, store::instances};

/// Learns the application token from an event of a portal whose installation has none; gives the installation, where
/// there is such a one and the event proves that it is its own.
pub async fn learn<P: Parts>(app: &Arc<P>, auth: &EventAuth) -> Result<Option<Uuid>, InstallError> {
    let registry = app.directory().snapshot();
    let waiting = |instance: &&crate::registry::Instance| {
        instance.application_token.is_none() && instance.state == InstanceState::Active
    };
    if registry
        .instances_of(&auth.member_id)
        .filter(waiting)
        .count()
        == 0
    {
        return Ok(None);
    }
    let (Some(access_token), Some(token)) = (&auth.access_token, &auth.application_token) else {
        return Ok(None);
    };
    let claim = Claim {
        member_id: auth.member_id.clone(),
        domain: auth.domain.clone(),
        client_endpoint: auth.client_endpoint.clone(),
        server_endpoint: auth.server_endpoint.clone(),
        access_token: access_token.clone(),
        refresh_token: None,
        application_token: Some(token.clone()),
        expires_in: None,
        scope: Vec::new(),
        language: None,
    };
    let proven = claim::prove(app.as_ref(), &claim).await?;
    let found = registry
        .instances_of(&auth.member_id)
        .filter(waiting)
        .find(|instance| {
            let application = registry.bitrix_apps.get(&instance.app_id);
            let client_id = application.and_then(|application| application.client_id.as_deref());
            client_id == Some(&proven.client_id) && instance.domain == proven.host
        });
    let Some(found) = found else {
        return Ok(None);
    };
    let token = Secret::new(token.expose());
    instances::learn_application_token(app.store(), app.sealer(), found.id, &token).await?;
    reload(app.as_ref(), found.id).await?;
    tracing::info!(portal = found.domain, "the application token was learnt");
    Ok(Some(found.id))
}
