//! Messages that a program sends through the API: the same persons, conversations and lanes as everything else.

use url::Url;
use uuid::Uuid;

use crate::{
    app::App,
    intake::{
        codes::{self, Made},
        known::Known,
        work::{Named, Work},
    },
    person::canonical,
    store::{
        self, catalogue,
        lanes::Task,
        messages::{Direction, Journey, NewMessage, State},
    },
    translate::{
        code, interactive,
        message::Language,
        notes::Note,
        template::{self, Refusal},
    },
};

/// To whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Digits with the country code.
    Phone(String),
    /// A business-scoped user id (BSUID), such as `DE.7Kq2mZ0aXw41`.
    UserId(String),
}

/// What.
#[derive(Debug, Clone, PartialEq)]
pub enum Outgoing {
    /// Text with WhatsApp's marks.
    Text(String),
    /// A file that Meta fetches.
    MediaLink {
        /// Public address.
        link: Url,
        /// Name for the customer; also tells the kind.
        filename: Option<String>,
        /// Caption.
        caption: Option<String>,
    },
    /// A file that Meta has already.
    MediaId {
        /// Meta's media id.
        id: String,
        /// `image`, `video`, `audio`, `document` or `sticker`.
        kind: String,
        /// Name for the customer.
        filename: Option<String>,
        /// Caption.
        caption: Option<String>,
    },
    /// An approved template.
    Template {
        /// Name.
        name: String,
        /// Language code, exactly as approved.
        language: String,
        /// Components as Meta takes them; null where there are none.
        components: serde_json::Value,
    },
}

/// What is known to be in order.
enum Ready<'a> {
    Plain(&'a Outgoing),
    Made(&'a Made),
}

/// Who asks for a message, for its row and its journey.
struct Asker<'a> {
    origin: &'static str,
    detail: &'a str,
}

/// A program that uses the API.
const PROGRAM: Asker<'static> = Asker {
    origin: "api",
    detail: "asked for through the API, on disk",
};

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A business number cannot write to itself or to another of ours.
    #[error("the recipient is a business number of this installation")]
    OwnNumber,
    /// Too many characters.
    #[error("the text has more than {limit} characters")]
    TooLong {
        /// The most there may be.
        limit: usize,
    },
    /// Nothing to send.
    #[error("the message is empty")]
    Empty,
    /// It cannot be sent this way.
    #[error("{0}")]
    Forbidden(String),
    /// The text is no code, or sends nothing.
    #[error("{0}")]
    Code(String),
    /// The database did not take it.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Takes a message: when this returns it is on disk and on its way. Gives its id.
pub async fn send(app: &App, phone: Uuid, to: &To, what: Outgoing) -> Result<Uuid, Error> {
    check(&what)?;
    if let Outgoing::MediaLink { link, .. } = &what {
        app.outgoing
            .vet(link)
            .map_err(|error| Error::Forbidden(error.to_string()))?;
    }
    twice(app, phone, to, &Ready::Plain(&what), &PROGRAM).await
}

/// Takes the message that a code asks for, as [`send`] does.
pub async fn send_code(app: &App, phone: Uuid, to: &To, code: &str) -> Result<Uuid, Error> {
    let made = made(app, phone, code).await?;
    twice(app, phone, to, &Ready::Made(&made), &PROGRAM).await
}

/// Takes a message made on a page inside Bitrix24, as [`send`] does. `place` says on which sort of page:
/// `card` or `chat`; `detail` who did it, for the journey.
pub(crate) async fn send_made(
    app: &App,
    phone: Uuid,
    to: &To,
    made: &Made,
    place: &'static str,
    detail: &str,
) -> Result<Uuid, Error> {
    let asker = Asker {
        origin: place,
        detail,
    };
    twice(app, phone, to, &Ready::Made(made), &asker).await
}

/// Another writer may make the same person at the same moment; then the second look finds it.
async fn twice(
    app: &App,
    phone: Uuid,
    to: &To,
    what: &Ready<'_>,
    asker: &Asker<'_>,
) -> Result<Uuid, Error> {
    match try_send(app, phone, to, what, asker).await {
        Err(Error::Store(error)) if error.is_duplicate() => {
            try_send(app, phone, to, what, asker).await
        }
        outcome => outcome,
    }
}

