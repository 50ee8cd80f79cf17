//! What somebody posts about an installation, and what of it is true.
//!
//! Anybody can post an install event or open a page of ours with a form. Nothing in it is believed before the
//! authorization server, whose host is ours to choose, has said to which application and which portal its access token
//! belongs; until then no request goes to any host that is named there. What remains unproven then is the portal's
//! `member_id`; see [`install`](mod@super::install) and [`frame`](super::frame).

use std::time::Duration;

use bitrix24::{
    AccessToken, ApplicationToken, RefreshToken,
    events::{EventAuth, PagePost},
    oauth::{AppInfo, AuthorizationServer, OAuthError},
};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{InstallError, Parts, authorization_server, host_of};
use crate::{secret::Secret, store::instances::TokenPair, time::Millis};

/// Longest wait for each answer while somebody waits for a verification.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// Lifetimes of access tokens that are believed, in seconds.
const LIFETIMES: std::ops::RangeInclusive<i64> = 1..=24 * 60 * 60;

/// Lifetime where nothing says one.
const USUAL_LIFETIME: i64 = 60 * 60;

/// What was posted, in one form whichever shape it came in.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The portal's unchanging id, as posted.
    pub member_id: String,
    /// The portal's host, as posted.
    pub domain: Option<String>,
    /// Base address of the portal's REST methods, as posted; pages do not bring it.
    pub client_endpoint: Option<Url>,
    /// The authorization server's REST, as posted.
    pub server_endpoint: Option<Url>,
    /// For calls.
    pub access_token: AccessToken,
    /// For the next pair.
    pub refresh_token: Option<RefreshToken>,
    /// Proof of origin of later events; older portals do not bring it with their pages.
    pub application_token: Option<ApplicationToken>,
    /// Lifetime of the access token in seconds.
    pub expires_in: Option<i64>,
    /// Permissions of the application.
    pub scope: Vec<String>,
    /// Language code.
    pub language: Option<String>,
}

/// A [`Claim`] as it is kept, sealed, until it can be completed.
#[derive(Serialize, Deserialize)]
struct Kept {
    member_id: String,
    domain: Option<String>,
    client_endpoint: Option<String>,
    server_endpoint: Option<String>,
    access_token: String,
    refresh_token: Option<String>,
    application_token: Option<String>,
    expires_in: Option<i64>,
    scope: Vec<String>,
    language: Option<String>,
}

impl Claim {
    /// What an install or update event brings, which are the only events with both tokens.
    pub fn of_event(auth: &EventAuth, language: Option<&str>) -> Result<Self, InstallError> {
        let missing = InstallError::Missing;
        Ok(Self {
            member_id: auth.member_id.clone(),
            domain: auth.domain.clone(),
            client_endpoint: auth.client_endpoint.clone(),
            server_endpoint: auth.server_endpoint.clone(),
            access_token: auth.access_token.clone().ok_or(missing("access token"))?,
            refresh_token: Some(auth.refresh_token.clone().ok_or(missing("refresh token"))?),
            application_token: Some(
                auth.application_token
                    .clone()
                    .ok_or(missing("application token"))?,
            ),
            expires_in: auth.expires_in,
            scope: auth.scope.clone(),
            language: language.map(str::to_owned),
        })
    }

    /// What the form brings that opens a page in a frame.
    pub fn of_page(page: &PagePost) -> Result<Self, InstallError> {
        Ok(Self {
            member_id: page.member_id.clone(),
            domain: page.domain.clone(),
            client_endpoint: None,
            server_endpoint: page.server_endpoint.clone(),
            access_token: page
                .access_token
                .clone()
                .ok_or(InstallError::Missing("access token"))?,
            refresh_token: page.refresh_token.clone(),
            application_token: page.application_token.clone(),
            expires_in: page.expires_in,
            scope: page.scope.clone(),
            language: page.language.clone(),
        })
    }

    /// As text to be sealed; it holds every token.
    pub(super) fn to_secret(&self) -> Secret {
        let kept = Kept {
            member_id: self.member_id.clone(),
            domain: self.domain.clone(),
            client_endpoint: self.client_endpoint.as_ref().map(Url::to_string),
            server_endpoint: self.server_endpoint.as_ref().map(Url::to_string),
            access_token: self.access_token.expose().to_owned(),
            refresh_token: self
                .refresh_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            application_token: self
                .application_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            expires_in: self.expires_in,
            scope: self.scope.clone(),
            language: self.language.clone(),
        };
        Secret::new(
            serde_json::to_string(&kept)
                // Only maps with keys that are no texts, and types that refuse by themselves, fail.
                .expect("a structure of texts and numbers always becomes JSON"),
        )
    }

    /// Reads what [`Claim::to_secret`] wrote.
    pub(super) fn of_secret(secret: &Secret) -> Option<Self> {
        let kept: Kept = serde_json::from_str(secret.expose()).ok()?;
        let url = |text: Option<String>| text.and_then(|text| Url::parse(&text).ok());
        Some(Self {
            member_id: kept.member_id,
            domain: kept.domain,
            client_endpoint: url(kept.client_endpoint),
            server_endpoint: url(kept.server_endpoint),
            access_token: AccessToken::new(kept.access_token),
            refresh_token: kept.refresh_token.map(RefreshToken::new),
            application_token: kept.application_token.map(ApplicationToken::new),
            expires_in: kept.expires_in,
            scope: kept.scope,
            language: kept.language,
        })
    }

