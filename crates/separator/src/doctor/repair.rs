//! Mending what an API can mend. Each way puts a thing into the state in which it should be, and can be repeated.

use std::{sync::Arc, time::Duration};

use bitrix24::event_handlers;
use uuid::Uuid;

use super::{
    Patient, line, meta_app,
    portal::{self, Silence},
    verdict::{Text, text},
};
use crate::{
    account::{
        self,
        connect::{self, Plan},
    },
    app::App,
    calling::{
        self,
        settings::{State, Task},
    },
    portal as portals,
    registry::{Instance, Part, Phone, Registry},
    store::{self, meta_connections},
    translate::message::Language,
};

/// How long registering a number may take while somebody waits.
const REGISTERING: Duration = Duration::from_secs(30);

/// How long saving may take while somebody waits.
const SAVING: Duration = Duration::from_secs(20);

/// The pause before it is looked again how far it is.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A way to mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Sets the app's callback and fields at Meta.
    AppWebhook,
    /// Subscribes the app to the account, with no callback of the account's own.
    Subscribe,
    /// Registers the number on the Cloud API with its PIN.
    Register,
    /// Brings the portal's event handlers to exactly one for each event.
    Events,
    /// Runs the publish routine for the number, or for all numbers of the portal.
    Publish,
    /// Removes embedded pages that are not ours any more.
    Placements,
    /// Sets the settings of the number's line that lose chats otherwise.
    LineSettings,
    /// Saves the number's calling settings at Meta again.
    Calling,
}

/// Why a thing could not be mended.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// There is no such thing any more.
    Gone,
    /// What stands against it.
    Refused(Text),
}

fn refused(why: &impl ToString) -> Obstacle {
    let why = why.to_string();
    Obstacle::Refused(text!(
        "It could not be mended: {why}.",
        "Исправить не удалось: {why}."
    ))
}

impl From<Silence> for Obstacle {
    fn from(silence: Silence) -> Self {
        match silence.unknown() {
            super::verdict::Verdict::Unknown(why) => Self::Refused(why),
            other => refused(&format!("{other:?}")),
        }
    }
}

/// Mends.
pub(super) async fn mend(app: &Arc<App>, repair: Repair, patient: Patient) -> Result<(), Obstacle> {
    let registry = app.directory.snapshot();
    match (repair, patient) {
        (Repair::AppWebhook, Patient::WabaApp(id)) => {
            let waba_app = registry.waba_apps.get(&id).ok_or(Obstacle::Gone)?;
            let set = meta_app::set_webhook(app, &registry, waba_app).await;
            set.map_err(|error| refused(&error))
        }
        (Repair::AppWebhook, Patient::Phone(id)) => {
            let phone = registry.phones.get(&id).ok_or(Obstacle::Gone)?;
            let (_, waba_app) = registry.app_of(phone).ok_or(Obstacle::Gone)?;
            let set = meta_app::set_webhook(app, &registry, waba_app).await;
            set.map_err(|error| refused(&error))
        }
        (Repair::Calling, Patient::Phone(id)) => calls(app, id).await,
        (Repair::Subscribe, Patient::Account(id)) => subscribe(app, &registry, id).await,
        (Repair::Register, Patient::Phone(id)) => {
            register(
                app,
                &registry,
                registry.phones.get(&id).ok_or(Obstacle::Gone)?,
            )
            .await
        }
        (Repair::Events, Patient::Instance(id)) => {
            let instance = registry.instances.get(&id).ok_or(Obstacle::Gone)?;
            events(app, &registry, instance).await
        }
        (Repair::Publish, Patient::Instance(id)) => {
            for phone in registry.phones_of(id) {
                publish(app, phone).await?;
            }
            Ok(())
        }
        (Repair::Publish, Patient::Phone(id)) => {
            publish(app, registry.phones.get(&id).ok_or(Obstacle::Gone)?).await
        }
        (Repair::Placements, Patient::Instance(id)) => {
            let instance = registry.instances.get(&id).ok_or(Obstacle::Gone)?;
            Ok(portal::remove_stray_placements(app, &registry, instance).await?)
        }
        (Repair::LineSettings, Patient::Phone(id)) => {
            let phone = registry.phones.get(&id).ok_or(Obstacle::Gone)?;
            let instance = registry.instance_of(phone).ok_or(Obstacle::Gone)?;
            let line = phone.line_id.ok_or(Obstacle::Gone)?;
            Ok(line::set_settings(app, instance, line).await?)
        }
        _ => Err(Obstacle::Gone),
    }
}

