//! Changing what is set up on Meta's side: sites, Meta apps, WhatsApp Business accounts, numbers. Reading is in
//! [`setup`](super::setup).
//!
//! A change writes only the columns it names, so that two changes at once do not undo each other. Unique keys and
//! foreign keys have the last word; the callers turn their refusals into sentences.

use uuid::Uuid;

use super::{Cell, Error, Store, setup::place};
use crate::{
    registry::{Account, Phone, Site, WabaApp},
    seal::Sealer,
    secret::Secret,
};

/// Writes the named columns of one row; gives whether the row is there.
pub(super) async fn update(
    store: &Store,
    table: &str,
    id: Uuid,
    changes: Vec<(&'static str, Cell)>,
) -> Result<bool, Error> {
    if changes.is_empty() {
        let found = store
            .fetch(
                &format!("SELECT id FROM {table} WHERE id = $1"),
                &[id.into()],
            )
            .await?;
        return Ok(!found.is_empty());
    }
    let assignments: Vec<String> = changes
        .iter()
        .enumerate()
        .map(|(index, (column, _))| format!("{column} = ${}", index + 2))
        .collect();
    let sql = format!(
        "UPDATE {table} SET {} WHERE id = $1",
        assignments.join(", ")
    );
    let mut cells = vec![Cell::from(id)];
    cells.extend(changes.into_iter().map(|(_, cell)| cell));
    Ok(store.execute(&sql, &cells).await? > 0)
}

/// Removes one row; gives whether it was there.
pub(super) async fn delete(store: &Store, table: &str, id: Uuid) -> Result<bool, Error> {
    Ok(store
        .execute(&format!("DELETE FROM {table} WHERE id = $1"), &[id.into()])
        .await?
        > 0)
}

/// Stores a site.
pub async fn insert_site(store: &Store, site: &Site) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO sites (id, domain, owner_id, created_at) VALUES ($1, $2, $3, $4)",
            &[
                site.id.into(),
                site.domain.as_str().into(),
                site.owner.into(),
                site.created_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Gives a site another domain or another owner (`Some(None)`: the administrators); false where there is no such site.
pub async fn change_site(
    store: &Store,
    id: Uuid,
    domain: Option<String>,
    owner: Option<Option<Uuid>>,
) -> Result<bool, Error> {
    let domain = domain.map(|domain| ("domain", Cell::from(domain)));
    let owner = owner.map(|owner| ("owner_id", Cell::from(owner)));
    let changes = domain.into_iter().chain(owner).collect();
    update(store, "sites", id, changes).await
}

/// Removes a site that nothing uses; false where there is no such site.
pub async fn delete_site(store: &Store, id: Uuid) -> Result<bool, Error> {
    delete(store, "sites", id).await
}

/// What may change about a Meta app; `None` leaves as it is, `Some(None)` clears.
#[derive(Debug, Default)]
pub struct WabaAppChange {
    /// Site it answers on.
    pub site_id: Option<Uuid>,
    /// Name.
    pub name: Option<String>,
    /// App ID.
    pub client_id: Option<String>,
    /// App secret.
    pub client_secret: Option<Secret>,
    /// Access token.
    pub access_token: Option<Option<Secret>>,
    /// Facebook Login for Business configuration.
    pub config_id: Option<Option<String>>,
    /// Whether every callback is kept.
    pub events: Option<bool>,
}

/// Stores a Meta app.
pub async fn insert_waba_app(store: &Store, sealer: &Sealer, app: &WabaApp) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: "waba_apps",
        id: app.id,
    };
    store
        .execute(
            "INSERT INTO waba_apps (id, site_id, name, client_id, client_secret, access_token, config_id, events, \
             verify_token, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                app.id.into(),
                app.site_id.into(),
                app.name.as_str().into(),
                app.client_id.as_str().into(),
                seal.required("client_secret", &app.client_secret),
                seal.optional("access_token", app.access_token.as_ref()),
                app.config_id.clone().into(),
                app.events.into(),
                app.verify_token.as_str().into(),
                app.created_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Changes a Meta app; false where there is none with this id.
pub async fn change_waba_app(
    store: &Store,
    sealer: &Sealer,
    id: Uuid,
    change: &WabaAppChange,
) -> Result<bool, Error> {
    let seal = Seal {
        sealer,
        table: "waba_apps",
        id,
    };
    let mut changes = Vec::new();
    put(&mut changes, "site_id", change.site_id);
    put(&mut changes, "name", change.name.clone());
    put(&mut changes, "client_id", change.client_id.clone());
    put(
        &mut changes,
        "client_secret",
        change
            .client_secret
            .as_ref()
            .map(|secret| seal.required("client_secret", secret)),
    );
    put(
        &mut changes,
        "access_token",
        change
            .access_token
            .as_ref()
            .map(|token| seal.optional("access_token", token.as_ref())),
    );
    put(&mut changes, "config_id", change.config_id.clone());
    put(&mut changes, "events", change.events);
    update(store, "waba_apps", id, changes).await
}

/// Removes a Meta app that has no accounts; false where there is none with this id.
pub async fn delete_waba_app(store: &Store, id: Uuid) -> Result<bool, Error> {
    delete(store, "waba_apps", id).await
}

/// What may change about a WhatsApp Business account; `None` leaves as it is, `Some(None)` clears.
#[derive(Debug, Default)]
pub struct AccountChange {
    /// App through which it is reached.
    pub app_id: Option<Uuid>,
    /// Meta's WABA id.
    pub waba_id: Option<String>,
    /// Access token of its own.
    pub access_token: Option<Option<Secret>>,
    /// Name.
    pub name: Option<String>,
    /// Whether our app is subscribed to it, as far as we know.
    pub subscribed: Option<bool>,
}

/// Stores a WhatsApp Business account.
pub async fn insert_account(
    store: &Store,
    sealer: &Sealer,
    account: &Account,
) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: "waba_accounts",
        id: account.id,
    };
    store
        .execute(
            "INSERT INTO waba_accounts (id, app_id, waba_id, access_token, name, subscribed, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                account.id.into(),
                account.app_id.into(),
                account.waba_id.as_str().into(),
                seal.optional("access_token", account.access_token.as_ref()),
                account.name.as_str().into(),
                account.subscribed.into(),
                account.created_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Changes a WhatsApp Business account; false where there is none with this id.
pub async fn change_account(
    store: &Store,
    sealer: &Sealer,
    id: Uuid,
    change: &AccountChange,
) -> Result<bool, Error> {
    let seal = Seal {
        sealer,
        table: "waba_accounts",
        id,
    };
    let mut changes = Vec::new();
    put(&mut changes, "app_id", change.app_id);
    put(&mut changes, "waba_id", change.waba_id.clone());
    put(
        &mut changes,
        "access_token",
        change
            .access_token
            .as_ref()
            .map(|token| seal.optional("access_token", token.as_ref())),
    );
    put(&mut changes, "name", change.name.clone());
    put(&mut changes, "subscribed", change.subscribed);
    update(store, "waba_accounts", id, changes).await
}

/// Removes a WhatsApp Business account that has no numbers; false where there is none with this id.
pub async fn delete_account(store: &Store, id: Uuid) -> Result<bool, Error> {
    delete(store, "waba_accounts", id).await
}

/// What may change about a number; `None` leaves as it is, `Some(None)` clears. Linking is the publish routine's.
#[derive(Debug, Default)]
pub struct PhoneChange {
    /// The account it belongs to.
    pub account_id: Option<Uuid>,
    /// Digits, country code first.
    pub phone: Option<String>,
    /// Meta's phone number id.
    pub phone_number_id: Option<String>,
    /// Whether it is offered as an SMS provider.
    pub sms_service: Option<bool>,
    /// Whether automatic texts of the line go to the customer.
    pub automatic_texts: Option<bool>,
    /// The portal whose administrators may link it.
    pub offered_id: Option<Option<Uuid>>,
}

/// Stores a number. It is not linked to a portal yet, whatever `phone` says.
pub async fn insert_phone(store: &Store, phone: &Phone) -> Result<(), Error> {
    store
        .execute(
            "INSERT INTO phones (id, account_id, phone, phone_number_id, sms_service, automatic_texts, calling, sip, \
             sip_hostname, sip_port, connection, offered_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'not_linked', $12, $11)",
            &[
                phone.id.into(),
                phone.account_id.into(),
                phone.phone.as_str().into(),
                phone.phone_number_id.as_str().into(),
                phone.sms_service.into(),
                phone.automatic_texts.into(),
                phone.calling.as_str().into(),
                phone.sip.as_str().into(),
                phone.sip_hostname.clone().into(),
                phone.sip_port.into(),
                phone.created_at.0.into(),
                phone.offered_id.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Changes a number; false where there is none with this id.
pub async fn change_phone(store: &Store, id: Uuid, change: &PhoneChange) -> Result<bool, Error> {
    let mut changes = Vec::new();
    put(&mut changes, "account_id", change.account_id);
    put(&mut changes, "phone", change.phone.clone());
    put(
        &mut changes,
        "phone_number_id",
        change.phone_number_id.clone(),
    );
    put(&mut changes, "sms_service", change.sms_service);
    put(&mut changes, "automatic_texts", change.automatic_texts);
    put(&mut changes, "offered_id", change.offered_id);
    update(store, "phones", id, changes).await
}

/// What became of a number that was to be removed.
#[derive(Debug, PartialEq, Eq)]
pub enum PhoneRemoval {
    /// It is gone, and its conversations with it; its messages stay to be looked up.
    Removed,
    /// There is none with this id.
    Unknown,
    /// So many messages still wait to be delivered.
    Queued(i64),
}

/// Removes a number that is not linked and has nothing queued.
pub async fn delete_phone(store: &Store, id: Uuid) -> Result<PhoneRemoval, Error> {
    let mut tx = store.begin().await?;
    let queued = tx
        .fetch(
            "SELECT COUNT(*) AS depth FROM outbox WHERE phone_id = $1",
            &[id.into()],
        )
        .await?
        .first()
        .map_or(Ok(0), |row| row.number("depth"))?;
    if queued > 0 {
        return Ok(PhoneRemoval::Queued(queued));
    }
    for table in ["dead_letters", "lanes", "conversations"] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE phone_id = $1"),
            &[id.into()],
        )
        .await?;
    }
    tx.execute("DELETE FROM steps WHERE subject_id = $1", &[id.into()])
        .await?;
    let removed = tx
        .execute("DELETE FROM phones WHERE id = $1", &[id.into()])
        .await?;
    if removed == 0 {
        return Ok(PhoneRemoval::Unknown);
    }
    tx.commit().await?;
    Ok(PhoneRemoval::Removed)
}

/// Adds a column to a change where there is a value for it.
pub(super) fn put<T: Into<Cell>>(
    changes: &mut Vec<(&'static str, Cell)>,
    column: &'static str,
    value: Option<T>,
) {
    changes.extend(value.map(|value| (column, value.into())));
}

/// Seals the secrets of one row for their places.
pub(super) struct Seal<'a> {
    pub(super) sealer: &'a Sealer,
    pub(super) table: &'static str,
    pub(super) id: Uuid,
}

impl Seal<'_> {
    pub(super) fn required(&self, column: &str, secret: &Secret) -> Cell {
        Cell::Bytes(
            self.sealer
                .seal(&place(self.table, column, self.id), secret.expose()),
        )
    }

    pub(super) fn optional(&self, column: &str, secret: Option<&Secret>) -> Cell {
        Cell::MaybeBytes(secret.map(|secret| {
            self.sealer
                .seal(&place(self.table, column, self.id), secret.expose())
        }))
    }
}
