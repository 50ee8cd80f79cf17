//! Pages inside Bitrix24: what a portal's form opens, what is refused, and an installation with pages.

use sandbox::portal::{Fault, LocalApp, PageAnswer, PageForm, Portal, When, connector_options};
use serde_json::{Value, json};

use crate::world::{
    ACCESS_TOKEN, APP_SECRET, Api, CLIENT_ID, CLIENT_SECRET, Options, PATIENCE, World, lena,
};

/// A page of ours as it was answered to a portal's form.
pub struct Page {
    pub api: Api,
    pub place: String,
    pub options: Value,
}

impl Page {
    /// Reads what the page was told; nothing where it is a refusal.
    pub fn read(world: &World, answer: &PageAnswer) -> Option<Self> {
        let (_, rest) = answer
            .body
            .split_once("name=\"separator-frame\" content=\"")?;
        let content = rest.split_once('"')?.0;
        let content = content
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        let frame: Value = serde_json::from_str(&content).unwrap();
        Some(Self {
            api: Api {
                key: frame["token"].as_str()?.to_owned(),
                ..world.api.clone()
            },
            place: frame["place"].as_str()?.to_owned(),
            options: frame["options"].clone(),
        })
    }
}

/// A world with the application entered, and installed nowhere.
async fn entered() -> (World, Value) {
    let world = World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await;
    world.enter_bitrix_app().await;
    let app = world.api.get("bitrix/apps").await["items"][0].clone();
    (world, app)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap()
}

/// The application as an administrator enters it on a portal, with pages.
fn with_pages(app: &Value) -> LocalApp {
    LocalApp::with_pages(
        CLIENT_ID,
        CLIENT_SECRET,
        text(app, "page_install_url"),
        text(app, "page_handler_url"),
    )
}

/// Opens the application's page as an employee.
async fn opened(portal: &Portal, app: &Value, user: i64) -> PageAnswer {
    let url = text(app, "page_handler_url");
    portal
        .open_page(CLIENT_ID, url, "DEFAULT", None, user)
        .await
        .unwrap()
}

