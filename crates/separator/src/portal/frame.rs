//! Pages inside Bitrix24: from the form that a portal posts to a person whom we know.
//!
//! The form names a portal, an employee's token and a place. It is proven like an installation (see
//! [`claim`]); then the portal itself is asked who looks at the page. The employee's token serves
//! this page only (see [`super::employee`]): it never replaces the pair that the application lives on, except where an administrator installs, or
//! comes to an installation whose own pair is dead, which is how it is authorized again.

use std::sync::Arc;

use bitrix24::{
    app::{self as portal_app, Profile},
    events::PagePost,
};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{
    InstallError, Parts, announce,
    claim::{self, Claim, Proven},
    install::{self, Said},
    reload,
};
use crate::{
    registry::{BitrixApp, Instance, InstanceState},
    secret::Secret,
    store::{self, instances},
    translate::message::Language,
    users::frame::{Access, Person},
};

/// The door that a form came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// "Initial installation path".
    Install,
    /// "Your handler path".
    Application,
    /// Connector settings and other places.
    Placement,
}

/// A page that may be shown.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Who looks at it.
    pub person: Person,
    /// The page: `install` while the installation is not finished, `application`, or the placement's name.
    pub place: String,
    /// What the portal says about the place, such as connector and line.
    pub options: Value,
    /// The portal's origin, the only one that may frame the page.
    pub origin: String,
}

/// Why a page is not shown.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// It is not proven, or it cannot be installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The application is not entered here; what the portal announced is kept until it is.
    #[error(
        "the application {0} is not entered here: enter its client id and secret, then open it again"
    )]
    NotEntered(String),
    /// The post brings another application token than the installation has.
    #[error(
        "the application token is not the one of this installation: install the application again"
    )]
    OtherToken,
    /// The installation is missing, and only an administrator can make it.
    #[error(
        "the application is not connected on this portal yet: an administrator must open it once"
    )]
    NotConnected,
}

impl From<store::Error> for FrameError {
    fn from(error: store::Error) -> Self {
        Self::Install(error.into())
    }
}

/// Finds out who posted a form and what may be shown. `site` is the site of ours on which it arrived.
pub async fn open<P: Parts>(
    app: &Arc<P>,
    page: &PagePost,
    door: Door,
    site: Option<Uuid>,
) -> Result<Opened, FrameError> {
    let claim = Claim::of_page(page)?;
    let proven = claim::prove(app.as_ref(), &claim).await?;
    let application = match install::application(app.as_ref(), &proven.client_id, None, site) {
        Ok(application) => application,
        Err(InstallError::ForeignApplication(client_id)) => {
            if let (Some(site), Some(_)) = (site, &claim.refresh_token) {
                announce::keep(app.as_ref(), &claim, Some(client_id.clone()), site).await?;
            }
            return Err(FrameError::NotEntered(client_id));
        }
        Err(error) => return Err(error.into()),
    };
    let registry = app.directory().snapshot();
    let known = registry
        .instances_of(&claim.member_id)
        .find(|instance| instance.app_id == application.id);
    let (instance, profile) = match known {
        Some(known) if door != Door::Install && known.state == InstanceState::Active => {
            let profile = look(app, &claim, &proven, known).await?;
            (known.id, profile)
        }
        _ => connect(app, &claim, &proven, &application, known, door).await?,
    };
    let registry = app.directory().snapshot();
    let instance = registry
        .instances
        .get(&instance)
        .ok_or(FrameError::NotConnected)?;
    let (_, name) = install::installer(&profile);
    Ok(Opened {
        person: Person {
            instance: instance.id,
            user_id: profile.id,
            name,
            administrator: profile.admin,
            language: page
                .language
                .clone()
                .unwrap_or_else(|| match instance.language {
                    Language::English => "en".to_owned(),
                    Language::Russian => "ru".to_owned(),
                }),
            access: Access::new(claim.access_token.expose()),
        },
        place: match door {
            _ if !instance.installed => "install".to_owned(),
            Door::Placement => page.placement.clone(),
            Door::Install | Door::Application => "application".to_owned(),
        },
        options: page.placement_options.clone(),
        origin: origin(&proven.endpoint),
    })
}

/// `https://acme.bitrix24.com`.
fn origin(endpoint: &Url) -> String {
    endpoint.origin().ascii_serialization()
}

/// A page of an installation that works: whoever looks at it.
async fn look<P: Parts>(
    app: &Arc<P>,
    claim: &Claim,
    proven: &Proven,
    known: &Instance,
) -> Result<Profile, FrameError> {
    let same_token = install::same_application_token(claim, known);
    if !same_token && claim.application_token.is_some() && known.application_token.is_some() {
        return Err(FrameError::OtherToken);
    }
    let same_host = proven.host == known.domain;
    if !same_host && !same_token {
        let known = known.domain.clone();
        return Err(InstallError::NotProven { known }.into());
    }
    // The installation knows the path of REST, which a page does not bring.
    let endpoint = Url::parse(&known.client_endpoint)
        .ok()
        .filter(|_| same_host)
        .unwrap_or_else(|| proven.endpoint.clone());
    let profile = install::profile(app.as_ref(), &claim.access_token, &endpoint).await?;
    let mut changed = false;
    if !same_host {
        instances::set_address(app.store(), known.id, &proven.host, endpoint.as_str()).await?;
        tracing::info!(
            from = known.domain,
            to = proven.host,
            "a portal was renamed"
        );
        changed = true;
    }
    if let (None, Some(token)) = (&known.application_token, &claim.application_token) {
        let token = Secret::new(token.expose());
        changed |=
            instances::learn_application_token(app.store(), app.sealer(), known.id, &token).await?;
    }
    if !known.installed {
        let info = install::ask(
            app.as_ref(),
            &claim.access_token,
            &endpoint,
            &portal_app::info(),
        )
        .await?;
        let installed = portal_app::AppInfo::read(&info).installed;
        if installed == Some(true) {
            instances::set_installed(app.store(), known.id, installed, None).await?;
            app.portals().hurry(known.id);
            changed = true;
        }
    }
    if changed {
        reload(app.as_ref(), known.id).await?;
    }
    Ok(profile)
}

/// Installs, or authorizes again, with the tokens of the administrator who opens the page. Nobody else gets that far, and
/// nothing is stored before.
async fn connect<P: Parts>(
    app: &Arc<P>,
    claim: &Claim,
    proven: &Proven,
    application: &BitrixApp,
    known: Option<&Instance>,
    door: Door,
) -> Result<(Uuid, Profile), FrameError> {
    let profile = install::profile(app.as_ref(), &claim.access_token, &proven.endpoint).await?;
    if !profile.admin {
        return Err(match (door, known) {
            (Door::Install, _) => InstallError::NotAdministrator.into(),
            (_, Some(known)) if known.state != InstanceState::Uninstalled => {
                // Shown what is wrong; changing it is an administrator's.
                return Ok((known.id, profile));
            }
            _ => FrameError::NotConnected,
        });
    }
    let info = install::ask(
        app.as_ref(),
        &claim.access_token,
        &proven.endpoint,
        &portal_app::info(),
    )
    .await?;
    let said = Said {
        installed: portal_app::AppInfo::read(&info).installed,
        administrator: Some(profile.clone()),
    };
    let id = install::complete(app, claim, proven, application, said).await?;
    Ok((id, profile))
}
