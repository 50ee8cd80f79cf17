#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::message::{InteractiveReply, SystemKind};
use super::*;

fn change(field: &str, value: &Value) -> Value {
    json!({ "object": "whatsapp_business_account", "entry": [{ "id": "108", "changes": [{ "field": field, "value": value }] }] })
}

fn messages_value(value: &Value) -> MessagesValue {
    let callback = parse(change("messages", value).to_string().as_bytes()).unwrap();
    let [change] = callback.changes.as_slice() else {
        panic!("one change")
    };
    assert_eq!(change.value.to_value(), *value);
    let ChangeKind::Messages(value) = change.kind.clone() else {
        panic!("messages")
    };
    value
}

/// A message with an id and a sender around the given part.
fn message(part: &Value) -> Message {
    let mut whole = json!({ "id": "wamid.A", "from": "4915755509876", "from_user_id": "DE.7Kq2", "timestamp": "1795400123" });
    whole
        .as_object_mut()
        .unwrap()
        .extend(part.as_object().unwrap().clone());
    messages_value(&json!({ "messages": [whole] }))
        .messages
        .remove(0)
        .unwrap()
}

#[test]
fn reads_the_whole_way_down() {
    let value = messages_value(&json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "4915755501234", "phone_number_id": 209_300_000_000_002_u64 },
        "contacts": [
            { "profile": { "name": "Other" }, "wa_id": "1", "user_id": "DE.other" },
            { "profile": { "name": "Lena K.", "username": "@lena.k" }, "wa_id": "4915755509876", "user_id": "DE.7Kq2" },
        ],
        "messages": [{
            "from": "4915755509876", "from_user_id": "DE.7Kq2", "id": "wamid.A", "timestamp": "1795400123",
            "type": "text", "text": { "body": "Guten Tag 👋" },
            "context": { "from": "49", "id": "wamid.OUT", "forwarded": true,
                "referred_product": { "catalog_id": "3", "product_retailer_id": "SKU-7" } },
            "referral": { "source_url": "https://fb.me/x", "source_type": "ad", "headline": "Sale", "body": "-20 %",
                "welcome_message": { "text": "Hallo!" } },
        }],
    }));
    assert_eq!(value.phone_number_id.as_deref(), Some("209300000000002"));
    let message = value.messages[0].clone().unwrap();
    assert_eq!(message.timestamp, Some(1_795_400_123));
    assert_eq!(message.body, MessageBody::Text("Guten Tag 👋".to_owned()));
    let context = message.context.clone().unwrap();
    assert_eq!(context.id.as_deref(), Some("wamid.OUT"));
    assert!(context.forwarded && !context.frequently_forwarded);
    assert_eq!(
        context
            .referred_product
            .unwrap()
            .product_retailer_id
            .as_deref(),
        Some("SKU-7")
    );
    assert_eq!(
        message.referral.clone().unwrap().welcome_message.as_deref(),
        Some("Hallo!")
    );
    let contact = value.contact_for(&message).unwrap();
    assert_eq!(
        (contact.name.as_deref(), contact.username.as_deref()),
        (Some("Lena K."), Some("lena.k"))
    );
}

#[test]
fn contacts_are_found_by_id_and_never_by_place() {
    let value = |contact: Value, sender: Value| {
        messages_value(&json!({ "contacts": [contact], "messages": [sender] }))
    };
    for (contact, sender, found) in [
        (
            json!({ "user_id": "DE.a" }),
            json!({ "id": "m", "from_user_id": "DE.a" }),
            true,
        ),
        (
            json!({ "wa_id": "49" }),
            json!({ "id": "m", "from": "49" }),
            true,
        ),
        (
            json!({ "wa_id": "49", "user_id": "DE.a" }),
            json!({ "id": "m", "from": "49", "from_user_id": "DE.b" }),
            true,
        ),
        (
            json!({ "user_id": "DE.b" }),
            json!({ "id": "m", "from_user_id": "DE.a" }),
            false,
        ),
        (
            json!({ "profile": { "name": "X" } }),
            json!({ "id": "m" }),
            false,
        ),
    ] {
        let value = value(contact, sender);
        assert_eq!(
            value
                .contact_for(value.messages[0].as_ref().unwrap())
                .is_some(),
            found
        );
    }
}

