//! The doctor: looks at everything that has to be right for a message to pass, and says what is not and how to mend it.
//!
//! - What can be looked at is a [`Patient`]: the installation, a site, a Meta app, an account, a number, a portal. Each
//!   has a table of checks in a file of its own, and a function `see` that asks all that the table needs, once.
//! - A check is a pure function from what was seen to yes, no with a cause and one fix, or don't know with a reason
//!   (a `Verdict`). What could not be asked is not known: a fault in one place turns no other place red.
//! - [`examine`] sees patients side by side, a few at a time. Each question has a time limit, and a patient that throws
//!   the doctor off is not known and costs the others nothing.
//! - The last report is kept in the database. Alarms are raised when a check turns to no and cleared when it turns to
//!   yes; "don't know" does neither ([`mod@alarms`]).
//! - What an API can mend is mended on request ([`mod@repair`]).
//!
//! Every check has a section in `docs/doctor.md` under its name.

mod account;
mod alarms;
mod calling;
pub mod door;
mod installation;
mod line;
mod meta;
mod meta_app;
mod number;
mod orders;
mod portal;
mod proof;
mod queue;
mod repair;
pub mod report;
mod site;
mod token;
mod verdict;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::HeaderValue;
use futures_util::{StreamExt as _, stream};
use tokio::{sync::Notify, time::error::Elapsed};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::verdict::text;
pub use self::{
    proof::Proofs,
    report::Report,
    verdict::{Finding, State, Subject, Text},
};
pub(crate) use self::{
    repair::Obstacle,
    verdict::{About, Group},
};
use crate::{
    app::App,
    identifiers::Chance,
    registry::Registry,
    store::{self, Store},
    time::{Clock, Millis},
};

/// The longest that one question may take.
const LOOK: Duration = Duration::from_secs(10);

/// The longest that one patient may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// Patients that are looked at side by side.
const AT_ONCE: usize = 6;

/// How often everything is looked at.
const ROUND: Duration = Duration::from_hours(1);

/// When everything is looked at first after a start: not at once, because what just started is still connecting.
const FIRST: Duration = Duration::from_mins(2);

/// How often proofs are written down.
const SAVE: Duration = Duration::from_secs(30);

/// Name of the last report in the notebook.
const REPORT: &str = "doctor";

/// The doctor's memory.
#[derive(Debug)]
pub struct Doctor {
    /// The installation's own id, which its doors give out.
    installation: HeaderValue,
    /// What is known to have passed.
    pub proofs: Proofs,
    /// Somebody wants everything to be looked at now.
    asked: Notify,
    /// Held while a report is being made or changed.
    turn: tokio::sync::Mutex<()>,
    progress: Mutex<Progress>,
    done: AtomicUsize,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Whether one is under way or asked for.
    pub running: bool,
    /// Things looked at.
    pub done: usize,
    /// Things to be looked at.
    pub total: usize,
}

impl Doctor {
    /// Reads what is known from the database.
    pub async fn load(store: &Store, clock: &Clock, chance: &Chance) -> Result<Self, store::Error> {
        let installation = store::doctor::installation(store, clock.now(), &chance.token()).await?;
        let proofs = Proofs::default();
        proofs.load(store).await?;
        Ok(Self {
            // The id is of letters, digits, minus and underscore.
            installation: HeaderValue::from_str(&installation)
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            proofs,
            asked: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            progress: Mutex::new(Progress::default()),
            done: AtomicUsize::new(0),
        })
    }

    /// The installation's own id.
    fn installation(&self) -> &str {
        self.installation.to_str().unwrap_or_default()
    }

    /// Asks for everything to be looked at; [`run`] does it.
    pub fn ask(&self) {
        self.set(|progress| progress.running = true);
        self.asked.notify_one();
    }

    /// How far a run has come.
    pub fn progress(&self) -> Progress {
        let progress = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        Progress {
            done: self.done.load(Ordering::Relaxed),
            ..progress
        }
    }

