//! WhatsApp Business accounts: connecting them, what Meta knows about them, and stopping numbers that Meta does not let
//! send.

mod catalogue;
pub mod connect;
pub mod health;
pub mod inspect;
pub mod login;
pub mod templates;
pub mod trouble;
pub mod webhook;
mod worker;

use std::sync::Arc;

use uuid::Uuid;
use whatsapp::client::{Client, Credentials, PhoneNumber};

use crate::{
    app::App,
    registry::{Account, Connection, Part, Phone, PhoneError, Registry, WabaApp},
    store::{self, accounts, instances, lanes::Side},
    time::Millis,
    translate::message::Language,
};

pub use self::{
    trouble::Trouble,
    worker::{Accounts, run},
};

/// Kind of the alarm that Meta does not let a number send; the subject is the number's id.
pub const BLOCKED_ALARM: &str = "meta_blocked";

/// Kind of the alarm that messages of a number were given up; the subject is the number's id.
pub const GIVEN_UP_ALARM: &str = "dead_letters";

/// TLS port of a telephone server where none is entered.
const SIP_PORT: i64 = 5061;

/// What came of looking at an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synced {
    /// Numbers that the account has at Meta.
    pub phones: usize,
    /// How many of them were not entered here before.
    pub added: usize,
    /// Whether our app hears of the account's messages.
    pub subscribed: bool,
    /// Templates that the account has.
    pub templates: usize,
}

/// Why an account could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// There is no such account.
    #[error("There is no such account.")]
    UnknownAccount,
    /// Neither the account nor its app has an access token.
    #[error("There is no access token: enter one for the account or for its app.")]
    NoToken,
    /// Meta said no, or did not answer.
    #[error("Meta did not let {doing}: {error}.")]
    Meta {
        /// What was being done.
        doing: &'static str,
        /// What Meta said, with its code.
        error: whatsapp::error::Error,
    },
    /// The database failed.
    #[error("The answer could not be stored: {0}.")]
    Store(#[from] store::Error),
}

/// Meta's Graph API at the address and version of the settings.
pub fn client(app: &App) -> Client {
    // Cheap: the HTTP client inside is the shared one.
    Client::new(
        app.outgoing.api_client(),
        app.settings.graph_url.clone(),
        app.settings.graph_version.as_str(),
    )
}

/// What calls for a number are made with; `None` where neither its account nor its app has a token.
pub fn credentials(app: &App, phone: &Phone) -> Option<Credentials> {
    let registry = app.directory.snapshot();
    let (account, waba_app) = registry.app_of(phone)?;
    of_account(account, waba_app)
}

pub(crate) fn of_account(account: &Account, app: &WabaApp) -> Option<Credentials> {
    let token = Registry::token_of(account, app)?;
    Some(Credentials {
        access_token: whatsapp::Secret::new(token.expose()),
        app_secret: Some(whatsapp::Secret::new(app.client_secret.expose())),
    })
}

/// Subscribes our app to an account and takes over its numbers.
///
/// Numbers that are not entered here are entered, linked to no portal; numbers that are stay as they are. An account
/// without a name gets the name that customers see.
pub async fn sync(app: &Arc<App>, account: Uuid) -> Result<Synced, SyncError> {
    let registry = app.directory.snapshot();
    let account = registry
        .accounts
        .get(&account)
        .ok_or(SyncError::UnknownAccount)?;
    let waba_app = registry
        .waba_apps
        .get(&account.app_id)
        .ok_or(SyncError::UnknownAccount)?;
    let credentials = of_account(account, waba_app).ok_or(SyncError::NoToken)?;
    let client = client(app);
    client
        .subscribe(&credentials, &account.waba_id)
        .await
        .map_err(|error| SyncError::Meta {
            doing: "Separator subscribe to the account",
            error,
        })?;
    // Kept even if the numbers cannot be had: callbacks come from now on.
    instances::subscribed(&app.store, account.id, None).await?;
    let found = client
        .phone_numbers(&credentials, &account.waba_id)
        .await
        .map_err(|error| SyncError::Meta {
            doing: "Separator list the account's numbers",
            error,
        })?;
    let turn = app.intake.turn().await;
    let added = add_missing(app, &registry, account, &found).await?;
    let name = found
        .iter()
        .find_map(|number| number.verified_name.as_deref());
    instances::subscribed(&app.store, account.id, name).await?;
    app.refresh(Part::Account(account.id)).await?;
    for phone_number_id in &added {
        // What was written to it before is kept and goes on now.
        crate::intake::phone_entered(app, phone_number_id).await?;
    }
    drop(turn);
    catalogue::keep_numbers(app, &found).await?;
    let templates = catalogue::fetch(app, &client, &credentials, account)
        .await
        .map_err(|error| match error {
            catalogue::FetchError::Store(error) => SyncError::Store(error),
            catalogue::FetchError::Meta(error) => SyncError::Meta {
                doing: "Separator list the account's templates",
                error,
            },
        })?;
    app.reload().await?;
    Ok(Synced {
        phones: found.len(),
        added: added.len(),
        subscribed: true,
        templates,
    })
}

