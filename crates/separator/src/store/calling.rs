//! What is kept about calls; see [`settings`](crate::calling::settings).
//!
//! What the worker writes names the version that it read: a choice made in between wins, and nothing that was begun for
//! the older one is kept.

use std::{collections::HashMap, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction, setup::place};
use crate::{
    calling::{
        preflight::Report,
        settings::{Calling, State, Task},
    },
    seal::Sealer,
    secret::Secret,
    time::Millis,
};

const TABLE: &str = "calling";

fn read<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<T, Error> {
    parse(column, &row.text(column)?)
}

fn maybe<T: DeserializeOwned>(row: &Row, column: &'static str) -> Result<Option<T>, Error> {
    row.maybe_text(column)?
        .map(|text| parse(column, &text))
        .transpose()
}

fn parse<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Inconsistent {
        table: TABLE,
        column,
        why: error.to_string(),
    })
}

/// Our own types always become JSON: their keys are text.
fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

fn calling(row: &Row) -> Result<Calling, Error> {
    Ok(Calling {
        version: row.number("version")?,
        wish: read(row, "wish")?,
        state: State::parse(&row.text("state")?),
        task: Task::parse(&row.text("task")?),
        attempts: row.number("attempts")?,
        due_at: row.maybe_number("due_at")?.map(Millis),
        applied: maybe(row, "applied")?,
        applied_at: row.maybe_number("applied_at")?.map(Millis),
        has_password: row.flag("has_password")?,
        warnings: read(row, "warnings")?,
        error: maybe(row, "error")?,
        outside: maybe(row, "outside")?,
        report: maybe(row, "report")?,
    })
}

const COLUMNS: &str = "phone_id, version, wish, state, task, attempts, due_at, applied, applied_at, \
                       password IS NOT NULL AS has_password, warnings, error, outside, report";

/// Of all numbers for which something was chosen.
pub async fn all(store: &Store) -> Result<HashMap<Uuid, Arc<Calling>>, Error> {
    let rows = store
        .fetch(&format!("SELECT {COLUMNS} FROM calling"), &[])
        .await?;
    rows.iter()
        .map(|row| Ok((row.id("phone_id")?, Arc::new(calling(row)?))))
        .collect()
}

/// Of one number.
pub async fn one(store: &Store, phone: Uuid) -> Result<Option<Calling>, Error> {
    let rows = store
        .fetch(
            &format!("SELECT {COLUMNS} FROM calling WHERE phone_id = $1"),
            &[phone.into()],
        )
        .await?;
    rows.first().map(calling).transpose()
}

/// Numbers for which something is to be done at Meta.
pub async fn due(store: &Store, now: Millis) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id FROM calling WHERE due_at <= $1 ORDER BY due_at LIMIT 50",
            &[now.0.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("phone_id")).collect()
}

/// Numbers whose telephone server is to be looked at.
pub async fn to_check(store: &Store, now: Millis) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id FROM calling WHERE check_at <= $1 ORDER BY check_at LIMIT 20",
            &[now.0.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("phone_id")).collect()
}

