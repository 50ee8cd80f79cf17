//! Files in both directions, streamed: never whole in memory.
//!
//! A file's row is written with the message that it belongs to, and the message goes on without it. Workers here fetch
//! what is due from Meta or from the portal onto the disk; then the lanes whose heads wait for it are made due, and
//! delivery either hands Bitrix24 a [`link`] or [`upload()`]s the file to Meta. A file that cannot be had after some
//! tries is marked as failed with a reason in plain words, which delivery says in the chat.
//!
//! Everything is fetched by us and handed on by us: Meta's addresses need a token and live for minutes, and the portal's
//! are not Meta's business.

mod failure;
mod fetch;
mod folder;
mod name;
mod serve;
mod ticket;
mod upload;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

#[cfg(test)]
pub(crate) use self::folder::tests::DataDir;
use self::{
    failure::Failure,
    fetch::{Access, Fetcher},
    folder::Folder,
    upload::Uploader,
};
pub use self::{
    failure::trouble,
    upload::{UploadError, Uploaded},
};
use crate::{
    account,
    app::App,
    registry::{Phone, Site},
    store::{
        self, Store, lanes,
        lanes::Side,
        media::{Arrived, Due, Source, State as Progress},
    },
    time::Millis,
};

/// The most bytes a file may have, in either direction: what WhatsApp carries as a document.
/// Source: Meta, "Cloud API: supported media types".
pub const MAX_BYTES: u64 = whatsapp::media::DOCUMENT_LIMIT;

/// Files that are fetched at once.
const AT_ONCE: usize = 8;
/// Files of one business number that are fetched at once.
const AT_ONCE_PER_NUMBER: usize = 3;
/// How often the store is looked at without being told to.
const POLL: Duration = Duration::from_secs(2);
/// How long a link is good. Bitrix24 fetches during the call; the rest is for its repetitions.
const LINK_LIFE: Duration = Duration::from_hours(6);
/// Rows that are deleted in one transaction.
const SWEEP: usize = 256;

/// Wakes the workers and knows what they are fetching.
#[derive(Debug, Default)]
pub struct Media {
    wake: Notify,
    fetching: Fetching,
}

impl Media {
    /// Nothing is being fetched until [`run`] begins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells that there are files to fetch. An optimization: the workers also look by themselves.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

/// The files that are being fetched, each with its business number.
#[derive(Debug, Clone, Default)]
struct Fetching {
    files: Arc<Mutex<HashMap<Uuid, Uuid>>>,
}

impl Fetching {
    fn snapshot(&self) -> HashMap<Uuid, Uuid> {
        self.files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Takes a place for a file; `None` where all are taken.
    fn place(&self, file: &Due) -> Option<Place> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let of_number = files.values().filter(|phone| **phone == file.phone).count();
        if files.len() >= AT_ONCE || of_number >= AT_ONCE_PER_NUMBER || files.contains_key(&file.id)
        {
            return None;
        }
        files.insert(file.id, file.phone);
        Some(Place {
            fetching: self.clone(),
            file: file.id,
        })
    }

    /// The business numbers that fetch as much as they may.
    fn busy(files: &HashMap<Uuid, Uuid>) -> Vec<Uuid> {
        let mut counts: HashMap<Uuid, usize> = HashMap::new();
        for phone in files.values() {
            *counts.entry(*phone).or_default() += 1;
        }
        counts.retain(|_, count| *count >= AT_ONCE_PER_NUMBER);
        counts.into_keys().collect()
    }
}

/// A place among the files that are being fetched; given back when dropped, also by a panic.
#[derive(Debug)]
struct Place {
    fetching: Fetching,
    file: Uuid,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.fetching
            .files
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.file);
    }
}

/// Fetches files until told to stop. What is cut off then is fetched anew at the next start.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut tasks = JoinSet::new();
    loop {
        if let Err(error) = start_due(&app, &mut tasks).await {
            tracing::error!(%error, "the files to fetch could not be read; trying again");
        }
        let mut ended = None;
        tokio::select! {
            () = stop.cancelled() => break,
            () = app.media.wake.notified() => {}
            Some(end) = tasks.join_next() => ended = Some(end),
            () = tokio::time::sleep(POLL) => {}
        }
        let trouble = match ended {
            Some(Ok(Err(error))) => error.to_string(),
            Some(Err(error)) => error.to_string(),
            _ => continue,
        };
        // The file is still due. Trying it again at once would only make noise.
        tracing::error!(error = trouble, "a file could not be settled; trying again");
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(POLL) => {}
        }
    }
    tasks.shutdown().await;
}