#[test]
fn files_are_read() {
    for (kind, extra) in [
        ("image", json!({ "caption": "Schrank" })),
        ("video", json!({})),
        ("audio", json!({ "voice": true })),
        (
            "document",
            json!({ "filename": "Angebot 12.pdf", "caption": "bitte" }),
        ),
        ("sticker", json!({ "animated": true })),
    ] {
        let mut file =
            json!({ "id": 771, "mime_type": "a/b; c=d", "sha256": "b64=", "url": "https://x" });
        file.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let message = message(&json!({ "type": kind, kind: file }));
        let media = message.media().unwrap();
        assert_eq!(
            (media.id.as_str(), media.mime_type.as_deref()),
            ("771", Some("a/b; c=d"))
        );
        assert_eq!(
            media.caption.as_deref(),
            extra.get("caption").and_then(Value::as_str)
        );
        match (&message.body, kind) {
            (MessageBody::Image(_), "image") | (MessageBody::Video(_), "video") => {}
            (MessageBody::Audio { voice: true, .. }, "audio") => {}
            (MessageBody::Sticker { animated: true, .. }, "sticker") => {}
            (MessageBody::Document(media), "document") => {
                assert_eq!(media.filename.as_deref(), Some("Angebot 12.pdf"));
            }
            (body, kind) => panic!("{kind}: {body:?}"),
        }
    }
}