/// The next moment at which something is due.
pub async fn next(store: &Store) -> Result<Option<Millis>, Error> {
    let rows = store
        .fetch(
            "SELECT MIN(due_at) AS due, MIN(check_at) AS check_due FROM calling",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let moments = [row.maybe_number("due")?, row.maybe_number("check_due")?];
    Ok(moments.into_iter().flatten().min().map(Millis))
}

/// Writes a choice; false where another one was made since `calling` was derived from what was stored.
pub async fn choose(store: &Store, phone: Uuid, calling: &Calling) -> Result<bool, Error> {
    let check_at: Option<i64> = calling
        .wish
        .sip
        .then_some(calling.due_at)
        .flatten()
        .map(|at| at.0);
    if calling.version == 1 {
        let inserted = store
            .execute(
                "INSERT INTO calling (phone_id, version, wish, state, task, attempts, due_at, warnings, check_at) \
                 VALUES ($1, 1, $2, $3, $4, 0, $5, '[]', $6) ON CONFLICT (phone_id) DO NOTHING",
                &[
                    phone.into(),
                    text(&calling.wish).into(),
                    calling.state.as_str().into(),
                    calling.task.as_str().into(),
                    calling.due_at.map(|at| at.0).into(),
                    check_at.into(),
                ],
            )
            .await?;
        return Ok(inserted > 0);
    }
    let changed = store
        .execute(
            "UPDATE calling SET version = $2, wish = $3, state = $4, task = $5, attempts = 0, due_at = $6, error = $7, \
             outside = $8, check_at = COALESCE($9, check_at) WHERE phone_id = $1 AND version = $10",
            &[
                phone.into(),
                calling.version.into(),
                text(&calling.wish).into(),
                calling.state.as_str().into(),
                calling.task.as_str().into(),
                calling.due_at.map(|at| at.0).into(),
                calling.error.as_ref().map(text).into(),
                calling.outside.as_ref().map(text).into(),
                check_at.into(),
                (calling.version - 1).into(),
            ],
        )
        .await?;
    Ok(changed > 0)
}

/// Has Meta asked what it has now, unless something is to be done there anyway.
pub fn look(tx: &mut Transaction, phone: Uuid, now: Millis) {
    tx.write(
        "UPDATE calling SET task = $2, attempts = 0, due_at = $3 \
         WHERE phone_id = $1 AND due_at IS NULL AND state IN ('in_sync', 'refused', 'changed')",
        &[phone.into(), Task::Read.as_str().into(), now.0.into()],
    );
}

/// Writes what came of a try for this version; false where there is a newer choice, which wins.
pub async fn settle(store: &Store, phone: Uuid, calling: &Calling) -> Result<bool, Error> {
    let changed = store
        .execute(
            "UPDATE calling SET state = $3, task = $4, attempts = $5, due_at = $6, applied = $7, applied_at = $8, \
             warnings = $9, error = $10, outside = $11 WHERE phone_id = $1 AND version = $2",
            &[
                phone.into(),
                calling.version.into(),
                calling.state.as_str().into(),
                calling.task.as_str().into(),
                calling.attempts.into(),
                calling.due_at.map(|at| at.0).into(),
                calling.applied.as_ref().map(text).into(),
                calling.applied_at.map(|at| at.0).into(),
                text(&calling.warnings).into(),
                calling.error.as_ref().map(text).into(),
                calling.outside.as_ref().map(text).into(),
            ],
        )
        .await?;
    Ok(changed > 0)
}

/// Keeps the password that Meta made, sealed; `None` forgets it.
pub async fn keep_password(
    store: &Store,
    sealer: &Sealer,
    phone: Uuid,
    password: Option<&str>,
) -> Result<(), Error> {
    let sealed = password.map(|password| sealer.seal(&place(TABLE, "password", phone), password));
    store
        .execute(
            "UPDATE calling SET password = $2 WHERE phone_id = $1",
            &[phone.into(), Cell::MaybeBytes(sealed)],
        )
        .await?;
    Ok(())
}

/// The password that Meta made, where it is known.
pub async fn password(
    store: &Store,
    sealer: &Sealer,
    phone: Uuid,
) -> Result<Option<Secret>, Error> {
    let rows = store
        .fetch(
            "SELECT password FROM calling WHERE phone_id = $1 AND password IS NOT NULL",
            &[phone.into()],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let opened = sealer.open(&place(TABLE, "password", phone), &row.bytes("password")?);
    opened.map(Some).map_err(|error| Error::Inconsistent {
        table: TABLE,
        column: "password",
        why: error.to_string(),
    })
}

/// Keeps a preflight, and says when the next one is due.
pub async fn keep_report(
    store: &Store,
    phone: Uuid,
    report: Option<&Report>,
    next: Option<Millis>,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE calling SET report = COALESCE($2, report), check_at = $3 WHERE phone_id = $1",
            &[
                phone.into(),
                report.map(text).into(),
                next.map(|at| at.0).into(),
            ],
        )
        .await?;
    Ok(())
}
