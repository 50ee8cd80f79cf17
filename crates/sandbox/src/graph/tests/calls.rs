//! Sending and the calls around it.

use super::*;
use crate::graph::{Clock, Fault, Progress, Scope, Times, UnknownRecipients, part};

#[tokio::test]
async fn a_message_is_answered_received_and_reported() {
    let stage = stage().await;
    let mut body = text("Hallo");
    body["biz_opaque_callback_data"] = "row-7".into();
    let (status, answer) = stage.try_send(&body).await;
    assert_eq!(status, 200);
    assert_eq!(answer["contacts"][0]["input"], format!("+{PHONE}"));
    assert_eq!(answer["contacts"][0]["wa_id"], PHONE);
    let wamid = answer["messages"][0]["id"].as_str().unwrap();
    stage.reported(wamid, 2).await;

    let received = stage.graph.received(stage.number(), PHONE);
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].body["text"]["body"], "Hallo");
    assert_eq!(stage.inbox.statuses(wamid), ["sent", "delivered"]);
    let status = &stage.inbox.values()[0]["statuses"][0];
    assert_eq!(status["biz_opaque_callback_data"], "row-7");
    assert_eq!(status["recipient_id"], PHONE);
    assert!(
        status["recipient_user_id"]
            .as_str()
            .unwrap()
            .starts_with("DE.")
    );

    stage.graph.read(stage.number(), PHONE);
    stage.reported(wamid, 3).await;
    assert_eq!(stage.graph.progress(wamid), Some(Progress::Read));
    stage.graph.read_message(wamid);
    stage.settled().await;
    assert_eq!(stage.inbox.statuses(wamid), ["sent", "delivered", "read"]);
}

#[tokio::test]
async fn the_token_is_looked_at_before_everything_else() {
    let stage = stage().await;
    let path = format!("/{}/messages", stage.number());
    let answer = stage.raw("POST", &path, &[], b"{").await.unwrap();
    let value: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(value["error"]["code"], 100, "a body that is not JSON");

    let none = stage.raw("POST", &path, &[], b"{}").await.unwrap();
    assert_eq!(none.status, 401);
    let unknown = stage.call_as("EAAnobody", "POST", &path, &json!({})).await;
    assert_eq!((unknown.0, code(&unknown)), (401, (190, 0)));
    stage.graph.add_token("EAAold", Some(1));
    let old = stage.call_as("EAAold", "POST", &path, &json!({})).await;
    assert_eq!((old.0, code(&old)), (401, (190, 463)));
    let foreign = stage.call("POST", "/4711/messages", &text("x")).await;
    assert_eq!((foreign.0, code(&foreign)), (400, (100, 33)));
    let shapeless = stage.try_send(&json!({"to": "1"})).await;
    assert_eq!(code(&shapeless), (100, 0));
}

#[tokio::test]
async fn another_applications_token_does_not_see_the_number() {
    let stage = stage().await;
    stage.graph.add_app(crate::graph::Application {
        id: "other".into(),
        secret: "s".into(),
        access_token: "EAAother".into(),
        ..Default::default()
    });
    let path = format!("/{}", stage.number());
    let answer = stage.call_as("EAAother", "GET", &path, &Value::Null).await;
    assert_eq!(code(&answer), (100, 33));
    stage.graph.add_account_for("other", "2");
    stage.graph.add_phone("2", "22", "15550001111");
    let answer = stage.call_as("EAAother", "GET", "/22", &Value::Null).await;
    assert_eq!(answer.1["display_phone_number"], "+15 5500 01111");
}

#[tokio::test]
async fn a_closed_window_fails_all_but_templates() {
    let clock = Clock::standing_at(1_795_400_000_000);
    let stage = stage_with(|settings| settings.clock = clock.clone()).await;
    clock.advance(Duration::from_hours(25));
    let late = stage.send(&text("too late")).await;
    stage.reported(&late, 1).await;
    assert_eq!(stage.inbox.statuses(&late), ["failed"]);
    let status = stage.inbox.values()[0]["statuses"][0].clone();
    assert_eq!(status["errors"][0]["code"], 131_047);
    assert!(status["recipient_user_id"].is_null());
    assert!(stage.graph.received(stage.number(), PHONE).is_empty());

    let template = stage
        .send(&json!({
            "messaging_product": "whatsapp", "to": PHONE, "type": "template",
            "template": {"name": "hello_world", "language": {"code": "en_US"}},
        }))
        .await;
    stage.reported(&template, 2).await;
    let lena = Customer::with_phone(PHONE);
    stage
        .graph
        .customer_writes(stage.number(), &lena, part::reaction(&template, "👍"));
    let still = stage.send(&text("a reaction opens nothing")).await;
    stage.reported(&still, 1).await;
    assert_eq!(stage.graph.progress(&still), Some(Progress::Failed));
    stage
        .graph
        .customer_writes(stage.number(), &lena, part::text("Hi"));
    let now = stage.send(&text("in time")).await;
    stage.reported(&now, 2).await;
    assert_eq!(stage.graph.progress(&now), Some(Progress::Delivered));
}

