//! Customers who want no marketing messages: known from Meta's callback or its refusal, refused before Meta is asked, lifted
//! again; and the way that Meta has for marketing templates.

use sandbox::{
    graph::{Fault, Times},
    portal::{Chat, Sender, SmsToSend, StepKind},
};
use serde_json::{Value, json};

use crate::world::{World, lena};

const WABA: &str = "108200000000001";

/// A customer who wrote a moment ago, and a catalogue with a marketing template.
async fn opened() -> (World, Chat) {
    let world = World::start().await;
    world.without_limits().await;
    let console = world.graph.console();
    console.set_template_status(WABA, "spring_sale", "en", "REINSTATED", "NONE");
    world.knows_templates().await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    (world, chat)
}

impl World {
    async fn opted_out(&self, stopped: bool) {
        let path = format!("waba/phones/{}/conversations", self.phone);
        self.api
            .until(&path, |list| {
                let at = &list["items"][0]["marketing_stopped_at"];
                at.is_string() == stopped
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stopped_marketing_gets_none_from_anywhere_until_it_is_resumed() {
    let (mut world, chat) = opened().await;
    let number = format!("waba/phones/{}", world.phone);
    world
        .api
        .patch(&number, json!({ "sms_service": true }))
        .await;
    world.phone_is("connected").await;
    world
        .graph
        .customer_chooses_marketing(&world.number, &lena(), true);
    world.opted_out(true).await;
    world.note("no more marketing messages").await;
    // The chat, the API, a robot and an SMS: each is told so, and Meta is not asked.
    world.operator_says(&chat, "template-spring_sale+en");
    world.note("is a marketing template").await;
    let path = format!("waba/phones/{}/messages", world.phone);
    for body in [
        json!({ "to": "4915755509876", "shortcode": "template-spring_sale+en" }),
        json!({ "to": "4915755509876", "template": { "name": "spring_sale", "language": "en" } }),
    ] {
        let (status, problem) = world.api.call("POST", &path, Some(body)).await;
        assert_eq!(status, 422, "{problem:#}");
        assert!(
            problem.to_string().contains("no marketing messages"),
            "{problem:#}"
        );
    }
    let token = world
        .portal
        .run_step(
            StepKind::Robot,
            "separator_template",
            &[("phone", "4915755509876"), ("template", "spring_sale+en")],
        )
        .unwrap();
    world
        .portals
        .wait_until(
            |_| {
                let step = world.portal.step(&token);
                step.is_some_and(|step| step.results.is_some())
            },
            crate::world::PATIENCE,
        )
        .await;
    let results = world.portal.step(&token).unwrap().results.unwrap();
    assert_eq!(results["status"], "failed");
    assert!(
        results.to_string().contains("no marketing messages"),
        "{results:#}"
    );
    let sms = world
        .portal
        .send_sms(&SmsToSend {
            code: format!("separator_{}", world.number),
            to: "+49 1575 5509876".to_owned(),
            text: "spring_sale+en".to_owned(),
            sender: Sender::Crm,
            author: Some(27),
        })
        .unwrap();
    let told = |world: &World| {
        let all = world.portal.sms();
        all.iter()
            .any(|one| one.message_id == sms && one.status == "failed")
    };
    let told = world
        .portals
        .wait_until(|_| told(&world), crate::world::PATIENCE)
        .await;
    assert!(told, "{:#?}", world.portal.sms());
    // Anything else goes.
    world.operator_says(&chat, "template-delivery_note+en+Lena|A-1");
    world.customer_receives(&lena(), 1).await;
    let asked = world.graph.requests().into_iter().any(|request| {
        request.method == "POST" && String::from_utf8_lossy(&request.body).contains("spring_sale")
    });
    assert!(!asked, "Meta was not asked");

    world
        .graph
        .customer_chooses_marketing(&world.number, &lena(), false);
    world.opted_out(false).await;
    world.note("takes marketing messages").await;
    world.operator_says(&chat, "template-spring_sale+en");
    let received = world.customer_receives(&lena(), 2).await;
    assert_eq!(received[1].body["template"]["name"], "spring_sale");

    // Meta's refusal says the same, at once and afterwards; what stood in the queue meanwhile is not tried.
    for fault in [Fault::FailedStatus(131_050), Fault::Refused(131_050)] {
        world.graph.faults().set(fault, Times::Next(1));
        world.operator_says(&chat, "template-spring_sale+en");
        world.opted_out(true).await;
        world
            .graph
            .customer_chooses_marketing(&world.number, &lena(), false);
        world.opted_out(false).await;
    }
    world
        .graph
        .faults()
        .set(Fault::Refused(131_056), Times::Always);
    world.operator_says(&chat, "template-spring_sale+en");
    let waits = |list: &Value| {
        let newest = &list["items"][0];
        newest["state"] == "queued" && newest["type"] == "template"
    };
    let list = world.api.until("messages?direction=outbound", waits).await;
    let id = list["items"][0]["id"].as_str().unwrap().to_owned();
    world
        .graph
        .customer_chooses_marketing(&world.number, &lena(), true);
    world.opted_out(true).await;
    world
        .graph
        .faults()
        .set(Fault::Refused(131_056), Times::Next(0));
    let failed = world
        .api
        .until(&format!("messages/{id}"), |message| {
            message["state"] == "failed"
        })
        .await;
    assert_eq!(failed["error"]["code"], "131050");
    assert!(failed["marketing_stopped_at"].is_string());
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), 2);
    // What was refused stays to be seen among the dead letters.
    world.server.stop().await;
    world.server.check_log(&[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn marketing_templates_go_by_metas_own_way_for_them_where_it_asks_for_that() {
    let (mut world, chat) = opened().await;
    world.graph.console().set_marketing_elsewhere(WABA, true);
    let edges = || -> Vec<String> {
        let requests = world.graph.requests();
        let sends = requests.iter().filter(|request| {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            request.method == "POST" && body["type"] == "template"
        });
        sends
            .map(|request| request.path.rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    for count in 1..=2 {
        world.operator_says(&chat, "template-spring_sale+en");
        world.customer_receives(&lena(), count).await;
    }
    // Asked once, known from then on.
    assert_eq!(
        edges(),
        ["messages", "marketing_messages", "marketing_messages"]
    );
    world.operator_says(&chat, "template-delivery_note+en+Lena|A-1");
    world.customer_receives(&lena(), 3).await;
    assert_eq!(edges()[3..], ["messages"]);
    // A number may say so itself, and may be told never to.
    let path = format!("waba/phones/{}/messaging", world.phone);
    world
        .api
        .patch(&path, json!({ "marketing_route": "messages" }))
        .await;
    world.operator_says(&chat, "template-spring_sale+en");
    world.note("131063").await;
    world.graph.console().set_marketing_elsewhere(WABA, false);
    world
        .api
        .patch(&path, json!({ "marketing_route": "marketing_messages" }))
        .await;
    world.operator_says(&chat, "template-spring_sale+en");
    world.customer_receives(&lena(), 4).await;
    assert_eq!(edges()[4..], ["messages", "marketing_messages"]);
    world.comes_to_rest().await;
    // What was refused stays to be seen among the dead letters.
    world.server.stop().await;
    world.server.check_log(&[]);
}
