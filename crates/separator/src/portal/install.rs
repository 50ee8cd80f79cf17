//! Installing: from an install event to an installation that can be used.
//!
//! Anybody can post an install event. Nothing in it is believed before the authorization server, whose host is ours to
//! choose, has said to which application and which portal its access token belongs; until then no request goes to any
//! host that the event names. What remains unproven then is looked at separately:
//!
//! - *Whose token it is.* Any employee holds tokens of the portal. Where the application is installed already, the token
//!   must be an administrator's, or a token with few rights could replace the good one.
//! - *The portal's `member_id`.* It is part of the key, so a portal could claim another one's place. Where the place is
//!   taken by an installation on another host with another application token, the authorization server is asked for a
//!   new pair, whose answer names the member id.
//!
//! Installing again renews tokens and address and keeps the row with everything that belongs to it.

use std::{sync::Arc, time::Duration};

use bitrix24::{
    AccessToken, ApplicationToken, ClientSecret, Portal, RefreshToken, app as portal_app,
    events::EventAuth,
    oauth::{AppInfo, AuthorizationServer, OAuthClass, OAuthError, Tokens as NewTokens},
};
use url::Url;
use uuid::Uuid;

use super::{Parts, authorization_server, authorized, host_of, tokens};
use crate::{
    outgoing::Forbidden,
    registry::{BitrixApp, Instance},
    secret::Secret,
    store::{
        self,
        instances::{self, Installation, TokenPair},
    },
    time::Millis,
};

/// Permissions that the program cannot work without (Bitrix24: scopes of imconnector.* and imopenlines.*).
pub const NEEDED_SCOPES: [&str; 2] = ["imconnector", "imopenlines"];

/// Longest wait for each answer while somebody waits for the installation.
const LIMIT: Duration = Duration::from_secs(10);

/// Lifetimes of access tokens that are believed, in seconds.
const LIFETIMES: std::ops::RangeInclusive<i64> = 1..=24 * 60 * 60;

/// Lifetime where the event does not say one.
const USUAL_LIFETIME: i64 = 60 * 60;

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
        "the application {0} is not entered here: enter its client id first, then save its form again"
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
    /// The token does not belong to an administrator of a portal that is installed already.
    #[error("the portal is installed already: only an administrator can install it again")]
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
            Self::Portal(error) => !matches!(
                error.class(),
                bitrix24::Class::Refused | bitrix24::Class::Blocked(_)
            ),
            _ => false,
        }
    }
}

/// What an install event must bring.
struct Claim<'a> {
    auth: &'a EventAuth,
    access_token: &'a AccessToken,
    refresh_token: &'a RefreshToken,
    application_token: &'a ApplicationToken,
}

impl<'a> Claim<'a> {
    fn read(auth: &'a EventAuth) -> Result<Self, InstallError> {
        Ok(Self {
            auth,
            access_token: auth
                .access_token
                .as_ref()
                .ok_or(InstallError::Missing("access token"))?,
            refresh_token: auth
                .refresh_token
                .as_ref()
                .ok_or(InstallError::Missing("refresh token"))?,
            application_token: auth
                .application_token
                .as_ref()
                .ok_or(InstallError::Missing("application token"))?,
        })
    }
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
    let claim = Claim::read(auth)?;
    let server = authorization_server(app.as_ref(), auth.server_endpoint.as_ref())?;
    let info = limited(server.app_info(claim.access_token)).await?;
    let application = application(app.as_ref(), &info.client_id, client_id_hint)?;
    let endpoint = proven_endpoint(auth, &info)?;

