//! What others see of us: `/healthz`, and a file under `/media/` that is there for one purpose, to be fetched.
//!
//! Both answer with the installation's own id and with what the request looked like when it arrived. Asked for through
//! the public name, that tells whether the name leads here and what a proxy on the way does.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse as _, Response},
};

use crate::{app::App, receive::origin};

/// The installation's own id.
pub(super) const INSTALLATION: HeaderName = HeaderName::from_static("x-separator-installation");
/// The host that the request was for, as the program understood it.
pub(super) const HOST: HeaderName = HeaderName::from_static("x-separator-host");
/// `direct`, `trusted` or `untrusted`: whether a proxy passed the request on, and whether its headers are believed.
pub(super) const PROXY: HeaderName = HeaderName::from_static("x-separator-proxy");

/// `GET /healthz`: the process is alive.
pub async fn alive(
    State(app): State<Arc<App>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: HeaderMap,
) -> Response {
    let mut response = "alive\n".into_response();
    let headers = response.headers_mut();
    headers.insert(INSTALLATION, app.doctor.installation.clone());
    let host = origin::domain(&request, peer, &app.settings).unwrap_or_default();
    if let Ok(host) = HeaderValue::from_str(&host) {
        headers.insert(HOST, host);
    }
    let forwarded = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
    ];
    let proxy = if !forwarded.iter().any(|name| request.contains_key(*name)) {
        "direct"
    } else if origin::is_trusted(peer.ip(), &app.settings) {
        "trusted"
    } else {
        "untrusted"
    };
    headers.insert(PROXY, HeaderValue::from_static(proxy));
    response
}
