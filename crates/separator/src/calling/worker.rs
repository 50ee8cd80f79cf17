//! Makes Meta have what was chosen for a number's calls, and looks at telephone servers every night.
//!
//! A save is one request, read back afterwards: that Meta took it says nothing about the telephone server and not even
//! that everything was kept (a change to SIP can put the key exchange back). Saving is idempotent, so what was cut is
//! looked up and then repeated. Each try writes its outcome only where nothing newer was chosen in between, and one
//! number has one try at a time, so an older choice is never sent after a newer one was tried.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Semaphore, task::JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use whatsapp::{
    Credentials, Error,
    client::{CallingChange, Client},
};

use super::{
    address,
    notices::Notices,
    preflight::Preflight,
    settings::{self, Calling, CallingError, Comparison, Failure, OwnError, State, Task, Warning},
};
use crate::{
    account,
    app::App,
    identifiers::Chance,
    registry::{Part, Phone},
    store,
    time::Millis,
};

/// How long the worker rests where nothing is due and nobody wakes it.
const REST: Duration = Duration::from_secs(5);
/// How many numbers are worked on at the same time.
const AT_ONCE: usize = 8;
/// How often Meta is asked what it has and whether calls can arrive, though nobody chose anything.
const ROUND: Duration = Duration::from_hours(1);
/// How often the telephone server of a number is looked at.
const NIGHT: Duration = Duration::from_hours(24);

/// Works until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let busy = Arc::new(Busy {
        phones: Mutex::default(),
        places: Semaphore::new(AT_ONCE),
        looked: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let rest = match begin(&app, &busy, &mut tasks).await {
            Ok(rest) => rest,
            Err(error) => {
                tracing::warn!(%error, "what is to be done about calls could not be read");
                REST
            }
        };
        tokio::select! {
            () = stop.cancelled() => break,
            () = app.calls.wake.notified() => {}
            () = tokio::time::sleep(rest) => {}
        }
    }
    // What is under way is idempotent and found again.
    tasks.shutdown().await;
}

struct Busy {
    phones: Mutex<HashSet<Uuid>>,
    places: Semaphore,
    /// When Meta was last asked by the timer, whatever came of it.
    looked: Mutex<HashMap<Uuid, Millis>>,
}

/// Has Meta asked about numbers that take calls, of which it said nothing for a round. It may have changed its mind about
/// them, and a callback that tells of somebody else's change may get lost.
async fn look_on_time(app: &App, busy: &Busy, now: Millis) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let due: Vec<Uuid> = {
        let mut looked = busy.looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.retain(|phone, _| registry.calling.contains_key(phone));
        let old = |at: Option<Millis>| at.is_none_or(|at| now.since(at) >= ROUND);
        let due = |phone: &Uuid, calling: &Calling| {
            calling.wish.calling
                && matches!(calling.state, State::InSync | State::Changed)
                && calling.due_at.is_none()
                && old(calling.applied_at)
                && old(looked.get(phone).copied())
        };
        let due: Vec<Uuid> = registry
            .calling
            .iter()
            .filter(|(phone, calling)| due(phone, calling))
            .map(|(phone, _)| *phone)
            .collect();
        looked.extend(due.iter().map(|phone| (*phone, now)));
        due
    };
    if due.is_empty() {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    for phone in due {
        store::calling::look(&mut tx, phone, now);
    }
    tx.commit().await
}

