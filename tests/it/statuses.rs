//! What becomes of a message after Meta took it: statuses in any order, and what the operator sees of them.

use sandbox::{
    graph::{self, Fault, Times},
    portal::{Behaviour, Chat, Message},
};
use serde_json::{Value, json};

use crate::world::{Options, PATIENCE, World, by_wamid, lena};

/// A world whose portal remembers what it was called with.
async fn world(language: &'static str) -> World {
    World::with(Options {
        behaviour: Behaviour {
            record_parameters: true,
            language,
            ..Behaviour::default()
        },
        ..Options::default()
    })
    .await
}

/// The customer writes first; gives the chat.
async fn opened(world: &World) -> Chat {
    world.customer_says(&lena(), "Guten Tag");
    world.operator_sees_text("Guten Tag").await
}

/// The operator's message with this id, once the condition holds.
async fn bubble(
    world: &World,
    id: i64,
    what: &str,
    condition: impl Fn(&Message) -> bool,
) -> Message {
    let is = |message: &&Message| message.id == id && condition(message);
    let chat = world
        .operator_sees(what, |chat| {
            chat.messages.iter().any(|message| is(&message))
        })
        .await;
    chat.messages.iter().find(is).unwrap().clone()
}

/// The ids with which each call confirmed an operator's message.
fn confirmations(world: &World, message: i64) -> Vec<Value> {
    let calls = world.portal.calls();
    calls
        .iter()
        .filter(|call| call.method == "imconnector.send.status.delivery" && call.status == 200)
        .flat_map(|call| call.params["MESSAGES"].as_array().unwrap().clone())
        .filter(|item| item["im"]["message_id"] == message)
        .map(|item| item["message"]["id"].clone())
        .collect()
}

/// A status as Meta writes it.
pub fn status(wamid: &str, status: &str) -> Value {
    let mut value = json!({
        "id": wamid, "status": status, "timestamp": "1795400200", "recipient_id": "4915755509876",
    });
    if status == "failed" {
        value["errors"] = json!([{
            "code": 131_026, "title": "Message undeliverable", "message": "Message undeliverable",
            "error_data": { "details": "The recipient has an old version of WhatsApp." },
        }]);
    }
    value
}

