//! What operators wrote while WhatsApp takes only templates from their number.
//!
//! Messages made from a template that WhatsApp does not take at present wait here as well, until it does.
//!
//! It stands here and in no lane. It goes into its lane when the customer writes, in the order in which it was written;
//! or as a template's value; or it ends after a day. Whichever is first takes the row, in the transaction of its effect.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction, lanes::Task, messages::State};
use crate::{time::Millis, translate::template::Unsendable};

/// How long a message waits for the customer.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_hours(24);

/// A message that waits.
#[derive(Debug, Clone)]
pub struct Held {
    /// The message; later ones have larger ids.
    pub message: Uuid,
    /// Its conversation.
    pub conversation: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// Its file.
    pub media: Option<Uuid>,
    /// Since when it waits.
    pub held_at: Millis,
    /// What is to be done once everything is taken again.
    pub task: Task,
    /// Why its template is not taken; `None` where it waits for its customer.
    pub why: Option<Unsendable>,
}

impl Held {
    /// The template that it waits for: name and language.
    pub fn template(&self) -> Option<(&str, &str)> {
        match (&self.why, &self.task) {
            (Some(_), Task::Template { name, language, .. }) => Some((name, language)),
            _ => None,
        }
    }
}

const HELD: &str = "SELECT h.message_id, h.conversation_id, h.phone_id, h.media_id, h.held_at, h.payload, h.reason FROM held h";

fn read(row: &Row) -> Result<Held, Error> {
    let payload = row.text("payload")?;
    let task = serde_json::from_str(&payload).map_err(|error| Error::Inconsistent {
        table: "held",
        column: "payload",
        why: error.to_string(),
    })?;
    let reason = row.maybe_text("reason")?;
    let why = reason
        .map(|reason| serde_json::from_str(&reason))
        .transpose()
        .map_err(|error| Error::Inconsistent {
            table: "held",
            column: "reason",
            why: error.to_string(),
        })?;
    Ok(Held {
        message: row.id("message_id")?,
        conversation: row.id("conversation_id")?,
        phone: row.id("phone_id")?,
        media: row.maybe_id("media_id")?,
        held_at: Millis(row.number("held_at")?),
        task,
        why,
    })
}

/// A reason as stored.
fn reason(why: &Unsendable) -> String {
    serde_json::to_string(why).expect("a reason is made of text, which always serialises")
}

