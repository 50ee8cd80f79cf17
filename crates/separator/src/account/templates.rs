//! Writing templates: what a person made of one goes to Meta, and what Meta has then goes into the catalogue.

use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use whatsapp::{
    client::{Client, Credentials, NewTemplate, Template as Listed},
    media::{self, IMAGE_LIMIT, VIDEO_LIMIT},
};

use super::{client, of_account};
use crate::{
    app::App,
    outgoing::read_limited,
    registry::{Account, WabaApp},
    store::{
        self,
        templates::{self, Template},
    },
};

/// Why a template was not written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// The account or its application is not set up any more.
    #[error("the account is not set up any more")]
    UnknownAccount,
    /// Neither the account nor its app has a token.
    #[error("there is no access token: enter one for the account or for its app")]
    NoToken,
    /// The sample of the header's file cannot be used.
    #[error("{0}")]
    Sample(String),
    /// Meta said no, or did not answer.
    #[error(transparent)]
    Meta(#[from] whatsapp::Error),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What calls about an account need.
struct Desk<'a> {
    app: &'a App,
    client: Client,
    credentials: Credentials,
    account: &'a Account,
    waba_app: &'a WabaApp,
}

impl<'a> Desk<'a> {
    fn of(
        app: &'a App,
        account: &'a Account,
        waba_app: Option<&'a WabaApp>,
    ) -> Result<Self, NotWritten> {
        let waba_app = waba_app.ok_or(NotWritten::UnknownAccount)?;
        Ok(Self {
            app,
            client: client(app),
            credentials: of_account(account, waba_app).ok_or(NotWritten::NoToken)?,
            account,
            waba_app,
        })
    }

    /// Puts Meta's handle in the place of an address that is the sample of the header's file.
    async fn with_handle(&self, mut components: Value) -> Result<Value, NotWritten> {
        for component in components.as_array_mut().into_iter().flatten() {
            let handle = &component["example"]["header_handle"][0];
            let address = handle.as_str().and_then(|text| Url::parse(text).ok());
            if let Some(address) = address.filter(|url| matches!(url.scheme(), "http" | "https")) {
                let format = component["format"].as_str().unwrap_or_default();
                let handle = self.sample(address, format).await?;
                component["example"]["header_handle"] = json!([handle]);
            }
        }
        Ok(components)
    }

    async fn sample(&self, address: Url, format: &str) -> Result<String, NotWritten> {
        let unusable = |why: &str| NotWritten::Sample(format!("cannot have this sample: {why}"));
        let name = crate::translate::template::name_of_link(address.as_str());
        let response = self
            .app
            .outgoing
            .fetch(address)
            .await
            .map_err(|error| unusable(&error.to_string()))?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(unusable(&format!(
                "its address answers with status {status}"
            )));
        }
        let declared = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let limit = usize::try_from(limit_of(format)).unwrap_or(usize::MAX);
        let bytes = read_limited(response, limit)
            .await
            .map_err(|error| unusable(&error.to_string()))?;
        self.hand_over(bytes, &name, declared.as_deref(), format)
            .await
    }

    /// Brings a sample to Meta; gives Meta's handle of it.
    async fn hand_over(
        &self,
        bytes: Bytes,
        name: &str,
        declared: Option<&str>,
        format: &str,
    ) -> Result<String, NotWritten> {
        let limit = limit_of(format);
        let length = bytes.len() as u64;
        if length > limit {
            let most = limit / (1024 * 1024);
            let why = format!("cannot have this sample: it has more than {most} MB");
            return Err(NotWritten::Sample(why));
        }
        let found = media::classify(&bytes, name, declared);
        // Meta's types of resumable uploads are fewer than those of messages.
        let fits = match found.mime.as_str() {
            "image/jpeg" | "image/png" => format.eq_ignore_ascii_case("IMAGE"),
            "video/mp4" => ["VIDEO", "GIF"]
                .iter()
                .any(|one| format.eq_ignore_ascii_case(one)),
            "application/pdf" => format.eq_ignore_ascii_case("DOCUMENT"),
            _ => false,
        };
        if !fits {
            let why = "cannot have this sample: a picture must be JPEG or PNG, a video MP4, a document PDF";
            return Err(NotWritten::Sample(why.to_owned()));
        }
        let app_id = &self.waba_app.client_id;
        Ok(self
            .client
            .upload_sample(&self.credentials, app_id, name, &found.mime, bytes, length)
            .await?)
    }

    /// What Meta has now, in the catalogue. If it cannot be read, what is known of it stands there until the next round.
    async fn take_over(&self, known: Listed) -> Result<Option<Uuid>, NotWritten> {
        let asked_at = self.app.clock.now();
        let found = self
            .client
            .message_template(&self.credentials, &known.id)
            .await;
        let (template, whole) = match found {
            Ok(found) => (found, true),
            Err(error) => {
                tracing::warn!(%error, template = %known.id, "a template could not be read back");
                (known, false)
            }
        };
        let (store, ids) = (&self.app.store, &self.app.ids);
        let id = templates::put(store, ids, self.account.id, &template, asked_at).await?;
        if !whole {
            super::look_again(self.app, self.account.id).await?;
        }
        Ok(id)
    }
}

