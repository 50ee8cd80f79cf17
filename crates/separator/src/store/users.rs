//! Users. What they prove to be the ones with is in [`credentials`](super::credentials).

use uuid::Uuid;

use super::{
    Cell, Error, Row, Store, Transaction,
    accounts::update,
    credentials::{NewLink, insert_link},
};
use crate::time::Millis;

/// A user to be stored.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Our id.
    pub id: Uuid,
    /// E-mail address, lower case.
    pub email: &'a str,
    /// The person's name; may be empty.
    pub name: &'a str,
    /// Language code; none: the browser's language.
    pub language: Option<&'a str>,
    /// Argon2id string; none until the user has chosen a password.
    pub password: Option<&'a str>,
    /// Role, as its `as_str` gives it.
    pub role: &'a str,
    /// When the user was created.
    pub created_at: Millis,
}

/// Stores a user and, where given, the link for the first sign-in, both or none. A taken e-mail address is a
/// [duplicate](Error::is_duplicate).
pub async fn insert_user(
    store: &Store,
    user: &NewUser<'_>,
    link: Option<&NewLink<'_>>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    insert(&mut tx, user).await?;
    if let Some(link) = link {
        insert_link(&mut tx, link).await?;
    }
    tx.commit().await
}

pub(super) async fn insert(tx: &mut Transaction, user: &NewUser<'_>) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO users (id, email, name, language, password, role, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            user.id.into(),
            user.email.into(),
            user.name.into(),
            user.language.map(str::to_owned).into(),
            user.password.map(str::to_owned).into(),
            user.role.into(),
            user.created_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// A user as people see it.
#[derive(Debug, Clone)]
pub struct User {
    /// Our id.
    pub id: Uuid,
    /// E-mail address.
    pub email: String,
    /// The person's name; may be empty.
    pub name: String,
    /// Role.
    pub role: String,
    /// Language code; none: the browser's language.
    pub language: Option<String>,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// Whether a password was chosen.
    pub has_password: bool,
    /// Whether a code is needed to sign in.
    pub totp: bool,
    /// When the user was made.
    pub created_at: Millis,
}

const USER: &str = "SELECT id, email, name, role, language, disabled, password IS NOT NULL AS has_password, \
                    totp_confirmed, created_at FROM users";

fn user_row(row: &Row) -> Result<User, Error> {
    Ok(User {
        id: row.id("id")?,
        email: row.text("email")?,
        name: row.text("name")?,
        role: row.text("role")?,
        language: row.maybe_text("language")?,
        disabled: row.flag("disabled")?,
        has_password: row.flag("has_password")?,
        totp: row.flag("totp_confirmed")?,
        created_at: Millis(row.number("created_at")?),
    })
}

/// One user.
pub async fn user(store: &Store, id: Uuid) -> Result<Option<User>, Error> {
    let row = store
        .fetch_optional(&format!("{USER} WHERE id = $1"), &[id.into()])
        .await?;
    row.as_ref().map(user_row).transpose()
}

/// Writes what a user sees and hears; `None` leaves as it is, `Some(None)` brings the browser's language back.
pub async fn change_profile(
    store: &Store,
    id: Uuid,
    name: Option<String>,
    language: Option<Option<String>>,
) -> Result<bool, Error> {
    let name = name.map(|name| ("name", Cell::from(name)));
    let language = language.map(|language| ("language", Cell::from(language)));
    update(
        store,
        "users",
        id,
        name.into_iter().chain(language).collect(),
    )
    .await
}

/// The id of the user with this e-mail address (lower case).
pub async fn user_by_email(store: &Store, email: &str) -> Result<Option<Uuid>, Error> {
    let row = store
        .fetch_optional("SELECT id FROM users WHERE email = $1", &[email.into()])
        .await?;
    row.map(|row| row.id("id")).transpose()
}

/// Whether there is a user with this id.
pub async fn exists(store: &Store, id: Uuid) -> Result<bool, Error> {
    let row = store
        .fetch_optional("SELECT id FROM users WHERE id = $1", &[id.into()])
        .await?;
    Ok(row.is_some())
}

/// All users, the oldest first.
pub async fn all(store: &Store) -> Result<Vec<User>, Error> {
    let rows = store.fetch(&format!("{USER} ORDER BY id"), &[]).await?;
    rows.iter().map(user_row).collect()
}

/// What may change about a user; `None` leaves as it is.
#[derive(Debug, Default)]
pub struct UserChange {
    /// E-mail address, lower case.
    pub email: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Role.
    pub role: Option<&'static str>,
    /// Language code; `Some(None)`: the browser's language.
    pub language: Option<Option<String>>,
    /// Whether the user may not sign in.
    pub disabled: Option<bool>,
    /// Whether the authenticator app is taken away.
    pub without_totp: bool,
}

/// What became of a change to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserOutcome {
    /// It was made.
    Done,
    /// There is no such user.
    Unknown,
    /// Nobody would be left who may do everything.
    LastAdministrator,
}

