//! What a callback of Meta changes.

use uuid::Uuid;
use whatsapp::webhook::{
    Callback, ChangeKind, DeliveryStatus, Message, MessageBody, MessagesValue, PreferencesValue,
    Status,
};

use super::{
    calls, hold,
    known::inbound_deed,
    news,
    work::{Lane, Named, Work},
};
use crate::{
    registry::Phone,
    store::{
        conversations::Conversation,
        events::State as KeptState,
        lanes::{Side, Task},
        media::{NewMedia, Source as MediaSource},
        messages::{
            Change, Direction, Facts, Journey, MessageError, NewMessage, State, try_before,
        },
        orders::News,
        receipts::Receipt,
    },
    time::Millis,
    translate::{
        from_whatsapp,
        message::{Action, Author, Content, Quoted},
        notes,
    },
};

/// Meta's code of a marketing message to somebody who wants none.
pub(crate) const MARKETING_STOPPED: i64 = 131_050;

/// Works through a callback: every entry, change, message and status by itself.
pub(super) fn apply(work: &mut Work<'_>, receipt: &Receipt, callback: &Callback) {
    for bad in &callback.bad {
        work.keep(KeptState::NotUnderstood, bad.why.clone());
    }
    for change in &callback.changes {
        match &change.kind {
            ChangeKind::Messages(value) => {
                apply_value(work, receipt, &change.entry_id, value, false);
            }
            ChangeKind::Echoes(value) => {
                apply_value(work, receipt, &change.entry_id, value, true);
            }
            ChangeKind::Preferences(value) => {
                preferences(work, receipt, &change.entry_id, value);
            }
            ChangeKind::Calls(value) => calls::apply(work, receipt, &change.entry_id, value),
            ChangeKind::Template(_)
            | ChangeKind::Account(_)
            | ChangeKind::Number(_)
            | ChangeKind::Settings(_)
            | ChangeKind::Other => news::apply(work, receipt, change),
        }
    }
}

fn apply_value(
    work: &mut Work<'_>,
    receipt: &Receipt,
    waba_id: &str,
    value: &MessagesValue,
    echoes: bool,
) {
    let Some(phone) = number(work, receipt, waba_id, value.phone_number_id.as_deref()) else {
        return;
    };
    for message in &value.messages {
        match message {
            Ok(message) if echoes => echo(work, receipt, phone, message),
            Ok(message) => inbound(work, receipt, phone, value, message),
            Err(bad) => work.keep(KeptState::NotUnderstood, bad.why.clone()),
        }
    }
    for status in &value.statuses {
        match status {
            Ok(one) => apply_status(work, receipt, phone, one),
            Err(bad) => work.keep(KeptState::NotUnderstood, bad.why.clone()),
        }
    }
    if !value.errors.is_empty() && value.messages.is_empty() && value.statuses.is_empty() {
        let why = value
            .errors
            .iter()
            .map(|error| error.headline().to_owned())
            .collect::<Vec<_>>();
        work.keep(KeptState::Recorded, why.join("; "));
    }
}

/// The number that a value is about, if it is one of the application that the callback came for.
fn number<'a>(
    work: &mut Work<'a>,
    receipt: &Receipt,
    waba_id: &str,
    phone_number_id: Option<&str>,
) -> Option<&'a Phone> {
    let Some(phone_number_id) = phone_number_id else {
        work.keep(
            KeptState::NotUnderstood,
            "the value names no phone number id".to_owned(),
        );
        return None;
    };
    let registry = work.registry;
    let Some(phone) = registry.phone_by_number_id(phone_number_id) else {
        work.keep_for(phone_number_id, waba_id);
        return None;
    };
    if registry
        .app_of(phone)
        .is_none_or(|(_, app)| app.id != receipt.owner)
    {
        let why = format!("the number {phone_number_id} belongs to another application");
        work.keep(KeptState::NotUnderstood, why);
        return None;
    }
    Some(phone)
}

