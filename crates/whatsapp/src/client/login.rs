//! Tokens: what they may do, and how a login at Facebook yields one.

use url::Url;

use super::answers::{NewToken, TokenInfo};
use super::{Client, Credentials, opened};
use crate::Secret;
use crate::error::Error;

/// Permissions that a login asks for where the app has no configuration of its own. The last one is needed only to list
/// the accounts of a token that names none. Source: Meta, "WhatsApp Business Platform: permissions".
const SCOPES: &str = "whatsapp_business_management,whatsapp_business_messaging,business_management";

/// A login at Facebook by the manual flow. Source: Meta, "Facebook Login: manually build a login flow".
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// App ID.
    pub app_id: &'a str,
    /// Where the browser comes back to: one of the app's "Valid OAuth Redirect URIs", byte for byte.
    pub redirect_uri: &'a str,
    /// Comes back unchanged; proof that the login was begun here.
    pub state: &'a str,
    /// Configuration of Facebook Login for Business. It says which permissions are asked for.
    pub config_id: Option<&'a str>,
    /// Asks again for permissions that were declined before.
    pub again: bool,
}

impl Login<'_> {
    /// The address of the dialog, at `facebook` (`https://www.facebook.com`) in `version` (`v25.0`).
    pub fn dialog(&self, facebook: &Url, version: &str) -> Url {
        let mut url = facebook.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend([version, "dialog", "oauth"]);
        }
        let mut query = url.query_pairs_mut();
        query
            .append_pair("client_id", self.app_id)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("state", self.state)
            .append_pair("response_type", "code");
        match self.config_id {
            // Without the second a configuration for system users comes back with a token in place of a code.
            Some(config_id) => query
                .append_pair("config_id", config_id)
                .append_pair("override_default_response_type", "true"),
            None => query.append_pair("scope", SCOPES),
        };
        if self.again {
            query.append_pair("auth_type", "rerequest");
        }
        drop(query);
        url
    }
}

impl Credentials {
    /// The app's own token, made of its id and its secret, for calls about the app and about tokens.
    /// Source: Meta, "Access tokens: app access tokens".
    pub fn of_app(app_id: &str, app_secret: &Secret) -> Self {
        Self {
            access_token: Secret::new(format!("{app_id}|{}", app_secret.expose())),
            app_secret: None,
        }
    }
}

impl Client {
    /// Exchanges the code with which the browser came back for a token. `redirect_uri` is the one of the dialog.
    ///
    /// A code is good for one exchange: after [`Error::Unknown`] it may be used up. Meta refuses one that is used or
    /// expired with code 100, subcode 36009 (see [`ApiError::is_used_code`](crate::ApiError::is_used_code)).
    /// Source: Meta, "Facebook Login: exchanging code for an access token".
    pub async fn exchange_code(
        &self,
        app_id: &str,
        app_secret: &Secret,
        redirect_uri: &str,
        code: &Secret,
    ) -> Result<NewToken, Error> {
        let url = self.plain_url(&["oauth", "access_token"])?;
        // A form, which Meta takes as well as a query: code and secret are in no address.
        let form = [
            ("client_id", app_id),
            ("client_secret", app_secret.expose()),
            ("redirect_uri", redirect_uri),
            ("code", code.expose()),
        ];
        let answer = self.answered(self.http.post(url).form(&form)).await?;
        NewToken::read(&opened(&answer)?).ok_or(Error::Malformed("an access token"))
    }

    /// Exchanges a user's token of an hour or two for one of about 60 days. Tokens of system users need none.
    /// Source: Meta, "Facebook Login: long-lived access tokens".
    pub async fn extend_token(
        &self,
        app_id: &str,
        app_secret: &Secret,
        token: &Secret,
    ) -> Result<NewToken, Error> {
        let url = self.plain_url(&["oauth", "access_token"])?;
        let form = [
            ("grant_type", "fb_exchange_token"),
            ("client_id", app_id),
            ("client_secret", app_secret.expose()),
            ("fb_exchange_token", token.expose()),
        ];
        let answer = self.answered(self.http.post(url).form(&form)).await?;
        NewToken::read(&opened(&answer)?).ok_or(Error::Malformed("an access token"))
    }

    /// What a token is and may do. `credentials` is the app token (`APP_ID|APP_SECRET`) or another token of the app.
    /// Meta takes the token in question only in the address of this one call. Source: Meta, "Graph API: debug_token".
    pub async fn debug_token(
        &self,
        credentials: &Credentials,
        token: &Secret,
    ) -> Result<TokenInfo, Error> {
        let mut url = self.url(credentials, &["debug_token"])?;
        url.query_pairs_mut()
            .append_pair("input_token", token.expose());
        let answer = self.get(credentials, url).await?;
        let data = opened(&answer)?
            .object("data")
            .ok_or(Error::Malformed("the token's data"))?;
        Ok(TokenInfo::read(&data))
    }
}
