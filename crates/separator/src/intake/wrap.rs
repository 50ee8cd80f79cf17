//! An operator's message outside the 24 hours: it waits, or goes out in a template at once where the number says so.

use super::{codes, hold, work::Work};
use crate::{
    registry::{OutsideWindow, Phone, TemplateRef},
    store::{
        conversations::Conversation,
        held::Held,
        lanes::Task,
        messages::{Direction, Journey, NewMessage, State},
    },
    translate::{
        code::Code,
        template::{self, Filled, Languages, Refusal, Template},
    },
};

/// The journey's word for a text that goes out in a template.
pub(crate) const WRAPPED: &str = "sent as a template";

/// Decides for the parts of one message that may not go by themselves.
pub(super) fn outside(
    work: &mut Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    parts: Vec<Held>,
) {
    let messaging = work.registry.messaging_of(phone.id);
    let chosen = messaging
        .wrapper
        .clone()
        .filter(|_| messaging.outside_window == OutsideWindow::Template);
    let first = !work.known.held.contains_key(&conversation.id);
    let mut rest = Vec::new();
    for part in parts {
        let filled = match (&chosen, &part.task) {
            (Some(wrapper), Task::Text { body, .. }) => {
                wrapped(work, phone, conversation, wrapper, body)
            }
            _ => None,
        };
        match filled {
            Some(filled) => send_wrapped(work, conversation, &part, filled),
            None => rest.push(part),
        }
    }
    if rest.is_empty() {
        return;
    }
    for part in rest {
        work.hold(part);
    }
    // What waits is announced once, by the template that asks the customer to write.
    let announced = chosen.filter(|_| first).is_some_and(|wrapper| {
        let filled = bare(work, phone, conversation, &wrapper);
        filled.is_some_and(|filled| {
            announce(work, phone, conversation, filled);
            true
        })
    });
    if !announced {
        work.note_held(phone, conversation);
    }
}

/// The text as the value of the chosen template, where that takes just one and the text fits.
fn wrapped(
    work: &Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    wrapper: &TemplateRef,
    text: &str,
) -> Option<Filled> {
    let values = vec![text.to_owned()];
    filled(work, phone, conversation, wrapper, values)
}

/// The chosen template by itself, where it takes no value.
fn bare(
    work: &Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    wrapper: &TemplateRef,
) -> Option<Filled> {
    filled(work, phone, conversation, wrapper, Vec::new())
}

fn filled(
    work: &Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    wrapper: &TemplateRef,
    values: Vec<String>,
) -> Option<Filled> {
    let languages = codes::languages(work.registry, phone);
    let templates = work.known.approved.get(&phone.id)?;
    let filled = fill(wrapper, values, templates, languages)
        .and_then(|filled| codes::wanted(conversation, filled));
    match filled {
        Ok(filled) => Some(filled),
        Err(refusal) => {
            tracing::debug!(
                ?refusal,
                template = wrapper.name,
                "the chosen template does not fit"
            );
            None
        }
    }
}

/// Makes of a chosen template and values the message that is sent.
pub(crate) fn fill(
    wrapper: &TemplateRef,
    values: Vec<String>,
    templates: &[Template],
    languages: Languages<'_>,
) -> Result<Filled, Refusal> {
    let code = Code {
        values,
        ..Code::template(&wrapper.name, wrapper.language.as_deref())
    };
    template::resolve(&code, templates, languages, false)
}

fn send_wrapped(work: &mut Work<'_>, conversation: &Conversation, part: &Held, filled: Filled) {
    let detail = format!("{} ({})", filled.name, filled.language);
    let journey = Journey::new().with(work.now, WRAPPED, Some(&detail));
    work.tell_journey(part.message, journey);
    work.count("wrapped");
    codes::show(work, conversation, &filled);
    let confirm = part.task.confirmation().cloned();
    let task = codes::task(filled, confirm);
    work.tell_customer(conversation.into(), part.message, None, task);
}

fn announce(work: &mut Work<'_>, phone: &Phone, conversation: &Conversation, filled: Filled) {
    let id = work.ids.next();
    let why = "the number's template for messages that wait";
    let new = NewMessage {
        id,
        phone: phone.id,
        conversation: conversation.id,
        direction: Direction::Outbound,
        origin: "automatic",
        peer: work.peer(conversation),
        kind: "template".to_owned(),
        text: filled.shown.clone(),
        state: State::Queued,
        wamid: None,
        im: None,
        media: None,
        created_at: work.now,
        journey: Journey::new().with(work.now, hold::ANNOUNCED, Some(why)),
    };
    work.add_message(new);
    codes::show(work, conversation, &filled);
    work.tell_customer(conversation.into(), id, None, codes::task(filled, None));
}
