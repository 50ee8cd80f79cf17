//! One send: the message as Meta takes it, and the call.

use std::sync::Arc;

use whatsapp::{
    client::{Credentials, Sent},
    media::MediaKind,
    send::{MediaSource, Outgoing, OutgoingMessage, Phone as WhatsAppNumber, Recipient, UserId},
};

use crate::{
    account,
    app::App,
    deliver::template,
    intake::callback_data,
    lease::Lease,
    media::{self, UploadError},
    registry::{MarketingRoute, Phone},
    store::{
        self,
        lanes::{Claimed, Task},
    },
    translate::{
        message::Language,
        notes::{FileTrouble, Note},
    },
};

/// Meta's code of an account whose marketing templates have a way of their own.
const OTHER_WAY: i64 = 131_063;

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error(transparent)]
    Meta(#[from] whatsapp::Error),
    #[error("{}", .0.text(Language::English))]
    Impossible(Note),
    #[error("{0}")]
    Unsendable(&'static str),
    #[error("the number's app or its token is not set up")]
    NoToken,
    #[error(transparent)]
    Store(#[from] store::Error),
}

pub(super) async fn send(
    app: Arc<App>,
    _lease: Lease,
    phone: Phone,
    row: Claimed,
) -> Result<(Sent, &'static str), SendError> {
    try_send(&app, &phone, &row).await
}

/// Sends; gives what Meta answered and the type of message that it was.
async fn try_send(
    app: &App,
    phone: &Phone,
    row: &Claimed,
) -> Result<(Sent, &'static str), SendError> {
    let credentials = account::credentials(app, phone).ok_or(SendError::NoToken)?;
    let (context, content) = content(app, phone, row).await?;
    let message = OutgoingMessage {
        recipient: recipient(row).ok_or(SendError::Unsendable(
            "neither a phone number nor a user id of the customer is known",
        ))?,
        context,
        callback_data: row.message.map(callback_data),
        content,
    };
    let kind = message.content.kind();
    let sent = by_its_way(app, phone, row, &credentials, &message).await?;
    Ok((sent, kind))
}

/// Sends by the way that Meta has for it: marketing templates may have one of their own.
async fn by_its_way(
    app: &App,
    phone: &Phone,
    row: &Claimed,
    credentials: &Credentials,
    message: &OutgoingMessage,
) -> Result<Sent, whatsapp::Error> {
    let client = account::client(app);
    let number = phone.phone_number_id.as_str();
    let registry = app.directory.snapshot();
    let asked = &app.dispatcher.marketing;
    let route = match registry.messaging_of(phone.id).marketing_route {
        MarketingRoute::Automatic if asked.is_asked_for(phone.account_id) => {
            MarketingRoute::MarketingMessages
        }
        route => route,
    };
    if row.marketing && route == MarketingRoute::MarketingMessages {
        return client.send_marketing(credentials, number, message).await;
    }
    match client.send(credentials, number, message).await {
        // Nothing was sent: Meta takes this account's marketing templates by the other way only.
        Err(error)
            if row.marketing
                && route == MarketingRoute::Automatic
                && error.api().and_then(|api| api.code) == Some(OTHER_WAY) =>
        {
            let sent = client.send_marketing(credentials, number, message).await?;
            asked.ask_for(phone.account_id);
            Ok(sent)
        }
        outcome => outcome,
    }
}

/// By phone where it is known, else by user id, which must never stand in `to`.
fn recipient(row: &Claimed) -> Option<Recipient> {
    let peer = row.conversation.as_ref()?;
    let by_phone = peer
        .wa_id
        .as_deref()
        .and_then(WhatsAppNumber::new)
        .map(Recipient::Phone);
    by_phone.or_else(|| {
        peer.user_id
            .as_deref()
            .and_then(UserId::new)
            .map(Recipient::UserId)
    })
}

async fn content(
    app: &App,
    phone: &Phone,
    row: &Claimed,
) -> Result<(Option<String>, Outgoing), SendError> {
    Ok(match &row.task {
        Task::Text { body, context, .. } => {
            let preview_url = body.contains("https://") || body.contains("http://");
            (
                context.clone(),
                Outgoing::Text {
                    body: body.clone(),
                    preview_url,
                },
            )
        }
        Task::File {
            caption, context, ..
        } => (
            context.clone(),
            file(app, phone, row, caption.clone()).await?,
        ),
        Task::Media {
            kind,
            id,
            link,
            filename,
            caption,
        } => {
            let source = match (id, link) {
                (Some(id), _) => MediaSource::Id(id.clone()),
                (None, Some(link)) => MediaSource::Link(link.clone()),
                (None, None) => return Err(SendError::Unsendable("there is no file to send")),
            };
            (
                None,
                media_message(kind, source, caption.clone(), filename.clone(), false),
            )
        }
        Task::Template {
            name,
            language,
            components,
            header,
            ..
        } => {
            let components = match header {
                Some(header) => template::with_header(app, phone, row, components, header)
                    .await
                    .map_err(|trouble| match trouble {
                        template::Trouble::Told(note) => SendError::Impossible(note),
                        template::Trouble::Upload(error) => {
                            let name = row.media.as_ref().map(|media| media.name.clone());
                            not_uploaded(&name.unwrap_or_default(), error)
                        }
                    })?,
                None => components.clone(),
            };
            let components = (!components.is_null()).then_some(components);
            let template = Outgoing::Template {
                name: name.clone(),
                language: language.clone(),
                components,
            };
            (None, template)
        }
        Task::Interactive { content, .. } => (None, Outgoing::Interactive(content.clone())),
        Task::Post { .. }
        | Task::Update { .. }
        | Task::Delete { .. }
        | Task::Confirm(_)
        | Task::Report(_)
        | Task::Call { .. } => {
            return Err(SendError::Unsendable("the task is not one for WhatsApp"));
        }
    })
}

async fn file(
    app: &App,
    phone: &Phone,
    row: &Claimed,
    caption: Option<String>,
) -> Result<Outgoing, SendError> {
    let Some(file) = &row.media else {
        return Err(SendError::Unsendable("the file's row is gone"));
    };
    if file.state == "failed" {
        return Err(SendError::Impossible(Note::OperatorFileLost {
            name: file.name.clone(),
            trouble: media::trouble(file.error.as_deref()),
        }));
    }
    let uploaded = media::upload(app, phone, file.id)
        .await
        .map_err(|error| not_uploaded(&file.name, error))?;
    let kind = match uploaded.kind {
        MediaKind::Image => "image",
        MediaKind::Video => "video",
        MediaKind::Audio => "audio",
        MediaKind::Document => "document",
    };
    let source = MediaSource::Id(uploaded.id);
    Ok(media_message(
        kind,
        source,
        caption,
        Some(file.name.clone()),
        uploaded.voice,
    ))
}

fn not_uploaded(name: &str, error: UploadError) -> SendError {
    match error {
        UploadError::TooLarge { size, limit } => SendError::Impossible(Note::FileTooLarge {
            name: name.to_owned(),
            bytes: size,
            limit,
        }),
        UploadError::Gone => SendError::Impossible(Note::OperatorFileLost {
            name: name.to_owned(),
            trouble: FileTrouble::Gone,
        }),
        // An upload that was cut sent nothing to the customer.
        UploadError::Meta(whatsapp::Error::Unknown(why) | whatsapp::Error::Unreachable(why)) => {
            SendError::Meta(whatsapp::Error::Unreachable(why))
        }
        UploadError::Meta(error) => SendError::Meta(error),
        UploadError::Store(error) => SendError::Store(error),
        UploadError::Disk(error) => SendError::Meta(whatsapp::Error::Unreachable(format!(
            "the file could not be read here: {error}"
        ))),
    }
}

fn media_message(
    kind: &str,
    source: MediaSource,
    caption: Option<String>,
    filename: Option<String>,
    voice: bool,
) -> Outgoing {
    match kind {
        "image" => Outgoing::Image { source, caption },
        "video" => Outgoing::Video { source, caption },
        "audio" => Outgoing::Audio { source, voice },
        "sticker" => Outgoing::Sticker { source },
        _ => Outgoing::Document {
            source,
            caption,
            filename,
        },
    }
}
