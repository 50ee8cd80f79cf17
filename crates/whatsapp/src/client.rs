//! Calls to the Graph API.
//!
//! Every call carries the access token in the `Authorization` header, never in its address, and `appsecret_proof`
//! where the app secret is known. Answers are read in full up to a limit and judged by their content, because Meta's
//! HTTP statuses are not reliable. A call that may have been carried out is told apart from one that certainly was not:
//! see [`Error`].

mod answers;
mod calling;
mod login;
mod management;
mod templates;

use reqwest::header::{HeaderMap, USER_AGENT};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use std::time::Duration;
use url::Url;

use crate::error::{ApiError, Error};
use crate::json::Object;
use crate::send::OutgoingMessage;
use crate::{Secret, signature};

pub use answers::{
    AppInfo, AppWebhook, BusinessAccount, GranularScope, MediaInfo, NewToken, PhoneNumber, Sent,
    SubscribedApp, Template, TokenInfo,
};
pub use calling::{
    CallingChange, CallingSettings, KeyExchange, NewServer, SipBlock, SipChange, SipServer,
};
pub use login::Login;
pub use management::WEBHOOK_FIELDS;
pub use templates::NewTemplate;

/// Most bytes of an answer that are read; a full page of templates has about one megabyte.
/// 100 MB over a slow line take longer than a call that only asks.
const UPLOAD_LIMIT: std::time::Duration = std::time::Duration::from_mins(10);
const ANSWER_LIMIT: usize = 16 * 1024 * 1024;
/// Most pages of a list; ends the walk should Meta's cursors run in a circle.
const PAGE_LIMIT: usize = 500;
/// Most redirects of a file that are followed.
const REDIRECT_LIMIT: usize = 5;
/// Meta's file servers have refused some names of programs; this one they take.
const FILE_USER_AGENT: &str = "curl/8.14.1";

/// What a call is made with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access token.
    pub access_token: Secret,
    /// The secret of the app that the token was issued for. With it calls carry `appsecret_proof`.
    pub app_secret: Option<Secret>,
}

/// The Graph API at one address and version. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    version: String,
}

impl Client {
    /// A client for `base` (`https://graph.facebook.com`) and `version` (`v25.0`).
    ///
    /// Time limits are those of `http`. It should not follow redirects: this client follows those of files itself, and
    /// the API has no others.
    pub fn new(http: reqwest::Client, base: Url, version: impl Into<String>) -> Self {
        Self {
            http,
            base,
            version: version.into(),
        }
    }

    /// Sends a message. `Sent` means accepted; whether it arrives is told by statuses, later.
    /// Source: Meta, "Cloud API: messages".
    pub async fn send(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        message: &OutgoingMessage,
    ) -> Result<Sent, Error> {
        let url = self.url(credentials, &[phone_number_id, "messages"])?;
        let answer = self.post(credentials, url, message).await?;
        Sent::read(&opened(&answer)?).ok_or(Error::Malformed("a message id"))
    }

    /// Sends a marketing template by the way that Meta has for them (Marketing Messages API). Everything else is refused
    /// there with 134100, an account that has not signed its terms with 134102.
    /// Source: Meta, "Marketing Messages API for WhatsApp".
    pub async fn send_marketing(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        message: &OutgoingMessage,
    ) -> Result<Sent, Error> {
        let url = self.url(credentials, &[phone_number_id, "marketing_messages"])?;
        let answer = self.post(credentials, url, message).await?;
        Sent::read(&opened(&answer)?).ok_or(Error::Malformed("a message id"))
    }

    /// Marks a customer's message and all before it as read; with `typing` also shows "typing…" for up to 25 seconds.
    /// Source: Meta, "Cloud API: mark messages as read", "typing indicators".
    pub async fn mark_read(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        wamid: &str,
        typing: bool,
    ) -> Result<(), Error> {
        let url = self.url(credentials, &[phone_number_id, "messages"])?;
        let mut body =
            json!({ "messaging_product": "whatsapp", "status": "read", "message_id": wamid });
        if typing {
            body["typing_indicator"] = json!({ "type": "text" });
        }
        self.post(credentials, url, &body).await.map(drop)
    }

    /// Where a customer's file lies, for the next 5 minutes. Source: Meta, "Cloud API: media".
    pub async fn media_info(
        &self,
        credentials: &Credentials,
        media_id: &str,
        phone_number_id: &str,
    ) -> Result<MediaInfo, Error> {
        let mut url = self.url(credentials, &[media_id])?;
        url.query_pairs_mut()
            .append_pair("phone_number_id", phone_number_id);
        let answer = self.get(credentials, url).await?;
        MediaInfo::read(&opened(&answer)?).ok_or(Error::Malformed("the file's address"))
    }