/// Begins what is due; gives how long to rest.
async fn begin(
    app: &Arc<App>,
    busy: &Arc<Busy>,
    tasks: &mut JoinSet<()>,
) -> Result<Duration, store::Error> {
    let now = app.clock.now();
    look_on_time(app, busy, now).await?;
    let due = store::calling::due(&app.store, now).await?;
    let to_check = store::calling::to_check(&app.store, now).await?;
    let saving: HashSet<Uuid> = due.iter().copied().collect();
    let mut begun = false;
    for phone in due
        .into_iter()
        .chain(to_check.into_iter().filter(|phone| !saving.contains(phone)))
    {
        if !busy
            .phones
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(phone)
        {
            continue;
        }
        begun = true;
        let (app, busy, save) = (Arc::clone(app), Arc::clone(busy), saving.contains(&phone));
        tasks.spawn(async move {
            let place = busy.places.acquire().await;
            let outcome = if save { save_one(&app, phone).await } else { check_one(&app, phone).await };
            if let Err(error) = outcome {
                tracing::warn!(%error, %phone, "what came of a number's calling settings could not be stored");
            }
            drop(place);
            busy.phones.lock().unwrap_or_else(PoisonError::into_inner).remove(&phone);
            // What was chosen meanwhile.
            app.calls.wake();
        });
    }
    if begun {
        return Ok(REST);
    }
    let next = store::calling::next(&app.store).await?;
    Ok(next.map_or(REST, |next| {
        next.since(now).clamp(Duration::from_millis(50), REST)
    }))
}

/// What a try needs besides what was chosen.
struct Try {
    client: Client,
    credentials: Credentials,
    app_id: String,
    phone: Phone,
}

async fn save_one(app: &App, phone: Uuid) -> Result<(), store::Error> {
    let Some(mut calling) = store::calling::one(&app.store, phone).await? else {
        return Ok(());
    };
    let now = app.clock.now();
    if calling.due_at.is_none_or(|due| due > now) {
        return Ok(());
    }
    calling.attempts += 1;
    let registry = app.directory.snapshot();
    let found = registry
        .phones
        .get(&phone)
        .map(|phone| Phone::clone(phone))
        .and_then(|phone| {
            let (_, waba_app) = registry.app_of(&phone)?;
            let app_id = waba_app.client_id.clone();
            let credentials = account::credentials(app, &phone)?;
            Some(Try {
                client: account::client(app),
                credentials,
                app_id,
                phone,
            })
        });
    let Some(tried) = found else {
        refuse(&mut calling, CallingError::own(OwnError::NoToken, now, 1));
        return settled(app, phone, &calling).await;
    };
    let before = calling.state;
    if let Err(failure) = attempt(app, &tried, &mut calling).await? {
        failed(&mut calling, failure, app.clock.now());
    }
    tracing::info!(
        %phone, before = before.as_str(), state = calling.state.as_str(), attempt = calling.attempts,
        error = calling.error.as_ref().map(CallingError::line), "calling settings tried at Meta"
    );
    settled(app, phone, &calling).await
}

async fn settled(app: &App, phone: Uuid, calling: &Calling) -> Result<(), store::Error> {
    store::calling::settle(&app.store, phone, calling).await?;
    app.refresh(Part::Phone(phone)).await
}

fn refuse(calling: &mut Calling, error: CallingError) {
    calling.state = State::Refused;
    calling.due_at = None;
    calling.error = Some(error);
}

fn failed(calling: &mut Calling, failure: Failure, now: Millis) {
    let (error, state) = match failure {
        Failure::Refused(error) => {
            refuse(
                calling,
                CallingError::of_meta(&error, now, calling.attempts),
            );
            return;
        }
        Failure::Passing(error) => (error, State::Pending),
        Failure::Unknown(error) => (error, State::Unknown),
    };
    match settings::next_try(calling.attempts) {
        Some(pause) => {
            calling.state = state;
            calling.due_at = Some(now + pause);
        }
        None => refuse(
            calling,
            CallingError::of_meta(&error, now, calling.attempts),
        ),
    }
}

type Tried = Result<Result<(), Failure>, store::Error>;

