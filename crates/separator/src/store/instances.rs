//! What the program itself learns about the set-up: installations and their tokens, how far numbers are connected or
//! stopped, and alarms.
//!
//! Reading the set-up itself is in [`setup`](super::setup). Writes here name the row they mean and, where somebody else
//! may have changed it meanwhile, what they expect to find.

use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction, accounts::Seal, setup::place};
use crate::{
    doctor::Text,
    registry::{Connection, InstanceState, PhoneError},
    seal::Sealer,
    secret::Secret,
    time::Millis,
};

const TABLE: &str = "instances";

/// A pair of tokens with its times.
#[derive(Debug, Clone)]
pub struct TokenPair {
    /// For calls.
    pub access_token: Secret,
    /// For the next refresh.
    pub refresh_token: Secret,
    /// When the access token ends, as far as the answer said so.
    pub expires_at: Millis,
    /// When the authorization server issued the pair.
    pub refreshed_at: Millis,
}

/// An installation as its portal and the authorization server describe it.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The application.
    pub app_id: Uuid,
    /// The portal's unchanging id.
    pub member_id: String,
    /// Host name, with the port where it is not the usual one.
    pub domain: String,
    /// Base address of the portal's REST methods.
    pub client_endpoint: String,
    /// Base address of the authorization server's REST methods, as the portal named it.
    pub server_endpoint: String,
    /// Proof of origin of the installation's events; `None` keeps the one that is known.
    pub application_token: Option<Secret>,
    /// The pair.
    pub tokens: TokenPair,
    /// Granted scopes, with commas.
    pub scope: String,
    /// Language code of the portal; `None` keeps what is known.
    pub language: Option<String>,
    /// Whether the portal says that the installation is finished; `None` where it was not asked.
    pub installed: Option<bool>,
    /// Id and name of the employee whose tokens they are, where known.
    pub installer: Option<(i64, String)>,
    /// What is wrong with it although it works, in one sentence.
    pub problem: Option<String>,
}

/// Stores a new installation, or renews the one of the same application and portal; gives its id. Numbers linked to it
/// are to be published again.
pub async fn install(
    store: &Store,
    sealer: &Sealer,
    new_id: Uuid,
    now: Millis,
    installation: &Installation,
) -> Result<Uuid, Error> {
    let mut tx = store.begin().await?;
    let known = tx
        .fetch(
            "SELECT id FROM instances WHERE app_id = $1 AND member_id = $2",
            &[
                installation.app_id.into(),
                installation.member_id.as_str().into(),
            ],
        )
        .await?;
    let id = known.first().map_or(Ok(new_id), |row| row.id("id"))?;
    insert_or_renew(&mut tx, sealer, id, now, installation).await?;
    tx.execute(
        "UPDATE phones SET connection = $1 WHERE instance_id = $2",
        &[Connection::Pending.as_str().into(), id.into()],
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

async fn insert_or_renew(
    tx: &mut Transaction,
    sealer: &Sealer,
    id: Uuid,
    now: Millis,
    installation: &Installation,
) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: TABLE,
        id,
    };
    let installer = installation.installer.as_ref();
    tx.execute(
        "INSERT INTO instances (id, app_id, member_id, domain, client_endpoint, server_endpoint, application_token, \
         access_token, refresh_token, expires_at, refreshed_at, scope, language, state, problem, installed, \
         installer_id, installer_name, prepared, calls_per_second, burst, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, COALESCE($13, 'en'), $14, $15, \
         $17, $18, $19, false, 2.0, 40, $16) \
         ON CONFLICT (app_id, member_id) DO UPDATE SET domain = excluded.domain, \
         client_endpoint = excluded.client_endpoint, server_endpoint = excluded.server_endpoint, \
         application_token = CASE WHEN $20 THEN excluded.application_token ELSE instances.application_token END, \
         access_token = excluded.access_token, \
         refresh_token = excluded.refresh_token, expires_at = excluded.expires_at, \
         refreshed_at = excluded.refreshed_at, scope = excluded.scope, \
         language = COALESCE($13, instances.language), state = excluded.state, problem = excluded.problem, \
         installed = CASE WHEN $21 THEN excluded.installed ELSE instances.installed END, prepared = false, \
         installer_id = COALESCE(excluded.installer_id, instances.installer_id), \
         installer_name = COALESCE(excluded.installer_name, instances.installer_name)",
        &[
            id.into(),
            installation.app_id.into(),
            installation.member_id.as_str().into(),
            installation.domain.as_str().into(),
            installation.client_endpoint.as_str().into(),
            installation.server_endpoint.as_str().into(),
            seal.required(
                "application_token",
                installation
                    .application_token
                    .as_ref()
                    .unwrap_or(&Secret::new("")),
            ),
            seal.required("access_token", &installation.tokens.access_token),
            seal.required("refresh_token", &installation.tokens.refresh_token),
            installation.tokens.expires_at.0.into(),
            installation.tokens.refreshed_at.0.into(),
            installation.scope.as_str().into(),
            installation.language.clone().into(),
            InstanceState::Active.as_str().into(),
            installation.problem.clone().into(),
            now.0.into(),
            installation.installed.unwrap_or(true).into(),
            installer.map(|(id, _)| *id).into(),
            installer.map(|(_, name)| name.clone()).into(),
            installation.application_token.is_some().into(),
            installation.installed.is_some().into(),
        ],
    )
    .await?;
    Ok(())
}

