//! The end of an installation with pages: our page calls `installFinish`, and only then does the portal send events.

use std::{sync::Arc, time::Duration};

use bitrix24::app as portal_app;
use uuid::Uuid;

use super::{CallError, publish::Rest, publisher::Live};
use crate::{
    app::App,
    registry::{Connection, Part},
    store::{self, instances},
};

/// Pauses before the portal is asked again: it writes the end of an installation after it has answered the page.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(600),
    Duration::from_millis(1200),
    Duration::from_secs(2),
];

/// Why an installation is not finished.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// There is no such installation.
    #[error("there is no such portal")]
    Unknown,
    /// The portal says that it is not.
    #[error("the portal says that the installation is not finished")]
    NotInstalled,
    /// The portal could not be asked.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The database did not take it.
    #[error("it could not be stored: {0}")]
    Store(#[from] store::Error),
}

/// Asks the portal whether the installation is finished and, where it is, goes on with what waited for that.
pub async fn finish(app: &Arc<App>, instance: Uuid) -> Result<(), FinishError> {
    let registry = app.directory.snapshot();
    let known = registry
        .instances
        .get(&instance)
        .ok_or(FinishError::Unknown)?;
    let live = Live::new(app, known);
    let mut pauses = PAUSES.into_iter();
    loop {
        let info = portal_app::AppInfo::read(&live.run(portal_app::info()).await?);
        if info.installed != Some(false) {
            break;
        }
        match pauses.next() {
            Some(pause) => live.pause(pause).await,
            None => return Err(FinishError::NotInstalled),
        }
    }
    if known.installed {
        return Ok(());
    }
    instances::set_installed(&app.store, instance, Some(true), None).await?;
    if known.application_token.is_none() {
        // Only now does the portal send the event that shows the token.
        instances::set_prepared(&app.store, instance, false).await?;
    }
    for phone in registry.phones_of(instance) {
        if phone.connection == Connection::Error {
            instances::set_pending(&app.store, phone.id).await?;
        }
    }
    app.refresh(Part::Instance(instance)).await?;
    app.portals.hurry(instance);
    tracing::info!(portal = known.domain, "an installation is finished");
    Ok(())
}