async fn subscribe(app: &Arc<App>, registry: &Registry, id: Uuid) -> Result<(), Obstacle> {
    let known = registry.accounts.get(&id).ok_or(Obstacle::Gone)?;
    let waba_app = registry
        .waba_apps
        .get(&known.app_id)
        .ok_or(Obstacle::Gone)?;
    let credentials = account::of_account(known, waba_app)
        .ok_or_else(|| refused(&account::SyncError::NoToken))?;
    // Without a callback in the request, one of the account's own is taken away.
    account::client(app)
        .subscribe(&credentials, &known.waba_id)
        .await
        .map_err(|error| refused(&error))
}

/// Connects the number's account anew with this number, and waits for the end: that registers a number which needs it.
async fn register(app: &Arc<App>, registry: &Registry, phone: &Phone) -> Result<(), Obstacle> {
    let (account, waba_app) = registry.app_of(phone).ok_or(Obstacle::Gone)?;
    let plan = Plan {
        accounts: vec![account.waba_id.clone()],
        phones: vec![phone.phone_number_id.clone()],
    };
    let begun = connect::begin(app, waba_app.id, account.access_token.clone(), plan)
        .await
        .map_err(|error| refused(&error))?;
    let deadline = app.clock.now() + REGISTERING;
    loop {
        let connection = meta_connections::one(&app.store, &app.sealer, begun.id)
            .await
            .map_err(|error| refused(&error))?
            .ok_or(Obstacle::Gone)?;
        let trouble = connection
            .steps
            .iter()
            .find_map(|step| step.trouble.as_ref());
        match (connection.state, trouble) {
            (connect::State::Done, _) => return Ok(()),
            (connect::State::Running, _) if app.clock.now() < deadline => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            (_, Some(trouble)) => {
                return Err(Obstacle::Refused(Text {
                    english: told(trouble, Language::English),
                    russian: told(trouble, Language::Russian),
                }));
            }
            (_, None) => return Err(refused(&"it takes longer than expected")),
        }
    }
}

/// A trouble and what to do about it, in one text.
fn told(trouble: &account::trouble::Trouble, language: Language) -> String {
    format!("{} {}", trouble.text(language), trouble.fix(language))
}

/// Has the chosen calling settings saved again, and waits for the first try.
async fn calls(app: &Arc<App>, phone: Uuid) -> Result<(), Obstacle> {
    let current = store::calling::one(&app.store, phone)
        .await
        .map_err(|error| refused(&error))?
        .ok_or(Obstacle::Gone)?;
    let next = current.again(Task::Save, app.clock.now());
    let chosen = store::calling::choose(&app.store, phone, &next).await;
    if !chosen.map_err(|error| refused(&error))? {
        return Err(refused(
            &"somebody else changed the settings at the same time",
        ));
    }
    app.refresh(Part::Phone(phone))
        .await
        .map_err(|error| refused(&error))?;
    app.calls.wake();
    calling::tried(app, phone, next.version, SAVING).await;
    let registry = app.directory.snapshot();
    let now = registry.calling.get(&phone).ok_or(Obstacle::Gone)?;
    match &now.error {
        Some(error) => Err(refused(&error.line())),
        None if now.state == State::InSync => Ok(()),
        None => Err(refused(
            &"Meta gave no answer yet; it is tried again by itself",
        )),
    }
}

async fn events(app: &Arc<App>, registry: &Registry, instance: &Instance) -> Result<(), Obstacle> {
    let url = portal::events_url(registry, instance).ok_or(Obstacle::Gone)?;
    let found = event_handlers::read(&portal::ask(app, instance, event_handlers::get()).await?);
    for step in event_handlers::converge(&found, &url, &event_handlers::CONNECTOR_EVENTS) {
        portal::ask(app, instance, step.call()).await?;
    }
    Ok(())
}

async fn publish(app: &Arc<App>, phone: &Phone) -> Result<(), Obstacle> {
    let instance = phone.instance_id.ok_or(Obstacle::Gone)?;
    // What somebody chose on the portal is undone by linking again, and by nothing else.
    portals::link(app, phone.id, Some(instance), portals::LineWish::Unchanged)
        .await
        .map_err(|error| refused(&error))?;
    portals::publish_now(app, phone.id)
        .await
        .map_err(|error| refused(&error))
}