/// People chose what they want to get from a number (Meta: user_preferences).
fn preferences(work: &mut Work<'_>, receipt: &Receipt, waba_id: &str, value: &PreferencesValue) {
    let Some(phone) = number(work, receipt, waba_id, value.phone_number_id.as_deref()) else {
        return;
    };
    work.keep(KeptState::Recorded, "field user_preferences".to_owned());
    for preference in &value.preferences {
        let preference = match preference {
            Ok(preference) => preference,
            Err(bad) => {
                work.keep(KeptState::NotUnderstood, bad.why.clone());
                continue;
            }
        };
        let stopped = match (preference.category.as_str(), preference.value.as_str()) {
            ("marketing_messages", "stop") => true,
            ("marketing_messages", "resume" | "signup") => false,
            _ => continue,
        };
        work.count("preference");
        let person = work.person(
            phone.account_id,
            Named {
                wa_id: preference.wa_id.as_deref(),
                user_id: preference.user_id.as_deref(),
                ..Named::default()
            },
        );
        let conversation = work.conversation(phone, person);
        let at = preference
            .timestamp
            .map_or(receipt.received_at, Millis::from_seconds);
        marketing(work, phone, &conversation, stopped, at);
    }
}

/// Remembers whether a customer takes marketing messages, and tells operators where they have a chat.
fn marketing(
    work: &mut Work<'_>,
    phone: &Phone,
    conversation: &Conversation,
    stopped: bool,
    at: Millis,
) {
    if work.marketing(conversation, stopped, at) && conversation.im_chat_id.is_some() {
        let note = if stopped {
            notes::Note::MarketingStopped
        } else {
            notes::Note::MarketingResumed
        };
        work.note(conversation.into(), note.markup(work.language(phone)));
    }
}

fn quoted(work: &Work<'_>, phone: &Phone, message: &Message) -> Option<Quoted> {
    let facts = work
        .known
        .message(phone.id, from_whatsapp::referred(message)?)?;
    Some(Quoted {
        author: if facts.inbound {
            Author::Customer
        } else {
            Author::Business
        },
        text: facts.text.clone(),
    })
}

fn inbound(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    value: &MessagesValue,
    message: &Message,
) {
    if !work.first_time(inbound_deed(&phone.phone_number_id, &message.id)) {
        return;
    }
    work.count("message");
    let language = work.language(phone);
    let quoted = quoted(work, phone, message);
    let action = from_whatsapp::read(message, quoted.as_ref(), &value.errors, language);
    let contact = value.contact_for(message);
    let previous_user_id = match &action {
        Action::IdentityChanged {
            previous_user_id, ..
        } => previous_user_id.as_deref(),
        _ => None,
    };
    let person = work.person(
        phone.account_id,
        Named {
            wa_id: message
                .from
                .as_deref()
                .or(contact.and_then(|contact| contact.wa_id.as_deref())),
            user_id: message
                .from_user_id
                .as_deref()
                .or(contact.and_then(|contact| contact.user_id.as_deref()))
                .or(previous_user_id),
            name: contact.and_then(|contact| contact.name.as_deref()),
            username: contact.and_then(|contact| contact.username.as_deref()),
        },
    );
    let conversation = work.conversation(phone, person);
    calls::permission(work, receipt, conversation.id, message);
    let understood = match &action {
        Action::Post(content)
        | Action::Edit { content, .. }
        | Action::IdentityChanged { content, .. } => content.understood,
        Action::Revoke { .. } => true,
    };
    if !understood {
        work.keep(
            KeptState::NotUnderstood,
            format!("message type {}", message.kind),
        );
    }
    match action {
        Action::Post(content) => {
            if !matches!(
                content.kind.as_str(),
                "reaction" | "system" | "unsupported" | "unknown"
            ) {
                let at = message
                    .timestamp
                    .map_or(receipt.received_at, Millis::from_seconds);
                work.open_window(&conversation, at.min(receipt.received_at));
            }
            // What WhatsApp reports about a customer is not said by the customer.
            let note = matches!(message.body, MessageBody::System(_));
            post(work, receipt, phone, &conversation, message, content, note);
        }
        Action::Edit { original, content } => {
            edit(
                work,
                receipt,
                phone,
                &conversation,
                message,
                &original,
                content,
            );
        }
        Action::Revoke { original } => {
            revoke(work, receipt, phone, &conversation, message, &original);
        }
        Action::IdentityChanged {
            wa_id,
            user_id,
            content,
            ..
        } => {
            work.change_identity(person, wa_id.as_deref(), user_id.as_deref());
            post(work, receipt, phone, &conversation, message, content, true);
        }
    }
}

