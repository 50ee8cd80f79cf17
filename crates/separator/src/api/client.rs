//! What a request tells of the program that sent it, before anything is known about who uses it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, header, request::Parts},
};
use url::Url;

use crate::{
    receive::origin, registry::is_loopback, settings::Settings, translate::message::Language,
};

/// The program at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    /// Where it is.
    pub(crate) address: IpAddr,
    /// What it calls itself, at most 200 characters.
    pub(crate) browser: String,
    /// The host under which it reached us, with the port where it is unusual.
    pub(crate) host: String,
    /// The language that it prefers.
    pub(crate) language: Language,
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
        }
    }

    /// Whether it speaks to us without TLS, as it does only on the machine itself.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(&self.host)
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
}
