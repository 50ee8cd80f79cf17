//! Files on their way: where each comes from, how far it is, and under which name it goes on.
//!
//! The bytes lie on disk; a row is `ready` only once they are there for good.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction, lanes::Side};
use crate::time::Millis;

/// Where a file is fetched from; JSON in `media.source`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Source {
    /// A customer's file, at Meta.
    Meta {
        /// Meta's media id; lives for about 30 days.
        media_id: String,
    },
    /// An operator's file, at the portal.
    Portal {
        /// Its address, as the event gave it.
        url: String,
        /// Its size in bytes, as the event gave it.
        declared_size: Option<u64>,
    },
    /// A file somewhere, whose address stands in a template's code.
    Link {
        /// Its address.
        url: String,
    },
}

/// Shows the portal's host only: the rest of the address is a way to the file.
impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Meta { media_id } => write!(formatter, "Meta({media_id})"),
            Self::Portal { url, .. } => {
                let url = Url::parse(url).ok();
                let host = url.as_ref().and_then(Url::host_str).unwrap_or("?");
                write!(formatter, "Portal({host}/…)")
            }
            Self::Link { url } => {
                let url = Url::parse(url).ok();
                let host = url.as_ref().and_then(Url::host_str).unwrap_or("?");
                write!(formatter, "Link({host}/…)")
            }
        }
    }
}

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is still to be fetched.
    Pending,
    /// It lies on disk.
    Ready,
    /// It could not be had.
    Failed,
}

impl State {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// The state that is stored as `text`.
    pub fn parse(text: &str) -> Self {
        match text {
            "ready" => Self::Ready,
            "failed" => Self::Failed,
            _ => Self::Pending,
        }
    }
}

/// A file that is to be fetched, on its way into the store.
#[derive(Debug, Clone)]
pub struct NewMedia {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// Where it is.
    pub source: Source,
    /// Name for the receiver.
    pub name: String,
    /// Media type, as far as it was said.
    pub mime_type: Option<String>,
    /// When it was sent to us.
    pub created_at: Millis,
}

/// A file that is due to be fetched.
#[derive(Debug, Clone)]
pub struct Due {
    /// Our id.
    pub id: Uuid,
    /// The business number.
    pub phone: Uuid,
    /// Where it is; `None` where the row does not say it in words that this version knows.
    pub source: Option<Source>,
    /// Name for the receiver.
    pub name: String,
    /// Media type, as far as it was said.
    pub mime_type: Option<String>,
    /// Tries that failed.
    pub attempts: i64,
}

/// A file as it is known.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Our id.
    pub id: Uuid,
    /// How far it is.
    pub state: State,
    /// Name for the receiver.
    pub name: String,
    /// Media type, as far as it is known.
    pub mime_type: Option<String>,
    /// What Meta knows of it: the text that [`keep_upload`] stored.
    pub remote_id: Option<String>,
}

/// What is known of a file once it lies on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// Its size in bytes.
    pub size: u64,
    /// Name for the receiver, made safe.
    pub name: String,
    /// Media type, as far as it is known.
    pub mime_type: Option<String>,
}

/// Puts files among those to be fetched; they are due at once.
pub fn insert(tx: &mut Transaction, files: &[NewMedia]) {
    let rows: Vec<Vec<Cell>> = files
        .iter()
        .map(|file| {
            vec![
                file.id.into(),
                file.phone.into(),
                source_text(&file.source).into(),
                file.name.as_str().into(),
                file.mime_type.clone().into(),
                State::Pending.as_str().into(),
                0_i64.into(),
                file.created_at.0.into(),
                file.created_at.0.into(),
            ]
        })
        .collect();
    tx.write_rows(
        "INSERT INTO media (id, phone_id, source, name, mime_type, state, attempts, due_at, created_at) VALUES",
        rows,
        "",
    );
}

fn source_text(source: &Source) -> String {
    serde_json::to_string(source).expect("text and numbers always serialise")
}

/// The files to be fetched now, longest due first, without those of the numbers in `busy`.
pub async fn due(
    store: &Store,
    now: Millis,
    busy: &[Uuid],
    limit: usize,
) -> Result<Vec<Due>, Error> {
    let mut cells = vec![Cell::from(now.0), Cell::Number(limit as i64)];
    let mut sql = String::from(
        "SELECT id, phone_id, source, name, mime_type, attempts FROM media \
         WHERE state = 'pending' AND due_at <= $1",
    );
    for phone in busy {
        cells.push(Cell::Id(*phone));
        sql.push_str(" AND phone_id <> $");
        sql.push_str(&cells.len().to_string());
    }
    sql.push_str(" ORDER BY due_at, id LIMIT $2");
    let rows = store.fetch(&sql, &cells).await?;
    rows.iter().map(read_due).collect()
}

