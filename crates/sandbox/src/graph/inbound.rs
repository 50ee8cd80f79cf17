//! The customer's side: what a customer writes, and the webhook about it.

use super::{
    Customer, Shared, escape,
    outbox::{self, Part},
    world::{Direction, Message, Person, Progress, World},
};
use base64::Engine as _;
use serde_json::{Value, json};
use std::sync::Arc;

/// Types that do not count as writing, so they do not open the window.
const NOT_WRITING: &[&str] = &["reaction", "edit", "revoke", "system", "unsupported"];
/// Types whose object has a media id.
const WITH_FILE: &[&str] = &["image", "video", "audio", "document", "sticker"];

/// Takes a message of the customer and queues the webhook; returns the message id.
pub(super) fn write(
    shared: &Arc<Shared>,
    phone_number_id: &str,
    customer: &Customer,
    kind: Value,
) -> String {
    let mut world = shared.world();
    let person = world.meet(customer);
    let shown = Shown::of(&world.persons[person], customer);
    let wamid = add(shared, &mut world, phone_number_id, person, &shown, kind);
    drop(world);
    shared.bump();
    wamid
}

/// The customer takes another number: the system message comes from the old one and names the new.
pub(super) fn change_number(
    shared: &Arc<Shared>,
    phone_number_id: &str,
    customer: &Customer,
    digits: &str,
) -> String {
    let mut world = shared.world();
    let person = world.meet(customer);
    let before = Shown::of(&world.persons[person], customer);
    world.change_number(person, digits);
    let after = &world.persons[person];
    let old = before.phone.as_deref().unwrap_or("a hidden number");
    let kind = json!({
        "type": "system",
        "system": {
            "type": "user_changed_number",
            "body": format!("User changed from {old} to {digits}"),
            "wa_id": digits,
            "user_id": after.user_id,
            "previous_user_id": before.user_id,
        },
    });
    let wamid = add(shared, &mut world, phone_number_id, person, &before, kind);
    drop(world);
    shared.bump();
    wamid
}

/// The customer stops marketing messages of the number, or takes them again. Source: Meta: webhooks, user_preferences.
pub(super) fn choose_marketing(
    shared: &Arc<Shared>,
    phone_number_id: &str,
    customer: &Customer,
    stop: bool,
) {
    let mut world = shared.world();
    let person = world.meet(customer);
    let shown = Shown::of(&world.persons[person], customer);
    let number: Arc<str> = phone_number_id.into();
    world.thread_mut(&number, person).marketing_stopped = stop;
    let (account, digits) = match world.numbers.get(&number) {
        Some(found) => (Arc::clone(&found.account), Arc::clone(&found.digits)),
        None => (Arc::clone(&world.first_account), Arc::clone(&number)),
    };
    let words = if stop {
        "User requested to stop marketing messages"
    } else {
        "User requested to resume marketing messages"
    };
    let mut preference = json!({
        "user_id": shown.user_id,
        "detail": words,
        "category": "marketing_messages",
        "value": if stop { "stop" } else { "resume" },
        "timestamp": world.clock.now() / 1000,
    });
    let mut contact = json!({
        "profile": {"name": world.persons[person].name},
        "user_id": shown.user_id,
    });
    if let Some(phone) = &shown.phone {
        preference["wa_id"] = phone.as_str().into();
        contact["wa_id"] = phone.as_str().into();
    }
    let value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": &*digits, "phone_number_id": phone_number_id},
        "contacts": [contact],
        "user_preferences": [preference],
    });
    outbox::push_field(shared, &mut world, &account, "user_preferences", &value);
    drop(world);
    shared.bump();
}

/// What the webhook shows of the customer.
struct Shown {
    phone: Option<String>,
    user_id: String,
}

impl Shown {
    /// The phone is shown if the caller names it or if it is known; a caller who names only the user id hides it.
    fn of(person: &Person, customer: &Customer) -> Self {
        let hidden = customer.phone.is_none() && customer.user_id.is_some();
        Self {
            phone: (!hidden).then(|| person.phone.clone()).flatten(),
            user_id: person.user_id.clone(),
        }
    }
}

fn add(
    shared: &Arc<Shared>,
    world: &mut World,
    phone_number_id: &str,
    person: usize,
    shown: &Shown,
    kind: Value,
) -> String {
    let digits = shown.phone.as_deref().unwrap_or("0");
    let wamid = world.new_wamid(digits, false);
    let number: Arc<str> = phone_number_id.into();
    let now = world.clock.now();
    let mut message = match kind {
        Value::Object(fields) => Value::Object(fields),
        other => json!({"type": "unknown", "unknown": other}),
    };
    if let Some(phone) = &shown.phone {
        message["from"] = phone.as_str().into();
    }
    message["from_user_id"] = shown.user_id.as_str().into();
    message["id"] = (&*wamid).into();
    message["timestamp"] = (now / 1000).to_string().into();
    let media = complete_file(world, shared, &number, &mut message);

    let contact = contact_of(&world.persons[person], shown, &message);
    let part = Part::Message {
        contact: contact.as_ref().map(escape::ascii),
        message: escape::ascii(&message),
    };
    let kind = message["type"].as_str().unwrap_or("unknown").to_owned();
    let index = world.add_message(Message {
        wamid: Arc::clone(&wamid),
        number: Arc::clone(&number),
        person,
        direction: Direction::FromCustomer,
        at: now,
        body: message,
        progress: Progress::Accepted,
        error: None,
        media,
        category: String::new(),
        reported: 0,
    });
    if !NOT_WRITING.contains(&kind.as_str()) {
        world.thread_mut(&number, person).last_inbound = Some(now);
    }
    world.counters.written += 1;
    outbox::push(shared, world, &number, person, index, part, kind);
    wamid.to_string()
}

/// `contacts[]` is absent on the message about a changed number.
fn contact_of(person: &Person, shown: &Shown, message: &Value) -> Option<Value> {
    if message["type"] == "system" {
        return None;
    }
    let mut contact = json!({"profile": {"name": person.name}, "user_id": shown.user_id});
    if let Some(username) = &person.username {
        contact["profile"]["username"] = username.as_str().into();
    }
    if let Some(phone) = &shown.phone {
        contact["wa_id"] = phone.as_str().into();
    }
    Some(contact)
}

/// Completes the object of a file with what Meta tells about it, and gives the file to the number.
fn complete_file(
    world: &mut World,
    shared: &Shared,
    number: &Arc<str>,
    message: &mut Value,
) -> Option<Arc<str>> {
    let kind = message["type"].as_str()?.to_owned();
    if !WITH_FILE.contains(&kind.as_str()) {
        return None;
    }
    let id: Arc<str> = message[&kind]["id"].as_str()?.into();
    let url = super::api::download_url(shared, world, &id);
    let file = world.files.get_mut(&id)?;
    file.number = Some(Arc::clone(number));
    let object = &mut message[&kind];
    object["mime_type"] = file.mime_type.as_str().into();
    object["sha256"] = base64::engine::general_purpose::STANDARD
        .encode(&file.sha256)
        .into();
    object["url"] = url.into();
    if kind == "document" && object["filename"].is_null() {
        object["filename"] = file.filename.as_deref().unwrap_or("file").into();
    }
    Some(id)
}
