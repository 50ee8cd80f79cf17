//! The portal side: installing, tokens, calls, and the one publish routine.
//!
//! - [`claim`] proves with the authorization server what an install event or the form of a page says; [`install()`] makes
//!   an installation of it ([`mod@install`]), and what was announced too early is kept ([`announce`]).
//! - [`frame`] shows pages inside Bitrix24, [`consent`] is the second way to an installation, [`finish()`] ends one.
//! - [`access_token`] and [`refresh`] keep each installation's pair of tokens ([`tokens`]).
//! - [`call()`] is how everybody calls a portal: it refreshes once and follows a renamed portal ([`mod@call`]).
//! - [`link()`] connects a number with a portal ([`mod@link`]).
//! - [`run`] and [`publish_now`] make and keep the portal right: connector, line, activation, events ([`publish`],
//!   [`publisher`]).
//!
//! An installation is one application on one portal. Everything is kept by its id, so that two applications on a portal
//! never share tokens, connector or events.

pub mod announce;
pub mod call;
pub mod claim;
pub mod consent;
pub mod employee;
pub mod finish;
pub mod frame;
pub mod install;
pub mod learn;
pub mod lines;
pub mod link;
mod orders;
pub mod publish;
pub mod publisher;
pub mod steps;
pub mod tokens;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use bitrix24::oauth::{AuthorizationServer, OAuthError};
use tokio::sync::Notify;
use url::Url;
use uuid::Uuid;

pub use self::{
    announce::announced,
    call::{CallError, call},
    finish::{FinishError, finish},
    install::{InstallError, install},
    learn::learn,
    link::{LineWish, LinkError, link},
    publish::{NOT_INSTALLED, Trouble, connector_ids},
    publisher::{Live, PublishError, publish_now, run},
    tokens::{TokenError, access_token, credentials_changed, refresh},
};
use crate::{
    app::App,
    identifiers::Ids,
    outgoing::Outgoing,
    registry::{Directory, Instance, InstanceState, Part},
    seal::Sealer,
    store::{self, Store, instances},
    time::Clock,
};

/// Kind of the alarm that a portal must be authorized again; the subject is the installation's id.
pub const AUTHORIZATION_ALARM: &str = "portal_authorization";

/// Kind of the alarm that a portal takes no calls; the subject is the installation's id.
pub const TROUBLE_ALARM: &str = "portal_trouble";

/// Kind of the alarm that a number fell off its portal; the subject is the number's id.
pub const CONNECTION_ALARM: &str = "portal_connection";

/// What the portal side keeps in memory: tokens in use, who is publishing, what is to be published at once.
#[derive(Debug, Default)]
pub struct Portals {
    states: Mutex<HashMap<Uuid, Arc<PortalState>>>,
    /// Installations whose pauses after failures are over, because something changed.
    hurried: Mutex<HashSet<Uuid>>,
    changed: Notify,
    /// First installations happen one at a time, so that two events of one portal make one row.
    installing: tokio::sync::Mutex<()>,
}

/// One installation in memory.
#[derive(Debug, Default)]
struct PortalState {
    tokens: tokens::Tokens,
    /// Held while the publish routine runs.
    publishing: tokio::sync::Mutex<()>,
    /// How often the publish routine ran to its end.
    runs: AtomicU64,
}

impl Portals {
    /// Nothing known yet; all is read from the store when it is needed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells the publisher that numbers may be waiting for it.
    pub fn wake(&self) {
        self.changed.notify_one();
    }

    /// As [`Portals::wake`], and ends this installation's pause after a failure.
    fn hurry(&self, instance: Uuid) {
        self.hurried
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(instance);
        self.wake();
    }

    fn take_hurried(&self) -> HashSet<Uuid> {
        std::mem::take(&mut *self.hurried.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self, instance: Uuid) -> Arc<PortalState> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(states.entry(instance).or_default())
    }
}

/// What installing, tokens and calls need of the running program; small enough to be built for a test.
pub trait Parts: Send + Sync + 'static {
    /// The database.
    fn store(&self) -> &Store;
    /// Secrets at rest.
    fn sealer(&self) -> &Sealer;
    /// What is set up.
    fn directory(&self) -> &Directory;
    /// The time.
    fn clock(&self) -> &Clock;
    /// New ids.
    fn ids(&self) -> &Ids;
    /// HTTP to the outside.
    fn outgoing(&self) -> &Outgoing;
    /// The only authorization server, where one is set.
    fn authorization_server(&self) -> Option<&Url>;
    /// The portal side's own memory.
    fn portals(&self) -> &Portals;
}

impl Parts for App {
    fn store(&self) -> &Store {
        &self.store
    }
    fn sealer(&self) -> &Sealer {
        &self.sealer
    }
    fn directory(&self) -> &Directory {
        &self.directory
    }
    fn clock(&self) -> &Clock {
        &self.clock
    }
    fn ids(&self) -> &Ids {
        &self.ids
    }
    fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }
    fn authorization_server(&self) -> Option<&Url> {
        self.settings.bitrix_oauth_url.as_ref()
    }
    fn portals(&self) -> &Portals {
        &self.portals
    }
}