    let _turn = app.portals().installing.lock().await;
    let registry = app.directory().snapshot();
    let known = registry
        .instances_of(&auth.member_id)
        .find(|instance| instance.app_id == application.id);
    let renewed = match known {
        Some(known) => {
            takeover(
                app.as_ref(),
                &claim,
                known,
                &application,
                &endpoint,
                &server,
            )
            .await?
        }
        None => None,
    };
    let now = app.clock().now();
    let pair = renewed.map_or_else(|| claimed_pair(&claim, now), |new| tokens::pair(now, &new));
    let installation = Installation {
        app_id: application.id,
        member_id: auth.member_id.clone(),
        domain: host_of(&endpoint).ok_or(InstallError::Missing("portal address"))?,
        client_endpoint: endpoint.to_string(),
        server_endpoint: auth
            .server_endpoint
            .as_ref()
            .unwrap_or(server.base())
            .to_string(),
        application_token: Secret::new(claim.application_token.expose()),
        tokens: pair,
        scope: auth.scope.join(","),
        language: language.map(str::to_owned),
        problem: problem(app.as_ref(), &auth.scope, &endpoint),
    };
    let id = known.map_or_else(|| app.ids().next(), |known| known.id);
    store(app.as_ref(), id, now, &installation).await?;
    tracing::info!(
        portal = installation.domain,
        application = application.client_id,
        "installed"
    );
    app.portals().hurry(id);
    Ok(id)
}

