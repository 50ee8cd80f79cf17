#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};
use whatsapp::webhook::{self, ChangeKind, MessagesValue};

use super::markup::tests::{hostile, only_marks, tags};
use super::*;

fn values(messages: &Value, errors: &Value) -> MessagesValue {
    let value = json!({ "messages": messages, "errors": errors });
    let body =
        json!({ "entry": [{ "id": "108", "changes": [{ "field": "messages", "value": value }] }] });
    let mut callback = webhook::parse(body.to_string().as_bytes()).unwrap();
    let ChangeKind::Messages(value) = callback.changes.remove(0).kind else {
        panic!("messages")
    };
    value
}

fn message(part: &Value) -> Message {
    let mut whole = json!({ "id": "wamid.A", "from": "4915755509876", "from_user_id": "DE.7Kq2", "timestamp": "1795400123" });
    whole
        .as_object_mut()
        .unwrap()
        .extend(part.as_object().unwrap().clone());
    values(&json!([whole]), &json!([]))
        .messages
        .remove(0)
        .unwrap()
}

fn content(part: &Value, quoted: Option<&Quoted>, language: Language) -> Content {
    match read(&message(part), quoted, &[], language) {
        Action::Post(content)
        | Action::Edit { content, .. }
        | Action::IdentityChanged { content, .. } => content,
        Action::Revoke { .. } => panic!("a deletion has no content"),
    }
}

fn english(part: &Value) -> Content {
    content(part, None, Language::English)
}

#[test]
fn every_type_has_its_rendering() {
    for (part, markup) in [
        (
            json!({ "type": "text", "text": { "body": "Guten *Tag* [b]x[/b]" } }),
            "Guten [b]Tag[/b] ［b]x［/b]",
        ),
        (
            json!({ "type": "location", "location": { "latitude": 52.5208, "longitude": 13.4095, "name": "Fernsehturm", "address": "Panoramastr. 1A, Berlin", "url": "https://turm.example" } }),
            "Location: Fernsehturm\nPanoramastr. 1A, Berlin\n52.5208, 13.4095\nhttps://maps.google.com/?q=52.5208,13.4095\nhttps://turm.example",
        ),
        (
            json!({ "type": "location", "location": { "latitude": -1, "longitude": 2 } }),
            "Location\n-1, 2\nhttps://maps.google.com/?q=-1,2",
        ),
        (
            json!({ "type": "contacts", "contacts": [
                { "name": { "formatted_name": "Max [b]" }, "phones": [{ "phone": "+49 1575 5500001" }, { "wa_id": "49157" }],
                  "emails": [{ "email": "m@example.org" }], "org": { "company": "Muster GmbH", "department": "Einkauf" } },
                { "origin": "contact_request", "phones": [{ "phone": "+49 1" }] },
            ] }),
            "Contact: Max ［b]\nMuster GmbH, Einkauf\n+49 1575 5500001\n+49157\nm@example.org\nPhone number given on request\n+49 1",
        ),
        (
            json!({ "type": "contacts", "contacts": [{ "name": { "first_name": "Lena" }, "phones": [{ "phone": "+49", "wa_id": "4915755509876" }] }] }),
            "The customer shared their own contact: Lena\n+49",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "button_reply", "button_reply": { "id": "y", "title": "Ja" } } }),
            "Button pressed: Ja",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "list_reply", "list_reply": { "id": "s", "title": "Di 14:00", "description": "Filiale Mitte" } } }),
            "Chosen from the list: Di 14:00 — Filiale Mitte",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "list_reply", "list_reply": { "id": "s", "title": "Di" } } }),
            "Chosen from the list: Di",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": { "name": "flow", "body": "Sent", "response_json": "{\"flow_token\":\"t\",\"rating\":\"4\",\"days\":[\"Mo\",\"Di\"],\"n\":{\"ok\":true,\"no\":null}}" } } }),
            "Form filled in\ndays: Mo\ndays: Di\nok: true\nrating: 4",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": { "name": "address_message", "body": "Sent", "response_json": "{\"saved_address_id\":\"1\",\"values\":{\"in_pin_code\":\"400063\"}}" } } }),
            "Address\nin_pin_code: 400063",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": { "body": "Sent", "response_json": "no json" } } }),
            "Form filled in\nSent",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "call_permission_reply", "call_permission_reply": { "response": "accept", "is_permanent": true } } }),
            "The customer allows calls",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "call_permission_reply", "call_permission_reply": { "response": "reject" } } }),
            "The customer does not want to be called",
        ),
        (
            json!({ "type": "button", "button": { "payload": "STOP", "text": "Abmelden" } }),
            "Button pressed: Abmelden",
        ),
        (
            json!({ "type": "order", "order": { "text": "bitte *schnell*", "product_items": [
                { "product_retailer_id": "SKU-7", "quantity": 2, "item_price": "19.9", "currency": "EUR" },
                { "product_retailer_id": "SKU-8", "quantity": 1, "item_price": 0.2, "currency": "EUR" },
                { "product_retailer_id": "SKU-9" },
            ] } }),
            "Order:\n2 × SKU-7 — 19.90 EUR\n1 × SKU-8 — 0.20 EUR\n1 × SKU-9\nTotal: 40.00 EUR\nbitte [b]schnell[/b]",
        ),
        (
            json!({ "type": "request_welcome" }),
            "The customer opened the chat",
        ),
        (
            json!({ "type": "system", "system": { "type": "user_changed_user_id", "user_id": "DE.N" } }),
            "WhatsApp gave the customer a new id. The conversation goes on here.",
        ),
    ] {
        let content = english(&part);
        assert_eq!(content.markup, markup, "{part}");
        assert!(content.understood && content.file.is_none());
        assert_eq!(content.kind, part["type"].as_str().unwrap());
    }
}

