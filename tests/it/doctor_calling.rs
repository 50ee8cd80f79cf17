//! The doctor's checks of calls: one fault is seeded, one check turns red; and Meta's word about calls, which is asked for
//! without anybody choosing anything.

use std::{collections::BTreeSet, time::Duration};

use sandbox::graph::CallingFaults;
use separator::time::Clock;
use serde_json::{Value, json};

use crate::{
    doctor::{all_is_well, examine, finds, in_state, mended, proven},
    world::{World, lena},
};

/// What was found when the telephone server was looked at last, as it is kept.
fn report(severity: &str, finding: &Value, days: u32) -> String {
    let day = Duration::from_hours(24);
    let now = Clock::System.now();
    json!({
        "address": { "host": "sip.example.invalid", "port": 5061, "readable": null, "removed": [] },
        "at": now, "milliseconds": 80,
        "found": [{ "address": null, "severity": severity, "finding": finding }],
        "certificate": { "names": ["sip.example.invalid"], "issuer": "Test", "from": now - day * 80, "until": now + day * days },
    })
    .to_string()
}

impl World {
    /// Has the last look at the telephone server be this one, and the next one be far away.
    async fn server_was(&mut self, report: &str) {
        self.server.kill();
        self.server.sql(&format!(
            "UPDATE calling SET report = '{report}', check_at = 9000000000000"
        ));
        self.server.start().await;
    }

    /// Has it be an hour since Meta was asked.
    async fn an_hour_later(&mut self) {
        self.server.kill();
        self.server.sql("UPDATE calling SET applied_at = 1");
        self.server.start().await;
    }

    async fn calling(&self, action: &str) -> Value {
        let path = format!("waba/phones/{}/calling/{action}", self.phone);
        self.api.create(&path, json!({})).await
    }

    fn calling_fails(&self, faults: CallingFaults) {
        self.graph.calling_faults(&self.number, faults);
    }

    /// Meta says that calls cannot arrive.
    fn calls_are_blocked(&self) {
        let error = json!({ "error_code": 138_025, "error_description": "This app has no SIP server.", "possible_solution": "Enter one." });
        let health = json!({ "can_send_message": "BLOCKED", "entities": [
            { "entity_type": "APP", "id": "1", "can_send_message": "AVAILABLE", "can_receive_call_sip": "BLOCKED", "errors": [error] },
        ] });
        self.graph.says(&self.number, "health_status", health);
    }
}

