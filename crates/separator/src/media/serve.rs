//! Handing a file out: to Bitrix24, which fetches it while we call, and to people's browsers.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom},
};
use tokio_util::io::ReaderStream;

use super::name::{disposition, essence};

/// Bytes read from disk at once.
const BUFFER: usize = 64 * 1024;
const ANY: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Streams an open file of `size` bytes, or the part of it that `request` asks for.
///
/// Source: RFC 9110, section 14. Several ranges at once, and ranges under a condition that cannot be checked, may be
/// answered with the whole.
pub(super) async fn stream(
    mut file: File,
    size: u64,
    name: &str,
    mime_type: Option<&str>,
    request: &HeaderMap,
) -> std::io::Result<Response> {
    let mut response = match asked_range(request, size) {
        Asked::Whole => body(StatusCode::OK, file, size),
        Asked::Part { first, last } => {
            file.seek(SeekFrom::Start(first)).await?;
            let mut response = body(StatusCode::PARTIAL_CONTENT, file, last - first + 1);
            content_range(&mut response, &format!("bytes {first}-{last}/{size}"));
            response
        }
        Asked::Beyond => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            content_range(&mut response, &format!("bytes */{size}"));
            response
        }
    };
    describe(response.headers_mut(), name, mime_type);
    Ok(response)
}

fn body(status: StatusCode, file: File, length: u64) -> Response {
    let stream = ReaderStream::with_capacity(file.take(length), BUFFER);
    let mut response = (status, Body::from_stream(stream)).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn content_range(response: &mut Response, range: &str) {
    if let Ok(range) = HeaderValue::from_str(range) {
        response.headers_mut().insert(header::CONTENT_RANGE, range);
    }
}

/// Says what it is, and that it is nothing to be executed on our pages.
fn describe(headers: &mut HeaderMap, name: &str, mime_type: Option<&str>) {
    let kind = mime_type
        .and_then(|text| HeaderValue::from_str(text).ok())
        .unwrap_or(ANY);
    let shown = if mime_type.is_some_and(is_shown) {
        "inline"
    } else {
        "attachment"
    };
    headers.insert(header::CONTENT_TYPE, kind);
    if let Ok(disposition) = HeaderValue::from_str(&disposition(shown, name)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
        (header::CACHE_CONTROL, "private"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "sandbox"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a browser may show it in place of saving it. SVG is a program as much as a picture.
fn is_shown(mime_type: &str) -> bool {
    let essence = essence(mime_type).to_ascii_lowercase();
    essence != "image/svg+xml"
        && ["image/", "audio/", "video/"]
            .iter()
            .any(|kind| essence.starts_with(kind))
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part { first: u64, last: u64 },
    Beyond,
}

fn asked_range(request: &HeaderMap, size: u64) -> Asked {
    if request.contains_key(header::IF_RANGE) {
        return Asked::Whole;
    }
    let text = request
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok());
    text.and_then(|text| part_of(text, size))
        .unwrap_or(Asked::Whole)
}

/// Reads a `Range` with one range of bytes; `None` for everything else.
fn part_of(text: &str, size: u64) -> Option<Asked> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (from, to) = range.trim().split_once('-')?;
    let (first, last) = match (from, to) {
        ("", suffix) => (size.saturating_sub(number(suffix)?), u64::MAX),
        (from, "") => (number(from)?, u64::MAX),
        (from, to) => (number(from)?, number(to)?),
    };
    if first > last {
        return None;
    }
    if first >= size {
        return Some(Asked::Beyond);
    }
    Some(Asked::Part {
        first,
        last: last.min(size - 1),
    })
}

/// Digits only: no sign, no spaces. More digits than fit count as the largest number.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::media::folder::tests::DataDir;

    async fn served(mime_type: Option<&str>, range: Option<&str>) -> (Response, DataDir) {
        let data = DataDir::new();
        let path = data.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        let mut request = HeaderMap::new();
        if let Some(range) = range {
            request.insert(header::RANGE, range.parse().unwrap());
        }
        let file = File::open(path).await.unwrap();
        (
            stream(file, 10, "naïve.bin", mime_type, &request)
                .await
                .unwrap(),
            data,
        )
    }

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 100)
            .await
            .unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_whole_file_comes_with_its_description() {
        let (response, _data) = served(Some("application/pdf"), None).await;
        assert_eq!(response.status(), StatusCode::OK);
        for (name, wanted) in [
            ("content-type", "application/pdf"),
            ("content-length", "10"),
            (
                "content-disposition",
                "attachment; filename=\"na_ve.bin\"; filename*=UTF-8''na%C3%AFve.bin",
            ),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox"),
            ("cache-control", "private"),
            ("accept-ranges", "bytes"),
        ] {
            assert_eq!(response.headers()[name], wanted, "{name}");
        }
        assert_eq!(text(response).await, "0123456789");
    }

    #[tokio::test]
    async fn a_range_is_a_part_and_one_beyond_the_end_is_refused() {
        for (range, status, content_range, body) in [
            ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
            ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
            (
                "bytes=7-999999999999999999999999",
                206,
                Some("bytes 7-9/10"),
                "789",
            ),
            ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
            ("bytes=-50", 206, Some("bytes 0-9/10"), "0123456789"),
            ("bytes=10-", 416, Some("bytes */10"), ""),
            ("bytes=-0", 416, Some("bytes */10"), ""),
            ("bytes=4-2", 200, None, "0123456789"),
            ("bytes=0-1,3-4", 200, None, "0123456789"),
            ("bytes=+1-2", 200, None, "0123456789"),
            ("bytes=-", 200, None, "0123456789"),
            ("lines=1-2", 200, None, "0123456789"),
        ] {
            let (response, _data) = served(None, Some(range)).await;
            assert_eq!(response.status(), status, "{range}");
            let given = response.headers().get(header::CONTENT_RANGE);
            assert_eq!(
                given.map(|value| value.to_str().unwrap()),
                content_range,
                "{range}"
            );
            assert_eq!(text(response).await, body, "{range}");
        }
    }

    #[test]
    fn a_range_under_a_condition_is_answered_with_the_whole() {
        let mut request = HeaderMap::new();
        request.insert(header::RANGE, HeaderValue::from_static("bytes=0-1"));
        assert_eq!(asked_range(&request, 10), Asked::Part { first: 0, last: 1 });
        assert_eq!(asked_range(&request, 0), Asked::Beyond);
        request.insert(header::IF_RANGE, HeaderValue::from_static("\"tag\""));
        assert_eq!(asked_range(&request, 10), Asked::Whole);
    }

    #[tokio::test]
    async fn only_pictures_sound_and_video_are_shown() {
        for (mime_type, shown) in [
            (Some("image/png"), true),
            (Some("AUDIO/ogg; codecs=opus"), true),
            (Some("video/mp4"), true),
            (Some("image/svg+xml"), false),
            (Some("text/html"), false),
            (Some("bad\ntype"), false),
            (None, false),
        ] {
            let (response, _data) = served(mime_type, None).await;
            let disposition = response.headers()[header::CONTENT_DISPOSITION]
                .to_str()
                .unwrap();
            assert_eq!(disposition.starts_with("inline"), shown, "{mime_type:?}");
            if !shown && mime_type != Some("text/html") && mime_type != Some("image/svg+xml") {
                assert_eq!(
                    response.headers()[header::CONTENT_TYPE],
                    "application/octet-stream"
                );
            }
        }
    }
}