/// The largest sample of a header's file, in bytes.
pub const SAMPLE_LIMIT: u64 = VIDEO_LIMIT;

fn limit_of(format: &str) -> u64 {
    if format.eq_ignore_ascii_case("IMAGE") {
        IMAGE_LIMIT
    } else {
        SAMPLE_LIMIT
    }
}

/// Brings the sample of a header's file to Meta; gives Meta's handle, which a template names.
pub async fn hand_over_sample(
    app: &App,
    account: Uuid,
    bytes: Vec<u8>,
    name: &str,
    format: &str,
) -> Result<String, NotWritten> {
    let registry = app.directory.snapshot();
    let account = registry
        .accounts
        .get(&account)
        .ok_or(NotWritten::UnknownAccount)?;
    let desk = Desk::of(app, account, registry.waba_apps.get(&account.app_id))?;
    desk.hand_over(bytes.into(), name, None, format).await
}

/// Has a template made and reviewed; gives our id of it.
pub async fn create(app: &App, account: Uuid, new: NewTemplate) -> Result<Uuid, NotWritten> {
    let registry = app.directory.snapshot();
    let account = registry
        .accounts
        .get(&account)
        .ok_or(NotWritten::UnknownAccount)?;
    let desk = Desk::of(app, account, registry.waba_apps.get(&account.app_id))?;
    let components = desk.with_handle(new.components.clone()).await?;
    let new = NewTemplate { components, ..new };
    let id = desk
        .client
        .create_template(&desk.credentials, &account.waba_id, &new)
        .await?;
    let known = Listed {
        id,
        name: new.name,
        language: new.language,
        status: Some("PENDING".to_owned()),
        category: Some(new.category),
        sub_category: None,
        parameter_format: Some(new.parameter_format),
        quality: None,
        rejected_reason: None,
        correct_category: None,
        components: new.components,
    };
    desk.take_over(known)
        .await?
        .ok_or(NotWritten::UnknownAccount)
}

/// Has a template changed and reviewed again.
pub async fn edit(
    app: &App,
    template: &Template,
    category: Option<String>,
    components: Option<Value>,
) -> Result<(), NotWritten> {
    let registry = app.directory.snapshot();
    let account = registry
        .accounts
        .get(&template.account)
        .ok_or(NotWritten::UnknownAccount)?;
    let desk = Desk::of(app, account, registry.waba_apps.get(&account.app_id))?;
    let components = match components {
        Some(components) => Some(desk.with_handle(components).await?),
        None => None,
    };
    desk.client
        .edit_template(
            &desk.credentials,
            &template.template_id,
            category.as_deref(),
            components.as_ref(),
        )
        .await?;
    let known = Listed {
        id: template.template_id.clone(),
        name: template.name.clone(),
        language: template.language.clone(),
        status: Some("PENDING".to_owned()),
        category: Some(category.unwrap_or_else(|| template.category.clone())),
        sub_category: None,
        parameter_format: Some(template.parameter_format.clone()),
        quality: Some(template.quality.clone()),
        rejected_reason: None,
        correct_category: None,
        components: components.unwrap_or_else(|| template.components.clone()),
    };
    desk.take_over(known).await.map(drop)
}

/// Deletes a template in its language, at Meta and here.
pub async fn delete(app: &App, template: &Template) -> Result<(), NotWritten> {
    let registry = app.directory.snapshot();
    let account = registry
        .accounts
        .get(&template.account)
        .ok_or(NotWritten::UnknownAccount)?;
    let desk = Desk::of(app, account, registry.waba_apps.get(&account.app_id))?;
    desk.client
        .delete_template(
            &desk.credentials,
            &account.waba_id,
            &template.name,
            &template.template_id,
        )
        .await?;
    Ok(templates::remove(&app.store, template.id).await?)
}