fn read_due(row: &Row) -> Result<Due, Error> {
    Ok(Due {
        id: row.id("id")?,
        phone: row.id("phone_id")?,
        source: serde_json::from_str(&row.text("source")?).ok(),
        name: row.text("name")?,
        mime_type: row.maybe_text("mime_type")?,
        attempts: row.number("attempts")?,
    })
}

/// One file.
pub async fn get(store: &Store, id: Uuid) -> Result<Option<Stored>, Error> {
    let row = store
        .fetch_optional(
            "SELECT id, state, name, mime_type, remote_id FROM media WHERE id = $1",
            &[id.into()],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Stored {
        id: row.id("id")?,
        state: State::parse(&row.text("state")?),
        name: row.text("name")?,
        mime_type: row.maybe_text("mime_type")?,
        remote_id: row.maybe_text("remote_id")?,
    }))
}

/// Says that a file lies on disk.
pub fn ready(tx: &mut Transaction, id: Uuid, arrived: &Arrived) {
    tx.write(
        "UPDATE media SET state = 'ready', size = $2, name = $3, mime_type = $4, error = NULL \
         WHERE id = $1 AND state = 'pending'",
        &[
            id.into(),
            i64::try_from(arrived.size).unwrap_or(i64::MAX).into(),
            arrived.name.as_str().into(),
            arrived.mime_type.clone().into(),
        ],
    );
}

/// Gives a file up and keeps the reason.
pub fn failed(tx: &mut Transaction, id: Uuid, reason: &str) {
    tx.write(
        "UPDATE media SET state = 'failed', attempts = attempts + 1, error = $2 \
         WHERE id = $1 AND state = 'pending'",
        &[id.into(), reason.into()],
    );
}

/// Puts a file off after a try that failed, and keeps the reason.
pub async fn put_off(store: &Store, id: Uuid, until: Millis, reason: &str) -> Result<(), Error> {
    store
        .execute(
            "UPDATE media SET attempts = attempts + 1, due_at = $2, error = $3 \
             WHERE id = $1 AND state = 'pending'",
            &[id.into(), until.0.into(), reason.into()],
        )
        .await?;
    Ok(())
}

/// Makes the files of some numbers due that wait for their next try.
pub async fn due_now(store: &Store, phones: &[Uuid], now: Millis) -> Result<(), Error> {
    let keys: Vec<Cell> = phones.iter().map(|phone| Cell::Id(*phone)).collect();
    let mut tx = store.begin().await?;
    let sql = format!(
        "UPDATE media SET due_at = {} WHERE state = 'pending' AND due_at > {} AND phone_id IN",
        now.0, now.0
    );
    tx.write_in(&sql, &keys);
    tx.commit().await
}

/// The lanes that a file holds up: those whose head is waiting for it.
pub async fn lanes_waiting_for(tx: &mut Transaction, id: Uuid) -> Result<Vec<(Uuid, Side)>, Error> {
    let rows = tx
        .fetch(
            "SELECT o.lane, o.side FROM outbox o \
             JOIN lanes l ON l.id = o.lane AND l.side = o.side AND l.head_seq = o.seq WHERE o.media_id = $1",
            &[id.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("lane")?, Side::parse(&row.text("side")?))))
        .collect()
}

/// Keeps what Meta knows of a file that was uploaded.
pub async fn keep_upload(store: &Store, id: Uuid, remote_id: &str) -> Result<(), Error> {
    store
        .execute(
            "UPDATE media SET remote_id = $2 WHERE id = $1",
            &[id.into(), remote_id.into()],
        )
        .await?;
    Ok(())
}

/// Files with ids below `before` that nothing in the outbox needs, oldest first; the rows are still there.
pub async fn expired(store: &Store, before: Uuid, limit: usize) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT m.id FROM media m WHERE m.id < $1 \
             AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.media_id = m.id) ORDER BY m.id LIMIT $2",
            &[before.into(), Cell::Number(limit as i64)],
        )
        .await?;
    rows.iter().map(|row| row.id("id")).collect()
}

/// Forgets files; gives how many there were.
pub async fn delete(store: &Store, ids: &[Uuid]) -> Result<u64, Error> {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    let mut tx = store.begin().await?;
    let deleted = tx
        .execute_in("DELETE FROM media WHERE id IN", &keys)
        .await?;
    tx.commit().await?;
    Ok(deleted)
}
