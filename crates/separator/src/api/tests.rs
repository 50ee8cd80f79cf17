//! The API as a caller sees it, on a SQLite file.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use axum::http::{HeaderMap, Method};
use serde_json::json;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use uuid::Uuid;

use super::{description::assert_described, operation::BODY_LIMIT, rule::Rule, *};
use crate::{
    identifiers::Chance,
    settings::{Settings, SettingsArguments},
    store::Cell,
    users::{self, Role, Scope},
};

const EMAIL: &str = "administrator@example.com";

/// A secret that must come out nowhere.
const SECRET: &str = "pl4nted-s3cret";

/// The program on a data folder of its own, and a key to its API.
pub(super) struct World {
    pub(super) app: Arc<App>,
    pub(super) key: String,
    folder: PathBuf,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
    pub(super) text: String,
}

impl Reply {
    /// Field and message of what is wrong.
    pub(super) fn errors(&self) -> Vec<(&str, &str)> {
        assert_eq!(self.status, 422, "{}", self.text);
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let errors = self.body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| {
                (
                    error["field"].as_str().unwrap(),
                    error["message"].as_str().unwrap(),
                )
            })
            .collect()
    }

    pub(super) fn id(&self) -> String {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            self.text
        );
        self.body["id"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("separator-api-{}", Chance::System.token()));
        std::fs::create_dir_all(&folder).unwrap();
        let arguments = SettingsArguments {
            data_dir: Some(folder.display().to_string()),
            // Nobody is asked for anything.
            graph_url: Some("http://127.0.0.1:1".to_owned()),
            facebook_url: Some("http://127.0.0.1:1".to_owned()),
            bitrix_oauth_url: Some("http://127.0.0.1:1".to_owned()),
            ..SettingsArguments::default()
        };
        let settings = Settings::load(&arguments, [], &folder).unwrap();
        let app = crate::serve::build(settings, &TaskTracker::new())
            .await
            .unwrap();
        users::create_user(
            &app.store,
            &app.clock,
            &app.ids,
            &Chance::System,
            EMAIL,
            None,
            Role::Admin,
        )
        .await
        .unwrap();
        let mut world = Self {
            app,
            key: String::new(),
            folder,
        };
        world.key = world.key_of(Scope::Manage).await;
        world
    }

    async fn key_of(&self, scope: Scope) -> String {
        let app = &self.app;
        users::create_key(
            &app.store,
            &app.clock,
            &app.ids,
            &Chance::System,
            EMAIL,
            scope,
            "test",
        )
        .await
        .unwrap()
        .1
        .expose()
        .to_owned()
    }

    pub(super) async fn send(&self, request: axum::http::request::Builder, body: Body) -> Reply {
        let router = routes().with_state(Arc::clone(&self.app));
        let response = router.oneshot(request.body(body).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().into()).unwrap();
        assert!(!text.contains(SECRET), "a secret came out: {text}");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            text,
        }
    }

    fn request(&self, method: Method, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("/api/v1/{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key))
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path), Body::empty())
            .await
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(
            self.request(Method::POST, path),
            Body::from(body.to_string()),
        )
        .await
    }

    async fn post_once(&self, path: &str, key: &str, body: Value) -> Reply {
        let request = self
            .request(Method::POST, path)
            .header(idempotency::HEADER, key);
        self.send(request, Body::from(body.to_string())).await
    }

    async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(
            self.request(Method::PATCH, path),
            Body::from(body.to_string()),
        )
        .await
    }

    async fn delete(&self, path: &str) -> Reply {
        self.send(self.request(Method::DELETE, path), Body::empty())
            .await
    }

    async fn site(&self, domain: &str) -> String {
        self.post("sites", json!({ "domain": domain })).await.id()
    }

    async fn waba_app(&self, site: &str) -> Reply {
        let body = json!({ "site": site, "client_id": "530199836402875", "client_secret": SECRET, "access_token": SECRET });
        self.post("waba/apps", body).await
    }

    /// A site, an application, an account and a number; gives the id of the number.
    async fn phone(&self) -> String {
        let site = self.site("separator.example.com").await;
        let app = self.waba_app(&site).await.id();
        let account = self
            .post(
                "waba/accounts",
                json!({ "app": app, "waba_id": "102290129340398" }),
            )
            .await
            .id();
        let body = json!({ "account": account, "phone": "+49 1575 550-1234", "phone_id": "106540352242922" });
        self.post("waba/phones", body).await.id()
    }

    /// An application of Bitrix24 installed on a portal; gives the id of the instance.
    async fn instance(&self) -> Uuid {
        let site = self.site("bitrix.example.com").await;
        let body = json!({ "site": site, "client_id": "local.5d9a.1", "client_secret": SECRET });
        let app: Uuid = self.post("bitrix/apps", body).await.id().parse().unwrap();
        let id = self.app.ids.next();
        let place = crate::store::setup::place("instances", "application_token", id);
        let token = Cell::Bytes(self.app.sealer.seal(&place, SECRET));
        self.app
            .store
            .execute(
                "INSERT INTO instances (id, app_id, member_id, domain, client_endpoint, server_endpoint, \
                 application_token, access_token, refresh_token, expires_at, refreshed_at, scope, language, state, \
                 calls_per_second, burst, created_at) VALUES ($1, $2, 'a223', 'acme.bitrix24.com', '', '', $3, $3, $3, \
                 0, 0, 'im', 'en', 'active', 2.0, 50, 0)",
                &[id.into(), app.into(), token],
            )
            .await
            .unwrap();
        self.app.reload().await.unwrap();
        id
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What cannot be removed stays in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn without_a_right_key_nothing_is_answered() {
    let world = World::new().await;
    let plain = |path: &str| Request::builder().uri(format!("/api/v1/{path}"));
    let missing = world.send(plain("sites"), Body::empty()).await;
    assert_eq!(
        (missing.status, missing.body["status"].as_u64()),
        (401, Some(401))
    );
    assert_eq!(missing.headers[header::WWW_AUTHENTICATE], "Bearer");
    let wrong = plain("sites").header(header::AUTHORIZATION, format!("Bearer {}x", world.key));
    assert_eq!(world.send(wrong, Body::empty()).await.status, 401);
    let callback = world.key_of(Scope::Callback).await;
    let other = plain("sites").header(header::AUTHORIZATION, format!("Bearer {callback}"));
    assert_eq!(world.send(other, Body::empty()).await.status, 403);
    for kind in ["no_key", "wrong_key", "scope"] {
        assert_eq!(world.app.metrics.get("api_refused", kind), 1, "{kind}");
    }
}

#[tokio::test]
async fn users_are_made_once() {
    let world = World::new().await;
    let (store, clock, ids) = (&world.app.store, &world.app.clock, &world.app.ids);
    let twin = users::create_user(
        store,
        clock,
        ids,
        &Chance::System,
        "Administrator@Example.com",
        None,
        Role::Admin,
    )
    .await;
    assert!(twin.unwrap_err().to_string().contains(EMAIL));
    let password = Some(crate::secret::Secret::new("correct horse"));
    let made = users::create_user(
        store,
        clock,
        ids,
        &Chance::System,
        "b@example.com",
        password,
        Role::Admin,
    )
    .await
    .unwrap();
    assert!(made.sign_in_link_token.is_none());
    let nobody = users::create_key(
        store,
        clock,
        ids,
        &Chance::System,
        "c@example.com",
        Scope::Manage,
        "",
    )
    .await;
    assert!(
        nobody
            .unwrap_err()
            .to_string()
            .contains("separator user create")
    );
}

#[tokio::test]
async fn every_described_operation_is_served() {
    let world = World::new().await;
    let id = Uuid::nil().to_string();
    for operation in operations() {
        let method =
            Method::from_bytes(format!("{:?}", operation.verb).to_uppercase().as_bytes()).unwrap();
        let request = Request::builder()
            .method(method)
            .uri(operation.path.replace("{id}", &id));
        // What is for everybody asks for a body.
        let status = if operation.rule == Rule::Anybody {
            400
        } else {
            401
        };
        assert_eq!(
            world.send(request, Body::empty()).await.status,
            status,
            "{} is not served",
            operation.path
        );
    }
    for (method, path, status) in [
        (Method::GET, "nothing", 404),
        (Method::PUT, "sites", 405),
        (Method::GET, "messages/retry", 405),
        (Method::POST, "bitrix/instances", 405),
    ] {
        let reply = world.send(world.request(method, path), Body::empty()).await;
        assert_eq!(
            (reply.status, reply.body["status"].as_u64()),
            (status, Some(u64::from(status))),
            "{path}"
        );
    }
}

#[tokio::test]
async fn ids_of_nothing_are_not_found() {
    let world = World::new().await;
    for id in [Uuid::nil().to_string(), "x".to_owned(), "%FF".to_owned()] {
        // Those for browsers refuse the key before they look at the id.
        let with_id = operations().filter(|operation| {
            operation.path.contains("{id}") && operation.rule != Rule::Browsers
        });
        for operation in with_id {
            let path = operation.path.replace("{id}", &id);
            let method =
                Method::from_bytes(format!("{:?}", operation.verb).to_uppercase().as_bytes())
                    .unwrap();
            let request = world.request(method, path.trim_start_matches("/api/v1/"));
            // The stand-in for retrying knows every message.
            let reply = world.send(request, Body::from("{}")).await;
            assert!(
                matches!(reply.status, 404 | 400),
                "{path} {} {}",
                reply.status,
                reply.text
            );
        }
    }
}

#[tokio::test]
async fn a_set_up_is_entered_and_shown_without_its_secrets() {
    let world = World::new().await;
    let site = world
        .post("sites", json!({ "domain": "Separator.Example.com" }))
        .await;
    assert_eq!(site.status, 201);
    assert_eq!(
        site.headers[header::LOCATION],
        format!("/api/v1/sites/{}", site.id()).as_str()
    );
    assert_eq!(site.body["url"], "https://separator.example.com");
    assert_described("Site", &site.body);

    let app = world.waba_app(&site.id()).await;
    assert_described("WabaApp", &app.body);
    assert_eq!(app.body["verify_token"].as_str().unwrap().len(), 32);
    assert_eq!(
        app.body["callback_url"],
        "https://separator.example.com/api/waba/?app_id=530199836402875"
    );
    assert_eq!(
        (
            &app.body["has_client_secret"],
            &app.body["has_access_token"]
        ),
        (&json!(true), &json!(true))
    );

    let account = world
        .post(
            "waba/accounts",
            json!({ "app": app.id(), "waba_id": "1022" }),
        )
        .await;
    assert_described("Account", &account.body);
    assert_eq!(
        (&account.body["name"], &account.body["subscribed"]),
        (&json!(""), &json!(false))
    );

    let instance = world.instance().await;
    let body = json!({ "account": account.id(), "phone": "+49 1575 550-1234", "phone_id": "1065", "instance": instance });
    let phone = world.post("waba/phones", body).await;
    assert_described("Phone", &phone.body);
    assert_eq!(phone.body["phone"], "4915755501234");
    assert_eq!(phone.body["sip_port"], 5061);
    assert_eq!(phone.body["connection"], "pending");
    assert_described("Line", &phone.body["line"]);

    let shown = world.get(&format!("bitrix/instances/{instance}")).await;
    assert_described("Instance", &shown.body);
    assert_described("LinkedLine", &shown.body["lines"][0]);
    let apps = world.get("bitrix/apps").await;
    assert_described("BitrixApp", &apps.body["items"][0]);
    assert_eq!(
        apps.body["items"][0]["install_url"],
        "https://bitrix.example.com/api/bitrix/?app-id=local.5d9a.1"
    );

    for path in [
        "sites",
        "waba/apps",
        "waba/accounts",
        "waba/phones",
        "bitrix/apps",
        "bitrix/instances",
    ] {
        let list = world.get(path).await;
        let first = list.body["items"][0]["id"].as_str().unwrap();
        assert_eq!(
            world.get(&format!("{path}/{first}")).await.body,
            list.body["items"][0],
            "{path}"
        );
        assert_eq!(list.body["next_cursor"], Value::Null);
    }
    // Sealed secrets open again after the way through the database.
    let registry = world.app.directory.snapshot();
    assert!(
        registry
            .waba_apps
            .values()
            .all(|app| app.client_secret.matches(SECRET))
    );
}

#[tokio::test]
async fn a_change_leaves_what_it_does_not_name() {
    let world = World::new().await;
    let phone = world.phone().await;
    let before = world.get(&format!("waba/phones/{phone}")).await.body;
    let body = json!({ "callback_permission": "disabled", "sip_hostname": "SIP.example.com" });
    let after = world
        .patch(&format!("waba/phones/{phone}"), body)
        .await
        .body;
    assert_eq!(
        (&after["callback_permission"], &after["sip_hostname"]),
        (&json!("disabled"), &json!("sip.example.com"))
    );
    assert_eq!(
        (&after["sip"], &after["phone"]),
        (&before["sip"], &before["phone"])
    );
    let cleared = world
        .patch(
            &format!("waba/phones/{phone}"),
            json!({ "sip_hostname": null, "callback_permission": null }),
        )
        .await
        .body;
    assert_eq!(cleared, before);
    assert_eq!(
        world
            .patch(&format!("waba/phones/{phone}"), json!({}))
            .await
            .body,
        before
    );

    let app = world.get("waba/apps").await.body["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let changed = world
        .patch(
            &format!("waba/apps/{app}"),
            json!({ "access_token": null, "events": true }),
        )
        .await;
    assert_eq!(
        (&changed.body["has_access_token"], &changed.body["events"]),
        (&json!(false), &json!(true))
    );
    let refused = world
        .patch(
            &format!("waba/apps/{app}"),
            json!({ "client_secret": null }),
        )
        .await;
    assert_eq!(refused.errors(), [("client_secret", "cannot be empty")]);
}

#[tokio::test]
async fn a_new_token_lets_a_paused_number_send_again() {
    let world = World::new().await;
    let phone = format!("waba/phones/{}", world.phone().await);
    for (path, body) in [
        ("waba/accounts", json!({ "access_token": SECRET })),
        ("waba/apps", json!({ "access_token": SECRET })),
        ("waba/apps", json!({ "client_secret": SECRET })),
    ] {
        let pause = "UPDATE phones SET paused = '190: the access token expired'";
        world.app.store.execute(pause, &[]).await.unwrap();
        world.app.reload().await.unwrap();
        assert!(world.get(&phone).await.body["paused"].is_string());
        let id = world.get(path).await.body["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            world
                .patch(&format!("{path}/{id}"), json!({ "name": "x" }))
                .await
                .status,
            200
        );
        assert!(
            world.get(&phone).await.body["paused"].is_string(),
            "a name changes nothing"
        );
        assert_eq!(world.patch(&format!("{path}/{id}"), body).await.status, 200);
        assert_eq!(
            world.get(&phone).await.body["paused"],
            Value::Null,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_account_with_another_id_is_not_subscribed_yet() {
    let world = World::new().await;
    world.phone().await;
    let account = &world.get("waba/accounts").await.body["items"][0];
    let path = format!("waba/accounts/{}", account["id"].as_str().unwrap());
    let subscribe = "UPDATE waba_accounts SET subscribed = $1";
    world
        .app
        .store
        .execute(subscribe, &[true.into()])
        .await
        .unwrap();
    world.app.reload().await.unwrap();
    let same = world
        .patch(&path, json!({ "waba_id": account["waba_id"], "name": "x" }))
        .await;
    assert_eq!(same.body["subscribed"], true);
    let other = world.patch(&path, json!({ "waba_id": "7" })).await;
    assert_eq!(other.body["subscribed"], false);
}

#[tokio::test]
async fn a_number_is_linked_and_unlinked() {
    let world = World::new().await;
    let phone = format!("waba/phones/{}", world.phone().await);
    let instance = world.instance().await;
    let linked = world.patch(&phone, json!({ "instance": instance })).await;
    assert_eq!(
        (&linked.body["connection"], &linked.body["instance"]),
        (&json!("pending"), &json!(instance))
    );
    assert_eq!(
        world
            .get(&format!("waba/phones?instance={instance}"))
            .await
            .body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let account = linked.body["account"].as_str().unwrap();
    let twin = json!({ "account": account, "phone": "4915755501234", "phone_id": "7" });
    assert_eq!(
        world.post("waba/phones", twin).await.errors(),
        [(
            "phone",
            "is already entered as phone 4915755501234, linked to acme.bitrix24.com"
        )]
    );
    let held = world.delete(&phone).await;
    assert_eq!(held.status, 409);
    assert!(held.text.contains("acme.bitrix24.com"));
    let unlinked = world.patch(&phone, json!({ "instance": null })).await;
    assert_eq!(
        (&unlinked.body["connection"], &unlinked.body["line"]),
        (&json!("not_linked"), &Value::Null)
    );
    assert_eq!(world.delete(&phone).await.status, 204);
    assert_eq!(world.get(&phone).await.status, 404);
}

#[tokio::test]
async fn bad_input_is_refused_at_its_field() {
    let world = World::new().await;
    let phone = world.phone().await;
    let account = world.get("waba/accounts").await.body["items"][0]["id"].clone();
    let nobody = Uuid::nil();
    for (path, body, field) in [
        ("sites", json!({}), "domain"),
        ("sites", json!({ "domain": "https://a.example" }), "domain"),
        (
            "sites",
            json!({ "domain": "SEPARATOR.example.com" }),
            "domain",
        ),
        (
            "sites",
            json!({ "domain": "a.example", "colour": "red" }),
            "colour",
        ),
        (
            "sites",
            json!({ "domain": "a.example", "id": nobody }),
            "id",
        ),
        (
            "waba/apps",
            json!({ "site": nobody, "client_id": "1", "client_secret": "s" }),
            "site",
        ),
        (
            "waba/apps",
            json!({ "site": "x", "client_id": "1", "client_secret": "s" }),
            "site",
        ),
        (
            "waba/accounts",
            json!({ "app": nobody, "waba_id": "1" }),
            "app",
        ),
        (
            "waba/accounts",
            json!({ "app": nobody, "waba_id": "102290129340398" }),
            "app",
        ),
        (
            "waba/phones",
            json!({ "account": account, "phone": "49157x", "phone_id": "1" }),
            "phone",
        ),
        (
            "waba/phones",
            json!({ "account": account, "phone": "4915755501235", "phone_id": "106540352242922" }),
            "phone_id",
        ),
        (
            "waba/phones",
            json!({ "account": account, "phone": "4915755501235", "phone_id": "1", "sip_port": 0 }),
            "sip_port",
        ),
        (
            "waba/phones",
            json!({ "account": account, "phone": "4915755501235", "phone_id": "1", "instance": nobody }),
            "instance",
        ),
        (
            "bitrix/apps",
            json!({ "site": nobody, "client_id": "a b", "client_secret": "s" }),
            "client_id",
        ),
        ("messages/retry", json!({ "state": "sent" }), "state"),
    ] {
        let reply = world.post(path, body.clone()).await;
        assert_eq!(reply.errors()[0].0, field, "{path} {body} {}", reply.text);
    }
    let site = world.get("sites").await.body["items"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        world.waba_app(&site).await.errors()[0].0,
        "site",
        "one site, one application"
    );
    for query in [
        "limit=0",
        "cursor=x",
        "state=odd",
        "phone=4915755509876",
        "colour=red",
    ] {
        let reply = world.get(&format!("messages?{query}")).await;
        assert_eq!(reply.errors()[0].0, query.split('=').next().unwrap());
    }
    let message = format!("waba/phones/{phone}/messages");
    assert_eq!(
        world
            .post(&message, json!({ "to": "4915755509999", "text": "" }))
            .await
            .errors()[0]
            .0,
        "text"
    );
    assert_eq!(
        world.post(&message, json!({ "text": "a" })).await.errors(),
        [("to", "is required")]
    );

    let broken = world
        .send(
            world.request(Method::POST, "sites"),
            Body::from("{\"domain\": "),
        )
        .await;
    assert_eq!(broken.status, 400);
    assert!(broken.body["detail"].as_str().unwrap().contains("line 1"));
    let large = world
        .send(
            world.request(Method::POST, "sites"),
            Body::from(vec![b' '; BODY_LIMIT + 1]),
        )
        .await;
    assert_eq!(large.status, 413);
}

#[tokio::test]
async fn what_is_in_use_is_not_removed() {
    let world = World::new().await;
    let phone = world.phone().await;
    let id_of = async |path: &str| {
        world.get(path).await.body["items"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for (path, user) in [
        ("waba/accounts", "4915755501234"),
        ("waba/apps", "102290129340398"),
        ("sites", "530199836402875"),
    ] {
        let reply = world.delete(&format!("{path}/{}", id_of(path).await)).await;
        assert_eq!(reply.status, 409, "{path}");
        assert!(reply.text.contains(user), "{}", reply.text);
    }
    world
        .app
        .store
        .execute(
            "INSERT INTO outbox (id, lane, side, seq, phone_id, created_at, attempts, payload) VALUES ($1, $1, 'meta', 1, $2, 5, 0, '{}')",
            &[world.app.ids.next().into(), phone.parse::<Uuid>().unwrap().into()],
        )
        .await
        .unwrap();
    let queued = world.delete(&format!("waba/phones/{phone}")).await;
    assert_eq!(queued.status, 409);
    let queue = world.get("queue").await.body;
    assert_described("Queue", &queue);
    assert_described("Destination", &queue["destinations"][0]);
    assert_described("Backlog", &queue["receipts"]);
    assert_eq!(
        (&queue["depth"], &queue["oldest"]),
        (&json!(1), &json!("1970-01-01T00:00:00.005Z"))
    );
    world
        .app
        .store
        .execute("DELETE FROM outbox", &[])
        .await
        .unwrap();

    assert_eq!(
        world.delete(&format!("waba/phones/{phone}")).await.status,
        204
    );
    for path in ["waba/accounts", "waba/apps", "sites"] {
        assert_eq!(
            world
                .delete(&format!("{path}/{}", id_of(path).await))
                .await
                .status,
            204,
            "{path}"
        );
    }
    assert!(world.app.directory.snapshot().sites.is_empty());
}

#[tokio::test]
async fn an_instance_is_removed_once_it_is_uninstalled() {
    let world = World::new().await;
    let instance = format!("bitrix/instances/{}", world.instance().await);
    let paced = world
        .patch(&instance, json!({ "calls_per_second": 5, "burst": 250 }))
        .await;
    assert_eq!(
        (&paced.body["calls_per_second"], &paced.body["burst"]),
        (&json!(5.0), &json!(250))
    );
    assert_eq!(
        world
            .patch(&instance, json!({ "domain": "x" }))
            .await
            .errors(),
        [("domain", "is made by Separator and cannot be set")]
    );
    assert_eq!(world.delete(&instance).await.status, 409);
    let app = paced.body["app"].as_str().unwrap();
    assert_eq!(
        world.delete(&format!("bitrix/apps/{app}")).await.status,
        409
    );
    world
        .app
        .store
        .execute("UPDATE instances SET state = 'uninstalled'", &[])
        .await
        .unwrap();
    world.app.reload().await.unwrap();
    assert_eq!(world.delete(&instance).await.status, 204);
    assert_eq!(
        world.delete(&format!("bitrix/apps/{app}")).await.status,
        204
    );
}

#[tokio::test]
async fn a_repeated_request_has_one_effect() {
    let world = World::new().await;
    let body = || json!({ "domain": "a.example" });
    let first = world.post_once("sites", "k1", body()).await;
    assert_eq!(first.status, 201);
    assert!(first.headers.get("idempotency-replayed").is_none());
    let again = world.post_once("sites", "k1", body()).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(
        again.headers[header::LOCATION],
        first.headers[header::LOCATION]
    );
    let other = world
        .post_once("sites", "k1", json!({ "domain": "b.example" }))
        .await;
    assert_eq!(other.status, 422);
    assert_eq!(
        world.get("sites").await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let refused = world
        .post_once("sites", "k2", json!({ "domain": "b/" }))
        .await;
    assert_eq!(refused.status, 422);
    let mended = world
        .post_once("sites", "k2", json!({ "domain": "b.example" }))
        .await;
    assert_eq!(mended.status, 201, "a refused request frees its key");

    let kept = world
        .app
        .store
        .fetch("SELECT key, body FROM idempotency_keys", &[])
        .await
        .unwrap();
    assert_eq!(kept.len(), 2);
}

#[tokio::test]
async fn of_many_repeated_requests_at_once_one_has_an_effect() {
    let world = World::new().await;
    let sends = (0..8).map(|_| world.post_once("sites", "k", json!({ "domain": "a.example" })));
    let replies = futures_util::future::join_all(sends).await;
    assert!(
        replies
            .iter()
            .all(|reply| matches!(reply.status, 201 | 409)),
        "made, replayed or in progress"
    );
    assert!(replies.iter().any(|reply| reply.status == 201));
    assert_eq!(
        world.get("sites").await.body["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn of_many_equal_requests_at_once_one_wins_and_the_others_are_told() {
    let world = World::new().await;
    let sends = (0..8).map(|_| world.post("sites", json!({ "domain": "a.example" })));
    let replies = futures_util::future::join_all(sends).await;
    assert_eq!(
        replies.iter().filter(|reply| reply.status == 201).count(),
        1
    );
    for loser in replies.iter().filter(|reply| reply.status != 201) {
        assert!(
            loser.errors()[0]
                .1
                .starts_with("is already entered as site"),
            "{}",
            loser.text
        );
    }
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    for number in 0..5 {
        world.site(&format!("s{number}.example.com")).await;
    }
    let mut seen = Vec::new();
    let mut path = "sites?limit=2".to_owned();
    loop {
        let page = world.get(&path).await.body;
        seen.extend(
            page["items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|site| site["domain"].as_str().unwrap().to_owned()),
        );
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        path = format!("sites?limit=2&cursor={cursor}");
    }
    assert_eq!(
        seen,
        [
            "s0.example.com",
            "s1.example.com",
            "s2.example.com",
            "s3.example.com",
            "s4.example.com"
        ]
    );
}

#[tokio::test]
async fn messages_are_found() {
    let world = World::new().await;
    let phone: Uuid = world.phone().await.parse().unwrap();
    for (text, state, peer) in [
        ("Hello 50% off", "sent", "4915755509999"),
        ("Привет", "failed", "DE.1"),
        ("a_b", "sent", "4915755509999"),
    ] {
        let id = world.app.ids.next();
        world
            .app
            .store
            .execute(
                "INSERT INTO messages (id, phone_id, conversation_id, direction, origin, peer, kind, text, state, wamid, \
                 created_at, updated_at, journey) VALUES ($1, $2, $1, 'inbound', 'customer', $3, 'text', $4, $5, $6, 0, 0, '[]')",
                &[id.into(), phone.into(), peer.into(), text.into(), state.into(), Cell::text(format!("wamid.{text}"))],
            )
            .await
            .unwrap();
    }
    let found = async |query: &str| {
        let items = world.get(&format!("messages?{query}")).await.body["items"]
            .as_array()
            .unwrap()
            .clone();
        items
            .iter()
            .map(|message| message["text"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("").await,
        ["a_b", "Привет", "Hello 50% off"],
        "newest first"
    );
    assert_eq!(found("q=hELLO").await, ["Hello 50% off"]);
    assert_eq!(found("q=50%25+").await, ["Hello 50% off"]);
    assert_eq!(found("q=a_b").await, ["a_b"]);
    assert_eq!(found("q=_").await, ["a_b"]);
    assert_eq!(found("q=%D0%9F%D1%80%D0%B8").await, ["Привет"]);
    assert_eq!(found("state=failed").await, ["Привет"]);
    assert_eq!(found("peer=%2B49+1575+5509999&limit=1").await, ["a_b"]);
    assert_eq!(found("peer=DE.1").await, ["Привет"]);
    assert_eq!(found("wamid=wamid.a_b").await, ["a_b"]);
    assert_eq!(
        found("phone=4915755501234&direction=inbound").await.len(),
        3
    );
    assert_eq!(found("direction=outbound").await.len(), 0);
    assert_described("Message", &world.get("messages").await.body["items"][0]);
}

#[tokio::test]
async fn a_message_is_taken_once_and_can_be_followed() {
    let world = World::new().await;
    let phone = world.phone().await;
    let path = format!("waba/phones/{phone}/messages");
    let body = || json!({ "to": "+49 1575 5509999", "text": "Good morning" });
    let taken = world.post_once(&path, "m1", body()).await;
    assert_eq!(taken.status, 202, "{}", taken.text);
    assert_described("Message", &taken.body);
    let id = taken.id();
    assert_eq!(
        taken.headers[header::LOCATION],
        format!("/api/v1/messages/{id}").as_str()
    );
    assert_eq!(world.post_once(&path, "m1", body()).await.id(), id);
    let queue = world.get("queue").await.body;
    assert_eq!(
        (&queue["depth"], &queue["destinations"][0]["side"]),
        (&json!(1), &json!("meta"))
    );

    let shown = world.get(&format!("messages/{id}")).await.body;
    assert_eq!(
        (&shown["state"], &shown["direction"]),
        (&json!("queued"), &json!("outbound"))
    );
    assert_described("Step", &shown["journey"][0]);
    assert_eq!(
        world
            .post(&format!("messages/{id}/retry"), json!({}))
            .await
            .status,
        409
    );
    let own = world
        .post(&path, json!({ "to": "4915755501234", "text": "a" }))
        .await;
    assert_eq!(own.errors()[0].0, "to");
    let long = world
        .post(
            &path,
            json!({ "to": "4915755509999", "text": "a".repeat(4097) }),
        )
        .await;
    assert_eq!(
        long.errors(),
        [("text", "must have at most 4096 characters")]
    );
    let none = world.post("messages/retry", json!({})).await;
    assert_eq!(
        none.body,
        json!({ "queued": 0, "skipped": 0, "more": false })
    );
    let peers = world
        .get(&format!("waba/phones/{phone}/conversations"))
        .await
        .body;
    assert_eq!(peers["items"][0]["peer"], "4915755509999");
}

#[tokio::test]
async fn kept_callbacks_conversations_and_alarms_are_shown() {
    let world = World::new().await;
    let phone = world.phone().await;
    let id = world.app.ids.next();
    let execute =
        async |sql: &str, cells: &[Cell]| world.app.store.execute(sql, cells).await.unwrap();
    execute(
        "INSERT INTO events (id, source, owner_id, received_at, state, body) VALUES ($1, 'meta', $1, 0, 'not_understood', $2)",
        &[id.into(), Cell::Bytes(br#"{"object": 5}"#.to_vec())],
    )
    .await;
    execute(
        "INSERT INTO alarms (id, kind, subject, text, raised_at) VALUES ($1, 'k', 's', 't', 0)",
        &[id.into()],
    )
    .await;
    execute("INSERT INTO persons (id, account_id, user_ref, wa_id, created_at) VALUES ($1, $1, 'r', '4915755509999', 0)", &[id.into()]).await;
    execute(
        "INSERT INTO conversations (id, phone_id, person_id, chat_ref, last_inbound_at, created_at) VALUES ($1, $2, $1, 'c', 5, 0)",
        &[id.into(), phone.parse::<Uuid>().unwrap().into()],
    )
    .await;
    execute(
        "INSERT INTO dead_letters (id, lane, side, phone_id, created_at, attempts, died_at, reason, payload) \
         VALUES ($1, $1, 'portal', $2, 0, 3, 5, 'r', '{}')",
        &[id.into(), phone.parse::<Uuid>().unwrap().into()],
    )
    .await;

    let events = world
        .get("events?source=meta&state=not_understood")
        .await
        .body;
    assert_described("Event", &events["items"][0]);
    assert_eq!(
        world.get(&format!("events/{id}")).await.body["body"],
        json!({ "object": 5 })
    );
    assert!(
        world.get("events?state=poison").await.body["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_described("Alarm", &world.get("alarms").await.body["items"][0]);
    let conversation = &world
        .get(&format!("waba/phones/{phone}/conversations"))
        .await
        .body["items"][0];
    assert_described("Conversation", conversation);
    assert_eq!(conversation["peer"], "4915755509999");
    assert_eq!(conversation["window"]["open"], false);
    let queue = world.get("queue").await.body;
    assert_eq!(queue["dead_letter_count"], 1);
    assert_described("DeadLetter", &queue["dead_letters"][0]);
    assert_eq!(
        world.get("queue/dead_letters").await.body["items"],
        queue["dead_letters"]
    );

    // The conversations and the dead letters of a number go with it.
    assert_eq!(
        world.delete(&format!("waba/phones/{phone}")).await.status,
        204
    );
    assert_eq!(world.get("queue").await.body["dead_letter_count"], 0);
}

#[tokio::test]
async fn the_description_and_its_page_need_no_key() {
    let world = World::new().await;
    for (path, content_type) in [
        ("/api/openapi.json", "application/json"),
        ("/api/docs", "text/html; charset=utf-8"),
        ("/api/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/api/docs/docs.css", "text/css; charset=utf-8"),
    ] {
        let reply = world
            .send(Request::builder().uri(path), Body::empty())
            .await;
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(reply.headers[header::CONTENT_TYPE], content_type);
        assert!(
            reply.headers[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .unwrap()
                .contains("default-src 'none'")
        );
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_503() {
    let world = World::new().await;
    world.app.store.close().await;
    let reply = world.get("sites").await;
    assert_eq!(reply.status, 503);
    assert_eq!(
        reply.headers[header::CONTENT_TYPE],
        "application/problem+json"
    );
}