#[tokio::test]
async fn a_user_id_belongs_into_recipient() {
    let stage = stage().await;
    let max = Customer::hidden("DE.4Hc9rT6bPn20", "Max");
    stage.graph.add_customer(&max);
    let mut body = text("Hi");
    body["to"] = "DE.4Hc9rT6bPn20".into();
    let lost = stage.send(&body).await;
    assert_eq!(stage.graph.progress(&lost), None);

    body.as_object_mut().unwrap().remove("to");
    body["recipient"] = "DE.4Hc9rT6bPn20".into();
    let (_, answer) = stage.try_send(&body).await;
    assert_eq!(answer["contacts"][0]["user_id"], "DE.4Hc9rT6bPn20");
    assert!(answer["contacts"][0]["wa_id"].is_null());
    let wamid = answer["messages"][0]["id"].as_str().unwrap();
    stage.reported(wamid, 2).await;
    let status = stage.inbox.values()[0]["statuses"][0].clone();
    assert!(status["recipient_id"].is_null());
    assert_eq!(stage.inbox.statuses(&lost), Vec::<String>::new());

    body["recipient"] = "DE.nobody".into();
    let stranger = stage.send(&body).await;
    stage.reported(&stranger, 1).await;
    let failure = stage.graph.wait_until(
        |world| {
            world
                .failure(&stranger)
                .is_some_and(|(code, _)| code == 131_026)
        },
        LIMIT,
    );
    assert!(failure.await);
}

#[tokio::test]
async fn unknown_recipients_can_be_made_undeliverable() {
    let stage = stage_with(|settings| {
        settings.unknown_recipients = UnknownRecipients::Undeliverable;
    })
    .await;
    let mut body = text("Hi");
    body["to"] = "4915755500000".into();
    let wamid = stage.send(&body).await;
    stage.reported(&wamid, 1).await;
    let error = &stage.inbox.values()[0]["statuses"][0]["errors"][0];
    assert_eq!(error["code"], 131_026);
}

#[tokio::test]
async fn faults_strike_where_they_are_told_to() {
    let stage = stage().await;
    let faults = stage.graph.faults();
    faults.set(Fault::Refused(130_429), Times::Next(1));
    assert_eq!(code(&stage.try_send(&text("a")).await), (130_429, 0));

    faults.set_for(
        Fault::FailedStatus(131_049),
        Times::Always,
        Scope::customer(PHONE),
    );
    let failed = stage.send(&text("b")).await;
    stage.reported(&failed, 1).await;
    assert_eq!(stage.graph.progress(&failed), Some(Progress::Failed));
    faults.clear();

    let user_id = {
        let state = stage
            .get(&format!("/sandbox/state?customer={PHONE}"))
            .await
            .1;
        state["customer"]["user_id"].as_str().unwrap().to_owned()
    };
    faults.set_for(
        Fault::Refused(131_026),
        Times::Always,
        Scope::customer(user_id),
    );
    let mut other = text("to somebody else");
    other["to"] = "4915755500000".into();
    assert_eq!(stage.try_send(&other).await.0, 200);
    assert_eq!(code(&stage.try_send(&text("to Lena")).await), (131_026, 0));
    faults.clear();

    faults.set(Fault::ServerError, Times::Next(1));
    let path = format!("/{}/messages", stage.number());
    let answer = stage.raw("POST", &path, &[], b"{}").await.unwrap();
    assert_eq!(answer.status, 500);
    assert!(answer.content_type.starts_with("text/html"));

    faults.set(Fault::ExpiredToken, Times::Next(1));
    assert_eq!(code(&stage.try_send(&text("c")).await), (190, 463));
    assert_eq!(code(&stage.try_send(&text("c")).await), (0, 0));
    assert_eq!(faults.count(Fault::Refused(0)), 2);
}

