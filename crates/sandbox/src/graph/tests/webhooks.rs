//! What is delivered to the receiver, and how.

use super::*;
use crate::graph::{Application, Fault, Progress, Signature, Times, part};

fn lena() -> Customer {
    Customer::with_phone(PHONE).named("Lena")
}

#[tokio::test]
async fn a_customers_message_arrives_signed_and_in_ascii() {
    let stage = stage().await;
    let wamid = stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("Grüße 👋 a/b"));
    stage.reported(&wamid, 1).await;
    assert_eq!(stage.graph.progress(&wamid), Some(Progress::Delivered));
    let (headers, body) = stage.inbox.posts().remove(0);
    let signature = escape::hmac(&stage.settings.app_secret, &body);
    assert_eq!(
        headers["x-hub-signature-256"],
        format!("sha256={signature}")
    );
    assert!(body.is_ascii());
    assert!(String::from_utf8_lossy(&body).contains(r"Gr\u00fc\u00dfe \ud83d\udc4b a\/b"));
    let body = stage.inbox.bodies().remove(0);
    assert_eq!(body["entry"][0]["id"], stage.settings.waba_id.as_str());
    let value = &body["entry"][0]["changes"][0]["value"];
    assert_eq!(value["metadata"]["phone_number_id"], stage.number());
    assert_eq!(value["contacts"][0]["profile"]["name"], "Lena");
    assert_eq!(value["messages"][0]["from"], PHONE);
    assert_eq!(value["messages"][0]["id"], wamid.as_str());
}

#[tokio::test]
async fn who_hides_the_phone_is_known_by_the_user_id_only() {
    let stage = stage().await;
    let max = Customer::hidden("DE.4Hc9rT6bPn20", "Max");
    let wamid = stage
        .graph
        .customer_writes(stage.number(), &max, part::text("Hi"));
    stage.reported(&wamid, 1).await;
    let value = stage.inbox.values().remove(0);
    assert!(value["messages"][0].get("from").is_none());
    assert_eq!(value["messages"][0]["from_user_id"], "DE.4Hc9rT6bPn20");
    assert!(value["contacts"][0].get("wa_id").is_none());
}

#[tokio::test]
async fn a_changed_number_is_told_once_and_used_from_then_on() {
    let stage = stage().await;
    stage
        .graph
        .customer_changes_number(stage.number(), &lena(), "4915755507777");
    let wamid = stage.graph.customer_writes(
        stage.number(),
        &Customer::with_phone("4915755507777"),
        part::text("new"),
    );
    stage.reported(&wamid, 1).await;
    let values = stage.inbox.values();
    let system = &values[0]["messages"][0];
    assert_eq!(system["from"], PHONE);
    assert_eq!(system["system"]["wa_id"], "4915755507777");
    assert_ne!(
        system["system"]["user_id"],
        system["system"]["previous_user_id"]
    );
    assert!(values[0].get("contacts").is_none());
    assert_eq!(
        values[1]["messages"][0]["from_user_id"],
        system["system"]["user_id"]
    );
    assert_eq!(values[1]["contacts"][0]["profile"]["name"], "Lena");
}

#[tokio::test]
async fn what_was_not_taken_is_repeated_and_order_is_kept() {
    let stage = stage().await;
    stage.inbox.answer_with([503, 500, 502]);
    for body in ["1", "2", "3"] {
        stage
            .graph
            .customer_writes(stage.number(), &lena(), part::text(body));
    }
    stage.settled().await;
    assert_eq!(stage.inbox.texts(), ["1", "1", "1", "1", "2", "3"]);
    let counters = stage.graph.counters();
    assert_eq!(
        (counters.webhooks_posted, counters.webhooks_accepted),
        (6, 3)
    );
}

#[tokio::test]
async fn what_is_refused_holds_up_nobody() {
    let stage = stage_with(|settings| settings.retry.first = LIMIT).await;
    stage.inbox.answer_with([401, 401]);
    for body in ["1", "2"] {
        stage
            .graph
            .customer_writes(stage.number(), &lena(), part::text(body));
    }
    let second = stage
        .graph
        .wait_until(|world| world.counters().updates_accepted == 1, LIMIT)
        .await;
    assert!(second);
    assert_eq!(stage.inbox.texts(), ["1", "1", "2"]);
    stage.graph.retry_now();
    stage.settled().await;
    assert_eq!(stage.inbox.texts(), ["1", "1", "2", "1"]);
}

#[tokio::test]
async fn without_a_callback_webhooks_wait_for_one() {
    let stage = stage_with(|settings| settings.callback_url = None).await;
    let wamid = stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("early"));
    assert_eq!(stage.graph.counters().updates_waiting(), 1);
    stage.graph.set_callback(&stage.receiver);
    stage.reported(&wamid, 1).await;
    assert_eq!(stage.inbox.texts(), ["early"]);
}

#[tokio::test]
async fn updates_are_gathered_across_numbers() {
    let stage = stage().await;
    stage.graph.add_account("2");
    stage.graph.add_phone("2", "22", "15550001111");
    let faults = stage.graph.faults();
    faults.set(Fault::WebhookBatched(6), Times::Always);
    faults.set(Fault::WebhookHeld, Times::Always);
    for body in ["1", "2", "3"] {
        stage
            .graph
            .customer_writes(stage.number(), &lena(), part::text(body));
        stage.graph.customer_writes("22", &lena(), part::text(body));
    }
    assert_eq!(stage.graph.counters().webhooks_posted, 0);
    faults.off(Fault::WebhookHeld);
    stage.settled().await;
    assert_eq!(stage.inbox.texts(), ["1", "1", "2", "2", "3", "3"]);
    assert_eq!(stage.inbox.bodies().len(), 1);
    assert_eq!(stage.inbox.bodies()[0]["entry"][1]["id"], "2");
}