#[test]
fn files_keep_their_captions_and_get_names() {
    for (kind, file, text, name) in [
        (
            "image",
            json!({ "mime_type": "image/jpeg", "caption": "*Schrank*" }),
            "*Schrank*",
            "photo.jpg",
        ),
        (
            "image",
            json!({ "mime_type": "image/png" }),
            "Photo",
            "photo.png",
        ),
        ("image", json!({}), "Photo", "photo.jpg"),
        (
            "video",
            json!({ "mime_type": "video/mp4" }),
            "Video",
            "video.mp4",
        ),
        (
            "audio",
            json!({ "mime_type": "audio/ogg; codecs=opus", "voice": true }),
            "Voice message",
            "voice.ogg",
        ),
        (
            "audio",
            json!({ "mime_type": "audio/mpeg" }),
            "Audio",
            "audio.mp3",
        ),
        (
            "sticker",
            json!({ "mime_type": "image/webp" }),
            "Sticker",
            "sticker.webp",
        ),
        (
            "document",
            json!({ "mime_type": "application/pdf", "filename": "Angebot & 12.pdf" }),
            "Document: Angebot _ 12.pdf",
            "Angebot _ 12.pdf",
        ),
        (
            "document",
            json!({ "mime_type": "application/pdf", "filename": "a.pdf", "caption": "bitte" }),
            "bitte",
            "a.pdf",
        ),
        (
            "document",
            json!({ "mime_type": "application/pdf" }),
            "Document",
            "document.pdf",
        ),
    ] {
        let mut media = json!({ "id": "771" });
        media
            .as_object_mut()
            .unwrap()
            .extend(file.as_object().unwrap().clone());
        let content = english(&json!({ "type": kind, kind: media }));
        let file = content.file.unwrap();
        assert_eq!(
            (
                content.text.as_str(),
                file.name.as_str(),
                file.media_id.as_str()
            ),
            (text, name, "771"),
            "{kind}"
        );
    }
    let marked =
        english(&json!({ "type": "image", "image": { "id": "1", "caption": "*Schrank*" } }));
    assert_eq!(marked.markup, "[b]Schrank[/b]");
}