/// Enters the numbers that are not entered; gives their phone number ids.
async fn add_missing<'a>(
    app: &App,
    registry: &Registry,
    account: &Account,
    found: &'a [PhoneNumber],
) -> Result<Vec<&'a str>, store::Error> {
    let mut added = Vec::new();
    for number in found {
        let Some(phone) = missing(registry, account, number, app.clock.now()) else {
            continue;
        };
        match accounts::insert_phone(
            &app.store,
            &Phone {
                id: app.ids.next(),
                ..phone
            },
        )
        .await
        {
            Ok(()) => added.push(number.id.as_str()),
            // Somebody entered it at the same time.
            Err(error) if error.is_duplicate() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(added)
}

/// The row for a number that is not entered yet; its id is still to be given.
fn missing(
    registry: &Registry,
    account: &Account,
    number: &PhoneNumber,
    now: Millis,
) -> Option<Phone> {
    if registry.phone_by_number_id(&number.id).is_some() {
        return None;
    }
    let digits = number.digits().filter(|digits| !digits.is_empty())?;
    if registry.is_own_number(&digits) {
        tracing::warn!(
            phone_number_id = number.id,
            "Meta has a number under another id than the one that is entered here"
        );
        return None;
    }
    Some(Phone {
        id: Uuid::nil(),
        account_id: account.id,
        phone: digits,
        phone_number_id: number.id.clone(),
        instance_id: None,
        sms_service: false,
        automatic_texts: true,
        calling: "disabled".to_owned(),
        sip: "disabled".to_owned(),
        sip_hostname: None,
        sip_port: SIP_PORT,
        connection: Connection::NotLinked,
        connector: None,
        line_id: None,
        line_name: None,
        chosen_line_id: None,
        offered_id: None,
        error: None,
        paused: None,
        created_at: now,
    })
}

/// Stops sending to Meta for a number until somebody acts, and says so; `reason` is one sentence that names Meta's code
/// or what to do. Messages wait.
pub async fn pause(app: &App, phone: Uuid, reason: &str) {
    if let Err(error) = try_pause(app, phone, reason).await {
        // The next message of the number meets the same answer of Meta's.
        tracing::error!(%error, %phone, reason, "that a number may not send could not be stored");
    }
}

/// Stops sending for a number because its token does not work; messages wait. It goes on by itself when another token is
/// entered or the token works again.
async fn pause_for(app: &App, phone: Uuid, trouble: &Trouble) {
    let reason = trouble.text(Language::English);
    let error = PhoneError {
        code: "190".to_owned(),
        title: reason.clone(),
        hint: Some(trouble.fix(Language::English).to_owned()),
        ..PhoneError::default()
    };
    if let Err(error) = stop(app, phone, &reason, &error).await {
        tracing::error!(%error, %phone, "that a number may not send could not be stored");
    }
}

async fn try_pause(app: &App, phone: Uuid, reason: &str) -> Result<(), store::Error> {
    let error = PhoneError {
        code: "META_BLOCKED".to_owned(),
        title: "Meta does not let this number send.".to_owned(),
        details: Some(reason.to_owned()),
        hint: Some(
            "Put right what Meta names; entering the access token again lets the number send."
                .to_owned(),
        ),
        ..PhoneError::default()
    };
    if stop(app, phone, reason, &error).await? {
        look_at_token_of(app, phone).await?;
    }
    Ok(())
}

async fn stop(
    app: &App,
    phone: Uuid,
    reason: &str,
    error: &PhoneError,
) -> Result<bool, store::Error> {
    if !instances::pause(&app.store, phone, reason, error).await? {
        return Ok(false);
    }
    tracing::error!(%phone, reason, "Meta does not let a number send");
    alarm(app, BLOCKED_ALARM, phone, reason).await?;
    app.refresh(Part::Phone(phone)).await?;
    Ok(true)
}

/// Has the token looked at with which a number is reached: what Meta says of it may have changed.
async fn look_at_token_of(app: &App, phone: Uuid) -> Result<(), store::Error> {
    let registry = app.directory.snapshot();
    let holder = registry
        .phones
        .get(&phone)
        .and_then(|phone| registry.app_of(phone))
        .map(|(account, waba_app)| match account.access_token {
            Some(_) => account.id,
            None => waba_app.id,
        });
    if let Some(holder) = holder {
        store::meta::token_due(&app.store, holder, app.clock.now()).await?;
        app.refresh_meta().await?;
    }
    Ok(())
}

/// The token of an app or account is another one now, or gone: what was known about it is forgotten, and it is looked at.
pub async fn token_changed(app: &App, holder: Uuid) -> Result<(), store::Error> {
    health::forget(app, holder).await?;
    store::meta::accounts_in_trouble_due(&app.store, holder, app.clock.now()).await?;
    app.refresh_meta().await
}

/// Has an account looked at: it is another one at Meta now.
pub async fn look_again(app: &App, account: Uuid) -> Result<(), store::Error> {
    let mut tx = app.store.begin().await?;
    store::meta::account_due(&mut tx, account, app.clock.now());
    tx.commit().await?;
    app.refresh_meta().await
}

/// Raises the alarm that a message of a number was given up, once until the number is resumed.
pub async fn gave_up(app: &App, phone: Uuid, reason: &str) {
    if let Err(error) = alarm(app, GIVEN_UP_ALARM, phone, reason).await {
        tracing::error!(%error, %phone, reason, "an alarm could not be raised");
    }
}

async fn alarm(app: &App, kind: &str, phone: Uuid, text: &str) -> Result<(), store::Error> {
    let (id, now) = (app.ids.next(), app.clock.now());
    instances::raise_alarm(&app.store, id, now, kind, &phone.to_string(), text)
        .await
        .map(drop)
}

/// Lets the numbers of an account, or of all accounts of a Meta app, send again: their token or secret is another one
/// now. One that still may not send is stopped again by its first try.
pub async fn resume_all(app: &App, account_or_app: Uuid) -> Result<(), store::Error> {
    let phones = instances::resume(&app.store, account_or_app).await?;
    if phones.is_empty() {
        return Ok(());
    }
    let now = app.clock.now();
    for phone in &phones {
        for kind in [BLOCKED_ALARM, GIVEN_UP_ALARM] {
            instances::clear_alarm(&app.store, now, kind, &phone.to_string()).await?;
        }
    }
    // Files that customers sent meanwhile are fetched at once.
    store::media::due_now(&app.store, &phones, now).await?;
    app.reload().await?;
    if let Some(phone) = phones.first() {
        look_at_token_of(app, *phone).await?;
    }
    for phone in phones {
        app.dispatcher.wake(phone, Side::Meta);
    }
    app.media.wake();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            id: Uuid::from_u128(1),
            app_id: Uuid::from_u128(2),
            waba_id: "102290129340398".to_owned(),
            access_token: None,
            name: String::new(),
            subscribed: false,
            created_at: Millis(0),
        }
    }

    fn number(id: &str, display: Option<&str>) -> PhoneNumber {
        PhoneNumber {
            id: id.to_owned(),
            display_phone_number: display.map(str::to_owned),
            ..PhoneNumber::default()
        }
    }

    #[test]
    fn a_number_of_meta_becomes_an_unlinked_number_of_digits() {
        let registry = Registry::default();
        let phone = missing(
            &registry,
            &account(),
            &number("7", Some("+49 1575 550-1234")),
            Millis(5),
        );
        let phone = phone.map(|phone| {
            (
                phone.phone,
                phone.phone_number_id,
                phone.connection,
                phone.instance_id,
            )
        });
        assert_eq!(
            phone,
            Some((
                "4915755501234".to_owned(),
                "7".to_owned(),
                Connection::NotLinked,
                None
            ))
        );
    }

    #[test]
    fn a_number_without_digits_is_none() {
        for display in [None, Some(""), Some("pending")] {
            assert!(
                missing(
                    &Registry::default(),
                    &account(),
                    &number("7", display),
                    Millis(5)
                )
                .is_none()
            );
        }
    }

    #[test]
    fn numbers_that_are_entered_are_left_alone() {
        let mut registry = Registry::default();
        let known = missing(
            &registry,
            &account(),
            &number("7", Some("+49 1575 5501234")),
            Millis(5),
        );
        registry.add_phone(known.expect("a number that is not entered"));
        let same_digits = number("8", Some("+49 1575 550 1234"));
        assert!(missing(&registry, &account(), &same_digits, Millis(5)).is_none());
        let other = number("8", Some("+49 1575 550 9999"));
        assert!(missing(&registry, &account(), &other, Millis(5)).is_some());
    }
}
