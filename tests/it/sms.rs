//! A number as an SMS provider of its portal: published with the flag, sending codes and texts, telling what became of them.

use std::time::Duration;

use sandbox::{
    graph::{Fault, Times},
    portal::{Author, Refusal, Sender, SmsToSend},
};
use serde_json::{Value, json};

use crate::world::{Options, PATIENCE, World, lena};

/// A number that is offered as a provider, and the provider's code.
async fn provider() -> (World, String) {
    let mut options = Options::default();
    options.behaviour.record_parameters = true;
    let world = World::with(options).await;
    world.without_limits().await;
    world.knows_templates().await;
    let path = format!("waba/phones/{}", world.phone);
    world.api.patch(&path, json!({ "sms_service": true })).await;
    world.phone_is("connected").await;
    let code = format!("separator_{}", world.number);
    (world, code)
}

pub fn sms(code: &str, to: &str, text: &str) -> SmsToSend {
    SmsToSend {
        code: code.to_owned(),
        to: to.to_owned(),
        text: text.to_owned(),
        sender: Sender::Crm,
        author: Some(27),
    }
}

impl World {
    /// Waits until an SMS has a status in the portal.
    pub async fn sms_is(&self, id: &str, status: &str) {
        let is = |world: &Self| {
            world
                .portal
                .sms()
                .iter()
                .any(|sms| sms.message_id == id && sms.status == status)
        };
        let told = self.portals.wait_until(|_| is(self), PATIENCE).await;
        assert!(
            told,
            "{status}: {:#?}\n{}",
            self.portal.sms(),
            self.server.log_tail()
        );
    }
}