fn quoted(text: &str) -> Quoted {
    Quoted {
        author: Author::Business,
        text: text.to_owned(),
    }
}

#[test]
fn replies_show_what_they_answer() {
    let reply = json!({ "type": "text", "text": { "body": "Ja" }, "context": { "id": "wamid.OUT", "from": "49" } });
    assert_eq!(referred(&message(&reply)), Some("wamid.OUT"));
    let known = content(
        &reply,
        Some(&quoted("Passt\nDienstag? [send=x]")),
        Language::English,
    );
    assert_eq!(
        known.markup,
        ">>We wrote:\n>>Passt\n>>Dienstag? ［send=x]\nJa"
    );
    assert_eq!(known.text, "Ja");
    assert_eq!(
        english(&reply).markup,
        "[i]In reply to an earlier message[/i]\nJa"
    );
    let customer = Quoted {
        author: Author::Customer,
        text: "ä".repeat(300),
    };
    let long = content(&reply, Some(&customer), Language::Russian);
    assert_eq!(
        long.markup,
        format!(">>Клиент писал:\n>>{}…\nJa", "ä".repeat(200))
    );
}

#[test]
fn where_a_message_comes_from_stands_before_it() {
    for (extra, markup) in [
        (
            json!({ "context": { "forwarded": true } }),
            "[i]Forwarded[/i]\nHi",
        ),
        (
            json!({ "context": { "frequently_forwarded": true } }),
            "[i]Forwarded many times[/i]\nHi",
        ),
        (
            json!({ "context": { "id": "w", "referred_product": { "catalog_id": "3", "product_retailer_id": "SKU-7" } } }),
            "[i]In reply to an earlier message[/i]\nAbout the product: SKU-7\nHi",
        ),
        (
            json!({ "referral": { "source_type": "ad", "headline": "[b]Sale", "body": "-20 %", "source_url": "https://fb.me/x" } }),
            "From an advertisement: ［b]Sale — -20 %\nhttps://fb.me/x\nHi",
        ),
        (
            json!({ "referral": { "source_type": "post" } }),
            "From a post\nHi",
        ),
    ] {
        let mut part = json!({ "type": "text", "text": { "body": "Hi" } });
        part.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        assert_eq!(english(&part).markup, markup);
    }
}

#[test]
fn reactions_say_what_they_are_put_on() {
    let put =
        json!({ "type": "reaction", "reaction": { "message_id": "wamid.OUT1", "emoji": "👍" } });
    assert_eq!(referred(&message(&put)), Some("wamid.OUT1"));
    assert_eq!(
        content(&put, Some(&quoted("Bis\nDienstag")), Language::English).text,
        "👍 on: «Bis Dienstag»"
    );
    assert_eq!(
        content(&put, None, Language::Russian).text,
        "👍 на: более раннее сообщение"
    );
    let removed =
        json!({ "type": "reaction", "reaction": { "message_id": "wamid.OUT1", "emoji": "" } });
    assert_eq!(
        content(&removed, Some(&quoted("Hi")), Language::English).text,
        "Reaction removed from: «Hi»"
    );
}

#[test]
fn edits_and_deletions_name_the_original() {
    let edit = message(
        &json!({ "type": "edit", "edit": { "original_message_id": "wamid.IN1", "message": { "type": "text", "text": { "body": "_Neu_" } } } }),
    );
    let Action::Edit { original, content } = read(&edit, None, &[], Language::English) else {
        panic!("edit")
    };
    assert_eq!(
        (
            original.as_str(),
            content.kind.as_str(),
            content.markup.as_str()
        ),
        ("wamid.IN1", "text", "[i]Neu[/i]")
    );
    let revoke =
        message(&json!({ "type": "revoke", "revoke": { "original_message_id": "wamid.IN1" } }));
    assert_eq!(
        read(&revoke, None, &[], Language::English),
        Action::Revoke {
            original: "wamid.IN1".to_owned()
        }
    );
}

