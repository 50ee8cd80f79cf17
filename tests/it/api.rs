//! The JSON API as scripts use it, on the running program.

use std::{collections::BTreeSet, time::Duration};

use axum::{Router, routing::get};
use sandbox::{
    graph::{Customer, Fault, Times},
    portal,
};
use serde_json::{Value, json};

use crate::world::{ACCESS_TOKEN, APP_SECRET, Api, CLIENT_SECRET, Options, PATIENCE, World, lena};

async fn without_portal() -> World {
    World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await
}

/// The fields that a refusal names.
fn fields(problem: &Value) -> Vec<&str> {
    assert_eq!(problem["status"], 422, "{problem:#}");
    let errors = problem["errors"].as_array().unwrap();
    errors
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect()
}

fn id(of: &Value) -> &str {
    of["id"].as_str().unwrap()
}

impl Api {
    /// A call of which the answer's head matters too.
    async fn raw(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> reqwest::Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .body(body.to_owned());
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.unwrap()
    }

    async fn create_once(&self, path: &str, key: &str, body: &Value) -> reqwest::Response {
        self.http
            .post(format!("{}/api/v1/{path}", self.base))
            .bearer_auth(&self.key)
            .header("idempotency-key", key)
            .json(body)
            .send()
            .await
            .unwrap()
    }

    async fn removed(&self, path: &str) {
        let (status, body) = self.call("DELETE", path, None).await;
        assert_eq!((status, body), (204, json!("")), "DELETE {path}");
        assert_eq!(self.call("GET", path, None).await.0, 404, "GET {path}");
        assert_eq!(self.call("DELETE", path, None).await.0, 404, "again {path}");
    }

    async fn description(&self) -> Value {
        let answer = self.raw("GET", "/api/openapi.json", None, "").await;
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }
}