#[tokio::test]
async fn webhooks_come_twice_unsigned_or_backwards_when_told_to() {
    let stage = stage().await;
    let faults = stage.graph.faults();
    faults.set(Fault::WebhookDuplicate, Times::Next(1));
    stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("twice"));
    stage.settled().await;
    assert_eq!(stage.inbox.texts(), ["twice", "twice"]);

    faults.set(Fault::WebhookUnsigned, Times::Next(1));
    faults.set(Fault::WebhookWrongSignature, Times::Next(1));
    stage.inbox.answer_with([401, 401]);
    stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("forged"));
    stage.settled().await;
    let posts = stage.inbox.posts();
    assert!(posts[2].0.get("x-hub-signature-256").is_none());
    assert_ne!(
        posts[3].0["x-hub-signature-256"],
        posts[4].0["x-hub-signature-256"]
    );

    faults.set(Fault::WebhookReordered, Times::Always);
    let wamid = stage.send(&text("Hi")).await;
    stage.reported(&wamid, 2).await;
    assert_eq!(stage.inbox.statuses(&wamid), ["delivered", "sent"]);
}

#[tokio::test]
async fn bytes_can_be_delivered_by_hand() {
    let stage = stage().await;
    for signature in [Signature::Right, Signature::Wrong, Signature::Missing] {
        let status = stage.graph.deliver_raw("{}", signature).await.unwrap();
        assert_eq!(status, 200);
    }
    let posts = stage.inbox.posts();
    let right = format!("sha256={}", escape::hmac(&stage.settings.app_secret, b"{}"));
    assert_eq!(posts[0].0["x-hub-signature-256"], right);
    assert_ne!(posts[1].0["x-hub-signature-256"], right);
    assert!(posts[2].0.get("x-hub-signature-256").is_none());
}

#[tokio::test]
async fn a_callback_is_asked_before_it_is_used() {
    let stage = stage().await;
    stage.graph.handshake().await.unwrap();
    assert!(stage.graph.handshake_with("wrong").await.is_err());

    let path = format!("/{}/subscribed_apps", stage.settings.waba_id);
    let mut other = stage.receiver.clone();
    other.set_path("/other/");
    let body =
        |token: &str| json!({"override_callback_uri": other.as_str(), "verify_token": token});
    let (status, _) = stage.call("POST", &path, &body("wrong")).await;
    assert_eq!(status, 400);
    let (status, _) = stage
        .call("POST", &path, &body("sandbox-verify-token"))
        .await;
    assert_eq!(status, 200);
    let (_, list) = stage.get(&path).await;
    assert_eq!(list["data"][0]["override_callback_uri"], other.as_str());

    stage.call("DELETE", &path, &Value::Null).await;
    stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("unheard"));
    assert_eq!(stage.graph.counters().updates_unsubscribed, 1);
    stage.call("POST", &path, &Value::Null).await;
    stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("heard"));
    stage.settled().await;
    assert_eq!(stage.inbox.texts(), ["heard"]);
}

#[tokio::test]
async fn each_application_is_told_with_its_own_signature() {
    let stage = stage().await;
    stage.graph.add_app(Application {
        id: "other".into(),
        secret: "other secret".into(),
        callback_url: Some(stage.receiver.clone()),
        ..Application::default()
    });
    stage
        .graph
        .add_account_for("other", &stage.settings.waba_id);
    let wamid = stage
        .graph
        .customer_writes(stage.number(), &lena(), part::text("both"));
    stage.reported(&wamid, 2).await;
    let posts = stage.inbox.posts();
    let mut signatures: Vec<String> = posts
        .iter()
        .map(|(headers, _)| headers["x-hub-signature-256"].to_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<String> = [stage.settings.app_secret.as_str(), "other secret"]
        .iter()
        .map(|secret| format!("sha256={}", escape::hmac(secret, &posts[0].1)))
        .collect();
    signatures.sort();
    expected.sort();
    assert_eq!(signatures, expected);
}

#[tokio::test]
async fn other_fields_go_to_the_applications_callback() {
    let stage = stage().await;
    let value = json!({"event": "ACCOUNT_VIOLATION"});
    stage
        .graph
        .webhook(&stage.settings.waba_id, "account_update", &value);
    stage.settled().await;
    let change = &stage.inbox.bodies()[0]["entry"][0]["changes"][0];
    assert_eq!(change["field"], "account_update");
    assert_eq!(change["value"], value);
}

#[tokio::test]
async fn many_lanes_keep_the_order_of_each_customer() {
    let stage = stage_with(|settings| settings.webhook_lanes = 8).await;
    for round in 0..20 {
        for customer in 0..10 {
            let customer = Customer::with_phone(format!("49157555{customer:05}"));
            let body = format!("{} {round:02}", customer.phone.as_deref().unwrap());
            stage
                .graph
                .customer_writes(stage.number(), &customer, part::text(&body));
        }
    }
    stage.settled().await;
    let texts = stage.inbox.texts();
    assert_eq!(texts.len(), 200);
    for customer in 0..10 {
        let prefix = format!("49157555{customer:05}");
        let own: Vec<&String> = texts
            .iter()
            .filter(|text| text.starts_with(&prefix))
            .collect();
        assert!(own.is_sorted() && own.len() == 20);
    }
}
