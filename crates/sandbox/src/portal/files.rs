//! Files: fetched from links in messages, and served to the application as a portal serves them.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    body::Body,
    extract::{ConnectInfo, Path, State as Extract},
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    File, Portal, Upload, World,
    caller::{FILE_AGENT, Outgoing},
    php::{Value, map},
    rest::moved,
    state::{State, Stored},
    wire::Peer,
};

/// A portal keeps the end of a name.
const NAME_MAXIMUM: usize = 50;
/// Redirects a portal follows.
const REDIRECTS_MAXIMUM: usize = 5;

/// Hexadecimal digits of bytes.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a string cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}

/// A name as the portal keeps it: its last 50 characters, without an ampersand.
fn kept_name(name: &str) -> String {
    let skipped = name.chars().count().saturating_sub(NAME_MAXIMUM);
    name.chars()
        .skip(skipped)
        .map(|sign| if sign == '&' { '_' } else { sign })
        .collect()
}

/// The media type by the name's extension.
fn mime(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "jpg" | "jpeg" | "jpe" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "bmp" => "image/bmp",
        "mp4" | "m4v" => "video/mp4",
        "3gp" => "video/3gpp",
        "webm" => "video/webm",
        "mp3" => "audio/mpeg",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "m4a" => "audio/mp4",
        "aac" => "audio/aac",
        "amr" => "audio/amr",
        "wav" => "audio/wav",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "csv" => "text/csv",
        "doc" => "application/msword",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xls" => "application/vnd.ms-excel",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "zip" => "application/zip",
        "vcf" => "text/vcard",
        _ => "application/octet-stream",
    }
}

/// The kind of a file in an event.
fn kind(mime: &str) -> &'static str {
    match mime.split('/').next() {
        Some("image") => "image",
        Some("video") => "video",
        Some("audio") => "audio",
        _ => "file",
    }
}

/// `12.06 KB`.
fn size_in_words(size: u64) -> String {
    let mut value = size as f64;
    for unit in ["B", "KB", "MB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{size} B")
            } else {
                format!("{value:.2} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.2} GB")
}

/// Fetches a file now, as a portal does during the call: a plain GET that must end in 200. Nothing where it does not.
pub(crate) async fn download(portal: &Portal, url: &str, name: &str) -> Option<Stored> {
    let behaviour = portal.behaviour();
    let mut url = Url::parse(url).ok()?;
    for _ in 0..=REDIRECTS_MAXIMUM {
        let mut hash = Sha256::new();
        let mut kept = BytesMut::new();
        let mut size = 0_u64;
        let mut sink = |piece: &[u8]| {
            hash.update(piece);
            size += piece.len() as u64;
            if kept.len() + piece.len() <= behaviour.bytes_kept {
                kept.extend_from_slice(piece);
            }
        };
        let timeout = behaviour.file_timeout;
        let request = Outgoing {
            method: "GET",
            url: &url,
            agent: FILE_AGENT,
            content_type: None,
            body: b"",
            timeout,
        };
        let head = portal.world.caller.call(request, &mut sink).await.ok()?;
        if (300..400).contains(&head.status) {
            url = url.join(&head.location?).ok()?;
            continue;
        }
        if head.status != 200 {
            return None;
        }
        let from_url = url
            .path_segments()
            .and_then(|mut segments| segments.next_back())
            .unwrap_or_default();
        let name = kept_name(if name.is_empty() { from_url } else { name });
        let id = portal.lock().next.file.take();
        let mime = mime(&name).to_owned();
        let sha256 = hexadecimal(&hash.finalize());
        let bytes = (kept.len() as u64 == size).then(|| kept.freeze());
        return Some(Stored {
            file: File {
                id,
                name,
                mime,
                size,
                sha256,
            },
            bytes,
            code: String::new(),
        });
    }
    None
}

/// A file an employee attached, with a public short link.
pub(crate) fn upload(state: &mut State, upload: Upload) -> Stored {
    let file = File {
        id: state.next.file.take(),
        mime: mime(&upload.name).to_owned(),
        size: upload.bytes.len() as u64,
        sha256: hexadecimal(&Sha256::digest(&upload.bytes)),
        name: upload.name,
    };
    Stored {
        file,
        bytes: Some(upload.bytes),
        code: uuid::Uuid::new_v4().simple().to_string(),
    }
}