    /// Opens the file at an address that Meta gave; its body is a stream of unknown length. The token goes to hosts of
    /// Meta's and to the host of the base address only. An address that expired answers [`Error::Http`] 404: ask for
    /// a new one. Source: Meta, "Cloud API: media".
    pub async fn media_download(
        &self,
        credentials: &Credentials,
        url: &str,
    ) -> Result<Response, Error> {
        let mut url =
            Url::parse(url).map_err(|_| Error::Request("the file's address is none".to_owned()))?;
        for _ in 0..=REDIRECT_LIMIT {
            self.vet(&url)?;
            let request = self
                .http
                .get(url.clone())
                .header(USER_AGENT, FILE_USER_AGENT);
            let request = request.bearer_auth(credentials.access_token.expose());
            let response = request.send().await.map_err(unanswered)?;
            // In case the HTTP client followed a redirect by itself.
            self.vet(response.url())?;
            if response.status().is_success() {
                return Ok(response);
            }
            match redirect(&response) {
                Some(next) => url = next,
                None => return Err(failure(response).await),
            }
        }
        Err(Error::Unknown("too many redirects".to_owned()))
    }

    /// Uploads a file for sending and gives its media id, good for 30 days and for this number. `mime` must be one of
    /// Meta's list, as [`classify`](crate::media::classify) gives it; `length` is the exact length of `body`.
    /// Source: Meta, "Cloud API: media".
    pub async fn media_upload(
        &self,
        credentials: &Credentials,
        phone_number_id: &str,
        mime: &str,
        file_name: &str,
        length: u64,
        body: impl Into<reqwest::Body>,
    ) -> Result<String, Error> {
        use reqwest::multipart::{Form, Part};

        let url = self.url(credentials, &[phone_number_id, "media"])?;
        let part = Part::stream_with_length(body, length).file_name(plain_name(file_name));
        let part = part
            .mime_str(mime)
            .map_err(|_| Error::Request("the media type is none".to_owned()))?;
        let form = Form::new()
            .text("messaging_product", "whatsapp")
            .text("type", mime.to_owned())
            .part("file", part);
        let answer = self
            .answer(
                credentials,
                self.http.post(url).timeout(UPLOAD_LIMIT).multipart(form),
            )
            .await?;
        opened(&answer)?
            .filled("id")
            .ok_or(Error::Malformed("a media id"))
    }

    async fn pages<T>(
        &self,
        credentials: &Credentials,
        path: &[&str],
        query: &[(&str, &str)],
        read: fn(&Object<'_>) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGE_LIMIT {
            let mut url = self.url(credentials, path)?;
            url.query_pairs_mut()
                .extend_pairs(query)
                .extend_pairs(after.iter().map(|after| ("after", after)));
            let answer = self.get(credentials, url).await?;
            let page = opened(&answer)?;
            if page.raw("data").is_none() {
                return Err(Error::Malformed("a list"));
            }
            all.extend(page.objects("data").filter_map(|element| read(&element)));
            let next = next_cursor(&page);
            if next.is_none() || next == after {
                return Ok(all);
            }
            after = next;
        }
        Err(Error::Malformed("an end of the list"))
    }

    async fn get(&self, credentials: &Credentials, url: Url) -> Result<String, Error> {
        self.answer(credentials, self.http.get(url)).await
    }

    async fn post(
        &self,
        credentials: &Credentials,
        url: Url,
        body: &impl serde::Serialize,
    ) -> Result<String, Error> {
        self.answer(credentials, self.http.post(url).json(body))
            .await
    }

    /// Makes a call and gives its answer, which is a JSON object without an error in it.
    async fn answer(
        &self,
        credentials: &Credentials,
        request: RequestBuilder,
    ) -> Result<String, Error> {
        self.answered(request.bearer_auth(credentials.access_token.expose()))
            .await
    }

    /// The same for a request that has all it needs.
    async fn answered(&self, request: RequestBuilder) -> Result<String, Error> {
        let response = request.send().await.map_err(unanswered)?;
        if !response.status().is_success() {
            return Err(failure(response).await);
        }
        let wait = asked_wait(response.headers());
        let body = read(response).await?;
        let object = opened(&body)?;
        match object.object("error") {
            Some(error) => Err(api_error(&error, wait)),
            None => Ok(body),
        }
    }