/// The message that a code asks for.
async fn made(app: &App, phone: Uuid, text: &str) -> Result<Made, Error> {
    let refused =
        |refusal: Refusal| Error::Code(Note::CodeRefused(refusal).text(Language::English));
    let code = match code::parse(text) {
        None => {
            let form = "is no code; write template-NAME+LANGUAGE+VALUE|VALUE".to_owned();
            return Err(Error::Code(form));
        }
        Some(Err(malformed)) => return Err(refused(Refusal::Malformed(malformed))),
        Some(Ok(code)) => code,
    };
    if code.kind == code::Kind::Interactive {
        let mut stored = store::interactive::of_phones(&app.store, &[phone]).await?;
        let stored = stored.remove(&phone).unwrap_or_default();
        let filled = interactive::resolve(&code, &stored, false).map_err(refused)?;
        return Ok(Made::Interactive(filled));
    }
    let registry = app.directory.snapshot();
    let Some(number) = registry.phones.get(&phone) else {
        return Err(gone());
    };
    let names = [code.name.clone()];
    let mut templates = catalogue::named(&app.store, &[phone], &names).await?;
    let templates = templates.remove(&phone).unwrap_or_default();
    let languages = codes::languages(&registry, number);
    let messaging = registry.messaging_of(phone);
    codes::with_default_file(messaging, code.file.as_deref(), |file| {
        let code = code::Code {
            file: file.map(str::to_owned),
            ..code.clone()
        };
        template::resolve(&code, &templates, languages, false)
    })
    .map(Made::Template)
    .map_err(refused)
}

fn gone() -> Error {
    Error::Forbidden("the number does not exist any more".to_owned())
}

fn check(what: &Outgoing) -> Result<(), Error> {
    let (text, limit) = match what {
        Outgoing::Text(text) if text.trim().is_empty() => return Err(Error::Empty),
        Outgoing::Text(text) => (Some(text), whatsapp::send::TEXT_LIMIT),
        Outgoing::MediaLink { caption, .. } | Outgoing::MediaId { caption, .. } => {
            (caption.as_ref(), whatsapp::send::CAPTION_LIMIT)
        }
        Outgoing::Template { .. } => (None, 0),
    };
    if text.is_some_and(|text| text.chars().count() > limit) {
        return Err(Error::TooLong { limit });
    }
    Ok(())
}

async fn try_send(
    app: &App,
    phone: Uuid,
    to: &To,
    what: &Ready<'_>,
    asker: &Asker<'_>,
) -> Result<Uuid, Error> {
    let registry = app.directory.snapshot();
    let Some(phone) = registry.phones.get(&phone) else {
        return Err(gone());
    };
    let (alias, named) = match to {
        To::Phone(digits) if registry.is_own_number(digits) => return Err(Error::OwnNumber),
        To::Phone(digits) => (
            canonical(digits),
            Named {
                wa_id: Some(digits.as_str()),
                ..Named::default()
            },
        ),
        To::UserId(id) => (
            id.clone(),
            Named {
                user_id: Some(id.as_str()),
                ..Named::default()
            },
        ),
    };
    let known = Known::of_person(&app.store, &alias).await?;
    // Meta's own form of a number is kept where it is known: it is the one that reaches the person.
    let known_already = known.persons.values().any(|person| {
        person.account == phone.account_id
            && named.wa_id.is_some_and(|digits| {
                person
                    .wa_id
                    .as_deref()
                    .is_some_and(|own| canonical(own) == canonical(digits))
            })
    });
    let now = app.clock.now();
    let mut work = Work::new(&registry, known, now, &app.ids);
    let person = if known_already {
        work.known_person(phone.account_id, &alias)
    } else {
        None
    }
    .unwrap_or_else(|| work.person(phone.account_id, named));
    let conversation = work.conversation(phone, person);
    if conversation.marketing_stopped_at.is_some()
        && let Some(name) = advertises(app, phone.id, what).await?
    {
        let note = Note::CodeRefused(Refusal::OptedOut { name });
        return Err(Error::Code(note.text(Language::English)));
    }
    let id = app.ids.next();
    let mut media = None;
    let (kind, text, task, shown) = match what {
        Ready::Made(made) => {
            media = made.media(&mut work, phone, None);
            if let Made::Interactive(filled) = made {
                work.interactive.push((id, filled.content.clone()));
            }
            let task = (*made).clone().task(None);
            let kind = made.kind().to_owned();
            (kind, made.text().to_owned(), task, made.shown())
        }
        Ready::Plain(what) => {
            let (kind, text, task) = task(what);
            let shown = shown(&kind, &text);
            (kind, text, task, shown)
        }
    };
    let peer = work.peer(&conversation);
    work.add_message(NewMessage {
        id,
        phone: phone.id,
        conversation: conversation.id,
        direction: Direction::Outbound,
        origin: asker.origin,
        peer,
        kind,
        text,
        state: State::Queued,
        wamid: None,
        im: None,
        media,
        created_at: now,
        journey: Journey::new().with(now, "received", Some(asker.detail)),
    });
    work.tell_customer((&conversation).into(), id, media, task);
    if phone.instance_id.is_some() {
        // Operators see what a program said in their chat.
        work.note((&conversation).into(), shown);
    }
    work.write(app).await?;
    Ok(id)
}

