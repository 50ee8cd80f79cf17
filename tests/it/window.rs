//! What waits while WhatsApp takes only templates, and how it goes on.

use sandbox::{
    graph::{Fault, Received, Times},
    portal::{Chat, Upload},
};
use serde_json::{Value, json};

use crate::world::{World, lena};

/// A customer to whom only a template went so far: nothing else may be sent.
async fn closed() -> (World, Chat) {
    let world = World::start().await;
    world.without_limits().await;
    world.knows_templates().await;
    let path = format!("waba/phones/{}/messages", world.phone);
    let body = json!({ "to": "4915755509876", "shortcode": "template-hello_world" });
    let (status, sent) = world.api.call("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "{sent:#}");
    world.customer_receives(&lena(), 1).await;
    let chat = world.operator_sees_text("Welcome!").await;
    world.comes_to_rest().await;
    (world, chat)
}

fn texts(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|message| message.body["text"]["body"].as_str().unwrap_or("-"))
        .collect()
}

async fn conversation(world: &World) -> Value {
    let path = format!("waba/phones/{}/conversations", world.phone);
    let list = world.api.get(&path).await;
    list["items"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_outside_waits_also_through_a_crash_and_goes_in_order_when_the_customer_writes()
 {
    let (mut world, chat) = closed().await;
    world.operator_says(&chat, "eins");
    let note = world.note("More than 24 hours").await;
    assert!(
        note.text.contains("template-hello_world+en_US"),
        "{}",
        note.text
    );
    // Each is a button: one that needs nothing sends itself, one with places goes into the operator's field.
    let button =
        "[put=template-delivery_note+en+{{1}}|{{2}}]template-delivery_note+en+{{1}}|{{2}}[/put]";
    assert!(note.text.contains(button), "{}", note.text);
    let button = "[send=template-hello_world+en_US]template-hello_world+en_US[/send]";
    assert!(note.text.contains(button), "{}", note.text);
    world
        .portal
        .operator_writes(chat.id, "", vec![Upload::new("a.pdf", &b"%PDF-1.4 x"[..])])
        .unwrap();
    world.operator_says(&chat, "drei");
    let path = format!("waba/phones/{}/conversations", world.phone);
    world
        .api
        .until(&path, |list| {
            list["items"][0]["held"]
                .as_array()
                .is_some_and(|held| held.len() == 3)
        })
        .await;
    let shown = conversation(&world).await;
    assert_eq!(
        shown["window"],
        json!({ "open": false, "open_until": null })
    );
    let first = shown["held"][0].as_str().unwrap();
    let message = world.api.get(&format!("messages/{first}")).await;
    assert_eq!(
        (&message["state"], &message["text"]),
        (&json!("queued"), &json!("eins"))
    );
    world.server.kill();
    world.server.start().await;
    assert_eq!(conversation(&world).await["held"], shown["held"]);
    assert_eq!(
        world.received(&lena()).len(),
        1,
        "only the template went out"
    );
    world.customer_says(&lena(), "Ja?");
    let received = world.customer_receives(&lena(), 4).await;
    assert_eq!(texts(&received[1..]), ["eins", "-", "drei"]);
    assert_eq!(received[2].body["type"], "document");
    // What is written now goes behind them, and the window is shown open.
    world.operator_says(&chat, "vier");
    let received = world.customer_receives(&lena(), 5).await;
    assert_eq!(texts(&received[4..]), ["vier"]);
    let shown = conversation(&world).await;
    assert_eq!(
        (&shown["held"], &shown["window"]["open"]),
        (&json!([]), &json!(true))
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metas_word_counts_at_once_and_afterwards_and_nothing_goes_twice() {
    let world = World::start().await;
    world.without_limits().await;
    world.knows_templates().await;
    world.customer_says(&lena(), "Hallo");
    let chat = world.operator_sees_text("Hallo").await;
    // Accepted, then said to be too late.
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_047), Times::Next(1));
    let id = world.operator_says(&chat, "zu spät");
    world.note("More than 24 hours").await;
    let shown = conversation(&world).await;
    assert_eq!(shown["held"].as_array().map(Vec::len), Some(1), "{shown:#}");
    assert_eq!(shown["window"]["open"], false);
    // From now on nothing is tried: Meta's word stands until the customer writes.
    world.operator_says(&chat, "danach");
    let path = format!("waba/phones/{}/conversations", world.phone);
    world
        .api
        .until(&path, |list| {
            list["items"][0]["held"]
                .as_array()
                .is_some_and(|held| held.len() == 2)
        })
        .await;
    let before = world.received(&lena()).len();
    world.customer_says(&lena(), "Bin da");
    let received = world.customer_receives(&lena(), before + 2).await;
    assert_eq!(texts(&received[before..]), ["zu spät", "danach"]);
    // The operator's message is confirmed, with the wamid that arrived.
    let wamid = received[before].wamid.clone();
    world.message_is(&wamid, "delivered").await;
    world
        .operator_sees("the confirmation", |chat| {
            chat.messages
                .iter()
                .any(|message| message.id == id && message.delivered)
        })
        .await;
    // The same, refused in the answer itself.
    world
        .graph
        .faults()
        .set(Fault::Refused(131_047), Times::Next(1));
    world.operator_says(&chat, "noch einmal");
    world
        .api
        .until(&path, |list| {
            list["items"][0]["held"]
                .as_array()
                .is_some_and(|held| held.len() == 1)
        })
        .await;
    world.customer_says(&lena(), "Ja");
    let received = world.customer_receives(&lena(), before + 3).await;
    assert_eq!(texts(&received[before + 2..]), ["noch einmal"]);
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), before + 3);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_goes_out_as_a_template_when_asked_for_or_by_itself() {
    let (world, chat) = closed().await;
    world.graph.console().add_template(
        "108200000000001",
        "news",
        "en_US",
        "News for you: {{1}} Please answer.",
    );
    world.knows_templates().await;
    world.operator_says(&chat, "Ihre Rechnung\nist da");
    world.note("More than 24 hours").await;
    let held = conversation(&world).await["held"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("messages/{held}/send-as-template");
    for (body, status, said) in [
        (json!({}), 422, "name one"),
        (json!({ "template": "newz" }), 422, "news"),
        (json!({ "template": "delivery_note" }), 422, "takes 2"),
    ] {
        let (answered, problem) = world.api.call("POST", &path, Some(body)).await;
        assert_eq!(answered, status, "{problem:#}");
        assert!(problem.to_string().contains(said), "{problem:#}");
    }
    world.api.create(&path, json!({ "template": "news" })).await;
    let received = world.customer_receives(&lena(), 2).await;
    let template = &received[1].body["template"];
    assert_eq!(template["name"], "news");
    assert_eq!(
        template["components"][0]["parameters"][0]["text"],
        "Ihre Rechnung ist da"
    );
    let (status, _) = world
        .api
        .call("POST", &path, Some(json!({ "template": "news" })))
        .await;
    assert_eq!(status, 409);
    // The number's own choice: at once, without waiting.
    let messaging = format!("waba/phones/{}/messaging", world.phone);
    let (status, _) = world
        .api
        .call(
            "PATCH",
            &messaging,
            Some(json!({ "outside_window": "template" })),
        )
        .await;
    assert_eq!(status, 422, "a template has to be named first");
    world
        .api
        .patch(
            &messaging,
            json!({ "outside_window": "template", "wrapper_template": "news" }),
        )
        .await;
    world.operator_says(&chat, "Noch etwas");
    let received = world.customer_receives(&lena(), 3).await;
    assert_eq!(
        received[2].body["template"]["components"][0]["parameters"][0]["text"],
        "Noch etwas"
    );
    // One without a value announces: the text waits for the answer.
    world
        .api
        .patch(&messaging, json!({ "wrapper_template": "hello_world" }))
        .await;
    world.operator_says(&chat, "Wartet");
    let received = world.customer_receives(&lena(), 4).await;
    assert_eq!(received[3].body["template"]["name"], "hello_world");
    world.customer_says(&lena(), "Bitte");
    let received = world.customer_receives(&lena(), 5).await;
    assert_eq!(texts(&received[4..]), ["Wartet"]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_day_is_given_up_with_a_note() {
    let (world, chat) = closed().await;
    world.operator_says(&chat, "Zu lange");
    world.note("More than 24 hours").await;
    let held = conversation(&world).await["held"][0]
        .as_str()
        .unwrap()
        .to_owned();
    world.server.sql("UPDATE held SET expires_at = 1");
    let note = world.note("waited 24 hours").await;
    assert!(note.text.contains("Zu lange"), "{}", note.text);
    let message = world.api.get(&format!("messages/{held}")).await;
    assert_eq!(message["state"], "failed");
    assert_eq!(message["error"]["code"], "WINDOW_CLOSED");
    world.customer_says(&lena(), "Hallo?");
    world.operator_sees_text("Hallo?").await;
    world.comes_to_rest().await;
    assert_eq!(
        world.received(&lena()).len(),
        1,
        "what was given up is not sent later"
    );
    world.ends_clean().await;
}