/// Starts as many fetches as there are places for.
async fn start_due(
    app: &Arc<App>,
    tasks: &mut JoinSet<Result<(), store::Error>>,
) -> Result<(), store::Error> {
    loop {
        // Taken before reading: a file that is settled meanwhile is in here and so not begun a second time.
        let fetching = app.media.fetching.snapshot();
        if fetching.len() >= AT_ONCE {
            return Ok(());
        }
        let busy = Fetching::busy(&fetching);
        let due = store::media::due(&app.store, app.clock.now(), &busy, 2 * AT_ONCE).await?;
        let mut started = false;
        for file in due
            .into_iter()
            .filter(|file| !fetching.contains_key(&file.id))
        {
            let Some(place) = app.media.fetching.place(&file) else {
                continue;
            };
            started = true;
            let app = Arc::clone(app);
            tasks.spawn(async move {
                let _place = place;
                fetch_one(&app, &file).await
            });
        }
        if !started {
            return Ok(());
        }
    }
}

/// One try to fetch a file, and what follows from it.
async fn fetch_one(app: &App, file: &Due) -> Result<(), store::Error> {
    let outcome = match fetch(app, file).await {
        Ok(arrived) => {
            app.metrics.count("media", "fetched");
            Ok(arrived)
        }
        Err(failure) => {
            let reason = failure.kept();
            let wait = match file.source {
                Some(Source::Link { .. }) => failure.wait_for_link(file.attempts),
                _ => failure.wait(file.attempts),
            };
            if let Some(wait) = wait {
                tracing::info!(media = %file.id, reason, ?failure, "a file has to be fetched again");
                app.metrics.count("media", "retried");
                let until = app.clock.now() + wait;
                return store::media::put_off(&app.store, file.id, until, &reason).await;
            }
            tracing::warn!(media = %file.id, reason, ?failure, "a file could not be had");
            app.metrics.count("media", "failed");
            Err(reason)
        }
    };
    for side in settle(&app.store, file.id, &outcome, app.clock.now()).await? {
        app.dispatcher.wake(file.phone, side);
    }
    Ok(())
}

async fn fetch(app: &App, file: &Due) -> Result<Arrived, Failure> {
    let folder = Folder::within(&app.settings.data_dir);
    let fetcher = Fetcher {
        outgoing: &app.outgoing,
        folder: &folder,
        limit: MAX_BYTES,
    };
    let (size, mime_type) = match file.source.as_ref().ok_or(Failure::NoSource)? {
        Source::Portal { url, declared_size } => {
            let fetched = fetcher
                .operators_file(file.id, &file.name, url, *declared_size)
                .await?;
            (
                fetched.size,
                fetched.mime_type.or_else(|| file.mime_type.clone()),
            )
        }
        Source::Link { url } => {
            let fetched = fetcher
                .operators_file(file.id, &file.name, url, None)
                .await?;
            (fetched.size, fetched.mime_type)
        }
        Source::Meta { media_id } => {
            let registry = app.directory.snapshot();
            let phone = registry.phones.get(&file.phone).ok_or(Failure::NoToken)?;
            let access = Access {
                client: file_client(app),
                credentials: account::credentials(app, phone).ok_or(Failure::NoToken)?,
                phone_number_id: &phone.phone_number_id,
            };
            let fetched = fetcher.customers_file(file.id, media_id, &access).await?;
            // The webhook names the codec as well.
            (fetched.size, file.mime_type.clone().or(fetched.mime_type))
        }
    };
    let name = name::tidy(&file.name, mime_type.as_deref());
    Ok(Arrived {
        size,
        name,
        mime_type,
    })
}

/// The Graph API with the time limits of files in place of those of short calls.
fn file_client(app: &App) -> whatsapp::Client {
    let settings = &app.settings;
    whatsapp::Client::new(
        app.outgoing.file_client(),
        settings.graph_url.clone(),
        settings.graph_version.clone(),
    )
}

/// Writes what became of a file and makes the lanes due that wait for it, in one transaction; gives the sides to wake.
async fn settle(
    store: &Store,
    media: Uuid,
    outcome: &Result<Arrived, String>,
    now: Millis,
) -> Result<Vec<Side>, store::Error> {
    let mut tx = store.begin().await?;
    match outcome {
        Ok(arrived) => store::media::ready(&mut tx, media, arrived),
        Err(reason) => store::media::failed(&mut tx, media, reason),
    }
    let waiting = store::media::lanes_waiting_for(&mut tx, media).await?;
    let mut sides = Vec::new();
    for side in [Side::Portal, Side::Meta] {
        let of_side = waiting.iter().filter(|(_, waiting)| *waiting == side);
        let lanes: Vec<Uuid> = of_side.map(|(lane, _)| *lane).collect();
        if !lanes.is_empty() {
            lanes::make_due(&mut tx, side, &lanes, now);
            sides.push(side);
        }
    }
    tx.commit().await?;
    Ok(sides)
}

