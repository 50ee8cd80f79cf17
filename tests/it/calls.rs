//! Calls: what Meta tells of them becomes a call in the portal's CRM, once, whatever the order and whatever breaks.

use std::time::Duration;

use sandbox::{
    graph::{CallEnd, Customer},
    portal::{self, PhoneCall, When},
};
use serde_json::{Value, json};

use crate::world::{CLIENT_ID, Options, PATIENCE, World, lena};

async fn world() -> World {
    let world = World::start().await;
    world.without_limits().await;
    world
}

impl World {
    /// Waits until the portal's calls satisfy the condition; gives them.
    async fn phone_calls(
        &self,
        what: &str,
        condition: impl Fn(&[PhoneCall]) -> bool,
    ) -> Vec<PhoneCall> {
        let so = self
            .portals
            .wait_until(|_| condition(&self.portal.phone_calls()), PATIENCE)
            .await;
        assert!(
            so,
            "{what}: {:#?}\n{}",
            self.portal.phone_calls(),
            self.server.log_tail()
        );
        self.portal.phone_calls()
    }

    async fn told(&self, calls: &[Value]) {
        let changes: Vec<Value> = calls
            .iter()
            .map(|call| {
                let value = self.value(json!({ "calls": [call], "contacts": [
                    { "profile": { "name": "Lena" }, "wa_id": "4915755509876" },
                    { "profile": { "name": "Max" }, "user_id": "DE.4Hc9rT6bPn20" },
                ] }));
                json!({ "field": "calls", "value": value })
            })
            .collect();
        let body = json!({ "object": "whatsapp_business_account", "entry": [{ "id": "108200000000001", "changes": changes }] });
        self.webhook_body(&body).await;
    }
}

fn began(id: &str, from: &Value) -> Value {
    let mut call = json!({ "id": id, "event": "call_created", "timestamp": "1795400700", "direction": "USER_INITIATED", "to": "4915755501234" });
    call.as_object_mut()
        .unwrap()
        .extend(from.as_object().unwrap().clone());
    call
}

