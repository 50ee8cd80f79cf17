//! When the publish routine runs, for whom, and what becomes of its results.
//!
//! One task looks after all portals. A number that waits to be connected is taken up at once and after growing pauses
//! while its portal has passing trouble; every portal is looked over at start and at the interval of the settings, because a portal
//! tells nobody when it loses a connector or an event handler. For each portal there is at most one run at a time; runs
//! of different portals do not wait for each other.
//!
//! Being woken is a convenience: what is to be done is read from the set-up each time.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use bitrix24::{Call, LineId};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    task::{Id, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    CONNECTION_ALARM, CallError, PortalState, Trouble, announce, call, orders,
    publish::{self, Connected, Finding, NumberWish, PortalWish, Prepared, Rest},
    steps::{PREPARATION, PUBLISHING, Step, StepState},
    tokens,
};
use crate::{
    app::App,
    registry::{Connection, Instance, InstanceState, Part, Phone, PhoneError, Registry},
    store::{self, instances, lanes::Side, steps},
    time::Millis,
    translate::message::Language,
};

/// How often tokens that nothing uses are kept alive.
const KEEP_ALIVE_EVERY: Duration = Duration::from_mins(10);

/// Pauses before a portal with passing trouble is tried again; the last one repeats.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_mins(2),
    Duration::from_mins(10),
];

/// How often announced installations that could not be completed are looked at.
const LOOK_AGAIN_EVERY: Duration = Duration::from_mins(1);

/// The longest the publisher sleeps; bounds what a set clock can do.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Portals that are worked on at once.
const AT_ONCE: usize = 16;

/// How long runs may take to end when the program stops; a number that is cut off stays pending.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Errors of a number that somebody chose on the portal; it is connected again only when somebody links it again.
const CHOSEN: [&str; 3] = ["CONNECTOR_OFF", "LINE_DELETED", "UNINSTALLED"];

/// Why a number could not be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no such number, or it is linked to no portal.
    #[error("the number is not linked to a portal")]
    NotLinked,
    /// What the portal, or something on the way to it, has against it.
    #[error("{0}")]
    Trouble(Trouble),
}

impl PublishError {
    /// Whether it passes by itself.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Trouble(trouble) if trouble.temporary)
    }
}

/// A portal that is called at its pace.
pub struct Live<'a> {
    app: &'a Arc<App>,
    instance: &'a Instance,
    /// The numbers and the installation whose steps are noted.
    subjects: Mutex<Vec<Uuid>>,
}

impl<'a> Live<'a> {
    /// A portal whose steps nobody follows.
    pub fn new(app: &'a Arc<App>, instance: &'a Instance) -> Self {
        Self {
            app,
            instance,
            subjects: Mutex::default(),
        }
    }

    /// From here on, steps are noted for these.
    fn follow(&self, subjects: Vec<Uuid>) {
        *self.subjects.lock().unwrap_or_else(PoisonError::into_inner) = subjects;
    }
}

impl Rest for Live<'_> {
    async fn run(&self, call: Call) -> Result<Value, CallError> {
        self.app.dispatcher.pace(self.instance.id).take().await;
        // On the heap: the routine is deep, and a call is large.
        let called = Box::pin(call::call(
            self.app,
            self.instance,
            &call.method,
            &call.params,
        ));
        let answer = called.await?;
        Ok(answer.result)
    }

    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn note(&self, step: Step, state: StepState) {
        let subjects = self
            .subjects
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (store, now) = (&self.app.store, self.app.clock.now());
        for subject in subjects {
            let noted = steps::set(
                store,
                subject,
                step.as_str(),
                state.as_str(),
                state.error(),
                now,
            );
            if let Err(error) = noted.await {
                tracing::warn!(%error, "a step could not be noted");
            }
        }
    }
}

