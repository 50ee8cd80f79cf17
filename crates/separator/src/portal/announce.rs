//! Installations that come too early: Bitrix24 announces an API-only application once, when its form is saved, and shows
//! the client id only then, so that nobody can have entered it before.
//!
//! Such an announcement is kept, sealed, and completed when the client id is entered. Keeping it is safe:
//!
//! - The authorization server, whose host is ours to choose, is asked first. It names the application and the portal of
//!   the token without our knowing the client id, so what is kept is proven as far as that goes. An announcement whose
//!   token the server does not know is refused.
//! - Where the server cannot be asked just now, the announcement is kept unproven and asked about again each minute. No
//!   request ever goes to a host that only an announcement names.
//! - Nothing is done with it until a user enters exactly that client id, on a site of the same owner as the one on which
//!   it was announced. Then everything is proven again.
//! - There are at most [`MOST`] of either kind for a site, the oldest go, and none is kept for longer than [`LIFETIME`].

use std::{sync::Arc, time::Duration};

use bitrix24::{ClientSecret, oauth::OAuthClass, oauth::Refusal};
use uuid::Uuid;

use super::{
    InstallError, Parts, authorization_server,
    claim::{self, Claim},
    install::{self, install_claim},
};
use crate::{
    registry::BitrixApp,
    store::announcements::{self, Announcement},
};

/// How many are kept for a site, proven and unproven ones each.
pub const MOST: usize = 16;

/// How long one is kept.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// Installs what was announced on a site. Where that fails because the application is not entered, or with passing
/// trouble, the announcement is kept for later; the error tells why it is not installed now.
pub async fn announced<P: Parts>(
    app: &Arc<P>,
    claim: &Claim,
    client_id_hint: Option<&str>,
    site: Option<Uuid>,
) -> Result<Uuid, InstallError> {
    let error = match install_claim(app, claim, client_id_hint, site).await {
        Ok(id) => return Ok(id),
        Err(error) => error,
    };
    let client_id = match &error {
        InstallError::ForeignApplication(client_id) => Some(client_id.clone()),
        InstallError::Store(_) => return Err(error),
        other if other.is_temporary() => None,
        _ => return Err(error),
    };
    if let Some(site) = site {
        keep(app.as_ref(), claim, client_id, site).await?;
    }
    Err(error)
}

/// Keeps an announcement.
pub(super) async fn keep<P: Parts>(
    app: &P,
    claim: &Claim,
    client_id: Option<String>,
    site_id: Uuid,
) -> Result<(), InstallError> {
    let announcement = Announcement {
        id: app.ids().next(),
        site_id,
        client_id,
        member_id: claim.member_id.clone(),
        domain: claim.domain.clone().unwrap_or_default(),
        claim: claim.to_secret(),
        received_at: app.clock().now(),
    };
    announcements::keep(app.store(), app.sealer(), &announcement, MOST).await?;
    Ok(())
}

/// What came of an announcement that could be completed or not.
#[derive(Debug)]
pub struct Completion {
    /// The portal.
    pub domain: String,
    /// The installation, or why there is none.
    pub result: Result<Uuid, InstallError>,
}

/// Completes what was announced for an application whose client id was just entered.
pub async fn entered<P: Parts>(
    app: &Arc<P>,
    application: Uuid,
) -> Result<Vec<Completion>, InstallError> {
    let registry = app.directory().snapshot();
    let Some(application) = registry.bitrix_apps.get(&application) else {
        return Ok(Vec::new());
    };
    let mut completions = Vec::new();
    for announcement in announcements::all(app.store(), app.sealer()).await? {
        if is_for(app.as_ref(), &announcement, application) {
            let domain = announcement.domain.clone();
            let result = complete(app, &announcement).await;
            completions.push(Completion { domain, result });
        }
    }
    Ok(completions)
}

fn is_for<P: Parts>(app: &P, announcement: &Announcement, application: &BitrixApp) -> bool {
    let registry = app.directory().snapshot();
    let owner = registry
        .sites
        .get(&announcement.site_id)
        .map(|site| site.owner);
    announcement.client_id.is_some()
        && announcement.client_id == application.client_id
        && owner == Some(registry.owner_of_bitrix_app(application))
}

