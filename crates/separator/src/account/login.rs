//! Logging in at Facebook by the manual flow: out with a state that is bound to the user and the browser, good for one
//! return within ten minutes; back with a code, which is exchanged here. Nothing is entered before the token was looked at.
//!
//! Source: Meta, "Facebook Login: manually build a login flow".

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    extract::{ConnectInfo, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use url::Url;
use uuid::Uuid;
use whatsapp::client::{Credentials, Login as Dialog};

use super::{client, connect, health, inspect};
use crate::{
    app::App,
    identifiers::Chance,
    registry::{Site, WabaApp},
    secret::{Secret, sha256_hex},
    store::{self, meta},
    users::session,
};

/// How long somebody may be away at Facebook.
const LIFETIME: Duration = Duration::from_mins(10);

/// The path to which the browser comes back, below the site's address.
pub const CALLBACK: &str = "/waba/callback/";

/// A login that was begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub dialog: Url,
    /// By which the browser is known again.
    pub cookie: Option<HeaderValue>,
}

/// Why a login ended without a connection. The web application has a page for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The person declined.
    Denied,
    /// The state is none of ours.
    StateUnknown,
    /// More than ten minutes ago.
    StateExpired,
    /// The browser came back with it before.
    StateUsed,
    /// It was begun in another browser.
    OtherBrowser,
    /// Somebody else is signed in now, or nobody.
    OtherUser,
    /// The app was removed meanwhile.
    AppUnknown,
    /// Facebook sent no code.
    NoCode,
    /// The code was used before or is too old.
    CodeUsed,
    /// The redirect address is not the one of the dialog.
    RedirectDiffers,
    /// App ID and App secret do not belong together.
    WrongSecret,
    /// The token belongs to another app.
    WrongApp,
    /// A permission was not granted.
    MissingScope,
    /// No account was granted.
    NoAccount,
    /// The token does not work.
    TokenInvalid,
    /// Meta refused for another reason.
    Refused,
    /// Meta did not answer.
    MetaUnreachable,
    /// The database did not answer.
    Unavailable,
}

impl Refusal {
    /// The last part of the page's path.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::StateUnknown => "state_unknown",
            Self::StateExpired => "state_expired",
            Self::StateUsed => "state_used",
            Self::OtherBrowser => "other_browser",
            Self::OtherUser => "other_user",
            Self::AppUnknown => "app_unknown",
            Self::NoCode => "no_code",
            Self::CodeUsed => "code_used",
            Self::RedirectDiffers => "redirect_differs",
            Self::WrongSecret => "wrong_secret",
            Self::WrongApp => "wrong_app",
            Self::MissingScope => "missing_scope",
            Self::NoAccount => "no_account",
            Self::TokenInvalid => "token_invalid",
            Self::Refused => "refused",
            Self::MetaUnreachable => "meta_unreachable",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        tracing::error!(%error, "a login at Facebook met a database that does not answer");
        Self::Unavailable
    }
}

/// The address to which the browser comes back; entered at Meta among the "Valid OAuth Redirect URIs", byte for byte.
pub fn redirect_uri(site: &Site) -> String {
    format!("{}{CALLBACK}", site.base_url())
}

/// Begins a login of a user, in the browser session where there is one.
pub async fn begin(
    app: &App,
    waba_app: &WabaApp,
    site: &Site,
    user: Uuid,
    session: Option<Uuid>,
) -> Result<Begun, store::Error> {
    let (state, browser) = (Chance::System.token(), Chance::System.token());
    let now = app.clock.now();
    let login = meta::Login {
        state_hash: sha256_hex(&state),
        browser_hash: sha256_hex(&browser),
        app: waba_app.id,
        user,
        session,
        redirect_uri: redirect_uri(site),
        expires_at: now + LIFETIME,
        used_at: None,
    };
    meta::begin_login(&app.store, &login, now).await?;
    let dialog = Dialog {
        app_id: &waba_app.client_id,
        redirect_uri: &login.redirect_uri,
        state: &state,
        config_id: waba_app.config_id.as_deref(),
        // What was declined the last time is asked for again.
        again: waba_app.config_id.is_none(),
    };
    Ok(Begun {
        dialog: dialog.dialog(
            &app.settings.facebook_url,
            app.settings.graph_version.as_str(),
        ),
        cookie: session::header(&cookie_name(&login.state_hash), &browser, LIFETIME),
    })
}

