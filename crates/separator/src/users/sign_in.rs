//! Signing in with e-mail address, password and, where the user wants it, a code; or with a one-time link.
//!
//! An unknown address, a wrong password and a user who was disabled get the same answer after the same time.

use std::{net::IpAddr, time::Duration};

use uuid::Uuid;

use super::{Role, UserError, attempts::Place, device, links::Kind, password, session, totp};
use crate::{
    app::App,
    identifiers::Chance,
    secret::{Secret, sha256_hex},
    store::{
        self,
        audit::{self, Line, State},
        credentials::{self, Credentials},
        setup::place,
        users::NewUser,
    },
};

/// From where somebody signs in.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The address.
    pub address: IpAddr,
    /// What the browser calls itself.
    pub browser: String,
    /// The cookie of a browser that was here before.
    pub device: Option<Secret>,
}

/// Somebody who has signed in.
#[derive(Debug)]
pub struct SignedIn {
    /// Whose session it is.
    pub user_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// Its token.
    pub token: Secret,
}

/// Why somebody did not get in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Too many tries; the next one is taken after so long.
    #[error("too many tries; the next one is taken in {} seconds", .0.as_secs().max(1))]
    Locked(Duration),
    /// Address and password do not belong together, or the user may not sign in.
    #[error("the e-mail address or the password is wrong")]
    Wrong,
    /// The password is right; the code of the authenticator app is needed as well.
    #[error("the code of the authenticator app is needed")]
    CodeNeeded,
    /// The code is wrong, or it was used already.
    #[error("the code is wrong or was used already; take the next one")]
    WrongCode,
    /// The link is unknown, used or too old.
    #[error("this link does not open anything any more: it was used, or it is older than 24 hours")]
    DeadLink,
    /// The link wants a password.
    #[error("a password must be chosen")]
    PasswordNeeded {
        /// Whether an e-mail address is wanted as well.
        email: bool,
    },
    /// What was chosen cannot be taken.
    #[error(transparent)]
    User(#[from] UserError),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::User(error.into())
    }
}

/// Signs in with a password.
pub async fn with_password(
    app: &App,
    origin: &Origin,
    email: &str,
    password: Secret,
    code: Option<&str>,
) -> Result<SignedIn, Refusal> {
    let email = email.trim().to_lowercase();
    let now = app.clock.now();
    let found = credentials::credentials(&app.store, &email).await?;
    let known_browser = found.as_ref().zip(origin.device.as_ref());
    let places = match known_browser
        .and_then(|(found, cookie)| device::verify(&app.sealer, found.id, cookie))
    {
        Some(device) => Place::of_device(&device),
        None => Place::of_stranger(&email, origin.address),
    };
    app.attempts.begin(&places, now).map_err(Refusal::Locked)?;
    let stored = found.as_ref().and_then(|found| found.password.clone());
    let right = match password::verify(password, stored).await {
        Ok(right) => right,
        Err(error) => {
            app.attempts.undo(&places);
            return Err(error.into());
        }
    };
    let Some(found) = found.filter(|found| right && !found.disabled) else {
        record(app, origin, None, &email, "sign_in", State::Refused).await?;
        return Err(Refusal::Wrong);
    };
    match check_code(app, &found, code).await {
        Ok(()) => {}
        Err(Refusal::CodeNeeded) => {
            app.attempts.undo(&places);
            return Err(Refusal::CodeNeeded);
        }
        Err(refusal) => {
            record(
                app,
                origin,
                Some(found.id),
                &email,
                "sign_in",
                State::Refused,
            )
            .await?;
            return Err(refusal);
        }
    }
    app.attempts.succeeded(&places);
    let done = begin(app, origin, found.id).await?;
    record(app, origin, Some(found.id), &email, "sign_in", State::Done).await?;
    Ok(done)
}

/// Writes down that somebody got in, or did not.
async fn record(
    app: &App,
    origin: &Origin,
    user_id: Option<Uuid>,
    email: &str,
    action: &str,
    state: State,
) -> Result<(), Refusal> {
    let line = Line {
        id: app.ids.next(),
        at: app.clock.now(),
        user_id,
        who: email.chars().take(254).collect(),
        action: action.to_owned(),
        subject_kind: "own_account".to_owned(),
        subject_id: user_id.map(|id| id.to_string()).unwrap_or_default(),
        subject_name: String::new(),
        state: state.as_str().to_owned(),
        changes: "[]".to_owned(),
        address: origin.address.to_string(),
    };
    Ok(audit::insert(&app.store, &line).await?)
}

/// Asks a user who has an authenticator app for its code.
async fn check_code(app: &App, user: &Credentials, code: Option<&str>) -> Result<(), Refusal> {
    if !user.totp_confirmed {
        return Ok(());
    }
    let Some(code) = code else {
        return Err(Refusal::CodeNeeded);
    };
    take_code(app, user, code).await
}

