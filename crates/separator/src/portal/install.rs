//! Installing: from a proven claim to an installation that can be used.
//!
//! What an install event or an installation page says is proven with the authorization server first; see
//! [`claim`]. Two things remain to be looked at:
//!
//! - *Whose token it is.* Any employee holds tokens of the portal. A page is installed by an administrator only, and
//!   where the application is installed already, the token of an event must be an administrator's too, or a token with
//!   few rights could replace the good one.
//! - *The portal's `member_id`.* It is part of the key, so a portal could claim another one's place. Where the place is
//!   taken by an installation on another host with another application token, the authorization server is asked for a
//!   new pair, whose answer names the member id.
//!
//! Installing again renews tokens and address and keeps the row with everything that belongs to it.

use std::sync::Arc;

use bitrix24::{
    AccessToken, Class, ClientSecret, Portal,
    app::{self as portal_app, Profile},
    events::EventAuth,
    oauth::{OAuthClass, OAuthError, Tokens as NewTokens},
};
use url::Url;
use uuid::Uuid;

use super::{
    Parts, authorized,
    claim::{self, Claim, LIMIT, Proven},
    tokens,
};
use crate::{
    outgoing::Forbidden,
    registry::{BitrixApp, Instance},
    secret::Secret,
    store::{
        self,
        instances::{self, Installation},
    },
    time::Millis,
};

/// Permissions that the program cannot work without (Bitrix24: scopes of imconnector.* and imopenlines.*).
pub const NEEDED_SCOPES: [&str; 2] = ["imconnector", "imopenlines"];

/// Why an installation was not taken. No text holds a token.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Something that every install event has is not there.
    #[error("the install event brings no {0}")]
    Missing(&'static str),
    /// The authorization server does not confirm the token, or cannot be asked.
    #[error("the installation could not be verified: {0}")]
    Authorization(#[from] OAuthError),
    /// The authorization server did not answer in time.
    #[error("the installation could not be verified: the authorization server gave no answer")]
    NoAnswer,
    /// The token belongs to an application that is not entered here.
    #[error(
        "the application {0} is not entered here: what it announced is kept until its client id is entered"
    )]
    ForeignApplication(String),
    /// The address named another application than the one the token belongs to.
    #[error("the address names the application {named}, the token belongs to {actual}")]
    OtherApplication {
        /// The client id of the address.
        named: String,
        /// The client id of the token.
        actual: String,
    },
    /// The token belongs to a portal on another host than the event says.
    #[error("the event says it comes from {named}, the token belongs to {actual}")]
    OtherPortal {
        /// The host that the event names.
        named: String,
        /// The host of the token's portal.
        actual: String,
    },
    /// The member id belongs to an installation on another host, and nothing proves that it moved.
    #[error("the portal is known here as {known}, and that it moved could not be proven")]
    NotProven {
        /// The host of the installation.
        known: String,
    },
    /// The token does not belong to an administrator of the portal.
    #[error("only an administrator of the portal can install the application")]
    NotAdministrator,
    /// The portal could not be asked whose token it is.
    #[error("the portal could not be asked whose token it is: {0}")]
    Portal(bitrix24::Error),
    /// The portal's address may not be called.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The database did not take it.
    #[error("the installation could not be stored")]
    Store(#[from] store::Error),
}

impl InstallError {
    /// Whether the same event may succeed later.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NoAnswer | Self::Store(_) => true,
            Self::Authorization(error) => error.class() == OAuthClass::Retry,
            // A token that the portal does not know stays unknown: it is not ours to refresh.
            Self::Portal(error) => !matches!(
                error.class(),
                Class::Refused | Class::Blocked(_) | Class::Refresh
            ),
            _ => false,
        }
    }
}

/// What the portal itself said about an installation before it is stored.
#[derive(Debug, Clone, Default)]
pub(super) struct Said {
    /// Whether the installation is finished.
    pub(super) installed: Option<bool>,
    /// The administrator whose tokens they are; an event's employee is not known.
    pub(super) administrator: Option<Profile>,
}

/// Verifies an install event with the authorization server and stores the installation; gives its id.
///
/// `language` is the portal's language code, `client_id_hint` the client id that the address named. A missing client
/// secret is no obstacle: it is needed for the first refresh only. A granted permission too few is none either; the
/// installation's problem names it.
pub async fn install<P: Parts>(
    app: &Arc<P>,
    auth: &EventAuth,
    language: Option<&str>,
    client_id_hint: Option<&str>,
) -> Result<Uuid, InstallError> {
    let claim = Claim::of_event(auth, language)?;
    install_claim(app, &claim, client_id_hint, None).await
}

