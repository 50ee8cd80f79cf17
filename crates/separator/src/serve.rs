//! Starting and stopping.
//!
//! Start: settings, data folder, key, database, lease, then the doors and the workers. Stop: the doors close first, then
//! what is in flight ends and is settled.

use std::{
    io::Write as _, net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
    serve::ListenerExt as _,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    account::{self, Accounts},
    api,
    app::App,
    calling::{self, Calls},
    deliver::{self, Dispatcher},
    doctor::{self, Doctor},
    housekeeping,
    identifiers::{Chance, Ids},
    intake::{self, Intake},
    lease::{self, Lease, NoLease},
    media::{self, Media},
    metrics::Metrics,
    outgoing::Outgoing,
    pages,
    portal::{self, Portals},
    receive::{self, Committer, keys::CallbackKeys, origin},
    registry::{Directory, is_loopback},
    seal::{KeyError, Sealer},
    settings::{DatabaseUrl, Settings},
    store::{self, Store},
    template_watch,
    time::Clock,
    users::{attempts::Attempts, links},
    window,
};

/// How long what is in flight may take to end.
const LAST_CALLS: Duration = Duration::from_secs(20);

/// Why the program did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be written.
    #[error("data_dir: the folder {folder} cannot be written: {why}")]
    DataFolder {
        /// Path.
        folder: String,
        /// What the operating system says.
        why: std::io::Error,
    },
    /// The key that protects secrets.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database.
    #[error("database_url: {0}")]
    Database(store::Error),
    /// Secrets in the database do not open.
    #[error(
        "encryption_key: the secrets in the database do not open with this key ({0}); use the key that wrote them"
    )]
    WrongKey(store::Error),
    /// The HTTP client.
    #[error("the HTTP client could not be made: {0}")]
    Http(#[from] reqwest::Error),
    /// The address.
    #[error("listen: {address} cannot be listened on: {why}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        why: std::io::Error,
    },
    /// Another process has the right to deliver.
    #[error("data_dir: {0}")]
    Lease(#[from] NoLease),
}

/// Opens the database that the settings name.
pub async fn open_store(settings: &Settings) -> Result<Store, StartError> {
    prepare_folder(&settings.data_dir)?;
    match &settings.database {
        DatabaseUrl::Sqlite(file) => Store::open_sqlite(file).await,
        DatabaseUrl::Postgres(url) => Store::open_postgres(url.expose()).await,
    }
    .map_err(StartError::Database)
}

fn prepare_folder(folder: &Path) -> Result<(), StartError> {
    let failed = |why| StartError::DataFolder {
        folder: folder.display().to_string(),
        why,
    };
    // Messages lie in it: where it is made here, nobody else on the machine reads it.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(failed)?;
    // Writing is the only honest test of being able to write.
    let probe = folder.join(".writable");
    let mut file = std::fs::File::create(&probe).map_err(failed)?;
    file.write_all(b"separator")
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

/// Builds the program without starting its workers.
pub async fn build(settings: Settings, tasks: &TaskTracker) -> Result<Arc<App>, StartError> {
    let clock = Clock::System;
    let store = open_store(&settings).await?;
    let keys = settings.encryption_key.as_deref();
    let sealer = Sealer::prepare(keys, &settings.data_dir, Chance::System)?;
    let directory = Directory::load(&store, &sealer)
        .await
        .map_err(|error| match error {
            store::Error::Inconsistent { .. } => StartError::WrongKey(error),
            other => StartError::Database(other),
        })?;
    let ids = Ids::new(clock.clone(), Chance::System);
    if let Some(largest) = store::receipts::largest_id(&store)
        .await
        .map_err(StartError::Database)?
    {
        ids.seed(largest);
    }
    let outgoing = Outgoing::new(settings.allow_addresses.clone(), &settings.services())?;
    let intake = Intake::default();
    let committer = Committer::start(
        store.clone(),
        clock.clone(),
        ids.clone(),
        intake.clone(),
        tasks,
    );
    let doctor = Doctor::load(&store, &clock, &Chance::System)
        .await
        .map_err(StartError::Database)?;
    Ok(Arc::new(App {
        doctor,
        callback_keys: CallbackKeys::new(clock.clone()),
        dispatcher: Dispatcher::new(clock.clone()),
        accounts: Accounts::default(),
        portals: Portals::default(),
        calls: Calls::new(clock.clone()),
        media: Media::default(),
        attempts: Attempts::default(),
        metrics: Metrics::default(),
        settings,
        store,
        sealer,
        directory,
        clock,
        ids,
        outgoing,
        committer,
        intake,
    }))
}

/// All doors.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(doctor::door::alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/api/waba/",
            get(receive::meta::handshake)
                .head(probe)
                .post(receive::meta::webhook),
        )
        .route(
            "/api/waba",
            get(receive::meta::handshake)
                .head(probe)
                .post(receive::meta::webhook),
        )
        .route(
            "/api/bitrix/",
            get(receive::bitrix::probe).post(receive::bitrix::event),
        )
        .route(
            "/api/bitrix",
            get(receive::bitrix::probe).post(receive::bitrix::event),
        )
        .route(
            "/app-install/",
            get(receive::frames::probe).post(receive::frames::install),
        )
        .route(
            "/app-settings/",
            get(receive::frames::probe).post(receive::frames::application),
        )
        .route(
            "/placement/",
            get(receive::frames::probe).post(receive::frames::placement),
        )
        .route("/bitrix/callback/", get(receive::consent::callback))
        .route("/api/bitrix/sms/", post(receive::orders::sms))
        .route("/api/bitrix/sms", post(receive::orders::sms))
        .route("/api/bitrix/bizproc/", post(receive::orders::bizproc))
        .route("/api/bitrix/bizproc", post(receive::orders::bizproc))
        .route(account::login::CALLBACK, get(account::login::callback))
        .route("/media/{token}", get(media::serve))
        .merge(api::routes())
        .route("/api", any(api::unknown_path))
        .route("/api/{*rest}", any(api::unknown_path))
        .fallback(pages::serve)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), harden))
        .with_state(app)
}

