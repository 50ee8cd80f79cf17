//! Raw callbacks that were kept.

use uuid::Uuid;

use super::{Cell, Error, Store, Transaction, receipts::Receipt};
use crate::time::Millis;

/// Why a raw callback is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Translated; kept because the app says so.
    Translated,
    /// Understood as something that is not about a message; kept to be looked at.
    Recorded,
    /// Signed, but not understood.
    NotUnderstood,
    /// For a number that nobody has entered yet.
    Unlinked,
    /// Translating it failed; set aside so that the others go on.
    Poison,
}

impl State {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::Recorded => "recorded",
            Self::NotUnderstood => "not_understood",
            Self::Unlinked => "unlinked",
            Self::Poison => "poison",
        }
    }
}

/// A receipt that stays visible.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The callback.
    pub receipt: Receipt,
    /// Why it is kept.
    pub state: State,
    /// What was wrong with it.
    pub error: Option<String>,
    /// The number it waits for.
    pub phone_number_id: Option<String>,
    /// The account it waits for, or that the number belongs to.
    pub waba_id: Option<String>,
}

/// Keeps callbacks; one that is kept already gets the new reason.
pub fn keep(tx: &mut Transaction, kept: Vec<Kept>) {
    let rows: Vec<Vec<Cell>> = kept
        .into_iter()
        .map(|kept| {
            vec![
                kept.receipt.id.into(),
                kept.receipt.source.as_str().into(),
                kept.receipt.owner.into(),
                kept.receipt.received_at.0.into(),
                kept.state.as_str().into(),
                kept.error.into(),
                kept.phone_number_id.into(),
                kept.waba_id.into(),
                kept.receipt.body.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO events (id, source, owner_id, received_at, state, error, phone_number_id, waba_id, body) VALUES",
        rows,
        "ON CONFLICT (id) DO UPDATE SET state = excluded.state, error = excluded.error, \
         phone_number_id = excluded.phone_number_id, waba_id = excluded.waba_id",
    );
}

/// Puts the callbacks that wait for a number back among the receipts; gives how many there were.
pub async fn release(store: &Store, phone_number_id: &str) -> Result<u64, Error> {
    release_where(store, "phone_number_id = $2", phone_number_id).await
}

/// Puts the callbacks that wait for an account, not for a number of it, back among the receipts; gives how many there were.
pub async fn release_account(store: &Store, waba_id: &str) -> Result<u64, Error> {
    release_where(store, "waba_id = $2 AND phone_number_id IS NULL", waba_id).await
}

async fn release_where(store: &Store, condition: &str, value: &str) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let cells = [Cell::from(State::Unlinked.as_str()), value.into()];
    let released = tx
        .execute(
            &format!(
                "INSERT INTO receipts (id, source, owner_id, received_at, size, body) \
                 SELECT id, source, owner_id, received_at, LENGTH(body), body FROM events \
                 WHERE state = $1 AND {condition}"
            ),
            &cells,
        )
        .await?;
    tx.execute(
        &format!("DELETE FROM events WHERE state = $1 AND {condition}"),
        &cells,
    )
    .await?;
    tx.commit().await?;
    Ok(released)
}

/// Somebody who is not entered and sent callbacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knock {
    /// The latest of its callbacks.
    pub latest: Uuid,
    /// Our id of the Meta app that they came for.
    pub app: Uuid,
    /// Phone number id, where a number knocks.
    pub phone_number_id: Option<String>,
    /// WABA id, as far as the callbacks named it.
    pub waba_id: Option<String>,
    /// How many callbacks are kept.
    pub count: i64,
    /// When the first of them came.
    pub first_at: Millis,
    /// When the last of them came.
    pub last_at: Millis,
    /// The latest callback itself.
    pub body: Vec<u8>,
}

/// Who knocks at these apps, at most a few hundred, the latest first.
pub async fn knocks(store: &Store, apps: &[Uuid]) -> Result<Vec<Knock>, Error> {
    let keys: Vec<Cell> = apps.iter().map(|app| Cell::Id(*app)).collect();
    let mut knocks = Vec::new();
    // Of two callbacks of a moment one is enough, therefore the id and not the time tells which is the latest.
    let rows = store
        .fetch_in(
            "SELECT e.id, e.owner_id, e.phone_number_id, e.waba_id, e.body, k.count, k.first_at, k.last_at FROM events e \
             JOIN (SELECT owner_id, phone_number_id, waba_id, COUNT(*) AS count, MIN(received_at) AS first_at, \
             MAX(received_at) AS last_at FROM events WHERE state = 'unlinked' \
             GROUP BY owner_id, phone_number_id, waba_id LIMIT 500) k \
             ON e.owner_id = k.owner_id AND e.received_at = k.last_at \
             AND COALESCE(e.phone_number_id, '') = COALESCE(k.phone_number_id, '') \
             AND COALESCE(e.waba_id, '') = COALESCE(k.waba_id, '') \
             WHERE e.state = 'unlinked' AND e.owner_id IN",
            &keys,
        )
        .await?;
    for row in &rows {
        knocks.push(Knock {
            latest: row.id("id")?,
            app: row.id("owner_id")?,
            phone_number_id: row.maybe_text("phone_number_id")?,
            waba_id: row.maybe_text("waba_id")?,
            count: row.number("count")?,
            first_at: Millis(row.number("first_at")?),
            last_at: Millis(row.number("last_at")?),
            body: row.bytes("body")?,
        });
    }
    knocks.sort_by_key(|knock| (std::cmp::Reverse(knock.last_at), knock.latest));
    let mut seen = std::collections::HashSet::new();
    knocks.retain(|knock| {
        seen.insert((
            knock.app,
            knock.phone_number_id.clone(),
            knock.waba_id.clone(),
        ))
    });
    Ok(knocks)
}

/// Puts one kept callback back among the receipts, to be translated again.
pub async fn translate_again(store: &Store, id: Uuid) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    let released = tx
        .execute(
            "INSERT INTO receipts (id, source, owner_id, received_at, size, body) \
             SELECT id, source, owner_id, received_at, LENGTH(body), body FROM events WHERE id = $1",
            &[id.into()],
        )
        .await?;
    tx.execute("DELETE FROM events WHERE id = $1", &[id.into()])
        .await?;
    tx.commit().await?;
    Ok(released > 0)
}