    fn url(&self, credentials: &Credentials, path: &[&str]) -> Result<Url, Error> {
        let mut url = self.plain_url(path)?;
        if let Some(app_secret) = &credentials.app_secret {
            let proof = signature::app_secret_proof(app_secret, &credentials.access_token);
            url.query_pairs_mut().append_pair("appsecret_proof", &proof);
        }
        Ok(url)
    }

    fn plain_url(&self, path: &[&str]) -> Result<Url, Error> {
        // An empty id or one with a slash in it would make another call than the one that was meant.
        let plain = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        if let Some(strange) = path.iter().find(|part| !plain(part)) {
            return Err(Error::Request(format!("{strange:?} is no id")));
        }
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Request("the base address takes no path".to_owned()))?
            .pop_if_empty()
            .push(&self.version)
            .extend(path);
        Ok(url)
    }

    /// Whether the token may go there.
    fn vet(&self, url: &Url) -> Result<(), Error> {
        if url.origin() == self.base.origin() {
            return Ok(());
        }
        let host = url.host_str().unwrap_or_default();
        let suffixes = [".fbsbx.com", ".facebook.com", ".whatsapp.net"];
        if url.scheme() == "https" && suffixes.iter().any(|suffix| host.ends_with(suffix)) {
            return Ok(());
        }
        Err(Error::ForeignHost(host.to_owned()))
    }
}

fn opened(answer: &str) -> Result<Object<'_>, Error> {
    Object::parse(answer).ok_or_else(|| Error::Unknown("the answer is not JSON".to_owned()))
}

/// The cursor of the next page. Meta repeats the last cursor on the last page but leaves `next` out there.
fn next_cursor(page: &Object<'_>) -> Option<String> {
    let paging = page.object("paging")?;
    paging.raw("next")?;
    paging.object("cursors")?.filled("after")
}

fn redirect(response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response
        .headers()
        .get(reqwest::header::LOCATION)?
        .to_str()
        .ok()?;
    response.url().join(location).ok()
}

/// What an answer that is no success means.
async fn failure(response: Response) -> Error {
    let status = response.status();
    let wait = asked_wait(response.headers());
    let body = read(response).await.unwrap_or_default();
    if let Some(error) = Object::parse(&body).and_then(|object| object.object("error")) {
        return api_error(&error, wait);
    }
    if status.is_client_error() && status.as_u16() != 408 {
        return Error::Http {
            status: status.as_u16(),
        };
    }
    Error::Unknown(format!(
        "HTTP {} without an error of Meta's",
        status.as_u16()
    ))
}

fn api_error(error: &Object<'_>, wait: Option<Duration>) -> Error {
    Error::Api(Box::new(ApiError {
        wait,
        ..ApiError::read(error)
    }))
}

/// Reads a body as text, up to the limit.
async fn read(mut response: Response) -> Result<String, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Err(Error::Unknown(format!(
                "the answer is longer than {ANSWER_LIMIT} bytes"
            )));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| Error::Unknown("the answer is not UTF-8".to_owned()))
}

/// What a failure without an answer means. The address is dropped: it holds the proof.
fn unanswered(error: reqwest::Error) -> Error {
    let error = error.without_url();
    let (refused, unreachable) = (error.is_builder(), error.is_connect());
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    match (refused, unreachable) {
        (true, _) => Error::Request(text),
        (_, true) => Error::Unreachable(text),
        _ => Error::Unknown(text),
    }
}

/// The longest wait that the usage header asks for; it counts in minutes. Source: Meta, "Graph API: rate limiting".
fn asked_wait(headers: &HeaderMap) -> Option<Duration> {
    let header = headers.get("x-business-use-case-usage")?.to_str().ok()?;
    let usage: Value = serde_json::from_str(header).ok()?;
    let uses = usage
        .as_object()?
        .values()
        .filter_map(Value::as_array)
        .flatten();
    let minutes = uses
        .filter_map(|usage| usage.get("estimated_time_to_regain_access")?.as_u64())
        .max()?;
    (minutes > 0).then(|| Duration::from_secs(minutes.min(24 * 60) * 60))
}

/// A name for the upload's form only; what the customer sees is in the message. Plain, because a form says names beyond
/// ASCII in a way that not every server reads.
fn plain_name(file_name: &str) -> String {
    let plain = |character: char| {
        if character.is_ascii_alphanumeric() || matches!(character, '.' | '-') {
            character
        } else {
            '_'
        }
    };
    let name: String = file_name.chars().map(plain).collect();
    if name.is_empty() {
        "file".to_owned()
    } else {
        name
    }
}

#[cfg(test)]
mod tests;