/// Has connector, events and placements of a portal bound once more, soon.
pub async fn prepare_again<P: Parts>(app: &Arc<P>, instance: Uuid) -> Result<(), store::Error> {
    instances::set_prepared(app.store(), instance, false).await?;
    reload(app.as_ref(), instance).await?;
    app.portals().hurry(instance);
    Ok(())
}

/// Reads a portal anew after a change to it.
async fn reload<P: Parts>(app: &P, instance: Uuid) -> Result<(), store::Error> {
    app.directory()
        .refresh(app.store(), app.sealer(), Part::Instance(instance))
        .await
}

/// The authorization server of a portal; its host is one of the known ones whatever `server_endpoint` says.
fn authorization_server<P: Parts>(
    app: &P,
    server_endpoint: Option<&Url>,
) -> Result<AuthorizationServer, OAuthError> {
    AuthorizationServer::choose(
        app.outgoing().api_client(),
        app.authorization_server(),
        server_endpoint,
    )
}

/// The authorization server of an installation.
fn server_of<P: Parts>(app: &P, instance: &Instance) -> Result<AuthorizationServer, OAuthError> {
    authorization_server(app, Url::parse(&instance.server_endpoint).ok().as_ref())
}

/// Where a portal sends the events of an application, given the base address of the application's site.
pub(crate) fn events_url(base: &str, client_id: Option<&str>) -> String {
    let Some(client_id) = client_id else {
        return format!("{base}/api/bitrix/");
    };
    let client_id: String = url::form_urlencoded::byte_serialize(client_id.as_bytes()).collect();
    format!("{base}/api/bitrix/?app-id={client_id}")
}

/// Host of an address in lower case, with the port where it is not the usual one of its scheme.
fn host_of(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    Some(
        url.port()
            .map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
    )
}

/// Marks an installation as unusable until somebody authorizes it again, and says so.
///
/// Its messages wait. Installing again clears it, and so does a refresh with corrected credentials.
async fn needs_authorization<P: Parts>(
    app: &P,
    instance: Uuid,
    problem: &str,
) -> Result<(), store::Error> {
    instances::set_state(
        app.store(),
        instance,
        InstanceState::NeedsAuthorization,
        Some(problem),
    )
    .await?;
    alarm(app, AUTHORIZATION_ALARM, instance, problem).await?;
    reload(app, instance).await
}

/// Clears what was raised about an installation that works again.
async fn authorized<P: Parts>(app: &P, instance: Uuid) -> Result<(), store::Error> {
    let (now, subject) = (app.clock().now(), instance.to_string());
    for kind in [AUTHORIZATION_ALARM, TROUBLE_ALARM] {
        instances::clear_alarm(app.store(), now, kind, &subject).await?;
    }
    reload(app, instance).await
}

async fn alarm<P: Parts>(
    app: &P,
    kind: &str,
    instance: Uuid,
    problem: &str,
) -> Result<(), store::Error> {
    let registry = app.directory().snapshot();
    let domain = registry
        .instances
        .get(&instance)
        .map_or("a portal", |instance| instance.domain.as_str());
    let text = format!("{domain}: {problem}");
    let (id, now) = (app.ids().next(), app.clock().now());
    if instances::raise_alarm(app.store(), id, now, kind, &instance.to_string(), &text).await? {
        tracing::error!(portal = domain, problem, "a portal needs attention");
    }
    Ok(())
}

/// Shows what keeps a portal from taking calls although its tokens are good, and raises an alarm, once. The portal is
/// probed on; [`works_again`] takes it back.
pub async fn trouble<P: Parts>(app: &Arc<P>, instance: Uuid, problem: &str) {
    let registry = app.directory().snapshot();
    let Some(known) = registry.instances.get(&instance) else {
        return;
    };
    if known.problem.as_deref() == Some(problem) {
        return;
    }
    let shown = async {
        instances::set_state(app.store(), instance, known.state, Some(problem)).await?;
        alarm(app.as_ref(), TROUBLE_ALARM, instance, problem).await?;
        reload(app.as_ref(), instance).await
    };
    if let Err(error) = shown.await {
        tracing::error!(%error, portal = known.domain, problem, "a portal's trouble could not be stored");
    }
}

/// Takes back what [`trouble`] showed.
pub async fn works_again<P: Parts>(app: &Arc<P>, instance: Uuid) {
    let registry = app.directory().snapshot();
    let Some(known) = registry
        .instances
        .get(&instance)
        .filter(|known| known.state == InstanceState::Active)
    else {
        return;
    };
    let granted: Vec<String> = known
        .scope
        .split(',')
        .map(str::to_owned)
        .filter(|scope| !scope.is_empty())
        .collect();
    let problem = install::missing_scopes(&granted);
    if known.problem == problem {
        return;
    }
    let cleared = async {
        instances::set_state(app.store(), instance, known.state, problem.as_deref()).await?;
        authorized(app.as_ref(), instance).await
    };
    if let Err(error) = cleared.await {
        tracing::error!(%error, portal = known.domain, "that a portal works again could not be stored");
    }
}

#[cfg(test)]
pub(crate) mod tests;
