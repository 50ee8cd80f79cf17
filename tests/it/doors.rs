//! The doors: who gets in, what is answered, and what becomes of what nobody expected.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sandbox::{
    graph::{Application, Customer, part},
    portal::{Installation, LocalApp},
};
use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::world::{APP_SECRET, CLIENT_ID, CLIENT_SECRET, Options, World, lena};

const META: &str = "/api/waba/";
const BITRIX: &str = "/api/bitrix/";

/// A world without a portal: what happens at Meta's door does not need one.
async fn without_portal() -> World {
    World::with(Options {
        linked: false,
        ..Options::default()
    })
    .await
}

/// What a door answered.
struct Answer {
    status: u16,
    content_type: String,
    text: String,
}

impl World {
    async fn knock(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let url = format!("{}{path}", self.server.url());
        let mut request = self.api.http.request(method, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        Answer {
            status: answer.status().as_u16(),
            content_type: answer
                .headers()
                .get("content-type")
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            text: answer.text().await.unwrap(),
        }
    }

    async fn get_status(&self, path: &str) -> u16 {
        self.knock("GET", path, &[], Vec::new()).await.status
    }

    /// Posts a webhook as Meta does, signed with the application's secret.
    async fn post_webhook(&self, path: &str, body: &[u8]) -> u16 {
        let signature = whatsapp::signature::sign(APP_SECRET.as_bytes(), body);
        self.knock(
            "POST",
            path,
            &[("x-hub-signature-256", &signature)],
            body.to_vec(),
        )
        .await
        .status
    }

    /// Posts a form as Bitrix24 does.
    async fn event(&self, path: &str, form: &str) -> u16 {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        self.knock("POST", path, &headers, form.as_bytes().to_vec())
            .await
            .status
    }

    /// Asserts that no callback was ever stored: none waits, none was translated, none was kept.
    async fn nothing_was_stored(&self) {
        let queue = self.api.get("queue").await;
        assert_eq!(queue["receipts"]["depth"], 0);
        assert_eq!(self.metric("intake", "receipts").await, 0);
        assert_eq!(self.api.get("events").await["items"], json!([]));
        assert_eq!(self.api.get("messages").await["items"], json!([]));
    }

    /// Waits for kept callbacks in a state; gives them with their bodies, the oldest first.
    async fn kept(&self, state: &str, count: usize) -> Vec<Value> {
        let path = format!("events?state={state}&limit=200");
        let list = self
            .api
            .until(&path, |list| {
                list["items"].as_array().unwrap().len() >= count
            })
            .await;
        let mut kept = Vec::new();
        for event in list["items"].as_array().unwrap().iter().rev() {
            let id = event["id"].as_str().unwrap();
            kept.push(self.api.get(&format!("events/{id}")).await);
        }
        assert_eq!(kept.len(), count, "{kept:#?}");
        kept
    }
}

/// A webhook with these messages for a number.
fn webhook_of(waba_id: &str, phone_number_id: &str, messages: &[Value]) -> Value {
    json!({
        "object": "whatsapp_business_account",
        "entry": [{
            "id": waba_id,
            "changes": [{
                "field": "messages",
                "value": {
                    "messaging_product": "whatsapp",
                    "metadata": {
                        "display_phone_number": "4915755501234",
                        "phone_number_id": phone_number_id,
                    },
                    "messages": messages,
                },
            }],
        }],
    })
}

fn text_from(digits: &str, wamid: &str, body: &str) -> Value {
    json!({
        "from": digits, "id": wamid, "timestamp": "1790000000", "type": "text",
        "text": {"body": body},
    })
}

fn handshake(token: &str, more: &str) -> String {
    let query = Serializer::new(String::new())
        .append_pair("hub.mode", "subscribe")
        .append_pair("hub.challenge", "1158201444")
        .append_pair("hub.verify_token", token)
        .finish();
    format!("{META}?{query}{more}")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_gives_the_challenge_back_to_who_knows_the_verify_token() {
    let world = without_portal().await;
    let token = world.app["verify_token"].as_str().unwrap();
    let client_id = world.app["client_id"].as_str().unwrap();

    let right = world
        .knock("GET", &handshake(token, ""), &[], Vec::new())
        .await;
    assert_eq!((right.status, right.text.as_str()), (200, "1158201444"));
    assert!(
        right.content_type.starts_with("text/plain"),
        "{}",
        right.content_type
    );
    // As Meta does it, and at the address that was shown.
    world.graph.handshake_with(token).await.unwrap();
    let elsewhere = [("host", "elsewhere.example")];
    let by_app = handshake(token, &format!("&app_id={client_id}"));
    let by_app = world.knock("GET", &by_app, &elsewhere, Vec::new()).await;
    assert_eq!((by_app.status, by_app.text.as_str()), (200, "1158201444"));

    for wrong in ["", "wrong", &token[1..], &token.to_uppercase()] {
        let answer = world
            .knock("GET", &handshake(wrong, ""), &[], Vec::new())
            .await;
        assert_eq!(answer.status, 403, "{wrong}");
        assert!(!answer.text.contains("1158201444"));
        assert!(!answer.text.contains(token));
    }
    for malformed in [
        META.to_owned(),
        format!("{META}?hub.mode=subscribe&hub.challenge=1"),
        format!("{META}?hub.mode=subscribe&hub.verify_token={token}"),
        format!("{META}?hub.challenge=1&hub.verify_token={token}"),
        format!("{META}?hub.mode=other&hub.challenge=1&hub.verify_token={token}"),
    ] {
        assert_eq!(world.get_status(&malformed).await, 400, "{malformed}");
    }
    let unknown = world
        .knock("GET", &handshake(token, ""), &elsewhere, Vec::new())
        .await;
    assert_eq!(unknown.status, 404);
    assert_eq!(
        world
            .get_status(&handshake(token, "&app_id=999999999999999"))
            .await,
        404
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_of_the_addresses_are_answered() {
    let world = without_portal().await;
    for (method, path) in [
        ("HEAD", "/api/waba/"),
        ("HEAD", "/api/waba"),
        ("GET", "/api/bitrix/"),
        ("HEAD", "/api/bitrix/"),
        ("HEAD", "/api/bitrix"),
        ("GET", "/placement/"),
        ("HEAD", "/placement/"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/"),
    ] {
        let answer = world.knock(method, path, &[], Vec::new()).await;
        assert_eq!(answer.status, 200, "{method} {path}");
    }
    world.nothing_was_stored().await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_without_the_right_signature_is_refused_counted_and_not_stored() {
    let world = without_portal().await;
    let other = world
        .api
        .create("sites", json!({ "domain": "other.example" }))
        .await;
    world
        .api
        .create(
            "waba/apps",
            json!({ "site": other["id"], "client_id": "99", "client_secret": "another-secret" }),
        )
        .await;
    let body = webhook_of(
        "108200000000001",
        &world.number,
        &[text_from("4915755509876", "wamid.forged", "x")],
    )
    .to_string()
    .into_bytes();
    let right = whatsapp::signature::sign(APP_SECRET.as_bytes(), &body);
    let mut changed = right.clone();
    let last = if changed.ends_with('0') { '1' } else { '0' };
    changed.pop();
    changed.push(last);
    let of_another_app = whatsapp::signature::sign(b"another-secret", &body);
    let of_another_body = whatsapp::signature::sign(APP_SECRET.as_bytes(), b"{}");
    let of_no_secret = whatsapp::signature::sign(b"", &body);
    let without_prefix = right.trim_start_matches("sha256=").to_owned();
    let wrong: Vec<Vec<(&str, &str)>> = vec![
        Vec::new(),
        vec![("x-hub-signature", &right)],
        vec![("x-hub-signature-256", "")],
        vec![("x-hub-signature-256", "sha256=")],
        vec![("x-hub-signature-256", &without_prefix)],
        vec![("x-hub-signature-256", &changed)],
        vec![("x-hub-signature-256", &of_another_app)],
        vec![("x-hub-signature-256", &of_another_body)],
        vec![("x-hub-signature-256", &of_no_secret)],
    ];
    for headers in &wrong {
        let answer = world.knock("POST", META, headers, body.clone()).await;
        assert_eq!(answer.status, 401, "{headers:?}");
    }
    // The other application's secret opens only that application's door.
    let path = format!("{META}?app_id=99");
    let headers = [("x-hub-signature-256", right.as_str())];
    assert_eq!(
        world
            .knock("POST", &path, &headers, body.clone())
            .await
            .status,
        401
    );
    let counted = world.metric("doors_refused", "signature").await;
    assert_eq!(counted, wrong.len() as u64 + 1);
    world.nothing_was_stored().await;

    let answer = world.knock("POST", META, &headers, body).await;
    assert_eq!(answer.status, 200);
    world.message_is("wamid.forged", "received").await;
    world.api.until("queue", |queue| queue["depth"] == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_in_the_address_must_be_a_valid_key() {
    let world = without_portal().await;
    let body = webhook_of(
        "108200000000001",
        &world.number,
        &[text_from("4915755509876", "wamid.with-key", "x")],
    )
    .to_string()
    .into_bytes();
    for wrong in ["", "nonsense", "sep_0000000000000000000000000000000000"] {
        let path = format!("{META}?api-key={wrong}");
        assert_eq!(world.post_webhook(&path, &body).await, 401, "{wrong}");
        let path = format!("{BITRIX}?api-key={wrong}");
        assert_eq!(world.event(&path, "event=ONAPPUPDATE").await, 401);
    }
    assert_eq!(world.metric("doors_refused", "api_key").await, 6);
    world.nothing_was_stored().await;

    // Made while the server runs.
    let made = world
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
    assert!(made.status.success());
    let key = String::from_utf8(made.stdout).unwrap();
    let path = format!("{META}?api-key={}", key.trim());
    assert_eq!(world.post_webhook(&path, &body).await, 200);
    world.message_is("wamid.with-key", "received").await;
    // The key is an extra gate and no replacement for the signature.
    let unsigned = world.knock("POST", &path, &[], body).await;
    assert_eq!(unsigned.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_three_mebibytes_is_refused_and_one_of_just_that_size_is_taken() {
    let world = without_portal().await;
    const LIMIT: usize = 3 * 1024 * 1024;
    let padding = |size: usize| {
        let start = b"{\"object\":\"whatsapp_business_account\",\"entry\":[]";
        let mut body = start.to_vec();
        body.resize(size - 1, b' ');
        body.push(b'}');
        body
    };
    assert_eq!(world.post_webhook(META, &padding(LIMIT + 1)).await, 413);
    assert_eq!(world.event(BITRIX, &"x".repeat(LIMIT + 1)).await, 413);
    world.nothing_was_stored().await;
    assert_eq!(world.post_webhook(META, &padding(LIMIT)).await, 200);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_but_not_understood_is_kept_and_shown() {
    let world = without_portal().await;
    let waba = "108200000000001";
    let bodies = [
        "not JSON at all".to_owned(),
        "{\"object\":\"whatsapp_business_account\",\"entry\":[".to_owned(),
        "[1, 2, 3]".to_owned(),
        "5".to_owned(),
        "{\"entry\": 5}".to_owned(),
        json!({ "object": "whatsapp_business_account", "entry": [{ "id": waba, "changes": [
            { "field": "messages", "value": { "messaging_product": "whatsapp" } },
        ]}]})
        .to_string(),
        webhook_of(waba, &world.number, &[json!({ "type": "text" })]).to_string(),
        webhook_of(waba, &world.number, &[json!("a message")]).to_string(),
    ];
    for body in &bodies {
        assert_eq!(
            world.post_webhook(META, body.as_bytes()).await,
            200,
            "{body}"
        );
    }
    assert_eq!(world.post_webhook(META, b"\xff\xfe\x00").await, 200);
    let kept = world.kept("not_understood", bodies.len() + 1).await;
    for (kept, body) in kept.iter().zip(&bodies) {
        let shown = serde_json::from_str(body).unwrap_or(Value::String(body.clone()));
        assert_eq!(kept["body"], shown);
        assert_eq!(kept["source"], "meta");
        assert_eq!(kept["app"], world.app["id"]);
        assert!(!kept["error"].as_str().unwrap().is_empty(), "{kept:#}");
    }
    assert_eq!(world.api.get("messages").await["items"], json!([]));

    // A field that is understood as being about no message is kept too, and says so.
    world
        .graph
        .webhook(waba, "account_update", &json!({ "event": "VERIFIED" }));
    let recorded = world.kept("recorded", 1).await;
    assert!(
        recorded[0]["error"]
            .as_str()
            .unwrap()
            .contains("account_update")
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_for_an_unknown_site_is_not_found() {
    let world = without_portal().await;
    let body = b"{}";
    let signature = whatsapp::signature::sign(APP_SECRET.as_bytes(), body);
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("host", "unknown.example"),
    ];
    let answer = world.knock("POST", META, &headers, body.to_vec()).await;
    assert_eq!(answer.status, 404);
    let path = format!("{META}?app_id=1");
    assert_eq!(world.post_webhook(&path, body).await, 404);
    assert_eq!(world.metric("doors_refused", "unknown_site").await, 2);
    // A forwarded host counts only from a proxy that is trusted, and nobody is.
    let headers = [
        ("x-hub-signature-256", signature.as_str()),
        ("x-forwarded-host", "unknown.example"),
    ];
    let answer = world.knock("POST", META, &headers, body.to_vec()).await;
    assert_eq!(answer.status, 200);
    world.kept("not_understood", 1).await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_the_forwarded_host_names_the_site() {
    let world = World::with(Options {
        linked: false,
        variables: [("SEPARATOR_TRUST_PROXY", "127.0.0.0/8".to_owned())].into(),
        ..Options::default()
    })
    .await;
    let domain = world.server.domain();
    let token = world.app["verify_token"].as_str().unwrap();
    let headers = [
        ("host", "internal.example"),
        ("x-forwarded-host", domain.as_str()),
    ];
    let answer = world
        .knock("GET", &handshake(token, ""), &headers, Vec::new())
        .await;
    assert_eq!(answer.status, 200);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_for_an_unknown_number_is_delivered_once_it_is_entered_and_linked() {
    let world = World::start().await;
    let (waba, number, digits) = ("108200000000001", "209300000000777", "4915755507777");
    world.graph.add_phone(waba, number, digits);
    for text in ["first", "second", "third"] {
        world
            .graph
            .customer_writes(number, &lena(), part::text(text));
    }
    let kept = world.kept("unlinked", 3).await;
    assert!(kept.iter().all(|event| event["source"] == "meta"));
    assert_eq!(world.api.get("messages").await["items"], json!([]));
    assert_eq!(
        world.graph.counters().updates_waiting(),
        0,
        "all were taken"
    );

    let accounts = world.api.get("waba/accounts").await;
    world
        .api
        .create(
            "waba/phones",
            json!({
                "account": accounts["items"][0]["id"], "phone": digits, "phone_id": number,
                "instance": world.instance,
            }),
        )
        .await;
    let chat = world
        .operator_sees("three messages", |chat| chat.messages.len() >= 3)
        .await;
    assert_eq!(texts(&chat), ["first", "second", "third"]);
    assert_eq!(
        world.api.get("events?state=unlinked").await["items"],
        json!([])
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_entered_while_it_is_written_to_misses_nothing_and_keeps_the_order() {
    let world = World::start().await;
    let (waba, number, digits) = ("108200000000001", "209300000000777", "4915755507777");
    world.graph.add_phone(waba, number, digits);
    let accounts = world.api.get("waba/accounts").await;
    let written: Vec<String> = (0..40).map(|index| format!("message {index}")).collect();
    for text in &written[..20] {
        world
            .graph
            .customer_writes(number, &lena(), part::text(text));
    }
    // Some of them are kept already, others are on their way.
    world
        .api
        .until("events?state=unlinked", |list| list["items"] != json!([]))
        .await;
    let entered = world.api.create(
        "waba/phones",
        json!({
            "account": accounts["items"][0]["id"], "phone": digits, "phone_id": number,
            "instance": world.instance,
        }),
    );
    let writing = async {
        for text in &written[20..] {
            world
                .graph
                .customer_writes(number, &lena(), part::text(text));
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(entered, writing);
    let chat = world
        .operator_sees("all messages", |chat| chat.messages.len() >= written.len())
        .await;
    assert_eq!(texts(&chat), written);
    world.ends_clean().await;
}

fn texts(chat: &sandbox::portal::Chat) -> Vec<&str> {
    chat.messages
        .iter()
        .map(|message| message.text.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_number_without_a_portal_wait_and_are_delivered_in_order() {
    let mut world = without_portal().await;
    let written: Vec<String> = (1..=5).map(|number| format!("message {number}")).collect();
    let wamids: Vec<String> = written
        .iter()
        .map(|text| world.customer_says(&lena(), text))
        .collect();
    for wamid in &wamids {
        world.message_is(wamid, "received").await;
    }
    world.install().await;
    world.link().await;
    let chat = world
        .operator_sees("five messages", |chat| chat.messages.len() >= 5)
        .await;
    assert_eq!(texts(&chat), written);
    for wamid in &wamids {
        world.message_is(wamid, "delivered").await;
    }
    world.ends_clean().await;
}

/// An address that nobody may call; counts who does.
struct Trap {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Trap {
    async fn set() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            address,
            connections,
        }
    }

    fn was_not_called(&self) {
        assert_eq!(
            self.connections.load(Ordering::SeqCst),
            0,
            "the named host was called"
        );
    }
}

/// The `auth` of an event.
struct Auth<'a> {
    application_token: &'a str,
    member_id: &'a str,
    domain: &'a str,
    more: Vec<(&'a str, &'a str)>,
}

fn event_body(event: &str, auth: &Auth<'_>, data: &[(&str, &str)]) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("event", event);
    for (name, value) in data {
        form.append_pair(name, value);
    }
    form.append_pair("ts", "1790000000");
    form.append_pair("auth[domain]", auth.domain);
    form.append_pair(
        "auth[client_endpoint]",
        &format!("http://{}/rest/", auth.domain),
    );
    form.append_pair(
        "auth[server_endpoint]",
        &format!("http://{}/rest/", auth.domain),
    );
    form.append_pair("auth[member_id]", auth.member_id);
    form.append_pair("auth[status]", "L");
    if !auth.application_token.is_empty() {
        form.append_pair("auth[application_token]", auth.application_token);
    }
    for (name, value) in &auth.more {
        form.append_pair(&format!("auth[{name}]"), value);
    }
    form.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_this_portals_application_token_changes_nothing() {
    let mut world = without_portal().await;
    let app = world.enter_bitrix_app().await;
    let Installation {
        application_token, ..
    } = world.portal.save_local_app(app.clone()).await;
    let instances = world.api.get("bitrix/instances").await;
    world.instance = instances["items"][0]["id"].as_str().unwrap().to_owned();
    world.link().await;
    let globex = world.portals.add("globex");
    let other = globex.save_local_app(app).await;
    world.customer_says(&lena(), "Guten Tag");
    let chat = world.operator_sees_text("Guten Tag").await;
    world.api.until("queue", |queue| queue["depth"] == 0).await;
    // The start of the chat is told as an event, which comes at its own time.
    world
        .portals
        .wait_until(
            |portals| portals.events_waiting() == 0,
            crate::world::PATIENCE,
        )
        .await;
    let accepted = world.metric("doors_accepted", "bitrix").await;

    let trap = Trap::set().await;
    let line = chat.line.to_string();
    let im_chat = chat.id.to_string();
    let reply = [
        ("data[CONNECTOR]", chat.connector.as_str()),
        ("data[LINE]", line.as_str()),
        ("data[MESSAGES][0][im][chat_id]", im_chat.as_str()),
        ("data[MESSAGES][0][im][message_id]", "900001"),
        ("data[MESSAGES][0][message][user_id]", "27"),
        ("data[MESSAGES][0][message][text]", "forged"),
        (
            "data[MESSAGES][0][chat][id]",
            chat.external_chat_id.as_str(),
        ),
    ];
    let member_id = world.portal.member_id();
    for (why, application_token, member_id, domain) in [
        ("no token", "", member_id, world.portal.domain()),
        ("wrong token", "wrong", member_id, world.portal.domain()),
        (
            "another portal's token",
            other.application_token.as_str(),
            member_id,
            world.portal.domain(),
        ),
        (
            "unknown portal",
            application_token.as_str(),
            "00000000000000000000000000000000",
            world.portal.domain(),
        ),
        ("forged domain", "wrong", member_id, trap.address.clone()),
        (
            "another portal's token and domain",
            other.application_token.as_str(),
            member_id,
            trap.address.clone(),
        ),
    ] {
        let auth = Auth {
            application_token,
            member_id,
            domain: &domain,
            more: vec![("access_token", "x"), ("user_id", "27")],
        };
        for (event, data) in [
            ("ONIMCONNECTORMESSAGEADD", &reply[..]),
            ("ONAPPUNINSTALL", &[("data[CLEAN]", "1")][..]),
            ("ONIMCONNECTORLINEDELETE", &[("data", "1")][..]),
            ("ONAPPUPDATE", &[][..]),
            ("ONIMCONNECTORSTATUSDELETE", &reply[..2]),
        ] {
            let status = world.event(BITRIX, &event_body(event, &auth, data)).await;
            assert_eq!(status, 401, "{event}: {why}");
        }
    }
    for nonsense in [
        "",
        "x",
        "event=",
        "{}",
        "{\"event\":5}",
        "event[a]=b&data=%ff",
    ] {
        assert_eq!(world.event(BITRIX, nonsense).await, 401, "{nonsense:?}");
    }
    // A good token opens the door whatever host is named, and no request goes to that host.
    let auth = Auth {
        application_token: &application_token,
        member_id,
        domain: &trap.address,
        more: Vec::new(),
    };
    let mut good = reply.to_vec();
    good[3].1 = "900002";
    good[5].1 = "genuine";
    let body = event_body("ONIMCONNECTORMESSAGEADD", &auth, &good);
    assert_eq!(world.event(BITRIX, &body).await, 200);
    let received = world.customer_receives(&lena(), 1).await;
    assert_eq!(received[0].body["text"]["body"], "genuine");
    assert_eq!(received.len(), 1);

    assert_eq!(world.metric("doors_refused", "application_token").await, 30);
    assert_eq!(world.metric("doors_accepted", "bitrix").await, accepted + 1);
    world.phone_is("connected").await;
    let instances = world.api.get("bitrix/instances").await;
    assert!(
        instances["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|instance| instance["status"] == "active"),
        "{instances:#}"
    );
    trap.was_not_called();
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_the_authorization_server_does_not_confirm_is_refused() {
    let world = without_portal().await;
    let ours = world.enter_bitrix_app().await;
    let trap = Trap::set().await;
    let refuses = async |why: &str, event: &str, auth: &Auth<'_>| {
        for path in [
            BITRIX.to_owned(),
            format!("{BITRIX}?app-id={CLIENT_ID}"),
            format!("{BITRIX}?app-id=local.other"),
        ] {
            let body = event_body(event, auth, &[("data[VERSION]", "1")]);
            assert_eq!(world.event(&path, &body).await, 401, "{why} {path}");
        }
    };
    let member_id = world.portal.member_id();
    let domain = world.portal.domain();
    let unknown = Auth {
        application_token: "0123456789abcdef0123456789abcdef",
        member_id,
        domain: &domain,
        more: vec![
            ("access_token", "00000001abcdef"),
            ("refresh_token", "00000001abcdef"),
            ("expires_in", "3600"),
            ("scope", "imconnector,imopenlines"),
        ],
    };
    refuses("unknown token", "ONAPPINSTALL", &unknown).await;
    refuses(
        "unknown token, forged domain",
        "ONAPPINSTALL",
        &Auth {
            domain: &trap.address,
            more: unknown.more.clone(),
            ..unknown
        },
    )
    .await;
    refuses(
        "no token",
        "ONAPPINSTALL",
        &Auth {
            more: Vec::new(),
            ..unknown
        },
    )
    .await;

    // An application of somebody else on the same portal, whose token is good.
    let foreign = LocalApp::api_only("local.foreign.1", "secret", &ours.install_url);
    let installation = world.portal.save_local_app(foreign).await;
    assert_eq!(installation.status, Some(401));
    // The same, posted to an address that names no application.
    let url = format!("{}{BITRIX}", world.server.url());
    let foreign = LocalApp::api_only("local.foreign.2", "secret", &url);
    assert_eq!(world.portal.save_local_app(foreign).await.status, Some(401));
    assert_eq!(world.api.get("bitrix/instances").await["items"], json!([]));
    world.nothing_was_stored().await;
    trap.was_not_called();

    // The genuine one still gets in.
    let app = LocalApp::api_only(CLIENT_ID, CLIENT_SECRET, &ours.install_url);
    assert_eq!(world.portal.save_local_app(app).await.status, Some(200));
    let instances = world.api.get("bitrix/instances").await;
    assert_eq!(instances["items"].as_array().unwrap().len(), 1);
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_keeps_its_events_keeps_all_of_them() {
    let world = World::start().await;
    let path = format!("waba/apps/{}", world.app["id"].as_str().unwrap());
    world.customer_says(&lena(), "before");
    world.operator_sees_text("before").await;
    assert_eq!(world.api.get("events").await["items"], json!([]));
    world.api.patch(&path, json!({ "events": true })).await;
    let wamid = world.customer_says(&lena(), "after");
    let chat = world.operator_sees_text("after").await;
    world.operator_says(&chat, "reply");
    world.customer_receives(&lena(), 1).await;
    // The message, and sent, delivered of the reply.
    let list = world
        .api
        .until("events?state=translated&source=meta", |list| {
            list["items"].as_array().unwrap().len() >= 3
        })
        .await;
    let oldest = list["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(oldest["body"], Value::Null, "no bodies in lists");
    let id = oldest["id"].as_str().unwrap();
    let event = world.api.get(&format!("events/{id}")).await;
    assert_eq!(
        event["body"]["entry"][0]["changes"][0]["value"]["messages"][0]["id"],
        json!(wamid)
    );
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_updates_in_one_body_all_arrive_and_a_bad_one_takes_none_along() {
    let world = World::start().await;
    let customers: Vec<Customer> = (0..50)
        .map(|number| Customer::with_phone(format!("4915700000{number:03}")))
        .collect();
    let mut updates = Vec::new();
    for index in 0..1000 {
        let customer = customers[index % customers.len()].phone.as_deref().unwrap();
        updates.push(text_from(
            customer,
            &format!("wamid.{index}"),
            &format!("message {index}"),
        ));
    }
    updates.insert(500, json!({ "type": "text", "text": 5 }));
    let body = webhook_of("108200000000001", &world.number, &updates).to_string();
    assert_eq!(world.post_webhook(META, body.as_bytes()).await, 200);
    assert!(
        world
            .portals
            .wait_until(
                |_| world.portal.counters().customer_messages >= 1000,
                crate::world::PATIENCE
            )
            .await,
        "{:?}",
        world.portal.counters()
    );
    let chats = world.portal.chats();
    assert_eq!(chats.len(), customers.len());
    for chat in &chats {
        let numbers: Vec<usize> = texts(chat)
            .iter()
            .map(|text| text.trim_start_matches("message ").parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), 20);
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 50),
            "{numbers:?}"
        );
    }
    world.kept("not_understood", 1).await;
    world.ends_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_applications_on_two_sites_do_not_see_each_others_numbers() {
    let world = without_portal().await;
    let site = world
        .api
        .create("sites", json!({ "domain": "second.example" }))
        .await;
    let second = world
        .api
        .create(
            "waba/apps",
            json!({
                "site": site["id"], "client_id": "730100000000002",
                "client_secret": "second-secret", "access_token": "second-token",
            }),
        )
        .await;
    world.graph.add_app(Application {
        id: "730100000000002".to_owned(),
        secret: "second-secret".to_owned(),
        access_token: "second-token".to_owned(),
        ..Application::default()
    });
    // The second application names a number of the first one.
    let body = webhook_of(
        "108200000000001",
        &world.number,
        &[text_from("4915755509876", "wamid.stolen", "x")],
    )
    .to_string();
    let signature = whatsapp::signature::sign(b"second-secret", body.as_bytes());
    let headers = [
        ("host", "second.example"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    let answer = world.knock("POST", META, &headers, body.into_bytes()).await;
    assert_eq!(answer.status, 200);
    let kept = world.kept("not_understood", 1).await;
    assert_eq!(kept[0]["app"], second["id"]);
    assert_eq!(world.api.get("messages").await["items"], json!([]));
    world.ends_clean().await;
}
