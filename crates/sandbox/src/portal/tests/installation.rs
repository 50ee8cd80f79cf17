//! Installing, tokens, lines, connectors, and what administrators do.

use super::*;

#[tokio::test]
async fn installing_hands_over_tokens_that_the_authorization_server_knows() {
    let setup = Setup::installed().await;
    let seen = setup.application.seen.lock().unwrap()[0].clone();
    assert_eq!(
        (seen.0.as_str(), seen.1.as_str()),
        ("/install", "application/x-www-form-urlencoded")
    );
    assert!(
        seen.2
            .starts_with("event=ONAPPINSTALL&data%5BVERSION%5D=1&data%5BACTIVE%5D=Y&"),
        "{}",
        seen.2
    );
    let url = format!(
        "{}/rest/app.info?auth={}",
        setup.portals.oauth_url(),
        setup.token
    );
    let (status, body) = setup
        .application
        .request("GET", &url, None, "")
        .await
        .unwrap();
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["result"]["client_id"]),
        (200, &json!(CLIENT))
    );
    assert_eq!(
        body["result"]["install"]["uri"],
        json!(setup.portal.address())
    );
    assert_eq!(
        setup.result("app.info", json!({})).await["INSTALLED"],
        json!(true)
    );
    assert_eq!(
        setup.result("PROFILE.json", json!({})).await["ADMIN"],
        json!(true)
    );
}

#[tokio::test]
async fn a_refresh_token_works_once_and_expired_tokens_say_so() {
    let mut setup = Setup::installed().await;
    setup.portals.advance(Duration::from_secs(3601));
    assert_eq!(
        setup.error("profile", json!({})).await,
        (401, "expired_token".to_owned())
    );
    let body = format!(
        "grant_type=refresh_token&client_id={CLIENT}&client_secret={SECRET}&refresh_token={}",
        setup.refresh_token
    );
    let url = format!("{}/oauth/token/", setup.portals.oauth_url());
    let form = Some("application/x-www-form-urlencoded");
    let (status, pair) = setup
        .application
        .request("POST", &url, form, &body)
        .await
        .unwrap();
    let pair: Json = serde_json::from_str(&pair).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        pair["client_endpoint"],
        json!(setup.portal.client_endpoint())
    );
    assert_eq!(pair["expires_in"], json!(3600));
    setup.token = pair["access_token"].as_str().unwrap().to_owned();
    setup.result("profile", json!({})).await;
    let (status, again) = setup
        .application
        .request("GET", &format!("{url}?{body}"), None, "")
        .await
        .unwrap();
    assert_eq!(status, 400);
    assert!(again.contains("invalid_grant"), "{again}");
    let wrong = body.replace(SECRET, "wrong");
    let (status, wrong) = setup
        .application
        .request("POST", &url, form, &wrong)
        .await
        .unwrap();
    assert!(status == 401 && wrong.contains("invalid_client"), "{wrong}");
}

