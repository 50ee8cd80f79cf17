//! Installations that were announced and could not be completed yet; see [`portal::announce`](crate::portal::announce).

use uuid::Uuid;

use super::{Error, Row, Store, accounts::Seal, setup::place};
use crate::{seal::Sealer, secret::Secret, time::Millis};

const TABLE: &str = "announcements";

/// An announced installation.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// Our id.
    pub id: Uuid,
    /// The site on which it was announced.
    pub site_id: Uuid,
    /// The application as the authorization server named it; `None` where it could not be asked yet.
    pub client_id: Option<String>,
    /// The portal's unchanging id, as announced.
    pub member_id: String,
    /// The portal's host; proven where `client_id` is known.
    pub domain: String,
    /// Everything that was announced, tokens included.
    pub claim: Secret,
    /// When it came.
    pub received_at: Millis,
}

/// Keeps an announcement in place of an earlier one of the same application and portal, and of verified or unverified
/// ones at most `most` on a site: the oldest go.
pub async fn keep(
    store: &Store,
    sealer: &Sealer,
    announcement: &Announcement,
    most: usize,
) -> Result<(), Error> {
    let seal = Seal {
        sealer,
        table: TABLE,
        id: announcement.id,
    };
    let client_id = announcement.client_id.as_deref();
    let mut tx = store.begin().await?;
    tx.execute(
        "DELETE FROM announcements WHERE id = $5 OR (site_id = $1 AND member_id = $2 AND domain = $3 \
         AND COALESCE(client_id, '') = $4)",
        &[
            announcement.site_id.into(),
            announcement.member_id.as_str().into(),
            announcement.domain.as_str().into(),
            client_id.unwrap_or_default().into(),
            announcement.id.into(),
        ],
    )
    .await?;
    let before = tx
        .fetch(
            "SELECT id FROM announcements WHERE site_id = $1 AND (client_id IS NULL) = $2 ORDER BY received_at DESC",
            &[announcement.site_id.into(), client_id.is_none().into()],
        )
        .await?;
    for row in before.iter().skip(most.saturating_sub(1)) {
        tx.execute(
            "DELETE FROM announcements WHERE id = $1",
            &[row.id("id")?.into()],
        )
        .await?;
    }
    tx.execute(
        "INSERT INTO announcements (id, site_id, client_id, member_id, domain, claim, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &[
            announcement.id.into(),
            announcement.site_id.into(),
            announcement.client_id.clone().into(),
            announcement.member_id.as_str().into(),
            announcement.domain.as_str().into(),
            seal.required("claim", &announcement.claim),
            announcement.received_at.0.into(),
        ],
    )
    .await?;
    tx.commit().await
}

/// All announcements, oldest first.
pub async fn all(store: &Store, sealer: &Sealer) -> Result<Vec<Announcement>, Error> {
    let rows = store
        .fetch(
            "SELECT id, site_id, client_id, member_id, domain, claim, received_at FROM announcements \
             ORDER BY received_at, id",
            &[],
        )
        .await?;
    rows.iter().map(|row| read(sealer, row)).collect()
}

fn read(sealer: &Sealer, row: &Row) -> Result<Announcement, Error> {
    let id = row.id("id")?;
    let claim = sealer
        .open(&place(TABLE, "claim", id), &row.bytes("claim")?)
        .map_err(|error| Error::Inconsistent {
            table: TABLE,
            column: "claim",
            why: error.to_string(),
        })?;
    Ok(Announcement {
        id,
        site_id: row.id("site_id")?,
        client_id: row.maybe_text("client_id")?,
        member_id: row.text("member_id")?,
        domain: row.text("domain")?,
        claim,
        received_at: Millis(row.number("received_at")?),
    })
}

/// Forgets one; gives whether it was there.
pub async fn forget(store: &Store, id: Uuid) -> Result<bool, Error> {
    let gone = store
        .execute("DELETE FROM announcements WHERE id = $1", &[id.into()])
        .await?;
    Ok(gone > 0)
}

/// Forgets those that came before a moment.
pub async fn forget_before(store: &Store, moment: Millis) -> Result<(), Error> {
    store
        .execute(
            "DELETE FROM announcements WHERE received_at < $1",
            &[moment.0.into()],
        )
        .await?;
    Ok(())
}