/// Keeps messages that wait. One that waits already keeps its place and its time.
pub fn insert(tx: &mut Transaction, held: &[Held]) {
    let rows: Vec<Vec<Cell>> = held
        .iter()
        .map(|held| {
            vec![
                held.message.into(),
                held.conversation.into(),
                held.phone.into(),
                held.media.into(),
                held.held_at.0.into(),
                (held.held_at + PATIENCE).0.into(),
                super::lanes::payload(&held.task).into(),
                held.template().map(|(name, _)| name.to_owned()).into(),
                held.why.as_ref().map(reason).into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO held (message_id, conversation_id, phone_id, media_id, held_at, expires_at, payload, template, \
         reason) VALUES",
        rows,
        "ON CONFLICT (message_id) DO NOTHING",
    );
}

/// What waits in these conversations for their customers, in the order in which it was written.
pub async fn of(store: &Store, conversations: &[Uuid]) -> Result<Vec<Held>, Error> {
    let keys: Vec<Cell> = conversations.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(
            &format!("{HELD} WHERE h.template IS NULL AND h.conversation_id IN"),
            &keys,
        )
        .await?;
    let mut held = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    held.sort_unstable_by_key(|held| held.message);
    Ok(held)
}

/// The message, if it waits.
pub async fn get(store: &Store, message: Uuid) -> Result<Option<Held>, Error> {
    let row = store
        .fetch_optional(
            &format!("{HELD} WHERE h.message_id = $1"),
            &[message.into()],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Takes messages out, whatever becomes of them; gives those that were still waiting. In the transaction of its effect,
/// so that of two that take one only one has it.
pub async fn take(tx: &mut Transaction, messages: &[Uuid]) -> Result<Vec<Uuid>, Error> {
    let mut taken = Vec::new();
    for message in messages {
        let rows = tx
            .execute(
                "DELETE FROM held WHERE message_id = $1",
                &[(*message).into()],
            )
            .await?;
        if rows > 0 {
            taken.push(*message);
        }
    }
    Ok(taken)
}

/// Where messages stand, and whether they wait here, read inside a transaction.
pub async fn states(
    tx: &mut Transaction,
    messages: &[Uuid],
) -> Result<HashMap<Uuid, (State, bool)>, Error> {
    let keys: Vec<Cell> = messages.iter().map(|id| Cell::Id(*id)).collect();
    let rows = tx
        .fetch_in(
            "SELECT m.id, m.state, h.message_id AS held FROM messages m LEFT JOIN held h ON h.message_id = m.id \
             WHERE m.id IN",
            &keys,
        )
        .await?;
    rows.iter()
        .map(|row| {
            let state = State::parse(&row.text("state")?);
            Ok((row.id("id")?, (state, row.maybe_id("held")?.is_some())))
        })
        .collect()
}

/// What waits although its customer has written, in order.
pub async fn released(store: &Store, window_since: Millis, limit: i64) -> Result<Vec<Held>, Error> {
    let rows = store
        .fetch(
            &format!(
                "{HELD} JOIN conversations c ON c.id = h.conversation_id \
                 WHERE h.template IS NULL AND (c.last_inbound_at > $1 OR c.heard_at > $1) \
                 AND c.window_closed_at IS NULL ORDER BY h.message_id LIMIT $2"
            ),
            &[window_since.0.into(), limit.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// What waits for its template behind a message, in order.
pub async fn for_templates(store: &Store, after: Uuid, limit: i64) -> Result<Vec<Held>, Error> {
    let rows = store
        .fetch(
            &format!(
                "{HELD} WHERE h.template IS NOT NULL AND h.message_id > $1 ORDER BY h.message_id LIMIT $2"
            ),
            &[after.into(), limit.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Why messages wait, and until when, by message.
pub async fn waits(
    store: &Store,
    messages: &[Uuid],
) -> Result<HashMap<Uuid, (Held, Millis)>, Error> {
    let keys: Vec<Cell> = messages.iter().map(|id| Cell::Id(*id)).collect();
    let rows = store
        .fetch_in(&format!("{HELD} WHERE h.message_id IN"), &keys)
        .await?;
    rows.iter()
        .map(|row| {
            let held = read(row)?;
            let until = held.held_at + PATIENCE;
            Ok((held.message, (held, until)))
        })
        .collect()
}

/// A message waits for another reason now. In the transaction of its effect; gives whether it still waits.
pub async fn change_reason(
    tx: &mut Transaction,
    message: Uuid,
    why: &Unsendable,
) -> Result<bool, Error> {
    let changed = tx
        .execute(
            "UPDATE held SET reason = $1 WHERE message_id = $2",
            &[reason(why).into(), message.into()],
        )
        .await?;
    Ok(changed > 0)
}

/// What has waited for too long.
pub async fn expired(store: &Store, now: Millis, limit: i64) -> Result<Vec<Held>, Error> {
    let rows = store
        .fetch(
            &format!("{HELD} WHERE h.expires_at <= $1 ORDER BY h.expires_at LIMIT $2"),
            &[now.0.into(), limit.into()],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// When the next one has waited for too long.
pub async fn next_end(store: &Store) -> Result<Option<Millis>, Error> {
    let row = store
        .fetch_optional(
            "SELECT expires_at FROM held ORDER BY expires_at LIMIT 1",
            &[],
        )
        .await?;
    row.map(|row| row.number("expires_at").map(Millis))
        .transpose()
}
