//! The one publish routine: what makes a portal carry a number's messages.
//!
//! Two parts, each of which compares and puts right and can be repeated at any time:
//!
//! - [`prepare`], for the portal: the application is installed to the end, the installing employee is an administrator,
//!   the connector is registered, each event has exactly one handler.
//! - [`connect`], for a number: an open line of its own, the connector active on it, its data written, its state read
//!   back.
//!
//! Nobody who is not an administrator gets a connector: the line would look right and half of it would be refused.

mod connection;
mod line;
pub(crate) mod orders;
mod pages;
mod trouble;

use std::time::Duration;

use bitrix24::{
    Call, app,
    connector::{self, Icon, Registration},
    event_handlers,
};
use serde_json::Value;
use uuid::Uuid;

pub use self::trouble::Trouble;
pub(super) use self::{
    connection::{Connected, Finding, check, connect, listed, withdraw},
    line::{NumberWish, find_line},
    trouble::AUTHORIZATION,
};
use super::{
    CallError,
    steps::{Step, StepState},
};

/// Beginning of every connector id and line name of ours.
const PREFIX: &str = "separator_";

/// Name of the connector in the portal's contact centre.
const NAME: &str = "WhatsApp (Separator)";

/// Background of the connector's icon.
const COLOR: &str = "#25d366";

const ICON: &str = include_str!("icon.svg");

/// The portal as the routine needs it: one call at a time, at the portal's pace.
pub trait Rest: Sync {
    /// Runs a call and gives its `result`.
    fn run(&self, call: Call) -> impl Future<Output = Result<Value, CallError>> + Send;
    /// Waits.
    fn pause(&self, duration: Duration) -> impl Future<Output = ()> + Send;
    /// Notes how far it is.
    fn note(&self, step: Step, state: StepState) -> impl Future<Output = ()> + Send;
}

/// Does a step and notes that it is being done and what became of it.
async fn noted<T>(
    rest: &impl Rest,
    step: Step,
    work: impl Future<Output = Result<T, Trouble>> + Send,
) -> Result<T, Trouble> {
    rest.note(step, StepState::Running).await;
    let result = work.await;
    let state = match &result {
        Ok(_) => StepState::Done,
        Err(trouble) => StepState::Failed(trouble.to_string()),
    };
    rest.note(step, state).await;
    result
}

/// What the portal needs for all its numbers.
#[derive(Debug, Clone)]
pub(super) struct PortalWish {
    /// The connector ids that may be used, best first.
    pub(super) connectors: Vec<String>,
    /// Where events are sent.
    pub(super) events_url: String,
    /// The page of the connector's settings and of all other places.
    pub(super) settings_url: String,
    /// The application token is not known: the portal is asked for an event that brings it.
    pub(super) asks_for_event: bool,
    /// Language code for new lines.
    pub(super) language: &'static str,
}

/// What the portal has for all its numbers.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// The registered connector.
    pub(super) connector: String,
    /// The installing employee, who answers new lines at first.
    pub(super) user: i64,
    /// That employee's name.
    pub(super) name: String,
    /// Whether the portal says that the installation is finished; before, it sends no events.
    pub(super) installed: bool,
    language: &'static str,
}

/// Puts right what a portal needs for all its numbers.
///
/// All is bound before an installation is finished: that is the order which works (Bitrix24: installation finish).
pub(super) async fn prepare(rest: &impl Rest, wish: &PortalWish) -> Result<Prepared, Trouble> {
    let (info, profile) = noted(rest, Step::Administrator, administrator(rest)).await?;
    let connector = noted(rest, Step::Connector, register(rest, wish)).await?;
    noted(rest, Step::Events, async {
        converge_events(rest, &wish.events_url).await?;
        if wish.asks_for_event && info.installed != Some(false) {
            ask_for_event(rest, &wish.events_url).await;
        }
        Ok(())
    })
    .await?;
    noted(
        rest,
        Step::Placements,
        pages::converge(rest, &wish.settings_url),
    )
    .await?;
    let installed = info.installed != Some(false);
    if installed {
        rest.note(Step::Installed, StepState::Done).await;
    }
    let names = [profile.name.as_deref(), profile.last_name.as_deref()];
    let name: Vec<&str> = names.into_iter().flatten().collect();
    Ok(Prepared {
        connector,
        user: profile.id,
        name: name.join(" "),
        installed,
        language: wish.language,
    })
}