    fn set(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Something that can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patient {
    /// The program, its machine and its queues.
    Installation,
    /// A site.
    Site(Uuid),
    /// A Meta app and the token entered for it.
    WabaApp(Uuid),
    /// An account, the token of its own where it has one, and its numbers.
    Account(Uuid),
    /// A number, which is looked at with its account and its portal.
    Phone(Uuid),
    /// A portal with the lines of its numbers.
    Instance(Uuid),
}

impl Patient {
    /// Everything there is to look at.
    fn all(registry: &Registry) -> Vec<Self> {
        let sites = registry.sites.keys().copied().map(Self::Site);
        let apps = registry.waba_apps.keys().copied().map(Self::WabaApp);
        let accounts = registry.accounts.keys().copied().map(Self::Account);
        let portals = registry.instances.keys().copied().map(Self::Instance);
        std::iter::once(Self::Installation)
            .chain(sites)
            .chain(apps)
            .chain(accounts)
            .chain(portals)
            .collect()
    }

    /// The patient that a subject of a report is.
    pub(crate) fn of(kind: &str, id: &str) -> Option<Self> {
        if kind == "installation" {
            return Some(Self::Installation);
        }
        let id = id.parse().ok()?;
        Some(match kind {
            "site" => Self::Site(id),
            "waba_app" => Self::WabaApp(id),
            "account" => Self::Account(id),
            "phone" => Self::Phone(id),
            "instance" => Self::Instance(id),
            _ => return None,
        })
    }

    /// What a report calls it.
    pub(crate) fn subject(self, registry: &Registry) -> Subject {
        let named = |kind: &str, id: Uuid, name: Option<String>| Subject {
            kind: kind.to_owned(),
            id: id.to_string(),
            name: name.unwrap_or_default(),
        };
        match self {
            Self::Installation => Subject {
                kind: "installation".to_owned(),
                id: String::new(),
                name: "Separator".to_owned(),
            },
            Self::Site(id) => named(
                "site",
                id,
                registry.sites.get(&id).map(|site| site.domain.clone()),
            ),
            Self::WabaApp(id) => named(
                "waba_app",
                id,
                registry.waba_apps.get(&id).map(|app| app.name.clone()),
            ),
            Self::Account(id) => named(
                "account",
                id,
                registry.accounts.get(&id).map(|account| {
                    if account.name.is_empty() {
                        account.waba_id.clone()
                    } else {
                        account.name.clone()
                    }
                }),
            ),
            Self::Phone(id) => named(
                "phone",
                id,
                registry
                    .phones
                    .get(&id)
                    .map(|phone| format!("+{}", phone.phone)),
            ),
            Self::Instance(id) => named(
                "instance",
                id,
                registry
                    .instances
                    .get(&id)
                    .map(|portal| portal.domain.clone()),
            ),
        }
    }

    /// Whether it is still there.
    pub(crate) fn exists(self, registry: &Registry) -> bool {
        match self {
            Self::Installation => true,
            Self::Site(id) => registry.sites.contains_key(&id),
            Self::WabaApp(id) => registry.waba_apps.contains_key(&id),
            Self::Account(id) => registry.accounts.contains_key(&id),
            Self::Phone(id) => registry.phones.contains_key(&id),
            Self::Instance(id) => registry.instances.contains_key(&id),
        }
    }

    /// Looks at it.
    async fn look(self, app: &Arc<App>) -> Vec<Finding> {
        let registry = app.directory.snapshot();
        let subject = self.subject(&registry);
        match self {
            Self::Installation => {
                let (machine, queue) = tokio::join!(installation::see(app), queue::see(app));
                let mut findings = verdict::judge_all(installation::CHECKS, &machine, &subject);
                findings.extend(verdict::judge_all(queue::CHECKS, &queue, &subject));
                findings
            }
            Self::Site(id) => match site::see(app, &registry, id).await {
                Some(seen) => verdict::judge_all(site::CHECKS, &seen, &subject),
                None => Vec::new(),
            },
            Self::WabaApp(id) => look_at_app(app, &registry, id, &subject).await,
            Self::Account(id) => Box::pin(look_at_account(app, &registry, id, &subject)).await,
            // Looked at with its account and its portal, which are asked once for all their numbers.
            Self::Phone(_) => Vec::new(),
            Self::Instance(id) => Box::pin(look_at_portal(app, &registry, id, &subject)).await,
        }
    }
}

async fn look_at_app(
    app: &Arc<App>,
    registry: &Registry,
    id: Uuid,
    subject: &Subject,
) -> Vec<Finding> {
    let (Some(seen), Some(waba_app)) = (
        meta_app::see(app, registry, id).await,
        registry.waba_apps.get(&id),
    ) else {
        return Vec::new();
    };
    let mut findings = verdict::judge_all(meta_app::CHECKS, &seen, subject);
    let without_own = registry
        .accounts
        .values()
        .any(|account| account.app_id == id && account.access_token.is_none());
    if waba_app.access_token.is_some() || without_own {
        let token = token::see(app, waba_app, waba_app.access_token.as_ref()).await;
        findings.extend(verdict::judge_all(token::CHECKS, &token, subject));
    }
    findings
}

async fn look_at_account(
    app: &Arc<App>,
    registry: &Registry,
    id: Uuid,
    subject: &Subject,
) -> Vec<Finding> {
    let Some(known) = registry.accounts.get(&id) else {
        return Vec::new();
    };
    let Some(waba_app) = registry.waba_apps.get(&known.app_id) else {
        return Vec::new();
    };
    let (seen, numbers, calls, queues) = tokio::join!(
        account::see(app, registry, known, waba_app),
        number::see_all(app, known, waba_app),
        calling::see_all(app, registry, known, waba_app),
        queue::see_all(app),
    );
    let mut findings = verdict::judge_all(account::CHECKS, &seen, subject);
    if let Some(own) = &known.access_token {
        let token = token::see(app, waba_app, Some(own)).await;
        findings.extend(verdict::judge_all(token::CHECKS, &token, subject));
    }
    for phone in registry.phones.values() {
        if phone.account_id != id {
            continue;
        }
        let subject = Patient::Phone(phone.id).subject(registry);
        let (number, queue) = (numbers.of(app, registry, phone), queues.of(registry, phone));
        let calls = calls.of(registry, phone);
        findings.extend(verdict::judge_all(number::CHECKS, &number, &subject));
        findings.extend(verdict::judge_all(calling::CHECKS, &calls, &subject));
        findings.extend(verdict::judge_all(queue::PHONE_CHECKS, &queue, &subject));
        if phone.instance_id.is_none() {
            let line = line::see(app, None, None, phone).await;
            findings.extend(verdict::judge_all(line::CHECKS, &line, &subject));
        }
    }
    findings
}

/// A portal, and the line of each number that is linked to it: the portal is asked once for all of them.
async fn look_at_portal(
    app: &Arc<App>,
    registry: &Registry,
    id: Uuid,
    subject: &Subject,
) -> Vec<Finding> {
    let Some(seen) = portal::see(app, registry, id).await else {
        return Vec::new();
    };
    let mut findings = verdict::judge_all(portal::CHECKS, &seen, subject);
    for phone in registry.phones_of(id) {
        let instance = registry.instances.get(&id).map(Arc::as_ref);
        let line = line::see(app, instance, Some(&seen), phone).await;
        let subject = Patient::Phone(phone.id).subject(registry);
        findings.extend(verdict::judge_all(line::CHECKS, &line, &subject));
    }
    findings
}

/// All checks, in the order of the page.
pub(crate) fn checks() -> impl Iterator<Item = &'static About> {
    fn of<S>(checks: &'static [verdict::Check<S>]) -> impl Iterator<Item = &'static About> {
        checks.iter().map(|check| &check.about)
    }
    of(installation::CHECKS)
        .chain(of(site::CHECKS))
        .chain(of(meta_app::CHECKS))
        .chain(of(token::CHECKS))
        .chain(of(account::CHECKS))
        .chain(of(number::CHECKS))
        .chain(of(portal::CHECKS))
        .chain(of(line::CHECKS))
        .chain(of(calling::CHECKS))
        .chain(of(queue::CHECKS))
        .chain(of(queue::PHONE_CHECKS))
}

/// The names of all checks, which are headings of `docs/doctor.md`.
pub fn check_names() -> impl Iterator<Item = &'static str> {
    checks().map(|about| about.id)
}

/// The check of a name.
pub(crate) fn check(name: &str) -> Option<&'static About> {
    checks().find(|about| about.id == name)
}

