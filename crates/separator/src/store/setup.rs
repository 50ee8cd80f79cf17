//! Reading what is set up, for the [`registry`]. Changing it is in `store::accounts` and
//! `store::portals`.

use uuid::Uuid;

use super::{Error, Row, Store, portals};
use crate::{
    registry::{self, Account, BitrixApp, Instance, Part, Phone, Site, WabaApp},
    seal::Sealer,
    secret::Secret,
    time::Millis,
    translate::message::Language,
};

/// Where a sealed value lives; bound into its encryption, so that it cannot be moved to another row.
pub fn place(table: &str, column: &str, row: Uuid) -> String {
    format!("{table}/{column}/{row}")
}

fn unseal(
    sealer: &Sealer,
    table: &'static str,
    column: &'static str,
    row: Uuid,
    bytes: &[u8],
) -> Result<Secret, Error> {
    sealer
        .open(&place(table, column, row), bytes)
        .map_err(|error| Error::Inconsistent {
            table,
            column,
            why: error.to_string(),
        })
}

fn created_at(row: &Row) -> Result<Millis, Error> {
    Ok(Millis(row.number("created_at")?))
}

/// All sites.
pub async fn sites(store: &Store) -> Result<Vec<Site>, Error> {
    store
        .fetch("SELECT id, domain, owner_id, created_at FROM sites", &[])
        .await?
        .iter()
        .map(|row| {
            Ok(Site {
                id: row.id("id")?,
                domain: row.text("domain")?,
                owner: row.maybe_id("owner_id")?,
                created_at: created_at(row)?,
            })
        })
        .collect()
}

/// All Meta apps.
pub async fn waba_apps(store: &Store, sealer: &Sealer) -> Result<Vec<WabaApp>, Error> {
    const TABLE: &str = "waba_apps";
    let rows = store
        .fetch(
            "SELECT id, site_id, name, client_id, client_secret, access_token, config_id, events, verify_token, \
             created_at FROM waba_apps",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id = row.id("id")?;
            Ok(WabaApp {
                id,
                site_id: row.id("site_id")?,
                name: row.text("name")?,
                client_id: row.text("client_id")?,
                client_secret: unseal(
                    sealer,
                    TABLE,
                    "client_secret",
                    id,
                    &row.bytes("client_secret")?,
                )?,
                access_token: row
                    .maybe_bytes("access_token")?
                    .map(|bytes| unseal(sealer, TABLE, "access_token", id, &bytes))
                    .transpose()?,
                config_id: row.maybe_text("config_id")?,
                events: row.flag("events")?,
                verify_token: row.text("verify_token")?,
                created_at: created_at(row)?,
            })
        })
        .collect()
}

/// The rows of a part: `sql` goes on with `WHERE` and the column that tells the part, if the table has one for it.
async fn rows_of(store: &Store, sql: &str, part: Option<(&str, Uuid)>) -> Result<Vec<Row>, Error> {
    match part {
        None => store.fetch(sql, &[]).await,
        Some((column, id)) => {
            let sql = format!("{sql} WHERE {column} = $1");
            store.fetch(&sql, &[id.into()]).await
        }
    }
}

/// The WhatsApp Business accounts of a part.
pub async fn accounts(store: &Store, sealer: &Sealer, part: Part) -> Result<Vec<Account>, Error> {
    const SQL: &str =
        "SELECT id, app_id, waba_id, access_token, name, subscribed, created_at FROM waba_accounts";
    let only = match part {
        Part::All => None,
        Part::Account(id) => Some(("id", id)),
        Part::Phone(_) | Part::Instance(_) => return Ok(Vec::new()),
    };
    let rows = rows_of(store, SQL, only).await?;
    rows.iter()
        .map(|row| {
            let id = row.id("id")?;
            Ok(Account {
                id,
                app_id: row.id("app_id")?,
                waba_id: row.text("waba_id")?,
                access_token: row
                    .maybe_bytes("access_token")?
                    .map(|bytes| unseal(sealer, "waba_accounts", "access_token", id, &bytes))
                    .transpose()?,
                name: row.text("name")?,
                subscribed: row.flag("subscribed")?,
                created_at: created_at(row)?,
            })
        })
        .collect()
}

