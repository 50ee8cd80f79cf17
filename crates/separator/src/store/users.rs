//! Users, their one-time sign-in links and API keys.
//!
//! Passwords are stored as Argon2id strings, links and keys as SHA-256 digests: what is in the database opens no door.

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

/// An API key to be stored.
#[derive(Debug)]
pub struct NewKey<'a> {
    /// Our id.
    pub id: Uuid,
    /// Whose key it is.
    pub user_id: Uuid,
    /// Name given to it.
    pub name: &'a str,
    /// Scope, as its `as_str` gives it.
    pub scope: &'a str,
    /// SHA-256 of the key, hexadecimal.
    pub hash: &'a str,
    /// When it was created.
    pub created_at: Millis,
}

/// A stored API key and its owner.
#[derive(Debug)]
pub struct Key {
    /// Our id.
    pub id: Uuid,
    /// Whose key it is.
    pub user_id: Uuid,
    /// The owner's role.
    pub role: String,
    /// What it opens.
    pub scope: String,
    /// SHA-256 of the key, hexadecimal.
    pub hash: String,
    /// When it was last used, to an hour.
    pub used_at: Option<Millis>,
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
#[expect(
    clippy::option_option,
    reason = "absent, null and a value are three things"
)]
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

/// Stores an API key.
pub async fn insert_key(store: &Store, key: &NewKey<'_>) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO api_keys (id, user_id, name, scope, hash, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                key.id.into(),
                key.user_id.into(),
                key.name.into(),
                key.scope.into(),
                key.hash.into(),
                key.created_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// The key with this digest, together with its owner's role, where the owner may still sign in.
pub async fn key_by_hash(store: &Store, hash: &str) -> Result<Option<Key>, Error> {
    let row = store
        .fetch_optional(
            "SELECT api_keys.id, api_keys.user_id, users.role, api_keys.scope, api_keys.hash, api_keys.used_at \
             FROM api_keys JOIN users ON users.id = api_keys.user_id \
             WHERE api_keys.hash = $1 AND NOT users.disabled",
            &[hash.into()],
        )
        .await?;
    row.map(|row| {
        Ok(Key {
            id: row.id("id")?,
            user_id: row.id("user_id")?,
            role: row.text("role")?,
            scope: row.text("scope")?,
            hash: row.text("hash")?,
            used_at: row.maybe_number("used_at")?.map(Millis),
        })
    })
    .transpose()
}

/// Notes that a key is in use.
pub async fn touch_key(store: &Store, id: Uuid, now: Millis) -> Result<(), Error> {
    store
        .execute(
            "UPDATE api_keys SET used_at = $2 WHERE id = $1",
            &[id.into(), now.0.into()],
        )
        .await?;
    Ok(())
}
