//! Under which host a request reached us, and from where.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;

use crate::settings::Settings;

/// The site's domain as the caller named it: lower case, without `:443`. `X-Forwarded-Host` counts only when the
/// request comes from a trusted proxy.
pub(crate) fn domain(headers: &HeaderMap, peer: SocketAddr, settings: &Settings) -> Option<String> {
    let trusted = is_trusted(peer.ip(), settings);
    let forwarded = headers.get("x-forwarded-host").filter(|_| trusted);
    let host = forwarded.or_else(|| headers.get("host"))?.to_str().ok()?;
    // A chain of proxies writes a list; the first entry is what the client asked for.
    let host = host
        .split(',')
        .next()
        .unwrap_or(host)
        .trim()
        .to_ascii_lowercase();
    Some(host.strip_suffix(":443").unwrap_or(&host).to_owned())
}

/// The caller's address. Behind trusted proxies it is the last one of `X-Forwarded-For` that is not a proxy of ours:
/// whatever stands before it was written by the caller.
pub(crate) fn address(headers: &HeaderMap, peer: SocketAddr, settings: &Settings) -> IpAddr {
    let mut address = peer.ip().to_canonical();
    let named: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    for name in named.into_iter().rev() {
        if !is_trusted(address, settings) {
            break;
        }
        let Ok(next) = name.trim().parse::<IpAddr>() else {
            break;
        };
        address = next.to_canonical();
    }
    address
}

/// Whether the headers of a proxy at this address are believed.
pub(crate) fn is_trusted(address: IpAddr, settings: &Settings) -> bool {
    settings
        .trust_proxy
        .iter()
        .any(|network| network.contains(&address.to_canonical()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::settings::SettingsArguments;

    #[test]
    fn forwarded_addresses_are_believed_as_far_as_our_proxies_go() {
        let arguments = SettingsArguments {
            trust_proxy: Some("10.0.0.0/8".to_owned()),
            ..SettingsArguments::default()
        };
        let settings = Settings::load(&arguments, [], std::path::Path::new("/nowhere")).unwrap();
        let address = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            address(&headers, format!("{peer}:1").parse().unwrap(), &settings).to_string()
        };
        assert_eq!(address("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(address("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            address("10.0.0.1", &["1.2.3.4, 198.51.100.7", "10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(address("10.0.0.1", &["unknown"]), "10.0.0.1");
        assert_eq!(address("10.0.0.1", &[]), "10.0.0.1");
    }
}