/// Path, method and description of every operation.
fn operations(description: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = description["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap();
            methods
                .iter()
                .map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_described_operation_is_there_and_closed_to_whoever_has_no_key_for_it() {
    let world = without_portal().await;
    let callback = world
        .server
        .command(&[
            "key",
            "create",
            "--user",
            "admin@example.com",
            "--scope",
            "callback",
        ])
        .output()
        .unwrap();
    let callback = String::from_utf8(callback.stdout).unwrap();
    let description = world.api.description().await;
    let operations = operations(&description);
    let resources: BTreeSet<&str> = operations.iter().map(|(path, ..)| *path).collect();
    for path in [
        "/api/v1/sites",
        "/api/v1/sites/{id}",
        "/api/v1/waba/apps",
        "/api/v1/waba/apps/{id}",
        "/api/v1/waba/accounts",
        "/api/v1/waba/accounts/{id}",
        "/api/v1/waba/accounts/{id}/sync",
        "/api/v1/waba/phones",
        "/api/v1/waba/phones/{id}",
        "/api/v1/waba/phones/{id}/messages",
        "/api/v1/waba/phones/{id}/conversations",
        "/api/v1/bitrix/apps",
        "/api/v1/bitrix/apps/{id}",
        "/api/v1/bitrix/instances",
        "/api/v1/bitrix/instances/{id}",
        "/api/v1/messages",
        "/api/v1/messages/{id}",
        "/api/v1/messages/{id}/retry",
        "/api/v1/messages/retry",
        "/api/v1/events",
        "/api/v1/events/{id}",
        "/api/v1/queue",
    ] {
        assert!(resources.contains(path), "{path} is not described");
    }
    for (path, method, operation) in operations {
        let method = method.to_uppercase();
        let address = path.replace("{id}", "0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90");
        // Signing in is for everybody; its own tests are in `people`.
        if operation["security"] == json!([{}]) {
            assert!(path.starts_with("/api/v1/session"), "{path} is open");
            continue;
        }
        for (key, status) in [
            (None, 401),
            (Some(""), 401),
            (Some("wrong"), 401),
            // A valid key, but for something else.
            (Some(callback.trim()), 403),
        ] {
            let answer = world.api.raw(&method, &address, key, "{}").await;
            assert_eq!(answer.status(), status, "{method} {path} {key:?}");
            assert_eq!(answer.headers()["content-type"], "application/problem+json");
            assert_eq!(
                answer.headers().contains_key("www-authenticate"),
                status == 401
            );
            let problem: Value = answer.json().await.unwrap();
            assert_eq!(problem["status"], status);
            assert!(!problem["detail"].as_str().unwrap().is_empty());
        }
        let answer = world
            .api
            .raw(&method, &address, Some(&world.api.key), "{\"zzz\":1}")
            .await;
        let status = answer.status().as_u16();
        assert_ne!(status, 405, "{method} {path}");
        assert!(status < 500, "{method} {path}: {status}");
        assert!(
            operation["responses"].get(status.to_string()).is_some(),
            "{method} {path} answers {status}, which is not described"
        );
        let text = answer.text().await.unwrap();
        assert!(!text.contains("nothing at this path"), "{method} {path}");
    }
    // What is not described is not there.
    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1", 404),
        ("PUT", "/api/v1/sites", 405),
        ("DELETE", "/api/v1/sites", 405),
    ] {
        let answer = world.api.raw(method, path, Some(&world.api.key), "").await;
        assert_eq!(answer.status(), status, "{method} {path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_browsable_without_any_other_host() {
    let world = without_portal().await;
    let page = world.api.raw("GET", "/api/docs", None, "").await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let page = page.text().await.unwrap();
    let mut files = vec![page.clone()];
    for attribute in ["src=\"", "href=\""] {
        for rest in page.split(attribute).skip(1) {
            let address = rest.split('"').next().unwrap();
            assert!(
                address.starts_with('/') && !address.starts_with("//"),
                "{address}"
            );
            let answer = world.api.raw("GET", address, None, "").await;
            assert_eq!(answer.status(), 200, "{address}");
            // The description itself has addresses as examples.
            if address != "/api/openapi.json" {
                files.push(answer.text().await.unwrap());
            }
        }
    }
    assert!(files.len() >= 3, "the page has a script and a style");
    for file in files {
        // The name of a drawing's vocabulary is no address.
        let file = file.replace("http://www.w3.org/2000/svg", "");
        assert!(!file.contains("http://") && !file.contains("https://"));
    }
    world.ends_clean().await;
}

/// What Meta and portals say of a thing; they are asked meanwhile.
const SAID: [&str; 3] = ["token", "problem", "tried"];

fn without_health(mut thing: Value) -> Value {
    for said in SAID {
        thing.as_object_mut().unwrap().remove(said);
    }
    thing
}

#[tokio::test(flavor = "multi_thread")]
async fn each_resource_is_made_read_listed_changed_and_removed() {
    let world = without_portal().await;
    let api = &world.api;
    let site = api
        .create("sites", json!({ "domain": "crud.example" }))
        .await;
    let app = api
        .create(
            "waba/apps",
            json!({ "site": site["id"], "client_id": "100200", "client_secret": "s-one" }),
        )
        .await;
    assert_eq!(app["name"], "100200", "named by its id");
    assert_eq!(app["events"], false);
    assert_eq!(app["has_client_secret"], true);
    assert_eq!(app["has_access_token"], false);
    assert!(app["verify_token"].as_str().unwrap().len() >= 16);
    let callback = app["callback_url"].as_str().unwrap();
    assert!(
        callback.starts_with("https://crud.example/api/waba/"),
        "{callback}"
    );
    let account = api
        .create(
            "waba/accounts",
            json!({ "app": app["id"], "waba_id": "300400" }),
        )
        .await;
    assert_eq!(account["subscribed"], false);
    let phone = api
        .create(
            "waba/phones",
            json!({ "account": account["id"], "phone": "+7 (999) 000-11-22", "phone_id": "500600" }),
        )
        .await;
    assert_eq!(phone["phone"], "79990001122");
    for (name, value) in [
        ("instance", Value::Null),
        ("sms_service", json!(false)),
        ("calling", json!("disabled")),
        ("sip", json!("disabled")),
        ("sip_hostname", Value::Null),
        ("sip_port", json!(5061)),
        ("connection", json!("not_linked")),
        ("line", Value::Null),
        ("error", Value::Null),
    ] {
        assert_eq!(phone[name], value, "{name}");
    }
    let bitrix = api
        .create(
            "bitrix/apps",
            json!({ "site": site["id"], "client_id": "local.5d9a7b1b6a1a55.1", "client_secret": "s-two" }),
        )
        .await;
    assert!(
        bitrix["install_url"]
            .as_str()
            .unwrap()
            .starts_with("https://crud.example/api/bitrix/")
    );

    for (path, made, change) in [
        (
            "waba/apps",
            &app,
            json!({ "name": "Main", "events": true, "access_token": "EAAx", "config_id": "5" }),
        ),
        ("waba/accounts", &account, json!({ "name": "Shop" })),
        (
            "waba/phones",
            &phone,
            json!({ "sip_hostname": "SIP.example.com", "sip_port": 5062 }),
        ),
        ("bitrix/apps", &bitrix, json!({ "name": "Portal app" })),
        ("sites", &site, json!({ "domain": "changed.example" })),
    ] {
        let one = format!("{path}/{}", id(made));
        let get = async || without_health(api.get(&one).await);
        assert_eq!(get().await, without_health(made.clone()), "{path}");
        let list = api.get(path).await;
        let items = list["items"].as_array().unwrap();
        assert!(items.iter().any(|item| id(item) == id(made)), "{path}");
        let changed = without_health(api.patch(&one, change.clone()).await);
        for (name, value) in change.as_object().unwrap() {
            if name == "access_token" {
                assert_eq!(changed["has_access_token"], true);
                assert!(changed.get(name).is_none());
            } else if name == "sip_hostname" {
                assert_eq!(changed[name], "sip.example.com");
            } else {
                assert_eq!(&changed[name], value, "{path} {name}");
            }
        }
        for (name, value) in made.as_object().unwrap() {
            let kept = change.get(name).is_none()
                && !(path == "sites" && name == "url")
                && name != "has_access_token"
                && !SAID.contains(&name.as_str());
            assert!(
                !kept || &changed[name] == value,
                "{path} {name}: {changed:#}"
            );
        }
        assert_eq!(get().await, changed, "{path}");
        let nothing = without_health(api.patch(&one, json!({})).await);
        assert_eq!(nothing, changed, "{path}: an empty change changes nothing");
        let (status, problem) = api.call("PATCH", &one, Some(json!({ "colour": 1 }))).await;
        assert_eq!((status, fields(&problem)), (422, vec!["colour"]), "{path}");
        for unknown in ["0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90", "x", "1"] {
            let one = format!("{path}/{unknown}");
            assert_eq!(api.call("GET", &one, None).await.0, 404, "{one}");
            let (status, _) = api.call("PATCH", &one, Some(json!({}))).await;
            assert_eq!(status, 404, "{one}");
        }
    }
    // The addresses follow the site.
    let app = api.get(&format!("waba/apps/{}", id(&app))).await;
    assert!(
        app["callback_url"]
            .as_str()
            .unwrap()
            .starts_with("https://changed.example/")
    );
    // What is in use stays, and the refusal names the user.
    for (path, of, user) in [
        ("sites", &site, "Main"),
        ("waba/apps", &app, "300400"),
        ("waba/accounts", &account, "79990001122"),
    ] {
        let one = format!("{path}/{}", id(of));
        let (status, problem) = api.call("DELETE", &one, None).await;
        assert_eq!(status, 409, "{path} {problem:#}");
        assert!(
            problem["detail"].as_str().unwrap().contains(user),
            "{problem:#}"
        );
    }
    for (path, of) in [
        ("waba/phones", &phone),
        ("waba/accounts", &account),
        ("waba/apps", &app),
        ("bitrix/apps", &bitrix),
        ("sites", &site),
    ] {
        api.removed(&format!("{path}/{}", id(of))).await;
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_or_foreign_is_named_for_each_resource() {
    let world = World::start().await;
    let nobody = "0199f1c2-7d3e-7a41-9c55-2f0e8b1d6a90";
    let messages = format!("waba/phones/{}/messages", world.phone);
    let account = &world.api.get("waba/accounts").await["items"][0];
    let phone = format!("waba/phones/{}", world.phone);
    let instance = format!("bitrix/instances/{}", world.instance);
    for (method, path, body, expected) in [
        ("POST", "sites", json!({}), &["domain"][..]),
        (
            "POST",
            "waba/apps",
            json!({}),
            &["site", "client_id", "client_secret"],
        ),
        ("POST", "waba/accounts", json!({}), &["app", "waba_id"]),
        (
            "POST",
            "waba/phones",
            json!({}),
            &["account", "phone", "phone_id"],
        ),
        ("POST", "bitrix/apps", json!({}), &["site"]),
        ("POST", &messages, json!({}), &["to", "text"]),
        (
            "POST",
            "sites",
            json!({ "domain": "https://x.example/" }),
            &["domain"],
        ),
        (
            "POST",
            "waba/apps",
            json!({ "site": nobody, "client_id": "x1", "client_secret": "" }),
            &["client_id", "client_secret", "site"],
        ),
        (
            "POST",
            "waba/accounts",
            json!({ "app": nobody, "waba_id": "77" }),
            &["app"],
        ),
        (
            "POST",
            "waba/accounts",
            json!({ "app": world.phone, "waba_id": "77" }),
            &["app"],
        ),
        (
            "POST",
            "bitrix/apps",
            json!({ "site": world.phone, "client_id": "local.1", "client_secret": "s" }),
            &["site"],
        ),
        (
            "PATCH",
            &phone,
            json!({ "instance": nobody }),
            &["instance"],
        ),
        (
            "PATCH",
            &phone,
            json!({ "instance": world.phone }),
            &["instance"],
        ),
        ("PATCH", &phone, json!({ "account": nobody }), &["account"]),
        ("PATCH", &phone, json!({ "phone": null }), &["phone"]),
        (
            "PATCH",
            &instance,
            json!({ "calls_per_second": 0 }),
            &["calls_per_second"],
        ),
        (
            "PATCH",
            &instance,
            json!({ "status": "active" }),
            &["status"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "x", "text": "a" }),
            &["to"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755501234", "text": "a" }),
            &["to"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755509876", "text": " " }),
            &["text"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755509876", "text": "x".repeat(4097) }),
            &["text"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755509876", "text": "a", "template": { "name": "x" } }),
            &["template"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755509876", "media": { "link": "file:///etc/passwd" } }),
            &["media.link"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755509876", "media": { "link": "http://169.254.169.254/latest" } }),
            &["media.link"],
        ),
        (
            "POST",
            &messages,
            json!({ "to": "4915755509876", "template": { "name": "Not A Name" } }),
            &["template.name"],
        ),
        (
            "POST",
            "messages/retry",
            json!({ "colour": 1 }),
            &["colour"],
        ),
    ] {
        let (status, problem) = world.api.call(method, path, Some(body.clone())).await;
        assert_eq!(status, 422, "{method} {path} {body} {problem:#}");
        let mut found = fields(&problem);
        let mut expected = expected.to_vec();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{method} {path} {body} {problem:#}");
        for error in problem["errors"].as_array().unwrap() {
            assert!(error["message"].as_str().unwrap().len() >= 8, "{problem:#}");
        }
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
    for query in [
        "messages?limit=0",
        "messages?limit=201",
        "messages?cursor=x",
        "messages?state=lost",
        "messages?direction=up",
        "messages?phone=4915700000000",
        "messages?colour=red",
        "events?state=lost",
        "events?source=x",
        "sites?colour=red",
        "queue?colour=red",
        "waba/phones?account=x",
    ] {
        let (status, problem) = world.api.call("GET", query, None).await;
        let name = query.split_once('?').unwrap().1.split('=').next().unwrap();
        assert_eq!((status, fields(&problem)), (422, vec![name]), "{query}");
    }
    let unlinked = format!("waba/phones/{nobody}/messages");
    let body = json!({ "to": "4915755509876", "text": "a" });
    assert_eq!(world.api.call("POST", &unlinked, Some(body)).await.0, 404);
    assert_eq!(account["subscribed"], false, "nothing of it had an effect");
    assert_eq!(world.api.get("messages").await["items"], json!([]));
    world.phone_is("connected").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_ever_shows_a_secret() {
    let mut world = without_portal().await;
    let app = world.enter_bitrix_app().await;
    let installation = world.portal.save_local_app(app).await;
    let instances = world.api.get("bitrix/instances").await;
    id(&instances["items"][0]).clone_into(&mut world.instance);
    world.link().await;
    let path = format!("waba/apps/{}", id(&world.app));
    world.api.patch(&path, json!({ "events": true })).await;
    let account = world.api.get("waba/accounts").await["items"][0].clone();
    let path = format!("waba/accounts/{}", id(&account));
    world
        .api
        .patch(&path, json!({ "access_token": ACCESS_TOKEN }))
        .await;
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    world.operator_says(&chat, "hi");
    world.customer_receives(&lena(), 1).await;
    // An event that is kept although it is about nothing that is known.
    let body = format!(
        "event=ONSOMETHING&auth[member_id]={}&auth[access_token]=PLANTED-event-token\
         &auth[application_token]={}&auth[domain]=x.example",
        world.portal.member_id(),
        installation.application_token
    );
    let answer = world.api.raw("POST", "/api/bitrix/", None, &body).await;
    assert_eq!(answer.status(), 200);
    world
        .api
        .until("events?source=bitrix", |list| list["items"] != json!([]))
        .await;
    // Every list and every item of it.
    let description = world.api.description().await;
    let mut seen = description.to_string();
    for (path, method, _) in operations(&description) {
        if method != "get" || path.contains("{id}") {
            continue;
        }
        let path = path.trim_start_matches("/api/v1/");
        // Pages inside a portal answer its people only.
        if path.starts_with("frames/") {
            continue;
        }
        let list = world.api.get(path).await;
        seen.push_str(&list.to_string());
        for item in list["items"].as_array().into_iter().flatten() {
            let Some(id) = item["id"].as_str() else {
                continue;
            };
            let one = format!("{path}/{id}");
            let (_, item) = world.api.call("GET", &one, None).await;
            seen.push_str(&item.to_string());
        }
    }
    let page = world.api.raw("GET", "/metrics", None, "").await;
    seen.push_str(&page.text().await.unwrap());
    assert!(
        seen.contains("hello") && seen.contains("ONSOMETHING"),
        "all was read"
    );
    for secret in [
        CLIENT_SECRET,
        APP_SECRET,
        ACCESS_TOKEN,
        "PLANTED-event-token",
        installation.application_token.as_str(),
        world.api.key.as_str(),
    ] {
        assert!(!seen.contains(secret), "{secret} is shown");
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_number_customer_wamid_state_and_words() {
    let world = World::start().await;
    let max = Customer::hidden("DE.4Hc9rT6bPn20", "Max Winter");
    let first = world.customer_says(&lena(), "Is the blue bicycle there?");
    let second = world.customer_says(&max, "Guten Morgen 50% _off_");
    let third = world.customer_says(&lena(), "And the GREEN one?");
    for wamid in [&first, &second, &third] {
        world.message_is(wamid, "delivered").await;
    }
    let chat = world.operator_sees_text("blue bicycle").await;
    world.operator_says(&chat, "Yes, the bicycle is here");
    let sent = world.customer_receives(&lena(), 1).await;
    world.message_is(&sent[0].wamid, "delivered").await;
    let fourth = sent[0].wamid.clone();
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    for (query, expected) in [
        (String::new(), vec![&fourth, &third, &second, &first]),
        (
            "peer=4915755509876".to_owned(),
            vec![&fourth, &third, &first],
        ),
        (
            "peer=%2B49%201575%205509876".to_owned(),
            vec![&fourth, &third, &first],
        ),
        ("peer=DE.4Hc9rT6bPn20".to_owned(), vec![&second]),
        ("direction=outbound".to_owned(), vec![&fourth]),
        ("q=BICYCLE".to_owned(), vec![&fourth, &first]),
        ("q=green".to_owned(), vec![&third]),
        ("q=50%25".to_owned(), vec![&second]),
        ("q=5_%25".to_owned(), vec![]),
        ("q=%25".to_owned(), vec![&second]),
        ("q=_off_".to_owned(), vec![&second]),
        ("q=%27+OR+1%3D1".to_owned(), vec![]),
        (format!("wamid={}", encoded(&second)), vec![&second]),
        (
            "state=delivered".to_owned(),
            vec![&fourth, &third, &second, &first],
        ),
        ("state=failed".to_owned(), vec![]),
        (
            format!("phone={}", world.phone),
            vec![&fourth, &third, &second, &first],
        ),
        ("phone=4915755501234&q=one".to_owned(), vec![&third]),
        (
            "peer=4915755509876&direction=inbound&q=the".to_owned(),
            vec![&third, &first],
        ),
    ] {
        let list = world.api.get(&format!("messages?{query}")).await;
        let found: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|message| message["wamid"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected, "{query}");
    }
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_page_by_page_while_more_comes_in() {
    let world = World::start().await;
    for number in 0..7 {
        let wamid = world.customer_says(&lena(), &format!("message {number}"));
        world.message(&wamid).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for page in 0..3 {
        let list = world
            .api
            .get(&format!("messages?limit=3&cursor={cursor}"))
            .await;
        let items = list["items"].as_array().unwrap();
        assert_eq!(items.len(), if page < 2 { 3 } else { 1 });
        seen.extend(items.iter().map(|item| item["text"].clone()));
        match list["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => assert_eq!(page, 2, "the last page has no next one"),
        }
        let wamid = world.customer_says(&lena(), &format!("later {page}"));
        world.message(&wamid).await;
    }
    let expected: Vec<Value> = (0..7)
        .rev()
        .map(|number| json!(format!("message {number}")))
        .collect();
    assert_eq!(seen, expected, "newest first, none twice, none missed");
    world.ends_clean().await;
}

/// Whether it is RFC 3339 in UTC with milliseconds.
fn is_time(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    text.len() == pattern.len()
        && text
            .bytes()
            .zip(pattern.bytes())
            .all(|(found, wanted)| found == wanted || wanted == b'0' && found.is_ascii_digit())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journey_of_a_message_tells_every_hop_with_its_time() {
    let world = World::start().await;
    let wamid = world.customer_says(&lena(), "Guten Tag");
    let inbound = world.message_is(&wamid, "delivered").await;
    let chat = world.operator_sees_text("Guten Tag").await;
    world.operator_says(&chat, "Hallo");
    let received = world.customer_receives(&lena(), 1).await;
    let sent = received[0].wamid.clone();
    world.message_is(&sent, "delivered").await;
    world.graph.read_message(&sent);
    let outbound = world.message_is(&sent, "read").await;
    for (message, direction, steps) in [
        (
            &inbound,
            "inbound",
            &[
                "written",
                "received",
                "translated",
                "in the operator's chat",
            ][..],
        ),
        (
            &outbound,
            "outbound",
            &[
                "received",
                "translated",
                "accepted by Meta",
                "sent",
                "delivered",
                "read",
            ],
        ),
    ] {
        assert_eq!(message["direction"], direction);
        assert!(is_time(message["created_at"].as_str().unwrap()));
        let journey = message["journey"].as_array().unwrap();
        let mut names = journey.iter().map(|step| step["step"].as_str().unwrap());
        for step in steps {
            assert!(names.any(|name| name == *step), "{step} in {message:#}");
        }
        for step in journey {
            assert!(is_time(step["at"].as_str().unwrap()), "{step}");
        }
    }
    let text = outbound["journey"].to_string();
    assert!(text.contains(&sent), "the answer of Meta is told: {text}");
    world.ends_clean().await;
}

impl World {
    /// Sends a message through the API; gives it as it was taken.
    async fn api_sends(&self, body: Value) -> Value {
        let path = format!("waba/phones/{}/messages", self.phone);
        let (status, message) = self.api.call("POST", &path, Some(body)).await;
        assert_eq!(status, 202, "{message:#}");
        message
    }

    /// Waits until a message is in a state; gives it with its journey.
    async fn is(&self, message: &Value, state: &str) -> Value {
        let path = format!("messages/{}", id(message));
        self.api.until(&path, |found| found["state"] == state).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_files_and_templates_are_sent_through_the_api() {
    let world = World::start().await;
    world.customer_says(&lena(), "hello");
    world.operator_sees_text("hello").await;
    let link = serve_pdf("price%20list.pdf").await;

    let text = world
        .api_sends(json!({ "to": "+49 1575 5509876", "text": "*bold* [b]" }))
        .await;
    assert_eq!(text["state"], "queued");
    assert_eq!(text["direction"], "outbound");
    assert_eq!(text["peer"], "4915755509876");
    let file = world
        .api_sends(json!({
            "to": "4915755509876",
            "media": { "link": link, "filename": "prices.pdf", "caption": "May" },
        }))
        .await;
    let template = world
        .api_sends(json!({
            "to": "4915755509876",
            "template": { "name": "hello_world", "language": "en_US" },
        }))
        .await;
    let named = world
        .api_sends(json!({
            "to": "4915755509876",
            "template": {
                "name": "appointment_reminder", "language": "en",
                "parameters": { "first_name": "Lena", "day": "Monday" },
            },
        }))
        .await;
    let received = world.customer_receives(&lena(), 4).await;
    let types: Vec<&str> = received
        .iter()
        .map(|message| message.body["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["text", "document", "template", "template"]);
    assert_eq!(received[0].body["text"]["body"], "*bold* [b]");
    let media = received[1].media.as_ref().unwrap();
    assert_eq!(&media.bytes[..], b"%PDF-1.4 prices");
    assert_eq!(received[1].body["document"]["filename"], "prices.pdf");
    assert_eq!(received[1].body["document"]["caption"], "May");
    assert_eq!(received[2].body["template"]["name"], "hello_world");
    for (message, received) in [&text, &file, &template, &named].into_iter().zip(&received) {
        let message = world.is(message, "delivered").await;
        assert_eq!(message["wamid"], json!(received.wamid));
    }
    // The operator sees what the program said, and nothing that could be taken for markup.
    let chat = world
        .operator_sees("four notes", |chat| chat.messages.len() >= 5)
        .await;
    assert!(!chat.messages[1].text.contains("*bold* [b]"), "{chat:#?}");
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_by_api_to_somebody_new_is_answered_in_the_same_chat() {
    let world = World::start().await;
    let anna = Customer::with_phone("4915750000001").named("Anna Berg");
    world.graph.add_customer(&anna);
    let message = world
        .api_sends(json!({ "to": "4915750000001", "text": "Your order is ready" }))
        .await;
    world.is(&message, "delivered").await;
    world.operator_sees_text("Your order is ready").await;
    world.customer_says(&anna, "Thank you");
    let chat = world.operator_sees_text("Thank you").await;
    assert!(
        chat.messages[0].text.contains("Your order is ready"),
        "{chat:#?}"
    );
    assert_eq!(world.portal.chats().len(), 1);
    let path = format!("waba/phones/{}/conversations", world.phone);
    let conversations = world.api.get(&path).await;
    assert_eq!(conversations["items"].as_array().unwrap().len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_repeated_with_its_key_has_one_effect() {
    let world = World::start().await;
    world.customer_says(&lena(), "hello");
    world.operator_sees_text("hello").await;
    let path = format!("waba/phones/{}/messages", world.phone);
    let body = json!({ "to": "4915755509876", "text": "once" });
    let first = world.api.create_once(&path, "order-1007", &body).await;
    assert_eq!(first.status(), 202);
    let location = first.headers()["location"].clone();
    assert!(!first.headers().contains_key("idempotency-replayed"));
    let first: Value = first.json().await.unwrap();
    assert!(location.to_str().unwrap().ends_with(id(&first)));
    for _ in 0..3 {
        let again = world.api.create_once(&path, "order-1007", &body).await;
        assert_eq!(again.status(), 202);
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        assert_eq!(again.headers()["location"], location);
        assert_eq!(again.json::<Value>().await.unwrap(), first);
    }
    let other = json!({ "to": "4915755509876", "text": "another" });
    let other = world.api.create_once(&path, "order-1007", &other).await;
    assert_eq!(other.status(), 422);
    // Many at once, before any answer is known.
    let requests = (0..8).map(|_| world.api.create_once(&path, "order-1008", &body));
    let mut ids = BTreeSet::new();
    for answer in futures_util::future::join_all(requests).await {
        match answer.status().as_u16() {
            202 => ids.insert(id(&answer.json::<Value>().await.unwrap()).to_owned()),
            status => {
                assert_eq!(status, 409);
                false
            }
        };
    }
    assert_eq!(ids.len(), 1);
    for (key, status) in [("", 400), (" ", 400), (&"k".repeat(256), 400)] {
        let answer = world.api.create_once(&path, key, &body).await;
        assert_eq!(answer.status().as_u16(), status, "{key:?}");
    }
    world
        .api
        .until("messages?direction=outbound&state=delivered", |list| {
            list["items"].as_array().unwrap().len() >= 2
        })
        .await;
    assert_eq!(world.received(&lena()).len(), 2);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_failed_is_tried_again_when_somebody_asks() {
    let world = World::start().await;
    world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(1));
    let message = world
        .api_sends(json!({ "to": "4915755509876", "text": "first try" }))
        .await;
    let failed = world.is(&message, "failed").await;
    assert_eq!(failed["error"]["code"], "131026");
    assert!(!failed["error"]["title"].as_str().unwrap().is_empty());
    let delivered = world
        .api_sends(json!({ "to": "4915755509876", "text": "another" }))
        .await;
    world.is(&delivered, "delivered").await;
    let path = format!("messages/{}/retry", id(&delivered));
    let (status, problem) = world.api.call("POST", &path, None).await;
    assert_eq!(status, 409, "{problem:#}");

    let path = format!("messages/{}/retry", id(&message));
    let (status, again) = world.api.call("POST", &path, None).await;
    assert_eq!(status, 200, "{again:#}");
    assert_eq!(again["error"], Value::Null);
    let done = world.is(&message, "delivered").await;
    assert_ne!(done["wamid"], failed["wamid"], "sent anew");
    let texts: Vec<Value> = world
        .received(&lena())
        .iter()
        .map(|received| received.body["text"]["body"].clone())
        .collect();
    assert_eq!(texts, ["another", "first try"]);

    // The same for an operator's message, by a filter.
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(2));
    world.operator_says(&chat, "one");
    world.operator_says(&chat, "two");
    let failed = world
        .api
        .until("messages?state=failed", |list| {
            list["items"].as_array().unwrap().len() == 2
        })
        .await;
    assert_eq!(failed["items"][0]["text"], "two");
    let filter = json!({ "peer": "4915755509876", "q": "one" });
    let retried = world.api.create("messages/retry", filter).await;
    assert_eq!(retried, json!({ "queued": 1, "skipped": 0, "more": false }));
    let nobody = json!({ "peer": "4915700000000" });
    let retried = world.api.create("messages/retry", nobody).await;
    assert_eq!(retried["queued"], 0);
    let retried = world.api.create("messages/retry", json!({})).await;
    assert_eq!(retried["queued"], 1);
    let texts = world.customer_receives(&lena(), 4).await;
    assert_eq!(texts[2].body["text"]["body"], "one");
    assert_eq!(texts[3].body["text"]["body"], "two");
    world.ends_clean().await;
}

/// A file that Meta can fetch; gives its address.
async fn serve_pdf(name: &str) -> String {
    let files = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = format!("http://{}/{name}", files.local_addr().unwrap());
    let pdf = || async {
        (
            [("content-type", "application/pdf")],
            &b"%PDF-1.4 prices"[..],
        )
    };
    tokio::spawn(async move { axum::serve(files, Router::new().fallback(get(pdf))).await });
    link
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_files_and_replies_that_failed_at_meta_are_sent_anew_as_they_were() {
    let world = World::start().await;
    let asked = world.customer_says(&lena(), "hello");
    let chat = world.operator_sees_text("hello").await;
    world
        .graph
        .faults()
        .set(Fault::FailedStatus(131_026), Times::Next(3));
    let template = world
        .api_sends(json!({
            "to": "4915755509876",
            "template": {
                "name": "appointment_reminder", "language": "en",
                "parameters": { "first_name": "Lena", "day": "Monday" },
            },
        }))
        .await;
    let template = world.is(&template, "failed").await;
    let link = serve_pdf("offer.pdf").await;
    let file = world
        .api_sends(json!({
            "to": "4915755509876",
            "media": { "link": link, "filename": "offer.pdf", "caption": "Our offer" },
        }))
        .await;
    let file = world.is(&file, "failed").await;
    world
        .portal
        .operator_quotes(chat.messages[0].id, "a reply")
        .unwrap();
    let replies = world
        .api
        .until("messages?q=a%20reply&state=failed", |list| {
            list["items"] != json!([])
        })
        .await;
    let reply = replies["items"][0].clone();

    for failed in [&template, &file, &reply] {
        let wamid = failed["wamid"].as_str().unwrap();
        // While the send is under way, Meta tells once more of the try that failed.
        world
            .graph
            .faults()
            .set(Fault::Slow(Duration::from_millis(700)), Times::Next(1));
        let path = format!("messages/{}/retry", id(failed));
        let (status, again) = world.api.call("POST", &path, None).await;
        assert_eq!(status, 200, "{again:#}");
        let ours = format!("separator:{}", id(failed).replace('-', ""));
        for state in ["sent", "failed"] {
            let mut told = json!({
                "id": wamid, "status": state, "timestamp": "1795000000",
                "recipient_id": "4915755509876", "biz_opaque_callback_data": ours,
            });
            if state == "failed" {
                told["errors"] = json!([{ "code": 131_026, "title": "Message undeliverable" }]);
            }
            let told = world.value(json!({ "statuses": [told] }));
            world.webhook(&[told]).await;
        }
        let done = world.is(failed, "delivered").await;
        assert_ne!(done["wamid"], json!(wamid), "sent anew");
        assert_eq!(done["error"], Value::Null);
        let step = format!("the try that failed was {wamid}");
        assert!(done["journey"].to_string().contains(&step), "{done:#}");
    }
    let received = world.received(&lena());
    assert_eq!(received.len(), 3, "each once: {received:#?}");
    let parameters = received[0].body["template"]["components"].to_string();
    assert_eq!(received[0].body["template"]["name"], "appointment_reminder");
    assert!(
        parameters.contains("Lena") && parameters.contains("Monday"),
        "{parameters}"
    );
    assert_eq!(received[1].body["document"]["filename"], "offer.pdf");
    assert_eq!(received[1].body["document"]["caption"], "Our offer");
    assert_eq!(received[2].body["text"]["body"], "a reply");
    assert_eq!(received[2].body["context"]["message_id"], asked.as_str());
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_meta_refuses_becomes_a_dead_letter_that_can_be_replayed() {
    let world = World::start().await;
    world.customer_says(&lena(), "hello");
    world.operator_sees_text("hello").await;
    world
        .graph
        .faults()
        .set(Fault::Refused(131_009), Times::Next(1));
    let message = world
        .api_sends(json!({ "to": "4915755509876", "text": "refused at first" }))
        .await;
    let failed = world.is(&message, "failed").await;
    assert_eq!(failed["error"]["code"], "131009");
    let queue = world
        .api
        .until("queue", |queue| queue["dead_letter_count"] == 1)
        .await;
    let letter = &queue["dead_letters"][0];
    assert_eq!(letter["message"], message["id"]);
    assert_eq!(letter["phone"], json!(world.phone));
    assert_eq!(letter["side"], "meta");
    assert!(
        letter["reason"].as_str().unwrap().contains("131009"),
        "{letter:#}"
    );
    assert!(is_time(letter["died_at"].as_str().unwrap()));
    let list = world.api.get("queue/dead_letters").await;
    assert_eq!(&list["items"][0], letter);

    let path = format!("queue/dead_letters/{}/replay", id(letter));
    let (status, shown) = world.api.call("POST", &path, None).await;
    assert_eq!((status, &shown), (200, letter));
    world.is(&message, "delivered").await;
    assert_eq!(world.api.call("POST", &path, None).await.0, 404);
    assert_eq!(world.received(&lena()).len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_portal_refuses_becomes_a_dead_letter_with_an_alarm_and_can_be_replayed() {
    let world = World::start().await;
    world
        .portal
        .faults()
        .set(portal::Fault::ItemFailure, portal::When::Always);
    let wamid = world.customer_says(&lena(), "refused at first");
    let message = world.message(&wamid).await;
    let path = format!("messages/{}", id(&message));
    world
        .api
        .until(&path, |message| {
            message["journey"]
                .to_string()
                .contains("refused, will be tried again")
        })
        .await;
    // The next try is the last one, without the pauses of those between.
    world.server.sql("UPDATE outbox SET attempts = 3");
    let failed = world.message_is(&wamid, "failed").await;
    assert_eq!(failed["error"]["code"], "PORTAL");
    let queue = world
        .api
        .until("queue", |queue| queue["dead_letter_count"] == 1)
        .await;
    let letter = &queue["dead_letters"][0];
    assert_eq!(letter["side"], "portal");
    let alarms = world
        .api
        .until("alarms", |list| list["items"] != json!([]))
        .await;
    assert_eq!(alarms["items"][0]["kind"], "dead_letters");
    world.portal.faults().clear();
    let path = format!("queue/dead_letters/{}/replay", id(letter));
    assert_eq!(world.api.call("POST", &path, None).await.0, 200);
    world.message_is(&wamid, "delivered").await;
    world.operator_sees_text("refused at first").await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queue_tells_what_waits_where_and_why() {
    let mut world = without_portal().await;
    let empty = world.api.get("queue").await;
    assert_eq!(
        empty,
        json!({
            "depth": 0, "oldest": null, "destinations": [], "dead_letters": [],
            "dead_letter_count": 0, "receipts": { "depth": 0, "oldest": null },
        })
    );
    for text in ["one", "two"] {
        let wamid = world.customer_says(&lena(), text);
        world.message_is(&wamid, "received").await;
    }
    let queue = world.api.get("queue").await;
    assert_eq!(queue["depth"], 2);
    assert!(is_time(queue["oldest"].as_str().unwrap()));
    let destination = &queue["destinations"][0];
    assert_eq!(destination["phone"], json!(world.phone));
    assert_eq!(destination["side"], "portal");
    assert_eq!(destination["depth"], 2);
    assert_eq!(destination["oldest"], queue["oldest"]);
    assert_eq!(
        destination["paused"],
        "the number is not linked to a portal"
    );
    // What waits keeps its number from being removed.
    let path = format!("waba/phones/{}", world.phone);
    let (status, problem) = world.api.call("DELETE", &path, None).await;
    assert_eq!(status, 409);
    assert!(
        problem["detail"].as_str().unwrap().contains('2'),
        "{problem:#}"
    );

    world.install().await;
    world.link().await;
    world.api.until("queue", |queue| *queue == empty).await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syncing_an_account_subscribes_to_it_and_enters_its_numbers() {
    let world = without_portal().await;
    let account = world.api.get("waba/accounts").await["items"][0].clone();
    let waba_id = account["waba_id"].as_str().unwrap();
    world
        .graph
        .add_phone(waba_id, "209300000000009", "4915755509999");
    world.graph.customer_writes(
        "209300000000009",
        &lena(),
        sandbox::graph::part::text("early"),
    );
    world
        .api
        .until("events?state=unlinked", |list| list["items"] != json!([]))
        .await;
    let path = format!("waba/accounts/{}/sync", id(&account));
    let synced = world.api.create(&path, json!({})).await;
    assert_eq!(
        (&synced["phones"], &synced["added"]),
        (&json!(2), &json!(1))
    );
    let again = world.api.create(&path, json!({})).await;
    assert_eq!(again["added"], 0);
    let phones = world.api.get("waba/phones").await;
    assert_eq!(phones["items"][1]["phone"], "4915755509999");
    assert_eq!(phones["items"][1]["connection"], "not_linked");
    let account = world
        .api
        .get(&format!("waba/accounts/{}", id(&account)))
        .await;
    assert_eq!(account["subscribed"], true);
    // What came before is not lost.
    let found = world
        .api
        .until("messages?q=early", |list| list["items"] != json!([]))
        .await;
    assert_eq!(found["items"][0]["phone"], phones["items"][1]["id"]);

    // An account that Meta does not let us see is said so.
    let foreign = world
        .api
        .create(
            "waba/accounts",
            json!({ "app": world.app["id"], "waba_id": "999", "access_token": "wrong" }),
        )
        .await;
    let path = format!("waba/accounts/{}/sync", id(&foreign));
    let (status, problem) = world.api.call("POST", &path, None).await;
    assert_eq!(status, 502, "{problem:#}");
    assert!(
        problem["detail"].as_str().unwrap().contains("190"),
        "{problem:#}"
    );
    assert!(world.received(&lena()).is_empty());
    let limit = tokio::time::timeout(PATIENCE, world.server_is_calm()).await;
    assert!(limit.is_ok());
}

impl World {
    /// Waits until no callback waits to be translated.
    async fn server_is_calm(&self) {
        self.api
            .until("queue", |queue| queue["receipts"]["depth"] == 0)
            .await;
    }
}