/// As [`install`], for what an event or a page said in one form.
pub(super) async fn install_claim<P: Parts>(
    app: &Arc<P>,
    claim: &Claim,
    client_id_hint: Option<&str>,
    site: Option<Uuid>,
) -> Result<Uuid, InstallError> {
    let proven = claim::prove(app.as_ref(), claim).await?;
    let application = application(app.as_ref(), &proven.client_id, client_id_hint, site)?;
    complete(app, claim, &proven, &application, Said::default()).await
}

/// Stores a proven installation; gives its id.
pub(super) async fn complete<P: Parts>(
    app: &Arc<P>,
    claim: &Claim,
    proven: &Proven,
    application: &BitrixApp,
    said: Said,
) -> Result<Uuid, InstallError> {
    let _turn = app.portals().installing.lock().await;
    let registry = app.directory().snapshot();
    let known = registry
        .instances_of(&claim.member_id)
        .find(|instance| instance.app_id == application.id);
    let renewed = match known {
        Some(known) => takeover(app.as_ref(), claim, known, application, proven, &said).await?,
        None => None,
    };
    let now = app.clock().now();
    let pair = match renewed {
        Some(new) => tokens::pair(now, &new),
        None => claim
            .pair(now)
            .ok_or(InstallError::Missing("refresh token"))?,
    };
    let installation = Installation {
        app_id: application.id,
        member_id: claim.member_id.clone(),
        domain: proven.host.clone(),
        client_endpoint: proven.endpoint.to_string(),
        server_endpoint: claim
            .server_endpoint
            .as_ref()
            .unwrap_or(proven.server.base())
            .to_string(),
        application_token: claim
            .application_token
            .as_ref()
            .map(|token| Secret::new(token.expose())),
        tokens: pair,
        scope: claim.scope.join(","),
        language: claim.language.clone(),
        installed: said.installed,
        installer: said.administrator.as_ref().map(installer),
        problem: problem(app.as_ref(), &claim.scope, &proven.endpoint),
    };
    let id = known.map_or_else(|| app.ids().next(), |known| known.id);
    store(app.as_ref(), id, now, &installation).await?;
    tracing::info!(
        portal = installation.domain,
        application = proven.client_id,
        "installed"
    );
    app.portals().hurry(id);
    Ok(id)
}

/// Id and name of an employee.
pub(super) fn installer(profile: &Profile) -> (i64, String) {
    let names = [profile.name.as_deref(), profile.last_name.as_deref()];
    let name: Vec<&str> = names.into_iter().flatten().collect();
    (profile.id, name.join(" "))
}

pub(super) async fn store<P: Parts>(
    app: &P,
    id: Uuid,
    now: Millis,
    installation: &Installation,
) -> Result<(), InstallError> {
    let state = app.portals().state(id);
    let stored = instances::install(app.store(), app.sealer(), id, now, installation);
    state.tokens.replaced(stored).await?;
    // The installation is on disk and the event must not come again; a reading anew that fails here is made up for
    // by the next one.
    if let Err(error) = authorized(app, id).await {
        tracing::error!(%error, "the set-up could not be read anew after an installation");
    }
    Ok(())
}

/// The application that the token belongs to, which must be one of ours and the one that the address named. Where it is
/// known on which site of ours somebody knocked, the application must belong to the owner of that site: nobody gets hold
/// of somebody else's portal by entering that one's client id.
pub(super) fn application<P: Parts>(
    app: &P,
    client_id: &str,
    hint: Option<&str>,
    site: Option<Uuid>,
) -> Result<BitrixApp, InstallError> {
    if let Some(named) = hint.filter(|named| *named != client_id) {
        return Err(InstallError::OtherApplication {
            named: named.to_owned(),
            actual: client_id.to_owned(),
        });
    }
    let registry = app.directory().snapshot();
    registry
        .bitrix_apps
        .values()
        .find(|application| application.client_id.as_deref() == Some(client_id))
        .filter(|application| {
            site.and_then(|site| registry.sites.get(&site))
                .is_none_or(|site| site.owner == registry.owner_of_bitrix_app(application))
        })
        .cloned()
        .ok_or_else(|| InstallError::ForeignApplication(client_id.to_owned()))
}