async fn probe() -> StatusCode {
    StatusCode::OK
}

/// Gives every answer the headers of [`pages::harden`].
async fn harden(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let host = peer.and_then(|peer| origin::domain(request.headers(), peer.0, &app.settings));
    let mut response = next.run(request).await;
    pages::harden(&mut response, host.is_some_and(|host| !is_loopback(&host)));
    response
}

/// `GET /readyz`: the database answers.
async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.store.fetch("SELECT 1 AS one", &[]).await {
        Ok(_) => "ready\n".into_response(),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database does not answer\n",
        )
            .into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> String {
    app.metrics.render()
}

/// Runs until `stop`; `started` is told the address once the doors are open.
pub async fn run(
    settings: Settings,
    stop: CancellationToken,
    started: impl FnOnce(SocketAddr),
) -> Result<(), StartError> {
    let address = settings.listen;
    prepare_folder(&settings.data_dir)?;
    let folder = lease::lock_folder(&settings.data_dir)?;
    let committing = TaskTracker::new();
    let app = build(settings, &committing).await?;
    let listener = listen(address).map_err(|why| StartError::Listen { address, why })?;
    let local = listener
        .local_addr()
        .map_err(|why| StartError::Listen { address, why })?;

    let workers = TaskTracker::new();
    workers.spawn(start_workers(Arc::clone(&app), folder, stop.clone()));
    tracing::info!(address = %local, "listening");
    offer_first_link(&app, local).await;
    started(local);
    let listener = listener.tap_io(|connection| {
        // Answers are small and awaited; a connection where this fails works all the same.
        let _ = connection.set_nodelay(true);
    });
    let service = router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service)
        .with_graceful_shutdown(stop.clone().cancelled_owned())
        .into_future();
    tokio::select! {
        served = served => {
            if let Err(error) = served {
                tracing::error!(%error, "the doors failed");
            }
        }
        () = async { stop.cancelled().await; tokio::time::sleep(LAST_CALLS).await } => {
            tracing::warn!("connections that did not end in time are cut");
        }
    }
    stop.cancel();
    workers.close();
    if tokio::time::timeout(LAST_CALLS, workers.wait())
        .await
        .is_err()
    {
        tracing::warn!("some calls did not end in time; they are looked up at the next start");
    }
    app.store.close().await;
    Ok(())
}

