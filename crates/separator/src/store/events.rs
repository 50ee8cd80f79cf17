//! Raw callbacks that were kept.

use uuid::Uuid;

use super::{Cell, Error, Store, Transaction, receipts::Receipt};

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
                kept.receipt.body.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO events (id, source, owner_id, received_at, state, error, phone_number_id, body) VALUES",
        rows,
        "ON CONFLICT (id) DO UPDATE SET state = excluded.state, error = excluded.error, \
         phone_number_id = excluded.phone_number_id",
    );
}

/// Puts the callbacks that wait for a number back among the receipts; gives how many there were.
pub async fn release(store: &Store, phone_number_id: &str) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let state = Cell::from(State::Unlinked.as_str());
    let released = tx
        .execute(
            "INSERT INTO receipts (id, source, owner_id, received_at, size, body) \
             SELECT id, source, owner_id, received_at, LENGTH(body), body FROM events \
             WHERE state = $1 AND phone_number_id = $2",
            &[state.clone(), phone_number_id.into()],
        )
        .await?;
    tx.execute(
        "DELETE FROM events WHERE state = $1 AND phone_number_id = $2",
        &[state, phone_number_id.into()],
    )
    .await?;
    tx.commit().await?;
    Ok(released)
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
