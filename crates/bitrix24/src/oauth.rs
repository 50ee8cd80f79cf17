//! The authorization server: exchanging and refreshing tokens, and asking whose token it is.
//!
//! It is another host than the portal, and the only one that may receive the client secret. A refresh token is good
//! for one use: store the new pair durably before using it, and never refresh the same pair twice at once.

mod error;

use std::time::Duration;

use reqwest::header::USER_AGENT;
use serde_json::{Value, json};
use url::Url;

pub use self::error::{OAuthClass, OAuthError, Refusal};
use crate::client::{AGENT, error_chain, read_limited, with_slash};
use crate::events::scope_list;
use crate::loose;
use crate::secret::{AccessToken, ClientSecret, RefreshToken};

/// The hosts that are authorization servers: worldwide, and for portals of the Russian region.
pub const OFFICIAL: [&str; 2] = ["https://oauth.bitrix.info/", "https://oauth.bitrix24.tech/"];

/// Longest lifetime of an access token that is believed; the documented one is an hour.
const LONGEST: u64 = 24 * 60 * 60;

/// One authorization server.
#[derive(Debug, Clone)]
pub struct AuthorizationServer {
    http: reqwest::Client,
    base: Url,
}

/// A pair of tokens as the authorization server issues it.
///
/// Its `domain` is left out on purpose: it names the authorization server, not the portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// For calls.
    pub access_token: AccessToken,
    /// For the next refresh; replaces the one that was used.
    pub refresh_token: RefreshToken,
    /// Lifetime of the access token, never less than a second nor more than a day.
    pub expires_in: Duration,
    /// The portal's identity; compare it with the expected one before storing.
    pub member_id: String,
    /// Where the portal's REST is now.
    pub client_endpoint: Option<Url>,
    /// Permissions of the application.
    pub scope: Vec<String>,
    /// The employee whose tokens they are.
    pub user_id: Option<i64>,
}

/// What the authorization server knows about a token (its own `app.info`, which differs from the portal's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppInfo {
    /// The application's client id.
    pub client_id: String,
    /// The portal on which it is installed, as `https://acme.bitrix24.com`.
    pub install_uri: Option<Url>,
}

impl AppInfo {
    /// Host of the portal, in lower case, with the port where it is not the usual one.
    pub fn install_host(&self) -> Option<String> {
        let uri = self.install_uri.as_ref()?;
        let host = uri.host_str()?.to_ascii_lowercase();
        Some(
            uri.port()
                .map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
        )
    }
}

impl AuthorizationServer {
    /// Chooses the server for a portal.
    ///
    /// `only` is an override for tests and special networks: where given, nothing else is ever used. Otherwise
    /// `server_endpoint`, as the portal's event or page named it, must be on one of the [`OFFICIAL`] hosts; without
    /// one it is the first of them.
    pub fn choose(
        http: reqwest::Client,
        only: Option<&Url>,
        server_endpoint: Option<&Url>,
    ) -> Result<Self, OAuthError> {
        let base = match (only, server_endpoint) {
            (Some(only), _) => with_slash(only.clone()),
            (None, None) => official(OFFICIAL[0])?,
            (None, Some(asked)) => OFFICIAL
                .iter()
                .filter_map(|known| official(known).ok())
                .find(|known| known.origin() == asked.origin())
                .ok_or(OAuthError::NotAllowed)?,
        };
        Ok(Self { http, base })
    }

    /// The server's address.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Buys a new pair of tokens for a refresh token.
    pub async fn refresh(
        &self,
        client_id: &str,
        client_secret: &ClientSecret,
        refresh_token: &RefreshToken,
    ) -> Result<Tokens, OAuthError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose()),
            ("refresh_token", refresh_token.expose()),
        ];
        let (http, body) = self.post("oauth/token/", Body::Form(&form)).await?;
        read_tokens(http, &body)
    }

    /// Buys the first pair of tokens for the code of a browser redirect; the code is good for 30 seconds.
    pub async fn exchange_code(
        &self,
        client_id: &str,
        client_secret: &ClientSecret,
        code: &str,
    ) -> Result<Tokens, OAuthError> {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("client_secret", client_secret.expose()),
            ("code", code),
        ];
        let (http, body) = self.post("oauth/token/", Body::Form(&form)).await?;
        read_tokens(http, &body)
    }

    /// Asks which application and portal an access token belongs to: the proof of a first installation.
    pub async fn app_info(&self, access_token: &AccessToken) -> Result<AppInfo, OAuthError> {
        let body = json!({ "auth": access_token.expose() });
        let (http, body) = self.post("rest/app.info", Body::Json(&body)).await?;
        read_app_info(http, &body)
    }

    async fn post(&self, path: &str, body: Body<'_>) -> Result<(u16, Vec<u8>), OAuthError> {
        let url = self.base.join(path).map_err(|_| OAuthError::NotAllowed)?;
        let request = self.http.post(url.clone()).header(USER_AGENT, AGENT);
        let request = match body {
            Body::Form(fields) => request.form(fields),
            Body::Json(value) => request.json(value),
        };
        let response = request
            .send()
            .await
            .map_err(|error| OAuthError::Unreachable {
                detail: error_chain(&error.without_url()),
            })?;
        let http = response.status().as_u16();
        if response.url().origin() != url.origin() {
            return Err(OAuthError::Unclear { http });
        }
        let body = read_limited(response)
            .await
            .map_err(|detail| OAuthError::Unreachable { detail })?;
        Ok((http, body))
    }
}