fn ended(id: &str, from: &Value) -> Value {
    let mut call = began(id, from);
    call.as_object_mut().unwrap().extend(
        json!({ "event": "terminate", "timestamp": "1795400790", "status": "COMPLETED", "start_time": "1795400705",
            "end_time": "1795400790", "duration": 85 })
        .as_object()
        .unwrap()
        .clone(),
    );
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_rings_at_the_responsible_employee_and_ends_in_the_crm() {
    let world = world().await;
    // Somebody known: the chat's lead, and whoever is responsible for it.
    world.customer_says(&lena(), "Hallo");
    world.operator_sees_text("Hallo").await;
    let lead = world.portal.leads()[0].id;
    let id = world.graph.customer_calls(&world.number, &lena());
    let rings = world
        .phone_calls("it rings", |calls| {
            calls.first().is_some_and(|call| !call.shown_to.is_empty())
        })
        .await;
    assert_eq!(rings[0].external_id, id);
    assert_eq!(
        (rings[0].shown_to.as_slice(), rings[0].kind),
        ([27].as_slice(), 2)
    );
    assert_eq!(rings[0].entity, Some(("LEAD".to_owned(), lead)));
    assert!(
        world
            .graph
            .end_call(&id, CallEnd::Answered(Duration::from_secs(42)))
    );
    let over = world
        .phone_calls("it is over", |calls| calls[0].end.is_some())
        .await;
    let end = over[0].end.as_ref().unwrap();
    assert_eq!((end.duration, end.status.as_str()), (42, "200"));
    // What the number's owner sees of it.
    let shown = world
        .api
        .until("calls", |calls| {
            calls["items"][0]["crm"]["state"] == "finished"
        })
        .await;
    let call = &shown["items"][0];
    assert_eq!(
        (&call["wacid"], &call["outcome"], &call["duration"]),
        (&json!(id), &json!("answered"), &json!(42))
    );
    assert_eq!(
        (&call["direction"], &call["customer"]["phone"]),
        (&json!("inbound"), &json!("4915755509876"))
    );
    assert_eq!(call["crm"]["entity"], json!({ "type": "LEAD", "id": lead }));
    assert_eq!(call["crm"]["activity"], json!(end.activity));

    // Missed, declined, not reached, failed: as such, in both directions.
    let ends = [
        (false, CallEnd::Missed, "304", "missed"),
        (true, CallEnd::Missed, "480", "unanswered"),
        (true, CallEnd::Declined, "603", "declined"),
        (
            true,
            CallEnd::Answered(Duration::from_secs(7)),
            "200",
            "answered",
        ),
        (false, CallEnd::Failed(138_020), "OTHER", "failed"),
    ];
    for (index, (by_business, end, code, outcome)) in ends.into_iter().enumerate() {
        let id = if by_business {
            world.graph.business_calls(&world.number, &lena())
        } else {
            world.graph.customer_calls(&world.number, &lena())
        };
        world.graph.end_call(&id, end);
        let calls = world
            .phone_calls(outcome, |calls| {
                calls.iter().filter(|call| call.end.is_some()).count() == index + 2
            })
            .await;
        let call = calls.iter().find(|call| call.external_id == id).unwrap();
        assert_eq!(call.end.as_ref().unwrap().status, code, "{outcome}");
        assert_eq!(call.kind, if by_business { 1 } else { 2 });
        let found = world
            .api
            .until(
                &format!("calls?wacid={}", id.replace('+', "%2B")),
                |calls| calls["items"][0]["outcome"] == outcome,
            )
            .await;
        assert_eq!(found["items"].as_array().unwrap().len(), 1);
    }
    let missed = world
        .api
        .get("calls?outcome=missed&direction=inbound")
        .await;
    assert_eq!(missed["items"].as_array().unwrap().len(), 1, "{missed}");
    let (status, _) = world.api.call("GET", "calls?outcome=odd", None).await;
    assert_eq!(status, 422);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn case_60_a_call_told_in_any_order_and_more_than_once_is_one_call() {
    let world = world().await;
    let phone = json!({ "from": "4915755509876" });
    let hidden = json!({ "from_user_id": "DE.4Hc9rT6bPn20" });
    // Swapped and doubled, in one body and in several.
    let (begin, end) = (began("wacid.A", &phone), ended("wacid.A", &phone));
    world.told(&[end.clone(), end.clone(), begin.clone()]).await;
    world.told(&[begin, end]).await;
    // The beginning was lost, and the caller hides the number.
    world.told(&[ended("wacid.B", &hidden)]).await;
    let calls = world
        .phone_calls("two calls", |calls| {
            calls.iter().filter(|call| call.end.is_some()).count() == 2
        })
        .await;
    world.comes_to_rest().await;
    assert_eq!(world.portal.phone_calls().len(), 2, "{calls:#?}");
    let of = |id: &str| calls.iter().find(|call| call.external_id == id).unwrap();
    assert_eq!(
        (of("wacid.A").phone.as_str(), of("wacid.B").phone.as_str()),
        ("+4915755509876", "anonymous")
    );
    assert!(
        of("wacid.A")
            .entity
            .as_ref()
            .is_some_and(|(kind, _)| kind == "LEAD"),
        "a lead was made"
    );
    assert_eq!(of("wacid.B").entity, None);
    for id in ["wacid.A", "wacid.B"] {
        assert_eq!(of(id).end.as_ref().unwrap().duration, 85, "{id}");
    }
    assert_eq!(of("wacid.A").began, "2026-11-23T02:25:00+00:00");
    let listed = world.api.get("calls").await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    let hidden = world.api.get("calls?q=max").await;
    assert_eq!(hidden["items"][0]["customer"]["user_id"], "DE.4Hc9rT6bPn20");
    assert_eq!(hidden["items"][0]["customer"]["phone"], Value::Null);
    // What says nothing of a call is kept, and the rest of the body goes on.
    world
        .told(&[json!({ "event": "terminate" }), ended("wacid.C", &phone)])
        .await;
    world
        .phone_calls("the third", |calls| {
            calls.iter().filter(|call| call.end.is_some()).count() == 3
        })
        .await;
    let events = world.api.get("events").await;
    assert!(events.to_string().contains("no id"), "{events}");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_limits_and_a_crash_make_no_call_twice_and_lose_none() {
    let mut world = world().await;
    let max = Customer::hidden("DE.4Hc9rT6bPn20", "Max");
    let faults = world.portal.faults();
    faults.set(portal::Fault::CutAfter, When::Next(1));
    let id = world.graph.customer_calls(&world.number, &lena());
    world
        .phone_calls("it rings", |calls| {
            calls.first().is_some_and(|call| !call.shown_to.is_empty())
        })
        .await;
    // The answer to the end gets lost; before that the portal is too busy.
    faults.set(portal::Fault::QueryLimitExceeded, When::Next(1));
    world
        .graph
        .end_call(&id, CallEnd::Answered(Duration::from_secs(5)));
    world
        .phone_calls("it is over", |calls| calls[0].end.is_some())
        .await;
    let hidden = world.graph.customer_calls(&world.number, &max);
    world
        .phone_calls("the second", |calls| calls.len() == 2)
        .await;
    world.server.kill();
    world.graph.end_call(&hidden, CallEnd::Missed);
    world.server.start().await;
    let calls = world
        .phone_calls("both are over", |calls| {
            calls.iter().filter(|call| call.end.is_some()).count() == 2
        })
        .await;
    assert_eq!(calls.len(), 2, "{calls:#?}");
    world
        .api
        .until("calls", |calls| {
            calls["items"]
                .as_array()
                .is_some_and(|items| items.iter().all(|call| call["crm"]["state"] == "finished"))
        })
        .await;
    world.comes_to_rest().await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_customer_says_about_being_called_stands_in_the_chat_and_beside_the_call() {
    let world = world().await;
    let reply = json!({ "type": "interactive", "interactive": { "type": "call_permission_reply", "call_permission_reply": {
        "response": "accept", "is_permanent": false, "expiration_timestamp": 1_796_004_923 } } });
    world.customer_sends(&lena(), reply);
    world.operator_sees_text("allows calls for some days").await;
    let id = world.graph.business_calls(&world.number, &lena());
    world.graph.end_call(&id, CallEnd::Missed);
    let calls = world
        .api
        .until("calls", |calls| {
            calls["items"][0]["outcome"] == "unanswered"
        })
        .await;
    let granted = json!({ "state": "granted", "until": "2026-11-30T02:15:23.000Z" });
    assert_eq!(calls["items"][0]["permission"], granted);
    let refusal = json!({ "type": "interactive", "interactive": { "type": "call_permission_reply", "call_permission_reply": {
        "response": "reject" } } });
    world.customer_sends(&lena(), refusal);
    let refused = json!({ "state": "refused", "until": null });
    world
        .api
        .until("calls", |calls| calls["items"][0]["permission"] == refused)
        .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_for_telephony_a_call_is_kept_and_follows_once_it_is_granted() {
    const WITHOUT: &str = "imconnector,imopenlines,im,messageservice,crm,placement";
    let world = world().await;
    let instance = format!("bitrix/instances/{}", world.instance);
    let granted = async |scope: &str| {
        world.portal.set_scope(CLIENT_ID, scope);
        world.portal.post_installation(CLIENT_ID).await;
        world
            .api
            .until(&instance, |instance| instance["scope"] == scope)
            .await;
    };
    granted(WITHOUT).await;
    let id = world.graph.customer_calls(&world.number, &lena());
    let waits = world
        .api
        .until("calls", |calls| {
            !calls["items"][0]["crm"]["problem"].is_null()
        })
        .await;
    let call = &waits["items"][0];
    assert_eq!(call["crm"]["state"], "waits");
    let problem = call["crm"]["problem"].as_str().unwrap();
    assert!(problem.contains("tick Telephony (telephony)"), "{problem}");
    let path = format!("calls/{}", call["id"].as_str().unwrap());
    let journey = world.api.get(&path).await["journey"].to_string();
    assert!(
        journey.contains("waits for the permission for telephony"),
        "{journey}"
    );
    // The administrator is told, in the language of whoever looks, and what to do.
    let of_telephony = |alarms: &Value| {
        let alarms = alarms["items"].as_array().unwrap().clone();
        alarms
            .into_iter()
            .find(|alarm| alarm["kind"] == "telephony")
    };
    let alarm = of_telephony(&world.api.get("alarms").await).unwrap();
    assert_eq!(alarm["subject"], json!(world.instance));
    assert!(alarm["text"].as_str().unwrap().contains("Permissions"));
    let russian = world.api.get_in("ru", "alarms").await;
    let russian = of_telephony(&russian).unwrap()["text"].to_string();
    assert!(russian.contains("«Настройке прав»"), "{russian}");
    let russian = world.api.get_in("ru", &path).await["crm"]["problem"].to_string();
    assert!(russian.contains("нет права на телефонию"), "{russian}");
    // The call ends meanwhile; messages are not held up by it.
    world
        .graph
        .end_call(&id, CallEnd::Answered(Duration::from_secs(9)));
    world.customer_says(&lena(), "Are you there?");
    world.operator_sees_text("Are you there?").await;
    assert!(world.portal.phone_calls().is_empty());

    granted(&format!("{WITHOUT},telephony")).await;
    world.server.sql("UPDATE lanes SET due_at = 1");
    let calls = world
        .phone_calls("it follows", |calls| {
            calls.first().is_some_and(|call| call.end.is_some())
        })
        .await;
    assert_eq!(calls[0].end.as_ref().unwrap().duration, 9);
    assert!(
        calls[0].shown_to.is_empty(),
        "a call that is over was shown"
    );
    world
        .api
        .until("alarms", |alarms| of_telephony(alarms).is_none())
        .await;
    let done = world
        .api
        .until(&path, |call| call["crm"]["state"] == "finished")
        .await;
    assert_eq!(done["crm"]["problem"], Value::Null);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_end_is_never_told_is_finished_as_such_and_a_late_end_corrects_what_it_can() {
    let mut options = Options::default();
    options
        .variables
        .insert("SEPARATOR_LONGEST_CALL", "2".to_owned());
    let world = World::with(options).await;
    world.without_limits().await;
    let phone = json!({ "from": "4915755509876" });
    world.told(&[began("wacid.LOST", &phone)]).await;
    let calls = world
        .phone_calls("it is finished", |calls| {
            calls.first().is_some_and(|call| call.end.is_some())
        })
        .await;
    let end = calls[0].end.clone().unwrap();
    assert_eq!((end.status.as_str(), end.duration), ("OTHER", 0));
    assert!(end.reason.contains("WhatsApp"), "{}", end.reason);
    let lost = world
        .api
        .until("calls?outcome=unknown", |calls| {
            calls["items"][0]["crm"]["state"] == "finished"
        })
        .await;
    let call = &lost["items"][0];
    assert_eq!(
        (&call["ended_at"], &call["duration"]),
        (&Value::Null, &json!(0))
    );
    let path = format!("calls/{}", call["id"].as_str().unwrap());
    let steps = |call: &Value| {
        let steps = call["journey"].as_array().unwrap().iter();
        steps
            .map(|step| step["step"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let shown = world.api.get(&path).await;
    assert!(
        steps(&shown).contains(&"its end was not told".to_owned()),
        "{shown:#}"
    );

    // The end comes after all: our record is right, and the CRM has one call as before.
    world.told(&[ended("wacid.LOST", &phone)]).await;
    let corrected = world
        .api
        .until(&path, |call| call["outcome"] == "answered")
        .await;
    assert_eq!(corrected["duration"], json!(85));
    assert_eq!(
        steps(&corrected).last().map(String::as_str),
        Some("told too late for the CRM"),
        "{corrected:#}"
    );
    world.comes_to_rest().await;
    let calls = world.portal.phone_calls();
    assert_eq!((calls.len(), calls[0].end.as_ref()), (1, Some(&end)));
    // Told within the limit, a call is what it was.
    world
        .told(&[began("wacid.B", &phone), ended("wacid.B", &phone)])
        .await;
    world
        .api
        .until("calls?wacid=wacid.B", |calls| {
            calls["items"][0]["outcome"] == "answered"
        })
        .await;
    world.ends_clean().await;
}
