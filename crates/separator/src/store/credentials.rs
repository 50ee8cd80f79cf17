//! With what users prove to be the ones: passwords, codes of an authenticator app, one-time links.
//!
//! Passwords are stored as Argon2id strings, the tokens of links as SHA-256 digests, and what is shared with an app
//! sealed: what is in the database opens no door.

use uuid::Uuid;

use super::{
    Error, Row, Store, Transaction,
    users::{self, NewUser},
};
use crate::time::Millis;

/// A one-time sign-in link to be stored.
#[derive(Debug)]
pub struct NewLink<'a> {
    /// SHA-256 of the token, hexadecimal.
    pub hash: &'a str,
    /// Whom it lets in; none: whoever becomes the first administrator.
    pub user_id: Option<Uuid>,
    /// What it is for, as its `as_str` gives it.
    pub kind: &'a str,
    /// From when on it opens nothing any more.
    pub expires_at: Millis,
}

pub(super) async fn insert_link(tx: &mut Transaction, link: &NewLink<'_>) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO links (hash, user_id, kind, expires_at) VALUES ($1, $2, $3, $4)",
        &[
            link.hash.into(),
            link.user_id.into(),
            link.kind.into(),
            link.expires_at.0.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Stores a link in place of those that its user (or the first administrator) had.
pub async fn replace_link(store: &Store, link: &NewLink<'_>) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    match link.user_id {
        Some(user) => {
            tx.execute("DELETE FROM links WHERE user_id = $1", &[user.into()])
                .await?;
        }
        None => {
            tx.execute("DELETE FROM links WHERE user_id IS NULL", &[])
                .await?;
        }
    }
    insert_link(&mut tx, link).await?;
    tx.commit().await
}

/// A link that opens something.
#[derive(Debug)]
pub struct Link {
    /// Whom it lets in; none: whoever becomes the first administrator.
    pub user_id: Option<Uuid>,
    /// What it is for.
    pub kind: String,
}

/// The link whose token has this digest, unless it is too old.
pub async fn link(store: &Store, hash: &str, now: Millis) -> Result<Option<Link>, Error> {
    let row = store
        .fetch_optional(
            "SELECT user_id, kind FROM links WHERE hash = $1 AND expires_at > $2",
            &[hash.into(), now.0.into()],
        )
        .await?;
    row.map(|row| {
        Ok(Link {
            user_id: row.maybe_id("user_id")?,
            kind: row.text("kind")?,
        })
    })
    .transpose()
}

/// Uses a link of a user up; with a password, the password becomes the user's and all sessions of before end. Gives
/// whether the link was still there.
pub async fn use_link(
    store: &Store,
    hash: &str,
    user: Uuid,
    password: Option<&str>,
) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    let used = tx
        .execute("DELETE FROM links WHERE hash = $1", &[hash.into()])
        .await?;
    if used == 0 {
        return Ok(false);
    }
    if let Some(password) = password {
        write_password(&mut tx, user, password, None).await?;
    }
    tx.commit().await?;
    Ok(true)
}

/// Makes the first user with the link for it. Gives whether the link was still there and nobody was faster.
pub async fn insert_first(store: &Store, hash: &str, user: &NewUser<'_>) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    let used = tx
        .execute("DELETE FROM links WHERE hash = $1", &[hash.into()])
        .await?;
    let others = tx.fetch("SELECT id FROM users LIMIT 1", &[]).await?;
    if used == 0 || !others.is_empty() {
        return Ok(false);
    }
    users::insert(&mut tx, user).await?;
    tx.commit().await?;
    Ok(true)
}

/// Gives a user another password and ends the sessions of before, but for one.
pub async fn set_password(
    store: &Store,
    user: Uuid,
    password: &str,
    kept: Option<Uuid>,
) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    write_password(&mut tx, user, password, kept).await?;
    tx.commit().await
}

