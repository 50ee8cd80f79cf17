//! Pages in frames, the form of a local application, and the authorization page.

use super::*;

fn page_address(setup: &Setup, query: &str) -> String {
    format!("{}/frame/?client_id={query}", setup.portal.address())
}

async fn get(setup: &Setup, url: &str) -> (u16, String) {
    setup
        .application
        .request("GET", url, None, "")
        .await
        .unwrap()
}

/// What the page around a frame was told.
fn told(page: &str) -> Json {
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[tokio::test]
async fn an_installation_page_comes_back_until_it_is_finished() {
    let setup = Setup::installed().await;
    let url = &setup.application.url;
    let app = LocalApp::with_pages(
        "local.ui",
        SECRET,
        &format!("{url}/install-page"),
        &format!("{url}/app-page"),
    );
    setup.portal.save_local_app(app).await;
    let posted = setup.application.bodies().pop().unwrap();
    assert_eq!(posted.text_of("PLACEMENT"), "DEFAULT");
    assert_eq!(posted.text_of("member_id"), setup.portal.member_id());

    let address = page_address(&setup, "local.ui&page=app&user=1&language=ru");
    let (status, page) = get(&setup, &address).await;
    let before = told(&page);
    assert_eq!((status, &before["init"]["INSTALL"]), (200, &json!(true)));
    let action = before["action"].as_str().unwrap();
    assert!(
        action.contains("/install-page?DOMAIN=") && action.contains("&LANG=ru&"),
        "{action}"
    );
    let sid = action.split_once("APP_SID=").unwrap().1;
    assert_eq!(
        before["name"],
        json!(format!("{}|0|{sid}", setup.portal.domain()))
    );
    setup.portal.finish_installation("local.ui").unwrap();
    let after = told(&get(&setup, &address).await.1);
    assert!(after["action"].as_str().unwrap().contains("/app-page?"));
    assert_eq!(after["init"]["INSTALL"], json!(false));

    let employee = told(
        &get(&setup, &page_address(&setup, "local.ui&user=27"))
            .await
            .1,
    );
    assert_eq!(employee["init"]["IS_ADMIN"], json!(false));
    let (status, pair) = setup
        .application
        .request(
            "POST",
            &format!("{}/frame/auth", setup.portal.address()),
            Some("application/json"),
            r#"{"client_id":"local.ui","user":27}"#,
        )
        .await
        .unwrap();
    assert!(status == 200 && pair.contains("AUTH_ID"), "{pair}");
    for wrong in [
        "local.ui&user=99",
        "local.other",
        "local.ui&page=IM_TEXTAREA",
    ] {
        assert_eq!(get(&setup, &page_address(&setup, wrong)).await.0, 404);
    }
}

#[tokio::test]
async fn a_connectors_settings_name_connector_and_line() {
    let setup = Setup::ready().await;
    let query = format!("{CLIENT}&page=SETTING_CONNECTOR&connector=OurWA&line=107");
    let page = told(&get(&setup, &page_address(&setup, &query)).await.1);
    assert_eq!(
        page["init"]["PLACEMENT_OPTIONS"]["CONNECTOR"],
        json!("ourwa")
    );
    assert_eq!(page["init"]["PLACEMENT_OPTIONS"]["LINE"], json!("107"));
    assert!(page["action"].as_str().unwrap().contains("/settings?"));
    let mut form = setup
        .portal
        .page_form(CLIENT, &setup.application.url, "DEFAULT", None, 27)
        .unwrap();
    form.set("DOMAIN", "evil.example");
    form.remove("APPLICATION_TOKEN");
    let form = form.nested();
    assert_eq!(form.value("auth[domain]"), "evil.example");
    assert_eq!(form.value("auth[application_token]"), "");
    assert!(form.query.is_empty() && !form.value("auth[access_token]").is_empty());
}

#[tokio::test]
async fn a_code_is_given_to_whoever_is_allowed_and_works_once() {
    let setup = Setup::installed().await;
    let form = Some("application/x-www-form-urlencoded");
    let ask = |base: String| format!("{base}/oauth/authorize/?client_id={CLIENT}&state=s1");
    let (status, page) = get(&setup, &ask(setup.portal.address())).await;
    assert!(status == 200 && page.contains("Anna Schmidt (administrator)"));
    for base in [setup.portal.address(), setup.portals.url()] {
        let (status, back) = setup
            .application
            .request("POST", &ask(base), form, "decision=deny")
            .await
            .unwrap();
        assert_eq!(status, 302);
        assert!(
            back.starts_with(&format!(
                "{}/install?error=access_denied",
                setup.application.url
            )) && back.ends_with("state=s1"),
            "{back}"
        );
    }
    let (_, back) = setup
        .application
        .request(
            "POST",
            &ask(setup.portals.url()),
            form,
            "decision=allow&user=27",
        )
        .await
        .unwrap();
    let back = Url::parse(&back).unwrap();
    let value = |name: &str| {
        let found = back.query_pairs().find(|(key, _)| key == name);
        found.unwrap().1.into_owned()
    };
    assert_eq!(value("member_id"), setup.portal.member_id());
    let exchange = format!(
        "{}/oauth/token/?grant_type=authorization_code&client_id={CLIENT}&client_secret={SECRET}&code={}",
        setup.portals.oauth_url(),
        value("code")
    );
    let (status, pair) = get(&setup, &exchange).await;
    let pair: Json = serde_json::from_str(&pair).unwrap();
    assert_eq!((status, &pair["user_id"]), (200, &json!(27)));
    assert_eq!(get(&setup, &exchange).await.0, 400, "a code works once");
    assert_eq!(
        get(
            &setup,
            &format!(
                "{}/oauth/authorize/?client_id=local.none",
                setup.portals.url()
            )
        )
        .await
        .0,
        400
    );
}

#[tokio::test]
async fn a_local_applications_id_is_shown_after_its_installation_was_announced() {
    let setup = Setup::installed().await;
    let url = &setup.application.url;
    let form = json!({ "handler_url": format!("{url}/h"), "install_url": format!("{url}/i"), "api_only": true });
    let (status, saved) = setup
        .application
        .request(
            "POST",
            &format!("{}/sandbox/apps", setup.portals.url()),
            Some("application/json"),
            &form.to_string(),
        )
        .await
        .unwrap();
    let saved: Json = serde_json::from_str(&saved).unwrap();
    assert_eq!((status, &saved["status"]), (201, &json!(200)));
    assert!(saved["client_id"].as_str().unwrap().starts_with("local."));
    let announced = setup.application.events("ONAPPINSTALL").pop().unwrap();
    assert!(
        announced
            .get("auth")
            .unwrap()
            .get("refresh_token")
            .is_some()
    );
}

#[tokio::test]
async fn a_deleted_portal_and_one_that_shows_a_page_are_no_rest() {
    let setup = Setup::installed().await;
    setup.portal.faults().set(Fault::HtmlPage, When::Next(1));
    let url = format!(
        "{}profile?auth={}",
        setup.portal.client_endpoint(),
        setup.token
    );
    let (status, body) = get(&setup, &url).await;
    assert!(status == 200 && body.starts_with("<!DOCTYPE html>"));
    setup.portal.delete();
    assert_eq!(
        setup.error("profile", json!({})).await,
        (500, "PORTAL_DELETED".to_owned())
    );
    let refresh = format!(
        "{}/oauth/token/?grant_type=refresh_token&client_id={CLIENT}&client_secret={SECRET}&refresh_token={}",
        setup.portals.oauth_url(),
        setup.refresh_token
    );
    assert_eq!(get(&setup, &refresh).await.0, 404);
}
