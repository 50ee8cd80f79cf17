//! What an event of a portal changes.

use bitrix24::events::{ConnectorMessage, ConnectorMessages, Dialogs, Event, EventData};

use super::{
    codes, hold,
    known::operator_deed,
    work::{SetupChange, Work},
    wrap,
};
use crate::{
    registry::{Connection, Instance, Phone, PhoneError},
    store::{
        conversations::Conversation,
        events::State as KeptState,
        held::Held,
        lanes::{Confirmation, Task},
        media::{NewMedia, Source as MediaSource},
        messages::{Direction, NewMessage, State},
        receipts::Receipt,
    },
    translate::{
        from_bitrix,
        message::{Part, QuoteBlock},
        notes::Note,
    },
};

/// Code of the error that somebody switched the connector off.
const CONNECTOR_OFF: &str = "CONNECTOR_OFF";

/// Code of the error that somebody deleted the line.
const LINE_DELETED: &str = "LINE_DELETED";

/// Works through an event.
pub(super) fn apply(work: &mut Work<'_>, receipt: &Receipt, event: &Event) {
    let registry = work.registry;
    let Some(instance) = registry.instances.get(&receipt.owner) else {
        work.keep(
            KeptState::NotUnderstood,
            "the portal is not known any more".to_owned(),
        );
        return;
    };
    match &event.data {
        EventData::MessageAdd(messages) => {
            for_each(
                work,
                instance,
                event,
                messages,
                |work, phone, conversation, message| {
                    reply(work, receipt, phone, conversation, messages, message);
                },
            );
        }
        EventData::MessageUpdate(messages) => {
            for_each(
                work,
                instance,
                event,
                messages,
                |work, phone, conversation, _| {
                    let language = work.language(phone);
                    work.note(conversation.into(), Note::EditNotPossible.markup(language));
                },
            );
        }
        EventData::MessageDelete(messages) => {
            for_each(
                work,
                instance,
                event,
                messages,
                |work, phone, conversation, _| {
                    let language = work.language(phone);
                    work.note(
                        conversation.into(),
                        Note::DeleteNotPossible.markup(language),
                    );
                },
            );
        }
        EventData::DialogStart(dialogs) => learn_chats(work, instance, dialogs),
        EventData::DialogFinish(_) => {}
        EventData::StatusDelete { connector, line } => {
            if let Some(phone) = registry.phone_on_line(instance.id, connector, line.0) {
                disconnected(
                    work,
                    phone,
                    CONNECTOR_OFF,
                    "The connector was switched off on its line in Bitrix24.",
                    "Link the number again, or switch the connector on in the Contact Center.",
                );
            }
        }
        EventData::LineDelete { line } => {
            let phones: Vec<&Phone> = registry
                .phones_of(instance.id)
                .filter(|phone| phone.line_id == Some(line.0))
                .collect();
            for phone in phones {
                disconnected(
                    work,
                    phone,
                    LINE_DELETED,
                    "The open line of this number was deleted in Bitrix24.",
                    "Link the number again: a new line is made.",
                );
            }
        }
        EventData::Uninstall { .. } => {
            work.setup.push(SetupChange::Uninstalled {
                instance: instance.id,
            });
        }
        EventData::Update { .. } => {
            work.setup.push(SetupChange::Republish {
                instance: instance.id,
            });
        }
        EventData::Install { .. } => {}
        EventData::Malformed { why, .. } => {
            work.keep(KeptState::NotUnderstood, format!("{}: {why}", event.name));
        }
        // Asked for only because it shows the application token, which the door has looked at.
        EventData::Other(_) if event.name == bitrix24::event_handlers::TEST_EVENT => {}
        EventData::Other(_) => work.keep(KeptState::Recorded, format!("event {}", event.name)),
    }
}