/// One try, from the request to reading back.
async fn attempt(app: &App, tried: &Try, calling: &mut Calling) -> Tried {
    if calling.state == State::Unknown && calling.task == Task::Save {
        // It may have been done: look before it is repeated.
        match read_back(tried, calling).await {
            Ok((applied, password)) if calling.wish.compare(&applied) == Comparison::Same => {
                return accepted(app, tried, calling, applied, password)
                    .await
                    .map(Ok);
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(Failure::of(&error))),
        }
    }
    if calling.task == Task::ResetPassword {
        if let Err(error) = change(tried, &settings::removal(true)).await {
            return Ok(Err(Failure::of(&error)));
        }
        // From here on SIP is off, whatever happens next, and that must be seen.
        let now = app.clock.now();
        let mut applied = calling.applied.clone().unwrap_or_default();
        (applied.calling, applied.sip, applied.hostname, applied.port) =
            (Some(false), Some(false), None, None);
        (calling.applied, calling.applied_at, calling.task) =
            (Some(applied), Some(now), Task::Save);
        store::calling::keep_password(&app.store, &app.sealer, tried.phone.id, None).await?;
        if !store::calling::settle(&app.store, tried.phone.id, calling).await? {
            return Ok(Ok(()));
        }
    }
    let request = match calling.task {
        Task::Save | Task::ResetPassword => Some(calling.wish.change(calling.applied.as_ref())),
        Task::RemoveServer => Some(settings::removal(false)),
        Task::Read => None,
    };
    if let Some(request) = request
        && let Err(error) = change(tried, &request).await
    {
        return Ok(Err(Failure::of(&error)));
    }
    // A save of ours is read back, perhaps only now; else it is looked what others changed.
    let ours = calling.task != Task::Read || calling.warnings.contains(&Warning::NotReadBack);
    let (mut applied, mut password) = match read_back(tried, calling).await {
        Ok(read) => read,
        Err(error) if !ours => {
            let refused = matches!(Failure::of(&error), Failure::Refused(_));
            read_later(calling, refused, app.clock.now());
            return Ok(Ok(()));
        }
        Err(error) => {
            unread(calling, &error, app.clock.now());
            return Ok(Ok(()));
        }
    };
    let mut comparison = calling.wish.compare(&applied);
    if comparison != Comparison::Same && !ours {
        calling.looked(applied, app.clock.now());
        return Ok(Ok(()));
    }
    if comparison == Comparison::OnlyKeyExchange {
        if let Err(error) = change(tried, &calling.wish.change_of_keys()).await {
            return Ok(Err(Failure::of(&error)));
        }
        match read_back(tried, calling).await {
            Ok(read) => (applied, password) = read,
            Err(error) => {
                unread(calling, &error, app.clock.now());
                return Ok(Ok(()));
            }
        }
        comparison = calling.wish.compare(&applied);
    }
    let differs = match comparison {
        Comparison::Same => {
            return accepted(app, tried, calling, applied, password)
                .await
                .map(Ok);
        }
        Comparison::OnlyKeyExchange => vec!["key_exchange"],
        Comparison::Differs(differs) => differs,
    };
    let now = app.clock.now();
    let differs = OwnError::NotApplied(differs.into_iter().map(str::to_owned).collect());
    (calling.applied, calling.applied_at) = (Some(applied), Some(now));
    refuse(calling, CallingError::own(differs, now, calling.attempts));
    Ok(Ok(()))
}

async fn change(tried: &Try, change: &CallingChange) -> Result<(), Error> {
    let id = &tried.phone.phone_number_id;
    tried
        .client
        .change_calling(&tried.credentials, id, change)
        .await
}

async fn read_back(
    tried: &Try,
    calling: &Calling,
) -> Result<(settings::Applied, Option<whatsapp::Secret>), Error> {
    let id = &tried.phone.phone_number_id;
    let read = |with_password| {
        tried
            .client
            .calling_settings(&tried.credentials, id, with_password)
    };
    let told = match read(calling.wish.sip).await {
        // Without whatsapp_business_management the password is not told, but everything else is.
        Err(error) if calling.wish.sip && matches!(Failure::of(&error), Failure::Refused(_)) => {
            read(false).await.map_err(|_| error)?
        }
        told => told?,
    };
    Ok(settings::applied(&told, &tried.app_id, &calling.wish))
}

/// Meta took it, and did not say what it has: no error, but something to know, and to be read later.
fn unread(calling: &mut Calling, error: &Error, now: Millis) {
    calling.state = State::InSync;
    calling.warnings = vec![Warning::NotReadBack];
    read_later(
        calling,
        matches!(Failure::of(error), Failure::Refused(_)),
        now,
    );
}