/// One cookie for each login, so that two in one browser do not disturb each other.
fn cookie_name(state_hash: &str) -> String {
    let short: String = state_hash.chars().take(12).collect();
    format!("__Host-separator-login-{short}")
}

/// With what the browser comes back.
#[derive(Debug, Deserialize)]
pub struct Returned {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// `GET /waba/callback/`: the browser is back from Facebook. It is sent on to the page of the connection, or to one that
/// says what went wrong.
pub async fn callback(
    State(app): State<Arc<App>>,
    _: ConnectInfo<SocketAddr>,
    Query(returned): Query<Returned>,
    headers: HeaderMap,
) -> Response {
    let state_hash = returned.state.as_deref().map(sha256_hex);
    let to = match come_back(&app, &returned, state_hash.as_deref(), &headers).await {
        Ok(connection) => format!("/waba/connected/{connection}"),
        Err(refusal) => {
            app.metrics.count("logins_refused", refusal.as_str());
            format!("/waba/refused/{}", refusal.as_str())
        }
    };
    let headers = [
        (header::LOCATION, to.as_str()),
        (header::CACHE_CONTROL, "no-store"),
        // The code stands in the address of this page.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let mut response = (StatusCode::SEE_OTHER, headers).into_response();
    let used = state_hash.and_then(|hash| session::header(&cookie_name(&hash), "", Duration::ZERO));
    if let Some(cookie) = used {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

async fn come_back(
    app: &Arc<App>,
    returned: &Returned,
    state_hash: Option<&str>,
    headers: &HeaderMap,
) -> Result<Uuid, Refusal> {
    let state_hash = state_hash.ok_or(Refusal::StateUnknown)?;
    let login = meta::login(&app.store, state_hash)
        .await?
        .ok_or(Refusal::StateUnknown)?;
    let browser = session::cookie(headers, &cookie_name(state_hash)).map(sha256_hex);
    let same = browser.is_some_and(|hash| Secret::new(login.browser_hash.as_str()).matches(&hash));
    if login.used_at.is_some() {
        return Err(Refusal::StateUsed);
    }
    if !same {
        return Err(Refusal::OtherBrowser);
    }
    let now = app.clock.now();
    if now >= login.expires_at {
        return Err(Refusal::StateExpired);
    }
    if let Some(session) = login.session {
        let signed_in = match session::token(headers) {
            Some(token) => session::check(&app.store, now, token).await?,
            None => None,
        };
        if signed_in.is_none_or(|valid| valid.id != session || valid.user_id != login.user) {
            return Err(Refusal::OtherUser);
        }
    }
    // From here on it is used up, whatever comes of it.
    if !meta::use_login(&app.store, state_hash, now).await? {
        return Err(Refusal::StateUsed);
    }
    match returned.error.as_deref() {
        Some("access_denied") => return Err(Refusal::Denied),
        Some(_) => return Err(Refusal::Refused),
        None => {}
    }
    let code = returned
        .code
        .as_deref()
        .filter(|code| !code.is_empty())
        .ok_or(Refusal::NoCode)?;
    connect(app, &login, code).await
}

/// Makes a connection of a code.
async fn connect(app: &Arc<App>, login: &meta::Login, code: &str) -> Result<Uuid, Refusal> {
    let registry = app.directory.snapshot();
    let waba_app = registry
        .waba_apps
        .get(&login.app)
        .ok_or(Refusal::AppUnknown)?;
    let client = client(app);
    let app_id = waba_app.client_id.as_str();
    let secret = whatsapp::Secret::new(waba_app.client_secret.expose());
    let code = whatsapp::Secret::new(code);
    let mut token = client
        .exchange_code(app_id, &secret, &login.redirect_uri, &code)
        .await
        .map_err(|error| of_exchange(&error))?
        .access_token;
    let own = Credentials::of_app(app_id, &secret);
    let info = client
        .debug_token(&own, &token)
        .await
        .map_err(|error| of_call(&error))?;
    if !info.is_valid {
        return Err(Refusal::TokenInvalid);
    }
    if info.app_id.as_deref() != Some(app_id) {
        return Err(Refusal::WrongApp);
    }
    if !health::SCOPES.iter().all(|scope| info.may(scope)) {
        return Err(Refusal::MissingScope);
    }
    let credentials = Credentials {
        access_token: token.clone(),
        app_secret: Some(secret.clone()),
    };
    let accounts = inspect::granted(&client, &credentials, &info)
        .await
        .map_err(|error| of_call(&error))?;
    if accounts.is_empty() {
        return Err(Refusal::NoAccount);
    }
    if info.kind.as_deref() == Some("USER") {
        // One of an hour or two would end in the middle of a talk.
        match client.extend_token(app_id, &secret, &token).await {
            Ok(longer) => token = longer.access_token,
            Err(error) => tracing::warn!(%error, "a user's token could not be made to last longer"),
        }
    }
    let plan = connect::Plan {
        accounts,
        phones: Vec::new(),
    };
    let token = Secret::new(token.expose());
    let connection = connect::begin(app, waba_app.id, Some(token), plan).await?;
    tracing::info!(user = %login.user, connection = %connection.id, "a login at Facebook is being connected");
    Ok(connection.id)
}

fn of_exchange(error: &whatsapp::Error) -> Refusal {
    match error.api() {
        Some(api) if api.is_used_code() => Refusal::CodeUsed,
        Some(api) if api.is_other_redirect() => Refusal::RedirectDiffers,
        Some(_) if health::is_wrong_secret(error) => Refusal::WrongSecret,
        _ => of_call(error),
    }
}

fn of_call(error: &whatsapp::Error) -> Refusal {
    tracing::warn!(%error, "a login at Facebook ended at a call to Meta");
    if error.api().is_some() {
        Refusal::Refused
    } else {
        Refusal::MetaUnreachable
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use whatsapp::ApiError;

    use super::*;
    use crate::time::Millis;

    #[test]
    fn the_browser_comes_back_to_the_site_with_the_slash_at_the_end() {
        let site = |domain: &str| Site {
            id: Uuid::nil(),
            domain: domain.to_owned(),
            owner: None,
            created_at: Millis(0),
        };
        assert_eq!(
            redirect_uri(&site("separator.example.com")),
            "https://separator.example.com/waba/callback/"
        );
        assert_eq!(
            redirect_uri(&site("127.0.0.1:8080")),
            "http://127.0.0.1:8080/waba/callback/"
        );
    }

    #[test]
    fn each_login_has_a_cookie_of_its_own() {
        let (one, other) = (sha256_hex("one"), sha256_hex("other"));
        assert_ne!(cookie_name(&one), cookie_name(&other));
        let cookie = session::header(&cookie_name(&one), "t", LIFETIME).unwrap();
        assert!(
            cookie
                .to_str()
                .unwrap()
                .starts_with("__Host-separator-login-")
        );
    }

    #[test]
    fn what_meta_says_to_a_code_is_told_apart() {
        let api = |code: i64, subcode: Option<i64>| {
            whatsapp::Error::Api(Box::new(ApiError {
                code: Some(code),
                subcode,
                ..ApiError::default()
            }))
        };
        for (error, wanted) in [
            (api(100, Some(36_009)), Refusal::CodeUsed),
            (api(100, Some(36_008)), Refusal::RedirectDiffers),
            (api(1, None), Refusal::WrongSecret),
            (api(101, None), Refusal::WrongSecret),
            (api(100, None), Refusal::Refused),
            (
                whatsapp::Error::Unknown("cut".to_owned()),
                Refusal::MetaUnreachable,
            ),
        ] {
            assert_eq!(of_exchange(&error), wanted, "{error}");
        }
    }
}