/// Goes through the messages of an event that are meant for a conversation of ours and were not taken before.
fn for_each(
    work: &mut Work<'_>,
    instance: &Instance,
    event: &Event,
    messages: &ConnectorMessages,
    mut take: impl FnMut(&mut Work<'_>, &Phone, &Conversation, &ConnectorMessage),
) {
    let registry = work.registry;
    let Some(phone) = registry.phone_on_line(instance.id, &messages.connector, messages.line.0)
    else {
        let why = format!(
            "no number is linked to line {} of this portal",
            messages.line.0
        );
        work.keep(KeptState::NotUnderstood, why);
        return;
    };
    for message in &messages.messages {
        let message = match message {
            Ok(message) => message,
            Err(bad) => {
                work.keep(KeptState::NotUnderstood, bad.why.to_owned());
                continue;
            }
        };
        let person = work
            .known
            .chats
            .get(&(phone.id, message.chat_id.clone()))
            .copied();
        let conversation =
            person.and_then(|person| work.known.conversations.get(&(phone.id, person)).cloned());
        let Some(conversation) = conversation else {
            work.keep(
                KeptState::NotUnderstood,
                format!(
                    "no conversation of this number has the chat id {}",
                    message.chat_id
                ),
            );
            continue;
        };
        let deed = operator_deed(
            &instance.member_id,
            &event.name,
            message.im_chat_id,
            message.im_message_id,
        );
        if work.first_time(deed) {
            work.portal_chat(&conversation, message.im_chat_id, None);
            take(work, phone, &conversation, message);
        }
    }
}

fn reply(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    messages: &ConnectorMessages,
    message: &ConnectorMessage,
) {
    if message
        .external_ids
        .iter()
        .any(|id| work.known.message(phone.id, id).is_some())
    {
        work.count("echo");
        return;
    }
    let automatic = message.user_id == Some(0);
    if automatic && !phone.automatic_texts {
        work.count("automatic_text_kept_inside");
        return;
    }
    if let Some(reading) = from_bitrix::code(message) {
        codes::reply(
            work,
            receipt,
            phone,
            conversation,
            messages,
            message,
            reading,
        );
        return;
    }
    let reply = from_bitrix::read(message);
    let open = conversation.takes_everything(work.now);
    if open {
        // What waited goes first.
        work.release(conversation);
    }
    let context = reply
        .quote
        .as_ref()
        .and_then(|quote| find_quoted(work, conversation, quote));
    if reply.parts.is_empty() {
        work.count("empty_reply");
        return;
    }
    let last = reply.parts.len() - 1;
    let mut held = Vec::new();
    for (index, part) in reply.parts.into_iter().enumerate() {
        work.count("reply");
        // Bitrix24 counts only the first confirmation, so it goes with the last part.
        let confirm = (index == last).then(|| Confirmation {
            connector: messages.connector.clone(),
            line: messages.line.0,
            chat_ref: message.chat_id.clone(),
            im_chat_id: message.im_chat_id,
            im_message_id: message.im_message_id,
        });
        let id = work.ids.next();
        // Only the first message answers what was quoted.
        let context = context.clone().filter(|_| index == 0);
        let (kind, text, media, task) = match part {
            Part::Text(body) => (
                "text",
                body.clone(),
                None,
                Task::Text {
                    body,
                    context,
                    confirm,
                },
            ),
            Part::File(file) => {
                let media = work.ids.next();
                let text = file.caption.clone().unwrap_or_else(|| file.name.clone());
                work.media.push(NewMedia {
                    id: media,
                    phone: phone.id,
                    source: MediaSource::Portal {
                        url: file.url,
                        declared_size: file.size,
                    },
                    name: file.name,
                    mime_type: file.mime_type,
                    created_at: work.now,
                });
                (
                    "file",
                    text,
                    Some(media),
                    Task::File {
                        caption: file.caption,
                        context,
                        confirm,
                    },
                )
            }
        };
        let detail = format!(
            "event of Bitrix24, token verified, on disk; line {}, message {}",
            messages.line.0, message.im_message_id
        );
        let mut journey = work.journey(receipt, None, &detail);
        if !open {
            journey.step(work.now, hold::WAITS, None);
        }
        let new = NewMessage {
            id,
            phone: phone.id,
            conversation: conversation.id,
            direction: Direction::Outbound,
            origin: if automatic { "automatic" } else { "operator" },
            peer: work.peer(conversation),
            kind: kind.to_owned(),
            text,
            state: State::Queued,
            wamid: None,
            im: Some((message.im_chat_id, message.im_message_id)),
            media,
            created_at: receipt.received_at,
            journey,
        };
        work.add_message(new);
        if open {
            work.tell_customer(conversation.into(), id, media, task);
        } else {
            held.push(Held {
                message: id,
                conversation: conversation.id,
                phone: phone.id,
                media,
                held_at: work.now,
                task,
                why: None,
            });
        }
    }
    if !open {
        wrap::outside(work, phone, conversation, held);
    }
}

/// The wamid of the message that a quote block shows: the newest with the same text. No match is no error.
fn find_quoted(work: &Work<'_>, conversation: &Conversation, quote: &QuoteBlock) -> Option<String> {
    let latest = work.known.latest.get(&conversation.id)?;
    let named = quote
        .im_message_id
        .and_then(|id| latest.iter().find(|facts| facts.im_message_id == Some(id)));
    if let Some(facts) = named {
        return facts.wamid.clone();
    }
    let readings = readings(&quote.text);
    let same = readings.iter().find_map(|wanted| {
        latest
            .iter()
            .find(|facts| comparable(&facts.text) == *wanted)
    });
    // Bitrix24 may shorten what it quotes.
    let beginning = || {
        let long = |wanted: &&String| wanted.chars().count() >= 12;
        readings.iter().filter(long).find_map(|wanted| {
            latest
                .iter()
                .find(|facts| comparable(&facts.text).starts_with(wanted))
        })
    };
    same.or_else(beginning)?.wamid.clone()
}

/// What a quoted message may say, the likeliest first: all of it; without the quotation that it shows itself; without
/// the line above it that says that it was forwarded or answers something.
fn readings(quoted: &str) -> Vec<String> {
    let lines = quoted.lines().filter(|line| !line.trim().is_empty());
    let own: Vec<&str> = lines.filter(|line| !line.starts_with("> ")).collect();
    let below = own.get(1..).unwrap_or_default();
    let mut readings = vec![
        comparable(quoted),
        comparable(&own.concat()),
        comparable(&below.concat()),
    ];
    readings.retain(|reading| !reading.is_empty());
    readings.dedup();
    readings
}

/// Text without what markup and line breaks may have changed.
fn comparable(text: &str) -> String {
    text.chars()
        .filter(|character| character.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

fn learn_chats(work: &mut Work<'_>, instance: &Instance, dialogs: &Dialogs) {
    let registry = work.registry;
    let Some(phone) = registry.phone_on_line(instance.id, &dialogs.connector, dialogs.line.0)
    else {
        return;
    };
    for dialog in dialogs.dialogs.iter().flatten() {
        let person = work
            .known
            .chats
            .get(&(phone.id, dialog.chat_id.clone()))
            .copied();
        let conversation =
            person.and_then(|person| work.known.conversations.get(&(phone.id, person)).cloned());
        if let Some(conversation) = conversation {
            let session = dialog.session_id.map(|id| id.to_string());
            work.portal_chat(&conversation, dialog.im_chat_id, session);
        }
    }
}

fn disconnected(work: &mut Work<'_>, phone: &Phone, code: &str, title: &str, hint: &str) {
    // A line that is deleted takes its connector along, which is told as well, before or after: the line is the reason.
    let line_gone = |error: &PhoneError| error.code == LINE_DELETED;
    let told_already = work.setup.iter().any(|change| {
        matches!(change, SetupChange::Disconnected { phone: other, error } if *other == phone.id && line_gone(error))
    });
    let better_reason = code == LINE_DELETED
        && phone.connection == Connection::Error
        && phone
            .error
            .as_ref()
            .is_some_and(|error| error.code == CONNECTOR_OFF);
    // Our own unlinking and relinking fire the same event; then the number is not connected here either.
    if told_already || (phone.connection != Connection::Connected && !better_reason) {
        return;
    }
    let error = PhoneError {
        code: code.to_owned(),
        title: title.to_owned(),
        hint: Some(hint.to_owned()),
        ..PhoneError::default()
    };
    work.setup.push(SetupChange::Disconnected {
        phone: phone.id,
        error,
    });
}
