//! Changing what is set up on Bitrix24's side through the API: applications, and the settings of installations.
//! Reading is in [`setup`](super::setup); installing, tokens and links belong to the portal's own routines.

use uuid::Uuid;

use super::{
    Cell, Error, Store,
    accounts::{Seal, delete, put, update},
};
use crate::{
    registry::{BitrixApp, InstanceState},
    seal::Sealer,
    secret::Secret,
};

/// Beginning of what stands in the column of a client id that is not known yet: the column must not be empty and must be
/// unique. No client id has a colon.
const UNKNOWN: &str = "unknown:";

/// A client id as it is stored.
fn stored_client_id(app: Uuid, client_id: Option<&str>) -> String {
    client_id.map_or_else(|| format!("{UNKNOWN}{app}"), str::to_owned)
}

/// A stored client id; `None` where it is not known yet.
pub(super) fn client_id(stored: String) -> Option<String> {
    (!stored.starts_with(UNKNOWN)).then_some(stored)
}

/// What may change about a Bitrix24 application; `None` leaves as it is.
#[derive(Debug, Default)]
pub struct BitrixAppChange {
    /// Site it answers on.
    pub site_id: Option<Uuid>,
    /// Name.
    pub name: Option<String>,
    /// Client id; it can be corrected, not taken away.
    pub client_id: Option<String>,
    /// Client secret; it can be corrected, not taken away.
    pub client_secret: Option<Secret>,
}

/// Stores a Bitrix24 application.
pub async fn insert_bitrix_app(
    store: &Store,
    sealer: &Sealer,
    app: &BitrixApp,
) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: "bitrix_apps",
        id: app.id,
    };
    store
        .execute(
            "INSERT INTO bitrix_apps (id, site_id, name, client_id, client_secret, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6)",
            &[
                app.id.into(),
                app.site_id.into(),
                app.name.as_str().into(),
                stored_client_id(app.id, app.client_id.as_deref()).into(),
                seal.optional("client_secret", app.client_secret.as_ref()),
                app.created_at.0.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Changes a Bitrix24 application; false where there is none with this id.
pub async fn change_bitrix_app(
    store: &Store,
    sealer: &Sealer,
    id: Uuid,
    change: &BitrixAppChange,
) -> Result<bool, Error> {
    let seal = Seal {
        sealer,
        table: "bitrix_apps",
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
    update(store, "bitrix_apps", id, changes).await
}

/// Removes a Bitrix24 application that is installed nowhere; false where there is none with this id.
pub async fn delete_bitrix_app(store: &Store, id: Uuid) -> Result<bool, Error> {
    delete(store, "bitrix_apps", id).await
}

/// Sets how fast a portal may be called; false where there is no such installation.
pub async fn change_pace(
    store: &Store,
    id: Uuid,
    calls_per_second: Option<f64>,
    burst: Option<i64>,
) -> Result<bool, Error> {
    let mut changes = Vec::new();
    put(
        &mut changes,
        "calls_per_second",
        calls_per_second.map(Cell::Real),
    );
    put(&mut changes, "burst", burst);
    update(store, "instances", id, changes).await
}

/// Removes an installation whose application was removed from the portal; false where there is no such one.
pub async fn delete_uninstalled(store: &Store, id: Uuid) -> Result<bool, Error> {
    let mut tx = store.begin().await?;
    let removed = tx
        .execute(
            "DELETE FROM instances WHERE id = $1 AND state = $2",
            &[id.into(), InstanceState::Uninstalled.as_str().into()],
        )
        .await?;
    if removed == 0 {
        return Ok(false);
    }
    tx.execute("DELETE FROM steps WHERE subject_id = $1", &[id.into()])
        .await?;
    tx.commit().await?;
    Ok(true)
}
