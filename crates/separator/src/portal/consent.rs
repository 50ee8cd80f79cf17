//! The second way to an installation, and the way to authorize one again: a user of ours is sent to the portal's
//! authorization page and comes back with a code (Bitrix24: OAuth 2.0).
//!
//! The state that travels along is a random number, kept as its hash; it holds once, for ten minutes, and only in the
//! browser session of the user who began. Bitrix24 sends the browser back to the application's handler path, which may
//! be any of our doors; each of them leads to `/bitrix/callback/`.
//!
//! What the authorization server answers is the truth about application and portal; what the browser brings is only
//! compared with it.

use std::{sync::Arc, time::Duration};

use bitrix24::{
    ClientSecret, app as portal_app,
    oauth::{OAuthClass, OAuthError, Refusal},
};
use url::Url;
use uuid::Uuid;

use super::{
    InstallError, Parts, authorization_server,
    claim::{self, Claim},
    install::{self, Said},
};
use crate::{
    identifiers::Chance,
    registry::{BitrixApp, Instance, is_loopback},
    secret::sha256_hex,
    store::authorizations::{self, Authorization},
};

/// How long a browser may take.
pub const PATIENCE: Duration = Duration::from_mins(10);

/// Where the browser is sent.
#[derive(Debug, Clone)]
pub enum Target<'a> {
    /// A portal by its host; nothing is known about it yet.
    Portal(&'a str),
    /// An installation, to be authorized again.
    Instance(&'a Instance),
}

/// What the browser brings back.
#[derive(Debug, Clone, Default)]
pub struct Return {
    /// The state.
    pub state: String,
    /// The code; absent where access was denied.
    pub code: Option<String>,
    /// `error`, where access was denied.
    pub error: Option<String>,
    /// The portal's unchanging id, as the browser says it.
    pub member_id: Option<String>,
    /// Host of the authorization server, as the browser says it.
    pub server_domain: Option<String>,
}

/// Why a browser came back without an authorization. The names are those of the pages that explain them.
#[derive(Debug, thiserror::Error)]
pub enum ConsentError {
    /// The state is not one of ours, was used, is too old, or belongs to another browser or user.
    #[error("the authorization was not begun in this browser, or it is too old")]
    State,
    /// The employee said no.
    #[error("access was denied on the portal")]
    Denied,
    /// There is no code although nothing was denied.
    #[error("the portal sent the browser back without a code")]
    NoCode,
    /// The client secret is not entered.
    #[error("the client secret of the application is not entered")]
    NoSecret,
    /// The code is good for another portal than the one that is authorized again.
    #[error("the authorization belongs to another portal")]
    OtherPortal,
    /// What installing says.
    #[error(transparent)]
    Install(#[from] InstallError),
}

impl ConsentError {
    /// The reason in one word, as the address of the page has it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Denied => "denied",
            Self::NoCode => "no_code",
            Self::NoSecret => "secret",
            Self::OtherPortal | Self::Install(InstallError::OtherPortal { .. }) => "other_portal",
            Self::Install(InstallError::NotAdministrator) => "not_administrator",
            Self::Install(InstallError::OtherApplication { .. }) => "other_application",
            Self::Install(InstallError::Authorization(error)) => match error.class() {
                OAuthClass::Permanent(Refusal::Expired) => "code",
                OAuthClass::Permanent(Refusal::WrongSecret) => "secret",
                OAuthClass::Permanent(Refusal::Payment) => "payment",
                OAuthClass::Permanent(Refusal::Scope) => "scope",
                OAuthClass::Permanent(Refusal::PortalGone) => "portal_gone",
                OAuthClass::Permanent(_) => "refused",
                OAuthClass::Retry => "no_answer",
            },
            Self::Install(error) if error.is_temporary() => "no_answer",
            Self::Install(_) => "refused",
        }
    }
}

