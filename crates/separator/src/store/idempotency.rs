//! Answers kept for requests that carry an `Idempotency-Key`, so that a repeated request has one effect.
//!
//! A row is claimed before the work begins and holds status 0 until the answer is known. The primary key decides
//! between two requests that come at once. The housekeeping forgets old rows.

use super::{Error, Store};
use crate::time::Millis;

/// Status of a row whose answer is not known yet.
const IN_PROGRESS: i64 = 0;

/// What a key that a request brought is worth.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// Not seen before; the work may begin and must end in [`settle`] or [`release`].
    Fresh,
    /// The same request was answered already.
    Answered {
        /// HTTP status of that answer.
        status: u16,
        /// Its body.
        body: String,
    },
    /// The same request is being worked on, or was cut off by the end of the program.
    InProgress {
        /// When it began.
        since: Millis,
    },
    /// The key belongs to a different request.
    OtherRequest,
}

/// Takes a key for a request, or tells what became of the request that had it first.
pub async fn claim(
    store: &Store,
    key: &str,
    request_hash: &str,
    now: Millis,
) -> Result<Claim, Error> {
    let inserted = store
        .execute(
            "INSERT INTO idempotency_keys (key, request_hash, status, body, at) VALUES ($1, $2, $3, '', $4) \
             ON CONFLICT (key) DO NOTHING",
            &[key.into(), request_hash.into(), IN_PROGRESS.into(), now.0.into()],
        )
        .await?;
    if inserted > 0 {
        return Ok(Claim::Fresh);
    }
    let row = store
        .fetch_optional(
            "SELECT request_hash, status, body, at FROM idempotency_keys WHERE key = $1",
            &[key.into()],
        )
        .await?;
    let Some(row) = row else {
        // Released in between: the other request failed, the caller may come again.
        return Ok(Claim::InProgress { since: now });
    };
    if row.text("request_hash")? != request_hash {
        return Ok(Claim::OtherRequest);
    }
    let status = row.number("status")?;
    if status == IN_PROGRESS {
        return Ok(Claim::InProgress {
            since: Millis(row.number("at")?),
        });
    }
    Ok(Claim::Answered {
        status: u16::try_from(status).unwrap_or(200),
        body: row.text("body")?,
    })
}

/// Keeps the answer to a claimed key.
pub async fn settle(store: &Store, key: &str, status: u16, body: &str) -> Result<(), Error> {
    store
        .execute(
            "UPDATE idempotency_keys SET status = $2, body = $3 WHERE key = $1",
            &[key.into(), i64::from(status).into(), body.into()],
        )
        .await?;
    Ok(())
}

/// Gives a claimed key back, because the request had no effect.
pub async fn release(store: &Store, key: &str) -> Result<(), Error> {
    store
        .execute("DELETE FROM idempotency_keys WHERE key = $1", &[key.into()])
        .await?;
    Ok(())
}
