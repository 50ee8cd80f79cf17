//! What the customer gets of everything that an operator can send.

use sandbox::{
    graph::{Customer, Fault, Received, Times, part},
    portal::{Author, Chat, Upload},
};
use serde_json::{Value, json};

use crate::world::{World, lena};

/// The customer writes first; gives the chat.
async fn opened(world: &World) -> Chat {
    world.customer_says(&lena(), "Guten Tag");
    world.operator_sees_text("Guten Tag").await
}

/// The texts a customer got, in the order of their arrival.
fn texts(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|message| message.body["text"]["body"].as_str().unwrap_or_default())
        .collect()
}

/// The portal's message, once it is confirmed.
async fn confirmed(world: &World, id: i64) -> Vec<String> {
    let chat = world
        .operator_sees("the confirmation", |chat| {
            chat.messages
                .iter()
                .any(|message| message.id == id && message.delivered)
        })
        .await;
    let message = chat.messages.iter().find(|message| message.id == id);
    message.unwrap().external_ids.clone()
}

/// Files by their first bytes: name, bytes.
fn jpeg() -> Vec<u8> {
    b"\xFF\xD8\xFF\xE0\0\x10JFIF photo".to_vec()
}

fn png() -> Vec<u8> {
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x06 picture".to_vec()
}