fn read_later(calling: &mut Calling, refused: bool, now: Millis) {
    if calling.task != Task::Read {
        calling.task = Task::Read;
        calling.attempts = 1;
    }
    calling.due_at = settings::next_try(calling.attempts)
        .filter(|_| !refused)
        .map(|pause| now + pause);
}

/// Meta has what was chosen.
async fn accepted(
    app: &App,
    tried: &Try,
    calling: &mut Calling,
    mut applied: settings::Applied,
    password: Option<whatsapp::Secret>,
) -> Result<(), store::Error> {
    let now = app.clock.now();
    let agreed = match (calling.task, &calling.applied) {
        // Only reading gives nothing to Meta.
        (Task::Read, Some(before)) if before.agreed.is_some() => before.agreed.clone(),
        _ => Some(Box::new(calling.wish.clone())),
    };
    applied.agreed = agreed;
    calling.state = State::InSync;
    calling.error = None;
    calling.outside = None;
    let blocked = |warning: &Warning| matches!(warning, Warning::Blocked { .. });
    let blocked_before = calling.warnings.drain(..).filter(blocked).collect();
    calling.warnings = applied
        .foreign
        .iter()
        .cloned()
        .map(Warning::ForeignServer)
        .collect();
    (calling.applied, calling.applied_at) = (Some(applied), Some(now));
    if calling.wish.sip {
        if let Some(password) = &password {
            let id = tried.phone.id;
            store::calling::keep_password(&app.store, &app.sealer, id, Some(password.expose()))
                .await?;
            calling.due_at = None;
        } else {
            calling.warnings.push(Warning::PasswordNotReadable);
            read_later(calling, false, now);
        }
    } else {
        calling.due_at = None;
    }
    let blocks = health(tried, calling).await;
    // Where Meta does not say, what it said before still stands.
    let blocks = blocks.unwrap_or(blocked_before);
    let notices = Notices::of(app, tried.phone.id);
    notices.blocks(&tried.phone.phone, &blocks).await?;
    calling.warnings.extend(blocks);
    Ok(())
}

/// What Meta says stands in the way of calls; none where it does not say. The aggregate of the same answer is no verdict
/// about messages (Meta: messaging health status).
async fn health(tried: &Try, calling: &Calling) -> Option<Vec<Warning>> {
    if !calling.wish.sip || !calling.wish.calling {
        return Some(Vec::new());
    }
    let id = &tried.phone.phone_number_id;
    let blocks = tried.client.sip_health(&tried.credentials, id).await.ok()?;
    let warning = |block: whatsapp::client::SipBlock| {
        let error = block.errors.into_iter().next();
        Warning::Blocked {
            code: error.as_ref().and_then(|error| error.code),
            text: error.map_or(block.entity, |error| error.message),
        }
    };
    Some(blocks.into_iter().map(warning).collect())
}

/// Looks at a number's telephone server and says so where its certificate ends soon.
async fn check_one(app: &App, phone: Uuid) -> Result<(), store::Error> {
    let Some(calling) = store::calling::one(&app.store, phone).await? else {
        return Ok(());
    };
    let port = calling.wish.port.to_string();
    let chosen = calling
        .wish
        .hostname
        .as_deref()
        .filter(|_| calling.wish.sip);
    let Some(Ok(address)) = chosen.map(|host| address::normalise(host, Some(&port))) else {
        store::calling::keep_report(&app.store, phone, None, None).await?;
        return Notices::of(app, phone).no_server().await;
    };
    let preflight = Preflight::new(app.outgoing.clone(), app.clock.clone(), Chance::System);
    let report = preflight.check(&address, None).await;
    let next = app.clock.now() + NIGHT;
    store::calling::keep_report(&app.store, phone, Some(&report), Some(next)).await?;
    Notices::of(app, phone).certificate(&report).await?;
    app.refresh(Part::Phone(phone)).await
}