async fn store<P: Parts>(
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

async fn limited<T>(
    question: impl Future<Output = Result<T, OAuthError>>,
) -> Result<T, InstallError> {
    Ok(tokio::time::timeout(LIMIT, question)
        .await
        .map_err(|_| InstallError::NoAnswer)??)
}

/// The application that the token belongs to, which must be one of ours and the one that the address named.
fn application<P: Parts>(
    app: &P,
    client_id: &str,
    hint: Option<&str>,
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
        .find(|application| application.client_id == client_id)
        .cloned()
        .ok_or_else(|| InstallError::ForeignApplication(client_id.to_owned()))
}

/// Base address of the portal's REST methods: on the host that the authorization server names, and that every address
/// in the event must name too.
fn proven_endpoint(auth: &EventAuth, info: &AppInfo) -> Result<Url, InstallError> {
    let uri = info
        .install_uri
        .as_ref()
        .ok_or(InstallError::Missing("portal address"))?;
    let actual = host_of(uri).ok_or(InstallError::Missing("portal address"))?;
    let named = [
        auth.domain
            .as_deref()
            .map(|domain| named_host(domain, uri.scheme())),
        auth.client_endpoint.as_ref().and_then(host_of),
    ];
    for named in named.into_iter().flatten() {
        if named != actual {
            return Err(InstallError::OtherPortal { named, actual });
        }
    }
    // The path may be another one on a box; the scheme must not be a weaker one.
    let stated = auth
        .client_endpoint
        .as_ref()
        .filter(|stated| stated.scheme() == uri.scheme());
    let rest = || {
        uri.join("/rest/")
            .map_err(|_| InstallError::Missing("portal address"))
    };
    stated.map_or_else(rest, |stated| Ok(stated.clone()))
}

/// A host as an event writes it, in the form of [`host_of`].
fn named_host(domain: &str, scheme: &str) -> String {
    Url::parse(&format!("{scheme}://{domain}/"))
        .ok()
        .filter(|url| url.path() == "/" && url.username().is_empty() && url.password().is_none())
        .and_then(|url| host_of(&url))
        .unwrap_or_else(|| domain.to_lowercase())
}

/// Looks closer where an installation is there already; gives a new pair where one was issued for the proof.
async fn takeover<P: Parts>(
    app: &P,
    claim: &Claim<'_>,
    known: &Instance,
    application: &BitrixApp,
    endpoint: &Url,
    server: &AuthorizationServer,
) -> Result<Option<NewTokens>, InstallError> {
    administrator(app, claim, endpoint).await?;
    let same_host = host_of(endpoint).as_deref() == Some(known.domain.as_str());
    if same_host
        || known
            .application_token
            .matches(claim.application_token.expose())
    {
        return Ok(None);
    }
    let not_proven = || InstallError::NotProven {
        known: known.domain.clone(),
    };
    let secret = application.client_secret.as_ref().ok_or_else(not_proven)?;
    let secret = ClientSecret::new(secret.expose());
    let new = limited(server.refresh(&application.client_id, &secret, claim.refresh_token)).await?;
    if new.member_id == claim.auth.member_id {
        Ok(Some(new))
    } else {
        Err(not_proven())
    }
}

/// Asks the proven portal whether the token is an administrator's.
async fn administrator<P: Parts>(
    app: &P,
    claim: &Claim<'_>,
    endpoint: &Url,
) -> Result<(), InstallError> {
    app.outgoing().vet(endpoint)?;
    let portal = Portal::new(app.outgoing().api_client(), endpoint.clone());
    let profile = portal_app::profile();
    let question = portal.run(&profile, claim.access_token);
    let answer = tokio::time::timeout(LIMIT, question)
        .await
        .unwrap_or_else(|_| {
            Err(bitrix24::Error::Unreachable {
                detail: "no answer in time".to_owned(),
            })
        })
        .map_err(InstallError::Portal)?;
    let admin = portal_app::Profile::read(&answer.result).is_some_and(|profile| profile.admin);
    if admin {
        Ok(())
    } else {
        Err(InstallError::NotAdministrator)
    }
}

fn claimed_pair(claim: &Claim<'_>, now: Millis) -> TokenPair {
    let seconds = claim.auth.expires_in.unwrap_or(USUAL_LIFETIME);
    let lifetime = seconds.clamp(*LIFETIMES.start(), *LIFETIMES.end());
    TokenPair {
        access_token: Secret::new(claim.access_token.expose()),
        refresh_token: Secret::new(claim.refresh_token.expose()),
        expires_at: now + Duration::from_secs(lifetime.unsigned_abs()),
        refreshed_at: now,
    }
}

/// What is wrong with an installation that can be stored all the same.
fn problem<P: Parts>(app: &P, scope: &[String], endpoint: &Url) -> Option<String> {
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

    fn auth(domain: Option<&str>, client_endpoint: Option<&str>) -> EventAuth {
        EventAuth {
            member_id: "m".to_owned(),
            application_token: None,
            domain: domain.map(str::to_owned),
            access_token: None,
            refresh_token: None,
            expires_in: None,
            scope: Vec::new(),
            client_endpoint: client_endpoint.map(|url| url.parse().unwrap()),
            server_endpoint: None,
            user_id: None,
            status: None,
        }
    }

    fn endpoint(
        uri: &str,
        domain: Option<&str>,
        client_endpoint: Option<&str>,
    ) -> Result<String, InstallError> {
        let info = AppInfo {
            client_id: "local.1".to_owned(),
            install_uri: uri.parse().ok(),
        };
        proven_endpoint(&auth(domain, client_endpoint), &info).map(|url| url.to_string())
    }

    #[test]
    fn the_portal_is_where_the_authorization_server_says() {
        let uri = "https://Acme.bitrix24.com";
        let rest = "https://acme.bitrix24.com/rest/";
        for (domain, stated, expected) in [
            (Some("acme.bitrix24.com"), Some(rest), rest),
            (Some("ACME.bitrix24.com:443"), None, rest),
            (None, None, rest),
            (
                None,
                Some("https://acme.bitrix24.com/b24/rest/"),
                "https://acme.bitrix24.com/b24/rest/",
            ),
            (None, Some("http://acme.bitrix24.com:443/rest/"), ""),
            (None, Some("http://acme.bitrix24.com/rest/"), rest),
            (Some("evil.example"), Some(rest), ""),
            (
                Some("acme.bitrix24.com"),
                Some("https://evil.example/rest/"),
                "",
            ),
            (Some("acme.bitrix24.com@evil.example"), None, ""),
            (Some("acme.bitrix24.com:8443"), None, ""),
            (Some("acme.bitrix24.com/x"), None, ""),
            (Some(""), None, ""),
        ] {
            let found = endpoint(uri, domain, stated).unwrap_or_default();
            assert_eq!(found, expected, "{domain:?} {stated:?}");
        }
        assert_eq!(
            endpoint("http://127.0.0.1:9001", Some("127.0.0.1:9001"), None).unwrap(),
            "http://127.0.0.1:9001/rest/"
        );
        assert!(endpoint("not an address", None, None).is_err());
    }

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