fn opus() -> Vec<u8> {
    let mut bytes = b"OggS\0\x02".to_vec();
    bytes.resize(28, 0);
    bytes.extend(b"OpusHead\x01\x01 voice");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn text_arrives_with_whatsapps_marks() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let cases = [
        (
            "[b]Hallo[/b] [i]Lena[/i], [s]10[/s] 9 &#8364;",
            "*Hallo* _Lena_, ~10~ 9 €",
        ),
        ("eins[br]zwei\ndrei", "eins\nzwei\ndrei"),
        (
            "[url=https://x.example/a?b=1&amp;c=2]hier[/url]",
            "hier (https://x.example/a?b=1&c=2)",
        ),
        ("&lt;b&gt; 2 &amp; 3 &quot;gut&quot;", "<b> 2 & 3 \"gut\""),
        ("[color=#ff0000][size=20]groß[/size][/color]", "groß"),
        ("[USER=27]Anna[/USER] hilft", "Anna hilft"),
    ];
    for (written, _) in cases {
        world.operator_says(&chat, written);
    }
    let received = world.customer_receives(&lena(), cases.len()).await;
    let expected: Vec<&str> = cases.iter().map(|(_, arrives)| *arrives).collect();
    assert_eq!(texts(&received), expected);
    assert_eq!(received[2].body["text"]["preview_url"], true);
    assert!(
        received
            .iter()
            .all(|message| message.body["to"] == "+4915755509876")
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_is_split_in_order_and_confirmed_with_all_its_parts() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let words: Vec<String> = (0..1500).map(|number| format!("Wort{number:04}")).collect();
    let id = world.operator_says(&chat, &words.join(" "));
    world.operator_says(&chat, "Ende");
    let received = world.customer_receives(&lena(), 5).await;
    let parts = texts(&received);
    assert_eq!(parts[4], "Ende");
    assert!(parts.iter().all(|part| part.chars().count() <= 4096));
    let arrived: Vec<&str> = parts[..4]
        .iter()
        .flat_map(|part| part.split_whitespace())
        .collect();
    assert_eq!(arrived, words);
    let wamids: Vec<String> = received[..4]
        .iter()
        .map(|message| message.wamid.clone())
        .collect();
    assert_eq!(confirmed(&world, id).await, wamids);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_file_decide_how_it_is_sent() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let cases: Vec<(&str, Vec<u8>, &str, &str)> = vec![
        ("photo.jpg", jpeg(), "image", "image/jpeg"),
        ("named wrongly.pdf", png(), "image", "image/png"),
        (
            "film.mp4",
            b"\0\0\0\x18ftypmp42 film".to_vec(),
            "video",
            "video/mp4",
        ),
        ("voice.ogg", opus(), "audio", "audio/ogg; codecs=opus"),
        ("song.mp3", b"ID3\x04 song".to_vec(), "audio", "audio/mpeg"),
        (
            "Angebot 12.pdf",
            b"%PDF-1.7 offer".to_vec(),
            "document",
            "application/pdf",
        ),
        (
            "record.webm",
            b"\x1A\x45\xDF\xA3 webm".to_vec(),
            "document",
            "",
        ),
        ("moving.gif", b"GIF89a moving".to_vec(), "document", ""),
        ("not really.jpg", b"<html>".repeat(3), "document", ""),
    ];
    for (name, bytes, ..) in &cases {
        let file = Upload::new(*name, bytes.clone());
        world
            .portal
            .operator_writes(chat.id, "", vec![file])
            .unwrap();
    }
    let received = world.customer_receives(&lena(), cases.len()).await;
    for (message, (name, bytes, kind, mime)) in received.iter().zip(&cases) {
        assert_eq!(message.body["type"], *kind, "{name}");
        let media = message.media.as_ref().unwrap();
        assert_eq!(media.bytes, bytes.as_slice(), "{name}");
        if !mime.is_empty() {
            assert_eq!(&media.mime_type, mime, "{name}");
        }
        if *kind == "document" {
            assert_eq!(message.body["document"]["filename"], *name);
        }
    }
    assert_eq!(received[3].body["audio"]["voice"], true);
    assert_ne!(received[4].body["audio"]["voice"], true);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_with_one_file_is_its_caption_and_a_sounds_text_follows() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let write = |text: &str, file: Upload| {
        world
            .portal
            .operator_writes(chat.id, text, vec![file])
            .unwrap()
    };
    let photo = write("[b]So[/b] sieht es aus", Upload::new("a.jpg", jpeg()));
    // Nothing but the bytes tells that this one is a sound.
    write("Bitte anhören", Upload::new("memo", opus()));
    let received = world.customer_receives(&lena(), 3).await;
    assert_eq!(received[0].body["image"]["caption"], "*So* sieht es aus");
    assert_eq!(received[1].body["type"], "audio");
    assert_eq!(received[1].body["audio"]["caption"], Value::Null);
    assert_eq!(received[2].body["text"]["body"], "Bitte anhören");
    assert_eq!(confirmed(&world, photo).await, [received[0].wamid.clone()]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_files_are_messages_of_their_own_in_order() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let files = vec![
        Upload::new("1.jpg", jpeg()),
        Upload::new("2.pdf", b"%PDF-1.7".to_vec()),
        Upload::new("3.png", png()),
    ];
    let id = world
        .portal
        .operator_writes(chat.id, "Drei Dateien", files)
        .unwrap();
    world.operator_says(&chat, "fertig");
    let received = world.customer_receives(&lena(), 5).await;
    let kinds: Vec<&str> = received
        .iter()
        .map(|message| message.body["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["text", "image", "document", "image", "text"]);
    assert_eq!(texts(&received)[0], "Drei Dateien");
    assert_eq!(texts(&received)[4], "fertig");
    let wamids: Vec<String> = received[..4]
        .iter()
        .map(|message| message.wamid.clone())
        .collect();
    assert_eq!(confirmed(&world, id).await, wamids);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quote_becomes_a_reply_to_that_message() {
    let world = World::start().await;
    let first = world.customer_says(&lena(), "Was kostet der *Schrank*?");
    world.customer_says(&lena(), "Und der Tisch?");
    let chat = world.operator_sees_text("Und der Tisch?").await;
    let quote = |id: i64, text: &str| world.portal.operator_quotes(id, text).unwrap();
    quote(chat.messages[0].id, "Zehn Euro");
    let ours = world.customer_receives(&lena(), 1).await[0].clone();
    assert_eq!(ours.body["text"]["body"], "Zehn Euro");
    assert_eq!(ours.body["context"]["message_id"], first.as_str());

    // The operator's own message, with files behind it: only the first part answers.
    let own = world.operator_says(&chat, "Der Tisch: zwanzig");
    confirmed(&world, own).await;
    let own_wamid = world.customer_receives(&lena(), 2).await[1].wamid.clone();
    let files = vec![Upload::new("1.jpg", jpeg()), Upload::new("2.jpg", jpeg())];
    world
        .portal
        .operator_quotes_as(27, own, "Beide", files)
        .unwrap();
    let received = world.customer_receives(&lena(), 5).await;
    assert_eq!(
        received[2].body["context"]["message_id"],
        own_wamid.as_str()
    );
    assert_eq!(received[2].body["text"]["body"], "Beide");
    assert_eq!(received[3].body["context"], Value::Null);

    // A customer's reply that shows a quotation itself.
    let reply = part::answering(part::text("Zu teuer"), &ours.wamid, "4915755501234");
    let reply = world.customer_sends(&lena(), reply);
    let bubble = world.bubble(&reply).await;
    quote(bubble.id, "Neun");
    let received = world.customer_receives(&lena(), 6).await;
    assert_eq!(received[5].body["text"]["body"], "Neun");
    assert_eq!(received[5].body["context"]["message_id"], reply.as_str());

    let joke = part::forwarded(part::text("Ein Witz"));
    let joke = world.customer_sends(&lena(), joke);
    quote(world.bubble(&joke).await.id, "Haha");
    let received = world.customer_receives(&lena(), 7).await;
    assert_eq!(received[6].body["context"]["message_id"], joke.as_str());

    // A quotation of what WhatsApp does not know is left out, and the answer goes all the same.
    let line = "-".repeat(54);
    let unknown = format!("{line}\nSomebody [10:15]\nNobody wrote this here\n{line}\nAntwort");
    world.operator_says(&chat, &unknown);
    let received = world.customer_receives(&lena(), 8).await;
    assert_eq!(received[7].body["text"]["body"], "Antwort");
    assert_eq!(received[7].body["context"], Value::Null);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_too_large_for_whatsapp_is_told_to_operators_only() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let file = Upload::new("film.mp4", vec![0_u8; 100 * 1024 * 1024 + 1]);
    world
        .portal
        .operator_writes(chat.id, "", vec![file])
        .unwrap();
    world.operator_says(&chat, "danach");
    let note = world.note("film.mp4").await;
    assert!(
        note.text.contains("was not sent") && note.text.contains("too large"),
        "{}",
        note.text
    );
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(texts(&received), ["danach"]);
    let dead = world.api.get("queue").await["dead_letters"].clone();
    assert_eq!(dead.as_array().map(Vec::len), Some(1), "{dead:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_texts_go_out_where_the_setting_says_so() {
    let world = World::start().await;
    let chat = opened(&world).await;
    world
        .portal
        .automatic_text(chat.id, "Wir sind gleich da")
        .unwrap();
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(texts(&received), ["Wir sind gleich da"]);
    let path = format!("waba/phones/{}", world.phone);
    let phone = world
        .api
        .patch(&path, json!({ "automatic_texts": false }))
        .await;
    assert_eq!(phone["automatic_texts"], false);
    world.phone_is("connected").await;
    world
        .portal
        .automatic_text(chat.id, "Das bleibt hier")
        .unwrap();
    world.operator_says(&chat, "Von Hand");
    let received = world.customer_receives(&lena(), 2).await;
    assert_eq!(texts(&received), ["Wir sind gleich da", "Von Hand"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_without_a_number_is_reached_by_user_id() {
    let world = World::start().await;
    let max = Customer::hidden("DE.4Hc9rT6bPn20", "Max Winter");
    world.customer_says(&max, "Hallo");
    let chat = world.operator_sees_text("Hallo").await;
    world.operator_says(&chat, "Guten Tag");
    let file = Upload::new("a.jpg", jpeg());
    world
        .portal
        .operator_writes(chat.id, "Foto", vec![file])
        .unwrap();
    let received = world.customer_receives(&max, 2).await;
    for message in &received {
        assert_eq!(message.body["recipient"], "DE.4Hc9rT6bPn20");
        assert_eq!(message.body["to"], Value::Null);
    }
    let message = world.message_is(&received[0].wamid, "delivered").await;
    assert_eq!(message["peer"], "DE.4Hc9rT6bPn20");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_by_operators_are_answered_by_a_note() {
    let world = World::start().await;
    let chat = opened(&world).await;
    let id = world.operator_says(&chat, "Zehn Euro");
    confirmed(&world, id).await;
    // The connector asks the portal not to offer it; where it does all the same, the operator learns what it is worth.
    world.portal.announce_changes(&chat.connector);
    world.portal.operator_edits(id, "Elf Euro").unwrap();
    world.note("WhatsApp cannot change a message").await;
    world.portal.operator_deletes(id).unwrap();
    world.note("WhatsApp cannot take a message back").await;
    world.operator_says(&chat, "Ende");
    let received = world.customer_receives(&lena(), 2).await;
    assert_eq!(texts(&received), ["Zehn Euro", "Ende"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_never_reach_the_customer() {
    let world = World::start().await;
    let chat = opened(&world).await;
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(1));
    world.operator_says(&chat, "Kommt nicht an");
    let note = world.note("Message not delivered.").await;
    assert_eq!((note.author, note.chat_id), (Author::System, chat.id));
    // What a program says is shown to the operators, and sent once.
    let path = format!("waba/phones/{}/messages", world.phone);
    world
        .api
        .create(
            &path,
            json!({ "to": "4915755509876", "text": "Vom Programm" }),
        )
        .await;
    world.note("Vom Programm").await;
    world.operator_says(&chat, "Ende");
    let received = world.customer_receives(&lena(), 2).await;
    assert_eq!(texts(&received), ["Vom Programm", "Ende"]);
    world.ends_clean().await;
}