/// Takes a code of the app with which a user shares a secret, and makes it good for nothing else.
pub async fn take_code(app: &App, user: &Credentials, code: &str) -> Result<(), Refusal> {
    let step = totp_secret(app, user)?
        .and_then(|secret| totp::check(&secret, code.trim(), app.clock.now(), user.totp_step));
    let Some(step) = step else {
        return Err(Refusal::WrongCode);
    };
    if credentials::use_totp_step(&app.store, user.id, step).await? {
        Ok(())
    } else {
        Err(Refusal::WrongCode)
    }
}

/// The secret that a user shares with an authenticator app.
fn totp_secret(app: &App, user: &Credentials) -> Result<Option<Secret>, store::Error> {
    let Some(sealed) = &user.totp_secret else {
        return Ok(None);
    };
    app.sealer
        .open(&place("users", "totp_secret", user.id), sealed)
        .map(Some)
        .map_err(|error| store::Error::Inconsistent {
            table: "users",
            column: "totp_secret",
            why: error.to_string(),
        })
}

async fn begin(app: &App, origin: &Origin, user_id: Uuid) -> Result<SignedIn, Refusal> {
    let (session_id, token) = session::begin(
        &app.store,
        (&app.ids, &Chance::System),
        app.clock.now(),
        user_id,
        origin.address.to_string(),
        origin.browser.clone(),
    )
    .await?;
    Ok(SignedIn {
        user_id,
        session_id,
        token,
    })
}

/// What somebody with a one-time link gives along with it.
#[derive(Debug, Default)]
pub struct Chosen {
    /// The password.
    pub password: Option<Secret>,
    /// The e-mail address of the first administrator.
    pub email: Option<String>,
    /// The code of the authenticator app, where the user has one.
    pub code: Option<String>,
}

/// Signs in with a one-time link, which is used up by it. A link that is refused for what was chosen stays good.
pub async fn with_link(
    app: &App,
    origin: &Origin,
    token: &Secret,
    chosen: Chosen,
) -> Result<SignedIn, Refusal> {
    let now = app.clock.now();
    let places = Place::of_links(origin.address);
    app.attempts.begin(&places, now).map_err(Refusal::Locked)?;
    let hash = sha256_hex(token.expose());
    let Some(link) = credentials::link(&app.store, &hash, now).await? else {
        return Err(Refusal::DeadLink);
    };
    app.attempts.undo(&places);
    match (link.kind.parse()?, link.user_id) {
        (Kind::First, _) | (_, None) => first(app, origin, &hash, chosen).await,
        (kind, Some(user_id)) => {
            let user = credentials::credentials_of(&app.store, user_id)
                .await?
                .filter(|user| !user.disabled)
                .ok_or(Refusal::DeadLink)?;
            let password = match (kind, chosen.password) {
                (Kind::Password, Some(password)) => {
                    Some(password::hash(password, Chance::System.bytes()).await?)
                }
                (Kind::Password, None) => return Err(Refusal::PasswordNeeded { email: false }),
                _ => None,
            };
            check_code(app, &user, chosen.code.as_deref()).await?;
            if !credentials::use_link(&app.store, &hash, user_id, password.as_deref()).await? {
                return Err(Refusal::DeadLink);
            }
            let done = begin(app, origin, user_id).await?;
            let email = crate::store::users::user(&app.store, user_id)
                .await?
                .map(|user| user.email)
                .unwrap_or_default();
            record(app, origin, Some(user_id), &email, "link", State::Done).await?;
            Ok(done)
        }
    }
}

/// Makes the first administrator.
async fn first(
    app: &App,
    origin: &Origin,
    hash: &str,
    chosen: Chosen,
) -> Result<SignedIn, Refusal> {
    let (Some(email), Some(password)) = (chosen.email, chosen.password) else {
        return Err(Refusal::PasswordNeeded { email: true });
    };
    let email = super::valid_email(&email)?;
    let password = password::hash(password, Chance::System.bytes()).await?;
    let user = NewUser {
        id: app.ids.next(),
        email: &email,
        name: "",
        language: None,
        password: Some(&password),
        role: Role::Admin.as_str(),
        created_at: app.clock.now(),
    };
    if !credentials::insert_first(&app.store, hash, &user).await? {
        return Err(Refusal::DeadLink);
    }
    let done = begin(app, origin, user.id).await?;
    let who = Some(user.id);
    record(app, origin, who, &email, "first_administrator", State::Done).await?;
    Ok(done)
}

/// Gives a user another password, who says the present one, and ends the user's other sessions.
pub async fn change_password(
    app: &App,
    user_id: Uuid,
    session: Option<Uuid>,
    current: Secret,
    new: Secret,
) -> Result<(), Refusal> {
    let places = Place::of_user(user_id);
    app.attempts
        .begin(&places, app.clock.now())
        .map_err(Refusal::Locked)?;
    let stored = credentials::credentials_of(&app.store, user_id)
        .await?
        .and_then(|user| user.password);
    if !password::verify(current, stored).await? {
        return Err(Refusal::Wrong);
    }
    app.attempts.succeeded(&places);
    let hash = password::hash(new, Chance::System.bytes()).await?;
    credentials::set_password(&app.store, user_id, &hash, session).await?;
    Ok(())
}