/// The tokens of an installation; `None` where there is no such installation.
pub async fn tokens(store: &Store, sealer: &Sealer, id: Uuid) -> Result<Option<TokenPair>, Error> {
    let row = store
        .fetch_optional(
            "SELECT access_token, refresh_token, expires_at, refreshed_at FROM instances WHERE id = $1",
            &[id.into()],
        )
        .await?;
    row.map(|row| {
        Ok(TokenPair {
            access_token: unseal(sealer, "access_token", id, &row)?,
            refresh_token: unseal(sealer, "refresh_token", id, &row)?,
            expires_at: Millis(row.number("expires_at")?),
            refreshed_at: Millis(row.number("refreshed_at")?),
        })
    })
    .transpose()
}

fn unseal(sealer: &Sealer, column: &'static str, id: Uuid, row: &Row) -> Result<Secret, Error> {
    sealer
        .open(&place(TABLE, column, id), &row.bytes(column)?)
        .map_err(|error| Error::Inconsistent {
            table: TABLE,
            column,
            why: error.to_string(),
        })
}

/// Replaces the tokens of an installation, which works from then on. When this returns, they are on disk.
pub async fn save_tokens(
    store: &Store,
    sealer: &Sealer,
    id: Uuid,
    pair: &TokenPair,
    scope: &str,
    problem: Option<&str>,
) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: TABLE,
        id,
    };
    store
        .execute(
            "UPDATE instances SET access_token = $2, refresh_token = $3, expires_at = $4, refreshed_at = $5, \
             scope = $6, problem = $7, state = CASE WHEN state = 'uninstalled' THEN state ELSE 'active' END \
             WHERE id = $1",
            &[
                id.into(),
                seal.required("access_token", &pair.access_token),
                seal.required("refresh_token", &pair.refresh_token),
                pair.expires_at.0.into(),
                pair.refreshed_at.0.into(),
                scope.into(),
                Cell::MaybeText(problem.map(str::to_owned)),
            ],
        )
        .await?;
    Ok(())
}

/// Sets whether an installation can be used and what is wrong with it. One that was removed from its portal stays so.
pub async fn set_state(
    store: &Store,
    id: Uuid,
    state: InstanceState,
    problem: Option<&str>,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE instances SET state = $2, problem = $3 WHERE id = $1 AND state <> 'uninstalled'",
            &[id.into(), state.as_str().into(), Cell::MaybeText(problem.map(str::to_owned))],
        )
        .await?;
    Ok(())
}

/// Sets the address of a portal that was renamed.
pub async fn set_address(
    store: &Store,
    id: Uuid,
    domain: &str,
    client_endpoint: &str,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE instances SET domain = $2, client_endpoint = $3 WHERE id = $1",
            &[id.into(), domain.into(), client_endpoint.into()],
        )
        .await?;
    Ok(())
}

/// The usable installations whose tokens were issued before a moment.
pub async fn refreshed_before(store: &Store, moment: Millis) -> Result<Vec<Uuid>, Error> {
    let rows = store
        .fetch(
            "SELECT id FROM instances WHERE state = 'active' AND refreshed_at < $1 ORDER BY refreshed_at",
            &[moment.0.into()],
        )
        .await?;
    rows.iter().map(|row| row.id("id")).collect()
}

/// Notes what a portal says about its installation: whether it is finished, and whose tokens are used.
pub async fn set_installed(
    store: &Store,
    id: Uuid,
    installed: Option<bool>,
    installer: Option<(i64, &str)>,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE instances SET installed = CASE WHEN $5 THEN $2 ELSE installed END, \
             installer_id = COALESCE($3, installer_id), installer_name = COALESCE($4, installer_name) WHERE id = $1",
            &[
                id.into(),
                installed.unwrap_or(true).into(),
                installer.map(|(id, _)| id).into(),
                Cell::MaybeText(installer.map(|(_, name)| name.to_owned())),
                installed.is_some().into(),
            ],
        )
        .await?;
    Ok(())
}

