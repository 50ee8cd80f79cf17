//! Browsers that were sent to a portal's authorization page; see [`portal::consent`](crate::portal::consent).

use uuid::Uuid;

use super::{Error, Store};
use crate::time::Millis;

/// A browser on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The application that asks.
    pub app_id: Uuid,
    /// The installation that is authorized again, where it is one.
    pub instance_id: Option<Uuid>,
    /// The user who began.
    pub user_id: Uuid,
    /// The user's session in the browser.
    pub session_id: Uuid,
}

/// Remembers a browser by the hash of the state that it carries; what is out of date goes.
pub async fn remember(
    store: &Store,
    hash: &str,
    authorization: &Authorization,
    now: Millis,
    until: Millis,
) -> Result<(), Error> {
    store
        .execute(
            "DELETE FROM authorizations WHERE expires_at < $1",
            &[now.0.into()],
        )
        .await?;
    store
        .execute(
            "INSERT INTO authorizations (hash, app_id, instance_id, user_id, session_id, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                hash.into(),
                authorization.app_id.into(),
                authorization.instance_id.into(),
                authorization.user_id.into(),
                authorization.session_id.into(),
                until.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Takes what is remembered of a state, once: nobody gets it a second time.
pub async fn take(store: &Store, hash: &str, now: Millis) -> Result<Option<Authorization>, Error> {
    let mut tx = store.begin().await?;
    let rows = tx
        .fetch(
            "SELECT app_id, instance_id, user_id, session_id FROM authorizations WHERE hash = $1 AND expires_at >= $2",
            &[hash.into(), now.0.into()],
        )
        .await?;
    let gone = tx
        .execute("DELETE FROM authorizations WHERE hash = $1", &[hash.into()])
        .await?;
    tx.commit().await?;
    let Some(row) = rows.first().filter(|_| gone > 0) else {
        return Ok(None);
    };
    Ok(Some(Authorization {
        app_id: row.id("app_id")?,
        instance_id: row.maybe_id("instance_id")?,
        user_id: row.id("user_id")?,
        session_id: row.id("session_id")?,
    }))
}