/// Publishes and looks over all portals until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut schedule = Schedule::new(app.settings.portal_check);
    let mut runs = JoinSet::new();
    let mut running: HashMap<Id, Uuid> = HashMap::new();
    let mut keeping_alive: Option<tokio::task::JoinHandle<()>> = None;
    let mut kept_alive: Option<Millis> = None;
    let mut looking: Option<tokio::task::JoinHandle<()>> = None;
    let mut looked_again: Option<Millis> = None;
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let now = app.clock.now();
        for instance in app.portals.take_hurried() {
            schedule.forget(instance);
        }
        if kept_alive.is_none_or(|at| elapsed(now, at) >= KEEP_ALIVE_EVERY)
            && keeping_alive
                .as_ref()
                .is_none_or(tokio::task::JoinHandle::is_finished)
        {
            kept_alive = Some(now);
            keeping_alive = Some(tokio::spawn(tokens::keep_alive(Arc::clone(&app))));
        }
        if looked_again.is_none_or(|at| elapsed(now, at) >= LOOK_AGAIN_EVERY)
            && looking
                .as_ref()
                .is_none_or(tokio::task::JoinHandle::is_finished)
        {
            looked_again = Some(now);
            looking = Some(tokio::spawn(announce::look_again(Arc::clone(&app))));
        }
        let registry = app.directory.snapshot();
        for (instance, scope) in schedule.due(&registry, now) {
            if running.values().any(|busy| *busy == instance) {
                continue;
            }
            if scope == Scope::All {
                schedule.checked(instance, now);
            }
            let (app, room) = (Arc::clone(&app), Arc::clone(&room));
            let task = runs.spawn(async move {
                // The semaphore is never closed.
                let _room = room.acquire().await;
                publish_portal(&app, instance, scope).await
            });
            running.insert(task.id(), instance);
        }
        let rest = schedule.sleep(&registry, now);
        // Whoever rests keeps no set-up of the past in memory.
        drop(registry);
        tokio::select! {
            () = stop.cancelled() => break,
            () = app.portals.changed.notified() => {}
            Some(ended) = runs.join_next_with_id() => {
                let (id, calm) = ended.unwrap_or_else(|error| {
                    tracing::error!(%error, "a run of the publish routine ended badly");
                    (error.id(), false)
                });
                if let Some(instance) = running.remove(&id) {
                    schedule.ended(instance, calm, app.clock.now());
                }
            }
            () = tokio::time::sleep(rest) => {}
        }
    }
    let mut rest = pin!(async { while runs.join_next().await.is_some() {} });
    // What does not end in time is cut off, and its numbers stay pending.
    let _ = timeout(LAST_WAIT, rest.as_mut()).await;
    for task in [keeping_alive, looking].into_iter().flatten() {
        task.abort();
    }
}

/// Runs the publish routine for one number and waits for its end.
///
/// Who asks while it already runs for this portal waits for that run, and is content with it if it connected the number.
pub async fn publish_now(app: &Arc<App>, phone: Uuid) -> Result<(), PublishError> {
    let registry = app.directory.snapshot();
    let number = registry.phones.get(&phone).ok_or(PublishError::NotLinked)?;
    let instance = number.instance_id.ok_or(PublishError::NotLinked)?;
    let state = app.portals.state(instance);
    let before = state.runs.load(Ordering::SeqCst);
    let turn = state.publishing.lock().await;
    let registry = app.directory.snapshot();
    let number = registry.phones.get(&phone).ok_or(PublishError::NotLinked)?;
    if number.connection == Connection::Connected && state.runs.load(Ordering::SeqCst) != before {
        return Ok(());
    }
    if let Some(error) = chosen(number) {
        return Err(PublishError::Trouble(Trouble {
            error: Box::new(error.clone()),
            temporary: false,
        }));
    }
    let mut results = with_turn(app, instance, Scope::One(phone), &state).await;
    drop(turn);
    match results.pop() {
        Some(Ok(())) => Ok(()),
        Some(Err(trouble)) => Err(PublishError::Trouble(trouble)),
        None => Err(PublishError::NotLinked),
    }
}

/// Which numbers of a portal a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Those that wait to be connected.
    Pending,
    /// All, to look them over too.
    All,
    /// One, whatever its state.
    One(Uuid),
}

/// When which portal is due.
#[derive(Debug)]
struct Schedule {
    /// How long after it was looked over a portal is looked over again.
    check_every: Duration,
    /// Portals with passing trouble: failures in a row and when to try again.
    pauses: HashMap<Uuid, (usize, Millis)>,
    /// When each portal was looked over last.
    checks: HashMap<Uuid, Millis>,
}