/// Notes that connector, events and placements of an installation are bound, or that they are to be bound again.
pub async fn set_prepared(store: &Store, id: Uuid, prepared: bool) -> Result<(), Error> {
    store
        .execute(
            "UPDATE instances SET prepared = $2 WHERE id = $1",
            &[id.into(), prepared.into()],
        )
        .await?;
    Ok(())
}

/// Keeps the application token of an installation that had none; gives whether it had none.
pub async fn learn_application_token(
    store: &Store,
    sealer: &Sealer,
    id: Uuid,
    token: &Secret,
) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    let rows = tx
        .fetch(
            "SELECT application_token FROM instances WHERE id = $1",
            &[id.into()],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(false);
    };
    if !unseal(sealer, "application_token", id, row)?
        .expose()
        .is_empty()
    {
        return Ok(false);
    }
    let seal = Seal {
        sealer,
        table: TABLE,
        id,
    };
    tx.execute(
        "UPDATE instances SET application_token = $2 WHERE id = $1",
        &[id.into(), seal.required("application_token", token)],
    )
    .await?;
    tx.commit().await?;
    Ok(true)
}

/// Where a number is to be linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    /// The installation.
    pub instance: Option<Uuid>,
    /// An open line that somebody chose; without one the number gets its own.
    pub chosen_line: Option<i64>,
    /// The installation whose administrators may link it again.
    pub offered: Option<Uuid>,
}

/// Links a number to an installation or to none. What it had on another line is forgotten.
pub async fn link(store: &Store, phone: Uuid, link: Link) -> Result<bool, Error> {
    let instance = link.instance;
    let connection = if instance.is_some() {
        Connection::Pending
    } else {
        Connection::NotLinked
    };
    let touched = store
        .execute(
            "UPDATE phones SET instance_id = $2, connection = $3, connector = NULL, line_id = NULL, line_name = NULL, \
             chosen_line_id = $4, offered_id = $5, \
             error = CASE WHEN paused IS NULL THEN NULL ELSE error END WHERE id = $1",
            &[
                phone.into(),
                instance.into(),
                connection.as_str().into(),
                link.chosen_line.into(),
                link.offered.into(),
            ],
        )
        .await?;
    Ok(touched > 0)
}

/// Marks a number to be published again.
pub async fn set_pending(store: &Store, phone: Uuid) -> Result<(), Error> {
    store
        .execute(
            "UPDATE phones SET connection = 'pending' WHERE id = $1 AND instance_id IS NOT NULL",
            &[phone.into()],
        )
        .await?;
    Ok(())
}

/// Where a number is on its portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The connector.
    pub connector: String,
    /// The open line.
    pub line_id: i64,
    /// The line's name.
    pub line_name: String,
}

/// Remembers connector and line of a number before it is known whether they work. Does nothing where the number was
/// linked elsewhere meanwhile.
pub async fn set_place(
    store: &Store,
    phone: Uuid,
    instance: Uuid,
    place: &Place,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE phones SET connector = $3, line_id = $4, line_name = $5 WHERE id = $1 AND instance_id = $2",
            &[
                phone.into(),
                instance.into(),
                place.connector.as_str().into(),
                place.line_id.into(),
                place.line_name.as_str().into(),
            ],
        )
        .await?;
    Ok(())
}

/// Sets how far a number is connected. An error of Meta's side, which pauses a number, stays where there is no other.
/// Does nothing where the number was linked elsewhere meanwhile.
pub async fn set_connection(
    store: &Store,
    phone: Uuid,
    instance: Uuid,
    connection: Connection,
    error: Option<&PhoneError>,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE phones SET connection = $3, \
             error = CASE WHEN $5 OR paused IS NULL THEN $4 ELSE error END WHERE id = $1 AND instance_id = $2",
            &[
                phone.into(),
                instance.into(),
                connection.as_str().into(),
                Cell::MaybeText(error.and_then(|error| serde_json::to_string(error).ok())),
                error.is_some().into(),
            ],
        )
        .await?;
    Ok(())
}

/// Notes that our app hears of a WhatsApp Business account, and the account's name where it has none yet.
pub async fn subscribed(store: &Store, account: Uuid, name: Option<&str>) -> Result<(), Error> {
    store
        .execute(
            "UPDATE waba_accounts SET subscribed = true, \
             name = CASE WHEN name = '' THEN COALESCE($2, name) ELSE name END WHERE id = $1",
            &[account.into(), Cell::MaybeText(name.map(str::to_owned))],
        )
        .await?;
    Ok(())
}