enum Body<'a> {
    Form(&'a [(&'a str, &'a str)]),
    Json(&'a Value),
}

fn official(base: &str) -> Result<Url, OAuthError> {
    Url::parse(base).map_err(|_| OAuthError::NotAllowed)
}

/// The answer as a map, or the error that it is.
fn read_map(http: u16, body: &[u8]) -> Result<Value, OAuthError> {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    if let Some(code) = loose::text_at(&value, &["error"]) {
        let description = loose::text_at(&value, &["error_description"]).unwrap_or_default();
        return Err(OAuthError::from_code(&code, description, http));
    }
    if http == 404 {
        return Err(OAuthError::from_code("", String::new(), http));
    }
    if !(200..300).contains(&http) || !value.is_object() {
        return Err(OAuthError::Unclear { http });
    }
    Ok(value)
}

fn read_tokens(http: u16, body: &[u8]) -> Result<Tokens, OAuthError> {
    let value = read_map(http, body)?;
    let text = |key: &str| loose::text_at(&value, &[key]);
    let needed = |key: &str| text(key).ok_or(OAuthError::Unclear { http });
    let seconds = loose::integer_at(&value, &["expires_in"]).unwrap_or(3600);
    Ok(Tokens {
        access_token: AccessToken::new(needed("access_token")?),
        refresh_token: RefreshToken::new(needed("refresh_token")?),
        expires_in: Duration::from_secs(u64::try_from(seconds).unwrap_or(1).clamp(1, LONGEST)),
        member_id: needed("member_id")?,
        client_endpoint: text("client_endpoint").and_then(|url| Url::parse(&url).ok()),
        scope: text("scope")
            .map(|scope| scope_list(&scope))
            .unwrap_or_default(),
        user_id: loose::integer_at(&value, &["user_id"]),
    })
}

fn read_app_info(http: u16, body: &[u8]) -> Result<AppInfo, OAuthError> {
    let value = read_map(http, body)?;
    let uri = loose::text_at(&value, &["result", "install", "uri"]);
    Ok(AppInfo {
        client_id: loose::text_at(&value, &["result", "client_id"])
            .ok_or(OAuthError::Unclear { http })?,
        install_uri: uri.and_then(|uri| Url::parse(&uri).ok()),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const PAIR: &str = r#"{"access_token":"geheim1","refresh_token":"geheim2","expires_in":3600,"expires":1773762761,
        "member_id":"m1","client_endpoint":"https://acme.bitrix24.com/rest/","domain":"oauth.bitrix.info",
        "scope":"imconnector,im","status":"L","user_id":"1"}"#;

    #[test]
    fn a_pair_is_read_and_not_printed() {
        let tokens = read_tokens(200, PAIR.as_bytes()).unwrap();
        assert_eq!(tokens.refresh_token.expose(), "geheim2");
        assert_eq!(
            tokens.client_endpoint.as_ref().unwrap().host_str(),
            Some("acme.bitrix24.com")
        );
        assert_eq!((tokens.scope.len(), tokens.user_id), (2, Some(1)));
        assert!(!format!("{tokens:?}").contains("geheim"));
    }

    #[test]
    fn an_impossible_lifetime_is_bent_to_a_possible_one() {
        for (written, seconds) in [
            ("0", 1),
            ("-5", 1),
            ("3600", 3600),
            ("\"3600\"", 3600),
            ("8357700000", 86400),
            ("null", 3600),
        ] {
            let body = PAIR.replace("\"expires_in\":3600", &format!("\"expires_in\":{written}"));
            let tokens = read_tokens(200, body.as_bytes()).unwrap();
            assert_eq!(tokens.expires_in.as_secs(), seconds, "{written}");
        }
    }

    #[test]
    fn an_answer_without_pair_is_unclear_and_keeps_the_old_one() {
        for (http, body) in [
            (200, "{}"),
            (200, "<html>"),
            (502, "<html>"),
            (200, r#"{"access_token":"x"}"#),
        ] {
            let error = read_tokens(http, body.as_bytes()).unwrap_err();
            assert_eq!(error.class(), OAuthClass::Retry, "{http} {body}");
        }
    }

    #[test]
    fn the_servers_app_info_names_the_portal() {
        let body = br#"{"result":{"client_id":"local.65e","install":{"uri":"https://Acme.bitrix24.com","version":1}}}"#;
        let info = read_app_info(200, body).unwrap();
        assert_eq!(info.client_id, "local.65e");
        assert_eq!(info.install_host().as_deref(), Some("acme.bitrix24.com"));
        let error = read_app_info(401, br#"{"error":"expired_token","error_description":"x"}"#)
            .unwrap_err();
        assert_eq!(error.class(), OAuthClass::Permanent(Refusal::UnknownToken));
    }
}