/// Files a file away.
pub(crate) fn keep(state: &mut State, stored: Stored) {
    if !stored.code.is_empty() {
        state
            .files_by_code
            .insert(stored.code.clone(), stored.file.id);
    }
    state.files.insert(stored.file.id, stored);
}

impl Portal {
    /// A file as an event describes it.
    pub(crate) fn file_in_event(&self, state: &State, id: i64) -> Option<Value> {
        let stored = state.files.get(&id)?;
        let File {
            name, mime, size, ..
        } = &stored.file;
        let fragment = if kind(mime) == "image" {
            "#img.png"
        } else {
            ""
        };
        let address = self.address();
        let mut described = map([
            ("name", name.as_str().into()),
            ("type", kind(mime).into()),
            ("mime", mime.as_str().into()),
            (
                "link",
                format!("{address}/~{}{fragment}", stored.code).into(),
            ),
            ("size", (*size as i64).into()),
            ("sizef", size_in_words(*size).into()),
        ]);
        if self.behaviour().download_links {
            described.set(
                "downloadLink",
                format!("{address}/download/{}", stored.code).into(),
            );
        }
        Some(described)
    }
}

/// What a browser or an application gets from a portal besides REST: short links and files.
pub(crate) async fn portal_file(
    Extract(world): Extract<Arc<World>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path((number, path)): Path<(u32, String)>,
    uri: Uri,
) -> Response {
    let Some(portal) = world.portal(number) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if let Some(redirect) = moved(&portal, &peer, &uri) {
        return redirect;
    }
    let query = Value::from_form(uri.query().unwrap_or_default().as_bytes());
    let state = portal.lock();
    if let Some(code) = path.strip_prefix('~') {
        let Some(id) = state.files_by_code.get(code) else {
            return login_page();
        };
        let location = format!(
            "{}/pub/im.file.php?FILE_ID={id}&SIGN={code}",
            portal.address()
        );
        return (StatusCode::FOUND, [(header::LOCATION, location)]).into_response();
    }
    let code = match path.strip_prefix("download/") {
        Some(code) => code.to_owned(),
        None if path == "pub/im.file.php" => query.text_of("SIGN"),
        None => return StatusCode::NOT_FOUND.into_response(),
    };
    let stored = state
        .files_by_code
        .get(&code)
        .and_then(|id| state.files.get(id));
    stored.map_or_else(login_page, |stored| bytes_answer(stored, "attachment"))
}

/// What a portal shows for a file that is gone: a page, with 200.
pub(crate) fn login_page() -> Response {
    let page = "<!DOCTYPE html><html><head><title>Authorization</title></head><body>Log in to Bitrix24</body></html>";
    (
        StatusCode::OK,
        [(header::CONTENT_TYPE, "text/html; charset=UTF-8")],
        page,
    )
        .into_response()
}

/// The bytes of a file; 404 where they were too many to keep.
pub(crate) fn bytes_answer(stored: &Stored, disposition: &str) -> Response {
    let Some(bytes) = stored.bytes.clone() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let plain_name: String = stored
        .file
        .name
        .chars()
        .map(|sign| {
            if sign.is_ascii_alphanumeric() {
                sign
            } else {
                '_'
            }
        })
        .collect();
    let name = url::form_urlencoded::byte_serialize(stored.file.name.as_bytes())
        .collect::<String>()
        .replace('+', "%20");
    let disposition = format!("{disposition}; filename=\"{plain_name}\"; filename*=UTF-8''{name}");
    let headers = [
        (header::CONTENT_TYPE, stored.file.mime.clone()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'".to_owned(),
        ),
    ];
    (headers, Body::from(Bytes::clone(&bytes))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_end() {
        let name = format!("{}report.pdf", "ä".repeat(60));
        assert_eq!(kept_name(&name), format!("{}report.pdf", "ä".repeat(40)));
        assert_eq!(kept_name("a&b.txt"), "a_b.txt");
    }

    #[test]
    fn sizes_read_as_the_portal_writes_them() {
        assert_eq!(size_in_words(12_345), "12.06 KB");
        assert_eq!(size_in_words(900), "900 B");
        assert_eq!(size_in_words(5 << 30), "5.00 GB");
    }
}
