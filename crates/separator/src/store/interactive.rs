//! Interactive messages that are stored, and what was sent of them.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::{
    Cell, Error, Row, Store, Transaction,
    browse::{Conditions, Window},
};
use crate::{time::Millis, translate::interactive::Interactive};

/// A stored message as its account has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Our id.
    pub id: Uuid,
    /// The account whose numbers send it.
    pub account: Uuid,
    /// Name and content.
    pub message: Interactive,
    /// When it was made.
    pub created_at: Millis,
    /// When it was last changed.
    pub updated_at: Millis,
}

const COLUMNS: &str = "id, account_id, name, content, created_at, updated_at";

fn content(row: &Row, table: &'static str) -> Result<Value, Error> {
    serde_json::from_str(&row.text("content")?).map_err(|error| Error::Inconsistent {
        table,
        column: "content",
        why: error.to_string(),
    })
}

fn read_message(row: &Row) -> Result<Interactive, Error> {
    Ok(Interactive {
        name: row.text("name")?,
        content: content(row, "interactive_messages")?,
    })
}

fn read(row: &Row) -> Result<Stored, Error> {
    Ok(Stored {
        id: row.id("id")?,
        account: row.id("account_id")?,
        message: read_message(row)?,
        created_at: Millis(row.number("created_at")?),
        updated_at: Millis(row.number("updated_at")?),
    })
}

/// Messages by the number whose account has them.
pub type ByPhone = HashMap<Uuid, Vec<Interactive>>;

/// Those of these accounts; where a text is given, those with it in name or content.
pub async fn list(
    store: &Store,
    accounts: &[Uuid],
    text: Option<&str>,
    window: Window,
) -> Result<Vec<Stored>, Error> {
    let mut conditions = Conditions::default();
    conditions.among("account_id", accounts.iter().map(|id| Cell::from(*id)));
    if let Some(text) = text {
        conditions.contains(&["name", "content"], text);
    }
    let select = format!("SELECT {COLUMNS} FROM interactive_messages");
    let (sql, cells) = conditions.page(&select, "id", window);
    store.fetch(&sql, &cells).await?.iter().map(read).collect()
}

/// One of them.
pub async fn one(store: &Store, id: Uuid) -> Result<Option<Stored>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM interactive_messages WHERE id = $1");
    let row = store.fetch_optional(&sql, &[id.into()]).await?;
    row.as_ref().map(read).transpose()
}

/// How many an account has.
pub async fn count(store: &Store, account: Uuid) -> Result<i64, Error> {
    let row = store
        .fetch_optional(
            "SELECT COUNT(*) AS found FROM interactive_messages WHERE account_id = $1",
            &[account.into()],
        )
        .await?;
    row.map_or(Ok(0), |row| row.number("found"))
}

/// Stores a new one. A name that its account has already is a duplicate.
pub async fn insert(store: &Store, new: &Stored) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO interactive_messages (id, account_id, name, content, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                new.id.into(),
                new.account.into(),
                new.message.name.as_str().into(),
                new.message.content.to_string().into(),
                new.created_at.0.into(),
                new.updated_at.0.into(),
            ],
        )
        .await
        .map(drop)
}

/// Stores what became of one. A name that its account has already is a duplicate.
pub async fn update(
    store: &Store,
    id: Uuid,
    message: &Interactive,
    at: Millis,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE interactive_messages SET name = $1, content = $2, updated_at = $3 WHERE id = $4",
            &[
                message.name.as_str().into(),
                message.content.to_string().into(),
                at.0.into(),
                id.into(),
            ],
        )
        .await
        .map(drop)
}

/// Removes one.
pub async fn remove(store: &Store, id: Uuid) -> Result<(), Error> {
    store
        .execute(
            "DELETE FROM interactive_messages WHERE id = $1",
            &[id.into()],
        )
        .await
        .map(drop)
}

/// All that these numbers can send.
pub async fn of_phones(store: &Store, phones: &[Uuid]) -> Result<ByPhone, Error> {
    let keys: Vec<Cell> = phones.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(
            "SELECT p.id AS phone_id, i.name, i.content FROM interactive_messages i \
             JOIN phones p ON p.account_id = i.account_id WHERE p.id IN",
            &keys,
        )
        .await?;
    let mut found = ByPhone::new();
    for row in &rows {
        let messages = found.entry(row.id("phone_id")?).or_default();
        messages.push(read_message(row)?);
    }
    Ok(found)
}

/// Keeps what messages made of stored ones say.
pub fn keep_sent(tx: &mut Transaction, sent: &[(Uuid, Value)]) {
    let rows = sent
        .iter()
        .map(|(message, content)| vec![(*message).into(), content.to_string().into()])
        .collect();
    tx.write_rows(
        "INSERT INTO interactive_sent (message_id, content) VALUES",
        rows,
        "",
    );
}

/// What these messages say, where they were made of stored ones.
pub async fn sent(store: &Store, messages: &[Uuid]) -> Result<HashMap<Uuid, Value>, Error> {
    let keys: Vec<Cell> = messages.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(
            "SELECT message_id, content FROM interactive_sent WHERE message_id IN",
            &keys,
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("message_id")?, content(row, "interactive_sent")?)))
        .collect()
}
