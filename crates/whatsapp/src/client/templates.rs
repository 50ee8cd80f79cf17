//! Writing message templates: creating, editing, deleting, and the sample of a header's file.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::{Value, json};

use super::answers::Template;
use super::management::TEMPLATE_FIELDS;
use super::{Client, Credentials, UPLOAD_LIMIT, opened};
use crate::error::Error;

/// A template that is to be made. Meta reviews it before it can be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTemplate {
    /// Lower-case letters, digits and underscores, at most 512.
    pub name: String,
    /// Language code, as in `de` or `en_US`.
    pub language: String,
    /// `UTILITY`, `MARKETING` or `AUTHENTICATION`.
    pub category: String,
    /// `POSITIONAL` or `NAMED`.
    pub parameter_format: String,
    /// Header, body, footer and buttons, with a sample for every variable and every file.
    pub components: Value,
}

impl Client {
    /// One template as Meta has it now. Source: Meta, "Message template: reading".
    pub async fn message_template(
        &self,
        credentials: &Credentials,
        template_id: &str,
    ) -> Result<Template, Error> {
        let mut url = self.url(credentials, &[template_id])?;
        url.query_pairs_mut().append_pair("fields", TEMPLATE_FIELDS);
        let answer = self.get(credentials, url).await?;
        Template::read(&opened(&answer)?).ok_or(Error::Malformed("the template"))
    }

    /// Makes a template and gives its id; its review begins. Source: Meta, "WABA: message templates".
    pub async fn create_template(
        &self,
        credentials: &Credentials,
        waba_id: &str,
        template: &NewTemplate,
    ) -> Result<String, Error> {
        let url = self.url(credentials, &[waba_id, "message_templates"])?;
        let body = json!({
            "name": template.name,
            "language": template.language,
            "category": template.category,
            "parameter_format": template.parameter_format,
            "components": template.components,
        });
        let answer = self.post(credentials, url, &body).await?;
        opened(&answer)?
            .filled("id")
            .ok_or(Error::Malformed("a template id"))
    }

    /// Puts other components, or another category, in the place of a template's own; it is reviewed again. Meta takes it
    /// for approved, rejected and paused templates, of an approved one once a day, ten times in 30 days and without
    /// another category. Source: Meta, "Message template: editing".
    pub async fn edit_template(
        &self,
        credentials: &Credentials,
        template_id: &str,
        category: Option<&str>,
        components: Option<&Value>,
    ) -> Result<(), Error> {
        let url = self.url(credentials, &[template_id])?;
        let mut body = json!({});
        if let Some(category) = category {
            body["category"] = category.into();
        }
        if let Some(components) = components {
            body["components"] = components.clone();
        }
        self.post(credentials, url, &body).await.map(drop)
    }

    /// Deletes a template in one language. Its name cannot be used again for 30 days.
    /// Source: Meta, "WABA: message templates".
    pub async fn delete_template(
        &self,
        credentials: &Credentials,
        waba_id: &str,
        name: &str,
        template_id: &str,
    ) -> Result<(), Error> {
        let mut url = self.url(credentials, &[waba_id, "message_templates"])?;
        url.query_pairs_mut()
            .append_pair("name", name)
            .append_pair("hsm_id", template_id);
        self.answer(credentials, self.http.delete(url))
            .await
            .map(drop)
    }

    /// Brings the sample of a template's header to Meta and gives its handle, for `example.header_handle`. The app is
    /// the one that the token belongs to. Source: Meta, "Graph API: resumable upload".
    pub async fn upload_sample(
        &self,
        credentials: &Credentials,
        app_id: &str,
        file_name: &str,
        mime: &str,
        bytes: impl Into<reqwest::Body>,
        length: u64,
    ) -> Result<String, Error> {
        let mut url = self.url(credentials, &[app_id, "uploads"])?;
        url.query_pairs_mut()
            .append_pair("file_name", &super::plain_name(file_name))
            .append_pair("file_length", &length.to_string())
            .append_pair("file_type", mime);
        let answer = self.answer(credentials, self.http.post(url)).await?;
        let session = opened(&answer)?
            .filled("id")
            .filter(|id| id.starts_with("upload:"))
            .ok_or(Error::Malformed("an upload session"))?;
        // The session's id goes into the address as it is: it has a signature behind a question mark.
        let (path, signature) = session.split_once('?').unwrap_or((&session, ""));
        let mut url = self.plain_url(&[])?;
        url.path_segments_mut()
            .map_err(|()| Error::Request("the base address takes no path".to_owned()))?
            .push(path);
        if !signature.is_empty() {
            url.set_query(Some(signature));
        }
        let mut authorization =
            HeaderValue::try_from(format!("OAuth {}", credentials.access_token.expose()))
                .map_err(|_| Error::Request("the token is none".to_owned()))?;
        authorization.set_sensitive(true);
        let request = self
            .http
            .post(url)
            .timeout(UPLOAD_LIMIT)
            .header(AUTHORIZATION, authorization)
            .header("file_offset", "0")
            .header("content-length", length)
            .body(bytes);
        let answer = self.answered(request).await?;
        opened(&answer)?
            .filled("h")
            .ok_or(Error::Malformed("the sample's handle"))
    }
}