async fn write_password(
    tx: &mut Transaction,
    user: Uuid,
    password: &str,
    kept: Option<Uuid>,
) -> Result<(), Error> {
    tx.execute(
        "UPDATE users SET password = $2 WHERE id = $1",
        &[user.into(), password.into()],
    )
    .await?;
    tx.execute(
        "DELETE FROM sessions WHERE user_id = $1 AND id <> $2",
        &[user.into(), kept.unwrap_or(Uuid::nil()).into()],
    )
    .await?;
    Ok(())
}

/// Whether there is any user.
pub async fn any(store: &Store) -> Result<bool, Error> {
    Ok(!store
        .fetch("SELECT id FROM users LIMIT 1", &[])
        .await?
        .is_empty())
}

/// What a user proves to be the one with.
#[derive(Debug)]
pub struct Credentials {
    /// Our id.
    pub id: Uuid,
    /// Argon2id string; none until a password was chosen.
    pub password: Option<String>,
    /// Whether the user may not sign in.
    pub disabled: bool,
    /// Sealed secret that the user shares with an authenticator app.
    pub totp_secret: Option<Vec<u8>>,
    /// Whether the user has shown that the app has it.
    pub totp_confirmed: bool,
    /// The time step of the last code that was taken.
    pub totp_step: i64,
}

const CREDENTIALS: &str =
    "SELECT id, password, disabled, totp_secret, totp_confirmed, totp_step FROM users";

fn credentials_row(row: &Row) -> Result<Credentials, Error> {
    Ok(Credentials {
        id: row.id("id")?,
        password: row.maybe_text("password")?,
        disabled: row.flag("disabled")?,
        totp_secret: row.maybe_bytes("totp_secret")?,
        totp_confirmed: row.flag("totp_confirmed")?,
        totp_step: row.number("totp_step")?,
    })
}

/// What the user with this e-mail address (lower case) proves to be the one with.
pub async fn credentials(store: &Store, email: &str) -> Result<Option<Credentials>, Error> {
    let row = store
        .fetch_optional(&format!("{CREDENTIALS} WHERE email = $1"), &[email.into()])
        .await?;
    row.as_ref().map(credentials_row).transpose()
}

/// What a user proves to be the one with.
pub async fn credentials_of(store: &Store, id: Uuid) -> Result<Option<Credentials>, Error> {
    let row = store
        .fetch_optional(&format!("{CREDENTIALS} WHERE id = $1"), &[id.into()])
        .await?;
    row.as_ref().map(credentials_row).transpose()
}

/// Takes a code of an authenticator app; gives whether none of this step or a later one was taken before.
pub async fn use_totp_step(store: &Store, id: Uuid, step: i64) -> Result<bool, Error> {
    let taken = store
        .execute(
            "UPDATE users SET totp_step = $2 WHERE id = $1 AND totp_step < $2",
            &[id.into(), step.into()],
        )
        .await?;
    Ok(taken > 0)
}

/// Stores the sealed secret that a user is to share with an authenticator app, until it is confirmed; gives whether there
/// was no confirmed one.
pub async fn offer_totp(store: &Store, id: Uuid, sealed: Vec<u8>) -> Result<bool, Error> {
    let stored = store
        .execute(
            "UPDATE users SET totp_secret = $2 WHERE id = $1 AND NOT totp_confirmed",
            &[id.into(), sealed.into()],
        )
        .await?;
    Ok(stored > 0)
}

/// From now on the user needs a code to sign in.
pub async fn confirm_totp(store: &Store, id: Uuid) -> Result<(), Error> {
    store
        .execute(
            "UPDATE users SET totp_confirmed = TRUE WHERE id = $1",
            &[id.into()],
        )
        .await?;
    Ok(())
}

/// From now on the user needs no code to sign in.
pub async fn remove_totp(store: &Store, id: Uuid) -> Result<(), Error> {
    store
        .execute(
            "UPDATE users SET totp_confirmed = FALSE, totp_secret = NULL WHERE id = $1",
            &[id.into()],
        )
        .await?;
    Ok(())
}