#[test]
fn changes_of_identity_carry_the_ids() {
    let changed = message(
        &json!({ "type": "system", "system": { "type": "user_changed_number", "body": "User changed…", "wa_id": "4915755507777", "user_id": "DE.NEW", "previous_user_id": "DE.OLD" } }),
    );
    let Action::IdentityChanged {
        wa_id,
        user_id,
        previous_user_id,
        content,
    } = read(&changed, None, &[], Language::English)
    else {
        panic!("identity")
    };
    assert_eq!(
        (
            wa_id.as_deref(),
            user_id.as_deref(),
            previous_user_id.as_deref()
        ),
        (Some("4915755507777"), Some("DE.NEW"), Some("DE.OLD"))
    );
    assert!(content.text.contains("+4915755507777"));
    let code =
        message(&json!({ "type": "system", "system": { "type": "customer_identity_changed" } }));
    assert!(
        matches!(read(&code, None, &[], Language::English), Action::Post(content) if content.text.contains("security code"))
    );
}

#[test]
fn what_is_not_understood_is_said() {
    for (part, words) in [
        (
            json!({ "type": "unsupported", "unsupported": { "type": "poll_update" } }),
            "does not pass on to businesses. Ask them to send it as text, photo or file. (poll_update)",
        ),
        (
            json!({ "type": "unsupported", "unsupported": { "type": "edit" } }),
            "edited an earlier message",
        ),
        (
            json!({ "type": "unsupported", "errors": [{ "code": 131_052, "title": "T", "error_data": { "details": "over 100 MB [b]" } }] }),
            "too large. Ask for a smaller file or a link.\nover 100 MB ［b]",
        ),
        (json!({ "type": "unknown" }), "not known here yet"),
        (json!({ "type": "hologram" }), "(hologram)"),
        (json!({ "type": "image", "image": {} }), "(image)"),
        (
            json!({ "type": "interactive" }),
            "did not pass the answer on",
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "product_share", "product_share": {} } }),
            "(product_share)",
        ),
        (
            json!({ "type": "system", "system": { "type": "moon", "body": "Full [b]" } }),
            "WhatsApp reports: Full ［b]",
        ),
        (
            json!({ "type": "edit", "edit": { "original_message_id": "w", "message": { "type": "revoke", "revoke": { "original_message_id": "x" } } } }),
            "not known here yet",
        ),
    ] {
        let content = english(&part);
        assert!(!content.understood, "{part}");
        assert!(content.markup.contains(words), "{part}: {}", content.markup);
        assert!(!content.text.is_empty());
    }
    let value = values(
        &json!([{ "id": "w", "type": "interactive" }]),
        &json!([{ "code": 131_000, "title": "T", "error_data": { "details": "Something went wrong" } }]),
    );
    let Action::Post(content) = read(
        value.messages[0].as_ref().unwrap(),
        None,
        &value.errors,
        Language::English,
    ) else {
        panic!("post")
    };
    assert!(content.text.ends_with("\nSomething went wrong"));
}

#[test]
fn labels_are_in_the_operators_language() {
    let voice = json!({ "type": "audio", "audio": { "id": "1", "voice": true } });
    assert_eq!(
        content(&voice, None, Language::Russian).markup,
        "Голосовое сообщение"
    );
    assert_eq!(
        content(&json!({ "type": "unknown" }), None, Language::Russian)
            .text
            .chars()
            .next(),
        Some('К')
    );
}

#[test]
fn endless_lists_are_cut() {
    let items: Vec<Value> = (0..500)
        .map(|_| json!({ "product_retailer_id": "S" }))
        .collect();
    let content = english(&json!({ "type": "order", "order": { "product_items": items } }));
    assert_eq!(content.text.lines().count(), 1 + LINES_LIMIT + 1);
    assert!(content.text.ends_with("… +440"));
}