/// All orders of some words.
pub fn orders(words: &[&'static str]) -> Vec<Vec<&'static str>> {
    if words.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in words.iter().enumerate() {
        let rest = [&words[..at], &words[at + 1..]].concat();
        for mut order in orders(&rest) {
            order.insert(0, *first);
            all.push(order);
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_in_every_order_and_doubled_end_the_same() {
    let world = world("en").await;
    let chat = opened(&world).await;
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    let mut cases = Vec::new();
    for (facts, state) in [
        (&["sent", "delivered", "read"][..], "read"),
        (&["sent", "read"], "read"),
        (&["sent", "failed"], "failed"),
        (&["sent", "delivered", "failed"], "delivered"),
        (&["delivered"], "delivered"),
    ] {
        for order in orders(facts) {
            cases.push((order, state));
        }
    }
    for (number, (order, _)) in cases.iter().enumerate() {
        world.operator_says(&chat, &format!("{number}: {order:?}"));
    }
    let received = world.customer_receives(&lena(), cases.len()).await;
    for (number, (message, (order, _))) in received.iter().zip(&cases).enumerate() {
        let statuses: Vec<Value> = order
            .iter()
            .flat_map(|name| [status(&message.wamid, name), status(&message.wamid, name)])
            .collect();
        // Some come together, others each in a webhook of its own, and then all of them once more.
        let value = |statuses: &[Value]| world.value(json!({ "statuses": statuses }));
        if number % 2 == 0 {
            world.webhook(&[value(&statuses)]).await;
        } else {
            for one in &statuses {
                world.webhook(&[value(std::slice::from_ref(one))]).await;
            }
        }
        world.webhook(&[value(&statuses)]).await;
    }
    for (message, (order, state)) in received.iter().zip(&cases) {
        let shown = world.message_is(&message.wamid, state).await;
        let error = &shown["error"];
        if *state == "failed" {
            assert_eq!(error["code"], "131026", "{order:?}");
        } else {
            assert_eq!(*error, Value::Null, "{order:?}");
        }
    }
    world.comes_to_rest().await;
    for (message, (order, state)) in received.iter().zip(&cases) {
        let shown = world.message(&message.wamid).await;
        assert_eq!(shown["state"], *state, "{order:?} did not stay");
        let journey = shown["journey"].as_array().unwrap();
        for name in order {
            let times = journey.iter().filter(|step| step["step"] == *name).count();
            assert_eq!(times, 1, "{name} of {order:?}: {journey:#?}");
        }
    }
    // Whatever was sent is confirmed once; what failed before it was confirmed is left to the portal's red mark.
    let notes = |chat: &Chat, words: &str| {
        let note = |message: &&Message| message.text.contains(words);
        chat.messages.iter().filter(note).count()
    };
    let chat = world.portal.chat(chat.id).unwrap();
    for (message, (order, _)) in received.iter().zip(&cases) {
        let text = message.body["text"]["body"].as_str().unwrap();
        let bubble = chat.messages.iter().find(|bubble| bubble.text == text);
        let confirmed = confirmations(&world, bubble.unwrap().id);
        if order.contains(&"failed") {
            assert!(confirmed.len() <= 1, "{order:?}: {confirmed:?}");
        } else {
            assert_eq!(confirmed, [json!([message.wamid])], "{order:?}");
        }
    }
    let corrected = |order: &[&str]| {
        let place = |name| order.iter().position(|one| *one == name);
        place("failed").is_some_and(|failed| Some(failed) < place("delivered"))
    };
    let failures = cases
        .iter()
        .filter(|(order, state)| *state == "failed" || corrected(order));
    assert_eq!(notes(&chat, "Message not delivered."), failures.count());
    // Who was told that it failed is told that it arrived.
    let corrections = cases.iter().filter(|(order, _)| corrected(order)).count();
    assert_eq!(
        notes(&chat, "has reached the customer after all"),
        corrections
    );
    world.graph.faults().off(Fault::WebhookHeld);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_confirmed_once_when_meta_says_sent_and_not_before() {
    let world = world("en").await;
    let chat = opened(&world).await;
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    let id = world.operator_says(&chat, "Ja");
    let wamid = world.customer_receives(&lena(), 1).await[0].wamid.clone();
    world
        .api
        .until(&by_wamid(&wamid), |list| list["items"] != json!([]))
        .await;
    // The portal has answered other calls since and was not told of this one.
    world
        .webhook(&[world.value(json!({ "messages": [{
            "from": "4915755509876", "id": "wamid.NEXT", "timestamp": "1795400123", "type": "text",
            "text": { "body": "Hallo?" },
        }] }))])
        .await;
    world.bubble("wamid.NEXT").await;
    let waiting = world.portal.message(id).unwrap();
    assert!(waiting.sending && !waiting.delivered);
    assert_eq!(confirmations(&world, id), Vec::<Value>::new());
    world.graph.faults().off(Fault::WebhookHeld);
    let done = bubble(&world, id, "the confirmation", |message| message.delivered).await;
    assert_eq!(done.external_ids, std::slice::from_ref(&wamid));
    world.message_is(&wamid, "delivered").await;
    world.graph.read_message(&wamid);
    world.message_is(&wamid, "read").await;
    world.comes_to_rest().await;
    assert_eq!(confirmations(&world, id), [json!([wamid])]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_that_overtake_the_answer_to_the_send_count() {
    let world = world("en").await;
    let chat = opened(&world).await;
    world.graph.faults().set(Fault::StatusFirst, Times::Always);
    let id = world.operator_says(&chat, "Ja");
    let wamid = world.customer_receives(&lena(), 1).await[0].wamid.clone();
    bubble(&world, id, "the confirmation", |message| message.delivered).await;
    world.message_is(&wamid, "delivered").await;
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(1));
    let failed = world.operator_says(&chat, "Nein");
    world.note("(131026)").await;
    world.comes_to_rest().await;
    assert_eq!(confirmations(&world, id), [json!([wamid])]);
    // What is known to have failed is not confirmed: the portal marks it red by itself.
    assert_eq!(confirmations(&world, failed), Vec::<Value>::new());
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_told_in_the_portals_language_and_kept_with_the_message() {
    for (language, code, words) in [
        (
            "en",
            131_050,
            "Message not delivered. The customer has stopped marketing messages from you. Send them none until they \
             allow it again. (131050)",
        ),
        ("ru", 131_026, "Сообщение не доставлено."),
    ] {
        let world = world(language).await;
        let chat = opened(&world).await;
        world
            .graph
            .faults()
            .set(Fault::FailedStatus(code), Times::Next(1));
        let id = world.operator_says(&chat, "Kommt nicht an");
        let note = world.note(&format!("({code})")).await;
        let text = note.text.trim_start_matches("[color=#ff0000]");
        assert!(text.starts_with(words), "{text}");
        assert_eq!(note.chat_id, chat.id);
        let list = world.api.get("messages?direction=outbound").await;
        let message = &list["items"][0];
        assert_eq!(message["state"], "failed");
        assert_eq!(message["error"]["code"], code.to_string());
        assert!(
            message["error"]["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        let wamid = message["wamid"].as_str().unwrap();
        let failure = world
            .graph
            .wait_until(|graph| graph.failure(wamid).is_some(), PATIENCE);
        assert!(failure.await);
        let shown = world.message(wamid).await;
        let steps = shown["journey"].as_array().unwrap();
        let failed = steps.iter().find(|step| step["step"] == "failed").unwrap();
        assert!(
            failed["detail"]
                .as_str()
                .unwrap()
                .contains(&code.to_string())
        );
        world.comes_to_rest().await;
        assert_eq!(confirmations(&world, id), Vec::<Value>::new());
        let notes = world.portal.chat(chat.id).unwrap().messages;
        let notes = notes.iter().filter(|message| message.text.contains("(131"));
        assert_eq!(notes.count(), 1);
        assert_eq!(world.received(&lena()).len(), 0);
        world.ends_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_meta_refuses_is_told_too() {
    let world = world("ru").await;
    let chat = opened(&world).await;
    world
        .graph
        .faults()
        .set(Fault::Refused(131_009), Times::Next(1));
    let id = world.operator_says(&chat, "So nicht");
    world.operator_says(&chat, "Aber so");
    let note = world.note("(131009)").await;
    assert!(
        note.text.contains("Сообщение не доставлено."),
        "{}",
        note.text
    );
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["text"]["body"], "Aber so");
    let failed = world.api.get("messages?state=failed").await;
    assert_eq!(failed["items"][0]["error"]["code"], "131009");
    assert_eq!(confirmations(&world, id), Vec::<Value>::new());
    // It waits among the dead letters and can be sent again.
    let path = format!(
        "messages/{}/retry",
        failed["items"][0]["id"].as_str().unwrap()
    );
    world.api.create(&path, json!({})).await;
    let received = world.customer_receives(&lena(), 2).await;
    assert_eq!(received[1].body["text"]["body"], "So nicht");
    bubble(&world, id, "the late confirmation", |message| {
        message.delivered
    })
    .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_after_sent_is_told_although_the_bubble_is_confirmed() {
    let world = world("en").await;
    let chat = opened(&world).await;
    world.graph.faults().set(Fault::WebhookHeld, Times::Always);
    let id = world.operator_says(&chat, "Kommt doch nicht an");
    let wamid = world.customer_receives(&lena(), 1).await[0].wamid.clone();
    let of = |name: &str| world.value(json!({ "statuses": [status(&wamid, name)] }));
    world.webhook(&[of("sent")]).await;
    bubble(&world, id, "the confirmation", |message| message.delivered).await;
    world.webhook(&[of("failed")]).await;
    world.note("(131026)").await;
    let shown = world.message_is(&wamid, "failed").await;
    assert_eq!(shown["error"]["title"], "Message undeliverable");
    assert_eq!(
        shown["error"]["details"],
        "The recipient has an old version of WhatsApp."
    );
    world.comes_to_rest().await;
    assert_eq!(confirmations(&world, id), [json!([wamid])]);
    world.graph.faults().off(Fault::WebhookHeld);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_several_parts_is_confirmed_once_with_all_its_ids() {
    let world = world("en").await;
    let chat = opened(&world).await;
    let id = world.operator_says(&chat, &"lang ".repeat(2000));
    let received = world.customer_receives(&lena(), 3).await;
    let wamids: Vec<&str> = received
        .iter()
        .map(|message| message.wamid.as_str())
        .collect();
    bubble(&world, id, "the confirmation", |message| message.delivered).await;
    world.comes_to_rest().await;
    assert_eq!(confirmations(&world, id), [json!(wamids)]);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_of_a_message_that_another_program_sent_changes_nothing() {
    let world = world("en").await;
    let chat = opened(&world).await;
    world
        .webhook(&[world.value(json!({ "statuses": [
            status("wamid.STRANGER", "sent"), status("wamid.STRANGER", "failed"), { "status": 7 },
        ] }))])
        .await;
    world.customer_says(&lena(), "Weiter");
    world.operator_sees_text("Weiter").await;
    world.comes_to_rest().await;
    let texts: Vec<String> = world
        .portal
        .chat(chat.id)
        .unwrap()
        .messages
        .into_iter()
        .map(|message| message.text)
        .collect();
    assert_eq!(texts, ["Guten Tag", "Weiter"]);
    let kept = world.api.get("events?state=not_understood").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1, "{kept:#}");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_and_gathered_webhooks_end_the_same() {
    let mut options = Options::default();
    options.behaviour.record_parameters = true;
    options.graph = graph::Settings {
        webhook_gather: 50,
        ..options.graph
    };
    let world = World::with(options).await;
    let chat = opened(&world).await;
    let faults = world.graph.faults();
    faults.set(Fault::WebhookReordered, Times::Always);
    faults.set(Fault::WebhookDuplicate, Times::Always);
    let ids: Vec<i64> = (0..20)
        .map(|number| world.operator_says(&chat, &format!("Nummer {number}")))
        .collect();
    let received = world.customer_receives(&lena(), 20).await;
    for (number, message) in received.iter().enumerate() {
        assert_eq!(message.body["text"]["body"], format!("Nummer {number}"));
        world.message_is(&message.wamid, "delivered").await;
    }
    for id in &ids {
        bubble(&world, *id, "a confirmation", |message| message.delivered).await;
    }
    world.comes_to_rest().await;
    for (id, message) in ids.iter().zip(&received) {
        assert_eq!(confirmations(&world, *id), [json!([message.wamid])]);
    }
    world.ends_clean().await;
}