#[tokio::test]
async fn a_frame_leaves_the_installed_pair_alone() {
    let setup = Setup::installed().await;
    let page = format!("{}/placement", setup.application.url);
    setup
        .portal
        .open_page(
            CLIENT,
            &page,
            "SETTING_CONNECTOR",
            Some(r#"{"LINE":"107"}"#),
            27,
        )
        .await
        .unwrap();
    let body = setup.application.bodies()[1].clone();
    assert_eq!(body.text_of("PLACEMENT_OPTIONS"), r#"{"LINE":"107"}"#);
    assert_eq!(body.text_of("member_id"), setup.portal.member_id());
    let body = format!(
        "grant_type=refresh_token&client_id={CLIENT}&client_secret={SECRET}&refresh_token={}",
        setup.refresh_token
    );
    let url = format!("{}/oauth/token/?{body}", setup.portals.oauth_url());
    assert_eq!(
        setup
            .application
            .request("GET", &url, None, "")
            .await
            .unwrap()
            .0,
        200
    );
}

#[tokio::test]
async fn an_application_with_a_page_hears_nothing_until_it_is_finished() {
    let setup = Setup::ready().await;
    setup.customer_says("a", "hello").await;
    setup.events_sent().await;
    let app = LocalApp {
        client_id: "local.ui".to_owned(),
        with_interface: true,
        ..LocalApp::api_only("", SECRET, &format!("{}/frame", setup.application.url))
    };
    setup.portal.save_local_app(app).await;
    let frame = setup.application.bodies().pop().unwrap();
    let bind = format!(
        "{}event.bind?auth={}&event=OnImConnectorLineDelete&handler={}/ui",
        setup.portal.client_endpoint(),
        frame.text_of("AUTH_ID"),
        setup.application.url
    );
    assert_eq!(
        setup
            .application
            .request("GET", &bind, None, "")
            .await
            .unwrap()
            .0,
        200
    );
    setup.portal.delete_line(1).unwrap();
    setup.events_sent().await;
    let to_ui = |setup: &Setup| {
        setup
            .application
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|(path, ..)| path == "/ui")
            .count()
    };
    assert_eq!(to_ui(&setup), 0);
    setup.portal.finish_installation("local.ui").unwrap();
    setup.portal.delete_line(107).unwrap();
    setup.events_sent().await;
    assert_eq!(to_ui(&setup), 1);
    let deleted = setup
        .application
        .events("ONIMCONNECTORLINEDELETE")
        .pop()
        .unwrap();
    assert_eq!(deleted.text_of("data"), "107");
    let off = setup
        .application
        .events("ONIMCONNECTORSTATUSDELETE")
        .pop()
        .unwrap();
    let Value::Map(data) = off.get("data").unwrap() else {
        panic!("a map")
    };
    assert_eq!(data[0].0, "connector", "lower case");
}

#[tokio::test]
async fn activation_wipes_the_data_and_without_it_no_message_passes() {
    let setup = Setup::ready().await;
    let pair = json!({ "CONNECTOR": "ourwa", "LINE": 107 });
    assert_eq!(
        setup.result("imconnector.status", pair.clone()).await["STATUS"],
        json!(true)
    );
    setup
        .result(
            "imconnector.activate",
            json!({ "CONNECTOR": "ourwa", "LINE": 107, "ACTIVE": "N" }),
        )
        .await;
    assert_eq!(
        setup.result("imconnector.status", pair.clone()).await["STATUS"],
        json!(false)
    );
    let send = json!({ "CONNECTOR": "ourwa", "LINE": 107, "MESSAGES": [item("a", "x")] });
    assert_eq!(
        setup.error("imconnector.send.messages", send.clone()).await,
        (400, "NOT_ACTIVE_LINE".to_owned())
    );
    setup.activate().await;
    setup
        .result("imconnector.send.messages", send.clone())
        .await;
    assert_eq!(
        setup
            .result("imconnector.status", json!({ "CONNECTOR": "ourwa" }))
            .await["LINE"],
        json!(0)
    );
    setup.portal.drop_connector("ourwa");
    assert_eq!(
        setup.error("imconnector.send.messages", send).await.1,
        "IMCONNECTOR_NO_CORRECT_PROVIDER"
    );
}

#[tokio::test]
async fn a_connector_that_is_refused_comes_with_a_good_status() {
    let setup = Setup::installed().await;
    setup.portal.foreign_connector("taken", Some(1));
    let icon = json!({ "DATA_IMAGE": "x" });
    let taken =
        json!({ "ID": "Taken", "NAME": "A", "ICON": icon, "PLACEMENT_HANDLER": "http://a.b/" });
    let result = setup.result("imconnector.register", taken).await;
    assert_eq!(result["error"], json!("APPLICATION_REGISTRATION_ERROR"));
    for (params, code) in [
        (
            json!({ "ID": "a.b" }),
            "APPLICATION_REGISTRATION_ERROR_POINT",
        ),
        (json!({}), "CONNECTOR_ID_REQUIRED"),
        (json!({ "ID": "a" }), "NAME_REQUIRED"),
        (json!({ "ID": "a", "NAME": "A" }), "ICON_REQUIRED"),
        (
            json!({ "ID": "a", "NAME": "A", "ICON": { "DATA_IMAGE": "x" } }),
            "NO_PLACEMENT_HANDLER",
        ),
    ] {
        let result = setup.result("imconnector.register", params).await;
        assert_eq!(
            (&result["result"], &result["error"]),
            (&json!(false), &json!(code))
        );
    }
}

#[tokio::test]
async fn handlers_are_bound_once_and_unbound_exactly() {
    let setup = Setup::installed().await;
    let handler = |path: &str| json!({ "event": "onimconnectormessageadd", "handler": format!("{}{path}", setup.application.url) });
    setup.result("event.bind", handler("/a")).await;
    let (status, body) = setup.call("event.bind", handler("/a")).await;
    assert_eq!((status, &body["error"]), (400, &json!("ERROR_CORE")));
    assert!(
        body["error_description"]
            .as_str()
            .unwrap()
            .contains("already binded")
    );
    assert_eq!(
        setup.result("event.unbind", handler("/a/")).await,
        json!({ "count": 0 })
    );
    let bound = setup.result("event.get", json!({})).await;
    assert_eq!(
        (&bound[0]["event"], &bound[0]["auth_type"]),
        (&json!("ONIMCONNECTORMESSAGEADD"), &json!("0"))
    );
    assert_eq!(
        setup.result("event.unbind", handler("/a")).await,
        json!({ "count": 1 })
    );
    let bad = json!({ "event": "OnCrmLeadConvert", "handler": "http://a.b/" });
    assert_eq!(
        setup.error("event.bind", bad).await,
        (400, "ERROR_EVENT_NOT_FOUND".to_owned())
    );
    setup
        .portal
        .leave_handler(CLIENT, "OnAppUpdate", "http://old.example.com/");
    setup
        .portal
        .leave_placement(CLIENT, "IM_TEXTAREA", "http://old.example.com/");
    assert_eq!(
        setup
            .result("event.get", json!({}))
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        setup
            .result("placement.unbind", json!({ "PLACEMENT": "IM_TEXTAREA" }))
            .await,
        json!({ "count": 1 })
    );
    let local = json!({ "event": "OnAppUpdate", "handler": "http://localhost/" });
    assert_eq!(
        setup.error("event.bind", local).await,
        (400, "ERROR_WRONG_HANDLER_URL".to_owned())
    );
}

#[tokio::test]
async fn lines_keep_what_they_were_given() {
    let setup = Setup::ready().await;
    let config = setup
        .result("imopenlines.config.get", json!({ "CONFIG_ID": 107 }))
        .await;
    assert_eq!(
        config["QUEUE"],
        json!([{ "ENTITY_TYPE": "user", "ENTITY_ID": "1" }])
    );
    assert_eq!(
        (&config["ID"], &config["CRM_CREATE_SECOND"]),
        (&json!("107"), &json!("N"))
    );
    let queue = json!({ "CONFIG_ID": 107, "PARAMS": { "QUEUE": [{ "ENTITY_TYPE": "user", "ENTITY_ID": 27 }], "LINE_NAME": "Renamed" } });
    setup
        .portal
        .behave(|behaviour| behaviour.queue_update_ignored = true);
    setup
        .result("imopenlines.config.update", queue.clone())
        .await;
    let line = setup.portal.lines().pop().unwrap();
    assert_eq!(
        (line.name.as_str(), line.queue.as_slice()),
        ("Renamed", ["user:1".to_owned()].as_slice())
    );
    setup
        .portal
        .behave(|behaviour| behaviour.queue_update_ignored = false);
    setup.result("imopenlines.config.update", queue).await;
    assert_eq!(setup.portal.lines()[1].queue, ["user:27"]);
    let found = setup
        .result(
            "imopenlines.config.list.get",
            json!({ "PARAMS": { "filter": { "LINE_NAME": "Renamed" } } }),
        )
        .await;
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(
        setup
            .result("imopenlines.config.get", json!({ "CONFIG_ID": 5 }))
            .await,
        json!(false)
    );
}

#[tokio::test]
async fn updating_takes_handlers_and_uninstalling_everything() {
    let setup = Setup::ready().await;
    setup.portal.update_app().await;
    let update = setup.application.events("ONAPPUPDATE").pop().unwrap();
    assert_eq!(update.get("data").unwrap().text_of("PREVIOUS_VERSION"), "1");
    assert!(update.get("auth").unwrap().get("refresh_token").is_some());
    assert!(setup.portal.handlers().is_empty());
    let bind =
        json!({ "event": "ONAPPUNINSTALL", "handler": format!("{}/e", setup.application.url) });
    setup.result("event.bind", bind).await;
    setup.portal.uninstall(true);
    setup.events_sent().await;
    let uninstall = setup.application.events("ONAPPUNINSTALL").pop().unwrap();
    assert_eq!(uninstall.get("data").unwrap().text_of("CLEAN"), "1");
    assert!(uninstall.get("auth").unwrap().get("access_token").is_none());
    assert!(setup.portal.connectors().is_empty());
    assert_eq!(
        setup.error("profile", json!({})).await,
        (401, "APPLICATION_NOT_FOUND".to_owned())
    );
}

#[tokio::test]
async fn people_and_plans_come_and_go() {
    let setup = Setup::ready().await;
    setup.portal.set_admin(1, false).unwrap();
    assert_eq!(
        setup.error("imconnector.list", json!({})).await,
        (403, "ACCESS_DENIED".to_owned())
    );
    setup.portal.end_plan();
    assert_eq!(
        setup.error("profile", json!({})).await,
        (403, "ACCESS_DENIED".to_owned())
    );
    setup.portal.set_plan(true);
    setup.portal.dismiss_user(1).unwrap();
    assert_eq!(
        setup.error("profile", json!({})).await,
        (401, "authorization_error".to_owned())
    );
}

#[tokio::test]
async fn a_renamed_portal_answers_its_old_address_with_the_new_one() {
    let setup = Setup::ready().await;
    let old = setup.portal.client_endpoint();
    setup.portal.rename().await.unwrap();
    let (status, location) = setup
        .application
        .request(
            "GET",
            &format!("{old}profile?auth={}", setup.token),
            None,
            "",
        )
        .await
        .unwrap();
    assert_eq!(status, 302);
    assert_eq!(
        location,
        format!(
            "{}profile?auth={}",
            setup.portal.client_endpoint(),
            setup.token
        )
    );
    setup.result("profile", json!({})).await;
}

#[tokio::test]
async fn sms_goes_to_its_provider_and_comes_back_as_a_status() {
    let setup = Setup::installed().await;
    let sender = json!({ "CODE": "wa_1", "TYPE": "SMS", "HANDLER": format!("{}/sms", setup.application.url), "NAME": { "en": "WhatsApp" } });
    setup
        .result("messageservice.sender.add", sender.clone())
        .await;
    assert_eq!(
        setup.error("messageservice.sender.add", sender).await.1,
        "ERROR_SENDER_ALREADY_INSTALLED"
    );
    assert_eq!(
        setup.result("messageservice.sender.list", json!({})).await,
        json!(["wa_1"])
    );
    let sms = SmsToSend {
        code: "wa_1".to_owned(),
        to: "+49 151".to_owned(),
        text: "Hi".to_owned(),
        sender: Sender::Workflow,
        author: None,
    };
    let id = setup.portal.send_sms(&sms).unwrap();
    let status = json!({ "CODE": "wa_1", "MESSAGE_ID": id, "STATUS": "delivered" });
    setup
        .result("messageservice.message.status.update", status)
        .await;
    assert_eq!(setup.portal.sms()[0].status, "delivered");
    let wrong = json!({ "CODE": "other", "MESSAGE_ID": id, "STATUS": "sent" });
    assert_eq!(
        setup
            .error("messageservice.message.status.update", wrong)
            .await
            .1,
        "ERROR_SENDER_VALIDATION_FAILURE"
    );
    let seen = |_: &Portals| {
        setup
            .application
            .bodies()
            .iter()
            .any(|body| body.text_of("message_id") == id)
    };
    assert!(setup.portals.wait_until(seen, WAIT).await);
    let body = setup.application.bodies().pop().unwrap();
    assert!(body.get("auth").is_none() && body.text_of("module_id") == "bizproc");
}

#[tokio::test]
async fn many_portals_share_one_listener() {
    let setup = Setup::installed().await;
    let other = setup.portals.add("Other");
    let url = format!("{}profile?auth={}", other.client_endpoint(), setup.token);
    assert_eq!(
        setup
            .application
            .request("GET", &url, None, "")
            .await
            .unwrap()
            .0,
        401,
        "a token is good on its own portal only"
    );
    for number in 3..=1000 {
        assert_eq!(setup.portals.add("more").number(), number);
    }
    assert_eq!(setup.portals.all().len(), 1000);
}