/// Looks closer where an installation is there already; gives a new pair where one was issued for the proof.
async fn takeover<P: Parts>(
    app: &P,
    claim: &Claim,
    known: &Instance,
    application: &BitrixApp,
    proven: &Proven,
    said: &Said,
) -> Result<Option<NewTokens>, InstallError> {
    if said.administrator.is_none() {
        let profile = profile(app, &claim.access_token, &proven.endpoint).await?;
        if !profile.admin {
            return Err(InstallError::NotAdministrator);
        }
    }
    if proven.host == known.domain || same_application_token(claim, known) {
        return Ok(None);
    }
    let not_proven = || InstallError::NotProven {
        known: known.domain.clone(),
    };
    let secret = application.client_secret.as_ref().ok_or_else(not_proven)?;
    let secret = ClientSecret::new(secret.expose());
    let refresh_token = claim.refresh_token.as_ref().ok_or_else(not_proven)?;
    let request = proven
        .server
        .refresh(&proven.client_id, &secret, refresh_token);
    let new = claim::limited(request).await?;
    if new.member_id == claim.member_id {
        Ok(Some(new))
    } else {
        Err(not_proven())
    }
}

/// Whether a claim brings the application token that is known.
pub(super) fn same_application_token(claim: &Claim, known: &Instance) -> bool {
    let tokens = known
        .application_token
        .as_ref()
        .zip(claim.application_token.as_ref());
    tokens.is_some_and(|(known, claimed)| known.matches(claimed.expose()))
}

/// Asks a proven portal whose token it is.
pub(super) async fn profile<P: Parts>(
    app: &P,
    token: &AccessToken,
    endpoint: &Url,
) -> Result<Profile, InstallError> {
    let result = ask(app, token, endpoint, &portal_app::profile()).await?;
    // What names nobody is no administrator either.
    Profile::read(&result).ok_or(InstallError::NotAdministrator)
}

/// Asks a proven portal something with the token that was posted, which serves this request only.
pub(super) async fn ask<P: Parts>(
    app: &P,
    token: &AccessToken,
    endpoint: &Url,
    call: &bitrix24::Call,
) -> Result<serde_json::Value, InstallError> {
    app.outgoing().vet(endpoint)?;
    let portal = Portal::new(app.outgoing().api_client(), endpoint.clone());
    let question = async {
        loop {
            let answer = portal.run(call, token).await;
            match answer.as_ref().map_err(bitrix24::Error::class) {
                // Somebody waits for the page; the portal's patience comes back within a second or two.
                Err(Class::Limited { wait }) => tokio::time::sleep(wait).await,
                _ => break answer,
            }
        }
    };
    let answer = tokio::time::timeout(LIMIT, question)
        .await
        .unwrap_or_else(|_| {
            Err(bitrix24::Error::Unreachable {
                detail: "no answer in time".to_owned(),
            })
        })
        .map_err(InstallError::Portal)?;
    Ok(answer.result)
}

/// What is wrong with an installation that can be stored all the same.
pub(super) fn problem<P: Parts>(app: &P, scope: &[String], endpoint: &Url) -> Option<String> {
    let forbidden = app
        .outgoing()
        .vet(endpoint)
        .err()
        .map(|forbidden| format!("The portal cannot be called: {forbidden}."));
    forbidden.or_else(|| missing_scopes(scope))
}

/// A sentence that names the permissions that are missing; `None` where none is or nothing is known about them.
pub(super) fn missing_scopes(granted: &[String]) -> Option<String> {
    if granted.is_empty() {
        return None;
    }
    let missing: Vec<&str> = NEEDED_SCOPES
        .into_iter()
        .filter(|needed| {
            !granted
                .iter()
                .any(|scope| scope.eq_ignore_ascii_case(needed))
        })
        .collect();
    let sentence = format!(
        "The application lacks the permission {}: tick it in the application's form on the portal and save.",
        missing.join(" and ")
    );
    (!missing.is_empty()).then_some(sentence)
}

#[cfg(test)]
mod unit_tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn missing_permissions_are_named() {
        let missing = |scope: &[&str]| {
            missing_scopes(
                &scope
                    .iter()
                    .map(|&part| part.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(missing(&["im", "IMCONNECTOR", "imopenlines", "crm"]), None);
        assert_eq!(missing(&[]), None);
        assert!(
            missing(&["app"])
                .unwrap()
                .contains("imconnector and imopenlines")
        );
        let one = missing(&["imconnector"]).unwrap();
        assert!(one.contains("permission imopenlines:"), "{one}");
    }
}