/// The time since a moment; a moment in the future, from before the clock was set back, is long ago.
fn elapsed(now: Millis, moment: Millis) -> Duration {
    if moment > now {
        Duration::MAX
    } else {
        now.since(moment)
    }
}

impl Schedule {
    fn new(check_every: Duration) -> Self {
        Self {
            check_every,
            pauses: HashMap::new(),
            checks: HashMap::new(),
        }
    }

    fn due(&self, registry: &Registry, now: Millis) -> Vec<(Uuid, Scope)> {
        let instances = registry.instances.keys().copied();
        instances
            .filter_map(|instance| Some((instance, self.scope(registry, instance, now)?)))
            .collect()
    }

    fn scope(&self, registry: &Registry, instance: Uuid, now: Millis) -> Option<Scope> {
        let active = registry
            .instances
            .get(&instance)
            .is_some_and(|instance| instance.state == InstanceState::Active);
        let unprepared = active && !is_prepared(registry, instance);
        if registry.phones_of(instance).next().is_none() && !unprepared {
            return None;
        }
        if self.until_check(instance, now).is_zero() {
            return Some(Scope::All);
        }
        let due = is_pending(registry, instance) && self.until_retry(instance, now).is_zero();
        due.then_some(Scope::Pending)
    }

    fn until_check(&self, instance: Uuid, now: Millis) -> Duration {
        let checked = self.checks.get(&instance);
        checked.map_or(Duration::ZERO, |checked| {
            self.check_every.saturating_sub(elapsed(now, *checked))
        })
    }

    fn until_retry(&self, instance: Uuid, now: Millis) -> Duration {
        self.pauses
            .get(&instance)
            .map_or(Duration::ZERO, |(_, until)| until.since(now))
    }

    /// How long nothing is due.
    fn sleep(&self, registry: &Registry, now: Millis) -> Duration {
        let instances = registry.instances.keys().filter(|instance| {
            registry.phones_of(**instance).next().is_some() || !is_prepared(registry, **instance)
        });
        let waits = instances.map(|instance| {
            let check = self.until_check(*instance, now);
            if is_pending(registry, *instance) {
                check.min(self.until_retry(*instance, now))
            } else {
                check
            }
        });
        // A portal whose run is under way is due all the time; its end wakes the loop.
        waits
            .filter(|wait| !wait.is_zero())
            .min()
            .unwrap_or(LONGEST_SLEEP)
            .min(LONGEST_SLEEP)
    }

    fn checked(&mut self, instance: Uuid, now: Millis) {
        self.checks.insert(instance, now);
    }

    /// A run is over, without passing trouble or with it.
    fn ended(&mut self, instance: Uuid, calm: bool, now: Millis) {
        if calm {
            self.forget(instance);
            return;
        }
        let (failures, until) = self.pauses.entry(instance).or_default();
        *until = now + PAUSES[(*failures).min(PAUSES.len() - 1)];
        *failures += 1;
    }

    fn forget(&mut self, instance: Uuid) {
        self.pauses.remove(&instance);
    }
}

fn is_pending(registry: &Registry, instance: Uuid) -> bool {
    !is_prepared(registry, instance)
        || registry
            .phones_of(instance)
            .any(|phone| phone.connection == Connection::Pending)
}

/// Whether connector, events and placements were bound since the last installation; there is nothing to be bound on a
/// portal that cannot be used.
fn is_prepared(registry: &Registry, instance: Uuid) -> bool {
    registry
        .instances
        .get(&instance)
        .is_none_or(|instance| instance.prepared || instance.state != InstanceState::Active)
}

/// One run for one portal; gives whether it ended without passing trouble and with the portal prepared.
async fn publish_portal(app: &Arc<App>, instance: Uuid, scope: Scope) -> bool {
    let state = app.portals.state(instance);
    let turn = state.publishing.lock().await;
    let results = with_turn(app, instance, scope, &state).await;
    drop(turn);
    let passing =
        |result: &Result<(), Trouble>| result.as_ref().is_err_and(|trouble| trouble.temporary);
    !results.iter().any(passing) && is_prepared(&app.directory.snapshot(), instance)
}

