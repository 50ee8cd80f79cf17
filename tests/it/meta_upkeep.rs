//! After Meta is connected: tokens that end, templates that change, accounts in trouble, strangers who knock.

use sandbox::graph::{self, AccessToken, Customer};
use serde_json::{Value, json};

use crate::world::{ACCESS_TOKEN, Options, PATIENCE, World, lena};

fn app(world: &World) -> String {
    format!("waba/apps/{}", world.app["id"].as_str().unwrap())
}

async fn alarm_kinds(world: &World) -> Vec<String> {
    let alarms = world.api.get("alarms").await;
    let alarms = alarms["items"].as_array().unwrap();
    alarms
        .iter()
        .map(|alarm| alarm["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_stops_its_number_and_a_new_one_lets_everything_go_on_exactly_once() {
    let mut world = World::start().await;
    world.expect_errors("Meta does not let a number send");
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    world.operator_says(&chat, "before");
    world.customer_receives(&lena(), 1).await;
    world
        .api
        .until(&app(&world), |app| app["token"]["state"] == "ok")
        .await;

    let console = world.graph.console();
    console.revoke_token(ACCESS_TOKEN);
    for text in ["one", "two", "three"] {
        world.operator_says(&chat, text);
    }
    let phone = format!("waba/phones/{}", world.phone);
    let stopped = world
        .api
        .until(&phone, |phone| phone["paused"].is_string())
        .await;
    assert!(stopped["error"]["title"].is_string(), "{stopped:#}");
    let broken = world
        .api
        .until(&app(&world), |app| app["token"]["state"] == "broken")
        .await;
    assert_eq!(broken["token"]["problem"]["code"], "token_revoked");
    assert!(
        alarm_kinds(&world)
            .await
            .contains(&"token_broken".to_owned())
    );
    // What customers write meanwhile arrives; a file waits for the token.
    world.customer_says(&lena(), "are you there?");
    world.operator_sees_text("are you there?").await;
    let file = world.graph.media(
        "document",
        "%PDF-1.4 plan",
        "application/pdf",
        Some("the plan"),
        Some("plan.pdf"),
    );
    let sent = world.customer_sends(&lena(), file);
    assert_eq!(world.received(&lena()).len(), 1);

    console.add_token(AccessToken {
        value: "EAANEWTOKEN".to_owned(),
        ..AccessToken::default()
    });
    world
        .api
        .patch(&app(&world), json!({ "access_token": "EAANEWTOKEN" }))
        .await;
    let received = world.customer_receives(&lena(), 4).await;
    let texts: Vec<&str> = received
        .iter()
        .map(|message| message.body["text"]["body"].as_str().unwrap())
        .collect();
    assert_eq!(texts, ["before", "one", "two", "three"]);
    world
        .operator_sees("the file", |chat| {
            chat.messages
                .iter()
                .any(|message| message.external_ids.contains(&sent) && !message.files.is_empty())
                || chat
                    .messages
                    .iter()
                    .any(|message| !message.files.is_empty())
        })
        .await;
    let healed = world
        .api
        .until(&phone, |phone| phone["paused"].is_null())
        .await;
    assert_eq!(healed["error"], Value::Null);
    world
        .api
        .until(&app(&world), |app| app["token"]["state"] == "ok")
        .await;
    world
        .api
        .until("alarms", |alarms| alarms["items"] == json!([]))
        .await;
    world.comes_to_rest().await;
    assert_eq!(world.received(&lena()).len(), 4, "nothing twice");

    // The end is told fourteen and three days before.
    let in_days = |days: i64| Some(world.graph.clock().now() + days * 24 * 60 * 60 * 1000 + 60_000);
    for (days, kind) in [(10, "token_expiring"), (2, "token_expires_soon")] {
        console.add_token(AccessToken {
            value: format!("EAAENDSIN{days}"),
            expires_at: in_days(days),
            ..AccessToken::default()
        });
        let token = json!({ "access_token": format!("EAAENDSIN{days}") });
        world.api.patch(&app(&world), token).await;
        let shown = world
            .api
            .until(&app(&world), |app| app["token"]["state"] == "expiring")
            .await;
        assert_eq!(shown["token"]["problem"]["code"], "expires_soon");
        world
            .api
            .until("alarms", |alarms| alarms["items"][0]["kind"] == kind)
            .await;
        assert_eq!(alarm_kinds(&world).await, [kind]);
    }
    // The end itself is noticed without a message having to fail.
    console.add_token(AccessToken {
        value: "EAAENDSNOW".to_owned(),
        expires_at: Some(world.graph.clock().now() + 2_000),
        ..AccessToken::default()
    });
    world
        .api
        .patch(&app(&world), json!({ "access_token": "EAAENDSNOW" }))
        .await;
    let stopped = world
        .api
        .until(&phone, |phone| phone["paused"].is_string())
        .await;
    assert_eq!(stopped["error"]["code"], "190");
    world
        .api
        .patch(&app(&world), json!({ "access_token": "EAANEWTOKEN" }))
        .await;
    world
        .api
        .until(&phone, |phone| phone["paused"].is_null())
        .await;
    world.ends_clean().await;
}

async fn template(world: &World, name: &str, found: impl Fn(&Value) -> bool) -> Value {
    let path = format!("waba/templates?q={name}");
    let list = world
        .api
        .until(&path, |list| {
            list["items"].as_array().unwrap().iter().any(&found)
        })
        .await;
    let items = list["items"].as_array().unwrap();
    items.iter().find(|item| found(item)).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_follows_every_callback_about_templates_and_accounts() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let waba = "108200000000001";
    let console = world.graph.console();
    let known = template(&world, "order_ready", |item| item["status"] == "APPROVED").await;
    for (event, status, reason) in [
        ("PAUSED", "PAUSED", "FIRST_PAUSE"),
        ("REINSTATED", "APPROVED", "NONE"),
        ("FLAGGED", "APPROVED", "NONE"),
        ("REJECTED", "REJECTED", "INVALID_FORMAT"),
        ("IN_APPEAL", "IN_APPEAL", "NONE"),
        ("PENDING", "PENDING", "NONE"),
        ("DISABLED", "DISABLED", "NONE"),
        ("LIMIT_EXCEEDED", "LIMIT_EXCEEDED", "NONE"),
        ("LOCKED", "LOCKED", "NONE"),
        ("ARCHIVED", "ARCHIVED", "NONE"),
        ("UNARCHIVED", "APPROVED", "NONE"),
        ("PENDING_DELETION", "PENDING_DELETION", "NONE"),
        ("APPROVED", "APPROVED", "NONE"),
    ] {
        console
            .set_template_status(waba, "order_ready", "de", event, reason)
            .unwrap();
        let told = template(&world, "order_ready", |item| item["status"] == status).await;
        assert_eq!(told["id"], known["id"]);
        let expected = if reason == "NONE" {
            Value::Null
        } else {
            json!(reason)
        };
        assert_eq!(told["reason"], expected, "{event}");
    }
    let about = |rest: Value| {
        let id: Value = serde_json::from_str(known["template_id"].as_str().unwrap()).unwrap();
        let mut value = json!({
            "message_template_id": id, "message_template_name": "order_ready", "message_template_language": "de",
        });
        value
            .as_object_mut()
            .unwrap()
            .extend(rest.as_object().unwrap().clone());
        value
    };
    let quality = about(json!({ "previous_quality_score": "GREEN", "new_quality_score": "RED" }));
    world
        .graph
        .webhook(waba, "message_template_quality_update", &quality);
    template(&world, "order_ready", |item| item["quality"] == "RED").await;
    let category = about(json!({ "new_category": "UTILITY", "correct_category": "MARKETING" }));
    world
        .graph
        .webhook(waba, "template_category_update", &category);
    template(&world, "order_ready", |item| {
        item["announced_category"] == "MARKETING"
    })
    .await;
    let moved = about(json!({ "previous_category": "UTILITY", "new_category": "MARKETING" }));
    world
        .graph
        .webhook(waba, "template_category_update", &moved);
    template(&world, "order_ready", |item| {
        item["category"] == "MARKETING" && item["announced_category"].is_null()
    })
    .await;
    // A template that was made at Meta, and one whose text was changed there: the account is asked.
    console.add_template(waba, "made_there", "en", "Made at Meta for {{1}}.");
    console
        .set_template_status(waba, "made_there", "en", "APPROVED", "NONE")
        .unwrap();
    template(&world, "made_there", |item| item["status"] == "APPROVED").await;
    console
        .set_template_status(waba, "made_there", "en", "DELETED", "NONE")
        .unwrap();
    let account = world.api.get("waba/accounts").await["items"][0].clone();
    let path = format!("waba/accounts/{}", account["id"].as_str().unwrap());
    world
        .api
        .until("waba/templates?q=made_there", |list| {
            list["items"] == json!([]) || list["items"][0]["status"] == "DELETED"
        })
        .await;
    let synced = world.api.create(&format!("{path}/sync"), json!({})).await;
    assert_eq!(synced["templates"], 8);
    assert_eq!(
        world.api.get("waba/templates?q=made_there").await["items"],
        json!([])
    );
    assert_eq!(
        world.api.get("waba/templates?q=order_ready").await["items"][0]["quality"],
        "GREEN"
    );

    // Trouble of the account and of the number is shown where it belongs, and goes when it is over.
    let banned = json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "SCHEDULE_FOR_DISABLE" } });
    world.graph.webhook(waba, "account_update", &banned);
    let shown = world
        .api
        .until(&path, |account| account["notice"].is_string())
        .await;
    assert!(
        shown["notice"]
            .as_str()
            .unwrap()
            .contains("SCHEDULE_FOR_DISABLE")
    );
    assert_eq!(alarm_kinds(&world).await, ["account_notice"]);
    let reinstated =
        json!({ "event": "DISABLED_UPDATE", "ban_info": { "waba_ban_state": "REINSTATE" } });
    world.graph.webhook(waba, "account_update", &reinstated);
    world
        .api
        .until(&path, |account| account["notice"].is_null())
        .await;
    assert_eq!(alarm_kinds(&world).await, Vec::<String>::new());
    world.graph.webhook(
        waba,
        "account_review_update",
        &json!({ "decision": "REJECTED" }),
    );
    world
        .api
        .until(&path, |account| account["review"] == "REJECTED")
        .await;
    let limit = json!({
        "display_phone_number": "4915755501234", "event": "FLAGGED",
        "max_daily_conversations_per_business": "TIER_250",
    });
    world
        .graph
        .webhook(waba, "phone_number_quality_update", &limit);
    let phone = format!("waba/phones/{}", world.phone);
    world
        .api
        .until(&phone, |phone| phone["meta"]["notice"] == "FLAGGED")
        .await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knocks_is_shown_and_let_in_with_all_that_was_said() {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    let (waba, number, digits) = ("108200000000055", "209300000000055", "4915755505500");
    world.graph.add_account(waba);
    world.graph.add_phone(waba, number, digits);
    let max = Customer::with_phone("4915755508888").named("Max");
    let first = world
        .graph
        .customer_writes(number, &max, graph::part::text("is anybody there?"));
    let second = world
        .graph
        .customer_writes(number, &max, graph::part::text("hello?"));
    let review = json!({ "decision": "PENDING" });
    world.graph.webhook(waba, "account_review_update", &review);
    let knocks = world
        .api
        .until("waba/knocks", |knocks| {
            let items = knocks["items"].as_array().unwrap();
            items.len() == 2 && items.iter().any(|knock| knock["count"] == 2)
        })
        .await;
    let items = knocks["items"].as_array().unwrap();
    let of_number = items
        .iter()
        .find(|knock| knock["phone_id"] == number)
        .unwrap();
    assert_eq!(
        (&of_number["phone"], &of_number["waba_id"]),
        (&json!(digits), &json!(waba))
    );
    assert_eq!(
        (&of_number["count"], &of_number["account"]),
        (&json!(2), &Value::Null)
    );
    let of_account = items
        .iter()
        .find(|knock| knock["phone_id"].is_null())
        .unwrap();
    assert_eq!(of_account["waba_id"], waba);

    let account = json!({ "app": world.app["id"], "waba_id": waba });
    let account = world.api.create("waba/accounts", account).await;
    world
        .api
        .until("waba/knocks", |knocks| {
            knocks["items"].as_array().unwrap().len() == 1
        })
        .await;
    let knocks = world.api.get("waba/knocks").await;
    assert_eq!(knocks["items"][0]["account"], account["id"]);
    let phone = json!({ "account": account["id"], "phone": digits, "phone_id": number });
    world.api.create("waba/phones", phone).await;
    for (wamid, text) in [(&first, "is anybody there?"), (&second, "hello?")] {
        assert_eq!(world.message(wamid).await["text"], text);
    }
    world
        .api
        .until("waba/knocks", |knocks| knocks["items"] == json!([]))
        .await;
    assert!(
        world
            .graph
            .wait_until(|state| state.reported(&second) == 1, PATIENCE)
            .await
    );
    world.server.check_log(&[]);
}
