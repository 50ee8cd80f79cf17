//! Calling the REST of one portal.
//!
//! A call is a POST with a JSON body that also holds the token, so that no secret is ever part of an address.
//! Redirects are never followed: a renamed portal answers 302, and following it would turn the POST into a GET and
//! lose the body. See [`Error::Moved`].

mod answer;
mod batch;
mod error;

use std::borrow::Cow;

use reqwest::header::{LOCATION, USER_AGENT};
use serde_json::{Map, Value};
use url::Url;

pub(crate) use self::answer::chain as error_chain;
pub use self::answer::{Answer, Time};
pub use self::batch::{MAX_BATCH, batch_call, read_batch, read_batch_results};
pub use self::error::{Class, Error, Obstacle};
use crate::secret::AccessToken;

/// What this library calls itself towards portals and authorization servers.
pub const AGENT: &str = concat!("bitrix24-rust/", env!("CARGO_PKG_VERSION"));

/// Largest answer that is read, in bytes; a full session history is a few hundred kilobytes.
pub const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Settings that a client for [`Portal`] must have; time limits, proxies and address checks are the caller's.
pub fn http_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(AGENT)
}

/// A method and its parameters, built by the typed modules and run by [`Portal::run`] or [`Portal::batch`].
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Name, as `imconnector.send.messages`.
    pub method: Cow<'static, str>,
    /// Parameters: a map.
    pub params: Value,
}

impl Call {
    /// Joins a method and its parameters.
    pub fn new(method: impl Into<Cow<'static, str>>, params: Value) -> Self {
        Self {
            method: method.into(),
            params,
        }
    }
}

/// The REST of one portal.
#[derive(Debug, Clone)]
pub struct Portal {
    http: reqwest::Client,
    endpoint: Url,
}

impl Portal {
    /// Takes the portal's `client_endpoint`, as `https://acme.bitrix24.com/rest/`, and a client that does not follow
    /// redirects (see [`http_builder`]).
    pub fn new(http: reqwest::Client, client_endpoint: Url) -> Self {
        Self {
            http,
            endpoint: with_slash(client_endpoint),
        }
    }

    /// Where the portal's REST is.
    pub fn endpoint(&self) -> &Url {
        &self.endpoint
    }

    /// Runs a call made by one of the typed modules.
    pub async fn run(&self, call: &Call, token: &AccessToken) -> Result<Answer, Error> {
        self.call(&call.method, &call.params, token).await
    }

    /// Calls a method. `params` is a map or null; the token goes into the body as `auth`.
    pub async fn call(
        &self,
        method: &str,
        params: &Value,
        token: &AccessToken,
    ) -> Result<Answer, Error> {
        let url = method_url(&self.endpoint, method)?;
        let body = with_auth(params, token)?;
        let sent = self
            .http
            .post(url.clone())
            .header(USER_AGENT, AGENT)
            .json(&body)
            .send()
            .await;
        let response = sent.map_err(|error| answer::transport(error, token))?;
        // The client was built to follow redirects after all: what answered is not what was asked.
        if response.url().origin() != url.origin() {
            let to = answer::moved_endpoint(&self.endpoint, response.url(), method);
            return Err(Error::Moved { to });
        }
        let http = response.status().as_u16();
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        if (300..400).contains(&http) {
            return Err(answer::redirected(
                &self.endpoint,
                &url,
                method,
                http,
                location.as_deref(),
            ));
        }
        let body = read_limited(response)
            .await
            .map_err(|detail| Error::Unknown {
                http: Some(http),
                detail,
            })?;
        answer::read(http, &body, token)
    }
}

/// An endpoint that method names can be appended to.
pub(crate) fn with_slash(mut url: Url) -> Url {
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_query(None);
    url.set_fragment(None);
    url
}

fn method_url(endpoint: &Url, method: &str) -> Result<Url, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if method.is_empty() || method.starts_with('.') || !method.bytes().all(plain) {
        return Err(Error::NotSent {
            why: "the method's name is not one",
        });
    }
    endpoint.join(method).map_err(|_| Error::NotSent {
        why: "the portal's endpoint cannot be extended by a method",
    })
}

fn with_auth(params: &Value, token: &AccessToken) -> Result<Value, Error> {
    let mut map = match params {
        Value::Object(map) => map.clone(),
        Value::Null => Map::new(),
        _ => {
            return Err(Error::NotSent {
                why: "the parameters are not a map",
            });
        }
    };
    map.insert("auth".to_owned(), Value::from(token.expose()));
    Ok(Value::Object(map))
}

/// Reads a body up to [`MAX_ANSWER`].
pub(crate) async fn read_limited(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => {
                body.extend_from_slice(&chunk);
            }
            Ok(Some(_)) => return Err(format!("the answer is larger than {MAX_ANSWER} bytes")),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(format!(
                    "the answer was cut off: {}",
                    error_chain(&error.without_url())
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn the_method_is_appended_to_the_endpoint_as_given() {
        for (endpoint, expected) in [
            (
                "https://acme.bitrix24.com/rest/",
                "https://acme.bitrix24.com/rest/app.info",
            ),
            (
                "https://acme.bitrix24.com/rest",
                "https://acme.bitrix24.com/rest/app.info",
            ),
            (
                "http://box.example:8080/b24/rest/?x#y",
                "http://box.example:8080/b24/rest/app.info",
            ),
        ] {
            let endpoint = with_slash(Url::parse(endpoint).unwrap());
            assert_eq!(
                method_url(&endpoint, "app.info").unwrap().as_str(),
                expected
            );
        }
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_not_sent() {
        let endpoint = Url::parse("https://acme.bitrix24.com/rest/").unwrap();
        for method in [
            "",
            "..",
            "../x",
            "//evil.example/x",
            "https:x",
            "a?b",
            "a b",
        ] {
            assert!(
                matches!(method_url(&endpoint, method), Err(Error::NotSent { .. })),
                "{method}"
            );
        }
    }

    #[test]
    fn the_token_goes_into_the_body() {
        let token = AccessToken::new("geheim");
        assert_eq!(
            with_auth(&Value::Null, &token).unwrap(),
            json!({"auth": "geheim"})
        );
        assert_eq!(
            with_auth(&json!({"A": 1}), &token).unwrap(),
            json!({"A": 1, "auth": "geheim"})
        );
        assert!(with_auth(&json!([1]), &token).is_err());
    }
}