/// A message of any type with the same hostile text in every place.
fn hostile_message(text: &str) -> impl Iterator<Item = Value> {
    let around = json!({
        "context": { "id": "w", "forwarded": true, "referred_product": { "product_retailer_id": text } },
        "referral": { "source_url": text, "headline": text, "body": text, "source_type": text },
        "errors": [{ "code": 1, "title": text, "error_data": { "details": text } }],
    });
    let file = json!({ "id": "1", "caption": text, "filename": text, "mime_type": text });
    let bare = json!({ "id": "1", "filename": text, "mime_type": text });
    let bodies = [
        json!({ "type": "text", "text": { "body": text } }),
        json!({ "type": "image", "image": file }),
        json!({ "type": "document", "document": bare }),
        json!({ "type": "location", "location": { "latitude": 1, "longitude": 2, "name": text, "address": text, "url": text } }),
        json!({ "type": "contacts", "contacts": [{ "name": { "formatted_name": text }, "phones": [{ "phone": text }], "emails": [{ "email": text }], "org": { "company": text }, "birthday": text }] }),
        json!({ "type": "interactive", "interactive": { "type": "button_reply", "button_reply": { "id": text, "title": text } } }),
        json!({ "type": "interactive", "interactive": { "type": "list_reply", "list_reply": { "title": text, "description": text } } }),
        json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": { "body": text, "response_json": json!({ "a": text, text: [text] }).to_string() } } }),
        json!({ "type": "interactive", "interactive": { "type": text } }),
        json!({ "type": "button", "button": { "text": text } }),
        json!({ "type": "order", "order": { "text": text, "product_items": [{ "product_retailer_id": text, "item_price": 1, "currency": text }] } }),
        json!({ "type": "reaction", "reaction": { "message_id": "w", "emoji": text } }),
        json!({ "type": "system", "system": { "type": text, "body": text } }),
        json!({ "type": "system", "system": { "type": "user_changed_number", "wa_id": text } }),
        json!({ "type": "edit", "edit": { "original_message_id": "w", "message": { "type": "text", "text": { "body": text } } } }),
        json!({ "type": "unsupported", "unsupported": { "type": text } }),
        json!({ "type": text }),
    ];
    bodies.into_iter().map(move |mut body| {
        body.as_object_mut()
            .unwrap()
            .extend(around.as_object().unwrap().clone());
        body
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_customer_text_is_markup(text in hostile()) {
        let quoted = quoted(&text);
        for part in hostile_message(&text) {
            let content = content(&part, Some(&quoted), Language::English);
            prop_assert!(only_marks(&content.markup), "{part}: {:?}", content.markup);
            let rest = content.markup.lines().skip_while(|line| !line.starts_with(">>")).skip_while(|line| line.starts_with(">>"));
            for line in rest {
                prop_assert!(!line.trim_start().starts_with(">>") && !line.trim_start().starts_with("------"), "{line:?}");
            }
            if let Some(file) = content.file {
                prop_assert!(tags(&file.name).is_empty() && file.name.chars().count() <= 50);
            }
        }
    }

    #[test]
    fn no_message_is_too_strange(parts in prop::collection::vec(any_json(), 0..3), noise in any_json()) {
        let value = values(&Value::Array(parts), &noise);
        for message in value.messages.iter().filter_map(|message| message.as_ref().ok()) {
            let _ = (referred(message), read(message, None, &value.errors, Language::Russian));
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let kinds = vec![
        "text",
        "image",
        "audio",
        "document",
        "sticker",
        "location",
        "contacts",
        "interactive",
        "button",
        "order",
        "reaction",
        "system",
        "edit",
        "revoke",
        "unsupported",
        "nfm_reply",
        "list_reply",
        "user_changed_number",
    ];
    let keys = [
        "id",
        "type",
        "body",
        "title",
        "caption",
        "message",
        "original_message_id",
        "message_id",
        "emoji",
        "product_items",
        "item_price",
        "quantity",
        "latitude",
        "longitude",
        "response_json",
        "name",
        "phones",
        "context",
        "referral",
        "errors",
    ];
    let keys = prop::sample::select(kinds.iter().copied().chain(keys).collect::<Vec<_>>());
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        prop::sample::select(kinds).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..8).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}
