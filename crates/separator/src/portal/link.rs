//! Linking a number with a portal, and taking it off again.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{CONNECTION_ALARM, orders, publish, publisher::Live};
use crate::{
    app::App,
    registry::{InstanceState, Part, Phone, Registry},
    store::{self, instances, lanes::Side},
};

/// How long the old portal may take to switch the number's line off.
const LIMIT: Duration = Duration::from_secs(15);

/// Why a number was not linked.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// There is no such number.
    #[error("there is no such number")]
    UnknownPhone,
    /// There is no such installation.
    #[error("there is no such portal")]
    UnknownInstance,
    /// The application was removed from that portal.
    #[error("the application was removed from this portal: install it there again first")]
    Uninstalled,
    /// The database did not take it.
    #[error("the link could not be stored: {0}")]
    Store(#[from] store::Error),
}

/// Links a number to a portal or, with `None`, to no portal. The publish routine does the rest.
///
/// On a portal that the number leaves, its connector is taken off the line as well as it can be done now; a portal that
/// does not answer keeps a line without effect. Linking to the same portal again publishes the number anew.
pub async fn link(app: &Arc<App>, phone: Uuid, instance: Option<Uuid>) -> Result<(), LinkError> {
    let registry = app.directory.snapshot();
    let number = registry.phones.get(&phone).ok_or(LinkError::UnknownPhone)?;
    if let Some(instance) = instance {
        let target = registry
            .instances
            .get(&instance)
            .ok_or(LinkError::UnknownInstance)?;
        if target.state == InstanceState::Uninstalled {
            return Err(LinkError::Uninstalled);
        }
    }
    if number.instance_id == instance {
        if instance.is_some() {
            instances::set_pending(&app.store, phone).await?;
        }
    } else {
        relink(app, &registry, number, instance).await?;
    }
    app.refresh(Part::Phone(phone)).await?;
    if let Some(instance) = instance {
        // Whoever links may just have mended the portal: it is not left to rest any longer.
        app.dispatcher.pace(instance).reopen();
        app.portals.hurry(instance);
    }
    app.dispatcher.wake(phone, Side::Portal);
    Ok(())
}

async fn relink(
    app: &Arc<App>,
    registry: &Arc<Registry>,
    number: &Phone,
    instance: Option<Uuid>,
) -> Result<(), LinkError> {
    let old = registry
        .instance_of(number)
        .map(|old| (old, app.portals.state(old.id)));
    // The publish routine must not put back what is taken off here.
    let _turn = match &old {
        Some((_, state)) => Some(state.publishing.lock().await),
        None => None,
    };
    if let Some((old, _)) = &old
        && let (Some(connector), Some(line)) = (&number.connector, number.line_id)
        && old.state == InstanceState::Active
    {
        // The portal reports the switching off as an event, which means nothing for a number that is not connected.
        instances::set_pending(&app.store, number.id).await?;
        app.refresh(Part::Phone(number.id)).await?;
        let live = Live::new(app, old);
        orders::withdraw(&live, number, old.id).await;
        let withdrawn =
            tokio::time::timeout(LIMIT, publish::withdraw(&live, connector, line)).await;
        let failure = match withdrawn {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) => Some(trouble.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(failure) = failure {
            tracing::warn!(
                portal = old.domain,
                line,
                failure,
                "the connector stays on the line of a number that left"
            );
        }
    }
    instances::link(&app.store, number.id, instance).await?;
    instances::clear_alarm(
        &app.store,
        app.clock.now(),
        CONNECTION_ALARM,
        &number.id.to_string(),
    )
    .await?;
    Ok(())
}
