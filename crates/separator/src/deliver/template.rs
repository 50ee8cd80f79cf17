//! The file of a template's header: brought to Meta, or handed on as its address where only we cannot fetch it.

use serde_json::{Value, json};
use whatsapp::media::MediaKind;

use crate::{
    app::App,
    media::{self, UploadError},
    registry::Phone,
    store::lanes::{Claimed, HeaderFile},
    translate::{
        notes::{FileTrouble, Note},
        template::HeaderKind,
    },
};

/// Why a template cannot be sent with its file.
pub(super) enum Trouble {
    /// Operators read why.
    Told(Note),
    /// The upload failed.
    Upload(UploadError),
}

/// The components of a template together with its header's file.
pub(super) async fn with_header(
    app: &App,
    phone: &Phone,
    row: &Claimed,
    components: &Value,
    header: &HeaderFile,
) -> Result<Value, Trouble> {
    let kind = header.kind.as_str();
    let mut file = match &row.media {
        Some(media) if media.state == "failed" => {
            let trouble = media::trouble(media.error.as_deref());
            match (&header.link, trouble) {
                // Meta may stand where a wall keeps us out.
                (Some(link), FileTrouble::Unreachable | FileTrouble::Refused) => {
                    json!({ "link": link })
                }
                _ => {
                    let name = header.link.clone().unwrap_or_else(|| media.name.clone());
                    return Err(Trouble::Told(Note::HeaderFileLost { name, trouble }));
                }
            }
        }
        Some(media) => {
            let uploaded = media::upload(app, phone, media.id)
                .await
                .map_err(Trouble::Upload)?;
            if !fits(header.kind, uploaded.kind) {
                return Err(Trouble::Told(Note::HeaderFileKind {
                    name: media.name.clone(),
                    kind: header.kind,
                }));
            }
            json!({ "id": uploaded.id })
        }
        None => {
            let name = header.link.clone().unwrap_or_default();
            let trouble = FileTrouble::Gone;
            return Err(Trouble::Told(Note::HeaderFileLost { name, trouble }));
        }
    };
    if let (HeaderKind::Document, Some(media)) = (header.kind, &row.media) {
        file["filename"] = json!(media.name);
    }
    let parameter = json!({ "type": kind, kind: file });
    let mut all = vec![json!({ "type": "header", "parameters": [parameter] })];
    all.extend(components.as_array().into_iter().flatten().cloned());
    Ok(Value::Array(all))
}

/// Whether a file of this kind may stand in the header; any may stand there as a document.
fn fits(wanted: HeaderKind, found: MediaKind) -> bool {
    match wanted {
        HeaderKind::Image => found == MediaKind::Image,
        HeaderKind::Video | HeaderKind::Gif => found == MediaKind::Video,
        HeaderKind::Document => true,
    }
}
