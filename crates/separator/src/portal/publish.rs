//! The one publish routine: what makes a portal carry a number's messages.
//!
//! Two parts, each of which compares and puts right and can be repeated at any time:
//!
//! - [`prepare`], for the portal: the application is installed to the end, the installing employee is an administrator,
//!   the connector is registered, each event has exactly one handler.
//! - [`connect`], for a number: an open line of its own, the connector active on it, its data written, its state read
//!   back.
//!
//! The order inside [`connect`] is part of the protocol: activating wipes the connector's data, so data follow
//! activation, and what the portal says about the line at the very end is what counts. Nothing else in the program calls
//! `imconnector.activate`.
//!
//! Nobody who is not an administrator gets a connector: the line would look right and half of it would be refused.

pub(crate) mod orders;

use std::{fmt, time::Duration};

use bitrix24::{
    Call, Class, Error, LineId, Obstacle, app,
    connector::{self, ConnectorData, Health, Icon, Registration, Status},
    event_handlers,
    lines::{self, Line},
    placements,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    CallError, TokenError,
    lines::Warning,
    steps::{Step, StepState},
};
use crate::{registry::PhoneError, store::instances::Place};

/// Beginning of every connector id and line name of ours.
const PREFIX: &str = "separator_";

/// Name of the connector in the portal's contact centre.
const NAME: &str = "WhatsApp (Separator)";

/// Background of the connector's icon.
const COLOR: &str = "#25d366";

const ICON: &str = include_str!("icon.svg");

/// Pauses before the state of a line is read again: a portal writes an activation after it has answered it.
const STATUS_PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Code of the error that is the whole portal's.
pub(super) const AUTHORIZATION: &str = "AUTHORIZATION";

/// Pages of lines that are looked through; more lines than any plan has.
const MOST_PAGES: usize = 50;

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

/// Why a number is not connected, in words for the person who can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What is shown with the number.
    pub error: Box<PhoneError>,
    /// Whether it passes by itself.
    pub temporary: bool,
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.error.title)?;
        for more in [&self.error.details, &self.error.hint]
            .into_iter()
            .flatten()
        {
            write!(formatter, " {more}")?;
        }
        Ok(())
    }
}

impl Trouble {
    pub(super) fn lasting(code: &str, title: &str, hint: &str) -> Self {
        let error = PhoneError {
            code: code.to_owned(),
            title: title.to_owned(),
            hint: Some(hint.to_owned()),
            ..PhoneError::default()
        };
        Self {
            error: Box::new(error),
            temporary: false,
        }
    }

    pub(super) fn passing(code: &str, title: &str) -> Self {
        let hint = "It is tried again by itself.";
        Self {
            temporary: true,
            ..Self::lasting(code, title, hint)
        }
    }

    fn with_details(mut self, details: impl Into<String>) -> Self {
        self.error.details = Some(details.into());
        self
    }

    /// Trouble of this program's own database.
    pub(super) fn of_store(error: &crate::store::Error) -> Self {
        Self::passing("STORE", "The database of Separator failed.").with_details(error.to_string())
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Rest(error) => of_rest(&error),
            CallError::Token(TokenError::NeedsAuthorization(problem)) => Self::lasting(
                AUTHORIZATION,
                "The portal cannot be used before somebody acts.",
                &problem,
            ),
            CallError::Token(TokenError::Later(why)) => Self::passing(
                "AUTHORIZATION_SERVER",
                "There is no access to the portal at the moment.",
            )
            .with_details(why),
            CallError::Store(error) => Self::of_store(&error),
        }
    }
}