/// The numbers of a part.
pub async fn phones(store: &Store, part: Part) -> Result<Vec<Phone>, Error> {
    const SQL: &str = "SELECT id, account_id, phone, phone_number_id, instance_id, sms_service, automatic_texts, calling, sip, \
             sip_hostname, sip_port, connection, connector, line_id, line_name, chosen_line_id, offered_id, error, paused, \
             created_at FROM phones";
    let only = match part {
        Part::All => None,
        Part::Phone(id) => Some(("id", id)),
        Part::Account(id) => Some(("account_id", id)),
        Part::Instance(id) => Some(("instance_id", id)),
    };
    let rows = rows_of(store, SQL, only).await?;
    rows.iter()
        .map(|row| {
            Ok(Phone {
                id: row.id("id")?,
                account_id: row.id("account_id")?,
                phone: row.text("phone")?,
                phone_number_id: row.text("phone_number_id")?,
                instance_id: row.maybe_id("instance_id")?,
                sms_service: row.flag("sms_service")?,
                automatic_texts: row.flag("automatic_texts")?,
                calling: row.text("calling")?,
                sip: row.text("sip")?,
                sip_hostname: row.maybe_text("sip_hostname")?,
                sip_port: row.number("sip_port")?,
                connection: registry::connection(&row.text("connection")?),
                connector: row.maybe_text("connector")?,
                line_id: row.maybe_number("line_id")?,
                line_name: row.maybe_text("line_name")?,
                chosen_line_id: row.maybe_number("chosen_line_id")?,
                offered_id: row.maybe_id("offered_id")?,
                error: row
                    .maybe_text("error")?
                    .and_then(|text| serde_json::from_str(&text).ok()),
                paused: row.maybe_text("paused")?,
                created_at: created_at(row)?,
            })
        })
        .collect()
}

/// All Bitrix24 applications.
pub async fn bitrix_apps(store: &Store, sealer: &Sealer) -> Result<Vec<BitrixApp>, Error> {
    let rows = store
        .fetch(
            "SELECT id, site_id, name, client_id, client_secret, created_at FROM bitrix_apps",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let id = row.id("id")?;
            Ok(BitrixApp {
                id,
                site_id: row.id("site_id")?,
                name: row.text("name")?,
                client_id: portals::client_id(row.text("client_id")?),
                client_secret: row
                    .maybe_bytes("client_secret")?
                    .map(|bytes| unseal(sealer, "bitrix_apps", "client_secret", id, &bytes))
                    .transpose()?,
                created_at: created_at(row)?,
            })
        })
        .collect()
}

/// The installations of a part, without their access and refresh tokens, which belong to the token keeper.
pub async fn instances(store: &Store, sealer: &Sealer, part: Part) -> Result<Vec<Instance>, Error> {
    const SQL: &str = "SELECT id, app_id, member_id, domain, client_endpoint, server_endpoint, application_token, state, \
             problem, language, scope, prepared, installed, installer_id, installer_name, refreshed_at, \
             calls_per_second, burst, created_at FROM instances";
    let only = match part {
        Part::All => None,
        Part::Instance(id) => Some(("id", id)),
        Part::Phone(_) | Part::Account(_) => return Ok(Vec::new()),
    };
    let rows = rows_of(store, SQL, only).await?;
    rows.iter()
        .map(|row| {
            let id = row.id("id")?;
            let token = row.bytes("application_token")?;
            let token = unseal(sealer, "instances", "application_token", id, &token)?;
            Ok(Instance {
                id,
                app_id: row.id("app_id")?,
                member_id: row.text("member_id")?,
                domain: row.text("domain")?,
                client_endpoint: row.text("client_endpoint")?,
                server_endpoint: row.text("server_endpoint")?,
                // The column cannot be empty; a token that is not known is an empty text.
                application_token: (!token.expose().is_empty()).then_some(token),
                state: registry::instance_state(&row.text("state")?),
                problem: row.maybe_text("problem")?,
                language: Language::from_code(&row.text("language")?),
                language_code: row.text("language")?,
                scope: row.text("scope")?,
                prepared: row.flag("prepared")?,
                installed: row.flag("installed")?,
                installer_id: row.maybe_number("installer_id")?,
                installer_name: row.maybe_text("installer_name")?,
                refreshed_at: Millis(row.number("refreshed_at")?),
                calls_per_second: row.real("calls_per_second")?,
                burst: row.number("burst")?,
                created_at: created_at(row)?,
            })
        })
        .collect()
}
