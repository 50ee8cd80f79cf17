//! The browser form that opens a page of the application inside a portal's frame.

use serde_json::Value;
use url::Url;

use super::{NotUnderstood, scope_list};
use crate::secret::{AccessToken, ApplicationToken, RefreshToken};
use crate::{form, loose};

/// What a portal posts when an employee opens an application's page or placement (Bitrix24: widgets).
///
/// The tokens belong to the employee who looks at the page, except on the installation page, where they are those of
/// the administrator who installs.
#[derive(Debug, Clone, PartialEq)]
pub struct PagePost {
    /// The portal's identity.
    pub member_id: String,
    /// `DOMAIN` of the query: the portal's host.
    pub domain: Option<String>,
    /// `PROTOCOL` of the query: false only for a portal on plain http.
    pub https: bool,
    /// `LANG` of the query.
    pub language: Option<String>,
    /// `APP_SID` of the query: identifies the frame.
    pub app_sid: Option<String>,
    /// `AUTH_ID`: the access token.
    pub access_token: Option<AccessToken>,
    /// `REFRESH_ID`: the refresh token.
    pub refresh_token: Option<RefreshToken>,
    /// `AUTH_EXPIRES`: lifetime in seconds.
    pub expires_in: Option<i64>,
    /// `SERVER_ENDPOINT`: the authorization server's REST; absent on older portals.
    pub server_endpoint: Option<Url>,
    /// `APPLICATION_TOKEN`: the proof of origin; absent on older portals.
    pub application_token: Option<ApplicationToken>,
    /// `APPLICATION_SCOPE`: permissions of the application.
    pub scope: Vec<String>,
    /// L local, F free, D demo, T trial, P paid.
    pub status: Option<String>,
    /// `PLACEMENT`: where the page was opened, `DEFAULT` for the application itself.
    pub placement: String,
    /// `PLACEMENT_OPTIONS`: read from its JSON text; an empty map where absent or unreadable.
    pub placement_options: Value,
}

impl PagePost {
    /// Reads the query and the body of the form.
    ///
    /// Also takes the nested `auth[…]` spelling that the installation form of some portals has.
    pub fn parse(query: &str, body: &[u8]) -> Result<Self, NotUnderstood> {
        let query = form::decode(query.as_bytes())?;
        let body = form::decode(body)?;
        let text = |names: [&str; 2]| {
            loose::text_at(&body, &names[..1])
                .or_else(|| loose::text_at(&body, &["auth", names[1]]))
                .or_else(|| loose::text_at(&query, &names[..1]))
        };
        let options = loose::get(&body, "PLACEMENT_OPTIONS");
        Ok(Self {
            member_id: text(["member_id", "member_id"]).ok_or(NotUnderstood::NoMember)?,
            domain: text(["DOMAIN", "domain"]),
            https: text(["PROTOCOL", "protocol"]).as_deref() != Some("0"),
            language: text(["LANG", "lang"]),
            app_sid: text(["APP_SID", "app_sid"]),
            access_token: text(["AUTH_ID", "access_token"]).map(AccessToken::new),
            refresh_token: text(["REFRESH_ID", "refresh_token"]).map(RefreshToken::new),
            expires_in: text(["AUTH_EXPIRES", "expires_in"])
                .and_then(|seconds| seconds.parse().ok()),
            server_endpoint: text(["SERVER_ENDPOINT", "server_endpoint"])
                .and_then(|url| Url::parse(&url).ok()),
            application_token: text(["APPLICATION_TOKEN", "application_token"])
                .map(ApplicationToken::new),
            scope: text(["APPLICATION_SCOPE", "scope"])
                .map(|scope| scope_list(&scope))
                .unwrap_or_default(),
            status: text(["status", "status"]),
            placement: text(["PLACEMENT", "placement"]).unwrap_or_else(|| "DEFAULT".to_owned()),
            placement_options: options.map_or_else(empty, read_options),
        })
    }

    /// Where REST of this portal should be, from the query; to be verified before it is called.
    pub fn client_endpoint(&self) -> Option<Url> {
        let domain = self.domain.as_deref()?;
        let protocol = if self.https { "https" } else { "http" };
        let url = Url::parse(&format!("{protocol}://{domain}/rest/")).ok()?;
        // A "domain" that smuggles in a path or a user is not one.
        let plain = url.path() == "/rest/" && url.username().is_empty() && url.query().is_none();
        plain.then_some(url)
    }
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

fn read_options(options: &Value) -> Value {
    match options {
        Value::String(json) => serde_json::from_str(json)
            .ok()
            .filter(Value::is_object)
            .unwrap_or_else(empty),
        Value::Object(_) => options.clone(),
        _ => empty(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_form_is_read_from_query_and_body() {
        let page = PagePost::parse(
            "DOMAIN=acme.bitrix24.com&PROTOCOL=1&LANG=de&APP_SID=abc",
            b"AUTH_ID=geheim1&AUTH_EXPIRES=3600&REFRESH_ID=geheim2&SERVER_ENDPOINT=https%3A%2F%2Foauth.bitrix.info%2Frest%2F\
              &APPLICATION_TOKEN=geheim3&APPLICATION_SCOPE=im,imconnector&member_id=m1&status=L&PLACEMENT=SETTING_CONNECTOR\
              &PLACEMENT_OPTIONS=%7B%22CONNECTOR%22%3A%22ourwa%22%2C%22LINE%22%3A%223%22%7D",
        )
        .unwrap();
        assert_eq!(page.member_id, "m1");
        assert_eq!(
            page.client_endpoint().unwrap().as_str(),
            "https://acme.bitrix24.com/rest/"
        );
        assert_eq!(page.access_token.as_ref().unwrap().expose(), "geheim1");
        assert_eq!(page.scope, ["im", "imconnector"]);
        assert_eq!(
            page.placement_options,
            json!({"CONNECTOR": "ourwa", "LINE": "3"})
        );
        assert!(!format!("{page:?}").contains("geheim"));
    }

    #[test]
    fn an_older_portal_sends_less() {
        let page = PagePost::parse(
            "DOMAIN=box.example%3A8080&PROTOCOL=0",
            b"AUTH_ID=a&member_id=m",
        )
        .unwrap();
        assert_eq!(
            page.client_endpoint().unwrap().as_str(),
            "http://box.example:8080/rest/"
        );
        assert_eq!(
            (page.placement.as_str(), page.placement_options),
            ("DEFAULT", json!({}))
        );
        assert!(page.application_token.is_none());
    }

    #[test]
    fn the_nested_spelling_is_understood() {
        let page = PagePost::parse(
            "",
            b"auth[member_id]=m&auth[access_token]=a&auth[domain]=acme.bitrix24.com",
        )
        .unwrap();
        assert_eq!(page.access_token.unwrap().expose(), "a");
        assert_eq!(page.domain.as_deref(), Some("acme.bitrix24.com"));
    }

    #[test]
    fn a_domain_that_is_more_than_a_host_gives_no_endpoint() {
        for domain in [
            "a@evil.example",
            "evil.example/x?",
            "evil.example/x#",
            "x?y=",
        ] {
            let query = form::encode(&json!({ "DOMAIN": domain }));
            let page = PagePost::parse(&query, b"member_id=m").unwrap();
            assert_eq!(page.client_endpoint(), None, "{domain}");
        }
    }

    #[test]
    fn without_a_portal_it_is_not_understood() {
        assert_eq!(
            PagePost::parse("DOMAIN=x", b"AUTH_ID=a").unwrap_err(),
            NotUnderstood::NoMember
        );
    }
}
