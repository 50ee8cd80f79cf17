//! A code that an operator wrote in the chat: what is sent, or why nothing is.

use bitrix24::events::{ConnectorMessage, ConnectorMessages};
use uuid::Uuid;

use super::{hold, work::Work, wrap};
use crate::{
    registry::{Messaging, Phone, Registry},
    store::{
        conversations::Conversation,
        held::Held,
        lanes::{Confirmation, HeaderFile, Task},
        media::{NewMedia, Source as MediaSource},
        messages::{Change, Direction, Journey, MessageError, NewMessage, State},
        receipts::Receipt,
    },
    translate::{
        code::{Code, Kind, Malformed},
        from_bitrix,
        from_whatsapp::markup::with_marks,
        interactive,
        message::Language,
        notes::Note,
        template::{self, Filled, Languages, Refusal},
    },
    window,
};

/// Code of the error of a message whose code sends nothing.
pub(crate) const REFUSED: &str = "TEMPLATE_CODE";

/// The type of a message made of a stored interactive one.
pub(crate) const INTERACTIVE: &str = "interactive";

/// The message that a code asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Made {
    /// Of a template.
    Template(Filled),
    /// Of a stored interactive message.
    Interactive(interactive::Filled),
}

impl Made {
    /// Meta's type of the message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Template(_) => "template",
            Self::Interactive(_) => INTERACTIVE,
        }
    }

    /// What the customer sees, with WhatsApp's marks.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Template(filled) => &filled.shown,
            Self::Interactive(filled) => &filled.shown,
        }
    }

    /// What operators see of it in their chat.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Template(filled) => window::shown(filled),
            Self::Interactive(filled) => {
                let text = with_marks(&filled.shown);
                format!("[b]{}:[/b][br]{text}", filled.name)
            }
        }
    }

    /// The row of its header's file: the one attached to the code, or the one behind its link.
    pub(crate) fn media(
        &self,
        work: &mut Work<'_>,
        phone: &Phone,
        attached: Option<(MediaSource, String, Option<String>)>,
    ) -> Option<Uuid> {
        match self {
            Self::Template(filled) => header_media(work, phone, filled, attached),
            Self::Interactive(_) => None,
        }
    }

    /// The same, unless it is a marketing template for a customer who wants none.
    pub(crate) fn wanted(self, conversation: &Conversation) -> Result<Self, Refusal> {
        match self {
            Self::Template(filled) => wanted(conversation, filled).map(Self::Template),
            made @ Self::Interactive(_) => Ok(made),
        }
    }

    /// The task that sends it.
    pub(crate) fn task(self, confirm: Option<Confirmation>) -> Task {
        match self {
            Self::Template(filled) => task(filled, confirm),
            Self::Interactive(interactive::Filled { content, .. }) => {
                Task::Interactive { content, confirm }
            }
        }
    }
}