/// A message row for something the customer's side did.
fn row(
    work: &Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    message: &Message,
    content: &Content,
) -> NewMessage {
    NewMessage {
        id: work.ids.next(),
        phone: phone.id,
        conversation: conversation.id,
        direction: Direction::Inbound,
        origin: "customer",
        peer: work.peer(conversation),
        kind: content.kind.clone(),
        text: content.text.clone(),
        state: Work::inbound_state(phone),
        wamid: Some(message.id.clone()),
        im: None,
        media: None,
        created_at: receipt.received_at,
        journey: work.journey(
            receipt,
            message.timestamp,
            "webhook of Meta, signature verified, on disk",
        ),
    }
}

/// Shows a message in the operator's chat; gives our id of it.
fn post(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    message: &Message,
    content: Content,
    note: bool,
) -> Uuid {
    let mut new = row(work, receipt, phone, conversation, message, &content);
    new.media = content.file.as_ref().map(|_| work.ids.next());
    if let (Some(file), Some(media)) = (content.file, new.media) {
        work.media.push(NewMedia {
            id: media,
            phone: phone.id,
            source: MediaSource::Meta {
                media_id: file.media_id,
            },
            name: file.name,
            mime_type: Some(file.mime_type),
            created_at: work.now,
        });
    }
    let (id, media) = (new.id, new.media);
    work.add_message(new);
    let task = Task::Post {
        external_id: message.id.clone(),
        text: content.markup,
        note,
    };
    work.tell_portal(conversation.into(), Some(id), media, task);
    id
}

fn edit(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    message: &Message,
    original: &str,
    content: Content,
) {
    let edited_at = message
        .timestamp
        .map_or(receipt.received_at, Millis::from_seconds);
    let known = work.known.message(phone.id, original);
    let Some((edited, before)) = known.map(|facts| (facts.id, facts.edited_at)) else {
        if work.first_time(inbound_deed(&phone.phone_number_id, original)) {
            // It came before us, or is overtaken by its edit: the operator sees the new text in its place.
            let in_its_place = Message {
                id: original.to_owned(),
                ..message.clone()
            };
            let words = content.text.clone();
            let id = post(
                work,
                receipt,
                phone,
                conversation,
                &in_its_place,
                content,
                false,
            );
            work.retell(id, &words, edited_at);
        } else {
            let why = "the edited message was taken back before";
            nothing_to_do(work, receipt, phone, conversation, message, "edit", why);
        }
        return;
    };
    if before.is_some_and(|before| before > edited_at) {
        let why = "a later edit of the message came first";
        nothing_to_do(work, receipt, phone, conversation, message, "edit", why);
        return;
    }
    work.retell(edited, &content.text, edited_at);
    let mut new = row(work, receipt, phone, conversation, message, &content);
    "edit".clone_into(&mut new.kind);
    let id = new.id;
    work.add_message(new);
    let task = Task::Update {
        external_id: original.to_owned(),
        text: content.markup,
    };
    work.tell_portal(conversation.into(), Some(id), None, task);
}

fn revoke(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    message: &Message,
    original: &str,
) {
    if work.known.message(phone.id, original).is_none() {
        // Nothing of it is in the chat, and nothing shall be should it come later.
        work.first_time(inbound_deed(&phone.phone_number_id, original));
        let why = "the deleted message was never in the chat";
        nothing_to_do(work, receipt, phone, conversation, message, "revoke", why);
        return;
    }
    let new = wordless(work, receipt, phone, conversation, message, "revoke");
    let id = new.id;
    work.add_message(new);
    work.tell_portal(
        conversation.into(),
        Some(id),
        None,
        Task::Delete {
            external_id: original.to_owned(),
        },
    );
}

