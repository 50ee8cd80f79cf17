//! What is done about accounts without being asked: tokens looked at, catalogues fetched, connections gone on with.
//!
//! Three loops, so that none waits for another. When something is due is a time in a row; a change to the set-up wakes
//! whoever looks at the set-up.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, StreamExt as _, future::BoxFuture, stream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{catalogue, connect, health, of_account};
use crate::{
    app::App,
    registry::{Account, Registry},
    store,
    time::Millis,
};

/// How often is looked without being told to.
const LOOK: Duration = Duration::from_secs(60);
/// The same for connections, which a process that does not deliver may have begun.
const LOOK_FOR_CONNECTIONS: Duration = Duration::from_secs(3);
/// The pause after the database failed.
const BREATH: Duration = Duration::from_secs(2);
/// So many at once.
const AT_ONCE: usize = 4;

/// Wakes the work on connections.
#[derive(Debug, Default)]
pub struct Accounts {
    connections: Notify,
}

impl Accounts {
    /// Tells that there is a connection to go on with. An optimization: it is looked for, too.
    pub(crate) fn wake(&self) {
        self.connections.notify_one();
    }
}

/// What is watched by itself.
#[derive(Debug, Clone, Copy)]
enum Watch {
    Tokens,
    Catalogue,
    Connections,
}

impl Watch {
    /// Everything of the kind with the time at which it is due.
    async fn all(self, app: &App) -> Result<Vec<(Uuid, Millis)>, store::Error> {
        let registry = app.directory.snapshot();
        Ok(match self {
            Self::Tokens => tokens(&registry),
            Self::Catalogue => accounts(&registry),
            Self::Connections => {
                let due = store::meta_connections::due(&app.store, app.clock.now()).await?;
                due.into_iter().map(|id| (id, Millis(0))).collect()
            }
        })
    }

    /// Does what is due of one.
    fn work(self, app: Arc<App>, id: Uuid) -> BoxFuture<'static, Result<(), store::Error>> {
        match self {
            Self::Tokens => async move { health::check(&app, id).await }.boxed(),
            Self::Catalogue => async move { catalogue::refresh(&app, id).await }.boxed(),
            Self::Connections => async move { connect::go_on(&app, id).await }.boxed(),
        }
    }

    /// How long at most until it is looked again.
    fn rest(self) -> Duration {
        match self {
            Self::Tokens | Self::Catalogue => LOOK,
            Self::Connections => LOOK_FOR_CONNECTIONS,
        }
    }
}

/// Works until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::join!(
        watch(&app, &stop, Watch::Tokens),
        watch(&app, &stop, Watch::Catalogue),
        watch(&app, &stop, Watch::Connections),
    );
}

/// Does what is due after each change to the set-up, when woken, and when its time comes.
async fn watch(app: &Arc<App>, stop: &CancellationToken, watch: Watch) {
    let mut changed = app.directory.watch();
    while !stop.is_cancelled() {
        changed.borrow_and_update();
        let outcome = tokio::select! {
            // What is cut off is done again: every step can be.
            () = stop.cancelled() => return,
            outcome = round(app, watch) => outcome,
        };
        let rest = match outcome {
            Ok(next) => next.since(app.clock.now()).min(watch.rest()),
            Err(error) => {
                tracing::warn!(%error, "what is to be learned from Meta waits for the database");
                BREATH
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.accounts.connections.notified(), if matches!(watch, Watch::Connections) => {}
            _ = changed.changed(), if !matches!(watch, Watch::Connections) => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
}

/// Does what is due; gives when the next is.
async fn round(app: &Arc<App>, watch: Watch) -> Result<Millis, store::Error> {
    let all = watch.all(app).await?;
    let now = app.clock.now();
    let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, at)| *at <= now);
    let work: Vec<_> = due
        .into_iter()
        .map(|(id, _)| watch.work(Arc::clone(app), id))
        .collect();
    let outcomes: Vec<Result<(), store::Error>> =
        stream::iter(work).buffer_unordered(AT_ONCE).collect().await;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    let next = later.into_iter().map(|(_, at)| at).min();
    Ok(next.unwrap_or(now + LOOK))
}

/// All tokens, and what is still known about tokens that are gone.
fn tokens(registry: &Registry) -> Vec<(Uuid, Millis)> {
    let mut all: Vec<(Uuid, Millis)> = health::holders(registry)
        .iter()
        .map(|holder| (holder.id, health::due_at(registry, holder.id)))
        .collect();
    let known = all.len();
    for id in registry.meta.tokens.keys() {
        if !all[..known].iter().any(|(holder, _)| holder == id) {
            all.push((*id, Millis(0)));
        }
    }
    all
}

/// All accounts that can be asked about.
fn accounts(registry: &Registry) -> Vec<(Uuid, Millis)> {
    let can_be_asked = |account: &&Arc<Account>| {
        let waba_app = registry.waba_apps.get(&account.app_id);
        waba_app.is_some_and(|waba_app| of_account(account, waba_app).is_some())
    };
    registry
        .accounts
        .values()
        .filter(can_be_asked)
        .map(|account| (account.id, catalogue::due_at(registry, account.id)))
        .collect()
}