/// What somebody did on the portal to take the number off; only linking again undoes it.
fn chosen(phone: &Phone) -> Option<&PhoneError> {
    let error = phone.error.as_ref()?;
    (phone.connection == Connection::Error && CHOSEN.contains(&error.code.as_str()))
        .then_some(error)
}

/// A number and what is to be done for it.
enum Work<'a> {
    Check(&'a Phone),
    Connect(&'a Phone),
}

fn work_for(registry: &Registry, instance: Uuid, scope: Scope) -> Vec<Work<'_>> {
    registry
        .phones_of(instance)
        .filter_map(|phone| match (scope, phone.connection) {
            (Scope::One(only), _) => (phone.id == only).then_some(Work::Connect(phone)),
            (_, Connection::Pending) => Some(Work::Connect(phone)),
            (Scope::All, Connection::Connected) => Some(Work::Check(phone)),
            // What was wrong may have been put right on the portal meanwhile.
            (Scope::All, Connection::Error) if chosen(phone).is_none() => {
                Some(Work::Connect(phone))
            }
            _ => None,
        })
        .collect()
}

/// The run itself; the caller holds the portal's turn.
async fn with_turn(
    app: &Arc<App>,
    instance: Uuid,
    scope: Scope,
    state: &PortalState,
) -> Vec<Result<(), Trouble>> {
    let registry = app.directory.snapshot();
    let Some(instance) = registry.instances.get(&instance) else {
        return Vec::new();
    };
    let run = Run {
        app,
        registry: &registry,
        instance,
        live: Live::new(app, instance),
    };
    let (mut checks, mut connects) = (Vec::new(), Vec::new());
    for work in work_for(&registry, instance.id, scope) {
        match work {
            Work::Check(phone) => checks.push(phone),
            Work::Connect(phone) => connects.push(phone),
        }
    }
    let mut results = Vec::new();
    if !checks.is_empty() {
        match run.check(&checks).await {
            Ok(fallen) => connects.extend(fallen),
            Err(trouble) => results.extend(run.all_fail(&checks, &trouble).await),
        }
    }
    let prepare = !is_prepared(&registry, instance.id) && !matches!(scope, Scope::One(_));
    if !connects.is_empty() || prepare {
        results.extend(run.connect(&connects).await);
    }
    state.runs.fetch_add(1, Ordering::SeqCst);
    results
}

/// One run for one portal.
struct Run<'a> {
    app: &'a Arc<App>,
    registry: &'a Registry,
    instance: &'a Instance,
    live: Live<'a>,
}