/// A message row for something that has no words of its own.
fn wordless(
    work: &Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    message: &Message,
    kind: &str,
) -> NewMessage {
    let content = Content {
        kind: kind.to_owned(),
        text: String::new(),
        markup: String::new(),
        file: None,
        understood: true,
    };
    row(work, receipt, phone, conversation, message, &content)
}

/// Keeps a change to a message that is not in the chat.
fn nothing_to_do(
    work: &mut Work<'_>,
    receipt: &Receipt,
    phone: &Phone,
    conversation: &Conversation,
    message: &Message,
    kind: &str,
    why: &str,
) {
    let mut new = wordless(work, receipt, phone, conversation, message, kind);
    new.state = State::Delivered;
    new.journey.step(work.now, "nothing to do", Some(why));
    work.add_message(new);
}

/// The business wrote with the phone app: operators see it, nobody sends it again (Meta: smb_message_echoes).
fn echo(work: &mut Work<'_>, receipt: &Receipt, phone: &Phone, message: &Message) {
    if work.known.message(phone.id, &message.id).is_some()
        || !work.first_time(inbound_deed(&phone.phone_number_id, &message.id))
    {
        return;
    }
    work.count("echo");
    let language = work.language(phone);
    let quoted = quoted(work, phone, message);
    let Action::Post(content) = from_whatsapp::read(message, quoted.as_ref(), &[], language) else {
        work.keep(
            KeptState::Recorded,
            format!("echo of type {}", message.kind),
        );
        return;
    };
    let person = work.person(
        phone.account_id,
        Named {
            wa_id: message.to.as_deref(),
            user_id: message.to_user_id.as_deref(),
            ..Named::default()
        },
    );
    let conversation = work.conversation(phone, person);
    let mut new = row(work, receipt, phone, &conversation, message, &content);
    new.direction = Direction::Outbound;
    new.origin = "phone_app";
    new.state = State::Sent;
    new.media = content.file.as_ref().map(|_| work.ids.next());
    if let (Some(file), Some(media)) = (content.file, new.media) {
        work.media.push(NewMedia {
            id: media,
            phone: phone.id,
            source: MediaSource::Meta {
                media_id: file.media_id,
            },
            name: file.name,
            mime_type: Some(file.mime_type),
            created_at: work.now,
        });
    }
    let (id, media) = (new.id, new.media);
    work.add_message(new);
    let task = Task::Post {
        external_id: message.id.clone(),
        text: content.markup,
        note: true,
    };
    work.tell_portal((&conversation).into(), Some(id), media, task);
}

