//! Files: upload, address, download, removal. Source: Meta: media.

use super::{Access, Call, Outcome};
use crate::graph::{
    Request as Logged, Shared,
    error::GraphError,
    escape,
    faults::{Fault, Place},
    sending,
    world::{File, World},
};
use axum::{
    body::Body,
    extract::{FromRequest as _, Multipart, Request},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use serde_json::json;
use std::{convert::Infallible, io, time::Duration};

/// How long an address may be used: five minutes.
const ADDRESS_LIFETIME: i64 = 5 * 60 * 1000;
/// The largest upload of all kinds, and a little for the other fields.
const UPLOAD_LIMIT: usize = 101 * 1024 * 1024;
/// Into how many pieces a slow download is cut.
const PIECES: usize = 20;

/// Takes a file of the business.
pub(super) async fn upload(shared: &Shared, number: &str, request: Request) -> Outcome {
    let broken = |_| GraphError::parameter("The multipart body is malformed.");
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|_| GraphError::parameter("A multipart body is required."))?;
    let (mut product, mut declared, mut file) = (String::new(), String::new(), None);
    while let Some(mut field) = form.next_field().await.map_err(broken)? {
        match field.name().unwrap_or_default().to_owned().as_str() {
            "messaging_product" => product = field.text().await.map_err(broken)?,
            "type" => declared = field.text().await.map_err(broken)?,
            "file" => {
                let name = field.file_name().map(ToOwned::to_owned);
                let mime_type = field.content_type().unwrap_or_default().to_owned();
                let mut bytes = BytesMut::new();
                while let Some(piece) = field.chunk().await.map_err(broken)? {
                    if bytes.len() + piece.len() > UPLOAD_LIMIT {
                        return Err(GraphError::new(131_053, "The file is too large."));
                    }
                    bytes.extend_from_slice(&piece);
                }
                file = Some((name, mime_type, bytes.freeze()));
            }
            _ => {}
        }
    }
    if product != "whatsapp" {
        return Err(GraphError::parameter(
            "The parameter messaging_product is required.",
        ));
    }
    let (name, part_type, bytes) =
        file.ok_or_else(|| GraphError::parameter("The parameter file is required."))?;
    // The part's own type counts; `type` stands in where the part has none.
    let mime_type = Some(part_type)
        .filter(|mime_type| !mime_type.is_empty())
        .unwrap_or(declared);
    keep(shared, number, name, &mime_type, bytes)
}

fn keep(
    shared: &Shared,
    number: &str,
    name: Option<String>,
    mime_type: &str,
    bytes: Bytes,
) -> Outcome {
    let Some((kind, most)) = sending::kind_of_mime(mime_type) else {
        return Err(GraphError::parameter(format!(
            "Param file must be a file with one of the following types: {}. Received file of type '{mime_type}'.",
            sending::media_types()
        )));
    };
    if bytes.is_empty() {
        return Err(GraphError::parameter("Param file is empty."));
    }
    if bytes.len() > most {
        return Err(GraphError::new(
            131_053,
            format!(
                "A file of {} bytes is too large for {kind}: at most {most}.",
                bytes.len()
            ),
        ));
    }
    let place = Place {
        phone_number_id: Some(number),
        customer: &[],
    };
    if let Some(Fault::Refused(code)) = shared.faults.strike(Fault::Refused(0), &place) {
        return Err(GraphError::usual(code));
    }
    let mut world = shared.world();
    let summary = json!({"file": name, "type": mime_type, "size": bytes.len()}).to_string();
    let id = world.store_file(bytes, mime_type, name, Some(number.into()));
    world.counters.uploads += 1;
    note_summary(&mut world, number, summary);
    drop(world);
    shared.bump();
    Ok(json!({"id": &*id}))
}

/// An upload stands in the log with a summary in place of its body.
fn note_summary(world: &mut World, number: &str, summary: String) {
    let ending = format!("/{number}/media");
    let logged: Option<&mut Logged> = world
        .requests
        .iter_mut()
        .rev()
        .find(|request| request.path.ends_with(&ending) && request.body.is_empty());
    if let Some(logged) = logged {
        logged.body = summary.into();
    }
}

/// A fresh address of a file, good for five minutes.
pub(in crate::graph) fn download_url(shared: &Shared, world: &World, id: &str) -> String {
    let expires = (world.clock.now() + ADDRESS_LIFETIME) / 1000;
    format!(
        "{}/lookaside/whatsapp_business/attachments/?mid={id}&source=getMedia&ext={expires}&hash={}",
        shared.url,
        hash(shared, id, expires)
    )
}

fn hash(shared: &Shared, id: &str, expires: i64) -> String {
    let mut text = escape::hmac(
        &shared.settings.app_secret,
        format!("{id} {expires}").as_bytes(),
    );
    text.truncate(32);
    text
}

