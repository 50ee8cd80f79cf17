//! What is known about Meta's side beyond what somebody entered: the health of tokens, facts about accounts and numbers,
//! PINs, logins under way.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Cell, Error, Row, Store, Transaction, accounts::Seal, setup::place};
use crate::{
    account::Trouble,
    registry::meta::{AccountFacts, MetaFacts, NumberFacts, TokenHealth, TokenState},
    seal::Sealer,
    secret::Secret,
    time::Millis,
};

fn trouble(row: &Row, column: &'static str) -> Result<Option<Trouble>, Error> {
    let text = row.maybe_text(column)?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

fn trouble_cell(trouble: Option<&Trouble>) -> Cell {
    Cell::MaybeText(trouble.and_then(|trouble| serde_json::to_string(trouble).ok()))
}

fn moment(row: &Row, column: &'static str) -> Result<Option<Millis>, Error> {
    Ok(row.maybe_number(column)?.map(Millis))
}

/// All that is known.
pub async fn facts(store: &Store) -> Result<MetaFacts, Error> {
    Ok(MetaFacts {
        tokens: tokens(store).await?,
        accounts: accounts(store).await?,
        numbers: numbers(store).await?,
    })
}

async fn tokens(store: &Store) -> Result<HashMap<Uuid, TokenHealth>, Error> {
    let rows = store
        .fetch(
            "SELECT holder_id, kind, state, scopes, expires_at, trouble, checked_at, due_at FROM token_health",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let scopes = row.text("scopes")?;
            let health = TokenHealth {
                kind: row.maybe_text("kind")?,
                state: TokenState::parse(&row.text("state")?),
                scopes: scopes.split_whitespace().map(str::to_owned).collect(),
                expires_at: moment(row, "expires_at")?,
                trouble: trouble(row, "trouble")?,
                checked_at: Millis(row.number("checked_at")?),
                due_at: Millis(row.number("due_at")?),
            };
            Ok((row.id("holder_id")?, health))
        })
        .collect()
}

async fn accounts(store: &Store) -> Result<HashMap<Uuid, AccountFacts>, Error> {
    let rows = store
        .fetch(
            "SELECT account_id, review, notice, notice_at, synced_at, trouble, due_at FROM account_facts",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let facts = AccountFacts {
                review: row.maybe_text("review")?,
                notice: row.maybe_text("notice")?,
                notice_at: moment(row, "notice_at")?,
                synced_at: moment(row, "synced_at")?,
                trouble: trouble(row, "trouble")?,
                due_at: Millis(row.number("due_at")?),
            };
            Ok((row.id("account_id")?, facts))
        })
        .collect()
}

async fn numbers(store: &Store) -> Result<HashMap<Uuid, NumberFacts>, Error> {
    let rows = store
        .fetch(
            "SELECT phone_id, verified_name, status, quality, messaging_limit, throughput, name_status, on_phone_app, \
             notice, notice_at, updated_at FROM number_facts",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let facts = NumberFacts {
                verified_name: row.maybe_text("verified_name")?,
                status: row.maybe_text("status")?,
                quality: row.maybe_text("quality")?,
                messaging_limit: row.maybe_text("messaging_limit")?,
                throughput: row.maybe_text("throughput")?,
                name_status: row.maybe_text("name_status")?,
                on_phone_app: row.flag("on_phone_app")?,
                notice: row.maybe_text("notice")?,
                notice_at: moment(row, "notice_at")?,
                updated_at: Millis(row.number("updated_at")?),
            };
            Ok((row.id("phone_id")?, facts))
        })
        .collect()
}

