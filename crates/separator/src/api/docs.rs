//! `/api/openapi.json` and `/api/docs`: the description for programs and for people.
//!
//! The page is ours, comes from this program alone and needs no other host. It may run only its own script and speak
//! only to this host, so a key typed into it stays here; the page keeps it in memory and nowhere else.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};

use super::description;
use crate::app::App;

/// What the page may do: its own files, calls to this host, nothing else; not within frames of others.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The description and its page.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/api/openapi.json",
            get(async || file("application/json", description::JSON.as_str())),
        )
        .route(
            "/api/docs",
            get(async || file("text/html; charset=utf-8", include_str!("docs.html"))),
        )
        .route(
            "/api/docs/docs.js",
            get(async || file("text/javascript; charset=utf-8", include_str!("docs.js"))),
        )
        .route(
            "/api/docs/docs.css",
            get(async || file("text/css; charset=utf-8", include_str!("docs.css"))),
        )
        .route(
            "/api/docs/icon.svg",
            get(async || file("image/svg+xml", include_str!("../portal/icon.svg"))),
        )
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 5] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    /// Everything the page refers to comes from this program, and nothing runs inline.
    #[test]
    fn the_page_needs_no_other_host_and_has_no_inline_code() {
        let page = include_str!("docs.html");
        let script = include_str!("docs.js");
        for text in [page, script, include_str!("docs.css")] {
            assert!(!text.contains("http://") && !text.contains("https://"));
        }
        for inline in ["<style", "style=", "onclick", "javascript:", "<script>"] {
            assert!(!page.contains(inline), "{inline}");
        }
        for risky in [
            "innerHTML",
            "eval(",
            "localStorage",
            "sessionStorage",
            "document.cookie",
        ] {
            assert!(!script.contains(risky), "{risky}");
        }
        for file in ["/api/docs/docs.js", "/api/docs/docs.css"] {
            assert!(page.contains(file), "{file}");
        }
    }
}
