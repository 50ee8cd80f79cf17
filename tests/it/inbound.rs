//! What the operator sees of everything that a customer can send.

use sandbox::{
    graph::{Customer, Fault, Times, part},
    portal::{Author, Message},
};
use serde_json::{Value, json};

use crate::world::{Options, World, lena};

/// The business number, as Meta names it in quotes.
const BUSINESS: &str = "4915755501234";

/// A message's text line by line, whichever way the portal breaks it.
fn lines(message: &Message) -> Vec<String> {
    let text = message.text.replace("[br]", "\n");
    text.lines().map(str::to_owned).collect()
}

/// Sends each part and compares what the operator sees, line by line.
async fn shows(world: &World, customer: &Customer, cases: Vec<(Value, &[&str])>) {
    for (part, expected) in cases {
        let wamid = world.customer_sends(customer, part.clone());
        let message = world.bubble(&wamid).await;
        assert_eq!(message.author, Author::Customer, "{part}");
        assert_eq!(lines(&message), expected, "{part}");
    }
}

/// What is kept among the events because it was not understood.
async fn not_understood(world: &World, count: usize) -> Vec<Value> {
    let path = "events?state=not_understood";
    let kept = world
        .api
        .until(path, |list| {
            list["items"].as_array().unwrap().len() >= count
        })
        .await;
    let mut events = Vec::new();
    for event in kept["items"].as_array().unwrap() {
        let path = format!("events/{}", event["id"].as_str().unwrap());
        events.push(world.api.get(&path).await);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_arrives_with_its_bytes_its_name_and_its_caption() {
    let world = World::start().await;
    let jpeg = b"\xFF\xD8\xFF\xE0 a photo".as_slice();
    let mut sent = Vec::new();
    for (kind, mime, caption, filename, text, name) in [
        (
            "image",
            "image/jpeg",
            Some("Der *Schrank*"),
            None,
            "Der [b]Schrank[/b]",
            "photo.jpg",
        ),
        ("image", "image/png", None, None, "Photo", "photo.png"),
        (
            "video",
            "video/mp4",
            Some("Schau"),
            None,
            "Schau",
            "video.mp4",
        ),
        (
            "voice",
            "audio/ogg; codecs=opus",
            None,
            None,
            "Voice message",
            "voice.ogg",
        ),
        ("audio", "audio/mpeg", None, None, "Audio", "audio.mp3"),
        (
            "document",
            "application/pdf",
            Some("bitte prüfen"),
            Some("Angebot 12.pdf"),
            "bitte prüfen",
            "Angebot 12.pdf",
        ),
        (
            "document",
            "application/pdf",
            None,
            Some("Plan.pdf"),
            "Document: Plan.pdf",
            "Plan.pdf",
        ),
        (
            "sticker",
            "image/webp",
            None,
            None,
            "Sticker",
            "sticker.webp",
        ),
    ] {
        let bytes = [jpeg, name.as_bytes(), text.as_bytes()].concat();
        let part = world
            .graph
            .media(kind, bytes.clone(), mime, caption, filename);
        let wamid = world.customer_sends(&lena(), part);
        sent.push((wamid, bytes, text, name));
    }
    let mut shown = Vec::new();
    for (wamid, bytes, text, name) in &sent {
        let message = world.bubble(wamid).await;
        assert_eq!(&message.text, text);
        let [file] = message.files.as_slice() else {
            panic!("{name} came without its file: {message:#?}");
        };
        assert_eq!(&file.name, name);
        let fetched = world.portal.file_bytes(file.id).unwrap();
        assert_eq!(fetched, bytes.as_slice(), "{name}");
        shown.push(message.id);
    }
    assert!(shown.is_sorted(), "files overtook each other: {shown:?}");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_and_contact_cards_are_spelled_out() {
    let world = World::start().await;
    let card = json!({ "type": "contacts", "contacts": [{
        "name": { "formatted_name": "Max Muster", "first_name": "Max", "last_name": "Muster" },
        "phones": [{ "phone": "+49 1575 5500001", "wa_id": "4915755500001", "type": "CELL" }],
        "emails": [{ "email": "m@example.org", "type": "WORK" }],
        "org": { "company": "Muster GmbH" },
    }] });
    let own = json!({ "type": "contacts", "contacts": [{
        "origin": "contact_request",
        "phones": [{ "phone": "+49 1575 5509876", "wa_id": "4915755509876" }],
    }] });
    shows(
        &world,
        &lena(),
        vec![
            (
                part::location(52.5208, 13.4095, "Fernsehturm", "Panoramastr. 1A, Berlin"),
                &[
                    "Location: Fernsehturm",
                    "Panoramastr. 1A, Berlin",
                    "52.5208, 13.4095",
                    "https://maps.google.com/?q=52.5208,13.4095",
                ],
            ),
            (
                json!({ "type": "location", "location": { "latitude": "52.5", "longitude": 13 } }),
                &["Location", "52.5, 13", "https://maps.google.com/?q=52.5,13"],
            ),
            (
                card,
                &[
                    "Contact: Max Muster",
                    "Muster GmbH",
                    "+49 1575 5500001",
                    "m@example.org",
                ],
            ),
            (own, &["Phone number given on request", "+49 1575 5509876"]),
        ],
    )
    .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_by_button_list_form_and_order_are_readable() {
    let world = World::start().await;
    let form = |name: &str, response: &str| {
        json!({ "type": "interactive", "interactive": {
            "type": "nfm_reply",
            "nfm_reply": { "name": name, "body": "Sent", "response_json": response },
        } })
    };
    let calls = |response: &str, permanent: bool| {
        json!({ "type": "interactive", "interactive": {
            "type": "call_permission_reply",
            "call_permission_reply": { "response": response, "is_permanent": permanent },
        } })
    };
    let order = json!({ "type": "order", "order": {
        "catalog_id": "354300000000001",
        "text": "bis Freitag",
        "product_items": [
            { "product_retailer_id": "SKU-7", "quantity": 2, "item_price": 19.9, "currency": "EUR" },
            { "product_retailer_id": "SKU-8", "quantity": "1", "item_price": "5", "currency": "EUR" },
        ],
    } });
    shows(
        &world,
        &lena(),
        vec![
            (part::button_reply("yes-42", "Ja"), &["Button pressed: Ja"]),
            (
                part::list_reply("slot-3", "Di 14:00", "Filiale Mitte"),
                &["Chosen from the list: Di 14:00 — Filiale Mitte"],
            ),
            (
                form("flow", r#"{"flow_token":"t-9","rating":"4"}"#),
                &["Form filled in", "rating: 4"],
            ),
            (
                form(
                    "address_message",
                    r#"{"saved_address_id":"1","values":{"in_pin_code":"400063"}}"#,
                ),
                &["Address", "in_pin_code: 400063"],
            ),
            (
                calls("accept", false),
                &["The customer allows calls for some days"],
            ),
            (
                calls("reject", false),
                &["The customer does not want to be called"],
            ),
            (
                part::template_button("STOP-promo", "Abmelden"),
                &["Button pressed: Abmelden"],
            ),
            (
                order,
                &[
                    "Order:",
                    "2 × SKU-7 — 19.90 EUR",
                    "1 × SKU-8 — 5.00 EUR",
                    "Total: 44.80 EUR",
                    "bis Freitag",
                ],
            ),
            (
                part::from_ad(part::text("Mehr Infos?"), "Sommer-Sale"),
                &[
                    "From an advertisement: Sommer-Sale — Only this week",
                    "https://fb.me/sandbox",
                    "Mehr Infos?",
                ],
            ),
        ],
    )
    .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_whatsapp_or_we_do_not_understand_is_labelled_and_kept() {
    let world = World::start().await;
    let unknown = "The customer sent a message of a kind that is not known here yet. It is visible on the phone only.";
    let unsupported = "The customer sent something that WhatsApp does not pass on to businesses. Ask them to send it \
                       as text, photo or file.";
    for (part, label) in [
        (
            part::unsupported("poll_update"),
            format!("{unsupported} (poll_update)"),
        ),
        (
            json!({ "type": "hologram", "hologram": { "depth": 3 } }),
            format!("{unknown} (hologram)"),
        ),
        (
            json!({ "type": "interactive", "interactive": { "type": "product_reply", "product_reply": {} } }),
            format!("{unknown} (product_reply)"),
        ),
    ] {
        let kind = part["type"].as_str().unwrap().to_owned();
        let wamid = world.customer_sends(&lena(), part);
        assert_eq!(lines(&world.bubble(&wamid).await)[0], label);
        let found = not_understood(&world, 1).await;
        let raw = found.iter().find(|event| {
            event["body"]["entry"][0]["changes"][0]["value"]["messages"][0]["type"] == kind.as_str()
        });
        let raw = raw.unwrap_or_else(|| panic!("{kind} is not among the events: {found:#?}"));
        assert_eq!(raw["source"], "meta");
    }
    // An answer without its content, explained beside it.
    world
        .webhook(&[world.value(json!({
            "contacts": [{ "profile": { "name": "Lena" }, "wa_id": "4915755509876" }],
            "messages": [{
                "from": "4915755509876", "id": "wamid.EMPTY", "timestamp": "1795400123", "type": "interactive",
            }],
            "errors": [{ "code": 131_000, "title": "Something went wrong" }],
        }))])
        .await;
    let message = world.bubble("wamid.EMPTY").await;
    assert!(
        message
            .text
            .starts_with("The customer answered, but WhatsApp did not pass the answer on."),
        "{}",
        message.text
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_name_what_they_were_put_on() {
    let world = World::start().await;
    let own = world.customer_says(&lena(), "Passt das?");
    let chat = world.operator_sees_text("Passt das?").await;
    world.operator_says(&chat, "Ja, gern");
    let ours = world.customer_receives(&lena(), 1).await[0].wamid.clone();
    shows(
        &world,
        &lena(),
        vec![
            (part::reaction(&ours, "👍"), &["👍 on: «Ja, gern»"]),
            (
                part::reaction_removed(&ours),
                &["Reaction removed from: «Ja, gern»"],
            ),
            (part::reaction(&own, "😅"), &["😅 on: «Passt das?»"]),
            (
                part::reaction("wamid.OLDER", "❤️"),
                &["❤️ on: an earlier message"],
            ),
            (
                json!({ "type": "reaction", "reaction": { "message_id": own, "emoji": "" } }),
                &["Reaction removed from: «Passt das?»"],
            ),
        ],
    )
    .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_message_changes_and_a_revoked_one_is_deleted() {
    let world = World::start().await;
    let wamid = world.customer_says(&lena(), "Gutten Tag");
    let first = world.bubble(&wamid).await;
    world.customer_sends(&lena(), part::edit(&wamid, "Guten *Tag*"));
    world
        .operator_sees("the edited text", |chat| {
            chat.messages
                .iter()
                .any(|message| message.id == first.id && message.edited)
        })
        .await;
    assert_eq!(world.bubble(&wamid).await.text, "Guten [b]Tag[/b]");
    world.customer_sends(&lena(), part::revoke(&wamid));
    let chat = world
        .operator_sees("the deletion", |chat| {
            chat.messages
                .iter()
                .any(|message| message.id == first.id && message.deleted)
        })
        .await;
    assert_eq!(chat.messages.len(), 1, "{:#?}", chat.messages);

    // What was edited or taken back before we were there.
    world.customer_sends(&lena(), part::edit("wamid.OLDER", "Noch da?"));
    assert_eq!(world.bubble("wamid.OLDER").await.text, "Noch da?");
    let nothing = world.customer_sends(&lena(), part::revoke("wamid.OLDEST"));
    world.message_is(&nothing, "delivered").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_message_is_known_by_its_new_words() {
    let world = World::start().await;
    let wamid = world.customer_says(&lena(), "Zwei Stuehle bitte");
    world.bubble(&wamid).await;
    world.customer_sends(&lena(), part::edit(&wamid, "Drei Stühle bitte"));
    let chat = world.operator_sees_text("Drei Stühle").await;
    let reaction = world.customer_sends(&lena(), part::reaction(&wamid, "🙏"));
    assert_eq!(
        world.bubble(&reaction).await.text,
        "🙏 on: «Drei Stühle bitte»"
    );
    world
        .portal
        .operator_quotes(chat.messages[0].id, "Gern")
        .unwrap();
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["context"]["message_id"], wamid.as_str());
    world.ends_clean().await;
}

/// An edit as Meta sends it, written at a second of our choice.
fn edit_at(original: &str, words: &str, seconds: u64) -> Value {
    let mut message = part::edit(original, words);
    message["id"] = format!("wamid.EDIT{seconds}").into();
    message["timestamp"] = seconds.to_string().into();
    message["from"] = lena().phone.into();
    message
}

#[tokio::test(flavor = "multi_thread")]
async fn of_edits_in_the_wrong_order_the_one_written_last_stays() {
    let world = World::start().await;
    let wamid = world.customer_says(&lena(), "Zwei Stuehle");
    world.bubble(&wamid).await;
    // The second case: the edits overtake the message itself, which then adds nothing.
    for (original, hour) in [(wamid.as_str(), 1), ("wamid.OVERTAKEN", 2)] {
        for (words, second) in [("Vier Stühle", 20), ("Drei", 10)] {
            let edit = edit_at(original, words, 1_900_000_000 + hour * 3600 + second);
            let value = world.value(json!({ "messages": [edit] }));
            world.webhook(&[value]).await;
        }
        world.comes_to_rest().await;
        assert_eq!(world.bubble(original).await.text, "Vier Stühle");
        let message = world.message(original).await;
        assert_eq!(message["text"], "Vier Stühle", "{message:#}");
    }
    let late = world.message("wamid.EDIT1900003610").await;
    assert_eq!(late["journey"][3]["step"], "nothing to do", "{late:#}");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_whatsapp_itself_reports_is_a_note() {
    let world = World::start().await;
    world.customer_says(&lena(), "Hallo");
    let chat = world.operator_sees_text("Hallo").await;
    let number = world
        .graph
        .customer_changes_number(&world.number, &lena(), "4915755507777");
    let message = world.bubble(&number).await;
    assert_eq!(message.author, Author::System);
    assert_eq!(
        message.text,
        "The customer has a new phone number: +4915755507777. The conversation goes on here."
    );
    let renamed = Customer::with_phone("4915755507777").named("Lena Klein");
    let user_id = world.customer_sends(
        &renamed,
        json!({ "type": "system", "system": {
            "type": "user_changed_user_id", "body": "…", "user_id": "DE.NEW1", "previous_user_id": "DE.7Kq2mZ0aXw41",
        } }),
    );
    let message = world.bubble(&user_id).await;
    assert_eq!(message.author, Author::System);
    assert_eq!(
        message.text,
        "WhatsApp gave the customer a new id. The conversation goes on here."
    );
    let identity = world.customer_sends(
        &renamed,
        json!({
            "type": "system",
            "identity": { "acknowledged": true, "created_timestamp": "1795400000", "hash": "Ab3" },
            "system": { "type": "customer_identity_changed", "body": "User identity changed" },
        }),
    );
    let message = world.bubble(&identity).await;
    assert_eq!(message.author, Author::System);
    assert!(
        message
            .text
            .starts_with("The customer's security code has changed"),
        "{}",
        message.text
    );
    assert_eq!(message.chat_id, chat.id);
    assert_eq!(world.portal.chats().len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_shows_what_it_answers() {
    let world = World::start().await;
    let own = world.customer_says(&lena(), "Was kostet *das*?");
    let chat = world.operator_sees_text("Was kostet").await;
    world.operator_says(&chat, "Zehn Euro");
    let ours = world.customer_receives(&lena(), 1).await[0].wamid.clone();
    shows(
        &world,
        &lena(),
        vec![
            (
                part::answering(part::text("Gut"), &ours, BUSINESS),
                &[">>We wrote:", ">>Zehn Euro", "Gut"],
            ),
            (
                part::answering(part::text("Und das?"), &own, "4915755509876"),
                &[">>The customer wrote:", ">>Was kostet *das*?", "Und das?"],
            ),
            (
                part::answering(part::text("Wie damals"), "wamid.OLDER", BUSINESS),
                &["[i]In reply to an earlier message[/i]", "Wie damals"],
            ),
            (
                part::answering(part::button_reply("1", "Nehme ich"), &ours, BUSINESS),
                &[">>We wrote:", ">>Zehn Euro", "Button pressed: Nehme ich"],
            ),
            (
                part::forwarded(part::text("Witz")),
                &["[i]Forwarded[/i]", "Witz"],
            ),
        ],
    )
    .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_cannot_write_markup() {
    let world = World::start().await;
    let hostile = "[send=/quit]x[/send] [URL=https://evil.example]bank[/url] &#91;put=y] [ b]z[/b]\n\
                   >>Boss wrote:\n------------------------------------------------------\n[1] stays";
    let photo = |caption: &str| {
        world
            .graph
            .media("image", "bytes", "image/jpeg", Some(caption), None)
    };
    for part in [
        part::text(hostile),
        photo(hostile),
        part::location(1.0, 2.0, hostile, hostile),
        part::contact(hostile, "+1 555"),
        part::button_reply("1", hostile),
        part::from_ad(part::text(hostile), hostile),
        part::answering(
            part::text(hostile),
            &world.customer_says(&lena(), hostile),
            BUSINESS,
        ),
        part::order(hostile, 1, 1.0, "EUR"),
    ] {
        let wamid = world.customer_sends(&lena(), part.clone());
        let text = world.bubble(&wamid).await.text.to_lowercase();
        for tag in [
            "[send",
            "[/send",
            "[url",
            "[/url",
            "[put",
            "&#91;",
            "[ b]",
            "[b]",
            "------------",
        ] {
            assert!(!text.contains(tag), "{tag} in {text} from {part}");
        }
        assert!(!text.contains("\n>>boss"), "a forged quote in {text}");
    }
    let plain = world.customer_says(&lena(), "[1] stays, *bold* too, 2 < 3 & 4 > 1");
    assert_eq!(
        world.bubble(&plain).await.text,
        "[1] stays, [b]bold[/b] too, 2 < 3 & 4 > 1"
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_reach_the_portal_clean() {
    let world = World::start().await;
    for (index, (profile, shown)) in [
        ("👋 Lena 🌻 Klein2", "Lena Klein"),
        ("+49 1575 5500000", "Guest"),
        ("محمد علي", "محمد علي"),
        (
            "Wolfeschlegelsteinhausenbergerdorffwelchevoralternwarengewis",
            "Wolfeschlegelsteinhausenb",
        ),
        ("[b]Eve[/b]", "b Eve b"),
        ("", "Guest"),
    ]
    .into_iter()
    .enumerate()
    {
        let digits = format!("491575550010{index}");
        let customer = Customer::with_phone(&digits).named(profile);
        let wamid = world.customer_says(&customer, "Hallo");
        let message = world.bubble(&wamid).await;
        let chat = world.portal.chat(message.chat_id).unwrap();
        assert_eq!(chat.user_name, shown, "{profile:?}");
        assert_eq!(chat.user_phone, Some(format!("+{digits}")));
    }
    let hidden = Customer::hidden("DE.4Hc9rT6bPn20", "Max Winter");
    let wamid = world.customer_says(&hidden, "Hallo");
    let message = world.bubble(&wamid).await;
    let chat = world.portal.chat(message.chat_id).unwrap();
    assert_eq!(chat.user_name, "Max Winter");
    assert_eq!(chat.user_phone, None);
    assert_eq!(world.portal.counters().failed_items, 0);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_large_batch_with_one_bad_element_everything_else_arrives_once_and_in_order() {
    let world = World::start().await;
    let mut entries = Vec::new();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); 3];
    for entry in 0..3 {
        let mut changes = Vec::new();
        for change in 0..3 {
            let mut messages = Vec::new();
            for (customer, texts) in expected.iter_mut().enumerate() {
                let digits = format!("491575550020{customer}");
                let text = format!("Nachricht {entry}.{change}.{customer}");
                if (entry, change, customer) == (1, 1, 1) {
                    messages
                        .push(json!({ "from": digits, "type": "text", "text": { "body": text } }));
                    continue;
                }
                messages.push(json!({
                    "from": digits, "id": format!("wamid.BATCH{entry}{change}{customer}"), "timestamp": "1795400123",
                    "type": "text", "text": { "body": text },
                }));
                texts.push(text);
            }
            changes.push(json!({
                "field": "messages", "value": world.value(json!({ "messages": messages })),
            }));
        }
        entries.push(json!({ "id": "108200000000001", "changes": changes }));
    }
    let body = json!({ "object": "whatsapp_business_account", "entry": entries });
    world.webhook_body(&body).await;
    world.webhook_body(&body).await;
    let kept = not_understood(&world, 2).await;
    assert_eq!(kept.len(), 2, "each delivery is kept once");
    assert_eq!(kept[0]["body"], body);
    world.bubble("wamid.BATCH222").await;
    world.comes_to_rest().await;
    let mut seen: Vec<Vec<String>> = world
        .portal
        .chats()
        .iter()
        .map(|chat| {
            chat.messages
                .iter()
                .map(|message| message.text.clone())
                .collect()
        })
        .collect();
    seen.sort_by_key(|texts| texts[0].clone());
    assert_eq!(seen, expected);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_come_twice_are_shown_once() {
    let world = World::start().await;
    world
        .graph
        .faults()
        .set(Fault::WebhookDuplicate, Times::Always);
    let mut sent = Vec::new();
    for number in 0..5 {
        let text = format!("Nummer {number}");
        world.customer_says(&lena(), &text);
        sent.push(text);
    }
    let chat = world.operator_sees_text("Nummer 4").await;
    world.operator_says(&chat, "Danke");
    world.customer_receives(&lena(), 1).await;
    let all_delivered = world
        .graph
        .wait_until(
            |graph| graph.counters().updates_waiting() == 0,
            crate::world::PATIENCE,
        )
        .await;
    assert!(all_delivered);
    world.comes_to_rest().await;
    let chat = world.portal.chat(chat.id).unwrap();
    let texts: Vec<&str> = chat
        .messages
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    sent.push("Danke".to_owned());
    assert_eq!(texts, sent);
    assert_eq!(world.received(&lena()).len(), 1);
    assert!(world.graph.faults().count(Fault::WebhookDuplicate) >= 5);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_had_is_said_in_the_chat() {
    let world = World::start().await;
    world.graph.faults().set(Fault::MediaMissing, Times::Always);
    let part = world.graph.media(
        "document",
        "bytes",
        "application/pdf",
        Some("Die Rechnung"),
        Some("R-1.pdf"),
    );
    let wamid = world.customer_sends(&lena(), part);
    let message = world.bubble(&wamid).await;
    assert_eq!(
        lines(&message),
        [
            "Die Rechnung",
            "[color=#ff0000]The customer's file “R-1.pdf” could not be fetched from WhatsApp: it is not there any more. \
             Ask them to send it again.[/color]"
        ]
    );
    assert!(message.files.is_empty());
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_file_delays_nothing_and_follows_its_text() {
    let mut options = Options::default();
    options
        .variables
        .insert("SEPARATOR_MEDIA_WAIT", "0".to_owned());
    let world = World::with(options).await;
    world.graph.faults().set(
        Fault::MediaSlow(std::time::Duration::from_millis(100)),
        Times::Always,
    );
    let bytes = b"\xFF\xD8\xFF slow photo".repeat(50);
    let part = world
        .graph
        .media("image", bytes.clone(), "image/jpeg", Some("Gleich"), None);
    let wamid = world.customer_sends(&lena(), part);
    let next = world.customer_says(&lena(), "Schon da?");
    let other = Customer::with_phone("4915755500001").named("Otto");
    let others = world.customer_says(&other, "Ich auch");
    let message = world.bubble(&wamid).await;
    assert_eq!(
        lines(&message),
        [
            "Gleich",
            "[color=#ff0000]The customer's file “photo.jpg” follows as soon as WhatsApp hands it out.[/color]"
        ]
    );
    let (next, others) = (world.bubble(&next).await, world.bubble(&others).await);
    let file = world.bubble(&format!("{wamid}:file")).await;
    assert_eq!(
        world.portal.file_bytes(file.files[0].id).unwrap(),
        bytes.as_slice()
    );
    assert_eq!(file.chat_id, message.chat_id);
    assert!(
        message.id < next.id && next.id < file.id && others.id < file.id,
        "the file held others up"
    );
    world.ends_clean().await;
}
