//! A template that WhatsApp stops taking while messages and robots use it: what waits, who is told, how it goes on.

use sandbox::{
    graph::{Customer, Fault, Received, Times},
    portal::StepKind,
};
use serde_json::{Value, json};

use crate::world::{World, lena};

/// The account of every world.
const WABA: &str = "108200000000001";

async fn with_templates() -> World {
    let world = World::start().await;
    world.without_limits().await;
    world.knows_templates().await;
    world
}

fn max() -> Customer {
    Customer::with_phone("4915755509877").named("Max")
}

fn first_values(received: &[Received]) -> Vec<&str> {
    received
        .iter()
        .map(|one| {
            let body = &one.body["template"]["components"][0];
            body["parameters"][0]["text"].as_str().unwrap_or("-")
        })
        .collect()
}

impl World {
    /// Waits until so many messages wait for their template; gives them, the oldest first.
    async fn waiting(&self, number: usize) -> Vec<Value> {
        let waits = |list: &Value| -> Vec<Value> {
            let items = list["items"].as_array().unwrap().iter();
            let waiting = items.filter(|message| message["waits"]["for"] == "template");
            waiting.rev().cloned().collect()
        };
        let list = self
            .api
            .until("messages", |list| waits(list).len() == number)
            .await;
        waits(&list)
    }

    async fn alarm(&self) -> Value {
        let of = |list: &Value| {
            let items = list["items"].as_array().unwrap().iter();
            let mut ours = items.filter(|alarm| alarm["kind"] == "template_in_use");
            ours.next().cloned()
        };
        let list = self.api.until("alarms", |list| of(list).is_some()).await;
        of(&list).unwrap()
    }

    async fn no_alarm(&self) {
        self.api
            .until("alarms", |list| {
                let items = list["items"].as_array().unwrap();
                items.iter().all(|alarm| alarm["kind"] != "template_in_use")
            })
            .await;
    }

