//! What every part of the running program shares.

use crate::{
    account::Accounts,
    calling::Calls,
    deliver::Dispatcher,
    doctor::Doctor,
    identifiers::Ids,
    intake::Intake,
    media::Media,
    metrics::Metrics,
    outgoing::Outgoing,
    portal::Portals,
    receive::{Committer, keys::CallbackKeys},
    registry::{Directory, Part},
    seal::Sealer,
    settings::Settings,
    store::Store,
    time::Clock,
    users::attempts::Attempts,
};

/// The running program; handed around as `Arc<App>`.
#[derive(Debug)]
pub struct App {
    /// What was set.
    pub settings: Settings,
    /// The database.
    pub store: Store,
    /// Secrets at rest.
    pub sealer: Sealer,
    /// What is set up.
    pub directory: Directory,
    /// The time.
    pub clock: Clock,
    /// New ids.
    pub ids: Ids,
    /// HTTP to the outside.
    pub outgoing: Outgoing,
    /// Counters.
    pub metrics: Metrics,
    /// 1 The doors' way to the disk.
    pub committer: Committer,
    /// Keys in callback addresses.
    pub callback_keys: CallbackKeys,
    /// 2 Translation.
    pub intake: Intake,
    /// 3 Delivery.
    pub dispatcher: Dispatcher,
    /// What is done about accounts.
    pub accounts: Accounts,
    /// Tokens and the publish routine.
    pub portals: Portals,
    /// Calls.
    pub calls: Calls,
    /// Tries to sign in.
    pub attempts: Attempts,
    /// Files on their way.
    pub media: Media,
    /// What is known to work.
    pub doctor: Doctor,
}

impl App {
    /// Reads a part of the set-up anew after a change to it and wakes whoever waits for such a change.
    pub async fn refresh(&self, part: Part) -> Result<(), crate::store::Error> {
        self.directory
            .refresh(&self.store, &self.sealer, part)
            .await
    }

    /// Reads anew what Meta says about what is set up.
    pub async fn refresh_meta(&self) -> Result<(), crate::store::Error> {
        self.directory.refresh_meta(&self.store).await
    }

    /// Reads the whole set-up anew; see [`App::refresh`].
    pub async fn reload(&self) -> Result<(), crate::store::Error> {
        self.directory.reload(&self.store, &self.sealer).await
    }
}