/// Whether an administrator is left who may sign in. It is asked at the end of a transaction that took its turn with
/// [`one_at_a_time`].
async fn administrator_left(tx: &mut Transaction) -> Result<bool, Error> {
    let left = tx
        .fetch(
            "SELECT id FROM users WHERE role = 'admin' AND NOT disabled LIMIT 1",
            &[],
        )
        .await?;
    Ok(!left.is_empty())
}

/// Makes two changes to administrators wait for each other, so that two of them do not remove each other.
async fn one_at_a_time(tx: &mut Transaction) -> Result<(), Error> {
    tx.execute("UPDATE users SET role = role WHERE role = 'admin'", &[])
        .await?;
    Ok(())
}

/// Changes a user. Where the user may no longer sign in, the sessions end.
pub async fn change(store: &Store, id: Uuid, change: UserChange) -> Result<UserOutcome, Error> {
    let mut columns: Vec<(&str, Cell)> = Vec::new();
    columns.extend(change.email.map(|email| ("email", Cell::from(email))));
    columns.extend(change.name.map(|name| ("name", Cell::from(name))));
    columns.extend(change.role.map(|role| ("role", Cell::from(role))));
    columns.extend(
        change
            .language
            .map(|language| ("language", Cell::from(language))),
    );
    columns.extend(
        change
            .disabled
            .map(|disabled| ("disabled", Cell::from(disabled))),
    );
    if change.without_totp {
        columns.push(("totp_confirmed", Cell::from(false)));
        columns.push(("totp_secret", Cell::MaybeBytes(None)));
    }
    // What is there stays, and tells whether there is such a user.
    let mut sql = "UPDATE users SET id = id".to_owned();
    let mut cells = vec![Cell::from(id)];
    for (column, cell) in columns {
        cells.push(cell);
        sql = format!("{sql}, {column} = ${}", cells.len());
    }
    let mut tx = store.begin().await?;
    one_at_a_time(&mut tx).await?;
    if tx.execute(&format!("{sql} WHERE id = $1"), &cells).await? == 0 {
        return Ok(UserOutcome::Unknown);
    }
    if !administrator_left(&mut tx).await? {
        return Ok(UserOutcome::LastAdministrator);
    }
    if change.disabled == Some(true) {
        tx.execute("DELETE FROM sessions WHERE user_id = $1", &[id.into()])
            .await?;
    }
    tx.commit().await?;
    Ok(UserOutcome::Done)
}

/// Removes a user with keys and sessions. A user who owns sites is refused by the database.
pub async fn delete(store: &Store, id: Uuid) -> Result<UserOutcome, Error> {
    let mut tx = store.begin().await?;
    one_at_a_time(&mut tx).await?;
    if tx
        .execute("DELETE FROM users WHERE id = $1", &[id.into()])
        .await?
        == 0
    {
        return Ok(UserOutcome::Unknown);
    }
    if !administrator_left(&mut tx).await? {
        return Ok(UserOutcome::LastAdministrator);
    }
    tx.commit().await?;
    Ok(UserOutcome::Done)
}