/// Works through a message that is a code.
pub(super) fn reply(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    messages: &ConnectorMessages,
    message: &ConnectorMessage,
    reading: Result<Code, Malformed>,
) {
    work.count("code");
    let written = from_bitrix::written(message);
    let outcome = match message.files.len() {
        0 | 1 => resolve(work, phone, reading, message.files.len() == 1)
            .and_then(|made| made.wanted(conversation)),
        _ => Err(Refusal::ManyFiles),
    };
    let id = work.ids.next();
    let detail = format!(
        "event of Bitrix24, token verified, on disk; line {}, message {}",
        messages.line.0, message.im_message_id
    );
    let mut new = NewMessage {
        id,
        phone: phone.id,
        conversation: conversation.id,
        direction: Direction::Outbound,
        origin: "operator",
        peer: work.peer(conversation),
        kind: "template".to_owned(),
        text: written,
        state: State::Queued,
        wamid: None,
        im: Some((message.im_chat_id, message.im_message_id)),
        media: None,
        created_at: receipt.received_at,
        journey: work.journey(receipt, None, &detail),
    };
    let made = match outcome {
        Ok(made) => made,
        Err(refusal) => {
            work.add_message(new);
            refuse(work, phone, conversation, id, refusal, true);
            return;
        }
    };
    let attached = message.files.first().map(|file| {
        let file = from_bitrix::file(file);
        let source = MediaSource::Portal {
            url: file.url,
            declared_size: file.size,
        };
        (source, file.name, file.mime_type)
    });
    let confirm = Confirmation {
        connector: messages.connector.clone(),
        line: messages.line.0,
        chat_ref: message.chat_id.clone(),
        im_chat_id: message.im_chat_id,
        im_message_id: message.im_message_id,
    };
    made.kind().clone_into(&mut new.kind);
    made.text().clone_into(&mut new.text);
    new.media = made.media(work, phone, attached);
    let media = new.media;
    let shown = made.shown();
    if let Made::Interactive(filled) = &made {
        work.interactive.push((id, filled.content.clone()));
        if !conversation.takes_everything(work.now) {
            // Like every text, it waits until the customer writes.
            new.journey.step(work.now, hold::WAITS, None);
            work.add_message(new);
            work.note(conversation.into(), shown);
            let held = Held {
                message: id,
                conversation: conversation.id,
                phone: phone.id,
                media,
                held_at: work.now,
                why: None,
                task: made.task(Some(confirm)),
            };
            wrap::outside(work, phone, conversation, vec![held]);
            return;
        }
        // What waited goes first.
        work.release(conversation);
    }
    work.add_message(new);
    work.note(conversation.into(), shown);
    work.tell_customer(conversation.into(), id, media, made.task(Some(confirm)));
}

/// The message that a code asks for at a number.
pub(crate) fn resolve(
    work: &Work<'_>,
    phone: &Phone,
    reading: Result<Code, Malformed>,
    attached: bool,
) -> Result<Made, Refusal> {
    let code = reading.map_err(Refusal::Malformed)?;
    if code.kind == Kind::Interactive {
        let stored = work.known.interactive.get(&phone.id);
        let stored = stored.map(Vec::as_slice).unwrap_or_default();
        return interactive::resolve(&code, stored, attached).map(Made::Interactive);
    }
    let templates = work
        .known
        .templates
        .get(&phone.id)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let languages = languages(work.registry, phone);
    let messaging = work.registry.messaging_of(phone.id);
    with_default_file(messaging, code.file.as_deref(), |file| {
        let code = Code {
            file: file.map(str::to_owned),
            ..code.clone()
        };
        template::resolve(&code, templates, languages, attached)
    })
    .map(Made::Template)
}

/// Refuses a marketing template for a customer who wants none.
pub(crate) fn wanted(conversation: &Conversation, filled: Filled) -> Result<Filled, Refusal> {
    if filled.category == template::MARKETING && conversation.marketing_stopped_at.is_some() {
        return Err(Refusal::OptedOut { name: filled.name });
    }
    Ok(filled)
}

/// Makes a message with what the code gives; where the template's header needs a file and none is given, with the one that
/// the number has for that.
pub(crate) fn with_default_file(
    messaging: &Messaging,
    file: Option<&str>,
    make: impl Fn(Option<&str>) -> Result<Filled, Refusal>,
) -> Result<Filled, Refusal> {
    match make(file) {
        Err(Refusal::FileMissing { kind }) => match messaging.file(kind) {
            Some(link) => make(Some(link)),
            None => Err(Refusal::FileMissing { kind }),
        },
        outcome => outcome,
    }
}

/// The languages that a number prefers.
pub(crate) fn languages<'a>(registry: &'a Registry, phone: &Phone) -> Languages<'a> {
    let messaging = registry.messaging_of(phone.id);
    Languages {
        portal: registry
            .instance_of(phone)
            .map(|instance| instance.language_code.as_str()),
        number: messaging.default_language.as_deref(),
    }
}

