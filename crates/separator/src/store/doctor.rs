//! What the doctor reads about traffic and trouble, and what it keeps between runs.

use uuid::Uuid;

use super::{Cell, Error, Store, browse::Alarm};
use crate::time::Millis;

/// Reads a value of the notebook, with the time at which it was written.
pub async fn note(store: &Store, name: &str) -> Result<Option<(String, Millis)>, Error> {
    let row = store
        .fetch_optional(
            "SELECT value, at FROM notebook WHERE name = $1",
            &[name.into()],
        )
        .await?;
    row.map(|row| Ok((row.text("value")?, Millis(row.number("at")?))))
        .transpose()
}

/// Writes a value into the notebook.
pub async fn write_note(store: &Store, now: Millis, name: &str, value: &str) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO notebook (name, value, at) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at",
            &[name.into(), value.into(), now.0.into()],
        )
        .await?;
    Ok(())
}

/// The installation's own id: made at the first start, the same for all its processes.
pub async fn installation(store: &Store, now: Millis, new: &str) -> Result<String, Error> {
    const NAME: &str = "installation";
    store
        .execute(
            "INSERT INTO notebook (name, value, at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
            &[NAME.into(), new.into(), now.0.into()],
        )
        .await?;
    Ok(note(store, NAME)
        .await?
        .map_or_else(|| new.to_owned(), |(value, _)| value))
}

/// The last time that a message is known to have passed, in each direction; zero where none did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Proof {
    /// A customer's message was in the operator's chat.
    pub inbound: Millis,
    /// Meta told that a message to a customer is on its way or there.
    pub outbound: Millis,
}

/// All proofs.
pub async fn proofs(store: &Store) -> Result<Vec<(Uuid, Proof)>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id, last_inbound_at, last_outbound_at FROM proofs",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let proof = Proof {
                inbound: Millis(row.number("last_inbound_at")?),
                outbound: Millis(row.number("last_outbound_at")?),
            };
            Ok((row.id("phone_id")?, proof))
        })
        .collect()
}

/// Writes proofs; what another process wrote stays where it is newer.
pub async fn save_proofs(store: &Store, proofs: &[(Uuid, Proof)]) -> Result<(), Error> {
    if proofs.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = proofs
        .iter()
        .map(|(phone, proof)| {
            vec![
                (*phone).into(),
                proof.inbound.0.into(),
                proof.outbound.0.into(),
            ]
        })
        .collect();
    let mut tx = store.begin().await?;
    tx.write_rows(
        "INSERT INTO proofs (phone_id, last_inbound_at, last_outbound_at) VALUES",
        rows,
        "ON CONFLICT (phone_id) DO UPDATE SET \
         last_inbound_at = CASE WHEN excluded.last_inbound_at > proofs.last_inbound_at \
         THEN excluded.last_inbound_at ELSE proofs.last_inbound_at END, \
         last_outbound_at = CASE WHEN excluded.last_outbound_at > proofs.last_outbound_at \
         THEN excluded.last_outbound_at ELSE proofs.last_outbound_at END",
    );
    tx.commit().await
}

/// Messages that Meta accepted before a moment and of which it has said nothing since, by number.
pub async fn unproven(store: &Store, before: Millis) -> Result<Vec<(Uuid, i64)>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id, COUNT(*) AS depth FROM messages WHERE state = 'queued' AND direction = 'outbound' \
             AND wamid IS NOT NULL AND updated_at < $1 GROUP BY phone_id",
            &[before.0.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("phone_id")?, row.number("depth")?)))
        .collect()
}

/// Deliveries that were given up, by number.
pub async fn dead_letters(store: &Store) -> Result<Vec<(Uuid, i64)>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id, COUNT(*) AS depth FROM dead_letters GROUP BY phone_id",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("phone_id")?, row.number("depth")?)))
        .collect()
}

/// How many kept callbacks there are in a state.
pub async fn kept_events(store: &Store, state: &str) -> Result<i64, Error> {
    let row = store
        .fetch_optional(
            "SELECT COUNT(*) AS depth FROM events WHERE state = $1",
            &[state.into()],
        )
        .await?;
    row.map_or(Ok(0), |row| row.number("depth"))
}

/// Phone number ids that nobody has entered and to which callbacks came, with how many; `None` is an unknown account.
pub async fn knocks(store: &Store) -> Result<Vec<(Option<String>, i64)>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_number_id, COUNT(*) AS depth FROM events WHERE state = 'unlinked' GROUP BY phone_number_id \
             ORDER BY phone_number_id LIMIT 20",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.maybe_text("phone_number_id")?, row.number("depth")?)))
        .collect()
}

/// Open alarms whose kind begins so.
pub async fn open_alarms(store: &Store, beginning: &str) -> Result<Vec<Alarm>, Error> {
    let rows = store
        .fetch(
            "SELECT id, kind, subject, text, text_ru, raised_at FROM alarms WHERE cleared_at IS NULL AND kind LIKE $1",
            &[format!("{beginning}%").into()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Alarm {
                id: row.id("id")?,
                kind: row.text("kind")?,
                subject: row.text("subject")?,
                text: row.text("text")?,
                russian: row.maybe_text("text_ru")?,
                raised_at: Millis(row.number("raised_at")?),
            })
        })
        .collect()
}

/// When a customer last wrote to a number, found by any id of the customer's: canonical digits or a user id.
pub async fn last_inbound(
    store: &Store,
    phone: Uuid,
    customer: &str,
) -> Result<Option<Millis>, Error> {
    let row = store
        .fetch_optional(
            "SELECT MAX(conversations.last_inbound_at) AS last FROM aliases \
             JOIN conversations ON conversations.person_id = aliases.person_id AND conversations.phone_id = $1 \
             WHERE aliases.value = $2",
            &[phone.into(), customer.into()],
        )
        .await?;
    Ok(row
        .map(|row| row.maybe_number("last"))
        .transpose()?
        .flatten()
        .map(Millis))
}