/// Looks again at what is kept: what could not be proven, and what can be completed by now.
pub(super) async fn look_again<P: Parts>(app: Arc<P>) {
    let looked = async {
        let before = app.clock().now() - LIFETIME;
        announcements::forget_before(app.store(), before).await?;
        for announcement in announcements::all(app.store(), app.sealer()).await? {
            let registry = app.directory().snapshot();
            let mut applications = registry.bitrix_apps.values();
            let known =
                applications.any(|application| is_for(app.as_ref(), &announcement, application));
            if known || announcement.client_id.is_none() {
                // Said and counted there; what is left is for the next time.
                let _ = complete(&app, &announcement).await;
            }
        }
        Ok::<(), InstallError>(())
    };
    if let Err(error) = looked.await {
        tracing::warn!(%error, "announced installations could not be looked at");
    }
}

/// Tries to install what was announced, and forgets it where that is done or will never be.
async fn complete<P: Parts>(
    app: &Arc<P>,
    announcement: &Announcement,
) -> Result<Uuid, InstallError> {
    let Some(mut claim) = Claim::of_secret(&announcement.claim) else {
        announcements::forget(app.store(), announcement.id).await?;
        return Err(InstallError::Missing("readable announcement"));
    };
    let site = Some(announcement.site_id);
    let mut result = install_claim(app, &claim, None, site).await;
    if result.as_ref().is_err_and(has_ended)
        && let Some(renewed) = renew(app.as_ref(), announcement, &claim).await?
    {
        claim = renewed;
        // The new pair replaces the old one before it is used.
        let kept = Announcement {
            claim: claim.to_secret(),
            ..announcement.clone()
        };
        announcements::keep(app.store(), app.sealer(), &kept, MOST).await?;
        result = install_claim(app, &claim, None, site).await;
    }
    match &result {
        Err(InstallError::ForeignApplication(client_id)) if announcement.client_id.is_none() => {
            let proven = Announcement {
                client_id: Some(client_id.clone()),
                ..announcement.clone()
            };
            announcements::keep(app.store(), app.sealer(), &proven, MOST).await?;
        }
        // The application is another owner's, or its secret is missing yet.
        Err(InstallError::ForeignApplication(_)) => {}
        Err(error) if error.is_temporary() || has_ended(error) => {
            tracing::info!(%error, domain = announcement.domain, "an announced installation waits");
        }
        Err(error) => {
            tracing::warn!(%error, domain = announcement.domain, "an announced installation was refused");
            announcements::forget(app.store(), announcement.id).await?;
        }
        Ok(_) => {
            announcements::forget(app.store(), announcement.id).await?;
        }
    }
    result
}

/// Whether the announced access token has ended, as it does after an hour.
fn has_ended(error: &InstallError) -> bool {
    matches!(error, InstallError::Authorization(error)
        if error.class() == OAuthClass::Permanent(Refusal::UnknownToken))
}

/// A new pair for an announcement of a proven application whose secret is known; `None` where that cannot be had.
async fn renew<P: Parts>(
    app: &P,
    announcement: &Announcement,
    claim: &Claim,
) -> Result<Option<Claim>, InstallError> {
    let Some(client_id) = announcement.client_id.as_deref() else {
        return Ok(None);
    };
    let application = install::application(app, client_id, None, Some(announcement.site_id))?;
    let (Some(secret), Some(refresh_token)) = (&application.client_secret, &claim.refresh_token)
    else {
        return Ok(None);
    };
    let server = authorization_server(app, claim.server_endpoint.as_ref())?;
    let secret = ClientSecret::new(secret.expose());
    let new = claim::limited(server.refresh(client_id, &secret, refresh_token)).await?;
    if new.member_id != claim.member_id {
        return Err(InstallError::NotProven {
            known: announcement.domain.clone(),
        });
    }
    Ok(Some(Claim {
        access_token: new.access_token,
        refresh_token: Some(new.refresh_token),
        expires_in: Some(i64::try_from(new.expires_in.as_secs()).unwrap_or(i64::MAX)),
        ..claim.clone()
    }))
}
