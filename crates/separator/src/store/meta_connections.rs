//! Connections to Meta under way: one row each, with its steps.

use uuid::Uuid;

use super::{
    Cell, Error, Row, Store,
    accounts::Seal,
    browse::{Conditions, Window},
    setup::place,
};
use crate::{
    account::connect::{Connection, Plan, State, Step},
    seal::Sealer,
    time::Millis,
};

const TABLE: &str = "meta_connections";

/// Stores a new connection.
pub async fn insert(store: &Store, sealer: &Sealer, connection: &Connection) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: TABLE,
        id: connection.id,
    };
    store
        .execute(
            "INSERT INTO meta_connections (id, app_id, state, access_token, plan, steps, attempts, due_at, created_at, \
             updated_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $7, $7)",
            &[
                connection.id.into(),
                connection.app.into(),
                connection.state.as_str().into(),
                seal.optional("access_token", connection.access_token.as_ref()),
                json(&connection.plan).into(),
                json(&connection.steps).into(),
                connection.created_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Writes how far a connection has come; false where it is gone, with its app.
pub async fn save(store: &Store, connection: &Connection, now: Millis) -> Result<bool, Error> {
    let touched = store
        .execute(
            "UPDATE meta_connections SET state = $2, plan = $3, steps = $4, attempts = $5, due_at = $6, \
             updated_at = $7 WHERE id = $1",
            &[
                connection.id.into(),
                connection.state.as_str().into(),
                json(&connection.plan).into(),
                json(&connection.steps).into(),
                connection.attempts.into(),
                connection.due_at.0.into(),
                now.0.into(),
            ],
        )
        .await?;
    Ok(touched > 0)
}

/// Lets a connection that stopped go on; false where it is running or done.
pub async fn resume(store: &Store, id: Uuid, now: Millis) -> Result<bool, Error> {
    let touched = store
        .execute(
            "UPDATE meta_connections SET state = 'running', attempts = 0, due_at = $2, updated_at = $2 \
             WHERE id = $1 AND state IN ('failed', 'waiting')",
            &[id.into(), now.0.into()],
        )
        .await?;
    Ok(touched > 0)
}

/// The connections to be gone on with now.
pub async fn due(store: &Store, now: Millis) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT id FROM meta_connections WHERE state = 'running' AND due_at <= $1 ORDER BY due_at LIMIT 50",
            &[now.0.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("id")).collect()
}

const COLUMNS: &str = "id, app_id, state, access_token, plan, steps, attempts, due_at, created_at";

/// The connections of some apps, newest first; in one state where it is named.
pub async fn list(
    store: &Store,
    sealer: &Sealer,
    apps: Vec<Uuid>,
    state: Option<&String>,
    window: Window,
) -> Result<Vec<Connection>, Error> {
    let mut conditions = Conditions::default();
    conditions.among("app_id", apps.into_iter().map(Cell::from));
    conditions.equal("state", state);
    let select = format!("SELECT {COLUMNS} FROM meta_connections");
    let (sql, cells) = conditions.page(&select, "id", window);
    let rows = store.fetch(&sql, &cells).await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// A connection.
pub async fn one(store: &Store, sealer: &Sealer, id: Uuid) -> Result<Option<Connection>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM meta_connections WHERE id = $1");
    let row = store.fetch_optional(&sql, &[id.into()]).await?;
    row.as_ref().map(|row| read(row, sealer)).transpose()
}

fn read(row: &Row, sealer: &Sealer) -> Result<Connection, Error> {
    let id = row.id("id")?;
    let wrong = |column: &'static str, why: String| Error::Inconsistent {
        table: TABLE,
        column,
        why,
    };
    let plan: Plan = serde_json::from_str(&row.text("plan")?)
        .map_err(|error| wrong("plan", error.to_string()))?;
    let steps: Vec<Step> = serde_json::from_str(&row.text("steps")?)
        .map_err(|error| wrong("steps", error.to_string()))?;
    let access_token = row
        .maybe_bytes("access_token")?
        .map(|bytes| {
            sealer
                .open(&place(TABLE, "access_token", id), &bytes)
                .map_err(|error| wrong("access_token", error.to_string()))
        })
        .transpose()?;
    Ok(Connection {
        id,
        app: row.id("app_id")?,
        state: State::parse(&row.text("state")?),
        access_token,
        plan,
        steps,
        attempts: row.number("attempts")?,
        due_at: Millis(row.number("due_at")?),
        created_at: Millis(row.number("created_at")?),
    })
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of text always serialise")
}