/// Where there are no users yet, says how to become the first one. Not through the log, which others may read.
async fn offer_first_link(app: &App, local: SocketAddr) {
    let token = match links::first(&app.store, &Chance::System, app.clock.now()).await {
        Ok(Some(token)) => token,
        Ok(None) => return,
        Err(error) => {
            tracing::error!(%error, "whether there are users could not be found out");
            return;
        }
    };
    let host = if local.ip().is_unspecified() {
        format!("localhost:{}", local.port())
    } else {
        local.to_string()
    };
    let link = links::address(&format!("http://{host}"), &token);
    let said = writeln!(
        std::io::stdout(),
        "There are no users yet. Whoever opens this link within 24 hours becomes the administrator (where people reach \
         Separator under another address, put that in its place):\n\n  {link}\n"
    );
    if let Err(error) = said {
        tracing::warn!(%error, "the link for the first administrator could not be printed; restart to see it");
    }
}

/// The address, unless the service manager handed over a socket.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let handed = listenfd::ListenFd::from_env().take_tcp_listener(0)?;
    let listener = match handed {
        Some(listener) => listener,
        None => std::net::TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn start_workers(app: Arc<App>, folder: Lease, stop: CancellationToken) {
    let workers = TaskTracker::new();
    workers.spawn(intake::run(Arc::clone(&app), stop.clone()));
    workers.spawn(doctor::run(Arc::clone(&app), stop.clone()));
    if app.store.is_sqlite() {
        Box::pin(deliver_with(&app, folder.clone(), stop.clone())).await;
    } else {
        while let Some((lease, kept)) = row_lease(&app, &workers, &stop).await {
            Box::pin(deliver_with(&app, lease, kept)).await;
        }
    }
    workers.close();
    workers.wait().await;
    if !app.store.is_sqlite()
        && let Ok(owner) = node(&app)
        && let Err(error) = lease::give_back(&app.store, &owner).await
    {
        tracing::warn!(%error, "the lease could not be given back");
    }
    drop(folder);
}

/// Does the work of the one process that may deliver, until told to stop.
async fn deliver_with(app: &Arc<App>, lease: Lease, stop: CancellationToken) {
    tokio::join!(
        deliver::run(Arc::clone(app), lease, stop.clone()),
        account::run(Arc::clone(app), stop.clone()),
        portal::run(Arc::clone(app), stop.clone()),
        media::run(Arc::clone(app), stop.clone()),
        calling::worker::run(Arc::clone(app), stop.clone()),
        calling::lost::run(Arc::clone(app), stop.clone()),
        window::run(Arc::clone(app), stop.clone()),
        template_watch::run(Arc::clone(app), stop.clone()),
        housekeeping::run(Arc::clone(app), stop),
    );
}

/// Waits for the right to deliver on PostgreSQL and keeps it fresh; the token ends when it could not be kept, as when
/// the database was away for too long, and with the program.
async fn row_lease(
    app: &Arc<App>,
    workers: &TaskTracker,
    stop: &CancellationToken,
) -> Option<(Lease, CancellationToken)> {
    let owner = match node(app) {
        Ok(owner) => owner,
        Err(error) => {
            tracing::error!(%error, "the node's name could not be kept in the data folder");
            stop.cancel();
            return None;
        }
    };
    while !stop.is_cancelled() {
        match lease::take_row(&app.store, &app.clock, &owner).await {
            Ok(Some(lease)) => {
                let kept = stop.child_token();
                workers.spawn(lease::keep_row(
                    app.store.clone(),
                    app.clock.clone(),
                    owner,
                    kept.clone(),
                    kept.clone(),
                ));
                return Some((lease, kept));
            }
            Ok(None) => tracing::warn!("another process delivers; waiting for its lease to end"),
            Err(error) => tracing::error!(%error, "the lease could not be taken"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    None
}

/// This node's name: kept in the data folder, so that after a crash it has its lease back at once.
fn node(app: &App) -> std::io::Result<String> {
    let file = app.settings.data_dir.join("node");
    match std::fs::read_to_string(&file) {
        Ok(name) if !name.trim().is_empty() => Ok(name.trim().to_owned()),
        Ok(_) => {
            let name = app.ids.next().simple().to_string();
            std::fs::write(&file, &name)?;
            Ok(name)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = app.ids.next().simple().to_string();
            std::fs::write(&file, &name)?;
            Ok(name)
        }
        Err(error) => Err(error),
    }
}