/// Looks at everything and expects this check to be red beside that of the telephone server, which is looked at anew after
/// every save and leads nowhere here; gives it.
async fn finds_too(world: &World, check: &str) -> Value {
    let doctor = examine(world).await;
    let wanted = BTreeSet::from([check.to_owned(), "calling_server".to_owned()]);
    assert_eq!(in_state(&doctor, "fault"), wanted, "{doctor:#}");
    let checks = doctor["checks"].as_array().unwrap().iter();
    let mut found = checks.filter(|one| one["id"] == check && one["state"] == "fault");
    found.next().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_fault_of_calls_turns_one_check_red() {
    let mut world = proven().await;
    let phone = format!("waba/phones/{}", world.phone);
    let app = crate::world::Options::default().graph.app_id;
    all_is_well(&world).await;
    // The app is subscribed to everything that we use.
    let doctor = world.api.get("doctor").await;
    let checks = doctor["checks"].as_array().unwrap();
    let fields = checks.iter().find(|check| check["id"] == "app_fields");
    let subject = &fields.unwrap()["subject"];
    let repair = json!({ "check": "app_fields", "subject": subject });
    world.api.create("doctor/repair", repair).await;
    let enable =
        json!({ "calling": "enabled", "sip": "enabled", "sip_hostname": "sip.example.invalid" });
    world.api.patch(&phone, enable).await;
    world
        .api
        .until(&phone, |phone| {
            phone["calling_status"]["state"] == "in_sync"
                && !phone["calling_status"]["check"].is_null()
        })
        .await;

    // The name leads nowhere.
    let found = finds(&world, "calling_server").await;
    let cause = found["cause"].as_str().unwrap();
    assert!(cause.contains("sip.example.invalid:5061"), "{cause}");
    assert_eq!(found["group"], "calling");
    // Meta refuses, and says what.
    world.calling_fails(CallingFaults {
        refuse: vec![(138_015, "The messaging limit is below 2000.".to_owned()); 1].into(),
        ..CallingFaults::default()
    });
    world.calling("apply").await;
    let found = finds_too(&world, "calling_saved").await;
    assert!(found["cause"].as_str().unwrap().starts_with("138015: "));
    assert!(found["fix"].as_str().unwrap().contains("2000"));
    mended(&world, &found).await;

    let off = json!({ "sip": { "status": "DISABLED" } });
    world.graph.calling_changed_elsewhere(&world.number, &off);
    world
        .api
        .until(&phone, |phone| {
            phone["calling_status"]["state"] == "changed"
        })
        .await;
    let found = finds_too(&world, "calling_applied").await;
    assert!(found["cause"].as_str().unwrap().contains("sip"));
    mended(&world, &found).await;

    let other = (
        "730100000000009".to_owned(),
        "pbx.example.org".to_owned(),
        "x".to_owned(),
    );
    world.calling_fails(CallingFaults {
        foreign: Some(other),
        ..CallingFaults::default()
    });
    world.calling("apply").await;
    let found = finds_too(&world, "calling_other_server").await;
    assert!(found["cause"].as_str().unwrap().contains("pbx.example.org"));
    world.calling_fails(CallingFaults::default());

    // A new password that is not told.
    world.calling_fails(CallingFaults {
        hides_passwords: true,
        ..CallingFaults::default()
    });
    world.calling("reset-password").await;
    finds_too(&world, "calling_password").await;
    world.calling_fails(CallingFaults::default());
    world.calling("apply").await;

    // The server is as it should be, and its certificate soon is not.
    let good = json!({ "resolved": { "addresses": ["203.0.113.7"] } });
    world.server_was(&report("pass", &good, 60)).await;
    all_is_well(&world).await;
    world.server_was(&report("pass", &good, 10)).await;
    finds(&world, "calling_certificate").await;
    world.server_was(&report("pass", &good, 60)).await;
    all_is_well(&world).await;

    // The CRM learns of no call.
    let fields = [
        "messages",
        "message_template_status_update",
        "message_template_components_update",
        "account_update",
        "account_settings_update",
    ];
    let fields: Vec<Value> = fields.iter().map(|name| json!({ "name": name })).collect();
    world.graph.says(&app, "fields", json!(fields));
    let found = finds(&world, "calling_webhook").await;
    assert!(found["cause"].as_str().unwrap().contains("calls"));
    assert_eq!(found["repair"], true);
    world.graph.says_the_truth();
    world
        .server
        .sql("UPDATE instances SET scope = 'imconnector,imopenlines'");
    world.without_limits().await;
    finds(&world, "calling_telephony").await;
    world
        .server
        .sql("UPDATE instances SET scope = 'imconnector,imopenlines,telephony'");
    world.without_limits().await;

    // That nobody called is no fault; a call proves the way.
    let doctor = examine(&world).await;
    assert!(in_state(&doctor, "unknown").contains("last_call"));
    let call = world.graph.customer_calls(&world.number, &lena());
    world.graph.end_call(&call, sandbox::graph::CallEnd::Missed);
    world
        .api
        .until("calls", |calls| {
            calls["items"][0]["crm"]["state"] == "finished"
        })
        .await;
    let doctor = examine(&world).await;
    assert!(in_state(&doctor, "ok").contains("last_call"));
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_is_asked_every_hour_whether_calls_can_arrive_and_an_alarm_comes_and_goes() {
    let mut world = World::start().await;
    world.without_limits().await;
    let phone = format!("waba/phones/{}", world.phone);
    let enable =
        json!({ "calling": "enabled", "sip": "enabled", "sip_hostname": "sip.example.invalid" });
    world.api.patch(&phone, enable).await;
    let blocked = |phone: &Value| {
        let warnings = phone["calling_status"]["warnings"].as_array().unwrap();
        warnings
            .iter()
            .any(|warning| warning["text"].as_str().unwrap().contains("138025"))
    };
    let settled = |phone: &Value| phone["calling_status"]["state"] == "in_sync";
    let fresh = world.api.until(&phone, settled).await;
    assert!(!blocked(&fresh), "{fresh:#}");

    // Nobody chooses anything: the timer finds out.
    let alarm = |alarms: &Value| {
        let alarms = alarms["items"].as_array().unwrap().clone();
        alarms
            .into_iter()
            .find(|alarm| alarm["kind"] == "calling_blocked")
    };
    world.calls_are_blocked();
    world.an_hour_later().await;
    world.api.until(&phone, blocked).await;
    let raised = alarm(&world.api.get("alarms").await).unwrap();
    assert_eq!(raised["subject"], json!(world.phone));
    let russian = alarm(&world.api.get_in("ru", "alarms").await).unwrap();
    assert!(russian["text"].as_str().unwrap().contains("звонки"));
    let doctor = examine(&world).await;
    assert!(
        in_state(&doctor, "fault").contains("calling_health"),
        "{doctor:#}"
    );
    // Blocked still is no other alarm.
    let before = world.api.get(&phone).await["calling_status"]["applied_at"].clone();
    world.an_hour_later().await;
    world
        .api
        .until(&phone, |phone| {
            let at = &phone["calling_status"]["applied_at"];
            *at != before && at != "1970-01-01T00:00:00.001Z"
        })
        .await;
    assert_eq!(alarm(&world.api.get("alarms").await).unwrap(), raised);

    world.graph.says_the_truth();
    world.an_hour_later().await;
    world.api.until(&phone, |phone| !blocked(phone)).await;
    world
        .api
        .until("alarms", |alarms| alarm(alarms).is_none())
        .await;
    // Messages went on all the while: the aggregate of Meta's answer is no verdict about them.
    world.customer_says(&lena(), "Still here?");
    world.operator_sees_text("Still here?").await;
    world.ends_clean().await;
}