/// The row of the header's file: the one attached to the code, or the one behind its link.
pub(crate) fn header_media(
    work: &mut Work<'_>,
    phone: &Phone,
    filled: &Filled,
    attached: Option<(MediaSource, String, Option<String>)>,
) -> Option<Uuid> {
    let header = filled.header.as_ref()?;
    let (source, name, mime_type) = match &header.link {
        Some(link) => {
            let source = MediaSource::Link { url: link.clone() };
            (source, template::name_of_link(link), None)
        }
        None => attached?,
    };
    let id = work.ids.next();
    work.media.push(NewMedia {
        id,
        phone: phone.id,
        source,
        name,
        mime_type,
        created_at: work.now,
    });
    Some(id)
}

/// The task that sends a filled template.
pub(crate) fn task(filled: Filled, confirm: Option<Confirmation>) -> Task {
    Task::Template {
        name: filled.name,
        language: filled.language,
        components: filled.components.into(),
        header: filled.header.map(|header| HeaderFile {
            kind: header.kind,
            link: header.link,
        }),
        confirm,
    }
}

/// Operators see in the chat what the customer gets.
pub(crate) fn show(work: &mut Work<'_>, conversation: &Conversation, filled: &Filled) {
    work.note(conversation.into(), window::shown(filled));
}

/// Nothing is sent: the message failed, and operators read why in the chat where they are to be `told` there. Gives the
/// reason in the portal's language, for whoever else asked.
pub(crate) fn refuse(
    work: &mut Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    message: Uuid,
    refusal: Refusal,
    told: bool,
) -> MessageError {
    let note = Note::CodeRefused(refusal);
    let why = note.text(Language::English);
    let language = work.language(phone);
    let journey = Journey::new().with(work.now, "failed", Some(&why));
    let error = MessageError {
        code: REFUSED.to_owned(),
        title: why,
        details: None,
    };
    work.changes.push(Change {
        id: message,
        state: Some(State::Failed),
        wamid: None,
        error: Some(error.clone()),
        sent_task: None,
        at: work.now,
        journey,
    });
    work.count("code_refused");
    if told {
        work.note(conversation.into(), note.markup(language));
    }
    MessageError {
        title: note.text(language),
        ..error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        registry::{DefaultFiles, MarketingRoute, OutsideWindow},
        translate::template::HeaderKind,
    };

    fn made(file: Option<&str>) -> Result<Filled, Refusal> {
        let link = file.ok_or(Refusal::FileMissing {
            kind: HeaderKind::Gif,
        })?;
        Ok(Filled {
            name: "sale".to_owned(),
            language: "en".to_owned(),
            category: "UTILITY".to_owned(),
            components: Vec::new(),
            header: None,
            shown: link.to_owned(),
        })
    }

    #[test]
    fn a_header_whose_file_nobody_gives_takes_the_numbers_own() {
        let messaging = |video: Option<&str>| Messaging {
            default_language: None,
            wrapper: None,
            outside_window: OutsideWindow::Hold,
            mirror: true,
            marketing_route: MarketingRoute::Automatic,
            files: DefaultFiles {
                image: Some("https://a.example/logo.png".to_owned()),
                video: video.map(str::to_owned),
                document: None,
            },
        };
        let shown = |messaging: &Messaging, file| {
            with_default_file(messaging, file, made).map(|filled| filled.shown)
        };
        let own = "https://a.example/tour.mp4";
        assert_eq!(shown(&messaging(Some(own)), None), Ok(own.to_owned()));
        let given = "https://b.example/other.mp4";
        assert_eq!(
            shown(&messaging(Some(own)), Some(given)),
            Ok(given.to_owned())
        );
        let missing = Err(Refusal::FileMissing {
            kind: HeaderKind::Gif,
        });
        assert_eq!(shown(&messaging(None), None), missing);
    }
}
