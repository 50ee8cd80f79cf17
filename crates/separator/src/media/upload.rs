//! Bringing a file to Meta before it is sent.

use std::{io, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    fs::File,
    io::{AsyncSeekExt as _, SeekFrom},
};
use tokio_util::io::ReaderStream;
use uuid::Uuid;
use whatsapp::{
    ApiError, Client, Credentials,
    media::{HEAD_BYTES, MediaKind, Upload, classify},
};

use super::folder::Folder;
use crate::{
    registry::Phone,
    store::{
        self, Store,
        media::{State, Stored},
    },
    time::Millis,
};

/// Bytes read from disk at once.
const BUFFER: usize = 64 * 1024;
/// Meta keeps an upload for 30 days; after so many it is uploaded anew, so that a message sent now still finds it when
/// the receiver's phone fetches it. Source: Meta, "Cloud API: media".
const KEPT: Duration = Duration::from_hours(25 * 24);

/// A file that Meta has and how to send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Meta's media id; good for this business number only.
    pub id: String,
    /// The type of message that it goes as.
    pub kind: MediaKind,
    /// The media type under which it was uploaded.
    pub mime: String,
    /// It is shown as a voice note.
    pub voice: bool,
    /// Its size in bytes.
    pub size: u64,
}

/// Why a file could not be brought to Meta.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It fits no kind of message.
    #[error("the file has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The most bytes that it may have.
        limit: u64,
    },
    /// It is not here, or no longer.
    #[error("the file is no longer here")]
    Gone,
    /// Meta did not take it. Nothing is sent by an upload, so one whose outcome is unknown may be repeated.
    #[error(transparent)]
    Meta(#[from] whatsapp::Error),
    /// The database did not answer; that passes.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The disk could not be read; that passes.
    #[error("the file could not be read: {0}")]
    Disk(io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Gone;
        }
        Self::Disk(error)
    }
}

/// What `media.remote_id` holds, as JSON.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    id: String,
    /// Whose upload it is.
    number: String,
    /// When, in Unix milliseconds.
    at: i64,
    /// Name of the kind, as [`MediaKind`] shows itself.
    kind: String,
    mime: String,
    voice: bool,
    size: u64,
}

impl Remembered {
    /// The upload, if it is one of this number's and Meta keeps it for some time yet.
    fn reuse(self, phone_number_id: &str, now: Millis) -> Option<Uploaded> {
        let kinds = [
            MediaKind::Image,
            MediaKind::Video,
            MediaKind::Audio,
            MediaKind::Document,
        ];
        let kind = kinds
            .into_iter()
            .find(|kind| kind.to_string() == self.kind)?;
        let fresh = now < Millis(self.at) + KEPT && self.number == phone_number_id;
        fresh.then_some(Uploaded {
            id: self.id,
            kind,
            mime: self.mime,
            voice: self.voice,
            size: self.size,
        })
    }
}

/// Brings files to Meta for one business number.
pub(super) struct Uploader<'a> {
    pub(super) store: &'a Store,
    pub(super) folder: &'a Folder,
    pub(super) client: Client,
    /// `None` where the number has no access token.
    pub(super) credentials: Option<Credentials>,
    pub(super) phone: &'a Phone,
    pub(super) now: Millis,
}

impl Uploader<'_> {
    /// Uploads a file, or finds that Meta has it already.
    pub(super) async fn upload(&self, media: Uuid) -> Result<Uploaded, UploadError> {
        let stored = store::media::get(self.store, media).await?;
        let stored = stored
            .filter(|stored| stored.state == State::Ready)
            .ok_or(UploadError::Gone)?;
        if let Some(uploaded) = self.remembered(&stored) {
            return Ok(uploaded);
        }
        let credentials = self.credentials.as_ref().ok_or_else(without_token)?;
        let (mut file, size) = self.folder.open(media).await?;
        let head = Folder::head(&mut file, HEAD_BYTES).await?;
        let upload = classify(&head, &stored.name, stored.mime_type.as_deref())
            .for_size(size)
            .map_err(|error| UploadError::TooLarge {
                size: error.bytes,
                limit: error.limit,
            })?;
        file.seek(SeekFrom::Start(0)).await?;
        let id = self.send(credentials, &stored, &upload, file, size).await?;
        let Upload {
            kind, mime, voice, ..
        } = upload;
        let uploaded = Uploaded {
            id,
            kind,
            mime,
            voice,
            size,
        };
        self.remember(media, &uploaded).await?;
        Ok(uploaded)
    }

    async fn send(
        &self,
        credentials: &Credentials,
        stored: &Stored,
        upload: &Upload,
        file: File,
        size: u64,
    ) -> Result<String, whatsapp::Error> {
        let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, BUFFER));
        let number = &self.phone.phone_number_id;
        self.client
            .media_upload(credentials, number, &upload.mime, &stored.name, size, body)
            .await
    }

    fn remembered(&self, stored: &Stored) -> Option<Uploaded> {
        let remembered: Remembered = serde_json::from_str(stored.remote_id.as_deref()?).ok()?;
        remembered.reuse(&self.phone.phone_number_id, self.now)
    }

    async fn remember(&self, media: Uuid, uploaded: &Uploaded) -> Result<(), store::Error> {
        let remembered = Remembered {
            id: uploaded.id.clone(),
            number: self.phone.phone_number_id.clone(),
            at: self.now.0,
            kind: uploaded.kind.to_string(),
            mime: uploaded.mime.clone(),
            voice: uploaded.voice,
            size: uploaded.size,
        };
        let text = serde_json::to_string(&remembered).expect("text and numbers always serialise");
        store::media::keep_upload(self.store, media, &text).await
    }
}

/// What Meta itself answers to a call without a valid token, so that the number pauses and somebody is called.
fn without_token() -> whatsapp::Error {
    whatsapp::Error::Api(Box::new(ApiError {
        code: Some(190),
        message: "the number has no access token".to_owned(),
        ..ApiError::default()
    }))
}

#[cfg(test)]
mod tests;
