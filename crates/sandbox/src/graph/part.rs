//! The parts of a customer's message, one function for each type. Source: Meta: webhooks, messages.

use serde_json::{Value, json};

/// A text.
pub fn text(body: &str) -> Value {
    json!({"type": "text", "text": {"body": body}})
}

/// A file that is stored already, by its media id. `voice` is an audio that is a voice note.
pub fn media(kind: &str, id: &str, caption: Option<&str>, filename: Option<&str>) -> Value {
    let name = if kind == "voice" { "audio" } else { kind };
    let mut object = json!({"id": id});
    if let Some(caption) = caption {
        object["caption"] = caption.into();
    }
    if let Some(filename) = filename
        && name == "document"
    {
        object["filename"] = filename.into();
    }
    if name == "audio" {
        object["voice"] = (kind == "voice").into();
    }
    if name == "sticker" {
        object["animated"] = false.into();
    }
    json!({"type": name, name: object})
}

/// A place on the map.
pub fn location(latitude: f64, longitude: f64, name: &str, address: &str) -> Value {
    json!({
        "type": "location",
        "location": {"latitude": latitude, "longitude": longitude, "name": name, "address": address},
    })
}

/// A contact card.
pub fn contact(name: &str, phone: &str) -> Value {
    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
    let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
    json!({
        "type": "contacts",
        "contacts": [{
            "name": {"formatted_name": name, "first_name": first, "last_name": last},
            "phones": [{"phone": phone, "wa_id": digits, "type": "CELL"}],
        }],
    })
}

/// A reaction to a message.
pub fn reaction(wamid: &str, emoji: &str) -> Value {
    json!({"type": "reaction", "reaction": {"message_id": wamid, "emoji": emoji}})
}

/// The removal of a reaction.
pub fn reaction_removed(wamid: &str) -> Value {
    json!({"type": "reaction", "reaction": {"message_id": wamid}})
}

/// Another wording for an earlier text of the customer.
pub fn edit(original: &str, body: &str) -> Value {
    json!({
        "type": "edit",
        "edit": {"original_message_id": original, "message": text(body)},
    })
}

/// An earlier message of the customer is taken back.
pub fn revoke(original: &str) -> Value {
    json!({"type": "revoke", "revoke": {"original_message_id": original}})
}

/// A tap on a reply button of an interactive message.
pub fn button_reply(id: &str, title: &str) -> Value {
    json!({
        "type": "interactive",
        "interactive": {"type": "button_reply", "button_reply": {"id": id, "title": title}},
    })
}

/// A row chosen from a list.
pub fn list_reply(id: &str, title: &str, description: &str) -> Value {
    json!({
        "type": "interactive",
        "interactive": {
            "type": "list_reply",
            "list_reply": {"id": id, "title": title, "description": description},
        },
    })
}

/// A tap on a quick reply of a template.
pub fn template_button(payload: &str, text: &str) -> Value {
    json!({"type": "button", "button": {"payload": payload, "text": text}})
}

/// An order from the catalogue, of one article.
pub fn order(article: &str, quantity: u32, price: f64, currency: &str) -> Value {
    json!({
        "type": "order",
        "order": {
            "catalog_id": "354300000000001",
            "text": "",
            "product_items": [{
                "product_retailer_id": article,
                "quantity": quantity,
                "item_price": price,
                "currency": currency,
            }],
        },
    })
}

/// Something that Meta does not pass on, such as a poll.
pub fn unsupported(kind: &str) -> Value {
    json!({
        "type": "unsupported",
        "unsupported": {"type": kind},
        "errors": [{
            "code": 131_051,
            "title": "Message type unknown",
            "message": "Message type unknown",
            "error_data": {"details": "Message type is currently not supported."},
        }],
    })
}

/// The same message as an answer to an earlier one, which the business (its digits) or the customer wrote.
#[must_use]
pub fn answering(mut kind: Value, wamid: &str, author: &str) -> Value {
    kind["context"] = json!({"from": author, "id": wamid});
    kind
}

/// The same message, forwarded from elsewhere.
#[must_use]
pub fn forwarded(mut kind: Value) -> Value {
    kind["context"] = json!({"forwarded": true});
    kind
}

/// The same message as the first after a tap on an advertisement.
#[must_use]
pub fn from_ad(mut kind: Value, headline: &str) -> Value {
    kind["referral"] = json!({
        "source_url": "https://fb.me/sandbox",
        "source_id": "120300000000001",
        "source_type": "ad",
        "headline": headline,
        "body": "Only this week",
        "media_type": "image",
        "image_url": "https://scontent.example/ad.jpg",
        "ctwa_clid": "ARAkSandbox",
    });
    kind
}