#[test]
fn every_other_type_is_read() {
    type Check = fn(&MessageBody) -> bool;
    let cases: Vec<(Value, Check)> = vec![
        (
            json!({ "type": "location", "location": { "latitude": "52.5", "longitude": 13.4, "name": "Turm" } }),
            |body| matches!(body, MessageBody::Location(place) if place.latitude.to_string() == "52.5" && place.name.as_deref() == Some("Turm")),
        ),
        (
            json!({ "type": "contacts", "contacts": [
                { "name": { "formatted_name": "Max Muster" }, "phones": [{ "phone": "+49", "wa_id": "49" }],
                  "emails": [{ "email": "m@example.org" }], "org": { "company": "Muster GmbH" } },
                { "origin": "contact_request", "phones": [{ "phone": "+49 1" }] },
            ] }),
            |body| {
                matches!(body, MessageBody::Contacts(cards) if cards.len() == 2 && cards[1].requested && !cards[0].requested
                && cards[0].organization.as_deref() == Some("Muster GmbH") && cards[0].emails == ["m@example.org"])
            },
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "button_reply", "button_reply": { "id": "yes", "title": "Ja" } } }),
            |body| matches!(body, MessageBody::Interactive(InteractiveReply::Button { id, title }) if id == "yes" && title == "Ja"),
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "list_reply", "list_reply": { "id": "s", "title": "Di", "description": "Mitte" } } }),
            |body| matches!(body, MessageBody::Interactive(InteractiveReply::List { description, .. }) if description.as_deref() == Some("Mitte")),
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": { "name": "flow", "body": "Sent", "response_json": "{\"rating\":\"4\"}" } } }),
            |body| matches!(body, MessageBody::Interactive(InteractiveReply::Form { response_json, .. }) if response_json.as_deref() == Some("{\"rating\":\"4\"}")),
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "nfm_reply", "nfm_reply": { "response_json": { "rating": 4 } } } }),
            |body| matches!(body, MessageBody::Interactive(InteractiveReply::Form { response_json, .. }) if response_json.as_deref() == Some("{\"rating\":4}")),
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "call_permission_reply", "call_permission_reply": { "response": "accept", "is_permanent": false, "expiration_timestamp": 1_796_004_923 } } }),
            |body| {
                matches!(
                    body,
                    MessageBody::Interactive(InteractiveReply::CallPermission {
                        expires: Some(1_796_004_923),
                        ..
                    })
                )
            },
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "product_share", "product_share": {} } }),
            |body| matches!(body, MessageBody::Interactive(InteractiveReply::Unknown { kind, .. }) if kind == "product_share"),
        ),
        (json!({ "type": "interactive" }), |body| {
            matches!(body, MessageBody::Interactive(InteractiveReply::Missing))
        }),
        (
            json!({ "type": "interactive", "interactive": null }),
            |body| matches!(body, MessageBody::Interactive(InteractiveReply::Missing)),
        ),
        (
            json!({ "type": "button", "button": { "payload": "STOP", "text": "Abmelden" } }),
            |body| matches!(body, MessageBody::Button { text, .. } if text == "Abmelden"),
        ),
        (
            json!({ "type": "order", "order": { "catalog_id": 3543, "text": "", "product_items": [{ "product_retailer_id": "SKU-7", "quantity": "2", "item_price": 19.9, "currency": "EUR" }] } }),
            |body| matches!(body, MessageBody::Order(order) if order.text.is_none() && order.items[0].quantity == Some(2.0) && order.items[0].item_price == Some(19.9)),
        ),
        (
            json!({ "type": "reaction", "reaction": { "message_id": "wamid.O", "emoji": "👍" } }),
            |body| matches!(body, MessageBody::Reaction { emoji: Some(_), .. }),
        ),
        (
            json!({ "type": "reaction", "reaction": { "message_id": "wamid.O" } }),
            |body| matches!(body, MessageBody::Reaction { emoji: None, .. }),
        ),
        (
            json!({ "type": "reaction", "reaction": { "message_id": "wamid.O", "emoji": "" } }),
            |body| matches!(body, MessageBody::Reaction { emoji: None, .. }),
        ),
        (
            json!({ "type": "system", "system": { "type": "user_changed_number", "body": "…", "wa_id": "4977", "user_id": "DE.N", "previous_user_id": "DE.O" } }),
            |body| matches!(body, MessageBody::System(system) if system.kind == SystemKind::ChangedNumber && system.wa_id.as_deref() == Some("4977")),
        ),
        (
            json!({ "type": "system", "system": { "type": "user_changed_user_id", "user_id": "DE.N" } }),
            |body| matches!(body, MessageBody::System(system) if system.kind == SystemKind::ChangedUserId),
        ),
        (
            json!({ "type": "system", "system": { "type": "customer_identity_changed" } }),
            |body| matches!(body, MessageBody::System(system) if system.kind == SystemKind::ChangedIdentity),
        ),
        (
            json!({ "type": "system", "system": { "type": "moon_phase" } }),
            |body| matches!(body, MessageBody::System(system) if system.kind == SystemKind::Unknown("moon_phase".to_owned())),
        ),
        (
            json!({ "type": "edit", "edit": { "original_message_id": "wamid.IN1", "message": { "type": "text", "text": { "body": "Neu" } } } }),
            |body| matches!(body, MessageBody::Edit { original_message_id, body, kind } if original_message_id == "wamid.IN1" && kind == "text" && **body == MessageBody::Text("Neu".to_owned())),
        ),
        (
            json!({ "type": "revoke", "revoke": { "original_message_id": "wamid.IN1" } }),
            |body| matches!(body, MessageBody::Revoke { .. }),
        ),
        (json!({ "type": "request_welcome" }), |body| {
            matches!(body, MessageBody::RequestWelcome)
        }),
        (
            json!({ "type": "unsupported", "unsupported": { "type": "poll_update" } }),
            |body| matches!(body, MessageBody::Unsupported { kind: Some(kind), .. } if kind == "poll_update"),
        ),
        (json!({ "type": "unsupported" }), |body| {
            matches!(body, MessageBody::Unsupported { kind: None, .. })
        }),
        (json!({ "type": "unknown" }), |body| {
            matches!(body, MessageBody::Unknown { .. })
        }),
        (
            json!({ "type": "hologram", "hologram": { "id": "1" } }),
            |body| matches!(body, MessageBody::Unknown { .. }),
        ),
        (json!({ "type": "image", "image": {} }), |body| {
            matches!(body, MessageBody::Unknown { .. })
        }),
        (json!({ "type": "text", "text": "no object" }), |body| {
            matches!(body, MessageBody::Unknown { .. })
        }),
        (
            json!({}),
            |body| matches!(body, MessageBody::Unknown { raw } if raw.as_str().contains("wamid.A")),
        ),
    ];
    for (part, good) in cases {
        let message = message(&part);
        assert!(good(&message.body), "{part}: {:?}", message.body);
        assert_eq!(
            message.kind,
            part.get("type").and_then(Value::as_str).unwrap_or_default()
        );
    }
}

#[test]
fn errors_come_with_messages_and_values() {
    let errors = json!([{ "code": 131_051, "title": "Message type unknown", "error_data": { "details": "d" } }]);
    let message = message(&json!({ "type": "unsupported", "errors": errors }));
    assert_eq!(
        (message.errors[0].code, message.errors[0].details.as_deref()),
        (Some(131_051), Some("d"))
    );
    assert_eq!(messages_value(&json!({ "errors": errors })).errors.len(), 1);
}