    async fn sends(&self, to: &str, code: &str) {
        let path = format!("waba/phones/{}/messages", self.phone);
        let body = json!({ "to": to, "shortcode": code });
        let (status, sent) = self.api.call("POST", &path, Some(body)).await;
        assert_eq!(status, 202, "{sent:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_uses_a_paused_template_waits_the_owner_is_told_and_it_goes_on_in_order_through_a_crash()
 {
    let mut world = with_templates().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    // They stand in the queue when the template is paused: Meta wants patience.
    world
        .graph
        .faults()
        .set(Fault::Refused(131_056), Times::Always);
    world.operator_says(&chat, "template-delivery_note+en+Lena|A-1");
    world
        .api
        .until("messages?direction=outbound", |list| {
            list["items"].as_array().unwrap().len() == 1
        })
        .await;
    world
        .sends("4915755509876", "template-delivery_note+en+Zweite|A-2")
        .await;
    world
        .sends("4915755509877", "template-delivery_note+en+Max|A-3")
        .await;
    world
        .api
        .until("messages?direction=outbound", |list| {
            list["items"].as_array().unwrap().len() == 3
        })
        .await;
    let robot = world
        .portal
        .run_step(
            StepKind::Robot,
            "separator_template",
            &[
                ("phone", "4915755509877"),
                ("template", "delivery_note+en"),
                ("values[]", "Robot|A-4"),
                ("wait", "Y"),
            ],
        )
        .unwrap();
    world
        .api
        .until("messages?direction=outbound", |list| {
            list["items"].as_array().unwrap().len() == 4
        })
        .await;
    let console = world.graph.console();
    console.set_template_status(WABA, "delivery_note", "en", "PAUSED", "NONE");
    let waiting = world.waiting(4).await;
    world
        .graph
        .faults()
        .set(Fault::Refused(131_056), Times::Next(0));
    for message in &waiting {
        assert_eq!(message["state"], "queued");
        let text = message["waits"]["text"].as_str().unwrap();
        assert!(text.contains("PAUSED"), "{text}");
    }
    let path = format!("messages/{}", waiting[0]["id"].as_str().unwrap());
    let message = world.api.get(&path).await;
    assert_eq!(message["waits"]["for"], "template");
    assert!(
        message["journey"]
            .to_string()
            .contains("waits: the template is not taken"),
        "{message:#}"
    );
    let note = world.note("has paused it").await;
    assert!(note.text.contains("delivery_note"), "{}", note.text);
    // The owner reads which number and template, how many messages, and which robots.
    let told = world
        .api
        .until("alarms", |list| {
            list.to_string().contains("4 messages wait")
        })
        .await;
    assert!(told.to_string().contains("4915755501234"), "{told}");
    let alarm = world.alarm().await;
    let text = alarm["text"].as_str().unwrap();
    for part in ["delivery_note (en): status PAUSED", "DEAL of "] {
        assert!(text.contains(part), "{text}");
    }
    // Free text goes on meanwhile; the window is open.
    world.operator_says(&chat, "Ich schaue nach.");
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["text"]["body"], "Ich schaue nach.");
    // It is no message that could be sent as a template.
    let (status, problem) = world
        .api
        .call("POST", &format!("{path}/send-as-template"), Some(json!({})))
        .await;
    assert_eq!(status, 409, "{problem:#}");

    world.server.kill();
    world.server.start().await;
    assert_eq!(world.waiting(4).await.len(), 4);
    console.set_template_status(WABA, "delivery_note", "en", "REINSTATED", "NONE");
    let received = world.customer_receives(&lena(), 3).await;
    assert_eq!(first_values(&received[1..]), ["Lena", "Zweite"]);
    let received = world.customer_receives(&max(), 2).await;
    assert_eq!(first_values(&received), ["Max", "Robot"]);
    world.note("takes the template").await;
    world.no_alarm().await;
    world
        .portals
        .wait_until(
            |_| {
                let step = world.portal.step(&robot);
                step.is_some_and(|step| step.results.is_some())
            },
            crate::world::PATIENCE,
        )
        .await;
    let results = world.portal.step(&robot).unwrap().results.unwrap();
    assert_eq!(results["status"], "delivered", "{results:#}");
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), 3, "nothing twice");
    assert_eq!(world.received(&max()).len(), 2, "nothing twice");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_no_longer_fit_and_metas_own_refusal_wait_as_well_and_end_after_a_day() {
    let world = with_templates().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    world
        .graph
        .faults()
        .set(Fault::Refused(131_056), Times::Always);
    world.operator_says(&chat, "template-delivery_note+en+Lena|A-1");
    world
        .api
        .until("messages?direction=outbound", |list| {
            list["items"].as_array().unwrap().len() == 1
        })
        .await;
    let console = world.graph.console();
    let changed = "Hello {{1}}, parcel {{2}} comes on {{3}}, be at home.";
    assert!(console.set_template_body(WABA, "delivery_note", "en", changed));
    let waiting = world.waiting(1).await;
    world
        .graph
        .faults()
        .set(Fault::Refused(131_056), Times::Next(0));
    let text = waiting[0]["waits"]["text"].as_str().unwrap();
    assert!(text.contains("comes on {{3}}"), "{text}");
    world.note("comes on {{3}}").await;
    let text = world.alarm().await["text"].clone();
    assert!(text.to_string().contains("places were changed"), "{text}");
    assert!(world.received(&lena()).is_empty());
    // Changed again, so that the values fit.
    let again = "Hello {{1}}, parcel {{2}} comes soon, be at home.";
    assert!(console.set_template_body(WABA, "delivery_note", "en", again));
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(first_values(&received), ["Lena"]);
    world.no_alarm().await;

    // Meta is the judge: what the catalogue does not know yet is learnt from its refusal.
    world
        .graph
        .faults()
        .set(Fault::Refused(132_015), Times::Next(1));
    world.operator_says(&chat, "template-delivery_note+en+Lena|A-2");
    world.waiting(1).await;
    let templates = world.api.get("waba/templates?status=PAUSED").await;
    assert!(
        templates.to_string().contains("delivery_note"),
        "{templates}"
    );
    console.set_template_status(WABA, "delivery_note", "en", "REINSTATED", "NONE");
    world.customer_receives(&lena(), 2).await;

    // What waited for a day is given up, with a note; who asked for it by SMS or robot hears of it.
    world
        .graph
        .faults()
        .set(Fault::Refused(132_016), Times::Next(1));
    let robot = world
        .portal
        .run_step(
            StepKind::Robot,
            "separator_template",
            &[
                ("phone", "4915755509876"),
                ("template", "delivery_note+en"),
                ("values[]", "Lena|A-3"),
            ],
        )
        .unwrap();
    let waiting = world.waiting(1).await;
    world.server.sql("UPDATE held SET expires_at = 1");
    world.note("could not be sent for 24 hours").await;
    let path = format!("messages/{}", waiting[0]["id"].as_str().unwrap());
    let failed = world
        .api
        .until(&path, |message| message["state"] == "failed")
        .await;
    assert_eq!(failed["error"]["code"], "TEMPLATE_UNAVAILABLE");
    assert_eq!(failed["waits"], Value::Null);
    world
        .portals
        .wait_until(
            |_| {
                let step = world.portal.step(&robot);
                step.is_some_and(|step| step.results.is_some())
            },
            crate::world::PATIENCE,
        )
        .await;
    let results = world.portal.step(&robot).unwrap().results.unwrap();
    assert_eq!(results["status"], "failed", "{results:#}");
    // The robot is still set to a template that is not taken.
    let text = world.alarm().await["text"].clone();
    assert!(
        text.to_string().contains("status DISABLED; robots"),
        "{text}"
    );
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), 2);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_meta_took_and_refused_afterwards_waits_and_goes_out_once_in_any_order_of_statuses()
 {
    let world = with_templates().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    let console = world.graph.console();
    let faults = world.graph.faults();
    faults.set(Fault::FailedStatus(132_015), Times::Next(1));
    let id = world.operator_says(&chat, "template-delivery_note+en+Lena|A-1");
    let waiting = world.waiting(1).await;
    assert_eq!(waiting[0]["state"], "queued");
    assert_eq!(waiting[0]["error"], Value::Null);
    let text = waiting[0]["waits"]["text"].as_str().unwrap();
    assert!(text.contains("PAUSED"), "{text}");
    world.note("has paused it").await;
    let text = world.alarm().await["text"].clone();
    assert!(text.to_string().contains("1 message waits"), "{text}");
    let paused = world.api.get("waba/templates?status=PAUSED").await;
    assert!(paused.to_string().contains("delivery_note"), "{paused}");
    // What is told of that try afterwards, in whatever order, changes nothing: it was not delivered.
    let path = format!("messages/{}", waiting[0]["id"].as_str().unwrap());
    let failed = waiting[0]["wamid"].as_str().unwrap().to_owned();
    let late: Vec<Value> = ["sent", "failed"]
        .iter()
        .map(|name| {
            let mut status = crate::statuses::status(&failed, name);
            if *name == "failed" {
                status["errors"][0]["code"] = json!(132_015);
            }
            status
        })
        .collect();
    world
        .webhook(&[world.value(json!({ "statuses": late }))])
        .await;
    world.customer_says(&lena(), "Noch da?");
    world.operator_sees_text("Noch da?").await;
    let message = world.api.get(&path).await;
    assert_eq!(message["state"], "queued", "{message:#}");
    assert_eq!(message["waits"]["for"], "template");
    console.set_template_status(WABA, "delivery_note", "en", "REINSTATED", "NONE");
    let delivered = world
        .api
        .until(&path, |message| message["state"] == "delivered")
        .await;
    assert_ne!(delivered["wamid"], failed.as_str());
    world
        .operator_sees("the confirmation", |chat| {
            let mut messages = chat.messages.iter();
            messages.any(|message| message.id == id && message.delivered)
        })
        .await;
    world.no_alarm().await;

    // An API message waits in the same way, through a switched off template, and ends after a day.
    faults.set(Fault::FailedStatus(132_016), Times::Next(1));
    world
        .sends("4915755509876", "template-delivery_note+en+Lena|A-2")
        .await;
    let waiting = world.waiting(1).await;
    world.server.sql("UPDATE held SET expires_at = 1");
    let path = format!("messages/{}", waiting[0]["id"].as_str().unwrap());
    let expired = world
        .api
        .until(&path, |message| message["state"] == "failed")
        .await;
    assert_eq!(expired["error"]["code"], "TEMPLATE_UNAVAILABLE");
    world.comes_to_rest().await;
    // Beside the tries that Meta said were not delivered, there is one message, and it is the one that was paused.
    let gone = [failed.as_str(), waiting[0]["wamid"].as_str().unwrap()];
    let received = world.received(&lena());
    let arrived: Vec<&str> = received
        .iter()
        .map(|one| one.wamid.as_str())
        .filter(|wamid| !gone.contains(wamid))
        .collect();
    assert_eq!(arrived, [delivered["wamid"].as_str().unwrap()]);
    world.ends_clean().await;
}
