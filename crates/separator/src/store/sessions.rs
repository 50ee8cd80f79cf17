//! Browsers that are signed in. Of a session's token only the SHA-256 digest is stored.

use uuid::Uuid;

use super::{Error, Row, Store};
use crate::time::Millis;

/// A session.
#[derive(Debug, Clone)]
pub struct Session {
    /// Our id.
    pub id: Uuid,
    /// Whose session it is.
    pub user_id: Uuid,
    /// When it began.
    pub created_at: Millis,
    /// When it was last used, to a few minutes.
    pub used_at: Millis,
    /// From where it was begun.
    pub address: String,
    /// What the browser called itself.
    pub browser: String,
}

/// A session together with what its user may do.
#[derive(Debug)]
pub struct Found {
    /// The session.
    pub session: Session,
    /// Digest of its token.
    pub hash: String,
    /// The user's role.
    pub role: String,
}

fn session_row(row: &Row) -> Result<Session, Error> {
    Ok(Session {
        id: row.id("id")?,
        user_id: row.id("user_id")?,
        created_at: Millis(row.number("created_at")?),
        used_at: Millis(row.number("used_at")?),
        address: row.text("address")?,
        browser: row.text("browser")?,
    })
}

/// Stores a session. `hash` is the digest of its token.
pub async fn insert(store: &Store, session: &Session, hash: &str) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO sessions (id, user_id, hash, created_at, used_at, address, browser) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                session.id.into(),
                session.user_id.into(),
                hash.into(),
                session.created_at.0.into(),
                session.used_at.0.into(),
                session.address.as_str().into(),
                session.browser.as_str().into(),
            ],
        )
        .await?;
    Ok(())
}

/// The session whose token has this digest, where its user may still sign in.
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<Found>, Error> {
    let row = store
        .fetch_optional(
            "SELECT sessions.id, sessions.user_id, sessions.hash, sessions.created_at, sessions.used_at, \
             sessions.address, sessions.browser, users.role FROM sessions \
             JOIN users ON users.id = sessions.user_id WHERE sessions.hash = $1 AND NOT users.disabled",
            &[hash.into()],
        )
        .await?;
    row.map(|row| {
        Ok(Found {
            session: session_row(&row)?,
            hash: row.text("hash")?,
            role: row.text("role")?,
        })
    })
    .transpose()
}

/// Notes that a session is in use.
pub async fn touch(store: &Store, id: Uuid, now: Millis) -> Result<(), Error> {
    store
        .execute(
            "UPDATE sessions SET used_at = $2 WHERE id = $1",
            &[id.into(), now.0.into()],
        )
        .await?;
    Ok(())
}

/// The sessions of a user that began after one time and were used after another.
pub async fn of_user(
    store: &Store,
    user: Uuid,
    began_after: Millis,
    used_after: Millis,
) -> Result<Vec<Session>, Error> {
    store
        .fetch(
            "SELECT id, user_id, created_at, used_at, address, browser FROM sessions \
             WHERE user_id = $1 AND created_at > $2 AND used_at > $3 ORDER BY id",
            &[user.into(), began_after.0.into(), used_after.0.into()],
        )
        .await?
        .iter()
        .map(session_row)
        .collect()
}

/// Ends a session of a user; gives whether there was such a one.
pub async fn delete(store: &Store, user: Uuid, id: Uuid) -> Result<bool, Error> {
    let ended = store
        .execute(
            "DELETE FROM sessions WHERE id = $1 AND user_id = $2",
            &[id.into(), user.into()],
        )
        .await?;
    Ok(ended > 0)
}