/// The name of the marketing template that a message is made from.
async fn advertises(
    app: &App,
    phone: Uuid,
    what: &Ready<'_>,
) -> Result<Option<String>, store::Error> {
    let (name, of) = match what {
        Ready::Made(Made::Template(filled)) if filled.category == template::MARKETING => {
            return Ok(Some(filled.name.clone()));
        }
        Ready::Plain(Outgoing::Template { name, language, .. }) => (name, language),
        _ => return Ok(None),
    };
    let names = [name.clone()];
    let known = catalogue::of_names(&app.store, phone, &names).await?;
    let found = known
        .iter()
        .any(|one| one.language == *of && one.category == template::MARKETING);
    Ok(found.then(|| name.clone()))
}

fn task(what: &Outgoing) -> (String, String, Task) {
    match what {
        Outgoing::Text(body) => (
            "text".to_owned(),
            body.clone(),
            Task::Text {
                body: body.clone(),
                context: None,
                confirm: None,
            },
        ),
        Outgoing::MediaLink {
            link,
            filename,
            caption,
        } => {
            let name = filename.as_deref().unwrap_or_else(|| link.path());
            let kind = kind_of_name(name);
            let task = Task::Media {
                kind: kind.to_owned(),
                id: None,
                link: Some(link.to_string()),
                filename: filename.clone(),
                caption: caption.clone(),
            };
            (
                kind.to_owned(),
                caption.clone().or(filename.clone()).unwrap_or_default(),
                task,
            )
        }
        Outgoing::MediaId {
            id,
            kind,
            filename,
            caption,
        } => {
            let task = Task::Media {
                kind: kind.clone(),
                id: Some(id.clone()),
                link: None,
                filename: filename.clone(),
                caption: caption.clone(),
            };
            (
                kind.clone(),
                caption.clone().or(filename.clone()).unwrap_or_default(),
                task,
            )
        }
        Outgoing::Template {
            name,
            language,
            components,
        } => {
            let task = Task::Template {
                name: name.clone(),
                language: language.clone(),
                components: components.clone(),
                header: None,
                confirm: None,
            };
            ("template".to_owned(), format!("{name} ({language})"), task)
        }
    }
}

/// What kind of message a file of this name is; Meta fetches links by itself, so only the name can tell.
fn kind_of_name(name: &str) -> &'static str {
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref() {
        Some("jpg" | "jpeg" | "png") => "image",
        Some("mp4" | "3gp") => "video",
        Some("mp3" | "ogg" | "m4a" | "aac" | "amr") => "audio",
        Some("webp") => "sticker",
        _ => "document",
    }
}

fn shown(kind: &str, text: &str) -> String {
    let text = crate::translate::from_whatsapp::markup::with_marks(text);
    match kind {
        "text" => format!("[b]API:[/b] {text}"),
        _ => format!("[b]API[/b] ({kind}): {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_checked_before_anything_is_stored() {
        assert!(matches!(
            check(&Outgoing::Text(" ".into())),
            Err(Error::Empty)
        ));
        let long = "ä".repeat(4097);
        assert!(matches!(
            check(&Outgoing::Text(long)),
            Err(Error::TooLong { limit: 4096 })
        ));
        assert!(check(&Outgoing::Text("ä".repeat(4096))).is_ok());
    }

    #[test]
    fn a_links_name_tells_its_kind() {
        assert_eq!(kind_of_name("a.JPG"), "image");
        assert_eq!(kind_of_name("offer.pdf"), "document");
        assert_eq!(kind_of_name("noextension"), "document");
    }
}