fn apply_status(work: &mut Work<'_>, receipt: &Receipt, phone: &Phone, status: &Status) {
    work.count("status");
    let state = match status.status {
        DeliveryStatus::Sent => Some(State::Sent),
        DeliveryStatus::Failed => Some(State::Failed),
        DeliveryStatus::Delivered => Some(State::Delivered),
        DeliveryStatus::Read | DeliveryStatus::Played => Some(State::Read),
        DeliveryStatus::Unknown(_) => None,
    };
    let Some(facts) = work.known.message_of_status(phone.id, status) else {
        // Sent by another program through the same number.
        work.count("status_of_a_stranger");
        return;
    };
    let name = status.status.name().to_owned();
    let marker = format!("\"step\":\"{name}\"");
    let new_fact = state.is_some_and(|state| state.rank() > facts.state.rank());
    if facts.journey.contains(&marker) && !new_fact {
        work.count("duplicate");
        return;
    }
    // That an earlier try was sent and failed is known, and says nothing of the one under way. That it arrived after all does.
    if matches!(state, Some(State::Sent | State::Failed))
        && facts.journey.contains(&try_before(&status.id))
    {
        work.count("status_of_an_earlier_try");
        return;
    }
    if state == Some(State::Failed) && new_fact {
        let facts = facts.clone();
        if hold::waits_again(work, receipt, phone, &facts, status) {
            return;
        }
    }
    let Some(facts) = work.known.message_of_status(phone.id, status) else {
        return;
    };
    facts.journey.push_str(&marker);
    let before = facts.state;
    if new_fact && let Some(state) = state {
        facts.state = state;
    }
    if facts.wamid.is_none() {
        facts.wamid = Some(status.id.clone());
    }
    let facts = facts.clone();
    let failure = status.errors.first();
    let detail = failure.map(|error| {
        let code = error
            .code
            .map_or_else(|| "no code".to_owned(), |code| code.to_string());
        format!(
            "{code}: {}",
            error.details.as_deref().unwrap_or_else(|| error.headline())
        )
    });
    let mut journey = Journey::new();
    journey.step(
        receipt.received_at,
        &name,
        detail.as_deref().or(Some(&status.id)),
    );
    work.changes.push(Change {
        id: facts.id,
        state,
        wamid: Some(status.id.clone()),
        error: failure.map(|error| MessageError {
            code: error.code.map_or_else(String::new, |code| code.to_string()),
            title: error.headline().to_owned(),
            details: error.details.clone(),
        }),
        sent_task: None,
        at: work.now,
        journey,
    });
    if facts.is_ordered() {
        work.news.push(News {
            message: facts.id,
            state,
            error: work.changes.last().and_then(|change| change.error.clone()),
        });
    }
    learn_recipient(work, phone, &facts, status);
    if matches!(before, State::Queued | State::Unknown) {
        // Where its answer was lost, its lane need not wait any longer.
        work.due.push((Side::Meta, phone.id, facts.conversation));
    }
    match state {
        Some(State::Failed) if new_fact => failed(work, receipt, phone, &facts, status),
        Some(State::Sent | State::Delivered | State::Read) => {
            work.proven.insert(phone.id);
            work.due.push((Side::Portal, phone.id, facts.id));
            if before == State::Failed && new_fact {
                arrived(work, phone, &facts);
            }
        }
        _ => {}
    }
}

/// A status of a message to a phone number names the user id, and the other way round: both belong to one person.
fn learn_recipient(work: &mut Work<'_>, phone: &Phone, facts: &Facts, status: &Status) {
    let Some(conversation) = work.known.conversation_by_id(facts.conversation).cloned() else {
        return;
    };
    let (Some(wa_id), Some(user_id)) = (
        status.recipient_id.as_deref(),
        status.recipient_user_id.as_deref(),
    ) else {
        return;
    };
    let person = work.person(
        phone.account_id,
        Named {
            wa_id: Some(wa_id),
            user_id: Some(user_id),
            ..Named::default()
        },
    );
    if person != conversation.person {
        work.count("recipient_merged");
    }
}

fn failed(work: &mut Work<'_>, receipt: &Receipt, phone: &Phone, facts: &Facts, status: &Status) {
    if !facts.is_ordered() {
        // Whoever ordered a message waits for a report in the same place, and for no confirmation.
        work.unconfirmed.push(facts.id);
    }
    let error = status.errors.first();
    if error.and_then(|error| error.code) == Some(MARKETING_STOPPED) {
        let conversation = work.known.conversation_by_id(facts.conversation).cloned();
        if let Some(conversation) = conversation {
            // The note about the message says it.
            work.marketing(&conversation, true, receipt.received_at);
        }
    }
    let text = notes::failure(
        error.and_then(|error| error.code),
        error.map_or("", |error| error.headline()),
        error.and_then(|error| error.details.as_deref()),
        work.language(phone),
    );
    let lane = Lane {
        phone: phone.id,
        conversation: facts.conversation,
    };
    work.note(lane, notes::wrap(&text));
}

/// Operators were told that it failed: they would send it again.
fn arrived(work: &mut Work<'_>, phone: &Phone, facts: &Facts) {
    let note = notes::Note::ArrivedAfterAll {
        text: notes::beginning(&facts.text),
    };
    let lane = Lane {
        phone: phone.id,
        conversation: facts.conversation,
    };
    work.note(lane, note.markup(work.language(phone)));
}