#[tokio::test]
async fn a_cut_line_leaves_open_what_happened() {
    let stage = stage().await;
    let headers = [("Authorization", "Bearer EAASANDBOXTOKEN")];
    let path = format!("/{}/messages", stage.number());
    let body = text("Hi").to_string();
    let faults = stage.graph.faults();
    faults.set(Fault::CutBefore, Times::Next(1));
    let cut = stage.raw("POST", &path, &headers, body.as_bytes()).await;
    assert!(cut.is_err());
    assert_eq!(stage.graph.counters().sends_accepted, 0);

    faults.set(Fault::CutAfter, Times::Next(1));
    let cut = stage.raw("POST", &path, &headers, body.as_bytes()).await;
    assert!(cut.is_err());
    let arrived = stage
        .graph
        .wait_until(
            |world| world.received_count(stage.number(), PHONE) == 1,
            LIMIT,
        )
        .await;
    assert!(arrived);
}

#[tokio::test]
async fn statuses_can_come_before_the_answer() {
    let stage = stage().await;
    stage.graph.faults().set(Fault::StatusFirst, Times::Next(1));
    let wamid = stage.send(&text("Hi")).await;
    assert_eq!(stage.inbox.statuses(&wamid), ["sent", "delivered"]);
}

#[tokio::test]
async fn limits_hold_when_they_are_on() {
    let stage = stage_with(|settings| settings.clock = Clock::standing_at(0)).await;
    for _ in 0..50 {
        stage.send(&text("free")).await;
    }
    stage.graph.faults().pair_limit(true);
    for _ in 0..45 {
        stage.send(&text("on credit")).await;
    }
    assert_eq!(code(&stage.try_send(&text("x")).await), (131_056, 0));
    stage.graph.clock().advance(Duration::from_secs(7));
    stage.send(&text("after a pause")).await;
    stage.graph.faults().pair_limit(false);
    stage.graph.faults().number_limit(true);
    for _ in 0..80 {
        stage.send(&text("fast")).await;
    }
    assert_eq!(code(&stage.try_send(&text("x")).await), (130_429, 0));
}

#[tokio::test]
async fn reading_marks_this_and_all_earlier_messages() {
    let stage = stage().await;
    let lena = Customer::with_phone(PHONE);
    let first = stage
        .graph
        .customer_writes(stage.number(), &lena, part::text("1"));
    let second = stage
        .graph
        .customer_writes(stage.number(), &lena, part::text("2"));
    let body = json!({
        "messaging_product": "whatsapp", "status": "read", "message_id": second,
        "typing_indicator": {"type": "text"},
    });
    let (_, answer) = stage.try_send(&body).await;
    assert_eq!(answer, json!({"success": true}));
    assert_eq!(stage.graph.progress(&first), Some(Progress::Read));
    let state = stage.get("/sandbox/state?customer=4915755509876").await.1;
    assert_eq!(state["thread"]["typing"], true);
    let body =
        json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.none"});
    assert_eq!(code(&stage.try_send(&body).await), (131_009, 0));
}

#[tokio::test]
async fn numbers_register_keep_settings_and_come_in_pages() {
    let stage = stage_with(|settings| settings.registered = false).await;
    assert_eq!(code(&stage.try_send(&text("x")).await), (133_010, 0));
    let path = |rest: &str| format!("/v25.0/{}/{rest}", stage.number());
    let pin = |pin: &str| json!({"messaging_product": "whatsapp", "pin": pin});
    let (status, _) = stage.call("POST", &path("register"), &pin("123456")).await;
    assert_eq!(status, 200);
    let wrong = stage.call("POST", &path("register"), &pin("654321")).await;
    assert_eq!(code(&wrong), (133_005, 0));
    stage.send(&text("x")).await;

    let server = json!({"hostname": "sip.example.com"});
    let settings = json!({"calling": {"status": "ENABLED", "sip": {"status": "ENABLED", "servers": [server]}}});
    stage.call("POST", &path("settings"), &settings).await;
    let (_, stored) = stage.get(&path("settings")).await;
    assert_eq!(stored["calling"]["sip"]["status"], "ENABLED");

    for id in 1..=4 {
        stage
            .graph
            .add_phone(&stage.settings.waba_id, &format!("90{id}"), "15550001111");
    }
    let list = format!(
        "/{}/phone_numbers?fields=id,status&limit=3",
        stage.settings.waba_id
    );
    let (_, first) = stage.get(&list).await;
    assert_eq!(first["data"].as_array().unwrap().len(), 3);
    let next = first["paging"]["next"].as_str().unwrap();
    let (_, last) = stage.get(next).await;
    assert_eq!(last["data"].as_array().unwrap().len(), 2);
    assert!(last["paging"]["next"].is_null());
    assert!(last["data"][0]["verified_name"].is_null());
}