/// Refuses an installation that is not finished: nothing that is bound works before.
pub(super) async fn require_installed(
    rest: &impl Rest,
    prepared: &Prepared,
) -> Result<(), Trouble> {
    if prepared.installed {
        return Ok(());
    }
    let unfinished = Trouble::lasting(
        "NOT_INSTALLED",
        NOT_INSTALLED,
        "Open the application on the portal as an administrator and let it finish its installation.",
    );
    noted(rest, Step::Installed, std::future::ready(Err(unfinished))).await
}

/// What is wrong with an installation that is not finished.
pub const NOT_INSTALLED: &str =
    "The application is not installed to the end, so the portal sends no events.";

/// The application as the portal sees it, and the employee whose tokens are used, who must be an administrator.
async fn administrator(rest: &impl Rest) -> Result<(app::AppInfo, app::Profile), Trouble> {
    let info = app::AppInfo::read(&rest.run(app::info()).await?);
    let profile = app::Profile::read(&rest.run(app::profile()).await?);
    let profile = profile.filter(|profile| profile.admin).ok_or_else(|| {
        Trouble::lasting(
            "NOT_ADMINISTRATOR",
            "The employee who installed the application is not an administrator of the portal.",
            "Make that employee an administrator, or let an administrator install the application again.",
        )
    })?;
    Ok((info, profile))
}

/// Asks for an event that shows the application token. Only a convenience: any other event or page shows it too.
async fn ask_for_event(rest: &impl Rest, url: &str) {
    let bind = event_handlers::Step::Bind {
        event: event_handlers::TEST_EVENT.to_owned(),
        url: url.to_owned(),
    };
    for call in [bind.call(), event_handlers::test()] {
        if let Err(error) = rest.run(call).await {
            tracing::info!(%error, "a portal did not send a test event");
        }
    }
}

/// Registers the connector under the first id that no other application has.
async fn register(rest: &impl Rest, wish: &PortalWish) -> Result<String, Trouble> {
    let mut refusal = None;
    for id in &wish.connectors {
        let registration = Registration {
            id: id.clone(),
            name: NAME.to_owned(),
            icon: icon(),
            icon_disabled: None,
            placement_handler: wish.settings_url.clone(),
            // Whether they go to the customer is each number's own setting.
            need_system_messages: true,
        };
        let result = rest.run(registration.call()).await?;
        match connector::read_registration(&result) {
            Ok(()) => return Ok(id.clone()),
            Err(error) if error.is_taken() => refusal = Some(error),
            Err(error) => return Err(not_registered(&error)),
        }
    }
    Err(refusal.map_or_else(
        || {
            Trouble::lasting(
                "CONNECTOR_ID_REQUIRED",
                "There is no id for the connector.",
                "Link the number again.",
            )
        },
        |error| not_registered(&error),
    ))
}

fn not_registered(error: &connector::RegisterError) -> Trouble {
    let hint = if error.is_taken() {
        "Another application on the portal holds the connector's id, or the portal keeps a broken entry of it: remove \
         the other application, then link the number again."
    } else {
        "The portal's own words are in the details; link the number again when the cause is removed."
    };
    Trouble::lasting(
        &error.code,
        "The portal did not register the connector.",
        hint,
    )
    .with_details(error.to_string())
}

fn icon() -> Icon {
    Icon {
        data_image: format!("data:image/svg+xml,{}", percent_encoded(ICON.trim())),
        color: Some(COLOR.to_owned()),
        size: Some("90%".to_owned()),
        position: Some("center".to_owned()),
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Brings the event handlers to exactly one for each event; gives whether anything had to be done.
pub(super) async fn converge_events(rest: &impl Rest, url: &str) -> Result<bool, Trouble> {
    let found = event_handlers::read(&rest.run(event_handlers::get()).await?);
    let steps = event_handlers::converge(&found, url, &event_handlers::CONNECTOR_EVENTS);
    for step in &steps {
        match rest.run(step.call()).await {
            Ok(_) => {}
            Err(CallError::Rest(error)) if event_handlers::already_bound(&error) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(!steps.is_empty())
}

/// Connector ids for an installation, best first: the one its numbers have, then some made of its own id.
pub fn connector_ids<'a>(instance: Uuid, stored: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let stored = stored
        .filter(|id| id.starts_with(PREFIX))
        .map(str::to_owned);
    // The beginning of our ids is the time, which two installations may share; the rest is chance.
    let text = instance.simple().to_string();
    let made = [24, 20, 16]
        .into_iter()
        .filter_map(|start| Some(format!("{PREFIX}{}", text.get(start..start + 8)?)));
    for id in stored.chain(made) {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

#[cfg(test)]
mod unit_tests;
