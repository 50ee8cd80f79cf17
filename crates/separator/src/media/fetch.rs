//! Fetching one file, from Meta or from a portal, onto the disk.
//!
//! Time limits are those of [`Outgoing::file_client`]: to connect, for silence, and for the whole file.

use reqwest::{
    Response, Version,
    header::{CONTENT_TYPE, TRANSFER_ENCODING},
};
use url::Url;
use uuid::Uuid;
use whatsapp::Credentials;

use super::{
    failure::Failure,
    folder::Folder,
    name::{essence, is_page},
};
use crate::outgoing::Outgoing;

const META: &str = "Meta";
const PORTAL: &str = "the portal";

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fetched {
    /// Its size in bytes.
    pub(super) size: u64,
    /// Media type as the sender said it; `None` where that says nothing.
    pub(super) mime_type: Option<String>,
}

/// Whose business number a customer's file came to, and how Meta is asked for it.
pub(super) struct Access<'a> {
    /// The Graph API, with the time limits for files.
    pub(super) client: whatsapp::Client,
    /// Token and app secret.
    pub(super) credentials: Credentials,
    /// The number that the file was sent to.
    pub(super) phone_number_id: &'a str,
}

/// Fetches files into a folder.
#[derive(Debug)]
pub(super) struct Fetcher<'a> {
    /// The way to the outside.
    pub(super) outgoing: &'a Outgoing,
    /// Where files go.
    pub(super) folder: &'a Folder,
    /// The most bytes a file may have.
    pub(super) limit: u64,
}

impl Fetcher<'_> {
    /// Fetches an operator's file. Each address on the way is vetted; who answers with a page where no page was meant
    /// has lost the file or wants a login.
    pub(super) async fn operators_file(
        &self,
        id: Uuid,
        name: &str,
        url: &str,
        declared_size: Option<u64>,
    ) -> Result<Fetched, Failure> {
        self.permit(declared_size)?;
        let url = Url::parse(url).map_err(|_| Failure::NoAddress)?;
        let response = self
            .outgoing
            .fetch(url)
            .await
            .map_err(Failure::unanswered)?;
        if !response.status().is_success() {
            return Err(Failure::Portal(response.status()));
        }
        let mime_type = content_type(&response);
        if mime_type.as_deref().is_some_and(is_html) && !is_page(name) {
            return Err(Failure::Page);
        }
        let size = self.receive(id, response, declared_size, PORTAL).await?;
        Ok(Fetched { size, mime_type })
    }

    /// Fetches a customer's file. Its address lives for minutes, so one that is refused is asked for once more.
    pub(super) async fn customers_file(
        &self,
        id: Uuid,
        media_id: &str,
        access: &Access<'_>,
    ) -> Result<Fetched, Failure> {
        let Access {
            client,
            credentials,
            phone_number_id,
        } = access;
        let mut again = true;
        loop {
            let info = client
                .media_info(credentials, media_id, phone_number_id)
                .await?;
            self.permit(info.file_size)?;
            let response = match client.media_download(credentials, &info.url).await {
                Err(whatsapp::Error::Http { status }) if again && status != 429 => {
                    again = false;
                    continue;
                }
                response => response?,
            };
            let size = self.receive(id, response, info.file_size, META).await?;
            return Ok(Fetched {
                size,
                mime_type: info.mime_type,
            });
        }
    }

    async fn receive(
        &self,
        id: Uuid,
        response: Response,
        declared_size: Option<u64>,
        sender: &'static str,
    ) -> Result<u64, Failure> {
        self.permit(response.content_length())?;
        let open_ended = is_open_ended(&response);
        let size = self
            .folder
            .receive(id, response.bytes_stream(), self.limit)
            .await
            .map_err(|interrupted| Failure::interrupted(interrupted, sender))?;
        let failure = match declared_size {
            _ if size == 0 => Failure::Empty,
            Some(declared) if open_ended && size < declared => Failure::cut(sender),
            _ => return Ok(size),
        };
        self.folder.remove(id).await?;
        Err(failure)
    }

    fn permit(&self, size: Option<u64>) -> Result<(), Failure> {
        match size {
            Some(size) if size > self.limit => Err(Failure::TooLarge),
            _ => Ok(()),
        }
    }
}

/// Whether the end of the connection is the end of the body, so that a broken connection looks like a whole file.
fn is_open_ended(response: &Response) -> bool {
    response.version() <= Version::HTTP_11
        && response.content_length().is_none()
        && !response.headers().contains_key(TRANSFER_ENCODING)
}

/// The media type of an answer, unless it only says "bytes".
fn content_type(response: &Response) -> Option<String> {
    let text = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
    let says_nothing = ["", "application/octet-stream", "application/force-download"];
    let essence = essence(text);
    if says_nothing
        .iter()
        .any(|nothing| essence.eq_ignore_ascii_case(nothing))
    {
        return None;
    }
    Some(text.to_owned())
}

fn is_html(mime_type: &str) -> bool {
    ["text/html", "application/xhtml+xml"]
        .iter()
        .any(|html| essence(mime_type).eq_ignore_ascii_case(html))
}

#[cfg(test)]
mod tests;
