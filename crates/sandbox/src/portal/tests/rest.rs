//! Limits, faults, envelopes, and the control interface.

use super::*;

#[tokio::test]
async fn an_undocumented_parameter_is_refused_and_noted() {
    let setup = Setup::ready().await;
    let mut guessed = item("a", "x");
    guessed["message"]["send_message"] = json!(1);
    let params = json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [guessed] });
    let (status, body) = setup
        .call("imconnector.send.messages", params.clone())
        .await;
    assert_eq!(
        (status, &body["argument"]),
        (400, &json!("MESSAGES[0][message][send_message]"))
    );
    assert_eq!(setup.portal.undocumented_parameters().len(), 1);
    setup
        .portal
        .behave(|behaviour| behaviour.documented_parameters = false);
    setup.result("imconnector.send.messages", params).await;
    assert!(!setup.portal.secret_seen());
    setup
        .call("profile", json!({ "client_secret": SECRET }))
        .await;
    assert!(setup.portal.secret_seen());
}

#[tokio::test]
async fn the_bucket_refuses_what_does_not_fit_and_does_nothing() {
    let setup = Setup::ready().await;
    // Nothing drains while the clock stands still, so how many fit is exact.
    setup.portal.behave(|behaviour| {
        behaviour.requests = Some(RequestLimit {
            per_second: 0.0,
            burst: 50.0,
        });
    });
    let mut refused = 0;
    for number in 0..60 {
        let params = json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [item(&number.to_string(), "x")] });
        let (status, body) = setup.call("imconnector.send.messages", params).await;
        refused += u64::from(status == 503);
        assert!(status == 200 || body["error"] == json!("QUERY_LIMIT_EXCEEDED"));
    }
    let counters = setup.portal.counters();
    assert_eq!(counters.refused, refused);
    assert_eq!(counters.customer_messages, 60 - refused);
    assert!(
        refused >= 10,
        "the setup used some of it already: {refused}"
    );
    setup.portal.faults().set(Fault::Unlimited, When::Always);
    setup.customer_says("more", "x").await;
}

#[tokio::test]
async fn operating_time_is_counted_per_method() {
    let setup = Setup::ready().await;
    setup
        .portal
        .behave(|behaviour| behaviour.operating_cost = Duration::from_mins(5));
    setup.result("profile", json!({})).await;
    setup.result("profile", json!({})).await;
    let (status, body) = setup.call("profile", json!({})).await;
    assert_eq!(
        (status, &body["error"]),
        (429, &json!("OPERATION_TIME_LIMIT"))
    );
    assert!(body["time"]["operating_reset_at"].is_i64());
    setup.result("app.info", json!({})).await;
    setup.portals.advance(Duration::from_mins(11));
    setup.result("profile", json!({})).await;
}

#[tokio::test]
async fn every_fault_of_a_call_looks_as_it_should() {
    let setup = Setup::ready().await;
    let faults = setup.portal.faults();
    for (fault, status, error) in [
        (Fault::QueryLimitExceeded, 503, "QUERY_LIMIT_EXCEEDED"),
        (Fault::OverloadLimit, 503, "OVERLOAD_LIMIT"),
        (Fault::OperationTimeLimit, 429, "OPERATION_TIME_LIMIT"),
        (Fault::InternalServerError, 500, "INTERNAL_SERVER_ERROR"),
        (Fault::ExpiredToken, 401, "expired_token"),
        (Fault::HtmlBadGateway, 502, ""),
    ] {
        faults.apply(Rule::new(fault, When::Next(1)).method("profile"));
        assert_eq!(
            setup.error("profile", json!({})).await,
            (status, error.to_owned())
        );
        setup.result("profile", json!({})).await;
    }
    let send = json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [item("a", "x")] });
    faults.set(Fault::CutBefore, When::Next(1));
    assert!(
        setup
            .try_call("imconnector.send.messages", send.clone())
            .await
            .is_err()
    );
    assert_eq!(setup.portal.counters().customer_messages, 0);
    faults.apply(Rule::new(Fault::CutAfter, When::Next(1)).chat("7"));
    setup.result("profile", json!({})).await;
    assert!(
        setup
            .try_call("imconnector.send.messages", send)
            .await
            .is_err()
    );
    assert_eq!(setup.portal.counters().customer_messages, 1);
    faults.set(Fault::SessionMissing, When::Next(1));
    assert!(setup.customer_says("b", "x").await.get("session").is_none());
    assert!(faults.rules().is_empty());
    assert_eq!(
        setup.error("no.such.method", json!({})).await,
        (404, "ERROR_METHOD_NOT_FOUND".to_owned())
    );
}