impl World {
    /// What the portal was told of an SMS, in order, as far as it took it.
    pub fn sms_statuses(&self, id: &str) -> Vec<String> {
        let calls = self.portal.calls().into_iter();
        calls
            .filter(|call| {
                call.method == "messageservice.message.status.update"
                    && call.status == 200
                    && call.params["MESSAGE_ID"] == *id
            })
            .filter_map(|call| call.params["STATUS"].as_str().map(str::to_owned))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_and_texts_from_the_crm_arrive_and_their_statuses_come_back() {
    let (world, code) = provider().await;
    // To somebody who never wrote, in the CRM's notation, from an automation without any proof of its own.
    let robot = SmsToSend {
        sender: Sender::Workflow,
        author: None,
        ..sms(&code, "+49 (1575) 550-9876", "delivery_note+en+Lena|A-1")
    };
    let first = world.portal.send_sms(&robot).unwrap();
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["template"]["name"], "delivery_note");
    world.sms_is(&first, "delivered").await;
    // Operators see it as said by nobody, and it does not come back as an event.
    let chat = world
        .operator_sees_text("Hello Lena, your parcel A-1")
        .await;
    assert!(
        chat.messages
            .iter()
            .all(|message| message.author == Author::System)
    );
    // Outside the 24 hours a text needs a template.
    let refused = world
        .portal
        .send_sms(&sms(&code, "01575 5509876", "Ihr Paket ist da"))
        .unwrap();
    world.sms_is(&refused, "failed").await;
    world.note("no template for plain texts").await;
    world
        .graph
        .console()
        .add_template("108200000000001", "news", "en_US", "News: {{1}} Bye.");
    world.knows_templates().await;
    let messaging = format!("waba/phones/{}/messaging", world.phone);
    world
        .api
        .patch(&messaging, json!({ "wrapper_template": "news" }))
        .await;
    let wrapped = world
        .portal
        .send_sms(&sms(&code, "01575 5509876", "Ihr Paket ist da"))
        .unwrap();
    world.sms_is(&wrapped, "delivered").await;
    let received = world.customer_receives(&lena(), 2).await;
    assert_eq!(received[1].body["template"]["name"], "news");
    // Inside them it goes as it is; the code needs no prefix and may have one.
    world.customer_says(&lena(), "Hallo");
    world.operator_sees_text("Hallo").await;
    let text = world
        .portal
        .send_sms(&sms(&code, "4915755509876", "Guten Tag"))
        .unwrap();
    world.sms_is(&text, "delivered").await;
    let coded = world
        .portal
        .send_sms(&sms(&code, "4915755509876", "template-hello_world"))
        .unwrap();
    world.sms_is(&coded, "delivered").await;
    let received = world.customer_receives(&lena(), 4).await;
    assert_eq!(received[2].body["text"]["body"], "Guten Tag");
    assert_eq!(received[3].body["template"]["name"], "hello_world");
    assert_eq!(world.portal.chats().len(), 1, "one person, one chat");
    // What does not arrive is told as such, whoever says so and when.
    for (fault, status) in [
        (Fault::FailedStatus(131_026), "undelivered"),
        (Fault::Refused(131_009), "failed"),
    ] {
        world.graph.faults().set(fault, Times::Next(1));
        let id = world
            .portal
            .send_sms(&sms(&code, "4915755509876", "Noch da?"))
            .unwrap();
        world.sms_is(&id, status).await;
    }
    for (to, body) in [
        ("12", "hello_world"),
        ("not a number", "hello_world"),
        ("4915755501234", "hello_world"),
        ("4915755509876", "template-helo"),
        ("4915755509876", "template-delivery_note+en+x"),
        ("4915755509876", ""),
    ] {
        let id = world.portal.send_sms(&sms(&code, to, body)).unwrap();
        world.sms_is(&id, "failed").await;
    }
    world.server_has_no_more_than(&lena(), 4).await;
}

impl World {
    /// Ends a test in which Meta refused something.
    async fn server_has_no_more_than(mut self, customer: &sandbox::graph::Customer, count: usize) {
        self.comes_to_rest().await;
        assert_eq!(self.received(customer).len(), count);
        self.server.stop().await;
        self.server.check_log(&[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_takes_only_its_own_portals_sms_each_once_and_the_flag_takes_it_away() {
    let (world, code) = provider().await;
    let handler = world.sms_handler();
    let post = |url: String, id: &str, token: Option<&str>| {
        let mut form = vec![
            ("type", "SMS".to_owned()),
            ("code", code.clone()),
            ("message_id", id.to_owned()),
            ("message_to", "+4915755509876".to_owned()),
            ("message_body", "hello_world".to_owned()),
        ];
        if let Some(token) = token {
            form.push(("auth[member_id]", world.portal.member_id().to_owned()));
            form.push(("auth[application_token]", token.to_owned()));
        }
        let request = world.api.http.post(url).form(&form);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post(handler.clone(), "a", None).await, 200);
    assert_eq!(post(handler.clone(), "a", None).await, 200);
    assert_eq!(post(handler.clone(), "b", Some("wrong")).await, 401);
    let without = handler.split("&mark=").next().unwrap().to_owned();
    for wrong in [
        without.clone(),
        format!("{without}&mark=AAAA"),
        handler.replace(&world.phone, "0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90"),
        format!("{}/api/bitrix/sms/", world.server.url()),
    ] {
        assert_eq!(post(wrong.clone(), "c", None).await, 401, "{wrong}");
    }
    world.customer_receives(&lena(), 1).await;
    world.is_translated().await;
    assert_eq!(
        world.received(&lena()).len(),
        1,
        "the same SMS is sent once"
    );
    let path = format!("waba/phones/{}", world.phone);
    let messaging = format!("{path}/messaging");
    world
        .api
        .patch(&messaging, json!({ "mirror": false }))
        .await;
    let chats = world.portal.chats()[0].messages.len();
    assert_eq!(post(handler.clone(), "d", None).await, 200);
    world.customer_receives(&lena(), 2).await;
    world.is_translated().await;
    assert_eq!(
        world.portal.chats()[0].messages.len(),
        chats,
        "nothing is shown in the chat"
    );
    world
        .api
        .patch(&path, json!({ "sms_service": false }))
        .await;
    world.phone_is("connected").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while world.portal.send_sms(&sms(&code, "1", "x")) != Err(Refusal::NoSuchSender) {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the provider is still there"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Bitrix24 knows nothing of an SMS that was posted by hand; that is tried for a while and holds nobody up.
    let waiting: Value = world.api.get("queue").await;
    assert_eq!(waiting["dead_letters"].as_array().map_or(0, Vec::len), 0);
}

impl World {
    /// Waits until nothing that was acknowledged waits to be translated. What is told of an SMS that the portal does not
    /// know waits longer.
    async fn is_translated(&self) {
        self.api
            .until("queue", |queue| queue["receipts"]["depth"] == 0)
            .await;
    }

    /// The address that the portal was given for its SMS.
    pub fn sms_handler(&self) -> String {
        let calls = self.portal.calls();
        let call = calls
            .iter()
            .rev()
            .find(|call| call.method == "messageservice.sender.add")
            .expect("a provider was added");
        call.params["HANDLER"].as_str().unwrap().to_owned()
    }
}