/// The address under which a file can be fetched for the next six hours, by whoever knows it.
///
/// It is on the site of the number's app. Its end repeats the extension of `name`, for receivers that take the kind of a
/// file from its address; the name itself stays out of other people's logs.
pub fn link(app: &App, phone: &Phone, media: Uuid, name: &str) -> String {
    let registry = app.directory.snapshot();
    let site = registry
        .app_of(phone)
        .and_then(|(_, app)| registry.sites.get(&app.site_id));
    let base = site.map(Site::base_url).unwrap_or_default();
    let key = app.sealer.derive(ticket::PURPOSE);
    let ticket = ticket::issue(&key, media, app.clock.now() + LINK_LIFE);
    let ending = name::extension_of(name).map(|extension| format!("?name=file.{extension}"));
    format!("{base}/media/{ticket}{}", ending.unwrap_or_default())
}

/// What is fetched from [`probe_link`].
pub const PROBE: &[u8] = b"separator\n";

/// Stands for the file that is there to be fetched; real ids are never nil.
const PROBE_ID: Uuid = Uuid::nil();

/// The address, below the base address of a site, of a file that is there to see whether files can be fetched.
pub fn probe_link(app: &App, base: &str) -> String {
    let key = app.sealer.derive(ticket::PURPOSE);
    let ticket = ticket::issue(&key, PROBE_ID, app.clock.now() + LINK_LIFE);
    format!("{base}/media/{ticket}")
}

/// `GET` and `HEAD /media/{token}`: a file for whoever has its address.
///
/// A token that is wrong, expired or of a file that is gone is answered with 404 and no word why; a file that is still
/// being fetched with 503.
pub async fn serve(
    State(app): State<Arc<App>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Response {
    let keys = app.sealer.derive_each(ticket::PURPOSE);
    let Some(media) = ticket::redeem(&keys, &token, app.clock.now()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if media == PROBE_ID {
        return PROBE.into_response();
    }
    let stored = match store::media::get(&app.store, media).await {
        Ok(Some(stored)) => stored,
        Ok(None) => return StatusCode::NOT_FOUND.into_response(),
        Err(error) => {
            tracing::error!(%error, %media, "a file could not be looked up");
            return later();
        }
    };
    match stored.state {
        Progress::Ready => {}
        Progress::Pending => return later(),
        Progress::Failed => return StatusCode::NOT_FOUND.into_response(),
    }
    let folder = Folder::within(&app.settings.data_dir);
    let response = async {
        let (file, size) = folder.open(media).await?;
        serve::stream(
            file,
            size,
            &stored.name,
            stored.mime_type.as_deref(),
            &headers,
        )
        .await
    };
    response.await.unwrap_or_else(|error| {
        tracing::error!(%error, %media, "a file that should be on disk could not be read");
        StatusCode::NOT_FOUND.into_response()
    })
}

fn later() -> Response {
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::RETRY_AFTER, "5")],
    )
        .into_response()
}

/// Brings a file to Meta, for sending from this number. One that Meta still has is not uploaded again.
///
/// The file has to be `ready`; the kind of message follows from its first bytes and its size.
pub async fn upload(app: &App, phone: &Phone, media: Uuid) -> Result<Uploaded, UploadError> {
    let uploader = Uploader {
        store: &app.store,
        folder: &Folder::within(&app.settings.data_dir),
        client: account::client(app),
        credentials: account::credentials(app, phone),
        phone,
        now: app.clock.now(),
    };
    uploader.upload(media).await
}

/// Deletes files older than the retention, with their rows, and what cut-off fetches left behind. Files that are still
/// to be delivered stay. What cannot be done now is left to the next round.
pub async fn sweep(app: &App, now: Millis) {
    let folder = Folder::within(&app.settings.data_dir);
    let retention = Duration::from_hours(24 * u64::from(app.settings.retention_days));
    match delete_before(&app.store, &folder, now - retention).await {
        Ok(0) => {}
        Ok(files) => tracing::info!(files, "deleted files older than the retention"),
        Err(error) => tracing::warn!(%error, "old files could not be deleted"),
    }
    match folder
        .remove_parts(|id| app.media.fetching.snapshot().contains_key(&id))
        .await
    {
        Ok(0) => {}
        Ok(parts) => tracing::info!(parts, "removed files whose fetching was cut off"),
        Err(error) => tracing::warn!(%error, "the folder of the files could not be swept"),
    }
}

/// Deletes the files that were entered before a moment. A file goes before its row, so that none is forgotten on disk.
async fn delete_before(
    store: &Store,
    folder: &Folder,
    moment: Millis,
) -> Result<u64, store::Error> {
    // The smallest id of that moment; ids begin with their time.
    let millis = u64::try_from(moment.0).unwrap_or(0);
    let before = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
    let mut deleted = 0;
    loop {
        let expired = store::media::expired(store, before, SWEEP).await?;
        let mut gone = Vec::with_capacity(expired.len());
        for id in &expired {
            match folder.remove(*id).await {
                Ok(()) => gone.push(*id),
                Err(error) => {
                    tracing::warn!(%error, media = %id, "an old file could not be deleted");
                }
            }
        }
        if gone.is_empty() {
            return Ok(deleted);
        }
        deleted += store::media::delete(store, &gone).await?;
        if expired.len() < SWEEP {
            return Ok(deleted);
        }
    }
}

#[cfg(test)]
mod tests;