/// Stops sending to Meta for a number; false where it was stopped already.
pub async fn pause(
    store: &Store,
    phone: Uuid,
    reason: &str,
    error: &PhoneError,
) -> Result<bool, Error> {
    let touched = store
        .execute(
            "UPDATE phones SET paused = $2, error = $3 WHERE id = $1 AND paused IS NULL",
            &[
                phone.into(),
                reason.into(),
                Cell::MaybeText(serde_json::to_string(error).ok()),
            ],
        )
        .await?;
    Ok(touched > 0)
}

/// Lets the numbers of an account, or of all accounts of a Meta app, send again; gives those that were stopped.
pub async fn resume(store: &Store, account_or_app: Uuid) -> Result<Vec<Uuid>, Error> {
    let mut tx = store.begin().await?;
    let rows = tx
        .fetch(
            "SELECT id FROM phones WHERE paused IS NOT NULL \
             AND account_id IN (SELECT id FROM waba_accounts WHERE id = $1 OR app_id = $1)",
            &[account_or_app.into()],
        )
        .await?;
    let phones = rows
        .iter()
        .map(|row| row.id("id"))
        .collect::<Result<Vec<Uuid>, _>>()?;
    let keys: Vec<Cell> = phones.iter().map(|phone| Cell::Id(*phone)).collect();
    // What is wrong with the portal's side is still wrong.
    tx.execute_in(
        "UPDATE phones SET paused = NULL, \
         error = CASE WHEN connection IN ('connected', 'not_linked') THEN NULL ELSE error END WHERE id IN",
        &keys,
    )
    .await?;
    tx.commit().await?;
    Ok(phones)
}

const RAISE: &str = "INSERT INTO alarms (id, kind, subject, text, raised_at, text_ru) SELECT $1, $2, $3, $4, $5, $6 \
                     WHERE NOT EXISTS (SELECT 1 FROM alarms WHERE kind = $2 AND subject = $3 AND cleared_at IS NULL)";
const CLEAR: &str =
    "UPDATE alarms SET cleared_at = $1 WHERE kind = $2 AND subject = $3 AND cleared_at IS NULL";

fn raising(
    id: Uuid,
    now: Millis,
    kind: &str,
    subject: &str,
    text: &str,
    russian: Option<&str>,
) -> [Cell; 6] {
    [
        id.into(),
        kind.into(),
        subject.into(),
        text.into(),
        now.0.into(),
        Cell::MaybeText(russian.map(str::to_owned)),
    ]
}

/// Raises an alarm unless the same one is open; gives whether it is new. `kind` and `subject` (an id or name) say
/// which one it is.
pub async fn raise_alarm(
    store: &Store,
    id: Uuid,
    now: Millis,
    kind: &str,
    subject: &str,
    text: &str,
) -> Result<bool, Error> {
    let cells = raising(id, now, kind, subject, text, None);
    Ok(store.execute(RAISE, &cells).await? > 0)
}

/// The same for an alarm that is told in the language of whoever looks.
pub async fn raise_alarm_in_words(
    store: &Store,
    id: Uuid,
    now: Millis,
    kind: &str,
    subject: &str,
    text: &Text,
) -> Result<bool, Error> {
    let russian = Some(text.russian.as_str());
    let cells = raising(id, now, kind, subject, &text.english, russian);
    Ok(store.execute(RAISE, &cells).await? > 0)
}

/// Raises an alarm, or tells what is open in other words now; gives whether it is new.
pub async fn tell_alarm(
    store: &Store,
    id: Uuid,
    now: Millis,
    kind: &str,
    subject: &str,
    text: &str,
) -> Result<bool, Error> {
    store
        .execute(
            "UPDATE alarms SET text = $1 WHERE kind = $2 AND subject = $3 AND cleared_at IS NULL AND text <> $1",
            &[text.into(), kind.into(), subject.into()],
        )
        .await?;
    raise_alarm(store, id, now, kind, subject, text).await
}

/// The same together with something else.
pub async fn raise_alarm_within(
    tx: &mut Transaction,
    id: Uuid,
    now: Millis,
    kind: &str,
    subject: &str,
    text: &str,
) -> Result<bool, Error> {
    let cells = raising(id, now, kind, subject, text, None);
    Ok(tx.execute(RAISE, &cells).await? > 0)
}

/// Clears an alarm; gives whether it was open.
pub async fn clear_alarm(
    store: &Store,
    now: Millis,
    kind: &str,
    subject: &str,
) -> Result<bool, Error> {
    let cells = [now.0.into(), kind.into(), subject.into()];
    Ok(store.execute(CLEAR, &cells).await? > 0)
}

/// The same together with something else.
pub async fn clear_alarm_within(
    tx: &mut Transaction,
    now: Millis,
    kind: &str,
    subject: &str,
) -> Result<bool, Error> {
    let cells = [now.0.into(), kind.into(), subject.into()];
    Ok(tx.execute(CLEAR, &cells).await? > 0)
}
