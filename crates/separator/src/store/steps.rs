//! How far something is that is done in steps: the publishing of a number, the installation of an instance.

use uuid::Uuid;

use super::{Error, Store};
use crate::time::Millis;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its name, as the API says it.
    pub name: String,
    /// `pending`, `running`, `done` or `failed`.
    pub state: String,
    /// Why it failed, in one or two sentences.
    pub error: Option<String>,
    /// When that was.
    pub at: Millis,
}

/// Begins anew: these steps, all pending, in this order.
pub async fn begin(store: &Store, subject: Uuid, names: &[&str], now: Millis) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    tx.execute("DELETE FROM steps WHERE subject_id = $1", &[subject.into()])
        .await?;
    for (position, name) in (0_i64..).zip(names) {
        tx.execute(
            "INSERT INTO steps (subject_id, name, position, state, at) VALUES ($1, $2, $3, 'pending', $4)",
            &[subject.into(), (*name).into(), position.into(), now.0.into()],
        )
        .await?;
    }
    tx.commit().await
}

/// Notes what became of a step. Does nothing for a step that was not begun.
pub async fn set(
    store: &Store,
    subject: Uuid,
    name: &str,
    state: &str,
    error: Option<String>,
    now: Millis,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE steps SET state = $3, error = $4, at = $5 WHERE subject_id = $1 AND name = $2",
            &[
                subject.into(),
                name.into(),
                state.into(),
                error.into(),
                now.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// The steps of something, in their order; none where it was never begun.
pub async fn of(store: &Store, subject: Uuid) -> Result<Vec<Step>, Error> {
    let rows = store
        .fetch(
            "SELECT name, state, error, at FROM steps WHERE subject_id = $1 ORDER BY position",
            &[subject.into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Step {
                name: row.text("name")?,
                state: row.text("state")?,
                error: row.maybe_text("error")?,
                at: Millis(row.number("at")?),
            })
        })
        .collect()
}
