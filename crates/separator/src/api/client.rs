//! What a request tells of the program that sent it, before anything is known about who uses it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, Method, StatusCode, header, request::Parts},
};
use url::Url;

use super::problem::Problem;
use crate::{
    receive::origin,
    secret::Secret,
    settings::Settings,
    translate::message::Language,
    users::{device, session},
};

/// The program at the other end.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// Where it is.
    pub(crate) address: IpAddr,
    /// What it calls itself, at most 200 characters.
    pub(crate) browser: String,
    /// The host under which it reached us, with the port where it is unusual.
    pub(crate) host: String,
    /// The language that it prefers.
    pub(crate) language: Language,
    /// The cookie of a browser in which somebody signed in before.
    pub(crate) device: Option<Secret>,
}

impl Client {
    /// Reads what the head of a request tells.
    pub(crate) fn of(head: &Parts, settings: &Settings) -> Self {
        // The doors always know the peer; tests that ask the router itself do not.
        let peer = head
            .extensions
            .get::<ConnectInfo<SocketAddr>>()
            .map_or_else(
                || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
                |connection| connection.0,
            );
        Self {
            address: origin::address(&head.headers, peer, settings),
            browser: text(&head.headers, header::USER_AGENT.as_str())
                .chars()
                .take(200)
                .collect(),
            host: origin::domain(&head.headers, peer, settings).unwrap_or_default(),
            language: Language::from_code(text(&head.headers, header::ACCEPT_LANGUAGE.as_str())),
            device: session::cookie(&head.headers, device::COOKIE).map(Secret::from),
        }
    }

    /// Whether a page of ours asks, and not one of somebody else with our cookie: browsers say so in `Sec-Fetch-Site`
    /// (Fetch Metadata) or, where they are old, in `Origin`. Gives nothing where the request tells neither.
    pub(crate) fn asks_itself(&self, headers: &HeaderMap) -> Option<bool> {
        let site = text(headers, "sec-fetch-site");
        if !site.is_empty() {
            return Some(site == "same-origin");
        }
        let origin = text(headers, header::ORIGIN.as_str());
        if origin.is_empty() {
            return None;
        }
        let own = Url::parse(origin).ok().and_then(|origin| {
            let host = origin.host_str()?.to_owned();
            Some(match origin.port() {
                Some(port) => format!("{host}:{port}"),
                None => host,
            })
        });
        Some(own.is_some_and(|own| own == self.host))
    }
}

/// Refuses a change that a page of somebody else asks for, or a form of it: forms cannot send JSON. `certain`: it must be
/// a page of ours that asks, because a cookie comes along whoever's page makes the browser ask.
pub(super) fn refuse_foreign(
    client: &Client,
    head: &Parts,
    certain: bool,
) -> Result<(), (&'static str, Problem)> {
    if matches!(head.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    if !client.asks_itself(&head.headers).unwrap_or(!certain) {
        let text = "changes are taken only from pages of Separator itself, or with a key";
        return Err(("origin", Problem::new(StatusCode::FORBIDDEN, text)));
    }
    if !is_json(&head.headers) {
        let text = "the body must be JSON: Content-Type: application/json";
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
        return Err(("content_type", problem));
    }
    Ok(())
}

/// Whether a body is JSON, or there is none.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return headers
            .get(header::CONTENT_LENGTH)
            .is_none_or(|length| length == "0");
    };
    kind.to_str().is_ok_and(|kind| {
        kind.split(';')
            .next()
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_page_of_ours_is_told_from_one_of_somebody_else() {
        let client = Client {
            address: Ipv4Addr::LOCALHOST.into(),
            browser: String::new(),
            host: "separator.example:8443".to_owned(),
            language: Language::English,
            device: None,
        };
        let asks = |given: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in given {
                headers.insert(*name, value.parse().unwrap());
            }
            client.asks_itself(&headers)
        };
        assert_eq!(asks(&[("sec-fetch-site", "same-origin")]), Some(true));
        for other in ["cross-site", "same-site", "none"] {
            assert_eq!(asks(&[("sec-fetch-site", other)]), Some(false), "{other}");
        }
        assert_eq!(
            asks(&[("origin", "https://separator.example:8443")]),
            Some(true)
        );
        for other in ["https://separator.example", "https://evil.example", "null"] {
            assert_eq!(asks(&[("origin", other)]), Some(false), "{other}");
        }
        let both = [
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://separator.example:8443"),
        ];
        assert_eq!(asks(&both), Some(false));
        assert_eq!(asks(&[]), None);
    }

    #[test]
    fn forms_are_told_from_json() {
        let kind = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, kind.parse().unwrap());
            is_json(&headers)
        };
        assert!(kind("application/json") && kind("Application/JSON; charset=utf-8"));
        assert!(!kind("text/plain") && !kind("application/x-www-form-urlencoded"));
        let mut headers = HeaderMap::new();
        assert!(is_json(&headers));
        headers.insert(header::CONTENT_LENGTH, "5".parse().unwrap());
        assert!(!is_json(&headers));
    }
}