#[tokio::test]
async fn a_batch_keeps_its_order_and_its_empty_maps_are_lists() {
    let setup = Setup::ready().await;
    let cmd = r#"{"cmd":{"z":"imopenlines.config.add?PARAMS[LINE_NAME]=Second+line","a":"imopenlines.config.get?CONFIG_ID=$result[z]","bad":"no.such","nested":"batch"}}"#;
    let url = format!(
        "{}batch?auth={}",
        setup.portal.client_endpoint(),
        setup.token
    );
    let (_, body) = setup
        .application
        .request("POST", &url, Some("application/json"), cmd)
        .await
        .unwrap();
    let result = serde_json::from_str::<Json>(&body).unwrap()["result"].clone();
    assert_eq!(result["result"]["z"], json!(111));
    assert_eq!(result["result"]["a"]["LINE_NAME"], json!("Second line"));
    assert_eq!(
        result["result_error"]["bad"]["error"],
        json!("ERROR_METHOD_NOT_FOUND")
    );
    assert_eq!(
        result["result_error"]["nested"]["error"],
        json!("ERROR_BATCH_METHOD_NOT_ALLOWED")
    );
    assert_eq!(result["result_total"], json!([]));
    let many: Vec<&str> = vec!["profile"; 51];
    assert_eq!(
        setup.error("batch", json!({ "cmd": many })).await,
        (400, "ERROR_BATCH_LENGTH_EXCEEDED".to_owned())
    );
    let empty = setup.result("batch", json!({ "cmd": ["no.such"] })).await;
    assert_eq!(empty["result"], json!([]));
}

#[tokio::test]
async fn the_control_interface_serves_the_page() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "Hello").await;
    let get = |path: &'static str| {
        setup.application.request(
            "GET",
            Box::leak(format!("{}{path}", setup.portals.url()).into_boxed_str()),
            None,
            "",
        )
    };
    let (status, page) = get("/").await.unwrap();
    assert!(status == 200 && page.contains("/page.js") && !page.contains("<script>"));
    let state: Json = serde_json::from_str(&get("/sandbox/state").await.unwrap().1).unwrap();
    assert_eq!(state["chats"][0]["unanswered"], json!(1));
    let boundary = "multipart/form-data; boundary=XX";
    let body = "--XX\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nHi\r\n--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nabc\r\n--XX--\r\n";
    let url = format!("{}/sandbox/chats/1767/messages", setup.portals.url());
    let (status, _) = setup
        .application
        .request("POST", &url, Some(boundary), body)
        .await
        .unwrap();
    assert_eq!(status, 201);
    let message = setup.portal.chat(1767).unwrap().messages[1].clone();
    assert_eq!((message.text.as_str(), message.files[0].size), ("Hi", 3));
    let url = format!("{}/sandbox/faults", setup.portals.url());
    let rule = r#"{"fault":"slow","when":{"next":1},"milliseconds":1}"#;
    let (status, _) = setup
        .application
        .request("POST", &url, Some("application/json"), rule)
        .await
        .unwrap();
    assert_eq!((status, setup.portal.faults().rules().len()), (200, 1));
    let url = format!("{}/sandbox/actions/disconnect", setup.portals.url());
    let (status, _) = setup
        .application
        .request("POST", &url, Some("application/json"), r#"{"line":107}"#)
        .await
        .unwrap();
    assert_eq!(status, 204);
    assert!(setup.portal.connectors()[0].lines.is_empty());
}