#[tokio::test]
async fn templates_are_listed_made_and_removed() {
    let stage = stage().await;
    let path = format!("/{}/message_templates", stage.settings.waba_id);
    let (_, all) = stage.get(&path).await;
    let names: Vec<&str> = all["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|template| template["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"hello_world") && names.contains(&"order_ready"));
    let template = json!({
        "name": "new_one", "language": "de", "category": "UTILITY",
        "components": [{"type": "BODY", "text": "Hallo"}],
    });
    let (_, made) = stage.call("POST", &path, &template).await;
    assert_eq!(made["status"], "PENDING");
    let again = stage.call("POST", &path, &template).await;
    assert_eq!(code(&again), (100, 2_388_024));
    let id = made["id"].as_str().unwrap();
    assert_eq!(stage.get(&format!("/{id}")).await.1["name"], "new_one");
    stage
        .call("DELETE", &format!("{path}?name=new_one"), &Value::Null)
        .await;
    assert_eq!(code(&stage.get(&format!("/{id}")).await), (100, 33));
    let unknown = stage
        .try_send(&json!({
            "messaging_product": "whatsapp", "to": PHONE, "type": "template",
            "template": {"name": "hello_world", "language": {"code": "en"}},
        }))
        .await;
    assert_eq!(code(&unknown), (132_001, 0));
}

#[tokio::test]
async fn a_login_can_be_declined_at_once_and_leaves_no_secret_in_the_log() {
    let stage = stage().await;
    let app = &stage.settings.app_id;
    let dialog = format!(
        "/v25.0/dialog/oauth?client_id={app}&redirect_uri=https://conn.example/waba/callback/&state=s"
    );
    stage.graph.faults().set(Fault::LoginDenied, Times::Next(1));
    let answer = stage.raw("GET", &dialog, &[], &[]).await.unwrap();
    assert!(answer.location.unwrap().contains("error=access_denied"));

    let exchange = format!(
        "/oauth/access_token?client_id={app}&client_secret={}&code=none",
        stage.settings.app_secret
    );
    assert_eq!(code(&stage.get(&exchange).await), (100, 36_009));
    let log = stage.graph.requests();
    assert!(
        log.iter()
            .all(|request| !request.query.contains(&stage.settings.app_secret))
    );
}

#[tokio::test]
async fn the_page_is_served_and_its_calls_do_what_they_say() {
    let stage = stage().await;
    for path in ["/", "/page.js", "/page.css"] {
        assert_eq!(stage.raw("GET", path, &[], &[]).await.unwrap().status, 200);
    }
    stage
        .graph
        .set_links(vec![("Operator".into(), "http://127.0.0.1:1/".into())]);
    let (_, links) = stage.get("/sandbox/links").await;
    assert_eq!(links[0]["label"], "Operator");

    let (_, customer) = stage
        .call(
            "POST",
            "/sandbox/customers",
            &json!({"name": "Max", "username": "@max"}),
        )
        .await;
    let body = json!({
        "number": stage.number(), "customer": customer["id"],
        "message": {"type": "text", "text": {"body": "Hi"}},
    });
    let (_, written) = stage.call("POST", "/sandbox/messages", &body).await;
    stage.reported(written["wamid"].as_str().unwrap(), 1).await;
    let contact = &stage.inbox.values()[0]["contacts"][0];
    assert_eq!(contact["profile"]["username"], "max");
    assert!(contact["wa_id"].is_null());

    let plain = [("Content-Type", "text/plain")];
    let foreign = stage
        .raw(
            "POST",
            "/sandbox/messages",
            &plain,
            body.to_string().as_bytes(),
        )
        .await
        .unwrap();
    assert_eq!(foreign.status, 415, "a form of a foreign page cannot write");

    let fault = json!({"fault": "refused", "value": 131_056, "times": 1});
    stage.call("POST", "/sandbox/faults", &fault).await;
    let (_, state) = stage.get("/sandbox/state").await;
    assert_eq!(state["faults"]["rules"][0]["value"], 131_056);
    assert_eq!(code(&stage.try_send(&text("x")).await), (131_056, 0));
    let bad = stage
        .call(
            "POST",
            "/sandbox/faults",
            &json!({"fault": "none such", "times": 1}),
        )
        .await;
    assert_eq!(bad.0, 422);
}

#[tokio::test]
async fn after_a_stop_nobody_answers() {
    let stage = stage().await;
    assert_eq!(stage.get("/sandbox/links").await.0, 200);
    stage.graph.stop().await;
    assert!(stage.raw("GET", "/sandbox/links", &[], &[]).await.is_err());
}