fn of_rest(error: &Error) -> Trouble {
    let code = error
        .code()
        .filter(|code| !code.is_empty())
        .unwrap_or("NO_ANSWER");
    let trouble = match error.class() {
        Class::Blocked(obstacle) => Trouble::lasting(
            code,
            "The portal does not let Separator work.",
            &obstacle.to_string(),
        ),
        Class::Refused | Class::Publish => Trouble::lasting(
            code,
            "The portal refused a step of the connection.",
            "The portal's own words are in the details; link the number again when the cause is removed.",
        ),
        Class::Limited { .. } | Class::Overloaded | Class::MethodParked { .. } => {
            Trouble::passing(code, "The portal takes no more calls at the moment.")
        }
        Class::Refresh | Class::Retry | Class::Unknown => {
            Trouble::passing(code, "The portal gave no usable answer.")
        }
    };
    trouble.with_details(error.to_string())
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
        converge_placements(rest, &wish.settings_url),
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

/// Titles of a page by language, the first for all other languages.
type Titles = &'static [(&'static str, &'static str)];

/// What the pages of cards and chats are called.
const SEND_TITLES: Titles = &[("en", "WhatsApp"), ("ru", "WhatsApp")];

/// What the button beside a chat's text is called.
const TEMPLATE_TITLES: Titles = &[("en", "WhatsApp template"), ("ru", "Шаблон WhatsApp")];

/// The places with a page of ours besides the connector's settings, which come with its registration: name and titles.
/// All of them open the same address, which looks at the place's name. Smart processes have places of their own, which
/// only the portal can name: see [`is_of_smart_process`].
const PLACEMENTS: [(&str, Titles); 10] = [
    ("CRM_LEAD_DETAIL_TAB", SEND_TITLES),
    ("CRM_LEAD_DETAIL_ACTIVITY", SEND_TITLES),
    ("CRM_DEAL_DETAIL_TAB", SEND_TITLES),
    ("CRM_DEAL_DETAIL_ACTIVITY", SEND_TITLES),
    ("CRM_CONTACT_DETAIL_TAB", SEND_TITLES),
    ("CRM_CONTACT_DETAIL_ACTIVITY", SEND_TITLES),
    ("CRM_COMPANY_DETAIL_TAB", SEND_TITLES),
    ("CRM_COMPANY_DETAIL_ACTIVITY", SEND_TITLES),
    ("IM_TEXTAREA", TEMPLATE_TITLES),
    ("IM_SIDEBAR", SEND_TITLES),
];

/// Whether a place is the tab or the button of a smart process's card, as `CRM_DYNAMIC_1038_DETAIL_TAB`.
fn is_of_smart_process(name: &str) -> bool {
    name.starts_with("CRM_DYNAMIC_") && bitrix24::crm::entity_type_of_placement(name).is_some()
}

/// What a place needs besides a page (Bitrix24: widgets in chats): the button stands in chats of open lines only.
fn placement_options(name: &str) -> Value {
    match name {
        "IM_TEXTAREA" => json!({
            "iconName": "fa-comment-dots", "context": "LINES", "role": "USER", "color": "GREEN", "width": 480, "height": 640,
        }),
        "IM_SIDEBAR" => {
            json!({ "iconName": "fa-clock", "context": "LINES", "role": "USER", "color": "GREEN" })
        }
        _ => Value::Null,
    }
}

/// The places that a portal has and that are to show a page of ours. `available` is what it has.
fn wished_placements(handler: &str, available: &[String]) -> Vec<placements::Wish> {
    let of_smart_processes = available
        .iter()
        .filter(|name| is_of_smart_process(name))
        .map(|name| (name.as_str(), SEND_TITLES));
    let owned = |(language, title): &(&str, &str)| ((*language).to_owned(), (*title).to_owned());
    PLACEMENTS
        .into_iter()
        .filter(|(name, _)| available.iter().any(|known| known == name))
        .chain(of_smart_processes)
        .map(|(name, titles)| placements::Wish {
            name: name.to_owned(),
            handler: handler.to_owned(),
            titles: titles.iter().map(owned).collect(),
            options: placement_options(name),
        })
        .collect()
}

/// Brings the application's placements to exactly those that are wished for. A place that the portal does not have, for
/// want of a permission or of age, is left out: messages pass without it.
async fn converge_placements(rest: &impl Rest, handler: &str) -> Result<(), Trouble> {
    let found = match rest.run(placements::get()).await {
        Ok(result) => placements::read(&result),
        Err(CallError::Rest(error)) if error.class() == Class::Blocked(Obstacle::Scope) => {
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let available = placements::read_names(&rest.run(placements::list()).await?);
    let wishes = wished_placements(handler, &available);
    for step in placements::converge(&found, &wishes) {
        match rest.run(step.call()).await {
            Ok(_) => {}
            Err(CallError::Rest(error)) if placements::already_bound(&error) => {}
            Err(CallError::Rest(error)) if error.class() == Class::Refused => {
                tracing::warn!(%error, ?step, "a place inside the portal was not bound");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
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

/// What a number needs.
#[derive(Debug, Clone)]
pub(super) struct NumberWish {
    /// Digits.
    pub(super) digits: String,
    /// The line that it has or had.
    pub(super) line: Option<LineId>,
    /// The line that somebody chose for it.
    pub(super) chosen: Option<LineId>,
}

/// A line that was found or made.
#[derive(Debug)]
pub(super) struct FoundLine {
    id: LineId,
    name: String,
    active: bool,
    /// Somebody else's: nothing but our connector is changed on it.
    foreign: bool,
    warnings: Vec<Warning>,
}

impl FoundLine {
    /// Where the number is to be remembered.
    pub(super) fn place(&self, connector: &str) -> Place {
        Place {
            connector: connector.to_owned(),
            line_id: self.id.0,
            line_name: self.name.clone(),
        }
    }
}

/// Finds the number's open line or makes it: the chosen one; else the remembered one, else one of its name, else a new
/// one.
///
/// Settings of a line that is there already are its administrator's; only a new line gets ours.
pub(super) async fn find_line(
    rest: &impl Rest,
    prepared: &Prepared,
    wish: &NumberWish,
) -> Result<FoundLine, Trouble> {
    noted(rest, Step::Line, found_line(rest, prepared, wish)).await
}

async fn found_line(
    rest: &impl Rest,
    prepared: &Prepared,
    wish: &NumberWish,
) -> Result<FoundLine, Trouble> {
    if let Some(chosen) = wish.chosen {
        return chosen_line(rest, prepared, chosen).await;
    }
    if let Some(line) = wish.line
        && let Some(line) = read_line(rest, line).await?
    {
        return Ok(found(&line));
    }
    let name = line_name(&wish.digits);
    if let Some(line) = line_named(rest, &name).await?
        && let Some(line) = read_line(rest, line).await?
    {
        return Ok(found(&line));
    }
    make_line(rest, prepared, &name).await
}

/// A line that is not ours: it is used as it is, and what is odd about it is said.
async fn chosen_line(
    rest: &impl Rest,
    prepared: &Prepared,
    chosen: LineId,
) -> Result<FoundLine, Trouble> {
    let Some(line) = read_line(rest, chosen).await? else {
        return Err(Trouble::lasting(
            "LINE_NOT_FOUND",
            "The open line that was chosen for the number does not exist on the portal.",
            "Choose another line, or let the number have its own.",
        ));
    };
    if line.active == Some(false) {
        let title = format!("The open line {} is switched off.", line.name);
        return Err(Trouble::lasting(
            "LINE_INACTIVE",
            &title,
            "Switch it on in the Contact Center of the portal, then publish the number again; or choose another line.",
        ));
    }
    let others = super::lines::others_on(rest, chosen, &prepared.connector).await?;
    Ok(FoundLine {
        foreign: true,
        warnings: super::lines::warnings(&line, &others),
        ..found(&line)
    })
}

fn found(line: &Line) -> FoundLine {
    let deserted = line.queue.as_ref().is_some_and(Vec::is_empty);
    FoundLine {
        id: line.id,
        name: line.name.clone(),
        active: line.active != Some(false),
        foreign: false,
        warnings: deserted
            .then(|| Warning::queue_empty(&line.name))
            .into_iter()
            .collect(),
    }
}

/// Name of a number's line.
fn line_name(digits: &str) -> String {
    format!("{PREFIX}{digits}")
}

async fn read_line(rest: &impl Rest, line: LineId) -> Result<Option<Line>, Trouble> {
    Ok(Line::read(&rest.run(lines::get(line)).await?))
}

/// The line of this name; of several the oldest, so that everybody finds the same.
async fn line_named(rest: &impl Rest, name: &str) -> Result<Option<LineId>, Trouble> {
    for page in 0..MOST_PAGES {
        let list = Line::read_list(&rest.run(lines::list(page * lines::PAGE)).await?);
        if let Some(line) = list.iter().find(|line| line.name == name) {
            return Ok(Some(line.id));
        }
        if list.len() < lines::PAGE {
            break;
        }
    }
    Ok(None)
}

async fn make_line(
    rest: &impl Rest,
    prepared: &Prepared,
    name: &str,
) -> Result<FoundLine, Trouble> {
    let settings = lines::line_settings(name, prepared.language, prepared.user);
    let Some(id) = lines::read_added(&rest.run(lines::add(&settings)).await?) else {
        return Err(Trouble::lasting(
            "LINE_NOT_CREATED",
            "The portal did not make an open line.",
            "Its plan may not allow another one: delete a line that is not used or change the plan, then link the \
             number again.",
        ));
    };
    let mut line = read_line(rest, id).await?;
    if line
        .as_ref()
        .is_some_and(|line| differs(line, &settings, "QUEUE"))
    {
        // Some portals take the queue only from a change.
        rest.run(lines::update(id, &json!({ "QUEUE": settings["QUEUE"] })))
            .await?;
        line = read_line(rest, id).await?;
    }
    let Some(line) = line else {
        return Err(Trouble::passing(
            "LINE_NOT_FOUND",
            "The portal does not show the open line that it just made.",
        ));
    };
    for difference in lines::differences(&settings, &line.settings) {
        tracing::info!(
            line = id.0,
            setting = difference.setting,
            "the portal gave a new line another setting"
        );
    }
    let deserted = differs(&line, &settings, "QUEUE");
    Ok(FoundLine {
        warnings: deserted
            .then(|| Warning::queue_empty(&line.name))
            .into_iter()
            .collect(),
        ..found(&line)
    })
}

fn differs(line: &Line, settings: &Value, setting: &str) -> bool {
    lines::differences(settings, &line.settings)
        .iter()
        .any(|difference| difference.setting == setting)
}

/// What the number's connection came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connected {
    /// Something that a person should put right although messages pass.
    pub(super) warning: Option<PhoneError>,
}

/// Makes the connector work on a number's line: activate, then write its data, then read the line's state back.
pub(super) async fn connect(
    rest: &impl Rest,
    prepared: &Prepared,
    line: &FoundLine,
    digits: &str,
) -> Result<Connected, Trouble> {
    noted(rest, Step::Activation, async {
        if !line.active && !line.foreign {
            require(rest, lines::update(line.id, &json!({ "ACTIVE": "Y" }))).await?;
        }
        switch(rest, &prepared.connector, line.id, true).await
    })
    .await?;
    let address = format!("https://wa.me/{digits}");
    let data = ConnectorData {
        id: digits.to_owned(),
        url: address.clone(),
        url_im: address,
        name: format!("+{digits}"),
    };
    noted(
        rest,
        Step::Data,
        require(
            rest,
            connector::set_data(&prepared.connector, line.id, &data),
        ),
    )
    .await?;
    noted(rest, Step::State, async {
        if becomes_live(rest, &prepared.connector, line.id).await? {
            return Ok(());
        }
        Err(Trouble::passing(
            "NOT_LIVE",
            "The portal does not show the connector as working on its line.",
        ))
    })
    .await?;
    Ok(Connected {
        warning: line.warnings.first().map(Warning::shown),
    })
}

/// Takes the connector off a line that a number leaves.
pub(super) async fn withdraw(rest: &impl Rest, connector: &str, line: i64) -> Result<(), Trouble> {
    switch(rest, connector, LineId(line), false).await
}

/// The only place where a connector is put on a line or taken off.
async fn switch(
    rest: &impl Rest,
    connector: &str,
    line: LineId,
    active: bool,
) -> Result<(), Trouble> {
    require(rest, connector::activate(connector, line, active)).await
}

/// Runs a call whose result says by itself whether it worked.
async fn require(rest: &impl Rest, call: Call) -> Result<(), Trouble> {
    let method = call.method.clone();
    let result = rest.run(call).await?;
    if connector::read_success(&result) {
        return Ok(());
    }
    let title = format!("The portal did not carry out {method}.");
    Err(Trouble::lasting(
        "NOT_DONE",
        &title,
        "Link the number again; if it stays so, look at the line on the portal.",
    )
    .with_details(result.to_string()))
}

async fn becomes_live(rest: &impl Rest, connector: &str, line: LineId) -> Result<bool, Trouble> {
    for pause in std::iter::once(None).chain(STATUS_PAUSES.into_iter().map(Some)) {
        if let Some(pause) = pause {
            rest.pause(pause).await;
        }
        let status = status(rest, connector, line).await?;
        if status.health() == Health::Live && status.configured != Some(false) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn status(rest: &impl Rest, connector: &str, line: LineId) -> Result<Status, Trouble> {
    Ok(Status::read(
        &rest.run(connector::status(connector, line)).await?,
    ))
}

/// How a connected number is found at a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finding {
    /// Messages pass, as far as the portal says.
    Fine,
    /// The connector is gone or its line is dead.
    Fallen,
}

/// The connectors that the portal lists.
pub(super) async fn listed(rest: &impl Rest) -> Result<Vec<String>, Trouble> {
    let list = connector::read_list(&rest.run(connector::list()).await?);
    Ok(list
        .into_iter()
        .map(|(id, _name)| id.to_lowercase())
        .collect())
}

/// Looks whether a connected number still is. What the portal does not say is no fall.
pub(super) async fn check(
    rest: &impl Rest,
    listed: &[String],
    connector: &str,
    line: LineId,
) -> Result<Finding, Trouble> {
    if !listed.contains(&connector.to_lowercase()) {
        return Ok(Finding::Fallen);
    }
    let health = status(rest, connector, line).await?.health();
    Ok(if health == Health::Down {
        Finding::Fallen
    } else {
        Finding::Fine
    })
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