/// Installs the application with its page, to the end; gives the instance.
async fn installed(world: &mut World, app: &Value) -> String {
    let answer = world.portal.save_local_app(with_pages(app)).await;
    let page = Page::read(world, &answer.page.unwrap()).unwrap();
    let instances = page.api.get("bitrix/instances").await;
    let id = text(&instances["items"][0], "id").to_owned();
    let path = format!("bitrix/instances/{id}/installation");
    page.api
        .until(&path, |shown| shown["state"] == "ready")
        .await;
    world.portal.finish_installation(CLIENT_ID).unwrap();
    let finish = format!("bitrix/instances/{id}/finish");
    page.api.create(&finish, json!({})).await;
    id.clone_into(&mut world.instance);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_pages_works_only_after_its_installation_is_finished() {
    let (mut world, app) = entered().await;
    for (method, path) in [
        ("GET", "app-install"),
        ("HEAD", "app-settings"),
        ("GET", "placement"),
    ] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}/{path}/", world.server.url());
        let answer = world.api.http.request(method, url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let installation = world.portal.save_local_app(with_pages(&app)).await;
    let answer = installation.page.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!answer.sets_cookie);
    let ancestors = format!("frame-ancestors http://{}", world.portal.domain());
    assert!(
        answer.policy.as_deref().unwrap().ends_with(&ancestors),
        "{:?}",
        answer.policy
    );
    let page = Page::read(&world, &answer).unwrap();
    assert_eq!(page.place, "install");
    let instances = page.api.get("bitrix/instances").await;
    let instance = &instances["items"][0];
    assert_eq!(instance["installed"], false);
    assert_eq!(instance["installer"], "Anna Schmidt");
    let id = text(instance, "id").to_owned();
    id.clone_into(&mut world.instance);

    // Everything is bound before the page may finish.
    let path = format!("bitrix/instances/{id}/installation");
    let shown = page
        .api
        .until(&path, |shown| shown["state"] == "ready")
        .await;
    let done = |name: &str| {
        let steps = shown["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        step["state"] == "done"
    };
    assert!(done("connector") && done("events") && done("placements") && !done("installed"));
    assert_eq!(world.portal.connectors().len(), 1);
    assert!(!world.portal.handlers().is_empty());

    // Red with the reason, and nothing pretends.
    let finish = format!("bitrix/instances/{id}/finish");
    let (status, problem) = page.api.call("POST", &finish, Some(json!({}))).await;
    assert_eq!(status, 409, "{problem:#}");
    let phone = format!("waba/phones/{}", world.phone);
    world.api.patch(&phone, json!({ "instance": id })).await;
    let shown = world
        .api
        .until(&phone, |phone| phone["connection"] == "error")
        .await;
    assert_eq!(shown["error"]["code"], "NOT_INSTALLED");
    let publishing = world.api.get(&format!("{phone}/publishing")).await;
    assert_eq!(publishing["state"], "failed");

    world.portal.finish_installation(CLIENT_ID).unwrap();
    let finished = page.api.create(&finish, json!({})).await;
    assert_eq!(
        (&finished["installed"], &finished["problem"]),
        (&json!(true), &Value::Null)
    );
    world.phone_is("connected").await;
    let publishing = world.api.get(&format!("{phone}/publishing")).await;
    assert_eq!(publishing["state"], "done");
    let all = publishing["steps"].as_array().unwrap();
    assert!(
        all.len() == 9 && all.iter().all(|step| step["state"] == "done"),
        "{publishing:#}"
    );
    world.customer_says(&lena(), "through the pages");
    let chat = world.operator_sees_text("through the pages").await;
    world.operator_says(&chat, "and back");
    world.customer_receives(&lena(), 1).await;

    // An employee looks, an administrator changes; both only at their own portal.
    let page = Page::read(&world, &opened(&world.portal, &app, 27).await).unwrap();
    assert_eq!(page.place, "application");
    let session = page.api.get("session").await;
    assert_eq!(session["portal"]["administrator"], false);
    assert_eq!(session["portal"]["name"], "Klaus Weber");
    assert_eq!(
        page.api.get("waba/phones").await["items"][0]["connection"],
        "connected"
    );
    let off = json!({ "sms_service": true });
    assert_eq!(
        page.api.call("PATCH", &phone, Some(off.clone())).await.0,
        403
    );
    assert_eq!(page.api.call("GET", "bitrix/lines", None).await.0, 403);
    let page = Page::read(&world, &opened(&world.portal, &app, 1).await).unwrap();
    assert_eq!(page.api.patch(&phone, off).await["sms_service"], true);
    let forbidden = json!({ "phone": "4915755500000" });
    assert_eq!(page.api.call("PATCH", &phone, Some(forbidden)).await.0, 422);
    world.phone_is("connected").await;

    // Whatever its pages are told, no secret is in it.
    let mut seen = String::new();
    for path in [
        "session".to_owned(),
        "bitrix/instances".to_owned(),
        format!("bitrix/instances/{id}"),
        format!("bitrix/instances/{id}/installation"),
        "bitrix/lines".to_owned(),
        "waba/phones".to_owned(),
        phone.clone(),
        format!("{phone}/publishing"),
        format!("frames/templates?number={}", world.phone),
    ] {
        seen.push_str(&page.api.get(&path).await.to_string());
    }
    assert!(
        seen.contains("Anna Schmidt") && seen.contains("hello_world"),
        "{seen}"
    );
    for secret in [
        CLIENT_SECRET,
        APP_SECRET,
        ACCESS_TOKEN,
        installation.application_token.as_str(),
        world.api.key.as_str(),
        page.api.key.as_str(),
    ] {
        assert!(!seen.contains(secret), "{secret} is shown");
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_of_the_installation_form_makes_the_same_portal() {
    let (world, app) = entered().await;
    world.portal.enter_local_app(with_pages(&app));
    let url = text(&app, "page_install_url");
    let form = || {
        world
            .portal
            .page_form(CLIENT_ID, url, "DEFAULT", None, 1)
            .unwrap()
    };
    let older = |mut form: PageForm| {
        for name in [
            "SERVER_ENDPOINT",
            "APPLICATION_TOKEN",
            "APPLICATION_SCOPE",
            "LANG",
            "APP_SID",
        ] {
            form.remove(name);
        }
        form
    };
    let nowhere = |mut form: PageForm| {
        form.remove("DOMAIN");
        form.remove("PROTOCOL");
        form
    };
    let mut ids = Vec::new();
    for form in [
        older(form()),
        form(),
        form().nested(),
        nowhere(form()),
        older(form()).nested(),
    ] {
        let answer = world.portal.post_page(&form).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        let instances = world.api.get("bitrix/instances").await;
        assert_eq!(instances["items"].as_array().unwrap().len(), 1);
        ids.push(text(&instances["items"][0], "id").to_owned());
    }
    assert!(ids.iter().all(|id| *id == ids[0]));
    let instance = world.api.get(&format!("bitrix/instances/{}", ids[0])).await;
    assert_eq!(instance["has_application_token"], true);
    assert_eq!(instance["domain"], world.portal.domain());

    // The event, posted to the page's address, is understood as well.
    let globex = world.portals.add("globex");
    let api_only = LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, url);
    assert_eq!(globex.save_local_app(api_only).await.status, Some(200));
    let instances = world.api.get("bitrix/instances").await;
    assert_eq!(instances["items"].as_array().unwrap().len(), 2);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_forms_open_nothing_and_change_nothing() {
    let (mut world, app) = entered().await;
    installed(&mut world, &app).await;
    world.link().await;
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let elsewhere = trap.local_addr().unwrap().to_string();
    // The same application on another portal, and another application on this one.
    let globex = world.portals.add("globex");
    globex.save_local_app(with_pages(&app)).await;
    world.portal.enter_local_app(LocalApp {
        client_id: "local.stranger".to_owned(),
        ..with_pages(&app)
    });
    let url = text(&app, "page_handler_url").to_owned();
    let form = |portal: &Portal, client_id: &str, user| {
        portal
            .page_form(client_id, &url, "DEFAULT", None, user)
            .unwrap()
    };
    let changed = |name: &'static str, value: &str| {
        let mut form = form(&world.portal, CLIENT_ID, 1);
        form.set(name, value);
        form
    };
    let foreign = form(&globex, CLIENT_ID, 1);
    let mut cases = vec![
        (
            "an unknown token",
            changed("AUTH_ID", "00000001abcdef"),
            401,
        ),
        ("no token", changed("AUTH_ID", ""), 401),
        (
            "another portal's token",
            changed("AUTH_ID", foreign.value("AUTH_ID")),
            401,
        ),
        ("a forged domain", changed("DOMAIN", &elsewhere), 401),
        ("a domain that is more", changed("DOMAIN", "a@b/c?d"), 401),
        (
            "a forged application token",
            changed("APPLICATION_TOKEN", "0123456789abcdef"),
            401,
        ),
        (
            "another application",
            form(&world.portal, "local.stranger", 1),
            409,
        ),
    ];
    // Another portal's form that claims this portal's member id, with and without its own host.
    let mut claimed = foreign.clone();
    claimed.set("member_id", world.portal.member_id());
    cases.push(("a forged member id", claimed.clone(), 401));
    claimed.set("DOMAIN", &world.portal.domain());
    claimed.remove("APPLICATION_TOKEN");
    cases.push(("a forged member id without application token", claimed, 401));
    let before = world.api.get("bitrix/instances").await;
    for (what, form, status) in &cases {
        let answer = world.portal.post_page(form).await.unwrap();
        assert_eq!(answer.status, *status, "{what}: {}", answer.body);
        assert!(Page::read(&world, &answer).is_none(), "{what}");
        assert!(answer.body.contains("<h1>"), "{what} is explained");
        assert!(
            answer.policy.unwrap().contains("default-src 'none'"),
            "{what}"
        );
    }
    assert_eq!(
        world.api.get("bitrix/instances").await["items"],
        before["items"]
    );
    let called = tokio::time::timeout(std::time::Duration::from_millis(50), trap.accept()).await;
    assert!(called.is_err(), "the named host was called");
    // A form that was looked at by others does not replace the pair that the application lives on.
    for user in [27, 31, 1] {
        assert!(Page::read(&world, &opened(&world.portal, &app, user).await).is_some());
    }
    world.customer_says(&lena(), "still connected");
    world.operator_sees_text("still connected").await;

    // The other application's announcement waits, and is shown to whoever may enter it.
    let kept = world.api.get("bitrix/announcements").await;
    assert_eq!(kept["items"][0]["client_id"], "local.stranger");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_no_administrator_installs_nothing() {
    let (mut world, app) = entered().await;
    let mut local = with_pages(&app);
    local.installer = 27;
    world.portal.behave(|behaviour| behaviour.language = "ru");
    let answer = world.portal.save_local_app(local).await.page.unwrap();
    assert_eq!(answer.status, 403);
    assert!(
        answer.body.contains("только администратор"),
        "{}",
        answer.body
    );
    let answer = opened(&world.portal, &app, 31).await;
    assert_eq!(answer.status, 403, "{}", answer.body);
    assert_eq!(world.api.get("bitrix/instances").await["items"], json!([]));
    assert!(world.portal.connectors().is_empty() && world.portal.handlers().is_empty());
    // An administrator opens it, and all is well.
    world.portal.behave(|behaviour| behaviour.language = "en");
    installed(&mut world, &app).await;
    world.link().await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_portal_stays_the_same_and_two_applications_do_not_disturb_each_other() {
    let (mut world, app) = entered().await;
    let first = installed(&mut world, &app).await;
    let body = json!({
        "site": world.site["id"], "name": "Second", "client_id": "local.second", "client_secret": "second-secret",
    });
    let second = world.api.create("bitrix/apps", body).await;
    world
        .portal
        .save_local_app(LocalApp {
            client_id: "local.second".to_owned(),
            client_secret: "second-secret".to_owned(),
            ..with_pages(&second)
        })
        .await;
    world.portal.finish_installation("local.second").unwrap();
    let instances = world.api.get("bitrix/instances").await;
    assert_eq!(instances["items"].as_array().unwrap().len(), 2);
    let url = text(&app, "page_handler_url");
    for client_id in [CLIENT_ID, "local.second", CLIENT_ID] {
        let answer = world
            .portal
            .open_page(client_id, url, "DEFAULT", None, 1)
            .await
            .unwrap();
        let page = Page::read(&world, &answer).unwrap();
        let own = page.api.get("bitrix/instances").await;
        let items = own["items"].as_array().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(text(&items[0], "id") == first, client_id == CLIENT_ID);
        world.portal.expire_tokens();
    }
    world.link().await;

    world.portal.rename().await.unwrap();
    let answer = opened(&world.portal, &app, 1).await;
    let page = Page::read(&world, &answer).unwrap();
    let ancestors = format!("frame-ancestors http://{}", world.portal.domain());
    assert!(answer.policy.unwrap().ends_with(&ancestors));
    let renamed = page.api.get(&format!("bitrix/instances/{first}")).await;
    assert_eq!(text(&renamed, "domain"), world.portal.domain());
    world.customer_says(&lena(), "at the new address");
    world.operator_sees_text("at the new address").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connectors_settings_link_a_number_to_the_line_they_are_opened_for() {
    let (mut world, app) = entered().await;
    installed(&mut world, &app).await;
    let line = world
        .portal
        .make_line("Sales", &[1], &[("CRM_TRANSFER_CHANGE", "Y"), ("CRM", "Y")]);
    let other = world.portal.make_line("Nobody", &[], &[]);
    world.portal.foreign_connector("wazzup", Some(line));
    let connector = world
        .portal
        .connectors()
        .into_iter()
        .find(|known| known.id.starts_with("separator_"))
        .unwrap();
    let options = connector_options(&connector.id, line);
    let answer = world
        .portal
        .open_page(
            CLIENT_ID,
            &connector.placement_handler,
            "SETTING_CONNECTOR",
            Some(&options),
            1,
        )
        .await
        .unwrap();
    let page = Page::read(&world, &answer).unwrap();
    assert_eq!(page.place, "SETTING_CONNECTOR");
    assert_eq!(page.options["LINE"], line.to_string());

    // The number is offered to the only portal of its owner.
    let phones = page.api.get("waba/phones").await;
    assert_eq!(text(&phones["items"][0], "id"), world.phone);
    let lines = page.api.get("bitrix/lines").await;
    let shown = |id: i64| {
        let lines = lines["items"].as_array().unwrap();
        lines.iter().find(|line| line["id"] == id).unwrap().clone()
    };
    let codes = |line: &Value| -> Vec<String> {
        let warnings = line["warnings"].as_array().unwrap();
        warnings
            .iter()
            .map(|warning| text(warning, "code").to_owned())
            .collect()
    };
    assert_eq!(codes(&shown(line)), ["OTHER_CONNECTORS", "TRANSFER_CHANGE"]);
    assert_eq!(shown(line)["connectors"][0]["name"], "wazzup");
    assert!(codes(&shown(other)).contains(&"QUEUE_EMPTY".to_owned()));
    let connectors = page.api.get("bitrix/connectors").await;
    assert!(
        connectors["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|known| known["ours"] == true)
    );

    let phone = format!("waba/phones/{}", world.phone);
    let body = json!({ "instance": world.instance, "line": line });
    page.api.patch(&phone, body).await;
    world.phone_is("connected").await;
    let linked = world.api.get(&phone).await;
    assert_eq!(
        (&linked["line"]["id"], &linked["line"]["name"]),
        (&json!(line), &json!("Sales"))
    );
    assert_eq!(
        linked["error"]["code"], "OTHER_CONNECTORS",
        "named, and messages pass"
    );
    world.customer_says(&lena(), "to sales");
    let chat = world.operator_sees_text("to sales").await;
    assert_eq!(chat.line, line);
    let settings = world
        .portal
        .lines()
        .into_iter()
        .find(|known| known.id == line)
        .unwrap();
    assert_eq!(
        settings.settings["CRM_TRANSFER_CHANGE"], "Y",
        "not ours to change"
    );

    // One number on a line; another line; a line that is not there; its own again.
    let account = world.api.get("waba/accounts").await["items"][0]["id"].clone();
    let second =
        json!({ "account": account, "phone": "4915755501235", "phone_id": "106540352242923" });
    let second = world.api.create("waba/phones", second).await;
    let path = format!("waba/phones/{}", text(&second, "id"));
    let taken = json!({ "instance": world.instance, "line": line });
    let (status, problem) = world.api.call("PATCH", &path, Some(taken)).await;
    assert_eq!(status, 422, "{problem:#}");
    assert!(
        text(&problem, "detail").contains("4915755501234"),
        "{problem:#}"
    );
    let (status, problem) = world
        .api
        .call("PATCH", &path, Some(json!({ "line": line })))
        .await;
    assert_eq!(
        (status, &problem["errors"][0]["field"]),
        (422, &json!("line"))
    );
    page.api.patch(&phone, json!({ "line": 99_999 })).await;
    let shown = world
        .api
        .until(&phone, |phone| phone["connection"] == "error")
        .await;
    assert_eq!(shown["error"]["code"], "LINE_NOT_FOUND");
    let on_sales = |portal: &Portal| {
        let connectors = portal.connectors();
        connectors.iter().any(|known| {
            known.id == connector.id && known.lines.iter().any(|on| on.line == line && on.active)
        })
    };
    assert!(
        !on_sales(&world.portal),
        "the line that was left is free again"
    );
    page.api.patch(&phone, json!({ "line": null })).await;
    let own = world
        .api
        .until(&phone, |phone| phone["connection"] == "connected")
        .await;
    assert_eq!(own["line"]["name"], "separator_4915755501234");

    // What the portal takes off, it may link again; another portal of the owner does not see the number.
    page.api.patch(&phone, json!({ "instance": null })).await;
    assert_eq!(page.api.get(&phone).await["connection"], "not_linked");
    page.api
        .patch(&phone, json!({ "instance": world.instance }))
        .await;
    world.phone_is("connected").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_shows_a_page_is_unpaid_or_deleted_says_so() {
    let (mut world, app) = entered().await;
    world.expect_errors("a portal needs attention");
    let id = installed(&mut world, &app).await;
    world.link().await;
    world.portal.faults().set(Fault::HtmlPage, When::Next(1));
    let answer = opened(&world.portal, &app, 1).await;
    assert!(
        answer.status >= 500 && answer.body.contains("<h1>"),
        "{}",
        answer.body
    );
    assert!(Page::read(&world, &opened(&world.portal, &app, 1).await).is_some());
    world.portal.faults().set(Fault::HtmlPage, When::Always);
    let lines = format!("bitrix/lines?instance={id}");
    let (status, problem) = world.api.call("GET", &lines, None).await;
    assert_eq!(status, 502, "{problem:#}");
    world.portal.faults().clear();

    world.portal.end_plan();
    let answer = opened(&world.portal, &app, 1).await;
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert!(answer.body.contains("plan"), "{}", answer.body);
    let (status, problem) = world.api.call("GET", &lines, None).await;
    assert_eq!(status, 502, "{problem:#}");
    world.portal.set_plan(true);
    assert!(Page::read(&world, &opened(&world.portal, &app, 1).await).is_some());

    world.portal.delete();
    let answer = opened(&world.portal, &app, 1).await;
    assert_eq!(answer.status, 401, "{}", answer.body);
    assert!(
        answer.body.contains("does not exist any more"),
        "{}",
        answer.body
    );
    let (status, problem) = world.api.call("GET", &lines, None).await;
    assert_eq!(status, 502, "{problem:#}");
    assert!(text(&problem, "detail").contains("deleted"), "{problem:#}");
    assert!(
        world
            .portals
            .wait_until(|portals| portals.events_waiting() == 0, PATIENCE)
            .await
    );
    world.ends_clean().await;
}