/// Waits for an answer for as long as one question may take.
async fn bounded<T>(question: impl Future<Output = T>) -> Result<T, Elapsed> {
    tokio::time::timeout(LOOK, question).await
}

/// Looks at what has to be right before anything is set up: the machine, and a domain that need not be entered yet.
pub(crate) async fn prerequisites(app: &Arc<App>, domain: &str, base: &str) -> Vec<Finding> {
    let subject = Subject {
        kind: "site".to_owned(),
        id: String::new(),
        name: domain.to_owned(),
    };
    let (site, machine) = tokio::join!(site::see_domain(app, domain, base), installation::see(app));
    let mut findings = verdict::judge_all(site::CHECKS, &site, &subject);
    findings.extend(verdict::judge_all(
        installation::CHECKS,
        &machine,
        &Patient::Installation.subject(&Registry::default()),
    ));
    findings
}

/// Looks at everything.
pub async fn examine(app: &Arc<App>) -> Report {
    let registry = app.directory.snapshot();
    let patients = Patient::all(&registry);
    // What was known before is only needed of what cannot be looked at.
    let last = Report::last(app).await.ok().flatten().unwrap_or_default();
    let last = &last;
    app.doctor.done.store(0, Ordering::Relaxed);
    app.doctor.set(|progress| progress.total = patients.len());
    let looks = patients.into_iter().map(|patient| async move {
        let findings = look_or_say_why(app, patient, last).await;
        app.doctor.done.fetch_add(1, Ordering::Relaxed);
        findings
    });
    let findings: Vec<Finding> = stream::iter(looks)
        .buffer_unordered(AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .concat();
    Report::new(app.clock.now(), findings)
}

/// Looks at a patient in a task of its own. Of one that takes too long or throws the doctor off nothing is known but what
/// `last` knew of it.
async fn look_or_say_why(app: &Arc<App>, patient: Patient, last: &Report) -> Vec<Finding> {
    let task = tokio::spawn({
        let app = Arc::clone(app);
        async move { tokio::time::timeout(PATIENCE, patient.look(&app)).await }
    });
    let why = match task.await {
        Ok(Ok(findings)) => return findings,
        Ok(Err(_)) => "it took too long".to_owned(),
        Err(error) => error.to_string(),
    };
    let registry = app.directory.snapshot();
    let subject = patient.subject(&registry);
    tracing::warn!(
        kind = subject.kind,
        id = subject.id,
        why,
        "the doctor could not look"
    );
    // A number's line is looked at with its portal, the rest of it with its account.
    let of_its_numbers = |finding: &Finding| {
        let line = check(&finding.check).is_some_and(|about| about.group == Group::Line);
        let phone = finding.subject.id.parse().ok();
        let phone = phone.and_then(|id: Uuid| registry.phones.get(&id));
        phone.is_some_and(|phone| match patient {
            Patient::Instance(portal) => line && phone.instance_id == Some(portal),
            Patient::Account(account) => {
                phone.account_id == account && (!line || phone.instance_id.is_none())
            }
            _ => false,
        })
    };
    last.findings
        .iter()
        .filter(|finding| finding.subject.id == subject.id || of_its_numbers(finding))
        .map(|finding| Finding {
            state: State::Unknown,
            cause: Some(text!(
                "It could not be looked at: {why}.",
                "Проверить не удалось: {why}."
            )),
            fix: None,
            ..finding.clone()
        })
        .collect()
}

/// Looks at everything, keeps the report, and raises and clears alarms.
async fn full_run(app: &Arc<App>) -> Result<(), store::Error> {
    let _turn = app.doctor.turn.lock().await;
    app.doctor.set(|progress| progress.running = true);
    let report = examine(app).await;
    let kept = async {
        report.save(app).await?;
        alarms::follow(app, &report).await
    };
    let kept = kept.await;
    app.doctor.set(|progress| progress.running = false);
    kept
}

/// Looks at the patient of a subject again and puts the news into the last report.
async fn look_again(app: &Arc<App>, patients: &[Patient]) -> Result<Report, store::Error> {
    let mut report = Report::last(app).await?.unwrap_or_default();
    for patient in patients {
        let news = look_or_say_why(app, *patient, &report).await;
        report.renew(news);
    }
    report.save(app).await?;
    alarms::follow(app, &report).await?;
    Ok(report)
}

/// Mends what a check found at a subject, looks again, and gives what is found now.
pub(crate) async fn mend(
    app: &Arc<App>,
    about: &About,
    kind: &str,
    id: &str,
) -> Result<Vec<Finding>, Obstacle> {
    let patient = Patient::of(kind, id)
        .filter(|patient| patient.exists(&app.directory.snapshot()))
        .ok_or(Obstacle::Gone)?;
    let repair = about.repair.ok_or(Obstacle::Gone)?;
    repair::mend(app, repair, patient).await?;
    tracing::info!(check = about.id, kind, id, "mended");
    let _turn = app.doctor.turn.lock().await;
    let registry = app.directory.snapshot();
    let mut patients = vec![patient];
    if let Patient::Phone(phone) = patient
        && let Some(phone) = registry.phones.get(&phone)
    {
        patients.push(Patient::Account(phone.account_id));
        patients.extend(phone.instance_id.map(Patient::Instance));
    }
    let report = look_again(app, &patients).await.map_err(|error| {
        let error = error.to_string();
        Obstacle::Refused(text!(
            "It was mended, but the report could not be kept: {error}.",
            "Исправлено, но отчёт не удалось сохранить: {error}."
        ))
    })?;
    Ok(report
        .findings
        .into_iter()
        .filter(|finding| finding.subject.kind == kind && finding.subject.id == id)
        .collect())
}

/// Looks at everything once an hour and when asked, and writes proofs down, until told to stop.
pub async fn run(app: Arc<App>, stop: CancellationToken) {
    // Several processes on one database do not look at the same minute.
    let spread = 1.0 + Chance::System.fraction() / 4.0;
    let mut due = app.clock.now() + FIRST.mul_f64(spread);
    loop {
        let now = app.clock.now();
        let asked = tokio::select! {
            () = stop.cancelled() => break,
            () = app.doctor.asked.notified() => true,
            () = tokio::time::sleep(SAVE.min(due.since(now)).max(Duration::from_millis(100))) => false,
        };
        if let Err(error) = app.doctor.proofs.save(&app.store).await {
            tracing::warn!(%error, "proofs could not be written down; they are kept in memory");
        }
        let now = app.clock.now();
        if !asked && due > now {
            continue;
        }
        due = now + ROUND.mul_f64(spread);
        if !asked && looked_lately(&app, now).await {
            continue;
        }
        let looked = tokio::select! {
            () = stop.cancelled() => break,
            looked = full_run(&app) => looked,
        };
        if let Err(error) = looked {
            tracing::warn!(%error, "the doctor's report could not be kept");
            app.doctor.set(|progress| progress.running = false);
        }
    }
    if let Err(error) = app.doctor.proofs.save(&app.store).await {
        tracing::warn!(%error, "proofs could not be written down; the next message proves the same");
    }
}

/// Whether another process on the same database made a report within this round.
async fn looked_lately(app: &App, now: Millis) -> bool {
    match store::doctor::note(&app.store, REPORT).await {
        Ok(Some((_, at))) => at <= now && now.since(at) < ROUND,
        _ => false,
    }
}