/// Stores what was learned about a token.
pub async fn save_token(store: &Store, holder: Uuid, health: &TokenHealth) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO token_health (holder_id, kind, state, scopes, expires_at, trouble, checked_at, due_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (holder_id) DO UPDATE SET kind = excluded.kind, state = excluded.state, \
             scopes = excluded.scopes, expires_at = excluded.expires_at, trouble = excluded.trouble, \
             checked_at = excluded.checked_at, due_at = excluded.due_at",
            &[
                holder.into(),
                health.kind.clone().into(),
                health.state.as_str().into(),
                health.scopes.join(" ").into(),
                health.expires_at.map(|at| at.0).into(),
                trouble_cell(health.trouble.as_ref()),
                health.checked_at.0.into(),
                health.due_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Forgets what was known about a token: it is another one now, or gone.
pub async fn forget_token(store: &Store, holder: Uuid) -> Result<(), Error> {
    store
        .execute(
            "DELETE FROM token_health WHERE holder_id = $1",
            &[holder.into()],
        )
        .await?;
    Ok(())
}

/// Makes a token due to be looked at.
pub async fn token_due(store: &Store, holder: Uuid, now: Millis) -> Result<(), Error> {
    store
        .execute(
            "UPDATE token_health SET due_at = $2 WHERE holder_id = $1 AND due_at > $2",
            &[holder.into(), now.0.into()],
        )
        .await?;
    Ok(())
}

/// Stores how a look at an account ended: when it is due again and what stood in the way. `synced_at` and `review` stay
/// where nothing new is given.
pub async fn save_account(
    store: &Store,
    account: Uuid,
    synced_at: Option<Millis>,
    review: Option<&str>,
    trouble: Option<&Trouble>,
    due_at: Millis,
) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO account_facts (account_id, review, synced_at, trouble, due_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (account_id) DO UPDATE SET review = COALESCE(excluded.review, account_facts.review), \
             synced_at = COALESCE(excluded.synced_at, account_facts.synced_at), trouble = excluded.trouble, \
             due_at = excluded.due_at",
            &[
                account.into(),
                Cell::MaybeText(review.map(str::to_owned)),
                synced_at.map(|at| at.0).into(),
                trouble_cell(trouble),
                due_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Makes an account due to be looked at, with all else that a callback says done.
pub fn account_due(tx: &mut Transaction, account: Uuid, now: Millis) {
    tx.write(
        "INSERT INTO account_facts (account_id, due_at) VALUES ($1, $2) \
         ON CONFLICT (account_id) DO UPDATE SET due_at = excluded.due_at",
        &[account.into(), now.0.into()],
    );
}

/// Makes the accounts of a token's holder due that could not be looked at the last time.
pub async fn accounts_in_trouble_due(
    store: &Store,
    holder: Uuid,
    now: Millis,
) -> Result<(), Error> {
    store
        .execute(
            "UPDATE account_facts SET due_at = $2 WHERE trouble IS NOT NULL \
             AND account_id IN (SELECT id FROM waba_accounts WHERE id = $1 OR app_id = $1)",
            &[holder.into(), now.0.into()],
        )
        .await?;
    Ok(())
}

/// Stores what a callback said about an account; `None` takes back what was said before. What is older than what is
/// stored changes nothing.
pub fn notice_account(
    tx: &mut Transaction,
    account: Uuid,
    review: Option<&str>,
    notice: Option<Option<&str>>,
    at: Millis,
) {
    tx.write(
        "INSERT INTO account_facts (account_id, review, notice, notice_at, due_at) VALUES ($1, $2, $3, $4, $4) \
         ON CONFLICT (account_id) DO UPDATE SET review = COALESCE(excluded.review, account_facts.review), \
         notice = CASE WHEN $5 THEN excluded.notice ELSE account_facts.notice END, notice_at = excluded.notice_at \
         WHERE account_facts.notice_at IS NULL OR account_facts.notice_at <= excluded.notice_at",
        &[
            account.into(),
            Cell::MaybeText(review.map(str::to_owned)),
            Cell::MaybeText(notice.flatten().map(str::to_owned)),
            at.0.into(),
            notice.is_some().into(),
        ],
    );
}

/// Stores what Meta says about a number.
pub async fn save_number(store: &Store, phone: Uuid, facts: &NumberFacts) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO number_facts (phone_id, verified_name, status, quality, messaging_limit, throughput, \
             name_status, on_phone_app, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (phone_id) DO UPDATE SET verified_name = excluded.verified_name, status = excluded.status, \
             quality = excluded.quality, messaging_limit = excluded.messaging_limit, \
             throughput = excluded.throughput, name_status = excluded.name_status, \
             on_phone_app = excluded.on_phone_app, updated_at = excluded.updated_at",
            &[
                phone.into(),
                facts.verified_name.clone().into(),
                facts.status.clone().into(),
                facts.quality.clone().into(),
                facts.messaging_limit.clone().into(),
                facts.throughput.clone().into(),
                facts.name_status.clone().into(),
                facts.on_phone_app.into(),
                facts.updated_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Stores what a callback said about a number; columns without a value stay.
pub fn notice_number(
    tx: &mut Transaction,
    phone: Uuid,
    messaging_limit: Option<&str>,
    name: Option<&str>,
    name_status: Option<&str>,
    notice: &str,
    at: Millis,
) {
    let text = |text: Option<&str>| Cell::MaybeText(text.map(str::to_owned));
    tx.write(
        "INSERT INTO number_facts (phone_id, messaging_limit, verified_name, name_status, on_phone_app, notice, \
         notice_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) \
         ON CONFLICT (phone_id) DO UPDATE SET \
         messaging_limit = COALESCE(excluded.messaging_limit, number_facts.messaging_limit), \
         verified_name = COALESCE(excluded.verified_name, number_facts.verified_name), \
         name_status = COALESCE(excluded.name_status, number_facts.name_status), \
         notice = excluded.notice, notice_at = excluded.notice_at \
         WHERE number_facts.notice_at IS NULL OR number_facts.notice_at <= excluded.notice_at",
        &[
            phone.into(),
            text(messaging_limit),
            text(name),
            text(name_status),
            false.into(),
            notice.into(),
            at.0.into(),
        ],
    );
}

const PINS: &str = "phone_pins";

/// The PIN with which a number was, or is to be, registered.
pub async fn pin(
    store: &Store,
    sealer: &Sealer,
    phone_number_id: &str,
) -> Result<Option<Secret>, Error> {
    let row = store
        .fetch_optional(
            "SELECT id, pin FROM phone_pins WHERE phone_number_id = $1",
            &[phone_number_id.into()],
        )
        .await?;
    row.map(|row| {
        let id = row.id("id")?;
        sealer
            .open(&place(PINS, "pin", id), &row.bytes("pin")?)
            .map_err(|error| Error::Inconsistent {
                table: PINS,
                column: "pin",
                why: error.to_string(),
            })
    })
    .transpose()
}

/// Keeps a number's PIN in the place of the one before.
pub async fn save_pin(
    store: &Store,
    sealer: &Sealer,
    id: Uuid,
    phone_number_id: &str,
    pin: &Secret,
    now: Millis,
) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: PINS,
        id,
    };
    store
        .execute(
            "INSERT INTO phone_pins (id, phone_number_id, pin, set_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (phone_number_id) DO UPDATE SET id = excluded.id, pin = excluded.pin, \
             set_at = excluded.set_at",
            &[
                id.into(),
                phone_number_id.into(),
                seal.required("pin", pin),
                now.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Forgets a PIN that turned out to be wrong.
pub async fn forget_pin(store: &Store, phone_number_id: &str) -> Result<(), Error> {
    store
        .execute(
            "DELETE FROM phone_pins WHERE phone_number_id = $1",
            &[phone_number_id.into()],
        )
        .await?;
    Ok(())
}

/// A login at Facebook that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Digest of the state.
    pub state_hash: String,
    /// Digest of the browser's cookie.
    pub browser_hash: String,
    /// Our id of the app.
    pub app: Uuid,
    /// Who began it.
    pub user: Uuid,
    /// The session of the browser in which it was begun; none where it was begun with a key.
    pub session: Option<Uuid>,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// When it is over.
    pub expires_at: Millis,
    /// When the browser came back with it.
    pub used_at: Option<Millis>,
}

/// Stores a login; those that are long over go.
pub async fn begin_login(store: &Store, login: &Login, now: Millis) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    tx.execute(
        "DELETE FROM meta_logins WHERE expires_at < $1",
        &[(now - std::time::Duration::from_hours(24)).0.into()],
    )
    .await?;
    tx.execute(
        "INSERT INTO meta_logins (state_hash, browser_hash, app_id, user_id, session_id, redirect_uri, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            login.state_hash.as_str().into(),
            login.browser_hash.as_str().into(),
            login.app.into(),
            login.user.into(),
            login.session.into(),
            login.redirect_uri.as_str().into(),
            login.expires_at.0.into(),
        ],
    )
    .await?;
    tx.commit().await
}

/// The login with this state.
pub async fn login(store: &Store, state_hash: &str) -> Result<Option<Login>, Error> {
    let row = store
        .fetch_optional(
            "SELECT state_hash, browser_hash, app_id, user_id, session_id, redirect_uri, expires_at, used_at \
             FROM meta_logins WHERE state_hash = $1",
            &[state_hash.into()],
        )
        .await?;
    row.map(|row| {
        Ok(Login {
            state_hash: row.text("state_hash")?,
            browser_hash: row.text("browser_hash")?,
            app: row.id("app_id")?,
            user: row.id("user_id")?,
            session: row.maybe_id("session_id")?,
            redirect_uri: row.text("redirect_uri")?,
            expires_at: Millis(row.number("expires_at")?),
            used_at: moment(&row, "used_at")?,
        })
    })
    .transpose()
}

/// Uses a login up; false where somebody was faster.
pub async fn use_login(store: &Store, state_hash: &str, now: Millis) -> Result<bool, Error> {
    let touched = store
        .execute(
            "UPDATE meta_logins SET used_at = $2 WHERE state_hash = $1 AND used_at IS NULL",
            &[state_hash.into(), now.0.into()],
        )
        .await?;
    Ok(touched > 0)
}
