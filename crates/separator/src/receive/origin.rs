//! Under which host a request reached us.

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

/// Whether the headers of a proxy at this address are believed.
pub(crate) fn is_trusted(address: IpAddr, settings: &Settings) -> bool {
    settings
        .trust_proxy
        .iter()
        .any(|network| network.contains(&address.to_canonical()))
}
