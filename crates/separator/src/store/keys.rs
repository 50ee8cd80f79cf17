//! API keys. Of a key only the SHA-256 digest is stored.

use uuid::Uuid;

use super::{Error, Store, browse::Conditions};
use crate::time::Millis;

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

/// Stores an API key.
pub async fn insert(store: &Store, key: &NewKey<'_>) -> Result<(), Error> {
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
pub async fn by_hash(store: &Store, hash: &str) -> Result<Option<Key>, Error> {
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
pub async fn touch(store: &Store, id: Uuid, now: Millis) -> Result<(), Error> {
    store
        .execute(
            "UPDATE api_keys SET used_at = $2 WHERE id = $1",
            &[id.into(), now.0.into()],
        )
        .await?;
    Ok(())
}

/// A key as people see it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Our id.
    pub id: Uuid,
    /// Whose key it is.
    pub user_id: Uuid,
    /// Name given to it.
    pub name: String,
    /// What it opens.
    pub scope: String,
    /// When it was created.
    pub created_at: Millis,
    /// When it was last used, to an hour.
    pub used_at: Option<Millis>,
}

/// The keys of one user or of all, the oldest first.
pub async fn all(store: &Store, user: Option<Uuid>) -> Result<Vec<Shown>, Error> {
    let mut conditions = Conditions::default();
    if let Some(user) = user {
        conditions.add("user_id = ?", user);
    }
    let sql = format!(
        "SELECT id, user_id, name, scope, created_at, used_at FROM api_keys{} ORDER BY id",
        conditions.filter()
    );
    let rows = store.fetch(&sql, conditions.cells()).await?;
    rows.iter()
        .map(|row| {
            Ok(Shown {
                id: row.id("id")?,
                user_id: row.id("user_id")?,
                name: row.text("name")?,
                scope: row.text("scope")?,
                created_at: Millis(row.number("created_at")?),
                used_at: row.maybe_number("used_at")?.map(Millis),
            })
        })
        .collect()
}

/// Removes a key; gives whether it was there.
pub async fn delete(store: &Store, id: Uuid) -> Result<bool, Error> {
    super::accounts::delete(store, "api_keys", id).await
}