/// Address of the authorization page to which the user's browser is to be sent.
pub async fn begin<P: Parts>(
    app: &P,
    application: &BitrixApp,
    target: &Target<'_>,
    user_id: Uuid,
    session_id: Uuid,
) -> Result<Url, ConsentError> {
    let client_id = application
        .client_id
        .as_deref()
        .filter(|_| application.client_secret.is_some())
        .ok_or(ConsentError::NoSecret)?;
    let mut address = page(target).ok_or(InstallError::Missing("portal address"))?;
    let state = Chance::System.token();
    let authorization = Authorization {
        app_id: application.id,
        instance_id: match target {
            Target::Instance(instance) => Some(instance.id),
            Target::Portal(_) => None,
        },
        user_id,
        session_id,
    };
    let now = app.clock().now();
    let hash = sha256_hex(&state);
    authorizations::remember(app.store(), &hash, &authorization, now, now + PATIENCE)
        .await
        .map_err(InstallError::Store)?;
    address
        .query_pairs_mut()
        .append_pair("client_id", client_id)
        .append_pair("state", &state);
    Ok(address)
}

/// The authorization page of a portal. No request of ours goes there; the browser does.
fn page(target: &Target<'_>) -> Option<Url> {
    match target {
        Target::Portal(domain) => {
            let scheme = if is_loopback(domain) { "http" } else { "https" };
            Url::parse(&format!("{scheme}://{domain}/oauth/authorize/")).ok()
        }
        Target::Instance(instance) => {
            let rest = Url::parse(&instance.client_endpoint).ok()?;
            rest.join("../oauth/authorize/").ok()
        }
    }
}

/// Completes what a browser brought back; gives the installation.
pub async fn come_back<P: Parts>(
    app: &Arc<P>,
    back: &Return,
    (user_id, session_id): (Uuid, Uuid),
) -> Result<Uuid, ConsentError> {
    let hash = sha256_hex(&back.state);
    let authorization = authorizations::take(app.store(), &hash, app.clock().now())
        .await
        .map_err(InstallError::Store)?
        .filter(|begun| begun.user_id == user_id && begun.session_id == session_id)
        .ok_or(ConsentError::State)?;
    if back.error.is_some() {
        return Err(ConsentError::Denied);
    }
    let code = back.code.as_deref().ok_or(ConsentError::NoCode)?;
    let registry = app.directory().snapshot();
    let application = registry
        .bitrix_apps
        .get(&authorization.app_id)
        .ok_or(ConsentError::State)?;
    let claim = exchange(app.as_ref(), application, back, code).await?;
    let again = authorization
        .instance_id
        .and_then(|id| registry.instances.get(&id));
    if again.is_some_and(|instance| instance.member_id != claim.member_id) {
        return Err(ConsentError::OtherPortal);
    }
    let proven = claim::prove(app.as_ref(), &claim).await?;
    install::application(
        app.as_ref(),
        &proven.client_id,
        application.client_id.as_deref(),
        Some(application.site_id),
    )?;
    let profile = install::profile(app.as_ref(), &claim.access_token, &proven.endpoint).await?;
    if !profile.admin {
        return Err(InstallError::NotAdministrator.into());
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
        administrator: Some(profile),
    };
    Ok(install::complete(app, &claim, &proven, application, said).await?)
}

/// Buys the tokens for a code. Everything in the claim is the authorization server's own word.
async fn exchange<P: Parts>(
    app: &P,
    application: &BitrixApp,
    back: &Return,
    code: &str,
) -> Result<Claim, ConsentError> {
    let (Some(client_id), Some(secret)) = (&application.client_id, &application.client_secret)
    else {
        return Err(ConsentError::NoSecret);
    };
    // One of the known hosts, whichever of them the browser names.
    let named = back
        .server_domain
        .as_deref()
        .and_then(|host| Url::parse(&format!("https://{host}/rest/")).ok());
    let server = match authorization_server(app, named.as_ref()) {
        Err(OAuthError::NotAllowed) => authorization_server(app, None),
        chosen => chosen,
    }
    .map_err(InstallError::Authorization)?;
    let secret = ClientSecret::new(secret.expose());
    let tokens = claim::limited(server.exchange_code(client_id, &secret, code)).await?;
    if back
        .member_id
        .as_ref()
        .is_some_and(|named| *named != tokens.member_id)
    {
        return Err(ConsentError::OtherPortal);
    }
    Ok(Claim {
        member_id: tokens.member_id,
        domain: None,
        client_endpoint: tokens.client_endpoint,
        server_endpoint: Some(server.base().join("rest/").unwrap_or(server.base().clone())),
        access_token: tokens.access_token,
        refresh_token: Some(tokens.refresh_token),
        // The authorization server does not know it: the first event or page brings it.
        application_token: None,
        expires_in: i64::try_from(tokens.expires_in.as_secs()).ok(),
        scope: tokens.scope,
        language: None,
    })
}