#[test]
fn statuses_are_read() {
    let value = messages_value(&json!({ "statuses": [
        { "id": "wamid.1", "status": "sent", "timestamp": "1795400200", "recipient_id": "49", "recipient_user_id": "DE.7",
          "biz_opaque_callback_data": "row", "pricing": { "billable": true } },
        { "id": "wamid.2", "status": "failed", "errors": [{ "code": 131_047, "title": "Re-engagement message" }] },
        { "id": "wamid.3", "status": "warning", "parent_recipient_user_id": "DE.ENT.1" },
    ] }));
    let statuses: Vec<Status> = value.statuses.into_iter().map(Result::unwrap).collect();
    assert_eq!(statuses[0].biz_opaque_callback_data.as_deref(), Some("row"));
    assert_eq!(statuses[0].pricing, Some(json!({ "billable": true })));
    assert_eq!(
        (&statuses[1].status, statuses[1].errors[0].code),
        (&DeliveryStatus::Failed, Some(131_047))
    );
    assert_eq!(
        statuses[2].status,
        DeliveryStatus::Unknown("warning".to_owned())
    );
    assert_eq!(
        statuses[2].recipient_parent_user_id.as_deref(),
        Some("DE.ENT.1")
    );
}

#[test]
fn the_highest_rank_is_the_truth_in_any_order() {
    for (names, wanted) in [
        (["sent", "delivered", "read"], "read"),
        (["read", "sent", "delivered"], "read"),
        (["failed", "sent", "sent"], "failed"),
        (["failed", "delivered", "sent"], "delivered"),
        (["read", "failed", "played"], "played"),
        (["warning", "deleted", "sent"], "sent"),
    ] {
        let highest = names
            .map(DeliveryStatus::from_name)
            .into_iter()
            .max_by_key(DeliveryStatus::rank)
            .unwrap();
        assert_eq!(highest.name(), wanted, "{names:?}");
    }
}

#[test]
fn echoes_name_the_recipient() {
    let value = json!({ "metadata": { "phone_number_id": "209" }, "message_echoes": [
        { "from": "4915755501234", "to": "4915755509876", "to_user_id": "DE.7", "id": "wamid.APP1", "type": "text", "text": { "body": "vom Handy" } },
    ] });
    let callback = parse(change("smb_message_echoes", &value).to_string().as_bytes()).unwrap();
    let ChangeKind::Echoes(value) = &callback.changes[0].kind else {
        panic!("echoes")
    };
    let echo = value.messages[0].as_ref().unwrap();
    assert_eq!(
        (echo.to.as_deref(), echo.to_user_id.as_deref()),
        (Some("4915755509876"), Some("DE.7"))
    );
}