fn find<'a>(world: &'a World, access: &Access, id: &str) -> Result<&'a File, GraphError> {
    let now = world.clock.now();
    world
        .files
        .get(id)
        .filter(|file| file.expires_at > now)
        .filter(|file| {
            // A file that a customer has not sent yet belongs to nobody.
            file.number.as_deref().is_some_and(|number| {
                let number = world.numbers.get(number);
                access.sees(number.map_or(&world.first_account, |number| &number.account))
            })
        })
        .ok_or_else(|| GraphError::invisible(id))
}

fn place_of(file: &File) -> Place<'_> {
    Place {
        phone_number_id: file.number.as_deref(),
        customer: &[],
    }
}

/// What is known about a file, and its address.
pub(super) fn info(shared: &Shared, access: &Access, call: &Call, id: &str) -> Outcome {
    let world = shared.world();
    let file = find(&world, access, id)?;
    let other_number = call
        .query
        .get("phone_number_id")
        .is_some_and(|number| file.number.as_deref() != Some(number));
    let place = place_of(file);
    if other_number || shared.faults.strike(Fault::MediaMissing, &place).is_some() {
        return Err(GraphError::invisible(id));
    }
    let lying = shared.faults.peek(Fault::MediaLyingSize, &place).is_some();
    let size = file.bytes.len() / if lying { 2 } else { 1 };
    Ok(json!({
        "messaging_product": "whatsapp",
        "url": download_url(shared, &world, id),
        "mime_type": file.mime_type,
        "sha256": escape::hex(&file.sha256),
        "file_size": size.to_string(),
        "id": id,
    }))
}

pub(super) fn delete(shared: &Shared, access: &Access, id: &str) -> Outcome {
    let mut world = shared.world();
    find(&world, access, id)?;
    world.files.remove(id);
    Ok(json!({"success": true}))
}

/// The bytes of a file, for a bearer, as long as the address is good.
pub(super) fn download(shared: &Shared, call: &Call) -> Result<Response, GraphError> {
    let file = {
        let mut world = shared.world();
        let access = super::authorize(&world, call)?;
        let id = call.query.get("mid").map_or("", String::as_str);
        let expires: i64 = call
            .query
            .get("ext")
            .and_then(|expires| expires.parse().ok())
            .unwrap_or(0);
        let right = call.query.get("hash") == Some(&hash(shared, id, expires));
        if !right || expires * 1000 <= world.clock.now() {
            return Ok(StatusCode::NOT_FOUND.into_response());
        }
        let Ok(file) = find(&world, &access, id).cloned() else {
            return Ok(StatusCode::NOT_FOUND.into_response());
        };
        world.counters.downloads += 1;
        file
    };
    shared.bump();
    Ok(deliver(shared, &file))
}

fn deliver(shared: &Shared, file: &File) -> Response {
    let place = place_of(file);
    let strike = |kind| shared.faults.strike(kind, &place);
    let bytes = file.bytes.clone();
    if strike(Fault::MediaMissing).is_some() {
        return StatusCode::NOT_FOUND.into_response();
    }
    if strike(Fault::MediaCut).is_some() {
        return cut_half_way(file);
    }
    let body = if strike(Fault::MediaEndless).is_some() {
        let block = Bytes::from(vec![0; 64 * 1024]);
        Body::from_stream(stream::repeat_with(move || {
            Ok::<_, Infallible>(block.clone())
        }))
    } else if let Some(Fault::MediaSlow(pause)) = strike(Fault::MediaSlow(Duration::ZERO)) {
        trickle(bytes, pause)
    } else if strike(Fault::MediaLyingSize).is_some() {
        // A stream goes out without a length.
        Body::from_stream(stream::iter([Ok::<_, Infallible>(bytes)]))
    } else {
        Body::from(bytes)
    };
    ([(header::CONTENT_TYPE, file.mime_type.clone())], body).into_response()
}

/// Announces the whole length, sends half and breaks off.
fn cut_half_way(file: &File) -> Response {
    let half = file.bytes.slice(..file.bytes.len() / 2);
    let pieces = stream::unfold(Some(half), |half| async move {
        if let Some(half) = half {
            return Some((Ok(half), None));
        }
        // A pause makes the server send what it has before it learns of the break.
        tokio::task::yield_now().await;
        Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), None))
    });
    (
        [
            (header::CONTENT_TYPE, file.mime_type.clone()),
            (header::CONTENT_LENGTH, file.bytes.len().to_string()),
        ],
        Body::from_stream(pieces),
    )
        .into_response()
}

fn trickle(bytes: Bytes, pause: Duration) -> Body {
    let size = bytes.len().div_ceil(PIECES).max(1);
    Body::from_stream(stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(pause).await;
        let piece = rest.split_to(size.min(rest.len()));
        Some((Ok::<_, Infallible>(piece), rest))
    }))
}
