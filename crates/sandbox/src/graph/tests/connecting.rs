//! Applications, tokens, the login and the state of numbers and templates.

use super::*;
use crate::graph::{AccessToken, Consent};

const BACK: &str = "https://conn.example/waba/callback/";

fn dialog(stage: &Stage, more: &str) -> Url {
    let base = stage.graph.url();
    let app = &stage.settings.app_id;
    format!("{base}/v25.0/dialog/oauth?client_id={app}&redirect_uri={BACK}&state=s&response_type=code{more}")
        .parse()
        .unwrap()
}

fn value(location: &Url, name: &str) -> Option<String> {
    location
        .query_pairs()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.into_owned())
}

async fn exchange(stage: &Stage, back: &str, location: &Url) -> (u16, Value) {
    let form = format!(
        "client_id={}&client_secret={}&redirect_uri={back}&code={}",
        stage.settings.app_id,
        stage.settings.app_secret,
        value(location, "code").unwrap()
    );
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = stage
        .raw("POST", "/oauth/access_token", &headers, form.as_bytes())
        .await
        .unwrap();
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

async fn looked_at(stage: &Stage, token: &str) -> Value {
    let app = format!("{}|{}", stage.settings.app_id, stage.settings.app_secret);
    let path = format!("/debug_token?input_token={token}");
    stage.call_as(&app, "GET", &path, &Value::Null).await.1["data"].clone()
}

#[tokio::test]
async fn the_dialog_is_a_page_whose_buttons_lead_back_with_a_code_or_without() {
    let stage = stage().await;
    let address = dialog(&stage, "&config_id=77");
    let page = stage.raw("GET", address.as_str(), &[], &[]).await.unwrap();
    let html = String::from_utf8(page.body.to_vec()).unwrap();
    assert_eq!(page.status, 200);
    for part in ["account_108200000000001", "value=\"deny\"", "value=\"77\""] {
        assert!(html.contains(part), "{part} is missing");
    }
    let press = async |fields: &str| {
        let form = format!("{}&{fields}", address.query().unwrap());
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = stage
            .raw("POST", "/dialog/answer", &headers, form.as_bytes())
            .await
            .unwrap();
        assert_eq!(answer.status, 302);
        Url::parse(&answer.location.unwrap()).unwrap()
    };
    let denied = press("choice=deny").await;
    assert_eq!(value(&denied, "error").as_deref(), Some("access_denied"));
    let granted =
        press("choice=grant&account_108200000000001=on&scope_whatsapp_business_management=on")
            .await;
    assert_eq!(value(&granted, "state").as_deref(), Some("s"));
    let (_, token) = exchange(&stage, BACK, &granted).await;
    assert!(token["expires_in"].as_i64().unwrap() > 59 * 24 * 60 * 60);
    let seen = looked_at(&stage, token["access_token"].as_str().unwrap()).await;
    assert_eq!(seen["type"], "SYSTEM_USER");
    assert_eq!(
        seen["granular_scopes"],
        json!([{"scope": "whatsapp_business_management", "target_ids": ["108200000000001"]}])
    );
    assert_eq!(code(&exchange(&stage, BACK, &granted).await), (100, 36_009));

    let other = press("choice=other_redirect").await;
    assert_eq!(code(&exchange(&stage, BACK, &other).await), (100, 36_008));
    let used = press("choice=used_code").await;
    assert_eq!(code(&exchange(&stage, BACK, &used).await), (100, 36_009));
}

#[tokio::test]
async fn a_login_that_facebook_stops_does_not_lead_back() {
    let stage = stage().await;
    let (console, app) = (stage.graph.console(), stage.settings.app_id.as_str());
    let stopped = |more: &str| {
        console
            .answer_dialog(&dialog(&stage, more), Consent::Deny)
            .unwrap_err()
    };
    console.set_redirect_uris(
        app,
        Some(vec!["https://conn.example/waba/callback".to_owned()]),
    );
    assert_eq!(stopped(""), "URL Blocked");
    console.set_redirect_uris(app, Some(vec![BACK.to_owned()]));
    console.set_live(app, false);
    assert_eq!(stopped(""), "App not active");
    let page = stage
        .raw("GET", dialog(&stage, "").as_str(), &[], &[])
        .await
        .unwrap();
    assert_eq!(page.status, 400);
    let lena = Customer::with_phone(PHONE);
    let customer_text = json!({"type": "text", "text": {"body": "x"}});
    stage
        .graph
        .customer_writes(stage.number(), &lena, customer_text);
    assert_eq!(
        stage.graph.counters().updates_unsubscribed,
        1,
        "Development mode is told nothing real"
    );
}

#[tokio::test]
async fn a_token_may_do_what_it_was_granted() {
    let stage = stage().await;
    let console = stage.graph.console();
    console.add_token(AccessToken {
        value: "EAAREAD".to_owned(),
        scopes: Some(vec!["whatsapp_business_management".to_owned()]),
        ..AccessToken::default()
    });
    console.add_token(AccessToken {
        value: "EAAUSER".to_owned(),
        of_a_user: true,
        nameless: true,
        scopes: Some(vec![
            "business_management".to_owned(),
            "whatsapp_business_management".to_owned(),
        ]),
        ..AccessToken::default()
    });
    let waba = &stage.settings.waba_id;
    let send = format!("/{}/messages", stage.number());
    assert_eq!(
        code(&stage.call_as("EAAREAD", "POST", &send, &text("x")).await),
        (200, 0)
    );
    let (status, _) = stage
        .call_as("EAAREAD", "GET", &format!("/{waba}"), &Value::Null)
        .await;
    assert_eq!(status, 200);
    let businesses = "/me/businesses";
    assert_eq!(
        code(
            &stage
                .call_as("EAAREAD", "GET", businesses, &Value::Null)
                .await
        ),
        (200, 0)
    );
    let (_, found) = stage
        .call_as("EAAUSER", "GET", businesses, &Value::Null)
        .await;
    let owned = format!(
        "/{}/owned_whatsapp_business_accounts",
        found["data"][0]["id"].as_str().unwrap()
    );
    let (_, owned) = stage.call_as("EAAUSER", "GET", &owned, &Value::Null).await;
    assert_eq!(owned["data"][0]["id"], waba.as_str());
    let seen = looked_at(&stage, "EAAUSER").await;
    assert_eq!(seen["type"], "USER");
    assert!(seen["granular_scopes"][1]["target_ids"].is_null());

    let app = format!("{}|{}", stage.settings.app_id, stage.settings.app_secret);
    assert_eq!(
        code(
            &stage
                .call_as(&app, "GET", &format!("/{waba}"), &Value::Null)
                .await
        ),
        (100, 33)
    );

    console.set_token_end("EAAREAD", Some(1));
    assert_eq!(looked_at(&stage, "EAAREAD").await["error"]["subcode"], 463);
    console.revoke_token("EAAUSER");
    assert_eq!(looked_at(&stage, "EAAUSER").await["is_valid"], false);
    console.restore_token("EAAUSER");
    assert_eq!(looked_at(&stage, "EAAUSER").await["is_valid"], true);
}

#[tokio::test]
async fn an_application_hears_the_fields_that_were_chosen() {
    let stage = stage().await;
    let app = format!("{}|{}", stage.settings.app_id, stage.settings.app_secret);
    let path = format!("/{}/subscriptions", stage.settings.app_id);
    let choice = json!({
        "object": "whatsapp_business_account", "callback_url": stage.receiver.as_str(),
        "verify_token": "sandbox-verify-token", "fields": "messages,account_update",
    });
    let (status, _) = stage.call_as(&app, "POST", &path, &choice).await;
    assert_eq!(status, 200);
    let (_, chosen) = stage.call_as(&app, "GET", &path, &Value::Null).await;
    assert_eq!(chosen["data"][0]["fields"].as_array().unwrap().len(), 2);
    let wrong = json!({
        "object": "whatsapp_business_account", "callback_url": stage.receiver.as_str(),
        "verify_token": "another", "fields": "messages",
    });
    assert_eq!(
        code(&stage.call_as(&app, "POST", &path, &wrong).await),
        (2200, 0)
    );

    let console = stage.graph.console();
    let waba = &stage.settings.waba_id;
    assert!(
        console
            .set_template_status(waba, "order_ready", "de", "PAUSED", "NONE")
            .is_some()
    );
    assert_eq!(stage.graph.counters().updates_unsubscribed, 1);
    stage.graph.webhook(
        waba,
        "account_update",
        &json!({"event": "VERIFIED_ACCOUNT"}),
    );
    stage.settled().await;
    assert_eq!(stage.inbox.values(), [json!({"event": "VERIFIED_ACCOUNT"})]);
    let (_, found) = stage
        .get(&format!(
            "/{waba}/message_templates?name=order_ready&fields=status"
        ))
        .await;
    assert_eq!(found["data"][0]["status"], "PAUSED");
}

#[tokio::test]
async fn ten_wrong_pins_are_enough() {
    let stage = stage().await;
    let console = stage.graph.console();
    console.set_standing(stage.number(), false, Some("111111"));
    let path = format!("/{}/register", stage.number());
    let pin = json!({"messaging_product": "whatsapp", "pin": "222222"});
    for _ in 0..10 {
        assert_eq!(code(&stage.call("POST", &path, &pin).await), (133_005, 0));
    }
    assert_eq!(code(&stage.call("POST", &path, &pin).await), (133_016, 0));
    let standing = console.standing(stage.number()).unwrap();
    assert_eq!((standing.registered, standing.tries), (false, 10));
}

#[tokio::test]
async fn the_consoles_part_of_the_page_shows_and_changes_them() {
    let stage = stage().await;
    let path = "/sandbox/console";
    let (_, shown) = stage.get(path).await;
    assert_eq!(shown["accounts"][0]["numbers"][0]["registered"], true);
    for change in [
        json!({"do": "live", "app": stage.settings.app_id, "on": false}),
        json!({"do": "revoke", "token": stage.settings.access_token}),
        json!({"do": "number", "number": stage.number(), "registered": false, "pin": "123456"}),
        json!({"do": "template", "account": stage.settings.waba_id, "name": "invoice", "language": "en", "event": "DISABLED"}),
    ] {
        let (status, answer) = stage.call("POST", path, &change).await;
        assert_eq!(status, 204, "{change} {answer}");
    }
    let (_, shown) = stage.get(path).await;
    assert_eq!(shown["apps"][0]["live"], false);
    assert_eq!(shown["tokens"][0]["revoked"], true);
    assert_eq!(shown["accounts"][0]["numbers"][0]["pin"], "123456");
    for wrong in [
        json!({"do": "x"}),
        json!({"do": "number", "number": "1", "registered": true, "pin": "12"}),
    ] {
        assert_eq!(stage.call("POST", path, &wrong).await.0, 422, "{wrong}");
    }
}