impl<'a> Run<'a> {
    /// Looks connected numbers and the event handlers over; gives the numbers that are not connected any more.
    async fn check(&self, phones: &[&'a Phone]) -> Result<Vec<&'a Phone>, Trouble> {
        let listed = publish::listed(&self.live).await?;
        if publish::converge_events(&self.live, &self.wish()?.events_url).await? {
            tracing::warn!(
                portal = self.instance.domain,
                "event handlers were missing or strange and were put right"
            );
            self.app.metrics.count("publish", "events_healed");
        }
        let mut fallen = Vec::new();
        for phone in phones {
            let finding = match (phone.connector.as_deref(), phone.line_id) {
                (Some(connector), Some(line)) => {
                    publish::check(&self.live, &listed, connector, LineId(line)).await
                }
                _ => Ok(Finding::Fallen),
            };
            if finding.is_err() && !fallen.is_empty() {
                // Those that fell are put right first; the others are looked at next time.
                break;
            }
            if finding? == Finding::Fallen {
                let text = format!(
                    "The number +{} lost its connection to {}.",
                    phone.phone, self.instance.domain
                );
                self.fell(phone, &text).await;
                fallen.push(*phone);
            }
        }
        Ok(fallen)
    }

    /// Prepares the portal, then connects numbers one after another.
    async fn connect(&self, phones: &[&Phone]) -> Vec<Result<(), Trouble>> {
        let prepared = match self.prepare(phones).await {
            Ok(prepared) => prepared,
            Err(trouble) if phones.is_empty() => return vec![Err(trouble)],
            Err(trouble) => return self.all_fail(phones, &trouble).await,
        };
        let (registry, sealer) = (self.registry, &self.app.sealer);
        let warning =
            orders::converge(&self.live, registry, sealer, self.instance, prepared.user).await;
        let mut results = Vec::new();
        for phone in phones {
            self.live.follow(vec![phone.id]);
            let result = match self.connect_one(&prepared, phone).await {
                Ok(connected) if phone.sms_service && connected.warning.is_none() => {
                    let connected = Connected {
                        warning: warning.clone(),
                    };
                    self.succeeded(phone, &connected).await
                }
                Ok(connected) => self.succeeded(phone, &connected).await,
                Err(trouble) => Err(trouble),
            };
            results.push(match result {
                Ok(()) => Ok(()),
                Err(trouble) => Err(self.failed(phone, trouble).await),
            });
        }
        self.live.follow(Vec::new());
        if results.iter().any(Result::is_ok)
            && let Err(trouble) = self.handlers_again().await
        {
            tracing::warn!(portal = self.instance.domain, %trouble, "event handlers could not be looked at again");
        }
        results
    }

    /// Binds what the portal needs for all its numbers. A number is not connected before the installation is finished.
    async fn prepare(&self, phones: &[&Phone]) -> Result<Prepared, Trouble> {
        let wish = self.wish()?;
        let mut subjects: Vec<Uuid> = phones.iter().map(|phone| phone.id).collect();
        self.begin_steps(&subjects)
            .await
            .map_err(|error| Trouble::of_store(&error))?;
        subjects.push(self.instance.id);
        self.live.follow(subjects);
        let prepared = publish::prepare(&self.live, &wish).await?;
        self.remember(&prepared)
            .await
            .map_err(|error| Trouble::of_store(&error))?;
        if phones.is_empty() {
            self.live.follow(Vec::new());
            return Ok(prepared);
        }
        publish::require_installed(&self.live, &prepared).await?;
        Ok(prepared)
    }

    async fn begin_steps(&self, phones: &[Uuid]) -> Result<(), store::Error> {
        let now = self.app.clock.now();
        let preparation = PREPARATION.map(Step::as_str);
        steps::begin(&self.app.store, self.instance.id, &preparation, now).await?;
        let publishing = PUBLISHING.map(Step::as_str);
        for phone in phones {
            steps::begin(&self.app.store, *phone, &publishing, now).await?;
        }
        Ok(())
    }

    /// Keeps what the portal said, where it is new.
    async fn remember(&self, prepared: &Prepared) -> Result<(), store::Error> {
        let (app, instance) = (self.app, self.instance);
        let known = instance.prepared
            && instance.installed == prepared.installed
            && instance.installer_id == Some(prepared.user);
        if known {
            return Ok(());
        }
        let installer = Some((prepared.user, prepared.name.as_str()));
        instances::set_installed(&app.store, instance.id, Some(prepared.installed), installer)
            .await?;
        instances::set_prepared(&app.store, instance.id, true).await?;
        app.refresh(Part::Instance(instance.id)).await?;
        tracing::info!(
            portal = instance.domain,
            installed = prepared.installed,
            "a portal is prepared"
        );
        Ok(())
    }

    /// Activating a connector has been seen to take handlers along.
    async fn handlers_again(&self) -> Result<(), Trouble> {
        publish::converge_events(&self.live, &self.wish()?.events_url)
            .await
            .map(drop)
    }

    fn wish(&self) -> Result<PortalWish, Trouble> {
        let application = self.registry.bitrix_apps.get(&self.instance.app_id);
        let site =
            application.and_then(|application| self.registry.sites.get(&application.site_id));
        let (Some(application), Some(site)) = (application, site) else {
            return Err(Trouble::passing(
                "SET_UP",
                "The set-up of this portal is being changed.",
            ));
        };
        let base = site.base_url();
        let stored = self
            .registry
            .phones_of(self.instance.id)
            .filter_map(|phone| phone.connector.as_deref());
        Ok(PortalWish {
            connectors: publish::connector_ids(self.instance.id, stored),
            events_url: super::events_url(&base, application.client_id.as_deref()),
            settings_url: format!("{base}/placement/"),
            asks_for_event: self.instance.application_token.is_none(),
            language: match self.instance.language {
                Language::English => "en",
                Language::Russian => "ru",
            },
        })
    }

    async fn connect_one(&self, prepared: &Prepared, phone: &Phone) -> Result<Connected, Trouble> {
        let wish = NumberWish {
            digits: phone.phone.clone(),
            line: phone.line_id.map(LineId),
            chosen: phone.chosen_line_id.map(LineId),
        };
        let line = publish::find_line(&self.live, prepared, &wish).await?;
        // Before activation: its events must find their number.
        let place = line.place(&prepared.connector);
        let stored = async {
            instances::set_place(&self.app.store, phone.id, self.instance.id, &place).await?;
            self.app.refresh(Part::Phone(phone.id)).await
        };
        stored.await.map_err(|error| Trouble::of_store(&error))?;
        publish::connect(&self.live, prepared, &line, &phone.phone).await
    }

    async fn succeeded(&self, phone: &Phone, connected: &Connected) -> Result<(), Trouble> {
        let (app, warning) = (self.app, connected.warning.as_ref());
        let stored = async {
            let state = Connection::Connected;
            instances::set_connection(&app.store, phone.id, self.instance.id, state, warning)
                .await?;
            instances::clear_alarm(
                &app.store,
                app.clock.now(),
                CONNECTION_ALARM,
                &phone.id.to_string(),
            )
            .await?;
            app.refresh(Part::Phone(phone.id)).await
        };
        stored.await.map_err(|error| Trouble::of_store(&error))?;
        app.metrics.count("publish", "connected");
        tracing::info!(portal = self.instance.domain, phone = %phone.id, "a number is connected");
        app.dispatcher.wake(phone.id, Side::Portal);
        Ok(())
    }

    /// Shows a number's trouble; gives it back.
    async fn failed(&self, phone: &Phone, trouble: Trouble) -> Trouble {
        self.app.metrics.count(
            "publish",
            if trouble.temporary { "later" } else { "failed" },
        );
        // One alarm for the portal is enough where the portal itself is what fails.
        if phone.connection == Connection::Connected && trouble.error.code != publish::AUTHORIZATION
        {
            let text = format!(
                "The number +{} lost its connection to {}: {trouble}",
                phone.phone, self.instance.domain
            );
            self.fell(phone, &text).await;
        }
        let connection = if trouble.temporary {
            Connection::Pending
        } else {
            Connection::Error
        };
        if let Err(error) = self.show(phone, connection, &trouble.error).await {
            tracing::error!(%error, phone = %phone.id, "a number's trouble could not be stored");
            return Trouble::of_store(&error);
        }
        trouble
    }

    async fn show(
        &self,
        phone: &Phone,
        connection: Connection,
        error: &PhoneError,
    ) -> Result<(), crate::store::Error> {
        if phone.connection == connection && phone.error.as_ref() == Some(error) {
            return Ok(());
        }
        tracing::warn!(portal = self.instance.domain, phone = %phone.id, error = error.title, "a number is not connected");
        instances::set_connection(
            &self.app.store,
            phone.id,
            self.instance.id,
            connection,
            Some(error),
        )
        .await?;
        self.app.refresh(Part::Phone(phone.id)).await
    }

    /// The same trouble for several numbers. A connected number whose portal cannot be asked just now stays connected.
    async fn all_fail(&self, phones: &[&Phone], trouble: &Trouble) -> Vec<Result<(), Trouble>> {
        let mut results = Vec::new();
        for phone in phones {
            let unseen = phone.connection == Connection::Connected && trouble.temporary;
            let trouble = if unseen {
                trouble.clone()
            } else {
                self.failed(phone, trouble.clone()).await
            };
            results.push(Err(trouble));
        }
        results
    }

    /// Raises the alarm of a fall, once.
    async fn fell(&self, phone: &Phone, text: &str) {
        let (app, subject) = (self.app, phone.id.to_string());
        let (id, now) = (app.ids.next(), app.clock.now());
        match instances::raise_alarm(&app.store, id, now, CONNECTION_ALARM, &subject, text).await {
            Ok(true) => {
                tracing::error!(portal = self.instance.domain, phone = %phone.id, "a number lost its connection");
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, phone = %phone.id, "an alarm could not be raised");
            }
        }
    }
}

#[cfg(test)]
mod unit_tests;