    /// The pair that was posted, as it is stored.
    pub(super) fn pair(&self, now: Millis) -> Option<TokenPair> {
        let seconds = self.expires_in.unwrap_or(USUAL_LIFETIME);
        let lifetime = seconds.clamp(*LIFETIMES.start(), *LIFETIMES.end());
        Some(TokenPair {
            access_token: Secret::new(self.access_token.expose()),
            refresh_token: Secret::new(self.refresh_token.as_ref()?.expose()),
            expires_at: now + Duration::from_secs(lifetime.unsigned_abs()),
            refreshed_at: now,
        })
    }
}

/// What the authorization server confirmed of a claim.
#[derive(Debug, Clone)]
pub(super) struct Proven {
    /// The application's client id.
    pub(super) client_id: String,
    /// Base address of the portal's REST methods, on the proven host.
    pub(super) endpoint: Url,
    /// The portal's host, with the port where it is not the usual one.
    pub(super) host: String,
    /// The server that said so.
    pub(super) server: AuthorizationServer,
}

/// Asks the authorization server whose token it is, and compares with what was posted.
pub(super) async fn prove<P: Parts>(app: &P, claim: &Claim) -> Result<Proven, InstallError> {
    let server = authorization_server(app, claim.server_endpoint.as_ref())?;
    let info = limited(server.app_info(&claim.access_token)).await?;
    let endpoint = proven_endpoint(claim, &info)?;
    Ok(Proven {
        host: host_of(&endpoint).ok_or(InstallError::Missing("portal address"))?,
        client_id: info.client_id,
        endpoint,
        server,
    })
}

/// Waits for the authorization server, but not for long.
pub(super) async fn limited<T>(
    question: impl Future<Output = Result<T, OAuthError>>,
) -> Result<T, InstallError> {
    Ok(tokio::time::timeout(LIMIT, question)
        .await
        .map_err(|_| InstallError::NoAnswer)??)
}

/// Base address of the portal's REST methods: on the host that the authorization server names, and that every address
/// in the post must name too.
fn proven_endpoint(claim: &Claim, info: &AppInfo) -> Result<Url, InstallError> {
    let uri = info
        .install_uri
        .as_ref()
        .ok_or(InstallError::Missing("portal address"))?;
    let actual = host_of(uri).ok_or(InstallError::Missing("portal address"))?;
    let named = [
        claim
            .domain
            .as_deref()
            .map(|domain| named_host(domain, uri.scheme())),
        claim.client_endpoint.as_ref().and_then(host_of),
    ];
    for named in named.into_iter().flatten() {
        if named != actual {
            return Err(InstallError::OtherPortal { named, actual });
        }
    }
    // The path may be another one on a box; the scheme must not be a weaker one.
    let stated = claim
        .client_endpoint
        .as_ref()
        .filter(|stated| stated.scheme() == uri.scheme());
    Ok(stated.map_or_else(|| rest_of(uri), Url::clone))
}

/// Where REST is on a portal with this address.
pub(super) fn rest_of(portal: &Url) -> Url {
    let mut rest = portal.clone();
    rest.set_path(&format!("{}/rest/", portal.path().trim_end_matches('/')));
    rest.set_query(None);
    rest.set_fragment(None);
    rest
}

/// A host as a post writes it, in the form of [`host_of`].
fn named_host(domain: &str, scheme: &str) -> String {
    Url::parse(&format!("{scheme}://{domain}/"))
        .ok()
        .filter(|url| url.path() == "/" && url.username().is_empty() && url.password().is_none())
        .and_then(|url| host_of(&url))
        .unwrap_or_else(|| domain.to_lowercase())
}

#[cfg(test)]
mod unit_tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn claim(domain: Option<&str>, client_endpoint: Option<&str>) -> Claim {
        Claim {
            member_id: "m".to_owned(),
            domain: domain.map(str::to_owned),
            client_endpoint: client_endpoint.map(|url| url.parse().unwrap()),
            server_endpoint: None,
            access_token: AccessToken::new("geheim"),
            refresh_token: None,
            application_token: Some(ApplicationToken::new("geheim")),
            expires_in: None,
            scope: vec!["im".to_owned()],
            language: None,
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
        proven_endpoint(&claim(domain, client_endpoint), &info).map(|url| url.to_string())
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
            endpoint("http://127.0.0.1:9001/p/1", None, None).unwrap(),
            "http://127.0.0.1:9001/p/1/rest/"
        );
        assert_eq!(
            endpoint("http://127.0.0.1:9001", Some("127.0.0.1:9001"), None).unwrap(),
            "http://127.0.0.1:9001/rest/"
        );
        assert!(endpoint("not an address", None, None).is_err());
    }

    #[test]
    fn a_claim_is_kept_whole_and_not_printed() {
        let rest = "https://acme.bitrix24.com/rest/";
        let before = claim(Some("acme.bitrix24.com"), Some(rest));
        let after = Claim::of_secret(&before.to_secret()).unwrap();
        assert_eq!(after.access_token, before.access_token);
        assert_eq!(after.application_token, before.application_token);
        assert_eq!(after.client_endpoint, before.client_endpoint);
        assert_eq!(after.scope, before.scope);
        assert!(!format!("{after:?}").contains("geheim"));
        assert!(after.pair(Millis(0)).is_none(), "there is no refresh token");
    }
}
