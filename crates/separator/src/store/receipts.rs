//! What the doors acknowledged and what intake has not translated yet.

use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction};
use crate::time::Millis;

/// Which side a callback came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Meta; the owner is a Meta app of ours.
    Meta,
    /// Bitrix24; the owner is an installation.
    Bitrix,
    /// Bitrix24, to have an SMS sent; the owner is an installation.
    Sms,
    /// Bitrix24, to have a robot or an action of a workflow done; the owner is an installation.
    Robot,
}

impl Source {
    /// As stored and as the API says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Bitrix => "bitrix",
            Self::Sms => "sms",
            Self::Robot => "robot",
        }
    }

    /// The source that is stored as `text`.
    pub fn parse(text: &str) -> Self {
        match text {
            "bitrix" => Self::Bitrix,
            "sms" => Self::Sms,
            "robot" => Self::Robot,
            _ => Self::Meta,
        }
    }
}

/// A verified callback on its way to the disk.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Our id; later receipts have larger ones.
    pub id: Uuid,
    /// Which side it came from.
    pub source: Source,
    /// The Meta app or the installation whose proof of origin it carried.
    pub owner: Uuid,
    /// When it came in.
    pub received_at: Millis,
    /// Its exact bytes; tokens of Bitrix24 are blanked.
    pub body: Vec<u8>,
}

impl Receipt {
    fn cells(self) -> Vec<Cell> {
        vec![
            self.id.into(),
            self.source.as_str().into(),
            self.owner.into(),
            self.received_at.0.into(),
            (self.body.len() as i64).into(),
            self.body.into(),
        ]
    }

    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.id("id")?,
            source: Source::parse(&row.text("source")?),
            owner: row.id("owner_id")?,
            received_at: Millis(row.number("received_at")?),
            body: row.bytes("body")?,
        })
    }
}

/// Puts many receipts on disk in one transaction.
pub async fn commit(store: &Store, receipts: Vec<Receipt>) -> Result<(), Error> {
    let rows: Vec<Vec<Cell>> = receipts.into_iter().map(Receipt::cells).collect();
    let mut tx = store.begin().await?;
    tx.write_rows(
        "INSERT INTO receipts (id, source, owner_id, received_at, size, body) VALUES",
        rows,
        "",
    );
    tx.commit().await
}

/// The oldest receipts, in order: at most `limit` of them and, beyond the first, at most `bytes` in all.
pub async fn oldest(store: &Store, limit: i64, bytes: i64) -> Result<Vec<Receipt>, Error> {
    let sizes = store
        .fetch(
            "SELECT id, size FROM receipts ORDER BY id LIMIT $1",
            &[limit.into()],
        )
        .await?;
    let mut keys = Vec::with_capacity(sizes.len());
    let mut total = 0;
    for row in &sizes {
        total += row.number("size")?;
        if total > bytes && !keys.is_empty() {
            break;
        }
        keys.push(Cell::Id(row.id("id")?));
    }
    let rows = store
        .fetch_in(
            "SELECT id, source, owner_id, received_at, body FROM receipts WHERE id IN",
            &keys,
        )
        .await?;
    let mut receipts = rows
        .iter()
        .map(Receipt::read)
        .collect::<Result<Vec<_>, _>>()?;
    receipts.sort_unstable_by_key(|receipt| receipt.id);
    Ok(receipts)
}

/// Takes translated receipts away; in the transaction of their effect.
pub fn delete(tx: &mut Transaction, ids: &[Uuid]) {
    let keys: Vec<Cell> = ids.iter().map(|id| Cell::Id(*id)).collect();
    tx.write_in("DELETE FROM receipts WHERE id IN", &keys);
}

/// The largest id the store holds, so that new ids stay above it even if the clock was set back.
pub async fn largest_id(store: &Store) -> Result<Option<Uuid>, Error> {
    let mut largest = None;
    for sql in [
        "SELECT id FROM receipts ORDER BY id DESC LIMIT 1",
        "SELECT id FROM messages ORDER BY id DESC LIMIT 1",
        "SELECT id FROM outbox ORDER BY id DESC LIMIT 1",
        "SELECT id FROM events ORDER BY id DESC LIMIT 1",
    ] {
        if let Some(row) = store.fetch_optional(sql, &[]).await? {
            largest = largest.max(Some(row.id("id")?));
        }
    }
    Ok(largest)
}
