//! The web application: its files, and what its pages may do.
//!
//! `scripts/web.sh` builds it into `web/dist`. A release build has it inside; other builds read the folder while they
//! run. All addresses that nobody else has are pages: the application chooses by the address what it shows.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;
use serde_json::Value;
use url::Url;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Files;

/// The page of the application.
const INDEX: &str = "index.html";

/// Where the build puts files whose names change with their content.
const HASHED: &str = "assets/";

/// What is shown where nobody has built the application.
const NOT_BUILT: &str = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Separator</title>\n\
    </head>\n<body>\n<h1>Separator</h1>\n<p>The web application is not built yet. Run scripts/web.sh in the folder of the \
    sources, then load this page again.</p>\n<p><a href=\"/api/docs\">The JSON API</a></p>\n</body>\n</html>\n";

/// Encodings in which the build may have put a file beside the file itself, the best one first.
const ENCODINGS: [(&str, &str); 2] = [("br", ".br"), ("gzip", ".gz")];

/// What a page may do: its own files and calls to this host, nothing else.
fn policy(ancestors: &str) -> String {
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}"
    )
}

/// Answers for every path that no door has: a file of the application, or its page.
pub async fn serve(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, "nothing is taken here\n").into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let compressed = ENCODINGS.iter().any(|(_, ending)| path.ends_with(ending));
    if path != INDEX
        && !compressed
        && let Some(response) = file(path, request.headers())
    {
        return response;
    }
    // A page that was loaded before the program was replaced asks for files that are gone.
    if path.starts_with(HASHED) {
        return (StatusCode::NOT_FOUND, "there is no such file\n").into_response();
    }
    page(index(), "'none'")
}

/// A file, compressed where it lies there compressed and the caller takes it.
fn file(path: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = Files::get(path)?;
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let (encoding, content) = ENCODINGS
        .iter()
        .filter(|(name, _)| accepts(accepted, name))
        .find_map(|(name, ending)| Some((Some(*name), Files::get(&format!("{path}{ending}"))?)))
        .unwrap_or((None, plain));
    let cache = if path.starts_with(HASHED) {
        "public, max-age=31536000, immutable"
    } else {
        "public, max-age=3600"
    };
    let mut response = Response::new(Body::from(content.data));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind(path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    Some(response)
}

/// Whether a caller takes an encoding (RFC 9110, section 12.5.3).
fn accepts(accepted: &str, encoding: &str) -> bool {
    accepted.split(',').any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let refused = weight
            .trim()
            .strip_prefix("q=")
            .is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(encoding) && !refused
    })
}

fn kind(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        "html" => "text/html; charset=utf-8",
        _ => "application/octet-stream",
    }
}

fn index() -> String {
    Files::get(INDEX).map_or_else(
        || NOT_BUILT.to_owned(),
        |file| String::from_utf8_lossy(&file.data).into_owned(),
    )
}

fn page(html: String, ancestors: &str) -> Response {
    let mut response = Response::new(Body::from(html));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Origins are ASCII, see `origin_of`.
    if let Ok(policy) = policy(ancestors).parse() {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The page for a frame: `frame` says who looks at it and where (`{token, place, options}`), `ancestor` is the origin of
/// the verified portal, the only one that may frame it. No cookie comes with it.
pub fn in_frame(frame: &Value, ancestor: &str) -> Response {
    let meta = format!(
        "<head>\n<meta name=\"separator-frame\" content=\"{}\">",
        escaped(&frame.to_string())
    );
    page(
        index().replacen("<head>", &meta, 1),
        &origin_of(ancestor).unwrap_or_else(|| "'none'".to_owned()),
    )
}

/// The origin of an address as a policy takes it; none where the address has no host.
fn origin_of(address: &str) -> Option<String> {
    let origin = Url::parse(address).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

/// Text as the value of an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Gives every answer the headers that keep browsers from guessing and from telling others. `secure`: the site is
/// reached by TLS.
pub fn harden(response: &mut Response, secure: bool) {
    const EVERYWHERE: [(HeaderName, &str); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in EVERYWHERE {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    if secure {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static("max-age=31536000"),
        );
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn ask(method: Method, path: &str) -> (StatusCode, HeaderMap, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let (head, body) = serve(request).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&body).into_owned();
        (head.status, head.headers, text)
    }

    #[tokio::test]
    async fn every_path_is_a_page_that_nobody_frames_and_nobody_keeps() {
        for path in [
            "/",
            "/index.html",
            "/waba/phones/5",
            "/sign-in",
            "/../etc/passwd",
        ] {
            let (status, headers, body) = ask(Method::GET, path).await;
            assert_eq!(status, 200, "{path}");
            assert!(body.to_ascii_lowercase().starts_with("<!doctype html>"));
            assert_eq!(headers[header::CACHE_CONTROL], "no-store");
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("script-src 'self';"), "{policy}");
            assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
        }
    }

    #[tokio::test]
    async fn files_that_are_gone_are_no_pages_and_nothing_is_taken() {
        assert_eq!(ask(Method::GET, "/assets/old-1234.js").await.0, 404);
        assert_eq!(ask(Method::POST, "/").await.0, 405);
    }

    #[tokio::test]
    async fn a_framed_page_says_who_looks_at_it_and_stands_only_in_that_portal() {
        let hostile = "</script>\"'><b>&amp;";
        let frame = json!({ "token": "frm_x", "options": { "PLACEMENT": hostile } });
        let response = in_frame(&frame, "https://acme.bitrix24.com");
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].clone();
        assert!(
            policy
                .to_str()
                .unwrap()
                .ends_with("frame-ancestors https://acme.bitrix24.com")
        );
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let html = String::from_utf8_lossy(&body);
        let content = html
            .split_once("<meta name=\"separator-frame\" content=\"")
            .unwrap()
            .1
            .split_once('"')
            .unwrap()
            .0;
        assert!(
            !content.contains('<') && !content.contains('\''),
            "{content}"
        );
        let read = content
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), frame);
    }

    #[test]
    fn only_an_origin_may_frame_a_page() {
        for (address, origin) in [
            (
                "https://acme.bitrix24.com",
                Some("https://acme.bitrix24.com"),
            ),
            (
                "https://acme.bitrix24.com/rest/?a=b",
                Some("https://acme.bitrix24.com"),
            ),
            ("http://127.0.0.1:8082", Some("http://127.0.0.1:8082")),
            ("acme.bitrix24.com", None),
            ("*", None),
            ("data:text/html,x", None),
        ] {
            assert_eq!(origin_of(address).as_deref(), origin, "{address}");
        }
        assert_eq!(
            origin_of("https://a.example; script-src *").as_deref(),
            None
        );
    }

    #[test]
    fn encodings_are_taken_as_the_caller_says() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("gzip;q=0.5", "gzip"));
        assert!(!accepts("br;q=0, gzip", "br"));
        assert!(!accepts("", "gzip"));
    }

    #[test]
    fn every_answer_is_hardened_and_keeps_a_policy_of_its_own() {
        let mut bare = Response::new(Body::empty());
        harden(&mut bare, true);
        assert_eq!(bare.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(
            bare.headers()
                .contains_key(header::STRICT_TRANSPORT_SECURITY)
        );
        let mut own = page(String::new(), "'none'");
        harden(&mut own, false);
        let policy = own.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.contains("script-src"));
        assert!(
            !own.headers()
                .contains_key(header::STRICT_TRANSPORT_SECURITY)
        );
    }
}
