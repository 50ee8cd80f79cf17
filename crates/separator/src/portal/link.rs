//! Linking a number with a portal, and taking it off again.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{CONNECTION_ALARM, orders, publish, publisher::Live};
use crate::{
    app::App,
    registry::{InstanceState, Part, Phone, Registry},
    store::{
        self,
        instances::{self, Link},
        lanes::Side,
    },
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
    /// Another number has the line.
    #[error("the line belongs to the number {0} already")]
    LineTaken(String),
    /// The database did not take it.
    #[error("the link could not be stored: {0}")]
    Store(#[from] store::Error),
}

/// On which open line a number is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineWish {
    /// Where it is.
    Unchanged,
    /// On its own.
    Own,
    /// On one that is there, by Bitrix24's id.
    Chosen(i64),
}

/// Links a number to a portal or, with `None`, to no portal. The publish routine does the rest.
///
/// On a line that the number leaves, its connector is taken off as well as it can be done now; a portal that does not
/// answer keeps a line without effect. Linking to the same portal and line again publishes the number anew.
pub async fn link(
    app: &Arc<App>,
    phone: Uuid,
    instance: Option<Uuid>,
    line: LineWish,
) -> Result<(), LinkError> {
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
    let same_portal = number.instance_id == instance;
    let chosen_line = match line {
        LineWish::Chosen(line) => Some(line),
        LineWish::Own => None,
        LineWish::Unchanged => number.chosen_line_id.filter(|_| same_portal),
    };
    if let (Some(instance), Some(line)) = (instance, chosen_line)
        && let Some(holder) = holder(&registry, instance, line, phone)
    {
        return Err(LinkError::LineTaken(holder.phone.clone()));
    }
    if same_portal && chosen_line == number.chosen_line_id {
        if instance.is_some() {
            instances::set_pending(&app.store, phone).await?;
        }
    } else {
        let link = Link {
            instance,
            chosen_line: chosen_line.filter(|_| instance.is_some()),
            offered: instance.or(number.offered_id),
        };
        relink(app, &registry, number, link).await?;
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

/// The other number that is on a line or is to be on it: a connector carries one number on a line.
fn holder(registry: &Registry, instance: Uuid, line: i64, phone: Uuid) -> Option<&Phone> {
    registry.phones_of(instance).find(|other| {
        other.id != phone && (other.chosen_line_id == Some(line) || other.line_id == Some(line))
    })
}

async fn relink(
    app: &Arc<App>,
    registry: &Arc<Registry>,
    number: &Phone,
    link: Link,
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
    instances::link(&app.store, number.id, link).await?;
    instances::clear_alarm(
        &app.store,
        app.clock.now(),
        CONNECTION_ALARM,
        &number.id.to_string(),
    )
    .await?;
    Ok(())
}