#[test]
fn a_bad_element_takes_no_other_along() {
    let good = json!({ "id": "wamid.G", "type": "text", "text": { "body": "good" } });
    let value = messages_value(&json!({
        "metadata": "text", "contacts": [7, { "wa_id": "49" }],
        "messages": [good, 5, null, { "type": "text" }, good],
        "statuses": [{ "id": "wamid.1" }, { "status": "sent" }, "x", { "id": "wamid.2", "status": "sent" }],
    }));
    assert_eq!(
        value.messages.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, false, false, true]
    );
    assert_eq!(
        value.statuses.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    assert_eq!(value.contacts.len(), 1);
    let bad = value.messages[3].as_ref().unwrap_err();
    assert_eq!(
        (bad.raw.as_str(), bad.why.as_str()),
        (r#"{"type":"text"}"#, "no id")
    );

    let body = json!({ "entry": [
        3,
        { "id": "0", "changes": [{ "value": {} }, { "field": "messages", "value": [] }, { "field": "messages", "value": { "messages": good } }] },
        { "id": 108, "time": 1_795_400_000, "changes": [{ "field": "account_update", "value": { "event": "ACCOUNT_DELETED" } }] },
    ] });
    let callback = parse(body.to_string().as_bytes()).unwrap();
    assert_eq!((callback.bad.len(), callback.changes.len()), (3, 2));
    assert!(
        matches!(&callback.changes[0].kind, ChangeKind::Messages(value) if value.messages.len() == 1)
    );
    let other = &callback.changes[1];
    assert_eq!(
        (other.entry_id.as_str(), other.time),
        ("108", Some(1_795_400_000))
    );
    assert!(matches!(&other.kind, ChangeKind::Account(news) if news.event == "ACCOUNT_DELETED"));
    assert_eq!(other.value.as_str(), r#"{"event":"ACCOUNT_DELETED"}"#);
}

#[test]
fn bodies_that_are_no_callback_are_not_understood() {
    for body in [
        "",
        "x",
        "[]",
        "7",
        "{}",
        r#"{"entry":null}"#,
        r#"{"entry":[{"#,
        "\u{0}",
    ] {
        assert!(parse(body.as_bytes()).is_err(), "{body:?}");
    }
}

#[test]
fn half_emoji_and_broken_utf8_are_read_around() {
    let body = r#"{"entry":[{"id":"1","changes":[{"field":"messages","value":{"messages":[{"id":"m","type":"text","text":{"body":"a\ud83d \/ \u00fc"}}]}}]}]}"#;
    for (body, wanted) in [
        (body.as_bytes().to_vec(), "a\u{fffd} / ü"),
        (
            body.replace("\\ud83d", "@")
                .bytes()
                .map(|byte| if byte == b'@' { 0xFF } else { byte })
                .collect(),
            "a\u{fffd} / ü",
        ),
    ] {
        let callback = parse(&body).unwrap();
        let ChangeKind::Messages(value) = &callback.changes[0].kind else {
            panic!("messages")
        };
        assert_eq!(
            value.messages[0].as_ref().unwrap().body,
            MessageBody::Text(wanted.to_owned())
        );
    }
}

#[test]
fn depth_is_not_the_senders_choice() {
    let deep = format!(
        "{}{}",
        r#"{"id":"m","type":"edit","edit":{"original_message_id":"o","message":"#.repeat(20_000),
        "}}".repeat(20_000)
    );
    let body = format!(
        r#"{{"entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messages":[{deep}]}}}}]}}]}}"#
    );
    let body = body.replace(r#""message":}}"#, r#""message":1}}"#);
    let callback = parse(body.as_bytes()).unwrap();
    let ChangeKind::Messages(value) = &callback.changes[0].kind else {
        panic!("messages")
    };
    let MessageBody::Edit { body, .. } = &value.messages[0].as_ref().unwrap().body else {
        panic!("edit")
    };
    assert!(matches!(**body, MessageBody::Unknown { .. }));
}

#[test]
fn the_handshake_answers_its_own_token_only() {
    assert_eq!(
        handshake("subscribe", "V", "1158201444", "V"),
        Some("1158201444")
    );
    assert_eq!(handshake("subscribe", "W", "1158201444", "V"), None);
    assert_eq!(handshake("unsubscribe", "V", "1158201444", "V"), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = prop::sample::select(vec![
        "id",
        "type",
        "text",
        "body",
        "image",
        "from",
        "context",
        "system",
        "edit",
        "message",
        "order",
        "product_items",
        "contacts",
        "interactive",
        "reaction",
        "errors",
        "referral",
        "profile",
        "name",
        "status",
        "metadata",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "text",
            "image",
            "edit",
            "interactive",
            "system",
            "order",
            "contacts"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(keys.clone(), inner, 0..6).prop_map(|map| map
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_is_too_strange(noise in any_json(), list in prop::collection::vec(any_json(), 0..4)) {
        let count = list.len();
        let value = json!({ "contacts": noise, "messages": list, "statuses": list, "errors": noise, "metadata": noise });
        for field in ["messages", "smb_message_echoes"] {
            let callback = parse(change(field, &value).to_string().as_bytes()).unwrap();
            if let ChangeKind::Messages(value) = &callback.changes[0].kind {
                prop_assert_eq!((value.messages.len(), value.statuses.len()), (count, count));
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&body);
    }

    #[test]
    fn no_truncation_makes_it_panic(cut in 0_usize..164) {
        let body = br#"{"object":"whatsapp_business_account","entry":[{"id":"108200000000001","changes":[{"value":{"text":"Gr\u00fc\u00dfe \ud83d\udc4b a\/b <&@>"},"field":"messages"}]}]}"#;
        prop_assert!(parse(&body[..cut]).is_err());
    }
}
